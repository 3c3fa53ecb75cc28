"""Measures speed and memory: engines in turn within one run, many short rounds, the fastest of each.

`bench.py data` measures the input pipeline, `decode` compares it with decoding alone, `records` measures a
conversion, `before` both beside another checkout, `train` a training step, `infer` one image from pixels to
detections, `eval` an evaluation, and `growth` how time and memory grow with the work. `bench_rounds.py` says
how, and what counts as a quiet machine.
"""
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, Optional

from bench_rounds import (
    describe_machine, find_onednn_sets, print_table, run_in_turn, say_machine, say_quiet, tell_as_dict,
    write_json)
from ssd_nb.plumbing.options import (
    Option, OptionParser, UserError, make_field_options, replace_fields, run_command, run_subcommand)

# named here, so that `--help` need not start MindSpore
MODELS = 'ssd_tiny', 'ssd300', 'ssd_vgg16', 'ssd_mobilenet_v1_fpn', 'ssd_resnet50_fpn'
JSON = Option('json', Optional[str], None, 'file to write all figures to, with machine, versions and seed')
TORCH = Option('torch', Optional[str], None, 'a Python that has PyTorch, such as /tmp/torch/bin/python; '
                                             'this one is looked at if none is given')
CHECKOUT = Option('checkout', Optional[str], None, 'folder of another checkout, such as a git worktree, to '
                                                   'measure beside this one')


def rounds_of(number):
    return Option('rounds', int, number, 'rounds that count; in each, every engine has its turn')


def check_checkout(folder):
    "Its absolute path, since engines do not run in this folder"
    if folder and not (Path(folder) / 'ssd_nb').is_dir():
        raise UserError(f'--checkout={folder} has no folder ssd_nb: give one that git worktree add has made.')
    return folder and str(Path(folder).resolve())


def check_python(path, option):
    if path and not os.access(path, os.X_OK):
        raise UserError(f'--{option}={path} is not a program: give a Python, such as /tmp/torch/bin/python.')
    return path


def finish(found, others, given, **more):
    "The table, the verdict on the machine, and the file"
    print(say_quiet(found, others))
    write_json(given.json, tell_as_dict(found, others, **more))


def measure_data(words):
    "the input pipeline"
    from ssd_nb.data import DataConfig
    from ssd_nb.ssd_heads import MODELS
    from ssd_nb.plumbing.samples import find_sample_folder
    parser = OptionParser('bench.py data',
                          'Times the input pipeline stage by stage, the loop against the vectorised '
                          'encoder, and the whole with and without workers.')
    parser.add([
        Option('using_model', Literal[tuple(MODELS)], 'ssd300',
               'whose input size and default boxes are used'),
        Option('batch_size', int, 16, 'images in a batch'), rounds_of(7), JSON])
    parser.add(make_field_options(replace(DataConfig(), coco_root='data_samples')), title=DataConfig.__doc__)
    given = parser.parse(words)
    config = replace_fields(DataConfig(), given)
    from bench_data import bench, print_found
    with tempfile.TemporaryDirectory() as folder:
        if config.coco_root == 'data_samples': config = replace(config, coco_root=str(find_sample_folder()))
        if not config.mindrecord_dir: config = replace(config, mindrecord_dir=folder)
        found = bench(config, given.using_model, given.batch_size, given.rounds)
    print_found(found)
    print(found['said'])
    if given.json: Path(given.json).write_text(json.dumps(found))


def measure_decoding(words):
    "the input pipeline beside a loop that only decodes"
    from ssd_nb.data import DataConfig
    from ssd_nb.ssd_heads import MODELS
    parser = OptionParser('bench.py decode', 'Compares the input pipeline, without and with '
                          '--reduced_decoding, with loops that only decode: in one process, in as many, and '
                          "with OpenCV's decoder. Without a data set, with generated photographs.")
    parser.add([
        Option('using_model', Literal[tuple(MODELS)], 'ssd300',
               'whose input size and default boxes are used'),
        Option('batch_size', int, 16, 'images in a batch'), rounds_of(7),
        Option('workers', int, 2, 'processes that decode'),
        Option('images', int, 400, 'photographs in the generated set'), JSON])
    parser.add(make_field_options(DataConfig()), title=DataConfig.__doc__)
    given = parser.parse(words)
    config = replace_fields(DataConfig(), given)
    from bench_before import write_set
    from bench_decode import list_engines, print_parts
    with tempfile.TemporaryDirectory() as folder:
        if config == DataConfig():
            write_set(Path(folder) / 'set', given.images)
            config = replace(config, coco_root=f'{folder}/set')
        if not config.mindrecord_dir: config = replace(config, mindrecord_dir=folder)
        engines = list_engines(config, given.using_model, given.batch_size, given.workers)
        found, others = run_in_turn(engines, given.rounds)
    print_parts(found)
    finish(found, others, given, seed=1, model=given.using_model, batch_size=given.batch_size)


def measure_records(words):
    "the memory that a conversion and its verdict take"
    parser = OptionParser('bench.py records',
                          'Measures time and memory of a conversion to MindRecord and of its verdict, '
                          'for generated sets of different sizes.')
    parser.add([Option('images', tuple[int, ...], (1000, 20000), 'how many images the generated sets have'),
                rounds_of(2), JSON])
    given = parser.parse(words)
    from bench_records import list_engines, print_growth
    with tempfile.TemporaryDirectory() as folder:
        found, others = run_in_turn(list_engines(folder, given.images), given.rounds, warm=0)
        verdicts, more = run_in_turn(list_engines(folder, given.images, verdict=True), given.rounds, warm=0)
    print_growth(found, given.images)
    print_table(verdicts, unit=1)
    finish({**found, **verdicts}, max(others or 0, more or 0), given, seed=1)


def measure_against(words):
    "conversion and input pipeline beside another checkout"
    parser = OptionParser('bench.py before', 'Times conversion and input pipeline of this checkout beside '
                          'another one, in turn within one run.')
    parser.add([
        Option('checkout', str, required=True, help='folder of the other one, such as a git worktree'),
        Option('images', int, 1000, 'photographs in the generated set'), rounds_of(5),
        Option('workers', int, 0, 'processes that prepare images'), JSON])
    given = parser.parse(words)
    checkout = check_checkout(given.checkout)
    from bench_before import list_engines, print_ratios, write_set
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder) / 'set', given.images)
        found, others = run_in_turn(list_engines(checkout, f'{folder}/set', given.workers), given.rounds)
    print_table(found, unit=1)
    print_ratios(found)
    finish(found, others, given, seed=0)


def say_sets(engines):
    "Which instruction sets the oneDNN of each engine says that it uses; name -> text"
    said = {engine.name: find_onednn_sets(engine) for engine in engines}
    print(f'machine: {say_machine(describe_machine())}')
    for name, isa in said.items(): print(f'  oneDNN of {name}: {isa or "it does not say"}')
    return said


def measure_training(words):
    "a training step"
    parser = OptionParser('bench.py train',
                          'Times a training step on the CPU, beside the same network, weights and loss in '
                          'PyTorch and beside another checkout. Ours and PyTorch also run held to AVX2: a '
                          'simulation of a processor without AVX-512.')
    parser.add([
        Option('using_model', Literal[MODELS], 'ssd300', 'which network'),
        Option('batch_size', int, 16, 'images in a step'),
        Option('threads', int, 2, 'threads of each engine'), rounds_of(8),
        Option('warm', int, 2, 'rounds before, which do not count'),
        Option('only', tuple[str, ...], (), 'engines to run, by the end of their names, such as [ours,AVX2]; '
                                              'empty: all'),
        TORCH, CHECKOUT, JSON,
        Option('operators', bool, False, 'say instead what one step of ours spends its time on, by '
                                         "MindSpore's profiler")])
    given = parser.parse(words)
    import bench_train as bench
    if given.operators:
        return bench.print_operators(bench.operator_times(given.using_model, given.batch_size))
    torch = bench.find_torch(check_python(given.torch, 'torch'))
    if not torch: print('PyTorch is not installed, so there is nothing to compare with: give --torch=PYTHON.')
    with tempfile.TemporaryDirectory() as folder:
        engines = bench.list_engines(given.using_model, given.batch_size, given.threads, torch,
                                     check_checkout(given.checkout), folder)
        if given.only: engines = [e for e in engines if any(e.name.endswith(name) for name in given.only)]
        said = say_sets(engines)
        found, others = run_in_turn(engines, given.rounds, warm=given.warm)
    print(f'{given.using_model}, a training step of {given.batch_size} images, {given.threads} threads:')
    print_table(found, engines[0].name, unit=1)
    for name, one in found.items(): print(f'  first loss of {name}: {one.first[2]:.4f}')
    finish(found, others, given, seed=1, model=given.using_model, batch_size=given.batch_size,
           threads=given.threads, onednn=said)


def measure_inference(words):
    "one image from pixels to detections"
    parser = OptionParser('bench.py infer', 'Times one image from pixels to detections in MindSpore, MindIR, '
                          'ONNX Runtime (also a file of --whole) and PyTorch, with the same random weights.')
    parser.add([
        Option('using_model', Literal[MODELS], 'ssd300', 'which network'),
        Option('threads', int, 2, 'threads of each engine'), rounds_of(10),
        Option('runs', int, 6, 'runs of an engine in its turn'), TORCH,
        Option('lite', Optional[str], None, 'a Python that has ai-edge-litert'),
        Option('tflite', Optional[str], None, 'a .tflite file that it runs beside the others'),
        CHECKOUT, JSON])
    given = parser.parse(words)
    from bench_infer import list_engines, name_parts, print_sums
    from bench_train import find_torch
    torch, lite = find_torch(check_python(given.torch, 'torch')), check_python(given.lite, 'lite')
    if bool(lite) != bool(given.tflite):
        raise UserError('--lite and --tflite belong together: give a Python with LiteRT, and a file for it.')
    with tempfile.TemporaryDirectory() as folder:
        engines = list_engines(given.using_model, given.threads, folder, torch, lite, given.tflite,
                               check_checkout(given.checkout))
        said = say_sets([e for e in engines if e.name == 'MindSpore' or 'PyTorch' in e.name])
        found, others = run_in_turn(engines, given.rounds, given.runs, pause=0.1)
    found = name_parts(found)
    print(f'{given.using_model}, one image of 640×480 pixels, {given.threads} threads:')
    print_table(found)
    print_sums(found)
    finish(found, others, given, seed=1, model=given.using_model, threads=given.threads, onednn=said)


def measure_evaluation(words):
    "an evaluation"
    from ssd_nb.plumbing.cocoeval import EVALUATORS
    parser = OptionParser('bench.py eval', 'Times NMS in all classes at once against class by class, and the '
                          'evaluation of generated predictions of ssd300 with 81 classes.')
    parser.add([
        Option('images', tuple[int, ...], (500, 5000), 'how many images the generated sets have'),
        Option('evaluator', Literal[EVALUATORS], 'hotcoco', 'what computes the mAP'),
        rounds_of(3), CHECKOUT, JSON])
    given = parser.parse(words)
    checkout = check_checkout(given.checkout)
    from bench_eval import list_engines, print_found
    found, others = run_in_turn(list_engines(given.images, given.evaluator, checkout), given.rounds)
    print_table(found, unit=1)
    print_found(found)
    finish(found, others, given, seed=1)


GROWTH = 'batch', 'image', 'classes', 'conversion', 'evaluation', 'candidates'


def measure_growth(words):
    "how time and memory grow with the work"
    parser = OptionParser('bench.py growth', 'Measures time and memory against batch size, image size, '
                          'classes, images (conversion, evaluation) and candidates for detections, and says '
                          'where they grow faster than the work.')
    parser.add([
        Option('what', tuple[str, ...], GROWTH, f'which of {", ".join(GROWTH)}'),
        Option('using_model', Literal[MODELS], 'ssd_tiny', 'the network that is trained'), JSON])
    given = parser.parse(words)
    unknown = [name for name in given.what if name not in GROWTH]
    if unknown: raise UserError(f'--what={unknown[0]} is not known: give some of {", ".join(GROWTH)}.')
    from bench_growth import fit_growth, measure, say_growth
    every, worst, growth = {}, None, {}
    for what in given.what:
        with tempfile.TemporaryDirectory() as folder: found, others = measure(what, folder, given.using_model)
        print_table(found, unit=1)
        growth[what] = fit_growth(found)
        print(say_growth(what, growth[what]))
        every |= found
        if others is not None: worst = max(worst or 0, others)
    finish(every, worst, given, seed=1, model=given.using_model, growth=growth)


COMMANDS = dict(data=measure_data, decode=measure_decoding, records=measure_records,
                before=measure_against, train=measure_training, infer=measure_inference,
                eval=measure_evaluation, growth=measure_growth)

if __name__ == '__main__':
    run_command(lambda words: run_subcommand(COMMANDS, 'bench.py',
                                         'Measures speed and memory, engines in turn in one run.', words))
