"""Hundreds of mutated inputs for each reader: correct loading or one sentence, no crash, no hang, no 2 GB."""
import json
import os
import re
import shutil
import time
from dataclasses import asdict

import numpy as np
import pytest
import yaml
from conftest import ROOT
from mutate import Mutant, iterate_bytes, mutate_bytes, mutate_text, mutate_tree, try_mutants

from ssd_nb.plumbing.options import UserError


def read_what_is_said(folder):
    "A reader that does what its file says"
    said = (folder / 'said').read_text()
    if said == 'hangs': time.sleep(60)
    if said == 'dies': os.abort()
    if said == 'leaves': os._exit(0)
    if said == 'is greedy': bytearray(3 * 1024 ** 3)
    if said == 'raises': 1 / 0
    if said == 'talks': raise UserError('two\nlines')
    if said == 'tells': raise UserError('one sentence.')


def test_trying(tmp_path, capsys):
    "Each way to fail is noticed, and the others go on"
    (tmp_path / 'good').mkdir()
    (tmp_path / 'good/said').write_text('loads')
    said = 'loads', 'hangs', 'dies', 'is greedy', 'loads', 'raises', 'leaves', 'talks', 'tells'
    mutants = [Mutant(word, {'said': word.encode()}) for word in said]
    tried = try_mutants('toy', read_what_is_said, mutants, base=tmp_path / 'good', seconds=3)
    assert [label for label, _ in tried.failed] == ['hangs', 'dies', 'is greedy', 'raises', 'leaves', 'talks']
    assert (tried.loaded, tried.told) == (2, 1)
    said = 'toy: 9 tried, 3 survived (2 loaded, 1 answered in a sentence), 6 failed'
    assert said in capsys.readouterr().out


def check(tried, least=300):
    "All mutants survive, and the readers tell something of them apart"
    assert not tried.failed, tried.failed[0]
    assert tried.loaded + tried.told >= least and tried.told


# ---- --config

def write_yaml(tree): return yaml.safe_dump(tree, allow_unicode=True).encode('utf-8', 'surrogatepass')


def read_config(folder):
    from ssd_nb.plumbing.training_commands import _read_config
    _read_config(['--config', str(folder / 'options.yaml')])


@pytest.mark.slow
def test_config(tmp_path):
    from ssd_nb.train import preset
    tree = {}
    for part in asdict(preset('ssd_tiny', 'CPU')).values(): tree |= part
    tree = json.loads(json.dumps(tree)) # lists in place of tuples
    (tmp_path / 'options.yaml').write_bytes(good := write_yaml(tree))
    found = [(label, write_yaml(new)) for label, new in mutate_tree(tree, 300, seed=1)]
    found += [*mutate_text(good.decode(), 150, seed=1), *mutate_bytes(good, 50, seed=1)]
    mutants = [Mutant(label, {'options.yaml': content}) for label, content in found]
    check(try_mutants('--config', read_config, mutants, base=tmp_path))


# ---- files of ours

def make_toy_checkpoint(folder):
    "A detector of ssd_tiny with random weights, as a checkpoint"
    from test_export import make_checkpoint
    return make_checkpoint('ssd_tiny', folder / 'a.ckpt', (96, 128))


def read_checkpoint_file(folder):
    from ssd_nb.train import load_network
    load_network(folder / 'a.ckpt')


@pytest.mark.slow
def test_checkpoint(tmp_path):
    "Each damage is noticed: nothing but the file as it was is loaded"
    data, texts = make_toy_checkpoint(tmp_path).read_bytes(), 8000 # bytes at the end of the file
    found = [*mutate_bytes(data, 250, seed=2), *mutate_bytes(data[-texts:], 100, seed=3)]
    found[250:] = [(label, data[:-texts] + new) for label, new in found[250:]]
    mutants = [Mutant(label, {'a.ckpt': content}) for label, content in found]
    tried = try_mutants('ckpt', read_checkpoint_file, mutants, base=tmp_path)
    check(tried)
    assert tried.loaded == 0


def read_texts(folder):
    "What a checkpoint of any version may say, with a checksum that is right"
    from ssd_nb.plumbing.bookkeeping import check_same_data, read_progress
    from ssd_nb.plumbing.checkpoint import read_origin
    from ssd_nb.plumbing.model_config import build_model
    from ssd_nb.train import from_json
    texts = json.loads((folder / 'texts.json').read_bytes())
    config, progress, data = (json.dumps(texts.get(name)) for name in ('config', 'progress', 'data'))
    now = dict(train=dict(images=3, objects=4, content=dict(images='a', objects='b')))
    check_same_data(data, json.dumps(now), 'a.ckpt')
    read_progress(progress, 'a.ckpt')
    read_origin(config, 'a.ckpt')
    config = from_json(config, 'a.ckpt')
    build_model(config.model, config.boxes)


@pytest.mark.slow
def test_texts_of_a_checkpoint(tmp_path):
    from ssd_nb.plumbing.bookkeeping import Progress, write_progress
    from ssd_nb.plumbing.checkpoint import to_json
    from ssd_nb.plumbing.preparation import set_classes
    from ssd_nb.train import preset
    config = to_json(set_classes(preset('ssd_tiny', 'CPU'), ('background', 'ball', 'cube')))
    progress, content = json.loads(write_progress(Progress(2, 5))), dict(images='a', objects='b')
    tree = dict(config=json.loads(config), progress=progress,
                data=dict(train=dict(images=3, objects=4, content=content)))
    (tmp_path / 'texts.json').write_text(json.dumps(tree))
    mutants = [Mutant(label, {'texts.json': json.dumps(new).encode()})
               for label, new in mutate_tree(tree, 400, seed=4)]
    check(try_mutants('texts of a ckpt', read_texts, mutants, base=tmp_path))


def read_mindrecord(folder):
    from ssd_nb.data import DataConfig
    from ssd_nb.plumbing.records import describe_use, iterate_images, load_ground_truth, load_manifest
    data = DataConfig('voc', voc_root=str(folder / 'set'), mindrecord_dir=str(folder / 'mr'))
    print(describe_use(load_manifest(data, 'train'), folder, 'train'))
    load_ground_truth(data, 'train')
    assert len(list(iterate_images(data, split='train'))) == 6


@pytest.mark.slow
def test_mindrecord(tmp_path):
    "Flips in each of its files; and its JSON files as an earlier version wrote them, without checksums"
    from ssd_nb.data import DataConfig
    from ssd_nb.plumbing.records import make_mindrecord
    from ssd_nb.plumbing.samples import write_samples
    write_samples(tmp_path / 'set', train=6, evaluation=1)
    data = DataConfig('voc', voc_root=str(tmp_path / 'set'), mindrecord_dir=str(tmp_path / 'mr'))
    folder, found = make_mindrecord(data, 'train'), []
    for path in sorted(folder.iterdir()):
        if path.name == 'problems.txt': continue # nobody reads it again
        part = mutate_bytes(path.read_bytes(), 50, seed=5) + [('gone', None)]
        found += [Mutant(f'{path.name}: {label}', {f'mr/train/{path.name}': new}) for label, new in part]
    sealed = len(found)
    for name in ('manifest.json', 'images.json', 'ground_truth.json'):
        tree = json.loads((folder / name).read_text())
        tree.pop('checksum', None)
        part, manifest = mutate_tree(tree, 50, seed=6), json.loads((folder / 'manifest.json').read_text())
        del manifest['checksum'], manifest['sums']
        files = {'mr/train/manifest.json': json.dumps(manifest).encode()}
        found += [Mutant(f'{name}: {label}', files | {f'mr/train/{name}': json.dumps(new).encode()})
                  for label, new in part]
    tried = try_mutants('MindRecord', read_mindrecord, found, base=tmp_path)
    check(tried)
    assert tried.told >= sealed


def read_rank_table(folder):
    import runpy
    runpy.run_path(str(ROOT / 'scripts/rank_table.py'))['read_table'](folder / 'table.json', 0, 2)


@pytest.mark.slow
def test_rank_table(tmp_path):
    rows = [dict(device_id=str(i), device_ip=f'192.168.100.{i}', rank_id=str(i)) for i in range(2)]
    tree = dict(version='1.0', server_count='1', status='completed',
                server_list=[dict(server_id='10.0.0.1', device=rows, host_nic_ip='reserve')])
    (tmp_path / 'table.json').write_text(text := json.dumps(tree, indent=1))
    found = [(label, json.dumps(new).encode()) for label, new in mutate_tree(tree, 300, seed=7)]
    found += mutate_text(text, 50, seed=7) + mutate_bytes(text.encode(), 50, seed=7)
    mutants = [Mutant(label, {'table.json': new}) for label, new in found]
    check(try_mutants('rank table', read_rank_table, mutants, base=tmp_path))


def read_metrics_file(folder):
    from ssd_nb.plumbing.bookkeeping import MetricsFile, read_metrics
    read_metrics(folder / 'metrics.csv')
    MetricsFile(folder / 'metrics.csv', 3)
    read_metrics(folder / 'metrics.csv')


@pytest.mark.slow
def test_metrics(tmp_path):
    from ssd_nb.plumbing.bookkeeping import EpochReport, MetricsFile
    metrics = MetricsFile(tmp_path / 'metrics.csv', 0)
    for epoch in range(1, 6): metrics.add(EpochReport(epoch, 9, 5.5, 1, 4.5, 0.1, 9, 3, 30, epoch / 10))
    text = (tmp_path / 'metrics.csv').read_text()
    found = mutate_text(text, 300, seed=8) + mutate_bytes(text.encode(), 100, seed=8)
    mutants = [Mutant(label, {'metrics.csv': new}) for label, new in found]
    check(try_mutants('metrics.csv', read_metrics_file, mutants, base=tmp_path))


# ---- exported files with their json

def read_exported(folder):
    from ssd_nb.export_310 import load_predict
    path = next(path for path in folder.iterdir() if path.suffix in ('.mindir', '.onnx'))
    predict, config = load_predict(path)
    predict(np.zeros((1, 3, *config.boxes.image_shape), np.float32))


@pytest.mark.slow
@pytest.mark.parametrize('form', ('MINDIR', 'ONNX'))
def test_exported(tmp_path, form):
    from ssd_nb.export_310 import export_model
    checkpoint = make_toy_checkpoint(tmp_path)
    path, _ = export_model(checkpoint, tmp_path / 'good/a', form)
    beside, data = f'{path.name}.json', path.read_bytes()
    text = (path.parent / beside).read_text()
    tree = json.loads(text)
    found = [Mutant(label, {path.name: new}) for label, new in mutate_bytes(data, 120, seed=9)]
    found += [Mutant(f'json: {label}', {beside: new})
              for label, new in mutate_bytes(text.encode(), 80, seed=9)]
    damaged = len(found)
    del tree['checksum'] # as in files of earlier versions
    found += [Mutant(f'json: {label}', {beside: json.dumps(new).encode()})
              for label, new in mutate_tree(tree, 150, seed=9)]
    tried = try_mutants(f'{form} with its json', read_exported, found, base=path.parent)
    check(tried)
    assert tried.told >= damaged


def read_graph_only(folder):
    from ssd_nb.plumbing.graph_files import check_graph
    path = next(folder.iterdir())
    check_graph(path)


@pytest.mark.slow
@pytest.mark.parametrize('form', ('MINDIR', 'ONNX'))
def test_graph(tmp_path, form):
    "What looks for operations is not led astray by a damaged graph, whose checksum somebody has made right"
    from ssd_nb.export_310 import export_model
    path, _ = export_model(make_toy_checkpoint(tmp_path), tmp_path / 'good/a', form)
    path.with_name(f'{path.name}.json').unlink()
    data = path.read_bytes()
    found = mutate_bytes(data, 300, seed=10, head=60_000)
    check(try_mutants(f'graph in {form}', read_graph_only, [Mutant(label, {path.name: new})
                                                            for label, new in found], base=path.parent))


# ---- files of others

def read_safetensors(folder):
    from ssd_nb.plumbing.weights import load_backbone, read_weights
    from ssd_nb.backbones import MobileNetV1
    read_weights(folder / 'a.safetensors')
    if not hasattr(read_safetensors, 'backbone'): read_safetensors.backbone = MobileNetV1()
    load_backbone(read_safetensors.backbone, folder / 'b.safetensors')


@pytest.mark.slow
def test_safetensors(tmp_path):
    from safetensors.numpy import save_file
    from ssd_nb.backbones import MobileNetV1
    rng = np.random.default_rng(0)
    shapes = {name: p.shape for name, p in MobileNetV1().parameters_dict().items()}
    arrays = {name: np.float32(rng.normal(0, 1, shape)) for name, shape in shapes.items()}
    kinds = 'float16', 'float32', 'float64', 'int8', 'uint8', 'int32', 'int64', 'bool'
    save_file({kind: np.ones((2, 3), kind) for kind in kinds}, tmp_path / 'a.safetensors')
    save_file(arrays, tmp_path / 'b.safetensors')
    found = []
    for name, head in (('a', 0), ('b', 6000)):
        part = mutate_bytes((tmp_path / f'{name}.safetensors').read_bytes(), 160, seed=11, head=head)
        found += [Mutant(f'{name}: {label}', {f'{name}.safetensors': new}) for label, new in part]
    check(try_mutants('safetensors', read_safetensors, found, base=tmp_path))


def read_detector(folder):
    from ssd_nb.plumbing.published import load_published, read_published
    path = next(folder.iterdir())
    if path.suffix in ('.pth', '.safetensors'): return read_published(path)
    classes = 23 if path.suffix == '.tflite' else 1
    load_published(path, ('background', *(f'class {i}' for i in range(classes))))


PUBLISHED = {'a.pb': (80, 200_000), 'a.tflite': (80, 20_000), 'a.pth': (80, 3000), 'old.pth': (60, 3000),
             'a.safetensors': (60, 3000), 'a.tgz': (30, 2000)} # how many, half of them in the first bytes


@pytest.mark.slow
@pytest.mark.parametrize('name', PUBLISHED)
def test_published(tmp_path, name):
    import test_published as made
    from safetensors.numpy import save
    arrays = {key: a for key, a in made.draw_torchvision(21).items() if a.size < 20_000} # a small file
    make = {'a.pb': made.write_graph, 'a.tflite': lambda: made.write_lite(made.draw_lite()),
            'a.pth': lambda: made.write_torch(arrays), 'old.pth': lambda: made.write_old_torch(arrays),
            'a.safetensors': lambda: save(arrays),
            'a.tgz': lambda: made.write_tar('frozen_inference_graph.pb', made.write_graph())}
    (tmp_path / name).write_bytes(data := make[name]())
    count, head = PUBLISHED[name]
    mutants = (Mutant(label, {name: new}) for label, new in iterate_bytes(data, count, seed=12, head=head))
    check(try_mutants(f'published {name}', read_detector, mutants, base=tmp_path), least=count)


# ---- data that has changed

@pytest.mark.slow
def test_resume_wants_the_same_data(tmp_path, script):
    "Other boxes, other classes and fewer images are refused; the same data in a new MindRecord is not"
    from ssd_nb.plumbing.samples import write_samples
    write_samples(tmp_path / 'set', train=8, evaluation=2)

    def train(*more):
        shutil.rmtree(tmp_path / 'mr', ignore_errors=True)
        return script('train.py', '--using_model=ssd_tiny', '--run_platform=CPU', '--epoch_size=1',
                      '--dataset=voc', '--warmup_epochs=0', '--batch_size=4', f'--voc_root={tmp_path}/set',
                      f'--output_dir={tmp_path}/out', f'--mindrecord_dir={tmp_path}/mr', *more)

    def edit(*pairs):
        for path, text in texts.items():
            new = text
            for old, word in pairs: new = new.replace(old, word)
            path.write_text(new)
    texts = {path: path.read_text() for path in (tmp_path / 'set/train').glob('*.xml')}
    classes = sorted({name for text in texts.values() for name in re.findall('<name>(.*?)</name>', text)})
    first = train()
    assert first.code == 0, first.err
    assert 'all epochs are done' in train('--resume').out
    edit((f'>{classes[0]}<', '>?<'), (f'>{classes[1]}<', f'>{classes[0]}<'), ('>?<', f'>{classes[1]}<'))
    done = train('--resume')
    assert done.code == 2 and 'was trained with other boxes or classes of the train objects' in done.err
    edit()
    image = tmp_path / 'set/train/000003.jpg'
    image.write_bytes((tmp_path / 'set/train/000004.jpg').read_bytes())
    done = train('--resume')
    assert done.code == 2 and 'was trained with other train images' in done.err
    image.with_suffix('.xml').unlink(), image.unlink()
    done = train('--resume')
    assert done.code == 2 and 'was trained with 8 train images instead of 7: give the same data' in done.err
