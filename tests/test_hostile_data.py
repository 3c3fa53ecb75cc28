"""Data that mean harm, or are odd: read right, or refused in one sentence, in little time and memory."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from make_sets import (
    SIZE, coco_content, convert, read, voc_xml, write_coco, write_image, write_text, write_txt, write_voc,
    write_yolo, yolo_row)

from ssd_nb.boxes import BOX_CONFIGS
from ssd_nb.data import DataConfig
from ssd_nb.plumbing.annotations import Problem
from ssd_nb.plumbing.check_records import check_record
from ssd_nb.plumbing.classes import clean_name
from ssd_nb.plumbing.content import gather_content
from ssd_nb.plumbing.formats import list_source_files, read_annotations
from ssd_nb.plumbing.images import decode_image, examine_image, read_orientation, read_size
from ssd_nb.plumbing.media import find_images, open_media
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.records import find_record_folder, load_ground_truth
from ssd_nb.plumbing.untrusted import show_text
from ssd_nb.plumbing.verdict import describe_splits

ESCAPE = '\x1b]0;title\x07\x1b[2J'
BOXES = BOX_CONFIGS['ssd300']
MARKUP = '<script>alert("&\')</script>'


def refuse(action):
    "The sentence of a `UserError`"
    with pytest.raises(UserError) as error: action()
    text = str(error.value)
    assert text.endswith('.') and text.isprintable() and len(text) < 1500, text
    return text


def edit(content, part, **fields):
    "A COCO file's content whose first element of a list says something else"
    content[part][0].update(fields)
    return content


def chunk(name, data):
    "A part of a PNG"
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def make_png(h, w, chunks=b'', rows=b''):
    "A PNG of one grey value, or one whose rows are cut short"
    packed = rows or zlib.compress((b'\0' + b'\x80' * w) * h)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 0, 0, 0, 0)) + chunks
            + chunk(b'IDAT', packed) + chunk(b'IEND', b''))


# --- numbers -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('area', [float('nan'), float('inf'), -float('inf'), -1, -1e-9, 1e300, 'nan', [5],
                                  {}])
def test_area_that_is_none_is_that_of_the_box(area, tmp_path):
    config = write_coco(tmp_path, edit(coco_content(), 'annotations', area=area))
    rows, found = read(config)
    assert found.records[0].areas.tolist() == [900]
    assert any('1 object with an area that is no number of pixels, so that of the box is taken' in note
               for note in found.notes)
    convert(config)
    truth = json.loads((find_record_folder(config, 'train') / 'ground_truth.json').read_text())
    assert [a['area'] for a in truth['annotations']] == [900]


@pytest.mark.parametrize('area', [float('nan'), float('inf'), -5])
def test_area_in_voc_json_is_refused(area, tmp_path):
    config = write_voc(tmp_path, split='eval')
    path = write_text(tmp_path / 'truth.json', json.dumps(edit(coco_content(), 'annotations', area=area)))
    text = refuse(lambda: load_ground_truth(replace(config, voc_json=str(path)), 'eval'))
    assert text == f'{path}: annotation 1 cannot be used: its area {area} is no number of pixels.'
    write_text(path, json.dumps(coco_content()))
    config = replace(config, voc_json=str(path), mindrecord_dir=str(tmp_path / 'other'))
    assert load_ground_truth(config, 'eval')['annotations'][0]['area'] == 900


@pytest.mark.parametrize('field', [dict(id=[1]), dict(id={}), dict(id=None), dict(id=1.5)])
def test_ids_of_voc_json_that_are_none(field, tmp_path):
    path = write_text(tmp_path / 'truth.json', json.dumps(edit(coco_content(), 'images', **field)))
    config = replace(write_voc(tmp_path, split='eval'), voc_json=str(path))
    assert f'--voc_json={path}: an image has no id' in refuse(lambda: read(config, 'eval'))


@pytest.mark.parametrize('size', ['1e999', '-1e999', 'nan', '9' * 400, 'x'])
def test_size_of_voc_that_is_none(size, tmp_path):
    config = write_voc(tmp_path)
    write_text(tmp_path / 'train/1.xml', voc_xml(size=(size, 80)))
    manifest, problems = convert(config)
    assert (manifest['images'], manifest['objects'], manifest['problems']) == (1, 1, 0)
    assert '<size> is not two numbers in 1 file' in problems


@pytest.mark.parametrize('size', [float('inf'), 10 ** 400, float('nan'), [60], '1e999'])
def test_size_of_coco_that_is_none(size, tmp_path):
    names = '1.jpg', '2.jpg'
    config = write_coco(tmp_path, edit(coco_content(names), 'images', height=size), names=names)
    manifest, problems = convert(config)
    assert (manifest['images'], manifest['problems']) == (1, 1) and 'image 1 cannot be used' in problems


@pytest.mark.parametrize('own', [2 ** 70, -2 ** 70, 2 ** 63, -1, 0, -2 ** 53, '-7', 'x' * 1000])
def test_ids_of_any_size(own, tmp_path):
    content = coco_content(('1.jpg', '2.jpg'))
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = own
    config = write_coco(tmp_path, content, names=('1.jpg', '2.jpg'))
    manifest, _ = convert(config)
    assert (manifest['images'], manifest['objects'], manifest['problems']) == (2, 2, 0)
    content = gather_content(find_record_folder(config, 'train') / 'ground_truth.json')
    assert content.owners.tolist() == [0, 1] and len(set(content.ids)) == 2


@pytest.mark.parametrize('own', [[1], {}, [[]], None, True, 1.5])
def test_ids_that_are_none(own, tmp_path):
    content = coco_content(('1.jpg', '2.jpg'))
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = own
    manifest, problems = convert(write_coco(tmp_path, content, names=('1.jpg', '2.jpg')))
    assert manifest['images'] == 1 and manifest['problems'] > 0
    assert 'is neither a whole number nor text' in problems


@pytest.mark.parametrize('depth', [600, 100_000])
@pytest.mark.parametrize('place', ['beside', 'id', 'bbox', 'segmentation'])
def test_json_too_deep(depth, place, tmp_path):
    config = write_coco(tmp_path)
    path, deep = tmp_path / 'annotations/instances_train.json', '[' * depth + ']' * depth
    text = path.read_text()
    if place == 'beside': text = text[:-1] + f', "more": {deep}}}'
    else: text = text.replace('"image_id": 1,', f'"image_id": 1, "{place}": {deep},', 1)
    path.write_text(text)
    try: read(config)
    except UserError as error: assert 'nested too deeply' in str(error) or 'no object' in str(error)


@pytest.mark.parametrize('number', ['30000000', '1e7', '-30000000', '1e999'])
@pytest.mark.parametrize('classes', ['', 'cat,dog'])
def test_class_number_of_a_txt_file(number, classes, tmp_path):
    config = write_txt(tmp_path, [f'1.jpg 20,10,50,40,{number}'], classes)
    assert 'list.txt' in refuse(lambda: read(config))


# --- names -------------------------------------------------------------------------------------------------

def test_names_are_printed_without_commands():
    assert str(UserError(f'{ESCAPE}a\nb.')) == r'\x1b]0;title\x07\x1b[2Ja\x0ab.'
    assert str(Problem(f'{ESCAPE}.txt', 3, f'the row {ESCAPE}')).isprintable()
    assert show_text('caf\udce9 \ud800 \u202e') == r'caf\xe9 \ud800 \u202e'
    for name in (ESCAPE, 'a\u202eb', 'a\0b', '\ud800', 'x' * 1001):
        with pytest.raises(ValueError): clean_name(name)
    assert clean_name('می\u200cخواهم') # a joiner is a part of words


def make_odd_set(folder, form, name):
    "A set whose image, and its XML or label file, have a name"
    path = write_image(folder / 'tmp.jpg')
    place = dict(voc='train', yolo='images/train', coco='train', other='.')[form]
    (folder / place).mkdir(parents=True, exist_ok=True)
    os.rename(path, os.fsencode(folder / place) + b'/' + name)
    stem = name.rsplit(b'.')[0]
    def write(place, ending, text):
        (folder / place).mkdir(parents=True, exist_ok=True)
        with open(os.fsencode(folder / place) + b'/' + stem + ending, 'w') as file: file.write(text)
    if form == 'voc': write('train', b'.xml', voc_xml('café.jpg'))
    if form == 'yolo':
        write('labels/train', b'.txt', yolo_row())
        write_text(folder / 'data.yaml', 'names: [cat]\ntrain: images/train\n')
    if form == 'coco':
        write_text(folder / 'annotations/instances_train.json', json.dumps(coco_content(('café.jpg',))))
    if form == 'other': write_text(folder / 'list.txt', 'café.jpg 20,10,50,40,1\n')
    root = dict(anno_path=str(folder / 'list.txt')) if form == 'other' else {f'{form}_root': str(folder)}
    return DataConfig(form, mindrecord_dir=str(folder / 'record'), **root)


@pytest.mark.parametrize('form', ['voc', 'yolo', 'coco', 'other'])
def test_file_names_in_latin_1(form, tmp_path, capsys):
    config = make_odd_set(tmp_path, form, b'caf\xe9.jpg')
    manifest, problems = convert(config)
    assert (manifest['images'], manifest['objects'], manifest['problems']) == (1, 1, 0)
    (name,) = gather_content(find_record_folder(config, 'train') / 'ground_truth.json').names
    assert name == {'voc': r'train/caf\xe9.jpg', 'yolo': r'images/train/caf\xe9.jpg'}.get(form, 'café.jpg')
    for line in describe_splits(config, BOXES, ['train']): assert line.isprintable()
    assert problems.replace('\n', '').isprintable()
    convert(config) # nothing seems to have changed


@pytest.mark.parametrize('form', ['voc', 'yolo'])
def test_file_names_with_commands(form, tmp_path):
    config = make_odd_set(tmp_path, form, f'{ESCAPE}\n.jpg'.encode())
    manifest, problems = convert(config)
    assert manifest['images'] == 1 and problems.replace('\n', '').isprintable()
    for line in describe_splits(config, BOXES, ['train']): assert line.isprintable()


@pytest.mark.parametrize('name', ['1\0.jpg', '\ud800.jpg', '\udc80.jpg', ESCAPE, '..', '/', 'x' * 5000, '\n',
                                  '~', '-rf'])
@pytest.mark.parametrize('key', ['file_name', 'coco_url'])
def test_names_in_coco_that_are_none(name, key, tmp_path):
    names = '1.jpg', '2.jpg'
    content = edit(coco_content(names), 'images', **{key: name})
    if key != 'file_name': del content['images'][0]['file_name']
    manifest, problems = convert(write_coco(tmp_path, content, names=names))
    assert manifest['images'] == 1 and manifest['problems'] == 1 and problems.replace('\n', '').isprintable()


@pytest.mark.parametrize('name', ['ba\udc80ll', 'a\0b', ESCAPE, 'a\u202eb', 'x' * 10_000, [], {}, None, True])
def test_names_of_classes_that_are_none(name, tmp_path):
    refuse(lambda: read(write_coco(tmp_path, edit(coco_content(), 'categories', name=name))))


@pytest.mark.parametrize('yaml, says', [
    ('names: {0: cat, one: dog}', 'one in names is not the number of a class'),
    ('names: {0: cat, 2020-01-01: dog}', '2020-01-01 in names is not'),
    ('names: {0: 2020-01-01}', ''), ('names: [2020-01-01, 1.5, null, yes]', ''),
    ('names: {? [a, b] : cat}', 'not valid YAML'), ('names: [[cat]]', 'a list or a table'),
    ('names: !!python/object/apply:os.system [id]', ''),
    ('names: &a [*a]', 'not valid YAML'), ('names: {0: cat, 99999999999: dog}', 'is not the number'),
    ('names: [cat]\nnc: [1, {a: 2}]\nkpt_shape: [[1], {}, 99999999999999999999]', ''),
    ('names: [cat]\ntrain: {a: b}', 'train must be a folder'), ('names: [cat]\ntrain: "a\\0b"', ''),
    ('names: [cat]\npath: "a\\0b"', ''), ('names: [cat]\npath: [1]', ''), ('names: "\\e[2J"', ''),
    ('names: {' + ', '.join(f'{i}: c{i}' for i in range(200_000)) + '}', 'more than 1,000 kB')])
def test_yaml_that_is_odd(yaml, says, tmp_path):
    config, start = write_yolo(tmp_path, yaml=yaml + '\n'), time.perf_counter()
    try: read(config)
    except UserError as error: assert says in str(error) and str(error).isprintable()
    else: assert not says
    assert time.perf_counter() - start < 20


BOMB = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]\n' for i in range(1, 10))


@pytest.mark.parametrize('key', ['names', 'nc', 'classes', 'path', 'train', 'kpt_shape'])
def test_yaml_bomb(key, tmp_path):
    other = '' if key == 'names' else 'names: [cat]\n'
    start = time.perf_counter()
    try: read(write_yolo(tmp_path, yaml=f'{BOMB}{other}{key}: *a9\n'))
    except UserError as error: assert str(error).isprintable() and len(str(error)) < 1500
    assert time.perf_counter() - start < 10


# --- pictures ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('h, w', [(30_000, 30_000), (20_000, 20_000), (10_001, 10_000)])
def test_pictures_that_are_too_large_are_not_decoded(h, w, tmp_path, monkeypatch):
    data = make_png(h, w, rows=zlib.compress(b'\0'))
    monkeypatch.setattr('cv2.imdecode', lambda *_: pytest.fail('decoded'))
    text = refuse(lambda: examine_image(data, 'a.png'))
    assert text.startswith(f'a.png has {w:,} × {h:,} pixels, more than --max_pixels=100000000: ')
    (tmp_path / 'a.png').write_bytes(data)
    refuse(lambda: list(open_media(str(tmp_path / 'a.png'), str(tmp_path / 'out')).entries))


def make_jpeg(height, width, seed=0):
    image = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return cv2.imencode('.jpg', cv2.resize(image, (width, height)))[1].tobytes()


def test_jpeg_that_is_too_large_is_not_decoded(monkeypatch):
    "Its head says 60,000 x 60,000 pixels, for which no memory may be taken"
    data = make_jpeg(16, 24)
    at = data.index(b'\xff\xc0') + 5 # where the height stands
    huge = data[:at] + struct.pack('>HH', 60_000, 60_000) + data[at + 4:]
    monkeypatch.setattr('simplejpeg.decode_jpeg', lambda *_, **__: pytest.fail('decoded'))
    text = refuse(lambda: decode_image(huge, 'a.jpg'))
    assert text == 'a.jpg is larger than the 2³⁰ pixels that OpenCV reads.'


def test_damaged_jpegs_are_what_opencv_makes_of_them():
    "A file that broke after its conversion is the same picture, whichever library decodes it"
    rng, data, differ = np.random.default_rng(0), make_jpeg(120, 160), 0
    first, whole = data.index(b'\xff\xda') + 14, decode_image(data) # where the pixels begin
    for _ in range(300):
        end = rng.integers(first + 9, len(data)) if rng.random() < 0.3 else len(data)
        bent = bytearray(data[:end])
        for at in rng.integers(first, end, 3): bent[at] = rng.integers(256)
        theirs = cv2.imdecode(np.frombuffer(bent, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if theirs is None: refuse(lambda: decode_image(bytes(bent)))
        else: assert np.array_equal(decode_image(bytes(bent)), theirs[..., ::-1])
        differ += theirs is not None and not np.array_equal(theirs[..., ::-1], whole)
    assert differ > 100


@pytest.mark.parametrize('form', ['coco', 'voc', 'yolo', 'other'])
def test_most_pixels_is_an_option(form, tmp_path):
    writers = dict(coco=write_coco, voc=write_voc, yolo=write_yolo, other=write_txt)
    config = writers[form](tmp_path)
    h, w = SIZE
    text = refuse(lambda: convert(replace(config, max_pixels=h * w - 1)))
    assert f'has {w} × {h} pixels, more than --max_pixels={h * w - 1}' in text
    assert convert(replace(config, max_pixels=h * w))[0]['images'] == 1
    with pytest.raises(UserError, match='max_pixels=0 is not possible'): replace(config, max_pixels=0)


def test_picture_whose_texts_are_a_bomb(tmp_path):
    packed = zlib.compress(bytes(100_000_000))
    data = make_png(60, 80, chunk(b'zTXt', b'a\0\0' + packed) + chunk(b'iTXt', b'b\0\1\0\0\0' + packed))
    assert examine_image(data)[0] == (60, 80) and decode_image(data).shape == (60, 80, 3)
    (tmp_path / 'a.png').write_bytes(data)
    assert read_size(tmp_path / 'a.png') == (60, 80)


def test_jpeg_that_is_filled_up(tmp_path):
    "A hundred megabytes of nothing between two segments are passed over at once"
    image = write_image(tmp_path / 'a.jpg')
    data = image.read_bytes()
    image.unlink()
    start = time.perf_counter()
    for filling in (b'\0', b'\xff', b'\xff\0'):
        read_orientation(data[:2] + filling * (10 ** 8 // len(filling)) + data[2:])
    assert time.perf_counter() - start < 10


HUGE = '''
import resource, sys
from ssd_nb.data import DataConfig
from ssd_nb.plumbing.records import make_mindrecord
from ssd_nb.plumbing.options import run_command
here = sys.argv[1]
config = DataConfig('other', anno_path=here + '/list.txt', classes='cat', mindrecord_dir=here + '/record')
def command(words): make_mindrecord(config, 'train')
try: run_command(command)
finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
'''


def test_two_pictures_of_900_megapixels_take_little_memory(tmp_path):
    packer = zlib.compressobj(1)
    rows = b''.join(packer.compress((b'\0' + bytes(30_000)) * 100) for _ in range(300)) + packer.flush()
    for name in 'ab': (tmp_path / f'{name}.png').write_bytes(make_png(30_000, 30_000, rows=rows))
    write_image(tmp_path / 'c.jpg')
    write_text(tmp_path / 'list.txt', ''.join(f'{n} 20,10,50,40,1\n' for n in ('a.png', 'b.png', 'c.jpg')))
    done = subprocess.run([sys.executable, '-c', HUGE, tmp_path], capture_output=True, text=True, timeout=300,
                          env=os.environ | dict(PYTHONPATH=str(ROOT)))
    assert done.returncode == 0 and int(done.stdout.split()[-1]) < 1500, done.stdout + done.stderr
    problems = (tmp_path / 'record/train/problems.txt').read_text()
    assert problems.count('30,000 × 30,000 pixels') == 2


@pytest.mark.parametrize('row', [
    'x' * 10 ** 6, '1' * 10 ** 6, ' ' * 10 ** 6 + 'x', 'a 1' + ' ' * 10 ** 6 + ',', '1.jpg ' + '1' * 10 ** 6,
    '1.jpg 1,2,3,4,a' + ' ' * 10 ** 6 + 'b', '1.jpg 1,2,3,4,a' + ';' * 10 ** 6 + 'b',
    'a/' * 10 ** 6 + 'b.jpg 1,2,3,4,1', '1.jpg 1,2,3,4,a' + ',' * 10 ** 5 + 'b', '1.jpg ' + '1,' * 10 ** 5,
    '"' * 10 ** 6, '.jpg' * 10 ** 5 + 'x'])
def test_long_rows_take_little_time(row, tmp_path):
    config, start = write_txt(tmp_path, ['1.jpg 20,10,50,40,1', row, row]), time.perf_counter()
    assert len(read(config)[0]) <= 3
    write_text(tmp_path / 'yolo.txt', row)
    made = write_yolo(tmp_path / 'yolo', rows=[yolo_row(), row], yaml='names: [cat]\ntrain: list.txt\n')
    write_text(tmp_path / 'yolo/list.txt', f'images/train/1.jpg\n{row}\n')
    assert len(read(made)[0]) == 1
    assert time.perf_counter() - start < 20


# --- what is no file ---------------------------------------------------------------------------------------

def make_plain(folder, form):
    "A set of two images; the path of the second image and of its annotations"
    names = dict(coco=('1.jpg', '2.jpg'), voc=('1.jpg', '2.jpg'),
                 yolo=('images/train/1.jpg', 'images/train/2.jpg'), other=('1.jpg', '2.jpg'))[form]
    if form == 'coco': config = write_coco(folder, names=names)
    if form == 'voc': config = write_voc(folder, names)
    if form == 'yolo': config = write_yolo(folder, names, yaml='names: [cat]\ntrain: images/train\n')
    if form == 'other':
        write_image(folder / '2.jpg')
        config = write_txt(folder, [f'{name} 20,10,50,40,1' for name in names])
    place = dict(coco='train', voc='train', yolo='', other='')[form]
    notes = dict(coco='annotations/instances_train.json', voc='train/2.xml', yolo='labels/train/2.txt',
                 other='list.txt')
    return config, folder / place / names[1], folder / notes[form]


FORMS = 'coco', 'voc', 'yolo', 'other'


def become_pipe(path):
    path.unlink()
    os.mkfifo(path)


def become_zero(path):
    path.unlink()
    path.symlink_to('/dev/zero')


def become_huge(path):
    with open(path, 'wb') as file: file.truncate(50 * 2 ** 30)


@pytest.mark.parametrize('spoil', [become_pipe, become_zero, become_huge])
@pytest.mark.parametrize('follow', [False, True])
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('which', [1, 2])
def test_what_is_no_file(form, follow, spoil, which, tmp_path):
    config, *paths = make_plain(tmp_path, form)
    spoil(paths[which - 1])
    start = time.perf_counter()
    try: manifest, problems = convert(replace(config, follow_links=follow))
    except UserError as error: assert str(error).isprintable() and (which == 2 and form in ('coco', 'other'))
    else: assert manifest['images'] < 2 or manifest['objects'] < 2 or 'without a label file' in problems
    assert time.perf_counter() - start < 30


@pytest.mark.parametrize('megabytes', [1, 3])
def test_long_lists_are_an_option(megabytes, tmp_path):
    config = write_txt(tmp_path, ['1.jpg 20,10,50,40,1', *['#' + 'x' * 999] * 2000])
    if megabytes > 1: assert len(read(replace(config, max_megabytes=megabytes))[0]) == 1
    else: assert 'it has 2 MB, and more than 1 are not read' in refuse(
        lambda: read(replace(config, max_megabytes=megabytes)))


def test_pipe_among_images_to_predict(tmp_path, capsys):
    write_image(tmp_path / '1.jpg')
    os.mkfifo(tmp_path / '2.jpg')
    (tmp_path / '3.jpg').symlink_to('/dev/zero')
    files = find_images(str(tmp_path))
    entries = list(open_media(str(tmp_path), str(tmp_path / 'out')).entries)
    assert len(files) == 3 and [name for name, _ in entries] == ['1.jpg']
    assert capsys.readouterr().err.count('it is a pipe or a device, and no file') == 2


# --- out of the data folder --------------------------------------------------------------------------------

@pytest.mark.parametrize('which', [1, 2])
@pytest.mark.parametrize('form', FORMS)
def test_links_that_lead_out(form, which, tmp_path):
    config, *paths = make_plain(tmp_path / 'set', form)
    path = paths[which - 1]
    shutil.move(path, tmp_path / 'elsewhere')
    path.symlink_to(tmp_path / 'elsewhere')
    if which == 2 and form == 'other': return # the user named it: it may be a link
    config = replace(config, on_bad='error')
    text = refuse(lambda: convert(config))
    place = 'list.txt:2' if form == 'other' else ''
    assert place in text and f'leads out of the data folder {tmp_path}/set' in text
    assert 'pass --follow_links=True' in text and 'elsewhere' in text
    manifest, _ = convert(replace(config, follow_links=True))
    assert (manifest['images'], manifest['objects'], manifest['problems']) == (2, 2, 0)


@pytest.mark.parametrize('form, name', [
    ('coco', 'train'), ('coco', 'annotations'), ('voc', 'train'), ('yolo', 'images'),
    ('yolo', 'images/train'), ('yolo', 'labels')])
def test_folders_that_lead_out(form, name, tmp_path):
    config, *_ = make_plain(tmp_path / 'set', form)
    shutil.move(tmp_path / 'set' / name, tmp_path / 'elsewhere')
    (tmp_path / 'set' / name).symlink_to('../../elsewhere' if '/' in name else '../elsewhere')
    (tmp_path / 'elsewhere/back').symlink_to(tmp_path)
    text = refuse(lambda: convert(replace(config, on_bad='error')))
    assert 'of the data folder' in text and '--follow_links=True' in text, text
    manifest, _ = convert(replace(config, follow_links=True))
    assert (manifest['images'], manifest['objects']) == (2, 2)


@pytest.mark.parametrize('form', FORMS)
def test_links_that_stay_inside(form, tmp_path):
    "The folder may be a link, and links in it may lead to other places in it"
    config, *paths = make_plain(tmp_path / 'set', form)
    (tmp_path / 'set/store').mkdir()
    for number, path in enumerate(paths):
        if form == 'other' and number: continue
        shutil.move(path, tmp_path / f'set/store/{number}')
        path.symlink_to(os.path.relpath(tmp_path / f'set/store/{number}', path.parent))
    (tmp_path / 'again').symlink_to('set')
    options = {key: getattr(config, key).replace('/set', '/again')
               for key in ('coco_root', 'voc_root', 'yolo_root', 'anno_path')}
    manifest, _ = convert(replace(config, **options))
    assert (manifest['images'], manifest['objects'], manifest['problems']) == (2, 2, 0)
    assert not any('leads out' in note for note in manifest['notes'])


def test_link_to_the_whole_system_is_not_walked(tmp_path):
    for form in FORMS:
        config, path, _ = make_plain(tmp_path / form, form)
        (path.parent / 'root').symlink_to('/')
        start = time.perf_counter()
        assert len(read(config)[0]) == 2 and list_source_files(config, 'train')
        assert time.perf_counter() - start < 5


OUT = [
    ('voc', 'list', '../../outside/secret'), ('voc', 'list', '{}/outside/secret'),
    ('voc', 'file', '../../outside/secret.jpg'), ('voc', 'file', '{}/outside/secret.jpg'),
    ('coco', 'file', '../../outside/secret.jpg'), ('coco', 'file', '{}/outside/secret.jpg'),
    ('other', 'list', '../outside/secret.jpg'), ('other', 'list', '{}/outside/secret.jpg'),
    ('yolo', 'list', '../outside/secret.jpg'), ('yolo', 'list', '{}/outside/secret.jpg'),
    ('yolo', 'train', '../outside'), ('yolo', 'train', '{}/outside'), ('yolo', 'path', '../outside'),
    ('yolo', 'train', 'images/../../outside'), ('yolo', 'path', '{}/outside')]


@pytest.mark.parametrize('form, place, row', OUT)
def test_rows_that_lead_out(form, place, row, tmp_path):
    row = row.format(tmp_path)
    write_image(tmp_path / 'outside/secret.jpg')
    write_text(tmp_path / 'outside/secret.xml', voc_xml('secret.jpg'))
    write_text(tmp_path / 'outside/secret.txt', yolo_row())
    config, _, notes = make_plain(tmp_path / 'set', form)
    if form == 'voc' and place == 'list':
        for name, ending in (('JPEGImages', 'jpg'), ('Annotations', 'xml')):
            (tmp_path / 'set' / name).mkdir()
            for n in '12': shutil.move(tmp_path / f'set/train/{n}.{ending}', tmp_path / 'set' / name)
        write_text(tmp_path / 'set/ImageSets/Main/train.txt', f'1\n{row}\n')
    if form == 'voc' and place == 'file': write_text(notes, voc_xml(row))
    if form == 'coco': write_text(notes, notes.read_text().replace('2.jpg', row))
    if form == 'other': write_text(notes, notes.read_text().replace('2.jpg', row))
    if form == 'yolo' and place == 'list':
        write_text(tmp_path / 'set/data.yaml', 'names: [cat]\ntrain: list.txt\n')
        write_text(tmp_path / 'set/list.txt', f'images/train/1.jpg\n{row}\n')
    if form == 'yolo' and place != 'list':
        write_text(tmp_path / 'set/data.yaml', f'names: [cat]\n{place}: {row}\n')
    try: manifest, problems = convert(config)
    except UserError as error:
        assert form == 'yolo' and place in ('train', 'path') and 'data.yaml' in str(error)
        if row.startswith('/'): assert f'data.yaml:2: {place}: {tmp_path}/outside leads out' in str(error)
        if row.startswith('images'): assert 'data.yaml:2: train: ' in str(error) and 'leads out' in str(error)
        return
    truth = json.loads((find_record_folder(config, 'train') / 'ground_truth.json').read_text())
    assert not any('secret' in image['file_name'] for image in truth['images'])
    if place == 'list': assert re.search(r'(train|list)\.txt:2: .*secret', problems)


def test_a_rule_that_holds_for_absolute_paths_inside(tmp_path):
    config, path, notes = make_plain(tmp_path / 'set', 'other')
    write_text(notes, notes.read_text().replace('2.jpg', str(path)))
    assert len(read(config)[0]) == 2
    config, path, _ = make_plain(tmp_path / 'yolo', 'yolo')
    write_text(tmp_path / 'yolo/list.txt', f'images/train/1.jpg\n{path}\n')
    for train in ('list.txt', f'{tmp_path}/yolo/list.txt', f'{tmp_path}/yolo/images/train',
                  '../yolo/images/train'):
        write_text(tmp_path / 'yolo/data.yaml', f'names: [cat]\ntrain: {train}\n')
        assert len(read(config)[0]) == 2
        assert len(read(replace(config, yolo_root=f'{tmp_path}/yolo/data.yaml'))[0]) == 2
    write_text(tmp_path / 'yolo/data.yaml', f'names: [cat]\npath: {tmp_path}/yolo\ntrain: images/train\n')
    assert len(read(config)[0]) == 2


# --- text on pages -----------------------------------------------------------------------------------------

def test_report_shows_names_as_text():
    from types import SimpleNamespace

    from ssd_nb.plumbing import report
    result = SimpleNamespace(classes=(MARKUP, '"><img src=x onerror=alert(1)>'), ap=np.array([0.5, np.nan]),
                             ap50=np.array([0.5, np.nan]), objects=[3, 0], text=f'{MARKUP}\n' + '=' * 40,
                             mAP=0.5, stats=np.zeros(12))
    page = report._make_head(result, 0.5, 0.5) + report._embed_figure(draw_empty(), MARKUP)
    page = report._PAGE.format(title=report.html.escape(MARKUP), body=page)
    assert '<script' not in page and '<img src=x' not in page and page.count('&lt;script&gt;') == 5
    from bs4 import BeautifulSoup
    soup = BeautifulSoup(page, 'html.parser')
    assert [tag.get_text() for tag in soup.find_all('th')][5:] == list(result.classes)
    assert soup.title.get_text() == soup.h1.get_text() == soup.img['alt'] == MARKUP


def draw_empty():
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    return plt.subplots()[1]


@pytest.mark.slow
def test_site_shows_names_as_text(tmp_path):
    sys.path.insert(0, str(ROOT / 'scripts/maintain'))
    import nbformat
    from bs4 import BeautifulSoup
    from build_site import notebook_body, write_page
    from jinja2 import Template
    code = nbformat.v4.new_code_cell(f'print({MARKUP!r})')
    code.outputs = [nbformat.v4.new_output('stream', text=MARKUP),
                    nbformat.v4.new_output('execute_result', data={'text/plain': MARKUP})]
    heading = MARKUP.replace('<', '&lt;')
    cells = [nbformat.v4.new_markdown_cell(f'# {heading}\n\n## {heading}'), code]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / 'a.ipynb')
    text = (ROOT / 'scripts/maintain/site_page.html').read_text()
    write_page(tmp_path, 'a', notebook_body(tmp_path / 'a.ipynb'), Template(text, autoescape=True),
               pages=[MARKUP], git_url='x', plumbing=[], source='y', origin='a.ipynb')
    soup = BeautifulSoup((tmp_path / 'a.html').read_text(), 'html.parser')
    assert not soup.find_all('script') and MARKUP in soup.title.get_text() and MARKUP in soup.h2.get_text()
    assert MARKUP in soup.find(class_='contents').get_text() and soup.find('main').h1
    assert 'autoescape=True' in (ROOT / 'scripts/maintain/build_site.py').read_text()


# --- containers --------------------------------------------------------------------------------------------

def start_docker(folder, *words, **env):
    "What docker_start.sh calls docker with"
    for name in ('bin', 'data', 'models', 'dev'): (folder / name).mkdir(exist_ok=True)
    (folder / 'bin/docker').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (folder / 'bin/docker').chmod(0o755)
    env = dict(PATH=f'{folder}/bin:/usr/bin:/bin', DEVICES=f'{folder}/dev', DRIVER='/none', **env)
    words = words or ('ssd_nb:1', folder / 'data', folder / 'models')
    return subprocess.run(['bash', ROOT / 'scripts/docker_start.sh', *map(str, words)], env=env, text=True,
                          capture_output=True, timeout=60)


def test_container_gets_no_more_than_it_needs(tmp_path):
    words = start_docker(tmp_path, USER_ID='1234').stdout.splitlines()
    assert f'{tmp_path}/data:{tmp_path}/data:ro' in words and not any('ipc' in word for word in words)
    assert '--shm-size=2g' in words and '--security-opt=no-new-privileges' in words
    assert '--privileged' not in words
    assert words[words.index('--user') + 1].startswith('1234:')
    assert '--user' not in start_docker(tmp_path, USER_ID='0').stdout.splitlines() # the image's own
    assert '--ipc=host' in start_docker(tmp_path, SHM_SIZE='host').stdout.splitlines()
    assert '--shm-size=8g' in start_docker(tmp_path, SHM_SIZE='8g').stdout.splitlines()


@pytest.mark.parametrize('image', ['--privileged', '-v/:/host', '', '--', ' x', '\x1b[2J'])
def test_image_that_is_an_option(image, tmp_path):
    done = start_docker(tmp_path, image, tmp_path, tmp_path)
    assert done.returncode == 2 and not done.stdout and 'is not the name of an image' in done.stderr
    assert done.stderr.strip().isprintable()


def test_folder_with_a_colon(tmp_path):
    (tmp_path / 'a:b').mkdir()
    done = start_docker(tmp_path, 'ssd_nb', tmp_path / 'a:b', tmp_path)
    assert done.returncode == 2 and 'divides folders at a colon' in done.stderr
