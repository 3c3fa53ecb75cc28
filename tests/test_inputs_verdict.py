"""What the verdict on a data set says, the best default boxes of many objects, reports in little memory."""
import json
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from make_sets import coco_content, draw_patch, write_coco, write_image, write_txt
from ssd_nb.boxes import (
    BOX_CONFIGS, PAPER_BOXES, BoxConfig, default_boxes, find_best_iou, find_box_levels, yxhw2tlbr)
from ssd_nb.data import describe_set, encode_example, format_report
from ssd_nb.plumbing.content import gather_content
from ssd_nb.plumbing.copies import Prints, digest_image, find_copies, make_thumbnail, take_prints
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.overlap import find_reach
from ssd_nb.plumbing.samples import find_sample_folder
from ssd_nb.plumbing.verdict import SplitFacts, describe_splits, format_verdict, judge_splits

SSD, FPN = BOX_CONFIGS['ssd300'], BOX_CONFIGS['ssd_mobilenet_v1_fpn']


# the best default box

CONFIGS = BOX_CONFIGS | dict(
    paper=PAPER_BOXES, wide=replace(FPN, image_shape=(320, 640)), odd=replace(SSD, image_shape=(333, 250)),
    uneven=BoxConfig(image_shape=(160, 320), steps=((16, 32), (32, 32), (160, 107)),
                     aspect_ratios=((2,),) * 3),
    one_map=BoxConfig(image_shape=(64, 64), steps=(64,), aspect_ratios=((2, 3),)))


def draw_objects(n, seed=0):
    "Objects of all sizes, at the borders, beyond them, without height, and equal to default boxes"
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(-0.1, 1.1, (n, 2)), 10 ** rng.uniform(-2.5, 0.2, (n, 2))
    size[::50, 0] = 0
    centre[1::10] = rng.choice([0, 0.5, 1], (len(centre[1::10]), 2))
    return yxhw2tlbr(np.concatenate([centre, size], axis=1))


@pytest.mark.parametrize('name', CONFIGS)
def test_reach_is_that_of_all_pairs(name):
    config = CONFIGS[name]
    table = default_boxes(config), find_box_levels(config)
    n = 300 if len(table[0]) > 10_000 else 2000
    objects = np.concatenate([draw_objects(n), yxhw2tlbr(table[0][::max(1, len(table[0]) // 100)])])
    fast = find_reach(objects, *table)
    parts = np.array_split(objects, len(objects) // 50)
    slow = np.concatenate([find_best_iou(part, config) for part in parts])
    np.testing.assert_allclose(fast, slow, atol=2e-5)
    all_pairs = yxhw2tlbr(table[0].astype(float)) # the same in 64 bits
    for box, found in zip(objects[::25], fast[::25]):
        sides = np.minimum(box[2:], all_pairs[:, 2:]) - np.maximum(box[:2], all_pairs[:, :2])
        shared, areas = sides.clip(0).prod(axis=1), (all_pairs[:, 2:] - all_pairs[:, :2]).prod(axis=1)
        assert abs((shared / ((box[2:] - box[:2]).prod() + areas - shared)).max() - found) < 1e-6


def test_reach_of_nothing():
    assert find_reach(np.zeros((0, 4)), default_boxes(SSD), find_box_levels(SSD)).shape == (0,)


def test_report_of_many_objects_stays_small(tmp_path):
    images = [dict(id=i, file_name=f'{i}.jpg', height=480, width=640) for i in range(200)]
    notes = [dict(id=i, image_id=i % 200, category_id=1, bbox=[i % 500, 10, 20 + i % 90, 30])
             for i in range(20_000)]
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(dict(images=images, annotations=notes, categories=[dict(id=1, name='cat')])))
    del notes
    tracemalloc.start()
    report = describe_set(path, FPN)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.counts == {'cat': 20_000} and len(report.reach) == 20_000
    assert peak < 20e6 # all pairs would take 4,000 MB


# reports

TRUTH = dict(images=[dict(id=-7, file_name='a.jpg', height=100, width=200),
                     dict(id=2 ** 60, height=50, width=50)],
             annotations=[dict(image_id=-7, category_id=3, bbox=[20, 10, 40, 20]),
                          dict(image_id=-7, category_id=3, bbox=[0, 0, 100, 100], iscrowd=1),
                          dict(image_id=-7, category_id=9, bbox=[0, 0, 200, 50], iscrowd=0)],
             categories=[dict(id=3, name='cat'), dict(id=9, name='猫'), dict(id=11, name='$x')])


@pytest.mark.parametrize('form', ['dict', 'file', 'content', 'bom'])
def test_forms_of_truth(form, tmp_path):
    path = tmp_path / 'truth.json'
    path.write_text(('\ufeff' if form == 'bom' else '') + json.dumps(TRUTH), encoding='utf-8')
    truth = dict(dict=TRUTH, file=path, bom=str(path), content=gather_content(TRUTH))[form]
    report = describe_set(truth, SSD)
    assert report.counts == {'cat': 1, '猫': 1, '$x': 0}
    np.testing.assert_allclose(report.boxes, [[0.1, 0.1, 0.3, 0.3], [0, 0, 0.5, 1]])
    assert report.per_image.tolist() == [2, 0] and report.aspects.tolist() == [2, 4]
    np.testing.assert_allclose(report.reach, find_best_iou(report.boxes, SSD), atol=1e-6)
    assert format_report(report)[-2].endswith('without any: 1')


@pytest.mark.parametrize('text', ['{"images": [{"id": 1', '', 'no json', None])
def test_broken_truth(text, tmp_path):
    if text is not None: (tmp_path / 'truth.json').write_text(text)
    with pytest.raises(UserError, match=r'truth\.json cannot be read \(.+\): write it again\.$'):
        describe_set(tmp_path / 'truth.json', SSD)


@pytest.mark.parametrize('part, entry', [
    ('images', dict(id=1)), ('images', 'a.jpg'), ('images', dict(id=1, height='x', width=2)),
    ('categories', {}),
    ('annotations', dict(image_id=-7)), ('annotations', dict(image_id=-7, category_id=3, bbox=[1, 2, 3])),
    ('annotations', dict(image_id=[1], category_id=3)), ('annotations', None),
    ('annotations', dict(image_id=-7, category_id=3, bbox=[1, 2, 'x', 4]))])
def test_entries_that_are_none(part, entry):
    with pytest.raises(UserError, match=r'the ground truth is not in COCO form \(.+\): write it again\.$'):
        describe_set(TRUTH | {part: [*TRUTH[part], entry]}, SSD)


@pytest.mark.parametrize('number', [-1, -2 ** 53, 5, 2 ** 53])
def test_augmentation_of_any_id(number):
    image = write_bytes(draw_patch())
    objects = np.float32([[60, 80, 0, 0, 0, 0], [10, 20, 40, 50, 1, 0]])
    config = BoxConfig(image_shape=(32, 32), steps=(8, 32), aspect_ratios=((2,),) * 2)
    m = len(default_boxes(config))
    columns = ((3, 32, 32), np.float32), ((m, 4), np.float32), ((m,), np.int32), ((), np.int32)
    out = [np.zeros(*column) for column in columns]
    encode_example((image, np.int64(number), objects), out, config, 1, 0, dict(jitter=0.4))
    assert out[3] > 0 and np.isfinite(out[0]).all()


# copies

def write_bytes(image, ending='.jpg', **options):
    flags = [cv2.IMWRITE_JPEG_QUALITY, options.get('quality', 95)] if ending == '.jpg' else []
    return cv2.imencode(ending, image[..., ::-1], flags)[1].tobytes()


def read_bytes(data): return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


FILES = [path.read_bytes() for path in sorted(find_sample_folder().glob('train/*.jpg'))[:12]]


def take(*data):
    rows = [(d, 0, np.float32([[*read_bytes(d).shape[:2], 0, 0, 0, 0]])) for d in data]
    return take_prints(rows, len(rows))


def scale(width, height, interpolation=cv2.INTER_LINEAR):
    return lambda image: write_bytes(cv2.resize(image, (width, height), interpolation=interpolation))


COPIES = dict(
    quality_70=lambda i: write_bytes(i, quality=70), quality_30=lambda i: write_bytes(i, quality=30),
    png=lambda i: write_bytes(i, '.png'), webp=lambda i: write_bytes(i, '.webp'),
    bmp=lambda i: write_bytes(i, '.bmp'),
    half=scale(160, 120, cv2.INTER_AREA), double=scale(640, 480), large=scale(1280, 960, cv2.INTER_CUBIC),
    square=scale(300, 300), odd=scale(301, 227),
    twice=lambda i: write_bytes(read_bytes(write_bytes(i, quality=80))))


@pytest.mark.parametrize('kind', COPIES)
def test_saved_again(kind):
    again = take(*(COPIES[kind](read_bytes(data)) for data in FILES))
    twins, exact = find_copies(again, take(*FILES))
    assert twins.tolist() == list(range(12)) and not exact.any()


def with_square(x, side=16):
    image = read_bytes(FILES[0]).copy()
    image[100:100 + side, x:x + side] = 255
    return image


CHANGES = dict(
    object_moved=lambda: with_square(104), small_object_moved=lambda: with_square(112, 8),
    camera_moved=lambda: np.roll(with_square(100), 3, axis=1), mirrored=lambda: with_square(100)[:, ::-1],
    brighter=lambda: np.minimum(with_square(100), 245) + np.uint8(10))


@pytest.mark.parametrize('kind', CHANGES)
def test_another_frame_is_no_copy(kind):
    before = with_square(100, 8 if kind.startswith('small') else 16)
    twins, _ = find_copies(take(write_bytes(CHANGES[kind]())), take(write_bytes(before)))
    assert twins.tolist() == [-1]


def test_dark_pictures_are_told_apart():
    dark = [write_bytes(read_bytes(data) // 16, '.png') for data in FILES] # 12 of 16 bits are used
    assert find_copies(take(*dark))[0].tolist() == [-1] * 12


def test_flat_pictures():
    grey = [write_bytes(np.full((64, 64, 3), value, np.uint8), '.png') for value in (0, 100, 101, 255)]
    assert find_copies(take(*grey))[0].tolist() == [-1] * 4
    larger = write_bytes(np.full((80, 90, 3), 100, np.uint8), '.png')
    assert find_copies(take(*grey, larger))[0].tolist() == [-1] * 4 + [1]


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_turned_photograph(orientation, tmp_path):
    image, turns = draw_patch((240, 320), [(20, 30, 90, 200)]), {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    data = write_image(tmp_path / 'a.jpg', np.rot90(image, turns), exif=orientation).read_bytes()
    np.testing.assert_allclose(make_thumbnail(data, (240, 320)).astype(int),
                               make_thumbnail(write_bytes(image), (240, 320)).astype(int), atol=16)


@pytest.mark.parametrize('size', [(1, 1), (1, 400), (31, 33), (64, 64), (513, 1025), (2000, 40)])
def test_thumbnail_of_any_size(size):
    for ending in ('.jpg', '.png'):
        assert (make_thumbnail(write_bytes(np.full((*size, 3), 120, np.uint8), ending), size) == 120).all()


def test_equal_files():
    prints = take(FILES[3], FILES[4], FILES[3], FILES[3])
    assert [part.tolist() for part in find_copies(prints)] == [[-1, -1, 0, 0], [False, False, True, True]]
    assert prints.digests[0] == digest_image(FILES[3]) != digest_image(FILES[4])


def test_many_alike_take_little_time():
    alike = Prints(np.arange(3000, dtype=np.uint64), np.repeat(take(FILES[0]).thumbnails, 3000, axis=0))
    twins, exact = find_copies(alike)
    assert twins[0] == -1 and (twins[1:] >= 0).all() and (twins < np.arange(3000)).all() and not exact.any()


# the verdict

CAT, DOG = (0, 0, (10, 10, 60, 60)), (1, 1, (12, 10, 60, 65))
SPREAD = [(i % 12, i % 2, (5 + 2 * (i // 12), 10, 60 + 2 * (i // 12), 50 + 3 * (i // 12))) for i in range(96)]


def make_facts(objects=SPREAD, images=12, classes=('cat', 'dog'), name='train', data=None, **manifest):
    notes = [dict(image_id=i, category_id=label, bbox=[x1, y1, x2 - x1, y2 - y1])
             for i, label, (y1, x1, y2, x2) in objects]
    sizes = dict(height=100, width=100)
    truth = dict(images=[dict(id=i, file_name=f'{name}/{i}.jpg', **sizes) for i in range(images)],
                 annotations=notes, categories=[dict(id=i, name=n) for i, n in enumerate(classes)])
    counts = dict(images=images, objects=len(notes), crowd=0, skipped_images=0, problems=0, lost_objects=0,
                  left_out=0, turned=0, unsettled=0, notes=[])
    return SplitFacts(name, gather_content(truth), counts | manifest, take(*data) if data else None, 'runs/x')


def judge(*facts, config=FPN): return [finding.text for finding in judge_splits(list(facts), config)]


def test_nothing_odd():
    assert judge(make_facts()) == []
    assert format_verdict([make_facts()], []) == ['train: 12 images with 96 objects are used; '
                                                  'nothing is left out', 'verdict: nothing odd was found']


MANY = [(0, 0, (2, 3, 40 + i * 0.2, 50 + i * 0.2)) for i in range(101)]
ODD = dict(
    lost_images=(dict(skipped_images=4), 
                 '4 of 16 images could not be used: runs/x/problems.txt says which and why.'),
    lost_objects=(dict(lost_objects=1), '1 of 97 objects could not be used: runs/x/problems.txt says'),
    note=(dict(notes=['the class cat is there twice']), 'train: the class cat is there twice.'),
    clipped=(dict(clipped=dict(boxes=3, most=0.5, first='a.jpg')),
             '3 of 96 boxes left the image, by up to 50% of its side, the most in a.jpg: if they were'),
    few=(dict(objects=[*SPREAD, (0, 2, (1, 2, 30, 40))], classes=('cat', 'dog', 'cow')),
         'fewer than 10 objects of cow (1): too few to learn from'),
    unused=(dict(classes=('cat', 'dog', 'cow', 'yak')), 'there is no object of cow, yak: the network'),
    one_sided=(dict(objects=[(i % 150, int(i == 0), (1 + i / 9, 1, 50 + i / 9, 60)) for i in range(300)],
                    images=150),
               '99% of the objects are cat: the other'),
    empty=(dict(images=40), '70% of the images have no objects, the first is train/12.jpg: look whether'),
    crowded=(dict(objects=SPREAD + MANY),
             '1 image with more than 100 objects, the most in train/0.jpg (109)'),
    classification=(dict(objects=[(i, i % 2, (0, 0, 100, 100)) for i in range(12)]),
                    '100% of the boxes fill their whole image: the set says what is in an image'),
    fractions=(dict(objects=[(i, i % 2, (0.1, 0.2, 0.6, 0.9)) for i in range(12)]),
               '100% of the boxes are less than 2 pixels wide or high: look whether fractions of the image'),
    double=(dict(objects=[*SPREAD, SPREAD[0]]),
            '1 box in 1 image with an IoU above 0.95 to another of the class, in train/0.jpg: remove one'),
    two_classes_in_one_place=(dict(objects=SPREAD + [(i, 1 - label, box) for i, label, box in SPREAD]),
                              '96 boxes in 12 images with an IoU above 0.95 to one of another class, in'),
    one_box=(dict(objects=[(i, i % 2, (20, 30, 60, 70)) for i in range(24)], images=24),
             '100% of the boxes are the same box, in 24 images: look whether the program'),
    dark=(dict(notes=['dark pictures: 12 images (a.png, b.png, c.png, ...), the first is almost black']),
          'train: dark pictures: 12 images (a.png, '))


@pytest.mark.parametrize('kind', ODD)
def test_what_is_odd(kind):
    options, sentence = ODD[kind]
    found = judge(make_facts(**options))
    assert any(sentence in text for text in found), found
    assert all(text.endswith('.') for text in found)


FINE = dict(
    rounding=dict(clipped=dict(boxes=30, most=0.02, first='a.jpg')),
    no_clipping=dict(clipped=dict(boxes=0, most=0)),
    turned=dict(notes=['EXIF says that a picture is to be turned, and it is: 1 image (a.jpg)'], turned=1),
    other_classes=dict(left_out=500), half_empty=dict(images=24), one_class=dict(
        objects=[(i, 0, box) for i, _, box in SPREAD[::2] + SPREAD[1::2]], classes=('cat',)))


@pytest.mark.parametrize('kind', FINE)
def test_what_is_not_odd(kind):
    assert judge(make_facts(**FINE[kind])) == []


def test_small_objects():
    small = make_facts([(i % 12, i % 2, (10, 10 + i / 10, 16, 16 + i / 10)) for i in range(60)])
    found = judge(small, config=SSD)
    assert '60 objects (100%) with an IoU below 0.5 to every default box' in found[0]
    assert 'smaller than 6.0% of the image side: --using_model=ssd_mobilenet_v1_fpn would miss' in found[0]
    tiny = make_facts([(i % 12, i % 2, (10, 10 + i / 5, 12.5, 12.5 + i / 5)) for i in range(60)])
    assert 'cut the images into tiles' in judge(tiny)[0]


def test_classes_of_the_other_split():
    cats = [(i, 0, box) for i, _, box in SPREAD]
    found = judge(make_facts(cats[::2]), make_facts(name='eval'))
    assert 'eval has objects of dog, and train has none: it cannot be found, so move images' in found[0]
    found = judge(make_facts(), make_facts(cats[::2], classes=('cat',), name='eval'))
    assert found == ['train has objects of dog, and eval has none: it is not measured, so move images, '
                     'or leave the class out with --classes.']


def test_copies_between_splits():
    again = write_bytes(read_bytes(FILES[0]), quality=70)
    train = make_facts(data=FILES)
    new = [write_bytes(with_square(10 * i)) for i in range(10)]
    evaluation = make_facts(name='eval', data=[FILES[5], again, *new])
    assert judge(train, evaluation) == [
        '1 of 12 images of eval is also in train, byte for byte, such as eval/0.jpg and train/5.jpg: '
        'results would be too good, so take them out of one of the two.',
        '1 of 12 images of eval is nearly identical to one of train, such as eval/1.jpg and train/0.jpg: '
        'results would be too good, so take them out of one of the two.']


def test_evaluation_with_the_training_images():
    found = judge(make_facts(data=FILES), make_facts(name='eval', data=FILES, dataset='other'))
    assert found == ['12 of 12 images of eval are also in train, byte for byte, such as eval/0.jpg and '
                     'train/0.jpg: results would be too good, so give evaluation images of its own '
                     '(--eval_anno_path).']


@pytest.mark.parametrize('second, sentence', [
    (DOG, '1 of 2 images is the same file as another, with other objects, such as train/1.jpg and train/0'),
    ((1, 0, CAT[2]), '1 of 2 images is the same file as another, such as train/1.jpg and train/0.jpg')])
def test_copies_inside_a_split(second, sentence):
    found = judge(make_facts([CAT, second], images=2, data=[FILES[0], FILES[0]]))
    assert any(sentence in text for text in found), found


def test_order():
    odd = make_facts(objects=[*SPREAD, SPREAD[0]], skipped_images=30, notes=['a.txt was passed over'])
    weights = [finding.weight for finding in judge_splits([odd], FPN)]
    lines = format_verdict([odd], judge_splits([odd], FPN))
    assert weights == sorted(weights, reverse=True) and len(weights) == 3
    assert lines[1] == 'verdict: 3 things to look at, the most important first'
    assert lines[2].startswith('  1. train: 30')


def test_left_out_is_said():
    facts = make_facts(skipped_images=1, lost_objects=20, left_out=3, turned=2, crowd=5)
    first = format_verdict([facts], [])[0]
    assert first == ('train: 12 images with 96 objects (5 of them crowds or difficult) are used; '
                     '1 image and 20 objects are left out; 3 objects of other classes or of background are '
                     'left out; '
                     '2 images turned by EXIF (the list is in runs/x/problems.txt)')


def test_converted_set(tmp_path):
    from ssd_nb.plumbing.records import make_mindrecord
    names = [f'{i}.jpg' for i in range(6)]
    config = write_coco(tmp_path, coco_content(names), names=names)
    write_coco(tmp_path, coco_content(names[:1]), 'val', names[:1])
    for i, data in enumerate(FILES[:6]):
        image = cv2.resize(read_bytes(data), (80, 60))
        (tmp_path / f'train/{i}.jpg').write_bytes(write_bytes(image))
        if i == 2: (tmp_path / 'val/0.jpg').write_bytes(write_bytes(image, quality=60))
    for split in ('train', 'eval'): make_mindrecord(config, split)
    lines = describe_splits(config, FPN, ['train', 'eval'])
    assert lines[0] == 'train: 6 images with 6 objects are used; nothing is left out'
    assert lines[3] == ('  1. 1 of 1 image of eval is nearly identical to one of train, such as 0.jpg and '
                        '2.jpg: results would be too good, so give evaluation images of its own.')
    assert describe_splits(config, FPN, ['eval'])[0] == (
        'eval: 1 image with 1 object is used; nothing is left out')


def test_one_list_for_both_splits(tmp_path):
    from ssd_nb.plumbing.records import make_mindrecord
    config = write_txt(tmp_path, ('1.jpg 20,10,50,40,1', '2.jpg 20,10,50,40,2'))
    write_image(tmp_path / '2.jpg', draw_patch(boxes=[(20, 5, 50, 60)]))
    for split in ('train', 'eval'): make_mindrecord(config, split)
    lines = describe_splits(config, FPN, ['train', 'eval'])
    assert '2 of 2 images of eval are also in train, byte for byte' in lines[3]
    assert '--eval_anno_path' in lines[3]
