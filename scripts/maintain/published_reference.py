"""What other engines answer, for compare_published.py: run this with the Python of an environment aside.

    python published_reference.py tensorflow  frozen_inference_graph.pb inputs.npz tensorflow.npz
    python published_reference.py litert      model.tflite              inputs.npz litert.npz
    python published_reference.py torchvision seeded.pth                inputs.npz torchvision.npz
    python published_reference.py mindcv      ssd_mobilenetv2.ckpt      inputs.npz mindcv.npz

The last two make the file: the public code with the weights of tests/published_seeds.py. mindcv needs MINDCV,
a checkout of its repository, on a Python with MindSpore, mindcv, addict and opencv (ssd_resnet50_fpn.ckpt
makes the other model), and ONEDNN_MAX_CPU_ISA=AVX2 where MindSpore is slow without. With UNDAMPED=1 the
random weights are larger: ResNet-50's numbers grow from block to block, and so does the rounding.
inputs.npz has `images`, (n, 300, 300, 3) uint8: compare_published.py writes it. What is written: `loc` and
`scores` (n, boxes, ...) as they are before NMS, and for each image i `boxes_i`, `labels_i`, `found_i` after
it (boxes y1 x1 y2 x2 in [0, 1]).
"""
import os
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / 'tests'))
from published_seeds import draw_array  # noqa: E402


def run_tensorflow(file, images):
    import tensorflow as tf
    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(open(file, 'rb').read())
    nodes = {node.name: node for node in graph.node}
    raw = nodes.get('Postprocessor/raw_box_encodings')
    logits = next(n.input[0] for n in graph.node if n.op == 'Sigmoid' and n.name.startswith('Postprocessor'))
    names = [raw.input[0] if raw else 'Squeeze', logits]
    names += ['detection_boxes', 'detection_classes', 'detection_scores', 'num_detections']
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        tf.import_graph_def(graph, name='')
        fetch = [session.graph.get_tensor_by_name(f'{name}:0') for name in names]
        answers = [session.run(fetch, {'image_tensor:0': image[None]}) for image in images]
    for loc, cls, boxes, labels, scores, count in answers:
        keep = slice(int(count[0]))
        yield loc.reshape(-1, 4), cls[0], boxes[0, keep], labels[0, keep].astype(int), scores[0, keep]


def run_litert(file, images):
    from ai_edge_litert.interpreter import Interpreter
    model = Interpreter(file)
    model.allocate_tensors()
    places = {tuple(d['shape'])[-1]: d['index'] for d in model.get_output_details()}
    nothing = np.zeros((0, 4)), np.zeros(0, int), np.zeros(0) # it has no NMS of its own
    for image in images:
        model.set_tensor(model.get_input_details()[0]['index'], (np.float32(image) / 127.5 - 1)[None])
        model.invoke()
        loc, cls = (model.get_tensor(places[n])[0] for n in (4, max(places)))
        yield loc, cls, *nothing


def define_operators():
    "torchvision's own operators, for a wheel of it that is built for CUDA, beside a PyTorch that is not"
    import torch

    def nms(boxes, scores, threshold):
        left, keep = scores.argsort(descending=True), []
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        while len(left):
            i, left = left[0], left[1:]
            keep.append(int(i))
            low = torch.maximum(boxes[i, :2], boxes[left, :2])
            shared = (torch.minimum(boxes[i, 2:], boxes[left, 2:]) - low).clamp(min=0).prod(1)
            left = left[shared / (area[i] + area[left] - shared) <= threshold]
        return torch.tensor(keep, dtype=torch.int64)
    library = torch.library.Library('torchvision', 'DEF')
    library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    library.impl('nms', nms, 'CPU')
    register = torch.library.register_fake
    torch.library.register_fake = lambda name, *rest, **more: \
        (lambda f: f) if str(name).startswith('torchvision::') else register(name, *rest, **more)
    return library


def run_torchvision(file, images):
    import torch
    library = define_operators()
    import torchvision.extension
    from torchvision.models.detection import ssd300_vgg16
    torchvision.extension._has_ops = lambda: True
    model = ssd300_vgg16(weights=None, weights_backbone=None).eval()
    weights = {name: draw_array(name, value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(a) for name, a in weights.items()})
    torch.save(model.state_dict(), file)
    raw = []
    model.head.register_forward_hook(lambda module, inputs, answer: raw.append(answer))
    with torch.no_grad():
        for image in images:
            found = model([torch.from_numpy(np.moveaxis(image, -1, 0).copy()).float() / 255])[0]
            boxes = found['boxes'].numpy()[:, [1, 0, 3, 2]] / 300
            answer = raw.pop()
            yield (answer['bbox_regression'][0].numpy(), answer['cls_logits'][0].numpy(), boxes,
                   found['labels'].numpy(), found['scores'].numpy())
    del library


def run_mindcv(file, images):
    sys.path[:0] = [os.environ['MINDCV'], f'{os.environ["MINDCV"]}/examples/det/ssd']
    import cv2
    import mindspore as ms
    import yaml
    from addict import Dict
    from mindspore.ops import auto_generate
    ms.ops.ResizeBilinearV2 = auto_generate.ResizeBilinearV2 # where MindSpore 2.5 had it
    from mindcv.models import create_model
    from model import SSD
    folder = Path(os.environ['MINDCV']) / 'examples/det/ssd'
    args = Dict(yaml.safe_load((folder / f'{Path(file).stem}.yaml').read_text()))
    backbone = create_model(args.backbone, features_only=True, out_indices=args.backbone_out_indices)
    network = SSD(backbone, args).set_train(False)
    for p in network.get_parameters():
        value = draw_array(p.name, p.shape)
        if 'cls_layers' in p.name and p.name.endswith('bias'): value -= 6 # few detections
        p.set_data(ms.Tensor(value))
    ms.save_checkpoint([dict(name=f'network.{p.name}', data=p) for p in network.get_parameters()], file)
    mean, std = (255 * np.float32(n) for n in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    nothing = np.zeros((0, 4)), np.zeros(0, int), np.zeros(0) # its NMS is ours
    for image in images:
        x = (cv2.resize(image, tuple(args.image_size)) - mean) / std
        x = ms.Tensor(np.float32(x).transpose(2, 0, 1)[None])
        largest = max(np.abs(answer.asnumpy()).max() for answer in backbone(x))
        print(f'the largest number that leaves the backbone: {largest:.3g}')
        answers = network(x)
        yield *(answer.asnumpy()[0] for answer in answers), *nothing


ENGINES = dict(mindcv=run_mindcv, tensorflow=run_tensorflow, litert=run_litert, torchvision=run_torchvision)


def main(engine, file, inputs, out):
    answers = list(ENGINES[engine](file, np.load(inputs)['images']))
    arrays = dict(loc=np.stack([a[0] for a in answers]), scores=np.stack([a[1] for a in answers]))
    for i, (_, _, boxes, labels, scores) in enumerate(answers):
        arrays |= {f'boxes_{i}': boxes, f'labels_{i}': labels, f'found_{i}': scores}
    np.savez(out, engine=engine, **arrays)
    count, boxes, columns = arrays['scores'].shape
    print(f'{out}: {count} images, {boxes} boxes, {columns} columns')


if __name__ == '__main__':
    main(*sys.argv[1:])
