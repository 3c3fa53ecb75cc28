"""What to know before a detector is shipped: what half precision changes in what it finds, how long it takes for each batch, and its memory."""
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser
from predict import image_files

import cli
from ssd_nb.data import eval_input
from ssd_nb.ssd_heads import MODELS
from ssd_nb.eval import EvalConfig
from ssd_nb.export_310 import (
    READERS, compare_detections, detect_all, float16_predict, latency_line, load_predict, peak_memory,
    read_facts, run_times, through_nv12)
from ssd_nb.plumbing.device import choose_device
from ssd_nb.plumbing.media import decode_image
from ssd_nb.plumbing.options import UserError


def options():
    parser = ArgumentParser(prog='check_export.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--ckpt_file', type=str, required=True, help='the checkpoint')
    parser.add_argument('--image_path', type=str, required=True, help='an image, or a folder of images')
    parser.add_argument('--exported', type=list[str], default=[], help='files that export.py wrote from it, such as [a.mindir,a.onnx]')
    parser.add_argument('--batches', type=list[int], default=[1, 4, 16], help='batches to time the checkpoint with; an exported file has its own')
    parser.add_argument('--limit', type=int, default=32, help='use only the first so many images')
    parser.add_argument('--runs', type=int, default=50, help='runs to time')
    parser.add_argument('--run_platform', type=Literal['Ascend', 'GPU', 'CPU'], default='CPU', help='device to run on')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], help='the model, where the checkpoint does not say')
    cli.add_options(parser, EvalConfig())
    return cli.parse(parser)


def load_all(given):
    "Name -> prediction function: the checkpoint, the exported files, half precision, and NV12 where DVPP can make such images"
    predict, config = load_predict(given.ckpt_file, given.using_model)
    exported = {path: load_predict(path)[0] for path in given.exported}
    more = {'float16': float16_predict(given.ckpt_file, given.using_model)}
    try: more['NV12, as from DVPP'] = through_nv12(predict, config.boxes.image_shape)
    except UserError as reason: print(reason)
    return predict, config, exported, more


def print_drift(predict, others, images, shapes, thresholds):
    "A line for each of the others: what they find, beside what the checkpoint finds"
    reference = detect_all(predict, images, shapes, thresholds)
    print(f'{sum(map(len, reference))} detections in {len(images)} images')
    for name, other in others.items():
        d = compare_detections(reference, detect_all(other, images, shapes, thresholds))
        print(f'{name}: {d.both} the same, {d.lost} lost, {d.new} new; scores move by at most {d.score:.1e}, the least IoU is {d.overlap:.4f}')


def main():
    given = options()
    files = image_files(given.image_path)[:given.limit]
    for name, value in dict(batches=min(given.batches, default=0), limit=given.limit, runs=given.runs).items():
        if value < 1: raise UserError(f'--{name}={getattr(given, name)} is not possible: give whole numbers of at least 1.')
    unknown = [path for path in given.exported if Path(path).suffix not in READERS]
    if unknown: raise UserError(f'--exported: {unknown[0]} is no exported file: give {" or ".join(READERS)} files.')
    choose_device(given.run_platform, given.device_id)
    predict, config, exported, more = load_all(given)
    pictures = [decode_image(path.read_bytes(), str(path)) for path in files]
    images = np.stack([eval_input(p, config.boxes.image_shape) for p in pictures])
    print_drift(predict, exported | more, images, [p.shape[:2] for p in pictures], cli.with_options(EvalConfig(), given))
    image = images[:1]
    for batch in given.batches:
        timed = load_predict(given.ckpt_file, given.using_model, batch)[0]
        print('checkpoint,', latency_line(run_times(timed, image.repeat(batch, 0), given.runs), batch))
    for path, other in exported.items():
        batch = read_facts(path)[0]['input']['shape'][0]
        print(f'{path},', latency_line(run_times(other, image.repeat(batch, 0), given.runs), batch))
    print(f'peak memory of this process: {peak_memory():.0f} MB')


if __name__ == '__main__':
    cli.run(main)
