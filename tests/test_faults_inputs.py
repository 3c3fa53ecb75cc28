"""Hundreds of mutated data sets and pictures, with a fixed seed: all converted, or refused in a sentence."""
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_sets import coco_content, write_coco, write_image, write_txt, write_voc, write_yolo, yolo_row
from mutate import Mutant, mutate_bytes, mutate_text, mutate_tree, try_mutants
from PIL import Image

from ssd_nb.data import DataConfig
from ssd_nb.plumbing.content import gather_content
from ssd_nb.plumbing.images import decode_image, examine_image, read_orientation, read_size
from ssd_nb.plumbing.media import decode_files
from ssd_nb.plumbing.records import find_record_folder, load_manifest, make_mindrecord
from ssd_nb.plumbing.untrusted import show_text

pytestmark = pytest.mark.slow
NAMES = '1.jpg', '2.jpg'


def convert(folder, **options):
    "All that becomes of a data set: its MindRecord, what is printed of it, and that it fits afterwards"
    config = DataConfig(mindrecord_dir=str(folder / 'record'), **options)
    make_mindrecord(config, 'train')
    manifest, place = load_manifest(config, 'train'), find_record_folder(config, 'train')
    lines = [*(place / 'problems.txt').read_text(encoding='utf-8').splitlines(), *manifest['notes']]
    assert all(show_text(line) == line for line in lines), lines
    content = gather_content(place / 'ground_truth.json')
    truth = json.loads((place / 'ground_truth.json').read_text())
    assert np.isfinite(content.boxes).all() and len(content.ids) == manifest['images']
    assert all(0 <= each['area'] < 1e16 for each in truth['annotations'])


def read_voc(folder): convert(folder, dataset='voc', voc_root=str(folder), on_bad='error')
def read_coco(folder): convert(folder, dataset='coco', coco_root=str(folder))
def read_yolo(folder): convert(folder, dataset='yolo', yolo_root=str(folder))
def read_txt(folder): convert(folder, dataset='other', anno_path=str(folder / 'list.txt'))


def make_texts(name, text, count, seed):
    "Mutants of one text file"
    return [Mutant(label, {name: data}) for label, data in mutate_text(text, count, seed)]


def check(name, read, mutants, base):
    "All mutants are survived, some of them loaded and some refused, and enough were tried"
    tried = try_mutants(name, read, mutants, base=base)
    assert not tried.failed, tried.failed[0]
    assert len(mutants) >= 300 and tried.loaded and tried.told


def test_voc(tmp_path):
    write_voc(tmp_path, NAMES)
    path = tmp_path / 'train/1.xml'
    path.write_text(path.read_text().replace('><', '>\n<'))
    data = path.read_bytes()
    mutants = make_texts('train/1.xml', data.decode(), 240, seed=1)
    mutants += [Mutant(label, {'train/1.xml': new}) for label, new in mutate_bytes(data, 80, seed=2)]
    check('voc', read_voc, mutants, tmp_path)


def test_voc_lists(tmp_path):
    write_voc(tmp_path, NAMES)
    for name, ending in (('JPEGImages', '.jpg'), ('Annotations', '.xml')):
        (tmp_path / name).mkdir()
        for file in (f'1{ending}', f'2{ending}'): (tmp_path / 'train' / file).rename(tmp_path / name / file)
    (tmp_path / 'train').rmdir()
    place = 'ImageSets/Main/train.txt'
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text('1 1\n2 -1\n')
    check('voc lists', read_voc, make_texts(place, '1 1\n2 -1\n', 300, seed=3), tmp_path)


def test_coco(tmp_path):
    content = coco_content(NAMES)
    for entry in content['annotations']: entry['segmentation'] = [[20, 10, 50, 10, 50, 40, 20, 40]]
    content['categories'][0]['supercategory'] = 'animal'
    write_coco(tmp_path, content, names=NAMES)
    place = 'annotations/instances_train.json'
    mutants = [Mutant(label, {place: json.dumps(new).encode()})
               for label, new in mutate_tree(content, 300, seed=4)]
    data = (tmp_path / place).read_bytes()
    mutants += [Mutant(label, {place: new}) for label, new in mutate_bytes(data, 60, seed=5)]
    check('coco', read_coco, mutants, tmp_path)


def test_yolo(tmp_path):
    yaml = 'path: .\ntrain: images/train\nval: images/train\nnc: 2\nnames:\n  0: cat\n  1: dog\n'
    write_yolo(tmp_path, ['images/train/1.jpg', 'images/train/2.jpg'], yaml=yaml)
    rows = f'{yolo_row()}\n1 0.5 0.5 0.2 0.2 0.9\n0 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4\n'
    mutants = make_texts('labels/train/1.txt', rows, 150, seed=6) + make_texts('data.yaml', yaml, 150, seed=7)
    listed = {'data.yaml': yaml.replace('train: images/train', 'train: train.txt').encode()}
    mutants += [Mutant(m.label, listed | m.files) for m in
                make_texts('train.txt', 'images/train/1.jpg\n./images/train/2.jpg\n', 60, seed=8)]
    check('yolo', read_yolo, mutants, tmp_path)


def test_txt(tmp_path):
    rows = ['1.jpg 20,10,50,40,1 1,1,9,9,2', '2.jpg 20,10,50,40,1', '"2.jpg" 1 1 9 9 2']
    write_txt(tmp_path, rows)
    write_image(tmp_path / '2.jpg')
    table = ('filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,80,60,cat,20,10,50,40\n'
             '2.jpg,80,60,dog,1,1,9,9\n')
    mutants = make_texts('list.txt', '\n'.join(rows) + '\n', 200, seed=10)
    mutants += make_texts('list.txt', table, 120, seed=11)
    check('txt', read_txt, mutants, tmp_path)


def read_image(folder):
    "All that becomes of a picture, on its way into training and into prediction"
    (path,) = Path(folder).iterdir()
    data = path.read_bytes()
    size, _ = examine_image(data, 'a picture')
    assert decode_image(data).shape[:2] == tuple(size) and read_orientation(data) in range(1, 9)
    try: assert read_size(path) == tuple(size)
    except OSError: pass # its head does not say
    assert list(decode_files([path]))[0][1].shape[:2] == tuple(size)


def make_picture(ending):
    "The bytes of a picture with an EXIF entry where the form has one"
    image = cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8), (80, 60))
    file, entry = io.BytesIO(), Image.Exif()
    entry[0x0112] = 6
    kinds = dict(jpg='JPEG', png='PNG', webp='WEBP', tif='TIFF', bmp='BMP', ppm='PPM', jp2='JPEG2000')
    options = dict(exif=entry) if ending in ('jpg', 'png', 'webp', 'tif') else {}
    Image.fromarray(image).save(file, kinds[ending], **options)
    return file.getvalue()


@pytest.mark.parametrize('ending', ['jpg', 'png', 'webp', 'tif', 'bmp', 'ppm', 'jp2'])
def test_images(ending, tmp_path):
    data = make_picture(ending)
    (tmp_path / f'a.{ending}').write_bytes(data)
    mutants = [Mutant(label, {f'a.{ending}': new})
               for label, new in mutate_bytes(data, 300, seed=12, head=200)]
    check(f'images, {ending}', read_image, mutants, tmp_path)
