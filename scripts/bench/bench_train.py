"""Times a training step, beside an earlier checkout and the same network and loss in PyTorch."""
import csv
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from bench_networks import CLASSES, count_boxes, make_batch, new_network, write_network
from bench_process import in_new_process
from bench_rounds import Engine

AVX2 = dict(ATEN_CPU_CAPABILITY='avx2', ONEDNN_MAX_CPU_ISA='AVX2')


def compile_for(processor): # as g++ names it; what it computes besides the convolutions of oneDNN
    from ssd_nb.plumbing import depthwise
    depthwise._FLAGS[depthwise._FLAGS.index('-march=native')] = f'-march={processor}'


def make_ours(model, images, classes=CLASSES, image_shape=None, processor=None):
    "A function that takes a training step and returns the loss"
    import numpy as np
    network, config = new_network(model, classes, image_shape) # MindSpore must not be imported before it
    if processor: compile_for(processor)
    from ssd_nb.loss import SSDLoss
    from ssd_nb.train import TrainStep, make_optimizer, ms
    step = TrainStep(network, SSDLoss(classes, config.loss),
                     make_optimizer(network, np.full(100_000, 0.01, np.float32))).set_train()
    batch = make_batch(images, config.boxes.image_shape, count_boxes(config), classes)
    tensors = [ms.Tensor(array) for array in batch]
    return lambda: float(step(*tensors)[0])


def list_engines(model, images, threads, torch, checkout, folder):
    "Ours in two ways, the one of another checkout, PyTorch in three; torch: a Python that has it, or None"
    threaded = dict(OMP_NUM_THREADS=str(threads))
    asked = dict(model=model, images=images)
    limited = dict(asked, processor='x86-64-v3') # AVX2, no AVX-512
    engines = [Engine('ours', 'bench_train:make_ours', asked, environment=threaded),
               Engine('ours, AVX2', 'bench_train:make_ours', limited, environment={**threaded, **AVX2})]
    if checkout: engines.append(Engine('ours before', 'bench_train:make_ours', asked, checkout=checkout,
                                       environment=threaded))
    if not torch: return engines
    path = str(Path(folder) / 'network')
    in_new_process(write_network, path, model, images)
    for name, last, limit in (('PyTorch', False, {}), ('PyTorch channels-last', True, {}),
                              ('PyTorch channels-last, AVX2', True, AVX2)):
        asked = dict(path=path, threads=threads, channels_last=last)
        engines.append(Engine(name, 'torch_ssd:make_step', asked, torch, environment={**threaded, **limit}))
    return engines


def find_torch(given):
    "A Python that has PyTorch: the one that was given, or this one"
    import sys
    return given or (sys.executable if find_spec('torch') else None)


def profile_step(model, images, folder):
    "Writes what MindSpore's profiler saw of a warm step into a folder"
    os.chdir(folder)
    step = make_ours(model, images)
    from mindspore.profiler import ProfilerActivity
    from ssd_nb.train import ms
    step(), step()
    profiler = ms.profiler.profile(activities=[ProfilerActivity.CPU],
                                   on_trace_ready=ms.profiler.tensorboard_trace_handler(folder))
    profiler.start(), step(), profiler.stop()


def operator_times(model, images):
    "Milliseconds and calls of each kind of operator in one training step"
    with tempfile.TemporaryDirectory() as folder:
        in_new_process(profile_step, model, images, folder)
        with open(next(Path(folder).rglob('cpu_op_detail_info_*.csv'))) as file:
            rows = [(row['op_type'], float(row['op_total_time(ms)'])) for row in csv.DictReader(file)]
    return {kind: (sum(ms for k, ms in rows if k == kind), sum(k == kind for k, _ in rows))
            for kind in {k for k, _ in rows}}


def print_operators(times):
    "The same as text, the longest first"
    total = sum(ms for ms, _ in times.values())
    for kind, (ms, calls) in sorted(times.items(), key=lambda item: -item[1][0])[:12]:
        print(f'{kind:24}{calls:5} calls {ms:8.0f} ms {ms / total:5.0%}')
    print(f'{"all":24}{sum(calls for _, calls in times.values()):5} calls {total:8.0f} ms')
