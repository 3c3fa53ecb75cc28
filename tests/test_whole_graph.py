"""A file that goes from pixels to detections finds what the library finds, and needs nothing of it."""
import json
import os
import re
import sys

import numpy as np
import pytest
from conftest import ROOT
from test_export import make_checkpoint

MODELS = ['ssd_tiny', *(pytest.param(name, marks=pytest.mark.slow) for name in
                        ('ssd300', 'ssd_vgg16', 'ssd_mobilenet_v1_fpn', 'ssd_resnet50_fpn'))]
SAMPLES, PHOTO = ROOT / 'data_samples', next((ROOT / 'data_samples/eval').glob('*.jpg'))


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    "A folder with tiny.ckpt and tiny.onnx"
    from ssd_nb.eval import EvalConfig
    from ssd_nb.export_310 import export_model
    folder = tmp_path_factory.mktemp('whole')
    (folder / 'tiny.onnx.json').write_text('{}') # of a file that is replaced
    checkpoint = make_checkpoint('ssd_tiny', folder / 'tiny.ckpt', (96, 128))
    export_model(checkpoint, folder / 'tiny', 'ONNX', thresholds=EvalConfig(0.2, 0.5, 7), whole=True)
    return folder


def draw(count, height, width):
    "Images with large and small parts, as photographs have them"
    rng, image = np.random.default_rng(height), 0
    for n in (3, 11, 40):
        cells = rng.integers(0, 85, (count, n, n, 3))
        image = image + cells[:, np.arange(height) * n // height][:, :, np.arange(width) * n // width]
    return image.astype(np.uint8)


@pytest.mark.parametrize('using_model', MODELS)
def test_whole_file_finds_what_the_library_finds(using_model, tmp_path):
    from ssd_nb.data import prepare_input
    from ssd_nb.eval import EvalConfig, detect
    from ssd_nb.export_310 import compare_detections, export_model, load_predict
    from ssd_nb.plumbing.whole_graph import open_whole
    size = (288, 304) if using_model == 'ssd_vgg16' else (160, 192) # the least that it takes is 257
    checkpoint = make_checkpoint(using_model, tmp_path / 'a.ckpt', size)
    predict, config = load_predict(checkpoint)
    images = draw(3, *size)
    see = lambda image: predict(prepare_input(image, size, None, config.data.normalisation)[None])
    answers = [see(image) for image in images]
    least = float(np.sort(np.stack([scores[..., 1:] for _, scores in answers]), axis=None)[-1500])
    thresholds = EvalConfig(min(round(least, 3), 0.9), 0.5, 50) # random weights may be very sure
    path, _ = export_model(checkpoint, tmp_path / 'a', 'ONNX', thresholds=thresholds, whole=True)
    look, facts = open_whole(path)
    ours = [detect(boxes[0], scores[0], size, thresholds) for boxes, scores in answers]
    theirs = look(images) # all at once, and of the network's size: the same pixels
    drift = compare_detections(ours, theirs)
    assert drift.both > 50 and drift.lost + drift.new <= 0.02 * drift.both and drift.score < 1e-3, drift
    assert max(map(len, ours)) > 0 and facts['model'] == using_model
    other = draw(1, 333, 211) # resized
    boxes, scores = see(other[0])
    drift = compare_detections([detect(boxes[0], scores[0], (333, 211), thresholds)], look(other))
    assert drift.both > 5 and drift.lost + drift.new <= 0.2 * drift.both, drift


def test_one_file_says_what_it_holds(tiny):
    from ssd_nb.plumbing.whole_graph import open_whole
    assert not (tiny / 'tiny.onnx.json').exists()
    facts = open_whole(tiny / 'tiny.onnx')[1]
    assert json.loads(facts['thresholds']) == dict(min_score=0.2, nms_threshold=0.5, max_boxes=7)
    assert json.loads(facts['classes'])[:2] == ['background', 'ball']
    assert set(json.loads(facts['version'])) == {'ssd_nb', 'mindspore'} and facts['model'] == 'ssd_tiny'


def test_lines_of_the_readme_need_neither_this_library_nor_mindspore(tiny, run, tmp_path):
    code = re.search(r'```python\n(import json, numpy.*?)```', (ROOT / 'scripts/README.md').read_text(),
                     flags=re.S)[1]
    code = code.replace('my_ssd.onnx', str(tiny / 'tiny.onnx')).replace('my_photo.jpg', str(PHOTO))
    forbidden = 'import sys\nfor name in ("ssd_nb", "mindspore", "cv2", "onnx"): sys.modules[name] = None\n'
    more = '\nassert len(boxes) and set(images) == {0} and boxes.shape == (len(scores), 4)'
    done = run(sys.executable, '-c', f'{forbidden}{code}{more}', cwd=tmp_path)
    assert done.code == 0 and re.match(r"\[\('(ball|box|star|\w+)', ", done.out), done.err


def test_run_infer_onnx_measures_a_whole_file(tiny, run, tmp_path):
    done = run('bash', ROOT / 'scripts/run_infer_onnx.sh', tiny / 'tiny.onnx', SAMPLES, cwd=tmp_path,
               env=os.environ | dict(PYTHON=sys.executable))
    assert done.code == 0 and 'without reading: ' in done.out and 'mAP' in done.out, done.err
    found = [json.loads(path.read_text()) for path in (tmp_path / 'result_Files').glob('*.json')]
    assert len(found) == len(list((SAMPLES / 'eval').glob('*.jpg'))) and any(found)


MISTAKES = {
    'another form': ('export.py', ['--ckpt_file=TINY.ckpt', '--file_format=MINDIR', '--whole'],
                     '--whole is not possible with --file_format=MINDIR: give --file_format=ONNX.'),
    'a batch': ('export.py', ['--ckpt_file=TINY.ckpt', '--file_format=ONNX', '--whole', '--batch_size=4'],
                '--batch_size=4 is not possible with --whole'),
    'prediction': ('predict.py', ['--run_platform=CPU', '--checkpoint_path=TINY.onnx',
                                  f'--image_path={PHOTO}'], 'goes from pixels to detections by itself'),
    'Ascend': ('infer.py', ['--model_path=TINY.onnx', '--backend=mindspore', f'--data_path={SAMPLES}'],
               'goes from pixels to detections by itself'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_is_answered_in_one_sentence(name, tiny, script_here):
    file, options, says = MISTAKES[name]
    done = script_here(file, *(o.replace('TINY', str(tiny / 'tiny')) for o in options))
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1, done.err
    assert done.err.startswith('error: ') and says in done.err, done.err


def test_check_export_compares_a_whole_file(tiny, script_here):
    done = script_here('check_export.py', f'--ckpt_file={tiny}/tiny.ckpt', f'--image_path={PHOTO}',
                       f'--exported=[{tiny}/tiny.onnx]', '--runs=1', '--batches=[1]')
    assert done.code == 0, done.err
    assert re.search(r'tiny.onnx, from pixels, at its own thresholds: \d+ the same', done.out)
    assert re.search(r'tiny.onnx, from pixels, batch 1: p50', done.out)
