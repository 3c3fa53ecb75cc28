"""Mutated inputs with a fixed seed, and whether a reader survives them.

A reader survives a mutant if it loads it or raises `UserError` with one sentence. It fails with any other
exception, a crash of the process, after 30 seconds, or with 2 GB of memory.

    def read_coco(folder): read_annotations(DataConfig('coco', coco_root=str(folder)), 'train')

    @pytest.mark.slow
    def test_coco():
        tree = json.loads((SAMPLES / 'annotations/instances_train.json').read_text())
        mutants = [Mutant(label, {'annotations/instances_train.json': json.dumps(new).encode()})
                   for label, new in mutate_tree(tree, 300, seed=1)]
        tried = try_mutants('coco', read_coco, mutants, base=SAMPLES)
        assert not tried.failed, tried.failed[0]

`read_coco` is at the top of a test module: a child process imports that module and calls it with a folder
that holds a copy of `base` with the files of the mutant in place; a value None in `files` removes a file. The
input as it is must load first, so that a reader that refuses all does not pass. `mutate_tree` is for JSON and
YAML, `mutate_text` for rows and XML, `mutate_bytes` for all other files; each gives pairs of a label and the
new content. What is printed: NAME: tried, survived (loaded, told), failed, seconds."""
import copy
import importlib
import json
import os
import pickle
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

SECONDS, MEMORY = 30, 2 * 1024 ** 3 # for one mutant
_HERE = Path(__file__).resolve().parent


class Mutant(NamedTuple):
    "An input that differs from a good one"
    label: str  # what was done
    files: dict # name in the folder -> new content as bytes, None: the file is gone


class Tried(NamedTuple):
    "What became of the mutants of a reader"
    name: str    # of the reader
    loaded: int  # mutants that it takes
    told: int    # that it answers with a sentence
    failed: list # (label, what happened) of all others


# ---- bytes

_LARGE = b'\xff', b'\xff\xff\xff\xff', b'\x7f\xff\xff\xff', b'\0\0\0\x80', b'\xff' * 8, b'\0' * 8


def _mutate_once(data, draw): # -> label, bytes
    place, length = draw.randrange(len(data)), min(draw.choice((1, 4, 16, 200, 5000)), len(data))
    kind = draw.choice(('flip', 'flip', 'flip', 'cut', 'byte', 'zero', 'remove', 'repeat', 'insert', 'large',
                        'swap'))
    start, end = data[:place], data[place + length:]
    piece = data[place:place + length]
    if kind == 'flip':
        bit = draw.randrange(8)
        return f'bit {bit} of byte {place}', start + bytes([data[place] ^ 1 << bit]) + data[place + 1:]
    if kind == 'cut': return f'cut off after {place} bytes', start
    if kind == 'byte':
        new = draw.randrange(256)
        return f'byte {place} is {new}', start + bytes([new]) + data[place + 1:]
    if kind == 'zero': return f'{length} zeros at {place}', start + b'\0' * len(piece) + end
    if kind == 'remove': return f'{length} bytes gone at {place}', start + end
    if kind == 'repeat': return f'{length} bytes twice at {place}', start + piece * 2 + end
    if kind == 'insert':
        return f'{length} random bytes at {place}', start + draw.randbytes(length) + data[place:]
    if kind == 'large':
        new = draw.choice(_LARGE)
        return f'{new!r} at {place}', start + new + data[place + len(new):]
    other = draw.randrange(len(data))
    low, high = sorted((place, other))
    return f'swapped at {low} and {high}', data[high:] + data[low:high] + data[:low]


def iterate_bytes(data, count, seed=0, head=0):
    "As `mutate_bytes`, one after the other: for large files"
    draw, made = random.Random(seed), 5
    yield from [('empty', b''), ('one byte', data[:1]), ('ends one byte early', data[:-1]),
                ('one byte more', data + b'\0'), ('half', data[:len(data) // 2])][:count]
    while made < count:
        part = head if head and made % 2 else len(data)
        label, new = _mutate_once(data[:part], draw)
        new += data[part:] if 'cut off' not in label else b''
        if new == data: continue
        yield label, new
        made += 1


def mutate_bytes(data, count, seed=0, head=0):
    "Pairs of label and bytes; where `head` is given, every other mutant changes only so many first bytes"
    return list(iterate_bytes(data, count, seed, head))


# ---- trees: what JSON and YAML hold

ODD = (None, True, False, 0, -1, 1.5, 1e308, -1e308, 1e-320, float('nan'), float('inf'), -float('inf'),
       2 ** 31, 2 ** 63, 2 ** 70, -2 ** 70, 10 ** 400, '', ' ', '0', '-1', 'nan', '1e999', 'x' * 100_000,
       'a\0b', '\ud800', '\u202e', 'ä', '../../outside', '/', '/dev/zero', '~', '%s{}', '\n', '\x1b[31m',
       '$\\frac$', '日本', [], {}, [[]], [None], [0] * 1000, {'': None}, {'a': {'b': [1, {'c': []}]}},
       [1, 'a', None, {}], ['x'], [[1, 2], [3]], 'a,b,c')
_KINDS = 'value', 'value', 'value', 'drop', 'rename', 'add', 'wrap', 'text', 'twice', 'nest'


def _list_places(tree, path=()): # -> path of every value in a tree
    yield path
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs: yield from _list_places(value, (*path, key))


def _follow(tree, path):
    for key in path: tree = tree[key]
    return tree


def _nest(depth):
    tree = []
    for _ in range(depth): tree = [tree]
    return tree


def mutate_tree(tree, count, seed=0, odd=ODD):
    "Pairs of label and tree: keys are missing, renamed or new, values have other types or are extreme"
    draw, found = random.Random(seed), []
    places = [path for path in _list_places(tree) if path]
    level = {}
    for path in places: level.setdefault(tuple(k if isinstance(k, str) else 0 for k in path), []).append(path)
    kinds = list(level.values()) # a long list of the same counts as one place
    while len(found) < count:
        new, path = copy.deepcopy(tree), draw.choice(draw.choice(kinds))
        holder, key = _follow(new, path[:-1]), path[-1]
        where = '.'.join(map(str, path))
        kind = draw.choice(_KINDS)
        if kind == 'value':
            value = draw.choice(odd)
            holder[key] = copy.deepcopy(value)
            label = f'{where} is {str(value)[:40]!r} ({type(value).__name__})'
        elif kind == 'drop': label = f'{where} is missing'; del holder[key]
        elif kind == 'rename' and isinstance(holder, dict):
            name = draw.choice((f'{key}_', str(key).upper(), '', 'a\0', '\ud800', 'x' * 1000))
            holder[name] = holder.pop(key)
            label = f'{where} is called {name[:20]!r}'
        elif kind == 'add' and isinstance(holder, dict):
            value = draw.choice(odd)
            holder[f'unknown_{draw.randrange(9)}'], label = value, f'something new beside {where}'
        elif kind == 'wrap': holder[key], label = [holder[key]], f'{where} in a list'
        elif kind == 'text': holder[key], label = str(holder[key])[:1000], f'{where} as text'
        elif kind == 'twice' and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
            label = f'{where} twice'
        elif kind == 'nest' and draw.random() < 0.2:
            holder[key], label = _nest(90), f'{where} is 90 lists deep'
        else: continue
        found.append((label, new))
    return found


# ---- text: rows, XML

_WORDS = ('', ' ', '\0', '\t', ',', ';', ',,', '-1', '0', 'nan', 'inf', '1e999', '99999999999999999999', '-0',
          '1.5.2', '"', "'", '<', '&lt;', '\ufeff', '\ud800', '\r', '\x1b[31m', 'ä', '../../outside',
          '/dev/zero', '/', '%s', '{}', '#', 'x' * 50_000, '日本', '\u202e', '[', '{', '&a', '*a',
          '!!python/object:os.system', '0x10', '1_0', '１', '٣')


def mutate_text(text, count, seed=0):
    "Pairs of label and bytes: rows gone, torn or twice; words replaced by odd ones; other encodings"
    draw, rows = random.Random(seed), text.splitlines(keepends=True)
    codes = 'utf-16', 'utf-8-sig', 'utf-32', 'cp037'
    found = [(f'in {code}', text.encode(code, 'replace')) for code in codes]
    found += [('ends of Windows', text.replace('\n', '\r\n').encode()), ('empty', b''),
              ('no last end', text.rstrip('\n').encode()), ('backwards', ''.join(reversed(rows)).encode())]
    while len(found) < count:
        i = draw.randrange(len(rows))
        new, words = list(rows), _split_words(rows[i])
        kind = draw.choice(('drop', 'twice', 'tear', 'word', 'word', 'word', 'word', 'add', 'move'))
        if kind == 'drop': del new[i]
        elif kind == 'twice': new.insert(i, rows[i])
        elif kind == 'tear': new[i] = rows[i][:draw.randrange(max(len(rows[i]), 1))]
        elif kind == 'add': new.insert(i, draw.choice(_WORDS) + '\n')
        elif kind == 'move': new.append(new.pop(i))
        elif words:
            begin, end = draw.choice(words)
            word = draw.choice(_WORDS)
            new[i] = rows[i][:begin] + word + rows[i][end:]
            kind = f'{rows[i][begin:end][:20]!r} becomes {word[:20]!r}'
        found.append((f'row {i + 1}: {kind}', ''.join(new).encode('utf-8', 'surrogatepass')))
    return found[:count]


def _split_words(row):
    return [found.span() for found in re.finditer(r'[\w.+-]+', row)]


# ---- trying them

class _Patch(NamedTuple):
    "New content of a file as what differs from the good one: large files would not fit into memory"
    start: int    # bytes that stay before
    middle: bytes # the new ones
    end: int      # bytes that stay after


def _count_same(a, b): # first bytes that two have in common
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]: low = middle
        else: high = middle - 1
    return low


def _shrink(mutant, good): # good: name -> content of the base
    def shrink(name, new):
        if new is None or not (old := good(name)): return new
        start = _count_same(old, new)
        end = _count_same(old[start:][::-1], new[start:][::-1])
        return _Patch(start, new[start:len(new) - end], end)
    return mutant._replace(files={name: shrink(name, new) for name, new in mutant.files.items()})


def _make_reader(base): # name -> content of that file in a folder, b'' if there is none
    @lru_cache(8)
    def read(name):
        path = Path(base or '.') / name
        return path.read_bytes() if base and path.is_file() else b''
    return read

def try_mutants(name, read, mutants, base=None, seconds=SECONDS, memory=MEMORY):
    "Calls `read` with a folder for each mutant, in child processes; prints and returns a `Tried`"
    began, answers, start, good = time.monotonic(), {}, 0, _make_reader(base)
    mutants = [_shrink(mutant, good) for mutant in mutants]
    with tempfile.TemporaryDirectory(prefix='mutants_') as place:
        job = Path(place) / 'job'
        work = read.__module__, read.__name__, str(base or ''), memory, mutants
        job.write_bytes(pickle.dumps(work))
        while start < len(mutants): # a child that dies is followed by another, after the mutant that ended it
            ended = _watch_child(job, start, seconds, answers)
            if start not in answers: raise RuntimeError(f'{name} does not begin: {ended}')
            start = max(answers) + 1
            if answers[start - 1] is None: answers[start - 1] = 'failed', ended
    failed = [(mutants[i].label, text) for i, (kind, text) in sorted(answers.items()) if kind == 'failed']
    loaded, told = (sum(kind == wanted for kind, _ in answers.values()) for wanted in ('loaded', 'told'))
    print(f'{name}: {len(answers)} tried, {loaded + told} survived ({loaded} loaded, {told} answered in a '
          f'sentence), {len(failed)} failed, {time.monotonic() - began:.0f} s', flush=True)
    for label, text in failed[:20]: print(f'    {ascii(label)}: {text}', flush=True)
    return Tried(name, loaded, told, failed)


def _watch_child(job, start, seconds, answers): # number of a mutant -> (kind, text), None while it runs
    "Notes what a child says of mutants, from `start` on; answers why it ended"
    paths = [str(_HERE), str(_HERE.parent), os.environ.get('PYTHONPATH', '')]
    env = os.environ | dict(MALLOC_ARENA_MAX='2', GLOG_v='4', PYTHONPATH=os.pathsep.join(filter(None, paths)))
    with open(job.with_name('log'), 'wb') as log:
        child = subprocess.Popen([sys.executable, __file__, str(job), str(start)], env=env, cwd=job.parent,
                                 stdout=subprocess.PIPE, stderr=log, bufsize=0)
    patience = 180 # to import, and to load the input as it is
    while select.select([child.stdout], [], [], patience)[0]:
        row = _read_row(child.stdout)
        if not row: break
        number, kind, text = json.loads(row)
        answers[number] = None if kind == 'begins' else (kind, text)
        patience = seconds
    else:
        child.kill(), child.wait()
        return f'it takes more than {patience} s'
    log = job.with_name('log').read_bytes().decode('utf-8', 'replace').strip()
    return f'the process ended with {child.wait()}: {ascii(log[-300:])}'


def _read_row(stream): # byte by byte, so that `select` sees what is left
    row = b''
    while not row.endswith(b'\n'):
        if not (more := stream.read(1)): break
        row += more
    return row


def is_sentence(text):
    "Whether a message is one sentence that can be printed; a tabulator in a name can"
    from ssd_nb.plumbing.untrusted import show_text
    return text.endswith(('.', '?')) and show_text(text) == text and len(text) < 1000


def _prepare(folder, base, files):
    if base: shutil.copytree(base, folder, symlinks=True)
    else: folder.mkdir()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None: path.unlink(missing_ok=True)
        elif isinstance(content, _Patch):
            old = path.read_bytes()
            path.write_bytes(old[:content.start] + content.middle + old[len(old) - content.end:])
        else: path.write_bytes(content)
    return folder


def _limit_memory(more):
    import resource
    with open('/proc/self/statm') as file: now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))


def _try(read, folder): # -> kind, text
    from ssd_nb.plumbing.options import UserError
    try: read(folder)
    except UserError as error:
        return ('told', '') if is_sentence(str(error)) else ('failed', f'no sentence: {str(error)[:300]!a}')
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f'{type(error).__name__} {str(error)[:200]!a}'
        return 'failed', f'{what} in {Path(frame.filename).name}:{frame.lineno}'
    return 'loaded', ''


def _run_child(job, start):
    module, function, base, memory, mutants = pickle.loads(Path(job).read_bytes())
    out = os.dup(1)
    os.dup2(2, 1) # what libraries print is no answer
    def say(*words): os.write(out, json.dumps(words).encode() + b'\n')
    read = getattr(importlib.import_module(module), function)
    with tempfile.TemporaryDirectory(prefix='mutant_', dir=Path(job).parent) as place:
        if base:
            kind, text = _try(read, _prepare(Path(place) / 'good', base, {}))
            if kind != 'loaded': raise SystemExit(f'the input as it is does not load: {text or kind}')
        _limit_memory(memory)
        for number, mutant in enumerate(mutants[start:], start):
            folder = _prepare(Path(place) / f'm{number}', base, mutant.files)
            say(number, 'begins', '')
            say(number, *_try(read, folder))
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    import mutate # the classes of what was pickled are those of this module
    mutate._run_child(sys.argv[1], int(sys.argv[2]))
