"""What to know before a detector is shipped: what half precision changes, its times, its memory."""
from pathlib import Path
from typing import Literal

from ssd_nb.plumbing.commands import make_trust_option
from ssd_nb.plumbing.options import (
    Option, OptionParser, UserError, make_device_options, make_field_options, replace_fields, run_command)


def read_options(words):
    from ssd_nb.ssd_heads import MODELS
    from ssd_nb.eval import EvalConfig
    parser = OptionParser('check_export.py',
                          'What to know before a detector is shipped: what half precision changes in '
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
    pictures = [image for _, image in decode_files(files[:given.limit])]
    shape, numbers = config.boxes.image_shape, config.data.normalisation
    images = np.stack([prepare_input(p, shape, None, numbers) for p in pictures])
    thresholds = replace_fields(EvalConfig(), given)
    print_drift(predict, exported | more, images, [p.shape[:2] for p in pictures], thresholds)
    print_times(given, exported, images[:1])
    print_whole(given, predict, images, pictures, given.runs)
    print(f'peak memory of this process: {measure_peak_memory():.0f} MB')


if __name__ == '__main__':
    run_command(check_export)
