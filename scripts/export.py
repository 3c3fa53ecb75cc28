"""Writes a trained network with its decoder into one file that needs none of this code."""
from typing import Literal

from jsonargparse import ArgumentParser

import cli
from ssd_nb.backbones import choose_device
from ssd_nb.export_310 import FORMATS, export_model
from ssd_nb.ssd_heads import MODELS


def options():
    parser = ArgumentParser(prog='export.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--ckpt_file', type=str, required=True, help='the checkpoint')
    parser.add_argument('--file_name', type=str, default='ssd', help='the file to write; its ending is added')
    parser.add_argument('--file_format', type=Literal[FORMATS], default='MINDIR', help='form of the file')
    parser.add_argument('--batch_size', type=int, default=1, help='images that the file takes at once')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], help='the model, where the checkpoint does not say')
    parser.add_argument('--run_platform', type=Literal['Ascend', 'GPU', 'CPU'], default='CPU', help='device to export on')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    return cli.parse(parser)


def main():
    given = options()
    choose_device(given.run_platform, given.device_id)
    path = export_model(given.ckpt_file, given.file_name, given.file_format, given.batch_size, given.using_model)
    print(f'{path} written, its configuration beside it')


if __name__ == '__main__':
    cli.run(main)
