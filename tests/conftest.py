"""What the tests share: the tiers, running a command as a user would, and the closing line."""
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault('ONEDNN_MAX_CPU_ISA',
                      'AVX2') # or every process says that it sets this, where the CPU has AVX-512


def pytest_addoption(parser):
    parser.addoption('--slow', action='store_true', help='run all tiers')


def pytest_configure(config):
    config.addinivalue_line('markers', 'slow: takes minutes; runs with --slow only')


def pytest_collection_modifyitems(config, items):
    "Notebooks begin, since some of them take long; slow tests wait for --slow"
    items.sort(key=lambda item: item.path.name != 'test_notebooks.py')
    if config.getoption('--slow'): return
    for item in items:
        if 'slow' in item.keywords: item.add_marker(pytest.mark.skip(reason='runs with --slow'))


def pytest_unconfigure(config):
    "The very last line: how many passed and failed; an error while a test is set up counts as failed"
    reporter = config.pluginmanager.get_plugin('terminalreporter')
    if reporter is None or config.option.collectonly: return
    count = {name: len(reporter.stats.get(name, [])) for name in ('passed', 'failed', 'error')}
    print(f"{count['passed']} passed, {count['failed'] + count['error']} failed", flush=True)


@pytest.fixture
def run():
    "Runs a command in the project's folder; answers its exit code and what it printed"
    def run(*command, cwd=ROOT, timeout=600, **kwargs):
        done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True,
                              timeout=timeout, **kwargs)
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)
    return run


@pytest.fixture
def script(run):
    "Runs a script of `scripts/` with the Python that runs the tests"
    return lambda name, *options, **kwargs: run(sys.executable, ROOT / 'scripts' / name, *options, **kwargs)


@pytest.fixture
def script_here(monkeypatch, capsys, tmp_path):
    "The same in this process, since starting one takes seconds; in an empty folder unless another is given"
    def script_here(name, *options, cwd=tmp_path):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, 'argv', [name, *map(str, options)])
        capsys.readouterr()
        code = 0
        try: runpy.run_path(str(ROOT / 'scripts' / name), run_name='__main__')
        except SystemExit as ended: code = ended.code or 0
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)
    return script_here


@pytest.fixture
def small_disk(tmp_path):
    "A disk of 200 KB, where the system lets one be made"
    place = tmp_path / 'disk'
    place.mkdir()
    if shutil.which('mount') is None or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=200k', 'tmpfs',
                                                        place], capture_output=True).returncode:
        pytest.skip('a small disk can be made by root only')
    yield place
    subprocess.run(['umount', '-l', place], check=True)
