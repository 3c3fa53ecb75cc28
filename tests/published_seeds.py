"""Weights, an image and places in the answers that anyone can make again: what recorded numbers belong to."""
import os
import zlib

import numpy as np

UNDAMPED = 'UNDAMPED' in os.environ # to see what rounding does where numbers grow

PARTS = {'head.classification': 0.3, 'head.regression': 0.1} # of torchvision, whose heads have no norm


def draw_array(name, shape):
    "The array of this name, float32: a convolution is (out, in, H, W), a depthwise one (C, 1, H, W)"
    return _draw(name, shape) * np.float32(PARTS.get(name.partition('_head')[0], 1))


def _draw(name, shape):
    draw, kind = np.random.default_rng(zlib.crc32(name.encode())), name.replace('/', '.').rpartition('.')[2]
    if name.endswith('bn3.gamma') and not UNDAMPED: # the last of a ResNet's block: sums would grow
        return np.float32(draw.uniform(0.1, 0.3, shape))
    if kind in ('gamma', 'moving_variance', 'running_var'): return np.float32(draw.uniform(0.5, 1.5, shape))
    gain = 2 if UNDAMPED else 1.4
    if len(shape) == 4: return np.float32(draw.normal(0, (gain / np.prod(shape[1:])) ** 0.5, shape))
    if kind == 'scale_weight': return np.float32(draw.uniform(15, 25, shape))
    return np.float32(draw.normal(0, 0.1, shape))


def draw_images(shape=(300, 300)):
    "One image: (1, h, w, 3) uint8"
    coarse = np.random.default_rng(7).integers(0, 256, (1, 10, 10, 3))
    fine = coarse.repeat(-(-shape[0] // 10), 1).repeat(-(-shape[1] // 10), 2)
    return fine[:, :shape[0], :shape[1]].astype(np.uint8)


def pick_numbers(array, count=16):
    "So many numbers out of the answers for an image, spread over all default boxes and columns"
    places = np.random.default_rng(3).integers(0, array.size, count)
    return [float(f'{n:.8g}') for n in array.ravel()[places]]
