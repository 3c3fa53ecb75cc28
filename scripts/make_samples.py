"""Draws a set of sample images with annotations in COCO, VOC and TXT form. The same seed draws the same images.

data_samples itself was made by `python scripts/make_samples.py --output_dir=data_samples`.
"""
from jsonargparse import ArgumentParser

import cli
from ssd_nb.plumbing.samples import SAMPLE_SEED, write_samples


def options():
    parser = ArgumentParser(prog='make_samples.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--output_dir', type=str, required=True, help='folder to write to')
    parser.add_argument('--train', type=int, default=48, help='number of training images')
    parser.add_argument('--evaluation', type=int, default=80, help='number of held-out images')
    parser.add_argument('--seed', type=int, default=SAMPLE_SEED, help='another seed draws other images')
    return cli.parse(parser)


def main():
    given = options()
    folder = write_samples(given.output_dir, given.train, given.evaluation, given.seed, progress=True)
    print(f'{given.train} training and {given.evaluation} held-out images are in {folder}')


if __name__ == '__main__':
    cli.run(main)
