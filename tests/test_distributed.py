"""Training on several devices, tried on the CPU: several processes, two hosts, and one that dies."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest
from conftest import ROOT
from test_scripts import SAMPLES, VOC, map_of, same_weights

SLOW = pytest.mark.slow
SCRIPTS = ROOT / 'scripts'
TINY = '--using_model=ssd_tiny', '--run_platform=CPU', *VOC, '--epoch_size=2', '--warmup_epochs=1'


def test_rank_table(script_here, tmp_path):
    "The format of the tools that come with HCCL"
    conf, table = tmp_path / 'hccn.conf', tmp_path / 'table.json'
    conf.write_text(''.join(f'address_{i}=192.168.100.{101 + i}\nnetmask_{i}=255.255.255.0\n'
                            for i in range(8)))

    def call(*options): return script_here('rank_table.py', *options).out.strip()

    def mistake(*options):
        done = script_here('rank_table.py', *options)
        assert done.code == 2
        return done.err.strip()
    call('--devices=4,6', '--server_ip=10.0.0.1', f'--hccn_conf={conf}', f'--output={table}')
    rows = [dict(device_id='4', device_ip='192.168.100.105', rank_id='0'),
            dict(device_id='6', device_ip='192.168.100.107', rank_id='1')]
    servers = [dict(server_id='10.0.0.1', device=rows, host_nic_ip='reserve')]
    assert json.loads(table.read_text()) == dict(version='1.0', server_count='1', status='completed',
                                                 server_list=servers)
    assert call(f'--read={table}', '--device_num=2') == '4 6'
    assert 'lists 2 devices for this host, not DEVICE_NUM=8' in mistake(f'--read={table}', '--device_num=8')
    assert 'there is none with NODE_RANK=1' in mistake(f'--read={table}', '--device_num=2', '--node_rank=1')
    assert 'is no rank table' in mistake(f'--read={conf}')
    said = mistake('--hccn_conf=none.conf')
    assert 'cannot be read (No such file or directory): run this on the Ascend host' in said
    given = '--server_ip=10.0.0.1', f'--hccn_conf={conf}'
    assert 'there is no address of device 9' in mistake('--devices=9', *given)
    assert 'names a device twice' in mistake('--devices=1,1', *given)
    assert '--devices=4+5 is not possible: give numbers such as 4,5,6,7.' in mistake('--devices=4+5', *given)
    assert '--device_num=0 is not possible' in mistake('--device_num=0')


WRONG = {
    'too few': ('run_distribute_train.sh', ['8', '500', '0.05', 'coco'],
                '5 or 7 arguments are needed, but 4 were given'),
    'six of seven': ('run_distribute_train.sh', ['8', '500', '0.05', 'coco', 'table.json', 'start.ckpt'],
                     '5 or 7 arguments are needed, but 6 were given'),
    'five on a GPU': ('run_distribute_train_gpu.sh', ['8', '500', '0.05', 'coco', 'start.ckpt'],
                      '4 or 6 arguments are needed, but 5 were given'),
    'none': ('run_standalone_train.sh', [], '4 or 6 arguments are needed, but 0 were given'),
    'no number': ('run_distribute.sh', ['two'], "DEVICE_NUM is 'two': give a whole number of at least 1"),
    'no device': ('run_distribute.sh', ['0'], "DEVICE_NUM is '0'"),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_arguments_of_a_shell_script(name, run, tmp_path):
    script, arguments, says = WRONG[name]
    done = run('bash', SCRIPTS / script, *arguments, cwd=tmp_path)
    assert done.code == 2 and done.err.startswith('error: ') and says in done.err
    assert len(done.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


IN_BASH = {
    'run_distribute.sh': ['two'],
    'run_standalone_train.sh': ['0', '1', '0.05', 'coco'],
    'run_eval.sh': ['coco', 'model.mindir', '0'],
    'run_infer_310.sh': ['model.mindir', '.', 'CPU'],
}


@pytest.mark.parametrize('name', IN_BASH)
def test_a_python_that_has_the_package_is_found(name, run, tmp_path):
    "The one on the PATH may be the system's; where none has the package, one sentence says so"
    (tmp_path / 'model.mindir').touch()
    bare = dict(HOME=str(tmp_path), PATH='/usr/bin:/bin')
    found = run('bash', '-c', f'source {SCRIPTS}/find_python.sh; echo "$PYTHON"', cwd=tmp_path, env=bare)
    assert found.code == 0 and run(found.out.strip(), '-c', 'import ssd_nb', cwd=tmp_path, env=bare).code == 0
    shutil.copytree(SCRIPTS, tmp_path / 'clone/scripts')
    done = run('bash', tmp_path / 'clone/scripts' / name, *IN_BASH[name], cwd=tmp_path, env=bare)
    assert (done.code, done.err) == (2, "error: no Python with ssd_nb was found: run 'bash "
                                     "scripts/quickstart.sh', which makes one in .venv, or set PYTHON.\n")


def test_published_arguments_become_options(run, tmp_path):
    "What train.py would be called with; `echo` stands for Python"
    one = run('bash', SCRIPTS / 'run_standalone_train.sh', '3', '500', '0.05', 'coco', '--coco_root=D',
              cwd=tmp_path, env=os.environ | dict(PYTHON='echo'))
    wanted = ('--run_platform=Ascend --output_dir=LOG --device_id=3 --epoch_size=500 --lr=0.05 '
              '--dataset=coco --coco_root=D')
    assert one.out.split()[1:] == wanted.split()
    assert (tmp_path / 'LOG/log.txt').read_text() == one.out
    stub = tmp_path / 'python' # the launcher is Python, too
    stub.write_text('#!/bin/sh\n[ "$1" != -c ] && exec echo "$@"\n'
                    f'[ "$MS_ROLE" ] || exec {sys.executable} "$@"')
    stub.chmod(0o755)
    four = run('bash', SCRIPTS / 'run_distribute_train_gpu.sh', '2', '500', '0.05', 'coco', 'start.ckpt', '7',
               '--coco_root=D', cwd=tmp_path,
               env=os.environ | dict(PYTHON=str(stub), MASTER_PORT=str(free_port())))
    wanted = ('--output_dir=LOG --epoch_size=500 --lr=0.05 --dataset=coco --pre_trained=start.ckpt '
              '--pre_trained_epoch_size=7 --coco_root=D --run_platform=GPU --distribute=True')
    started = 'process 0 of 2: log in LOG/log.txt process 1 of 2: log in LOG/log_1.txt'.split()
    assert four.code == 0, four.err
    said = four.out.split()
    assert said[1:] == [*wanted.split(), '--only_prepare=True', *started, said[0], *wanted.split()]
    assert (tmp_path / 'LOG/log_1.txt').read_text().split()[1:] == wanted.split()


def test_hosts_that_do_not_fit(run):
    for variables, says in ((dict(NODE_NUM='2', NODE_RANK='2'), 'NODE_RANK is 2: of 2 hosts'),
                            (dict(NODE_NUM='2'), 'MASTER_ADDR is missing')):
        done = run('bash', SCRIPTS / 'run_distribute.sh', '1', env=os.environ | variables)
        assert done.code == 2 and says in done.err


@pytest.mark.parametrize('script', ('run_distribute.sh', 'run_distribute_train.sh',
                                    'run_distribute_train_gpu.sh', 'run_standalone_train.sh'))
def test_usage(script, run):
    done = run('bash', SCRIPTS / script, '--help')
    assert done.code == 0 and f'bash scripts/{script} DEVICE_' in done.out and '#' not in done.out


def free_port():
    with socket.socket() as s:
        s.bind(('', 0))
        return s.getsockname()[1]


ENVIRONMENT = os.environ | dict(PATH=f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}', GLOG_v='4')


def launch(folder, *options, prefix=(), processes=2, **variables):
    "run_distribute.sh in a folder, as a process"
    command = [*prefix, 'bash', str(SCRIPTS / 'run_distribute.sh'), str(processes), *TINY, '--batch_size=4',
               f'--mindrecord_dir={folder}/../mindrecord', *options]
    return subprocess.Popen(command, cwd=folder,
                            env=ENVIRONMENT | dict(MASTER_PORT=str(free_port())) | variables,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def ended(process, timeout=300):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def observed(folder, *options, processes=1, **variables):
    "observed_training.py by msrun, or alone; the reports of its epochs"
    folder.mkdir()
    start = ['msrun', f'--worker_num={processes}', f'--local_worker_num={processes}',
             f'--master_port={free_port()}', '--join=True', f'--log_dir={folder}/log']
    command = [*(start if processes > 1 else [sys.executable]), str(ROOT / 'tests/observed_training.py'),
               *TINY, f'--output_dir={folder}/run',
               f'--mindrecord_dir={folder}/../mindrecord', *options,
               *(['--distribute=True'] if processes > 1 else [])]
    done = subprocess.run(command, env=ENVIRONMENT | variables, capture_output=True, text=True, timeout=500)
    logs = {path.name: path.read_text() for path in folder.glob('log/*')}
    assert done.returncode == 0, (done.stderr[-2000:], {name: text[-2000:] for name, text in logs.items()})
    from ssd_nb.plumbing.bookkeeping import read_metrics
    return read_metrics(folder / 'run/metrics.csv'), logs


@SLOW
def test_two_processes_learn_what_one_learns(tmp_path):
    "With batch norm frozen, which knows only its own process, and without augmentation"
    settings = dict(FROZEN_NORM='1', WEIGHTS=str(tmp_path / 'weights'))
    (tmp_path / 'weights').mkdir()
    one, _ = observed(tmp_path / 'one', '--augment=False', '--batch_size=8', '--epoch_size=3', **settings)
    alone = {epoch: dict(np.load(tmp_path / f'weights/{epoch}_0.npz')) for epoch in (1, 2, 3)}
    two, _ = observed(tmp_path / 'two', '--augment=False', '--batch_size=4', '--epoch_size=3', processes=2,
                      **settings)
    for field in ('loss', 'loc_loss', 'cls_loss', 'positives'):
        np.testing.assert_allclose([getattr(r, field) for r in two], [getattr(r, field) for r in one],
                                   rtol=1e-4)
    for epoch, weights in alone.items():
        first, second = (dict(np.load(tmp_path / f'weights/{epoch}_{rank}.npz')) for rank in (0, 1))
        for name in weights:
            assert (first[name] == second[name]).all(), name
            np.testing.assert_allclose(first[name], weights[name], atol=1e-4, err_msg=name)


@SLOW
def test_the_first_evaluates_and_the_others_wait(tmp_path, script):
    "Longer than the 30 s after which a wait ends on the CPU if nobody says otherwise"
    reports, logs = observed(tmp_path / 'run', '--batch_size=4', '--run_eval=True', '--eval_start_epoch=2',
                             processes=2, EVALUATION_TAKES='40')
    folder = tmp_path / 'run/run'
    assert {path.name for path in folder.iterdir()} == {'best_map.ckpt', 'last.ckpt', 'metrics.csv',
                                                        'metrics.png', 'previous.ckpt', 'ssd-2_6.ckpt'}
    assert 'mAP' in logs['worker_0.log'] and 'mAP' not in logs['worker_1.log']
    assert 'loss is' not in logs['worker_1.log']
    again = script('eval.py', '--run_platform=CPU', f'--checkpoint_path={folder}/best_map.ckpt')
    assert float(map_of(again.out)) == reports[1].mAP


def wait_for(process, path, text, timeout=300):
    "Until a log holds a text"
    end = time.time() + timeout
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.time() < end, path.read_text() if path.exists() else 'no log'
        time.sleep(0.2)


def process_of(launcher, rank):
    "The process of a rank"
    for child in psutil.Process(launcher.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess): # another program that ends just now
            if child.environ().get('RANK_ID') == str(rank) and 'train.py' in ' '.join(child.cmdline()):
                return child


@SLOW
def test_killed_process_ends_the_others(tmp_path):
    (tmp_path / 'run').mkdir()
    training = launch(tmp_path / 'run', '--epoch_size=500')
    wait_for(training, tmp_path / 'run/LOG/log.txt', 'epoch time')
    others = psutil.Process(training.pid).children(recursive=True)
    process_of(training, 1).kill()
    begin = time.time()
    code, _, err = ended(training)
    assert time.time() - begin < 60 and code == 137, (code, err)
    assert 'error: process 1 of 2 ended with exit code 137' in err
    assert 'The last lines of LOG/log_1.txt' in err and '    process 1 of 2, which take 4 images' in err
    assert not psutil.wait_procs(others, timeout=10)[1]


@SLOW
def test_stopped_training_goes_on_as_if_nothing_had_been(tmp_path):
    for name in ('whole', 'stopped'): (tmp_path / name).mkdir()
    code, _, err = ended(launch(tmp_path / 'whole', '--ema_decay=0.9'))
    assert code == 0, err
    training = launch(tmp_path / 'stopped', '--ema_decay=0.9', '--resume')
    wait_for(training, tmp_path / 'stopped/LOG/log.txt', 'epoch time')
    training.send_signal(signal.SIGTERM)
    code, _, err = ended(training)
    log = (tmp_path / 'stopped/LOG/log.txt').read_text()
    assert code == 143 and 'stopped after step' in log and 'Traceback' not in log, (err, log)
    code, _, err = ended(launch(tmp_path / 'stopped', '--ema_decay=0.9', '--resume'))
    assert code == 0, err
    assert same_weights(tmp_path / 'whole/LOG/ssd-2_6.ckpt', tmp_path / 'stopped/LOG/ssd-2_6.ckpt')
    rows = [(tmp_path / name / 'LOG/metrics.csv').read_text().splitlines() for name in ('whole', 'stopped')]
    assert [row.split(',')[:7] for row in rows[0]] == [row.split(',')[:7]
                                                       for row in rows[1]] # all but the times


@SLOW
def test_dead_process_is_started_again_and_other_devices_go_on(tmp_path):
    folder = tmp_path / 'run'
    folder.mkdir()
    training = launch(folder, '--epoch_size=40', '--max_restarts=2', RESTART_PAUSE='1')
    wait_for(training, folder / 'LOG/log.txt', 'epoch time')
    process_of(training, 1).kill()
    wait_for(training, folder / 'LOG/log.txt', 'going on from LOG/last.ckpt')
    training.send_signal(signal.SIGHUP)
    code, _, err = ended(training)
    assert code == 129 and 'error: process 1 of 2 ended with exit code 137' in err, err
    assert 'restart 1 of 2 in 1 s, from the last checkpoint' in err
    alone = launch(folder, '--epoch_size=40', '--resume', processes=1)
    log = folder / 'LOG/log.txt'
    wait_for(alone, log, 'LOG/last.ckpt was trained on 2 devices, and there are 1 now: a step takes 4 images '
             'instead of 8, and their order differs')
    wait_for(alone, log, 'step: 12, loss is')
    alone.send_signal(signal.SIGINT)
    assert ended(alone)[0] == 130


@SLOW
def test_killed_launcher_leaves_nothing_and_all_is_saved(tmp_path):
    folder = tmp_path / 'run'
    folder.mkdir()
    training = launch(folder, '--epoch_size=500')
    wait_for(training, folder / 'LOG/log.txt', 'epoch time')
    others = psutil.Process(training.pid).children(recursive=True)
    training.kill()
    assert not psutil.wait_procs(others, timeout=60)[1]
    log = (folder / 'LOG/log.txt').read_text()
    assert (folder / 'LOG/last.ckpt').exists() and 'stopped after step' in log


@SLOW
def test_processes_with_other_options_end_before_the_first_step(tmp_path):
    "The second one is started with another learning rate, by a program in place of Python"
    stub = tmp_path / 'python'
    stub.write_text(f'#!/bin/sh\n[ "$RANK_ID$MS_ROLE" = 1MS_WORKER ] && set -- "$@" --lr=0.2\n'
                    f'exec {sys.executable} "$@"')
    stub.chmod(0o755)
    (tmp_path / 'run').mkdir()
    code, _, err = ended(launch(tmp_path / 'run', PYTHON=str(stub)))
    assert code == 2 and err.strip().splitlines()[-1].startswith('error: process ')
    assert ': --lr is "0.1" in process 0 on host ' in err and ', and "0.2" in process 1 on host ' in err
    assert not (tmp_path / 'run/LOG/last.ckpt').exists()


@pytest.fixture
def hosts():
    "Two network namespaces with a cable between them: what to put before a command to run it in one"
    names, addresses = [f'ssdnb{os.getpid()}{i}' for i in 'ab'], ('10.77.0.1', '10.77.0.2')
    def ip(*words): return subprocess.run(['ip', *words], capture_output=True).returncode == 0
    if shutil.which('ip') is None or not ip('netns', 'add', names[0]):
        pytest.skip('network namespaces can be made by root only, with iproute2')
    try:
        made = ip('netns', 'add', names[1]) and ip('link', 'add', names[0][-15:], 'type', 'veth', 'peer',
                                                   'name', names[1][-15:])
        for name, address in zip(names, addresses):
            made = made and ip('link', 'set', name[-15:], 'netns',
                               name) and ip('-n', name, 'addr', 'add', f'{address}/24', 'dev', name[-15:])
            made = made and ip('-n', name, 'link', 'set', name[-15:],
                               'up') and ip('-n', name, 'link', 'set', 'lo', 'up')
        if not made: pytest.skip('this system lets nobody join two network namespaces')
        yield [('ip', 'netns', 'exec', name) for name in names], addresses[0]
    finally:
        for name in names: ip('netns', 'del', name)


def start_host(tmp_path, hosts, i, port, *options, **variables):
    "One of two hosts with a process each"
    prefixes, address = hosts
    (tmp_path / str(i)).mkdir(exist_ok=True)
    training = launch(tmp_path / str(i), *options, prefix=prefixes[i], processes=1, NODE_NUM='2',
                      NODE_RANK=str(i), MASTER_ADDR=address, MASTER_PORT=port, **variables)
    training.port = port
    return training


def two_hosts(tmp_path, hosts, *options, **variables):
    "A training with one process on each of two hosts"
    port = str(free_port())
    return [start_host(tmp_path, hosts, i, port, *options, **variables) for i in (0, 1)]


@SLOW
def test_two_hosts_train_together(tmp_path, hosts):
    both = two_hosts(tmp_path, hosts)
    for code, _, err in map(ended, both): assert code == 0, err
    log = (tmp_path / '0/LOG/log.txt').read_text()
    assert re.findall(r'^epoch: (\d) step: 6, loss is', log,
                      flags=re.M) == ['1', '2'] and 'process 0 of 2' in log
    assert {p.name for p in (tmp_path / '1/LOG').iterdir()} == {'log_1.txt'} # the other host writes no more


@SLOW
@pytest.mark.parametrize('host', (0, 1))
def test_lost_host_ends_the_other(host, tmp_path, hosts):
    both = two_hosts(tmp_path, hosts, '--epoch_size=500')
    wait_for(both[0], tmp_path / '0/LOG/log.txt', 'epoch time')
    process_of(both[host], host).kill()
    begin = time.time()
    codes = [ended(training)[0] for training in (both[host], both[1 - host])]
    took = time.time() - begin
    assert codes[0] == 137 and codes[1] not in (0, None) and took < 90, (codes, took)


@SLOW
def test_lost_host_that_comes_back_goes_on(tmp_path, hosts):
    both = two_hosts(tmp_path, hosts, '--epoch_size=40', '--max_restarts=2', '--resume', RESTART_PAUSE='1')
    log = tmp_path / '0/LOG/log.txt'
    wait_for(both[0], log, 'epoch time')
    for process in psutil.Process(both[1].pid).children(recursive=True): process.kill()
    both[1].kill()
    both[1] = start_host(tmp_path, hosts, 1, both[1].port, '--epoch_size=40', '--max_restarts=2', '--resume')
    wait_for(both[0], log, 'going on from LOG/last.ckpt')
    for training in both: training.send_signal(signal.SIGTERM)
    assert [ended(training)[0] for training in both] == [143, 143]


@SLOW
@pytest.mark.parametrize('platform', ('Ascend', 'GPU'))
def test_missing_device_is_answered_in_one_sentence(platform, run, tmp_path):
    devices = [dict(device_id=str(i), device_ip=f'192.168.100.{i}', rank_id=str(i)) for i in range(2)]
    table = dict(version='1.0', server_count='1', status='completed',
                 server_list=[dict(server_id='10.0.0.1', device=devices)])
    (tmp_path / 'table.json').write_text(json.dumps(table))
    calls = dict(Ascend=[('run_distribute.sh', '2'), ('run_standalone_train.sh', '0', '1', '0.05', 'voc'),
                         ('run_distribute_train.sh', '2', '1', '0.05', 'voc', 'table.json')],
                 GPU=[('run_distribute.sh', '2'), ('run_standalone_train.sh', '0', '1', '0.05', 'voc'),
                      ('run_distribute_train_gpu.sh', '2', '1', '0.05', 'voc')])
    for script, *arguments in calls[platform]:
        done = run('bash', SCRIPTS / script, *arguments, f'--voc_root={SAMPLES}', '--dataset=voc',
                   f'--mindrecord_dir={tmp_path}/record', cwd=tmp_path,
                   env=ENVIRONMENT | dict(RUN_PLATFORM=platform, MASTER_PORT=str(free_port())))
        if done.code == 0: pytest.skip(f'{platform} is there')
        said = (done.out + done.err).strip().splitlines()
        assert done.code == 2 and len(said) == 1, said
        assert said[0].startswith(f'error: --run_platform={platform} ') and '--run_platform=CPU' in said[0]
    assert not (tmp_path / 'record').exists() # the device is asked for before the data is converted
