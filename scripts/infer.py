"""Runs an exported file over a data set and measures it; run_infer_310.sh and run_infer_onnx.sh call this."""
import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from jsonargparse import ArgumentParser

import cli
from ssd_nb.data import create_dataset
from ssd_nb.eval import EvalConfig, evaluate, result_dicts, to_coco, write_results
from ssd_nb.export_310 import (
    converter_command, exported_predict, latency_line, lite_reader, read_facts, through_nv12)
from ssd_nb.plumbing.device import choose_device
from ssd_nb.plumbing.formats import COCO_SPLITS, IMAGE_ENDINGS
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.records import load_ground_truth, load_manifest, make_mindrecord

ENDINGS = dict(lite='.mindir', mindspore='.mindir', onnx='.onnx')


def options():
    parser = ArgumentParser(prog='infer.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--model_path', type=str, required=True, help='a .mindir or .onnx written by export.py, with its json beside it')
    parser.add_argument('--data_path', type=str, required=True, help='the folder of a COCO, VOC or YOLO data set, or its folder of evaluation images')
    parser.add_argument('--backend', type=Literal[tuple(ENDINGS)], default='lite', help='lite: MindSpore Lite on an Ascend 310; the others run on any host')
    parser.add_argument('--preprocess', type=Literal['DVPP', 'CPU'], default='CPU', help='DVPP: the device normalises, from NV12; other backends compute the same')
    parser.add_argument('--device_id', type=int, default=0, help='which of several devices')
    parser.add_argument('--output_dir', type=str, default='.', help='folder for what is written')
    return cli.parse(parser)


def data_at(path, data):
    "The configuration `data`, of the data set whose folder, or folder of evaluation images, this is"
    path = Path(path).absolute()
    if not path.is_dir(): raise UserError(f'there is no folder DATA_PATH={path}: give that of a data set, or of its evaluation images.')
    root = path.parent if path.name in COCO_SPLITS['eval'] else path
    if (root / 'annotations').is_dir(): return replace(data, dataset='coco', coco_root=str(root))
    if [*root.glob('eval/*.xml'), *root.glob('eval/Annotations'), *root.glob('ImageSets/Main'), *root.glob('VOC*/ImageSets/Main')]:
        return replace(data, dataset='voc', voc_root=str(root), voc_json='')
    if (root / 'labels').is_dir() and [*root.glob('*.y*ml')]: return replace(data, dataset='yolo', yolo_root=str(root))
    if not any(p.suffix in IMAGE_ENDINGS for p in path.iterdir()):
        raise UserError(f'DATA_PATH={path} holds no image and no data set: give the folder of a data set, or of its evaluation images.')
    raise UserError(f'DATA_PATH={path} has images, but no annotations in COCO, VOC or YOLO form to measure against: scripts/predict.py detects without.')


def converted(path, folder):
    "The file with AIPP in it that MindSpore Lite's converter makes"
    command = converter_command(path, folder)
    if shutil.which(command[0]) is None:
        raise UserError("DVPP needs MindSpore Lite's converter_lite, which is not on the PATH: add the folder tools/converter/converter of its package, or give CPU.")
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, done.stderr, sep='\n')
    if done.returncode: raise UserError(f'converter_lite failed with code {done.returncode}, infer.log has its words: {" ".join(command)}.')
    return Path(f'{next(c for c in command if c.startswith("--outputFile=")).split("=", 1)[1]}.mindir')


def load(given):
    "The prediction function, and the configuration"
    path = Path(given.model_path)
    if path.suffix != ENDINGS[given.backend]: raise UserError(f'{path} is not for BACKEND={given.backend}, which runs {ENDINGS[given.backend]} files: give one.')
    facts, _ = read_facts(path)
    shape, dvpp = tuple(facts['input']['shape']), given.preprocess == 'DVPP'
    if given.backend != 'lite':
        predict, config = exported_predict(path)
        return through_nv12(predict, shape[2:]) if dvpp else predict, config
    file = converted(path, Path(given.output_dir) / 'dvpp') if dvpp else None
    return exported_predict(path, lite_reader(shape, given.device_id, file))


def timed(predict, milliseconds):
    "The same function, which writes down how long an image takes"
    def run(images):
        start = time.perf_counter()
        answers = predict(images)
        milliseconds.append((time.perf_counter() - start) * 1e3 / len(images))
        return answers
    return run


def write_each(result, truth, output):
    "A json for each image: what was found in it, in COCO's form"
    folder = output / 'result_Files'
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = {image['id']: Path(image['file_name']).stem for image in truth['images']}
    for image_id, found in result.detections.items():
        write_results(result_dicts(to_coco(found, image_id, result.category_ids)), folder / f'{names[image_id]}.json')


def main():
    given = options()
    output = Path(given.output_dir)
    facts, config = read_facts(given.model_path)
    data = data_at(given.data_path, config.data)
    choose_device('CPU') # of MindSpore; the other backends choose their own
    predict, config = load(given)
    with tempfile.TemporaryDirectory(prefix='ssd_nb_infer_') as scratch:
        data = replace(data, mindrecord_dir=scratch)
        make_mindrecord(data, 'eval', progress=True)
        truth, classes, milliseconds = load_ground_truth(data, 'eval'), tuple(load_manifest(data, 'eval')['classes']), []
        dataset = create_dataset(data, config.boxes, 'eval', facts['input']['shape'][0], train=False)
        result = evaluate(timed(predict, milliseconds), dataset, truth, classes, EvalConfig(**facts['thresholds']))
    write_each(result, truth, output)
    (output / 'time_Result').mkdir(exist_ok=True)
    steady = np.array(milliseconds[1:] or milliseconds) # the first run compiles
    (output / 'time_Result/test_perform_static.txt').write_text(f'{len(result.detections)} images, {given.backend}; an image, without reading and NMS: '
                                                                f'{latency_line(steady, 1)}\n')
    (output / 'acc.log').write_text(result.text + '\n')


if __name__ == '__main__':
    cli.run(main)
