"""Nothing that is not ours is removed or replaced, a folder has one training, the umask says who reads."""
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from make_sets import write_coco, write_image, write_text, write_txt
from PIL import Image
from test_inputs_images import load_infer

from ssd_nb.plumbing.options import UserError
from ssd_nb.plumbing.owners import FolderOwner
from ssd_nb.plumbing.records import make_mindrecord


def say(call, *words):
    "The one sentence that a user is told"
    with pytest.raises(UserError) as error: call(*words)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).endswith('.')
    return str(error.value)


# --- folders of others beside MindRecords ------------------------------------------------------------------

def test_folders_of_a_user_stay(tmp_path):
    config = write_coco(tmp_path)
    theirs = [write_text(tmp_path / name, 'precious') for name in
              ('record/.train-videos/thesis.txt', 'record/.eval-2024/x.txt', 'record/.train-0a1b2c3d/x.txt',
               'elsewhere/unfinished.ssd_nb', 'elsewhere/x.txt')]
    os.symlink(tmp_path / 'elsewhere', tmp_path / 'record/.train-link')
    (tmp_path / 'record/.train-marked').mkdir()
    os.symlink(theirs[3], tmp_path / 'record/.train-marked/unfinished.ssd_nb')
    make_mindrecord(config, 'train')
    assert [path.read_text() for path in theirs] == ['precious'] * 5
    assert (tmp_path / 'record/.train-link').is_symlink() and (tmp_path / 'record/.train-marked').is_dir()


@pytest.mark.parametrize('kind', ('link', 'dangling link', 'folder', 'pipe', 'file'))
def test_lock_of_somebody_else(kind, tmp_path):
    config = write_coco(tmp_path)
    precious = write_text(tmp_path / 'precious.txt', 'mine')
    lock = tmp_path / 'record/.lock'
    lock.parent.mkdir()
    if kind == 'link': os.symlink(precious, lock)
    elif kind == 'dangling link': os.symlink(tmp_path / 'not there', lock)
    elif kind == 'folder': lock.mkdir()
    elif kind == 'pipe': os.mkfifo(lock)
    else: lock.write_text('mine')
    if kind == 'file': make_mindrecord(config, 'train')
    else: assert '--mindrecord_dir: ' in say(make_mindrecord, config, 'train')
    assert precious.read_text() == 'mine' and not (tmp_path / 'not there').exists()
    if kind == 'file': assert lock.read_text() == 'mine'


# --- whose folder a training writes to ---------------------------------------------------------------------

HOLD = ('import sys, time\nfrom ssd_nb.plumbing.owners import FolderOwner\n'
        'owner = FolderOwner(sys.argv[1])\nprint("mine", flush=True)\n{}time.sleep(600)\n')


def hold(folder, more=''):
    "Another process that owns a folder"
    process = subprocess.Popen([sys.executable, '-c', HOLD.format(more), str(folder)], stdout=subprocess.PIPE,
                               text=True)
    assert process.stdout.readline() == 'mine\n'
    return process


def test_second_owner_is_told_the_first(tmp_path):
    first = hold(tmp_path)
    try:
        for place in (tmp_path, tmp_path / '.', os.path.relpath(tmp_path)):
            sentence = say(FolderOwner, Path(place))
            assert re.search(rf'belongs to process {first.pid} on \S+, which trains into it: wait', sentence)
        os.symlink(tmp_path, tmp_path / 'link')
        assert f'process {first.pid} ' in say(FolderOwner, tmp_path / 'link')
    finally: first.kill()
    first.wait()
    FolderOwner(tmp_path).release() # a dead owner is no obstacle
    assert not (tmp_path / '.ssd_nb-owner').exists()


def test_number_that_another_program_has_got_is_no_obstacle(tmp_path):
    (tmp_path / '.ssd_nb-owner').write_text(f'process {os.getppid()} on {os.uname().nodename}')
    owner = FolderOwner(tmp_path)
    assert (tmp_path / '.ssd_nb-owner').read_text().startswith(f'process {os.getpid()} on ')
    owner.release()


def test_a_child_of_a_dead_owner_does_not_own(tmp_path):
    "What a training has started may live on for a moment"
    first = hold(tmp_path, 'import os\nif not os.fork(): time.sleep(600)\n'
                           'print([p for p in os.listdir("/proc") if p.isdigit() and '
                           'open(f"/proc/{p}/stat").read().split()[3] == str(os.getpid())][0], flush=True)\n')
    child = int(first.stdout.readline())
    first.kill()
    first.wait()
    try: FolderOwner(tmp_path).release()
    finally: os.kill(child, 9)


def test_one_process_may_own_twice(tmp_path):
    one, two = FolderOwner(tmp_path), FolderOwner(tmp_path)
    one.release()
    one.release()
    assert (tmp_path / '.ssd_nb-owner').exists()
    del two # a training that was dropped
    assert not (tmp_path / '.ssd_nb-owner').exists()


@pytest.mark.parametrize('there', (True, False))
def test_owner_is_not_written_through_a_link(there, tmp_path):
    precious, folder = tmp_path / 'precious.txt', tmp_path / 'run'
    folder.mkdir()
    if there: precious.write_text('mine')
    os.symlink(precious, folder / '.ssd_nb-owner')
    assert '--output_dir' in say(FolderOwner, folder)
    assert precious.read_text() == 'mine' if there else not precious.exists()


def test_owner_without_a_folder_to_write_to():
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        try:
            if user == 0: os.seteuid(65534)
            says = 'cannot be written (Permission denied): give another --output_dir.'
            assert says in say(FolderOwner, name)
        finally: os.seteuid(user)
        Path(name).chmod(0o755)


def train_words(folder, *options):
    return ['--using_model=ssd_tiny', '--run_platform=CPU', '--dataset=voc', '--epoch_size=2',
            '--batch_size=8', '--image_shape=[96,96]', f'--voc_root={ROOT}/data_samples',
            f'--mindrecord_dir={folder}/mindrecord', f'--output_dir={folder}/run', *options]


@pytest.mark.parametrize('option', ('--resume', '--only_prepare'))
def test_second_training_of_a_folder(option, tmp_path, script_here):
    "It is told before its data is converted"
    (tmp_path / 'run').mkdir()
    first = hold(tmp_path / 'run')
    try: done = script_here('train.py', *train_words(tmp_path, option))
    finally: first.kill()
    assert done.code == 2 and f'belongs to process {first.pid} on ' in done.err
    assert not (tmp_path / 'mindrecord').exists()


def test_the_other_processes_of_a_team_own_nothing(tmp_path, monkeypatch):
    "They write nothing; the first one owns the folder for all of them"
    from contextlib import nullcontext
    from ssd_nb.plumbing import trainer
    from ssd_nb.train import Config
    class Joined(Exception): pass
    def join(config): raise Joined
    monkeypatch.setattr(trainer, 'check_early', lambda config: None)
    monkeypatch.setattr(trainer, 'join_team', join)
    config = Config()
    config = replace(config, train=replace(config.train, distribute=True, output_dir=str(tmp_path / 'run')))
    first = hold(tmp_path)
    for rank, role, there in (('1', 'MS_WORKER', False), ('0', 'MS_SCHED', False), ('0', 'MS_WORKER', True)):
        monkeypatch.setenv('RANK_ID', rank)
        monkeypatch.setenv('MS_ROLE', role) # the scheduler of msrun runs the same program
        with pytest.raises(Joined): trainer.Trainer(config, None)
        assert (tmp_path / 'run').exists() == there
    first.kill()


@pytest.mark.slow
def test_two_trainings_at_once(tmp_path):
    command = [sys.executable, ROOT / 'scripts/train.py', *train_words(tmp_path, '--resume')]
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    said = [process.communicate() for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 2], said
    loser, winner = codes.index(2), both[codes.index(0)]
    assert f'belongs to process {winner.pid} on ' in said[loser][1] and 'Traceback' not in said[loser][1]
    from ssd_nb.plumbing.bookkeeping import read_metrics
    assert [r.epoch for r in read_metrics(tmp_path / 'run/metrics.csv')] == [1, 2]
    assert {p.name for p in (tmp_path / 'run').iterdir()} == {'last.ckpt', 'metrics.csv', 'metrics.png',
                                                              'ssd-2_6.ckpt'}


# --- results beside files of others ------------------------------------------------------------------------

@pytest.fixture
def predict(tmp_path, monkeypatch, capsys):
    "`ssd_nb predict` of a detector that finds nothing"
    from ssd_nb.plumbing import commands
    from ssd_nb.plumbing.options import run_command
    from ssd_nb.train import Config
    config = Config()
    config = replace(config, boxes=replace(config.boxes, image_shape=(32, 32)),
                     data=replace(config.data, classes=('background', 'cat')))
    def nothing(images): return np.zeros((len(images), 1, 4), np.float32), np.zeros((len(images), 1, 2))
    monkeypatch.setattr(commands, '_load_detector', lambda *a: (nothing, config))

    def call(path, out=tmp_path / 'out'):
        code = 0
        try:
            run_command(commands.predict_command, ['--checkpoint_path=x.ckpt', f'--image_path={path}',
                                                   f'--output_dir={out}'])
        except SystemExit as ended: code = ended.code
        return SimpleNamespace(code=code, err=capsys.readouterr().err)
    return call


def list_folder(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob('*') if p.is_file())


def test_pictures_of_a_user_are_not_overwritten(predict, tmp_path):
    out = tmp_path / 'out'
    for name in ('a.png', 'overview.jpg', 'two/a.png'): write_image(out / name)
    for name in ('a.jpg', 'two/a.jpg', 'overview.jpg'): write_image(tmp_path / 'in' / name)
    before = {path: path.read_bytes() for path in out.rglob('*.*')}
    for _ in range(2): # the second run replaces what the first has written
        assert predict(tmp_path / 'in').code == 0
        assert list_folder(out) == ['a.png', 'a_2.png', 'detections.json', 'overview.jpg', 'overview.png',
                                    'overview_2.png', 'two/a.png', 'two/a_2.png']
    assert {path: path.read_bytes() for path in before} == before
    with Image.open(out / 'a_2.png') as copy:
        assert copy.size == (80, 60) and copy.text['Software'] == 'ssd_nb'


@pytest.mark.parametrize('name, content', (('overview.png', b'mine'), ('detections.json', b'{"mine": 1}'),
                                           ('detections.json', b'[{"image_id": 1, "bbox": [1, 2, 3, 4]}]')))
def test_results_of_a_user_are_not_overwritten(name, content, predict, tmp_path):
    write_image(tmp_path / 'in/a.jpg')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / name).write_bytes(content)
    done = predict(tmp_path / 'in')
    assert done.code == 2 and f'holds {name}, which ssd_nb did not write' in done.err
    assert list_folder(tmp_path / 'out') == [name] and (tmp_path / 'out' / name).read_bytes() == content


@pytest.mark.parametrize('name', ('metrics.txt', 'metrics.json', 'detections.json', 'report.html'))
def test_evaluation_overwrites_nothing_of_a_user(name, tmp_path, monkeypatch, capsys):
    "It is said before anything is evaluated; what an evaluation wrote is replaced"
    from ssd_nb.plumbing import commands
    from ssd_nb.plumbing.cocoeval import to_result_dicts, write_results
    from ssd_nb.plumbing.detect_files import _is_ours
    from ssd_nb.plumbing.options import run_command
    class Evaluated(Exception): pass
    def stop(*_): raise Evaluated
    monkeypatch.setattr(commands, '_load_detector', lambda *_: (None, None))
    monkeypatch.setattr(commands, '_choose_data', lambda *_: (None, None))
    monkeypatch.setattr(commands, '_load_truth', stop)
    theirs = tmp_path / name
    words = ['--checkpoint_path=x.ckpt', f'--output_dir={tmp_path}', '--report']
    for content in ('mine', '', '[{"image_id": 1, "category_id": 2}]', '{"mAP": 0.5}', '<!doctype html>\n'):
        theirs.write_text(content)
        with pytest.raises(SystemExit): run_command(commands.eval_command, words)
        assert f'holds {name}, which ssd_nb did not write' in capsys.readouterr().err
        assert theirs.read_text() == content
    theirs.unlink()
    result = SimpleNamespace(text='eval_protocol coco: 1 of 1 images', results=[], stats=np.zeros(12),
                             classes=(), objects=(), ap=(), ap50=())
    commands._write_results(result, dict(images=[], categories=[]), tmp_path)
    for path in tmp_path.iterdir(): assert _is_ours(path), path
    rows = np.array([[1, 0, 0, 9, 9, 0.5, 1]])
    for own in (-3, 'an "id" {1}'): # ids are what the data set has
        truth = dict(images=[dict(id=1, file_name='a{}.jpg')], categories=[])
        entries = [dict(entry, image_id=own) for entry in to_result_dicts(rows, truth)]
        write_results(entries, tmp_path / 'detections.json')
        assert _is_ours(tmp_path / 'detections.json')
    with pytest.raises(Evaluated): commands.eval_command(words)


def test_training_overwrites_no_picture_of_a_user(tmp_path, script_here):
    write_image(tmp_path / 'run/metrics.png')
    before = (tmp_path / 'run/metrics.png').read_bytes()
    done = script_here('train.py', *train_words(tmp_path))
    assert done.code == 2 and 'holds metrics.png, which ssd_nb did not write' in done.err
    assert (tmp_path / 'run/metrics.png').read_bytes() == before and not (tmp_path / 'mindrecord').exists()


def test_video_of_a_user_is_not_overwritten(predict, tmp_path):
    from ssd_nb.plumbing.media import VideoCopy
    video = VideoCopy(tmp_path, 'film', 10)
    for _ in range(5): video('', np.zeros((48, 64, 3), np.uint8))
    video.close()
    theirs = write_text(tmp_path / 'out/film.mp4', 'mine')
    for _ in range(2):
        assert predict(video.path).code == 0
        assert list_folder(tmp_path / 'out') == ['detections.json', 'film.mp4', 'film_2.mp4']
    assert theirs.read_text() == 'mine'


MADE_UP = [dict(id=i, file_name=name) for i, name in enumerate(
    ('x/1.jpg', 'y/1.jpg', 'x_1.jpg', 'x_1.png', 'x/1.png', '1/1', '1_1', '../x/1.jpg', 'X/1.JPG', '', '/',
     'a\0b.jpg', 'ab.jpg', 'n' * 300 + '/1.jpg', 'x/1.jpg', 'x/1.jpg_14', 'x_1.jpg_14'))]


def test_no_two_images_share_a_result():
    names = load_infer()['name_results'](MADE_UP)
    assert set(names) == {image['id'] for image in MADE_UP}
    assert len({name.casefold() for name in names.values()}) == len(MADE_UP)
    for name in names.values(): assert name and '/' not in name and '\0' not in name and len(name) < 200
    two = load_infer()['name_results'](MADE_UP[:2])
    assert two == {0: 'x_1', 1: 'y_1'}


@pytest.mark.parametrize('name', ('result_Files/notes.txt', 'result_Files/mine.json', 'time_Result/a/b.txt',
                                  'result_Files'))
def test_inference_removes_nothing_but_its_results(name, tmp_path):
    clear = load_infer()['clear_results']
    theirs = write_text(tmp_path / name, '{"mine": 1}')
    assert f'{tmp_path / name.removesuffix("/b.txt")} is none of the files that inference writes' in \
        say(clear, tmp_path)
    assert theirs.read_text() == '{"mine": 1}'


def test_inference_removes_its_own_results(tmp_path):
    rows = '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]\n'
    for name, text in {'result_Files/1.json': '[]\n', 'result_Files/2.json': rows,
                       'time_Result/test_perform_static.txt': 'x', 'acc.log': 'x', 'mine.txt': 'x'}.items():
        write_text(tmp_path / name, text)
    load_infer()['clear_results'](tmp_path)
    assert list_folder(tmp_path) == ['mine.txt']


# --- who may read ------------------------------------------------------------------------------------------

def oct_of(pair): return oct(pair[0])


@pytest.fixture(params=((0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o027, 0o640)), ids=oct_of)
def mask(request):
    "A umask, and the mode that files get with it"
    before = os.umask(request.param[0])
    yield request.param[1]
    os.umask(before)


def modes(folder): return {p.name: p.stat().st_mode & 0o777 for p in Path(folder).rglob('*') if p.is_file()}


def test_umask_decides_about_records(mask, tmp_path):
    folder = make_mindrecord(write_coco(tmp_path), 'train')
    assert {'manifest.json', 'ssd.mindrecord', 'ssd.mindrecord.db'} <= set(modes(folder))
    assert set(modes(folder).values()) == {mask} and 'unfinished.ssd_nb' not in modes(folder)


def test_umask_decides_about_checkpoints_and_exported_files(mask, tmp_path):
    import test_full_disk as writers
    writers.write_weights(tmp_path)
    writers.write_exported(tmp_path)
    writers.write_metrics(tmp_path)
    assert modes(tmp_path) == {'last.ckpt': mask, 'a.mindir': mask, 'metrics.csv': mask}


def test_record_of_somebody_else_is_used_without_writing(as_nobody):
    "A colleague who may read the folder, and not write to it; root becomes nobody"
    from ssd_nb.boxes import BoxConfig
    from ssd_nb.data import create_dataset
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o755)
        config = write_coco(top)
        folder = make_mindrecord(config, 'train')
        (top / 'record/.lock').unlink()
        def count():
            data = create_dataset(replace(config, num_parallel_workers=0), BoxConfig(), 'train', 1)
            return len([*data.create_tuple_iterator(num_epochs=1)])
        assert count() == 1 # and all that it needs is imported
        before = sorted(p.name for p in top.rglob('*'))
        for path in (folder, folder.parent): path.chmod(0o555)
        assert as_nobody(count) == 1
        for path in (folder.parent, folder): path.chmod(0o755)
        assert sorted(p.name for p in top.rglob('*')) == before


# --- the right reason --------------------------------------------------------------------------------------

@pytest.fixture
def as_nobody():
    "Runs a function as a user who may not read everything, as root may"
    def call(function, *words):
        user, _ = os.geteuid(), 'x'.encode('utf-8-sig') # nobody may not read it where Python is root's
        try:
            if user == 0: os.seteuid(65534)
            return function(*words)
        finally: os.seteuid(user)
    return call


@pytest.mark.parametrize('form', ('coco', 'txt', 'voc', 'yolo', 'image'))
def test_source_that_may_not_be_read(form, as_nobody):
    from make_sets import write_voc, write_yolo
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        top.chmod(0o777)
        make = dict(coco=write_coco, txt=write_txt, voc=write_voc, yolo=write_yolo, image=write_coco)[form]
        config = replace(make(top), on_bad='error')
        closed = top / dict(coco='annotations/instances_train.json', txt='list.txt', voc='train/1.xml',
                            yolo='labels/train/1.txt', image='train/1.jpg')[form]
        closed.chmod(0)
        sentence = as_nobody(say, make_mindrecord, config, 'train')
        assert str(closed.name) in sentence and 'Permission denied' in sentence, sentence
        assert 'free space' not in sentence and 'cannot be written' not in sentence


def test_checkpoint_that_may_not_be_read(as_nobody):
    from ssd_nb.train import load_network
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = write_text(Path(name) / 'a.ckpt', 'x')
        path.chmod(0)
        sentence = as_nobody(say, load_network, path)
        assert 'Permission denied' in sentence and 'there is no' not in sentence


@pytest.mark.parametrize('number', (2**63 - 1, 2**63, 2**70, -2**70, 10**30))
def test_large_ids(number, tmp_path):
    from make_sets import coco_content
    from ssd_nb.plumbing.records import load_ground_truth
    content = coco_content()
    content['images'][0]['id'] = content['annotations'][0]['image_id'] = number
    config = write_coco(tmp_path, content)
    try:
        make_mindrecord(config, 'train')
        image, = load_ground_truth(config, 'train')['images']
        assert image.get('own_id', image['id']) == number
    except UserError as error: assert 'id' in str(error) and 'free space' not in str(error)


def test_json_that_is_too_deep(tmp_path):
    config = write_coco(tmp_path)
    write_text(tmp_path / 'annotations/instances_train.json', '{"images": ' + '[' * 100_000)
    assert 'free space' not in say(make_mindrecord, config, 'train')
