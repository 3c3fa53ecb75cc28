"""A full disk, or a kill, at every writer: one sentence, the old file as it was, and nothing half-written."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from html import escape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from make_sets import write_voc

from ssd_nb.plumbing.bookkeeping import EpochReport, MetricsFile, read_metrics
from ssd_nb.plumbing.files import make_folder, replace_file, write_text
from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.owners import FolderOwner

REPORT = EpochReport(1, 6, 5.5, 1., 4.5, 0.1, 9., 3., 100.)
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def sentence_of(error):
    said = str(error.value)
    assert len(said.splitlines()) == 1 and said.endswith('.') and '.ssd_nb-' not in said, said
    return said


def list_files(folder):
    "Content of all files, hidden ones as well"
    return {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob('*')
            if p.is_file() and p.name != 'filler'}


def fill(disk, left):
    "Writes until so many bytes are left"
    with open(disk / 'filler', 'wb', buffering=0) as file, contextlib.suppress(OSError):
        while True: file.write(bytes(4096))
    with open(disk / 'filler', 'r+b') as file: file.truncate((disk / 'filler').stat().st_size - left)


# --- what writes -------------------------------------------------------------------------------------------

def write_metrics(folder): # a new row each time
    metrics = MetricsFile(folder / 'metrics.csv', 10**6)
    metrics.add(replace(REPORT, epoch=len(metrics.rows)))


def write_picture(folder):
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    from ssd_nb.plumbing.training_commands import save_figure
    figure, ax = plt.subplots()
    ax.imshow(NOISE)
    save_figure(figure, folder / 'metrics.png')


def write_detections(folder):
    from ssd_nb.plumbing.cocoeval import write_results
    write_results((dict(image_id=i, bbox=[0, 0, 1, 1], score=0.5, category_id=1) for i in range(500)),
                  folder / 'detections.json', '--output_dir')


def write_copy(folder):
    from ssd_nb.plumbing.media import ImageCopies
    ImageCopies(folder)('a.jpg', NOISE)


def write_video(folder):
    from ssd_nb.plumbing.media import VideoCopy
    video, random = VideoCopy(folder, 'film', 10), np.random.default_rng(0)
    for _ in range(20): video('', random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    video.close()


def write_weights(folder):
    from mindspore import nn
    from ssd_nb.plumbing.checkpoint import write_checkpoint
    write_checkpoint(folder / 'last.ckpt', nn.Dense(64, 64), '{}', 1, option='--output_dir')


def write_exported(folder, form='MINDIR'):
    import mindspore as ms
    from mindspore import nn
    from ssd_nb.plumbing.backends import FORMATS, write_graph
    class Toy(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense = nn.Dense(64, 64)
        def construct(self, x): return self.dense(x), x
    images = ms.Tensor(np.zeros((1, 64), np.float32))
    write_graph(Toy(), images, folder / f'a{FORMATS[form]}', form)


def write_boxes(folder):
    from ssd_nb.boxes import BoxConfig
    from ssd_nb.plumbing import fit_boxes
    fit = SimpleNamespace(why='', before=BoxConfig(), after=replace(BoxConfig(), first_scale=0.11))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_boxes, 'say_fit', lambda fit: 'x' * 9000)
        fit_boxes.save_fit(fit, folder / 'fitted_boxes.yaml')


def write_seed(folder):
    from ssd_nb.plumbing.recipes import _write_seed
    _write_seed(folder, dict(settings='x' * 9000))


def write_report(folder): write_text(folder / 'report.html', 'x' * 9000, '--output_dir')


WRITERS = dict(metrics=(write_metrics, 0), picture=(write_picture, 4096), detections=(write_detections, 4096),
               copy=(write_copy, 4096), video=(write_video, 4096), checkpoint=(write_weights, 4096),
               mindir=(write_exported, 4096), boxes=(write_boxes, 4096), seed=(write_seed, 4096),
               report=(write_report, 4096)) # name -> what writes, bytes that a half file may have


@pytest.mark.parametrize('name', WRITERS)
def test_full_disk(name, small_disk):
    write, half = WRITERS[name]
    folder = small_disk / 'run'
    folder.mkdir()
    write(folder)
    before = list_files(small_disk)
    for left in {0, half}:
        fill(small_disk, left)
        with pytest.raises(UserError) as error: write(folder)
        assert ' cannot be written (' in sentence_of(error) and ': free space, or ' in sentence_of(error)
        assert list_files(small_disk) == before
    (small_disk / 'filler').unlink()
    write(folder) # where there is space, it works again


@pytest.mark.parametrize('name', ('metrics', 'detections', 'copy', 'checkpoint', 'boxes', 'seed', 'report'))
def test_files_may_not_grow(name, tmp_path):
    "A limit of 20 bytes for a file, where no small disk can be made"
    resource = pytest.importorskip('resource')
    write, _ = WRITERS[name]
    write(tmp_path)
    before, limits = list_files(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(UserError) as error: write(tmp_path)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ' cannot be written (' in sentence_of(error) and ': free space, or ' in sentence_of(error)
    assert list_files(tmp_path) == before


def test_onnx_on_a_full_disk(small_disk):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    fill(small_disk, 4096)
    with pytest.raises(UserError) as error: write_exported(small_disk, 'ONNX')
    assert 'a.onnx cannot be written (' in sentence_of(error) and not list_files(small_disk)


def test_only_the_option_that_names_the_place_is_named(small_disk):
    "A checkpoint is written by training, by import and by whoever calls the library"
    from mindspore import nn
    from ssd_nb.plumbing.checkpoint import write_checkpoint
    fill(small_disk, 0)
    for option, says in (('--output_dir', 'give another --output_dir.'), ('', 'write to another place.'),
                         ('--file_name', 'give another --file_name.')):
        with pytest.raises(UserError) as error:
            write_checkpoint(small_disk / 'a.ckpt', nn.Dense(2, 2), '', 1, option=option)
        assert sentence_of(error).endswith(f'free space, or {says}')


def test_device_is_not_replaced():
    for path in '/dev/full', '/dev/null':
        with pytest.raises(UserError) as error: write_text(path, 'x')
        assert sentence_of(error).startswith(f'{path} cannot be written (it is there, and no file)')
        assert Path(path).is_char_device()


def test_a_file_that_is_read_meanwhile_is_not_blamed_on_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError), replace_file(tmp_path / 'a.txt'): open('/nowhere/b.txt')
    assert not list(tmp_path.iterdir())


def test_folder_removed_meanwhile(tmp_path):
    "The sentence says so, and not that space is missing"
    folder = tmp_path / 'run'
    folder.mkdir()
    metrics, owner = MetricsFile(folder / 'metrics.csv', 0), FolderOwner(folder)
    for path in folder.iterdir(): path.unlink()
    folder.rmdir()
    with pytest.raises(UserError) as error: metrics.add(REPORT)
    assert 'metrics.csv cannot be written (its folder is not there): give another --output_dir' in \
        sentence_of(error)
    owner.release()


def test_folder_that_cannot_be_written_to_is_known_at_once():
    "Root may write everywhere, so root becomes nobody"
    import tempfile
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        try:
            if user == 0: os.seteuid(65534)
            with pytest.raises(UserError) as error: make_folder(name)
        finally: os.seteuid(user)
        says = f'--output_dir={name} cannot be written (Permission denied): give another'
        assert says in sentence_of(error)
        Path(name).chmod(0o755)


# --- kills -------------------------------------------------------------------------------------------------

def start(code, *words):
    return subprocess.Popen([sys.executable, '-c', code, *map(str, words)], stdout=subprocess.PIPE, text=True)


def test_kill_while_metrics_are_written_loses_no_row(tmp_path):
    code = ('import sys\nfrom dataclasses import replace\n'
            'from ssd_nb.plumbing.bookkeeping import EpochReport, MetricsFile\n'
            'report = EpochReport(1, 6, 5.5, 1., 4.5, 0.1, 9., 3., 100.)\n'
            'while True:\n'
            '    metrics = MetricsFile(sys.argv[1], 10**6)\n' # rewritten, as when a run goes on
            '    number = len(metrics.rows)\n'
            '    metrics.add(replace(report, epoch=number))\n'
            '    print(number, flush=True)\n')
    path, most = tmp_path / 'metrics.csv', 0
    for pause in (0.01, 0.03, 0.05, 0.1, 0.2):
        process = start(code, path)
        for _ in range(30): most = int(process.stdout.readline())
        time.sleep(pause)
        process.kill()
        most = max([most, *map(int, process.communicate()[0].split())])
        assert [r.epoch for r in read_metrics(path)][:most] == list(range(1, most + 1))
    write_metrics(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['metrics.csv'] # nothing of the killed ones is left


def test_leftovers_of_a_kill_go_with_the_next_file(tmp_path):
    code = ('import os, signal, sys\nfrom ssd_nb.plumbing.files import replace_file\n'
            'with replace_file(sys.argv[1]) as part:\n'
            '    part.write_bytes(bytes(1000))\n    os.kill(os.getpid(), signal.SIGKILL)\n')
    process = start(code, tmp_path / 'last.ckpt')
    assert process.wait() == -signal.SIGKILL
    left, = tmp_path.iterdir()
    (tmp_path / '.ssd_nb-mine').touch()
    write_text(tmp_path / 'last.ckpt', 'whole')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['.ssd_nb-mine', 'last.ckpt']


# --- commands ----------------------------------------------------------------------------------------------

@pytest.fixture
def evaluation(tmp_path, monkeypatch, capsys):
    "`ssd_nb eval` of a network that finds the one object of each image, whatever its class is called"
    from ssd_nb.boxes import BoxConfig, default_tlbr
    from ssd_nb.plumbing import commands
    from ssd_nb.plumbing.options import run_command
    from ssd_nb.train import Config

    def call(*options, name='cat', folder=tmp_path / 'out'):
        data = write_voc(tmp_path / 'set', split='eval', objects=((escape(name), (21, 11, 50, 40)),))
        boxes, scores = default_tlbr(BoxConfig()), None
        config = replace(Config(), data=replace(data, classes=('background', name)))
        config = replace(config, model=replace(config.model, num_classes=2))
        scores = np.zeros((len(boxes), 2), np.float32)
        scores[:3, 1] = 0.9, 0.8, 0.5
        def predict(images): return tuple(np.repeat(a[None], len(images), 0) for a in (boxes, scores))
        monkeypatch.setattr(commands, '_load_detector', lambda *a: (predict, config))
        words = ['--checkpoint_path=x.ckpt', f'--output_dir={folder}', *options]
        code = 0
        try: run_command(commands.eval_command, words)
        except SystemExit as ended: code = ended.code
        return SimpleNamespace(code=code, err=capsys.readouterr().err, files=list_files(tmp_path / 'out'))
    return call


ODD_NAMES = '$\\frac$', '$x$', 'a $ b', '$$', '\\frac', '_^{', '$\\', '%d', '{0}', '<b>'


@pytest.mark.parametrize('name', ODD_NAMES)
def test_class_names_do_not_break_pictures(name, evaluation):
    "Names are drawn as they are, never as formulas"
    done = evaluation('--report', name=name)
    assert done.code == 0, done.err
    assert set(done.files) == {'metrics.txt', 'metrics.json', 'detections.json', 'report.html'}


def test_results_come_before_pictures(evaluation, monkeypatch, tmp_path):
    def fail(*args): raise ValueError('no picture')
    monkeypatch.setattr('ssd_nb.plumbing.report.make_report_page', fail)
    with pytest.raises(ValueError, match='no picture'): evaluation('--report')
    assert set(list_files(tmp_path / 'out')) == {'metrics.txt', 'metrics.json', 'detections.json'}


def test_evaluation_on_a_full_disk(evaluation, small_disk):
    fill(small_disk, 0)
    done = evaluation(folder=small_disk)
    says = 'metrics.txt cannot be written (No space left on device): free space'
    assert done.code == 2 and says in done.err
    assert not list_files(small_disk)


def test_results_folder_is_tried_before_the_data_is_converted(evaluation, tmp_path):
    (tmp_path / 'out').write_text('in the way')
    done = evaluation(folder=tmp_path / 'out/x')
    assert done.code == 2 and 'cannot be made (Not a directory)' in done.err
    assert not (tmp_path / 'set/record').exists()


def begin_training(folder, *options):
    voc = f'--voc_root={ROOT}/data_samples'
    return subprocess.Popen([sys.executable, ROOT / 'scripts/train.py', '--using_model=ssd_tiny',
                             '--run_platform=CPU', '--dataset=voc', voc, '--epoch_size=3', '--batch_size=8',
                             '--image_shape=[96,96]', f'--mindrecord_dir={folder}/mindrecord', *options],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


@pytest.mark.slow
def test_training_whose_folder_is_removed(tmp_path):
    import shutil
    process = begin_training(tmp_path, f'--output_dir={tmp_path}/run')
    while not process.stdout.readline().startswith('epoch time'): assert process.poll() is None
    shutil.rmtree(tmp_path / 'run')
    err = process.communicate()[1]
    assert process.returncode == 2 and 'Traceback' not in err
    assert 'metrics.csv cannot be written (its folder is not there): give another --output_dir.' in err


@pytest.mark.slow
def test_resume_on_a_full_disk(tmp_path, small_disk):
    "The checkpoint that was there is left as it was, and training goes on from it when there is space again"
    subprocess.run(['mount', '-o', 'remount,size=60m', small_disk], check=True)
    run = small_disk / 'run'
    first = begin_training(tmp_path, f'--output_dir={run}', '--save_checkpoint_epochs=9')
    while not first.stdout.readline().startswith('epoch time'): assert first.poll() is None
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 143, first.communicate()
    before = list_files(run)
    fill(small_disk, 0)
    second = begin_training(tmp_path, f'--output_dir={run}', '--save_checkpoint_epochs=9', '--resume')
    out, err = second.communicate()
    assert second.returncode == 2 and 'Traceback' not in err and 'free space, or give another' in err, err
    assert list_files(run) == before
    (small_disk / 'filler').unlink()
    third = begin_training(tmp_path, f'--output_dir={run}', '--save_checkpoint_epochs=9', '--resume')
    assert third.wait() == 0, third.communicate()
    assert [r.epoch for r in read_metrics(run / 'metrics.csv')] == [1, 2, 3]


@pytest.mark.parametrize('name', ODD_NAMES)
def test_class_names_are_drawn_as_they_are(name, tmp_path):
    "In the pictures of a conversion and of a prediction"
    import matplotlib
    matplotlib.use('Agg')
    from ssd_nb.boxes import BoxConfig
    from ssd_nb.data import describe_set, draw_report
    from ssd_nb.eval import Detections
    from ssd_nb.plumbing.detect_files import draw_overview
    from ssd_nb.plumbing.records import make_mindrecord
    folder = make_mindrecord(write_voc(tmp_path, objects=((escape(name), (21, 11, 50, 40)),)), 'train')
    drawn = draw_report(describe_set(folder / 'ground_truth.json', BoxConfig()), BoxConfig(), 'train')[0, 0]
    one = Detections(np.array([[10., 20, 30, 60]]), np.float32([0.5]), np.array([1]))
    for figure in (drawn.figure, draw_overview([(NOISE, one)], ('background', name))):
        figure.canvas.draw() # where a formula would be read
        texts = figure.findobj(matplotlib.text.Text)
        shown = [t._preprocess_math(t.get_text())[0].replace('\\$', '$') for t in texts]
        assert any(name.replace('\\$', '$') in text for text in shown), shown
        matplotlib.pyplot.close(figure)
