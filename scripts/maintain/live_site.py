"""What lives on the website: the detector in the browser, and sliders that move without a kernel."""
import base64
import gzip
import json
import tarfile
from io import BytesIO
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import cv2
import numpy as np

from ssd_nb.boxes import BoxConfig, BoxEncoder, count_cell_boxes, default_tlbr, grids, iou
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.photographs import (
    PHOTOGRAPH_CLASSES, PHOTOGRAPHS, load_photograph, load_recorded_answers)
from ssd_nb.plumbing.published_packages import compute_checksum
from ssd_nb.plumbing.samples import SAMPLE_CLASSES, running_image

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent / 'site'
# The last version with a build for one thread: threads need headers that a folder on disk does not send.
VERSION, CHECKSUM = '1.18.0', 'b4940dec2f4f63cd98d48597336809d45fdaa1c4ddc6d2e6e61183772a266e07'
ADDRESS = f'https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz'
PACKAGE = ROOT / f'runs/onnxruntime-web-{VERSION}.tgz'  # fetched once
QUICK_START = ROOT / 'runs/quickstart/ssd_tiny.ckpt'
SCORE = 0.4  # what predict.py begins with
DRAWN = '000001.jpg', '000004.jpg', '000007.jpg', '000012.jpg'  # of data_samples/eval
TAKEN = 'coffee', 'cat', 'astronaut', 'hopper'  # of PHOTOGRAPHS
# page -> sliders, and what the code of the cell contains after which each stands
SLIDERS = {'00_boxes': dict(iou='interact(slide', cell='draw_cell(grey', match='interact(light_up'),
           '04_loss': dict(focal='interact(share_at'), '05_train': dict(rates='interact(move'),
           '06_eval': dict(thresholds='interact(slide')}


def fetch_engine():
    "Bytes of the package; raises `UserError` where it cannot be had, or is another one"
    if not PACKAGE.is_file():
        try:
            with urlopen(ADDRESS, timeout=60) as answer: data = answer.read()
        except (URLError, OSError) as error:
            raise UserError(f'{ADDRESS} cannot be fetched ({error}): build the pages with a network, or put '
                            f'the file at {PACKAGE.relative_to(ROOT)}.') from None
    else: data = PACKAGE.read_bytes()
    if compute_checksum(data) != CHECKSUM:
        raise UserError(f'{PACKAGE.name} is not the file that it was, its checksum differs: delete it, or '
                        'look at what changed.')
    if not PACKAGE.is_file():
        PACKAGE.parent.mkdir(exist_ok=True)
        part = PACKAGE.with_suffix('.part')
        part.write_bytes(data)
        part.replace(PACKAGE)
    return data


def pack(data): return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def to_script(value):
    "JSON that is also safe inside a page, where `</script>` and `<!--` would end it"
    return json.dumps(value, ensure_ascii=True).replace('<', '\\u003c')


def write_engine(folder):
    with tarfile.open(fileobj=BytesIO(fetch_engine())) as package:
        read = lambda name: package.extractfile(f'package/dist/{name}').read()
        script, program = read('ort.wasm.min.js').decode(), read('ort-wasm-simd.wasm')
    script = script.split('//# sourceMappingURL')[0]
    (folder / 'ort.js').write_text(script, encoding='utf-8')
    (folder / 'engine.js').write_text(f'SSD.engine = "{pack(program)}"\n', encoding='utf-8')


def export_checkpoint(path):
    "The ONNX file of a checkpoint, beside it; made unless it is there already"
    from ssd_nb.export_310 import export_model, find_facts_path
    exported = path.with_suffix('.onnx')
    try: known = json.loads(find_facts_path(exported).read_text())['sha256']['checkpoint']
    except (OSError, ValueError, KeyError): known = None
    if not exported.is_file() or known != compute_checksum(path.read_bytes()):
        exported, _ = export_model(path, path.with_suffix(''), 'ONNX')
    return exported


def describe_model(path, number):
    "An ONNX file as two scripts' content: what the page must know, and the file itself"
    from ssd_nb.export_310 import read_facts
    facts, config = read_facts(path)
    if facts['file_format'] != 'ONNX': raise UserError(f'{path} is no ONNX file: export it as one.')
    if facts['input']['shape'][0] != 1:
        raise UserError(f'{path} takes {facts["input"]["shape"][0]} images at once: export it with '
                        '--batch_size=1.')
    about = dict(name=f'{path.stem} ({len(facts["classes"]) - 1} classes)', classes=facts['classes'],
                 shape=facts['input']['shape'], normalisation=facts['normalisation'],
                 thresholds=facts['thresholds'], start=SCORE, levels=list_levels(config.boxes),
                 tlbr=encode_floats(default_tlbr(config.boxes)), file=f'live/model_{number}.js')
    return about, f'SSD.models[{number}].onnx = "{pack(path.read_bytes())}"\n'


def write_models(folder, files):
    "All detectors of the page, the first is the one it begins with"
    known = []
    for number, path in enumerate(files):
        if not path.is_file(): raise UserError(f'--detector={path}: there is no such file, check the path.')
        about, script = describe_model(export_checkpoint(path) if path.suffix == '.ckpt' else path, number)
        (folder / f'model_{number}.js').write_text(script, encoding='utf-8')
        known.append(about)
    (folder / 'models.js').write_text(f'SSD.models = {to_script(known)}\n', encoding='utf-8')


def list_images():
    "(name, credit, kind, base64) of the pictures to choose from"
    for name in DRAWN: yield f'drawn {name}', '', 'image/jpeg', base64.b64encode(
        (ROOT / 'data_samples/eval' / name).read_bytes()).decode()
    for name in TAKEN:
        try: photograph = load_photograph(name)
        except UserError: continue  # the package that brings it is not installed
        yield f'photograph: {name}', PHOTOGRAPHS[name].credit, 'image/jpeg', encode_jpeg(photograph)


def write_images(folder):
    rows = [dict(name=name, credit=credit, kind=kind, data=data)
            for name, credit, kind, data in list_images()]
    (folder / 'images.js').write_text(f'SSD.images = {to_script(rows)}\n', encoding='utf-8')


def list_levels(config): return [(*grid, each) for grid, each in zip(grids(config), count_cell_boxes(config))]


def encode_floats(values): return base64.b64encode(np.asarray(values, '<f4').tobytes()).decode()


def encode_jpeg(image): # (h, w, 3) RGB uint8
    file = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return base64.b64encode(file).decode()


def describe_boxes():
    "What the sliders of 00_boxes need: its default boxes and its objects"
    config, (image, objects, _) = BoxConfig(), running_image()
    return dict(square=[0, 0, 1, 1], levels=list_levels(config), defaults=encode_floats(default_tlbr(config)),
                objects=encode_floats(objects), image=encode_jpeg(image))


def make_logits():
    "The answers of 04_loss, `detector_by_hand`, and the label of each default box"
    _, objects, labels = running_image()
    encoder, rng = BoxEncoder(BoxConfig()), np.random.default_rng(4)
    overlap = iou(objects, encoder.tlbr)
    logits = np.full((len(encoder.tlbr), len(SAMPLE_CLASSES)), -7.)
    logits[:, 0] = 7 - 14 * overlap.max(0)
    logits[np.arange(len(logits)), labels[overlap.argmax(0)]] = -7 + 14 * overlap.max(0)
    logits += rng.normal(0, 0.5, logits.shape)
    return np.float32(logits), encoder.encode(objects, labels)[1]


def describe_loss():
    logits, labels = make_logits()
    return dict(logits=encode_floats(logits), labels=base64.b64encode(np.uint8(labels).tobytes()).decode())


def describe_photographs():
    "What was recorded about the photographs of 06_eval, as whole numbers"
    found = {}
    for name, photograph in PHOTOGRAPHS.items():
        boxes, scores = load_recorded_answers(name)
        which, labels = np.nonzero(scores)
        rows = np.column_stack([which, labels, scores[which, labels] * 10_000, boxes[which] * 1000])
        try: image = encode_jpeg(load_photograph(name))
        except UserError: image = ''  # the package that brings it is not installed
        found[name] = dict(shape=photograph.shape, image=image, answers=np.rint(rows).astype(int).tolist())
    return dict(classes=PHOTOGRAPH_CLASSES, photographs=found)


DATA = {'00_boxes': describe_boxes, '04_loss': describe_loss, '05_train': dict,
        '06_eval': describe_photographs}


def copy_scripts(folder, *names):
    for name in names: (folder / name).write_text((HERE / name).read_text(encoding='utf-8'), encoding='utf-8')


def write_sliders(folder):
    "The script, and for each page with sliders a file with its numbers"
    folder.mkdir(parents=True, exist_ok=True)
    copy_scripts(folder, 'boxes.js', 'sliders.js')
    for page, describe in DATA.items():
        (folder / f'data_{page}.js').write_text(f'SSD.data = {to_script(describe())}\n', encoding='utf-8')


def place_sliders(soup, page):
    "Puts an empty place after each cell that has sliders; names of the scripts that fill them"
    cells = soup.find_all(class_='cell')
    for name, code in SLIDERS.get(page, {}).items():
        found = [cell for cell in cells if code in cell.get_text() and not cell.find('h1')]
        if len(found) != 1:
            raise UserError(f'{page}: {len(found)} cells contain {code}, after which the sliders {name} '
                            'stand: correct SLIDERS in scripts/maintain/live_site.py.')
        place = soup.new_tag('div', hidden='', **{'class': 'live', 'data-slider': name})
        found[0].insert_after(place)
    return [f'live/{name}.js' for name in ('boxes', f'data_{page}', 'sliders')] if page in SLIDERS else []


def find_detectors():
    "The quick start's checkpoint, and detectors that were imported and exported"
    found = [QUICK_START] if QUICK_START.is_file() else []
    return found + sorted((ROOT / 'runs/detectors').glob('*.onnx'))


def write_live(folder, detectors=None):
    "Writes the folder `live` of a site; sentences about what is missing"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('model_*.js'): old.unlink()
    copy_scripts(folder, 'boxes.js', 'detector.js')
    write_images(folder)
    missing, files = [], find_detectors() if detectors is None else detectors
    try: write_models(folder, files)
    except UserError as error:
        if detectors: raise  # somebody asked for it
        write_models(folder, [])
        return [f'No detector runs here: {error}']
    if files:
        try: write_engine(folder)
        except UserError as error: missing.append(f'The engine is missing, so no detector runs here: {error}')
    else:
        missing.append('No detector was there when these pages were made: run scripts/quickstart.sh, which '
                       'trains one, then scripts/build_site.sh.')
    return missing
