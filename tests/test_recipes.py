"""Recipes as a user runs them: several seeds, what is done already, what dies, and what the table says."""
import csv
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.xdist_group('recipe') # one after another: each starts processes of its own
TOY = '''# A toy: {train} drawn images
using_model: ssd_tiny
run_platform: CPU
image_shape: [96, 96]
dataset: voc
voc_root: samples
mindrecord_dir: mindrecord
epoch_size: 1
warmup_epochs: 0
batch_size: 8
min_score: 0.01
output_dir: toy
'''


@pytest.fixture(scope='session')
def place(tmp_path_factory):
    "A folder with a small set and a recipe of two seeds that has been run"
    from ssd_nb.plumbing.samples import write_samples
    folder = tmp_path_factory.mktemp('recipe')
    write_samples(folder / 'samples', 8, 6)
    (folder / 'toy.yaml').write_text(TOY.format(train=8))
    done = call(folder, 'toy.yaml', '--seeds=2')
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / 'said').write_text(done.stdout)
    return folder


def call(folder, *words):
    return subprocess.run([sys.executable, ROOT / 'scripts/recipe.py', *words], cwd=folder, text=True,
                          capture_output=True, timeout=600)


def trained(folder):
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob('seed_*/last.ckpt')}


def test_each_seed_has_its_numbers_and_the_table_their_median(place):
    said, whole = (place / 'said').read_text(), json.loads((place / 'toy/recipe.json').read_text())
    assert list(whole['seeds']) == ['1', '2'] and not whole['dead']
    for seed, values in whole['seeds'].items():
        measured = json.loads((place / f'toy/seed_{seed}/eval/metrics.json').read_text())
        assert values['mAP'] == measured['mAP'] and values['classes'] == measured['classes']
        printed = re.search(r'^mAP: (\S+)$', (place / f'toy/seed_{seed}/log.txt').read_text(), flags=re.M)[1]
        assert abs(float(printed) - values['mAP']) < 1e-6
        assert values['epochs'] == 1 and values['seconds'] > 0 and values['settings']['seed'] == int(seed)
    maps = [values['mAP'] for values in whole['seeds'].values()]
    assert whole['spread']['mAP'] == dict(median=statistics.median(maps), least=min(maps), most=max(maps))
    text = (place / 'toy/recipe.txt').read_text()
    row = re.search(r'^mAP +(.*)$', text, flags=re.M)[1].split()
    assert row == [f'{v:.3f}' for v in (*maps, statistics.median(maps), min(maps), max(maps))]
    assert text.strip() in said and '| `ssd_tiny` | A toy: 8 drawn images | mAP ' in text
    assert 'command: ssd_nb recipe toy.yaml --seeds=2\n' in text


def test_seeds_differ(place):
    losses = []
    for seed in (1, 2):
        with open(place / f'toy/seed_{seed}/metrics.csv', newline='') as file:
            losses.append(next(csv.DictReader(file))['loss'])
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_a_seed_can_be_trained_alone(place):
    "With the file of all options that its folder has"
    done = subprocess.run([sys.executable, ROOT / 'scripts/train.py', '--config=toy/seed_2/train.yaml',
                           '--output_dir=alone'], cwd=place, text=True, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr
    loss = lambda folder: next(csv.DictReader((place / folder / 'metrics.csv').open()))['loss']
    assert loss('alone') == loss('toy/seed_2')


def test_what_is_done_is_not_repeated_and_what_changed_is(place):
    shutil.copytree(place / 'toy', place / 'again')
    before = trained(place / 'again')
    seed = json.loads((place / 'again/seed_2/seed.json').read_text())
    seed['settings'] |= dict(lr=0.02) # as if it had been trained so
    (place / 'again/seed_2/seed.json').write_text(json.dumps(seed))
    done = call(place, 'toy.yaml', '--seeds=2', '--output_dir=again', '--num_parallel_workers=1')
    assert done.returncode == 0 and 'seed 1: done before' in done.stdout, done.stdout + done.stderr
    assert ('seed 2: trained again, since --lr was 0.02 and is 0.1; the other one is in seed_2_before_1'
            in done.stdout)
    now = trained(place / 'again')
    assert now['seed_1'] == before['seed_1'] and now['seed_2'] > before['seed_2']
    assert (place / 'again/seed_2_before_1/last.ckpt').exists()


@pytest.mark.slow
def test_a_dead_seed_is_named_and_the_others_go_on(place):
    "Its evaluation finds no place for its results"
    shutil.copytree(place / 'toy', place / 'dead')
    seed = json.loads((place / 'dead/seed_1/seed.json').read_text())
    (place / 'dead/seed_1/seed.json').write_text(json.dumps({'settings': seed['settings']})) # not done
    shutil.rmtree(place / 'dead/seed_1/eval')
    (place / 'dead/seed_1/eval').write_text('')
    done = call(place, 'toy.yaml', '--seeds=2', '--output_dir=dead')
    assert done.returncode == 2 and 'Traceback' not in done.stderr, done.stderr
    assert re.search(r'^error: 1 of 2 seeds of toy died, the first, 1: --output_dir=dead/seed_1/eval '
                     r'cannot be made .*\.$', done.stderr, flags=re.M), done.stderr
    whole = json.loads((place / 'dead/recipe.json').read_text())
    assert list(whole['seeds']) == ['2'] and list(whole['dead']) == ['1']
    before, now = (trained(place / name)['seed_1'] for name in ('toy', 'dead'))
    assert now == before # it went on, and had nothing to train


@pytest.mark.slow
def test_a_stopped_recipe_goes_on(place):
    words = 'toy.yaml', '--seeds=1', '--output_dir=stopped', '--epoch_size=200'
    process = subprocess.Popen([sys.executable, ROOT / 'scripts/recipe.py', *words], cwd=place, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if 'epoch: 2 ' in line: break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM and 'the same command goes on from here' in err, err
    seed = json.loads((place / 'stopped/seed_1/seed.json').read_text())
    assert 'mAP' not in seed and seed['seconds'] > 0
    with open(place / 'stopped/seed_1/metrics.csv', newline='') as file:
        epochs = len(list(csv.DictReader(file)))
    assert 2 <= epochs < 200


@pytest.mark.parametrize('words, sentence', (
    ((), 'ssd_nb recipe needs a recipe as its first word'),
    (('bccd_from_radom',), r'there is no recipe .*\(did you mean bccd_from_random .*\?\)\.'),
    (('toy.yaml', '--seed=2', '--sedes=3'), 'there is no option --sedes: did you mean --seed'),
    (('toy.yaml', '--voc_root=nowhere', '--output_dir=none', '--mindrecord_dir=none'),
     'toy cannot be trained: .*nowhere'),
    (('toy.yaml', '--distribute=True'), '--distribute=True is not possible')))
def test_mistakes_are_one_sentence(place, script_here, words, sentence):
    done = script_here('recipe.py', *words, cwd=place)
    assert done.code == 2, done.out + done.err
    (line,) = done.err.splitlines()
    assert re.search(f'^error: .*{sentence}', line) and line[-1] in '.?', line


def test_pip_brings_the_recipes(tmp_path, run):
    "In a folder of the package, built as pip builds it"
    done = run(sys.executable, 'setup.py', '-q', 'build', '--build-base', tmp_path / 'build',
               'egg_info', '--egg-base', tmp_path)
    assert done.code == 0, done.err
    there = {path.name: path.read_text() for path in (tmp_path / 'build/lib/ssd_nb/recipes').iterdir()}
    assert there == {path.name: path.read_text() for path in (ROOT / 'recipes').glob('*.yaml')} and there
    code = 'from ssd_nb.plumbing.recipes import _find_recipe; print(_find_recipe("bccd_from_random"))'
    done = run(sys.executable, '-c', code, cwd=tmp_path, env=dict(PYTHONPATH=str(tmp_path / 'build/lib')))
    assert done.out.strip() == str(tmp_path / 'build/lib/ssd_nb/recipes/bccd_from_random.yaml'), done.err


@pytest.mark.parametrize('path', sorted((ROOT / 'recipes').glob('*.yaml')), ids=lambda path: path.stem)
def test_recipe_is_understood(path):
    "Each option exists, and its title says what it trains on"
    import yaml
    from dataclasses import fields
    from ssd_nb.eval import EvalConfig
    from ssd_nb.train import preset
    from ssd_nb.plumbing.recipes import read_title
    given = yaml.safe_load(path.read_text())
    config = preset(given['using_model'], given['run_platform'])
    names = {f.name for part in (*(getattr(config, f.name) for f in fields(config)), EvalConfig())
             for f in fields(part)}
    assert set(given) <= names | {'preset'} and read_title(path)
    assert f'ssd_nb recipe {path.stem}' in path.read_text(), 'the command that repeats it'
