"""Package and notebooks agree, the notebooks are clean, and the modules keep their order."""
import ast
import builtins
import dis
import importlib
import json
import re
import shutil
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from conftest import ROOT

MODULES = 'boxes', 'data', 'backbones', 'ssd_heads', 'loss', 'train', 'eval', 'export_310'
NOTEBOOKS = sorted((ROOT / 'nbs').glob('*.ipynb'))
TEXTS = 'README.md', 'CONTRIBUTING.md', 'scripts/README.md', 'data_samples/README.md'
BIN = Path(sys.executable).parent


@pytest.fixture
def copy(tmp_path):
    "What nbdev needs, in a folder that may be written to"
    for name in ('nbs', 'ssd_nb'):
        shutil.copytree(ROOT / name, tmp_path / name,
                        ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', 'rank_*'))
    for name in ('settings.ini', 'setup.py', 'pyproject.toml', 'README.md'):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def texts(folder, pattern):
    return {p.name: p.read_text() for p in folder.glob(pattern)}


def test_package_is_what_the_notebooks_export(copy, run):
    done = run(BIN / 'nbdev_export', cwd=copy)
    assert done.code == 0, done.err
    assert texts(copy / 'ssd_nb', '*.py') == texts(ROOT / 'ssd_nb',
                                                   '*.py'), 'run nbdev_export and commit what it changes'


def test_notebooks_are_clean(copy, run):
    done = run(BIN / 'nbdev_clean', cwd=copy)
    assert done.code == 0, done.err
    dirty = [name for name, text in texts(copy / 'nbs', '*.ipynb').items()
             if text != (ROOT / 'nbs' / name).read_text()]
    assert not dirty, 'run nbdev_clean'


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_saved_notebook(path):
    notebook = json.loads(path.read_text())
    outputs = [o for cell in notebook['cells'] for o in cell.get('outputs', [])]
    assert not [o for o in outputs if o['output_type'] == 'error']
    assert 'widgets' not in notebook['metadata'], 'scripts/refresh_notebooks.py saves pictures instead'
    assert path.stat().st_size < 2**20
    if path.stem != 'index':
        assert any('image/png' in o.get('data', {}) for o in outputs), 'no picture is saved'


@pytest.mark.parametrize('number', range(len(MODULES)), ids=MODULES)
def test_module_imports_only_lower_ones(number):
    tree = ast.parse((ROOT / 'ssd_nb' / f'{MODULES[number]}.py').read_text())
    used = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level}
    assert used <= set(MODULES[:number])


def code_in(code):
    "A module's code, and that of its classes and functions"
    yield code
    for inner in code.co_consts:
        if isinstance(inner, type(code)): yield from code_in(inner)


@pytest.mark.parametrize('name', MODULES)
def test_module_has_all_names_that_it_uses(name):
    "A notebook has them from its other cells: an import that is not exported is missing in the module alone"
    module = importlib.import_module(f'ssd_nb.{name}')
    code = compile(Path(module.__file__).read_text(), module.__file__, 'exec')
    used = {step.argval for part in code_in(code) for step in dis.get_instructions(part)
            if step.opname == 'LOAD_GLOBAL'}
    assert not {n for n in used if not hasattr(module, n) and not hasattr(builtins, n)}


def test_package_runs_without_notebook_tools(run):
    tools = ('nbdev', 'fastcore', 'execnb', 'IPython', 'ipywidgets', 'jupyterlab', 'nbformat', 'nbclient',
             'pytest')
    code = (f'import sys\nfor name in {tools}: sys.modules[name] = None\n'
            + ''.join(f'import ssd_nb.{module}\n' for module in MODULES))
    done = run(sys.executable, '-c', code)
    assert done.code == 0, done.err


def test_options_have_one_meaning_and_a_text():
    sys.path.insert(0, str(ROOT / 'scripts'))
    from cli import field_docs
    from ssd_nb.train import Config
    from ssd_nb.eval import EvalConfig
    parts = [type(getattr(Config(), f.name)) for f in fields(Config)] + [EvalConfig]
    names = [f.name for part in parts for f in fields(part)]
    assert len(names) == len(set(names)), 'two configurations have a field of the same name'
    undocumented = [f.name for part in parts for f in fields(part) if not field_docs(part).get(f.name)]
    assert not undocumented


@pytest.mark.parametrize('name', TEXTS)
def test_files_that_a_text_names_are_there(name):
    text, folder = (ROOT / name).read_text(), (ROOT / name).parent
    linked = {folder / link.partition('#')[0]
              for link in re.findall(r'\]\((?!\w+:)([^)#\s]+[^)\s]*)\)', text)}
    called = {ROOT / script for script in re.findall(r'\bscripts/\w+\.(?:py|sh|md)\b', text)}
    assert not [str(path) for path in linked | called if not path.exists()]


def test_every_script_is_explained():
    texts = ''.join((ROOT / name).read_text() for name in TEXTS)
    helpers = {'cli.py', 'make_venv.sh', 'published_arguments.sh', 'infer.py', 'build_site.py',
               'torch_ssd.py'} # called by others only
    scripts = {path.name for path in (ROOT / 'scripts').iterdir() if path.suffix in ('.py', '.sh')
               and not path.name.startswith('bench_')}
    assert not {name for name in scripts - helpers if name not in texts}
