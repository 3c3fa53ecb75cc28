"""Records what other engines compute with the weights of tests/published_seeds.py, for test_published.py.

    python record_published.py seed GRAPH.pb MODEL.tflite   writes seeded.pb, seeded.tflite, inputs.npz
    (published_reference.py with the Python of each engine: tensorflow seeded.pb, litert seeded.tflite,
     torchvision seeded.pth, mindcv ssd_mobilenetv2.ckpt and ssd_resnet50_fpn.ckpt, each writing ENGINE.npz)
    python record_published.py record ENGINE.npz ...        writes tests/recorded/published.json
"""
import json
import re
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests'))
from published_seeds import draw_array, draw_images, pick_numbers  # noqa: E402


def seed_graph(path):
    "The same graph with other weights; fields that our messages don't name are kept by protobuf"
    from ssd_nb.plumbing.published_graph import make_messages, read_graph
    data = Path(path).read_bytes()
    graph, nodes = make_messages()['Graph'].FromString(data), read_graph(data, path)
    for node in graph.node:
        array = nodes[node.name].array
        part = re.search(r'(weights|biases|gamma|beta|moving_mean|moving_variance)$', node.name)
        if array is None or not part: continue
        if array.ndim == 4:
            order = (2, 3, 0, 1) if 'depthwise_weights' in node.name else (3, 2, 0, 1)
            new = draw_array(node.name, [array.shape[i] for i in order]).transpose(np.argsort(order))
        else: new = draw_array(node.name, array.shape)
        tensor = next(entry for entry in node.attr if entry.key == 'value').value.tensor
        del tensor.float_val[:]
        tensor.tensor_content = np.ascontiguousarray(new).tobytes()
    Path('seeded.pb').write_bytes(graph.SerializeToString())


def seed_lite(path):
    "The same file with other weights, written over the old ones"
    import tflite
    from ssd_nb.plumbing.published_lite import list_convolutions
    data = bytearray(Path(path).read_bytes())
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    for name, depthwise, weight, bias in list_convolutions(model):
        for index, kind in ((weight, 'weights'), (bias, 'bias')):
            tensor = graph.Tensors(index)
            shape, raw = tensor.ShapeAsNumpy(), model.Buffers(tensor.Buffer()).DataAsNumpy()
            order = ((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)) if kind == 'weights' else (0,)
            new = draw_array(f'{name}/{kind}', [shape[i] for i in order]).transpose(np.argsort(order))
            raw[:] = np.frombuffer(np.ascontiguousarray(new.astype(np.float16)).tobytes(), np.uint8)
    Path('seeded.tflite').write_bytes(data)


def record(*files):
    found = {}
    for file in files:
        answers = np.load(file)
        loc, scores = answers['loc'][0], answers['scores'][0]
        found[Path(file).stem] = dict(shapes=[loc.shape, scores.shape], loc=pick_numbers(loc),
                                      scores=pick_numbers(scores),
                                      largest=[float(np.abs(a).max()) for a in (loc, scores)])
    (ROOT / 'tests/recorded/published.json').write_text(json.dumps(found, indent=1) + '\n')


if __name__ == '__main__':
    if sys.argv[1] == 'record': record(*sys.argv[2:])
    else:
        np.savez('inputs.npz', images=draw_images())
        seed_graph(sys.argv[2])
        seed_lite(sys.argv[3])
