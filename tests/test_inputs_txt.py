"TXT files as tools and people write them: each input with its boxes, classes or sentence"
import os
from dataclasses import replace
from pathlib import Path

import pytest
from make_sets import BOX, write_image, write_text
from ssd_nb.data import DataConfig
from ssd_nb.plumbing.formats import SOURCES, list_source_files
from ssd_nb.plumbing.images import is_image
from ssd_nb.plumbing.options import UserError

EDGES = [float(v) for v in BOX] # of 20,10,50,40
ONE = '20,10,50,40,1'


def make_set(folder, content, images=('1.jpg',), classes='cat,dog', encoding='utf-8', **options):
    "A TXT file and images beside it; answers the configuration"
    for name in images: (write_image if is_image(name) else write_bare)(Path(folder) / name)
    path = Path(folder) / 'list.txt'
    path.write_bytes(content) if isinstance(content, bytes) else write_text(path, content, encoding)
    return DataConfig('other', classes=classes, anno_path=str(path), **options)


def write_bare(path):
    "An image whose name has no ending"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path.with_name('temporary.png')).rename(path)


def read_txt(config, split='train'): return SOURCES['other'](config).read(split)


def refused(config, split='train'):
    with pytest.raises(UserError) as caught: read_txt(config, split)
    return str(caught.value)


def boxes_of(found): return [record.boxes.tolist() for record in found.records]


# --- rows --------------------------------------------------------------------------------------------------

NAMES = ['1.jpg', '1.JPEG', '1.jfif', '1.webp', '1.tif', '1.BMP', '1.png', '1.pgm', 'my cat.jpg', 'a  b.jpg',
         'a#1.jpg',
         '50%.jpg', '图片 1.jpg', 'Bär.jpg', "it's.jpg", "'tis.jpg", 'a,b.jpg', 'a;b.jpg', 'photo.jpg.png',
         'a.jpg copy.jpg',
         'deep/er/1.jpg', 'my images/1.jpg', '#1.jpg', '0001.jpg', 'v1.2 (3).jpg', 'cat[1].jpg', '-1.jpg']


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('quote', ['', '"'])
def test_names_of_images(name, quote, tmp_path):
    found = read_txt(make_set(tmp_path, f'{quote}{name}{quote} {ONE}\n', [name]))
    (record,) = found.records
    assert (record.image, record.file_name, record.image_id) == (tmp_path / name, name, 1)
    assert (boxes_of(found), record.labels.tolist(), found.problems, found.notes) == ([[EDGES]], [1], [], ())


@pytest.mark.parametrize('name', ['image', 'images/0001', 'my image', 'a.b.c', 'img_7'])
def test_names_without_ending(name, tmp_path):
    found = read_txt(make_set(tmp_path, f'{name} {ONE} 0,0,9,9,2\n', [name]))
    assert [record.file_name for record in found.records] == [name]
    assert boxes_of(found) == [[EDGES, [0, 0, 9, 9]]] and not found.problems


TWO = [EDGES, [5., 6., 7., 8.]]
OBJECTS = { # text after the path; boxes y1 x1 y2 x2
    'a blank': (f' {ONE} 6,5,8,7,2', TWO), 'tabs': (f'\t{ONE}\t6,5,8,7,2', TWO),
    'many blanks': (f'   {ONE}    6,5,8,7,2  ', TWO),
    'a comma between': (f' {ONE},6,5,8,7,2', TWO), 'comma and blank between': (f' {ONE}, 6,5,8,7,2', TWO),
    'semicolons': (f' {ONE};6,5,8,7,2', TWO), 'bars': (f'|{ONE}|6,5,8,7,2', TWO),
    'a comma first': (f',{ONE}', [EDGES]),
    'a comma last': (f' {ONE}, 6,5,8,7,2,', TWO), 'blanks after commas': (' 20, 10, 50, 40, 1 6, 5, 8, 7, 2',
                                                                          TWO),
    'numbers between blanks': (' 20 10 50 40 1 6 5 8 7 2', TWO),
    'numbers between tabs': ('\t20\t10\t50\t40\t1', [EDGES]),
    'floats': (' 20.0,10.0,50.0,40.0,1.0', [EDGES]),
    'half pixels': (' 20.5,10.5,50,40,1', [[10.5, 20.5, 40, 50]]),
    'exponents': (' 2e1,1e1,5e1,4e1,1', [EDGES]), 'a plus': (' +20,+10,50,40,1', [EDGES]),
    'below 0': (' -5,-6,50,40,1', [[-6, -5, 40, 50]]), 'nothing': ('', []), 'only commas': (',,,,,', []),
    'a class name': (' 20,10,50,40,cat', [EDGES]), 'two class names': (' 20,10,50,40,cat 6,5,8,7,dog', TWO),
}


@pytest.mark.parametrize('name', OBJECTS)
def test_objects_of_a_row(name, tmp_path):
    text, wanted = OBJECTS[name]
    found = read_txt(make_set(tmp_path, f'1.jpg{text}\n'))
    assert boxes_of(found) == [wanted] and not found.problems
    assert found.records[0].labels.tolist() == [1, 2][:len(wanted)]


def test_class_names_with_blanks(tmp_path):
    config = make_set(tmp_path, '1.jpg 20,10,50,40,traffic light 6,5,8,7,cat\n', classes='cat,traffic light')
    found = read_txt(config)
    assert (boxes_of(found), found.records[0].labels.tolist(), found.problems) == ([TWO], [2, 1], [])
    found = read_txt(replace(config, classes=()))
    assert found.classes == ('background', 'cat', 'traffic light')
    assert found.records[0].labels.tolist() == [2, 1]


FAULTS = { # an object, what is said
    'four numbers': ('20,10,50,40', '"20,10,50,40" has 4 numbers where xmin,ymin,xmax,ymax,class are wanted'),
    'six numbers': ('20,10,50,40,1,1', '"20,10,50,40,1,1" has 6 numbers where'),
    'four numbers between blanks': ('20 10 50 40', '"20,10,50,40" has 4 numbers where'),
    'not a number': ('nan,10,50,40,1', '"nan,10,50,40,1" is not five numbers'),
    'infinite': ('20,10,inf,40,1', '"20,10,inf,40,1" is not five numbers'),
    'text': ('20,ten,50,40,1', '"20,ten,50,40,1" is not five numbers'),
    'beyond the last': ('20,10,50,40,3', 'the class of "20,10,50,40,3" is not a number from 1 to 2'),
    'below': ('20,10,50,40,-1', 'the class of "20,10,50,40,-1" is not a number from 1 to 2'),
    'an infinite class': ('20,10,50,40,1e400', 'the class of "20,10,50,40,1e400" is not a number from 1 to '
                                               '2'),
    'a huge class': ('20,10,50,40,99999999999999999999',
                     'the class of "20,10,50,40,99999999999999999999" is not'),
    'half a class': ('20,10,50,40,1.5', 'the class of "20,10,50,40,1.5" is not a number from 1 to 2'),
}


@pytest.mark.parametrize('name', FAULTS)
def test_faulty_objects_cost_only_themselves(name, tmp_path):
    text, says = FAULTS[name]
    found = read_txt(make_set(tmp_path, f'1.jpg {ONE}\n2.jpg {text}\n', ['1.jpg', '2.jpg']))
    assert boxes_of(found) == [[EDGES], []]
    (problem,) = found.problems
    assert (problem.line, problem.bad, problem.count) == (2, True, 1) and problem.what.startswith(says)


@pytest.mark.parametrize('row', ['10,20,80,90,1', '10,20,80,90,1 1,2,3,4,1', '20 10 50 40 1', '7'])
def test_a_row_without_path(row, tmp_path):
    found = read_txt(make_set(tmp_path, f'1.jpg {ONE}\n{row}\n'))
    assert len(found.records) == 1
    assert [(p.line, p.what, p.images) for p in found.problems] == [
        (2, 'the row does not begin with the path of an image', 1)]


@pytest.mark.parametrize('first', ['# path xmin,ymin,xmax,ymax,class', 'path xmin,ymin,xmax,ymax,class',
                                   '# ours'])
def test_comments_and_empty_rows(first, tmp_path):
    text = f'{first}\n\n   \n  # more\n#2.jpg {ONE}\n1.jpg {ONE}\n#3.jpg {ONE}\n'
    found = read_txt(make_set(tmp_path, text, ['1.jpg', '2.jpg', '#3.jpg']))
    assert [(r.file_name, r.image_id, r.line) for r in found.records] == [('1.jpg', 6, 6), ('#3.jpg', 7, 7)]
    assert not found.problems


@pytest.mark.parametrize('name', ['utf-8', 'utf-8-sig', 'utf-16'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_text(name, end, tmp_path):
    rows = f'Bär 熊.jpg {ONE}\n2.jpg\n'.replace('\n', end)
    found = read_txt(make_set(tmp_path, rows, ['Bär 熊.jpg', '2.jpg'], encoding=name))
    assert [(r.file_name, r.line) for r in found.records] == [('Bär 熊.jpg', 1), ('2.jpg', 2)]
    assert boxes_of(found) == [[EDGES], []]


@pytest.mark.parametrize('content', ['Bär.jpg 1,2,3,4,1'.encode('latin-1'), '熊.jpg 1,2,3,4,1'.encode('gbk'),
                                     b'\xff\xd8\xff\xe0',
                                     '1.jpg'.encode('utf-16-le')])
def test_no_text(content, tmp_path):
    error = refused(make_set(tmp_path, content))
    assert error == (f'{tmp_path}/list.txt is not a text file in UTF-8: check that it is the annotation '
                     f'file, and save it '
                     'in UTF-8.')


# --- paths -------------------------------------------------------------------------------------------------

def test_absolute_paths(tmp_path):
    config = make_set(tmp_path, f'{tmp_path}/my set/1.jpg {ONE}\n', ['my set/1.jpg'])
    (record,) = read_txt(config).records
    assert (record.image, record.file_name) == (tmp_path / 'my set/1.jpg', f'{tmp_path}/my set/1.jpg')
    assert record.boxes.tolist() == [EDGES]


@pytest.mark.parametrize('path', ['/home/me/set/a/1.jpg', r'C:\me\set\a\1.jpg', r'a\1.jpg', './a/1.jpg',
                                  'set/a/1.jpg'])
def test_paths_of_another_computer(path, tmp_path):
    found = read_txt(make_set(tmp_path, f'{path} {ONE}\n', ['a/1.jpg', 'b/1.jpg']))
    assert [(r.image, r.file_name) for r in found.records] == [(tmp_path / 'a/1.jpg', path)]
    assert not found.problems


@pytest.mark.parametrize('path', ['/etc/secret.jpg', '../secret.jpg', 'a/../../secret.jpg', r'..\secret.jpg'])
def test_paths_that_leave_the_folder(path, tmp_path):
    write_image(tmp_path / 'secret.jpg')
    found = read_txt(make_set(tmp_path / 'set', f'1.jpg {ONE}\n{path} {ONE}\n'))
    assert [r.file_name for r in found.records] == ['1.jpg']
    (problem,) = found.problems
    assert 'leaves the folder' in problem.what
    assert problem.what.endswith('so pass the folder of the images as --image_dir')
    assert (problem.line, problem.images, problem.count) == (2, 1, 1)


def test_image_dir(tmp_path):
    write_image(tmp_path / 'pictures/1.jpg')
    found = read_txt(make_set(tmp_path / 'lists', f'1.jpg {ONE}\n', [], image_dir=str(tmp_path / 'pictures')))
    assert [r.image for r in found.records] == [tmp_path / 'pictures/1.jpg']


def test_image_that_is_not_there(tmp_path):
    (record,) = read_txt(make_set(tmp_path, f'none.jpg {ONE}\n')).records
    assert record.image == tmp_path / 'none.jpg' # opening it will say so


def test_one_image_in_two_rows(tmp_path):
    found = read_txt(make_set(tmp_path, f'1.jpg {ONE}\n2.jpg {ONE}\n./1.jpg 6,5,8,7,2\n', ['1.jpg', '2.jpg']))
    assert [(r.file_name, r.image_id) for r in found.records] == [('1.jpg', 1), ('2.jpg', 2)]
    assert boxes_of(found) == [TWO, [EDGES]] and found.records[0].lines.tolist() == [1, 3]
    assert found.notes == (f'{tmp_path}/list.txt: 1 row names the image of another row, and the objects '
                           f'are added, '
                           'the first in line 3',)


# --- classes -----------------------------------------------------------------------------------------------

def test_classes_from_0_are_refused_as_a_whole(tmp_path):
    text = '1.jpg 20,10,50,40,0\n2.jpg 20,10,50,40,1\n3.jpg 1,2,3,4,0 5,6,7,8,0.0\n'
    config = make_set(tmp_path, text, ['1.jpg', '2.jpg', '3.jpg'])
    error = refused(config)
    assert error == (f'{tmp_path}/list.txt: class numbers begin at 1 here, and 3 objects have 0, the first '
                     f'in line 1: if '
                     'yours begin at 0, pass --first_class=0.')
    assert refused(replace(config, on_bad='skip')) == error and refused(config, 'eval') == error
    assert refused(replace(config, classes=())) == error
    found = read_txt(replace(config, first_class=0))
    assert [r.labels.tolist() for r in found.records] == [[1], [2], [1, 1]] and not found.problems
    assert read_txt(replace(config, first_class=0, classes=())).classes == ('background', 'class 0',
                                                                            'class 1')


def test_numbers_from_1_where_0_is_said(tmp_path):
    found = read_txt(make_set(tmp_path, '1.jpg 20,10,50,40,1 1,2,3,4,2\n', first_class=0))
    assert [p.what for p in found.problems] == ['the class of "1,2,3,4,2" is not a number from 0 to 1']
    assert found.notes[0].endswith('no object has the class 0, and 1 object has 2, where the last of 2 names '
                                   'is 1: if your numbers begin at 1, leave out --first_class=0')
    found = read_txt(make_set(tmp_path, '1.jpg 20,10,50,40,1\n', first_class=0))
    assert 'no object has the class 0, though --first_class=0 says' in found.notes[0]


def test_numbers_one_too_high(tmp_path):
    found = read_txt(make_set(tmp_path, '1.jpg 20,10,50,40,2 1,2,3,4,3\n'))
    assert found.notes[0].endswith('no object has the class 1, and 1 object has 3, where the last of 2 names '
                                   'is 2: if your numbers begin at 2, subtract 1 from each')
    assert not read_txt(make_set(tmp_path, '1.jpg 20,10,50,40,1 1,2,3,4,3\n')).notes


def test_classes_by_number(tmp_path):
    found = read_txt(make_set(tmp_path, '1.jpg 1,2,3,4,3\n', classes=()))
    assert (found.classes, found.category_ids) == (('background', 'class 1', 'class 2', 'class 3'),
                                                   (0, 1, 2, 3))


def test_numbers_and_names_together(tmp_path):
    found = read_txt(make_set(tmp_path, '1.jpg 1,2,3,4,cat 20,10,50,40,1\n', classes=()))
    assert boxes_of(found) == [[EDGES]] and [(p.bad, p.what) for p in found.problems] == [
        (True, 'the class cat is a name, and others are numbers: give the names as --classes')]


def test_a_class_number_that_cannot_be(tmp_path):
    error = refused(make_set(tmp_path, '1.jpg 1,2,3,4,99999999999999999999\n', classes=()))
    assert 'there cannot be so many: give the names as --classes.' in error


def test_evaluation_has_the_classes_of_training(tmp_path):
    config = make_set(tmp_path, '1.jpg 1,2,3,4,2\n', classes=())
    other = write_text(tmp_path / 'eval.txt', '1.jpg 1,2,3,4,1 20,10,50,40,3\n')
    found = read_txt(replace(config, eval_anno_path=str(other)), 'eval')
    assert found.classes == ('background', 'class 1', 'class 2') and boxes_of(found) == [[[2, 1, 4, 3]]]
    assert [(p.bad, p.what) for p in found.problems] == [
        (False, 'the class 3 is not one of the training images, which end with 2')]
    assert list_source_files(replace(config, eval_anno_path=str(other)), 'eval') == [other]


@pytest.mark.parametrize('label, wanted', [('cat', 1), ('dog', 2), (' dog', 2)])
def test_classes_by_name(label, wanted, tmp_path):
    found = read_txt(make_set(tmp_path, f'1.jpg,20,10,50,40,{label}\n'))
    assert (found.records[0].labels.tolist(), boxes_of(found)) == ([wanted], [[EDGES]])


def test_names_that_are_not_asked_for(tmp_path):
    found = read_txt(make_set(tmp_path, '1.jpg 20,10,50,40,cat 1,2,3,4,moon 1,2,3,4,background\n'))
    assert boxes_of(found) == [[EDGES]] and [p.bad for p in found.problems] == [False, False]
    assert found.problems[0].what == '1 object is of the class moon, which was not asked for'
    assert found.problems[1].what.startswith('1 object is called background, which every place without')


def test_why_nothing_is_left(tmp_path):
    config = make_set(tmp_path, '1.jpg\n')
    says = 'no row has an object after the path of its image'
    assert SOURCES['other'](config).explain_empty(read_txt(config)) == says
    config = make_set(tmp_path, '1.jpg 1,2,3,4,9\n')
    assert 'is not a number from 1 to 2' in SOURCES['other'](config).explain_empty(read_txt(config))


# --- tables ------------------------------------------------------------------------------------------------

TABLES = { # content, classes
    'keras-retinanet': ('1.jpg,20,10,50,40,cat\n1.jpg,5,6,7,8,dog\n2.jpg,,,,,\n', ('cat', 'dog')),
    'TensorFlow, Roboflow': ('filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,80,60,cat,20,10,50,40\n'
                             '1.jpg,80,60,dog,5,6,7,8\n2.jpg,80,60,,,,,\n', ('cat', 'dog')),
    'another order': ('xmin;ymin;xmax;ymax;label;image\n'
                      '20;10;50;40;cat;1.jpg\n5;6;7;8;dog;1.jpg\n;;;;;2.jpg\n',
                      ('cat', 'dog')),
    'tabs': ('image_path\tx1\ty1\tx2\ty2\tclass_name\n1.jpg\t20\t10\t50\t40\tcat\n'
             '1.jpg\t5\t6\t7\t8\tdog\n2.jpg\n', ('cat', 'dog')),
    'quotes': ('"filename","xmin","ymin","xmax","ymax","class"\n"1.jpg","20","10","50","40","cat, big"\n'
               '"1.jpg","5","6","7","8","dog"\n"2.jpg","","","","",""\n', ('cat, big', 'dog')),
    'numbers': ('filename,xmin,ymin,xmax,ymax,class\n1.jpg,20,10,50,40,1\n1.jpg,5,6,7,8,2\n2.jpg,,,,,\n',
                ('class 1', 'class 2')),
}


@pytest.mark.parametrize('name', TABLES)
def test_tables(name, tmp_path):
    content, classes = TABLES[name]
    found = read_txt(make_set(tmp_path, content, ['1.jpg', '2.jpg'], classes=()))
    assert [r.file_name for r in found.records] == ['1.jpg',
                                                    '2.jpg'] and found.classes == ('background', *classes)
    assert boxes_of(found) == [[EDGES, [6, 5, 8, 7]], []]
    assert found.records[0].labels.tolist() == [1, 2]
    assert (found.problems, found.notes) == ([], ())
    assert found.records[0].size == ((60, 80) if 'width' in content else (0, 0))


HEADS = {'VIA': 'filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,'
                'region_attributes',
         'no class': 'image,xmin,ymin,xmax,ymax', 'width and height': 'filename,x,y,width,height,class'}


@pytest.mark.parametrize('name', HEADS)
def test_tables_that_are_not_read(name, tmp_path):
    error = refused(make_set(tmp_path, f'{HEADS[name]}\n1.jpg,1,2,3,4,cat\n'))
    assert 'its first row is the head of a table' in error
    assert error.endswith('give its columns the names filename, xmin, ymin, xmax, ymax and class.')


def test_boxes_that_are_fractions(tmp_path):
    assert 'all its boxes lie between 0 and 1, and pixels are wanted' in refused(
        make_set(tmp_path, '1.jpg 0.25,0.16,0.5,0.6,1\n'))


def test_no_file(tmp_path):
    assert '--anno_path=none.txt: there is no file none.txt' in refused(DataConfig('other',
                                                                                   anno_path='none.txt'))
    assert '--anno_path is not given' in refused(DataConfig('other'))
    os.mkfifo(tmp_path / 'pipe.txt')
    assert 'there is no file' in refused(DataConfig('other', anno_path=str(tmp_path / 'pipe.txt')))


def test_an_empty_list(tmp_path):
    for text in ('', '\n', '# nothing\n'):
        found = read_txt(make_set(tmp_path, text))
        assert (len(found.records), found.problems) == (0, [])


def test_names_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match='holds a character that cannot be printed, so give each class one'):
        read_txt(make_set(tmp_path, '1.jpg 6,5,8,7,ca\x07t\n', ['1.jpg'], classes=()))


def test_names_that_look_alike(tmp_path):
    found = read_txt(make_set(tmp_path, '1.jpg 6,5,8,7,Cat 6,5,8,7,cat\n', ['1.jpg'], classes=()))
    assert found.notes == ('Cat and cat look alike, but are 2 classes',)
