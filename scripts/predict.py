"""Detects objects in images, a video or a camera: writes annotated copies and detections.json, a COCO result file."""
import difflib
import glob
import os
import re
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import Literal

import matplotlib
from jsonargparse import ArgumentParser
from tqdm import tqdm

matplotlib.use('Agg')
os.environ.setdefault('OPENCV_LOG_LEVEL', 'SILENT')      # what OpenCV and its decoders have to say about a bad file
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')    # is said here, in one sentence
import cv2
import matplotlib.pyplot as plt
import numpy as np

import cli
from ssd_nb.data import eval_input
from ssd_nb.ssd_heads import MODELS
from ssd_nb.eval import EvalConfig, annotate, detect, draw_detections, result_dicts, to_coco, write_results
from ssd_nb.export_310 import load_predict
from ssd_nb.plumbing.device import choose_device
from ssd_nb.plumbing.media import decode_image
from ssd_nb.plumbing.options import UserError

ENDINGS, VIDEOS = ('.jpg', '.jpeg', '.png', '.bmp'), ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg')
CODECS = ('.mp4', 'mp4v'), ('.avi', 'MJPG') # tried in this order


def options():
    parser = ArgumentParser(prog='predict.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--checkpoint_path', type=str, required=True, help='a .ckpt, or a file written by export.py')
    parser.add_argument('--image_path', type=str, required=True, help='an image, a folder of images, a pattern such as "a/*.jpg", a video, or camera:0')
    parser.add_argument('--output_dir', type=str, default='runs/predict', help='folder for what is written')
    parser.add_argument('--score', '--min_score', type=float, default=0.4, help='only detections with a score above this')
    parser.add_argument('--nms', '--nms_threshold', type=float, default=0.6, help='of two boxes of a class with an IoU above this, only the better one')
    parser.add_argument('--max_boxes', type=int, default=100, help='at most so many boxes of a class in an image')
    parser.add_argument('--keep', type=str, default='', help='names of classes, separated by commas: only these are reported; empty: all')
    parser.add_argument('--frames', type=int, default=0, help='end a video or camera after so many frames; 0: at its end, or with Ctrl-C')
    parser.add_argument('--batch_size', type=int, default=4, help='images at once; an exported file has its own')
    parser.add_argument('--run_platform', type=Literal['Ascend', 'GPU', 'CPU'], default='Ascend', help='device to run on')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    parser.add_argument('--using_model', type=Literal[tuple(MODELS)], help='the model, where the checkpoint does not say')
    return cli.parse(parser)


def image_files(path):
    "The images of a folder or a pattern, in the order of their names"
    if Path(path).is_dir(): files = sorted(p for p in Path(path).iterdir() if p.suffix.lower() in ENDINGS)
    else: files = [Path(path)] if Path(path).exists() else sorted(map(Path, glob.glob(path, recursive=True)))
    if files: return files
    if Path(path).is_dir(): raise UserError(f'--image_path={path} holds no image: give a folder with {", ".join(ENDINGS)} files.')
    raise UserError(f'there is no --image_path={path}: give an image, a folder, a pattern such as "images/*.jpg", a video, or camera:0.')


def images(files):
    "Name and RGB image of each file that can be read; the others are named"
    bad = 0
    for path in files:
        try: image = decode_image(path.read_bytes(), str(path))
        except (UserError, OSError) as error:
            bad += 1
            reason = str(error) if isinstance(error, UserError) else f'{path} cannot be read ({error.strerror}).'
            tqdm.write(f'left out: {reason}', file=sys.stderr)
        else: yield path.name, image
    if bad == len(files): raise UserError(f'none of the {bad} files is an image that can be read: give images, or a video that ends in {", ".join(VIDEOS)}.')


def is_camera(path): return re.fullmatch(r'camera(:\d+)?', path) is not None and not Path(path).exists()


def open_video(path):
    "OpenCV's capture of a file, or of a camera such as camera:0"
    video = cv2.VideoCapture(int(path[7:] or 0) if is_camera(path) else path)
    if video.isOpened(): return video
    if is_camera(path): raise UserError(f'--image_path={path}: there is no such camera, or another program uses it; give an image, a folder or a video.')
    raise UserError(f'--image_path={path} is no video that this OpenCV can read: convert it, for example to mp4.')


def video_frames(video, path):
    "Name and RGB image of each frame"
    number = 0
    while True:
        there, frame = video.read()
        if not there: break
        number += 1
        yield Path(path).name, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if not number: raise UserError(f'--image_path={path} gave no picture: check the video or the camera.')


class VideoCopy:
    "Writes frames as a video, with the first codec that this OpenCV has"
    def __init__(self, folder, stem, fps): self.folder, self.stem, self.fps, self.writer = folder, stem, fps, None

    def open(self, size):
        for ending, codec in CODECS:
            self.path = self.folder / f'{self.stem}{ending}'
            self.writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*codec), self.fps, size)
            if self.writer.isOpened(): return
        tried = ' and '.join(codec for _, codec in CODECS)
        raise UserError(f'no video can be written to {self.folder} (codecs tried: {tried}): give a folder that can be written to, or the frames as images.')

    def __call__(self, name, image):
        if self.writer is None: self.open(image.shape[1::-1])
        self.writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self):
        if self.writer is None: return
        self.writer.release()
        if not self.path.stat().st_size: raise UserError(f'{self.path} is empty, so its video could not be written: give the frames as images.')


class ImageCopies:
    "Writes each image as a PNG file; files of one name from several folders get numbers"
    def __init__(self, folder): self.folder, self.names = folder, set()

    def __call__(self, name, image):
        stem, number = Path(name).stem, 1
        while (free := stem if number == 1 else f'{stem}_{number}') in self.names: number += 1
        self.names.add(free)
        try: (self.folder / f'{free}.png').write_bytes(cv2.imencode('.png', image[..., ::-1])[1].tobytes())
        except OSError as error: raise UserError(f'{self.folder}/{free}.png cannot be written ({error.strerror}): free space, or give another --output_dir.') from None

    def close(self): pass


def kept_labels(names, classes):
    "The numbers of the classes to report"
    wanted = [name.strip() for name in names.split(',') if name.strip()] or list(classes[1:])
    for name in wanted:
        if name in classes[1:]: continue
        near = difflib.get_close_matches(name, classes[1:], n=1, cutoff=0.4)
        raise UserError(f"--keep: there is no class '{name}': " + (f'did you mean {near[0]}?' if near else f'give some of {", ".join(classes[1:])}.'))
    return [classes.index(name) for name in wanted]


def batches(entries, size):
    "The entries in lists of so many"
    entries = iter(entries)
    while batch := list(islice(entries, size)): yield batch


def detected(entries, predict, config, thresholds, labels, batch_size):
    "Name, RGB image and Detections of each entry, batch by batch"
    for batch in batches(entries, batch_size):
        inputs = np.stack([eval_input(image, config.boxes.image_shape) for _, image in batch])
        for (name, image), boxes, scores in zip(batch, *predict(inputs)):
            found = detect(boxes, scores, image.shape[:2], thresholds)
            yield name, image, found[np.isin(found.labels, labels)]


def write_overview(found, classes, path):
    "One picture of up to twelve images with their detections"
    rows, columns = -(-len(found) // 4), min(len(found), 4)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), layout='tight', squeeze=False)
    for ax in axes.flat: ax.axis('off')
    for ax, (image, detections) in zip(axes.flat, found): draw_detections(image, detections, classes, ax=ax)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def until_stopped(entries):
    "The entries, until Ctrl-C or SIGTERM: then what was done is written"
    stop = []
    for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, lambda *_: stop.append(True))
    for entry in entries:
        yield entry
        if stop: return


def made_folder(path):
    try: Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error: raise UserError(f'--output_dir={path} cannot be made ({error.strerror}): give another folder.') from None
    return Path(path)


def check_apart(files, folder):
    "A copy must never take the place of what it was made from"
    if any(path.resolve().parent == Path(folder).resolve() for path in files):
        raise UserError(f'--output_dir={folder} holds the images themselves, and copies could overwrite them: give another folder.')


def source(given):
    "Names and images, how many there are (None: nobody knows), and the frames a second of a video, else 0"
    path = given.image_path
    if not is_camera(path) and not (Path(path).suffix.lower() in VIDEOS and Path(path).is_file()):
        files = image_files(path)
        check_apart(files, given.output_dir)
        return images(files), len(files), 0
    if not is_camera(path): check_apart([Path(path)], given.output_dir)
    video = open_video(path)
    known = [n for n in (given.frames, int(video.get(cv2.CAP_PROP_FRAME_COUNT))) if n > 0]
    return islice(video_frames(video, path), given.frames or None), min(known, default=None), video.get(cv2.CAP_PROP_FPS) or 25


def result_entries(found, classes):
    "What stands in detections.json: image_id counts the images or frames from 1"
    for number, (name, detections) in enumerate(found, start=1):
        for row in result_dicts(to_coco(detections, number, range(len(classes)))):
            yield row | dict(file_name=name, category_name=classes[row['category_id']])


def main():
    given = options()
    thresholds = EvalConfig(given.score, given.nms, given.max_boxes)
    if given.batch_size < 1: raise UserError(f'--batch_size={given.batch_size} is not possible: give 1 or more.')
    entries, count, fps = source(given)
    choose_device(given.run_platform, given.device_id)
    batch_size = 1 if is_camera(given.image_path) else given.batch_size # a camera does not wait
    predict, config = load_predict(given.checkpoint_path, given.using_model, batch_size)
    classes = config.data.classes or tuple(f'class {i}' for i in range(config.model.num_classes))
    labels, output = kept_labels(given.keep, classes), made_folder(given.output_dir)
    copy = VideoCopy(output, Path(given.image_path.replace(':', '')).stem, fps) if fps else ImageCopies(output)
    every, found, shown = detected(until_stopped(entries), predict, config, thresholds, labels, batch_size), [], []
    for name, image, detections in tqdm(every, total=count, unit='frame' if fps else 'image', disable=None):
        copy(name, annotate(image, detections, classes))
        found.append((name, detections))
        if not fps and len(shown) < 12: shown.append((image, detections))
    copy.close()
    write_results(result_entries(found, classes), output / 'detections.json')
    if shown: write_overview(shown, classes, output / 'overview.png')
    what = f'a video of {len(found)} frames' if fps else f'{len(found)} annotated images, overview.png'
    print(f'{what} and detections.json, with {sum(len(d) for _, d in found)} detections, are in {output}')


if __name__ == '__main__':
    cli.run(main)
