"""Detects objects in images: writes annotated copies, an overview of the first twelve, and detections.json in COCO's form."""
import json
from pathlib import Path
from typing import Literal

import matplotlib
from jsonargparse import ArgumentParser
from tqdm import tqdm

matplotlib.use('Agg')
import matplotlib.pyplot as plt

import cli
from ssd_nb.backbones import choose_device
from ssd_nb.boxes import UserError
from ssd_nb.data import decode_image, eval_input
from ssd_nb.eval import EvalConfig, detect, draw_detections, to_coco
from ssd_nb.export_310 import load_predict
from ssd_nb.ssd_heads import MODELS

ENDINGS = '.jpg', '.jpeg', '.png', '.bmp'


def options():
    parser = ArgumentParser(prog='predict.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--checkpoint_path', type=str, required=True, help='a .ckpt, or a .mindir written by export.py')
    parser.add_argument('--image_path', type=str, required=True, help='an image, or a folder of images')
    parser.add_argument('--output_dir', type=str, default='runs/predict', help='folder for what is written')
    parser.add_argument('--run_platform', type=Literal['Ascend', 'GPU', 'CPU'], default='Ascend', help='device to run on')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], help='the model, where the checkpoint does not say')
    cli.add_options(parser, EvalConfig(min_score=0.4))
    return cli.parse(parser)


def image_files(path):
    "The image, or the images of the folder, in the order of their names"
    path = Path(path)
    if not path.exists(): raise UserError(f'there is no --image_path={path}: give an image or a folder of images.')
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS)
    if not files: raise UserError(f'--image_path={path} holds no image: give a folder with {", ".join(ENDINGS)} files.')
    return files


def find(predict, config, thresholds, path):
    "The image of a file, and what the detector finds in it"
    image = decode_image(path.read_bytes(), str(path))
    boxes, scores = predict(eval_input(image, config.boxes.image_shape)[None])
    return image, detect(boxes[0], scores[0], image.shape[:2], thresholds)


def write_overview(found, classes, path):
    "One picture of up to twelve images with their detections"
    rows, columns = -(-min(len(found), 12) // 4), min(len(found), 4)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), layout='tight', squeeze=False)
    for ax in axes.flat: ax.axis('off')
    for ax, (image, detections) in zip(axes.flat, found): draw_detections(image, detections, classes, ax=ax)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def write_annotated(image, detections, classes, path):
    "An image of the original size with its detections drawn in"
    figure = plt.figure(figsize=(image.shape[1] / 80, image.shape[0] / 80))
    draw_detections(image, detections, classes, ax=figure.add_axes((0, 0, 1, 1)))
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main():
    given = options()
    files = image_files(given.image_path)
    choose_device(given.run_platform, given.device_id)
    predict, config = load_predict(given.checkpoint_path, given.using_model)
    thresholds, output = cli.with_options(EvalConfig(), given), Path(given.output_dir)
    classes = config.data.classes or tuple(f'class {i}' for i in range(config.model.num_classes))
    output.mkdir(parents=True, exist_ok=True)
    results, shown = [], []
    for number, path in enumerate(tqdm(files, unit='image', disable=None), start=1):
        image, detections = find(predict, config, thresholds, path)
        write_annotated(image, detections, classes, output / f'{path.stem}.png')
        results += [dict(row, file_name=path.name) for row in to_coco(detections, number, range(len(classes)))]
        if len(shown) < 12: shown.append((image, detections))
    write_overview(shown, classes, output / 'overview.png')
    (output / 'detections.json').write_text(json.dumps(results, indent=1))
    print(f'{number} annotated images, overview.png and detections.json are in {output}')


if __name__ == '__main__':
    cli.run(main)
