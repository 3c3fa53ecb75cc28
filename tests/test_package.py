"""Package and notebooks agree, the notebooks are clean, and the modules keep their order."""
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

MODULES = ['.'.join(path.relative_to(ROOT / 'ssd_nb').with_suffix('').parts)
           for path in sorted((ROOT / 'ssd_nb').rglob('*.py')) if not path.name.startswith('_')]
NOTEBOOKS = sorted(path for path in (ROOT / 'nbs').rglob('*.ipynb') if '.ipynb_checkpoints' not in path.parts)
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
    "Content of the files, by their paths"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob(pattern)
            if '.ipynb_checkpoints' not in path.parts}


def differing(one, other): return sorted(name for name in one | other if one.get(name) != other.get(name))


def test_package_is_what_the_notebooks_export(copy, run):
    done = run(BIN / 'nbdev_export', cwd=copy)
    assert done.code == 0, done.err
    changed = differing(texts(copy / 'ssd_nb', '*.py'), texts(ROOT / 'ssd_nb', '*.py'))
    assert not changed, f'run nbdev_export and commit what it changes: {changed}'


def test_notebooks_are_clean(copy, run):
    done = run(BIN / 'nbdev_clean', cwd=copy)
    assert done.code == 0, done.err
    dirty = differing(texts(copy / 'nbs', '*.ipynb'), texts(ROOT / 'nbs', '*.ipynb'))
    assert not dirty, f'run nbdev_clean: {dirty}'


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_saved_notebook(path):
    notebook = json.loads(path.read_text())
    outputs = [o for cell in notebook['cells'] for o in cell.get('outputs', [])]
    assert not [o for o in outputs if o['output_type'] == 'error']
    assert 'widgets' not in notebook['metadata'], 'refresh_notebooks.py saves pictures instead'
    drawn = any(kind.startswith('image/') for o in outputs for kind in o.get('data', {}))
    assert drawn or path.parent.name == 'plumbing', 'no picture is saved'


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
    from ssd_nb.train import Config
    from ssd_nb.eval import EvalConfig
    from ssd_nb.plumbing.options import read_field_docs
    parts = [type(getattr(Config(), f.name)) for f in fields(Config)] + [EvalConfig]
    names = [f.name for part in parts for f in fields(part)]
    assert len(names) == len(set(names)), 'two configurations have a field of the same name'
    undocumented = [f.name for part in parts for f in fields(part) if not read_field_docs(part).get(f.name)]
    assert not undocumented


def text_of(path):
    "What is read in a file, without the code in it"
    text = path.read_text()
    if path.suffix == '.ipynb':
        text = '\n\n'.join(''.join(c['source']) for c in json.loads(text)['cells']
                           if c['cell_type'] == 'markdown')
    return text


def named_files(path):
    "The files that links lead to, and the scripts and tests that a text names"
    text = text_of(path)
    links = re.findall(r'\]\((?!\w+:)([^)#\s]+[^)\s]*)\)', re.sub(r'(?s)```.*?```|`[^`\n]*`', '', text))
    scripts = re.findall(r'\b(?:scripts|tests)/[\w/]+\.(?:py|sh|md)\b', text)
    return {path.parent / link.partition('#')[0] for link in links} | {ROOT / name for name in scripts}


def test_files_that_a_text_names_are_there():
    paths = [*(ROOT / name for name in TEXTS), *NOTEBOOKS]
    missing = {path.name: [str(file) for file in named_files(path) if not file.exists()] for path in paths}
    missing = {name: found for name, found in missing.items() if found}
    assert not missing, missing


def test_readme_lists_the_plumbing():
    "With the question of each title"
    questions = {}
    for path in (ROOT / 'nbs/plumbing').glob('*.ipynb'):
        title = text_of(path).splitlines()[0]
        assert title.startswith(f'# {path.stem}: '), title
        questions[path.stem] = title.partition(': ')[2]
    rows = dict(re.findall(r'^\| \[(\w+)\]\(nbs/plumbing/\w+\.ipynb\) \| (.*) \|$',
                           (ROOT / 'README.md').read_text(), flags=re.M))
    assert rows == questions, '\n'.join(f'| [{n}](nbs/plumbing/{n}.ipynb) | {q} |' for n,
                                        q in sorted(questions.items()))


def test_every_script_is_explained():
    texts = ''.join((ROOT / name).read_text() for name in TEXTS)
    helpers = {'find_python.sh', 'make_venv.sh', 'published_arguments.sh', 'infer.py', 'build_site.py',
               'torch_ssd.py'} # called by others
    scripts = {path.name for path in (ROOT / 'scripts').rglob('*') if path.suffix in ('.py', '.sh')}
    assert not {n for n in scripts - helpers if n not in texts and not n.startswith('bench_')}


def test_pip_installs_the_command(tmp_path, run):
    "What setup.py tells pip"
    done = run(sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', tmp_path)
    assert done.code == 0, done.err
    folder = next(tmp_path.glob('*.egg-info'))
    assert 'ssd_nb = ssd_nb.plumbing.commands:main' in (folder / 'entry_points.txt').read_text()
