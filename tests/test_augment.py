"""Options of the training data: the same images whoever makes them, and without them not a bit changed."""
import zlib
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from make_sets import coco_content, draw_patch, write_coco, write_image

from ssd_nb.data import DataConfig, _augment_stepwise, augment_image, choose_window, create_dataset
from ssd_nb.plumbing.model_config import ModelConfig, check_fit
from ssd_nb.plumbing.mosaic import LEAST_VISIBLE, make_mosaic
from ssd_nb.plumbing.multi_scale import choose_epoch_boxes, list_scales
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.sampling import draw_balanced, find_repeat_factors, read_repeat_factors
from ssd_nb.ssd_heads import MODELS
from ssd_nb.train import preset

NETWORK = MODELS['ssd_tiny'].boxes
LEVERS = dict(mosaic=dict(mosaic=1.0), half=dict(mosaic=0.5), turns=dict(turns=True),
              small=dict(crop_rule='small'), balanced=dict(sampling='balanced'),
              all=dict(mosaic=0.7, turns=True, crop_rule='small', sampling='balanced', expansion=2.0))


@pytest.fixture(scope='module')
def samples(tmp_path_factory):
    "The sample set, whose MindRecord is made once"
    folder = tmp_path_factory.mktemp('samples')
    config = DataConfig(coco_root=str(ROOT / 'data_samples'), mindrecord_dir=str(folder))
    return replace(config, num_parallel_workers=0)


def take(config, batch_size=8, **options):
    "The batches of an epoch"
    data = create_dataset(config, NETWORK, 'train', batch_size, **options)
    return list(data.create_tuple_iterator(num_epochs=1, output_numpy=True))


def same(batches, others):
    assert len(batches) == len(others)
    return all(np.array_equal(a, b) for pair in zip(batches, others) for a, b in zip(*pair))


RECORDED = { # checksums of the targets from before there were these options
    (): 'c46b4428 9369bcf1 a7be48d2',
    (('crop_rule', 'paper'), ('expansion', 4.0)): '6a2cab78 a1c4c7b9 08b81cac'}


@pytest.mark.parametrize('options', RECORDED, ids=['default', 'paper'])
def test_off_means_not_a_bit_changed(samples, options):
    batches = take(replace(samples, **dict(options)), seed=3, epoch=2)
    found = [f'{zlib.crc32(b"".join(batch[k].tobytes() for batch in batches)):08x}' for k in (1, 2, 3)]
    assert ' '.join(found) == RECORDED[options]


@pytest.mark.parametrize('name', LEVERS)
def test_same_images_whoever_makes_them(samples, name):
    "With workers, on two processes, and after a stop in the middle of an epoch"
    config = replace(samples, **LEVERS[name])
    batches = take(config, epoch=1)
    assert len(batches) == 6 and all(np.isfinite(batch[0]).all() for batch in batches)
    assert same(batches, take(replace(config, num_parallel_workers=2), epoch=1))
    assert same(batches[2:], take(config, epoch=1, skip=2))
    assert not same(batches, take(config, epoch=2))
    assert not same(batches, take(samples, epoch=1))
    halves = [np.concatenate([batch[0] for batch in take(config, epoch=1, rank=rank, ranks=2)])
              for rank in (0, 1)]
    whole = np.concatenate([batch[0] for batch in batches])
    assert np.array_equal(np.stack(halves, axis=1).reshape(whole.shape), whole)


@pytest.mark.parametrize('name', LEVERS)
def test_evaluation_is_left_alone(samples, name):
    def read(config):
        data = create_dataset(config, NETWORK, 'eval', 40, train=False)
        return list(data.create_tuple_iterator(num_epochs=1, output_numpy=True))
    assert same(read(samples), read(replace(samples, **LEVERS[name])))


def test_augment_off_has_no_mosaic(samples):
    config = replace(samples, augment=False)
    assert same(take(config), take(replace(config, mosaic=1.0, turns=True)))


MISTAKES = [(dict(mosaic=1.5), '--mosaic=1.5 is not possible: give a number from 0 to 1'),
            (dict(mosaic=-0.1), '--mosaic=-0.1 is not possible'),
            (dict(multi_scale=0.6), '--multi_scale=0.6 is not possible: give a number from 0 to 0.5'),
            (dict(sampling='balance'), 'did you mean balanced?'),
            (dict(crop_rule='smal'), 'did you mean small?')]


@pytest.mark.parametrize('options, said', MISTAKES, ids=[said[:20] for _, said in MISTAKES])
def test_a_mistake_gets_one_sentence(options, said):
    with pytest.raises(UserError) as error: DataConfig(**options)
    assert said in str(error.value) and str(error.value).endswith('.')


# --- boxes follow pixels -----------------------------------------------------------------------------------

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)])


def paint(number, size=(240, 320), box=(60, 90, 130, 200)):
    "A black image with one object in the colour of its number"
    image, (y1, x1, y2, x2) = np.zeros((*size, 3), np.uint8), box
    image[y1:y2, x1:x2] = COLOURS[number]
    return image, np.float32([box]) / np.float32([*size, *size]), np.array([number])


def extent(image, colour):
    "y1 x1 y2 x2 of its pixels"
    same = (np.abs(image.astype(int) - colour) < 128).all(2)
    rows, columns = np.flatnonzero(same.any(1)), np.flatnonzero(same.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])


OPTIONS = [dict(turns=True), dict(turns=True, rule='none'), dict(rule='small'),
           dict(mosaic=True, rule='none'), dict(mosaic=True, turns=True, rule='small')]


@pytest.mark.parametrize('options', OPTIONS, ids=lambda options: '-'.join(map(str, options)))
def test_boxes_follow_pixels(options):
    options, kept = dict(options), 0
    parts = [paint(0), paint(1, (200, 200), (20, 30, 150, 90)), paint(2, (300, 180), (10, 10, 200, 170)),
             paint(3)]
    if options.pop('mosaic', False): options['others'] = parts[1:]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        image, boxes, labels = augment_image(*parts[0], (300, 300), rng, jitter=0, **options)
        assert image.shape == (300, 300, 3) and (boxes >= 0).all() and (boxes <= 1).all()
        for box, label in zip(boxes, labels):
            assert np.abs(extent(image, COLOURS[label]) - box * 300).max() < 2.5, seed
        kept += len(labels)
    assert kept > 40


def test_mosaic_drops_slivers():
    "What is kept and what is dropped, by the pixels of its colour in a mosaic of images of one size"
    parts = [paint(number) for number in range(4)]
    for seed in range(100):
        image, boxes, labels, dropped = make_mosaic(*parts[0], np.random.default_rng(seed), parts[1:])
        for number in range(4):
            seen = (np.abs(image.astype(int) - COLOURS[number]) < 128).all(2).sum() / (70 * 110)
            if number in labels: assert seen > LEAST_VISIBLE - 0.03
            else: assert seen < LEAST_VISIBLE + 0.03
        assert len(labels) + len(dropped) == 4


@pytest.mark.parametrize('size', [(1, 1), (1, 50), (50, 1), (2, 2)])
def test_mosaic_of_tiny_images(size):
    part = np.zeros((*size, 3), np.uint8), np.float32([[0, 0, 1, 1]]), np.array([1])
    nothing = np.zeros((9, 7, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, int)
    image, boxes, labels, _ = make_mosaic(*part, np.random.default_rng(0), [nothing, part, nothing])
    assert image.shape == (*size, 3) and len(boxes) == len(labels)
    image, boxes, labels, dropped = make_mosaic(*nothing, np.random.default_rng(0), [nothing] * 3)
    assert len(boxes) == len(labels) == len(dropped) == 0
    steps = list(_augment_stepwise(*part, (30, 30), np.random.default_rng(1), 'small', turns=True,
                                   others=[part] * 3))
    assert steps[-1].image.shape == (30, 30, 3)


def test_small_crop_holds_the_object():
    boxes = np.array([[0.4, 0.4, 0.44, 0.43], [0.1, 0.1, 0.6, 0.9], [0, 0.9, 0.1, 1]])
    rng, held = np.random.default_rng(0), np.zeros(3)
    for _ in range(300):
        y1, x1, y2, x2 = choose_window(boxes, 0.75, rng, 'any', 'small')
        assert 0 <= y1 < y2 <= 1 + 1e-9 and 0 <= x1 < x2 <= 1 + 1e-9
        inside = (boxes[:, 0] >= y1 - 1e-9) & (boxes[:, 1] >= x1 - 1e-9) & (boxes[:, 2] <= y2 + 1e-9) & (
            boxes[:, 3] <= x2 + 1e-9)
        assert inside.any()
        held += inside
    assert held[0] > 0.85 * 300 # the smallest: 89 % of the draws by area, and often in the others' windows


# --- which images ------------------------------------------------------------------------------------------

def skewed(folder):
    "20 images with a cat; the last has a dog, too"
    names = [f'{i:02}.png' for i in range(20)]
    content = coco_content(names, ('cat', 'dog'))
    content['annotations'].append(dict(content['annotations'][-1], id=99, category_id=2, bbox=[1, 1, 8, 8]))
    config = write_coco(folder, content, names=names)
    for i, name in enumerate(names): write_image(folder / 'train' / name, np.maximum(draw_patch(), 10 * i))
    return replace(config, num_parallel_workers=0, jitter=0.0, crop_rule='none')


def count_dogs(config, epochs):
    return sum(int((batch[2] == 2).any(1).sum()) for epoch in range(epochs)
               for batch in take(config, 5, epoch=epoch))


def test_rare_classes_come_more_often(tmp_path):
    config = skewed(tmp_path)
    assert count_dogs(config, 4) == 4 # once in each epoch
    balanced = replace(config, sampling='balanced')
    expected = 20 * 20 ** 0.5 / (19 + 20 ** 0.5) # of 20 draws, by the factors 1 and the root of 20
    assert abs(count_dogs(balanced, 10) - 10 * expected) <= 10
    assert len(take(balanced, 5)) == len(take(config, 5)) == 4


def test_repeated_image_is_augmented_anew(tmp_path):
    "Two of its copies in an epoch differ"
    config = replace(skewed(tmp_path), sampling='balanced', jitter=0.4)
    copies = [image.tobytes() for batch in take(config, 5) for image, label in zip(batch[0], batch[2])
              if (label == 2).any()]
    assert len(copies) >= 2 and len(set(copies)) == len(copies)


def test_crowds_are_not_balanced(tmp_path):
    content = coco_content(('1.png', '2.png'), ('cat', 'dog'))
    content['annotations'].append(dict(content['annotations'][1], id=99, category_id=2, iscrowd=1))
    config = replace(write_coco(tmp_path, content, names=('1.png', '2.png')), num_parallel_workers=0)
    take(config, 2)
    assert read_repeat_factors(tmp_path / 'record/train').tolist() == [1, 1]


def test_each_image_is_rounded_up_or_down():
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 100):
        factors = rng.uniform(1, 9, n)
        wanted = factors * n / factors.sum()
        for _ in range(20):
            counts = np.bincount(draw_balanced(factors, rng), minlength=n)
            assert counts.sum() == n
            assert (np.floor(wanted) <= counts).all() and (counts <= np.ceil(wanted)).all()


def test_factor_is_that_of_the_rarest_class():
    owners, labels = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 0, 0, 2])
    squares = find_repeat_factors(owners, labels, 5) ** 2
    assert np.allclose(squares, [5, 5 / 3, 5 / 3, 5, 1])


# --- which size --------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', MODELS)
def test_every_network_takes_every_size(name):
    model = ModelConfig(name, num_classes=4)
    for spread in (0.05, 0.25, 0.5):
        for boxes in list_scales(model, MODELS[name].boxes, spread): check_fit(model, boxes)
    for boxes in list_scales(model, replace(MODELS[name].boxes, image_shape=(320, 512)), 0.0):
        assert max(boxes.image_shape) >= 320


def test_sizes_follow_from_seed_and_epoch():
    config = preset('ssd300', 'CPU')
    train = replace(config.train, epoch_size=20)
    on = replace(config, train=train, data=replace(config.data, multi_scale=0.25))
    sizes = [choose_epoch_boxes(on, epoch).image_shape for epoch in range(1, 21)]
    assert sizes == [choose_epoch_boxes(on, epoch).image_shape for epoch in range(1, 21)]
    assert set(sizes) == {(224, 224), (300, 300), (384, 384)} and sizes[16:] == [(300, 300)] * 4
    other = replace(on, train=replace(train, seed=2))
    assert sizes != [choose_epoch_boxes(other, epoch).image_shape for epoch in range(1, 21)]
    assert all(choose_epoch_boxes(config, epoch) is config.boxes for epoch in range(1, 21))


def test_batches_have_the_size_of_the_epoch(samples):
    for boxes in list_scales(ModelConfig('ssd_tiny', num_classes=6), NETWORK, 0.25):
        data = create_dataset(samples, boxes, 'train', 8)
        image, loc, label, matched = next(data.create_tuple_iterator(num_epochs=1, output_numpy=True))
        assert image.shape[2:] == boxes.image_shape and loc.shape[1] == label.shape[1]
        assert matched.sum() > 0
