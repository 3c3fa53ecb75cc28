"""Trains a model: see --help. The defaults are those of the model (--using_model) on its device (--run_platform)."""
import sys
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib
from jsonargparse import ArgumentParser
from tqdm import tqdm

matplotlib.use('Agg')

import cli
import create_data
from ssd_nb.ssd_heads import MODELS, fit_boxes
from ssd_nb.train import (
    check_early, draw_history, keeps_files, log_lines, prepare, preset, read_metrics, train)
from ssd_nb.eval import make_evaluate
from ssd_nb.plumbing.device import choose_device
from ssd_nb.plumbing.options import UserError

PARTS = 'model', 'train', 'data', 'boxes', 'loss' # of `Config`, in the order of --help


def options():
    given = cli.from_file()
    using_model = cli.peek('using_model', given.get('using_model', 'ssd300'), tuple(MODELS))
    run_platform = cli.peek('run_platform', given.get('run_platform', 'Ascend'), ('Ascend', 'GPU', 'CPU'))
    config = preset(using_model, run_platform)
    parser = ArgumentParser(prog='train.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    cli.add_config(parser)
    parser.add_argument('--only_create_dataset', type=bool, default=False, help='convert, check and report the data, as create_data.py does, and stop')
    parser.add_argument('--only_prepare', type=bool, default=False, help='check options and device, convert the data, and stop: run_distribute.sh does it once before the processes start')
    parser.add_argument('--tensorboard', type=bool, nargs='?', const=True, default=False, help='write event files for TensorBoard into output_dir (pip install tensorboardX)')
    for part in PARTS: cli.add_options(parser, getattr(config, part))
    given = cli.parse(parser)
    wanted = replace(config, **{part: cli.with_options(getattr(config, part), given) for part in PARTS})
    if wanted.boxes.steps == config.boxes.steps:  # another image_shape needs other steps
        wanted = replace(wanted, boxes=fit_boxes(wanted.model, wanted.boxes))
    return wanted, given


def event_writer(folder):
    "A function that writes a report for TensorBoard"
    try: from tensorboardX import SummaryWriter
    except ImportError: raise UserError('--tensorboard needs the package tensorboardX: pip install tensorboardX, or leave the option away.') from None
    writer = SummaryWriter(str(folder / 'events'))

    def write(report):
        for name, value in asdict(report).items():
            if name not in ('epoch', 'step') and value == value: writer.add_scalar(name, value, report.epoch)
        writer.flush()
    return write


def check_and_convert(config):
    "All that can go wrong before a training begins"
    check_early(config)
    choose_device(config.train.run_platform, config.train.device_id)
    prepare(config)


def main():
    config, given = options()
    if given.only_create_dataset: return create_data.create(config.data, config.boxes)
    if given.only_prepare: return check_and_convert(config)
    folder = Path(config.train.output_dir)
    first = keeps_files(config.train)
    write_events = event_writer(folder) if given.tensorboard and first else lambda report: None
    evaluate = make_evaluate(config.data, config.boxes, config.train.batch_size, config.softmax)
    for report in train(config, evaluate=evaluate):
        if not first: continue # one log of the whole is enough
        tqdm.write(log_lines(report))
        sys.stdout.flush()
        write_events(report)
    if not first: return
    draw_history(read_metrics(folder / 'metrics.csv'))[0].figure.savefig(folder / 'metrics.png', dpi=100)
    print(f'checkpoints, metrics.csv and metrics.png are in {folder}')


if __name__ == '__main__':
    cli.run(main)
