"""The house: how long the rooms are, what leans on what, and that what is public is explained and used."""
import ast
import importlib
import json
import re
import statistics
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest
from conftest import ROOT

import ssd_nb

LINE = 'boxes', 'data', 'backbones', 'ssd_heads', 'loss', 'train', 'eval', 'export_310' # in their order
NBS, PACKAGE = ROOT / 'nbs', ROOT / 'ssd_nb'
NOTEBOOKS = sorted(path for path in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in path.parts)
LINE_NOTEBOOKS = sorted(NBS.glob('0*.ipynb'))
PLUMBING = sorted((NBS / 'plumbing').glob('*.ipynb'))
MODULES = {'.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path
           for path in sorted(PACKAGE.rglob('*.py')) if not path.name.startswith('_')}
SCRIPTS = sorted([*(ROOT / 'scripts').rglob('*.py'), *(ROOT / 'tests').rglob('*.py'), *ROOT.glob('*.py')])
ASCEND_310 = ('data', 'eval', 'export_310', 'plumbing.commands', 'plumbing.device', 'plumbing.formats',
              'plumbing.records')


def need_none(offenders):
    "Fails with all of them, one a line"
    if isinstance(offenders, dict):
        offenders = [f'{name}: {what}' for name, what in offenders.items() if what]
    if offenders: pytest.fail('\n'.join(map(str, offenders)), pytrace=False)


# --- cells -------------------------------------------------------------------------------------------------

@cache
def cells(path):
    "The cells of a notebook, each with its source as one text"
    return [cell | dict(source=''.join(cell['source'])) for cell in json.loads(path.read_text())['cells']]


def code_lines(source):
    "What is read of a cell: no empty lines, no directives of nbdev"
    return [line for line in source.splitlines() if line.strip() and not re.match(r'\s*#\s*\|', line)]


def code_cells(path):
    return [cell for cell in cells(path) if cell['cell_type'] == 'code' and code_lines(cell['source'])]


def is_exported(cell): return re.search(r'^\s*#\s*\|\s*exports?\b', cell['source'], flags=re.M) is not None


def parse_cell(source):
    "Its syntax tree; lines of IPython count as nothing"
    return ast.parse(re.sub(r'^(\s*)[%!].*$', r'\1pass', source, flags=re.M))


DATA = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.Name, ast.Load, ast.Call, ast.keyword,
        ast.Starred,
        ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.Attribute, ast.JoinedStr, ast.FormattedValue)


def table_lines(source):
    "How many lines of a cell are a table: fields of a dataclass, or one assignment that only holds data"
    tree, rows = parse_cell(source), set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.decorator_list + node.bases:
            rows |= {row for field in node.body if isinstance(field, ast.AnnAssign)
                     for row in range(field.lineno, field.end_lineno + 1)}
    if len(tree.body) == 1 and isinstance(tree.body[0], (ast.Assign, ast.AnnAssign)):
        if all(isinstance(node, DATA) for node in ast.walk(tree.body[0].value)):
            rows |= set(range(tree.body[0].lineno, tree.body[0].end_lineno + 1))
    lines = source.splitlines()
    return sum(bool(code_lines(lines[row - 1])) for row in rows)


def drawn(cell):
    return any(kind.startswith('image/') for o in cell.get('outputs', []) for kind in o.get('data', {}))


def test_table_is_meant_narrowly():
    assert table_lines('A = dict(a=1,\n         b=[2, -3])') == 2
    assert table_lines('A = [x for x in B]') == table_lines('A = 1\nf(A)') == table_lines('f(1)') == 0
    assert table_lines('@dataclass\nclass A:\n    "text"\n    x: int = 1 # comment\n\n    def f(self): '
                       'return 1') == 1


def test_notebooks_of_the_line_are_short():
    need_none([f'{path.stem}: {len(cells(path))} cells' for path in LINE_NOTEBOOKS if len(cells(path)) > 150])


def test_notebooks_are_small():
    need_none([f'{path.stem}: {path.stat().st_size >> 10} KB' for path in NOTEBOOKS
               if path.stat().st_size >= 2 ** 20])


def test_lines_are_narrow():
    sources = {f'{path.stem} cell {i}': cell['source'] for path in NOTEBOOKS for i,
               cell in enumerate(cells(path))
               if cell['cell_type'] == 'code'}
    sources |= {str(path.relative_to(ROOT)): path.read_text() for path in SCRIPTS}
    wide = {name: [line for line in source.splitlines() if len(line) > 110] for name,
            source in sources.items()}
    need_none([f'{name}: {len(lines)} lines over 110 columns, such as {lines[0].strip()[:60]}'
               for name, lines in wide.items() if lines])


def test_no_cell_is_long():
    long = {}
    for path in NOTEBOOKS:
        for i, cell in enumerate(cells(path)):
            if cell['cell_type'] != 'code': continue
            length = len(code_lines(cell['source']))
            if length > 25 and length - table_lines(cell['source']) > 25:
                long[f'{path.stem} cell {i}'] = length
    need_none(long)


def test_cells_are_short_in_the_middle():
    long = {}
    for path in NOTEBOOKS:
        for kind, most in (('code', 6), ('exported', 10)):
            sizes = [len(code_lines(cell['source'])) for cell in code_cells(path) if kind == 'code'
                     or is_exported(cell)]
            if sizes and statistics.median(sizes) > most:
                long[f'{path.stem}, {kind}'] = statistics.median(sizes)
    need_none(long)


def test_the_line_has_as_much_text_as_code():
    share = {path.stem: sum(c['cell_type'] == 'markdown' for c in cells(path)) / len(code_cells(path))
             for path in LINE_NOTEBOOKS}
    need_none({name: round(part, 2) for name, part in share.items() if not 0.8 <= part <= 1.2})


def test_the_line_draws():
    code = [cell for path in LINE_NOTEBOOKS for cell in code_cells(path)]
    part = sum(map(drawn, code)) / len(code)
    assert part >= 0.15, f'only {part:.1%} of {len(code)} code cells'


# --- what leans on what ------------------------------------------------------------------------------------

@cache
def imports(module):
    "The modules of the package that a module imports, inside functions too"
    package, found = module.split('.')[:-1], set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import): names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom): names = from_names(node, package)
        else: continue
        found |= {name.removeprefix('ssd_nb.') for name in names if name.startswith('ssd_nb.')} & set(MODULES)
    return found


def from_names(node, package):
    "Full names of what a `from` statement may import: the module, or modules in it"
    up = ['ssd_nb', *package][:len(package) + 2 - node.level] if node.level else []
    base = '.'.join([*up, *([node.module] if node.module else [])])
    return [base, *(f'{base}.{alias.name}' for alias in node.names)]


@cache
def reach(module):
    "All modules that a module imports, directly or not"
    found, new = set(), {module}
    while new:
        new = set().union(*map(imports, new)) - found
        found |= new
    return found


def opening(path):
    "The first text cell"
    return next(cell['source'] for cell in cells(path) if cell['cell_type'] == 'markdown')


def test_there_are_no_circles():
    try: TopologicalSorter({module: imports(module) for module in MODULES}).prepare()
    except CycleError as error: pytest.fail(f'a circle of imports: {" -> ".join(error.args[1])}')


def test_the_line_leans_on_lower_numbers():
    wrong = {name: sorted(reach(name) & set(LINE[number:])) for number, name in enumerate(LINE)}
    need_none(wrong)


def test_plumbing_leans_on_what_it_says():
    wrong = {}
    for path in PLUMBING:
        said = re.search(r'^- \*\*Leans on\*\* (.*)$', opening(path), flags=re.M)
        real = imports(f'plumbing.{path.stem}') & set(LINE) - {'boxes'}
        named = set(re.findall(r'`(\w+)`', said[1])) & set(LINE) - {'boxes'} if said else None
        if named != real:
            wrong[path.stem] = f'says {sorted(named) if said else "nothing"}, imports {sorted(real)}'
    need_none(wrong)


def test_plumbing_says_who_calls_it():
    said = {path.stem: re.search(r'^- \*\*Called by\*\* \S', opening(path), flags=re.M) for path in PLUMBING}
    need_none([name for name, found in said.items() if not found])


def test_every_notebook_has_its_module():
    said = {path.stem: [re.search(r'default_exp ([\w.]+)', cell['source'])[1] for cell in cells(path)
                        if '#| default_exp' in cell['source']] for path in [*LINE_NOTEBOOKS, *PLUMBING]}
    assert said == {name: [f'plumbing.{name}'] if NBS / f'plumbing/{name}.ipynb' in PLUMBING else [name[3:]]
                    for name in said}
    assert sorted(found for (found,) in said.values()) == sorted(MODULES)


def test_modules_are_short():
    lengths = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    need_none({name: length for name, length in lengths.items() if length > 600})


def test_the_training_loop_is_read_at_once():
    "It stands in one place, in at most 40 lines, with an epoch, its batches, a step, and what follows them"
    tree = ast.parse(MODULES['train'].read_text())
    (loop,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == 'train']
    assert loop.end_lineno - loop.lineno < 40
    assert {'step', 'finish_epoch', 'evaluate_epoch', 'save_epoch'} <= set(words(loop))
    assert {type(node) for node in ast.walk(loop)} >= {ast.While, ast.For, ast.Yield}


def test_one_iou_is_taught_and_one_is_fast():
    "Elsewhere it is called: areas and shared lengths stand together in these two modules alone"
    found = [name for name, path in MODULES.items() for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.FunctionDef)
             and all(word in ast.unparse(node) for word in ('np.minimum(', 'np.maximum(', 'union'))]
    assert found == ['boxes'], found


# --- what is public ----------------------------------------------------------------------------------------

CALLED = '__init__', '__call__', 'construct' # methods that a user calls without their names


def public_definitions(tree):
    return [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
            and node.name[0] != '_']


def methods(node):
    "The functions that belong to a public definition, itself included"
    if isinstance(node, ast.FunctionDef): return [node]
    return [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name != 'bprop'
            and (part.name in CALLED or part.name[0] != '_')]


def parameters(function):
    "Line -> names of the parameters on it"
    args, rows = function.args, {}
    given = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
    for arg in given:
        if arg.arg not in ('self', 'cls'): rows.setdefault(arg.end_lineno, []).append(arg.arg)
    return rows


def missing_docments(node, lines):
    "Parameters and fields of a public definition without a comment of their own, and a missing docstring"
    if not ast.get_docstring(node): yield f'{node.name}: no docstring'
    for function in methods(node):
        for row, names in parameters(function).items():
            if '#' not in lines[row - 1] or len(names) > 1:
                yield f'{node.name}.{function.name}: {", ".join(names)}'
    if not (isinstance(node, ast.ClassDef) and node.decorator_list + node.bases): return
    for field in node.body:
        if not isinstance(field, ast.AnnAssign): continue
        if not any('#' in lines[row - 1] for row in range(field.lineno, field.end_lineno + 1)):
            yield f'{node.name}: field {field.target.id}'


def test_all_that_is_public_is_explained():
    missing = []
    for module, path in MODULES.items():
        source = path.read_text()
        for node in public_definitions(ast.parse(source)):
            missing += [f'{module}: {text}' for text in missing_docments(node, source.splitlines())]
    need_none(missing)


def words(tree):
    "Names that a piece of code uses"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name): yield node.id
        elif isinstance(node, ast.Attribute): yield node.attr
        elif isinstance(node, ast.alias): yield node.name.rpartition('.')[2]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.rpartition('.')[2]


@cache
def users():
    "File -> the names that it uses; a notebook and its module are one"
    found = {name: set(words(ast.parse(path.read_text()))) for name, path in MODULES.items()}
    found |= {str(path): set(words(ast.parse(path.read_text()))) for path in SCRIPTS}
    for path in NOTEBOOKS:
        of_line = path.stem[3:] if path in LINE_NOTEBOOKS else path.stem
        name = f'plumbing.{path.stem}' if path in PLUMBING else of_line
        for cell in code_cells(path): found.setdefault(name, set()).update(words(parse_cell(cell['source'])))
    return found


def returned_types(path):
    "What public functions and methods of a module say that they return: whoever calls them meets it"
    for node in public_definitions(ast.parse(path.read_text())):
        for function in methods(node):
            if function.returns: yield from words(function.returns)


def test_all_that_is_public_is_used():
    "By another module, a notebook, a script or a test; what is drawn or returned is for who calls"
    unused = {}
    for module in MODULES:
        exported = importlib.import_module(f'ssd_nb.{module}').__all__
        elsewhere = set(ssd_nb.__all__).union(*(names for user, names in users().items() if user != module))
        elsewhere |= set(returned_types(MODULES[module]))
        unused[module] = [name for name in exported if name not in elsewhere and not name.startswith('draw_')]
    need_none({name: ' '.join(found) for name, found in unused.items()})


def test_the_package_names_what_a_user_calls():
    assert 20 <= len(ssd_nb.__all__) <= 30
    assert not set(ssd_nb.__all__) & {module.rpartition('.')[2]
                                      for module in MODULES}, 'a module has this name'
    for name, place in ssd_nb._PLACES.items():
        module = importlib.import_module(f'ssd_nb.{place}')
        assert name in module.__all__ and getattr(ssd_nb, name) is getattr(module, name), (name, place)
    assert set(ssd_nb.__all__) <= set(dir(ssd_nb))
    with pytest.raises(AttributeError, match='nonsense'): ssd_nb.nonsense


# --- what is written ---------------------------------------------------------------------------------------

WRITES = set('write_bytes savefig imwrite VideoWriter savez savez_compressed copy2 copyfile copyfileobj '
             'copytree move dump FileWriter save_checkpoint export tofile SummaryWriter touch mkstemp '
             'save_file'.split())
WRITES_OF = {('np', 'save'), ('onnx', 'save'), ('shutil', 'copy'), ('os', 'rename'), ('os', 'replace'),
             ('os', 'truncate')}
OTHERWISE = { # module and function -> how it writes a whole file, or none, without `replace_file`
    'plumbing.files._make_part': 'the empty file that `replace_file` gives',
    'plumbing.files.replace_file': 'the function itself',
    'plumbing.records._TruthWriter.__enter__': 'in a folder that gets its name when it is whole',
    'plumbing.records._TruthWriter.__exit__': 'there',
    'plumbing.records._write_mindrecord': 'there',
    'plumbing.records._build_mindrecord': 'there',
    'plumbing.records._write_problems': 'there', 'plumbing.record_files.write_manifest': 'there',
    'plumbing.records._build_whole': 'gives the folder its name',
    'plumbing.records._make_part': 'makes the folder',
    'plumbing.records._open_lock': 'nothing is written to it',
    'plumbing.fingerprint.ImageTable.__enter__': 'in the folder of a MindRecord that is not whole yet',
    'plumbing.owners._sign': 'a lock, with the name of its owner',
    'plumbing.media._open_writer': 'to the file that `replace_file` gives',
    'plumbing.media.VideoCopy.close': 'to the same',
    'plumbing.backends._name_ends': 'to the same', 'plumbing.backends._write_plain': 'to the same',
    'plumbing.backends._write_anywhere': 'to the same', 'plumbing.whole_graph.make_whole': 'to the same',
    'plumbing.int8._make_ready': 'in a folder that goes at once',
    'plumbing.report._embed_figure': 'into memory',
    'plumbing.loader._claim_memory': 'shared memory',
    'plumbing.recipes._open_log': 'a log that grows', 'plumbing.launch._start_one': 'the same',
    'plumbing.launch._start_scheduler': 'the same', 'plumbing.launch._Follower.__init__': 'the same',
    'plumbing.trainer._note_step': 'a few letters for the launcher, which reads them soon',
    'plumbing.trainer._keep_previous': 'a second name for a file that is whole',
    'plumbing.trainer._read_last': 'gives a damaged file another name',
    'plumbing.recipes._move_aside': 'gives a folder another name',
    'plumbing.training_commands._open_event_writer': 'events of TensorBoard, which grow',
    'plumbing.device._write_nvcc': 'in a folder that goes when the process ends',
}


def is_write(node):
    "Whether a call writes a file by itself"
    if not isinstance(node, ast.Call): return False
    name = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
    owner = getattr(getattr(node.func, 'value', None), 'id', '')
    if name == 'open':
        modes = [a.value for a in [*node.args[1 if isinstance(node.func, ast.Name) else 0:],
                                   *(k.value for k in node.keywords if k.arg == 'mode')]
                 if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        flags = {n.attr for a in node.args for n in ast.walk(a) if isinstance(n, ast.Attribute)}
        return any(set('wax+') & set(mode) for mode in modes if len(mode) < 4) or 'O_CREAT' in flags
    if name == 'write_text': return isinstance(node.func, ast.Attribute) # a method of pathlib, not ours
    if name in ('rename', 'replace') and len(node.args) == 1 and not node.keywords: return bool(owner)
    return name in WRITES or (owner, name) in WRITES_OF


def list_writes(node, place, whole=False):
    "Place of each call that writes, unless `replace_file` is around it"
    for child in ast.iter_child_nodes(node):
        inner = whole or isinstance(node, ast.With) and any('replace_file' in ast.unparse(item)
                                                           for item in node.items)
        named = isinstance(child, (ast.FunctionDef, ast.ClassDef))
        if is_write(child) and not inner: yield place
        yield from list_writes(child, f'{place}.{child.name}' if named else place, inner)


def test_one_function_writes():
    "Beside the file, which gets its name when it is whole: see plumbing/files"
    files = MODULES | {path.name: path for path in SCRIPTS if path.parent == ROOT / 'scripts'}
    trees = {name: ast.parse(path.read_text()) for name, path in files.items()}
    found = {place for name, tree in trees.items() for place in list_writes(tree, name)}
    need_none(sorted(found - set(OTHERWISE)))
    need_none([f'{name} does not write any more' for name in sorted(set(OTHERWISE) - found)])


def test_writers_are_found():
    "In code that the test above would let through, if it could not fail"
    for code in ("open(p, 'w')", "open(p, mode='ab')", "p.open('w')", 'p.write_text(t)', "np.save(p, a)",
                 "cv2.imwrite(p, i)", 'figure.savefig(p)', 'shutil.copy(a, b)', 'part.replace(path)',
                 "os.open(p, os.O_WRONLY | os.O_CREAT)", 'ms.save_checkpoint(n, p)'):
        assert list(list_writes(ast.parse(f'def f(): {code}'), 'a')) == ['a.f'], code
        assert not list(list_writes(ast.parse(f'with replace_file(p) as part: {code}'), 'a')), code
    for code in ("open(p)", "open(p, 'rb')", "write_text(p, t)", 'replace(c, data=d)', "s.replace('a', 'b')"):
        assert not list(list_writes(ast.parse(code), 'a')), code


# --- what is not needed ------------------------------------------------------------------------------------

@pytest.mark.parametrize('module', ('ssd_nb', 'ssd_nb.boxes', 'ssd_nb.plumbing.options',
                                    'ssd_nb.plumbing.commands'))
def test_import_is_light(module, run):
    heavy = {'mindspore', 'matplotlib', 'cv2', 'jsonargparse'}
    code = f'import sys, {module}\nprint(*{heavy} & set(sys.modules))'
    done = run(sys.executable, '-c', code)
    assert done.code == 0 and not done.out.split(), done.out + done.err


def test_an_ascend_310_needs_neither_matplotlib_nor_widgets(run):
    code = ('import runpy, sys\nfor name in ("matplotlib", "ipywidgets", "IPython"): sys.modules[name] = '
            'None\n'
            + ''.join(f'import ssd_nb.{module}\n' for module in ASCEND_310)
            + f'sys.argv = ["infer.py", "--help"]\nrunpy.run_path({str(ROOT / "scripts/infer.py")!r}, '
              f'run_name="__main__")')
    done = run(sys.executable, '-c', code)
    assert done.code == 0 and 'usage: infer.py' in done.out, done.err


@pytest.mark.parametrize('path', sorted((ROOT / 'scripts').glob('*.py')), ids=lambda path: path.name)
def test_script_loads_nothing_heavy_at_its_top(path):
    "Processes that prepare images import it once more"
    heavy = 'mindspore', 'matplotlib', 'cv2', 'numpy', 'ssd_nb'
    light = ('ssd_nb.plumbing.options', 'ssd_nb.plumbing.commands', 'ssd_nb.plumbing.training_commands',
             'ssd_nb.plumbing.files')
    top = ast.parse(path.read_text()).body
    loaded = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
    loaded += [node.module for node in top if isinstance(node, ast.ImportFrom)]
    assert not [name for name in loaded if name.partition('.')[0] in heavy and name not in light]
