"""Times the data pipeline stage by stage, as ratios within one run: `python scripts/bench.py --dataset=voc --voc_root=MY_DATA`."""
import statistics
import time
from dataclasses import replace
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser

import cli
from ssd_nb.boxes import BoxEncoder, encode, match
from ssd_nb.data import (DataConfig, colour_jitter, create_dataset, decode_image, horizontal_flip, make_mindrecord, normalise,
                         random_crop, read_records, resize)
from ssd_nb.ssd_heads import MODELS


def milliseconds(function, times=30):
    "Median time of a call"
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return 1e3 * statistics.median(spent)


def loop_match(boxes, defaults, threshold=0.5):
    "Matching as published code does it: all default boxes once for each object"
    result, remembered = np.full(len(defaults), -1), np.zeros(len(defaults), np.float32)
    top_left, bottom_right = defaults[:, :2], defaults[:, 2:]
    areas = np.prod(bottom_right - top_left, axis=1)
    for i, box in enumerate(boxes):
        sides = np.maximum(np.minimum(bottom_right, box[2:]) - np.maximum(top_left, box[:2]), 0)
        shared = sides[:, 0] * sides[:, 1]
        overlap = shared / (areas + np.prod(box[2:] - box[:2]) - shared)
        overlap[overlap.argmax()] = 2
        takes = (overlap > threshold) & (overlap > remembered)
        result[takes], remembered[takes] = i, overlap[takes]
    return result


def stages(records, box_config):
    "What each step costs one thread, for the first images of the set"
    rng, spent, shape = np.random.default_rng(0), {}, box_config.image_shape
    encoder = BoxEncoder(box_config)
    for record in records[:20]:
        data = record.image.read_bytes()
        image = decode_image(data, str(record.image))
        boxes = record.boxes / np.float32([*image.shape[:2]] * 2)
        small = resize(image, shape)
        work = dict(decode=lambda: decode_image(data), crop=lambda: random_crop(image, boxes, record.labels, rng),
                    resize=lambda: resize(image, shape), flip=lambda: horizontal_flip(small, boxes, record.labels),
                    colours=lambda: colour_jitter(small, rng), normalise=lambda: normalise(small),
                    encode=lambda: encoder.encode(boxes, record.labels))
        for name, function in work.items(): spent.setdefault(name, []).append(milliseconds(function, 5))
    total = sum(map(statistics.mean, spent.values()))
    for name, times in spent.items(): print(f'{name:10} {statistics.mean(times):7.2f} ms an image, {statistics.mean(times) / total:4.0%}')
    print(f'{"together":10} {total:7.2f} ms an image: {1e3 / total:.0f} images a second and thread')


def encoding(box_config, name, objects=20):
    "Matching of all default boxes at once against the loop over objects, with equal results"
    rng, encoder = np.random.default_rng(0), BoxEncoder(box_config)
    corner, size = rng.uniform(0, 0.7, (objects, 2)), rng.uniform(0.05, 0.3, (objects, 2))
    boxes, labels = np.concatenate([corner, corner + size], 1).astype(np.float32), np.ones(objects, np.int32)

    def by_loop():
        matched = loop_match(boxes, encoder.tlbr)
        taken = np.flatnonzero(matched >= 0)
        encode(boxes[matched[taken]], encoder.yxhw[taken])
        return matched

    equal = np.array_equal(by_loop(), match(boxes, encoder.tlbr))
    loop, whole = milliseconds(by_loop), milliseconds(lambda: encoder.encode(boxes, labels))
    print(f'encoding {objects} objects, {name}, {len(encoder.yxhw)} boxes: loop {loop:.1f} ms, vectorised {whole:.1f} ms, '
          f'{loop / whole:.1f} times as fast, equal: {equal}')


def pipeline(config, box_config, batch_size, rounds=5):
    "Images a second out of the whole pipeline, with 1 and 2 workers in turn"
    speeds = {1: [], 2: []}
    for epoch in range(1, rounds + 1):
        for workers in speeds:
            batches = create_dataset(replace(config, num_parallel_workers=workers), box_config, 'train', batch_size, epoch=epoch)
            start = time.perf_counter()
            count = sum(len(batch[0]) for batch in batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False))
            speeds[workers].append(count / (time.perf_counter() - start))
    one, two = (statistics.median(speeds[workers][1:]) for workers in speeds) # the first round warms up
    print(f'pipeline, batch {batch_size}: {one:.0f} images/s with 1 worker, {two:.0f} with 2, ratio {two / one:.2f}')


def main():
    parser = ArgumentParser(prog='bench.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], default='ssd300', help='whose input size and default boxes are used')
    parser.add_argument('--batch_size', type=int, default=16, help='images in a batch')
    cli.add_options(parser, DataConfig())
    given = cli.parse(parser)
    config, box_config = cli.with_options(DataConfig(), given), MODELS[given.using_model].boxes
    make_mindrecord(config, 'train')
    stages(read_records(config, 'train')[0], box_config)
    for name in ('ssd300', 'ssd_resnet50_fpn'): encoding(MODELS[name].boxes, name)
    pipeline(config, box_config, given.batch_size)


if __name__ == '__main__':
    cli.run(main)
