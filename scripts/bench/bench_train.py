"""Times a training step of ssd300 on the CPU, beside the same network in PyTorch if that is there."""
import csv
import os
import statistics
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench_process import in_new_process, measure_peak_memory
from ssd_nb.loss import SSDLoss
from ssd_nb.train import TrainStep, make_optimizer, ms, preset
from ssd_nb.plumbing.device import choose_device
from ssd_nb.plumbing.model_config import build_model

CLASSES, BOXES = 81, 1917


def generated_batch(images):
    "Random images, targets and numbers of matched boxes: one box in a hundred has an object"
    rng = np.random.default_rng(0)
    label = (rng.random((images, BOXES)) < 0.01) * rng.integers(1, CLASSES, (images, BOXES))
    loc = rng.standard_normal((images, BOXES, 4)) * (label > 0)[..., None]
    image = rng.standard_normal((images, 3, 300, 300), np.float32)
    return image, np.float32(loc), np.int32(label), np.int32((label > 0).sum(1))


def new_network():
    "ssd300 with the weights that every engine begins with, and its configuration"
    choose_device('CPU')
    config = preset('ssd300', 'CPU')
    ms.set_seed(1)
    return build_model(replace(config.model, num_classes=CLASSES), config.boxes), config


def our_step(batch):
    "A function that takes a training step and returns the loss"
    network, config = new_network()
    step = TrainStep(network, SSDLoss(CLASSES, config.loss),
                     make_optimizer(network, np.full(1000, 0.01, np.float32))).set_train()
    tensors = [ms.Tensor(a) for a in batch]
    return lambda: float(step(*tensors)[0])


def torch_step(batch, channels_last):
    "The same in PyTorch, with the images in NCHW or with their channels last"
    import torch
    from torch_ssd import SSD300, ssd_loss
    order = dict(memory_format=torch.channels_last) if channels_last else {}
    network = SSD300(new_network()[0]).train().to(**order)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1.5e-4)
    image, *targets = [torch.tensor(a) for a in batch]
    image = image.contiguous(**order)
    def step():
        optimizer.zero_grad()
        loss = ssd_loss(*network(image), *targets)
        loss.backward()
        optimizer.step()
        return float(loss.detach())
    return step


ENGINES = {'mindspore': our_step, 'pytorch': lambda batch: torch_step(batch, False),
           'channels-last': lambda batch: torch_step(batch, True)}


def timed_steps(engine, images, steps):
    "The first two steps warm up: losses and seconds of all, peak memory in MB"
    step, losses, seconds = ENGINES[engine](generated_batch(images)), [], []
    for _ in range(steps + 2):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)
    return dict(losses=losses, seconds=seconds, peak=measure_peak_memory())


def time_engines(images, steps, rounds):
    "Steps of each engine in processes of their own, engine after engine"
    there = find_spec('torch') is not None
    if not there: print('PyTorch is not installed, so there is nothing to compare with (pip install torch)')
    found = {engine: [] for engine in (ENGINES if there else ['mindspore'])}
    for _ in range(rounds):
        for engine in found: found[engine].append(in_new_process(timed_steps, engine, images, steps))
    return found


def print_engines(found):
    "The same as text"
    median = {engine: statistics.median(s for run in runs for s in run['seconds'][2:]) for engine,
              runs in found.items()}
    for engine, runs in found.items():
        print(f'{engine:14} {median[engine]:6.2f} s a step, {median[engine] / median["mindspore"]:.2f} of '
              f'ours; first step {runs[0]["seconds"][0]:.1f} s, '
              f'peak {max(run["peak"] for run in runs):.0f} MB, losses '
              f'{", ".join(f"{loss:.3f}" for loss in runs[0]["losses"][:4])} ...')


def profile_step(images, folder):
    "Writes what MindSpore's profiler saw of a warm step into a folder"
    os.chdir(folder)
    from mindspore.profiler import ProfilerActivity
    step = our_step(generated_batch(images))
    step(), step()
    profiler = ms.profiler.profile(activities=[ProfilerActivity.CPU],
                                   on_trace_ready=ms.profiler.tensorboard_trace_handler(folder))
    profiler.start(), step(), profiler.stop()


def operator_times(images):
    "Milliseconds and calls of each kind of operator in one training step"
    with tempfile.TemporaryDirectory() as folder:
        in_new_process(profile_step, images, folder)
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
