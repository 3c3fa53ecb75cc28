"""Evaluates a checkpoint of ours, which knows its model and data, a ModelZoo checkpoint (--using_model), or an exported file."""
from pathlib import Path
from typing import Literal

import matplotlib
from jsonargparse import ArgumentParser

matplotlib.use('Agg')

import cli
from ssd_nb.data import DataConfig, create_dataset
from ssd_nb.ssd_heads import MODELS
from ssd_nb.eval import EvalConfig, evaluate, read_images, report_page, result_dicts, write_results
from ssd_nb.export_310 import load_predict
from ssd_nb.plumbing.device import choose_device
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.records import load_ground_truth, load_manifest, make_mindrecord


def options():
    parser = ArgumentParser(prog='eval.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--checkpoint_path', type=str, required=True, help='a .ckpt, or a file written by export.py')
    parser.add_argument('--output_dir', type=str, default='', help='folder for the results; empty: runs/eval_FOLDER_NAME, after the checkpoint and the folder that it is in')
    parser.add_argument('--report', type=bool, default=False, nargs='?', const=True, help='also write report.html: every picture of 06_eval on one page')
    parser.add_argument('--run_platform', type=Literal['Ascend', 'GPU', 'CPU'], default='Ascend', help='device to run on')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], help='the model, where the checkpoint does not say')
    parser.add_argument('--batch_size', type=int, default=16, help='images at once; an exported file has its own')
    cli.add_options(parser, EvalConfig())
    cli.add_options(parser, DataConfig(), unset=True)
    return cli.parse(parser)


def results_folder(given):
    "The folder for the results, made before an hour is spent on them"
    checkpoint = Path(given.checkpoint_path).resolve()
    folder = Path(given.output_dir or f'runs/eval_{checkpoint.parent.name}_{checkpoint.stem}')
    try: folder.mkdir(parents=True, exist_ok=True)
    except OSError as error: raise UserError(f'--output_dir={folder} cannot be made ({error.strerror}): give another folder.') from None
    return folder


def write_all(result, page, folder):
    "What was measured, as text, as a COCO result file, and the report if there is one"
    try:
        (folder / 'metrics.txt').write_text(result.text + '\n')
        write_results(result_dicts(result.results), folder / 'detections.json')
        if page: (folder / 'report.html').write_text(page)
    except OSError as error: raise UserError(f'{folder} cannot be written to ({error.strerror}): free space, or give another --output_dir.') from None


def main():
    given = options()
    if given.batch_size < 1: raise UserError(f'--batch_size={given.batch_size} is not possible: give 1 or more.')
    choose_device(given.run_platform, given.device_id)
    predict, config = load_predict(given.checkpoint_path, given.using_model, given.batch_size)
    data, settings = cli.with_options(config.data, given), cli.with_options(EvalConfig(), given)
    make_mindrecord(data, 'eval', progress=True)
    classes = tuple(load_manifest(data, 'eval')['classes'])
    if len(classes) != config.model.num_classes:
        raise UserError(f'{given.checkpoint_path} knows {config.model.num_classes} classes with background, the data has {len(classes)}: '
                        'give the data that it was trained for, or its classes with --classes.')
    dataset, truth = create_dataset(data, config.boxes, 'eval', given.batch_size, train=False), load_ground_truth(data, 'eval')
    output = results_folder(given)
    result = evaluate(predict, dataset, truth, classes, settings)
    page = None
    if given.report:
        title = f'{Path(given.checkpoint_path).name}, {config.model.using_model}'
        page = report_page(result, truth, config.boxes, lambda ids: read_images(data, ids), title, settings.evaluator)
    write_all(result, page, output)
    print(f'{"report.html, " if given.report else ""}metrics.txt and detections.json are in {output}')


if __name__ == '__main__':
    cli.run(main)
