"VOC sets as tools and people write them: each input with its boxes, names, ids or sentence"
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from make_sets import BOX, SIZE, draw_patch, read, voc_xml, write_image, write_text, write_voc
from ssd_nb.data import DataConfig
from ssd_nb.plumbing.formats import SOURCES, list_source_files
from ssd_nb.plumbing.options import UserError

EDGES = [float(v) for v in BOX] # of the object that `voc_xml` writes


def voc_config(folder, **options): return DataConfig('voc', voc_root=str(folder), **options)


def write_pair(folder, xml, image, content=None, **options):
    "An XML file and its image, below a folder; answers the configuration"
    write_image(Path(folder) / image)
    content = voc_xml(Path(image).name, **options) if content is None else content
    if isinstance(content, bytes): (Path(folder) / xml).parent.mkdir(parents=True, exist_ok=True)
    path = Path(folder) / xml
    path.write_bytes(content) if isinstance(content, bytes) else write_text(path, content)
    return voc_config(folder)


def refused(config, split='train'):
    with pytest.raises(UserError) as caught: SOURCES['voc'](config).read(split)
    return str(caught.value)


def read_voc(config, split='train'): return SOURCES['voc'](config).read(split)


def notes_of(config, split='train'): return ' | '.join(read_voc(config, split).notes)


# --- text --------------------------------------------------------------------------------------------------

def declared(name): return f'<?xml version="1.0" encoding="{name}"?>\n'


def in_class(name, head=''): return voc_xml(objects=[(name, (21, 11, 50, 40))], head=head)


TEXTS = { # content of an XML file, the class in it
    'UTF-8': (in_class('Bär', declared('utf-8')).encode(), 'Bär'),
    'UTF-8, not declared': (in_class('Bär').encode(), 'Bär'),
    'UTF-8 with a mark': (in_class('Bär', declared('utf-8')).encode('utf-8-sig'), 'Bär'),
    'a mark, and Latin-1 declared': (in_class('Bär', declared('iso-8859-1')).encode('utf-8-sig'), 'Bär'),
    'a mark, and GBK declared': (in_class('熊', declared('gbk')).encode('utf-8-sig'), '熊'),
    'UTF-16 with its mark': (in_class('Bär熊', declared('utf-16')).encode('utf-16'), 'Bär熊'),
    'UTF-16, big end first': (b'\xfe\xff' + in_class('Bär熊', declared('utf-16')).encode('utf-16-be'), 'Bär熊'),
    'UTF-16, UTF-8 declared': (in_class('Bär', declared('utf-8')).encode('utf-16'), 'Bär'),
    'UTF-8, UTF-16 declared': (in_class('Bär', declared('utf-16')).encode(), 'Bär'),
    'UTF-32': (in_class('Bär', declared('utf-32')).encode('utf-32'), 'Bär'),
    'Latin-1': (in_class('Bär', declared('ISO-8859-1')).encode('latin-1'), 'Bär'),
    'windows-1252': (in_class('Bär€', declared('windows-1252')).encode('cp1252'), 'Bär€'),
    'windows-1251': (in_class('медведь', declared('windows-1251')).encode('cp1251'), 'медведь'),
    'GB2312': (in_class('熊', declared('gb2312')).encode('gb2312'), '熊'),
    'GB2312 that is GBK': (in_class('镕', declared('GB2312')).encode('gbk'), '镕'),
    'GBK': (in_class('熊', declared('GBK')).encode('gbk'), '熊'),
    'GB18030': (in_class('熊', declared('GB18030')).encode('gb18030'), '熊'),
    'GBK declared, UTF-8 written': (in_class('小狗熊', declared('gbk')).encode(), None),
    'Big5': (in_class('熊', declared('Big5')).encode('big5'), '熊'),
    'Shift_JIS': (in_class('熊①', declared('Shift_JIS')).encode('cp932'), '熊①'),
    'EUC-KR': (in_class('곰', declared('EUC-KR')).encode('euc-kr'), '곰'),
    'DOS line ends': (in_class('cat', declared('utf-8')).replace('\n', '\r\n').encode(), 'cat'),
    'Mac line ends': (in_class('cat', declared('utf-8')).replace('\n', '\r').encode(), 'cat'),
    'a blank line first': (b'\r\n \n' + in_class('Bär', declared('utf-8')).encode(), 'Bär'),
    'a mark and a blank line': (b'\xef\xbb\xbf\n' + in_class('Bär', declared('utf-8')).encode(), 'Bär'),
    'two marks': (b'\xef\xbb\xbf' + in_class('cat', declared('utf-8')).encode('utf-8-sig'), 'cat'),
}


@pytest.mark.parametrize('name', [name for name in TEXTS if TEXTS[name][1]])
def test_encodings(name, tmp_path):
    content, wanted = TEXTS[name]
    found = read_voc(write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', content))
    assert (found.classes, found.problems, found.notes) == (('background', wanted), [], ())
    assert found.records[0].boxes.tolist() == [EDGES]


NOT_TEXT = { # content, part of the sentence
    'Latin-1, not declared': (in_class('Bär').encode('latin-1'),
                              'it does not say its encoding, and it is not in UTF-8: save it in UTF-8'),
    'GBK, not declared': (in_class('熊').encode('gbk'), 'save it in UTF-8'),
    'GBK, UTF-8 declared': (in_class('熊', declared('utf-8')).encode('gbk'),
                            'it says that its encoding is utf-8, and it is not in utf-8 or in UTF-8'),
    'an unknown encoding': (in_class('Bär', declared('klingon')).encode('latin-1'),
                            'its encoding is klingon'),
    'cut off': (voc_xml().encode()[:-20], 'it cannot be read as XML ('),
    'entities': (b'<!DOCTYPE a [<!ENTITY b "boom">]><annotation>&b;</annotation>', 'it defines entities'),
    'nothing': (b'', 'it cannot be read as XML (no element found'),
    'a page of a web server': (b'<html><body>404</body></html>', 'its first element is html'),
    "CVAT's own form": (b'<annotations><image/></annotations>', 'its first element is annotations'),
    'zeros after a crash': (b'\0' * 300, 'it cannot be read as XML ('),
    'nested a thousand times': (b'<annotation>' + b'<object>' * 20000, 'it cannot be read as XML ('),
}


@pytest.mark.parametrize('name', NOT_TEXT)
def test_unreadable_xml_costs_its_image_alone(name, tmp_path):
    content, says = NOT_TEXT[name]
    write_pair(tmp_path, 'train/bad.xml', 'train/bad.jpg', content)
    found = read_voc(write_pair(tmp_path, 'train/good.xml', 'train/good.jpg'))
    assert [r.image.name for r in found.records] == ['good.jpg'] and not found.notes
    (problem,) = found.problems
    assert says in problem.what and (problem.bad, problem.images, problem.count) == (True, 1, 0)


@pytest.mark.parametrize('encoding, shift', [('utf-8', 0), ('utf-16', 0), ('gbk', 0)])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_lines_are_known_in_any_text(encoding, shift, end, tmp_path):
    text = declared(encoding) + voc_xml(objects=[('cat', (21, 11, 50, 40)), ('熊', (1, 1, 'x', 9))])
    found = read_voc(write_pair(tmp_path, 'train/1.xml', 'train/1.jpg',
                                text.replace('\n', end).encode(encoding)))
    assert [p.line for p in found.problems] == [3] and found.records[0].lines.tolist() == [2]


def test_leftovers_of_a_mac_and_of_programs(tmp_path):
    write_voc(tmp_path, ['0.jpg', '1.jpg'])
    for name in ('train/._0.xml', 'train/._0.jpg', 'train/.DS_Store', '__MACOSX/train/._1.xml',
                 '__MACOSX/train/1.xml',
                 '.idea/misc.xml', 'train/1.jpg.aux.xml'):
        write_text(tmp_path / name, 'Mac OS X\0\xb0')
    found = read_voc(voc_config(tmp_path))
    assert [r.file_name for r in found.records] == ['train/0.jpg', 'train/1.jpg']
    assert (found.problems, found.notes) == ([], ())


def test_links_and_pipes(tmp_path):
    write_pair(tmp_path / 'elsewhere', 'xml/1.xml', 'pictures/1.jpg')
    for name, target in (('Annotations', 'xml'), ('JPEGImages', 'pictures')):
        (tmp_path / 'set').mkdir(exist_ok=True)
        os.symlink(tmp_path / 'elsewhere' / target, tmp_path / 'set' / name)
    os.symlink(tmp_path / 'set', tmp_path / 'set/Annotations/circle')
    os.symlink(tmp_path / 'none', tmp_path / 'set/Annotations/broken.xml')
    os.mkfifo(tmp_path / 'set/Annotations/pipe.xml')
    assert 'out of the data folder and were not read' in refused(voc_config(tmp_path / 'set'))
    found = read_voc(replace(voc_config(tmp_path / 'set'), follow_links=True))
    assert [r.file_name for r in found.records] == ['JPEGImages/1.jpg']
    assert [p.what for p in found.problems] == ['it cannot be opened (No such file or directory)']


ODD_NAMES = ['a' * 400 + '.jpg', '..', '/', '.', '*.jpg', '~/x.jpg', 'a\tb.jpg', '%00.jpg',
             '%2e%2e/secret.jpg']


@pytest.mark.parametrize('name', ODD_NAMES)
def test_odd_filenames_find_nothing(name, tmp_path):
    write_image(tmp_path / 'secret.jpg')
    found = read_voc(write_pair(tmp_path / 'set', 'train/1.xml', 'train/2.jpg', voc_xml(name)))
    assert [r.image.exists() for r in found.records] == [False]


def test_name_that_is_not_text(tmp_path):
    config = write_voc(tmp_path, ['1.jpg'])
    bad = os.fsencode(tmp_path / 'train') + b'/caf\xe9.xml'
    with open(bad, 'w') as file: file.write(voc_xml())
    found = read_voc(config)
    assert [r.file_name for r in found.records] == ['train/1.jpg', 'train/1.jpg'] and not found.problems


# --- images ------------------------------------------------------------------------------------------------

IMAGES = { # image on disk, <filename>, what else the file says
    'webp': ('1.webp', '1.webp', ''), 'tif': ('1.tif', '1.tif', ''), 'BMP': ('1.BMP', '1.BMP', ''),
    'Jpg': ('1.Jpg', '1.Jpg', ''), 'jfif': ('1.jfif', '1.jfif', ''),
    'JPEG in capitals': ('1.JPEG', '1.JPEG', ''),
    'no ending said': ('1.png', '1', ''), 'another ending said': ('1.png', '1.jpg', ''),
    'another case said': ('1.JPG', '1.jpg', ''), 'nothing said': ('1.jpg', '', ''),
    'another name': ('photo 7.jpg', 'photo 7.jpg', ''), 'a dot in the name': ('v1.2.png', 'v1.2', ''),
    'blank, # and %': ('a #1 50%.jpg', 'a #1 50%.jpg', ''), 'Chinese': ('图片 1.jpg', '图片 1.jpg', ''),
    'encoded': ('my cat.jpg', 'my%20cat.jpg', ''), 'Windows path': ('cat.jpg', r'C:\data\cat.jpg', ''),
    'absolute path': ('cat.jpg', '/home/me/cat.jpg', ''),
    'folder before it': ('cat.jpg', 'images/cat.jpg', ''),
    'brackets': ('cat[1].jpg', 'cat[1].jpg', ''), 'accents composed': ('Bär.jpg', 'Ba\u0308r.jpg', ''),
    'by <path>': ('cat.jpg', '', r'<path>D:\work\cat.jpg</path>'),
    'by <path>, wrong <filename>': ('cat.jpg', 'none.jpg', '<path>/home/me/cat.jpg</path>'),
    'blanks around it': ('cat.jpg', '\n  cat.jpg\n', ''),
}


@pytest.mark.parametrize('name', IMAGES)
def test_image_of_an_xml_file(name, tmp_path):
    image, filename, more = IMAGES[name]
    content = voc_xml(filename).replace('</filename>', f'</filename>{more}')
    found = read_voc(write_pair(tmp_path, 'train/1.xml', f'train/{image}', content))
    (record,) = found.records
    assert record.image == tmp_path / 'train' / image and record.file_name == f'train/{image}'
    assert (record.boxes.tolist(), found.problems, found.notes) == ([EDGES], [], ())


PLACES = [('Annotations/1.xml', 'JPEGImages/1.jpg'), ('Annotations/1.xml', 'Images/1.jpg'),
          ('annotations/1.xml', 'images/1.jpg'), ('annotations/xmls/1.xml', 'images/1.jpg'),
          ('xml/1.xml', 'img/1.jpg'), ('Annotations/a/1.xml', 'JPEGImages/a/1.jpg'),
          ('labels/1.xml', 'images/1.jpg'), ('Annotations/1.xml', 'JPEGImages/2019/1.jpg'),
          ('1.xml', 'images/1.jpg')]


@pytest.mark.parametrize('xml, image', PLACES)
@pytest.mark.parametrize('top', ['', 'train/'])
def test_places_of_images(xml, image, top, tmp_path):
    found = read_voc(write_pair(tmp_path, top + xml, top + image))
    assert [r.file_name for r in found.records] == [top + image] and not found.problems


def test_the_same_name_in_two_folders(tmp_path):
    for name, box in (('a', (21, 11, 50, 40)), ('b', (1, 1, 10, 10))):
        write_pair(tmp_path, f'train/Annotations/{name}/1.xml', f'train/JPEGImages/{name}/1.jpg',
                   objects=[('cat', box)])
    rows = [(r.file_name, r.boxes.tolist()) for r in read_voc(voc_config(tmp_path)).records]
    assert rows == [('train/JPEGImages/a/1.jpg', [EDGES]), ('train/JPEGImages/b/1.jpg', [[0, 0, 10, 10]])]


def test_folder_says_which_of_two(tmp_path):
    for name in 'ab': write_image(tmp_path / f'train/JPEGImages/{name}/1.jpg')
    write_text(tmp_path / 'train/Annotations/x.xml',
               voc_xml('1.jpg').replace('<filename>', '<folder>b</folder><filename>'))
    assert [r.file_name for r in read_voc(voc_config(tmp_path)).records] == ['train/JPEGImages/b/1.jpg']
    write_text(tmp_path / 'train/Annotations/x.xml', voc_xml('1.jpg'))
    found = read_voc(voc_config(tmp_path))
    assert not len(found.records) and 'its name 1.jpg can mean' in found.problems[0].what
    assert (found.problems[0].images, found.problems[0].count) == (1, 1)


def test_stem_when_the_named_image_is_not_there(tmp_path):
    for i in range(3): write_pair(tmp_path, f'train/{i}.xml', f'train/{i}.jpg', voc_xml('x.jpg'))
    found = read_voc(voc_config(tmp_path))
    assert [r.file_name for r in found.records] == [f'train/{i}.jpg' for i in range(3)] and not found.problems
    assert '3 XML files name an image that is not there' in found.notes[0]
    assert 'such as 0.xml, which names x.jpg' in found.notes[0]


def test_filename_wins_over_the_stem(tmp_path):
    write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', voc_xml('2.jpg'))
    write_pair(tmp_path, 'train/2.xml', 'train/2.jpg', voc_xml('1.jpg'))
    found = read_voc(voc_config(tmp_path))
    assert [(Path(r.source).name, r.image.name) for r in found.records] == [('1.xml', '2.jpg'),
                                                                            ('2.xml', '1.jpg')]


def test_a_copied_file_that_names_the_image_of_another(tmp_path):
    for i in (1, 2): write_pair(tmp_path, f'train/{i}.xml', f'train/{i}.jpg', voc_xml('1.jpg'))
    found = read_voc(voc_config(tmp_path))
    assert [r.image.name for r in found.records] == ['1.jpg', '2.jpg']
    assert 'belongs to another, such as 2.xml, which names 1.jpg' in found.notes[0]


def test_an_ending_that_is_not_read_is_named(tmp_path):
    config = write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', voc_xml('1.heic'))
    os.rename(tmp_path / 'train/1.jpg', tmp_path / 'train/1.heic')
    assert read_voc(config).records[0].image.name == '1.heic'
    write_text(tmp_path / 'train/1.xml', voc_xml('')) # by its stem
    assert read_voc(config).records[0].image.name == '1.heic'
    write_image(tmp_path / 'train/1.png') # saved again in a form that is read
    write_text(tmp_path / 'train/1.xml', voc_xml('1.heic'))
    assert read_voc(config).records[0].image.name == '1.png'


def test_no_image_at_all(tmp_path):
    config = write_voc(tmp_path, ['1.jpg'])
    write_text(tmp_path / 'train/2.xml', voc_xml('../../secret.jpg'))
    write_image(tmp_path.parent / 'secret.jpg')
    records = read_voc(config).records
    assert [r.file_name for r in records] == ['train/1.jpg', 'train/secret.jpg']
    assert not records[1].image.exists() # opening it will say so


def test_images_without_xml_are_counted(tmp_path):
    config = write_voc(tmp_path, ['0.jpg'])
    for i in range(1, 6): write_image(tmp_path / f'train/{i}.png')
    write_image(tmp_path / 'train/more/6.png')
    note = notes_of(config)
    assert '6 images have no XML file, not used: train/1.png, train/2.png, train/3.png …' in note


def test_images_of_the_other_split_are_not_missed(tmp_path):
    for split, name in (('train', 'a'), ('val', 'b')):
        write_pair(tmp_path, f'annotations/{split}/{name}.xml', f'images/{name}.jpg')
    write_image(tmp_path / 'images/c.jpg')
    for split in ('train', 'eval'):
        note = notes_of(voc_config(tmp_path), split)
        assert '1 image has no XML file, not used: images/c.jpg' in note


# --- lists -------------------------------------------------------------------------------------------------

def write_devkit(folder, lists, names=('1',), year=''):
    "A VOCdevkit"
    folder = Path(folder) / year
    for name in names: write_pair(folder, f'Annotations/{name}.xml', f'JPEGImages/{name}.jpg')
    for name, rows in lists.items(): write_text(folder / f'ImageSets/Main/{name}.txt', rows)


ROWS = { # the XML files, rows of the list, images that are read
    'plain': (['1', '2'], '2\n1\n', ['2', '1']),
    'a blank in the name': (['IMG 0001'], 'IMG 0001\n', ['IMG 0001']),
    'many blanks': (['my cat no 2'], 'my cat no 2\n', ['my cat no 2']),
    'ends with a number': (['IMG 1', 'IMG 0'], 'IMG 1\nIMG 0\n', ['IMG 1', 'IMG 0']),
    'a column': (['1', '2', '3'], '1  1\n2 -1\n3  0\n', ['1', '2', '3']),
    'a column after a blank': (['IMG 1'], 'IMG 1 -1\n', ['IMG 1']),
    'with ending': (['1'], '1.jpg\n', ['1']), 'with .xml': (['1'], '1.xml\n', ['1']),
    'ending in capitals': (['1'], '1.JPG\n', ['1']), 'a dot in the name': (['v1.2'], 'v1.2\n', ['v1.2']),
    'with folder': (['1'], 'JPEGImages/1.jpg\n', ['1']),
    'Windows folder': (['1'], 'JPEGImages\\1.jpg\n', ['1']),
    'absolute': (['1'], '/home/me/VOC2007/JPEGImages/1.jpg\n', ['1']),
    'image and XML': (['1'], './JPEGImages/1.jpg ./Annotations/1.xml\n', ['1']),
    'in a sub-folder': (['a/1', 'b/1'], 'b/1\na/1\n', ['b/1', 'a/1']),
    'Windows line ends': (['1', '2'], '1\r\n2\r\n', ['1', '2']),
    'Mac line ends': (['1', '2'], '1\r2\r', ['1', '2']),
    'empty rows': (['1'], '\n\n1\n\n', ['1']), 'a mark': (['1'], '\ufeff1\n', ['1']),
    'Chinese': (['图 1'], '图 1\n', ['图 1']), 'another case': (['IMG_1'], 'img_1\n', ['IMG_1']),
    '# and %': (['a#1 50%'], 'a#1 50%\n', ['a#1 50%']), 'quotes': (['1'], '"1"\n', ['1']),
}


@pytest.mark.parametrize('name', ROWS)
def test_rows_of_a_list(name, tmp_path):
    names, rows, wanted = ROWS[name]
    write_devkit(tmp_path, dict(train=rows), names)
    found = read_voc(voc_config(tmp_path))
    assert [r.file_name for r in found.records] == [f'JPEGImages/{each}.jpg' for each in wanted]
    assert (found.problems, found.notes) == ([], ())


FAULTY_ROWS = { # rows, what is said
    'not there': ('1\nIMG 2\n', 'IMG 2 is listed, but there is no XML file of it'),
    'not there, with a column': ('1 1\n2 -1\n', '2 is listed, but there is no XML file of it'),
    'outside': ('1\n../../outside/secret\n', 'the name ../../outside/secret leaves the folder'),
    'outside, Windows': ('1\n..\\secret\n', 'the name ..\\secret leaves the folder'),
    'outside, with a column': ('1 1\n../../outside/secret\n', 'leaves the folder'),
}


@pytest.mark.parametrize('name', FAULTY_ROWS)
def test_faulty_rows_of_a_list(name, tmp_path):
    rows, says = FAULTY_ROWS[name]
    write_pair(tmp_path, 'secret.xml', 'secret.jpg')
    write_pair(tmp_path, 'outside/secret.xml', 'outside/secret.jpg')
    write_devkit(tmp_path / 'set', dict(train=rows))
    found = read_voc(voc_config(tmp_path / 'set'))
    assert [r.image.name for r in found.records] == ['1.jpg']
    (problem,) = found.problems
    assert says in problem.what and (problem.line, problem.images, problem.count) == (2, 1, 0)
    assert problem.file == str(tmp_path / 'set/ImageSets/Main/train.txt')


def test_names_listed_twice_or_never(tmp_path):
    write_devkit(tmp_path, dict(train='1\n2\n1\n', val='3\n'), '12345')
    found = read_voc(voc_config(tmp_path))
    assert [r.image.stem for r in found.records] == ['1', '2']
    said = '1 image is listed more than once, and used once, such as the one in the lines 1 and 3'
    assert said in found.notes[0]
    assert '2 XML files are in no list, not used: 4.xml, 5.xml' in found.notes[1]


LISTS = [('train val', 'train', 'val'), ('train valid', 'train', 'valid'), ('train test', 'train', 'test'),
         ('train val test', 'train', 'val'), ('trainval test', 'trainval', 'test'),
         ('train val trainval test', 'trainval', 'test'), ('Train Validation', 'Train', 'Validation'),
         ('train eval', 'train', 'eval'), ('training validation', 'training', 'validation')]


@pytest.mark.parametrize('lists, train, evaluation', LISTS)
def test_names_of_lists(lists, train, evaluation, tmp_path):
    names = lists.split()
    write_devkit(tmp_path, {name: f'{name}\n' for name in names}, names)
    for split, wanted in (('train', train), ('eval', evaluation)):
        assert [r.image.stem for r in read_voc(voc_config(tmp_path), split).records] == [wanted]


@pytest.mark.parametrize('place', ['ImageSets', ''])
def test_lists_in_other_places(place, tmp_path):
    write_devkit(tmp_path, {}, '12')
    for name, row in (('train', '1'), ('val', '2')):
        write_text(tmp_path / place / f'{name}.txt', f'JPEGImages/{row}.jpg Annotations/{row}.xml\n')
    for split, wanted in (('train', '1'), ('eval', '2')):
        assert [r.image.stem for r in read_voc(voc_config(tmp_path), split).records] == [wanted]


def test_cvat_has_one_list(tmp_path):
    write_devkit(tmp_path, dict(default='1\n', cat_default='1 1\n'))
    write_text(tmp_path / 'labelmap.txt',
               '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n')
    assert [r.image.stem for r in read_voc(voc_config(tmp_path)).records] == ['1']
    error = refused(voc_config(tmp_path), 'eval')
    assert 'there is no val.txt in' in error
    assert 'which has default.txt: rename the list of the split eval' in error


# --- layouts -----------------------------------------------------------------------------------------------

LAYOUTS = { # name: (XML and image of train), (of eval)
    'ours': (('train/1.xml', 'train/1.jpg'), ('eval/2.xml', 'eval/2.jpg')),
    'Roboflow': (('train/1.xml', 'train/1.jpg'), ('valid/2.xml', 'valid/2.jpg')),
    'Roboflow, no valid': (('train/1.xml', 'train/1.jpg'), ('test/2.xml', 'test/2.jpg')),
    'val': (('train/1.xml', 'train/1.jpg'), ('val/2.xml', 'val/2.jpg')),
    'capitals': (('Train/1.xml', 'Train/1.jpg'), ('Val/2.xml', 'Val/2.jpg')),
    'ModelZoo': (('train/Annotations/1.xml', 'train/Images/1.jpg'),
                 ('eval/Annotations/2.xml', 'eval/Images/2.jpg')),
    'split inside': (('Annotations/train/1.xml', 'JPEGImages/train/1.jpg'),
                     ('Annotations/val/2.xml', 'JPEGImages/val/2.jpg')),
    'sub-folders': (('train/a/b/1.xml', 'train/a/b/1.jpg'), ('val/c/2.xml', 'val/c/2.jpg')),
    'in a folder of the zip': (('set/train/1.xml', 'set/train/1.jpg'),
                               ('set/valid/2.xml', 'set/valid/2.jpg')),
    'in two folders': (('a/b/train/1.xml', 'a/b/train/1.jpg'), ('a/b/test/2.xml', 'a/b/test/2.jpg')),
}


@pytest.mark.parametrize('name', LAYOUTS)
def test_layouts(name, tmp_path):
    for xml, image in LAYOUTS[name]: write_pair(tmp_path, xml, image)
    for split, (xml, image) in zip(('train', 'eval'), LAYOUTS[name]):
        found = read_voc(voc_config(tmp_path), split)
        assert [(r.file_name, r.source, r.boxes.tolist()) for r in found.records] == [
            (image, str(tmp_path / xml), [EDGES])]
        assert (found.problems, found.notes) == ([], ())


@pytest.mark.parametrize('year', ['', 'VOC2012', 'VOCdevkit/VOC2007', 'data/VOCdevkit/VOC2007'])
def test_years(year, tmp_path):
    write_devkit(tmp_path, dict(train='1\n', val='2\n'), '12', year)
    for split, stem in (('train', '1'), ('eval', '2')):
        assert [r.image.stem for r in read_voc(voc_config(tmp_path), split).records] == [stem]


def test_two_years_are_one_set(tmp_path):
    write_devkit(tmp_path, dict(trainval='1\n', test='2\n'), '12', 'VOC2007')
    write_devkit(tmp_path, dict(train='3\n', val='4\n', trainval='3\n4\n'), '34', 'VOC2012')
    for split, stems in (('train', '13'), ('eval', '24')):
        assert [r.image.stem for r in read_voc(voc_config(tmp_path), split).records] == list(stems)


def test_val_before_test(tmp_path):
    for split in ('train', 'test', 'valid'): write_pair(tmp_path, f'{split}/{split}.xml',
                                                        f'{split}/{split}.jpg')
    found = read_voc(voc_config(tmp_path), 'eval')
    assert [r.image.stem for r in found.records] == ['valid']
    assert f'{tmp_path}/test: 1 XML file is not used, since {tmp_path}/valid is there' in found.notes


UNDIVIDED = [('1.xml', '1.jpg'), ('Annotations/1.xml', 'JPEGImages/1.jpg'),
             ('annotations/1.xml', 'images/1.jpg'),
             ('set/Annotations/1.xml', 'set/JPEGImages/1.jpg'), ('Annotations/a/1.xml', 'JPEGImages/a/1.jpg')]


@pytest.mark.parametrize('xml, image', UNDIVIDED)
def test_a_set_without_splits_is_for_training(xml, image, tmp_path):
    config = write_pair(tmp_path, xml, image)
    assert [r.file_name for r in read_voc(config).records] == [image]
    error = refused(config, 'eval')
    assert error.startswith(f'--voc_root={tmp_path}: it has ') and error.endswith('.')
    said = 'no splits, so all of it is for training: for evaluation, divide the images with their XML files'
    assert said in error


UNKNOWN = { # XML files, the split that is asked for, what is said
    'two unknown folders': (['set_a/1.xml', 'set_b/2.xml'], 'train',
                            'it has set_a (1 XML file), set_b (1 XML file): '
                            'rename the folder for training to train and the one for evaluation to eval'),
    'one is known': (['train/1.xml', 'holdout/2.xml'], 'eval',
                     'there is no folder eval (or val, valid, test) with XML '
                     'files beside train, only holdout (1 XML file), train (1 XML file): rename holdout to '
                     'eval'),
    'only training': (['train/1.xml'], 'eval', 'it has train (1 XML file), and nothing for the split eval: '
                                               'move a part of '
                      'the images with their XML files into a folder eval'),
    'training is not there': (['val/1.xml', 'learn/2.xml'], 'train',
                              'no folder train with XML files beside val'),
    'nothing': ([], 'train', 'there is no XML file in'),
}


@pytest.mark.parametrize('name', UNKNOWN)
def test_layouts_that_are_not_known(name, tmp_path):
    files, split, says = UNKNOWN[name]
    for file in files: write_pair(tmp_path, file, Path(file).with_suffix('.jpg'))
    error = refused(voc_config(tmp_path), split)
    assert error.startswith(f'--voc_root={tmp_path}: ') and says in error and error.count('\n') == 0


def test_no_folder(tmp_path):
    assert 'there is no folder' in refused(voc_config(tmp_path / 'none'))
    assert '--voc_root is not given' in refused(DataConfig('voc'))


# --- boxes -------------------------------------------------------------------------------------------------

def one_object(inner, name='cat', size='<size><width>80</width><height>60</height></size>'):
    named = f'<object><name>{name}</name>{inner}</object>'
    return f'<annotation><filename>1.jpg</filename>{size}{named}</annotation>'


def bndbox(x1, y1, x2, y2):
    return f'<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>'


BOXES = { # the object, edges y1 x1 y2 x2
    'whole numbers': (bndbox(21, 11, 50, 40), EDGES),
    'floats': (bndbox('21.0', '11.0', '50.0', '40.0'), EDGES),
    'blanks': (bndbox(' 21\n', '\t11', '50 ', ' 40 '), EDGES),
    'exponents': (bndbox('2.1e1', '1.1e1', 50, 40), EDGES),
    'another order': ('<bndbox><ymax>40</ymax><xmax>50</xmax><ymin>11</ymin><xmin>21</xmin></bndbox>', EDGES),
    'attributes': ('<bndbox xmin="21" ymin="11" xmax="50" ymax="40"/>', EDGES),
    'capitals': (bndbox(21, 11, 50, 40).replace('xmin', 'XMin').replace('ymax', 'YMax'), EDGES),
    'parts of a person': ('<part><name>head</name>' + bndbox(1, 1, 5, 5) + '</part>' + bndbox(21, 11, 50, 40),
                          EDGES),
    'parts after the box': (bndbox(21, 11, 50, 40) + '<part><name>hand</name>' + bndbox(1, 1, 5,
                                                                                        5) + '</part>',
                            EDGES),
    'an object in an object': (bndbox(21, 11, 50, 40) + '<object><name>dog</name>' + bndbox(1, 1, 5,
                                                                                            5) + '</object>',
                               EDGES),
    'polygon of '
    'LabelMe': ('<polygon><username>me</username><pt><x>20</x><y>10</y></pt><pt><x>50</x><y>15</y></pt>'
                           '<pt><x>30</x><y>40</y></pt></polygon>', EDGES),
    'polygon of '
    'Roboflow': ('<polygon><x1>20</x1><y1>10</y1><x2>50</x2><y2>10</y2><x3>50</x3><y3>40</y3></polygon>',
                            EDGES),
    'polygon beside a box': ('<polygon><x1>0</x1><y1>0</y1></polygon>' + bndbox(21, 11, 50, 40), EDGES),
    'rotated, by 0': ('<robndbox><cx>35</cx><cy>25</cy><w>30</w><h>30</h><angle>0</angle></robndbox>', EDGES),
    'rotated, by a '
    'quarter': ('<robndbox><cx>35</cx><cy>25</cy><w>20</w><h>10</h><angle>1.5707963</angle></robndbox>',
                              [15, 30, 35, 40]),
    'rotated, by an '
    'eighth': ('<robndbox><cx>35</cx><cy>25</cy><w>14.1421</w><h>14.1421</h><angle>0.785398</angle>'
                              '</robndbox>', [15, 25, 35, 45]),
    'CVAT '
    'rotates': (bndbox(26, 21, 45, 30) + '<attributes><attribute><name>rotation</name><value>90.0</value>'
                     '</attribute></attributes>', [15, 30, 35, 40]),
    'CVAT does '
    'not': (bndbox(21, 11, 50, 40) + '<attributes><attribute><name>rotation</name><value>0.0</value>'
                      '</attribute></attributes>', EDGES),
    'inverted': (bndbox(50, 11, 21, 40), [11, 50, 40, 21]), # stays so, and is named when it is checked
}


@pytest.mark.parametrize('name', BOXES)
def test_boxes(name, tmp_path):
    inner, wanted = BOXES[name]
    found = read_voc(write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', one_object(inner)))
    assert found.classes == ('background', 'cat') and not found.problems
    assert found.records[0].boxes.round(3).tolist() == [pytest.approx(wanted, abs=1e-3)]


NO_BOXES = {'text': bndbox('ten', 1, 2, 3), 'infinite': bndbox('inf', 1, 2, 3),
            'not a number': bndbox('nan', 1, 2, 3),
            'a side missing': '<bndbox><xmin>1</xmin></bndbox>', 'nothing': '',
            'comma': bndbox('1,5', 1, 2, 3),
            'rotated, no angle': '<robndbox><cx>1</cx><cy>1</cy><w>1</w><h>1</h></robndbox>',
            'empty': '<bndbox/>',
            'polygon without points': '<polygon><username>me</username></polygon>'}


@pytest.mark.parametrize('name', NO_BOXES)
def test_boxes_that_are_none(name, tmp_path):
    found = read_voc(write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', one_object(NO_BOXES[name])))
    assert [str(p) for p in found.problems] == [f'{tmp_path}/train/1.xml:1: the box of a cat is not four '
                                                f'numbers']
    assert found.problems[0].bad and found.records[0].boxes.shape == (0, 4)


def test_boxes_from_zero(tmp_path):
    rows = bndbox('10.0', '12.0', '13.0', '15.0'), bndbox('0', '0', '80', '60')
    content = one_object('</object><object><name>cat</name>'.join(rows))
    config = write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', content)
    zero = read_voc(replace(config, voc_origin=0))
    assert zero.records[0].boxes.tolist() == [[12, 10, 15, 13], [0, 0, 60, 80]] and not zero.notes
    one = read_voc(config)
    assert one.records[0].boxes.tolist() == [[11, 9, 15, 13], [-1, -1, 60, 80]]
    assert 'of 2 boxes 1 begins at 0 and 1 has fractions' in one.notes[0]
    assert 'pass --voc_origin=0' in one.notes[0]


@pytest.mark.parametrize('box, says', [((0, 5, 9, 9), '1 begins at 0'), ((5, 0, 9, 9), '1 begins at 0'),
                                       (('0.5', 5, 9, 9), '1 begins at 0'),
                                       ((5, 5, '9.5', 9), '1 has fractions'),
                                       ((-3, 5, 9, 9), '1 begins at 0'), ((1, 1, 9, 9), '')])
def test_signs_of_boxes_from_zero(box, says, tmp_path):
    note = notes_of(write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', one_object(bndbox(*box))))
    assert (says in note and '--voc_origin=0' in note) if says else not note


FLAGS = {'1': True, ' 1 ': True, '1.0': True, 'true': True, 'True': True, 'yes': True, '0': False, '': False,
         '0.0': False, 'false': False, 'Unspecified': None}


@pytest.mark.parametrize('text', FLAGS)
def test_difficult(text, tmp_path):
    inner = f'<truncated>1</truncated><difficult>{text}</difficult>' + bndbox(21, 11, 50, 40)
    found = read_voc(write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', one_object(inner)))
    assert found.records[0].crowd.tolist() == [bool(FLAGS[text])]
    assert ('<difficult> is neither 0 nor 1 in 1 object, such as "unspecified"' in ''.join(found.notes)) == (
        FLAGS[text] is None)


SIZES = { # <size>, size of the record, whether something is said
    'numbers': ('<size><width>80</width><height>60</height></size>', (60, 80), False),
    'floats': ('<size><width>80.0</width><height>60.0</height></size>', (60, 80), False),
    'missing': ('', (0, 0), False), 'empty': ('<size/>', (0, 0), False),
    'zeros': ('<size><width>0</width><height>0</height></size>', (0, 0), False),
    'text': ('<size><width>wide</width><height>60</height></size>', (0, 0), True),
    'infinite': ('<size><width>inf</width><height>60</height></size>', (0, 0), True),
    'huge': ('<size><width>1e400</width><height>60</height></size>', (0, 0), True),
    'negative': ('<size><width>-80</width><height>60</height></size>', (0, 0), True),
    'of LabelMe': ('<imagesize><nrows>60</nrows><ncols>80</ncols></imagesize>', (60, 80), False),
}


@pytest.mark.parametrize('name', SIZES)
def test_sizes(name, tmp_path):
    size, wanted, says = SIZES[name]
    config = write_pair(tmp_path, 'train/1.xml', 'train/1.jpg', one_object(bndbox(21, 11, 50, 40), size=size))
    found = read_voc(config)
    assert (found.records[0].size, found.records[0].boxes.tolist(), found.problems) == (wanted, [EDGES], [])
    assert ('<size> is not two numbers in 1 file,' in ''.join(found.notes)) == says


def test_deleted_objects_of_labelme(tmp_path):
    inner = '<deleted>1</deleted>' + bndbox(1, 1, 5,
                                            5) + '</object><object><name>cat</name><deleted>0</deleted>'
    found = read_voc(write_pair(tmp_path, 'train/1.xml', 'train/1.jpg',
                                one_object(inner + bndbox(21, 11, 50, 40))))
    assert found.records[0].boxes.tolist() == [EDGES]
    assert [(p.what, p.bad, p.count) for p in found.problems] == [('1 object is marked as deleted', False,
                                                                   1)]


# --- classes -----------------------------------------------------------------------------------------------

NAMES = { # names as written, classes
    'blanks around': ([' cat', 'cat ', 'cat'], ['cat']),
    'blanks inside': (['traffic  light', 'traffic light'],
                                                                           ['traffic light']),
    'accents': (['Ba\u0308r', 'Bär'], ['Bär']), 'case counts': (['Cat', 'dog'], ['Cat', 'dog']),
    'numbers': (['10', '9', '010', '1e3'], ['010', '10', '1e3', '9']), 'no': (['no', 'yes'], ['no', 'yes']),
    'odd characters': (['$x_1$', 'a,b', '&lt;b&gt;', "o'k"], ['$x_1$', '<b>', 'a,b', "o'k"]),
}


@pytest.mark.parametrize('name', NAMES)
def test_class_names(name, tmp_path):
    written, wanted = NAMES[name]
    objects = [(each, (21, 11, 50, 40)) for each in written]
    found = read_voc(write_voc(tmp_path, objects=objects))
    assert found.classes == ('background', *wanted) and len(found.records[0].labels) == len(written)
    assert bool(found.notes) == (len(set(wanted)) < len(written)) and not found.problems
    if found.notes: assert f'are one class, {wanted[0]}' in found.notes[0]


@pytest.mark.parametrize('name', ['background', 'Background', '__background__', ' BACKGROUND '])
def test_background_is_no_class(name, tmp_path):
    found = read_voc(write_voc(tmp_path, objects=[('cat', (21, 11, 50, 40)), (name, (1, 1, 5, 5))]))
    assert (found.classes, found.records[0].labels.tolist()) == (('background', 'cat'), [1])
    assert [(p.bad, p.line) for p in found.problems] == [(False, 2)]
    assert f'1 object is called {name.strip()}, which every place' in found.problems[0].what


def test_an_object_without_name(tmp_path):
    found = read_voc(write_voc(tmp_path, objects=[('cat', (21, 11, 50, 40)), ('  ', (1, 1, 5, 5))]))
    assert [(p.bad, p.what) for p in found.problems] == [(True, 'an object has no name of a class')]


def test_classes_of_the_other_split(tmp_path):
    config = write_voc(tmp_path, objects=[('cat', (21, 11, 50, 40)), ('dog', (1, 1, 5, 5))])
    write_voc(tmp_path, split='valid', objects=[('dog', (1, 1, 5, 5)), ('moon', (1, 1, 9, 9)),
                                                ('moon', (2, 2, 9, 9))])
    found = read_voc(config, 'eval')
    assert (found.classes, found.records[0].labels.tolist()) == (('background', 'cat', 'dog'), [2])
    assert [p.bad for p in found.problems] == [False, False]
    says = 'the class moon is not one of cat, dog, which are those of the training images'
    assert found.problems[0].what == says
    assert [path.parent.name for path in list_source_files(config, 'eval')] == ['valid']


def test_classes_that_are_asked_for(tmp_path):
    config = write_voc(tmp_path, objects=[('cat', (21, 11, 50, 40)), ('dog', (1, 1, 5, 5))])
    found = read_voc(replace(config, classes='dog,bird'))
    assert (found.classes, found.records[0].labels.tolist()) == (('background', 'dog', 'bird'), [1])
    assert [p.bad for p in found.problems] == [False]
    assert 'no object is called bird, which --classes asks for: the names are cat, dog' in found.notes[0]


def test_why_nothing_is_left(tmp_path):
    config = write_voc(tmp_path)
    moon = SOURCES['voc'](replace(config, classes='moon'))
    says = 'has one of the names moon, so look at the names in its files (cat)'
    assert says in moon.explain_empty(moon.read('train'))
    write_text(tmp_path / 'train/1.xml', voc_xml(objects=[]))
    assert 'has an object' in SOURCES['voc'](config).explain_empty(read_voc(config))
    write_text(tmp_path / 'train/1.xml', one_object('<difficult>1</difficult>' + bndbox(1, 1, 2, 3)))
    says = 'its 1 objects are all marked as difficult'
    assert SOURCES['voc'](config).explain_empty(read_voc(config)) == says
    write_text(tmp_path / 'train/1.xml', one_object(bndbox('ten', 1, 2, 3)))
    assert 'the box of a cat is not four numbers' in SOURCES['voc'](config).explain_empty(read_voc(config))


# --- ids ---------------------------------------------------------------------------------------------------

IDS = [((7, 9), [7, 9], [None, None]), ((-1, 0), [-1, 0], [None, None]),
       ((2 ** 53, 5), [2 ** 53, 5], [None, None]),
       ((2 ** 63, 5), [1, 2], [2 ** 63, 5]), (('a', 'b'), [1, 2], ['a', 'b']),
       (('7', '9'), [1, 2], ['7', '9'])]


@pytest.mark.parametrize('ids, image_ids, own', IDS)
@pytest.mark.parametrize('before', ['', 'valid/'])
def test_ids_of_voc_json(ids, image_ids, own, before, tmp_path):
    config = write_voc(tmp_path, ['1.jpg', '2.jpg'], 'valid')
    content = dict(images=[dict(id=i, file_name=f'{before}{n}.jpg') for n, i in enumerate(ids, 1)],
                   annotations=[dict(id=1)], categories=[dict(id=18, name='cat')])
    path = write_text(tmp_path / 'truth.json', json.dumps(content))
    found = read_voc(replace(config, voc_json=str(path)), 'eval')
    assert [r.image_id for r in found.records] == image_ids and [r.own_id for r in found.records] == own
    assert found.category_ids == (0, 18)


def test_voc_json_and_its_images(tmp_path):
    config = write_voc(tmp_path, ['1.jpg', '2.jpg'], 'valid')
    content = dict(images=[dict(id=5, file_name='1.jpg'), dict(id=6, file_name='9.jpg')],
                   annotations=[dict(id=1)], categories=[dict(id=18, name=' cat')])
    path = write_text(tmp_path / 'truth.json', json.dumps(content))
    found = read_voc(replace(config, voc_json=str(path)), 'eval')
    assert [r.image_id for r in found.records] == [5]
    assert [(p.what, p.images, p.count) for p in found.problems] == [(f'valid/2.jpg is not in {path}', 1, 1)]
    assert f'{path}: 1 image has no XML file' in found.notes
    for spoiled in (dict(images=[dict(file_name='1.jpg')]), dict(categories=[dict(id='x', name='cat')]),
                    dict(categories=[dict(id=1, name='dog')])):
        write_text(path, json.dumps(content | spoiled))
        assert refused(replace(config, voc_json=str(path)), 'eval').startswith(f'--voc_json={path}')


def test_many_files_are_read_quickly(tmp_path):
    "Each folder is listed once: the time of a file does not grow with their number"
    for i in range(300): write_text(tmp_path / f'train/Annotations/{i}.xml', voc_xml(f'{i}.png'))
    image = write_image(tmp_path / 'train/JPEGImages/0.png').read_bytes()
    for i in range(300): (tmp_path / f'train/JPEGImages/{i}.png').write_bytes(image)
    listed, real = [], os.listdir
    os.listdir = lambda *args: listed.append(args) or real(*args)
    try: found = read_voc(voc_config(tmp_path))
    finally: os.listdir = real
    assert len(found.records) == 300 and len(listed) < 20


def test_picture_and_sizes_agree(): assert draw_patch().shape[:2] == SIZE


@pytest.mark.parametrize('name', ['\u200b', 'cat\x85\u0378'])
def test_names_that_cannot_be_written(name, tmp_path):
    with pytest.raises(UserError, match='the name of a class .*, so rename it.$'):
        read_voc(write_voc(tmp_path, objects=[(name, (21, 11, 50, 40))]))


def test_names_that_look_alike(tmp_path):
    objects = [(name, (21, 11, 50, 40)) for name in ('Cat', 'cat', 'dog')]
    found = read_voc(write_voc(tmp_path, objects=objects))
    assert found.notes == ('Cat and cat look alike, but are 2 classes',)


def test_a_slip_in_classes_is_named_before_other_problems(tmp_path):
    config = write_voc(tmp_path)
    write_text(tmp_path / 'train/2.xml', '<annotation><obj')
    slip = SOURCES['voc'](replace(config, classes='cta'))
    says = 'has one of the names cta, so look at the names in its files (cat), or at --classes'
    assert says in slip.explain_empty(slip.read('train'))


@pytest.mark.parametrize('old, new', [
    ('<annotation>', '<annotation xmlns="http://example.org/voc" verified="yes">'),
    ('object>', 'Object>'), ('object>', 'OBJECT>')])
def test_tags_with_a_namespace_or_capitals(old, new, tmp_path):
    config = write_voc(tmp_path, objects=[('cat', (21, 11, 50, 40))])
    path = tmp_path / 'train/1.xml'
    write_text(path, path.read_text().replace(old, new))
    (record,) = read_voc(config).records
    assert record.boxes.tolist() == [[*BOX]] and record.size == SIZE


def test_voc_json_that_lacks_a_class(tmp_path):
    config = write_voc(tmp_path, objects=[('cat', (21, 11, 50, 40)), ('dog', (1, 1, 9, 9))])
    write_voc(tmp_path, split='val')
    notes = [dict(id=1, image_id=7, category_id=5, bbox=[20, 10, 30, 30])]
    content = dict(images=[dict(id=7, file_name='1.jpg')], categories=[dict(id=5, name='cat')],
                   annotations=notes)
    path = write_text(tmp_path / 'truth.json', json.dumps(content))
    found = read_voc(replace(config, voc_json=str(path)), 'eval')
    assert (found.classes, found.category_ids) == (('background', 'cat', 'dog'), (0, 5, 6))
    assert f'{path} has no category dog, so there are 0 objects of it' in found.notes
    assert [record.image_id for record in found.records] == [7]


def test_voc_json_with_an_image_twice(tmp_path):
    config = write_voc(tmp_path)
    write_voc(tmp_path, split='val')
    images = [dict(id=i, file_name='1.jpg') for i in (7, 8)]
    notes = [dict(id=1, image_id=7, category_id=5, bbox=[20, 10, 30, 30])]
    content = dict(images=images, categories=[dict(id=5, name='cat')], annotations=notes)
    path = write_text(tmp_path / 'truth.json', json.dumps(content))
    (problem,) = read_voc(replace(config, voc_json=str(path)), 'eval').problems
    assert (problem.what, problem.images) == (f'{path} has 2 images called val/1.jpg', 1)
