"""Exported files find what the checkpoint finds, on every backend; what does not fit is said."""
import hashlib
import json
import os
import re
import runpy
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

SAMPLES, RECORDED = ROOT / 'data_samples', ROOT / 'tests/recorded'
FORMS = dict(MINDIR='.mindir', ONNX='.onnx')


def lively(network):
    "Weights with which scores and boxes differ from image to image, as those of a new network hardly do"
    import mindspore as ms
    rng = np.random.default_rng(5)
    for p in network.trainable_params():
        if p.ndim == 4:
            p.set_data(ms.Tensor(rng.normal(0, (2 / np.prod(p.shape[1:])) ** 0.5, p.shape), p.dtype))
    return network


def make_checkpoint(using_model, path, image_shape=None):
    "A detector of the sample set's classes"
    from ssd_nb.train import preset, save_checkpoint
    from ssd_nb.plumbing.device import choose_device
    from ssd_nb.plumbing.model_config import build_model, fit_boxes
    from ssd_nb.plumbing.preparation import set_classes
    from ssd_nb.plumbing.samples import SAMPLE_CLASSES
    choose_device('CPU')
    config = preset(using_model, 'CPU')
    if image_shape:
        config = replace(config, boxes=fit_boxes(config.model,
                                                 replace(config.boxes, image_shape=image_shape)))
    config = set_classes(replace(config, data=replace(config.data, dataset='voc', voc_root=str(SAMPLES),
                                                      mindrecord_dir=str(path.parent / 'mindrecord'))),
                          SAMPLE_CLASSES)
    return save_checkpoint(lively(build_model(config.model, config.boxes)), config, 0, path)


@pytest.fixture(scope='session')
def exported(tmp_path_factory):
    "A folder with tiny.ckpt and what export.py makes of it; its images are not square"
    from ssd_nb.eval import EvalConfig
    from ssd_nb.export_310 import export_model
    folder = tmp_path_factory.mktemp('exported')
    checkpoint = make_checkpoint('ssd_tiny', folder / 'tiny.ckpt', (96, 128))
    for form in FORMS:
        path, difference = export_model(checkpoint, folder / 'tiny', form, batch_size=4,
                                        thresholds=EvalConfig(max_boxes=10))
        assert difference < 1e-4 and stat.S_IMODE(path.stat().st_mode) == 0o644
    return folder


@pytest.fixture
def script_here(monkeypatch, capsys, tmp_path):
    "Runs a script in this process; answers its exit code and what it printed"
    def script_here(file, *options):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(ROOT / 'scripts')
        monkeypatch.setattr(sys, 'argv', [file, *map(str, options)])
        code = 0
        try: runpy.run_path(str(ROOT / 'scripts' / file), run_name='__main__')
        except SystemExit as ended: code = ended.code
        return code, *capsys.readouterr()
    return script_here


def measure(path):
    "What `evaluate` measures of a file on the sample set, with the thresholds of `exported`"
    from ssd_nb.data import create_dataset
    from ssd_nb.eval import EvalConfig, evaluate
    from ssd_nb.export_310 import load_predict
    from ssd_nb.plumbing.records import load_ground_truth, load_manifest
    predict, config = load_predict(path, batch_size=4)
    dataset = create_dataset(config.data, config.boxes, 'eval', 4, train=False)
    classes = tuple(load_manifest(config.data, 'eval')['classes'])
    return evaluate(predict, dataset, load_ground_truth(config.data), classes, EvalConfig(max_boxes=10),
                    verbose=False)


def test_every_form_has_the_map_of_the_checkpoint(exported):
    from ssd_nb.export_310 import compare_detections
    first = measure(exported / 'tiny.ckpt')
    assert first.mAP > 1e-5 and first.stats[8] > 0.005
    assert len(first.results) > 1000 # untrained, but not silent
    for form, ending in FORMS.items():
        other = measure(exported / f'tiny{ending}')
        assert np.abs(other.stats - first.stats).max() < (1e-12 if form == 'MINDIR' else first.mAP / 100)
        drift = compare_detections(list(first.detections.values()), list(other.detections.values()))
        assert drift.lost + drift.new <= (0 if form == 'MINDIR' else 3) and drift.score < 1e-4


def test_json_says_all_that_inference_needs(exported):
    facts = json.loads((exported / 'tiny.onnx.json').read_text())
    assert facts['model'] == 'ssd_tiny' and facts['classes'][:2] == ['background', 'ball']
    assert facts['input']['shape'] == [4, 3, 96, 128]
    assert facts['normalisation']['mean'] == [123.675, 116.28, 103.53]
    assert facts['thresholds']['nms_threshold'] == 0.6
    assert set(facts['version']) == {'ssd_nb', 'mindspore'}
    assert all(re.fullmatch('[0-9a-f]{64}', s) for s in facts['sha256'].values())


def test_onnx_file_has_names_and_needs_nothing_else(exported, run):
    code = (f'import onnxruntime, numpy\ns = onnxruntime.InferenceSession({str(exported / "tiny.onnx")!r})\n'
            'out = s.run(["boxes", "scores"], {"image": numpy.zeros((4, 3, 96, 128), '
            '"float32")})\nprint([a.shape for a in out])\n'
            'import sys; assert "mindspore" not in sys.modules')
    done = run(sys.executable, '-c', code)
    assert done.code == 0 and done.out.startswith('[(4, '), done.err


def with_facts(exported, folder, change, ending='.mindir', more=b''):
    "A copy of an exported file whose json was changed"
    path = folder / f'other{ending}'
    path.write_bytes((exported / f'tiny{ending}').read_bytes() + more)
    facts = json.loads((exported / f'tiny{ending}.json').read_text())
    del facts['checksum'] # as in those of earlier versions
    change(facts)
    Path(f'{path}.json').write_text(json.dumps(facts))
    return path


def sign(exported, path):
    "The json for a graph that somebody has changed, with a checksum that is right"
    facts = json.loads((exported / f'tiny{path.suffix}.json').read_text())
    del facts['checksum']
    facts |= dict(name=path.name, sha256=dict(file=hashlib.sha256(path.read_bytes()).hexdigest()))
    Path(f'{path}.json').write_text(json.dumps(facts))


@pytest.mark.parametrize('form', FORMS)
def test_operations_of_strangers_are_refused(exported, tmp_path, form):
    "They could run any program; only a file that is named may have them"
    import onnx
    from mindspore.train.mind_ir_pb2 import ModelProto
    from ssd_nb.export_310 import load_predict
    from ssd_nb.plumbing.graph_files import check_graph, trust_file
    from ssd_nb.plumbing.options import UserError
    path, data = tmp_path / f'bad{FORMS[form]}', (exported / f'tiny{FORMS[form]}').read_bytes()
    model = (ModelProto if form == 'MINDIR' else onnx.ModelProto).FromString(data)
    if form == 'MINDIR': model.primitives.add(name='Custom:1', op_type='Custom')
    else: model.graph.node.add(op_type='Custom', domain='com.stranger')
    path.write_bytes(model.SerializeToString())
    sign(exported, path)
    with pytest.raises(UserError, match=rf'the operation .*Custom, .* give --trust={path} as well\.$'):
        load_predict(path)
    trust_file(path)
    check_graph(path)


def test_scripts_can_trust_a_file(exported, tmp_path, script_here):
    "A graph with an operation that nothing uses; MindSpore loads it once it is trusted"
    from mindspore.train.mind_ir_pb2 import ModelProto
    model = ModelProto.FromString((exported / 'tiny.mindir').read_bytes())
    model.primitives.add(name='Custom:1', op_type='Custom')
    path = tmp_path / 'bad.mindir'
    path.write_bytes(model.SerializeToString())
    sign(exported, path)
    infer = ['infer.py', f'--model_path={path}', f'--data_path={SAMPLES}', '--backend=mindspore',
             f'--output_dir={tmp_path}/found']
    check = ['check_export.py', f'--ckpt_file={exported}/tiny.ckpt', f'--image_path={SAMPLES}/eval',
             '--limit=1', '--runs=1', '--batches=[1]', f'--exported=[{path}]']
    for command in infer, check:
        assert f'give --trust={path} as well.' in script_here(*command)[2]
    for command in infer, check:
        code, _, err = script_here(*command, f'--trust={path}')
        assert code == 0, err
    assert 'Average Precision' in (tmp_path / 'found/acc.log').read_text()


@pytest.mark.parametrize('form', FORMS)
def test_arrays_outside_of_the_folder_are_refused(exported, tmp_path, form):
    import onnx
    from mindspore.train.mind_ir_pb2 import ModelProto
    from ssd_nb.export_310 import load_predict
    from ssd_nb.plumbing.options import UserError
    path, data = tmp_path / f'bad{FORMS[form]}', (exported / f'tiny{FORMS[form]}').read_bytes()
    model = (ModelProto if form == 'MINDIR' else onnx.ModelProto).FromString(data)
    if form == 'MINDIR': model.graph.parameter[0].external_data.location = '../../etc/passwd'
    else: model.graph.initializer[0].external_data.add(key='location', value='/etc/passwd')
    path.write_bytes(model.SerializeToString())
    sign(exported, path)
    with pytest.raises(UserError, match='etc/passwd, which is outside of its folder: it is not loaded'):
        load_predict(path)


BAD_FILES = {
    'another shape': (lambda f: f['input'].update(shape=[4, 3, 300, 300]), b'', 'takes images of the shape '
                                                                                '(4, 3, 96, 128)'),
    'json of another file': (lambda f: f['sha256'].update(file='0' * 64), b'', 'does not belong to'),
    'json of another form': (lambda f: f.update(file_format='AIR'), b'', 'does not belong to'),
    'changed file': (lambda f: f.update(name='other.mindir'), b'x', 'is not as it was exported, its '
                                                                    'checksum differs'),
    'json without its parts': (lambda f: f.clear(), b'', 'is missing or unreadable'),
    'another normalisation': (lambda f: f['normalisation'].update(mean=[0, 0, 0]), b'',
                              'another normalisation'),
}


@pytest.mark.parametrize('name', BAD_FILES)
def test_file_that_does_not_fit_is_named(name, exported, script_here, tmp_path):
    change, more, says = BAD_FILES[name]
    path = with_facts(exported, tmp_path, change, more=more)
    for file, options in (('eval.py', ['--run_platform=CPU', f'--checkpoint_path={path}']),
                          ('infer.py', ['--backend=mindspore', f'--model_path={path}',
                                        f'--data_path={SAMPLES}'])):
        code, _, err = script_here(file, *options)
        assert code == 2 and len(err.strip().splitlines()) == 1 and says in err, err


MISTAKES = {
    'no Ascend for AIR': ('export.py', ['--ckpt_file=TINY.ckpt', '--file_format=AIR'],
                          '--file_format=AIR can be written on an Ascend only'),
    'no form': ('export.py', ['--ckpt_file=TINY.ckpt', '--file_format=PDF'], '--file_format=PDF is not '
                                                                             'possible: give one of MINDIR, '
                                                                             'ONNX, AIR'),
    'no batch': ('export.py', ['--ckpt_file=TINY.ckpt', '--batch_size=0'], '--batch_size=0 is not possible'),
    'no place': ('export.py', ['--ckpt_file=TINY.ckpt', '--file_name=/proc/nothing/x'],
                 '/proc/nothing/x.mindir cannot be written'),
    'bad threshold': ('export.py', ['--ckpt_file=TINY.ckpt', '--min_score=2'],
                      'min_score=2.0 is not possible'),
    'no Lite': ('infer.py', ['--model_path=TINY.mindir', f'--data_path={SAMPLES}'],
                'there is no MindSpore Lite here'),
    'form and backend': ('infer.py', ['--model_path=TINY.onnx', '--backend=mindspore',
                                      f'--data_path={SAMPLES}'], 'is not for BACKEND=mindspore'),
    'no data': ('infer.py', ['--model_path=TINY.mindir', '--data_path=/nowhere'],
                'there is no folder DATA_PATH=/nowhere'),
    'no images': ('infer.py', ['--model_path=TINY.mindir', f'--data_path={RECORDED}'],
                  'holds no image and no data set'),
    'no annotations': ('infer.py', ['--model_path=TINY.mindir', f'--data_path={ROOT}/nbs/pictures'],
                       'has images, but no annotations'),
    'no converter': ('infer.py', ['--model_path=TINY.mindir', '--preprocess=DVPP', f'--data_path={SAMPLES}'],
                     'converter_lite, which is not on the PATH'),
    'air file': ('eval.py', ['--run_platform=CPU', '--checkpoint_path=x.air'], 'only Ascend tools read'),
    'nothing to time': ('check_export.py',
                        ['--ckpt_file=TINY.ckpt', f'--image_path={SAMPLES}/eval', '--runs=0'],
                        '--runs=0 is not possible'),
    'nothing exported': ('check_export.py',
                         ['--ckpt_file=TINY.ckpt', f'--image_path={SAMPLES}/eval', '--exported=[a.ckpt]'],
                         'a.ckpt is no exported file'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_is_answered_in_one_sentence(name, exported, script_here):
    file, options, says = MISTAKES[name]
    code, _, err = script_here(file, *(o.replace('TINY', str(exported / 'tiny')) for o in options))
    assert code == 2 and len(err.strip().splitlines()) == 1 and err.startswith('error: ') and says in err, err


@pytest.mark.slow
def test_full_disk_leaves_nothing_and_says_so(exported, script_here, small_disk):
    for form in FORMS:
        code, _, err = script_here('export.py', '--ckpt_file', exported / 'tiny.ckpt', '--file_name',
                                   small_disk / 'a', '--file_format', form)
        assert code == 2 and len(err.strip().splitlines()) == 1, err
        assert f'{small_disk}/' in err and ' cannot be written (' in err and 'free space' in err, err
        assert not list(small_disk.iterdir())


def test_onnx_without_its_packages_is_answered_in_one_sentence(exported, script_here, monkeypatch):
    for package in ('onnx', 'onnxruntime'): monkeypatch.setitem(sys.modules, package, None)
    for file, options in (('export.py', ['--ckpt_file', exported / 'tiny.ckpt', '--file_format=ONNX']),
                          ('eval.py', ['--run_platform=CPU', f'--checkpoint_path={exported}/tiny.onnx'])):
        code, _, err = script_here(file, *options)
        assert code == 2 and len(err.strip().splitlines()) == 1
        assert 'which is not installed: pip install "ssd_nb[onnx]"' in err


def test_air_on_an_ascend_is_written_and_not_read_back(exported, script_here, monkeypatch, tmp_path):
    "There is no Ascend here: this shows what MindSpore would be asked for, not that it does it"
    from types import SimpleNamespace
    import mindspore as ms
    from ssd_nb.export_310 import export_model
    asked = []
    def export(net, *inputs, file_name, file_format):
        asked.append((file_format, [x.shape for x in inputs]))
        Path(file_name).write_bytes(b'air')
    monkeypatch.setattr(ms, 'get_current_device', lambda: SimpleNamespace(device_target='Ascend'))
    monkeypatch.setattr(ms, 'export', export)
    path, difference = export_model(exported / 'tiny.ckpt', tmp_path / 'tiny', 'AIR', batch_size=2)
    assert asked == [('AIR', [(2, 3, 96, 128)])] and path.name == 'tiny.air' and np.isnan(difference)
    assert json.loads((tmp_path / 'tiny.air.json').read_text())['file_format'] == 'AIR'


def test_dvpp_refuses_300(exported, script_here, tmp_path):
    def of_300(facts): # the json of a model of that size: it is refused before the file is opened
        facts['input']['shape'], facts['config']['boxes']['image_shape'] = [1, 3, 300, 300], [300, 300]
    path = with_facts(exported, tmp_path, of_300)
    code, _, err = script_here('infer.py', '--preprocess=DVPP', f'--model_path={path}',
                               f'--data_path={SAMPLES}')
    assert code == 2
    assert 'DVPP cannot make images of 300×300: it wants a width that 16 divides and an even height' in err


@pytest.fixture
def lite(monkeypatch):
    "The stand-in for MindSpore Lite, see recorded/mindspore_lite.py"
    monkeypatch.syspath_prepend(RECORDED)
    import mindspore_lite
    yield mindspore_lite
    del sys.modules['mindspore_lite']


def test_lite_is_called_as_documented(exported, lite, monkeypatch):
    from ssd_nb.export_310 import load_exported, make_lite_reader
    from ssd_nb.plumbing.options import UserError
    images = np.random.default_rng(0).normal(0, 1, (5, 3, 96, 128)).astype(np.float32)
    path = exported / 'tiny.mindir'
    answers = load_exported(path, make_lite_reader((4, 3, 96, 128), device_id=3))[0](images)
    assert lite.CALLS == [(str(path), lite.ModelType.MINDIR, ['ascend'], 3)]
    for a, b in zip(answers, load_exported(path)[0](images)):
        assert a.dtype == np.float32 and (a == b).all()
    with pytest.raises(UserError, match='cannot run .* on Ascend 9'):
        load_exported(path, make_lite_reader((4, 3, 96, 128), device_id=9))
    with pytest.raises(UserError, match='gave up on .*: data type not'), monkeypatch.context() as patch:
        patch.setattr(lite.Model, 'get_inputs',
                      lambda self: [lite.Tensor(shape=[4, 3, 96, 128], dtype=lite.DataType.UINT8)])
        load_exported(path, make_lite_reader((4, 3, 96, 128)))[0](images)
    with pytest.raises(UserError, match='which is no NV12 of 96×128'):
        load_exported(path, make_lite_reader((4, 3, 96, 128), converted=path))


def test_the_stand_in_for_lite_refuses_what_is_not_documented(lite):
    context = lite.Context()
    with pytest.raises(AttributeError): context.device_target = 'Ascend'
    with pytest.raises(AttributeError): context.ascend.id = 0
    with pytest.raises(TypeError): context.target = 'ascend'
    with pytest.raises(TypeError): lite.Model().build_from_file(Path('x'), lite.ModelType.MINDIR)
    tensor = lite.Tensor(shape=[1, 2], dtype=lite.DataType.UINT8)
    with pytest.raises(RuntimeError, match='type'): tensor.set_data_from_numpy(np.zeros((1, 2), np.float32))
    with pytest.raises(RuntimeError, match='size'): tensor.set_data_from_numpy(np.zeros((1, 3), np.uint8))


def infer(run, folder, *words, backend=None, path=(), python_path=(), name='run_infer_310.sh'):
    "Runs a script as a user does, in a folder of its own"
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, 'PYTHON': sys.executable,
           'PATH': os.pathsep.join([*map(str, path), os.environ['PATH']]),
           'PYTHONPATH': os.pathsep.join([*map(str, python_path), str(ROOT)])}
    env.pop('BACKEND', None)
    return run('bash', ROOT / 'scripts' / name, *words, cwd=folder,
               env=env | (dict(BACKEND=backend) if backend else {}))


def acc_of(folder): return (folder / 'acc.log').read_text()


def check_outputs(folder, done):
    assert done.code == 0, done.err
    assert {p.name for p in folder.iterdir()} - {'dvpp'} == {'acc.log', 'infer.log', 'result_Files',
                                                             'time_Result'}
    assert len(re.findall(r'^ Average (?:Precision|Recall) .* = ', acc_of(folder), flags=re.M)) == 12
    assert re.search(r'^mAP: ', acc_of(folder), flags=re.M)
    assert len(list((folder / 'result_Files').glob('*.json'))) == 80
    row = json.loads((folder / 'result_Files/000001.json').read_text())[0]
    assert set(row) == {'image_id', 'bbox', 'score', 'category_id', 'file_name'}
    assert Path(row['file_name']).name == '000001.jpg'
    assert re.fullmatch(r'80 images, .*: p50 .* ms, p90 .* ms, p99 .* ms, .* images/s\n',
                        (folder / 'time_Result/test_perform_static.txt').read_text())


@pytest.mark.slow
def test_infer_310_on_any_host(exported, run, tmp_path):
    done = infer(run, tmp_path / 'a', exported / 'tiny.mindir', SAMPLES, 'Cpu', backend='mindspore')
    check_outputs(tmp_path / 'a', done)
    assert acc_of(tmp_path / 'a').rstrip('\n') == measure(exported / 'tiny.ckpt').text.rstrip('\n')


@pytest.mark.slow
def test_infer_310_with_the_stand_in_and_onnx(exported, run, tmp_path):
    words, lite = (exported / 'tiny.mindir', SAMPLES / 'eval'), dict(python_path=[RECORDED], path=[RECORDED])
    on_device = dict(cpu=infer(run, tmp_path / 'cpu', *words, 'cpu', '2', **lite),
                     dvpp=infer(run, tmp_path / 'dvpp', *words, 'dvpp', **lite))
    for name, done in on_device.items(): check_outputs(tmp_path / name, done)
    here = infer(run, tmp_path / 'here', *words, 'DVPP', backend='mindspore')
    check_outputs(tmp_path / 'here', here)
    assert acc_of(tmp_path / 'here') == acc_of(tmp_path / 'dvpp') != acc_of(tmp_path / 'cpu')
    assert acc_of(tmp_path / 'cpu').rstrip('\n') == measure(exported / 'tiny.ckpt').text.rstrip('\n')
    assert {p.name for p in (tmp_path / 'dvpp/dvpp').iterdir()} == {'aipp.cfg', 'converter.cfg',
                                                                    'tiny_aipp.mindir',
                                                                    'tiny_aipp.mindir.aipp'}
    onnx = infer(run, tmp_path / 'onnx', exported / 'tiny.onnx', SAMPLES, name='run_infer_onnx.sh')
    check_outputs(tmp_path / 'onnx', onnx)
    mean = lambda name: float(re.search('^mAP: (.*)$', acc_of(tmp_path / name), flags=re.M)[1])
    assert abs(mean('onnx') - mean('cpu')) < 1e-5


@pytest.mark.slow
def test_infer_310_without_ascend_is_answered_in_one_sentence(exported, run, tmp_path):
    done = infer(run, tmp_path / 'a', exported / 'tiny.mindir', SAMPLES, 'CPU')
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1 and 'BACKEND=mindspore' in done.err
    assert not (tmp_path / 'a/acc.log').exists()


SHELL = 'run_infer_310.sh', 'run_infer_onnx.sh', 'docker_start.sh'
WRONG_WORDS = {
    'too few': ('run_infer_310.sh', ['a', 'b'], 'but got 2 words'),
               'too many': ('run_infer_310.sh', list('abcde'), 'but got 5 words'),
    'neither DVPP nor CPU': ('run_infer_310.sh', ['a', 'b', 'GPU'], "DVPP is 'GPU': give DVPP or CPU"),
    'no number': ('run_infer_310.sh', ['a', 'b', 'CPU', 'x'], "DEVICE_ID is 'x': give a number"),
    'no file': ('run_infer_310.sh', ['/nowhere.mindir', 'b', 'cpu'],
                'there is no file MINDIR_PATH=/nowhere.mindir'),
    'onnx alone': ('run_infer_onnx.sh', ['a'], 'but got 1 words'),
               'docker alone': ('docker_start.sh', [], 'but got 0 words'),
    'no data for docker': ('docker_start.sh', ['i', '/nowhere', '/'], 'there is no folder DATA_DIR=/nowhere'),
}


@pytest.mark.parametrize('name', WRONG_WORDS)
def test_wrong_words_are_answered_in_one_sentence(name, run, tmp_path):
    file, words, says = WRONG_WORDS[name]
    done = infer(run, tmp_path, *words, name=file)
    assert done.code == 2 and len(done.err.strip().splitlines()) == 1 and says in done.err


@pytest.mark.parametrize('name', SHELL)
def test_shell_script_is_sound_and_explains_itself(name, run):
    assert run('bash', '-n', ROOT / 'scripts' / name).code == 0
    done = run('bash', ROOT / 'scripts' / name, '--help')
    assert done.code == 0 and done.out.startswith(f'usage: bash scripts/{name} ')
    if shutil.which('shellcheck'): assert run('shellcheck', ROOT / 'scripts' / name).code == 0


def test_docker_start_hands_on_folders_and_devices(run, tmp_path):
    for folder in ('bin', 'data', 'models', 'dev', 'driver'): (tmp_path / folder).mkdir()
    for device in ('davinci0', 'davinci1', 'davinci_manager', 'hisi_hdc', 'null'):
        (tmp_path / 'dev' / device).touch()
    (tmp_path / 'bin/docker').write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / 'bin/docker').chmod(0o755)
    env = {'PATH': f'{tmp_path}/bin:/usr/bin:/bin', 'DEVICES': f'{tmp_path}/dev',
           'DRIVER': f'{tmp_path}/driver'}
    done = run('bash', ROOT / 'scripts/docker_start.sh', 'ssd_nb:1', tmp_path / 'data', tmp_path / 'models',
               env=env)
    words = done.out.split()
    assert done.code == 0 and words[0] == 'run' and words[-2:] == ['ssd_nb:1', 'bash'], done.err
    assert [Path(b).name for a, b in zip(words, words[1:])
            if a == '--device'] == ['davinci0', 'davinci1', 'davinci_manager', 'hisi_hdc']
    assert f'{tmp_path}/data:{tmp_path}/data:ro' in words and f'{tmp_path}/models:{tmp_path}/models' in words
    assert f'{tmp_path}/driver:{tmp_path}/driver:ro' in words


def dockerfile():
    "Its instructions, as (name, rest), with continued lines joined"
    text = re.sub(r'^#.*\n', '', (ROOT / 'Dockerfile').read_text(), flags=re.M)
    return [tuple(line.split(maxsplit=1)) for line in re.sub(r'\\\n\s*', ' ', text).splitlines()
            if line.strip()]


def test_dockerfile_is_sound(run, tmp_path):
    steps = dockerfile()
    assert {name for name, _ in steps} <= {'ARG', 'FROM', 'WORKDIR', 'RUN', 'COPY', 'ENV', 'USER', 'CMD'}
    # its last word, and a number, so that a host knows that it is not root
    assert [rest for name, rest in steps if name == 'USER'] == ['10001']
    assert steps[0][0] == 'ARG' and steps[0][1].startswith('FROM_IMAGE_NAME=')
    assert steps[1] == ('FROM', '${FROM_IMAGE_NAME}')
    let_in = [row[1:] for row in (ROOT / '.dockerignore').read_text().splitlines() if row.startswith('!')]
    for name, rest in steps:
        if name == 'RUN':
            assert run('sh', '-n', '-c', rest).code == 0
            if shutil.which('shellcheck'):
                assert run('shellcheck', '-s', 'sh', '-', input=f'#!/bin/sh\n{rest}\n').code == 0
        if name == 'COPY':
            *sources, target = rest.split()
            for source in sources:
                assert source in let_in and (ROOT / source).exists()
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, tmp_path / target,
                                    ignore=shutil.ignore_patterns('__pycache__'))
                else: shutil.copy(ROOT / source, tmp_path / target)
        if name == 'RUN' and 'pip install' in rest: # what was copied until here is all that it has
            done = run(sys.executable, 'setup.py', '--name', '--version', cwd=tmp_path)
            assert done.code == 0 and done.out.split()[-2:][0] == 'ssd_nb', done.err


@pytest.mark.parametrize('name', ('ssd_tiny',
                                  *(pytest.param(n, marks=pytest.mark.slow)
                                    for n in ('ssd300', 'ssd_vgg16', 'ssd-mobilenet-v1-fpn',
                                              'ssd_resnet50_fpn'))))
def test_hub_makes_every_network(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from mindspore_hub_conf import create_network
    from ssd_nb.ssd_heads import MODELS
    from ssd_nb.plumbing.model_config import ModelConfig, build_model
    here = name.replace('-', '_')
    want = build_model(ModelConfig(here, 81), MODELS[here].boxes)
    shapes = {p.name: p.shape for p in create_network(name).get_parameters()}
    assert shapes == {p.name: p.shape for p in want.get_parameters()}


def test_hub_knows_classes_sizes_and_no_others(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from mindspore_hub_conf import create_network
    from ssd_nb.plumbing.options import UserError
    assert create_network('ssd_tiny', num_classes=3, image_shape=(96, 128)).multi_box.num_classes == 3
    with pytest.raises(UserError, match='ssd_yolo is not one of the networks here: give one of ssd300'):
        create_network('ssd_yolo')


@pytest.mark.slow
@pytest.mark.parametrize('using_model, image_shape',
                         (('ssd300', None),
                          ('ssd_vgg16', None), # the pyramids on a size with odd maps, which takes less time
                                                      ('ssd_mobilenet_v1_fpn', (200, 328)),
                          ('ssd_resnet50_fpn', (200, 328))))
def test_every_model_is_exported_in_every_form(using_model, image_shape, tmp_path):
    from ssd_nb.export_310 import export_model, load_predict
    checkpoint = make_checkpoint(using_model, tmp_path / 'a.ckpt', image_shape)
    files = {form: export_model(checkpoint, tmp_path / 'a', form, batch_size=2) for form in FORMS}
    predict, config = load_predict(checkpoint, batch_size=2)
    images = np.random.default_rng(1).normal(0, 1, (3, 3, *config.boxes.image_shape)).astype(np.float32)
    reference = predict(images)
    assert reference[1].std() > 1e-3, 'scores that do not vary would agree with anything'
    for path, _ in files.values():
        differences = [float(np.abs(a - b).max()) for a, b in zip(reference, load_predict(path)[0](images))]
        print(using_model, path.suffix, differences)
        assert max(differences) < 1e-3


@pytest.mark.slow
def test_check_export_prints_a_line_for_each(exported, script):
    done = script('check_export.py', '--ckpt_file', exported / 'tiny.ckpt', '--image_path', SAMPLES / 'eval',
                  '--exported', f'[{exported}/tiny.onnx]',
                  '--batches=[1,2]', '--limit=4', '--runs=3')
    assert done.code == 0, done.err
    assert re.search(r'tiny.onnx: \d+ the same, 0 lost, 0 new', done.out)
    assert re.search(r'^float16: ', done.out, flags=re.M)
    assert len(re.findall(r'batch \d: p50 .* ms, p90 .* ms, p99 .* ms, .* images/s$', done.out,
                          flags=re.M)) == 3
    assert 'peak memory of this process' in done.out
