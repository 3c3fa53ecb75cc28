"""YOLO sets as tools and people write them: each is read with the right boxes, or refused in one sentence."""
import os
import re
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from make_sets import BOX, SIZE, draw_patch, write_image, write_text, yolo_row

from ssd_nb.data import DataConfig
from ssd_nb.plumbing.images import decode_image
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.yolo import YoloSource

ROW = yolo_row()
Y1, X1, Y2, X2 = BOX
H, W = SIZE
XS, YS = (X1 / W, X2 / W), (Y1 / H, Y2 / H)
YAML = 'train: images/train\nval: images/val\nnames: [cat, dog]\n'


def make_set(folder, files):
    "Writes files by their paths: text, bytes, or an image for None; answers the source"
    for name, content in files.items():
        path = folder / name
        if content is None: write_image(path)
        elif isinstance(content, bytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        else: write_text(path, content)
    return YoloSource(DataConfig('yolo', yolo_root=str(folder)))


def read(source, split='train'):
    "(file name, boxes, names of classes) of each image, and what was read"
    found = source.read(split)
    return [(r.file_name, r.boxes.round(2).tolist(), [found.classes[i] for i in r.labels])
            for r in found.records[:]], found


def one(folder, rows, yaml=YAML, **more):
    "A set of one image with these rows"
    rows = rows if isinstance(rows, bytes) else '\n'.join([rows] if isinstance(rows, str) else rows) + '\n'
    files = {'data.yaml': yaml, 'images/train/1.png': None, 'labels/train/1.txt': rows}
    return make_set(folder, files | more)


def refuse(action):
    "The sentence of a `UserError`"
    with pytest.raises(UserError) as error: action()
    text = str(error.value)
    assert text.endswith('.') and '\n' not in text and len(text) < 600
    return text


def said(items): return ' | '.join(map(str, items))


# --- rows --------------------------------------------------------------------------------------------------

POLYGON = f'0 {XS[0]} {YS[0]} {XS[1]} {YS[0]} {XS[1]} {YS[1]}'
CORNERS = f'{POLYGON} {XS[0]} {YS[1]}'
DIAMOND = f'0 {(XS[0] + XS[1]) / 2} {YS[0]} {XS[1]} 0.3 0.4 {YS[1]} {XS[0]} 0.4'


@pytest.mark.parametrize('row, note', {
    'box': (ROW, ''), 'class 0.0': (f'0.0{ROW[1:]}', ''), 'class 00': (f'00{ROW[1:]}', ''),
    'spaces': (f'  {ROW.replace(" ", "   ")}  ', ''), 'tabs': (ROW.replace(' ', '\t'), ''),
    'commas': (ROW.replace(' ', ','), ''), 'commas and blanks': (ROW.replace(' ', ', '), ''),
    'semicolons': (ROW.replace(' ', ';'), ''), 'exponents': ('0 4.375e-1 4.1666667E-01 .375 5e-1', ''),
    'confidence': (f'{ROW} 0.87', '6th column'), 'track': (f'{ROW} 17', '6th column'),
    'three corners': (POLYGON, 'polygon'), 'four corners': (CORNERS, 'polygon'),
    'turned': (DIAMOND, 'polygon'),
    'closed': (f'{CORNERS} {XS[0]} {YS[0]}', 'polygon'), 'by name': (f'cat{ROW[1:]}', ''),
    'quoted name': (f'"cat"{ROW[1:]}', ''), 'name and polygon': (f'cat{POLYGON[1:]}', 'polygon'),
    'plus': ('+0 +0.4375 +0.41666667 +0.375 +0.5', '')}.values(), ids=str)
def test_rows_that_are_read(tmp_path, row, note):
    rows, found = read(one(tmp_path, row))
    assert rows == [('images/train/1.png', [list(map(float, BOX))], ['cat'])]
    assert found.problems == [] and note in said(found.notes)
    if not note: assert found.notes == ()


@pytest.mark.parametrize('row, says', [
    ('0', 'has 1 columns'), ('0 0.5 0.5', 'has 3 columns'), ('0 0.5 0.5 0.1', 'has 4 columns'),
    ('0 .1 .1 .1 .1 .1 .1 .1', 'has 8 columns'), (ROW.replace('.', ','), 'decimal comma: write 0.5 for 0,5'),
    (ROW.replace('.', ',').replace(' ', ';'), 'decimal comma'),
    (f'2{ROW[1:]}', 'the classes are the numbers 0 to 1'),
    (f'-1{ROW[1:]}', 'the class -1 is not known'), (f'0.5{ROW[1:]}', 'the class 0.5 is not known'),
    (f'nan{ROW[1:]}', 'the class nan is not known'), (f'1e99{ROW[1:]}', 'the class 1e99 is not known'),
    (f'bird{ROW[1:]}', 'the class "bird" is neither a number nor one of the names'),
    ('0 nan 0.5 0.1 0.1', 'not finite'), ('0 inf 0.5 0.1 0.1', 'not finite'),
    ('0 a 0.5 0.1 0.1', 'not a number'),
    ('# a remark', 'neither a number nor'), ('{"class": 0}', 'neither a number nor'),
    ('""', 'neither a number nor')])
def test_rows_that_are_named(tmp_path, row, says):
    rows, found = read(one(tmp_path, [ROW, '', row]))
    assert [len(boxes) for _, boxes, _ in rows] == [1]
    (problem,) = found.problems
    assert says in problem.what and problem.line == 3 and problem.file.endswith('labels/train/1.txt')
    assert problem.bad and problem.count == 1


@pytest.mark.parametrize('row', ['0 35 25 30 30', '0 20 10 50 40', '0 0 0 50 40', '0 20 10 50 10 50 40 20 40',
                                 '0 43.75 41.7 37.5 50', '0 0 0 50 0 50 40'])
def test_pixels_are_said_once(tmp_path, row):
    rows, found = read(one(tmp_path, [ROW, row, row, row]))
    assert [len(boxes) for _, boxes, _ in rows] == [1]
    (problem,) = found.problems
    assert (problem.count, problem.line) == (3, 2)
    assert '3 rows from here on with numbers above 1' in problem.what


@pytest.mark.parametrize('row, box', [('0 0.5 0.5 1.0001 1.0001', (-.003, -.004, 60.003, 80.004)),
                                      ('0 -0.01 0.5 0.1 1', (0, -4.8, 60, 3.2)),
                                      ('0 0.9 0.9 0.4 0.4', (42, 56, 66, 88)),
                                      ('0 1.00001 1.00002 0.1 0.1 0 0', (0, 0, 60.0012, 80.0008))])
def test_a_little_outside_stays(tmp_path, row, box):
    found = one(tmp_path, row).read('train')
    if row.count(' ') == 6: assert found.problems == [] and len(found.records[0].boxes) == 1
    else: np.testing.assert_allclose(found.records[0].boxes, [box], atol=1e-3)
    assert found.problems == []


@pytest.mark.parametrize('shape, more', [('[2, 3]', 6), ('[2, 2]', 4), ('[2, 3]', 7), ('[17, 3]', 51)])
def test_poses(tmp_path, shape, more):
    yaml = f'{YAML}kpt_shape: {shape}\nflip_idx: [0, 1]\n'
    rows, found = read(one(tmp_path, f'{ROW}{" 0.9" * more}', yaml))
    assert rows[0][1] == [list(map(float, BOX))] and '1 row with key points' in said(found.notes)
    _, found = read(one(tmp_path, f'{ROW}{" 0.9" * (more + 4)}', yaml))
    assert 'columns where class, x, y, width and height, and' in found.problems[0].what


@pytest.mark.parametrize('data', [
    f'{ROW}\r\n\r\n{ROW}\r\n'.encode(), f'{ROW}\r{ROW}\r'.encode(), f'\ufeff{ROW}\n{ROW}'.encode(),
    f'{ROW}\n{ROW}\n'.encode('utf-16'), f'\ufeff{ROW}\r\n{ROW}\r\n'.encode('utf-16-le'),
    f'\ufeff{ROW}\n{ROW}\n'.encode('utf-16-be'), f'\n\n \t\n{ROW} \n{ROW}\t\n\n'.encode(),
    f'{ROW}\r\n{ROW}\r\n\x1a'.encode()], ids=['dos', 'mac', 'bom', 'utf-16', 'le', 'be', 'blank', 'ctrl-z'])
def test_line_ends_and_encodings(tmp_path, data):
    rows, found = read(one(tmp_path, data))
    assert len(rows[0][1]) == 2 and found.problems == [] and found.notes == ()


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_yaml_in_other_encodings(tmp_path, encoding):
    rows, found = read(one(tmp_path, f'1{ROW[1:]}',
        'train: images/train\r\nnames: [猫, 犬]\r\n'.encode(encoding)))
    assert rows[0][2] == ['犬']


def test_what_is_no_text_is_named(tmp_path):
    source = one(tmp_path, b'\x89PNG\xb0\x00', **{'images/train/2.png': None, 'labels/train/2.txt': ROW})
    rows, found = read(source)
    assert [name for name, *_ in rows] == ['images/train/2.png']
    (problem,) = found.problems
    assert problem.images == 1 and '1.png is left out' in problem.what and 'UTF-8' in problem.what


def test_names_with_blanks_in_rows(tmp_path):
    yaml = 'train: images/train\nnames: [class 1, traffic light, class]\n'
    rows, _ = read(one(tmp_path, [f'traffic  light{ROW[1:]}', f'class 1{ROW[1:]}', f'class{ROW[1:]}'], yaml))
    assert rows[0][2] == ['traffic light', 'class 1', 'class']


def test_classes_that_count_from_one(tmp_path):
    _, found = read(one(tmp_path, [f'1{ROW[1:]}', f'2{ROW[1:]}', f'2{ROW[1:]}']))
    assert 'no object is of class 0, and 2 of class 2' in said(found.notes) and len(found.problems) == 2
    rows, found = read(one(tmp_path, [f'1{ROW[1:]}', f'2{ROW[1:]}'],
        'train: images/train\nnames: {1: cat, 2: dog}'))
    assert rows[0][2] == ['cat', 'dog'] and found.notes == ()


# --- names -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('names, number, name', [
    ('[cat, dog]', 1, 'dog'), ('{0: cat, 1: dog}', 1, 'dog'), ('{1: dog, 0: cat}', 1, 'dog'),
    ('{"0": cat, "1": dog}', 1, 'dog'), ('{1: cat, 2: dog}', 1, 'cat'), ('{3: cat, 10: dog}', 10, 'dog'),
    ('\n  - cat\n  - dog', 1, 'dog'), ('\n- cat\n- dog', 1, 'dog'), ('\n  0: cat\n  1: dog', 1, 'dog'),
    ('\n  - 0: cat\n  - 1: dog', 1, 'dog'), ('{cat: 0, dog: 1}', 1, 'dog'), ('cat, dog', 1, 'dog'),
    ('"[\'cat\', \'dog\']"', 1, 'dog'), ('cat', 0, 'cat'), ('[no, yes]', 0, 'no'), ('[on, off]', 1, 'off'),
    ('[010, 1e3]', 0, '010'), ('[010, 1e3]', 1, '1e3'), ('[1, 2]', 0, '1'), ('[null, ~]', 0, 'null'),
    ('[true, 1.50]', 1, '1.50'), ('[2024-01-01, 12:30:00]', 1, '12:30:00'), ('[" cat ", "traffic  light"]', 1,
     'traffic light'), ("['cat', \"it's\"]", 1, "it's"), ('[猫, Übung]', 1, 'Übung'),
    ('[a$b, <c>]', 1, '<c>'),
    ('&n [cat, dog]', 1, 'dog'), ('!!python/tuple [cat, dog]', 1, 'dog')])
def test_names(tmp_path, names, number, name):
    rows, found = read(one(tmp_path, f'{number}{ROW[1:]}', f'train: images/train\nnames: {names}\n'))
    assert rows[0][2] == [name] and found.problems == []


@pytest.mark.parametrize('names, says', [
    ('{0: ball, one: cube}', 'one in names is not the number of a class'), ('{0.5: a}', '0.5 in names'),
    ('{-1: a}', '-1 in names'), ('3', 'names must be a list'), ('', 'names must be a list'),
    ('[]', 'must be a list'),
    ('{}', 'must be a list'), ('[[a, b], c]', 'a list or a table where the name'),
    ('[{a: b, c: d}]', 'a list or a'),
    ('{0: [a]}', 'a list or a table'), ('[', ':2 is not valid YAML ('),
    ('[a, ""]', 'the name of a class is empty'),
    ('{0: a, 1: }', 'the name of a class is empty'), ('{[a]: b}', 'is not valid YAML'),
    ('&a [*a]', 'is not valid YAML'),
    ('*b', 'is not valid YAML'), ('[' * 3000, 'is not valid YAML'), ('"\\d"', 'is not valid YAML'),
    ('coco.names', 'names are in coco.names, and there is no such file')])
def test_names_that_are_refused(tmp_path, names, says):
    source = one(tmp_path, ROW, f'train: images/train\nnames: {names}\n')
    text = refuse(lambda: source.read('train'))
    assert says in text and 'data.yaml' in text


BOMB = ('a0: &a0 [x,x,x,x,x,x,x,x,x]\n'
        + ''.join(f'a{i}: &a{i} [{",".join([f"*a{i - 1}"] * 9)}]\n' for i in range(1, 11)))


@pytest.mark.parametrize('end', ['names: [*a10]', 'names: *a10', 'names: {0: *a10}',
    'names: [x]\ntrain: *a10'])
def test_alias_bomb(tmp_path, end):
    source = one(tmp_path, ROW, f'{BOMB}{end}\n')
    tracemalloc.start()
    start = time.perf_counter()
    text = refuse(lambda: source.read('train'))
    assert time.perf_counter() - start < 1 and tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert 'data.yaml' in text


def test_equal_names_are_one_class(tmp_path):
    rows, found = read(one(tmp_path, [ROW, f'2{ROW[1:]}', f'1{ROW[1:]}'], YAML.replace('dog', 'dog, " cat"')))
    assert found.classes == ('background', 'cat', 'dog') and rows[0][2] == ['cat', 'cat', 'dog']
    assert 'the numbers 0, 2 are all called cat, so they are one class' in said(found.notes)


@pytest.mark.parametrize('name', ['background', 'Background', '__background__', 'BACKGROUND'])
def test_background_is_no_class(tmp_path, name):
    rows, found = read(one(tmp_path, [ROW, ROW, f'1{ROW[1:]}'], YAML.replace('cat', name)))
    assert found.classes == ('background', 'dog') and rows[0][2] == ['dog']
    (problem,) = found.problems
    assert (problem.bad, problem.count) == (False, 2)
    assert f'2 objects are called {name}, which every place' in problem.what


def test_classes_not_asked_for_are_counted(tmp_path):
    source = one(tmp_path, [ROW, f'1{ROW[1:]}', f'1{ROW[1:]}'])
    source = YoloSource(DataConfig('yolo', yolo_root=str(tmp_path), classes='cat'))
    rows, found = read(source)
    assert rows[0][2] == ['cat'] and [(p.bad, p.count) for p in found.problems] == [(False, 2)]


@pytest.mark.parametrize('nc, note', [('2', ''), ('3', 'nc is 3, but there are 2 names'), ('1', 'nc is 1')])
def test_number_of_classes(tmp_path, nc, note):
    _, found = read(one(tmp_path, ROW, f'{YAML}nc: {nc}\n'))
    assert note in said(found.notes) and bool(note) == bool(found.notes)


@pytest.mark.parametrize('files, name', [
    ({'classes.txt': 'cat\ndog\n'}, 'dog'), ({'classes.txt': '\ufeffcat\r\ndog\r\n\r\n'}, 'dog'),
    ({'obj.names': 'cat\ndog\n'}, 'dog'), ({'coco.names': 'cat\ndog\n'}, 'dog'),
    ({'labels/classes.txt': 'cat\ndog'}, 'dog'), ({'labels/train/classes.txt': 'cat\ndog'}, 'dog'),
    ({'train/_darknet.labels': 'cat\ndog'}, 'dog'),
    ({'notes.json': '{"categories": [{"id": 1, "name": "dog"}, {"id": 0, "name": "cat"}]}'}, 'dog'),
    ({'notes.json': '{}', 'classes.txt': 'cat\ndog'}, 'dog'),
    ({'obj.data': 'names = data/obj.names\nclasses = 2\n',
     'obj.names': 'cat\ndog\n'}, 'dog'), ({'data.yaml': 'names: my.names', 'my.names': 'cat\ndog\n'}, 'dog'),
    ({'data.yaml': 'names: ./data/my.names', 'my.names': 'cat\ndog\n'}, 'dog'),
    ({'data.yaml': 'train: images/train\nnc: 2', 'classes.txt': 'cat\ndog\n'}, 'dog'),
    ({'data.YML': YAML}, 'dog'), ({'data.yaml': YAML, '._data.yaml': b'\0\5\x16\7\xb0',
    'hyp.yaml': 'lr0: 0.01'}, 'dog'),
    ({'data.yaml': YAML, 'classes.txt': 'other'}, 'dog'),
    ({'data.yaml': YAML, 'old.yaml': 'names: [a]'}, 'dog')])
def test_where_names_are(tmp_path, files, name):
    source = make_set(tmp_path, {'images/train/1.png': None, 'labels/train/1.txt': f'1{ROW[1:]}'} | files)
    rows, found = read(source)
    assert rows == [('images/train/1.png', [list(map(float, BOX))], [name])] and found.problems == []
    assert found.notes == ()


def test_no_names(tmp_path):
    files = {'images/train/1.png': None, 'labels/train/1.txt': ROW}
    text = refuse(lambda: make_set(tmp_path / 'a', files).read('train'))
    assert 'one yaml file with names is wanted' in text and 'classes.txt' in text
    assert f'--yolo_root={tmp_path}' in text
    source = make_set(tmp_path / 'b', {'sub/data.yaml': YAML})
    assert f'give --yolo_root={tmp_path}/b/sub' in refuse(lambda: source.read('train'))
    source = make_set(tmp_path / 'c', files | {'a.yaml': YAML, 'b.yaml': YAML})
    assert '2 (a.yaml, b.yaml): give the one that is meant' in refuse(lambda: source.read('train'))
    source = YoloSource(DataConfig('yolo', yolo_root=f'{tmp_path}/c/b.yaml'))
    assert read(source)[0][0][2] == ['cat']
    source = make_set(tmp_path / 'd', files |
        {'labels/train/classes.txt': 'a', 'labels/val/classes.txt': 'b'})
    assert 'give different names' in refuse(lambda: source.read('train'))


# --- where images are --------------------------------------------------------------------------------------

BOXES = [list(map(float, BOX))]
NAMES = 'names: [cat]\n'
PAIR = {'images/train/1.png': None, 'labels/train/1.txt': ROW}
FLAT = {'images/1.png': None, 'labels/1.txt': ROW}
BESIDE = {'obj_train_data/1.png': None, 'obj_train_data/1.txt': ROW}
RF = {'train/images/1.png': None, 'train/labels/1.txt': ROW}


@pytest.mark.parametrize('files', [
    PAIR | {'data.yaml': f'train: images/train\n{NAMES}'},
    PAIR | {'data.yaml': f'train: ./images/train/\n{NAMES}'},
    PAIR | {'data.yaml': f'train: [images/train]\n{NAMES}'}, PAIR | {'data.yaml': NAMES},
    PAIR | {'data.yaml': f'train:\n{NAMES}'}, PAIR | {'data.yaml': f'train: null\n{NAMES}'},
    PAIR | {'data.yaml': f'train: images\\train\n{NAMES}'},
    PAIR | {'data.yaml': f'path: .\ntrain: images/train\n{NAMES}'},
    PAIR | {'data.yaml': f'path: ../datasets/x\ntrain: images/train\n{NAMES}'},
    PAIR | {'data.yaml': f'path: /content/drive/MyDrive/x\ntrain: images/train\n{NAMES}'},
    PAIR | {'data.yaml': f'path: C:\\Users\\me\\x\ntrain: images\\train\n{NAMES}'},
    PAIR | {'data.yaml': f'train: /home/me/x/images/train\n{NAMES}'},
    PAIR | {'data.yaml': f'train: D:\\x\\images\\train\n{NAMES}'},
    PAIR | {'data.yaml': f'train: images/\n{NAMES}'},
    PAIR | {'data.yaml': f'train: data/images/train # a remark\n{NAMES}'},
    {f'data/{k}': v for k, v in PAIR.items()} | {'data.yaml': f'path: data\ntrain: images/train\n{NAMES}'},
    {f'data/{k}': v for k, v in PAIR.items()} | {'data.yaml': f'path: ./data\n{NAMES}'},
    RF | {'data.yaml': f'train: ../train/images\nval: ../valid/images\n{NAMES}'}, RF | {'data.yaml': NAMES},
    RF | {'data.yaml': f'train: train\n{NAMES}'}, RF | {'data.yaml': f'train: x/train/images\n{NAMES}'},
    {'images/train2017/1.png': None, 'labels/train2017/1.txt': ROW, 'data.yaml': NAMES},
    {'Images/Train/1.png': None, 'Labels/Train/1.txt': ROW, 'data.yaml': NAMES},
    {'images/train/1.png': None, 'images/train/1.txt': ROW, 'data.yaml': NAMES},
    {'train/1.png': None, 'train/1.txt': ROW, 'train/_darknet.labels': 'cat'},
    {'JPEGImages/1.png': None, 'labels/1.txt': ROW, 'data.yaml': f'train: JPEGImages\n{NAMES}'},
    FLAT | {'classes.txt': 'cat', 'notes.json': '{}'}, FLAT | {'data.yaml': f'train: images\n{NAMES}'},
    FLAT | {'data.yaml': f'train: {"{root}"}/images\n{NAMES}'}, FLAT | {'data.yaml': NAMES},
    FLAT | {'train.txt': 'images/1.png\n', 'data.yaml': f'train: train.txt\n{NAMES}'},
    FLAT | {'train.txt': './images/1.png\r\n\r\n', 'data.yaml': f'path: .\ntrain: ./train.txt\n{NAMES}'},
    FLAT | {'train.txt': 'data/images/1.png\n', 'data.yaml': f'train: train.txt\n{NAMES}'},
    FLAT | {'train.txt': '.\\images\\1.png\n', 'data.yaml': f'train: train.txt\n{NAMES}'},
    FLAT | {'train.txt': '/home/me/set/images/1.png\n',
    'data.yaml': f'train: /home/me/set/train.txt\n{NAMES}'},
    FLAT | {'lists/train.txt': '../images/1.png\n', 'data.yaml': f'train: lists/train.txt\n{NAMES}'},
    FLAT | {'lists/train.txt': 'images/1.png\n', 'data.yaml': f'train: [lists/train.txt]\n{NAMES}'},
    FLAT | {'train.txt': 'images/1.png\n', 'classes.txt': 'cat'},
    FLAT | {'train.txt': '{root}/images/1.png\n', 
     'data.yaml': f'train: train.txt\n{NAMES}'},
    BESIDE | {'obj.data': 'classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n',
    'obj.names': 'cat\n',
              'train.txt': 'data/obj_train_data/1.png\n'},
    BESIDE | {'obj.names': 'cat\n', 'train.txt': 'data/obj_train_data/1.png\n'},
    BESIDE | {'obj.names': 'cat\n'},
    {'1.png': None, '1.txt': ROW, 'classes.txt': 'cat\n'},
    {'cam/1.png': None, 'cam/1.txt': ROW, 'classes.txt': 'cat'},
    {'obj_Train_data/1.png': None, 'obj_Train_data/1.txt': ROW, 'obj.names': 'cat',
     'Train.txt': 'data/obj_Train_data/1.png'}])
def test_layouts(tmp_path, files):
    files = {k: v.replace('{root}', str(tmp_path)) if isinstance(v, str) else v for k, v in files.items()}
    rows, found = read(make_set(tmp_path, files))
    image = next(name for name in files if name.endswith('.png'))
    assert [row[1:] for row in rows] == [(BOXES, ['cat'])] and found.problems == []
    assert rows[0][0] in (image, image.removeprefix('data/')) and found.records[0].size == SIZE
    assert [n for n in found.notes if 'another path' not in n] == []


@pytest.mark.parametrize('key, folder', [('val', 'images/val'), ('valid', 'valid/images'),
    ('validation', 'a/b'),
                                         ('test', 'test/images'), ('eval', 'images/eval'),
                                         ('val', '../valid/images'),
                                         ('', 'images/val'), ('', 'valid/images'), ('', 'test/images'),
                                         ('', 'images/validation'), ('', 'images/val2017'), ('', 'val')])
def test_splits_for_eval(tmp_path, key, folder):
    place = folder.removeprefix('../')
    yaml = f'train: images/train\n{f"{key}: {folder}" if key else ""}\n{NAMES}'
    label = place.replace('images', 'labels')
    rows, _ = read(make_set(tmp_path, PAIR |
        {'data.yaml': yaml, f'{place}/7.png': None, f'{label}/7.txt': ROW}), 'eval')
    assert rows == [(f'{place}/7.png', BOXES, ['cat'])]


def test_val_goes_before_test(tmp_path):
    files = {f'{s}/images/{s}.png': None for s in ('train', 'valid', 'test')}
    yaml = f'train: ../train/images\nval: ../valid/images\ntest: ../test/images\n{NAMES}'
    source = make_set(tmp_path, files | {'data.yaml': yaml})
    assert [[row[0] for row in read(source, split)[0]] for split in ('train', 'eval')] == [
        ['train/images/train.png'], ['valid/images/valid.png']]


def test_many_places(tmp_path):
    files = {f'{part}/images/{part}.png': None for part in 'abc'}
    files |= {f'{part}/labels/{part}.txt': ROW for part in 'abc'}
    yaml = f'train:\n  - b/images\n  - a/images\n  - more.txt\n{NAMES}'
    rows, found = read(make_set(tmp_path, files |
        {'data.yaml': yaml, 'more.txt': 'c/images/c.png\na/images/a.png\n'}))
    assert rows == [(f'{part}/images/{part}.png', BOXES, ['cat']) for part in 'abc']
    assert [r.image_id for r in found.records] == [1, 2, 3]
    assert '1 image listed more than once' in said(found.notes)


def test_a_folder_elsewhere_is_said(tmp_path):
    make_set(tmp_path / 'data', PAIR)
    source = make_set(tmp_path / 'set', {'data.yaml': f'train: {tmp_path}/data/images\n{NAMES}'})
    assert f'set/data.yaml:1: train: {tmp_path}/data/images leads out' in refuse(lambda: read(source))
    rows, found = read(YoloSource(replace(source.config, follow_links=True)))
    assert rows == [(f'{tmp_path}/data/images/train/1.png', BOXES, ['cat'])]
    assert f'1 image outside of {tmp_path}/set' in said(found.notes)


def test_absolute_path_of_this_machine(tmp_path):
    make_set(tmp_path / 'data', PAIR)
    source = make_set(tmp_path / 'set', {'data.yaml': f'path: {tmp_path}/data\ntrain: images/train\n{NAMES}'})
    assert f'set/data.yaml:1: path: {tmp_path}/data leads out' in refuse(lambda: read(source))
    source = YoloSource(replace(source.config, follow_links=True))
    assert read(source)[0] == [('images/train/1.png', BOXES, ['cat'])]


RENAME = ('rename images to images/train and labels to labels/train, and put the files for eval into '
          'images/val and labels/val.')


@pytest.mark.parametrize('files, says', [
    (FLAT | {'classes.txt': 'cat'}, RENAME), (FLAT | {'data.yaml': NAMES}, RENAME),
    (BESIDE | {'obj.names': 'cat'}, 'rename obj_train_data to train, and put the files for eval into val.'),
    ({'1.png': None, '1.txt': ROW, 'classes.txt': 'cat'}, 'put the files for training into')])
def test_set_without_splits(tmp_path, files, says):
    source = make_set(tmp_path, files)
    assert len(read(source)[0]) == 1
    text = refuse(lambda: source.read('eval'))
    assert 'without splits, so they are for training' in text
    assert says in text
    for old, new in re.findall(r'(?:rename|and) (\S+) to ([^ ,]+)', text): # the advice holds
        os.rename(tmp_path / old, tmp_path / 'moved')
        (tmp_path / new).parent.mkdir(exist_ok=True)
        os.rename(tmp_path / 'moved', tmp_path / new)
    assert len(read(source)[0]) == 1


@pytest.mark.parametrize('yaml, says', [
    ('train: images/tarin', 'images/tarin, which is its train: images are in'),
    ('train: {a: b}', 'train must be a folder'),
    ('train: [[a]]', 'train must be a folder'), ('train: 3', 'there is no image in'),
    ('train: images/../../outside/images', 'there is no image in'),
    ('train: ../../outside/images', 'no image in'),
    ('train: empty', 'there is no image in'), ('path: ../outside\ntrain: images', ''),
    ('train: lists.txt', 'lists.txt:1: ')])
def test_places_that_are_refused(tmp_path, yaml, says):
    make_set(tmp_path / 'outside', {'images/secret.png': None, 'labels/secret.txt': ROW})
    source = make_set(tmp_path / 'set', PAIR | {'data.yaml': f'{yaml}\n{NAMES}', 'empty/a.md': 'x',
                                                'lists.txt': '../outside/images/secret.png\n'
                                                             'images/train/9.png\n'})
    if says: assert says in refuse(lambda: source.read('train'))
    else: assert read(source)[0] == [('images/train/1.png', BOXES, ['cat'])]


def test_listed_images_that_are_not_there(tmp_path):
    listed = 'images/1.png\nimages/2.png\nnotes.docx\n../x/3.png\n'
    files = FLAT | {'labels/2.txt': f'{ROW}\n{ROW}\n', 'data.yaml': f'train: t.txt\n{NAMES}', 't.txt': listed}
    rows, found = read(make_set(tmp_path, files))
    assert len(rows) == 1 and [(p.line, p.images, p.count) for p in found.problems] == [
        (2, 1, 2), (3, 1, 0), (4, 1, 0)]
    assert 'there is no such image' in found.problems[0].what


def test_eval_that_the_yaml_lacks(tmp_path):
    source = make_set(tmp_path, PAIR | {'data.yaml': f'train: images/train\n{NAMES}'})
    says = 'there is no image for eval: name its folder here, such as val: images/val'
    assert says in refuse(lambda: source.read('eval'))


# --- files of a folder -------------------------------------------------------------------------------------

def test_every_ending(tmp_path):
    endings = 'jpg jpeg jpe jfif png bmp dib webp tif tiff JPG Jpeg PNG TIF gif ppm'.split()
    names = {f'images/train/{i:02}_{e}.{e}': None for i, e in enumerate(endings)}
    labels = {k.replace('images', 'labels').rsplit('.')[0] + '.txt': ROW for k in names}
    rows, found = read(make_set(tmp_path, names | labels | {'data.yaml': YAML}))
    assert rows == [(name, BOXES, ['cat']) for name in names] and found.notes == ()


ODD = ['a b', 'a#1', '100%', '照片', 'a.b.c', "it's", 'x_jpg.rf.0a1b', 'ü', '-1', '(1)', 'a,b', '$HOME',
    'train']


@pytest.mark.parametrize('listed', [False, True])
def test_odd_names(tmp_path, listed):
    names = sorted(f'images/train/{stem}.png' for stem in ODD)
    files = {name: None for name in names} | {f'labels/train/{stem}.txt': ROW for stem in ODD}
    files |= {'data.yaml': f'train: list.txt\n{NAMES}',
        'list.txt': '\n'.join(names)} if listed else {'data.yaml': YAML}
    rows, found = read(make_set(tmp_path, files))
    assert rows == [(name, BOXES, ['cat']) for name in names] and found.notes == () and found.problems == []


def test_accents_of_a_mac(tmp_path):
    rows, _ = read(make_set(tmp_path, {'images/train/u\u0308.png': None, 'labels/train/\u00fc.txt': ROW,
        'data.yaml': YAML}))
    assert rows[0][1] == BOXES


def test_labels_with_capital_ending(tmp_path):
    assert read(make_set(tmp_path, {'images/train/A.JPG': None, 'labels/train/A.TXT': ROW,
        'data.yaml': YAML}))[0][0][1] == BOXES


def test_subfolders(tmp_path):
    names = ['0', 'cam1/1', 'cam2/day 1/1', 'cam2/images/2']
    files = {f'images/train/{n}.png': None for n in names}
    files |= {f'labels/train/{n}.txt': ROW for n in names[:3]} | {'images/train/cam2/labels/2.txt': ROW}
    rows, found = read(make_set(tmp_path, files | {'data.yaml': YAML}))
    assert rows == [(f'images/train/{n}.png', BOXES, ['cat']) for n in names] and found.notes == ()
    assert [r.image_id for r in found.records] == [1, 2, 3, 4]


def test_links(tmp_path):
    source = make_set(tmp_path, {'store/1.png': None, 'labels/train/cam/1.txt': ROW, 'data.yaml': YAML})
    (tmp_path / 'images/train').mkdir(parents=True)
    (tmp_path / 'images/train/cam').symlink_to(tmp_path / 'store')
    (tmp_path / 'images/train/circle').symlink_to(tmp_path / 'images/train')
    assert read(source)[0] == [('images/train/cam/1.png', BOXES, ['cat'])]


def test_what_is_not_used_is_named(tmp_path):
    files = PAIR | {'data.yaml': YAML, 'images/train/a.heic': 'x', 'images/train/b.mp4': 'x',
        'images/train/c.json': '{}',
                    'images/train/d.txt': 'x', 'images/train/._1.png': 'x', 'images/train/.DS_Store': 'x',
                    'images/train/Thumbs.yaml': 'x', 'labels/train/8.txt': ROW, 'labels/train/9.txt': ROW,
                    'labels/train/cam/5.txt': ROW, 'labels/train/7.txt': '', 'labels/train/._1.txt': 'x',
                    'labels/train/classes.txt': 'cat', 'labels/train.cache': 'x'}
    rows, found = read(make_set(tmp_path, files))
    assert rows == [('images/train/1.png', BOXES, ['cat'])]
    assert [(str(p)[len(str(tmp_path)) + 1:], p.count, p.images) for p in found.problems] == [
        ('labels/train/7.txt: its image is not there', 0, 1),
        ('labels/train/8.txt: its image is not there', 1, 1),
        ('labels/train/9.txt: its image is not there', 1, 1),
        ('labels/train/cam/5.txt: its image is not there', 1, 1),
        ('images/train/a.heic: the image cannot be read: convert it to JPEG', 0, 1)]
    assert found.notes == ('3 files beside the images, not used: images/train/b.mp4, images/train/c.json, '
                           'images/train/d.txt',)


@pytest.mark.parametrize('folder', ['', 'data/'])
def test_darknet_with_its_files_in_a_folder(folder, tmp_path):
    files = {f'{folder}obj.data': 'classes=1\ntrain = data/train.txt\nnames = data/obj.names\n',
             f'{folder}obj.names': 'cat\n', f'{folder}train.txt': 'data/obj/a 猫#1.png\n',
             'data/obj/a 猫#1.png': None, 'data/obj/a 猫#1.txt': ROW}
    rows, found = read(make_set(tmp_path, files))
    assert rows == [('data/obj/a 猫#1.png', BOXES, ['cat'])] and (found.problems, found.notes) == ([], ())


def test_only_photographs_that_cannot_be_read(tmp_path):
    source = make_set(tmp_path, {'images/train/1.HEIC': 'x', 'labels/train/1.txt': ROW, 'data.yaml': YAML})
    with pytest.raises(UserError, match='1.HEIC, which cannot be read: convert all such files to JPEG'):
        read(source)


def test_half_of_the_images_are_missing(tmp_path):
    files = {f'labels/train/{i}.txt': f'{ROW}\n{ROW}' for i in range(4)} | {'data.yaml': YAML}
    found = read(make_set(tmp_path, files | {f'images/train/{i}.png': None for i in range(2)}))[1]
    assert (len(found.records), sum(p.images for p in found.problems)) == (2, 2)
    assert sum(p.count for p in found.problems) == 4 and all(p.bad for p in found.problems)


def test_photographs_of_a_phone_beside_their_copies(tmp_path):
    files = PAIR | {'data.yaml': YAML, 'images/train/1.HEIC': 'x', 'images/train/2.HEIC': 'x',
                    'labels/train/2.txt': ROW, 'labels/train/notes.txt': 'look at this again'}
    found = read(make_set(tmp_path, files))[1]
    problem, = found.problems # 1.HEIC is there as 1.png
    assert (problem.file, problem.count, problem.images) == (str(tmp_path / 'labels/train/2.txt'), 1, 1)
    assert problem.what == f'its image {tmp_path}/images/train/2.HEIC cannot be read'
    assert found.notes == ('1 label file without an image, not used: labels/train/notes.txt',
                           '1 file beside the images, not used: images/train/1.HEIC')


def test_label_files_with_the_whole_name_of_the_image(tmp_path):
    files = {'images/train/1.png': None, 'labels/train/1.png.txt': ROW, 'data.yaml': YAML}
    rows, found = read(make_set(tmp_path, files))
    assert rows == [('images/train/1.png', BOXES, ['cat'])] and (found.problems, found.notes) == ([], ())


@pytest.mark.parametrize('more', [' 0.1 0.1 2 0.9 0.9 1', ' 0.1 0.1 0 0.9 0.9 1 0.2 0.2 1', ' 0.3 0.3 2'])
def test_pose_that_the_yaml_file_does_not_announce(more, tmp_path):
    rows, found = read(make_set(tmp_path, PAIR | {'labels/train/1.txt': ROW + more, 'data.yaml': YAML}))
    assert rows == [('images/train/1.png', BOXES, ['cat'])] and found.problems == []
    assert '1 row with key points, of which the box alone is taken' in said(found.notes)


def test_fifo_is_passed_over(tmp_path):
    source = make_set(tmp_path, PAIR | {'data.yaml': YAML})
    for name in ('images/train/2.png', 'labels/train/3.txt', 'b.yaml'): os.mkfifo(tmp_path / name)
    rows, found = read(source)
    assert len(rows) == 1 and [str(p) for p in found.problems] == [
        f'{tmp_path}/images/train/2.png: the image is no file that can be opened']


def test_images_that_share_a_label_file(tmp_path):
    rows, found = read(make_set(tmp_path, PAIR | {'data.yaml': YAML, 'images/train/1.jpg': None}))
    assert [row[1] for row in rows] == [BOXES, BOXES] and [row[0][-3:] for row in rows] == ['jpg', 'png']
    assert '1 label file shared by images' in said(found.notes) and 'labels/train/1.txt' in said(found.notes)


def test_images_without_labels_are_background(tmp_path):
    files = PAIR | {'data.yaml': YAML, 'images/train/2.png': None, 'images/train/3.png': None,
        'labels/train/3.txt': ''}
    rows, found = read(make_set(tmp_path, files))
    assert [len(boxes) for _, boxes, _ in rows] == [1, 0, 0] and found.problems == []
    assert '1 image of 3 without a label file' in said(found.notes)


@pytest.mark.parametrize('files, says', [
    ({'Labels/train/1.txt': ROW}, '/Labels is there: rename it to labels)'),
    ({'label/train/1.txt': ROW}, '/label is there: rename it to labels)'),
    ({'annotations/train/1.txt': ROW}, '/annotations is there: rename it to labels)'),
    ({'labels/Train/1.txt': ROW}, '/labels/Train is there: rename it to train)'),
    ({'labels/1.txt': ROW}, '/labels: move them to'),
    ({'labels_v2/train/1.txt': ROW}, '/labels_v2 is there: rename'),
    ({'annotations/1.xml': '<a/>'}, '/annotations has 1 .xml file: read a set of them with --dataset=voc'),
    ({'labels/train/2.txt': ROW}, 'labels/train/2.txt: its image is not there'), ({}, 'label file in'),
    ({'labels/train/1.txt': ''}, '1 label file of 1 image without a row'),
    ({'labels/train/1.txt': f'7{ROW[1:]}'}, '1 object left out, the first reason: '),
    ({'labels/train/1.txt': '0 10 10 50 50\n' * 3}, '3 objects left out, the first reason: ')])
def test_why_there_is_no_object(tmp_path, files, says):
    source = make_set(tmp_path, {'data.yaml': YAML, 'images/train/1.png': None} | files)
    found = source.read('train')
    assert sum(len(r.boxes) for r in found.records) == 0
    text = source.explain_empty(found)
    assert says in text and text[-1] != '.'


def test_none_of_many_images_has_a_label(tmp_path):
    files = {f'images/train/{i}.png': None for i in range(4)}
    files |= {f'Labels/train/{i}.txt': ROW for i in range(4)}
    source = make_set(tmp_path, files | {'data.yaml': YAML})
    assert source.explain_empty(source.read('train')) == (
        f'none of 4 images has a label file in {tmp_path}/labels/train ({tmp_path}/Labels is there: '
        'rename it to labels)')


# --- images ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('exif', range(1, 9))
@pytest.mark.parametrize('ending', ['jpg', 'png', 'webp', 'tif'])
def test_photographs_are_measured_upright(tmp_path, exif, ending):
    source = one(tmp_path, '0 0.5 0.5 1 1')
    (tmp_path / 'images/train/1.png').unlink()
    path = write_image(tmp_path / f'images/train/1.{ending}', draw_patch(), exif)
    record = source.read('train').records[0]
    height, width = decode_image(path.read_bytes()).shape[:2]
    assert record.size == (height, width) == (SIZE[::-1] if exif > 4 else SIZE)
    assert record.boxes.tolist() == [[0, 0, height, width]]


@pytest.mark.parametrize('data', [b'', b'no image', b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff\xe0'])
def test_images_that_cannot_be_read(tmp_path, data):
    source = one(tmp_path, ROW, **{'images/train/2.png': data, 'labels/train/2.txt': f'{ROW}\n{ROW}\n'})
    rows, found = read(source)
    assert [name for name, *_ in rows] == ['images/train/1.png']
    (problem,) = found.problems
    assert (problem.images, problem.count, problem.bad) == (1, 2, True) and problem.file.endswith('2.png')
    assert [r.image_id for r in found.records] == [1]


def test_ids_count_all_images(tmp_path):
    rows, found = read(one(tmp_path, ROW, **{'images/train/0.png': b'', 'labels/train/0.txt': ROW}))
    assert [(r.image_id, r.file_name, r.own_id) for r in found.records] == [(2, 'images/train/1.png', None)]


def test_a_header_that_pillow_cannot_read(tmp_path, monkeypatch):
    def fail(path): raise ValueError('what Pillow says')
    monkeypatch.setattr('ssd_nb.plumbing.yolo.read_size', fail)
    assert read(one(tmp_path, ROW))[0][0][1] == BOXES


def test_files_of_a_split(tmp_path):
    files = FLAT | {'images/2.png': None, 'labels/2.txt': '', 'images/3.png': None,
        'data.yaml': f'train: t.txt\n{NAMES}',
                    't.txt': 'images/1.png\nimages/3.png\n'}
    source = make_set(tmp_path, files)
    files = [p.relative_to(tmp_path).as_posix() for p in source.list_files('train')]
    assert files == ['data.yaml', 't.txt', 'labels/1.txt']
    source = make_set(tmp_path / 'b', FLAT | {'obj.data': 'names = x/obj.names\n', 'obj.names': 'cat'})
    assert [p.name for p in source.list_files('train')] == ['obj.data', 'obj.names', '1.txt']


def test_relative_root(tmp_path, monkeypatch):
    make_set(tmp_path / 'set', PAIR | {'data.yaml': f'train: {tmp_path}/set/images/train\n{NAMES}'})
    for root in ('set', './set/', '.', str(tmp_path / 'set')):
        monkeypatch.chdir(tmp_path / 'set' if root == '.' else tmp_path)
        assert read(YoloSource(DataConfig('yolo', yolo_root=root)))[0] == [
            ('images/train/1.png', BOXES, ['cat'])]


def test_twenty_rows_a_millisecond(tmp_path):
    source = one(tmp_path, [ROW] * 20_000)
    start = time.perf_counter()
    assert len(source.read('train').records[0].boxes) == 20_000 and time.perf_counter() - start < 1
    assert re.fullmatch(r'[\w/.-]+1\.txt', source.read('train').records[0].source)


def test_several_yaml_files_of_which_one_is_broken(tmp_path):
    rows, _ = read(one(tmp_path, ROW, **{'hyp.yaml': 'lr0: [', 'README.md': 'names: x'}))
    assert rows[0][1] == BOXES


@pytest.mark.parametrize('text', ['0.5 0.5 0.1 0.1', '{"a": 1}', '<xml/>', 'cat'])
def test_label_files_of_another_form(tmp_path, text):
    source = one(tmp_path, text)
    found = source.read('train')
    assert len(found.problems) == 1 and found.problems[0].line == 1
    assert '1 object left out, the first reason: ' in source.explain_empty(found)
