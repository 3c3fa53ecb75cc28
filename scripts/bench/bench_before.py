"""Times conversion and input pipeline of this checkout beside another one, in turn within one run.

    git worktree add /tmp/before main
    python scripts/bench/bench.py before --checkout=/tmp/before

Beside the time on the wall stand processor seconds, which other programs on the machine disturb less.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
MEASURE = '''
import json, os, resource, sys, tempfile, time
from ssd_nb.data import DataConfig, create_dataset
from ssd_nb.plumbing.records import make_mindrecord
from ssd_nb.ssd_heads import MODELS
import mindspore.mindrecord
root, workers = sys.argv[1], int(sys.argv[2])
def spent():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)
marks = [spent()]
with tempfile.TemporaryDirectory() as folder:
    config = DataConfig('coco', coco_root=root, mindrecord_dir=folder, num_parallel_workers=workers)
    make_mindrecord(config, 'train')
    marks.append(spent())
    for epoch in range(2):
        batches = create_dataset(config, MODELS['ssd300'].boxes, 'train', 16, epoch=epoch)
        for batch in batches.create_tuple_iterator(num_epochs=1, output_numpy=True, do_copy=False): pass
    marks.append(spent())
print(json.dumps([[b - a for a, b in zip(*pair)] for pair in zip(marks, marks[1:])]))
'''


def write_set(folder, count):
    "A COCO set of photographs of 640×480 pixels: the samples, enlarged, with noise as a camera has it"
    import cv2
    import numpy as np
    truth = json.loads((HERE / 'data_samples/annotations/instances_train.json').read_text())
    rng, images, notes = np.random.default_rng(0), [], []
    for name in ('annotations', 'train'): (folder / name).mkdir(parents=True)
    for i in range(count):
        drawn = truth['images'][i % len(truth['images'])]
        picture = cv2.resize(cv2.imread(str(HERE / 'data_samples/train' / drawn['file_name'])), (640, 480))
        noisy = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f'train/{i}.jpg'), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
        images.append(dict(id=i, file_name=f'{i}.jpg', height=480, width=640))
        own = [a for a in truth['annotations'] if a['image_id'] == drawn['id']]
        notes += [{**a, 'id': len(notes) + k, 'image_id': i, 'bbox': [2 * v for v in a['bbox']]}
                  for k, a in enumerate(own)]
    content = dict(images=images, annotations=notes, categories=truth['categories'])
    (folder / 'annotations/instances_train.json').write_text(json.dumps(content))


def measure(checkout, root, workers):
    "Seconds on the wall and of processors, of a conversion and of two epochs of batches"
    path = dict(os.environ, PYTHONPATH=str(checkout), GLOG_v='4')
    done = subprocess.run([sys.executable, '-c', MEASURE, root, str(workers)], env=path, cwd='/',
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(before, count, rounds, workers):
    "Prints how much time this checkout takes of what the other one takes"
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder) / 'set', count)
        pairs = [[measure(checkout, f'{folder}/set', workers) for checkout in (before, HERE)]
                 for _ in range(rounds + 1)][1:] # the first round warms up
    for part, name in enumerate(('conversion', 'two epochs of batches')):
        for unit, kind in enumerate(('wall', 'processor')):
            old, new = ([pair[side][part][unit] for pair in pairs] for side in (0, 1))
            ratio = statistics.median(b / a for a, b in zip(old, new))
            print(f'{name}, {kind}: before {statistics.median(old):.2f} s, '
                  f'now {statistics.median(new):.2f} s, ratio {ratio:.2f}')
