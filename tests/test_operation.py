"""What happens around a training: signals, lost workers, damaged files, a source that grows, a taken port."""
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import ROOT
from test_scripts import CPU, SAMPLES, VOC, begin_training, same_weights, trained  # noqa: F401

pytestmark = pytest.mark.xdist_group('trained') # in one process, which trains once for all of them
SLOW = pytest.mark.slow
STOPPED = r'stopped after step \d+ of epoch \d+: the same command with --resume goes on from there\.'


def wait_for_epoch(process):
    while not process.stdout.readline().startswith('epoch time'): assert process.poll() is None


def workers_of(process):
    "The processes that prepare images"
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess): # another program, such as the compiler, that ends just now
            if 'multiprocessing.spawn' in ' '.join(child.cmdline()): found.append(child)
    return found


# --- signals ---------------------------------------------------------------------------------------------

def test_closed_terminal_saves_the_step(tmp_path):
    "What it prints goes to the terminal, which is gone"
    terminal, other = pty.openpty()
    own = ('import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); ' # which nohup ignores
           f'os.setsid(); os.open({os.ttyname(other)!r}, os.O_RDWR); '
           'os.execv(sys.argv[1], sys.argv[1:])') # a session whose terminal this is
    command = [sys.executable, '-c', own, sys.executable, str(ROOT / 'scripts/train.py'), CPU, *VOC,
               '--using_model=ssd_tiny', '--epoch_size=500', '--batch_size=8', '--image_shape=[96,96]',
               f'--mindrecord_dir={tmp_path}/mindrecord', f'--output_dir={tmp_path}/run']
    process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, cwd=tmp_path)
    os.close(other)
    said = b''
    while b'epoch time' not in said: said += os.read(terminal, 4096)
    os.close(terminal) # the kernel sends SIGHUP to whom the terminal belongs to
    assert process.wait(60) == 129, said
    assert (tmp_path / 'run/last.ckpt').is_file()


@SLOW
def test_second_hangup_does_not_end_it_before_it_has_saved(tmp_path):
    process = begin_training(tmp_path, '--epoch_size=500')
    wait_for_epoch(process)
    for _ in range(3): process.send_signal(signal.SIGHUP)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 129 and re.fullmatch(STOPPED, err.strip().splitlines()[-1]), err


# --- workers ---------------------------------------------------------------------------------------------

def test_killed_worker_is_replaced(trained, tmp_path): # noqa: F811
    process = begin_training(tmp_path, '--num_parallel_workers=1', '--epoch_size=2')
    while not (workers := workers_of(process)): time.sleep(0.05)
    time.sleep(1)
    workers[0].kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err.count('a process that prepares images died, and another one takes its place') == 1, err
    assert 'Traceback' not in err and same_weights(trained / 'run/last.ckpt', tmp_path / 'run/last.ckpt')


@pytest.mark.parametrize('number', (signal.SIGTERM, pytest.param(signal.SIGHUP, marks=SLOW)))
def test_worker_that_does_not_answer_holds_no_signal_up(number, tmp_path):
    process = begin_training(tmp_path, '--num_parallel_workers=2', '--epoch_size=500')
    wait_for_epoch(process)
    workers = workers_of(process)
    assert len(workers) == 2
    for worker in workers: worker.suspend()
    time.sleep(2) # now it waits for them
    begin = time.monotonic()
    process.send_signal(number)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number and time.monotonic() - begin < 10, err
    assert re.fullmatch(STOPPED, err.strip().splitlines()[-1]) and (tmp_path / 'run/last.ckpt').is_file()
    assert not psutil.wait_procs(workers, timeout=10)[1]


def spoil_image(folder):
    "Makes a JPEG file in a MindRecord unreadable, without changing its size"
    path = next(path for path in Path(folder).iterdir() if re.fullmatch(r'ssd\.mindrecord0*', path.name))
    data = bytearray(path.read_bytes())
    places = [found.start() for found in re.finditer(b'\xff\xd8\xff', data)]
    data[places[3]:places[3] + 3] = b'\0\0\0'
    path.write_bytes(data)


def single_sentence(err): # MindSpore and oneDNN may have said a line before
    lines = [line for line in err.strip().splitlines() if not line.startswith('ssd_nb: ')]
    return lines[0] if len(lines) == 1 and re.fullmatch(r'error: .*\.', lines[0]) else pytest.fail(err)


@pytest.mark.parametrize('workers', (0, 1))
def test_mistake_in_the_data_pipeline_is_one_sentence(workers, trained, tmp_path, script): # noqa: F811
    shutil.copytree(trained / 'mindrecord', tmp_path / 'mindrecord')
    spoil_image(tmp_path / 'mindrecord/train')
    process = begin_training(tmp_path, f'--num_parallel_workers={workers}')
    err = process.communicate(timeout=300)[1]
    assert process.returncode == 2 and single_sentence(err), err


@SLOW
def test_mistake_in_the_evaluation_is_one_sentence(trained, tmp_path, script): # noqa: F811
    options = CPU, f'--checkpoint_path={trained}/run/last.ckpt', f'--mindrecord_dir={tmp_path}/mindrecord'
    assert script('eval.py', *options, cwd=tmp_path).code == 0
    spoil_image(tmp_path / 'mindrecord/eval')
    done = script('eval.py', *options, cwd=tmp_path)
    assert done.code == 2 and single_sentence(done.err)


# --- files -----------------------------------------------------------------------------------------------

def test_source_may_grow_while_it_is_trained_on(tmp_path):
    from ssd_nb.boxes import BoxConfig
    from ssd_nb.data import DataConfig, create_dataset
    from ssd_nb.plumbing.fingerprint import believe_source
    from ssd_nb.plumbing.options import UserError
    shutil.copytree(SAMPLES, tmp_path / 'set')
    data = DataConfig('voc', voc_root=str(tmp_path / 'set'), mindrecord_dir=str(tmp_path / 'mindrecord'))
    def images(): return len(create_dataset(data, BoxConfig(), 'eval', 8, train=False))
    before = images()
    with believe_source():
        for ending in ('jpg', 'xml'):
            first = sorted((tmp_path / 'set/eval').glob(f'*.{ending}'))[0]
            shutil.copy(first, first.with_stem('added'))
        assert images() == before
    with pytest.raises(UserError, match='was made from|have changed|not as it was'): images()


@SLOW
def test_source_that_grows_ends_no_training(tmp_path):
    shutil.copytree(SAMPLES, tmp_path / 'set')
    process = begin_training(tmp_path, f'--voc_root={tmp_path}/set', '--epoch_size=4', '--run_eval=True',
                             '--eval_start_epoch=1')
    wait_for_epoch(process)
    for split in ('train', 'eval'):
        first = sorted((tmp_path / f'set/{split}').glob('*.xml'))[0]
        shutil.copy(first, first.with_stem('added'))
        shutil.copy(first.with_suffix('.jpg'), first.with_name('added.jpg'))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and 'epoch: 4' in out, err


@SLOW
def test_damaged_checkpoint_is_replaced_by_the_one_before(trained, tmp_path): # noqa: F811
    process = begin_training(tmp_path)
    assert process.wait(300) == 0
    last = tmp_path / 'run/last.ckpt'
    last.write_bytes(last.read_bytes()[:len(last.read_bytes()) // 2])
    (tmp_path / 'run/ssd-2_6.ckpt').unlink()
    process = begin_training(tmp_path, '--resume')
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and 'damaged.ckpt now, and ' in out + err, out + err
    assert 'going on from ' in out + err and 'previous.ckpt, after epoch 1 and 0 steps' in out + err
    assert same_weights(trained / 'run/last.ckpt', last)


# --- processes that train together ------------------------------------------------------------------------

@pytest.fixture
def taken_port():
    with socket.create_server(('127.0.0.1', 0)) as server: yield server.getsockname()[1]


WRONG = {
    'too many devices': (['9' * 20], {}, "DEVICE_NUM is '99999999999999999999': give a whole number"),
    'port 0': (['1'], dict(MASTER_PORT='0'), "MASTER_PORT is '0'"),
    'port 99999': (['1'], dict(MASTER_PORT='99999'), "MASTER_PORT is '99999'"),
    'port in words': (['1'], dict(MASTER_PORT='http'), "MASTER_PORT is 'http'"),
    'address of another': (['1'], dict(MASTER_ADDR='192.0.2.1'), 'MASTER_ADDR=192.0.2.1 cannot be used here'),
    'no address': (['1'], dict(MASTER_ADDR='no host'), 'MASTER_ADDR=no host cannot be used here'),
    'restarts': (['1', '--max_restarts=often'], {}, "max_restarts is 'often'"),
}


@pytest.mark.parametrize('name', WRONG)
def test_launcher_refuses_before_it_starts_anything(name, run, tmp_path):
    words, variables, says = WRONG[name]
    begin = time.monotonic()
    done = run('bash', ROOT / 'scripts/run_distribute.sh', *words, CPU, cwd=tmp_path,
               env=os.environ | dict(PYTHON=sys.executable) | variables)
    assert done.code == 2 and says in single_sentence(done.err) and time.monotonic() - begin < 15
    assert not list(tmp_path.iterdir())


def test_launcher_raises_what_it_says(monkeypatch):
    from ssd_nb.plumbing.launch import launch_command
    from ssd_nb.plumbing.options import UserError
    monkeypatch.setenv('NODE_NUM', '2')
    monkeypatch.delenv('MASTER_ADDR', raising=False)
    with pytest.raises(UserError, match='MASTER_ADDR is missing'):
        launch_command([str(ROOT / 'scripts'), '1', CPU])


def test_taken_port_is_said_before_anything_starts(taken_port, run, tmp_path):
    done = run('bash', ROOT / 'scripts/run_distribute.sh', '2', CPU, cwd=tmp_path,
               env=os.environ | dict(PYTHON=sys.executable, MASTER_PORT=str(taken_port)))
    assert done.code == 2 and not list(tmp_path.iterdir())
    says = f'MASTER_PORT={taken_port} of MASTER_ADDR=127.0.0.1 cannot be used here (Address already in use)'
    assert says in single_sentence(done.err)


def test_hosts_that_count_differently_say_so(run, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as server: port = server.getsockname()[1]
    def host(number, hosts):
        variables = dict(PYTHON=sys.executable, MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port),
                         NODE_NUM=str(hosts), NODE_RANK=str(number))
        return subprocess.Popen(['bash', str(ROOT / 'scripts/run_distribute.sh'), '1', CPU], cwd=tmp_path,
                                text=True, stderr=subprocess.PIPE, env=os.environ | variables)
    both = [host(0, 2), host(1, 3)]
    said = [single_sentence(process.communicate(timeout=15)[1]) for process in both]
    assert [process.returncode for process in both] == [2, 2]
    assert said[0] == said[1] and 'NODE_NUM is 2 on host 0 ' in said[0] and 'and 3 on host 1 ' in said[0]
    assert not list(tmp_path.iterdir())


def test_process_without_a_scheduler_says_so(tmp_path, script):
    with socket.create_server(('127.0.0.1', 0)) as server: port = server.getsockname()[1]
    begin = time.monotonic()
    variables = dict(MS_ROLE='MS_WORKER', MS_WORKER_NUM='2', MS_SCHED_HOST='127.0.0.1',
                     MS_SCHED_PORT=str(port))
    done = script('train.py', CPU, '--distribute=True', f'--output_dir={tmp_path}/run', *VOC,
                  env=os.environ | variables)
    says = f'no scheduler answers at MS_SCHED_HOST=127.0.0.1 and MS_SCHED_PORT={port}'
    assert says in single_sentence(done.err)
    assert done.code == 2 and time.monotonic() - begin < 25 # 15, where the machine has nothing else to do


def test_options_and_data_that_differ_are_named():
    from ssd_nb.plumbing.preparation import list_shared_options
    from ssd_nb.plumbing.team import find_difference
    from ssd_nb.train import preset
    config = preset('ssd_tiny', 'CPU')
    def fact(host, classes='cat dog', **options):
        its = replace(config, train=replace(config.train, **options))
        return dict(host=host, options=list_shared_options(its),
                    data={'the list of classes': ['background', *classes.split()]})
    own = dict(output_dir='elsewhere', device_id=3, pre_trained='x.ckpt', resume=True)
    assert find_difference([fact('a'), fact('b', **own), fact('c')]) == ''
    said = find_difference([fact('a'), fact('b'), fact('c', lr=0.2)])
    assert '--lr is "0.1" in process 0 on host a, and "0.2" in process 2 on host c: give the same' in said
    said = find_difference([fact('a'), fact('b', 'dog cat')])
    assert '"background, cat, dog" in process 0 on host a, and "background, dog, cat" in process 1' in said
