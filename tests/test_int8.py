"""An int8 file finds nearly what its checkpoint finds, says how it was made, and needs nothing of ours."""
import json
import re
import sys

import numpy as np
import pytest
from conftest import ROOT
from test_export import make_checkpoint, script_here  # noqa: F401, a fixture
from test_whole_graph import draw

MODELS = ['ssd_tiny', *(pytest.param(name, marks=pytest.mark.slow) for name in
                        ('ssd300', 'ssd_vgg16', 'ssd_mobilenet_v1_fpn', 'ssd_resnet50_fpn'))]
SAMPLES = ROOT / 'data_samples'


def write_images(folder, count, height, width):
    "A folder of PNG files"
    import cv2
    folder.mkdir()
    for i, image in enumerate(draw(count, height, width)): cv2.imwrite(f'{folder}/{i}.png', image[..., ::-1])
    return folder


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    "A folder with tiny.ckpt, and in int8 one.onnx, two.onnx (two images at a time) and whole.onnx"
    from ssd_nb.export_310 import export_model
    folder = tmp_path_factory.mktemp('int8')
    checkpoint = make_checkpoint('ssd_tiny', folder / 'tiny.ckpt', (96, 128))
    images = str(write_images(folder / 'images', 19, 96, 128))
    (folder / 'images/broken.png').write_bytes(b'no image')
    for name, more in dict(one={}, two=dict(batch_size=2), whole=dict(whole=True)).items():
        export_model(checkpoint, folder / name, 'ONNX', int8=True, calibrate=images, **more)
    return folder


@pytest.mark.parametrize('using_model', MODELS)
def test_int8_answers_nearly_as_float32(using_model, tmp_path):
    from ssd_nb.data import prepare_input
    from ssd_nb.export_310 import export_model, load_predict
    from ssd_nb.plumbing.whole_graph import open_whole
    size = (288, 304) if using_model == 'ssd_vgg16' else (160, 192) # the least that it takes is 257
    checkpoint = make_checkpoint(using_model, tmp_path / 'a.ckpt', size)
    more = dict(int8=True, calibrate=str(write_images(tmp_path / 'images', 16, *size)))
    predict, config = load_predict(checkpoint)
    path, difference = export_model(checkpoint, tmp_path / 'a', 'ONNX', **more)
    assert difference < 1e-3 # before it was made int8
    prepare = lambda image: prepare_input(image, size, None, config.data.normalisation)
    images = np.stack([prepare(image) for image in draw(4, *size)])
    boxes, scores = (np.corrcoef(a.ravel(), b.ravel())[0, 1]
                     for a, b in zip(predict(images), load_predict(path)[0](images)))
    assert boxes > 0.95 and scores > 0.9, (boxes, scores)
    whole, _ = export_model(checkpoint, tmp_path / 'whole', 'ONNX', whole=True, **more)
    assert len(open_whole(whole)[0](draw(2, 111, 99))) == 2
    plain, _ = export_model(checkpoint, tmp_path / 'b', 'ONNX')
    most = 0.75 if 'fpn' in using_model else 0.4 # five levels share heads, but not batch norm
    assert path.stat().st_size < most * plain.stat().st_size


def test_files_say_how_they_were_made(tiny):
    from ssd_nb.plumbing.whole_graph import open_whole
    about = json.loads((tiny / 'one.onnx.json').read_text())['int8']
    assert about['images'] == 19 and about == json.loads(open_whole(tiny / 'whole.onnx')[1]['int8'])
    assert not (tiny / 'whole.onnx.json').exists()


def test_weights_are_int8_and_the_last_layers_float(tiny):
    import onnx
    model = onnx.load(tiny / 'one.onnx')
    names = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    convs = [node for node in model.graph.node if node.op_type == 'Conv']
    exact = [node for node in convs if node.input[1] in names]
    coded = [names[makers[node.input[1]].input[0]] for node in convs if node not in exact]
    assert len(exact) == 12 and len(coded) > 10 # two at each of six levels
    values = np.concatenate([onnx.numpy_helper.to_array(tensor).ravel() for tensor in coded])
    assert values.dtype == np.int8 and 60 < np.abs(values.astype(int)).max() <= 64 # see plumbing/int8
    assert all(node.domain == '' for node in model.graph.node)


def test_a_batch_answers_as_its_images_do(tiny):
    from ssd_nb.export_310 import load_predict
    images = np.random.default_rng(2).normal(0, 1, (3, 3, 96, 128)).astype(np.float32)
    one, two = (load_predict(tiny / name)[0](images) for name in ('one.onnx', 'two.onnx'))
    for a, b in zip(one, two): assert np.abs(a - b).mean() < 0.02


def test_whole_file_needs_neither_this_library_nor_mindspore(tiny, run, tmp_path):
    code = ('import sys\nfor name in ("ssd_nb", "mindspore", "cv2", "onnx"): sys.modules[name] = None\n'
            'import numpy, onnxruntime\n'
            f's = onnxruntime.InferenceSession({str(tiny / "whole.onnx")!r})\n'
            'image = numpy.random.default_rng(0).integers(0, 256, (2, 70, 90, 3), "uint8")\n'
            'boxes, scores, labels, images = s.run(None, dict(image=image))\n'
            'print(boxes.shape[1], labels.ndim, images.ndim, len(boxes) == len(labels) == len(images))')
    done = run(sys.executable, '-c', code, cwd=tmp_path)
    assert done.code == 0 and done.out.split() == ['4', '1', '1', 'True'], done.err


def test_more_images_take_no_more_memory(tmp_path):
    "The quantiser asks for so many at a time, and gets them from files that are decoded then"
    from itertools import count
    from ssd_nb.plumbing.int8 import _AT_A_TIME, _Calibration, _choose_evenly
    given = count()
    reader = _Calibration((np.zeros((3, 2, 2), np.float32) for _ in given), 20, 1)
    reader.set_range(0, _AT_A_TIME)
    while reader.get_next(): pass
    assert reader.used == _AT_A_TIME and next(given) == _AT_A_TIME and len(reader) == 24
    assert len(_choose_evenly(list(range(5000)))) == 200 and _choose_evenly([1, 2]) == [1, 2]


EXPORT = ['--ckpt_file=TINY/tiny.ckpt', '--int8']
MISTAKES = {
    'another form': ([*EXPORT, '--calibrate=TINY/images'],
                     '--int8 is not possible with --file_format=MINDIR'),
    'no images': ([*EXPORT, '--file_format=ONNX'],
                  '--int8 needs images to calibrate with: give --calibrate='),
    'no folder': ([*EXPORT, '--file_format=ONNX', '--calibrate=nowhere'], 'there is no --calibrate=nowhere'),
    'empty folder': ([*EXPORT, '--file_format=ONNX', '--calibrate=EMPTY'], 'holds no image'),
    'no image': ([*EXPORT, '--file_format=ONNX', '--calibrate=TINY/images/broken.png'],
                 'the file is no image that can be read'),
    'calibrate alone': (['--ckpt_file=TINY/tiny.ckpt', '--file_format=ONNX', '--calibrate=TINY/images'],
                        'is used with --int8 alone'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_is_answered_in_one_sentence(name, tiny, tmp_path, script_here):  # noqa: F811
    (tmp_path / 'empty').mkdir()
    options, says = MISTAKES[name]
    options = [o.replace('TINY', str(tiny)).replace('EMPTY', str(tmp_path / 'empty')) for o in options]
    code, _, err = script_here('export.py', *options, f'--file_name={tmp_path}/new')
    lines = [line for line in err.strip().splitlines() if not line.startswith('left out: ')]
    assert code == 2 and len(lines) == 1 and lines[0].startswith('error: ') and says in err, err
    assert not list(tmp_path.glob('new*'))


@pytest.mark.parametrize('name', ('onnx', 'onnxruntime'))
def test_missing_package_is_said(name, tiny, monkeypatch):
    from ssd_nb.export_310 import export_model
    from ssd_nb.plumbing.options import UserError
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f'need the Python package {name}, which is not installed'):
        export_model(tiny / 'tiny.ckpt', tiny / 'new', 'ONNX', int8=True, calibrate=str(tiny / 'images'))


def test_export_says_how_many_images_it_used(tiny, tmp_path, script_here):  # noqa: F811
    code, out, err = script_here('export.py', f'--ckpt_file={tiny}/tiny.ckpt', '--int8', '--file_format=ONNX',
                                 f'--file_name={tmp_path}/new', f'--calibrate={tiny}/images')
    assert code == 0 and 'int8: 19 images have set the ranges' in out, err
    assert re.findall('^left out: .*', err, flags=re.M) and 'WARNING' not in err


@pytest.mark.parametrize('name', ('two', 'whole'))
def test_check_export_shows_int8_beside_float32(name, tiny, script_here):  # noqa: F811
    code, out, err = script_here('check_export.py', f'--ckpt_file={tiny}/tiny.ckpt', '--limit=3', '--runs=1',
                                 f'--image_path={SAMPLES}/eval', f'--exported=[{tiny}/{name}.onnx]',
                                 '--batches=[1]', f'--data_path={SAMPLES}')
    assert code == 0, err
    kept = re.search(rf'{name}.onnx, int8, beside float32: (\d+) of (\d+) detections kept, \d+ new; '
                     r'1\.\d MB instead of 5\.\d\n', out)
    assert kept and 0 < int(kept[1]) <= int(kept[2]), out
    assert re.search(r'int8: mAP 0\.\d{4}, float32 0\.\d{4}: [+-]0\.\d{4}\n', out), out
    assert re.search(r'int8: \d+\.\d\d of the time of float32, (NOT )?faster.* \(', out), out
