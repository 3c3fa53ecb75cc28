"""Every fault of a data set is found when the MindRecord is built, in a sentence that names file and line."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from ssd_nb.boxes import BoxConfig
from ssd_nb.data import DataConfig, create_dataset
from ssd_nb.plumbing.formats import read_annotations
from ssd_nb.plumbing.images import decode_image
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.records import find_record_folder, load_manifest, make_mindrecord

SAMPLES = ROOT / 'data_samples'
JPEG = (SAMPLES / 'train/000001.jpg').read_bytes()
HEIGHT, WIDTH = 240, 320


def write(folder, name, content):
    "A file with so many bytes, or such text"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def built(config):
    "Builds a MindRecord that skips what is bad: the manifest, and all problems as text"
    folder = make_mindrecord(config, 'train')
    return load_manifest(config, 'train'), (folder / 'problems.txt').read_text()


def refused(config, split='train'):
    "What a user is told who asks for on_bad=error; nothing half-done stays behind"
    with pytest.raises(UserError) as error: make_mindrecord(replace(config, on_bad='error'), split)
    assert not find_record_folder(config, split).exists()
    assert len(str(error.value).splitlines()) == 1 and str(error.value).endswith('.')
    return str(error.value)


def txt_set(folder, *rows):
    "A TXT set with one good image in its first row"
    write(folder, 'good.jpg', JPEG)
    write(folder, 'list.txt', '\n'.join(['good.jpg 10,20,80,90,1', *rows]) + '\n')
    return DataConfig('other', classes='ball,cube', anno_path=str(folder / 'list.txt'),
                      mindrecord_dir=str(folder / 'record'))


def bomb(width, height):
    "A PNG of few bytes whose header promises an enormous picture"
    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT',
                                 zlib.compress(b'\0' * 1000)) + chunk(b'IEND', b'')


BAD_IMAGES = {
    'missing': (None, 'cannot be opened (No such file or directory)'),
    'empty': (b'', 'is not an image that OpenCV can read'),
    'truncated': (JPEG[:len(JPEG) // 2], 'is cut short'),
    'no image': (b'hello', 'is not an image that OpenCV can read'),
    'a web page': (b'<html>404</html>', 'is not an image that OpenCV can read'),
    'a bomb': (bomb(60000, 60000), 'is larger than the 2³⁰ pixels that OpenCV reads'),
}


@pytest.mark.parametrize('name', BAD_IMAGES)
def test_bad_image(name, tmp_path):
    content, says = BAD_IMAGES[name]
    if content is not None: write(tmp_path, 'bad.jpg', content)
    config = txt_set(tmp_path, 'bad.jpg 10,20,80,90,1')
    error = refused(config)
    assert '1 problems in the train data' in error and f'{tmp_path}/list.txt:2: ' in error and says in error
    assert '--on_bad=skip' in error
    manifest, problems = built(config)
    assert (manifest['images'], manifest['skipped_images'], manifest['problems']) == (1, 1, 1)
    assert problems.startswith(f'{tmp_path}/list.txt:2: ') and 'bad.jpg' in problems and says in problems


def odd_image(path, mode, exif=None):
    "A picture of which the left half is red, stored in an unusual way"
    picture = Image.new('RGB', (60, 40), 'red')
    picture.paste('white', (30, 0, 60, 40))
    if mode == 'I;16':
        grey = np.full((40, 60), 65535, np.uint16)
        grey[:, :30] = 20000
        cv2.imwrite(str(path), grey)
    elif mode == 'wide': picture.resize((20000, 3)).save(path)
    elif mode == 'tiny': picture.resize((1, 1)).save(path)
    else: picture.convert(mode).save(path, **({} if exif is None else dict(exif=exif)))


ROTATED = Image.Exif()
ROTATED[0x0112] = 6 # turn by 90° to look at it
ODD_IMAGES = { # how it is stored: file, what is read at the left edge
    'CMYK': ('odd.jpg', 'CMYK', None, (255, 0, 0)), 'grey': ('odd.jpg', 'L', None, (76, 76, 76)),
              'palette': ('odd.png', 'P', None, (255, 0, 0)),
    '16 bits': ('odd.png', 'I;16', None, (78, 78, 78)), 'alpha': ('odd.png', 'RGBA', None, (255, 0, 0)),
    'black and white': ('odd.png', '1', None, None), 'EXIF-rotated': ('odd.jpg', 'RGB', ROTATED, (255, 0, 0)),
    '20,000 pixels wide': ('odd.jpg', 'wide', None, (255, 0, 0)), '1 by 1': ('odd.png', 'tiny', None, None),
}


@pytest.mark.parametrize('name', ODD_IMAGES)
def test_odd_image_is_read(name, tmp_path):
    "Not a fault: such an image is read as RGB, and stands upright"
    file, mode, exif, left = ODD_IMAGES[name]
    odd_image(tmp_path / file, mode, exif)
    config = txt_set(tmp_path, f'{file} 0,0,1,1,2')
    manifest, problems = built(replace(config, on_bad='error'))
    assert (manifest['images'], manifest['objects'], manifest['problems']) == (2, 2, 0)
    assert (problems == '') == (exif is None) # only of the one that is turned there is something to say
    picture = decode_image((tmp_path / file).read_bytes())
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    shape = dict(wide=(3, 20000), tiny=(1, 1)).get(mode, (40, 60))
    assert picture.shape[:2] == (shape[::-1] if exif else shape)
    if left: assert np.abs(picture[0, 0].astype(int) - left).max() <= 4


@pytest.mark.parametrize('width, height', ((40, 60), (60, 40)))
def test_size_of_a_rotated_image(width, height, tmp_path):
    "The size that an annotation gives tells whether it was made on the image as it looks, or as it is stored"
    y1, x1, y2, x2 = [20, 10, 30, 40] if width == 40 else [10, 20, 30, 50]
    config = voc_set(tmp_path, ('turned.xml', voc(('ball', x1 + 1, y1 + 1, x2, y2), width=width,
        height=height)))
    odd_image(tmp_path / 'set/train/turned.jpg', 'RGB', ROTATED)
    manifest, problems = built(replace(config, on_bad='error'))
    assert (manifest['images'], manifest['turned'], manifest['unsettled']) == (2, 1, 0)
    truth = json.loads((find_record_folder(config, 'train') / 'ground_truth.json').read_text())
    y1, x1, y2, x2 = (20, 10, 30, 40) if width == 40 else (20, 10, 50, 30) # of 60 rows and 40 columns
    assert truth['annotations'][-1]['bbox'] == [x1, y1, x2 - x1, y2 - y1]


BAD_OBJECTS = {
    'inverted': ('80,20,10,90,1', 'the box x 80–10, y 20–90 of bad.jpg is empty or inverted'),
    'empty': ('10,20,10,90,1', 'the box x 10–10, y 20–90 of bad.jpg is empty or inverted'),
    'outside': ('400,20,500,90,1', 'the box x 400–500, y 20–90 of bad.jpg lies outside the image'),
    'not a number': ('nan,20,80,90,1', '"nan,20,80,90,1" is not five numbers'),
    'infinite': ('10,20,inf,90,1', '"10,20,inf,90,1" is not five numbers'),
    'text': ('10,twenty,80,90,1', '"10,twenty,80,90,1" is not five numbers'),
    'class beyond the last': ('10,20,80,90,3', 'the class of "10,20,80,90,3" is not a number from 1 to 2'),
    'half a class': ('10,20,80,90,1.5', 'the class of "10,20,80,90,1.5" is not a number from 1 to 2'),
    'too few columns': ('10,20,80,90', '"10,20,80,90" has 4 numbers where xmin,ymin,xmax,ymax,class are '
                                       'wanted'),
    'too many columns': ('10,20,80,90,1,1', '"10,20,80,90,1,1" has 6 numbers where '
                                            'xmin,ymin,xmax,ymax,class are wanted'),
}


@pytest.mark.parametrize('name', BAD_OBJECTS)
def test_bad_object(name, tmp_path):
    box, says = BAD_OBJECTS[name]
    write(tmp_path, 'bad.jpg', JPEG)
    config = txt_set(tmp_path, f'bad.jpg 10,20,80,90,2 {box}')
    assert f'{tmp_path}/list.txt:2: {says}' in refused(config)
    manifest, problems = built(config)
    assert (manifest['images'], manifest['objects'],
            manifest['problems']) == (2, 2, 1) # the image and its other object stay
    assert problems == f'{tmp_path}/list.txt:2: {says}\n'


def test_class_0_names_the_option(tmp_path):
    write(tmp_path, 'bad.jpg', JPEG)
    config = txt_set(tmp_path, 'bad.jpg 10,20,80,90,2 10,20,80,90,0')
    says = f'{tmp_path}/list.txt: class numbers begin at 1 here, and 1 objects have 0, the first in line 2'
    assert says in refused(config) and '--first_class=0' in refused(config)


def test_box_partly_outside_is_clipped(tmp_path):
    write(tmp_path, 'other.jpg', JPEG)
    config = replace(txt_set(tmp_path, 'other.jpg -10,-20.5,400,90,1'), on_bad='error')
    manifest, problems = built(config)
    assert problems == '' and manifest['objects'] == 2
    truth = json.loads((find_record_folder(config, 'train') / 'ground_truth.json').read_text())
    assert truth['annotations'][1]['bbox'] == [0, 0, WIDTH, 90]


BAD_ROWS = {
    'path with ..': ('../secret.jpg 10,20,80,90,1', 'the path ../secret.jpg leaves the folder'),
    'hidden ..': ('a/../../secret.jpg 10,20,80,90,1', 'the path a/../../secret.jpg leaves the folder'),
    'absolute path': ('/etc/secret.jpg 10,20,80,90,1', 'the path /etc/secret.jpg leaves the folder'),
    'no path': ('10,20,80,90,1', 'the row does not begin with the path of an image'),
}


@pytest.mark.parametrize('name', BAD_ROWS)
def test_bad_row(name, tmp_path):
    row, says = BAD_ROWS[name]
    config = txt_set(tmp_path, row)
    assert f'{tmp_path}/list.txt:2: {says}' in refused(config)
    assert built(config)[0]['images'] == 1


GOOD_ROWS = {
    'unicode and spaces': ('häuser und bäume/die straße 猫.jpg', '"häuser und bäume/die straße 猫.jpg" '
                                                                '10,20,80,90,1'),
    'spaces without quotes': ('a b.jpg', 'a b.jpg 10,20,80,90,1'),
    'DOS line ends': ('a.jpg', 'a.jpg 10,20,80,90,1\r'),
    'tabs and blanks': ('a.jpg', '  a.jpg\t10,20,80,90,1  '),
    'no objects': ('a.jpg', 'a.jpg'),
    'comments and blank lines': ('a.jpg', '# ours\n\na.jpg 10,20,80,90,1'),
}


@pytest.mark.parametrize('name', GOOD_ROWS)
def test_unusual_row_is_read(name, tmp_path):
    file, row = GOOD_ROWS[name]
    write(tmp_path, file, JPEG)
    manifest, problems = built(replace(txt_set(tmp_path, row), on_bad='error'))
    assert (manifest['images'], problems) == (2, '')


def test_list_that_is_no_text(tmp_path):
    config = txt_set(tmp_path)
    write(tmp_path, 'list.txt', JPEG)
    assert 'list.txt is not a text file in UTF-8' in refused(config)


def voc(*objects, width=WIDTH, height=HEIGHT):
    "A VOC file"
    size = f'<size><width>{width}</width><height>{height}</height><depth>3</depth></size>'
    rows = [f'<object><name>{n}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>'
            f'<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
            for n, x1, y1, x2, y2 in objects]
    return '<annotation>' + size + '\n'.join(['', *rows]) + '</annotation>'


def voc_set(folder, *files):
    "A VOC set: so many files beside a good one"
    write(folder, 'set/train/good.jpg', JPEG)
    write(folder, 'set/train/good.xml', voc(('ball', 10, 20, 80, 90)))
    for name, content in files: write(folder, f'set/train/{name}', content)
    return DataConfig('voc', classes='ball,cube', voc_root=str(folder / 'set'),
                      mindrecord_dir=str(folder / 'record'))


LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + ''.join(f'<!ENTITY {n} "{f"&{m};" * 10}">' for m,
                                                   n in zip('abcdefgh',
                                                            'bcdefghi')) + ']><annotation>&i;</annotation>'
BAD_XML = {
    'malformed': ('<annotation><object></annotation>', 1, 'it cannot be read as XML (mismatched tag'),
    'empty': ('', 1, 'it cannot be read as XML (no element found'),
    'external entity': ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
                        0, 'it defines entities'),
    'billion laughs': (LAUGHS, 0, 'it defines entities'),
    'not UTF-8': (voc(('bäll', 1, 1, 9, 9)).encode('latin-1'), 0, 'it cannot be read as XML ('),
    'box of text': (voc(('ball', 'ten', 20, 80, 90)), 2, 'the box of a ball is not four numbers'),
    'box without a side': (voc(('ball', 10, 20, 80, 90)).replace('<xmax>80</xmax>', ''), 2,
                           'the box of a ball is not four numbers'),
    'no name': (voc(('', 10, 20, 80, 90)), 2, 'the class ? is not one of ball, cube'),
    'wrong size': (voc(('ball', 10, 20, 80, 90), width=100), 0, 'has 320×240 pixels, but its annotation '
                                                                'says 100×240'),
}


@pytest.mark.parametrize('name', BAD_XML)
def test_bad_xml(name, tmp_path):
    content, line, says = BAD_XML[name]
    config = voc_set(tmp_path, ('bad.jpg', JPEG), ('bad.xml', content))
    error = refused(config)
    assert f'{tmp_path}/set/train/bad.xml{f":{line}" if line else ""}: ' in error and says in error
    assert built(config)[0]['problems'] == 1


def test_unknown_class_is_left_out_and_said(tmp_path):
    "Naming fewer classes is no fault, so on_bad=error does not refuse it"
    config = voc_set(tmp_path, ('more.jpg', JPEG),
                     ('more.xml', voc(('ball', 10, 20, 80, 90), ('moon', 1, 1, 9, 9))))
    manifest, problems = built(replace(config, on_bad='error'))
    assert (manifest['objects'], manifest['problems'], manifest['left_out']) == (2, 0, 1)
    assert 'more.xml:3: 1 object is of the class moon, which was not asked for' in problems


def coco_set(folder, change):
    "A COCO set of two images that `change` spoils; it may return the text to write"
    images = [dict(id=i, file_name=f'{i}.jpg', height=HEIGHT, width=WIDTH) for i in (1, 2)]
    annotations = [dict(id=i, image_id=i, category_id=5, bbox=[10, 20, 70, 70], area=4900, iscrowd=0)
                   for i in (1, 2)]
    truth = dict(images=images, annotations=annotations,
                 categories=[dict(id=5, name='ball'), dict(id=9, name='cube')])
    for i in (1, 2): write(folder, f'set/train/{i}.jpg', JPEG)
    write(folder, 'set/annotations/instances_train.json', change(truth) or json.dumps(truth))
    return DataConfig('coco', coco_root=str(folder / 'set'), mindrecord_dir=str(folder / 'record'))


BAD_ENTRIES = { # what is changed, what is said, images and objects that stay
    'duplicate image id': (lambda t: t['images'][1].update(id=1), 'image 1 cannot be used: its id is taken '
                                                                  'by another image', 1, 1),
    'image id that is text': (lambda t: t['images'][1].update(id='two'),
        '1 annotations belong to image 2, which '
                                                                         'is not listed', 2, 1),
    'image without a file': (lambda t: t['images'][1].pop('file_name') and None,
                             "image 2 cannot be used: it has no 'file_name'", 1, 1),
    'file name that is a number': (lambda t: t['images'][1].update(file_name=2),
                                   'image 2 cannot be used: its file_name 2 is not text', 1, 1),
    'height that is text': (lambda t: t['images'][1].update(height='tall'), "image 2 cannot be used: its "
                                                                            "height and width ['tall', 320] "
                                                                            "are not numbers", 1, 1),
    'image with ..': (lambda t: t['images'][1].update(file_name='../2.jpg'), 'image 2 cannot be used: the '
                         'path ../2.jpg leaves the folder', 1, 1),
    'annotation of no image': (lambda t: t['annotations'][1].update(image_id=7),
                               '1 annotations belong to image 7, which is not listed', 2, 1),
    'unknown category': (lambda t: t['annotations'][1].update(category_id=4), '1 annotations are of the '
                                                                              'category 4, which the file '
                                                                              'does not list', 2, 1),
    'no box': (lambda t: t['annotations'][1].pop('bbox') and None, "annotation 2 cannot be used: it has no "
                                                                   "'bbox'", 2, 1),
    'box of three numbers': (lambda t: t['annotations'][1].update(bbox=[1, 2, 3]),
                             'annotation 2 cannot be used: its bbox [1, 2, 3] is not four numbers', 2, 1),
    'box with NaN': (lambda t: t['annotations'][1].update(bbox=[1, 2, 3, float('nan')]),
                     'annotation 2 cannot be used: its bbox [1, 2, 3, nan] is not four numbers', 2, 1),
    'negative width': (lambda t: t['annotations'][1].update(bbox=[10, 20, -5, 70]),
                       'the box x 10–5, y 20–90 of 2.jpg is empty or inverted', 2, 1),
    'an annotation that is a number': (lambda t: t['annotations'].append(3), 'annotation 3 cannot be used: '
                                                                             'it has no braces', 2, 2),
    'wrong size': (lambda t: t['images'][1].update(width=5), 'has 320×240 pixels, but its annotation says '
                                                             '5×240', 1, 1),
}


@pytest.mark.parametrize('name', BAD_ENTRIES)
def test_bad_coco_entry(name, tmp_path):
    change, says, images, objects = BAD_ENTRIES[name]
    config = coco_set(tmp_path, change)
    error = refused(config)
    assert f'{tmp_path}/set/annotations/instances_train.json: ' in error
    manifest, problems = built(config)
    assert says in problems
    assert (manifest['images'], manifest['objects']) == (images, objects)


BAD_JSON = {
    'without images': (lambda t: t.pop('images') and None, 'has no "images", or an empty one'),
    'without annotations': (lambda t: t.pop('annotations') and None, 'has no "annotations", or an empty one'),
    'without categories': (lambda t: t.update(categories=[]), 'has no "categories", or an empty one'),
    'category without id': (lambda t: t['categories'][0].pop('id') and None, 'each of its categories needs '
                                                                             'a name and a number as id'),
    'a list': (lambda t: '[1, 2]', 'has no "images", or an empty one: a COCO instances file is wanted.'),
    'cut short': (lambda t: json.dumps(t)[:-40], 'is not valid JSON (it ends too early)'),
    'no JSON': (lambda t: 'hello', 'is not valid JSON (Expecting value: line 1 column 1'),
    'a page after it': (lambda t: json.dumps(t) + '<html>', 'is not valid JSON (Extra data: line 1 column'),
    'empty': (lambda t: ' ', 'is not valid JSON (it ends too early)'),
    'binary': (lambda t: b'\xff\xfe\xfa', 'is not a text file in UTF-8'),
}


@pytest.mark.parametrize('name', BAD_JSON)
def test_bad_json(name, tmp_path):
    change, says = BAD_JSON[name]
    error = refused(coco_set(tmp_path, change))
    assert f'{tmp_path}/set/annotations/instances_train.json' in error
    assert says in error


GOOD_JSON = { # what is unusual about it: the text
    'byte order mark': lambda t: b'\xef\xbb\xbf' + json.dumps(t).encode(),
    'categories last': lambda t: json.dumps({key: t[key] for key in ('images', 'annotations', 'categories')}),
    'annotations first': lambda t: json.dumps({key: t[key]
                                               for key in ('annotations', 'categories', 'images')}),
    'NaN that nobody reads': lambda t: json.dumps({'info': float('nan'), **t}),
    'numbers as 1e2': lambda t: json.dumps(t).replace('240', '2.4e2'),
}


@pytest.mark.parametrize('name', GOOD_JSON)
def test_unusual_json_is_read(name, tmp_path):
    manifest, _ = built(replace(coco_set(tmp_path, GOOD_JSON[name]), on_bad='error'))
    assert (manifest['images'], manifest['objects'], manifest['problems']) == (2, 2, 0)


def test_folder_that_cannot_be_made(tmp_path):
    config = txt_set(tmp_path)
    write(tmp_path, 'file', 'in the way')
    error = refused(replace(config, mindrecord_dir=str(tmp_path / 'file/record')))
    assert '--mindrecord_dir: ' in error and 'cannot be made (Not a directory)' in error


@pytest.mark.parametrize('mode, says', ((0o555, 'cannot be written to (Permission denied)'),
                                        (0o500, 'cannot be ')))
def test_folder_without_the_right_to_it(mode, says):
    "Root may write everywhere, so root becomes nobody for a moment"
    with tempfile.TemporaryDirectory() as name:
        folder, user = Path(name), os.geteuid()
        folder.chmod(0o755)
        config = txt_set(folder)
        (folder / 'record').mkdir()
        (folder / 'record').chmod(mode)
        try:
            if user == 0: os.seteuid(65534)
            with pytest.raises(UserError) as error: make_mindrecord(config, 'train')
        finally: os.seteuid(user)
        (folder / 'record').chmod(0o755)
        assert str(error.value).startswith(f'--mindrecord_dir: {folder}/record ')
        assert says in str(error.value) and 'so give another' in str(error.value)


def many_rows(folder, count):
    "A TXT set of a good image and so many copies of it"
    for i in range(count): write(folder, f'{i}.jpg', JPEG)
    return txt_set(folder, *(f'{i}.jpg 10,20,80,90,1' for i in range(count)))


def test_full_disk(small_disk, tmp_path):
    config = many_rows(tmp_path, 60)
    error = refused(replace(config, mindrecord_dir=str(small_disk / 'record')))
    assert f'the MindRecord {small_disk}/record/train cannot be written (No free disk to be used' in error
    assert 'another --mindrecord_dir' in error
    assert sorted(p.name for p in (small_disk / 'record').iterdir()) == ['.lock']
    assert built(config)[0]['images'] == 61 # where there is space, it works


@pytest.mark.parametrize('trouble', (OSError(28, 'No space left on device'),
                                     RuntimeError('Exception thrown.\n[ERROR] No space left on device\n')))
def test_disk_that_fills_up_while_writing(trouble, tmp_path, monkeypatch):
    from mindspore.mindrecord import FileWriter
    def fail(*args, **kwargs): raise trouble
    monkeypatch.setattr(FileWriter, 'commit', fail)
    assert 'cannot be written (No space left on device)' in refused(txt_set(tmp_path))


def test_killed_at_any_moment(tmp_path):
    "After `kill -9` the next run builds a whole MindRecord, and nothing of the killed one stays"
    config = many_rows(tmp_path, 400)
    code = (f'from ssd_nb.data import DataConfig\nfrom ssd_nb.plumbing.records import make_mindrecord\n'
            f'import mindspore.mindrecord\nprint("begin", flush=True)\n'
            f'make_mindrecord(DataConfig("other", classes="ball,cube", anno_path={config.anno_path!r}, '
            f'mindrecord_dir={config.mindrecord_dir!r}), "train")')
    halves = 0
    for wait in (0.01, 0.1, 0.2, 0.3, 0.4):
        process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == 'begin\n'
        time.sleep(wait)
        process.kill(), process.wait()
        if find_record_folder(config, 'train').exists(): # it was done before the blow
            assert load_manifest(config, 'train')['images'] == 401
            shutil.rmtree(find_record_folder(config, 'train'))
        elif (tmp_path / 'record').is_dir():
            halves += any(p.name.startswith('.train-') for p in (tmp_path / 'record').iterdir())
    assert halves # at least one was in the middle of it
    assert built(config)[0]['images'] == 401
    assert sorted(p.name for p in (tmp_path / 'record').iterdir()) == ['.lock', 'train']


def test_real_faults_are_named(tmp_path):
    "A box whose two edges are the same pixel, as published sets have them"
    config = voc_set(tmp_path, ('point.jpg', JPEG), ('point.xml', voc(('ball', 5, 7, 5, 7))))
    assert 'point.xml:2: the box x 5–5, y 7–7 of point.jpg is empty or inverted' in refused(config)


def test_records_are_read_back_as_they_were(tmp_path):
    "The compact list gives what the reader put in, in any order"
    config = DataConfig('voc', classes='ball,cube,ring,star,cone', voc_root=str(SAMPLES))
    records = read_annotations(config, 'train').records
    assert len(records) == 48 and len(records[-3:]) == 3 and records[-1].image_id == 48
    assert [r.image_id for r in records] == list(range(1, 49))
    with pytest.raises(IndexError): records[48]


def test_images_of_different_sizes_share_a_batch_and_none_is_dropped(tmp_path):
    "Evaluation: three images of three sizes in batches of two, each with its own height and width"
    odd_image(tmp_path / 'small.jpg', 'RGB')
    odd_image(tmp_path / 'wide.jpg', 'wide')
    config = txt_set(tmp_path, 'small.jpg 0,0,9,9,2', 'wide.jpg 0,0,9,3,1')
    shapes = BoxConfig(image_shape=(64, 64), steps=(8, 16), aspect_ratios=((2,), (2,)))
    batches = list(create_dataset(config, shapes, 'eval', 2,
                                  train=False).create_dict_iterator(num_epochs=1, output_numpy=True))
    assert [batch['image'].shape for batch in batches] == [(2, 3, 64, 64), (1, 3, 64, 64)]
    assert np.concatenate([batch['shape']
                           for batch in batches]).tolist() == [[HEIGHT, WIDTH], [40, 60], [3, 20000]]
