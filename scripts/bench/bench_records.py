"""Measures a conversion to MindRecord and its verdict, for generated sets: time and memory."""
import json
import os
from itertools import count
from pathlib import Path

from bench_process import in_new_process
from bench_rounds import Engine
from ssd_nb.boxes import BOX_CONFIGS
from ssd_nb.data import DataConfig, describe_set
from ssd_nb.plumbing.records import make_mindrecord
from ssd_nb.plumbing.samples import write_samples
from ssd_nb.plumbing.verdict import describe_splits


def enlarge(drawn, folder, count):
    "A COCO set of so many images out of a small one: hard links to its images, JSON written piece by piece"
    truth = json.loads((drawn / 'annotations/instances_train.json').read_text())
    of = {image['id']: [] for image in truth['images']}
    for note in truth['annotations']: of[note['image_id']].append(note)
    ids = list(of) # each image also gets the objects of the next, since COCO's have seven on average
    of = {i: of[i] + of[next_one] for i, next_one in zip(ids, ids[1:] + ids[:1])}
    images = [truth['images'][i % len(truth['images'])] for i in range(1, count + 1)]
    for name in ('annotations', 'train'): (folder / name).mkdir(parents=True)
    with open(folder / 'annotations/instances_train.json', 'w') as file:
        file.write('{"categories": ' + json.dumps(truth['categories']) + ', "images": [')
        for i, image in enumerate(images, start=1):
            os.link(drawn / 'train' / image['file_name'], folder / f'train/{i}.jpg')
            file.write((', ' if i > 1 else '') + json.dumps({**image, 'id': i, 'file_name': f'{i}.jpg'}))
        file.write('], "annotations": [')
        owners = ((i, of[image['id']]) for i, image in enumerate(images, start=1))
        notes = ({**note, 'image_id': i} for i, found in owners for note in found)
        for number, note in enumerate(notes): file.write((', ' if number else '') + json.dumps(note))
        file.write(']}')


def write_sets(folder, sizes):
    "A set of each size, `folder/SIZE`, out of the same drawn images"
    drawn = Path(folder) / 'drawn'
    write_samples(drawn, 48, 1)
    for images in sizes: enlarge(drawn, Path(folder) / str(images), images)


def make_conversion(folder):
    "Converts a set, each run to another place"
    import mindspore.mindrecord # noqa: F401, so that it counts as there before
    numbers = count()
    def run():
        record = str(Path(folder) / f'record{next(numbers)}')
        make_mindrecord(DataConfig('coco', coco_root=folder, mindrecord_dir=record), 'train')
    return run


def make_verdict(folder):
    "Reports on a converted set, with default boxes of ssd_mobilenet_v1_fpn; a run returns how many objects"
    boxes, record = BOX_CONFIGS['ssd_mobilenet_v1_fpn'], Path(folder) / 'record0'
    config = DataConfig('coco', coco_root=folder, mindrecord_dir=str(record))
    def run():
        objects = len(describe_set(record / 'train/ground_truth.json', boxes).boxes)
        describe_splits(config, boxes, ['train'])
        return objects
    return run


def list_engines(folder, sizes, verdict=False):
    "Conversions of sets of all sizes, or verdicts on what they have written"
    what = 'verdict' if verdict else 'conversion'
    if not verdict: in_new_process(write_sets, folder, sizes)
    return [Engine(f'{what}, {images} images', f'bench_records:make_{what}',
                   dict(folder=str(Path(folder) / str(images)))) for images in sizes]


def print_growth(found, sizes):
    for one, images in zip(found.values(), sizes):
        before, peak = one.memory
        each, speed = (peak - before) * 1024 / images, images / one.fastest
        print(f'{one.name}: {before:.0f} MB before, {peak:.0f} MB at the peak, {each:.1f} KB an image, '
              f'{speed:.0f} images/s')
