"""Times the input pipeline: each stage, the encoder as a loop and all at once, the whole with workers."""
import statistics
import time
from dataclasses import replace

import numpy as np

from ssd_nb.boxes import BoxEncoder, encode
from ssd_nb.data import (
    choose_window, create_dataset, crop, flip_horizontally, jitter_colours, normalise, resize)
from ssd_nb.ssd_heads import MODELS
from ssd_nb.plumbing.formats import read_annotations
from ssd_nb.plumbing.images import decode_image
from ssd_nb.plumbing.records import make_mindrecord


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
        small, out, labels = resize(image, shape), np.empty((3, *shape), np.float32), record.labels
        aspect = image.shape[0] / image.shape[1]
        work = dict(decode=lambda: decode_image(data),
                    crop=lambda: crop(image, boxes, labels, choose_window(boxes, aspect, rng)),
                    resize=lambda: resize(image, shape), flip=lambda: flip_horizontally(small, boxes, labels),
                    colours=lambda: jitter_colours(small, rng), normalise=lambda: normalise(small, out),
                    encode=lambda: encoder.encode(boxes, labels))
        for name, function in work.items(): spent.setdefault(name, []).append(milliseconds(function, 5))
    return {name: statistics.mean(times) for name, times in spent.items()}


def loop_encode(boxes, labels, encoder):
    "Targets as published code makes them: over all default boxes once for each object"
    matched, remembered = np.full(len(encoder.tlbr), -1), np.zeros(len(encoder.tlbr), np.float32)
    for i, box in enumerate(boxes):
        top_left = np.maximum(encoder.tlbr[:, :2], box[:2])
        bottom_right = np.minimum(encoder.tlbr[:, 2:], box[2:])
        height, width = np.maximum(bottom_right - top_left, 0).T
        own = (encoder.tlbr[:, 2] - encoder.tlbr[:, 0]) * (encoder.tlbr[:, 3] - encoder.tlbr[:, 1])
        overlap = height * width / (own + (box[2] - box[0]) * (box[3] - box[1]) - height * width)
        overlap[overlap.argmax()] = 2
        takes = (overlap > 0.5) & (overlap > remembered)
        matched[takes], remembered[takes] = i, overlap[takes]
    loc, label = np.zeros_like(encoder.yxhw), np.zeros(len(matched), np.int32)
    taken = np.flatnonzero(matched >= 0)
    loc[taken] = encode(boxes[matched[taken]], encoder.yxhw[taken])
    label[taken] = labels[matched[taken]]
    return loc, label


def encoding(name, objects=20):
    "Milliseconds of the loop and of all boxes at once, and whether both give the same"
    rng, encoder = np.random.default_rng(0), BoxEncoder(MODELS[name].boxes)
    corner, size = rng.uniform(0, 0.7, (objects, 2)), rng.uniform(0.05, 0.3, (objects, 2))
    boxes, labels = np.concatenate([corner, corner + size], 1).astype(np.float32), np.arange(1, objects + 1)
    def run_loop(): return loop_encode(boxes, labels, encoder)
    def run_whole(): return encoder.encode(boxes, labels)
    pairs = [(milliseconds(run_loop, 5), milliseconds(run_whole, 5)) for _ in range(5)]
    loop, whole = np.median(pairs, axis=0)
    equal = all(np.array_equal(a, b) for a, b in zip(run_loop(), run_whole()))
    return dict(boxes=len(encoder.yxhw), loop=loop, vectorised=whole, equal=equal,
                ratio=float(np.median([a / b for a, b in pairs])))


def pipeline(config, box_config, batch_size, rounds, workers=(0, 1, 2)):
    "Images a second out of whole epochs, by number of workers, median of so many rounds in turn"
    speeds = {n: [] for n in workers}
    for epoch in range(rounds + 1):
        for n in workers:
            with_workers = replace(config, num_parallel_workers=n)
            batches = create_dataset(with_workers, box_config, 'train', batch_size, epoch=epoch)
            start = time.perf_counter()
            arrays = batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)
            count = sum(len(batch[0]) for batch in arrays)
            speeds[n].append(count / (time.perf_counter() - start))
    return {n: statistics.median(times[1:]) for n, times in speeds.items()} # the first round warms up


def bench(config, model, batch_size, rounds):
    "Everything about the input pipeline, as a dict"
    make_mindrecord(config, 'train', progress=True)
    box_config = MODELS[model].boxes
    records = read_annotations(config, 'train')[0]
    return dict(model=model, batch_size=batch_size, stages=stages(records, box_config),
                encode={name: encoding(name) for name in ('ssd300', 'ssd_resnet50_fpn')},
                images_per_second=pipeline(config, box_config, batch_size, rounds))


def print_found(found):
    "The same as text"
    total = sum(found['stages'].values())
    for name, ms in found['stages'].items(): print(f'{name:10} {ms:7.2f} ms an image, {ms / total:4.0%}')
    print(f'{"together":10} {total:7.2f} ms an image: {1e3 / total:.0f} images a second and core')
    for name, e in found['encode'].items():
        print(f'encoding 20 objects, {name}, {e["boxes"]} boxes: '
              f'loop {e["loop"]:.1f} ms, vectorised {e["vectorised"]:.1f} ms, '
              f'{e["ratio"]:.1f} times as fast, equal: {e["equal"]}')
    none, one, two = found['images_per_second'].values()
    print(f'pipeline, {found["model"]}, batch {found["batch_size"]}: {none:.0f} images/s without workers, '
          f'{one:.0f} with 1, {two:.0f} with 2; 2 workers against 1: {two / one:.2f}')
