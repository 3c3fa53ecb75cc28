"""Converts a data set to MindRecord, checks every image and box on the way, and reports what is in it, without training."""
from pathlib import Path
from typing import Literal

import matplotlib
from jsonargparse import ArgumentParser

matplotlib.use('Agg')

import cli
from ssd_nb.data import DataConfig, describe_set, draw_report, report_lines
from ssd_nb.ssd_heads import MODELS
from ssd_nb.plumbing.formats import source_files
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.records import load_ground_truth, load_manifest, make_mindrecord


def report(data, boxes, split):
    "Converts and describes one split"
    folder = make_mindrecord(data, split, progress=True)
    manifest = load_manifest(data, split)
    print(f'\n{split}: {manifest["images"]:,} images with {manifest["objects"]:,} objects and {manifest["crowd"]:,} crowds are in {folder}; '
          f'{manifest["skipped_images"]:,} images are left out, {manifest["problems"]:,} problems were found')
    if manifest['problems']: print(f'problems, all of them in {folder}/problems.txt:', *manifest['first_problems'][:5], sep='\n  ')
    described = describe_set(load_ground_truth(data, split), boxes)
    print(*report_lines(described), sep='\n')
    picture = Path(folder) / 'report.png'
    draw_report(described, boxes, f'{split}: {manifest["images"]:,} images')[0, 0].figure.savefig(picture, dpi=100)
    print(f'picture: {picture}')


def create(data, boxes):
    "Both splits; a set without one of them is reported as far as it goes"
    splits, missing = [], []
    for split in ('train', 'eval'):
        try: source_files(data, split)
        except UserError as error: missing.append(error)
        else: splits.append(split)
    if not splits: raise missing[0]
    for split in splits: report(data, boxes, split)
    for error in missing: print(f'\nleft out: {error}')


def main():
    parser = ArgumentParser(prog='create_data.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], default='ssd300', help='whose default boxes are to reach the objects')
    cli.add_options(parser, DataConfig())
    given = cli.parse(parser)
    create(cli.with_options(DataConfig(), given), MODELS[given.using_model].boxes)


if __name__ == '__main__':
    cli.run(main)
