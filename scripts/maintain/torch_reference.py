"""Prints what torchvision's backbones answer to seeded weights: the numbers that 02_backbones compares ours with.

Needs torch and torchvision, in an environment of their own; ssd_nb needs neither.
"""
from zlib import crc32

import numpy as np
import torch
from torchvision.models import mobilenet_v2, resnet50, vgg16_bn


def filling(name, shape):
    "An array from a generator that is seeded by its name"
    draw, kind = np.random.default_rng(crc32(name.encode())), name.split('.')[-1]
    if kind == 'running_var' or kind == 'weight' and len(shape) == 1: return draw.uniform(0.5, 1.5, shape)
    return draw.normal(0, (1.5 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1, shape)


def fill(network):
    "Fills all but the classifier and the counters of batch norm"
    state = {name: a for name, a in network.state_dict().items()
             if not name.startswith(('classifier', 'fc')) and not name.endswith('num_batches_tracked')}
    state = {name: torch.tensor(filling(name, tuple(a.shape)).astype(np.float32)) for name, a in state.items()}
    network.load_state_dict(state, strict=False)
    return network.eval()


def feature_maps(x):
    "The maps that detectors take from each network"
    network = fill(mobilenet_v2())
    yield 'mobilenet_v2', [network.features[14].conv[0](network.features[:14](x)), network.features(x)]
    network = fill(resnet50())
    c3 = network.layer2(network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(x))))))
    c4 = network.layer3(c3)
    yield 'resnet50', [c3, c4, network.layer4(c4)]
    yield 'vgg16_bn', [fill(vgg16_bn()).features[:33](x)]


def main():
    x = torch.tensor(np.random.default_rng(5).normal(0, 1, (1, 3, 66, 96)).astype(np.float32))
    with torch.no_grad():
        for name, maps in feature_maps(x):
            for m in maps: print(name, tuple(m.shape), round(float(m.double().sum()), 4), [round(float(v), 5) for v in m[0, :4, 1, 2]])


if __name__ == '__main__':
    main()
