"""The networks that are timed: the same weights and the same batch for every engine, in files.

`describe` turns a network of ours into dicts, lists and arrays, which `torch_ssd.py` builds a network of
PyTorch from: in a process, and with a Python, that need not know MindSpore.
"""
import pickle
from dataclasses import replace

import numpy as np

CLASSES, SEED = 81, 1
PLAIN = bool, int, float, str, tuple


def new_network(model, classes=CLASSES, image_shape=None):
    "One of our models with the weights that every engine begins with, and its configuration"
    from ssd_nb.plumbing.device import choose_device
    from ssd_nb.plumbing.model_config import build_model, fit_boxes
    from ssd_nb.train import ms, preset
    choose_device('CPU')
    config = preset(model, 'CPU')
    own = replace(config.model, num_classes=classes)
    boxes = config.boxes
    if image_shape: boxes = fit_boxes(own, replace(boxes, image_shape=tuple(image_shape)))
    ms.set_seed(SEED)
    return build_model(own, boxes), replace(config, model=own, boxes=boxes)


def count_boxes(config):
    from ssd_nb.boxes import default_tlbr
    return len(default_tlbr(config.boxes))


def make_batch(images, image_shape, boxes, classes=CLASSES):
    "Random images, targets and numbers of matched boxes: one box in a hundred has an object"
    rng = np.random.default_rng(SEED)
    label = (rng.random((images, boxes)) < 0.01) * rng.integers(1, classes, (images, boxes))
    loc = rng.standard_normal((images, boxes, 4), np.float32) * (label > 0)[..., None]
    image = rng.standard_normal((images, 3, *image_shape), np.float32)
    return image, np.float32(loc), np.int32(label), np.int32((label > 0).sum(1))


def describe(cell, known=None):
    "A cell as a dict: kind, plain attributes, arrays, cells in it; a cell that is used twice is one dict"
    known = {} if known is None else known
    if id(cell) in known: return known[id(cell)]
    made = known[id(cell)] = dict(kind=type(cell).__name__)
    made['plain'] = {name: value for name, value in vars(cell).items() if isinstance(value, PLAIN)}
    made['arrays'] = {name.rpartition('.')[2]: parameter.asnumpy() for name, parameter in _list_own(cell)}
    made['parts'] = {name: describe(part, known) for name, part in cell.name_cells().items()}
    return made


def _list_own(cell): # name in the cell -> parameter
    return [(name, value) for name, value in cell._params.items() if value is not None]


def write_network(path, model, images=None):
    "Writes a network, a batch, and what ours answers to its first image as in evaluation"
    from ssd_nb.boxes import default_boxes
    from ssd_nb.train import ms
    network, config = new_network(model)
    shape, count = config.boxes.image_shape, count_boxes(config)
    batch = make_batch(images or 1, shape, count)
    described = describe(network)
    network.set_train(False)
    answers = [answer.asnumpy() for answer in network(ms.Tensor(batch[0][:1]))]
    decoder = dict(boxes=default_boxes(config.boxes), scales=config.boxes.prior_scaling,
                   softmax=config.softmax)
    with open(path, 'wb') as file:
        pickle.dump(dict(network=described, batch=batch, answers=answers, decoder=decoder,
                         loss=dict(gamma=config.loss.gamma, alpha=config.loss.alpha)), file)
