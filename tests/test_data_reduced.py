"""Large JPEGs decoded at a part of their size: which part, the same boxes, nearly the same pictures."""
from dataclasses import replace
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from ssd_nb.data import (
    DataConfig, _augment_stepwise, augment_image, create_dataset, describe_columns, encode_eval_example,
    encode_example, prepare_input)
from ssd_nb.plumbing.images import decode_image
from ssd_nb.plumbing.reduced import choose_reduction, measure_cut, reduce_size
from ssd_nb.plumbing.samples import SAMPLE_SEED, derive_seed, draw_sample, write_samples
from ssd_nb.ssd_heads import MODELS

NETWORK = MODELS['ssd_tiny'].boxes # of 160 × 160
PICTURE, BOXES, LABELS = draw_sample(derive_seed(SAMPLE_SEED, 'eval'), 5, (960, 1280))


def store(image, kind='JPEG', mode='RGB', orientation=1, **options):
    "The bytes of a picture; `orientation` is the number in its EXIF"
    exif, file = Image.Exif(), BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(image).convert(mode).save(file, kind, exif=exif, **options)
    return file.getvalue()


def make_row(image=PICTURE, **options):
    "A row of a MindRecord with the objects of the drawn picture"
    scale = np.float32([*image.shape[:2]] * 2) / np.float32([960, 1280] * 2)
    rows = np.column_stack([BOXES * scale, LABELS, np.zeros(len(LABELS))])
    return store(image, quality=92, **options), 7, np.float32([[*image.shape[:2], 0, 0, 0, 0], *rows])


def train(row, reduced, epoch=0, box_config=NETWORK, **augmentation):
    out = [np.empty(shape, dtype) for shape, dtype in describe_columns(box_config, True).values()]
    encode_example(row, out, box_config, 3, epoch, augmentation, reduced=reduced)
    return out


def look(row, reduced):
    out = [np.empty(shape, dtype) for shape, dtype in describe_columns(NETWORK, False).values()]
    encode_eval_example(row, out, NETWORK, reduced=reduced)
    return out


@pytest.fixture
def decoded(monkeypatch):
    "The reductions that pictures are decoded with"
    found = []
    def remember(*args, reduction=1, **options):
        found.append(reduction)
        return decode_image(*args, reduction=reduction, **options)
    monkeypatch.setattr('ssd_nb.data.decode_image', remember)
    return found


# --- which part --------------------------------------------------------------------------------------------

@pytest.mark.parametrize('size, wanted', [
    ((320, 320), 2), ((319, 320), 1), ((320, 319), 1), ((639, 9000), 2), ((640, 640), 4), ((1279, 1281), 4),
    ((1280, 1280), 8), ((20000, 20000), 8), ((160, 160), 1), ((10, 10), 1)])
def test_borders(size, wanted):
    assert choose_reduction(b'\xff\xd8', size, (160, 160)) == wanted
    assert choose_reduction(b'\xff\xd8', size[::-1], (160, 160)) == wanted


def test_height_and_width_are_not_mixed_up():
    assert choose_reduction(b'\xff\xd8', (200, 800), (100, 400)) == 2
    assert choose_reduction(b'\xff\xd8', (800, 200), (100, 400)) == 1


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (8, 8), (9, 17), (63, 65), (480, 641)])
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_size_of_a_reduced_picture(size, mode):
    for options in (dict(), dict(progressive=True), dict(subsampling=0)):
        data = store(np.full((*size, 3), 77, np.uint8), mode=mode, **options)
        for r in (1, 2, 4, 8):
            image = decode_image(data, reduction=r)
            assert image.shape == (*reduce_size(size, r), 3) and image.dtype == np.uint8
            assert np.abs(image.astype(int) - 77).max() < 6


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'WEBP', 'TIFF'])
def test_other_forms_are_decoded_whole(kind, decoded):
    row = store(PICTURE, kind), *make_row()[1:]
    for r in (2, 4, 8): assert np.array_equal(decode_image(row[0], reduction=r), decode_image(row[0]))
    for a, b in zip(train(row, True), train(row, False)): assert np.array_equal(a, b)
    for a, b in zip(look(row, True), look(row, False)): assert np.array_equal(a, b)
    assert set(decoded) == {1}


# --- no detail is lost -------------------------------------------------------------------------------------

CHANGES = [dict(), dict(rule='paper'), dict(rule='small'), dict(rule='none'), dict(turns=True),
           dict(expansion=4.0), dict(rule='none', turns=True), dict(rule='small', turns=True, expansion=2.0)]


@pytest.mark.parametrize('changes', CHANGES, ids=lambda changes: '-'.join(map(str, changes)) or 'default')
def test_crop_keeps_as_many_pixels_as_the_input(changes, monkeypatch, decoded):
    "What is resized, in the real run, has 160 pixels at least, or the picture was decoded whole"
    cut = []
    def remember(image, shape):
        if image.shape[2:] == (3,): cut.append(image.shape[:2]) # not the blank one
        return cv2.resize(np.ascontiguousarray(image), shape[::-1], interpolation=cv2.INTER_LINEAR)
    monkeypatch.setattr('ssd_nb.data.resize', remember)
    row = make_row()
    for epoch in range(60): train(row, True, epoch, **changes)
    assert len(cut) == len(decoded) == 60 and {1, 4} & set(decoded) and max(decoded) > 1
    for size, r in zip(cut, decoded): assert r == 1 or min(size) >= 160


def test_largest_reduction_is_taken(decoded):
    "The next one would have left too little, or a larger one than 8 was needed"
    row, unit = make_row(), BOXES / np.float32([960, 1280] * 2)
    for epoch in range(60):
        train(row, True, epoch)
        def change(image, r, epoch=epoch):
            rng = np.random.default_rng([3, epoch, 7])
            return _augment_stepwise(image, unit, LABELS, (160, 160), rng)
        larger = 2 * decoded[-1]
        assert min(measure_cut((960, 1280), change, larger)) < 160
    assert {2, 4} <= set(decoded)


# --- the same boxes ----------------------------------------------------------------------------------------

@pytest.mark.parametrize('size', [(960, 1280), (958, 1277), (321, 323)])
def test_targets_without_a_crop(size, decoded):
    "Equal to the bit where the size is a multiple, nearly equal where it is not"
    row = make_row(cv2.resize(PICTURE, size[::-1], interpolation=cv2.INTER_AREA))
    whole, reduced = (train(row, flag, rule='none', jitter=0) for flag in (False, True))
    assert decoded[0] == 1 < decoded[1]
    assert (whole[2] != reduced[2]).mean() < 0.01
    if size == (960, 1280):
        for a, b in zip(whole[1:], reduced[1:]): assert np.array_equal(a, b)


def test_boxes_lie_on_their_pixels():
    "A white rectangle in pictures whose size is no multiple, found again after each reduction"
    for height, width in ((1280, 1280), (1287, 1283), (1281, 1285)):
        image = np.zeros((height, width, 3), np.uint8)
        image[800:1200, 640:1120] = 255
        for r in (2, 4, 8):
            small, stand = decode_image(store(image), reduction=r), r * reduce_size((height, width), r)
            found = np.argwhere(small[..., 0] > 127)
            corners = np.concatenate([found.min(0), found.max(0) + 1]) / np.tile(small.shape[:2], 2)
            assert np.abs(corners - np.float32([800, 640, 1200, 1120]) / np.tile(stand, 2)).max() < 1e-6


def test_crops_are_the_same():
    "But for an object whose centre is on the very edge of one"
    unit, counted, apart = BOXES / np.float32([960, 1280] * 2), 0, 0
    for seed in range(60):
        whole, half = (augment_image(decode_image(DATA, reduction=r), unit, LABELS, (160, 160),
                                     np.random.default_rng(seed), jitter=0) for r in (1, 2))
        if not np.array_equal(whole[2], half[2]): apart += 1
        else: assert np.abs(whole[1] - half[1]).max(initial=0) * 160 < 1
        counted += len(whole[2])
    assert counted > 60 and apart <= 1


# --- nearly the same pictures ------------------------------------------------------------------------------

DATA = store(PICTURE, quality=92)


@pytest.mark.parametrize('r', [2, 4, 8])
def test_it_is_the_mean_of_the_whole(r):
    whole, reduced = decode_image(DATA), decode_image(DATA, reduction=r)
    means = cv2.resize(whole, reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(means.astype(int) - reduced).mean() < 1
    assert np.abs(means[:, ::-1].astype(int) - reduced).mean() > 5 # the test sees a mirrored one


@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_input_of_the_network(mode, decoded):
    row = store(PICTURE, mode=mode, quality=92), *make_row()[1:]
    whole, reduced = look(row, False), look(row, True)
    assert decoded == [1, 4]
    assert not np.array_equal(whole[0], reduced[0])
    assert np.abs(whole[0] - reduced[0]).mean() < 0.1 # of the standard deviation
    assert np.abs(whole[0] - reduced[0][:, :, ::-1]).mean() > 0.3
    for a, b in zip(whole[1:], reduced[1:]): assert np.array_equal(a, b) # the size is that of the file


@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_by_exif(orientation):
    image = PICTURE[:958, :1277]
    data = store(image, orientation=orientation, quality=92)
    whole = decode_image(data)
    for r in (2, 4, 8):
        reduced = decode_image(data, reduction=r)
        assert reduced.shape[:2] == tuple(reduce_size(whole.shape[:2], r))
        means = cv2.resize(whole, reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(means.astype(int) - reduced).mean() < 2
        assert np.abs(means[::-1].astype(int) - reduced).mean() > 5


def test_turned_picture_is_measured_upright(decoded):
    "A tall picture stored on its side: 1280 high and 319 wide is not twice as wide as needed"
    side = np.ascontiguousarray(PICTURE[:319])
    row = store(side, orientation=6), 1, np.float32([[1280, 319, 0, 0, 0, 0]])
    look(row, True)
    row = store(PICTURE[:320], orientation=6), 1, np.float32([[1280, 320, 0, 0, 0, 0]])
    look(row, True)
    assert decoded == [1, 2]


# --- the whole pipeline ------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def large(tmp_path_factory):
    "Eight drawn pictures of 480 × 640 for training, four for evaluation"
    folder = tmp_path_factory.mktemp('large')
    write_samples(folder / 'set', 8, 4, draw=lambda seed, index: draw_sample(seed, index, (480, 640)))
    return DataConfig(coco_root=str(folder / 'set'), mindrecord_dir=str(folder / 'record'),
                      num_parallel_workers=0)


def take(config, split='train', train=True):
    data = create_dataset(config, NETWORK, split, 4, train=train)
    return list(data.create_tuple_iterator(num_epochs=1, output_numpy=True))


def same(batches, others):
    return all(np.array_equal(a, b) for pair in zip(batches, others, strict=True) for a, b in zip(*pair))


def test_off_by_default(large):
    assert DataConfig().reduced_decoding is False
    assert same(take(large), take(replace(large, reduced_decoding=False)))


def test_option_reaches_training_and_evaluation(large):
    on = replace(large, reduced_decoding=True, crop_rule='none', jitter=0.0)
    assert not same(take(on), take(replace(on, reduced_decoding=False)))
    assert same(take(on), take(replace(on, num_parallel_workers=2)))
    assert not same(take(on, 'eval', False), take(large, 'eval', False))
    for whole, reduced in zip(take(large, 'eval', False), take(on, 'eval', False)):
        assert np.array_equal(whole[2], reduced[2]) and np.abs(whole[0] - reduced[0]).mean() < 0.1


def test_mosaic_is_decoded_whole(large):
    on = replace(large, reduced_decoding=True, mosaic=1.0)
    assert same(take(on), take(replace(on, reduced_decoding=False)))


def test_small_pictures_do_not_change(decoded):
    row = make_row(cv2.resize(PICTURE, (319, 240)))
    for epoch in range(10):
        for a, b in zip(train(row, True, epoch), train(row, False, epoch)): assert np.array_equal(a, b)
    assert set(decoded) == {1}
    assert np.array_equal(look(row, True)[0], prepare_input(decode_image(row[0]), (160, 160)))
