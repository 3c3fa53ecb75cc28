"""Evaluation and prediction beyond the notebook: empty cases, both evaluators, videos, unreadable files."""
import io
import json
import os
import re
import signal
import sys
import time

import cv2
import numpy as np
import pytest
from conftest import ROOT

from ssd_nb.boxes import BOX_CONFIGS, default_tlbr
from ssd_nb.eval import EvalConfig, compute_coco_metrics, detect, evaluate
from ssd_nb.plumbing.cocoeval import (
    EVALUATORS, complete_ground_truth, read_precisions, run_cocoeval, to_coco_rows, to_result_dicts,
    write_results)
from ssd_nb.plumbing.nms import pixel_iou
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.report import make_report_page

SAMPLES = ROOT / 'data_samples'
CLASSES = 'background', 'cup', 'fork', 'jug'


@pytest.fixture
def truth():
    "Six images: two full, one with a crowd, one empty, two that nobody evaluates; image 1 without forks"
    note = lambda image, category, *box, **more: dict(image_id=image, category_id=category,
                                                      bbox=list(map(float, box)), **more)
    return dict(images=[dict(id=i, height=100, width=200) for i in (7, 1, 2, 3, 40, 41)],
                categories=[dict(id=c, name=n) for c, n in ((5, 'cup'), (2, 'fork'), (9, 'jug'))],
                annotations=[note(7, 5, 10, 10, 50, 40, id=0), note(7, 2, 100, 20, 30, 60),
                             note(1, 5, 20, 20, 100, 70, area=123),
                             note(2, 2, 5, 5, 20, 20), note(2, 2, 40, 0, 160, 100, iscrowd=1),
                             note(40, 5, 10, 10, 20, 20)])


def batches(*ids):
    return [dict(image=np.array(ids), image_id=np.array(ids), shape=np.full((len(ids), 2), (100, 200)))]


def told(*rows):
    "A detector that says the same about every image: class, score and x, y, width, height"
    boxes, scores = np.zeros((len(rows), 4), np.float32), np.zeros((len(rows), len(CLASSES)), np.float32)
    for i, (label, score, x, y, w, h) in enumerate(rows):
        boxes[i], scores[i, label] = [y / 100, x / 200, (y + h) / 100, (x + w) / 200], score
    return lambda images: (np.tile(boxes, (len(images), 1, 1)), np.tile(scores, (len(images), 1, 1)))


SOME = told((1, 0.9, 12, 11, 50, 40), (2, 0.8, 100, 22, 30, 60), (1, 0.7, 20, 20, 100, 68),
            (2, 0.6, 5, 5, 20, 20), (2, 0.5, 60, 10, 80, 80), (3, 0.4, 0, 0, 9, 9))
QUIET = dict(progress=False, verbose=False)


@pytest.mark.parametrize('protocol', ('modelzoo', 'coco'))
def test_evaluators_agree(truth, protocol):
    pytest.importorskip('hotcoco')
    results = [evaluate(SOME, batches(7, 1, 2, 3), truth, CLASSES,
                        EvalConfig(evaluator=e, eval_protocol=protocol), **QUIET) for e in EVALUATORS]
    assert results[0].text == results[1].text and (results[0].stats == results[1].stats).all()
    assert np.array_equal(results[0].precision, results[1].precision, equal_nan=True)
    assert 0 < results[0].mAP < 1 and np.isnan(results[0].ap).tolist() == [False, False, True]
    forks = evaluate(SOME, batches(7, 1, 2, 3),
                     truth | dict(annotations=[a for a in truth['annotations'] if a['category_id'] == 2]),
                     CLASSES,
                     EvalConfig(eval_protocol=protocol), **QUIET)
    assert np.isnan(forks.ap).tolist() == [True, False,
                                           True] # the order is that of the classes, not of the ids


def test_evaluators_agree_in_groups(truth):
    pytest.importorskip('hotcoco')
    rows = to_coco_rows(evaluate(SOME, batches(7, 1, 2, 3), truth, CLASSES, **QUIET).detections, [0, 5, 2, 9])
    groups = [0, 1, 2, 0, 1, 2], np.arange(len(rows)) % 3, 3
    tables = [read_precisions(run_cocoeval(truth, rows, [7, 1, 2, 3], evaluator=e, groups=groups))
              for e in EVALUATORS]
    assert tables[0].shape[-1] == 4 and np.array_equal(*tables, equal_nan=True)


@pytest.mark.parametrize('evaluator', EVALUATORS)
def test_nothing_in_it(truth, evaluator):
    if evaluator == 'hotcoco': pytest.importorskip('hotcoco')
    config = EvalConfig(evaluator=evaluator)
    blind = evaluate(told((1, 0.0, 0, 0, 1, 1)), batches(7, 1), truth, CLASSES, config, **QUIET)
    assert blind.mAP == 0 and blind.results.shape == (0, 7)
    assert blind.stats[8] == 0      # no detections: 0, not an error
    with pytest.raises(UserError, match='hold no object of the 3 classes'):              # no ground truth
        evaluate(SOME, batches(7, 1), truth | dict(annotations=[]), CLASSES, config, **QUIET)
    with pytest.raises(UserError, match='the ground truth has no image 8'): # the json does not list it
        evaluate(SOME, batches(7, 8), truth, CLASSES, config, **QUIET)
    with pytest.raises(UserError, match='hold no object'):
        compute_coco_metrics(dict(images=[], categories=[], annotations=[]), [], config)
    stray = truth | dict(annotations=truth['annotations']
                         + [dict(image_id=999, category_id=5, bbox=[0., 0, 5, 5])])
    assert evaluate(SOME, batches(7, 1), stray, CLASSES, config,
                    **QUIET).mAP == evaluate(SOME, batches(7, 1), truth, CLASSES, config, **QUIET).mAP


@pytest.mark.parametrize('terminal', (True, False))
def test_progress_bar_on_a_terminal(truth, terminal, monkeypatch):
    screen = io.StringIO()
    screen.isatty = lambda: terminal
    monkeypatch.setattr(sys, 'stderr', screen)
    evaluate(SOME, batches(7) + batches(1), truth, CLASSES, verbose=False)
    assert ('evaluate: 100%' in screen.getvalue()) == terminal


def test_annotation_that_lacks_something_is_named(truth):
    del truth['annotations'][1]['bbox']
    with pytest.raises(UserError, match='annotation 2 of the ground truth has no bbox'):
        compute_coco_metrics(truth, [])


def test_missing_evaluator_is_one_sentence(truth, monkeypatch):
    monkeypatch.setitem(sys.modules, 'hotcoco', None)
    with pytest.raises(UserError, match='pip install hotcoco'):
        compute_coco_metrics(truth, [[7, 0, 0, 5, 5, 0.5, 5]], EvalConfig(evaluator='hotcoco'))


def test_results_are_a_file_that_pycocotools_reads(truth, tmp_path):
    from pycocotools.coco import COCO
    result = evaluate(SOME, batches(7, 1, 2), truth, CLASSES, **QUIET)
    write_results(to_result_dicts(result.results), tmp_path / 'results.json')
    (tmp_path / 'truth.json').write_text(json.dumps(complete_ground_truth(truth)))
    found = COCO(str(tmp_path / 'truth.json')).loadRes(str(tmp_path / 'results.json'))
    assert len(found.anns) == len(result.results) > 0


def test_report_of_images_without_objects(truth):
    from ssd_nb.ssd_heads import MODELS
    result = evaluate(SOME, batches(3, 7), truth, CLASSES, EvalConfig(eval_protocol='coco'), **QUIET)
    for detections in result.detections.values(): detections.defaults = np.zeros(len(detections), int)
    read = lambda ids: {i: np.zeros((100, 200, 3), np.uint8) for i in ids}
    page = make_report_page(result, truth, MODELS['ssd_tiny'].boxes, read, 'cups & forks')
    assert 'cups &amp; forks' in page and not re.search(r'https?:|<script|<link', page) and 'nan' not in page


# --- predict.py ------------------------------------------------------------------------------------------

@pytest.fixture
def predict(monkeypatch, capsys, tmp_path):
    "predict.py in this process, with a detector that always sees a ball: exit code, stdout, stderr"
    from ssd_nb.train import preset
    from dataclasses import replace
    from ssd_nb.plumbing import media
    from ssd_nb.plumbing.commands import predict_command
    from ssd_nb.plumbing.options import run_command
    config = preset('ssd_tiny')
    config = replace(config, data=replace(config.data, classes=('ball', 'cube')),
                     model=replace(config.model, num_classes=3))
    output = np.float32([[[0.25, 0.25, 0.75, 0.75],
                          [0.26, 0.25, 0.75, 0.75]]]), np.float32([[[0, 0.9, 0.5], [0, 0.8, 0.1]]])
    def toy_predict(images): return tuple(np.repeat(o, len(images), 0) for o in output)
    monkeypatch.setattr('ssd_nb.plumbing.commands._load_detector', lambda *a: (toy_predict, config))

    def call(*options):
        words = ['--checkpoint_path=x.ckpt', f'--output_dir={tmp_path}/out', *map(str, options)]
        try: run_command(predict_command, words)
        except SystemExit as ended: code = ended.code
        else: code = 0
        said = capsys.readouterr()
        return code, said.out, said.err
    call.module, call.out = media, tmp_path / 'out'
    return call


def film(path, frames=5):
    "A small video, a grey that gets lighter"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for i in range(frames): writer.write(np.full((48, 64, 3), 40 * i, np.uint8))
    writer.release()
    return path


def rows_of(folder): return json.loads((folder / 'detections.json').read_text())


def test_folder_with_bad_files(predict, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    for name in ('a.png', 'b.bmp'): cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))
    (folder / 'broken.jpg').write_bytes(b'no image')
    (folder / 'empty.jpg').touch()
    (folder / 'notes.txt').write_text('no image either, but none is expected')
    code, out, err = predict(f'--image_path={folder}', '--batch_size=3')
    assert code == 0 and '2 annotated images' in out
    assert err.count('left out: ') == 2 and 'broken.jpg' in err and 'empty.jpg' in err
    assert {p.name for p in predict.out.iterdir()} == {'a.png', 'b.png', 'overview.png', 'detections.json'}
    assert [(r['image_id'], r['file_name'], r['category_name'], r['bbox']) for r in rows_of(predict.out)] == [
        (i, name, c, [16, 12, 32, 24]) for i, name in ((1, 'a.png'), (2, 'b.bmp')) for c in ('ball', 'cube')]
    painted = cv2.imread(str(predict.out / 'a.png'))
    assert painted.shape == (48, 64, 3) and painted[30, 16].tolist() == [0, 0, 255]


def test_pattern_classes_and_thresholds(predict, tmp_path):
    for folder in ('one', 'two'):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / 'same.png'), np.zeros((48, 64, 3), np.uint8))
    code, out, err = predict(f'--image_path={tmp_path}/*/same.png', '--keep=cube', '--score=0.45')
    assert code == 0 and [r['category_name'] for r in rows_of(predict.out)] == ['cube'] * 2
    found = {str(p.relative_to(predict.out)) for p in predict.out.rglob('*') if p.is_file()}
    assert found == {'one/same.png', 'two/same.png', 'overview.png', 'detections.json'} # neither is lost
    assert predict(f'--image_path={tmp_path}/one/same.png', '--nms=1')[0] == 0
    assert [r['category_name'] for r in rows_of(predict.out)] == ['ball', 'ball', 'cube']
    assert predict(f'--image_path={tmp_path}/one/same.png', '--score=0.95')[0] == 0
    assert rows_of(predict.out) == []


def test_video(predict, tmp_path):
    code, out, err = predict(f'--image_path={film(tmp_path / "film.mp4")}', '--keep=ball')
    assert code == 0 and 'a video of 5 frames' in out
    copy = cv2.VideoCapture(str(predict.out / 'film.mp4'))
    assert (copy.get(cv2.CAP_PROP_FRAME_COUNT), copy.get(cv2.CAP_PROP_FPS)) == (5, 10)
    assert [r['image_id'] for r in rows_of(predict.out)] == [1, 2, 3, 4, 5]
    assert predict(f'--image_path={tmp_path}/film.mp4', '--frames=2')[0] == 0
    assert {r['image_id'] for r in rows_of(predict.out)} == {1, 2}


def test_camera_until_ctrl_c(predict, monkeypatch):
    "A pretended camera that never ends: Ctrl-C ends it, and what was done is written"
    class Camera:
        frames = 0
        def __init__(self, number): assert number == 3
        def isOpened(self): return True
        def get(self, what): return 0
        def read(self):
            Camera.frames += 1
            if Camera.frames == 4: os.kill(os.getpid(), signal.SIGINT)
            return True, np.zeros((48, 64, 3), np.uint8)
    monkeypatch.setattr(predict.module.cv2, 'VideoCapture', Camera)
    code, out, err = predict('--image_path=camera:3')
    assert code == 0 and re.search(r'a video of [345] frames', out), (out, err)
    assert (predict.out / 'camera3.mp4').stat().st_size and rows_of(predict.out)


MISTAKES = {
    'empty folder': (['--image_path={tmp}/none'], 'holds no image'),
    'nothing there': (['--image_path={tmp}/nowhere.jpg'], 'there is no --image_path='),
    'pattern without a match': (['--image_path={tmp}/*.jpg'], 'there is no --image_path='),
    'unknown class': (['--image_path={tmp}/a.png', '--keep=bal'], "there is no class 'bal': did you mean "
                                                                  "ball?"),
    'far class': (['--image_path={tmp}/a.png', '--keep=xyz'], "there is no class 'xyz': give some of ball, "
                                                              "cube."),
    'no camera': (['--image_path=camera:63'], 'there is no such camera'),
    'no video': (['--image_path={tmp}/text.mp4'], 'is no video that this OpenCV can read'),
    'no good file': (['--image_path={tmp}/bad.png'], 'the file is no image that can be read'),
    'over the originals': (['--image_path={tmp}/a.png', '--output_dir={tmp}'], 'holds the images themselves'),
    'no folder': (['--image_path={tmp}/a.png', '--output_dir={tmp}/text.mp4/out'], 'cannot be made'),
    'score': (['--image_path={tmp}/a.png', '--score=2'], 'min_score=2.0 is not possible'),
    'batch': (['--image_path={tmp}/a.png', '--batch_size=0'], '--batch_size=0 is not possible'),
    'codec': (['--image_path={tmp}/film.mp4'], 'no video can be written to'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_in_prediction_is_one_sentence(name, predict, tmp_path, monkeypatch):
    options, says = MISTAKES[name]
    (tmp_path / 'none').mkdir()
    (tmp_path / 'text.mp4').write_text('no video')
    (tmp_path / 'bad.png').write_text('no image')
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((48, 64, 3), np.uint8))
    if name == 'codec':
        film(tmp_path / 'film.mp4')
        monkeypatch.setattr(predict.module, 'CODECS', (('.mp4', 'none'),))
    code, out, err = predict(*(option.format(tmp=tmp_path) for option in options))
    last = err.strip().splitlines()[-1]
    assert code == 2 and last.startswith('error: ') and says in last and 'Traceback' not in err, err


# --- the shell scripts -----------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ('run_eval.sh', 'run_eval_gpu.sh'))
def test_run_eval_explains_itself(name, run, tmp_path):
    script = ROOT / 'scripts' / name
    assert run('bash', '-n', script).code == 0
    for options, code in ((['--help'], 0), ([], 2), (['coco', 'x.ckpt'], 2)):
        done = run('bash', script, *options)
        assert done.code == code
        assert f'usage: bash scripts/{name} [DATASET] [CHECKPOINT_PATH] [DEVICE_ID]' in done.out + done.err
    (tmp_path / 'x.ckpt').touch()
    for options, says in ((['cocoa', tmp_path / 'x.ckpt', 0], "DATASET 'cocoa'"),
                          (['coco', tmp_path / 'y.ckpt', 0], 'y.ckpt'),
                          (['coco', tmp_path / 'x.ckpt', 'a'], "DEVICE_ID 'a'")):
        done = run('bash', script, *options, cwd=tmp_path)
        assert done.code == 2 and len(done.err.strip().splitlines()) == 1 and says in done.err


def modelzoo_checkpoint(model, path):
    "A network of 6 classes as the ModelZoo saves one, without anything that says what it is"
    from dataclasses import replace
    import mindspore as ms
    from ssd_nb.train import preset
    from ssd_nb.plumbing.model_config import build_model
    config = preset(model)
    ms.save_checkpoint(build_model(replace(config.model, num_classes=6), config.boxes), str(path))


@pytest.mark.slow
@pytest.mark.parametrize('model', ('ssd300', 'ssd_vgg16', 'ssd_mobilenet_v1_fpn', 'ssd_resnet50_fpn'))
def test_run_eval_with_a_modelzoo_checkpoint(model, run, tmp_path):
    modelzoo_checkpoint(model, tmp_path / 'old.ckpt')
    few = json.loads((SAMPLES / 'annotations/instances_eval.json').read_text())
    few['images'] = few['images'][:3]
    few['annotations'] = [a for a in few['annotations'] if a['image_id'] <= 3]
    (tmp_path / 'set/annotations').mkdir(parents=True)
    (tmp_path / 'set/annotations/instances_val2017.json').write_text(json.dumps(few))
    (tmp_path / 'set/val2017').symlink_to(SAMPLES / 'eval')
    env = os.environ | dict(RUN_PLATFORM='CPU', PYTHON=sys.executable)
    command = 'bash', ROOT / 'scripts/run_eval.sh', 'coco', tmp_path / 'old.ckpt', 0, \
        f'--coco_root={tmp_path}/set', f'--mindrecord_dir={tmp_path}/record', '--follow_links=True'
    done = run(*command, cwd=tmp_path, env=env)
    assert done.code == 2 and 'give --using_model' in done.err
    done = run(*command, f'--using_model={model}', '--batch_size=2', '--report', '--max_boxes=10',
               cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    assert {p.name for p in (tmp_path / 'eval0').iterdir()} == {'log.txt', 'metrics.txt', 'metrics.json',
                                                                'detections.json', 'report.html'}
    log = (tmp_path / 'eval0/log.txt').read_text()
    assert len(re.findall(r'^ Average (Precision|Recall) .* = -?[\d.]+$', log, flags=re.M)) == 12
    assert re.search(r'^=+\nmAP: [\d.e-]+$', log, flags=re.M)
    assert (tmp_path / 'eval0/report.html').read_text().count('<img') >= 7


def detect_with_a_full_sort(boxes, scores, shape, config):
    "As the loop over classes decides: one kept box at a time against all that are left"
    boxes, found = boxes * np.array([*shape, *shape], float), []
    for label in range(1, scores.shape[1]):
        left = np.flatnonzero(scores[:, label] > config.min_score)
        left, kept = left[np.argsort(scores[left, label], kind='stable')[::-1]], []
        while len(left) and len(kept) < config.max_boxes:
            kept.append(left[0])
            left = left[1:][pixel_iou(boxes[left[:1]], boxes[left[1:]])[0] <= config.nms_threshold]
        found += [(*boxes[i], scores[i, label], label, i) for i in kept]
    return np.array(found).reshape(-1, 7)


@pytest.mark.parametrize('levels', [1, 2, 50, 10**9]) # how many different scores there are
@pytest.mark.parametrize('spread', [0, 0.02, 0.9]) # of the boxes: all the same, most on each other, apart
def test_detections_do_not_depend_on_how_much_is_sorted(levels, spread):
    rng = np.random.default_rng(levels)
    corner = spread * rng.uniform(0, 1, (1500, 2))
    boxes = np.concatenate([corner, corner + 0.1], axis=1).astype(np.float32)
    scores = (0.2 + 0.8 * rng.integers(0, levels, (1500, 4)) / levels).astype(np.float32)
    scores[300:, 3] = 0 # a class with few candidates beside those with many
    for config in (EvalConfig(), EvalConfig(max_boxes=1), EvalConfig(0.5, 0.3, 1500)):
        found = detect(boxes, scores, (300, 400), config)
        rows = np.column_stack([found.boxes, found.scores, found.labels, found.defaults])
        assert np.array_equal(rows, detect_with_a_full_sort(boxes, scores, (300, 400), config))


def test_all_candidates_of_a_pyramid_network_take_no_seconds():
    rng = np.random.default_rng(0)
    boxes = default_tlbr(BOX_CONFIGS['ssd_resnet50_fpn']).astype(np.float32)
    scores = (0.5 + 0.01 * rng.normal(size=(len(boxes), 81))).astype(np.float32)
    start = time.process_time()
    assert len(detect(boxes, scores, (480, 640))) == 80 * 100
    assert time.process_time() - start < 1 # all sorted: 3 s
