"""The benchmark's rounds, with engines that are made up: who has a turn when, and what the figures say."""
import json
import os
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
    assert (found['a, two'].fastest, found['a, two'].busy, found['a, two'].answers[0]) == (5.0, 2.0, {'mAP': 0.5})


def test_memory_is_that_of_its_own_process(engine):
    found, _ = run(engine('small', 'make_heavy', megabytes=1), engine('large', 'make_heavy', megabytes=200), count=1)
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
    measured = rounds.Measured('a', runs=[[1.0, 1.0, None]] * 3)
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
