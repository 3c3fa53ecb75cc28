"""Runs an exported file over a data set and measures it; run_infer_310.sh and run_infer_onnx.sh call this."""
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import count as count_up
from pathlib import Path
from typing import Literal

from ssd_nb.plumbing.commands import make_trust_option
from ssd_nb.plumbing.files import make_folder, write_text
from ssd_nb.plumbing.options import Option, OptionParser, UserError, run_command

ENDINGS = dict(lite='.mindir', mindspore='.mindir', onnx='.onnx')
FORMS = 'coco', 'voc', 'yolo' # of data sets, in the order in which they are tried


def read_options(words):
    parser = OptionParser('infer.py', 'Runs an exported file over a data set and measures it; '
                          'run_infer_310.sh and run_infer_onnx.sh call this.')
    parser.add([
        Option('model_path', str, required=True,
               help='a .mindir or .onnx written by export.py, with its json beside it if it has one'),
        Option('data_path', str, required=True,
               help='the folder of a COCO, VOC or YOLO data set, or its folder of evaluation images'),
        Option('backend', Literal[tuple(ENDINGS)], 'lite',
               'lite: MindSpore Lite on an Ascend 310; the others run on any host'),
        make_trust_option('model_path'),
        Option('preprocess', Literal['DVPP', 'CPU'], 'CPU',
               'DVPP: the device normalises, from NV12; other backends compute the same'),
        Option('device_id', int, 0, 'which of several devices'),
        Option('output_dir', str, '.', 'folder for what is written')])
    return parser.parse(words)


def list_roots(path):
    "Folders that may be that of the data set, if a path is this one or that of its evaluation images"
    from ssd_nb.plumbing.find_images import SPLIT_NAMES
    yield path
    inner = path.name in SPLIT_NAMES['eval'] or path.name == 'images'
    if inner: yield path.parent
    if inner and 'images' in (path.parent.name, *(p.name for p in path.iterdir())): yield path.parent.parent


def find_data(path, data):
    "The configuration `data`, of the data set whose folder, or folder of evaluation images, this is"
    from ssd_nb.plumbing.formats import list_source_files
    from ssd_nb.plumbing.media import find_images
    path = Path(path).absolute()
    if not path.is_dir():
        raise UserError(f'there is no folder DATA_PATH={path}: give that of a data set, or of its '
                        f'evaluation images.')
    for root in list_roots(path):
        for form in FORMS:
            found = replace(data, dataset=form, voc_json='', **{f'{form}_root': str(root)})
            try: list_source_files(found, 'eval')
            except UserError: continue
            return found
    try: find_images(path)
    except UserError:
        raise UserError(f'DATA_PATH={path} holds no image and no data set: '
                        'give the folder of a data set, or of its evaluation images.') from None
    raise UserError(f'DATA_PATH={path} has images, but no annotations in COCO, VOC or YOLO form to measure '
                    f'against: '
                    'scripts/predict.py detects without.')


def convert(path, folder):
    "The file with AIPP in it that MindSpore Lite's converter makes"
    from ssd_nb.export_310 import make_converter_command
    command = make_converter_command(path, folder)
    if shutil.which(command[0]) is None:
        raise UserError("DVPP needs MindSpore Lite's converter_lite, which is not on the PATH: "
                        'add the folder tools/converter/converter of its package, or give CPU.')
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, done.stderr, sep='\n')
    if done.returncode:
        raise UserError(f'converter_lite failed with code {done.returncode}, infer.log has its words: '
                        f'{" ".join(command)}.')
    return Path(f'{next(c for c in command if c.startswith("--outputFile=")).split("=", 1)[1]}.mindir')


def load(given):
    "The prediction function, and the configuration"
    from ssd_nb.export_310 import load_exported, make_lite_reader, read_facts, wrap_in_nv12
    path, ending = Path(given.model_path), ENDINGS[given.backend]
    if path.suffix != ending:
        raise UserError(f'{path} is not for BACKEND={given.backend}, which runs {ending} files: give one.')
    facts, config = read_facts(path)
    shape, dvpp = tuple(facts['input']['shape']), given.preprocess == 'DVPP'
    if given.backend != 'lite':
        predict, config = load_exported(path)
        return wrap_in_nv12(predict, shape[2:], config.data.normalisation) if dvpp else predict, config
    file = convert(path, Path(given.output_dir) / 'dvpp') if dvpp else None
    return load_exported(path, make_lite_reader(shape, given.device_id, file, config.data.normalisation))


def measure_time(predict, milliseconds):
    "The same function, which writes down how long an image takes"
    def run(images):
        start = time.perf_counter()
        answers = predict(images)
        milliseconds.append((time.perf_counter() - start) * 1e3 / len(images))
        return answers
    return run


def load_truth(data, known):
    "Ground truth and names of the classes, those that the network knows; says what is left out"
    from ssd_nb.plumbing.cocoeval import fit_ground_truth
    from ssd_nb.plumbing.records import load_ground_truth, load_manifest, make_mindrecord
    folder = make_mindrecord(data, 'eval', progress=True)
    print((folder / 'problems.txt').read_text(encoding='utf-8'), end='')
    truth, classes = load_ground_truth(data, 'eval'), tuple(load_manifest(data, 'eval')['classes'])
    if not known: return truth, classes
    truth, notes = fit_ground_truth(truth, known)
    for note in notes: print(f'{note}.')
    return truth, known


def load_whole(given, milliseconds):
    "Looks at every image with a file that goes from pixels to detections; its model, classes and thresholds"
    import json

    from ssd_nb.plumbing.whole_graph import open_whole
    if given.backend != 'onnx' or given.preprocess == 'DVPP':
        raise UserError(f'{given.model_path} goes from pixels to detections by itself: '
                        'run it with run_infer_onnx.sh.')
    look, facts = open_whole(given.model_path)
    def detect_all(_, dataset, check, config, progress):
        found = {}
        for image_id, image in dataset:
            start = time.perf_counter()
            found[image_id], = look(image[None])
            milliseconds.append((time.perf_counter() - start) * 1e3)
        return found
    return detect_all, {name: json.loads(facts[name]) for name in ('classes', 'thresholds')}


def evaluate_whole(given, data, look, about):
    "What is measured, and the ground truth"
    from ssd_nb.eval import EvalConfig, evaluate
    from ssd_nb.plumbing.records import iterate_images
    with tempfile.TemporaryDirectory(prefix='ssd_nb_infer_') as scratch:
        data = replace(data, mindrecord_dir=scratch)
        truth, classes = load_truth(data, tuple(about['classes']))
        return evaluate(None, iterate_images(data), truth, classes, EvalConfig(**about['thresholds']),
                        detect_all=look), truth


def evaluate_data(given, data, facts, milliseconds):
    "What is measured, and the ground truth; the records are made in a folder that goes afterwards"
    from ssd_nb.data import create_dataset
    from ssd_nb.eval import EvalConfig, evaluate
    predict, config = load(given)
    with tempfile.TemporaryDirectory(prefix='ssd_nb_infer_') as scratch:
        data = replace(data, mindrecord_dir=scratch)
        truth, classes = load_truth(data, config.data.classes)
        dataset = create_dataset(data, config.boxes, 'eval', facts['input']['shape'][0], train=False)
        predict = measure_time(predict, milliseconds)
        return evaluate(predict, dataset, truth, classes, EvalConfig(**facts['thresholds'])), truth


def split_path(name):
    "The parts of a file name that may stand in the name of another file"
    parts = name.replace('\\', '/').replace(':', '').split('/')
    return [''.join(letter for letter in part if letter.isprintable()) for part in parts
            if part not in ('', '.', '..')]


def name_results(images):
    "A name for the result of each image: its own without the ending, with its folders where others have it"
    forms = (lambda parts, i: Path(parts[-1]).stem, lambda parts, i: Path('_'.join(parts)).stem,
             lambda parts, i: '_'.join(parts), lambda parts, i: f'{Path("_".join(parts)).stem}_{i}')
    names, left = {}, {image['id']: split_path(image['file_name']) or ['image'] for image in images}
    for form in forms:
        found = {i: form(parts, i) for i, parts in left.items()}
        count = Counter(name.casefold() for name in [*found.values(), *names.values()])
        names |= {i: name for i, name in found.items() if count[name.casefold()] == 1}
        left = {i: parts for i, parts in left.items() if i not in names}
    taken = {name.casefold() for name in names.values()}
    for i in left: # a name that another has made up, too
        names[i] = next(name for n in count_up() if (name := f'image_{i}_{n}').casefold() not in taken)
    def is_short(name): return len(name.encode(errors='replace')) < 200 # systems take 255 bytes
    return {i: name if is_short(name) else f'image_{i}' for i, name in names.items()}


def clear_results(output):
    "Removes what an earlier run wrote; raises `UserError` if anything of somebody else is there"
    places = [output / name for name in ('result_Files', 'time_Result')]
    for place in places:
        for path in sorted(place.iterdir()) if place.is_dir() else [place] if os.path.lexists(place) else ():
            if is_own_file(path): continue
            raise UserError(f'--output_dir={output}: {path} is none of the files that inference writes, and '
                            f'{place.name} is made anew: move it away, or give another folder.')
    for place in places:
        if place.is_dir(): shutil.rmtree(place)
    (output / 'acc.log').unlink(missing_ok=True)


def is_own_file(path):
    "Whether a file in result_Files or time_Result is one that inference wrote"
    if path.is_symlink() or not path.is_file(): return False
    if path.name == 'test_perform_static.txt': return True
    with open(path, 'rb') as file: start = file.read(20)
    return path.suffix == '.json' and (start == b'[]\n' or start.startswith(b'[{"image_id": '))


def write_each(result, truth, output):
    "A json for each image: what was found in it, in COCO's form, with ids and names as in the annotations"
    from ssd_nb.plumbing.cocoeval import to_coco, to_result_dicts, write_results
    folder = make_folder(output / 'result_Files')
    images, names = {image['id']: image for image in truth['images']}, name_results(truth['images'])
    for image_id, found in result.detections.items():
        own = dict(images=[images[image_id]], categories=truth['categories'])
        rows = to_result_dicts(to_coco(found, image_id, result.category_ids), own)
        write_results(rows, folder / f'{names[image_id]}.json', '--output_dir')


def write_times(milliseconds, images, backend, whole, output):
    "How long an image takes; the first run, which compiles, does not count"
    import numpy as np
    from ssd_nb.export_310 import format_latency
    steady = np.array(milliseconds[1:] or milliseconds)
    without = 'reading' if whole else 'reading and NMS'
    text = f'{images} images, {backend}; an image, without {without}: {format_latency(steady, 1)}\n'
    write_text(make_folder(output / 'time_Result') / 'test_perform_static.txt', text, '--output_dir')


def infer(words):
    "runs an exported file over a data set"
    given = read_options(words)
    from ssd_nb.data import DataConfig
    from ssd_nb.export_310 import read_facts
    from ssd_nb.plumbing.device import choose_device
    from ssd_nb.plumbing.graph_files import trust_file
    from ssd_nb.plumbing.whole_graph import is_whole
    trust_file(given.trust)
    output, milliseconds = make_folder(given.output_dir), []
    clear_results(output) # nobody shall take them for those of this run
    choose_device('CPU') # of MindSpore; the other backends choose their own
    if whole := is_whole(given.model_path):
        look, about = load_whole(given, milliseconds)
        data = find_data(given.data_path, DataConfig(classes=tuple(about['classes'])))
        result, truth = evaluate_whole(given, data, look, about)
    else:
        facts, config = read_facts(given.model_path)
        data = find_data(given.data_path, config.data)
        result, truth = evaluate_data(given, data, facts, milliseconds)
    write_each(result, truth, output)
    write_times(milliseconds, len(result.detections), given.backend, whole, output)
    write_text(output / 'acc.log', result.text + '\n', '--output_dir', 'backslashreplace')


if __name__ == '__main__':
    run_command(infer)
