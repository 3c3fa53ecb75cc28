"""COCO sets as tools write them: layouts, names of files, types, masks, ids, categories, and odd boxes."""
import json
import os
import unicodedata
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from make_sets import BOX, SIZE, coco_content, write_coco, write_image, write_text
from pycocotools import mask as coco_mask

from ssd_nb.data import DataConfig
from ssd_nb.plumbing.annotations import make_coco_ground_truth
from ssd_nb.plumbing.coco import CocoSource
from ssd_nb.plumbing.find_images import ImageFinder, find_image
from ssd_nb.plumbing.options import UserError

Found = namedtuple('Found', 'records classes ids boxes names crowd notes problems')


def read(config, split='train'):
    "What the reader finds, with notes and problems as text"
    found = CocoSource(config).read(split)
    records = found.records[:]
    return Found(records, found.classes[1:], found.category_ids,
                 [b for r in records for b in r.boxes.round(2).tolist()],
                 [found.classes[l] for r in records for l in r.labels],
                 [c for r in records for c in r.crowd.tolist()],
                 ' | '.join(found.notes), ' | '.join(map(str, found.problems)))


def read_content(folder, change, **options):
    "What is read of one image with a cat, after `change` of the content; text that it answers is the file"
    content = coco_content(categories=('cat', 'dog'))
    text = change(content)
    config = write_coco(folder, content)
    if isinstance(text, (str, bytes)):
        data = text if isinstance(text, bytes) else text.encode()
        (folder / 'annotations/instances_train.json').write_bytes(data)
    return read(replace(config, **options))


def edit(part, index=0, **fields):
    "A change of one element: fields that are ... are taken away"
    def change(content):
        content[part][index].update(fields)
        content[part][index] = {k: v for k, v in content[part][index].items() if v is not ...}
    return change


# names of files

TREE = ('1.jpg', '50%25.jpg', 'c#1 猫.jpg', 'a b.jpg', 'sub/e.jpg', 'sub/deep/f.png', 'cam1/7.jpg',
        'cam2/7.jpg', 'UP.JPG',
        unicodedata.normalize('NFD', 'café.jpg'), 'back\\slash.jpg', 'no.dots.v2.jpg', '..odd.jpg',
        '0a1b2c3d-9.jpg')


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('tree') / 'set'
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root.parent / 'secret.jpg').touch()
    return root


NAMES = { # as an annotation has it: the file
    **{name: name for name in TREE},
    './1.jpg': '1.jpg', 'sub/../1.jpg': '1.jpg', 'sub\\e.jpg': 'sub/e.jpg', 'sub//e.jpg': 'sub/e.jpg',
    '.\\sub\\deep\\f.png': 'sub/deep/f.png', 'a%20b.jpg': 'a b.jpg', 'c%231%20%E7%8C%AB.jpg': 'c#1 猫.jpg',
    '50%2525.jpg': '50%25.jpg', 'train/sub/e.jpg': 'sub/e.jpg', 'set/train/1.jpg': '1.jpg',
    'data/obj_train_data/1.jpg': '1.jpg', 'images/train/sub/e.jpg': 'sub/e.jpg',
    '/home/me/set/train/1.jpg': '1.jpg',
    '/home/me/set/cam2/7.jpg': 'cam2/7.jpg', 'C:\\set\\train\\1.jpg': '1.jpg',
    'D:/set/sub/e.jpg': 'sub/e.jpg',
    '\\\\server\\share\\cam1\\7.jpg': 'cam1/7.jpg', 'file:///home/me/1.jpg': '1.jpg',
    'file:///C:/set/a%20b.jpg': 'a b.jpg', 's3://bucket/set/sub/e.jpg': 'sub/e.jpg',
    'gs://bucket/1.jpg': '1.jpg', 'https://host/a%20b.jpg?token=x/y': 'a b.jpg',
    '/data/local-files/?d=sub%2Fe.jpg': 'sub/e.jpg', '/data/upload/1/0a1b2c3d-9.jpg': '0a1b2c3d-9.jpg',
    'upload/3/ffffffff-1.jpg': '1.jpg', 'up.jpg': 'UP.JPG', 'UP.jpg': 'UP.JPG', '1.JPG': '1.jpg',
    '1.png': '1.jpg',
    '1': '1.jpg', 'sub/deep/f.jpg': 'sub/deep/f.png', 'f.png': 'sub/deep/f.png', 'SUB/E.jpg': 'sub/e.jpg',
    'no.dots.v2': 'no.dots.v2.jpg', 'café.jpg': unicodedata.normalize('NFD', 'café.jpg'),
    'sub/f': 'sub/deep/f.png',
    ' 1.jpg ': '1.jpg', 'train/cam1/7.JPG': 'cam1/7.jpg'}


@pytest.mark.parametrize('name', NAMES)
def test_name_finds_its_file(name, tree):
    assert find_image(tree, name) == tree / NAMES[name]


@pytest.mark.parametrize('name', ['../secret.jpg', 'sub/../../secret.jpg', '..\\secret.jpg',
                                  '%2e%2e/secret.jpg',
                                  '/etc/secret.jpg', 'file:///etc/secret.jpg', '..',
                                  '/data/local-files/?d=..%2Fsecret.jpg'])
def test_name_never_leaves_the_folder(name, tree):
    with pytest.raises(ValueError, match='leaves the folder'): find_image(tree, name)


@pytest.mark.parametrize('name, said', [('7.jpg', 'can mean cam1/7.jpg or cam2/7.jpg'),
                                        ('x/7', 'can mean cam1/7.jpg or'),
                                        ('a\0b.jpg', 'no file name can have'),
                                        ('\ud83d.jpg', 'no file name can have')])
def test_name_that_cannot_be_told_is_refused(name, said, tree):
    with pytest.raises(ValueError, match=said): find_image(tree, name)


@pytest.mark.parametrize('name', ['2.jpg', 'cam1/8.jpg', 'cam1/1.jpg', 'x' * 300 + '.jpg'])
def test_missing_file_keeps_the_path_that_was_looked_for(name, tree):
    assert find_image(tree, name) == tree / name


def test_link_to_another_folder_is_followed(tmp_path):
    write_image(tmp_path / 'elsewhere/1.jpg')
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set/linked').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere/back').symlink_to(tmp_path / 'set')
    assert find_image(tmp_path / 'set', '1.JPG') == tmp_path / 'set/linked/1.jpg'


def test_many_wrong_names_list_the_folder_once(tree, monkeypatch):
    walks, walk = [], os.walk
    monkeypatch.setattr(os, 'walk', lambda *args, **options: walks.append(1) or walk(*args, **options))
    finder = ImageFinder(tree)
    for i in {*range(1000)} - {7}: finder.find(f'{i}.bmp') # 7 would be one of two
    assert len(walks) == 1
    assert finder.list_notes('a.json') == [
        'a.json: 1 images have another path than it gives, such as 1.jpg for 1.bmp']


def test_names_in_a_set(tmp_path):
    names = 'train/sub/e.jpg', 'a%20b.jpg', '/home/me/train/d.JPG', 'sub\\f.jpg'
    for name in ('sub/e.jpg', 'a b.jpg', 'd.JPG', 'sub/f.jpg'): write_image(tmp_path / 'train' / name)
    write_text(tmp_path / 'annotations/instances_train.json', json.dumps(coco_content(names)))
    found = read(DataConfig('coco', coco_root=str(tmp_path)))
    assert [str(r.image.relative_to(tmp_path / 'train')) for r in found.records] == ['sub/e.jpg', 'a b.jpg',
                                                                                     'd.JPG',
                                                                                     'sub/f.jpg']
    assert [r.file_name for r in found.records] == list(names)
    assert '4 images have another path than it gives' in found.notes


# layouts

LAYOUTS = { # annotation file, name of the image, folder that it is in
    'coco': ('annotations/instances_train2017.json', '1.jpg', 'train2017'),
    'modelzoo': ('annotations/instance_train.json', '1.jpg', 'train'),
    'year 2014': ('annotations/instances_train2014.json', '1.jpg', 'train2014'),
    'ultralytics': ('annotations/instances_train2017.json', '1.jpg', 'images/train2017'),
    'roboflow': ('train/_annotations.coco.json', '1.jpg', 'train'),
    'cvat': ('annotations/instances_default.json', '1.jpg', 'images'),
    'cvat in a folder': ('annotations/instances_default.json', '1.jpg', 'images/default'),
    'cvat subset': ('annotations/instances_Train.json', '1.jpg', 'images/Train'),
    'label studio': ('result.json', 'images/1.jpg', '.'),
    'label studio on windows': ('result.json', 'images\\1.jpg', '.'),
    'fiftyone': ('train/labels.json', '1.jpg', 'train/data'),
    'via': ('train.json', '1.jpg', 'images'),
    'labelme2coco': ('dataset.json', '1.jpg', '.'),
    'train.json in annotations': ('annotations/train.json', '1.jpg', 'images/train'),
    'train_annotations': ('train_annotations.json', '1.jpg', 'train'),
    'annotations_train': ('annotations/annotations_train.json', '1.jpg', 'train'),
    'annotations/train': ('annotations/train/a.json', '1.jpg', 'images/train'),
    'beside the images': ('train/annotations.json', '1.jpg', 'train'),
    'in train/annotations': ('train/annotations/instances.json', '1.jpg', 'train/images'),
    'capitals': ('Annotations/Train.json', '1.jpg', 'Images/Train'),
    'folder in the name': ('annotations/instances_train.json', 'train/1.jpg', '.'),
    'other folder': ('annotations/instances_train.json', '1.jpg', 'pictures'),
    'training': ('training.json', '1.jpg', 'training')}


@pytest.mark.parametrize('name', LAYOUTS)
def test_layout_is_read(name, tmp_path):
    path, image, folder = LAYOUTS[name]
    write_text(tmp_path / path, json.dumps(coco_content((image,))))
    where = write_image(tmp_path / folder / image.replace('\\', '/'))
    found = read(DataConfig('coco', coco_root=str(tmp_path)))
    assert [r.image.resolve() for r in found.records] == [where.resolve()]
    assert (found.boxes, found.names, found.problems) == ([list(BOX)], ['cat'], '')
    assert found.records[0].file_name == image


EVAL = { # files: the one that is read
    'roboflow': (('train/_annotations.coco.json', 'valid/_annotations.coco.json',
                  'test/_annotations.coco.json'), 1),
    'only test': (('train/_annotations.coco.json', 'test/_annotations.coco.json'), 1),
    'coco': (('annotations/instances_train2017.json', 'annotations/instances_val2017.json'), 1),
    'validation': (('annotations/instances_Train.json', 'annotations/instances_Validation.json'), 1),
    'other files of coco': (('annotations/captions_val2017.json', 'annotations/person_keypoints_val2017.json',
                             'annotations/instances_val2017.json'), 2),
    'leftovers of a Mac': (('annotations/._instances_val.json', 'annotations/instances_val.json'), 1),
    'createml beside coco': (('valid/_annotations.createml.json', 'valid/_annotations.coco.json'), 1)}


@pytest.mark.parametrize('name', EVAL)
def test_file_for_evaluation(name, tmp_path):
    files, which = EVAL[name]
    for path in files: write_text(tmp_path / path, '{}')
    source = CocoSource(DataConfig('coco', coco_root=str(tmp_path)))
    assert source.list_files('eval') == [tmp_path / files[which]]


REFUSED = { # files, split, what is said
    'one for all': (['annotations/instances_default.json'], 'eval',
                    'there are no annotations of the split eval: it has '
                    'annotations/instances_default.json, but annotations/instances_val.json and '
                    'its images in val/ are needed, so rename both.'),
    'nothing': (['1.jpg'], 'train', 'it has no json file, but annotations/instances_train.json and'),
    'two': (['annotations/a.json', 'annotations/b.json'], 'train',
            'annotations/a.json and annotations/b.json can both'),
    'two names': (['annotations/instances_train.json', 'annotations/instances_train2017.json'], 'train',
                  'can both be'),
    'two places': (['train.json', 'train/labels.json'], 'train',
                   'train.json and train/labels.json can both be')}


@pytest.mark.parametrize('name', REFUSED)
def test_layout_is_refused(name, tmp_path):
    files, split, said = REFUSED[name]
    for path in files: write_text(tmp_path / path, '{}')
    with pytest.raises(UserError) as error: CocoSource(DataConfig('coco',
                                                                  coco_root=str(tmp_path))).list_files(split)
    assert said in str(error.value)
    assert str(error.value).endswith('.')


def test_images_in_two_folders_or_none(tmp_path):
    write_text(tmp_path / 'annotations/instances_train2017.json', json.dumps(coco_content()))
    config = DataConfig('coco', coco_root=str(tmp_path))
    with pytest.raises(UserError, match='there is no folder .*/train or .*/images with'): read(config)
    for folder in ('train', 'images/train'): write_image(tmp_path / folder / '1.jpg')
    with pytest.raises(UserError, match='train and .*images/train both have the images of'): read(config)
    write_image(tmp_path / 'train2017/1.jpg') # as COCO has it
    assert read(config).records[0].image == tmp_path / 'train2017/1.jpg'


# types

SAME = { # what is unusual; the result is that of the usual form
    'iscrowd "0"': edit('annotations', iscrowd='0'), 'iscrowd ""': edit('annotations', iscrowd=''),
    'iscrowd null': edit('annotations', iscrowd=None), 'iscrowd false': edit('annotations', iscrowd=False),
    'iscrowd 0.0': edit('annotations', iscrowd=0.), 'iscrowd "false"': edit('annotations', iscrowd='false'),
    'no iscrowd': edit('annotations', iscrowd=...), 'ignore 0': edit('annotations', ignore=0),
    'ignore null': edit('annotations', ignore=None),
    'bbox of text': edit('annotations', bbox=['20', '10', '30', '30']),
    'bbox as text': edit('annotations', bbox='20,10,30,30'),
    'bbox as a list in text': edit('annotations', bbox='[20, 10, 30, 30]'),
    'bbox of floats': edit('annotations', bbox=[20., 10., 30., 30.]),
    'bbox as a dict': edit('annotations', bbox=dict(x=20, y=10, width=30, height=30)),
    'bbox as a dict of sides': edit('annotations', bbox=dict(left=20, top=10, width='30', height=30)),
    'bbox as corners by name': edit('annotations', bbox=dict(xmin=20, ymin=10, xmax=50, ymax=40)),
    'ids of annotations as text': edit('annotations', id='1', image_id='1', category_id='1'),
    'ids of annotations as floats': edit('annotations', image_id=1., category_id=1.),
    'id of the image a float': edit('images', id=1.), 'id of the category text': edit('categories', id='1'),
    'id of the category a float': edit('categories', id=1.),
    'size as text': edit('images', height='60', width='80'),
    'size as floats': edit('images', height=60., width=80.), 'area as text': edit('annotations', area='900'),
    'no area': edit('annotations', area=...), 'blanks in a name': edit('categories', name=' cat '),
    'filename': edit('images', file_name=..., filename='1.jpg'),
    'path': edit('images', file_name=None, path='/x/1.jpg'),
    'coco_url': edit('images', file_name='', coco_url='http://host/train/1.jpg'),
    'a byte order mark': lambda c: b'\xef\xbb\xbf' + json.dumps(c).encode(),
    'UTF-16': lambda c: json.dumps(c).encode('utf-16'),
    'NaN elsewhere': lambda c: json.dumps(dict(c, info=float('nan'))),
    'the lists in another order': lambda c: json.dumps(dict(reversed(c.items())))}


@pytest.mark.parametrize('name', SAME)
def test_unusual_types_mean_the_same(name, tmp_path):
    found = read_content(tmp_path, SAME[name])
    assert (found.boxes, found.names, found.crowd) == ([list(BOX)], ['cat'], [False])
    assert (found.classes, found.ids, found.problems) == (('cat', 'dog'), (0, 1, 2), '')
    record, = found.records
    assert (record.image_id, record.own_id, record.areas.tolist()) == (1, None, [900])
    assert (record.image, record.image.is_file()) == (tmp_path / 'train/1.jpg', True)


@pytest.mark.parametrize('value', [1, 1., True, '1', 'true', 'yes'])
def test_crowd_is_a_crowd_or_an_object_as_asked_for(value, tmp_path):
    found = read_content(tmp_path, edit('annotations', iscrowd=value))
    assert found.crowd == [True]
    assert '1 of 1 objects are marked iscrowd' in found.notes
    assert read_content(tmp_path, edit('annotations', iscrowd=value), crowds='objects').crowd == [False]


@pytest.mark.parametrize('value', [1, '1', True])
def test_ignore_is_neither_learned_nor_counted(value, tmp_path):
    found = read_content(tmp_path, edit('annotations', ignore=value), crowds='objects')
    assert found.crowd == [True]
    assert '1 objects have ignore=1, so they are neither learned nor counted' in found.notes


BAD = { # what is wrong: what is said
    'iscrowd': (edit('annotations', iscrowd='maybe'),
                "annotation 1 cannot be used: its iscrowd 'maybe' is neither 0"),
    'iscrowd 2': (edit('annotations', iscrowd=2), 'its iscrowd 2 is neither 0 nor 1'),
    'iscrowd list': (edit('annotations', iscrowd=[0]), 'its iscrowd [0] is neither 0 nor 1'),
    'ignore': (edit('annotations', ignore='perhaps'), "its ignore 'perhaps' is neither 0 nor 1"),
    'bbox': (edit('annotations', bbox=['a', 1, 2, 3]), "its bbox ['a', 1, 2, 3] is not four numbers"),
    'bbox null': (edit('annotations', bbox=None), 'its bbox None is not four numbers'),
    'bbox of five': (edit('annotations', bbox=[1, 2, 3, 4, 5]),
                     'its bbox [1, 2, 3, 4, 5] is not four numbers'),
    'no bbox': (edit('annotations', bbox=...), "annotation 1 cannot be used: it has no 'bbox'"),
    'outline of three': (edit('annotations', bbox=[], segmentation=[[1, 2, 3]]),
                         'its segmentation is no outline'),
    'empty mask': (edit('annotations', bbox=..., segmentation=dict(size=[60, 80], counts=[4800])),
                   'is no outline'),
    'damaged mask': (edit('annotations', bbox=..., segmentation=dict(size=[60, 80], counts='ooo')),
                     'is no outline'),
    'mask of no size': (edit('annotations', bbox=..., segmentation=dict(size=[0, 0], counts=[1, 2])),
                        'is no outline'),
    'image_id': (edit('annotations', image_id=None), 'its image_id None is neither a whole number nor text'),
    'category_id': (edit('annotations', category_id=[1]),
                    'its category_id [1] is neither a whole number nor text'),
    'unknown category': (edit('annotations', category_id=9),
                         '1 annotations are of the category 9, which the file does'),
    'unknown image': (edit('annotations', image_id=9),
                      '1 annotations belong to image 9, which is not listed'),
    'all boxes parts': (edit('annotations', bbox=[.25, .2, .4, .5]),
                        '1 boxes lie within one pixel, as if they were parts')}


@pytest.mark.parametrize('name', BAD)
def test_object_that_cannot_be_used_is_named(name, tmp_path):
    change, said = BAD[name]
    found = read_content(tmp_path, change)
    assert (len(found.records), found.boxes) == (1, [])
    assert said in found.problems
    assert said.split('its')[-1] in CocoSource(None).explain_empty(CocoSource(
        DataConfig('coco', coco_root=str(tmp_path))).read('train'))


LOST = { # what is wrong with an image: what is said
    'no id': (edit('images', id=...), "image None cannot be used: it has no 'id'"),
    'id null': (edit('images', id=None), 'its id None is neither a whole number nor text'),
    'no file_name': (edit('images', file_name=...), "image 1 cannot be used: it has no 'file_name'"),
    'file_name a number': (edit('images', file_name=5),
                           'image 1 cannot be used: its file_name 5 is not text'),
    'size': (edit('images', height='tall'),
             "image 1 cannot be used: its height and width ['tall', 80] are not numbers"),
    'outside': (edit('images', file_name='../1.jpg'),
                'image 1 cannot be used: the path ../1.jpg leaves the folder'),
    'NUL': (edit('images', file_name='1\0.jpg'),
            "the name '1\\x00.jpg' has a character that no file name can have")}


@pytest.mark.parametrize('name', LOST)
def test_image_that_cannot_be_used_is_named_once_and_counted(name, tmp_path):
    change, said = LOST[name]
    content = coco_content(('1.jpg', '2.jpg'))
    change(content)
    found = CocoSource(write_coco(tmp_path, content, names=('1.jpg', '2.jpg'))).read('train')
    assert [r.image_id for r in found.records[:]] == [2]
    assert said in str(found.problems[0])
    assert (sum(p.images for p in found.problems), sum(p.count for p in found.problems)) == (1, 1)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -5, 'large', 1e300, []])
def test_area_that_is_none_is_that_of_the_box(value, tmp_path):
    found = read_content(tmp_path, edit('annotations', area=value))
    assert found.records[0].areas.tolist() == [900]
    assert '1 objects have an area that is no number of pixels' in found.notes
    assert 'NaN' not in json.dumps(make_coco_ground_truth(found.records, ('background', 'cat', 'dog')))


def draw_mask():
    pixels = np.zeros(SIZE, np.uint8, order='F')
    pixels[BOX[0]:BOX[2], BOX[1]:BOX[3]] = 1
    return pixels


def count_runs(pixels):
    flat = pixels.flatten(order='F')
    edges = np.flatnonzero(np.diff(flat)) + 1
    return np.diff([0, *edges, len(flat)]).tolist()


CORNERS = [20, 10, 50, 10, 50, 40, 20, 40]
OUTLINES = {
    'a polygon': [CORNERS], 'two polygons': [[20, 10, 30, 10, 30, 20], [40, 30, 50, 30, 50, 40]],
    'not nested': CORNERS,
    'points': [[[20, 10], [50, 10], [50, 40]]], 'text': [list(map(str, CORNERS))],
    'runs': dict(size=list(SIZE), counts=count_runs(draw_mask())),
    'packed runs': dict(size=list(SIZE), counts=coco_mask.encode(draw_mask())['counts'].decode())}


@pytest.mark.parametrize('name', OUTLINES)
@pytest.mark.parametrize('box', [..., None, [], [0, 0, 0, 0]], ids=str)
def test_outline_makes_the_box(name, box, tmp_path):
    found = read_content(tmp_path, edit('annotations', bbox=box, area=..., segmentation=OUTLINES[name]))
    assert (found.boxes, found.records[0].areas.tolist(), found.problems) == ([list(BOX)], [900], '')
    assert '1 objects have no bbox, so that of their segmentation is taken' in found.notes


def test_box_counts_more_than_the_outline(tmp_path):
    found = read_content(tmp_path, edit('annotations', segmentation=[[1, 1, 5, 5, 9, 9]]))
    assert (found.boxes, found.notes.count('segmentation')) == ([list(BOX)], 0)


def test_all_crowds_say_what_to_do(tmp_path):
    config = write_coco(tmp_path, content := coco_content(('1.jpg', '2.jpg')), names=('1.jpg', '2.jpg'))
    for note in content['annotations']: note['iscrowd'] = 1
    write_coco(tmp_path, content)
    source = CocoSource(config)
    assert source.explain_empty(source.read('train')) == (
        'all 2 objects are marked iscrowd, so nothing can be learned: give --crowds=objects '
        'if each is one object')


# ids of images

IDS = { # ids in the file: image_id and own_id of each record
    'negative': ([-5, -6], [(-5, None), (-6, None)]), 'zero': ([0, 1], [(0, None), (1, None)]),
    'text that is a number': (['7', '8'], [(7, '7'), (8, '8')]), 'floats': ([7., 8.], [(7, None), (8, None)]),
    '53 bits': ([2 ** 53, -2 ** 53], [(2 ** 53, None), (-2 ** 53, None)]),
    '64 bits': ([2 ** 63 + 1, 5], [(1, 2 ** 63 + 1), (2, 5)]),
    '70 bits': ([5, 2 ** 70], [(1, 5), (2, 2 ** 70)]),
    'text': (['a7', 'b8'], [(1, 'a7'), (2, 'b8')]), 'zeros before it': (['007', '7'], [(1, '007'), (2, 7)]),
    'text and numbers': (['frame', 9], [(1, 'frame'), (2, 9)])}


@pytest.mark.parametrize('name', IDS)
def test_image_ids(name, tmp_path):
    ids, wanted = IDS[name]
    content = coco_content(('1.jpg', '2.jpg'))
    for image, note, number in zip(content['images'], content['annotations'], ids):
        image['id'] = note['image_id'] = number
    content['annotations'].reverse()
    content['annotations'][0]['bbox'] = [1, 2, 3, 4]
    found = read(write_coco(tmp_path, content, names=('1.jpg', '2.jpg')))
    assert [(r.image_id, r.own_id) for r in found.records] == wanted
    assert (found.boxes, found.problems) == ([list(BOX), [2, 1, 6, 4]], '')
    truth = make_coco_ground_truth(found.records, ('background', 'cat'))
    assert [i.get('own_id') for i in truth['images']] == [own for _, own in wanted]
    assert [i['file_name'] for i in truth['images']] == ['1.jpg', '2.jpg']


def test_annotation_with_a_text_id_finds_its_image(tmp_path):
    found = read_content(tmp_path, edit('annotations', image_id=' 1 '))
    assert (len(found.boxes), found.records[0].own_id) == (1, None)


def test_images_listed_again(tmp_path):
    content = coco_content(('1.jpg', '2.jpg'))
    content['images'] += [content['images'][0], dict(id=2, file_name='other.jpg'),
                          dict(id=3, file_name='1.jpg')]
    found = CocoSource(write_coco(tmp_path, content, names=('1.jpg', '2.jpg'))).read('train')
    assert [r.image_id for r in found.records[:]] == [1, 2, 3]
    assert [(str(p).split(': ', 1)[1], p.count, p.images) for p in found.problems] == [
        ('image 2 cannot be used: its id is taken by another image', 0, 1)]
    notes = ' '.join(found.notes)
    assert '1 images are listed again' in notes
    assert '1 images have the same file as another, such as 1 and 3' in notes


def test_name_that_leads_to_another_image_is_refused(tmp_path):
    content = coco_content(('a/1.jpg', 'b/1.jpg'))
    found = read(write_coco(tmp_path, content, names=('a/1.jpg',)))
    assert [r.file_name for r in found.records] == ['a/1.jpg']
    assert read(write_coco(tmp_path, coco_content(('a/1.jpg', '/home/me/a/1.jpg')),
                           names=('a/1.jpg',))).problems == ''
    assert 'image 2 cannot be used: there is no b/1.jpg, and a/1.jpg is another image' in found.problems


# categories

Case = namedtuple('Case', 'categories kinds classes ids names said', defaults=('',))
CATEGORIES = {
    'equal names': Case([(1, 'ship', ''), (2, 'ship', '')], [1, 2], ('ship',), (0, 1), ['ship'] * 2,
                        'categories 1 and 2 are both called ship, so they are one class'),
    'equal but for blanks': Case([(1, 'big  ship', ''), (2, ' big ship ', '')], [1, 2], ('big ship',), (0, 1),
                                 ['big ship'] * 2, 'are both called big ship'),
    'equal in Unicode': Case([(1, 'caf\u00e9', ''), (2, 'cafe\u0301', '')], [1, 2], ('caf\u00e9',), (0, 1),
                             ['caf\u00e9'] * 2,
                             'so they are one class'),
    'root of Roboflow': Case([(0, 'pets', 'none'), (1, 'cat', 'pets'), (2, 'dog', 'pets')], [1, 2],
                             ('cat', 'dog'), (0, 1, 2),
                             ['cat', 'dog'],
                             'category pets (0) has no objects and is the supercategory of others'),
    'root called like its class': Case([(0, 'ship', 'none'), (1, 'ship', 'ship')], [1, 1], ('ship',), (0, 1),
                                       ['ship'] * 2,
                                       'category ship (0) has no objects'),
    'root with objects': Case([(0, 'pets', 'none'), (1, 'cat', 'pets')], [0, 1], ('pets', 'cat'), (0, 0, 1),
                              ['pets', 'cat']),
    'its own supercategory': Case([(1, 'cat', 'cat'), (2, 'dog', 'dog')], [1, 1], ('cat', 'dog'), (0, 1, 2),
                                  ['cat'] * 2,
                                  '1 of 2 classes have no objects to learn from: dog'),
    'id 0': Case([(0, 'cat', ''), (1, 'dog', '')], [0, 1], ('cat', 'dog'), (0, 0, 1), ['cat', 'dog']),
    'numbers as names': Case([(1, 7, ''), (2, '010', '')], [1, 2], ('7', '010'), (0, 1, 2), ['7', '010']),
    'ids not in order': Case([(90, 'dog', ''), (18, 'cat', '')], [90, 18], ('cat', 'dog'), (0, 18, 90),
                             ['dog', 'cat']),
    'text ids': Case([('10', 'dog', ''), ('9', 'cat', '')], [10, '9'], ('cat', 'dog'), (0, 9, 10),
                     ['dog', 'cat']),
    'the same twice': Case([(1, 'cat', ''), (1, 'cat', '')], [1, 1], ('cat',), (0, 1), ['cat'] * 2),
    'background': Case([(0, '__background__', ''), (1, 'cat', '')], [1, 1], ('cat',), (0, 1), ['cat'] * 2)}


def write_categories(folder, categories, kinds, split='train'):
    content = coco_content(('1.jpg', '2.jpg'))
    content['categories'] = [dict(id=i, name=n, supercategory=s) for i, n, s in categories]
    for note, kind in zip(content['annotations'], kinds): note['category_id'] = kind
    return write_coco(folder, content, split, names=('1.jpg', '2.jpg'))


@pytest.mark.parametrize('name', CATEGORIES)
def test_categories(name, tmp_path):
    case = CATEGORIES[name]
    found = read(write_categories(tmp_path, case.categories, case.kinds))
    assert (found.classes, found.ids, found.names, found.problems) == (case.classes, case.ids, case.names, '')
    assert case.said in found.notes


def test_objects_of_background_are_counted(tmp_path):
    config = write_categories(tmp_path, [(1, 'Background', ''), (2, 'cat', '')], [1, 2])
    found = CocoSource(config).read('train')
    assert [(p.bad, p.count) for p in found.problems] == [(False, 1)]
    assert '1 object is called Background, which every place without an object is' in str(found.problems[0])


@pytest.mark.parametrize('entry', [dict(id=1), dict(id=1, name=''), dict(id=1, name=None),
                                   dict(id=1, name='  '),
                                   dict(name='cat'), dict(id='x', name='cat'), dict(id=None, name='cat'),
                                   'cat',
                                   dict(id=1, name='\ud83d'), dict(id=1, name=['cat'])], ids=str)
def test_category_without_name_or_id_is_refused(entry, tmp_path):
    with pytest.raises(UserError, match='train.json: each of its categories needs a name and a number'):
        read_content(tmp_path, lambda c: json.dumps(dict(c, categories=[entry, dict(id=9, name='x')],
                                                         info=np.nan)))


def test_one_id_for_two_names_is_refused(tmp_path):
    with pytest.raises(UserError, match='its categories cat and dog have the same id 1, so give each'):
        read_content(tmp_path, edit('categories', 1, id='1'))


def test_classes_missing_in_the_evaluation_file(tmp_path):
    config = write_categories(tmp_path, [(1, 'cat', ''), (2, 'fox', '')], [1, 2], 'val')
    asked = replace(config, classes=('background', 'cat', 'dog', 'fox'))
    found = read(asked, 'eval')
    assert (found.classes, found.ids, found.names) == (('cat', 'dog', 'fox'), (0, 1, 3, 2), ['cat', 'fox'])
    assert 'it has no category dog, so there are 0 objects of it' in found.notes
    for classes in (('background', 'cow'), ('background', 'cow', 'horse')):
        with pytest.raises(UserError, match='cow'): read(replace(config, classes=classes), 'eval')


def test_class_missing_in_the_training_file_is_a_mistake(tmp_path):
    config = write_categories(tmp_path, [(1, 'cat', ''), (2, 'fox', '')], [1, 2])
    with pytest.raises(UserError, match='dog'): read(replace(config, classes=('background', 'cat', 'dog')))


def test_classes_in_another_order_go_by_name(tmp_path):
    config = write_categories(tmp_path, [(1, 'cat', ''), (2, 'fox', '')], [1, 2])
    found = read(replace(config, classes=('background', 'fox', 'cat')))
    assert (found.classes, found.ids, found.names) == (('fox', 'cat'), (0, 2, 1), ['cat', 'fox'])


def test_root_that_was_asked_for_stays(tmp_path):
    config = write_categories(tmp_path, [(0, 'pets', 'none'), (1, 'cat', 'pets')], [1, 1])
    assert read(replace(config, classes=('background', 'pets', 'cat'))).ids == (0, 0, 1)


# odd boxes and sizes

def test_corners_are_pointed_out(tmp_path):
    config = write_coco(tmp_path, coco_content(('1.jpg', '2.jpg'), box=(20, 30, 70, 55)),
                        names=('1.jpg', '2.jpg'))
    assert ('2 of 2 boxes leave their image, and would not if they were x1 y1 x2 y2: convert them to x y '
            'width height') in read(config).notes
    good = write_coco(tmp_path, coco_content(('1.jpg', '2.jpg'), box=(30, 20, 50, 40)),
                      names=('1.jpg', '2.jpg'))
    assert 'leave' not in read(good).notes


@pytest.mark.parametrize('size', [(80, 60), ('60', '80'), (60, None), (None, None), ('', '')])
def test_size_goes_through_as_written(size, tmp_path):
    found = read_content(tmp_path, edit('images', height=size[0], width=size[1]))
    assert found.records[0].size == tuple(int(s or 0) for s in size)


# what is not COCO

OTHER_FILES = { # content: what is said
    'labelme': (dict(version='5', shapes=[], imagePath='1.jpg'),
                "labelme's own form, which is not COCO: convert it"),
    'via': ({'1.jpg9': dict(filename='1.jpg', size=9, regions=[])}, "VIA's own form"),
    'via project': ({'_via_settings': {}, '_via_img_metadata': {}}, 'a project of VIA'),
    'label studio': ([dict(id=1, data=dict(image='1.jpg'), annotations=[])], "Label Studio's own form"),
    'results': ([dict(image_id=1, category_id=1, bbox=[1, 2, 3, 4], score=.5)], 'a list of detections'),
    'annotations alone': ([dict(image_id=1, category_id=1, bbox=[1, 2, 3, 4])],
                          'a list of objects without images'),
    'createml': ([dict(image='1.jpg', annotations=[])], 'the form of CreateML'),
    'datumaro': (dict(infos={}, categories={}, items=[]), 'the form of Datumaro'),
    'no categories': (dict(images=[{}], annotations=[{}]), 'has no "categories", or an empty one'),
    'a list': ([1], 'has no "images", or an empty one'), 'a number': (5, 'has no "images"'),
    'null': (None, 'has no "images"')}


@pytest.mark.parametrize('name', OTHER_FILES)
def test_json_that_is_no_coco_says_what_it_is(name, tmp_path):
    content, said = OTHER_FILES[name]
    with pytest.raises(UserError) as error: read_content(tmp_path, lambda c: json.dumps(content))
    assert said in str(error.value)


NO_JSON = { # text: what is said
    'a comma at the end': (lambda c: json.dumps(c)[:-1] + ',}', 'take away the comma before it'),
    'a comma in a list': (lambda c: json.dumps(c).replace(']', ',]', 1), 'is not valid JSON'),
    'a document a line': (lambda c: json.dumps(c) + '\n' + json.dumps(c), 'it should be one document'),
    'latin-1': (lambda c: '{"images": ["é"]}'.encode('latin-1'), 'is not a text file in UTF-8'),
    'cut short': (lambda c: json.dumps(c)[:-30], 'it ends too early'),
    'empty': (lambda c: b'', 'is not valid JSON'),
    'nested deeply': (lambda c: '{"images": ' + '[' * 100000, 'is nested too deeply to be a COCO file')}


@pytest.mark.parametrize('name', NO_JSON)
def test_text_that_is_no_json_gets_a_sentence(name, tmp_path):
    text, said = NO_JSON[name]
    with pytest.raises(UserError) as error: read_content(tmp_path, text)
    assert said in str(error.value)
    assert str(error.value).startswith(str(tmp_path / 'annotations/instances_train.json'))
