"""Evaluates a checkpoint of ours, which knows its model and data, a ModelZoo checkpoint (--using_model), or an exported .mindir."""
from typing import Literal

from jsonargparse import ArgumentParser

import cli
from ssd_nb.backbones import choose_device
from ssd_nb.boxes import UserError
from ssd_nb.data import DataConfig, create_dataset, load_ground_truth, load_manifest, make_mindrecord
from ssd_nb.eval import EvalConfig, evaluate
from ssd_nb.export_310 import load_predict
from ssd_nb.ssd_heads import MODELS


def options():
    parser = ArgumentParser(prog='eval.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--checkpoint_path', type=str, required=True, help='a .ckpt, or a .mindir written by export.py')
    parser.add_argument('--run_platform', type=Literal['Ascend', 'GPU', 'CPU'], default='Ascend', help='device to run on')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], help='the model, where the checkpoint does not say')
    parser.add_argument('--batch_size', type=int, default=16, help='images at once; a .mindir has its own')
    cli.add_options(parser, EvalConfig())
    cli.add_options(parser, DataConfig(), unset=True)
    return cli.parse(parser)


def main():
    given = options()
    choose_device(given.run_platform, given.device_id)
    predict, config = load_predict(given.checkpoint_path, given.using_model, given.batch_size)
    data = cli.with_options(config.data, given)
    make_mindrecord(data, 'eval', progress=True)
    classes = tuple(load_manifest(data, 'eval')['classes'])
    if len(classes) != config.model.num_classes:
        raise UserError(f'{given.checkpoint_path} knows {config.model.num_classes} classes with background, the data has {len(classes)}: '
                        'give the data that it was trained for, or its classes with --classes.')
    dataset = create_dataset(data, config.boxes, 'eval', given.batch_size, train=False)
    evaluate(predict, dataset, load_ground_truth(data, 'eval'), classes, cli.with_options(EvalConfig(), given))


if __name__ == '__main__':
    cli.run(main)
