"""Draws a set of sample images with annotations in COCO, VOC and TXT form.

The same seed draws the same images. data_samples itself was made by
`python scripts/make_samples.py --output_dir=data_samples`.
"""
from ssd_nb.plumbing.options import Option, OptionParser, check_value, run_command


def make_samples(words):
    "draws a sample set"
    from ssd_nb.plumbing.samples import SAMPLE_SEED, draw_large_sample, draw_sample, write_samples
    parser = OptionParser('make_samples.py',
                          'Draws a set of sample images with annotations in COCO, VOC and TXT form. '
                          'The same seed draws the same images.',
                          'python scripts/make_samples.py --output_dir=runs/samples --train=2000')
    parser.add([Option('output_dir', str, help='folder to write to', required=True),
                Option('train', int, 48, 'number of training images'),
                Option('evaluation', int, 80, 'number of held-out images'),
                Option('seed', int, SAMPLE_SEED, 'another seed draws other images'),
                Option('processes', int, 1, 'that draw, each on a core of its own'),
                Option('large', bool, False, 'large images, of 960×1280 pixels, with 20 to 40 objects, '
                       'many of them small')])
    given = parser.parse(words)
    check_value(given, 'processes', 1 <= given.processes <= 256, 'from 1 to 256 processes')
    folder = write_samples(given.output_dir, given.train, given.evaluation, given.seed, progress=True,
                           draw=draw_large_sample if given.large else draw_sample,
                           processes=given.processes)
    print(f'{given.train} training and {given.evaluation} held-out images are in {folder}')


if __name__ == '__main__':
    run_command(make_samples)
