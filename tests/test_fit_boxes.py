"""Default boxes that suit a data set: what is found, what is left alone, and what is written."""
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import yaml

from make_sets import draw_patch, write_image
from ssd_nb.boxes import (
    BOX_CONFIGS, PAPER_BOXES, BoxConfig, count_cell_boxes, default_boxes, find_box_levels, grids, iou,
    yxhw2tlbr)
from ssd_nb.plumbing.training_commands import _read_config
from ssd_nb.plumbing.content import Content
from ssd_nb.plumbing.fit_boxes import draw_fit, fit_default_boxes, format_fit, save_fit, say_fit
from ssd_nb.plumbing.overlap import find_reach, list_near_overlaps
from ssd_nb.ssd_heads import MODELS

SSD, TINY = BOX_CONFIGS['ssd300'], MODELS['ssd_tiny'].boxes


def make_content(sides, classes=1, ratio=1.3, seed=0):
    "A `Content` of one object an image, with these sides as fractions of the image, anywhere in it"
    rng, n = np.random.default_rng(seed), len(sides)
    shape = ratio ** rng.uniform(-0.5, 0.5, n)
    size = np.stack([sides * shape, sides / shape], axis=1)
    boxes = yxhw2tlbr(np.concatenate([size / 2 + rng.random((n, 2)) * (1 - size), size], axis=1))
    place = np.arange(n)
    return Content(tuple(f'class {k}' for k in range(classes)), list(place), [f'{i}.jpg' for i in place],
                   np.full((n, 2), 200), place, place % classes, boxes * 200, np.zeros(n, bool))


def draw_sides(low, high, n=400, seed=1):
    return low * (high / low) ** np.random.default_rng(seed).random(n)


def count_reached(content, config):
    reach = find_reach(content.boxes / 200, default_boxes(config), find_box_levels(config))
    return (reach > config.match_threshold).mean()


# the measure

@pytest.mark.parametrize('config', [SSD, TINY, PAPER_BOXES, replace(SSD, image_shape=(333, 250))])
def test_best_three_stand_in_the_nearest_rows_and_columns_where_boxes_are_small(config):
    content = make_content(draw_sides(0.03, 0.9, 200))
    boxes, all_boxes, levels = content.boxes / 200, default_boxes(config), find_box_levels(config)
    for level in range(len(config.steps)):
        own = all_boxes[levels == level].astype(float)
        sizes = np.unique(own[:, 2:], axis=0)
        near = list_near_overlaps(boxes, np.unique(own[:, 0]), np.unique(own[:, 1]), sizes)
        whole = iou(boxes, yxhw2tlbr(own))
        np.testing.assert_allclose(near.max(axis=1), whole.max(axis=1), atol=1e-6)
        rows, columns = (min(2, len(np.unique(own[:, axis]))) for axis in (0, 1))
        assert near.shape == (200, rows * columns * len(sizes))
        shape = sizes[-1] # of one shape, the four nearest are the four best
        same = whole[:, np.isclose(own[:, 2:], shape).all(axis=1)]
        four = list_near_overlaps(boxes, np.unique(own[:, 0]), np.unique(own[:, 1]), shape[None])
        best = np.sort(same, axis=1)[:, -min(2, same.shape[1]):]
        np.testing.assert_allclose(np.sort(four, axis=1)[:, -best.shape[1]:], best, atol=1e-6)


# what is found

@pytest.mark.parametrize('name', ['ssd300', 'ssd_vgg16', 'ssd_tiny'])
def test_small_objects_are_reached_and_held_out_ones_too(name):
    config = MODELS[name].boxes
    least = 1.2 * max(grids(config)[0][0] ** -1, 0.04)
    content, others = (make_content(draw_sides(least, 3 * least, seed=s), seed=s) for s in (1, 2))
    fit = fit_default_boxes(content, config)
    assert not fit.why and count_cell_boxes(fit.after) == count_cell_boxes(config)
    assert grids(fit.after) == grids(config)
    for each in (content, others): assert count_reached(each, fit.after) > count_reached(each, config) + 0.05
    assert np.isclose((fit.reach[1] > config.match_threshold).mean(), count_reached(content, fit.after))


def test_rare_small_class_counts_like_a_frequent_large_one():
    small, large = make_content(draw_sides(0.06, 0.09, 60)), make_content(draw_sides(0.3, 0.6, 3000))
    both = Content(('dot', 'plate'), small.ids + large.ids, small.names + large.names,
                   np.concatenate([small.sizes, large.sizes]),
                   np.arange(3060), np.repeat([0, 1], [60, 3000]),
                   np.concatenate([small.boxes, large.boxes]), np.zeros(3060, bool))
    fit = fit_default_boxes(both, SSD)
    before, after = ((row[:60] > 0.5).mean() for row in fit.reach)
    assert after > before + 0.15
    assert (fit.reach[1, 60:] > 0.5).mean() > 0.9


def test_scales_stay_between_cell_and_one_and_a_half_of_the_old_ones():
    fit = fit_default_boxes(make_content(draw_sides(0.01, 0.05)), SSD)
    fine = fit_default_boxes(make_content(draw_sides(0.04, 0.1)), SSD)
    for config in (fit.after, fine.after):
        scales = config.scales or (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
        for scale, step, old in zip(scales, SSD.steps, (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)):
            assert min(old, step / 300) - 0.001 <= scale <= min(1, 1.5 * old) + 0.001
    assert fine.after.scales and fine.after.scales[-1] >= 0.949 # the coarsest map keeps whole images


def test_paper_boxes_and_one_map():
    fit = fit_default_boxes(make_content(draw_sides(0.04, 0.08)), PAPER_BOXES)
    assert not fit.why and fit.after.first_scale == PAPER_BOXES.first_scale and len(fit.after.scales) == 6
    single = BoxConfig(image_shape=(64, 64), steps=(8,), aspect_ratios=((),))
    assert count_cell_boxes(fit_default_boxes(make_content(draw_sides(0.2, 0.3)), single).after) == (1,)


def test_twice_the_same_and_a_wild_object_changes_little():
    content = make_content(draw_sides(0.06, 0.12))
    first, again = (fit_default_boxes(content, SSD).after for _ in range(2))
    assert first == again
    wild = content._replace(boxes=np.concatenate([content.boxes[1:], [[0, 0, 200, 200]]]))
    other = fit_default_boxes(wild, SSD).after
    assert abs(count_reached(content, other) - count_reached(content, first)) < 0.05


# what is left alone

def test_nothing_is_changed_where_little_is_gained():
    fit = fit_default_boxes(make_content(draw_sides(0.25, 0.8)), SSD)
    assert fit.after is SSD and 'not worth leaving them' in fit.why and len(format_fit(fit)) == 1
    assert say_fit(fit).startswith('the default boxes stay as they are: the best found reach ')
    np.testing.assert_array_equal(*fit.reach)


@pytest.mark.parametrize('n', [0, 1, 49])
def test_nothing_is_changed_for_a_few_objects(n):
    fit = fit_default_boxes(make_content(draw_sides(0.06, 0.08, n)), SSD)
    assert fit.after is SSD and 'cannot tell' in fit.why
    draw_fit(fit)


def test_nothing_is_changed_where_steps_are_sizes():
    fit = fit_default_boxes(make_content(draw_sides(0.02, 0.04)), BOX_CONFIGS['ssd_resnet50_fpn'])
    assert fit.after is fit.before and 'from the steps' in fit.why


def test_flat_and_broken_boxes_and_crowds_are_not_counted():
    content = make_content(draw_sides(0.06, 0.12))
    boxes, crowd = content.boxes.copy(), content.crowd.copy()
    boxes[0, 2], boxes[1], crowd[2] = boxes[0, 0], np.nan, True
    fit = fit_default_boxes(content._replace(boxes=boxes, crowd=crowd), SSD)
    assert len(fit.boxes) == 397 and not fit.why


# many objects

def test_many_objects_take_little_memory():
    content = make_content(draw_sides(0.03, 0.9, 170_000), classes=80)
    tracemalloc.start()
    fit = fit_default_boxes(content, SSD)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fit.reach.shape == (2, 170_000) and peak < 400e6


# what is written

def test_file_is_what_a_training_takes(tmp_path):
    fit, path = fit_default_boxes(make_content(draw_sides(0.06, 0.12)), SSD), tmp_path / 'boxes.yaml'
    assert save_fit(fit, path)
    config, _ = _read_config(['--using_model=ssd300', '--run_platform=CPU', f'--config={path}'])
    assert config.boxes == fit.after
    assert path.read_text().startswith(f'# {say_fit(fit)}\n') and set(yaml.safe_load(path.read_text())) == {
        'first_scale', 'scales', 'aspect_ratios'}


def test_an_old_file_does_not_stay(tmp_path):
    path = tmp_path / 'boxes.yaml'
    path.write_text('scales: [1]')
    fit = fit_default_boxes(make_content(draw_sides(0.25, 0.8)), SSD)
    assert not save_fit(fit, path) and not path.exists()


def test_report_and_picture_show_each_size():
    content = make_content(draw_sides(0.03, 0.5), classes=2)
    fit = fit_default_boxes(content, SSD)
    lines, axes = format_fit(fit), draw_fit(fit)
    assert [line.split(' pixels')[0].strip() for line in lines if ' pixels ' in line and '%' in line] == [
        'under 16', '16 to 32', '32 to 64', '64 to 128', '128 to 256']
    assert sum('class ' in line and '%' in line for line in lines) == 2 + lines[0].count('class ')
    assert len(axes[2].get_yticks()) == 5 and len(axes[0].lines[1].get_xdata()) == 33
    assert 'a larger --image_shape' in lines[-1]


def test_command_writes_file_and_picture(script_here, tmp_path):
    for split in ('train', 'eval'): write_grid(tmp_path, split)
    options = '--dataset=coco', f'--coco_root={tmp_path}', f'--mindrecord_dir={tmp_path}/records'
    done = script_here('create_data.py', '--fit_boxes', *options)
    assert done.code == 0, done.err
    assert f'--config={tmp_path}/records/train/fitted_boxes.yaml' in done.out and 'count the same' in done.out
    assert (tmp_path / 'records/train/fitted_boxes.png').exists()
    again = script_here('train.py', '--only_create_dataset', '--fit_boxes', '--run_platform=CPU', *options,
                        f'--config={tmp_path}/records/train/fitted_boxes.yaml')
    assert again.code == 0 and 'stay as they are' in again.out
    alone = script_here('train.py', '--fit_boxes', '--run_platform=CPU', *options)
    assert alone.code == 2 and 'give --only_create_dataset with it' in alone.err


def test_command_fits_for_another_size(script_here, tmp_path):
    for split in ('train', 'eval'): write_grid(tmp_path, split)
    options = '--dataset=coco', f'--coco_root={tmp_path}', f'--mindrecord_dir={tmp_path}/records'
    found = {shape: script_here('create_data.py', '--fit_boxes', f'--image_shape={shape}', *options).out
             for shape in ('[300,300]', '[600,400]')}
    asked = script_here('train.py', '--only_create_dataset', '--fit_boxes', '--run_platform=CPU', *options,
                        '--image_shape=[600,400]').out
    lines = [[line for line in text.splitlines() if 'count the same' in line or ' pixels  ' in line]
             for text in (*found.values(), asked)]
    assert lines[0] != lines[1] == lines[2], lines
    wrong = script_here('create_data.py', '--image_shape=[300]', *options)
    assert wrong.code == 2 and 'image_shape' in wrong.err and 'Traceback' not in wrong.err


def write_grid(folder, split):
    "A COCO set of eight images with nine small objects each"
    rng = np.random.default_rng(len(split))
    images, objects = [], []
    for i in range(1, 9):
        corner = np.stack(np.meshgrid([10, 75, 140], [10, 75, 140]), axis=-1).reshape(-1, 2)
        boxes = [(y, x, y + 14, x + 14) for y, x in (corner + rng.integers(0, 40, (9, 2))).tolist()]
        write_image(folder / split / f'{i}.png', draw_patch((200, 200), boxes))
        images.append(dict(id=i, file_name=f'{i}.png', height=200, width=200))
        objects += [dict(id=len(objects) + k, image_id=i, category_id=1, bbox=[x, y, 14, 14], area=196,
                         iscrowd=0) for k, (y, x, *_) in enumerate(boxes, 1)]
    text = json.dumps(dict(images=images, annotations=objects, categories=[dict(id=1, name='dot')]))
    (folder / 'annotations').mkdir(exist_ok=True)
    (folder / f'annotations/instances_{split}.json').write_text(text)
