"""Times evaluation: NMS in all classes at once against class by class, and a set of generated predictions."""
import statistics
import time

import numpy as np

from bench_process import in_new_process, memory, measure_peak_memory
from ssd_nb.eval import EvalConfig, detect, evaluate
from ssd_nb.plumbing.nms import pixel_iou

CLASSES = 81
SIZE = 480, 640 # height and width of the generated images, in pixels


def crowded(boxes):
    "Random output of a network: boxes (N, 4) in unit coordinates, scores (N, C), one in a hundred above 0.1"
    rng = np.random.default_rng(0)
    centre, half = rng.uniform(0, 1, (boxes, 2)), rng.uniform(0.02, 0.25, (boxes, 2))
    high = rng.uniform(size=(boxes, CLASSES)) < 0.01
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


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def bench_nms(rounds):
    "Loop and exported form in turn, on the same predictions"
    config = EvalConfig()
    for boxes in 1917, 51150:
        output = crowded(boxes)
        found, loop = detect(*output, SIZE, config), class_by_class(*output, config)
        equal = np.array_equal(np.column_stack([found.boxes, found.scores, found.labels]), loop)
        pairs = [(seconds(lambda: class_by_class(*output, config)),
                  seconds(lambda: detect(*output, SIZE, config))) for _ in range(rounds)]
        one, other = np.median(pairs, axis=0) * 1e3
        print(f'{boxes:6} boxes, {len(found)} detections: class by class {one:.1f} ms an image, all classes '
              f'at once {other:.1f} ms, '
              f'{statistics.median(a / b for a, b in pairs):.1f} times as fast, equal: {equal}')


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


def bench_set(images, evaluator):
    "Seconds of post-processing and metrics of a generated set, on the wall and of processors, and megabytes"
    truth, rng, spent, used = generated_truth(images), np.random.default_rng(2), [], [memory()]
    clocks = lambda: np.array([time.perf_counter(), time.process_time()])
    objects = {i: [] for i in range(1, images + 1)}
    for note in truth['annotations']: objects[note['image_id']].append(note)

    def predict(ids):
        start = clocks()
        output = tuple(map(np.stack, zip(*(generated_output(objects[i], rng) for i in ids.tolist()))))
        spent.append(clocks() - start)
        used.append(memory())
        return output

    batches = [dict(image=ids, image_id=ids, shape=np.tile(SIZE, (len(ids), 1)))
               for ids in np.split(np.arange(1, images + 1), range(16, images, 16))]
    classes, start = ('background', *(c['name'] for c in truth['categories'])), clocks()
    result = evaluate(predict, batches, truth, classes, EvalConfig(evaluator=evaluator), progress=False,
                      verbose=False)
    wall, busy = clocks() - start - sum(spent)
    return dict(seconds=wall, processor=busy,
                detections=sum(map(len, result.detections.values())),
                objects=len(truth['annotations']), mAP=result.mAP, before=used[0], detected=used[-1],
                peak=measure_peak_memory())


def bench_sets(sizes, evaluator):
    "Sets of all sizes, each in a process of its own, since a peak never goes down"
    for images in sizes:
        found = in_new_process(bench_set, images, evaluator)
        print(f'{images:6} images, {found["objects"]} objects, {found["detections"]} detections, mAP '
              f'{found["mAP"]:.4f}: post-processing and metrics '
              f'{found["seconds"]:.1f} s with {evaluator}, {found["processor"]:.1f} s of processors; '
              f'memory {found["before"]:.0f} MB before, '
              f'{found["detected"]:.0f} MB with all images detected, '
              f'{found["peak"]:.0f} MB at the peak, in the metrics')
