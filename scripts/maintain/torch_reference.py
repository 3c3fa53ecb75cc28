"""Prints what torchvision's backbones answer to seeded weights, as plumbing/weights compares it with ours.

Needs torch and torchvision, in an environment of their own; ssd_nb needs neither.
"""
from zlib import crc32

import numpy as np
import torch
from torchvision.models import mobilenet_v2, resnet50, vgg16_bn


def draw_array(name, shape):
    "An array from a generator that is seeded by its name"
    draw, kind = np.random.default_rng(crc32(name.encode())), name.split('.')[-1]
    if kind == 'running_var' or kind == 'weight' and len(shape) == 1: return draw.uniform(0.5, 1.5, shape)
    return draw.normal(0, (1.5 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1, shape)


def fill_network(network):
    "Fills all but the classifier and the counters of batch norm"
    names = [name for name in network.state_dict()
             if not name.startswith(('classifier', 'fc')) and not name.endswith('num_batches_tracked')]
    shapes = {name: tuple(network.state_dict()[name].shape) for name in names}
    state = {name: torch.tensor(draw_array(name, shape).astype(np.float32)) for name, shape in shapes.items()}
    network.load_state_dict(state, strict=False)
    return network.eval()


def make_maps(x):
    "The maps that detectors take from each network"
    network = fill_network(mobilenet_v2())
    yield 'mobilenet_v2', [network.features[14].conv[0](network.features[:14](x)), network.features(x)]
    network = fill_network(resnet50())
    c3 = network.layer2(network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(x))))))
    c4 = network.layer3(c3)
    yield 'resnet50', [c3, c4, network.layer4(c4)]
    yield 'vgg16_bn', [fill_network(vgg16_bn()).features[:33](x)]


def main():
    x = torch.tensor(np.random.default_rng(5).normal(0, 1, (1, 3, 66, 96)).astype(np.float32))
    with torch.no_grad():
        for name, maps in make_maps(x):
            for m in maps:
                cell = [round(float(v), 5) for v in m[0, :4, 1, 2]]
                print(name, tuple(m.shape), round(float(m.double().sum()), 4), cell)


if __name__ == '__main__':
    main()
