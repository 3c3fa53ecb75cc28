"""Measures speed and memory, as ratios within one run: `bench.py data` the input pipeline, `records` a conversion, `train` a training step, `eval` an evaluation."""
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, Optional

from jsonargparse import ArgumentParser

import cli
from ssd_nb.data import DataConfig
from ssd_nb.ssd_heads import MODELS
from ssd_nb.eval import EVALUATORS
from ssd_nb.plumbing.samples import sample_folder


def subcommand(description):
    return ArgumentParser(description=description, exit_on_error=False)


def data_options():
    parser = subcommand('Times the input pipeline stage by stage, the loop against the vectorised encoder, and the whole with and without workers.')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], default='ssd300', help='whose input size and default boxes are used')
    parser.add_argument('--batch_size', type=int, default=16, help='images in a batch')
    parser.add_argument('--rounds', type=int, default=7, help='epochs that are timed')
    parser.add_argument('--json', type=Optional[str], default=None, help='file to write the figures to')
    cli.add_options(parser, replace(DataConfig(), coco_root='data_samples'))
    return parser


def records_options():
    parser = subcommand('Measures the memory of a conversion to MindRecord, for generated sets of different sizes.')
    parser.add_argument('--images', type=tuple[int, ...], default=(1000, 20000), help='how many images the generated sets have')
    return parser


def train_options():
    parser = subcommand('Times a training step of ssd300 on the CPU, beside the same network and loss in PyTorch where that is installed.')
    parser.add_argument('--batch_size', type=int, default=16, help='images in a step')
    parser.add_argument('--steps', type=int, default=5, help='steps that are timed in each process')
    parser.add_argument('--rounds', type=int, default=2, help='processes for each engine, in turn')
    parser.add_argument('--operators', type=bool, nargs='?', const=True, default=False,
                        help="say instead what one step spends its time on, by MindSpore's profiler")
    return parser


def eval_options():
    parser = subcommand('Times NMS in all classes at once against class by class, and the evaluation of generated predictions of ssd300 with 81 classes.')
    parser.add_argument('--images', type=tuple[int, ...], default=(500, 5000), help='how many images the generated sets have')
    parser.add_argument('--evaluator', type=Literal[EVALUATORS], default='hotcoco', help='what computes the mAP')
    parser.add_argument('--rounds', type=int, default=7, help='how often NMS is timed')
    return parser


def run_data(options):
    from bench_data import bench, print_found
    config = cli.with_options(DataConfig(), options)
    with tempfile.TemporaryDirectory() as folder:
        if config.coco_root == 'data_samples': config = replace(config, coco_root=str(sample_folder()))
        if not config.mindrecord_dir: config = replace(config, mindrecord_dir=folder)
        found = bench(config, options.using_model, options.batch_size, options.rounds)
    print_found(found)
    if options.json: Path(options.json).write_text(json.dumps(found))


def run_records(options):
    from bench_records import bench
    bench(options.images)


def run_train(options):
    import bench_train as bench
    if options.operators: bench.print_operators(bench.operator_times(options.batch_size))
    else: bench.print_engines(bench.time_engines(options.batch_size, options.steps, options.rounds))


def run_eval(options):
    from bench_eval import bench_nms, bench_sets
    bench_nms(options.rounds)
    bench_sets(options.images, options.evaluator)


COMMANDS = dict(data=(data_options, run_data, 'the input pipeline'), records=(records_options, run_records, 'the memory that a conversion takes'),
                train=(train_options, run_train, 'a training step'), eval=(eval_options, run_eval, 'an evaluation'))


def main():
    parser = ArgumentParser(prog='bench.py', description=__doc__, exit_on_error=False)
    commands = parser.add_subcommands(required=True)
    for name, (options, _, text) in COMMANDS.items(): commands.add_subcommand(name, options(), help=text)
    given = cli.parse(parser)
    COMMANDS[given.subcommand][1](given[given.subcommand])


if __name__ == '__main__':
    cli.run(main)
