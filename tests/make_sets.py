"""Small data sets of any form, made by code: a bright patch for each object, and its annotation."""
import json
from pathlib import Path

import numpy as np
from PIL import Image

from ssd_nb.data import DataConfig
from ssd_nb.plumbing.formats import read_annotations
from ssd_nb.plumbing.records import find_record_folder, load_manifest, make_mindrecord

SIZE = 60, 80 # height, width of every image
BOX = 10, 20, 40, 50 # y1 x1 y2 x2 of its one object
ORIENTATION = 0x0112


def draw_patch(size=SIZE, boxes=(BOX,)):
    "A dark image with a bright patch for each box"
    image = np.full((*size, 3), 40, np.uint8)
    for y1, x1, y2, x2 in boxes: image[y1:y2, x1:x2] = 220
    return image


def write_image(path, image=None, exif=0):
    "Writes an image in the form that its ending says, with an EXIF orientation if given; answers the path"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(draw_patch() if image is None else image)
    entry = Image.Exif()
    if exif: entry[ORIENTATION] = exif
    kinds = {'.jpg': 'JPEG', '.jpeg': 'JPEG', '.jfif': 'JPEG', '.jpe': 'JPEG', '.tif': 'TIFF', '.dib': 'BMP'}
    options = dict(exif=entry) if exif else {}
    picture.save(path, kinds.get(path.suffix.lower()), **options)
    return path


def write_text(path, text, encoding='utf-8'):
    "Writes a text file; answers the path"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def coco_content(names=('1.jpg',), categories=('cat',), box=(20, 10, 30, 30), size=SIZE):
    "A COCO file's content: one object of the first category in each image"
    images = [dict(id=i, file_name=n, height=size[0], width=size[1]) for i, n in enumerate(names, 1)]
    notes = [dict(id=i, image_id=i, category_id=1, bbox=list(box), iscrowd=0, area=box[2] * box[3])
             for i in range(1, len(names) + 1)]
    return dict(images=images, annotations=notes,
                categories=[dict(id=i, name=n) for i, n in enumerate(categories, 1)])


def write_coco(folder, content=None, split='train', names=('1.jpg',)):
    "A COCO set with its images; answers its configuration"
    content = content or coco_content(names)
    for name in names: write_image(Path(folder) / split / name)
    write_text(Path(folder) / f'annotations/instances_{split}.json', json.dumps(content))
    return DataConfig('coco', coco_root=str(folder), mindrecord_dir=str(Path(folder) / 'record'))


def yolo_row(box=BOX, size=SIZE, number=0):
    "A row of a YOLO label file"
    y1, x1, y2, x2 = box
    h, w = size
    return f'{number} {(x1 + x2) / 2 / w} {(y1 + y2) / 2 / h} {(x2 - x1) / w} {(y2 - y1) / h}'


def write_yolo(folder, images=('images/train/1.jpg',), rows=None, yaml='names: [cat, dog]\n'):
    "A YOLO set with its images, its labels and its yaml file; answers its configuration"
    folder = Path(folder)
    for name in images:
        write_image(folder / name)
        label = (folder / name.replace('images/', 'labels/', 1)).with_suffix('.txt')
        write_text(label, '\n'.join([yolo_row()] if rows is None else rows) + '\n')
    write_text(folder / 'data.yaml', yaml)
    return DataConfig('yolo', yolo_root=str(folder), mindrecord_dir=str(folder / 'record'))


def voc_xml(file_name='1.jpg', objects=(('cat', (21, 11, 50, 40)),), size=SIZE, head=''):
    "A VOC file; boxes are xmin ymin xmax ymax, pixels from 1, the last one included"
    sides = 'xmin', 'ymin', 'xmax', 'ymax'
    rows = [f'<object><name>{name}</name><bndbox>' + ''.join(f'<{s}>{v}</{s}>' for s, v in zip(sides, box))
            + '</bndbox></object>' for name, box in objects]
    shape = f'<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>' if size else ''
    return f'{head}<annotation><filename>{file_name}</filename>{shape}' + '\n'.join(rows) + '</annotation>\n'


def write_voc(folder, names=('1.jpg',), split='train', **options):
    "A VOC set with images and XML files in one folder; answers its configuration"
    for name in names:
        path = write_image(Path(folder) / split / name)
        write_text(path.with_suffix('.xml'), voc_xml(name, **options))
    return DataConfig('voc', voc_root=str(folder), mindrecord_dir=str(Path(folder) / 'record'))


def write_txt(folder, rows=('1.jpg 20,10,50,40,1',), classes='cat,dog', **options):
    "A TXT set whose images are named in its rows; answers its configuration"
    write_image(Path(folder) / '1.jpg')
    path = write_text(Path(folder) / 'list.txt', '\n'.join(rows) + '\n')
    return DataConfig('other', classes=classes, anno_path=str(path),
                      mindrecord_dir=str(Path(folder) / 'record'), **options)


def read(config, split='train'):
    "What the reader finds: list of (file name, boxes y1 x1 y2 x2, class names, crowd); and Annotations"
    found = read_annotations(config, split)
    rows = [(r.image.name, r.boxes.round(2).tolist(), [found.classes[l] for l in r.labels], r.crowd.tolist())
            for r in found.records[:]]
    return rows, found


def convert(config, split='train'):
    "Builds the MindRecord: its manifest, and problems.txt as text"
    make_mindrecord(config, split)
    return load_manifest(config, split), (find_record_folder(config, split) / 'problems.txt').read_text()


def measure_brightness(image, box):
    "The part of a box that lies on the bright patch"
    y1, x1, y2, x2 = map(round, map(float, box))
    inner = image[y1:y2, x1:x2]
    return float((inner.mean(axis=2) > 150).mean()) if inner.size else 0.
