"""A stand-in for MindSpore Lite 2.10 on an Ascend: names and types of its documentation, and nothing else.

Written from the pages of `Context`, `Model`, `ModelType`, `DataType` and `Tensor`. Whoever uses a
name that is not there, or passes what is refused there, gets the documented error. The numbers come from
MindSpore on the CPU, so the stand-in says nothing about the device.
"""
from enum import Enum
from pathlib import Path

import numpy as np

__all__ = ['Context', 'DataType', 'Model', 'ModelType', 'Tensor']
CALLS = [] # what `Model.build_from_file` was called with, and on which device: for the tests


class ModelType(Enum):
    MINDIR = 0
    MINDIR_LITE = 4


class DataType(Enum):
    UINT8 = 37
    FLOAT16 = 42
    FLOAT32 = 43


NUMPY_TYPES = {np.uint8: DataType.UINT8, np.float16: DataType.FLOAT16, np.float32: DataType.FLOAT32}


def check(name, value, kind):
    if not isinstance(value, kind): raise TypeError(f'{name} must be {kind.__name__}, but got {type(value)}.')


class Ascend:
    "What `Context.ascend` is: four properties, and no others"
    __slots__ = 'device_id', 'precision_mode', 'provider', 'rank_id'
    MODES = '', 'enforce_fp32', 'preferred_fp32', 'enforce_fp16', 'enforce_origin', 'preferred_optimal'

    def __init__(self): self.device_id, self.precision_mode, self.provider, self.rank_id = 0, '', '', 0

    def __setattr__(self, name, value):
        if name not in self.__slots__: raise AttributeError(name)
        check(name, value, int if name.endswith('_id') else str)
        if name == 'precision_mode' and value not in self.MODES:
            raise ValueError(f'precision_mode must be in {self.MODES}, but got {value}.')
        if name.endswith('_id') and value < 0: raise ValueError(f'{name} must be a non-negative int.')
        object.__setattr__(self, name, value)


class Context:
    __slots__ = '_target', 'ascend'

    def __init__(self): self._target, self.ascend = ['cpu'], Ascend()

    @property
    def target(self): return self._target

    @target.setter
    def target(self, target):
        check('target', target, list)
        for element in target:
            check('target element', element, str)
            if element.lower() not in ('cpu', 'gpu', 'ascend'):
                raise ValueError(f"target elements must be in ['cpu', 'gpu', 'ascend'], but got {element}.")
        self._target = target


class Tensor:
    __slots__ = '_shape', '_dtype', '_data'

    def __init__(self, tensor=None, shape=None, dtype=None, device=None):
        self._data, self._shape, self._dtype = tensor, shape, dtype
        if tensor is not None: self._shape, self._dtype = list(tensor.shape), NUMPY_TYPES[tensor.dtype.type]

    @property
    def shape(self): return self._shape

    @property
    def dtype(self): return self._dtype

    @property
    def element_num(self): return int(np.prod(self._shape))

    @property
    def data_size(self):
        return self.element_num * {DataType.UINT8: 1, DataType.FLOAT16: 2, DataType.FLOAT32: 4}[self._dtype]

    def get_data_to_numpy(self): return self._data

    def set_data_from_numpy(self, numpy_obj):
        check('numpy_obj', numpy_obj, np.ndarray)
        if numpy_obj.dtype.type not in NUMPY_TYPES: raise TypeError(f'Unsupported numpy dtype value '
                                                                    f'{numpy_obj.dtype}')
        if NUMPY_TYPES[numpy_obj.dtype.type] != self._dtype:
            raise RuntimeError(f'data type not equal! Numpy type: {numpy_obj.dtype.type}, Tensor type: '
                               f'{self._dtype}')
        if numpy_obj.nbytes != self.data_size:
            raise RuntimeError(f'data size not equal! Numpy size: {numpy_obj.nbytes}, Tensor size: '
                               f'{self.data_size}')
        self._data = numpy_obj.copy()


class Model:
    __slots__ = '_run', '_shape', '_aipp'

    def build_from_file(self, model_path, model_type, context=None, config_path='', config_dict=None,
                        dec_key=None, dec_mode='AES-GCM', dec_num_parallel=0):
        for name, value, kind in (('model_path', model_path, str), ('model_type', model_type, ModelType),
                                  ('config_path', config_path, str)): check(name, value, kind)
        context = context or Context()
        check('context', context, Context)
        if not Path(model_path).exists(): raise RuntimeError('build_from_file failed, model_path does not '
                                                             'exist!')
        if context.ascend.device_id > 7: raise RuntimeError('build_from_file failed! Error is Common error '
                                                            'code.')
        CALLS.append((model_path, model_type, context.target, context.ascend.device_id))
        from ssd_nb.plumbing.backends import open_mindir
        self._run, self._shape = open_mindir(model_path)
        aipp = Path(f'{model_path}.aipp') # the stand-in of the converter leaves it there
        self._aipp = aipp.read_text() if aipp.exists() else None

    def get_inputs(self):
        if self._aipp is None: return [Tensor(shape=list(self._shape), dtype=DataType.FLOAT32)]
        batch, _, height, width = self._shape
        return [Tensor(shape=[batch, height * 3 // 2, width, 1], dtype=DataType.UINT8)]

    def predict(self, inputs, outputs=None):
        check('inputs', inputs, list)
        for tensor in inputs: check('inputs element', tensor, Tensor)
        images = inputs[0].get_data_to_numpy().reshape(inputs[0].shape)
        if self._aipp is not None:
            from ssd_nb.export_310 import apply_aipp
            images = np.stack([apply_aipp(image[..., 0], self._aipp) for image in images])
        return [Tensor(answer) for answer in self._run(images)]
