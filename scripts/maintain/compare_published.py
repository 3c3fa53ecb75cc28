"""Compares a detector that was read from a published file with the engine that it comes from.

    python compare_published.py inputs  PHOTO ...                   writes inputs.npz
    (published_reference.py with the Python of each engine writes ENGINE.npz)
    python compare_published.py compare FILE ENGINE.npz [CLASSES]   reads FILE, prints the differences

Wanted: no raw answer differs by more than 1e-4 of the largest, and the same detections after NMS.
"""
import sys

import cv2
import numpy as np

LIMIT = 1e-4
PIXELS = 30_000 # of a side when boxes overlap: our NMS counts the last pixel, the others don't


def write_inputs(*photos):
    images = [cv2.imread(photo)[..., ::-1] for photo in photos]
    np.savez('inputs.npz', images=np.stack([cv2.resize(image, (300, 300)) for image in images]))


def compare_raw(name, ours, theirs):
    part = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    print(f'{name}: largest difference {part:.1e} of the largest value, {np.abs(theirs).max():.3g}'
          f'{"" if part <= LIMIT else ": TOO MUCH"}')
    return part <= LIMIT


def run_raw(network, images):
    import mindspore as ms
    answers = [network(ms.Tensor(image[None])) for image in images]
    return [np.concatenate([answer[i].asnumpy() for answer in answers]) for i in range(2)]


def compare_found(found, boxes, labels, scores, least):
    "Pairs each of our detections with the nearest of theirs; -> how many, largest differences"
    theirs, ours = scores > least, found.scores > least
    worst = 0, 0.0, 0.0
    for box, label, score in zip(found.boxes[ours], found.labels[ours], found.scores[ours]):
        same = theirs & (labels == label)
        if not same.any(): return 'one is missing there', None
        far = np.abs(boxes[same] - box / PIXELS).max(1)
        best = far.argmin()
        worst = worst[0] + 1, max(worst[1], far[best]), max(worst[2], abs(scores[same][best] - score))
    if worst[0] != theirs.sum(): return f'{worst[0]} here, {theirs.sum()} there', None
    return f'{worst[0]} here and there', worst[1:]


def compare(file, reference, classes=''):
    import mindspore as ms
    from ssd_nb.data import DataConfig, prepare_input
    from ssd_nb.eval import EvalConfig, detect
    from ssd_nb.ssd_heads import make_predict
    from ssd_nb.plumbing.device import choose_device
    from ssd_nb.plumbing.published import load_published
    choose_device('CPU')
    ms.set_context(mode=ms.GRAPH_MODE)
    network, config, kind = load_published(file, DataConfig(classes=classes).classes)
    their, images = np.load(reference), np.load('inputs.npz')['images']
    shape, numbers = config.boxes.image_shape, config.data.normalisation
    inputs = np.stack([prepare_input(image, shape, None, numbers) for image in images])
    loc, scores = run_raw(network, inputs)
    engine, columns = str(their['engine']), their['scores'].shape[2]
    print(f'{kind} and {engine}, {len(images)} images')
    if engine == 'torchvision': loc = loc[..., [1, 0, 3, 2]]
    used = keep_columns(columns, scores.shape[2])
    ok = [compare_raw('offsets', loc, their['loc']),
          compare_raw('scores', scores, their['scores'][..., used])]
    their = dict(their) # those that have no NMS of their own get ours
    if not any(len(their[f'labels_{i}']) for i in range(len(images))): decode_theirs(their, config)
    predict = make_predict(network, config.boxes, 1, config.softmax)
    limits = EvalConfig(min_score=0.01, nms_threshold=0.45 if engine == 'torchvision' else 0.6, max_boxes=200)
    for i, (boxes, each) in enumerate(zip(*predict(inputs))):
        labels = np.array([used.index(n) if n in used else -1 for n in their[f'labels_{i}']])
        found = detect(boxes, each, (PIXELS, PIXELS), limits)
        if engine == 'torchvision': found = found[np.argsort(-found.scores)[:200]] # of all classes
        said, worst = compare_found(found, their[f'boxes_{i}'], labels, their[f'found_{i}'], 0.3)
        print(f'image {i}: detections above 0.3: {said}'
              + (f'; boxes differ by {worst[0]:.1e}, scores by {worst[1]:.1e}' if worst else ''))
    return all(ok)


def decode_theirs(their, config):
    "Adds what our decoder and NMS make of their raw answers"
    from ssd_nb.boxes import BoxEncoder
    from ssd_nb.eval import EvalConfig, detect
    encoder = BoxEncoder(config.boxes)
    for i, (loc, scores) in enumerate(zip(their['loc'], their['scores'])):
        limits = EvalConfig(0.01, 0.6, 200)
        found = detect(encoder.decode(loc), 1 / (1 + np.exp(-scores)), (PIXELS, PIXELS), limits)
        their |= {f'boxes_{i}': found.boxes / PIXELS, f'labels_{i}': found.labels, f'found_{i}': found.scores}


def keep_columns(there, here):
    "The columns of theirs that ours has"
    from ssd_nb.plumbing.published import COCO_IDS
    return COCO_IDS if there == 91 and here == 81 else list(range(there))


if __name__ == '__main__':
    what, *rest = sys.argv[1:]
    if what == 'inputs': write_inputs(*rest)
    elif not compare(*rest): sys.exit(1)
