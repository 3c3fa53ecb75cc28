"""Trains a model: see --help. The defaults are those of the model (--using_model) on its device (--run_platform)."""
from dataclasses import replace

from jsonargparse import ArgumentParser

import cli
from ssd_nb.ssd_heads import MODELS
from ssd_nb.train import log_lines, preset, train

PARTS = 'model', 'train', 'data', 'boxes', 'loss'


def options():
    using_model = cli.peek('using_model', 'ssd300', tuple(MODELS))
    run_platform = cli.peek('run_platform', 'Ascend', ('Ascend', 'GPU', 'CPU'))
    config = preset(using_model, run_platform)
    parser = ArgumentParser(prog='train.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    for part in PARTS: cli.add_options(parser, getattr(config, part))
    given = cli.parse(parser)
    return replace(config, **{part: cli.with_options(getattr(config, part), given) for part in PARTS})


def main():
    for report in train(options()): print(log_lines(report), flush=True)


if __name__ == '__main__':
    cli.run(main)
