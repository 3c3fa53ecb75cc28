"""Times the input pipeline: each stage, the encoder as a loop and all at once, the whole with workers."""
import json
from dataclasses import asdict, replace
from itertools import count

import numpy as np

from bench_networks import SEED
from bench_process import in_new_process
from bench_rounds import Engine, run_in_turn, say_quiet, tell_as_dict
from ssd_nb.boxes import BoxEncoder, encode
from ssd_nb.data import (
    DataConfig, choose_window, create_dataset, crop, flip_horizontally, jitter_colours, normalise, resize)
from ssd_nb.ssd_heads import MODELS
from ssd_nb.plumbing.fingerprint import believe_source
from ssd_nb.plumbing.formats import read_annotations
from ssd_nb.plumbing.images import decode_image
from ssd_nb.plumbing.loader import keep_memory
from ssd_nb.plumbing.records import make_mindrecord

ENCODED = 'ssd300', 'ssd_resnet50_fpn'
IMAGES, REPEATS = 20, 20 # whose stages are timed together; encodings in a run


def read_config(config): # JSON has lists where options are tuples
    fields = json.loads(config)
    return DataConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})


def convert(config): make_mindrecord(read_config(config), 'train', progress=True)


def make_stages(config, model):
    "Each step of the pipeline, over the first images of the set"
    keep_memory() # as a worker
    box_config = MODELS[model].boxes
    shape, encoder, rng = box_config.image_shape, BoxEncoder(box_config), np.random.default_rng(SEED)
    rows = []
    for record in read_annotations(read_config(config), 'train')[0][:IMAGES]:
        data = record.image.read_bytes()
        image = decode_image(data, str(record.image))
        boxes = record.boxes / np.float32([*image.shape[:2]] * 2)
        rows.append((data, image, resize(image, shape), boxes, record.labels))
    out = np.empty((3, *shape), np.float32)
    def over_all(function): return lambda: [function(*row) for row in rows] is None
    def crop_row(data, image, small, boxes, labels):
        return crop(image, boxes, labels, choose_window(boxes, image.shape[0] / image.shape[1], rng))
    return {'decode': over_all(lambda data, *_: decode_image(data)), 'crop': over_all(crop_row),
            'resize': over_all(lambda data, image, *_: resize(image, shape)),
            'flip': over_all(lambda data, image, small, *objects: flip_horizontally(small, *objects)),
            'colours': over_all(lambda data, image, small, *_: jitter_colours(small, rng)),
            'normalise': over_all(lambda data, image, small, *_: normalise(small, out)),
            'encode': over_all(lambda data, image, small, *objects: encoder.encode(*objects))}


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


def make_encoding(models, objects=20):
    "Targets of generated objects, by a loop and of all at once; each run returns whether both are equal"
    return {f'{model} {way}': run for model in models for way, run in _encode_both(model, objects).items()}


def _encode_both(model, objects):
    rng, encoder = np.random.default_rng(SEED), BoxEncoder(MODELS[model].boxes)
    corner, size = rng.uniform(0, 0.7, (objects, 2)), rng.uniform(0.05, 0.3, (objects, 2))
    boxes, labels = np.concatenate([corner, corner + size], 1).astype(np.float32), np.arange(1, objects + 1)
    both = dict(loop=lambda: loop_encode(boxes, labels, encoder),
                vectorised=lambda: encoder.encode(boxes, labels))
    equal = all(np.array_equal(a, b) for a, b in zip(*(run() for run in both.values())))
    def repeat(run): return lambda: bool([run() for _ in range(REPEATS)] and equal)
    return {way: repeat(run) for way, run in both.items()}


def make_pipeline(config, model, batch_size, workers):
    "An epoch of batches; each run returns the number of images"
    import mindspore # noqa: F401, so that the first epoch does not import it
    config, epochs = replace(read_config(config), num_parallel_workers=workers), count()
    def run():
        with believe_source(): # as in a training, which has compared the MindRecord with its source before
            batches = create_dataset(config, MODELS[model].boxes, 'train', batch_size, epoch=next(epochs))
        arrays = batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False)
        return sum(len(batch[0]) for batch in arrays)
    return run


def list_engines(config, model, batch_size, workers=(0, 1, 2)):
    asked, engines = dict(config=json.dumps(asdict(config)), model=model), []
    engines.append(Engine('stage', 'bench_data:make_stages', asked))
    engines.append(Engine('encoding', 'bench_data:make_encoding', dict(models=ENCODED)))
    return engines + [Engine(f'{n} workers', 'bench_data:make_pipeline',
                             {**asked, 'batch_size': batch_size, 'workers': n}) for n in workers]


def bench(config, model, batch_size, rounds):
    "Everything about the input pipeline, as a dict"
    in_new_process(convert, json.dumps(asdict(config)))
    found, others = run_in_turn(list_engines(config, model, batch_size), rounds)
    stages = {name.partition(', ')[2]: 1e3 * one.fastest / IMAGES for name, one in found.items()
              if name.startswith('stage, ')}
    encoding, speed = {}, {}
    for name in ENCODED:
        loop, whole = (found[f'encoding, {name} {way}'] for way in ('loop', 'vectorised'))
        encoding[name] = dict(boxes=len(BoxEncoder(MODELS[name].boxes).yxhw),
                              loop=1e3 * loop.fastest / REPEATS, vectorised=1e3 * whole.fastest / REPEATS,
                              equal=all(whole.answers + loop.answers), ratio=loop.fastest / whole.fastest)
    for name, one in found.items():
        if name.endswith(' workers'): speed[int(name.split()[0])] = one.answers[0] / one.fastest
    return dict(tell_as_dict(found, others, seed=SEED), model=model, batch_size=batch_size, stages=stages,
                encode=encoding, images_per_second=speed, said=say_quiet(found, others))


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
