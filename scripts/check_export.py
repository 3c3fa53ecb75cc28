"""What to know before a detector is shipped: what half precision and int8 change, its times, its memory."""
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ssd_nb.plumbing.commands import make_trust_option
from ssd_nb.plumbing.options import (
    Option, OptionParser, UserError, make_device_options, make_field_options, replace_fields, run_command)


def read_options(words):
    from ssd_nb.ssd_heads import MODELS
    from ssd_nb.eval import EvalConfig
    parser = OptionParser('check_export.py',
                          'What to know before a detector is shipped: what half precision and int8 change in '
                          'what it finds, how long it takes for each batch, and its memory.',
                          "python scripts/check_export.py --ckpt_file=my.ckpt --image_path=MY_IMAGES "
                          "'--exported=[my.onnx]'")
    parser.add([
        Option('ckpt_file', str, help='the checkpoint', required=True),
        Option('image_path', str, help='an image, or a folder of images', required=True),
        Option('exported', list[str], [], 'files that export.py wrote from it, such as [a.mindir,a.onnx]'),
        make_trust_option('exported'),
        Option('batches', list[int], [1, 4, 16],
               'batches to time the checkpoint with; an exported file has its own'),
        Option('data_path', str, '', 'for int8 files: the folder of a COCO, VOC or YOLO data set, to '
               'measure mAP on its evaluation images'),
        Option('limit', int, 32, 'use only the first so many images'),
        Option('runs', int, 50, 'runs to time'),
        Option('using_model', Literal[tuple(MODELS)], help='the model, where the checkpoint does not say'),
        *make_device_options('CPU')])
    parser.add(make_field_options(EvalConfig()), title=EvalConfig.__doc__)
    return parser.parse(words)


def check_options(given):
    "Raises `UserError` for what cannot be measured"
    from ssd_nb.plumbing.backends import READERS
    for name, value in dict(batches=min(given.batches, default=0), limit=given.limit,
                            runs=given.runs).items():
        if value >= 1: continue
        raise UserError(f'--{name}={getattr(given, name)} is not possible: give whole numbers of at least 1.')
    for path in given.exported:
        if Path(path).suffix in READERS: continue
        raise UserError(f'--exported: {path} is no exported file: give {" or ".join(READERS)} files.')


def load_all(given):
    "The prediction functions: the checkpoint, the exported files, half precision, NV12 where DVPP makes it"
    from ssd_nb.export_310 import load_predict, make_float16_predict, wrap_in_nv12
    from ssd_nb.plumbing.graph_files import trust_file
    from ssd_nb.plumbing.whole_graph import is_whole
    trust_file(given.trust)
    predict, config = load_predict(given.ckpt_file, given.using_model)
    exported = {path: load_predict(path)[0] for path in given.exported if not is_whole(path)}
    more = {'float16': make_float16_predict(given.ckpt_file, given.using_model)}
    shape, numbers = config.boxes.image_shape, config.data.normalisation
    try: more['NV12, as from DVPP'] = wrap_in_nv12(predict, shape, numbers)
    except UserError as reason: print(reason)
    return predict, config, exported, more


def say_drift(name, reference, found):
    "A line: what a detector finds, beside what the checkpoint finds"
    from ssd_nb.export_310 import compare_detections
    d = compare_detections(reference, found)
    print(f'{name}: {d.both} the same, {d.lost} lost, {d.new} new; '
          f'scores move by at most {d.score:.1e}, the least IoU is {d.overlap:.4f}')


def print_drift(predict, others, images, shapes, thresholds):
    "A line for each of the others"
    from ssd_nb.export_310 import detect_images
    reference = detect_images(predict, images, shapes, thresholds)
    print(f'{sum(map(len, reference))} detections in {len(images)} images')
    for name, other in others.items():
        say_drift(name, reference, detect_images(other, images, shapes, thresholds))


def print_whole(given, predict, images, pictures, runs):
    "Two lines for each file that goes from pixels to detections: it has thresholds of its own"
    import json
    import time

    from ssd_nb.eval import EvalConfig
    from ssd_nb.export_310 import detect_images, format_latency
    from ssd_nb.plumbing.whole_graph import is_whole, open_whole
    import numpy as np
    for path in filter(is_whole, given.exported):
        look, facts = open_whole(path)
        own, times = EvalConfig(**json.loads(facts['thresholds'])), []
        reference = detect_images(predict, images, [p.shape[:2] for p in pictures], own)
        found = [look(picture[None])[0] for picture in pictures]
        say_drift(f'{path}, from pixels, at its own thresholds', reference, found)
        for _ in range(runs):
            start = time.perf_counter()
            look(pictures[0][None])
            times.append((time.perf_counter() - start) * 1e3)
        print(f'{path}, from pixels,', format_latency(np.array(times), 1))


def print_times(given, exported, image):
    "A line for each batch of the checkpoint, and for each exported file"
    from ssd_nb.export_310 import format_latency, load_predict, measure_times, read_facts
    for batch in given.batches:
        timed = load_predict(given.ckpt_file, given.using_model, batch)[0]
        print('checkpoint,', format_latency(measure_times(timed, image.repeat(batch, 0), given.runs), batch))
    for path, other in exported.items():
        batch = read_facts(path)[0]['input']['shape'][0]
        print(f'{path},', format_latency(measure_times(other, image.repeat(batch, 0), given.runs), batch))


def read_int8(path):
    "What an exported file says about its eight bits; None if it has none"
    import json
    from ssd_nb.export_310 import read_facts
    from ssd_nb.plumbing.whole_graph import is_whole, open_whole
    if is_whole(path): return json.loads(open_whole(path)[1].get('int8', 'null'))
    return read_facts(path)[0].get('int8')


def export_float32(path, given, folder):
    "The same file without int8"
    import json
    from ssd_nb.eval import EvalConfig
    from ssd_nb.export_310 import export_model, read_facts
    from ssd_nb.plumbing.whole_graph import is_whole, open_whole
    whole = is_whole(path)
    batch = 1 if whole else read_facts(path)[0]['input']['shape'][0]
    own = EvalConfig(**json.loads(open_whole(path)[1]['thresholds'])) if whole else EvalConfig()
    return export_model(given.ckpt_file, f'{folder}/float32', 'ONNX', batch, given.using_model, own, whole)[0]


def open_any(path, config, thresholds, picture):
    "Functions of an ONNX file: an RGB image to its detections; a run to time"
    import numpy as np
    from ssd_nb.data import prepare_input
    from ssd_nb.export_310 import detect_images, load_predict, read_facts
    from ssd_nb.plumbing.whole_graph import is_whole, open_whole
    if is_whole(path):
        look = open_whole(path)[0]
        return lambda image: look(image[None])[0], lambda: look(picture[None])
    predict, batch = load_predict(path)[0], read_facts(path)[0]['input']['shape'][0]
    prepare = lambda image: prepare_input(image, config.boxes.image_shape, None, config.data.normalisation)
    many = np.stack([prepare(picture)] * batch)
    see = lambda image: detect_images(predict, prepare(image)[None], [image.shape[:2]], thresholds)[0]
    return see, lambda: predict(many)


def find_evaluation(given, config):
    "The data set to measure mAP on; None if there is none"
    if not given.data_path: return None
    from infer import find_data
    return find_data(given.data_path, config.data)


def measure_maps(eyes, data, classes, thresholds):
    "mAP of each of several detectors (functions of an image) on the evaluation images of a data set"
    from infer import load_truth
    from ssd_nb.eval import evaluate
    from ssd_nb.plumbing.records import iterate_images
    with tempfile.TemporaryDirectory(prefix='ssd_nb_check_') as scratch:
        data = replace(data, mindrecord_dir=scratch)
        truth, names = load_truth(data, classes)
        found = [{image_id: see(image) for image_id, image in iterate_images(data)} for see in eyes]
        return [evaluate(None, [], truth, names, thresholds, verbose=False, detect_all=lambda *_: one).mAP
                for one in found]


def print_int8(path, given, config, pictures, thresholds, data):
    "Lines for an int8 file: what it finds, its size and its speed, beside the same in float32"
    from ssd_nb.export_310 import compare_detections
    from ssd_nb.plumbing.int8 import time_in_turn
    with tempfile.TemporaryDirectory(prefix='ssd_nb_check_') as folder:
        other = export_float32(path, given, folder)
        sizes = [Path(file).stat().st_size / 2**20 for file in (path, other)]
        eyes, runs = zip(*(open_any(file, config, thresholds, pictures[0]) for file in (path, other)))
    found = [[see(picture) for picture in pictures] for see in eyes]
    both, lost, new = compare_detections(found[1], found[0])[:3]
    print(f'{path}, int8, beside float32: {both} of {both + lost} detections kept, {new} new; '
          f'{sizes[0]:.1f} MB instead of {sizes[1]:.1f}')
    if data:
        maps = measure_maps(eyes, data, config.data.classes, thresholds)
        print(f'{path}, int8: mAP {maps[0]:.4f}, float32 {maps[1]:.4f}: {maps[0] - maps[1]:+.4f}')
    fast, slow = time_in_turn(dict(enumerate(runs)), -(-given.runs // 5)).values()
    verdict = 'faster' if fast < slow else 'NOT faster on this processor'
    print(f'{path}, int8: {fast / slow:.2f} of the time of float32, {verdict} '
          f'({fast:.1f} and {slow:.1f} ms, the fastest of {5 * -(-given.runs // 5)} runs each)')


def check_export(words):
    "compares exported files with their checkpoint"
    given = read_options(words)
    import numpy as np
    from ssd_nb.data import prepare_input
    from ssd_nb.eval import EvalConfig
    from ssd_nb.export_310 import measure_peak_memory
    from ssd_nb.plumbing.device import choose_device
    from ssd_nb.plumbing.media import decode_files, find_images
    files = find_images(given.image_path)
    check_options(given)
    choose_device(given.run_platform, given.device_id)
    predict, config, exported, more = load_all(given)
    data = find_evaluation(given, config)
    pictures = [image for _, image in decode_files(files[:given.limit])]
    shape, numbers = config.boxes.image_shape, config.data.normalisation
    images = np.stack([prepare_input(p, shape, None, numbers) for p in pictures])
    thresholds = replace_fields(EvalConfig(), given)
    print_drift(predict, exported | more, images, [p.shape[:2] for p in pictures], thresholds)
    print_times(given, exported, images[:1])
    print_whole(given, predict, images, pictures, given.runs)
    for path in given.exported:
        if read_int8(path): print_int8(path, given, config, pictures, thresholds, data)
    print(f'peak memory of this process: {measure_peak_memory():.0f} MB')


if __name__ == '__main__':
    run_command(check_export)
