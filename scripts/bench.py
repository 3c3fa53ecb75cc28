"""Times parts of ssd_nb, as ratios within one run: `bench.py data` the input pipeline, `bench.py train` a training step, `bench.py records` the memory of a conversion."""
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal, Optional

import numpy as np
from jsonargparse import ArgumentParser

import cli
from ssd_nb.boxes import BoxEncoder, encode
from ssd_nb.data import (DataConfig, colour_jitter, create_dataset, decode_image, horizontal_flip, make_mindrecord, normalise, random_crop,
                         read_records, resize, sample_folder, write_samples)
from ssd_nb.ssd_heads import MODELS


def milliseconds(function, times=30):
    "Median time of a call"
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return 1e3 * statistics.median(spent)


def stages(records, box_config):
    "Milliseconds that each step costs one process, mean over the first images of the set"
    rng, spent, shape, encoder = np.random.default_rng(0), {}, box_config.image_shape, BoxEncoder(box_config)
    for record in records[:20]:
        data = record.image.read_bytes()
        image = decode_image(data, str(record.image))
        boxes = record.boxes / np.float32([*image.shape[:2]] * 2)
        small, out = resize(image, shape), np.empty((3, *shape), np.float32)
        work = dict(decode=lambda: decode_image(data), crop=lambda: random_crop(image, boxes, record.labels, rng),
                    resize=lambda: resize(image, shape), flip=lambda: horizontal_flip(small, boxes, record.labels),
                    colours=lambda: colour_jitter(small, rng), normalise=lambda: normalise(small, out),
                    encode=lambda: encoder.encode(boxes, record.labels))
        for name, function in work.items(): spent.setdefault(name, []).append(milliseconds(function, 5))
    return {name: statistics.mean(times) for name, times in spent.items()}


def loop_encode(boxes, labels, encoder):
    "Targets as published code makes them: over all default boxes once for each object"
    matched, remembered = np.full(len(encoder.tlbr), -1), np.zeros(len(encoder.tlbr), np.float32)
    for i, box in enumerate(boxes):
        top_left, bottom_right = np.maximum(encoder.tlbr[:, :2], box[:2]), np.minimum(encoder.tlbr[:, 2:], box[2:])
        height, width = np.maximum(bottom_right - top_left, 0).T
        own = (encoder.tlbr[:, 2] - encoder.tlbr[:, 0]) * (encoder.tlbr[:, 3] - encoder.tlbr[:, 1])
        overlap = height * width / (own + (box[2] - box[0]) * (box[3] - box[1]) - height * width)
        overlap[overlap.argmax()] = 2
        takes = (overlap > 0.5) & (overlap > remembered)
        matched[takes], remembered[takes] = i, overlap[takes]
    loc, label, taken = np.zeros_like(encoder.yxhw), np.zeros(len(matched), np.int32), np.flatnonzero(matched >= 0)
    loc[taken] = encode(boxes[matched[taken]], encoder.yxhw[taken])
    label[taken] = labels[matched[taken]]
    return loc, label


def encoding(name, objects=20):
    "Milliseconds of the loop and of all boxes at once, and whether both give the same"
    rng, encoder = np.random.default_rng(0), BoxEncoder(MODELS[name].boxes)
    corner, size = rng.uniform(0, 0.7, (objects, 2)), rng.uniform(0.05, 0.3, (objects, 2))
    boxes, labels = np.concatenate([corner, corner + size], 1).astype(np.float32), np.arange(1, objects + 1)
    pairs = [(milliseconds(lambda: loop_encode(boxes, labels, encoder), 5), milliseconds(lambda: encoder.encode(boxes, labels), 5)) for _ in range(5)]
    loop, whole = np.median(pairs, axis=0)
    equal = all(np.array_equal(a, b) for a, b in zip(loop_encode(boxes, labels, encoder), encoder.encode(boxes, labels)))
    return dict(boxes=len(encoder.yxhw), loop=loop, vectorised=whole, ratio=float(np.median([a / b for a, b in pairs])), equal=equal)


def pipeline(config, box_config, batch_size, rounds, workers=(0, 1, 2)):
    "Images a second out of whole epochs, by number of workers, median of so many rounds in turn"
    speeds = {n: [] for n in workers}
    for epoch in range(rounds + 1):
        for n in workers:
            batches = create_dataset(replace(config, num_parallel_workers=n), box_config, 'train', batch_size, epoch=epoch)
            start = time.perf_counter()
            count = sum(len(batch[0]) for batch in batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False))
            speeds[n].append(count / (time.perf_counter() - start))
    return {n: statistics.median(times[1:]) for n, times in speeds.items()} # the first round warms up


def bench_data(config, model, batch_size, rounds):
    "Everything about the input pipeline, as a dict"
    make_mindrecord(config, 'train', progress=True)
    box_config = MODELS[model].boxes
    return dict(model=model, batch_size=batch_size, stages=stages(read_records(config, 'train')[0], box_config),
                encode={name: encoding(name) for name in ('ssd300', 'ssd_resnet50_fpn')},
                images_per_second=pipeline(config, box_config, batch_size, rounds))


def print_data(found):
    "The same as text"
    total = sum(found['stages'].values())
    for name, ms in found['stages'].items(): print(f'{name:10} {ms:7.2f} ms an image, {ms / total:4.0%}')
    print(f'{"together":10} {total:7.2f} ms an image: {1e3 / total:.0f} images a second and core')
    for name, e in found['encode'].items():
        print(f'encoding 20 objects, {name}, {e["boxes"]} boxes: loop {e["loop"]:.1f} ms, vectorised {e["vectorised"]:.1f} ms, '
              f'{e["ratio"]:.1f} times as fast, equal: {e["equal"]}')
    none, one, two = found['images_per_second'].values()
    print(f'pipeline, {found["model"]}, batch {found["batch_size"]}: {none:.0f} images/s without workers, {one:.0f} with 1, {two:.0f} with 2; '
          f'2 workers against 1: {two / one:.2f}')


def peak_memory(images):
    "Converts a generated set of so many images in a process of its own; megabytes before and at the peak, and seconds"
    code = '''import json, os, resource, sys, time
from pathlib import Path
import mindspore.mindrecord
from ssd_nb.data import DataConfig, make_mindrecord
folder, count = Path(sys.argv[1]), int(sys.argv[2])
truth = json.loads((folder / 'drawn/annotations/instances_train.json').read_text())
of = {image['id']: [a for a in truth['annotations'] if a['image_id'] == image['id']] for image in truth['images']}
for name in ('annotations', 'train'): (folder / f'{count}/{name}').mkdir(parents=True)
with open(folder / f'{count}/annotations/instances_train.json', 'w') as file:
    for part in ('images', 'annotations'):
        file.write(('{' if part == 'images' else '], ') + f'"{part}": [')
        for i in range(1, count + 1):
            image = truth['images'][i % len(truth['images'])]
            if part == 'images': os.symlink(folder / 'drawn/train' / image['file_name'], folder / f'{count}/train/{i}.jpg')
            entries = [{**image, 'id': i, 'file_name': f'{i}.jpg'}] if part == 'images' else [{**a, 'image_id': i} for a in of[image['id']]]
            if entries: file.write((', ' if i > 1 else '') + json.dumps(entries)[1:-1])
    file.write('], "categories": ' + json.dumps(truth['categories']) + '}')
before, start = int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 2 ** 20, time.time()
make_mindrecord(DataConfig('coco', coco_root=str(folder / str(count)), mindrecord_dir=str(folder / f'{count}/record')), 'train')
print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.time() - start]))'''
    with tempfile.TemporaryDirectory() as folder:
        write_samples(Path(folder) / 'drawn', train=48, evaluation=1)
        done = subprocess.run([sys.executable, '-c', code, folder, str(images)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


TRAIN_STEP = '''import json, os, resource, sys, time
engine, batch_size, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
import numpy as np
from ssd_nb.train import TrainStep, build_model, choose_device, momentum, preset, ms
from ssd_nb.loss import SSDLoss
from dataclasses import replace
choose_device('CPU')
config, rng = preset('ssd300', 'CPU'), np.random.default_rng(0)
model = replace(config.model, num_classes=81)
ms.set_seed(1)
network = build_model(model, config.boxes)
label = (rng.random((batch_size, 1917)) < 0.01) * rng.integers(1, 81, (batch_size, 1917))
batch = (rng.standard_normal((batch_size, 3, 300, 300), np.float32), np.float32(rng.standard_normal((batch_size, 1917, 4)) * (label > 0)[..., None]),
         np.int32(label), np.int32((label > 0).sum(1)))
if engine in ('mindspore', 'operators'):
    one_step = TrainStep(network, SSDLoss(81, config.loss), momentum(network, np.full(1000, 0.01, np.float32), config.train)).set_train()
    batch = [ms.Tensor(a) for a in batch]
    step = lambda: float(one_step(*batch)[0])
else:
    import torch
    from torch_ssd import SSD300, ssd_loss
    translated = SSD300(network).train()
    channels_last = dict(memory_format=torch.channels_last) if engine == 'channels-last' else {}
    if channels_last: translated = translated.to(**channels_last)
    optimizer = torch.optim.SGD(translated.parameters(), 0.01, momentum=0.9, weight_decay=1.5e-4)
    image, *targets = [torch.tensor(a) for a in batch]
    if channels_last: image = image.contiguous(**channels_last)
    def step():
        optimizer.zero_grad()
        loss = ssd_loss(*translated(image), *targets)
        loss.backward()
        optimizer.step()
        return float(loss.detach())
if engine == 'operators':
    from mindspore.profiler import ProfilerActivity
    step(), step()
    profiler = ms.profiler.profile(activities=[ProfilerActivity.CPU], on_trace_ready=ms.profiler.tensorboard_trace_handler(os.getcwd()))
    profiler.start(), step(), profiler.stop()
    sys.exit()
losses, seconds = [], []
for _ in range(steps + 2):
    start = time.perf_counter()
    losses.append(step())
    seconds.append(time.perf_counter() - start)
print(json.dumps(dict(losses=losses, seconds=seconds[2:], first=seconds[0], peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))'''


def train_steps(batch_size, steps, rounds):
    "Training steps of ssd300 in processes of their own, engine after engine: losses, seconds, peak memory in MB"
    engines = ['mindspore']
    try: import torch
    except ImportError: print('PyTorch is not installed, so there is nothing to compare with (pip install torch)')
    else: engines += ['pytorch', 'channels-last']
    found = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            done = subprocess.run([sys.executable, '-c', TRAIN_STEP, engine, str(batch_size), str(steps)], capture_output=True, text=True,
                                  cwd=Path(__file__).parent, check=True)
            found[engine].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def operator_times(batch_size):
    "Milliseconds and calls of each kind of operator in one training step, from MindSpore's profiler"
    with tempfile.TemporaryDirectory() as folder:
        code = f'import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n{TRAIN_STEP}'
        subprocess.run([sys.executable, '-c', code, 'operators', str(batch_size), '1'], capture_output=True, text=True, cwd=folder, check=True)
        with open(next(Path(folder).rglob('cpu_op_detail_info_*.csv'))) as file:
            rows = [(row['op_type'], float(row['op_total_time(ms)'])) for row in csv.DictReader(file)]
    return {kind: (sum(ms for k, ms in rows if k == kind), sum(k == kind for k, _ in rows)) for kind in {k for k, _ in rows}}


def print_operators(times):
    "The same as text, the longest first"
    total = sum(ms for ms, _ in times.values())
    for kind, (ms, calls) in sorted(times.items(), key=lambda item: -item[1][0])[:12]:
        print(f'{kind:24}{calls:5} calls {ms:8.0f} ms {ms / total:5.0%}')
    print(f'{"all":24}{sum(calls for _, calls in times.values()):5} calls {total:8.0f} ms')


def print_train(found):
    "The same as text"
    median = {engine: statistics.median(s for run in runs for s in run['seconds']) for engine, runs in found.items()}
    for engine, runs in found.items():
        print(f'{engine:14} {median[engine]:6.2f} s a step, {median[engine] / median["mindspore"]:.2f} of ours; first step {runs[0]["first"]:.1f} s, '
              f'peak {max(run["peak"] for run in runs):.0f} MB, losses {", ".join(f"{loss:.3f}" for loss in runs[0]["losses"][:4])} ...')


def main():
    parser = ArgumentParser(prog='bench.py', description=__doc__, exit_on_error=False)
    data = ArgumentParser(description='Times the input pipeline stage by stage, with and without workers, the loop against the vectorised encoder.',
                          exit_on_error=False)
    data.add_argument('--using_model', type=Literal[tuple(MODELS)], default='ssd300', help='whose input size and default boxes are used')
    data.add_argument('--batch_size', type=int, default=16, help='images in a batch')
    data.add_argument('--rounds', type=int, default=7, help='epochs that are timed')
    data.add_argument('--json', type=Optional[str], default=None, help='file to write the figures to')
    cli.add_options(data, replace(DataConfig(), coco_root='data_samples'))
    records = ArgumentParser(description='Peak memory of a conversion to MindRecord, for sets of different sizes.', exit_on_error=False)
    records.add_argument('--images', type=tuple[int, ...], default=(1000, 20000), help='how many images the generated sets have')
    train = ArgumentParser(description='A training step of ssd300 on the CPU, beside the same network and loss in PyTorch where that is installed.',
                           exit_on_error=False)
    train.add_argument('--batch_size', type=int, default=16, help='images in a step')
    train.add_argument('--steps', type=int, default=5, help='steps that are timed in each process')
    train.add_argument('--rounds', type=int, default=2, help='processes for each engine, in turn')
    train.add_argument('--operators', type=bool, nargs='?', const=True, default=False, help='say instead what one step spends its time on, by MindSpore\'s profiler')
    commands = parser.add_subcommands(required=True)
    commands.add_subcommand('train', train, help='a training step')
    commands.add_subcommand('data', data, help='the input pipeline')
    commands.add_subcommand('records', records, help='the memory that a conversion takes')
    given = cli.parse(parser)
    options = given[given.subcommand]
    if given.subcommand == 'data':
        config = cli.with_options(DataConfig(), options)
        with tempfile.TemporaryDirectory() as folder:
            if config.coco_root == 'data_samples': config = replace(config, coco_root=str(sample_folder()))
            if not config.mindrecord_dir: config = replace(config, mindrecord_dir=folder)
            found = bench_data(config, options.using_model, options.batch_size, options.rounds)
        print_data(found)
        if options.json: Path(options.json).write_text(json.dumps(found))
    elif given.subcommand == 'train' and options.operators: print_operators(operator_times(options.batch_size))
    elif given.subcommand == 'train': print_train(train_steps(options.batch_size, options.steps, options.rounds))
    else:
        for count in options.images:
            before, peak, seconds = peak_memory(count)
            print(f'{count:7,} images: {before:.0f} MB before, {peak:.0f} MB at the peak, {(peak - before) * 1024 / count:.1f} KB an image, '
                  f'{count / seconds:.0f} images/s')


if __name__ == '__main__':
    cli.run(main)
