"""Large images in tiles, and mirror images: from the command line, for any shape, and in flat memory."""
import json
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest

from ssd_nb.eval import EvalConfig, detect
from ssd_nb.plumbing.options import run_command
from ssd_nb.plumbing.predict_batches import run_in_batches
from ssd_nb.plumbing.samples import Sample, to_voc
from ssd_nb.plumbing.tiles import View, ViewConfig, detect_views, find_cut, list_views

SIDE, CLASSES = 40, ('background', 'white')
SMALL, LARGE = (100, 190, 112, 202), (150, 250, 350, 550)


def find_white(images):
    "A detector that sees white rectangles of at least 3 × 3 pixels of its input"
    boxes, scores = np.zeros((len(images), 20, 4), np.float32), np.zeros((len(images), 20, 2), np.float32)
    for i, image in enumerate(images):
        stats = cv2.connectedComponentsWithStats(np.uint8(image[0] > 0))[2][1:]
        stats = stats[(stats[:, 2:4] >= 3).all(axis=1)][:20]
        boxes[i, :len(stats)] = np.column_stack([stats[:, 1::-1], stats[:, 1::-1] + stats[:, 3:1:-1]]) / SIDE
        scores[i, :len(stats), 1] = 0.5 + stats[:, 4] / 2 / SIDE ** 2
    return boxes, scores


def draw(*objects, shape=(400, 600)):
    image = np.zeros((*shape, 3), np.uint8)
    for y1, x1, y2, x2 in objects: image[y1:y2, x1:x2] = 255
    return image


def look(image, predict=find_white, batch_size=4, **options):
    (_, _, found), = detect_views([('it', image)], predict, (SIDE, SIDE), EvalConfig(0.4), batch_size,
                                  views=ViewConfig(**options))
    return found


# --- what is seen ------------------------------------------------------------------------------------------

@pytest.mark.parametrize('options', (dict(), dict(tiles=80), dict(tiles=-1), dict(tiles=80, flip_test=True)))
def test_each_object_is_found_once(options):
    found, objects = look(draw(SMALL, LARGE), **options), [SMALL, LARGE][not options.get('tiles'):]
    assert len(found) == len(objects)
    for box in objects: assert np.abs(found.boxes - box).max(axis=1).min() <= 15, found.boxes


def test_one_look_is_what_it_was():
    image = draw(LARGE)
    (boxes,), (scores,) = find_white(np.stack([np.moveaxis(cv2.resize(image, (SIDE, SIDE)), -1, 0) / 99 - 1]))
    want, found = detect(boxes, scores, image.shape[:2], EvalConfig(0.4)), look(image)
    for name in ('boxes', 'scores', 'labels', 'defaults'):
        assert getattr(want, name).tobytes() == getattr(found, name).tobytes()


def test_level_of_a_box_is_known_where_it_lies_on_the_image():
    assert look(draw(LARGE), flip_test=True).defaults is not None
    assert look(draw(LARGE), tiles=80).defaults is None


@pytest.mark.parametrize('seed', range(20))
def test_no_object_is_cut_everywhere(seed):
    rng = np.random.default_rng(seed)
    shape, overlap = tuple(rng.integers(50, 3000, 2).tolist()), rng.uniform(0.1, 0.6)
    network = tuple(rng.integers(100, 700, 2).tolist())
    views = list_views(shape, ViewConfig(int(rng.integers(30, 400)), overlap), network)
    assert views[0] == View(0, 0, *shape)
    assert all(v.top >= 0 and v.left >= 0 and v.height >= 1 and v.width >= 1 and v.top + v.height <= shape[0]
               and v.left + v.width <= shape[1] for v in views)
    for _ in range(50):
        size = np.minimum(2 * 400 ** rng.random(2), shape)
        start = rng.uniform(0, shape - size)
        whole = [v for v in views if (start >= v[:2]).all() and (start + size <= np.add(v[:2], v[2:4])).all()
                 and not find_cut(np.append(start, start + size)[None], v, shape)[0]]
        # not in the whole image alone, unless the object is as large as the overlap of the largest tiles
        smallest = min((v.height * v.width for v in whole), default=0)
        fits = [v for v in views[1:] if (size < (overlap - 0.05) * np.array(v[2:4])).all()]
        assert whole and (not fits or smallest < shape[0] * shape[1])


def test_graph_of_fixed_batch():
    sizes = []
    def fixed(images):
        sizes.append(len(images))
        return find_white(images)
    image = draw(SMALL, LARGE)
    found, want = look(image, run_in_batches(fixed, 3), tiles=80), look(image, tiles=80)
    assert found.boxes.tolist() == want.boxes.tolist()
    assert set(sizes) == {3}


def test_max_boxes_counts_for_each_tile():
    objects = [(y, x, y + 12, x + 12) for y in range(10, 390, 24) for x in range(10, 590, 24)]
    options = (SIDE, SIDE), EvalConfig(0.4, max_boxes=16), 4
    (_, _, found), = detect_views([('it', draw(*objects))], find_white, *options, views=ViewConfig(80))
    assert len(found) > 0.9 * len(objects) > 16


def test_memory_does_not_grow_with_the_image():
    "NumPy's arrays are counted; that of the image itself is made before"
    def measure(side):
        image = np.zeros((side, side, 3), np.uint8)
        tracemalloc.start()
        look(image, tiles=300)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak / 2 ** 20
    small, large = measure(2000), measure(10000)
    assert large < small + 2, f'{small:.1f} MB, {large:.1f} MB'


# --- from the command line ---------------------------------------------------------------------------------

@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    "Runs eval or predict with the toy detector; answers exit code, output, errors"
    from ssd_nb.plumbing import commands
    from ssd_nb.train import preset
    config = preset('ssd_tiny', 'CPU')
    config = replace(config, data=replace(config.data, classes=CLASSES),
                     boxes=replace(config.boxes, image_shape=(SIDE, SIDE)),
                     model=replace(config.model, num_classes=2))
    monkeypatch.setattr(commands, '_load_detector', lambda *a: (find_white, config))

    def call(name, *options):
        words = ['--checkpoint_path=x.ckpt', f'--output_dir={tmp_path}/out', *map(str, options)]
        try: run_command(getattr(commands, f'{name}_command'), words)
        except SystemExit as ended: code = ended.code
        else: code = 0
        said = capsys.readouterr()
        return code, said.out, said.err
    call.out = tmp_path / 'out'
    return call


def boxes_of(call): return [row['bbox'] for row in json.loads((call.out / 'detections.json').read_text())]


def test_predict(call, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), draw(SMALL, LARGE))
    for options, count in (([], 1), (['--flip_test'], 1), (['--tiles'], 2), (['--tiles=80'], 2),
                           (['--tiles', '80', '--tile_overlap=0.5', '--flip_test'], 2)):
        code, out, err = call('predict', f'--image_path={tmp_path}/a.png', *options)
        assert code == 0 and len(boxes_of(call)) == count, (options, err)
    assert min(np.abs(np.subtract(box, (190, 100, 12, 12))).max() for box in boxes_of(call)) <= 3


def test_predict_in_a_video(call, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / 'film.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (600, 400))
    for i in range(3): writer.write(draw(SMALL if i else LARGE))
    writer.release()
    code, out, err = call('predict', f'--image_path={tmp_path}/film.avi', '--tiles=80')
    assert code == 0 and 'a video of 3 frames' in out and len(boxes_of(call)) == 3, err


def test_overview_of_a_large_image_is_small(call, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), draw(LARGE, shape=(4000, 6000)))
    code, out, err = call('predict', f'--image_path={tmp_path}/a.png', '--tiles=300')
    assert code == 0 and cv2.imread(str(call.out / 'a.png')).shape == (4000, 6000, 3), err
    assert np.abs(np.subtract(boxes_of(call), (250, 150, 300, 200))).max() <= 30


def test_eval(call, tmp_path):
    for split in ('train', 'eval'):
        (tmp_path / split).mkdir()
        for i, objects in enumerate(([SMALL, LARGE], [SMALL], [LARGE]), 1):
            sample = Sample(f'{split}/{i}.png', i, (400, 600), np.float32(objects), [1] * len(objects))
            cv2.imwrite(str(tmp_path / sample.name), draw(*objects, (0, 0, i, i)))
            (tmp_path / sample.name).with_suffix('.xml').write_text(to_voc(sample, CLASSES))
    data = '--dataset=voc', f'--voc_root={tmp_path}', f'--mindrecord_dir={tmp_path}/record'
    numbers = {}
    for options in ((), ('--flip_test',), ('--tiles=80',)):
        code, out, err = call('eval', *data, '--report', *options)
        assert code == 0, err
        lines = [line for line in out.splitlines() if 'Average Precision' in line]
        numbers[options] = [float(line.split('=')[-1]) for line in lines]
        assert ('feature map' in (call.out / 'report.html').read_text()) == ('--tiles=80' not in options)
    plain, mirrored, tiled = numbers.values()
    assert plain[3] == 0 and tiled[3] >= 0.5 and tiled[5] >= 0.5 and tiled[0] > plain[0]
    assert mirrored == pytest.approx(plain, abs=0.1)


MISTAKES = {'--tiles=3': '--tiles=3 is not possible: give a number of pixels from 16 up, or 0 for none.',
            '--tiles=-2': '--tiles=-2 is not possible: give a number of pixels from 16 up, or 0 for none.',
            '--tiles=many': '--tiles=many is not possible: give a whole number.',
            '--tile_overlap=1': '--tile_overlap=1.0 is not possible: give a number from 0 to 0.75.',
            '--tile=300': 'there is no option --tile: did you mean --tiles'}


@pytest.mark.parametrize('word', MISTAKES)
@pytest.mark.parametrize('name', ('predict', 'eval'))
def test_mistake_is_one_sentence(call, tmp_path, name, word):
    cv2.imwrite(str(tmp_path / 'a.png'), draw(LARGE))
    data = [f'--image_path={tmp_path}/a.png'] if name == 'predict' else []
    code, out, err = call(name, *data, word)
    assert code == 2 and MISTAKES[word] in err.strip().splitlines()[-1] and 'Traceback' not in err, err
