"""Measures speed and memory, as ratios within one run.

`bench.py data` measures the input pipeline, `records` a conversion, `before` both beside another
checkout, `train` a training step, and `eval` an
evaluation.
"""
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, Optional

from ssd_nb.plumbing.options import (
    Option, OptionParser, make_field_options, replace_fields, run_command, run_subcommand)


def measure_data(words):
    "the input pipeline"
    from bench_data import bench, print_found
    from ssd_nb.data import DataConfig
    from ssd_nb.ssd_heads import MODELS
    from ssd_nb.plumbing.samples import find_sample_folder
    parser = OptionParser('bench.py data',
                          'Times the input pipeline stage by stage, the loop against the vectorised '
                          'encoder, and the whole with and without workers.')
    parser.add([
        Option('using_model', Literal[tuple(MODELS)], 'ssd300',
               'whose input size and default boxes are used'),
        Option('batch_size', int, 16, 'images in a batch'), Option('rounds', int, 7, 'epochs that are timed'),
        Option('json', Optional[str], None, 'file to write the figures to')])
    parser.add(make_field_options(replace(DataConfig(), coco_root='data_samples')), title=DataConfig.__doc__)
    given = parser.parse(words)
    config = replace_fields(DataConfig(), given)
    with tempfile.TemporaryDirectory() as folder:
        if config.coco_root == 'data_samples': config = replace(config, coco_root=str(find_sample_folder()))
        if not config.mindrecord_dir: config = replace(config, mindrecord_dir=folder)
        found = bench(config, given.using_model, given.batch_size, given.rounds)
    print_found(found)
    if given.json: Path(given.json).write_text(json.dumps(found))


def measure_records(words):
    "the memory that a conversion and its verdict take"
    from bench_records import bench
    parser = OptionParser('bench.py records',
                          'Measures the memory of a conversion to MindRecord and of its verdict, '
                          'for generated sets of different sizes.')
    parser.add([Option('images', tuple[int, ...], (1000, 20000), 'how many images the generated sets have')])
    bench(parser.parse(words).images)


def measure_against(words):
    "conversion and input pipeline beside another checkout"
    from bench_before import compare
    parser = OptionParser('bench.py before', 'Times conversion and input pipeline of this checkout beside '
                          'another one, in turn within one run.')
    parser.add([
        Option('checkout', str, required=True, help='folder of the other one, such as a git worktree'),
        Option('images', int, 1000, 'photographs in the generated set'),
        Option('rounds', int, 5, 'pairs of runs'),
        Option('workers', int, 0, 'processes that prepare images')])
    given = parser.parse(words)
    compare(given.checkout, given.images, given.rounds, given.workers)


def measure_training(words):
    "a training step"
    import bench_train as bench
    parser = OptionParser('bench.py train',
                          'Times a training step of ssd300 on the CPU, beside the same network and '
                          'loss in PyTorch where that is installed.')
    parser.add([
        Option('batch_size', int, 16, 'images in a step'),
        Option('steps', int, 5, 'steps that are timed in each process'),
        Option('rounds', int, 2, 'processes for each engine, in turn'),
        Option('operators', bool, False, "say instead what one step spends its time on, by MindSpore's "
                                         "profiler")])
    given = parser.parse(words)
    if given.operators: bench.print_operators(bench.operator_times(given.batch_size))
    else: bench.print_engines(bench.time_engines(given.batch_size, given.steps, given.rounds))


def measure_evaluation(words):
    "an evaluation"
    from bench_eval import bench_nms, bench_sets
    from ssd_nb.plumbing.cocoeval import EVALUATORS
    parser = OptionParser('bench.py eval', 'Times NMS in all classes at once against class by class, and the '
                          'evaluation of generated predictions of ssd300 with 81 classes.')
    parser.add([
        Option('images', tuple[int, ...], (500, 5000), 'how many images the generated sets have'),
        Option('evaluator', Literal[EVALUATORS], 'hotcoco', 'what computes the mAP'),
        Option('rounds', int, 7, 'how often NMS is timed')])
    given = parser.parse(words)
    bench_nms(given.rounds)
    bench_sets(given.images, given.evaluator)


COMMANDS = dict(data=measure_data, records=measure_records, before=measure_against, train=measure_training,
                eval=measure_evaluation)

if __name__ == '__main__':
    run_command(lambda words: run_subcommand(COMMANDS, 'bench.py',
                                         'Measures speed and memory, as ratios in one run.', words))
