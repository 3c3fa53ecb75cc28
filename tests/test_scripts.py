"""The scripts, as a user calls them: from data to detections, and what they answer to mistakes."""
import json
import re
import shutil
import signal
import sys
import time

import pytest
from conftest import ROOT

pytestmark = pytest.mark.xdist_group('trained') # in one process, which trains once for all of them
SAMPLES = ROOT / 'data_samples'
VOC = '--dataset=voc', f'--voc_root={SAMPLES}'
COCO = '--dataset=coco', f'--coco_root={SAMPLES}'
TXT = ('--dataset=other', f'--image_dir={SAMPLES}', f'--anno_path={SAMPLES}/train.txt',
       f'--eval_anno_path={SAMPLES}/eval.txt',
       '--classes=ball,cube,ring,star,cone')


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    "A folder with the checkpoint of a very short training"
    import subprocess
    folder = tmp_path_factory.mktemp('trained')
    done = subprocess.run([sys.executable, ROOT / 'scripts/train.py', '--using_model=ssd_tiny',
                           '--run_platform=CPU', *VOC,
                           '--epoch_size=2', '--batch_size=8', '--image_shape=[96,96]',
                           f'--mindrecord_dir={folder}/mindrecord',
                           f'--output_dir={folder}/run'], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / 'log').write_text(done.stdout)
    return folder


def map_of(text): return re.search(r'^mAP: (\S+)$', text, flags=re.M)[1]


def test_train_logs_and_saves(trained):
    log = (trained / 'log').read_text()
    assert re.findall(r'^epoch: (\d+) step: 6, loss is \d+\.\d+$', log, flags=re.M) == ['1', '2']
    assert len(re.findall(r'^epoch time: \d+\.\d+, per step time: \d+\.\d+$', log, flags=re.M)) == 2
    assert {p.name for p in (trained / 'run').iterdir()} == {'last.ckpt', 'metrics.csv', 'metrics.png',
                                                             'previous.ckpt', 'ssd-2_6.ckpt'}


def test_checkpoint_is_evaluated(trained, script): # test_export.py does it with exported files
    done = script('eval.py', '--run_platform=CPU', f'--checkpoint_path={trained}/run/ssd-2_6.ckpt',
                  '--report', cwd=trained)
    assert done.code == 0, done.err
    written = {p.name for p in (trained / 'runs/eval_run_ssd-2_6').iterdir()}
    assert written == {'metrics.txt', 'metrics.json', 'detections.json', 'report.html'}
    assert 'Worst images' in (trained / 'runs/eval_run_ssd-2_6/report.html').read_text()
    assert len(re.findall(r'^ Average (Precision|Recall) ', done.out, flags=re.M)) == 12


def lay_out(form, folder):
    "The sample set in another layout, as options"
    for split, name in (('train', 'train'), ('eval', 'val')):
        places = dict(folders=(f'{split}/Images', f'{split}/Annotations'),
                      devkit=('VOC2007/JPEGImages', 'VOC2007/Annotations'),
                      yolo=(f'images/{name}', f'labels/{name}'), instance=(name, 'annotations'))[form]
        for place in places: (folder / place).mkdir(parents=True, exist_ok=True)
        stem = lambda path: f'{split}_{path.stem}' if form == 'devkit' else path.stem # one folder
        for image in (SAMPLES / split).glob('*.jpg'):
            (folder / places[0] / f'{stem(image)}.jpg').symlink_to(image)
        for xml in (SAMPLES / split).glob('*.xml'):
            if form in ('folders', 'devkit'): (folder / places[1] / f'{stem(xml)}.xml').symlink_to(xml)
            if form == 'yolo': (folder / places[1] / f'{xml.stem}.txt').write_text(yolo_rows(xml.read_text()))
        if form == 'devkit':
            (folder / 'VOC2007/ImageSets/Main').mkdir(parents=True, exist_ok=True)
            names = sorted(stem(xml) for xml in (SAMPLES / split).glob('*.xml'))
            (folder / f'VOC2007/ImageSets/Main/{name}.txt').write_text('\n'.join(names) + '\n')
        if form == 'instance':
            truth = SAMPLES / f'annotations/instances_{split}.json'
            (folder / f'annotations/instance_{name}.json').symlink_to(truth)
    if form == 'yolo': (folder / 'set.yaml').write_text('names: [ball, cube, ring, star, cone]\n')
    if form == 'yolo': return '--dataset=yolo', f'--yolo_root={folder}', '--follow_links=True'
    dataset = 'coco' if form == 'instance' else 'voc'
    return f'--dataset={dataset}', f'--{dataset}_root={folder}', '--follow_links=True'


def yolo_rows(xml):
    "A VOC file of the sample set as rows of class, x, y, width, height"
    sides = ''.join(f'<{name}>(.*?)</{name}>' for name in ('xmin', 'ymin', 'xmax', 'ymax'))
    rows = re.findall(rf'<name>(\w+)</name>.*?{sides}', xml, flags=re.S)
    boxes = [(('ball', 'cube', 'ring', 'star', 'cone').index(n), float(x1) - 1, float(y1) - 1, float(x2),
              float(y2)) for n, x1, y1, x2, y2 in rows]
    return '\n'.join(f'{n} {(x1 + x2) / 640} {(y1 + y2) / 480} {(x2 - x1) / 320} {(y2 - y1) / 240}' for n, x1,
                     y1, x2, y2 in boxes)


SLOW = pytest.mark.slow


@pytest.mark.parametrize('source', ('coco', 'other', pytest.param('folders', marks=SLOW), 'devkit', 'yolo',
                                    pytest.param('instance', marks=SLOW)))
def test_every_form_of_the_same_set_gives_the_same_map(trained, script_here, source, tmp_path):
    checkpoint = f'--checkpoint_path={trained}/run/ssd-2_6.ckpt'
    options = dict(coco=COCO, other=TXT).get(source) or lay_out(source, tmp_path / 'set')
    other = script_here('eval.py', '--run_platform=CPU', checkpoint, *options,
                   '--classes=ball,cube,ring,star,cone', f'--mindrecord_dir={tmp_path}/record')
    assert other.code == 0, other.err
    if not (trained / 'map').exists():
        (trained / 'map').write_text(map_of(script_here('eval.py', '--run_platform=CPU', checkpoint).out))
    most = 1e-4 if source == 'yolo' else 1e-12 # yolo rounds boxes
    assert abs(float(map_of(other.out)) - float((trained / 'map').read_text())) < most


@pytest.mark.parametrize('source', ('folders', 'devkit', 'yolo', 'instance'))
def test_every_form_can_be_trained_on(source, tmp_path):
    from ssd_nb.boxes import BoxConfig
    from ssd_nb.data import DataConfig, create_dataset
    options = dict(option.lstrip('-').split('=') for option in lay_out(source, tmp_path / 'set'))
    shapes = BoxConfig(image_shape=(64, 64), steps=(8, 16), aspect_ratios=((2,), (2,)))
    config = DataConfig(**options, classes='ball,cube,ring,star,cone',
                        mindrecord_dir=str(tmp_path / 'record'))
    samples = DataConfig('voc', voc_root=str(SAMPLES), classes=config.classes,
                         mindrecord_dir=str(tmp_path / 'samples'))
    for a, b in zip(*(create_dataset(c, shapes, 'train', 16,
                                     seed=3).create_tuple_iterator(num_epochs=1, output_numpy=True)
                      for c in (config, samples))):
        for one, other in zip(a, b): assert abs(one - other).max() < 1e-3


def test_predict_writes_pictures_and_json(trained, script_here, tmp_path):
    done = script_here('predict.py', '--run_platform=CPU', f'--checkpoint_path={trained}/run/ssd-2_6.ckpt',
                  '--min_score=0.05',
                  f'--image_path={SAMPLES}/eval/000001.jpg', f'--output_dir={tmp_path}')
    assert done.code == 0, done.err
    assert {p.name for p in tmp_path.iterdir()} == {'000001.png', 'overview.png', 'detections.json'}
    assert isinstance(json.loads((tmp_path / 'detections.json').read_text()), list)


def test_create_data_reports_without_training(script_here, tmp_path):
    (tmp_path / 'set/eval').mkdir(parents=True)
    for name in ('000001', '000002'):
        for ending in ('jpg', 'xml'):
            shutil.copy(SAMPLES / f'eval/{name}.{ending}', tmp_path / 'set/eval')
    (tmp_path / 'set/eval/000002.jpg').write_bytes(b'no image')
    done = script_here('train.py', '--only_create_dataset=True', '--run_platform=CPU', '--dataset=voc',
                  f'--voc_root={tmp_path}/set',
                  f'--mindrecord_dir={tmp_path}/record')
    assert done.code == 0, done.err
    assert 'eval: 1 image with 5 objects is used; 1 image and 3 objects are left out' in done.out
    assert '000002.jpg' in done.out and re.search(r'^ring +2 objects$', done.out,
                                                  flags=re.M) and 'left out: --voc_root' in done.out
    assert (tmp_path / 'record/eval/report.png').is_file()


def test_make_samples_draws_the_committed_set(script_here, tmp_path):
    done = script_here('make_samples.py', f'--output_dir={tmp_path}', '--train=2', '--evaluation=1')
    assert done.code == 0, done.err
    for name in ('train.txt', 'eval.txt'):
        rows = (tmp_path / name).read_text().splitlines()
        assert rows == (SAMPLES / name).read_text().splitlines()[:len(rows)]


def test_transfer_to_other_classes_and_another_image_size(trained, script, tmp_path):
    options = ('--using_model=ssd_tiny', '--run_platform=CPU', *VOC, '--classes=ball,cube',
               f'--mindrecord_dir={tmp_path}/mindrecord',
               f'--output_dir={tmp_path}/run', '--epoch_size=1', '--batch_size=8', '--warmup_epochs=0',
               '--image_shape=[128,200]',
               f'--pre_trained={trained}/run/ssd-2_6.ckpt')
    known = script('train.py', *options) # both classes are known by name
    assert known.code == 0 and 'classes: ' in known.out, known.err
    shutil.rmtree(tmp_path / 'run')
    done = script('train.py', *options, '--filter_weight=True', '--freeze_layer=backbone')
    assert done.code == 0, done.err
    assert 'left as they were: multi_box.' in done.out and 'the backbone is frozen: ' in done.out


def test_evaluation_of_other_classes(trained, script_here, tmp_path):
    options = CPU, f'--checkpoint_path={trained}/run/ssd-2_6.ckpt', f'--mindrecord_dir={tmp_path}'
    done = script_here('eval.py', *options, '--classes=ball,cube')
    assert done.code == 0 and '241 objects of cone, ring, star' in done.out, done.err
    done = script_here('eval.py', *options, '--classes=ball,moon')
    assert done.code == 2 and 'moon' in done.err and len(done.err.splitlines()) == 1, done.err


CPU = '--run_platform=CPU'
MISTAKES = {
    'unknown option': ('train.py', ['--batchsize=3'],
                       'there is no option --batchsize: did you mean --batch_size'),
    'stray word': ('train.py', ['coco'], "'coco' is not expected"),
    'unknown model': ('train.py', ['--using_model=ssd30'],
                      '--using_model=ssd30 is not possible: give one of ssd300'),
    'unknown platform': ('train.py', ['--run_platform=TPU'],
                         '--run_platform=TPU is not possible: give one of Ascend, GPU, CPU'),
    'not a number': ('train.py', [CPU, '--epoch_size=ten'],
                     '--epoch_size=ten is not possible: give a whole number'),
    'out of range': ('train.py', [CPU, '--batch_size=0'], '--batch_size=0 is not possible'),
    'too small an image': ('train.py', [CPU, '--using_model=ssd_vgg16', '--image_shape=[200,300]'],
                           'give at least 257 pixels on each side'),
    'steps that do not fit': ('train.py', [CPU, *VOC, '--steps=[16,32,64,100,150,200]'], 'give steps='),
    "the paper's VGG elsewhere": ('train.py', [CPU, '--paper_vgg=True'],
                                  '--paper_vgg=True is not possible: give using_model=ssd_vgg16'),
    'plain heads on a pyramid': ('train.py', [CPU, '--using_model=ssd_resnet50_fpn', '--heads=plain'],
                                 '--heads=plain is not possible: give light'),
    'half precision on the CPU': ('train.py', [CPU, '--mixed_precision=float16'],
                                  '--mixed_precision=float16 is not for --run_platform=CPU'),
    'early stop alone': ('train.py', [CPU, '--early_stop=3'],
                         '--early_stop needs evaluations: give --run_eval=True'),
    'missing start': ('train.py', [CPU, '--using_model=ssd_tiny', *VOC, '--mindrecord_dir=records',
                                   '--pre_trained=none.ckpt'], 'there is no checkpoint none.ckpt'),
    'file of PyTorch': ('train.py', [CPU, '--using_model=ssd_tiny', *VOC, '--mindrecord_dir=records',
                                     '--feature_extractor_base_param=setup.pth'],
                        'there is no checkpoint setup.pth'),
    'unknown form': ('train.py', [CPU, '--dataset=yolo'], 'yolo'),
    'missing data folder': ('train.py', [CPU, '--dataset=voc', '--voc_root=/nowhere'], '/nowhere'),
    'no data folder given': ('train.py', [CPU, '--dataset=coco'], '--coco_root'),
    'missing checkpoint': ('eval.py', [CPU, '--checkpoint_path=none.ckpt'],
                           'there is no checkpoint none.ckpt'),
    'no checkpoint given': ('eval.py', [CPU], '--checkpoint_path is required'),
    'not a checkpoint': ('eval.py', [CPU, '--checkpoint_path=setup.py'], 'setup.py is no checkpoint'),
    'missing mindir': ('eval.py', [CPU, '--checkpoint_path=none.mindir'], 'there is no file none.mindir'),
    'no images': ('predict.py', [CPU, '--checkpoint_path=x.ckpt', '--image_path=/nowhere'], '/nowhere'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_is_answered_in_one_sentence(name, script_here, tmp_path):
    file, options, says = MISTAKES[name]
    done = script_here(file, *options, cwd=ROOT if 'setup.py' in says else tmp_path)
    lines = done.err.strip().splitlines()
    assert done.code == 2
    assert len(lines) == 1 and lines[0].startswith('error: ') and says in lines[0], lines


@pytest.mark.parametrize('platform', ('GPU', 'Ascend'))
def test_missing_platform_is_answered_in_one_sentence(platform, script, tmp_path):
    done = script('train.py', f'--run_platform={platform}', *VOC, f'--mindrecord_dir={tmp_path}')
    if done.code == 0: pytest.skip(f'{platform} is there')
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1
    assert f'--run_platform={platform}' in done.err and '--run_platform=CPU' in done.err


def test_checkpoint_of_another_model(trained, script_here):
    done = script_here('eval.py', CPU, '--using_model=ssd300',
                       f'--checkpoint_path={trained}/run/ssd-2_6.ckpt')
    assert done.code == 2 and 'holds ssd_tiny, not --using_model=ssd300' in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_help_shows_the_presets(script_here):
    for model, epochs in (('ssd300', 500), ('ssd_tiny', None)):
        done = script_here('train.py', f'--using_model={model}', '--help')
        found = re.search(r'epochs to train \(type: int, default: (\d+)\)', ' '.join(done.out.split()))
        assert done.code == 0 and (epochs is None or int(found[1]) == epochs)


def test_no_python_is_answered_in_one_sentence(run, tmp_path):
    for name in ('bash', 'dirname', 'cat', 'cksum'):
        (tmp_path / name).symlink_to(next(p for p in (f'/bin/{name}', f'/usr/bin/{name}')
                                          if __import__('os').path.exists(p)))
    (tmp_path / 'project/scripts').mkdir(parents=True)
    for name in ('settings.ini', 'setup.py', 'scripts/make_venv.sh', 'scripts/quickstart.sh'):
        (tmp_path / 'project' / name).write_bytes((ROOT / name).read_bytes())
    done = run(tmp_path / 'bash', tmp_path / 'project/scripts/quickstart.sh', env={'PATH': str(tmp_path)})
    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 1 and 'needs Python 3.10, 3.11 or 3.12' in done.err


SHELL = sorted(str(path.relative_to(ROOT / 'scripts')) for path in (ROOT / 'scripts').rglob('*.sh'))


@pytest.mark.parametrize('name', SHELL)
def test_shell_script_is_sound(name, run):
    assert run('bash', '-n', ROOT / 'scripts' / name).code == 0
    if shutil.which('shellcheck'):
        file = ROOT / 'scripts' / name
        checked = run('shellcheck', '-x', '-P', file.parent, file)
        assert checked.code == 0, checked.out


def test_quickstart_takes_no_options(run):
    done = run('bash', ROOT / 'scripts/quickstart.sh', '--epochs=3')
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_quickstart(run):
    first = run('bash', ROOT / 'scripts/quickstart.sh', timeout=1800)
    assert first.code == 0, first.err[-3000:]
    stats = [float(value) for value in re.findall(r'^ Average .*= (\S+)$', first.out, flags=re.M)]
    assert len(stats) == 24 and stats[:12] == stats[12:], 'checkpoint and MindIR must give the same numbers'
    assert stats[0] >= 0.60 and stats[1] >= 0.85
    for path in ('pictures/overview.png', 'training/metrics.png', 'ssd_tiny.ckpt', 'ssd_tiny.mindir',
                 'ssd_tiny.mindir.json'):
        assert (ROOT / 'runs/quickstart' / path).is_file()
    second = run('bash', ROOT / 'scripts/quickstart.sh', timeout=600)
    assert second.code == 0 and 'already trained' in second.out
    tiny = ROOT / 'runs/quickstart/ssd_tiny'
    assert run(sys.executable, ROOT / 'scripts/export.py', f'--ckpt_file={tiny}.ckpt', f'--file_name={tiny}',
               '--file_format=ONNX').code == 0
    third = run(sys.executable, ROOT / 'scripts/eval.py', CPU, *COCO,
                f'--mindrecord_dir={tiny.parent}/mindrecord', f'--checkpoint_path={tiny}.onnx')
    assert abs(float(map_of(third.out)) - stats[0]) < 1e-3, third.err


def begin_training(folder, *options):
    "The training of the fixture `trained` in another folder, as a process"
    import subprocess
    return subprocess.Popen([sys.executable, ROOT / 'scripts/train.py', '--using_model=ssd_tiny', CPU, *VOC,
                             '--epoch_size=2', '--batch_size=8', '--image_shape=[96,96]',
                             f'--mindrecord_dir={folder}/mindrecord', f'--output_dir={folder}/run', *options],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


def same_weights(one, other):
    from ssd_nb.train import read_checkpoint
    (a, _), (b, _) = read_checkpoint(one), read_checkpoint(other)
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def test_killed_training_goes_on_as_if_nothing_had_been(trained, tmp_path):
    first = begin_training(tmp_path, '--resume') # there is nothing to go on from: it begins
    while not first.stdout.readline().startswith('epoch time'): assert first.poll() is None
    time.sleep(0.3) # somewhere in the second epoch
    first.kill()
    rest = first.communicate()[0]
    again = begin_training(tmp_path)
    said = again.communicate()
    assert again.returncode == 2 and 'holds another training: go on with it with --resume' in said[1]
    resumed = begin_training(tmp_path, '--resume')
    out, err = resumed.communicate()
    assert resumed.returncode == 0, err
    assert 'going on from' in out + err and 'epoch: 1' not in out
    assert same_weights(tmp_path / 'run/ssd-2_6.ckpt', trained / 'run/ssd-2_6.ckpt'), rest
    rows = [(folder / 'run/metrics.csv').read_text().splitlines() for folder in (trained, tmp_path)]
    assert [row.split(',')[:7] for row in rows[0]] == [row.split(',')[:7]
                                                       for row in rows[1]] # all but the times


@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGINT))
def test_stopped_training_saves_the_step(number, tmp_path):
    process = begin_training(tmp_path, '--epoch_size=500')
    while not process.stdout.readline().startswith('epoch time'): assert process.poll() is None
    process.send_signal(number)
    err = process.communicate()[1]
    assert process.returncode == 128 + number
    assert re.fullmatch(r'stopped after step \d of epoch \d+: the same command with --resume goes on from '
                        r'there\.', err.strip().splitlines()[-1])
    assert 'Traceback' not in err and (tmp_path / 'run/last.ckpt').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('paper', [True, False])
def test_stopped_vgg_goes_on(tmp_path, paper):
    "A few steps of VGG16, the paper's and the published one with its dropout, bit for bit"
    for number in range(1, 9):
        for ending in ('jpg', 'xml'):
            place = tmp_path / f'set/train/{number}.{ending}'
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(SAMPLES / f'train/{number:06}.{ending}')
    options = ('--using_model=ssd_vgg16', f'--paper_vgg={paper}', f'--voc_root={tmp_path}/set',
               '--follow_links=True', '--image_shape=[260,260]', '--batch_size=2', '--clip_norm=1')
    (tmp_path / 'whole').mkdir()
    whole = begin_training(tmp_path / 'whole', *options)
    assert whole.wait() == 0, whole.communicate()
    stopped = begin_training(tmp_path, '--resume', *options)
    while not stopped.stdout.readline().startswith('epoch time'): assert stopped.poll() is None
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait() == 143
    resumed = begin_training(tmp_path, '--resume', *options)
    assert resumed.wait() == 0, resumed.communicate()
    from ssd_nb.train import read_checkpoint
    one, other = (read_checkpoint(folder / 'run/ssd-2_4.ckpt')[0]
                  for folder in (tmp_path / 'whole', tmp_path))
    assert one.keys() == other.keys() and not [name for name in one if (one[name] != other[name]).any()]


def test_loss_that_is_no_number_stops_and_keeps_the_checkpoints(tmp_path):
    process = begin_training(tmp_path, '--lr=1e20', '--lr_init=1e20', '--warmup_epochs=0')
    err = process.communicate()[1]
    says = r'error: the loss is (nan|inf|[\d.]+e\+\d+) at step \d of epoch 1: give a smaller --lr'
    assert process.returncode == 2 and re.search(says, err), err
    assert 'Traceback' not in err


@pytest.mark.slow
def test_full_disk_stops_with_a_sentence(small_disk, tmp_path):
    process = begin_training(tmp_path, f'--output_dir={small_disk}/run')
    err = process.communicate()[1]
    assert process.returncode == 2 and f'{small_disk}/run/ssd-' not in err
    assert re.search(rf'error: {small_disk}/run/last.ckpt cannot be written \(.*\): free space', err), err
    assert 'Traceback' not in err and not list((small_disk / 'run').glob('*.ckpt'))


def test_training_evaluates_stops_early_and_keeps_the_best(trained, tmp_path, script):
    (tmp_path / 'options.yaml').write_text('run_eval: true\neval_start_epoch: 1\neval_interval: '
                                           '2\nearly_stop: 1\nlr: 0.0001\nepoch_size: 20\nema_decay: 0.5\n')
    process = begin_training(tmp_path, f'--config={tmp_path}/options.yaml', '--epoch_size=20',
                             '--tensorboard')
    out, err = process.communicate()
    assert process.returncode == 0, err
    evaluated = re.findall(r'^epoch: (\d+), mAP: (\S+)$', out, flags=re.M)
    assert [e for e, _ in evaluated] == ['1', '3'] # the second is no better than the first
    assert {p.name for p in (tmp_path / 'run').iterdir()} == {
        'best_map.ckpt', 'events', 'last.ckpt', 'metrics.csv', 'metrics.png', 'previous.ckpt', 'ssd-3_6.ckpt'}
    again = script('eval.py', CPU, f'--checkpoint_path={tmp_path}/run/best_map.ckpt')
    assert float(map_of(again.out)) == float(evaluated[0][1])


BAD_CONFIGS = {
    'no file': (None, 'cannot be read (No such file or directory)'),
               'no YAML': ('lr: [', 'is not valid YAML'), 'a word': ('hello', 'holds no options'),
    'unknown option': ('batchsize: 3', '--config: there is no option batchsize: did you mean batch_size'),
    'wrong type': ('epoch_size: ten', '--epoch_size=ten is not possible: give a whole number'),
    'unknown model': ('using_model: ssd3', '--using_model=ssd3 is not possible'),
}


@pytest.mark.parametrize('name', BAD_CONFIGS)
def test_bad_config_file(name, monkeypatch, script_here, tmp_path):
    content, says = BAD_CONFIGS[name]
    if content: (tmp_path / 'c.yaml').write_text(content)
    monkeypatch.setitem(MISTAKES, name, ('train.py', [f'--config={tmp_path}/c.yaml', CPU], says))
    test_mistake_is_answered_in_one_sentence(name, script_here, tmp_path)
