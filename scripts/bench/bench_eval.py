"""Times evaluation: NMS in all classes at once against class by class, and a set of generated predictions."""
import time
from dataclasses import replace

import numpy as np

from bench_rounds import Engine
from ssd_nb.eval import EvalConfig, detect, evaluate
from ssd_nb.plumbing.nms import pixel_iou

CLASSES = 81
SIZE = 480, 640 # height and width of the generated images, in pixels


def crowded(boxes, filled):
    "Random output of a network: boxes (N, 4) in unit coordinates, scores (N, C), a share of them above 0.1"
    rng = np.random.default_rng(0)
    centre, half = rng.uniform(0, 1, (boxes, 2)), rng.uniform(0.02, 0.25, (boxes, 2))
    high = rng.uniform(size=(boxes, CLASSES)) < filled
    scores = np.where(high, rng.uniform(0.1, 1, high.shape), 0.01)
    return np.clip(np.concatenate([centre - half, centre + half], 1), 0,
                   1).astype(np.float32), scores.astype(np.float32)


def class_by_class(boxes, scores, config):
    "Detections as published code makes them: in each class, one kept box at a time against all that are left"
    boxes, found = boxes * np.array(SIZE * 2, float), []
    for label in range(1, CLASSES):
        left = np.flatnonzero(scores[:, label] > config.min_score)
        left, kept = left[np.argsort(scores[left, label], kind='stable')[::-1]], []
        while len(left) and len(kept) < config.max_boxes:
            kept.append(left[0])
            left = left[1:][pixel_iou(boxes[left[:1]], boxes[left[1:]])[0] <= config.nms_threshold]
        found += [(*boxes[i], scores[i, label], label) for i in kept]
    return np.array(found)


def make_nms(boxes, way, filled=0.01):
    "NMS of all classes at once, or class by class; each run returns how many it finds, 0 if they differ"
    config, output = EvalConfig(), crowded(boxes, filled)
    both = {'all at once': lambda: detect(*output, SIZE, config),
            'class by class': lambda: class_by_class(*output, config)}
    found, loop = both['all at once'](), both['class by class']() if filled <= 0.01 else None
    equal = loop is None or np.array_equal(np.column_stack([found.boxes, found.scores, found.labels]), loop)
    return lambda: len(both[way]()) * equal


def generated_truth(images):
    "As many objects an image as COCO's validation set has"
    rng, notes = np.random.default_rng(1), []
    for i in range(1, images + 1):
        for _ in range(rng.poisson(7.3)):
            x, y, w, h = np.append(rng.uniform(0, 0.8, 2), rng.uniform(0.03, 0.4, 2)) * [640, 480, 640, 480]
            notes.append(dict(image_id=i, category_id=int(rng.integers(1, CLASSES)),
                              bbox=[float(v) for v in (x, y, w, h)]))
    return dict(images=[dict(id=i, height=480, width=640) for i in range(1, images + 1)], annotations=notes,
                categories=[dict(id=i, name=f'class {i}') for i in range(1, CLASSES)])


def generated_output(objects, rng):
    "Raw output of a network of 1917 boxes: around each object a few boxes, and false alarms elsewhere"
    boxes, scores = rng.uniform(0, 0.5, (1917, 4)), np.full((1917, CLASSES), 0.01, np.float32)
    boxes[:, 2:] += boxes[:, :2] + 0.02
    for first, note in zip(range(0, 1000, 20), objects):
        x, y, w, h = note['bbox'] / np.array([640, 480, 640, 480])
        boxes[first:first + 20] = np.array([y, x, y + h, x + w]) + rng.normal(0, 0.1, (20, 4)) * [h, w, h, w]
        scores[np.arange(first, first + 20), note['category_id']] = rng.uniform(0, 0.9, 20)
    alarms = rng.integers(1000, 1917, 50)
    scores[alarms, rng.integers(1, CLASSES, 50)] = rng.uniform(0.05, 0.6, 50)
    return np.clip(boxes, 0, 1).astype(np.float32), scores


def make_set(images, evaluator):
    "Post-processing and metrics of a generated set, without the time in which its predictions are generated"
    truth, objects = generated_truth(images), {i: [] for i in range(1, images + 1)}
    for note in truth['annotations']: objects[note['image_id']].append(note)
    classes = ('background', *(c['name'] for c in truth['categories']))
    batches = [dict(image=ids, image_id=ids, shape=np.tile(SIZE, (len(ids), 1)))
               for ids in np.split(np.arange(1, images + 1), range(16, images, 16))]
    clocks = lambda: np.array([time.perf_counter(), time.process_time()])

    def run():
        rng, spent = np.random.default_rng(2), []
        def predict(ids):
            start = clocks()
            output = tuple(map(np.stack, zip(*(generated_output(objects[i], rng) for i in ids.tolist()))))
            spent.append(clocks() - start)
            return output
        start = clocks()
        result = evaluate(predict, batches, truth, classes, EvalConfig(evaluator=evaluator), progress=False,
                          verbose=False)
        wall, busy = clocks() - start - sum(spent)
        return dict(wall=wall, busy=busy, detections=sum(map(len, result.detections.values())),
                    objects=len(truth['annotations']), mAP=float(result.mAP))
    return run


def list_engines(sizes, evaluator, checkout=None):
    "NMS in both ways, and a set of each size; those of another checkout beside them"
    engines = [Engine(f'{boxes} boxes, {way}', 'bench_eval:make_nms', dict(boxes=boxes, way=way))
               for boxes in (1917, 51150) for way in ('all at once', 'class by class')]
    engines += [Engine(f'{images} images', 'bench_eval:make_set', dict(images=images, evaluator=evaluator))
                for images in sizes]
    if not checkout: return engines
    earlier = [replace(e, name=f'{e.name}, before', checkout=checkout) for e in engines
               if 'by class' not in e.name]
    return engines + earlier


def print_found(found):
    "What the rows do not say: detections, and how often NMS is as fast as class by class"
    for boxes in 1917, 51150:
        once, loop = (found[f'{boxes} boxes, {way}'] for way in ('all at once', 'class by class'))
        print(f'{boxes} boxes: {once.answers[0]} detections, all at once {loop.fastest / once.fastest:.1f} '
              f'times as fast as class by class, equal: {0 not in once.answers + loop.answers}')
    for one in found.values():
        if not isinstance(one.answers[0], dict): continue
        a = one.answers[0]
        print(f'{one.name}: {a["objects"]} objects, {a["detections"]} detections, mAP {a["mAP"]:.4f}')
