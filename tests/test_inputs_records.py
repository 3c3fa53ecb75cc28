"""What a MindRecord holds and depends on: boxes of photographs that EXIF turns, counts of what was left out,
and every change of its source that must be noticed, or must not."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from make_sets import (
    BOX, SIZE, coco_content, convert, draw_patch, measure_brightness, voc_xml, write_coco, write_image,
        write_text,
    write_txt, write_voc, write_yolo, yolo_row)
from PIL import Image

from ssd_nb.data import DataConfig
from ssd_nb.plumbing import records
from ssd_nb.plumbing.annotations import make_coco_ground_truth, make_record
from ssd_nb.plumbing.images import decode_image, turn_boxes, turn_image
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.records import (
    describe_use, find_record_folder, load_ground_truth, load_manifest, make_mindrecord, read_images,
        read_rows)

INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6} # the turn that undoes another


def open_record(config, split='train'):
    "What is in a MindRecord: (id, upright image, objects) of each image"
    folder = find_record_folder(config, split)
    return [(int(number), decode_image(data), rows[1:])
            for data, number, rows in read_rows(folder, np.load(folder / 'rows.npy'))]


def refuse(config, split='train'):
    "The one sentence that a user is told"
    with pytest.raises(UserError) as error: make_mindrecord(config, split)
    sentence = str(error.value)
    assert len(sentence.splitlines()) == 1 and sentence.endswith('.')
    return sentence


def write_photo(path, orientation, size=SIZE, box=BOX):
    "A photograph as a phone stores it; upright it has this size and a bright patch. Answers both as stored"
    stored = turn_image(draw_patch(size, [box]), INVERSE[orientation])
    write_image(path, stored, orientation)
    return stored.shape[:2], turn_boxes(np.float32([box]), INVERSE[orientation], stored.shape)[0]


def write_photo_set(folder, form, orientation, drawn, size=SIZE, box=BOX):
    "A set of one photograph, whose box was drawn upright or on the picture as stored"
    name = dict(coco='train/1.jpg', voc='train/1.jpg', yolo='images/train/1.jpg', txt='1.jpg')[form]
    stored_size, stored_box = write_photo(folder / name, orientation, size, box)
    if drawn == 'stored': size, box = stored_size, stored_box
    y1, x1, y2, x2 = map(int, box)
    record = str(folder / 'record')
    if form == 'coco':
        content = coco_content(box=(x1, y1, x2 - x1, y2 - y1), size=size)
        write_text(folder / 'annotations/instances_train.json', json.dumps(content))
        return DataConfig('coco', coco_root=str(folder), mindrecord_dir=record)
    if form == 'voc':
        xml = voc_xml('1.jpg', (('cat', (x1 + 1, y1 + 1, x2, y2)),), size)
        write_text(folder / 'train/1.xml', xml)
        return DataConfig('voc', voc_root=str(folder), mindrecord_dir=record)
    if form == 'yolo':
        write_text(folder / 'labels/train/1.txt', yolo_row(box, size))
        write_text(folder / 'data.yaml', 'names: [cat]\n')
        return DataConfig('yolo', yolo_root=str(folder), mindrecord_dir=record)
    write_text(folder / 'list.txt', f'1.jpg {x1},{y1},{x2},{y2},1\n')
    return DataConfig('other', classes='cat', anno_path=str(folder / 'list.txt'), mindrecord_dir=record)


SETTLED = ([(form, o, 'upright', int(o in (2, 3, 4))) for form in ('coco', 'voc') for o in range(1, 9)]
           + [(form, o, 'stored', 0) for form in ('coco', 'voc') for o in (5, 6, 7, 8)]
           + [(form, o, 'upright', int(o > 1)) for form in ('yolo', 'txt') for o in range(1, 9)])


@pytest.mark.parametrize('form, orientation, drawn, unsettled', SETTLED)
def test_box_lies_on_the_upright_photo(form, orientation, drawn, unsettled, tmp_path):
    "Whatever EXIF says, and on whichever picture the box was drawn, as long as its size tells"
    config = write_photo_set(tmp_path, form, orientation, drawn)
    manifest, text = convert(config)
    (_, image, objects), = open_record(config)
    assert image.shape[:2] == SIZE and measure_brightness(image, objects[0, :4]) == 1
    assert objects[0, :4].round().tolist() == list(BOX)
    assert (manifest['turned'], manifest['unsettled']) == (int(orientation > 1), unsettled)
    assert len(re.findall('^note: ', text, flags=re.M)) == (orientation > 1) + unsettled
    truth = json.loads((find_record_folder(config, 'train') / 'ground_truth.json').read_text())
    assert (truth['images'][0]['height'], truth['images'][0]['width']) == SIZE
    assert truth['annotations'][0]['area'] == pytest.approx(900, abs=1)


def test_square_photo_cannot_be_settled(tmp_path):
    manifest, text = convert(write_photo_set(tmp_path, 'coco', 6, 'upright', (60, 60)))
    assert (manifest['turned'], manifest['unsettled'], manifest['problems']) == (1, 1, 0)
    assert 'taken as drawn upright: 1 image (1.jpg)' in text


@pytest.mark.parametrize('form', ('coco', 'voc'))
def test_size_from_the_file_and_boxes_from_the_screen(form, tmp_path):
    "A converter that takes the stored size, and boxes that can only have been drawn upright"
    box = 10, 62, 40, 78 # beyond x = 60, the width as stored
    config = write_photo_set(tmp_path, form, 6, 'upright', SIZE, box)
    path = tmp_path / dict(coco='annotations/instances_train.json', voc='train/1.xml')[form]
    text = path.read_text()
    for old, new in (('"height": 60, "width": 80', '"height": 80, "width": 60'),
                     ('<width>80</width><height>60</height>', '<width>60</width><height>80</height>')):
        text = text.replace(old, new)
    path.write_text(text)
    convert(config)
    (_, image, objects), = open_record(config)
    assert objects[0, :4].tolist() == list(box) and measure_brightness(image, objects[0, :4]) == 1


def test_pixels_without_a_size_that_only_fit_the_stored_photo(tmp_path):
    "A TXT row says no size, but its box leaves the upright picture"
    config = write_photo_set(tmp_path, 'txt', 6, 'stored', SIZE, (10, 0, 40,
        20)) # stored: 80 high, the patch low
    manifest, _ = convert(config)
    (_, image, objects), = open_record(config)
    assert measure_brightness(image, objects[0, :4]) == 1
    assert (manifest['turned'], manifest['unsettled']) == (1, 0)


def test_png_photo_is_turned(tmp_path):
    config = write_photo_set(tmp_path, 'coco', 6, 'stored')
    stored = turn_image(draw_patch(), INVERSE[6])
    write_image(tmp_path / 'train/1.png', stored, 6)
    (tmp_path / 'train/1.png').rename(tmp_path / 'train/1.jpg') # OpenCV goes by the content
    convert(config)
    (_, image, objects), = open_record(config)
    assert measure_brightness(image, objects[0, :4]) == 1


# width and height that are swapped in the file, without EXIF

SWAPPED = { # box x y w h, is it used, what is said
    'fits only the true size': ((55, 10, 20, 30), 1, 'note: width and height are swapped in the file'),
    'fits both': ((10, 10, 30, 30), 0,
        'width and height are swapped in the file, or its boxes were drawn on a turned copy'),
    'fits only the swapped size': ((10, 55, 20, 20), 0, 'width and height are swapped in the file'),
}


@pytest.mark.parametrize('name', SWAPPED)
def test_swapped_size(name, tmp_path):
    box, used, says = SWAPPED[name]
    content = coco_content(('1.jpg', '2.jpg'), box=box, size=SIZE[::-1])
    content['images'][1].update(height=SIZE[0], width=SIZE[1])
    content['annotations'][1]['bbox'] = [20, 10, 30, 30]
    manifest, text = convert(write_coco(tmp_path, content, names=('1.jpg', '2.jpg')))
    assert (manifest['images'], manifest['objects']) == (1 + used, 1 + used)
    assert (manifest['skipped_images'], manifest['lost_objects']) == (1 - used, 1 - used)
    assert says in text and 'EXIF' not in text


def test_swapped_size_without_objects_is_used(tmp_path):
    content = coco_content(('1.jpg', '2.jpg'))
    content['images'][1].update(height=SIZE[1], width=SIZE[0])
    content['annotations'].pop()
    assert convert(write_coco(tmp_path, content, names=('1.jpg', '2.jpg')))[0]['images'] == 2


def test_all_sizes_swapped_is_an_error_that_says_so(tmp_path):
    sentence = refuse(write_coco(tmp_path, coco_content(box=(10, 10, 30, 30), size=SIZE[::-1])))
    assert 'the split train has no object to learn from: 1 of 1 image cannot be used' in sentence
    assert 'width and height are swapped in the file' in sentence and 'EXIF' not in sentence


def test_another_size_of_a_photo_names_exif_only_there(tmp_path):
    config = write_photo_set(tmp_path, 'coco', 6, 'upright')
    path = tmp_path / 'annotations/instances_train.json'
    path.write_text(path.read_text().replace('"height": 60', '"height": 61'))
    assert 'its size neither before nor after EXIF turns it' in refuse(config)


# counts

def write_mixed_set(folder):
    "Eight images: five fine with one object each, a missing one, one cut short, one whose two boxes are lost"
    names = [f'{i}.jpg' for i in range(1, 9)]
    content = coco_content(names, ('cat', 'dog'))
    more = content['annotations']
    more += [dict(more[6], id=20), dict(more[5], id=21), dict(more[7], id=22)]
    more[7].update(bbox=[5, 5, 0, 9])
    more[10].update(bbox=[500, 5, 9, 9])
    more.append(dict(more[0], id=23, category_id=2)) # a dog
    config = write_coco(folder, content, names=names)
    (folder / 'train/6.jpg').unlink()
    whole = (folder / 'train/7.jpg').read_bytes()
    (folder / 'train/7.jpg').write_bytes(whole[:len(whole) // 2])
    return config


def test_counts(tmp_path):
    config = replace(write_mixed_set(tmp_path), classes='cat')
    manifest, text = convert(config)
    assert (manifest['images'], manifest['objects'], manifest['crowd']) == (6, 5, 0)
    assert (manifest['skipped_images'], manifest['lost_objects'], manifest['left_out']) == (2, 6, 1)
    assert manifest['problems'] == 4 and len(text.splitlines()) == 5 and len(manifest['first_problems']) == 4
    line = describe_use(manifest, 'F', 'train')
    assert line == ('train: 6 images with 5 objects are used; 2 images and 6 objects are left out; '
                    '1 object of other classes or of background is left out (the list is in F/problems.txt)')


def test_one_line_where_all_is_well(tmp_path):
    manifest, text = convert(write_coco(tmp_path))
    assert text == '' and manifest['notes'] == []
    assert describe_use(manifest, 'F', 'eval') == 'eval: 1 image with 1 object is used; nothing is left out'


@pytest.mark.parametrize('lost, says', [
    ((0, 1), '1 object is left out'), ((1, 0), '1 image is left out'), ((0, 2), '2 objects are left out'),
    ((1, 3), '1 image and 3 objects are left out'), ((0, 0), 'nothing is left out')])
def test_only_what_is_lost_is_counted(lost, says):
    none = dict(crowd=0, left_out=0, turned=0, unsettled=0, problems=0, notes=[])
    manifest = dict(none, images=2, objects=4, skipped_images=lost[0], lost_objects=lost[1])
    assert describe_use(manifest, 'F', 'eval') == f'eval: 2 images with 4 objects are used; {says}'


def test_crowds_are_said(tmp_path):
    content = coco_content(('1.jpg', '2.jpg'))
    content['annotations'][1]['iscrowd'] = 1
    manifest, _ = convert(write_coco(tmp_path, content, names=('1.jpg', '2.jpg')))
    assert '2 objects (1 of them crowds or difficult) are used' in describe_use(manifest, 'F', 'train')


def test_xml_that_cannot_be_read_is_an_image_left_out(tmp_path):
    config = write_voc(tmp_path, ('1.jpg', '2.jpg'))
    write_text(tmp_path / 'train/2.xml', '<annotation>')
    manifest, _ = convert(config)
    assert (manifest['images'], manifest['skipped_images']) == (1, 1)


def test_dark_picture_is_noted(tmp_path):
    config = write_coco(tmp_path, coco_content(('1.png', '2.jpg')), names=('1.png', '2.jpg'))
    values = np.random.default_rng(0).integers(0, 4096, SIZE).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / 'train/1.png')
    manifest, text = convert(config)
    assert (manifest['images'], manifest['problems']) == (2, 0)
    says = 'note: dark pictures: 1 image (1.png), the first is almost black (brightest value 15 of 255)'
    assert text.startswith(says)


def test_names_in_any_language_in_any_locale(tmp_path):
    "problems.txt and manifest.json are UTF-8 even where the system says ASCII"
    names = ('plain.jpg', '猫.jpg') # ASCII cannot spell the second
    config = write_coco(tmp_path, coco_content(names, ('猫',)), names=names)
    write_image(tmp_path / 'train/plain.jpg')
    code = ('from ssd_nb.data import DataConfig\nfrom ssd_nb.plumbing.records import *\n'
            f'c = DataConfig("coco", coco_root={str(tmp_path)!r}, mindrecord_dir={config.mindrecord_dir!r})\n'
            'make_mindrecord(c, "train"); print(load_manifest(c, "train")["images"])')
    plain = dict(os.environ, LC_ALL='POSIX', LANG='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0', GLOG_v='4')
    done = subprocess.run([sys.executable, '-c', code], env=plain, text=True, capture_output=True)
    assert done.stdout.splitlines()[-1:] == ['1'], done.stderr
    folder = find_record_folder(config, 'train')
    says = "the name '猫.jpg' has a character that no file name can have"
    assert says in (folder / 'problems.txt').read_text('utf-8')
    assert '"猫"' in (folder / 'manifest.json').read_text('utf-8')


# nothing left

def all_missing(folder):
    config = write_coco(folder, coco_content(('1.jpg', '2.jpg')), names=('1.jpg', '2.jpg'))
    for i in (1, 2): (folder / f'train/{i}.jpg').unlink()
    return config


def all_crowds(folder):
    content = coco_content()
    content['annotations'][0]['iscrowd'] = 1
    return write_coco(folder, content)


def all_difficult(folder):
    config = write_voc(folder)
    path = folder / 'train/1.xml'
    path.write_text(path.read_text().replace('</name>', '</name><difficult>1</difficult>'))
    return config


def all_outside(folder): return write_coco(folder, coco_content(box=(100, 10, 20, 20)))


def no_rows(folder): return write_yolo(folder, rows=['# nothing'])


def bare_list(folder): return write_txt(folder, ['1.jpg'])


NOTHING = {'images missing': (all_missing, '2 of 2 images cannot be used, the first: '),
    'crowds': (all_crowds, ''),
           'difficult': (all_difficult, ''), 'outside': (all_outside, 'lies outside the image'),
           'YOLO without rows': (no_rows, ''), 'TXT without boxes': (bare_list, '')}


@pytest.mark.parametrize('on_bad', ('skip', 'error'))
@pytest.mark.parametrize('name', NOTHING)
def test_nothing_left_is_an_error(name, on_bad, tmp_path):
    make, says = NOTHING[name]
    config = replace(make(tmp_path), on_bad=on_bad)
    sentence = refuse(config)
    assert [p.name for p in Path(config.mindrecord_dir).glob('*') if p.name != '.lock'] == []
    if on_bad == 'error': return # then the first problem may be named instead
    assert sentence.startswith('the split train has no object to learn from: ') and says in sentence


def test_nothing_to_measure(tmp_path):
    config = write_coco(tmp_path, coco_content(box=(100, 10, 20, 20)), 'eval')
    assert 'the split eval has no object to measure a detector with: ' in refuse(config, 'eval')


def test_a_few_images_without_objects_are_fine(tmp_path):
    content = coco_content(('1.jpg', '2.jpg', '3.jpg'))
    content['annotations'] = content['annotations'][:1]
    assert convert(write_coco(tmp_path, content, names=('1.jpg', '2.jpg', '3.jpg')))[0]['images'] == 3


# what a MindRecord depends on: what is done to the set after the conversion, what is said

def keep_time(path, write):
    "Changes a file and keeps its time"
    stat = os.stat(path)
    write(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def rewrite(path, size=SIZE):
    "Another picture in a file"
    write_image(path, draw_patch(size, [(0, 0, 9, 9)]))


def change_json(folder, change):
    path = folder / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def blank_bytes(path): path.write_bytes(bytes(path.stat().st_size))


COCO_CHANGES = {
    'image replaced': (lambda f: rewrite(f / 'train/1.jpg'),
        '1 image is not as it was: train/1.jpg has changed'),
    'image longer, its time kept': (lambda f: keep_time(f / 'train/1.jpg',
        lambda p: p.write_bytes(p.read_bytes() + b'0')),
                                    'train/1.jpg has changed'),
    'image of the same length': (lambda f: blank_bytes(f / 'train/1.jpg'), 'train/1.jpg has changed'),
    'image removed': (lambda f: (f / 'train/2.jpg').unlink(), 'train/2.jpg is gone'),
    'two removed': (lambda f: [(f / f'train/{i}.jpg').unlink() for i in (1, 2)],
                    '2 images are not as they were, the first: train/1.jpg is gone'),
    'missing image put in place': (lambda f: rewrite(f / 'train/3.jpg'),
        'train/3.jpg was missing and is there now'),
    'missing image with another ending': (lambda f: rewrite(f / 'train/3.png'), 'train/3.png was added'),
    'cut image mended': (lambda f: rewrite(f / 'train/4.jpg'), 'train/4.jpg has changed'),
    'box moved': (lambda f: change_json(f, lambda c: c['annotations'][0].update(bbox=[1, 1, 9, 9])),
        'have changed since'),
    'image added': (lambda f: change_json(f, lambda c: c['images'].append(dict(c['images'][0], id=9))),
        'have changed since'),
    'class renamed': (lambda f: change_json(f, lambda c: c['categories'][0].update(name='cow')),
        'have changed since'),
    'broken link': (lambda f: ((f / 'train/1.jpg').unlink(), os.symlink('nowhere', f / 'train/1.jpg')),
        'train/1.jpg is gone'),
    'annotations gone, images there': (lambda f: shutil.rmtree(f / 'annotations'),
        'its annotations cannot be read any more ('),
}


def write_coco_set(folder):
    "Four images: two fine, one missing, one cut short"
    names = [f'{i}.jpg' for i in range(1, 5)]
    config = write_coco(folder / 'set', coco_content(names, ('cat', 'dog')), names=names)
    (folder / 'set/train/3.jpg').unlink()
    whole = (folder / 'set/train/4.jpg').read_bytes()
    (folder / 'set/train/4.jpg').write_bytes(whole[:len(whole) // 2])
    return replace(config, mindrecord_dir=str(folder / 'record'))


@pytest.mark.parametrize('name', COCO_CHANGES)
def test_change_is_noticed(name, tmp_path):
    change, says = COCO_CHANGES[name]
    config = write_coco_set(tmp_path)
    assert convert(config)[0]['images'] == 2
    make_mindrecord(config, 'train') # it fits
    change(tmp_path / 'set')
    sentence = refuse(config)
    assert says in sentence and f'delete the folder {tmp_path}/record/train to build it again' in sentence
    shutil.rmtree(tmp_path / 'record/train')
    if name not in ('two removed', 'annotations gone, images there'): convert(config) # what it says helps


def copy_again(folder):
    "The same bytes with another time"
    for path in list((folder / 'train').glob('*.jpg')):
        shutil.copy(path, folder / 'copy')
        os.replace(folder / 'copy', path)


COCO_SAME = {
    'nothing': lambda f: None,
    'touched': lambda f: [os.utime(p) for p in (f / 'train').glob('*')],
    'copied again': copy_again,
    'annotations touched': lambda f: os.utime(f / 'annotations/instances_train.json'),
    'an image that nobody names': lambda f: rewrite(f / 'train/other.jpg'),
    'a text beside the images': lambda f: write_text(f / 'train/readme.txt', 'hello'),
    'a hidden file of a Mac': lambda f: write_text(f / 'train/._5.jpg', 'hello'),
    'the other split': lambda f: write_coco(f, split='val'),
    'images gone, annotations there': lambda f: shutil.rmtree(f / 'train'),
    'all gone': shutil.rmtree,
}


@pytest.mark.parametrize('name', COCO_SAME)
def test_no_change_of_what_is_stored(name, tmp_path):
    config = write_coco_set(tmp_path)
    convert(config)
    COCO_SAME[name](tmp_path / 'set')
    for _ in range(2): make_mindrecord(config, 'train')
    assert load_manifest(config, 'train')['images'] == 2


def test_times_of_a_copy_are_looked_at_once(tmp_path, monkeypatch):
    from ssd_nb.plumbing import fingerprint
    config, reads = write_coco_set(tmp_path), []
    convert(config)
    copy_again(tmp_path / 'set')
    read = fingerprint.read_state
    monkeypatch.setattr(fingerprint, 'read_state', lambda path: reads.append(path) or read(path))
    for _ in range(3): make_mindrecord(config, 'train')
    assert len(reads) == 3 # three images are there


def test_set_that_was_moved_fits_and_another_in_its_place_does_not(tmp_path):
    config = write_coco_set(tmp_path)
    convert(config)
    moved = replace(config, coco_root=str(shutil.copytree(tmp_path / 'set', tmp_path / 'elsewhere')))
    make_mindrecord(moved, 'train')
    rewrite(tmp_path / 'elsewhere/train/2.jpg')
    assert 'train/2.jpg has changed' in refuse(moved)
    make_mindrecord(config, 'train') # the first is as it was


def test_another_image_dir(tmp_path):
    config = write_txt(tmp_path / 'a', image_dir=str(tmp_path / 'a'))
    convert(config)
    shutil.copytree(tmp_path / 'a', tmp_path / 'b', ignore=shutil.ignore_patterns('record'))
    make_mindrecord(replace(config, image_dir=str(tmp_path / 'b')), 'train')
    rewrite(tmp_path / 'b/1.jpg')
    assert '1.jpg has changed' in refuse(replace(config, image_dir=str(tmp_path / 'b')))
    (tmp_path / 'c').mkdir()
    assert '1.jpg is gone' in refuse(replace(config, image_dir=str(tmp_path / 'c')))
    assert f'none of its images is in {tmp_path}/d' in refuse(replace(config, image_dir=str(tmp_path / 'd')))
    shutil.move(tmp_path / 'a/1.jpg', tmp_path / 'c/1.jpg')
    make_mindrecord(replace(config, image_dir=str(tmp_path / 'c')), 'train')


YOLO_CHANGES = {
    'label changed': (lambda f: write_text(f / 'labels/train/1.txt', yolo_row(number=1)),
        'have changed since'),
    'label removed': (lambda f: (f / 'labels/train/1.txt').unlink(), 'have changed since'),
    'label added': (lambda f: write_text(f / 'labels/train/3.txt', yolo_row()), 'have changed since'),
    'image added': (lambda f: write_image(f / 'images/train/4.jpg'), 'images/train/4.jpg was added'),
    'image removed': (lambda f: (f / 'images/train/3.jpg').unlink(), 'images/train/3.jpg is gone'),
    'image replaced': (lambda f: rewrite(f / 'images/train/2.jpg'), 'images/train/2.jpg has changed'),
    'classes swapped': (lambda f: write_text(f / 'data.yaml', 'names: [dog, cat]\n'), 'have changed since'),
}


def write_yolo_set(folder):
    "Three images, the last without a label file"
    config = write_yolo(folder / 'set', [f'images/train/{i}.jpg' for i in (1, 2, 3)])
    (folder / 'set/labels/train/3.txt').unlink()
    return replace(config, mindrecord_dir=str(folder / 'record'))


@pytest.mark.parametrize('name', YOLO_CHANGES)
def test_change_of_a_yolo_set(name, tmp_path):
    change, says = YOLO_CHANGES[name]
    config = write_yolo_set(tmp_path)
    assert convert(config)[0]['images'] == 3
    make_mindrecord(config, 'train')
    change(tmp_path / 'set')
    assert says in refuse(config)


def test_broken_yolo_image_that_is_mended(tmp_path):
    config = write_yolo_set(tmp_path)
    write_text(tmp_path / 'set/images/train/2.jpg', 'hello')
    assert convert(config)[0]['images'] == 2
    make_mindrecord(config, 'train')
    write_image(tmp_path / 'set/images/train/2.jpg')
    assert 'images/train/2.jpg has changed' in refuse(config)


def test_yolo_images_of_the_other_split_do_not_matter(tmp_path):
    config = write_yolo_set(tmp_path)
    convert(config)
    write_image(tmp_path / 'set/images/val/9.jpg')
    for _ in range(2): make_mindrecord(config, 'train')


VOC_CHANGES = {
    'XML added': (lambda f: (write_image(f / 'train/3.jpg'), write_text(f / 'train/3.xml',
        voc_xml('3.jpg'))), 'have changed since'),
    'XML removed': (lambda f: (f / 'train/2.xml').unlink(), 'have changed since'),
    'XML changed': (lambda f: write_text(f / 'train/2.xml', voc_xml('2.jpg', (('cow', (1, 1, 9, 9)),))),
        'have changed since'),
    'image replaced': (lambda f: rewrite(f / 'train/2.jpg'), 'train/2.jpg has changed'),
}


@pytest.mark.parametrize('name', VOC_CHANGES)
def test_change_of_a_voc_set(name, tmp_path):
    change, says = VOC_CHANGES[name]
    config = replace(write_voc(tmp_path / 'set', ('1.jpg', '2.jpg')), mindrecord_dir=str(tmp_path / 'record'))
    convert(config)
    make_mindrecord(config, 'train')
    change(tmp_path / 'set')
    assert says in refuse(config)


# options

def write_two_classes(folder, split='train'):
    content = coco_content(('1.jpg', '2.jpg'), ('cat', 'dog'))
    content['annotations'][1]['category_id'] = 2
    return write_coco(folder, content, split, names=('1.jpg', '2.jpg'))


CLASSES = { # at first, then, is it used in training, in evaluation
    'all, then all': ('', '', True, True), 'one, then all': ('cat', '', False, False),
    'all, then one': ('', 'cat', False, False), 'one, then the other': ('cat', 'dog', False, False),
    'all, then all by name': ('', 'cat,dog', True, True), 'all by name, then all': ('cat,dog', '', True,
        True),
    'in another order': ('cat,dog', 'dog,cat', False, True), 'in another order, then all': ('dog,cat', '',
        True, True),
}


@pytest.mark.parametrize('split', ('train', 'eval'))
@pytest.mark.parametrize('name', CLASSES)
def test_classes_then_others(name, split, tmp_path):
    first, then, *used = CLASSES[name]
    config = write_two_classes(tmp_path, split)
    convert(replace(config, classes=first), split)
    if used[split == 'eval']: make_mindrecord(replace(config, classes=then), split)
    else: assert 'its classes are "background, ' in refuse(replace(config, classes=then), split)


def test_classes_where_only_the_mindrecord_is_left(tmp_path):
    config = replace(write_two_classes(tmp_path / 'set'), mindrecord_dir=str(tmp_path / 'record'))
    convert(replace(config, classes='cat'))
    shutil.rmtree(tmp_path / 'set')
    assert load_manifest(config, 'train')['classes'] == ['background', 'cat']
    assert 'instead of "background, dog"' in refuse(replace(config, classes='dog'))


OPTIONS = {'crowds': ('coco', 'objects'), 'first_class': ('other', 0), 'voc_origin': ('voc', 0)}


@pytest.mark.parametrize('name', OPTIONS)
def test_option_that_changes_what_is_stored(name, tmp_path):
    form, value = OPTIONS[name]
    config = dict(coco=write_coco, other=write_txt, voc=write_voc)[form](tmp_path)
    convert(config)
    make_mindrecord(replace(config, augment=False, num_parallel_workers=1, shards=2, crop_rule='none'),
        'train')
    changed = replace(config, **{name: value})
    assert f'it was made with --{name}={getattr(config, name)} instead of --{name}={value}' in refuse(changed)


def test_skip_then_error(tmp_path):
    config = write_coco_set(tmp_path)
    convert(config)
    sentence = refuse(replace(config, on_bad='error'))
    assert sentence.startswith('2 problems in the train data, the first in ')
    assert '3.jpg cannot be opened' in sentence
    make_mindrecord(config, 'train')


def test_record_of_an_older_version(tmp_path):
    config = write_coco(tmp_path)
    path = make_mindrecord(config, 'train') / 'manifest.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(format=2)))
    assert 'its format is "2" instead of "3": delete the folder' in refuse(config)


@pytest.mark.parametrize('name', ('images.json', 'ground_truth.json', 'rows.npy', 'ssd.mindrecord'))
@pytest.mark.parametrize('content', (None, b'', b'{}'))
def test_file_of_a_record_that_is_damaged(name, content, tmp_path):
    config = write_coco(tmp_path)
    path = make_mindrecord(config, 'train') / name
    path.write_bytes(content) if content is not None else path.unlink()
    assert f'its file {name} is not as it was written' in refuse(config)


@pytest.mark.parametrize('text', ('', '[]', '3', 'null', '{"images": 1}', '"a"'))
def test_manifest_of_something_else(text, tmp_path):
    config = write_coco(tmp_path)
    (make_mindrecord(config, 'train') / 'manifest.json').write_text(text)
    assert 'delete the folder' in refuse(config)


def test_large_set_is_not_asked_in_every_epoch(tmp_path, monkeypatch):
    config = write_coco_set(tmp_path)
    convert(config)
    calls, compare = [], records._compare_data
    monkeypatch.setattr(records, '_compare_data', lambda *args: calls.append(1) or compare(*args))
    for _ in range(3): make_mindrecord(config, 'train')
    assert len(calls) == 3 # a small one is
    monkeypatch.setattr(records, '_LARGE', 1)
    monkeypatch.setattr(records, '_trusted', {})
    clock = iter((0, 1, 20, 22, 24, 25))
    monkeypatch.setattr(records.time, 'monotonic', lambda: next(clock))
    for _ in range(4): make_mindrecord(config, 'train') # at 0, 20, 22 (too late) and 25
    assert len(calls) == 3 + 2


# ids

@pytest.mark.parametrize('number', (-5, 0, 2 ** 40, -2 ** 53))
def test_odd_ids_come_back(number, tmp_path):
    content = coco_content(('1.jpg', '2.jpg'))
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = number
    config = write_coco(tmp_path, content, names=('1.jpg', '2.jpg'))
    convert(config)
    assert [i for i, _, _ in open_record(config)] == [number, 2]
    truth = load_ground_truth(config, 'train')
    assert [i['id'] for i in truth['images']] == [number, 2] == [a['image_id'] for a in truth['annotations']]
    assert read_images(config, [number], 'train')[number].shape == (*SIZE, 3)


@pytest.mark.parametrize('ids', ((7, 3), ('one', 'two'), (2 ** 62, 2 ** 62 + 1), (-4, -9)))
def test_voc_json_and_mindrecord_have_the_same_ids(ids, tmp_path):
    config = write_voc(tmp_path, ('1.jpg', '2.jpg'), 'eval')
    content = coco_content(('1.jpg', '2.jpg'))
    for own, image, note in zip(ids, content['images'],
        content['annotations']): image['id'] = note['image_id'] = own
    path = write_text(tmp_path / 'truth.json', json.dumps(content))
    config = replace(config, voc_json=str(path), classes='cat')
    if not all(type(i) is int and abs(i) < 2 ** 53 for i in ids):
        record = make_record('1.jpg', 1, [], 'a', own_id='x')
        if 'own_id' not in make_coco_ground_truth([record], ('background',
            ))['images'][0]: pytest.skip('not written yet')
    convert(config, 'eval')
    truth, stored = load_ground_truth(config), [i for i, _, _ in open_record(config, 'eval')]
    assert [image['id'] for image in truth['images']] == stored
    assert [note['image_id'] for note in truth['annotations']] == stored
    assert [image.get('own_id', image['id']) for image in truth['images']] == list(ids)


# folders

def test_only_our_own_leftovers_are_removed(tmp_path):
    config = write_coco(tmp_path)
    ours, theirs, empty = (tmp_path / f'record/.train-{name}' for name in ('1', 'notes', 'empty'))
    write_text(ours / 'unfinished.ssd_nb', '')
    write_text(theirs / 'text.txt', 'mine')
    empty.mkdir()
    convert(config)
    assert [p.exists() for p in (ours, theirs / 'text.txt', empty)] == [False, True, True]


def test_lock_is_not_opened_through_a_link(tmp_path):
    config = write_coco(tmp_path)
    precious = write_text(tmp_path / 'precious.txt', 'mine')
    (tmp_path / 'record').mkdir()
    os.symlink(precious, tmp_path / 'record/.lock')
    assert '.lock is a link' in refuse(config)
    assert precious.read_text() == 'mine'


@pytest.mark.parametrize('mask, mode', ((0o022, 0o755), (0o077, 0o700), (0o002, 0o775)))
def test_umask_decides_who_may_read(mask, mode, tmp_path):
    config, before = write_coco(tmp_path), os.umask(mask)
    try: folder = make_mindrecord(config, 'train')
    finally: os.umask(before)
    assert folder.stat().st_mode & 0o777 == mode


def test_record_that_cannot_be_written_to_is_used():
    "Times that have changed cannot be written down then; root may write everywhere, so root becomes nobody"
    with tempfile.TemporaryDirectory() as name:
        top, user = Path(name), os.geteuid()
        top.chmod(0o755)
        config = write_coco_set(top)
        folder = make_mindrecord(config, 'train')
        copy_again(top / 'set')
        (top / 'record/.lock').unlink()
        for path in (folder, folder.parent): path.chmod(0o555)
        before = (folder / 'images.json').read_bytes()
        try:
            if user == 0: os.seteuid(65534)
            assert make_mindrecord(config, 'train') == folder
        finally: os.seteuid(user)
        assert (folder / 'images.json').read_bytes() == before and not (top / 'record/.lock').exists()
        for path in (folder.parent, folder): path.chmod(0o755)


# ---- classes of an evaluation set, and of TXT files

def write_voc_pair(folder, trained=('cat',), measured=('cat', 'ant')):
    "A VOC set with an image for training and one for evaluation"
    for split, names in dict(train=trained, val=measured).items():
        write_image(folder / split / f'{split}.jpg')
        objects = [(name, (21, 11, 50, 40)) for name in names]
        write_text(folder / split / f'{split}.xml', voc_xml(f'{split}.jpg', objects))
    return DataConfig('voc', voc_root=str(folder), mindrecord_dir=str(folder / 'record'))


def test_eval_learns_its_classes_from_the_training_set(tmp_path):
    config = write_voc_pair(tmp_path)
    manifest, _ = convert(config, 'eval')
    assert (manifest['classes'], manifest['left_out']) == (['background', 'cat'], 1)
    write_voc_pair(tmp_path, ('cat', 'ant')) # now an ant can be learned, and is no stranger any more
    assert 'its classes are "background, cat" instead of "background, ant, cat"' in refuse(config, 'eval')


@pytest.mark.parametrize('change', ['another box', 'training set gone'])
def test_eval_fits_while_the_classes_are_the_same(change, tmp_path):
    config = write_voc_pair(tmp_path)
    convert(config, 'eval')
    if change == 'another box': write_text(tmp_path / 'train/train.xml',
                                           voc_xml('train.jpg', [('cat', (1, 1, 9, 9))]))
    else: shutil.rmtree(tmp_path / 'train')
    assert convert(config, 'eval')[0]['classes'] == ['background', 'cat']


@pytest.mark.parametrize('asked, then, split, fits', [
    ('cat,bird', '', 'train', False), # dog would be lost
    ('cat,dog', '', 'train', True), ('dog,cat', '', 'eval', True), ('dog,cat', 'cat,dog', 'eval', True)])
def test_txt_with_names(asked, then, split, fits, tmp_path):
    config = write_txt(tmp_path, ('1.jpg 20,10,50,40,cat 1,1,20,20,dog',), asked)
    convert(config, split)
    later = replace(config, classes=tuple(then.split(',')) if then else ())
    if fits: assert convert(later, split)[0]['objects'] == 2
    else: assert 'its classes are "background, cat, bird" instead of "background, cat, dog"' in refuse(later)


@pytest.mark.parametrize('split', ['train', 'eval'])
def test_order_of_names_says_what_numbers_mean(split, tmp_path):
    config = write_txt(tmp_path, ('1.jpg 20,10,50,40,1 1,1,20,20,2',), 'cat,dog')
    convert(config, split)
    assert 'instead of "background, dog, cat"' in refuse(replace(config, classes='dog,cat'), split)


# ---- where annotations are

def test_other_annotations_are_not_called_changed(tmp_path):
    config = replace(write_voc(tmp_path / 'one'), mindrecord_dir=str(tmp_path / 'record'))
    convert(config)
    write_voc(tmp_path / 'two', ('1.jpg', '2.jpg'))
    sentence = refuse(replace(config, voc_root=str(tmp_path / 'two')))
    assert (f'it was made from {tmp_path}/one/train/1.xml, and the annotations in {tmp_path}/two/train are '
            'others') in sentence
    (tmp_path / 'two/train/2.xml').unlink() # another name of the folder, and the same files
    (tmp_path / 'two/train/2.jpg').unlink()
    assert convert(replace(config, voc_root=str(tmp_path / 'two')))[0]['images'] == 1


def test_another_list_for_evaluation_is_named(tmp_path):
    config = write_txt(tmp_path)
    convert(config, 'eval')
    other = write_text(tmp_path / 'eval.txt', '1.jpg 20,10,50,40,2\n')
    sentence = refuse(replace(config, eval_anno_path=str(other)), 'eval')
    assert f'it was made from {config.anno_path}, and the annotations in {other} are others' in sentence


def test_txt_for_evaluation_alone_in_any_folder(tmp_path, monkeypatch):
    write_txt(tmp_path / 'set')
    config = DataConfig('other', classes='cat,dog', eval_anno_path=str(tmp_path / 'set/list.txt'),
                        mindrecord_dir=str(tmp_path / 'record'))
    for place in ('set', '.'): # where the command is called makes no difference
        monkeypatch.chdir(tmp_path / place)
        assert convert(config, 'eval')[0]['objects'] == 1
    (tmp_path / 'set').rename(tmp_path / 'moved')
    moved = replace(config, eval_anno_path=str(tmp_path / 'moved/list.txt'))
    assert convert(moved, 'eval')[0]['root'] == str(tmp_path / 'set')
    write_image(tmp_path / 'moved/1.jpg', draw_patch(boxes=((1, 1, 9, 9),)))
    assert '1.jpg has changed' in refuse(moved, 'eval')


@pytest.mark.parametrize('row', ['images/1.jpg', './images/1.jpg', 'images\\1.jpg'])
def test_image_that_appears_where_it_was_looked_for(row, tmp_path):
    config = write_txt(tmp_path, (f'{row} 20,10,50,40,1',)) # the image lies beside the list
    for _ in range(2): assert convert(config)[0]['objects'] == 1
    write_image(tmp_path / 'more/2.jpg')
    assert convert(config)[0]['objects'] == 1
    write_image(tmp_path / 'images/1.jpg', draw_patch(boxes=((1, 1, 9, 9),)))
    assert 'images/1.jpg was missing and is there now' in refuse(config)


def test_a_folder_that_is_called_like_an_image(tmp_path):
    config = write_voc(tmp_path, ('1.jpg', '2.jpg'))
    (tmp_path / 'train/2.jpg').unlink()
    (tmp_path / 'train/2.jpg').mkdir()
    for _ in range(2): assert convert(config)[0]['skipped_images'] == 1
    (tmp_path / 'train/2.jpg').rmdir()
    write_image(tmp_path / 'train/2.jpg')
    assert 'train/2.jpg was missing and is there now' in refuse(config)


def test_an_image_that_cannot_be_read_stays_so(tmp_path, monkeypatch):
    from ssd_nb.plumbing import check_records, untrusted
    config, real = write_voc(tmp_path, ('1.jpg', '2.jpg')), untrusted.open_file

    def open_file(path):
        if str(path).endswith('2.jpg'): raise PermissionError(13, 'Permission denied')
        return real(path)
    for module in (check_records, untrusted): monkeypatch.setattr(module, 'open_file', open_file)
    for _ in range(2): assert convert(config)[0]['skipped_images'] == 1
    monkeypatch.undo()
    assert 'train/2.jpg was missing and is there now' in refuse(config)
