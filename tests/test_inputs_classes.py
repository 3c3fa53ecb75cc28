"""Names and order of classes, image ids and options of a training, as users give them."""
import json
import math
import os
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from make_sets import coco_content, convert, read, write_coco

from ssd_nb.data import DataConfig
from ssd_nb.plumbing.bookkeeping import check_finite, check_same_options
from ssd_nb.plumbing.classes import (
    choose_classes, clean_name, describe_left_out, find_label, is_background, list_names, match_names,
    note_names,
    number_classes, suggest_class)
from ssd_nb.plumbing.cocoeval import fit_ground_truth, run_cocoeval, to_result_dicts, write_results
from ssd_nb.plumbing.options import OptionParser, UserError, make_field_options, replace_fields

NAMES = 'background', 'cat', 'dog', 'fox'


# ---- one rule for names

@pytest.mark.parametrize('written, name', [
    ('truck ', 'truck'), ('\ttruck\r\n', 'truck'), ('traffic  light', 'traffic light'),
    ('\u00a0cat\u3000', 'cat'),
    ('\ufeffcat', 'cat'), ('c\u200bat', 'cat'), ('cafe\u0301', 'caf\u00e9'), ('Straße', 'Straße'), ('猫', '猫'),
    ('\U0001f431', '\U0001f431'), ('$5_$10', '$5_$10'), ('<b>&amp;', '<b>&amp;'), ('"cat"', '"cat"'),
    ("o'clock", "o'clock"),
    ('a/b\\c', 'a/b\\c'), ('hot dog, mustard', 'hot dog, mustard'), (0, '0'), (-1, '-1'), (10, '10'),
    (1.5, '1.5'),
    ('010', '010'), ('1e3', '1e3'), ('no', 'no'), ('True', 'True'), ('null', 'null'), ('nan', 'nan')])
def test_name(written, name):
    assert clean_name(written) == name
    assert clean_name(name) == name # once clean, it stays so
    assert find_label(written, ('background', 'other', name)) == 2


@pytest.mark.parametrize('written, reason', [
    ('', 'is empty'), (' \t', 'is empty'), ('\u200b\ufeff', 'is empty'), (None, 'None is not'),
    (True, 'True is not'),
    (False, 'False is not'), (['cat'], "['cat'] is not"), ({'name': 'cat'}, 'is not the name'),
    ('a\0b', 'cannot be printed'), ('\x1b[31mred', 'cannot be printed'), ('\ud83d', 'cannot be printed')])
def test_no_name(written, reason):
    with pytest.raises(ValueError, match=r'class') as error: clean_name(written)
    assert reason in str(error.value)
    with pytest.raises(UserError) as error: list_names(['cat', written], 'set/data.yaml')
    said = str(error.value)
    assert said.startswith('set/data.yaml: ') and said.endswith(', so give each class one.')


@pytest.mark.parametrize('name, is_it', [
    ('background', True), ('Background', True), ('BACKGROUND', True), ('__background__', True),
    ('_background_ ', True),
    ('__ background', True), ('backgrounds', False), ('background 2', False), ('bg', False),
    ('back_ground', False)])
def test_background(name, is_it):
    assert is_background(name) == is_it
    assert (name.strip() in list_names([name, 'cat'], 'f')) != is_it
    assert find_label(name, ('background', 'cat')) == 0


def test_notes_on_a_list():
    notes = note_names(['car', 'Car', 'car ', 'traffic light', 'traffic-light', 'bus', 'background',
                        'BACKGROUND'])
    assert notes == ['2 classes are called car, they are one class',
                     'car and Car look alike, but are 2 classes',
                     'traffic light and traffic-light look alike, but are 2 classes']
    assert note_names(['a', 'b']) == []


@pytest.mark.parametrize('name, count, said', [
    ('background', 1,
     '1 object is called background, which every place without an object is, so it is left out'),
    ('Background', 1234, '1,234 objects are called Background, which every place without an object is, '
                         'so they are left out'),
    ('fox', 2, '2 objects are of the class fox, which was not asked for')])
def test_left_out_is_said(name, count, said): assert describe_left_out(name, count) == said


@pytest.mark.parametrize('asked, answer', [
    ('ctas', 'did you mean cats?'), ('Cats', 'did you mean cats?'), ('stop_sign', 'did you mean stop sign?'),
    ('9', 'give some of cats, stop sign, palm, tree.'),
    ('tree', 'write names with a comma into a file, one a line')])
def test_misspelt_class(asked, answer):
    names = ['cats', 'stop sign', 'palm, tree']
    with pytest.raises(UserError) as error:
        choose_classes(SimpleNamespace(classes=('background', 'cats', asked)), names, 'set.json', 'category')
    assert str(error.value).startswith(f'--classes: {asked} is not a category of set.json, which has cats, ')
    assert answer in str(error.value) and str(error.value)[-1] in '.?'


def test_many_classes_are_shortened():
    said = suggest_class('%', [f'{i} things' for i in range(100)])
    assert said.endswith('19 things and 80 more.') and len(said) < 300


# ---- --classes

@pytest.mark.parametrize('given, classes', [
    ('cat,dog', ('cat', 'dog')), (' cat , dog ,', ('cat', 'dog')), ('background,dog,cat', ('dog', 'cat')),
    ('cat', ('cat',)), ('$1,<b>', ('$1', '<b>')), (('dog', 'cat'), ('dog', 'cat')), ('1,2', ('1', '2')),
    ('cafe\u0301', ('caf\u00e9',)), ('hot  dog', ('hot dog',)), ('', ())])
def test_classes_as_text(given, classes):
    assert DataConfig(classes=given).classes == (('background', *classes) if classes else ())


@pytest.mark.parametrize('text, classes', [
    ('cat\ndog\n', ('cat', 'dog')), ('\ufeffcat\r\ndog\r\n', ('cat', 'dog')), ('cat\rdog', ('cat', 'dog')),
    ('palm, tree\n\n oak \n', ('palm, tree', 'oak')), ('__background__\ncat\n', ('cat',))])
def test_classes_as_file(tmp_path, text, classes):
    path = tmp_path / 'names.txt'
    path.write_bytes(text.encode())
    assert DataConfig(classes=str(path)).classes == ('background', *classes)


@pytest.mark.parametrize('given, reason', [
    ('cat,dog,cat', 'each name once'), ('cat,cat ', 'each name once'),
    ('caf\u00e9,cafe\u0301', 'each name once'),
    ('background', 'at least one name besides background'), ('a\0b', 'cannot be printed'),
    ('\u200b', 'is empty')])
def test_classes_refused(given, reason):
    with pytest.raises(UserError) as error: DataConfig(classes=given)
    assert str(error.value).startswith('--classes') and reason in str(error.value)


# ---- classes by name

def truth_of(*categories, objects=(), images=3):
    "COCO form: categories as (id, name), objects as (image id, category id)"
    notes = [dict(image_id=i, category_id=c, bbox=[10, 10, 30, 30], area=900, iscrowd=0, id=n)
             for n, (i, c) in enumerate(objects, 1)]
    return dict(images=[dict(id=i, height=100, width=100, file_name=f'{i}.jpg')
                        for i in range(1, images + 1)],
                categories=[dict(id=i, name=n) for i, n in categories], annotations=notes)


@pytest.mark.parametrize('categories', [
    ((1, 'cat'), (2, 'dog'), (3, 'fox')), ((3, 'cat'), (2, 'dog'), (1, 'fox')),
    ((7, 'fox'), (-2, 'cat '), (0, 'dog')),
    ((9, 'background'), (1, 'dog'), (5, 'owl'), (2, 'fox'), (4, 'cat')),
    ((1, 'cat'), (6, 'cat'), (2, 'dog'), (3, 'fox'))])
def test_ground_truth_goes_by_name(categories):
    objects = [(i, number) for i, (number, _) in enumerate(categories, 1)]
    truth, notes = fit_ground_truth(truth_of(*categories, objects=objects), NAMES)
    name = {c['id']: c['name'] for c in truth['categories']}
    assert [c['name'] for c in truth['categories']] == ['cat', 'dog', 'fox']
    wanted = [(i, clean_name(n)) for i, (_, n) in enumerate(categories, 1) if clean_name(n) in NAMES[1:]]
    assert [(a['image_id'], name[a['category_id']]) for a in truth['annotations']] == wanted
    lost = len(categories) - len(wanted)
    left_out = f'{lost} objects of background, owl left out, since the network was not trained for them'
    assert notes == ([left_out] if lost else [])


def test_missing_class_has_no_objects():
    truth, notes = fit_ground_truth(truth_of((1, 'cat'), (2, 'fox'), objects=[(1, 1), (2, 2)]), NAMES)
    assert {c['name']: c['id'] for c in truth['categories']} == dict(cat=1, dog=3, fox=2)
    assert notes == ['the data has no object of dog, so there is no AP for it']


def test_no_class_in_common():
    with pytest.raises(UserError) as error: fit_ground_truth(truth_of((1, 'owl'), (2, 'bat')), NAMES)
    assert str(error.value) == ('the network knows cat, dog, fox, but the data has owl, bat: '
                                'give the data that it was trained for.')


def test_numbers_of_missing_classes():
    assert number_classes(NAMES, dict(fox=90, cat=-3)) == (0, -3, 91, 90)
    assert number_classes(NAMES, dict(cat=0, dog=1, fox=2)) == (0, 0, 1, 2)
    assert match_names(NAMES, ('background', 'fox', 'owl', 'cat')) == {0: 0, 1: 3, 3: 1}


def detector_of(*names):
    "Says cat 0.9 and dog 0.8 and fox 0.7 where they are, in the order of its classes"
    scores = np.zeros((3, len(names) + 1), np.float32)
    for row, (name, score) in enumerate(dict(cat=0.9, dog=0.8, fox=0.7).items()):
        scores[row, 1 + names.index(name)] = score
    boxes = np.float32([[0.1, 0.1, 0.4, 0.4], [0.1, 0.15, 0.4, 0.4], [0.1, 0.2, 0.4, 0.4]])
    return lambda images: (np.tile(boxes, (len(images), 1, 1)), np.tile(scores, (len(images), 1, 1)))


@pytest.mark.parametrize('order', [('cat', 'dog', 'fox'), ('fox', 'dog', 'cat'), ('dog', 'fox', 'cat')])
@pytest.mark.parametrize('ids', [(1, 2, 3), (3, 1, 2), (50, -4, 7)])
def test_same_ap_in_any_order(order, ids):
    from ssd_nb.eval import evaluate
    number = dict(zip(('cat', 'dog', 'fox'), ids))
    given = truth_of(*((number[n], n) for n in order), objects=[(i, n) for i in (1, 2, 3) for n in ids])
    truth, _ = fit_ground_truth(given, ('background', *order))
    batch = dict(image=np.zeros((3, 3, 8, 8)), image_id=np.array([1, 2, 3]), shape=np.full((3, 2), 100))
    result = evaluate(detector_of(*order), [batch], truth, ('background', *order), progress=False,
                      verbose=False)
    ap = dict(zip(result.classes, result.ap))
    assert ap['cat'] == 1 and math.isclose(ap['dog'], 0.7) and math.isclose(ap['fox'], 0.4)
    assert {(e['category_id'], round(e['score'], 1)) for e in to_result_dicts(result.results, truth)} == {
        (number['cat'], 0.9), (number['dog'], 0.8), (number['fox'], 0.7)}


def test_evaluation_file_lacks_a_class(tmp_path):
    write_coco(tmp_path, coco_content(categories=('cat', 'dog', 'fox')))
    config = write_coco(tmp_path, coco_content(categories=('fox', 'cat')), 'eval')
    rows, found = read(replace(config, classes='cat,dog,fox'), 'eval')
    assert found.classes == NAMES and found.category_ids == (0, 2, 3, 1)
    assert rows[0][2] == ['fox'] # the first category of the file
    with pytest.raises(UserError, match='owl.* fox, cat'):
        read(replace(config, classes='owl,bat'), 'eval')
    with pytest.raises(UserError, match='--classes: owl is not a category of'):
        read(replace(config, classes='cat,owl'), 'train')


# ---- a checkpoint and its classes

@pytest.fixture(scope='module')
def ms():
    mindspore = pytest.importorskip('mindspore')
    from ssd_nb.plumbing.device import choose_device
    choose_device('CPU')
    return mindspore


def small_config(*names, **model):
    from ssd_nb.train import preset
    config = preset('ssd_tiny', 'CPU')
    boxes = replace(config.boxes, image_shape=(160, 160))
    return replace(config, boxes=boxes, data=replace(config.data, classes=names),
                   model=replace(config.model, num_classes=len(names) + 1, **model))


def write_network(ms, path, config, seed=1):
    "A checkpoint with random weights, also in its biases"
    from ssd_nb.plumbing.model_config import build_model
    from ssd_nb.train import save_checkpoint
    ms.set_seed(seed)
    network = build_model(config.model, config.boxes)
    random = np.random.default_rng(seed)
    for layer in network.multi_box.get_class_layers():
        layer.bias.set_data(ms.Tensor(random.normal(-1, 1, layer.bias.shape).astype(np.float32)))
    return network, save_checkpoint(network, config, 1, path)


def start_from(ms, path, config, seed=2, **options):
    "A new network and what is said about its weights"
    from ssd_nb.plumbing.model_config import build_model
    from ssd_nb.plumbing.transfer import start_weights
    ms.set_seed(seed)
    network = build_model(config.model, config.boxes)
    train = replace(config.train, pre_trained=str(path), **options)
    return network, start_weights(network, replace(config, train=train))


def list_scores(network, config): # (classes, ...) weights and biases of each class head
    for layer in network.multi_box.get_class_layers():
        for p in layer.get_parameters():
            rows = p.asnumpy().reshape(-1, config.model.num_classes, *p.shape[1:])
            yield np.moveaxis(rows, 1, 0)


@pytest.mark.parametrize('order', [('dog', 'fox', 'cat'), ('fox', 'dog', 'cat')])
@pytest.mark.parametrize('heads', ['light', 'plain'])
def test_heads_follow_the_names(ms, tmp_path, order, heads):
    from ssd_nb.ssd_heads import make_predict
    was, now = small_config('cat', 'dog', 'fox', heads=heads), small_config(*order, heads=heads)
    trained, path = write_network(ms, tmp_path / 'a.ckpt', was)
    network, notes = start_from(ms, path, now)
    assert notes[1] == 'classes: 3 of 3 are known to the checkpoint by name, in another order'
    places = [NAMES.index(name) for name in now.data.classes]
    for a, b in zip(list_scores(network, now), list_scores(trained, was)): assert (a == b[places]).all()
    if (heads, order[0]) != ('light', 'dog'): return # one of them is run, too
    images = np.random.default_rng(0).normal(0, 1, (1, 3, 160, 160)).astype(np.float32)
    boxes, scores = make_predict(network, now.boxes)(images)
    its_boxes, its_scores = make_predict(trained, was.boxes)(images)
    assert (boxes == its_boxes).all() and (scores == its_scores[..., places]).all()


@pytest.mark.parametrize('name', ['ssd300', 'ssd_vgg16', 'ssd_mobilenet_v1_fpn'])
def test_every_model_has_class_channels(ms, name):
    from ssd_nb.plumbing.model_config import build_model
    from ssd_nb.plumbing.transfer import _match_classes
    from ssd_nb.train import preset
    config = preset(name, 'CPU')
    config = replace(config, model=replace(config.model, num_classes=4))
    network = build_model(config.model, config.boxes)
    weights = {p.name: np.arange(p.size, dtype=np.float32).reshape(p.shape)
               for layer in network.multi_box.get_class_layers() for p in layer.get_parameters()}
    before = {key: a.reshape(-1, 4, *a.shape[1:]).copy() for key, a in weights.items()}
    new = 'background', 'fox', 'owl', 'cat'
    said = _match_classes(network, weights, new, NAMES, 'x.ckpt')
    assert said == ('classes: 2 of 3 are known to the checkpoint by name (fox, cat); owl begin new; '
                    'dog are not used')
    for key, old in before.items():
        rows, kept = weights[key].reshape(old.shape), [0, 3, 1]
        assert (rows[:, [0, 1, 3]] == old[:, kept]).all()
        assert not (rows[:, 2] == old[:, 2]).all()


def test_shared_classes_keep_their_channels(ms, tmp_path):
    was, now = small_config('cat', 'dog', 'fox'), small_config('owl', 'fox', 'bat', 'cat', 'eel')
    trained, path = write_network(ms, tmp_path / 'a.ckpt', was)
    fresh, _ = write_network(ms, tmp_path / 'b.ckpt', now, seed=2)
    network, notes = start_from(ms, path, now)
    assert notes[1] == ('classes: 2 of 5 are known to the checkpoint by name (fox, cat); '
                        'owl, bat, eel begin new; dog are not used')
    for a, b in zip(list_scores(network, now), list_scores(trained, was)):
        assert (a[[0, 2, 4]] == b[[0, 3, 1]]).all()
    for a, b in zip(network.get_parameters(), trained.get_parameters()):
        if 'multi_cls_layers' not in a.name: assert (a.asnumpy() == b.asnumpy()).all()


def test_filter_weight_keeps_its_meaning(ms, tmp_path):
    was, now = small_config('cat', 'dog', 'fox'), small_config('dog', 'fox', 'cat')
    trained, path = write_network(ms, tmp_path / 'a.ckpt', was)
    network, notes = start_from(ms, path, now, filter_weight=True)
    assert len(notes) == 1 and 'left as they were: multi_box' in notes[0]
    for a, b in zip(list_scores(network, now), list_scores(trained, was)): assert not (a[1:] == b[1:]).all()


def test_no_shared_class_is_refused(ms, tmp_path):
    _, path = write_network(ms, tmp_path / 'a.ckpt', small_config('cat', 'dog', 'fox'))
    with pytest.raises(UserError) as error: start_from(ms, path, small_config('owl', 'bat', 'eel'))
    assert str(error.value).endswith('a.ckpt knows cat, dog, fox, but the data has none of these classes '
                                     '(owl, bat, eel): give --filter_weight=True, so that they begin new.')


def test_published_weights_go_by_number(ms, tmp_path):
    config = small_config('cat', 'dog', 'fox')
    trained, _ = write_network(ms, tmp_path / 'a.ckpt', config)
    entries = [dict(name=p.name, data=p) for p in trained.get_parameters()]
    ms.save_checkpoint(entries, str(tmp_path / 'zoo.ckpt'))
    network, notes = start_from(ms, tmp_path / 'zoo.ckpt', small_config('dog', 'cat', 'fox'))
    assert len(notes) == 1
    for a, b in zip(network.get_parameters(),
                    trained.get_parameters()): assert (a.asnumpy() == b.asnumpy()).all()


@pytest.fixture(scope='module')
def evaluation(ms, tmp_path_factory):
    "A checkpoint of cat, dog and fox with random weights, and a data set with one of each"
    folder = tmp_path_factory.mktemp('evaluation')
    names = '1.jpg', '2.jpg', '3.jpg'
    content = coco_content(names, ('cat', 'dog', 'fox'))
    for i, note in enumerate(content['annotations'], 1): note['category_id'] = i
    for number, image in zip((-7, 2**53, 12), content['images']): image['id'] = number
    for number, note in zip((-7, 2**53, 12), content['annotations']): note['image_id'] = number
    data = write_coco(folder, content, 'eval', names)
    config = small_config('cat', 'dog', 'fox')
    config = replace(config, data=replace(data, classes='cat,dog,fox', num_parallel_workers=1))
    write_network(ms, folder / 'a.ckpt', config)
    return folder, content


def found_by_name(folder, content):
    "What detections.json says of each image and class"
    name = {c['id']: c['name'] for c in content['categories']}
    entries = json.loads((folder / 'detections.json').read_text())
    return {(e['image_id'], e['file_name'], name.get(e['category_id']), *e['bbox'],
             e['score']) for e in entries}


def reorder(content, *categories):
    "The same objects with other numbers; a class that is not listed loses its objects"
    name = {c['id']: c['name'] for c in content['categories']}
    number = {n: i for i, n in categories}
    notes = [n | dict(category_id=number[name[n['category_id']]]) for n in content['annotations']
             if name[n['category_id']] in number]
    return content | dict(annotations=notes, categories=[dict(id=i, name=n) for i, n in categories])


def test_evaluation_by_name(evaluation, script_here, tmp_path):
    folder, content = evaluation
    annotations = folder / 'annotations/instances_eval.json'

    def run(name, *options):
        said = script_here('eval.py', '--run_platform=CPU', f'--checkpoint_path={folder}/a.ckpt',
                           '--min_score=0.05',
                           f'--mindrecord_dir={tmp_path}/{name}', f'--output_dir={tmp_path}/{name}_out',
                           *options)
        assert said.code == 0, said.err
        return said.out, found_by_name(tmp_path / f'{name}_out', json.loads(annotations.read_text()))

    first, found = run('first')
    assert {i for i, *_ in found} == {-7, 12, 2**53} and {name for _, _, name, *_ in found} == set(NAMES[1:])
    assert {(i, os.path.basename(file)) for i, file, *_ in found} == {(-7, '1.jpg'), (2**53, '2.jpg'),
    (12, '3.jpg')}
    table = first[first.index('mAP:'):first.index('metrics.txt')]
    second, again = run('second', '--classes=fox,cat,dog')
    assert again == found and table in second
    annotations.write_text(json.dumps(reorder(content, (1, 'owl'), (9, 'fox'), (3, 'cat'))))
    third, again = run('third')
    assert 'the data has no object of dog, so there is no AP for it.' in third
    assert 'dog          0      -      -' in third
    assert {row for row in again if row[2]} == {row for row in found if row[2] != 'dog'}
    annotations.write_text(json.dumps(content))


@pytest.mark.parametrize('classes, said', [
    ('cat,owl',
     '--classes: owl is new to {0}/a.ckpt, which knows cat, dog, fox: leave it out, or train further'),
    ('cat,dgo', '--classes: dgo is new to {0}/a.ckpt, which knows cat, dog, fox: did you mean dog?'),
    ('owl,bat', '--classes: owl, bat are new to {0}/a.ckpt, which knows cat, dog, fox: leave them out')])
def test_evaluation_for_unknown_classes(evaluation, script_here, tmp_path, classes, said):
    folder, _ = evaluation
    done = script_here('eval.py', '--run_platform=CPU', f'--checkpoint_path={folder}/a.ckpt',
                       f'--classes={classes}',
                       f'--mindrecord_dir={tmp_path}/record')
    assert done.code == 2 and said.format(folder) in done.err and not (tmp_path / 'record').exists()


@pytest.mark.parametrize('categories', [('fox', 'cat', 'dog'), ('cat', 'fox'), ('cat', 'dog', 'fox', 'owl')])
def test_records_that_were_made_before(tmp_path, categories):
    from ssd_nb.plumbing.preparation import choose_records
    from ssd_nb.plumbing.records import load_ground_truth
    data = write_coco(tmp_path, coco_content(categories=categories), 'eval')
    convert(data, 'eval') # as create_data does it, without --classes
    chosen = choose_records(replace(data, classes='cat,dog,fox'))
    truth, _ = fit_ground_truth(load_ground_truth(chosen, 'eval'), NAMES)
    name = {c['id']: c['name'] for c in truth['categories']}
    assert [name[a['category_id']] for a in truth['annotations']] == [categories[0]]
    others = {n: i for i, n in enumerate(categories, 1) if n != 'owl'}
    assert {name[i]: i for i in name} == {'dog': 3} | others


@pytest.mark.parametrize('known, dataset, asked, classes, counted', [
    ('cat,dog,fox', 'coco', None, 'cat,dog,fox', 'cat,dog,fox'), # the checkpoint's
    ('cat,dog,fox', 'voc', 'fox,cat', 'cat,dog,fox', 'cat,fox'),
    ('cat,dog,fox', 'other', 'fox,owl', 'fox,owl', 'cat,dog,fox'), # numbers of a TXT file in this order
    ('', 'yolo', 'owl,bat', 'owl,bat', '')]) # published: by number
def test_choice_of_classes(known, dataset, asked, classes, counted):
    from ssd_nb.plumbing.commands import _choose_data
    config = small_config()
    config = replace(config, data=replace(config.data, dataset=dataset, classes=known))
    given = SimpleNamespace(checkpoint_path='x.ckpt', **(dict(classes=asked) if asked else {}))
    data, names = _choose_data(config, given)
    assert (','.join(data.classes[1:]), ','.join(names[1:])) == (classes, counted)


def test_published_checkpoint_of_80_own_classes():
    from ssd_nb.plumbing.coco import COCO_CLASSES
    from ssd_nb.plumbing.commands import _choose_data
    config, own = small_config(), [f'part {i}' for i in range(80)]
    config = replace(config, data=replace(config.data, classes=COCO_CLASSES))
    given = lambda names: SimpleNamespace(checkpoint_path='x.ckpt', classes=names)
    assert _choose_data(config, given(own))[1] == () # by number
    assert _choose_data(config, given('dog,person'))[1] == ('background', 'person', 'dog')
    with pytest.raises(UserError, match='part 0 is new to x.ckpt'): _choose_data(config, given(own[:1]))


def test_training_measures_by_name(ms, tmp_path, capsys):
    from ssd_nb.eval import make_evaluate
    from ssd_nb.plumbing.records import make_mindrecord
    write_coco(tmp_path, coco_content(categories=('cat', 'dog', 'fox')))
    data = write_coco(tmp_path, coco_content(categories=('cat', 'fox')), 'eval')
    make_mindrecord(data, 'train')
    config = small_config('cat', 'dog', 'fox')
    network, _ = write_network(ms, tmp_path / 'a.ckpt', config)
    measured = make_evaluate(replace(data, num_parallel_workers=1), config.boxes, 1)(network)
    assert 0 <= measured <= 1
    said = capsys.readouterr().out
    assert 'evaluation: the data has no object of dog, fox, so there is no AP for it' in said


def test_resume_with_another_order():
    was, now = small_config('cat', 'dog'), small_config('dog', 'cat')
    with pytest.raises(UserError) as error: check_same_options(was, now, 'run/last.ckpt')
    assert str(error.value) == (
        '--resume: run/last.ckpt was trained with --classes=background,cat,dog, not background,dog,cat, and '
        "their order is that of the network's scores: give the same options, or begin another training from "
        'it with --pre_trained.')


# ---- ids of images

IDS = [(1, 2, 3), (-5, -6, -7), (0, -1, 1), (2**53, -2**53, 5), (3, 2, 1), (10**12, 7, 10**15)]

@pytest.mark.parametrize('ids', IDS)
def test_ids_stay_as_they_are(tmp_path, ids):
    truth = truth_of((4, 'cat'), objects=[(1, 4), (2, 4), (3, 4)])
    for image, number in zip(truth['images'], ids): image['id'] = number
    for note, number in zip(truth['annotations'], ids): note['image_id'] = number
    rows = np.array([[number, 10, 10, 30, 30, 0.9, 4] for number in ids])
    assert run_cocoeval(truth, rows, list(ids)).stats[0] == 1
    write_results(to_result_dicts(rows, truth), tmp_path / 'found.json')
    found = json.loads((tmp_path / 'found.json').read_text())
    assert [(e['image_id'], e['file_name']) for e in found] == list(zip(ids, ('1.jpg', '2.jpg', '3.jpg')))


@pytest.mark.parametrize('own', ['IMG_0001', '', '00012', 2**63 + 1, -2**70, 1.5, '猫.jpg'])
def test_own_ids_are_written(own):
    truth = truth_of((1, 'cat'))
    truth['images'][1]['own_id'], truth['categories'][0]['own_id'] = own, 'feline'
    rows = np.array([[1, 0, 0, 1, 1, 0.5, 1], [2, 0, 0, 1, 1, 0.5, 1]])
    found = list(to_result_dicts(rows, truth))
    assert [e['image_id'] for e in found] == [1, own]
    assert [e['category_id'] for e in found] == ['feline', 'feline']
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize('number', [-1, -5, -2**53, 0, 2**53])
def test_any_id_can_be_trained(tmp_path, number):
    from ssd_nb.data import create_dataset
    content = coco_content()
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = number
    data = replace(write_coco(tmp_path, content), num_parallel_workers=0)
    config = small_config('cat')
    batches = create_dataset(data, config.boxes, 'train', 1, seed=1,
                             epoch=1).create_tuple_iterator(num_epochs=1)
    (image, loc, label, matched), = batches
    assert image.shape == (1, 3, 160, 160) and int(matched[0]) > 0
    assert set(np.unique(label.asnumpy())) == {0, 1}


# ---- options of a training

INTS = -2**63, -1, 0, 1, 2, 2**31, 2**32, 2**63, 10**30
FLOATS = math.nan, math.inf, -math.inf, -1., 0., 1e-300, 1e-30, 1., 1e30, 1e300, -1e300
TEXTS = '', 'x', '-1', ',', 'é' * 9000
TUPLES = ((), (0,), (0, 0), (-1, 1), (math.nan, 1), (math.inf, 1), (1e300, 1e300), (1e-300, 1),
          ((),), ((), ()), ((0,),), ((math.nan,),), ((1, 2, 3),), (10**30, 10**30))
WORDS = ('', 'x', '-1', '0', '1e3', '1e400', 'nan', 'inf', '-inf', 'True', 'none', 'null', '[]', '[0]', '{}',
         '[[]]',
         '[nan]', '1' * 40, '0x10', '1,5', '½', '"', "'", '[1', '{', '&a', '*a', '%', '\\', ' ')
KINDS = {int: INTS, float: FLOATS, str: TEXTS, bool: (False, True)}
PARTS = 'boxes', 'data', 'model', 'loss', 'train', 'measure'


def get_part(name):
    from ssd_nb.eval import EvalConfig
    return EvalConfig() if name == 'measure' else getattr(small_config(), name)


def use(config):
    "What a value must survive that was accepted"
    name = type(config).__name__
    if name == 'TrainConfig':
        from ssd_nb.train import _make_rates
        assert np.isfinite(_make_rates(replace(config, epoch_size=min(config.epoch_size, 100)), 2)).all()
    if name == 'BoxConfig':
        from ssd_nb.boxes import default_boxes, grids
        if sum(rows * columns for rows, columns in grids(config)) < 1e5: default_boxes(config)
    if name == 'EvalConfig':
        from ssd_nb.eval import detect
        scores = np.float32([[0, 0.9], [0, 0.5]])
        assert len(detect(np.float32([[0, 0, 1, 1], [0, 0, 1, 1]]), scores, (9, 9), config)) <= 2


@pytest.mark.filterwarnings('error')
@pytest.mark.parametrize('part', PARTS)
def test_values_that_nobody_meant(part):
    config, refused = get_part(part), 0
    for field in fields(config):
        for value in KINDS.get(field.type, TUPLES if 'tuple' in str(field.type) else TEXTS):
            try: use(replace(config, **{field.name: value}))
            except UserError as error:
                refused += 1
                assert '\n' not in str(error) and str(error).endswith(('.', '?'))
    assert refused >= 9


@pytest.mark.parametrize('part', PARTS)
def test_words_that_nobody_meant(part):
    config, refused = get_part(part), 0
    parser = OptionParser('test', 'a test')
    parser.add(make_field_options(config))
    for field in fields(config):
        for word in WORDS:
            try: given = replace_fields(config, parser.parse([f'--{field.name}={word}']))
            except UserError as error:
                refused += 1
                assert '\n' not in str(error)
            else: assert type(given) is type(config)
    assert refused >= len(fields(config)) # free text takes most of them


@pytest.mark.parametrize('option, value', [
    ('seed', -1), ('seed', 2**32), ('lr', -0.1), ('lr', 0.), ('lr', math.nan), ('lr', math.inf), ('lr', 1e38),
    ('batch_size', 0), ('batch_size', 10**9), ('epoch_size', 0), ('epoch_size', 10**7), ('device_id', -1),
    ('warmup_epochs', -1), ('momentum', 1.), ('weight_decay', math.nan), ('clip_norm', math.inf),
    ('accumulate', 0),
    ('loss_scale', 0.), ('ema_decay', 1.)])
def test_training_option_is_refused(option, value):
    from ssd_nb.train import TrainConfig
    with pytest.raises(UserError) as error: TrainConfig('CPU', **{option: value})
    assert str(error.value).startswith(f'--{option}={value} is not possible: give ')


@pytest.mark.parametrize('word', ['1e3', '1.0', 'one', '', '-1', '4294967296'])
def test_seed_in_words(word):
    from ssd_nb.train import TrainConfig
    parser = OptionParser('test', 'a test')
    parser.add(make_field_options(TrainConfig('CPU')))
    with pytest.raises(UserError, match=r'--seed=.* is not possible: give a whole number'):
        replace_fields(TrainConfig('CPU'), parser.parse([f'--seed={word}']))


@pytest.mark.parametrize('seed', [0, 1, 2**31, 2**32 - 1])
def test_seed_is_accepted_by_all(ms, seed):
    from ssd_nb.data import order_images
    from ssd_nb.train import TrainConfig
    ms.set_seed(TrainConfig('CPU', seed=seed).seed)
    assert sorted(order_images(5, True, seed, 1, 0, 1)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('images, batch, epochs, warmup, notes', [
    (6, 4, 3, 1, ['each epoch takes 4 of the 6 images, other ones each time, since 2 fill no step']),
    (6, 3, 3, 3, []),
    (8, 4, 3, 5, ['--warmup_epochs=5 is more than --epoch_size=3, so the learning rate never reaches '
                  '--lr=0.05']),
    (2001, 2, 9, 0,
     ['each epoch takes 2,000 of the 2,001 images, other ones each time, since 1 fill no step'])])
def test_plan(images, batch, epochs, warmup, notes):
    from ssd_nb.plumbing.preparation import describe_plan
    from ssd_nb.train import TrainConfig
    options = TrainConfig('CPU', batch_size=batch, epoch_size=epochs, warmup_epochs=warmup)
    assert describe_plan(options, images, images // batch) == notes


@pytest.mark.parametrize('option, was, now, reason', [
    ('batch_size', 4, 2, ', which decides the images of every step'),
    ('epoch_size', 3, 4, ', over which its learning rate falls to the end'), ('lr', 0.1, 0.2, '')])
def test_resume_with_other_options(option, was, now, reason):
    start = small_config('cat')
    pair = (replace(start, train=replace(start.train, **{option: value})) for value in (was, now))
    with pytest.raises(UserError) as error: check_same_options(*pair, 'last.ckpt')
    said = f'--resume: last.ckpt was trained with --{option}={was}, not {now}{reason}: give'
    assert str(error.value).startswith(said)


@pytest.mark.parametrize('loss', [math.nan, math.inf, -math.inf, 1.2e14, 1e30])
def test_exploding_loss(loss):
    with pytest.raises(UserError,
                       match=r'the loss is .* at step 2 of epoch 1: give a smaller --lr \(it is 1'):
        check_finite(loss, 1, 2, 1e8)
    check_finite(1e6, 1, 2, 0.1)


# ---- pictures

ODD = '$_front_$', 'US$_/_CA$^', 'a$b', '$', '_hidden', '<b>&', '{x}', '\\frac', '猫', "o'clock", '10', '100%'

def test_pictures_show_any_name():
    from ssd_nb.data import describe_set, draw_report
    from ssd_nb.plumbing.mistakes import draw_class_curves, draw_confusion
    plt = pytest.importorskip('matplotlib.pyplot')
    curves = draw_class_curves(np.ones((len(ODD), 101)), ODD)
    texts = [text.get_text().replace('\\$', '$').strip() for text in curves.get_legend().get_texts()]
    assert len(texts) == 6 and texts[0] == '$_front_$ 1.000' # of more than ten, six are named
    few = draw_class_curves(np.ones((5, 101)), ODD[:5]).get_legend().get_texts()
    texts = [text.get_text().replace('\\$', '$').strip() for text in few]
    assert texts == [f'{name} 1.000' for name in ODD[:5]]
    matrix = draw_confusion(np.eye(len(ODD) + 1, dtype=int), ('background', *ODD))
    truth = truth_of(*enumerate(ODD, 1), objects=[(1, i) for i in range(1, len(ODD) + 1)])
    report = draw_report(describe_set(truth, small_config().boxes), small_config().boxes)[0, 0]
    for ax in curves, matrix, report: ax.figure.canvas.draw() # where matplotlib reads mathematics
    shown = {text.get_text().replace('\\$', '$') for text in report.get_yticklabels()}
    assert shown >= {name for name in ODD if name.isascii()}
    plt.close('all')
