"""The benchmark's rounds, with engines that are made up: who has a turn when, and what the figures say."""
import json
import os
import re
import subprocess
import sys
import time

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / 'scripts/bench'))
import bench_rounds as rounds # noqa: E402
from ssd_nb.plumbing.options import UserError # noqa: E402

FAKE = '''
import os, subprocess, sys, time
def make(log, name, seconds=0, die_at=None, slow_at=(), burn=0):
    count = [0]
    def run():
        count[0] += 1
        with open(log, 'a') as file: file.write(name + ' ')
        if count[0] == die_at: sys.exit('all memory is used')
        print('a library talks')
        end = time.process_time() + burn
        while time.process_time() < end: pass
        time.sleep(seconds * (3 if count[0] in slow_at else 1))
        return count[0]
    return run
def make_parts(): return {'one': lambda: 1, 'two': lambda: {'wall': 5.0, 'busy': 2.0, 'mAP': 0.5}}
def make_heavy(megabytes):
    data = bytearray(megabytes << 20)
    return lambda: len(data) >> 20
def make_child(): # the work is done by a process that is waited for
    code = "import time\\nwhile time.process_time() < 0.2: pass"
    return lambda: subprocess.run([sys.executable, '-c', code], check=True) and None
SERVANT = """import sys, time
for line in sys.stdin:
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    print(flush=True)"""
def make_servant(): # the work is done by a process that goes on living
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    servant = subprocess.Popen([sys.executable, '-c', SERVANT], **pipes)
    def run():
        print(1, file=servant.stdin, flush=True)
        servant.stdout.readline()
    return run
def make_broken(): raise ValueError('no such network')
'''


@pytest.fixture
def engine(tmp_path):
    (tmp_path / 'fake.py').write_text(FAKE)
    def make(name, function='make', **arguments):
        if function == 'make': arguments |= dict(log=str(tmp_path / 'log'), name=name)
        return rounds.Engine(name, f'fake:{function}', arguments, checkout=f'{tmp_path}:{ROOT}')
    return make


def run(*engines, count=3, **options): return rounds.run_in_turn(engines, count, pause=0, **options)


def test_every_engine_has_its_turn(engine, tmp_path):
    found, _ = run(engine('a'), engine('b'), engine('c'), runs=2)
    turns = (tmp_path / 'log').read_text().split()
    assert ''.join(turns[::2]) == 'abcbcacababc' and turns[::2] == turns[1::2] # who begins moves on
    assert [one.answers for one in found.values()] == [[3, 4, 5, 6, 7, 8]] * 3 # the first turn warms up


def test_fastest_run_and_processor_seconds_count(engine):
    found, _ = run(engine('a', seconds=0.02, slow_at=[3], burn=0.02), engine('b', seconds=0.1))
    one, other = found.values()
    assert 0.04 <= one.fastest < max(wall for wall, *_ in one.runs) and one.busy >= 0.02
    assert other.fastest >= 0.1 and other.busy < 0.02 # sleeping needs no processor


def test_processes_that_are_waited_for_count(engine):
    found, _ = run(engine('child', 'make_child'), count=1)
    assert found['child'].busy >= 0.2


def test_parts_have_rows_and_may_time_themselves(engine):
    found, _ = run(engine('a', 'make_parts'))
    assert list(found) == ['a, one', 'a, two']
    two = found['a, two']
    assert (two.fastest, two.busy, two.answers[0]) == (5.0, 2.0, {'mAP': 0.5})


def test_memory_is_that_of_its_own_process(engine):
    both = [engine(f'{n} MB', 'make_heavy', megabytes=n) for n in (1, 200)]
    found, _ = run(*both, count=1)
    small, large = (one.memory[1] for one in found.values())
    assert 150 < large - small < 250


def test_a_slow_neighbour_is_noticed(engine):
    "A spread, and processors that others use"
    slow = run(engine('a', seconds=0.02, slow_at=[4, 5, 6]), count=5, warm=1)
    assert slow[0]['a'].spread > 1.5 and not rounds.is_quiet(*slow) and 'NOT quiet' in rounds.say_quiet(*slow)
    code = 'import time\nwhile True: pass'
    neighbour = subprocess.Popen([sys.executable, '-c', code])
    try: _, others = run(engine('b', seconds=0.3), count=2)
    finally: neighbour.kill(), neighbour.wait()
    assert others > rounds.OTHERS
    cold = rounds.Measured('a', runs=[[3.0, 1, None], [1.0, 1, None]] * 3, each=2)
    assert cold.spread == 1 # the first run of each turn is no neighbour's fault
    measured = rounds.Measured('a', runs=[[1.0, 1.0, None]] * 3)
    once = {'a': rounds.Measured('a', runs=[[1.0, 1.0, None]])}
    assert not rounds.is_quiet(once, 0) and rounds.say_quiet(once, 0).startswith('One round does not show')
    assert rounds.is_quiet({'a': measured}, 0.01) and not rounds.is_quiet({'a': measured}, 0.2)


def test_own_work_is_not_a_neighbours(monkeypatch, engine):
    "The machine's clock stands in here, since the real one has neighbours: it counts this engine alone"
    own, start = [0.0], rounds._Worker.run
    def run_and_count(*args):
        found = start(*args)
        own[0] += found[1]
        return found
    monkeypatch.setattr(rounds._Worker, 'run', run_and_count)
    monkeypatch.setattr(rounds, '_read_busy', lambda: own[0])
    assert run(engine('a', burn=0.1))[1] == 0
    own[0] = 0.0
    run(engine('s', 'make_servant'), count=2)
    assert own[0] > 0.8 # three turns of 0.3 s, in a process below the engine's
    monkeypatch.setattr(rounds, '_read_busy', time.perf_counter) # one processor is never idle
    assert run(engine('b', seconds=0.1))[1] > 0.5 / os.cpu_count()


@pytest.mark.parametrize('function, options, when, why', [
    ('make', dict(die_at=2), 'in round 2', 'all memory is used'),
    ('make_broken', {}, 'while it was made', 'no such network'),
    ('make_nothing', {}, 'while it was made', 'make_nothing')])
def test_a_dead_engine_is_one_sentence(engine, function, options, when, why):
    with pytest.raises(UserError) as caught: run(engine('good'), engine('bad', function, **options))
    text = str(caught.value)
    assert text.startswith('bad ended with exit code 1 ') and when in text and why in text
    assert text.count('\n') == 0 and text.endswith('.') and not text.endswith('..')


def test_engines_end_with_the_benchmark(engine, monkeypatch):
    "Also where one of them dies"
    started, begin = [], rounds._Worker.__init__
    def remember(self, *args):
        started.append(self)
        begin(self, *args)
    monkeypatch.setattr(rounds._Worker, '__init__', remember)
    with pytest.raises(UserError): run(engine('good'), engine('bad', die_at=1))
    assert len(started) == 2 and all(worker.process.poll() is not None for worker in started)


def test_json_says_what_a_reader_needs(engine, tmp_path):
    found, others = run(engine('a'))
    rounds.write_json(tmp_path / 'found.json', rounds.tell_as_dict(found, others, seed=1))
    said = json.loads((tmp_path / 'found.json').read_text())
    assert {'command', 'machine', 'seed', 'quiet', 'engines'} == set(said)
    assert said['machine']['cores'] >= 1 and 'instructions' in said['machine']
    assert said['engines']['a']['versions']['python'] and len(said['engines']['a']['runs']) == 3


def test_growth_is_the_slope_of_logarithms():
    "n to the power 1.5 in time; memory that is added in proportion"
    import bench_growth as growth
    found = {f'batch {n}': rounds.Measured('', [[n**1.5, n**1.5, None]], [100, 200 + 50 * n])
             for n in (2, 4, 8, 16)}
    fitted = growth.fit_growth(found)
    assert abs(fitted['time'] - 1.5) < 1e-6 and abs(fitted['memory'] - 1) < 1e-6
    assert '2.83 times for twice as much' in growth.say_growth('batch', fitted)
    assert 'worse than linear from ' in growth.say_growth('batch', fitted)
    points = (1, 1), (2, 4), (64, 8)
    bent = {f'candidates {n}': rounds.Measured('', [[t, t, None]], [100, 100]) for n, t in points}
    said = growth.say_growth('candidates', growth.fit_growth(bent)) # as a whole it is better than linear
    assert 'worse than linear from 1 to 2, with the power 2.00, since NMS compares' in said
    flat = {f'batch {n}': rounds.Measured('', [[n, n, None]], [100, 200]) for n in (2, 4, 8)}
    said = growth.say_growth('batch', growth.fit_growth(flat))
    assert 'memory hardly grows' in said and said.endswith('nowhere worse than linear.')


def test_a_described_network_keeps_its_weights_and_what_is_shared():
    import numpy as np
    from bench_networks import describe, new_network
    from ssd_nb.ssd_heads import _make_tower
    network, _ = new_network('ssd_tiny')
    def collect(part):
        inside = [array for one in part['parts'].values() for array in collect(one)]
        return [*part['arrays'].values(), *inside]
    ours = [parameter.asnumpy() for parameter in network.get_parameters()]
    described = collect(describe(network))
    assert len(described) == len(ours) and all(np.array_equal(a, b) for a, b in zip(described, ours))
    towers = list(describe(_make_tower(2))['parts'].values())
    first, second = (tower['parts']['0']['parts']['features']['parts']['0'] for tower in towers)
    assert first is second # a convolution of both maps


def test_pytorch_is_not_held_to_the_instructions_of_mindspore(tmp_path, monkeypatch):
    "A limit that is set for MindSpore, in its own process, must not reach PyTorch, whose oneDNN obeys it"
    import bench_train
    monkeypatch.setattr(bench_train, 'write_network', lambda *args: None)
    monkeypatch.setattr(bench_train, 'in_new_process', lambda *args: None)
    before = dict(os.environ)
    engines = bench_train.list_engines('ssd_tiny', 2, 2, sys.executable, None, tmp_path)
    free = [e.name for e in engines if 'ONEDNN_MAX_CPU_ISA' not in e.environment]
    assert free == ['ours', 'PyTorch', 'PyTorch channels-last'] and dict(os.environ) == before


@pytest.mark.parametrize('words, sentence', [
    (['train', '--checkout=/nowhere'], r'--checkout=/nowhere has no folder ssd_nb: .*\.'),
    (['train', '--torch=/nowhere'], r'--torch=/nowhere is not a program: .*\.'),
    (['infer', '--lite=/bin/sh'], r'--lite and --tflite belong together: .*\.'),
    (['growth', '--what=[age]'], r'--what=age is not known: give some of batch, .*\.')])
def test_mistakes_are_one_sentence(words, sentence):
    command = [sys.executable, ROOT / 'scripts/bench/bench.py', *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and re.fullmatch(f'error: {sentence}\n', done.stderr)


@pytest.mark.slow
def test_commands_run(tmp_path):
    "The smallest of each; what they measure is not looked at"
    for words in (['eval', '--images=[20]', '--rounds=1'], ['records', '--images=[20,40]', '--rounds=1'],
                  ['train', '--using_model=ssd_tiny', '--batch_size=2', '--rounds=1', '--warm=0'],
                  ['infer', '--using_model=ssd_tiny', '--rounds=1', '--runs=1'],
                  ['before', f'--checkout={ROOT}', '--images=8', '--rounds=1'],
                  ['decode', f'--voc_root={ROOT}/data_samples', '--dataset=voc', '--rounds=1'],
                  ['growth', '--what=[candidates]']):
        script = ROOT / 'scripts/bench/bench.py'
        done = subprocess.run([sys.executable, script, *words, f'--json={tmp_path}/found.json'],
                              capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
        assert 'quiet' in done.stdout and json.loads((tmp_path / 'found.json').read_text())['engines'], words
