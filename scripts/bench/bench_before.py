"""Times conversion and input pipeline of this checkout beside another one.

    git worktree add /tmp/before main
    python scripts/bench/bench.py before --checkout=/tmp/before
"""
import json
import tempfile
from itertools import count
from pathlib import Path

from bench_rounds import ROOT, Engine


def write_set(folder, images):
    "A COCO set of photographs of 640×480 pixels: the samples, enlarged, with noise as a camera has it"
    import cv2
    import numpy as np
    truth = json.loads((ROOT / 'data_samples/annotations/instances_train.json').read_text())
    rng, listed, notes = np.random.default_rng(0), [], []
    for name in ('annotations', 'train'): (folder / name).mkdir(parents=True)
    for i in range(images):
        drawn = truth['images'][i % len(truth['images'])]
        picture = cv2.resize(cv2.imread(str(ROOT / 'data_samples/train' / drawn['file_name'])), (640, 480))
        noisy = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f'train/{i}.jpg'), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
        listed.append(dict(id=i, file_name=f'{i}.jpg', height=480, width=640))
        own = [a for a in truth['annotations'] if a['image_id'] == drawn['id']]
        notes += [{**a, 'id': len(notes) + k, 'image_id': i, 'bbox': [2 * v for v in a['bbox']]}
                  for k, a in enumerate(own)]
    content = dict(images=listed, annotations=notes, categories=truth['categories'])
    (folder / 'annotations/instances_train.json').write_text(json.dumps(content))


def make_ours(root, workers):
    "A conversion, and two epochs of what the first one wrote"
    from dataclasses import replace
    from ssd_nb.data import DataConfig, create_dataset
    from ssd_nb.plumbing.records import make_mindrecord
    from ssd_nb.ssd_heads import MODELS
    import mindspore.mindrecord # noqa: F401, so that it counts as there before
    folder, numbers, epochs = tempfile.TemporaryDirectory(), count(), count()
    config = DataConfig('coco', coco_root=root, num_parallel_workers=workers)
    def convert(): make_mindrecord(replace(config, mindrecord_dir=f'{folder.name}/{next(numbers)}'), 'train')
    def read():
        for _ in range(2):
            first = replace(config, mindrecord_dir=f'{folder.name}/0')
            batches = create_dataset(first, MODELS['ssd300'].boxes, 'train', 16, epoch=next(epochs))
            for batch in batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False): pass
    return {'conversion': convert, 'two epochs of batches': read}


def list_engines(checkout, root, workers):
    asked = dict(root=root, workers=workers)
    return [Engine('before', 'bench_before:make_ours', asked, checkout=checkout),
            Engine('now', 'bench_before:make_ours', asked)]


def print_ratios(found):
    for part in ('conversion', 'two epochs of batches'):
        old, new = found[f'before, {part}'], found[f'now, {part}']
        wall, busy = new.fastest / old.fastest, new.busy / old.busy
        print(f'{part}: ratio {wall:.2f} on the wall, {busy:.2f} of processors')
