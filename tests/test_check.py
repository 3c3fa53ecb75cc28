"""Whether `ssd_nb check` finds what is wrong with sets and runs that are spoiled on purpose, and says nothing
about sound ones."""
import json
import math
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import ROOT
from make_sets import voc_xml, write_image, write_text

from ssd_nb.data import DataConfig
from ssd_nb.eval import Detections
from ssd_nb.plumbing.bookkeeping import EpochReport, MetricsFile
from ssd_nb.plumbing.check_answers import Answers, judge_answers
from ssd_nb.plumbing.check_causes import format_causes, sort_causes
from ssd_nb.plumbing.check_contrast import sum_colours
from ssd_nb.plumbing.check_data import check_data
from ssd_nb.plumbing.check_places import (_GOOD, _judge_elsewhere, _judge_loose, _judge_partly,
                                          _judge_reading, _judge_sides, _prefer_size, _rank_readings, _Scene)
from ssd_nb.plumbing.check_rates import RATES, find_range, judge_rates
from ssd_nb.plumbing.check_run import judge_match, judge_options, judge_run, judge_weights
from ssd_nb.plumbing.check_start import judge_start
from ssd_nb.plumbing.mistakes import Objects
from ssd_nb.plumbing.samples import draw_sample
from ssd_nb.ssd_heads import MODELS
from ssd_nb.train import preset

TINY = MODELS['ssd_tiny'].boxes


# sound sets

def draw_bars(rng, number):
    "Upright figures before a ground that changes from left to right; two classes"
    h, w = 150, 200
    image = np.float64(rng.uniform(60, 160, 3)) + np.linspace(0, rng.uniform(-50, 50), w)[None, :, None]
    image = np.repeat(image, h, axis=0)
    boxes, labels = [], []
    for _ in range(rng.integers(1, 5)):
        bh, bw = int(rng.integers(30, 90)), int(rng.integers(12, 34))
        y, x, label = int(rng.integers(h - bh)), int(rng.integers(w - bw)), int(rng.integers(2))
        colour = np.array([[200, 60, 50], [40, 70, 200]][label]) + rng.uniform(-30, 30, 3)
        image[y:y + bh, x:x + bw] = colour * rng.uniform(0.7, 1, (bh, 1, 1))
        boxes.append((y, x, y + bh, x + bw)), labels.append(label)
    return np.uint8((image + rng.normal(0, 6, image.shape)).clip(0, 255)), boxes, labels


def draw_discs(rng, number):
    "Dark and light cells that may touch, on a light ground with stains; three classes"
    side = 192
    image = np.full((side, side, 3), rng.uniform(190, 230, 3))
    stains = cv2.resize(rng.normal(0, 8, (6, 6, 3)), (side, side), interpolation=cv2.INTER_CUBIC)
    boxes, labels = [], []
    for _ in range(rng.integers(3, 9)):
        radius = rng.integers(9, 26, 2)
        y, x = (int(rng.integers(r, side - r)) for r in radius)
        label = int(rng.integers(3))
        colour = np.array([[200, 120, 130], [110, 60, 140], [240, 240, 150]][label]) + rng.uniform(-20, 20, 3)
        cv2.ellipse(image, (x, y), (int(radius[1]), int(radius[0])), 0, 0, 360, colour.tolist(), -1)
        boxes.append((y - radius[0], x - radius[1], y + radius[0] + 1, x + radius[1] + 1))
        labels.append(label)
    return np.uint8((image + stains + rng.normal(0, 5, image.shape)).clip(0, 255)), boxes, labels


def draw_shapes(rng, number):
    "Images of the sample set; five classes"
    image, boxes, labels = draw_sample(int(rng.integers(1000, 9999)), number)
    return image, boxes.tolist(), (labels - 1).tolist()


KINDS = dict(bars=(draw_bars, ('red', 'blue')), discs=(draw_discs, ('pink', 'violet', 'yellow')),
             shapes=(draw_shapes, ('ball', 'cube', 'ring', 'star', 'cone')))


def draw_set(kind, count, seed):
    rng = np.random.default_rng([seed, count])
    return [KINDS[kind][0](rng, i) for i in range(count)]


def list_numbers(box, really):
    "Four numbers, in pixels, that mean a box"
    y1, x1, y2, x2 = box
    h, w, y, x = y2 - y1, x2 - x1, (y1 + y2) / 2, (x1 + x2) / 2
    return dict(xywh=(x1, y1, w, h), yxhw=(y1, x1, h, w), xyhw=(x1, y1, h, w), xyxy=(x1, y1, x2, y2),
                yxyx=(y1, x1, y2, x2), xxyy=(x1, x2, y1, y2), centre=(x, y, w, h),
                centre_yx=(y, x, h, w))[really]


WANTED = dict(coco='xywh', voc='xyxy', other='xyxy', yolo='centre')


def write_split(folder, split, scenes, dataset, really, names, change=None):
    "Writes images and annotations of a split; `change`: boxes, labels, size, number to boxes, labels"
    rows, images, notes = [], [], []
    for i, (image, boxes, labels) in enumerate(scenes, 1):
        h, w = image.shape[:2]
        if change: boxes, labels = change(list(boxes), list(labels), (h, w), i - 1)
        name = dict(yolo=f'images/{split}/{i:04}.png').get(dataset, f'{split}/{i:04}.png')
        write_image(folder / name, image)
        numbers = [tuple(float(n) for n in list_numbers(box, really)) for box in boxes]
        images.append(dict(id=i, file_name=f'{i:04}.png', height=h, width=w))
        notes += [dict(id=len(notes) + k, image_id=i, category_id=label + 1, bbox=n, iscrowd=0,
                       area=n[2] * n[3]) for k, (n, label) in enumerate(zip(numbers, labels), 1)]
        objects = [','.join(f'{v:g}' for v in (*n, label + 1)) for n, label in zip(numbers, labels)]
        rows.append(' '.join([name, *objects]))
        unit = (h, w, h, w) if really.startswith('y') or really.endswith('yx') else \
               (w, w, h, h) if really == 'xxyy' else (w, h, w, h)
        parts = [[label, *(v / u for v, u in zip(n, unit))] for n, label in zip(numbers, labels)]
        if dataset == 'yolo':
            write_text((folder / name.replace('images', 'labels')).with_suffix('.txt'),
                       ''.join(' '.join(f'{v:.6g}' for v in p) + '\n' for p in parts))
        if dataset == 'voc':
            shifted = [(n[0] + 1, n[1] + 1, *n[2:]) for n in numbers]
            objects = [(names[label], [f'{v:g}' for v in n]) for n, label in zip(shifted, labels)]
            write_text((folder / name).with_suffix('.xml'), voc_xml(f'{i:04}.png', objects, (h, w)))
    categories = [dict(id=i, name=n) for i, n in enumerate(names, 1)]
    if dataset == 'coco':
        write_text(folder / f'annotations/instances_{split}.json',
                   json.dumps(dict(images=images, annotations=notes, categories=categories)))
    if dataset == 'other': write_text(folder / f'{split}.txt', '\n'.join(rows) + '\n')
    if dataset == 'yolo': write_text(folder / 'data.yaml', f'names: [{", ".join(names)}]\n')


def write_set(folder, kind='discs', dataset='coco', really=None, change=None, counts=(40, 24), names=None,
              eval_names=None, change_eval=None, scenes=None):
    "A data set with training and evaluation images; answers its configuration"
    names = names or KINDS[kind][1]
    scenes = scenes or [draw_set(kind, counts[0], 1), draw_set(kind, counts[1], 2)]
    both = zip(('train', 'eval'), scenes, (change, change_eval or change), (names, eval_names or names))
    for split, some, moved, known in both:
        write_split(folder, split, some, dataset, really or WANTED[dataset], known, moved)
    options = dict(coco=dict(coco_root=str(folder)), voc=dict(voc_root=str(folder)),
                   yolo=dict(yolo_root=str(folder)),
                   other=dict(anno_path=str(folder / 'train.txt'), eval_anno_path=str(folder / 'eval.txt'),
                              classes=','.join(names)))[dataset]
    return DataConfig(dataset, mindrecord_dir=str(folder / 'record'), num_parallel_workers=2, **options)


def check(config, boxes=TINY):
    "Causes, the likeliest first"
    return sort_causes(check_data(config, boxes, ['train', 'eval'])[1])[0]


SOUND = [('discs', 'coco'), ('discs', 'yolo'), ('bars', 'voc'), ('bars', 'other'), ('shapes', 'coco'),
         ('shapes', 'voc')]


@pytest.mark.parametrize('kind, dataset', SOUND)
def test_sound_sets(kind, dataset, tmp_path):
    assert format_causes(check(write_set(tmp_path, kind, dataset))) == 'verdict: nothing was found.'


def test_sound_sample_set(tmp_path):
    config = DataConfig('coco', coco_root=str(ROOT / 'data_samples'), mindrecord_dir=str(tmp_path))
    assert not check(config) and not check(config, MODELS['ssd300'].boxes)


# spoiled sets

def move(function):
    "A change of every box"
    return lambda boxes, labels, size, number: ([function(box, *size) for box in boxes], labels)


def swap_some(boxes, labels, size, number):
    return [(b[1], b[0], b[3], b[2]) if number % 3 == 0 else b for b in boxes], labels


def turn_quarter(box, h, w): # drawn on the picture after a quarter turn to the right
    y1, x1, y2, x2 = box
    return x1, h - y2, x2, h - y1


READ_WRONG = [
    ('shapes', 'coco', 'yxhw', 'axes'), ('shapes', 'coco', 'xyxy', 'form'),
    ('shapes', 'coco', 'centre', 'form'), ('bars', 'coco', 'xyhw', 'form'),
    ('bars', 'voc', 'yxyx', 'axes'), ('bars', 'voc', 'xywh', 'form'),
    ('bars', 'other', 'yxyx', 'axes'), ('bars', 'other', 'xxyy', 'form'),
    ('discs', 'other', 'xywh', 'form'), ('discs', 'yolo', 'xywh', 'form'),
    ('discs', 'yolo', 'xyxy', 'form'), ('bars', 'yolo', 'centre_yx', 'axes')]


@pytest.mark.parametrize('kind, dataset, really, key', READ_WRONG)
def test_numbers_in_another_order(kind, dataset, really, key, tmp_path):
    first, *_ = check(write_set(tmp_path, kind, dataset, really))
    assert first.key == key and first.text.startswith('train: '), first


MOVED = dict(mirrored=('shapes', move(lambda b, h, w: (b[0], w - b[3], b[2], w - b[1])), 'moved_boxes'),
             upside_down=('bars', move(lambda b, h, w: (h - b[2], b[1], h - b[0], b[3])), 'moved_boxes'),
             quarter=('bars', move(turn_quarter), 'moved_boxes'),
             half_size=('discs', move(lambda b, h, w: [v / 2 for v in b]), 'unit'),
             twice=('shapes', move(lambda b, h, w: [v * 2 for v in b]), 'unit'),
             odd_factor=('shapes', move(lambda b, h, w: [v * 0.37 for v in b]), 'unit'),
             thousandths=('bars', move(lambda b, h, w: (b[0] / h * 1000, b[1] / w * 1000, b[2] / h * 1000,
                                                         b[3] / w * 1000)), 'unit'),
             of_300=('shapes', move(lambda b, h, w: (b[0] / h * 300, b[1] / w * 300, b[2] / h * 300,
                                                     b[3] / w * 300)), 'unit'),
             beside=('discs', move(lambda b, h, w: (b[0] + 14, b[1] - 19, b[2] + 14, b[3] - 19)), 'shift'),
             some=('shapes', swap_some, 'axes'))


@pytest.mark.parametrize('name', MOVED)
def test_boxes_elsewhere(name, tmp_path):
    kind, change, key = MOVED[name]
    first, *_ = check(write_set(tmp_path, kind, 'coco', change=change))
    assert first.key == key, first


def test_only_eval_is_spoiled(tmp_path):
    config = write_set(tmp_path, 'shapes', 'coco', change=lambda b, l, s, n: (b, l),
                       change_eval=move(lambda b, h, w: (b[1], b[0], b[3], b[2])))
    causes = check(config)
    assert causes[0].key == 'axes' and causes[0].text.startswith('eval: ')


@pytest.mark.parametrize('kind, step, named', [('shapes', 1, 'previous image'),
                                               ('discs', 0, 'the image that each row')])
def test_boxes_of_other_images(kind, step, named, tmp_path):
    scenes = [draw_set(kind, n, seed) for n, seed in ((40, 1), (30, 2))]
    rng = np.random.default_rng(5)
    for some in scenes:
        order = np.roll(np.arange(len(some)), -step) if step else rng.permutation(len(some))
        some[:] = [(image, *some[j][1:]) for (image, *_), j in zip(some, order)]
    first, *_ = check(write_set(tmp_path, kind, 'coco', scenes=scenes))
    assert first.key == 'owners' and named in first.text, first


def draw_faint(rng, number):
    "Spots that are hardly to be seen, as on an X-ray"
    side, boxes = 192, []
    image = 120 + cv2.resize(rng.normal(0, 25, (8, 8)), (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:side, :side]
    for _ in range(rng.integers(1, 3)):
        h, w = rng.uniform(12, 40, 2)
        cy, cx = rng.uniform(h, side - h), rng.uniform(w, side - w)
        image += rng.choice([-1, 1]) * 18 * np.exp(-1.5 * (((y - cy) / h) ** 2 + ((x - cx) / w) ** 2))
        boxes.append((cy - h, cx - w, cy + h, cx + w))
    image = np.repeat((image + rng.normal(0, 6, image.shape))[..., None], 3, axis=2)
    return np.uint8(image.clip(0, 255)), boxes, [0] * len(boxes)


def test_faint_pictures_accuse_nobody(tmp_path):
    rng = np.random.default_rng(3)
    scenes = [[draw_faint(rng, i) for i in range(n)] for n in (60, 40)]
    assert not check(write_set(tmp_path, names=('spot',), scenes=scenes))


def fractions(boxes, labels, size, number):
    h, w = size
    return [(y1 / h, x1 / w, y2 / h, x2 / w) for y1, x1, y2, x2 in boxes], labels


@pytest.mark.parametrize('dataset', ['coco', 'other'])
def test_fractions(dataset, tmp_path):
    first, *_ = check(write_set(tmp_path, 'bars', dataset, change=fractions))
    assert first.key == 'unreadable' and '1' in first.text and 'multiply' in first.text, first


def test_eval_images_of_train(tmp_path):
    scenes = draw_set('discs', 40, 1)
    first, *_ = check(write_set(tmp_path, scenes=[scenes, scenes[:20] + draw_set('discs', 4, 2)]))
    assert first.key == 'shared' and '20 of 24 images' in first.text


def test_class_only_in_eval(tmp_path):
    def drop(boxes, labels, size, number):
        kept = [(b, l) for b, l in zip(boxes, labels) if l != 2]
        return [b for b, _ in kept], [l for _, l in kept]
    first, *_ = check(write_set(tmp_path, change=drop, change_eval=lambda b, l, s, n: (b, l)))
    assert first.key == 'absent' and 'yellow' in first.text


def test_names_in_two_spellings(tmp_path):
    names = ('Traffic light', 'blue'), ('traffic_light', 'blue')
    config = write_set(tmp_path, 'bars', 'voc', names=names[0], eval_names=names[1])
    first, *_ = check(config)
    assert first.key == 'names' and 'traffic_light, which train calls Traffic light' in first.text


def shrink_scene(scene):
    "The same objects, small on a large canvas"
    image, boxes, labels = scene
    canvas = np.full((1200, 1200, 3), 128, np.uint8)
    canvas[:image.shape[0], :image.shape[1]] = image
    return canvas, boxes, labels


def test_objects_that_no_box_reaches(tmp_path):
    scenes = [[shrink_scene(s) for s in draw_set('discs', n, seed)] for n, seed in ((16, 1), (10, 2))]
    causes = check(write_set(tmp_path, scenes=scenes))
    assert causes[0].key == 'reach', causes
    assert 'below 5%' in causes[0].text and '--fit_boxes' in causes[0].text, causes


def test_broken_images(tmp_path):
    config = write_set(tmp_path, 'discs', 'voc')
    for path in sorted((tmp_path / 'train').glob('*.png'))[:12]: path.write_bytes(path.read_bytes()[:200])
    first, *_ = check(config)
    assert first.key == 'losses' and 'could not be used' in first.text and 'problems.txt' in first.text


def test_annotations_that_are_missing(tmp_path):
    def drop(boxes, labels, size, number): return (boxes, labels) if number % 8 == 0 else ([], [])
    first, *_ = check(write_set(tmp_path, 'bars', 'yolo', change=drop, counts=(64, 64)))
    assert first.key == 'images' and '88%' in first.text


def test_boxes_around_whole_images(tmp_path):
    def whole(boxes, labels, size, number): return [(0, 0, *size)], labels[:1]
    first, *_ = check(write_set(tmp_path, 'shapes', change=whole))
    assert first.key == 'sizes' and 'fill their whole image' in first.text


def test_nearly_all_of_one_class(tmp_path):
    def one(boxes, labels, size, number): return boxes, [int(number == k == 0) for k, _ in enumerate(labels)]
    causes = check(write_set(tmp_path, 'discs', change=one, names=('pink', 'violet')))
    assert causes[0].key == 'balance', causes


def test_boxes_twice(tmp_path):
    def twice(boxes, labels, size, number): return boxes * 2, labels * 2
    first, *_ = check(write_set(tmp_path, 'shapes', change=twice))
    assert first.key == 'doubles'


def test_each_object_in_two_classes(tmp_path):
    def name_twice(boxes, labels, size, number): return boxes * 2, labels + [(k + 1) % 2 for k in labels]
    first, *_ = check(write_set(tmp_path, 'bars', 'yolo', change=name_twice))
    assert first.key == 'doubles' and 'to one of another class' in first.text


@pytest.mark.parametrize('dataset', ('coco', 'voc'))
def test_the_same_box_everywhere(dataset, tmp_path):
    def same(boxes, labels, size, number): return [(20, 30, 70, 90)], labels[:1]
    first, *_ = check(write_set(tmp_path, 'shapes', dataset, change=same))
    assert first.key == 'one_box' and 'the same box' in first.text


def test_the_same_picture_everywhere(tmp_path):
    image = draw_set('discs', 1, 5)[0][0]
    scenes = [[(image, *rest) for _, *rest in draw_set('discs', n, n)] for n in (40, 24)]
    first, *_ = check(write_set(tmp_path, scenes=scenes))
    assert first.key == 'repeated' and 'with other objects' in first.text


def test_blank_pictures(tmp_path):
    scenes = [[(image * (i % 3 > 0), *rest) for i, (image, *rest) in enumerate(draw_set('discs', n, n))]
              for n in (40, 24)]
    first, *_ = check(write_set(tmp_path, scenes=scenes))
    assert first.key == 'blank' and '14 of 40 images have a single colour' in first.text


def test_mirrored_copies(tmp_path):
    def mirror(image, boxes, labels):
        return image[:, ::-1], [(y1, image.shape[1] - x2, y2, image.shape[1] - x1)
                                for y1, x1, y2, x2 in boxes], labels
    scenes = draw_set('shapes', 40, 1)
    first, *_ = check(write_set(tmp_path, 'shapes', scenes=[scenes, [mirror(*s) for s in scenes[:24]]]))
    assert first.key == 'shared' and '24 of 24 images of eval are the mirror image' in first.text


@pytest.mark.parametrize('gain, lift, noise', [(0.85, 30, 0), (1.2, -10, 0), (0.6, 10, 2)])
def test_copies_in_another_light(gain, lift, noise, tmp_path):
    rng = np.random.default_rng(4)
    def relight(image, boxes, labels):
        changed = image * gain + lift + rng.normal(0, noise, image.shape)
        return np.uint8(changed.clip(0, 255)), boxes, labels
    scenes = draw_set('shapes', 40, 1)
    first, *_ = check(write_set(tmp_path, 'shapes', scenes=[scenes, [relight(*s) for s in scenes[:24]]]))
    assert first.key == 'shared' and 'in another brightness or contrast' in first.text


def test_sixteen_bits_of_which_few_are_used(tmp_path):
    config = write_set(tmp_path, 'discs', 'voc')
    for path in tmp_path.glob('*/*.png'): cv2.imwrite(str(path), np.uint16(cv2.imread(str(path), 1)) * 4)
    first, *_ = check(config)
    assert first.key == 'losses' and 'almost black' in first.text and 'scale them' in first.text


# eval beside train

def keep(boxes, labels, size, number): return boxes, labels


@pytest.mark.parametrize('kind, dataset, names', [
    ('bars', 'voc', ('blue', 'red')), ('discs', 'coco', ('yellow', 'pink', 'violet')),
    ('discs', 'yolo', ('violet', 'pink', 'yellow')), ('bars', 'other', ('blue', 'red'))])
def test_names_exchanged_in_eval(kind, dataset, names, tmp_path):
    known = KINDS[kind][1]
    def exchange(boxes, labels, size, number): # TXT and YOLO files have one list of names
        return boxes, [known.index(names[label]) for label in labels]
    first, *_ = check(write_set(tmp_path, kind, dataset, change=keep, change_eval=exchange))
    assert first.key == 'exchanged' and 'in another order' in first.text, first
    for name, other in zip(known, names):
        assert name == other or f'{other} looks like {name} of train' in first.text, first


def change_images(scenes, change): return [(change(image), boxes, labels) for image, boxes, labels in scenes]


def test_red_and_blue_exchanged_in_eval(tmp_path):
    evaluation = change_images(draw_set('discs', 24, 2), lambda image: image[..., ::-1])
    scenes = [draw_set('discs', 40, 1), evaluation]
    first, *_ = check(write_set(tmp_path, scenes=scenes))
    assert first.key == 'exchanged' and 'red and blue may be exchanged' in first.text, first


LIGHTS = dict(evening=lambda image: np.uint8(image * np.float64([1, 0.85, 0.6])),
              dark=lambda image: np.uint8(image * 0.5),
              grey=lambda image: np.uint8(image.mean(2, keepdims=True).repeat(3, 2)),
              pale=lambda image: np.uint8(image * 0.6 + 90))


@pytest.mark.parametrize('light', LIGHTS)
@pytest.mark.parametrize('kind', KINDS)
def test_eval_in_another_light(kind, light, tmp_path):
    scenes = [draw_set(kind, 40, 1), change_images(draw_set(kind, 24, 2), LIGHTS[light])]
    causes = check(write_set(tmp_path, kind, scenes=scenes))
    assert 'exchanged' not in [cause.key for cause in causes], causes


def test_a_class_that_looks_otherwise_in_eval(tmp_path): # all are called pink there
    def name_pink(boxes, labels, size, number): return boxes, [0] * len(boxes)
    config = write_set(tmp_path, change=keep, change_eval=name_pink)
    assert 'exchanged' not in [cause.key for cause in check(config)]


@pytest.mark.parametrize('dataset', ['other', 'yolo'])
def test_class_numbers_one_too_high(dataset, tmp_path):
    def raise_labels(boxes, labels, size, number): return boxes, [label + 1 for label in labels]
    first, *_ = check(write_set(tmp_path, 'discs', dataset, change=raise_labels))
    said = 'begin at 2' if dataset == 'other' else 'count from 1'
    assert first.key == 'numbers' and said in first.text, first


@pytest.mark.parametrize('scale, name', [((1, 1.5, 1, 1.5), 'x'), ((1.6, 1, 1.6, 1), 'y')])
def test_one_side_in_another_unit(scale, name): # of pictures that contrast says nothing about
    rng, scenes = np.random.default_rng(3), []
    for i in range(40):
        image, boxes, _ = draw_faint(rng, i)
        corner = rng.uniform(0, 0.7, (3, 2)) * 192
        boxes = np.concatenate([corner, corner + rng.uniform(20, 57, (3, 2))], axis=1)
        scenes.append(_Scene(sum_colours(image), image.shape[:2], boxes * scale, f'{i}.jpg'))
    (cause,) = _judge_sides(scenes, 'train')
    assert f'train: {name} of the boxes goes up to' in cause.text and cause.key == 'unit'
    assert not _judge_sides([s._replace(boxes=s.boxes / scale) for s in scenes], 'train')


# frames with two factors, sizes of boxes, and sets of which a part is wrong

def look_at(kind, change, dataset='coco', count=40, number=False):
    "What is said about a set whose boxes were changed, from its pictures in memory"
    found = []
    for i, (image, boxes, labels) in enumerate(draw_set(kind, count, 7)):
        size = image.shape[:2]
        moved = change(boxes, labels, size, i)[0] if number else [change(b, *size) for b in boxes]
        found.append(_Scene(sum_colours(image), size, np.float64(moved), f'{i}.jpg'))
    ranks = _rank_readings(found, dataset)
    causes = _judge_reading(found, ranks, dataset, 'train')
    if causes: causes = _prefer_size(found, ranks, dataset, 'train') or causes
    if not causes and ranks['given'].mean() < _GOOD: causes = _judge_elsewhere(found, dataset, 'train')
    return causes or _judge_partly(found, ranks, dataset, 'train')


def letterbox(side, left=True): # of side by side, with the image in the middle, or left and above
    def change(box, h, w):
        scale = side / max(h, w)
        pad = [(side - h * scale) / 2, (side - w * scale) / 2] * 2 if left else [0] * 4
        return [v * scale + p for v, p in zip(box, pad)]
    return change


def about_middle(down, across):
    return lambda box, h, w: [(v - c) * k + c for v, c, k in zip(box, (h / 2, w / 2) * 2, (down, across) * 2)]


def about_own(factor):
    def change(box, h, w):
        y1, x1, y2, x2 = box
        y, x, h, w = (y1 + y2) / 2, (x1 + x2) / 2, (y2 - y1) * factor / 2, (x2 - x1) * factor / 2
        return y - h, x - w, y + h, x + w
    return change


@pytest.mark.parametrize('factor, found', [(1, False), (1.15, False), (1.3, False), (1.8, True), (2, True)])
@pytest.mark.parametrize('kind', KINDS)
def test_boxes_too_large(kind, factor, found):
    scenes = []
    for i, (image, boxes, _) in enumerate(draw_set(kind, 40, 7)):
        size = image.shape[:2]
        boxes = np.clip(np.float64([about_own(factor)(box, *size) for box in boxes]), 0, size * 2)
        scenes.append(_Scene(sum_colours(image), size, boxes, f'{i}.jpg'))
    causes = _judge_loose([s for s in scenes if len(s.boxes)], 'coco', 'train')
    assert bool(causes) == found and all('twice as high' in cause.text for cause in causes), causes


FRAMES = dict(letterbox=('bars', 'coco', letterbox(416), 'square of 416×416 in whose middle'),
              letterbox_fractions=('shapes', 'yolo', lambda b, h, w: [
                  v / w * s for v, s in zip(letterbox(w)(b, h, w), (h, w, h, w))], 'parts of a square'),
              wrong_sides=('bars', 'yolo', lambda b, h, w: [
                  v * s for v, s in zip(b, (h / w, w / h) * 2)], 'divide x by the width'),
              by_height=('shapes', 'yolo', lambda b, h, w: [v * s for v, s in zip(b, (1, w / h) * 2)],
                         'x of the boxes was divided by the height'),
              cropped=('discs', 'voc', about_middle(1.4, 1.4), 'scaled about the middle'),
              padded=('discs', 'coco', about_middle(1.5, 1), 'y of the boxes is scaled about the middle'),
              only_x=('bars', 'voc', lambda b, h, w: (b[0], b[1] * 0.6, b[2], b[3] * 0.6), 'only x'))


@pytest.mark.parametrize('name', FRAMES)
def test_frames_with_two_factors(name):
    kind, dataset, change, named = FRAMES[name]
    (cause,) = look_at(kind, change, dataset)
    assert cause.key == 'unit' and named in cause.text, cause


def test_tight_boxes_are_named_and_conventions_are_not():
    (cause,) = look_at('bars', about_own(0.5))
    assert cause.key == 'extent' and 'half as high and wide' in cause.text
    for factor in (0.75, 0.85, 1, 1.2, 1.4):
        for kind in KINDS: assert not look_at(kind, about_own(factor)), (kind, factor)


def test_shift_along_one_side_names_that_side_alone():
    (cause,) = look_at('discs', lambda b, h, w: (b[0] + 19, b[1], b[2] + 19, b[3]))
    assert cause.key == 'shift' and 'height further up' in cause.text and 'width' not in cause.text


@pytest.mark.parametrize('kind', ['bars', 'shapes'])
def test_half_of_the_images_mirrored(kind):
    def mirror(boxes, labels, size, number):
        w = size[1]
        return [(b[0], w - b[3], b[2], w - b[1]) if number % 2 else b for b in boxes], labels
    (cause,) = look_at(kind, mirror, count=60, number=True)
    assert cause.key == 'moved_boxes' and 'in at least' in cause.text and 'mirrored' in cause.text, cause


def draw_wires(rng, number):
    "Crosses of thin lines in a wide picture that grows lighter from top to bottom"
    h, w, boxes = 150, 640, []
    image = np.full((h, w, 3), 190.) + np.linspace(-45, 45, h)[:, None, None]
    for k in range(rng.integers(5, 10)):
        bh, bw = (int(v) for v in rng.integers(20, 55, 2))
        y, x = int(rng.integers(h - bh)), int(rng.integers(w - bw))
        for a, b in (((x, y), (x + bw - 1, y + bh - 1)), ((x, y + bh - 1), (x + bw - 1, y))):
            cv2.line(image, a, b, rng.uniform(0, 110, 3).tolist(), 1, cv2.LINE_AA)
        boxes.append((y, x, y + bh, x + bw))
    return np.uint8((image + rng.normal(0, 4, image.shape)).clip(0, 255)), boxes, [0] * len(boxes)


@pytest.mark.parametrize('dataset', ['voc', 'coco'])
def test_wires_in_wide_pictures_accuse_nobody(dataset, monkeypatch):
    monkeypatch.setitem(KINDS, 'wires', (draw_wires, ('wire',)))
    assert not look_at('wires', lambda b, h, w: b, dataset, count=50)


# options and runs

CONFIG = preset('ssd_tiny', 'CPU')
CONFIG = replace(CONFIG, data=replace(CONFIG.data, classes=('background', 'a', 'b')),
                 model=replace(CONFIG.model, num_classes=3), train=replace(CONFIG.train, epoch_size=20))


def with_train(**options): return replace(CONFIG, train=replace(CONFIG.train, **options))


def first_key(causes): return sort_causes(causes)[0][0].key if sort_causes(causes)[0] else ''


@pytest.mark.parametrize('config, steps, key, named', [
    (CONFIG, 20, '', ''),
    (preset('ssd300', 'CPU'), 12, '', ''),
    (preset('ssd_resnet50_fpn', 'CPU'), 12, '', ''),
    (with_train(freeze_layer='backbone'), 20, 'options', '--freeze_layer'),
    (with_train(freeze_layer='backbone', pre_trained='a.ckpt'), 20, '', ''),
    (with_train(warmup_epochs=20), 20, 'warmup', '--warmup_epochs=20'),
    (with_train(weight_decay=0.1), 20, 'options', '--weight_decay=0.1'),
    (with_train(lr=50.), 20, 'options', '--lr=50'),
    (with_train(lr=1e-5), 20, 'options', '--lr=1e-05'),
    (with_train(momentum=0.999), 20, 'options', '--momentum'),
    (with_train(epoch_size=3), 3, 'short', '9 steps'),
    (replace(CONFIG, loss=replace(CONFIG.loss, alpha=0.0)), 20, 'options', '--alpha=0'),
    (with_train(lr=2.), 20, 'options', '--lr=2 is 20 times'),
    (with_train(lr_init=0.5), 20, 'options', '--lr_init=0.5 is more than --lr=0.1'),
    (with_train(lr_end_rate=10.), 20, 'options', '--lr_end_rate=10 is extreme'),
    (with_train(bn_momentum=0.9999), 20, 'options', '--bn_momentum'),
    (with_train(ema_decay=0.9999), 20, 'options', 'averages over 10,000 steps, and the training has 400'),
    (with_train(ema_decay=0.99), 20, '', ''),
    (with_train(accumulate=100), 20, 'short', 'give a smaller --accumulate than 100'),
    (replace(CONFIG, data=replace(CONFIG.data, expansion=30)), 20, 'options', '--expansion=30'),
    (replace(CONFIG, loss=replace(CONFIG.loss, label_smoothing=0.9)), 20, 'options', '--label_smoothing'),
    (replace(CONFIG, boxes=replace(CONFIG.boxes, prior_scaling=(9., 9.))), 20, 'options', '--prior_scaling'),
    (replace(CONFIG, boxes=replace(CONFIG.boxes, match_threshold=0.9)), 20, 'options', '--match_threshold')])
def test_options(config, steps, key, named):
    causes = judge_options(config, preset(config.model.using_model, 'CPU'), steps)
    assert first_key(causes) == key and (not key or named in causes[0].text), causes


def falling(n=20, low=1.0, rate=4): return [low + 3 * math.exp(-rate * i / n * 2) for i in range(n)]


def write_run(folder, losses, mAPs=None, lr=0.05, steps=20, positives=30.):
    metrics = MetricsFile(folder / 'metrics.csv', 0)
    for i, loss in enumerate(losses, 1):
        mAP = mAPs[i - 1] if mAPs else math.nan
        metrics.add(EpochReport(i, steps, loss, loss / 2, loss / 2, lr, positives, 9., 30., mAP))
    return folder


LEVEL = [4.2 - 0.001 * i for i in range(20)]
RUNS = dict(
    sound=(dict(losses=falling()), ''),
    evaluated=(dict(losses=falling(), mAPs=[0.1 + 0.02 * i for i in range(20)]), ''),
    nan=(dict(losses=[4, 3, math.nan, math.nan]), 'nan'),
    empty=(dict(losses=[]), 'nan'),
    no_rate=(dict(losses=[4.2] * 20, lr=1e-9), 'rate_low'),
    low=(dict(losses=LEVEL, lr=1e-4), 'rate_low'),
    flat=(dict(losses=LEVEL), 'flat'),
    rising=(dict(losses=[4, 3, 2.5, 2.6, 5, 9, 30]), 'rate_high'),
    still=(dict(losses=[9 * 0.9 ** i for i in range(20)]), 'short'),
    stopped=(dict(losses=falling()[:6]), 'short'),
    few=(dict(losses=falling(), steps=2), 'short'),
    overfitting=(dict(losses=falling(), mAPs=[0.05 * min(i, 7) - 0.02 * max(i - 8, 0) for i in range(20)]),
                 'overfitting'),
    unmatched=(dict(losses=falling(), positives=0.2), 'reach'))


@pytest.mark.parametrize('name', RUNS)
def test_runs(name, tmp_path):
    options, key = RUNS[name]
    causes = judge_run(write_run(tmp_path, **options), CONFIG, preset('ssd_tiny', 'CPU'))
    assert first_key(causes) == key, causes
    if name == 'nan': assert 'epoch 3' in causes[0].text


def test_weights_that_are_no_numbers():
    weights = dict(a=np.ones(3, np.float32), b=np.float32([1, np.nan]))
    assert not judge_weights(dict(a=weights['a']))
    (cause,) = judge_weights(weights)
    assert cause.key == 'nan' and '1 of 2 arrays' in cause.text and cause.text.count('is b:') == 1


def test_options_of_another_checkpoint():
    other = replace(CONFIG, data=replace(CONFIG.data, normalisation='caffe'))
    assert not judge_match(CONFIG, other, {'lr'}, 'x.ckpt')
    assert not judge_match(CONFIG, CONFIG, {'normalisation'}, 'x.ckpt')
    (cause,) = judge_match(CONFIG, other, {'normalisation'}, 'x.ckpt')
    assert cause.key == 'mismatch' and '--normalisation=imagenet where caffe was trained' in cause.text


# learning rates and first losses

def curve(low=0.01, high=0.5, drop=0.5):
    "A loss that falls from the one rate to the other, and grows beyond"
    x = np.log(RATES / low) / np.log(high / low)
    losses = 7 * (1 - drop * x.clip(0, 1)) * np.where(x > 1, 1 + 4 * (x - 1), 1)
    return find_range(RATES, losses + np.random.default_rng(0).normal(0, 0.05, len(RATES)))


def go(*losses):
    "Twenty losses on the way between these"
    total = np.interp(np.arange(20), np.linspace(0, 19, len(losses)), losses)
    return np.stack([total, total / 2, total / 2], axis=1)


@pytest.mark.parametrize('found, losses, lr, key', [
    (curve(), go(7, 2), 0.1, ''), (curve(), go(7, 2), 3., ''), (curve(), go(7, 14, 4), 0.3, ''),
    (curve(), go(7, 9, 12), 5., 'rate_high'), (curve(), go(7, 1e9)[:4], 5., 'rate_high'),
    (curve(), go(7, 14, 4), 3., 'rate_high'), (curve(), go(7, 6.8), 1e-4, 'rate_low'),
    (curve(), go(7, 6.8), 0.1, 'steps'), (curve(drop=0), go(7, 7), 0.1, 'steps')])
def test_rates(found, losses, lr, key):
    assert first_key(judge_rates(found, losses, lr)) == key


def test_range_of_a_curve():
    found = curve()
    assert 0.005 < found.low < 0.04 and 0.2 < found.high < 1
    assert math.isnan(curve(drop=0).low)


@pytest.mark.parametrize('measured, known, key', [
    ((3, 4), False, ''), ((3, 40), False, 'start'), ((3, math.nan), True, 'start'), ((3, 0.4), True, ''),
    ((3, 0.4), False, 'start')])
def test_first_loss(measured, known, key): assert first_key(judge_start(measured, (3.2, 4.1), known)) == key


# detections

NAMES = 'background', 'a', 'b', 'c'


def draw_answers(change=None, images=40, seed=0, most=6, side=(200, 300), sizes=(35, 90), noise=0.06, empty=0,
                 wrong=0.3):
    "A good detector, or one that a function of boxes, scores, labels and its rng has changed"
    rng, detections, objects = np.random.default_rng(seed), {}, {}
    for i in range(images):
        n = 0 if i < empty else int(rng.integers(1, most))
        size = rng.uniform(*sizes, (n, 2))
        low = rng.uniform(0, 1, (n, 2)) * (np.array(side) - size)
        truth = np.concatenate([low, low + size], axis=1)
        labels = rng.integers(1, 4, n)
        boxes = truth + rng.normal(0, noise, (n, 4)) * np.tile(size, 2)
        more = int(rng.random() < wrong)
        extra = np.tile(rng.uniform(0, 80, (more, 2)), 2) + [[0, 0, 40, 40]]
        scores = np.concatenate([rng.uniform(0.4, 0.95, n), rng.uniform(0.1, 0.4, more)])
        part = np.concatenate([boxes, extra]), scores, np.concatenate([labels, rng.integers(1, 4, more)])
        if change: part = change(*part, rng)
        detections[i], objects[i] = Detections(*part), Objects(truth, labels, np.zeros(n, bool))
    return Answers(detections, objects, dict.fromkeys(range(images), side), NAMES)


def scale_about_centre(boxes, factor):
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return np.concatenate([middle - half * factor, middle + half * factor], axis=1)


def swap_detections(boxes, scores, labels, rng):
    return boxes[:, [1, 0, 3, 2]] * np.tile([200 / 300, 300 / 200], 2), scores, labels


def mirror_detections(boxes, scores, labels, rng):
    return np.stack([boxes[:, 0], 300 - boxes[:, 3], boxes[:, 2], 300 - boxes[:, 1]], axis=1), scores, labels


ANSWERS = dict(
    sound=(dict(), ''), sloppy=(dict(noise=0.09, seed=4), ''), few_wrong=(dict(wrong=0.8, seed=2), ''),
    quiet=(dict(change=lambda b, s, l, r: (b, s * 0.09, l)), 'scores'),
    background=(dict(change=lambda b, s, l, r: (b + 60, s * 0.05, l)), 'background'),
    nothing=(dict(change=lambda b, s, l, r: (b[:0], s[:0], l[:0])), 'background'),
    one_class=(dict(change=lambda b, s, l, r: (b, s, l * 0 + 2)), 'one_class'),
    order=(dict(change=lambda b, s, l, r: (b, s, l % 3 + 1)), 'order'),
    two_swapped=(dict(change=lambda b, s, l, r: (b, s, np.array([0, 2, 1, 3])[l])), 'order'),
    classes=(dict(change=lambda b, s, l, r: (b, s, r.integers(1, 4, len(l)))), 'classes'),
    places=(dict(change=lambda b, s, l, r: (scale_about_centre(b, 0.5), s, l)), 'places'),
    swapped=(dict(change=swap_detections), 'axes'), mirrored=(dict(change=mirror_detections), 'axes'),
    loose=(dict(noise=0.01, change=lambda b, s, l, r: (scale_about_centre(b, 1.3), s, l)), 'loose'),
    crowded=(dict(images=8, most=400, sizes=(35, 40), change=lambda b, s, l, r: (b[:90], s[:90], l[:90])),
             'max_boxes'),
    hidden=(dict(empty=30, images=50, wrong=2,
                 change=lambda b, s, l, r: (b, np.where(s < 0.4, 0.97, s), l)), 'protocol'),
    few=(dict(images=3, most=3), 'few_objects'), small=(dict(sizes=(8, 20)), 'small'))


@pytest.mark.parametrize('part, found', [(0, False), (0.15, False), (0.5, True), (0.7, True)])
@pytest.mark.parametrize('seed', range(3))
def test_objects_that_nobody_drew(part, found, seed):
    answers, rng = draw_answers(images=80, seed=seed), np.random.default_rng(seed)
    left = {}
    for i, truth in answers.objects.items():
        kept = rng.random(len(truth.labels)) >= part
        left[i] = Objects(*(column[kept] for column in truth))
    causes = sort_causes(judge_answers(answers._replace(objects=left)))[0]
    assert ('missing' in [cause.key for cause in causes]) == found, causes
    assert not found or 'look whether objects were not drawn' in causes[0].text


@pytest.mark.parametrize('name', ANSWERS)
def test_answers(name):
    options, key = ANSWERS[name]
    causes = judge_answers(draw_answers(**options))
    assert first_key(causes) == key, (name, causes)


# the command

def ask_command(script_here, *options):
    "The lines that `scripts/check_training.py` prints"
    done = script_here('check_training.py', '--using_model=ssd_tiny', '--run_platform=CPU', *options)
    assert done.code == 0, done.err
    return done.out.splitlines()


SAMPLES = '--dataset=coco', f'--coco_root={ROOT / "data_samples"}'


def test_command_ends_with_a_verdict(script_here):
    lines = ask_command(script_here, *SAMPLES, '--epoch_size=100', '--quick')
    assert lines[-1] == 'verdict: nothing was found.' and sum('verdict:' in line for line in lines) == 1


@pytest.mark.parametrize('words, wrong', [
    (['--preset=small'], ''), (['--optimizer=adamw', '--lr=0.001', '--weight_decay=0.05'], ''),
    (['--preset=small', '--optimizer=momentum'], ''),
    (['--preset=small', '--weight_decay=0.00001'], '--weight_decay=1e-05 is'),
    (['--lr=0.001', '--weight_decay=0.05'], '--weight_decay=0.05 is')])
def test_rates_of_adamw_are_compared_with_those_of_adamw(script_here, words, wrong):
    verdict = ask_command(script_here, *SAMPLES, '--epoch_size=100', '--quick', *words)[-1]
    assert wrong in verdict if wrong else verdict == 'verdict: nothing was found.'


def test_command_takes_the_options_of_a_training(script_here, tmp_path):
    write_run(tmp_path, [4, 3, math.nan])
    options = '--batch_size=64', '--num_classes=9', f'--output_dir={tmp_path}', '--tensorboard=False'
    verdict = ask_command(script_here, *SAMPLES, '--quick', *options)[-1]
    places = [verdict.index(text) for text in ('--batch_size=64', '--num_classes=9', 'from epoch 3')]
    assert places == sorted(places) and verdict.startswith('verdict: 3 causes')


@pytest.mark.parametrize('words, key', (
    (['--min_scale=0.9', '--max_scale=0.95'], '--min_scale=0.9 --max_scale=0.95'),
    (['--max_scale=0.3'], '--max_scale=0.3'), (['--steps=[1,2,3,4,5,6]'], 'does not fit the steps')))
def test_default_boxes_that_were_changed(words, key, script_here):
    verdict = ask_command(script_here, *SAMPLES, '--epoch_size=100', '--quick', *words)[-1]
    assert key in verdict.split(' 2. ')[0], verdict


def test_command_refuses_what_is_missing(script_here):
    done = script_here('check_training.py', '--dataset=coco', '--coco_root=nowhere', '--quick')
    assert done.code == 2 and done.err.startswith('error: ') and 'nowhere' in done.err
    done = script_here('check_training.py', *SAMPLES, '--quick', '--checkpoint_path=none.ckpt')
    assert done.code == 2 and 'none.ckpt' in done.err


@pytest.mark.slow
@pytest.mark.parametrize('option, named', [('--lr=0.1', 'nothing was found'), ('--lr=20', 'too high'),
                                           ('--lr=0.00001', 'too low'), ('--alpha=0', '--alpha=0'),
                                           ('--freeze_layer=backbone', '--freeze_layer')])
def test_beginning_of_a_training(option, named, script_here):
    verdict = ask_command(script_here, *SAMPLES, '--epoch_size=100', option)[-1]
    assert named in verdict.split(' 2. ')[0], verdict


# a trained detector, and what becomes of it if it is spoiled

@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "A data set, and a checkpoint that has learned it"
    from ssd_nb.plumbing.commands import train_command
    folder = tmp_path_factory.mktemp('trained')
    data = write_set(folder, 'discs', counts=(64, 32))
    options = dict(using_model='ssd_tiny', run_platform='CPU', coco_root=data.coco_root, epoch_size=60,
                   mindrecord_dir=data.mindrecord_dir, output_dir=folder / 'run', batch_size=8)
    train_command([f'--{name}={value}' for name, value in options.items()])
    return folder, options


def shift_biases(network, change):
    for head in network.multi_box.multi_cls_layers:
        bias = head[-1].bias
        table = bias.asnumpy().reshape(-1, network.multi_box.num_classes).copy()
        change(table)
        bias.set_data(type(bias)(table.reshape(-1)))


def silence(network, config): shift_biases(network, lambda table: np.add.at(table, np.s_[:, 1:], -12))


def forget_places(network, config):
    for head in network.multi_box.multi_loc_layers:
        for p in head[-1].get_parameters(): p.set_data(type(p)(-p.asnumpy()))


def break_weight(network, config):
    p = list(network.get_parameters())[40]
    p.set_data(type(p)(np.full(p.shape, np.nan, np.float32)))


def lag_behind(network, config): # as after a few steps with a momentum near 1
    for name, p in network.parameters_dict().items():
        if name.endswith('moving_mean'): p.set_data(type(p)(np.zeros(p.shape, np.float32)))
        if name.endswith('moving_variance'): p.set_data(type(p)(np.ones(p.shape, np.float32)))


def turn_names(config):
    first, *names = config.data.classes
    return replace(config, data=replace(config.data, classes=(first, *names[1:], names[0])))


SPOILED = dict(
    sound=((), 'nothing was found'), silent=((silence,), 'called background'),
    places=((forget_places,), 'boxes wrong'), broken=((break_weight,), 'NaN or infinity'),
    names=((None, turn_names), 'in another order'), statistics=((lag_behind,), '--bn_momentum'),
    normalisation=((None, lambda c: replace(c, data=replace(c.data, normalisation='caffe'))),
                   '--normalisation'))


@pytest.mark.slow
@pytest.mark.parametrize('name', SPOILED)
def test_spoiled_checkpoints(name, trained, script_here, tmp_path):
    from ssd_nb.train import load_network, save_checkpoint
    (folder, options), (changes, named) = trained, SPOILED[name]
    network, config = load_network(folder / 'run/last.ckpt')
    change_network, change_config = (*changes, None, None)[:2]
    if change_network: change_network(network, config)
    if change_config: config = change_config(config)
    path = save_checkpoint(network, config, 60, tmp_path / 'spoiled.ckpt')
    given = [f'--{key}={value}' for key, value in options.items() if key not in ('output_dir', 'using_model')]
    verdict = ask_command(script_here, *given, '--quick', f'--checkpoint_path={path}')[-1]
    assert named in verdict.split(' 2. ')[0], verdict
