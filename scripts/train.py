"""Trains a model: see --help. The defaults are those of the model (--using_model) on its device (--run_platform)."""
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
from jsonargparse import ArgumentParser
from tqdm import tqdm

matplotlib.use('Agg')

import cli
import create_data
from ssd_nb.ssd_heads import MODELS, fit_boxes
from ssd_nb.train import draw_history, log_lines, preset, train

PARTS = 'model', 'train', 'data', 'boxes', 'loss' # of `Config`, in the order of --help


def options():
    using_model = cli.peek('using_model', 'ssd300', tuple(MODELS))
    run_platform = cli.peek('run_platform', 'Ascend', ('Ascend', 'GPU', 'CPU'))
    config = preset(using_model, run_platform)
    parser = ArgumentParser(prog='train.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--only_create_dataset', type=bool, default=False, help='convert, check and report the data, as create_data.py does, and stop')
    for part in PARTS: cli.add_options(parser, getattr(config, part))
    given = cli.parse(parser)
    wanted = replace(config, **{part: cli.with_options(getattr(config, part), given) for part in PARTS})
    if wanted.boxes.steps == config.boxes.steps:  # another image_shape needs other steps
        wanted = replace(wanted, boxes=fit_boxes(wanted.model, wanted.boxes))
    return wanted, given.only_create_dataset


def main():
    (config, only_data), reports = options(), []
    if only_data: return create_data.create(config.data, config.boxes)
    for report in train(config):
        reports.append(report)
        tqdm.write(log_lines(report))
        sys.stdout.flush()
    folder = Path(config.train.output_dir)
    draw_history(reports)[0].figure.savefig(folder / 'metrics.png', dpi=100)
    print(f'checkpoints, metrics.csv and metrics.png are in {folder}')


if __name__ == '__main__':
    cli.run(main)
