"""Times one image from pixels to detections, stage by stage, in several engines on the same weights.

The weights are random: how long a network takes does not depend on what it has learned. What follows the
network does, so NMS gets generated answers, with as many objects as a photograph of COCO has.
"""
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench_networks import CLASSES, SEED, new_network, write_network
from bench_process import in_new_process
from bench_rounds import Engine
from bench_train import AVX2

AROUND = 'resize, normalise', 'threshold, NMS'
SIZE = 480, 640 # height and width of the image, in pixels


def make_image(): return np.random.default_rng(SEED).integers(0, 256, (*SIZE, 3), np.uint8)


def write_files(model, folder):
    "Writes a checkpoint and what is exported from it, and the network for PyTorch"
    network, config = new_network(model)
    from ssd_nb.export_310 import export_model
    from ssd_nb.train import save_checkpoint
    from ssd_nb.plumbing.samples import find_sample_folder
    checkpoint = save_checkpoint(network, config, 0, Path(folder) / 'network.ckpt')
    forms = dict(mindir=('MINDIR', {}), onnx=('ONNX', {}), whole=('ONNX', dict(whole=True)))
    if find_spec('ssd_nb.plumbing.int8'):
        few = Path(folder) / 'calibrate' # the speed does not depend on them
        few.mkdir()
        for path in sorted((find_sample_folder() / 'eval').iterdir())[:4]: shutil.copy(path, few)
        forms['int8'] = 'ONNX', dict(int8=True, calibrate=str(few))
    for name, (form, more) in forms.items(): export_model(checkpoint, Path(folder) / name, form, **more)
    write_network(Path(folder) / 'network', model)
    return list(forms)


def _prepare(config): # the image as the network takes it
    from ssd_nb.data import prepare_input
    return prepare_input(make_image(), config.boxes.image_shape, None, config.data.normalisation)


def make_around(model):
    "What is done before and after the network"
    from bench_eval import generated_output, generated_truth
    from ssd_nb.boxes import default_tlbr
    from ssd_nb.eval import detect
    from ssd_nb.train import preset
    config, image = preset(model, 'CPU'), make_image()
    few, scores = generated_output(generated_truth(1)['annotations'], np.random.default_rng(SEED))
    count = len(default_tlbr(config.boxes))
    boxes, every = np.zeros((count, 4), np.float32), np.full((count, CLASSES), 0.01, np.float32)
    few, scores = few[:count], scores[:count]
    boxes[:len(few)], every[:len(few)] = few, scores
    from ssd_nb.data import prepare_input
    shape, numbers = config.boxes.image_shape, config.data.normalisation
    return {AROUND[0]: lambda: prepare_input(image, shape, None, numbers) is None,
            AROUND[1]: lambda: len(detect(boxes, every, SIZE))}


def make_ours(path):
    "A checkpoint in MindSpore, with its answers decoded; and the decoder alone"
    from ssd_nb.plumbing.device import choose_device
    choose_device('CPU')
    from mindspore import nn
    from ssd_nb.boxes import default_tlbr
    from ssd_nb.export_310 import load_predict
    from ssd_nb.ssd_heads import make_predict
    class Split(nn.Cell): # stands in for a network
        def construct(self, x): return x[..., :4], x[..., 4:]
    predict, config = load_predict(path)
    image, count = _prepare(config)[None], len(default_tlbr(config.boxes))
    decode = make_predict(Split(), config.boxes, softmax=config.softmax)
    raw = np.random.default_rng(SEED).standard_normal((1, count, 4 + CLASSES), np.float32)
    return {'decode': lambda: decode(raw) is None, '': lambda: predict(image) is None}


def make_exported(path):
    "A MindIR file"
    from ssd_nb.plumbing.device import choose_device
    choose_device('CPU')
    from ssd_nb.export_310 import load_predict
    predict, config = load_predict(path)
    image = _prepare(config)[None]
    return lambda: predict(image) is None


def make_runtime(path, threads):
    "A file in ONNX Runtime; one of `--whole` gets the image as it is"
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    entry = session.get_inputs()[0]
    if entry.type == 'tensor(uint8)': image = make_image()[None]
    else: image = np.random.default_rng(SEED).standard_normal(entry.shape, np.float32)
    return lambda: session.run(None, {entry.name: image}) is None


def make_lite(path, threads):
    "A .tflite file, whatever its input is"
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter(path, num_threads=threads)
    interpreter.allocate_tensors()
    entry, exits = interpreter.get_input_details()[0], interpreter.get_output_details()
    image = np.random.default_rng(SEED).integers(0, 255, entry['shape']).astype(entry['dtype'])
    def run():
        interpreter.set_tensor(entry['index'], image)
        interpreter.invoke()
        return len([interpreter.get_tensor(out['index']) for out in exits])
    return run


def list_engines(model, threads, folder, torch=None, lite=None, tflite=None, checkout=None):
    "All engines of a model; torch, lite: a Python that has PyTorch or LiteRT, tflite: a file for the latter"
    forms = in_new_process(write_files, model, folder)
    env, at = dict(OMP_NUM_THREADS=str(threads)), lambda name: str(Path(folder) / name)
    engines = [Engine('around', 'bench_infer:make_around', dict(model=model), environment=env),
               Engine('MindSpore', 'bench_infer:make_ours', dict(path=at('network.ckpt')), environment=env),
               Engine('MindIR', 'bench_infer:make_exported', dict(path=at('mindir.mindir')), environment=env)]
    if checkout: engines.append(replace(engines[1], name='MindSpore before', checkout=checkout))
    names = dict(onnx='ONNX Runtime', int8='ONNX Runtime, int8', whole='ONNX Runtime, --whole')
    for form, name in names.items():
        if form in forms:
            asked = dict(path=at(f'{form}.onnx'), threads=threads)
            engines.append(Engine(name, 'bench_infer:make_runtime', asked, environment=env))
    if torch:
        for name, limit in (('PyTorch channels-last', {}), ('PyTorch channels-last, AVX2', AVX2)):
            asked = dict(path=at('network'), threads=threads)
            engines.append(Engine(name, 'torch_ssd:make_answer', asked, torch, environment={**env, **limit}))
    asked = dict(path=tflite, threads=threads)
    if tflite: engines.append(Engine('LiteRT', 'bench_infer:make_lite', asked, lite))
    return engines


def name_parts(found):
    "Rows without the name of the engine that does what surrounds the network"
    for name in AROUND: found[name] = found.pop(f'around, {name}')
    for name in AROUND: found[name].name = name
    return {**{name: found[name] for name in AROUND}, **found}


def print_sums(found):
    "From pixels to detections: the fastest of each stage together"
    around = sum(found[name].fastest for name in AROUND)
    print(f'before and after the network: {around * 1e3:.2f} ms; from pixels to detections:')
    for name, one in found.items():
        if name in AROUND or 'decode' in name: continue
        total = one.fastest + (0 if 'whole' in name else around)
        print(f'  {name:28} {total * 1e3:8.2f} ms')
