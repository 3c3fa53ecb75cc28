"""Measures the memory of a conversion to MindRecord and of its verdict, for generated sets."""
import json
import os
import tempfile
import time
from pathlib import Path

from bench_process import in_new_process, memory, measure_peak_memory
from ssd_nb.boxes import BOX_CONFIGS
from ssd_nb.data import DataConfig, describe_set
from ssd_nb.plumbing.records import make_mindrecord
from ssd_nb.plumbing.samples import write_samples
from ssd_nb.plumbing.verdict import describe_splits


def enlarge(drawn, folder, count):
    "A COCO set of so many images out of a small one: links to its images, the JSON written piece by piece"
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
            os.symlink(drawn / 'train' / image['file_name'], folder / f'train/{i}.jpg')
            file.write((', ' if i > 1 else '') + json.dumps({**image, 'id': i, 'file_name': f'{i}.jpg'}))
        file.write('], "annotations": [')
        owners = ((i, of[image['id']]) for i, image in enumerate(images, start=1))
        notes = ({**note, 'image_id': i} for i, found in owners for note in found)
        for number, note in enumerate(notes): file.write((', ' if number else '') + json.dumps(note))
        file.write(']}')


def convert(folder):
    "Converts a set: megabytes before and at the peak, and seconds"
    import mindspore.mindrecord # so that it counts as there before
    before, start = memory(), time.time()
    make_mindrecord(DataConfig('coco', coco_root=str(folder), mindrecord_dir=str(folder / 'record')), 'train')
    return before, measure_peak_memory(), time.time() - start


def judge(folder):
    "Reports on a converted set, with the default boxes of ssd_mobilenet_v1_fpn: objects, memory, seconds"
    before, start, boxes = memory(), time.time(), BOX_CONFIGS['ssd_mobilenet_v1_fpn']
    config = DataConfig('coco', coco_root=str(folder), mindrecord_dir=str(folder / 'record'))
    objects = len(describe_set(folder / 'record/train/ground_truth.json', boxes).boxes)
    describe_splits(config, boxes, ['train'])
    return objects, before, measure_peak_memory(), time.time() - start


def bench(sizes):
    "Converts a set of each size in a process of its own, since a peak never goes down"
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            drawn, large = Path(folder) / 'drawn', Path(folder) / 'large'
            in_new_process(write_samples, drawn, 48, 1)
            enlarge(drawn, large, count)
            before, peak, seconds = in_new_process(convert, large)
            objects, least, most, time_of_verdict = in_new_process(judge, large)
        print(f'{count:7,} images: {before:.0f} MB before, {peak:.0f} MB at the peak, '
              f'{(peak - before) * 1024 / count:.1f} KB an image, {count / seconds:.0f} images/s')
        print(f'  verdict on {objects:,} objects: {least:.0f} MB before, {most:.0f} MB at the peak, '
              f'{time_of_verdict:.1f} s')
