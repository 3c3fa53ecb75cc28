"""Writes a trained network with its decoder into one file, and a json beside it: they run without this code, see scripts/README.md."""
from typing import Literal

from jsonargparse import ArgumentParser

import cli
from ssd_nb.ssd_heads import MODELS
from ssd_nb.eval import EvalConfig
from ssd_nb.export_310 import FORMATS, export_model, facts_path
from ssd_nb.plumbing.device import choose_device


def options():
    parser = ArgumentParser(prog='export.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--ckpt_file', type=str, required=True, help='the checkpoint')
    parser.add_argument('--file_name', type=str, default='ssd', help='the file to write; its ending is added')
    parser.add_argument('--file_format', type=Literal[tuple(FORMATS)], default='MINDIR', help='form of the file; AIR on an Ascend only')
    parser.add_argument('--batch_size', type=int, default=1, help='images that the file takes at once')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], help='the model, where the checkpoint does not say')
    parser.add_argument('--run_platform', type=Literal['Ascend', 'GPU', 'CPU'], default='CPU', help='device to export on')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    for name in ('min_score', 'nms_threshold', 'max_boxes'):
        kind, value = EvalConfig.__annotations__[name], getattr(EvalConfig(), name)
        parser.add_argument(f'--{name}', type=kind, default=value, help=f'{cli.field_docs(EvalConfig)[name]}; written beside the file')
    return cli.parse(parser)


def main():
    given = options()
    choose_device(given.run_platform, given.device_id)
    path, difference = export_model(given.ckpt_file, given.file_name, given.file_format, given.batch_size, given.using_model,
                                    cli.with_options(EvalConfig(), given))
    print(f'{path} written, and {facts_path(path).name}, which says what it holds')
    if difference == difference: print(f'read back: its answers differ from those of the checkpoint by at most {difference:.1e}')
    else: print('not read back: only Ascend tools read this form')


if __name__ == '__main__':
    cli.run(main)
