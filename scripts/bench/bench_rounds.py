"""Engines in turn: each alive in a process of its own, asked for one short round at a time.

Neither's memory nor threads disturb the other, and a slow minute of the machine hits all of them. What
counts are the FASTEST run of each, in seconds on the wall, and the PROCESSOR SECONDS of its cheapest run (all
threads and the processes that it waited for). Medians of wall time say little on a shared machine: when a
neighbour takes one of two cores, the threads of a parallel loop wait for the one that stands still.

The machine was quiet if in half of the rounds the best run took at most 1.15 times the fastest of all, and
other programs took at most 0.05 of its processors while engines ran (from /proc/stat, stolen time included).
`say_quiet` says so.

pyperf and asv measure one benchmark after the other, and know nothing of a second engine that must have its
turn in the same minute, so this is done here.

`python bench_rounds.py MODULE:FUNCTION ARGUMENTS` is such a process: the function gets the arguments (JSON),
and returns what is timed, a function or a dict of functions. It may need another Python than the parent, so
nothing but the standard library is imported here.
"""
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
SPREAD, OTHERS = 1.15, 0.05 # a quiet machine has no more
SETS = 'avx2', 'fma', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_tile', 'asimd', 'sve'


@dataclass(frozen=True)
class Engine:
    "Something to time"
    name: str           # in tables
    place: str          # 'module:function' that makes it
    arguments: dict = field(default_factory=dict) # of that function, as JSON
    python: str = sys.executable # what runs it
    checkout: Path = ROOT # whose ssd_nb it imports
    environment: dict = field(default_factory=dict) # on top of this process's


def _clock(): # seconds on the wall, and of processors: of this process and of those that it waited for
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)


def tell_spent(): # processor seconds as in `_clock`, and those of processes below this one that still live
    parents, seconds, tick = {}, {}, os.sysconf('SC_CLK_TCK')
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try: words = stat.read_text().rpartition(')')[2].split()
        except OSError: continue # it has just ended
        parents[int(stat.parent.name)] = int(words[1])
        seconds[int(stat.parent.name)] = sum(map(int, words[11:15])) / tick
    below, last = {os.getpid()}, set()
    while below != last:
        last, below = below, below | {pid for pid, parent in parents.items() if parent in below}
    return _clock()[1] + sum(seconds[pid] for pid in below - {os.getpid()})


def _time_run(run): # what it answers is kept if it is a number; a dict with wall and busy has timed itself
    start = _clock()
    answer = run()
    wall, busy = (b - a for a, b in zip(start, _clock()))
    if isinstance(answer, dict): return [answer.pop('wall', wall), answer.pop('busy', busy), answer]
    return [wall, busy, answer if isinstance(answer, (int, float, bool)) else None]


def _tell_memory(): # megabytes: now and at the peak
    status = Path('/proc/self/status')
    if not status.exists(): return [None, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
    text = status.read_text()
    return [int(re.search(rf'{name}:\s+(\d+) kB', text)[1]) / 1024 for name in ('VmRSS', 'VmHWM')]


def _tell_versions(): # of the libraries that are loaded, and the instruction sets that they say they use
    found = {'python': platform.python_version()}
    for name in ('numpy', 'mindspore', 'onnxruntime', 'torch', 'ai_edge_litert'):
        if name in sys.modules: found[name] = getattr(sys.modules[name], '__version__', 'unknown')
    limit = os.environ.get('ONEDNN_MAX_CPU_ISA') or os.environ.get('DNNL_MAX_CPU_ISA')
    if limit: found['ONEDNN_MAX_CPU_ISA'] = limit
    if torch := sys.modules.get('torch'):
        found['kernels of PyTorch'] = torch.backends.cpu.get_cpu_capability()
    return found


def _serve(place, arguments):
    "Makes an engine, then runs all its parts in turn, so many times as each line of standard input says"
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1) # whatever a library prints goes elsewhere
    def answer(**what): answers.write(json.dumps(what) + '\n')
    sys.path.insert(0, str(HERE.parent))
    module, function = place.split(':')
    start = _clock()
    made = getattr(import_module(module), function)(**json.loads(arguments))
    parts = made if isinstance(made, dict) else {'': made}
    answer(made=_clock()[0] - start[0], memory=_tell_memory(), spent=tell_spent())
    for line in sys.stdin:
        runs = {name: [_time_run(run) for _ in range(int(line))] for name, run in parts.items()}
        answer(runs=runs, memory=_tell_memory(), spent=tell_spent(), versions=_tell_versions())


class _Worker:
    "The process of an engine"
    def __init__(self, engine, folder):
        self.engine, self.log = engine, Path(folder) / f'{len(os.listdir(folder))}.log'
        environ = {**os.environ, 'GLOG_v': '4', 'PYTHONPATH': str(engine.checkout), **engine.environment}
        command = [engine.python, str(HERE), engine.place, json.dumps(engine.arguments)]
        with open(self.log, 'w') as log:
            pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
            self.process = subprocess.Popen(command, text=True, env=environ, **pipes)
        self.made = self.hear('while it was made')
        self.spent = self.made['spent']

    def hear(self, when):
        line = self.process.stdout.readline()
        if line: return json.loads(line)
        said = self.log.read_text(errors='replace').strip().splitlines() or ['nothing']
        code = self.process.wait()
        from ssd_nb.plumbing.options import UserError
        raise UserError(f'{self.engine.name} ended with exit code {code} {when}, and its last line was: '
                        f'{said[-1].strip().rstrip(".")}.')

    def run(self, times, when):
        "Times of a round, and the processor seconds since the last one"
        with suppress_broken(): print(times, file=self.process.stdin, flush=True)
        found = self.hear(when)
        since, self.spent = found['spent'] - self.spent, found['spent']
        return found, since

    def end(self):
        with suppress_broken(): self.process.stdin.close()
        try: self.process.wait(10)
        except subprocess.TimeoutExpired: self.process.kill()
        self.process.stdout.close()


@contextmanager
def suppress_broken(): # a pipe whose reader is gone: `hear` says why
    try: yield
    except OSError: pass


def _read_busy(): # seconds that all processors have worked; None: the system does not say
    stat = Path('/proc/stat')
    if not stat.exists(): return None
    user, nice, system, idle, wait, irq, soft, steal, *_ = map(int, stat.read_text().split()[1:11])
    return (user + nice + system + irq + soft + steal) / os.sysconf('SC_CLK_TCK')


@dataclass
class Measured:
    "What is known of one part of an engine"
    name: str
    runs: list = field(default_factory=list)   # of [seconds on the wall, of processors, answer]
    memory: list = field(default_factory=list) # MB when it was made, and at its peak
    versions: dict = field(default_factory=dict)
    each: int = 1                              # runs in a round, of which the first may find cold caches

    def __post_init__(self): self.first = None # the very first run, as those in `runs`

    @property
    def fastest(self): return min(wall for wall, *_ in self.runs)
    @property
    def busy(self): return min(busy for _, busy, _ in self.runs)
    @property
    def spread(self):
        turns = [self.runs[i:i + self.each] for i in range(0, len(self.runs), self.each)]
        return median(min(wall for wall, *_ in turn) for turn in turns) / self.fastest
    @property
    def answers(self): return [answer for *_, answer in self.runs]


def run_in_turn(engines, # of `Engine`
                rounds,  # in each of which every engine has its turn; who begins changes from round to round
                runs=1,  # of an engine in its turn
                warm=1,  # turns before, which do not count
                pause=0.3): # seconds before a turn, in which threads of the last engine fall asleep
    "Name (of the engine and its part) -> `Measured`; share of the processors that others took, or None"
    found, alien, whole = {}, 0.0, 0.0
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workers = []
        for engine in engines:
            workers.append(_Worker(engine, folder))
            stack.callback(workers[-1].end)
        for number in range(warm + rounds):
            first = number % len(workers)
            for worker in workers[first:] + workers[:first]:
                time.sleep(pause)
                before, start = _read_busy(), _clock()
                answer, since = worker.run(runs, f'in round {number + 1}')
                took, mine = (b - a for a, b in zip(start, _clock()))
                if before is not None:
                    alien += max(_read_busy() - before - since - mine, 0)
                    whole += took * os.cpu_count()
                _keep(found, worker, answer, number >= warm)
    return found, alien / whole if whole else None


def _keep(found, worker, answer, counts):
    for part, runs in answer['runs'].items():
        name = ', '.join(filter(None, (worker.engine.name, part)))
        one = found.setdefault(name, Measured(name, each=len(runs)))
        one.first = one.first or runs[0]
        if counts: one.runs += runs
        one.memory, one.versions = [worker.made['memory'][0], answer['memory'][1]], answer['versions']


def is_quiet(found, others): # as `run_in_turn` returns them
    spread = median(one.spread for one in found.values())
    return spread <= SPREAD and (others or 0) <= OTHERS and not _is_single(found)


def _is_single(found): # one round, which nothing can be compared with
    return all(len(one.runs) <= one.each for one in found.values())


def say_quiet(found, others):
    "One sentence about how far the figures can be trusted"
    spread = median(one.spread for one in found.values())
    taken = '' if others is None else f', and other programs took {others:.0%} of its processors'
    if _is_single(found): return f'One round does not show whether the machine was quiet{taken}.'
    if is_quiet(found, others):
        return (f'The machine was quiet: half of the rounds took at most {spread:.2f} times the fastest'
                f'{taken}.')
    return (f'The machine was NOT quiet: half of the rounds took {spread:.2f} times the fastest or '
            f'more{taken}: compare the processor seconds, and repeat this.')


def describe_machine():
    "Processor, cores, memory, instruction sets and system"
    cpu = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    model = re.search(r'model name\s*: (.*)', cpu)
    flags = re.search(r'^(?:flags|Features)\s*:(.*)$', cpu, re.M)
    has = set(flags[1].split()) if flags else set()
    return dict(processor=model[1] if model else platform.machine(), cores=os.cpu_count(),
                memory=round(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30),
                instructions=[name for name in SETS if name in has], system=platform.platform())


_PROBES = dict(
    mindspore='from ssd_nb.plumbing.device import choose_device; choose_device("CPU")\n'
              'import numpy as np, mindspore as ms\n'
              'ms.nn.Conv2d(8, 8, 3)(ms.Tensor(np.ones((1, 8, 8, 8), np.float32))).asnumpy()',
    torch='import torch; torch.nn.functional.conv2d(torch.ones(4, 64, 32, 32), torch.ones(64, 64, 3, 3))')


def find_onednn_sets(engine):
    "What the oneDNN of MindSpore or PyTorch says it uses in the environment of an engine; None: nothing"
    environ = {**os.environ, 'GLOG_v': '4', 'PYTHONPATH': str(engine.checkout), **engine.environment,
               'ONEDNN_VERBOSE': '1'}
    library = 'torch' if engine.place.startswith('torch') else 'mindspore'
    command = [engine.python, '-c', _PROBES[library]]
    said = subprocess.run(command, env=environ, capture_output=True, text=True)
    isa = re.search(r'cpu,isa:(.*)', said.stdout)
    return isa[1].strip() if isa else None


def say_machine(machine): # from `describe_machine`
    return (f'{machine["processor"]}, {machine["cores"]} cores, {machine["memory"]} GB, '
            f'{", ".join(machine["instructions"]) or "no instruction sets that are known here"}')


def tell_as_dict(found, others, **more):
    "All of it, for a JSON file; `more`: what else was asked for, such as the seed"
    engines = {name: dict(fastest=one.fastest, processor=one.busy, spread=one.spread, first=one.first,
                          memory=one.memory, versions=one.versions, runs=one.runs)
               for name, one in found.items()}
    quiet = dict(is_quiet=is_quiet(found, others), others=others, sentence=say_quiet(found, others))
    return dict(command=[Path(sys.argv[0]).name, *sys.argv[1:]], machine=describe_machine(), **more,
                quiet=quiet, engines=engines)


def print_table(found, against=None, unit=1e3): # 1e3: milliseconds, 1: seconds; against: name of a row
    "A row for each part: fastest, processor time, peak memory, ratio to another row"
    name, width = 'ms' if unit == 1e3 else 's', max(map(len, found))
    for one in found.values():
        ratio = f', {one.fastest / found[against].fastest:5.2f} of {against}' if against else ''
        print(f'{one.name:{width}} {one.fastest * unit:9.3f} {name}, {one.busy * unit:9.3f} {name} of '
              f'processors, peak {one.memory[1]:5.0f} MB{ratio}')


def write_json(path, what):
    "Writes a file if there is a path"
    if path: Path(path).write_text(json.dumps(what, indent=1))


if __name__ == '__main__': _serve(*sys.argv[1:])
