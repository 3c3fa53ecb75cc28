"""Our networks and their loss in PyTorch, made cell by cell with the same weights, to compare speed with.

Knows nothing of MindSpore: `bench_networks.py` has described the network in a file. Before anything is timed,
both must give the same answers (`check_same`).
"""
import pickle

import torch
import torch.nn.functional as F
from torch import nn


def tensor(array): return torch.tensor(array)


def find_zeros(size, window, step): # as MindSpore's `same`: what is left over goes to the right and below
    zeros = max((-(-size // step) - 1) * step + window - size, 0)
    return zeros // 2, zeros - zeros // 2


def find_pads(x, p, windows): # left, right, above, below, as `F.pad` takes them; p: a cell's plain attributes
    if p['pad_mode'] == 'pad':
        given = p['padding'] if isinstance(p['padding'], tuple) else (p['padding'],) * 4
        return [*given[2:], *given[:2]]
    if p['pad_mode'] == 'valid': return [0] * 4
    sides = zip(x.shape[:1:-1], windows[::-1], p['stride'][::-1])
    return [zeros for side in sides for zeros in find_zeros(*side)]


class Conv(nn.Conv2d):
    def __init__(self, plain, arrays):
        p = plain
        super().__init__(p['in_channels'], p['out_channels'], p['kernel_size'], p['stride'],
                         groups=p['group'], dilation=p['dilation'], bias=p['has_bias'])
        self.plain, self.weight.data = p, tensor(arrays['weight'])
        if p['has_bias']: self.bias.data = tensor(arrays['bias'])

    def forward(self, x):
        windows = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size)]
        left, right, above, below = pads = find_pads(x, self.plain, windows)
        even = left == right and above == below
        if not even: x = F.pad(x, pads)
        zeros = (above, left) if even else 0
        return F.conv2d(x, self.weight, self.bias, self.stride, zeros, self.dilation, self.groups)


class MaxPool(nn.Module):
    def __init__(self, plain):
        super().__init__()
        self.plain = plain

    def forward(self, x):
        p = self.plain
        size, step = (v if isinstance(v, tuple) else (v, v) for v in (p['kernel_size'], p['stride']))
        left, right, above, below = pads = find_pads(x, {**p, 'stride': step}, size)
        even = left == right and above == below
        if not even: x = F.pad(x, pads, value=float('-inf'))
        return F.max_pool2d(x, size, step, (above, left) if even else 0)


def norm(plain, arrays):
    made = nn.BatchNorm2d(plain['num_features'], plain['eps'],
                          1 - plain['momentum']) # PyTorch counts the new part, MindSpore the old
    made.weight.data, made.bias.data = tensor(arrays['gamma']), tensor(arrays['beta'])
    return made


class Part(nn.Module):
    "A cell with cells in it; `forward` says what it does with them"
    def __init__(self, described, known):
        super().__init__()
        self.plain = described['plain']
        for name, part in described['parts'].items(): setattr(self, name, translate(part, known))


class Residual(Part):
    def forward(self, x):
        y = self.conv(x)
        return self.last(x + y if self.plain['shortcut'] else y)


class Bottleneck(Part):
    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + self.down_sample_layer(x))


class MobileNetV2(Part):
    def forward(self, x):
        x = self.features_1(x)
        return [self.expand_layer_conv_13(x), self.features_2(x)]


class MobileNetV1(Part):
    def forward(self, x):
        maps = []
        for i, layer in enumerate(self.network):
            x = layer(x)
            if i in (10, 22, 26): maps.append(x)
        return maps


class VGG16(Part):
    def forward(self, x):
        x = self.pool2(self.b2(self.pool1(self.b1(x))))
        fine = self.b4(self.pool3(self.b3(x)))
        return fine, self.pool5(self.b5(self.pool4(fine)))


class ResNet50(Part):
    def forward(self, x):
        c2 = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c3, c4, self.layer4(c4)


def double_axis(x, axis): # bilinear, corners not aligned, pixels not at half
    length = x.shape[axis]
    behind = torch.cat([x.narrow(axis, 1, length - 1), x.narrow(axis, length - 1, 1)], axis)
    shape = list(x.shape)
    shape[axis] *= 2
    return torch.stack([x, (x + behind) / 2], axis + 1).reshape(shape)


class Pyramid(Part):
    def forward(self, maps):
        x = self.lateral_convs_list[2](maps[2])
        out = [self.fpn_convs_list[2](x)]
        for i in (1, 0):
            side = self.lateral_convs_list[i](maps[i])
            x = side + double_axis(double_axis(x, 2), 3)[:, :, :side.shape[2], :side.shape[3]]
            out.insert(0, self.fpn_convs_list[i](x))
        return out


class BottomUp(Part):
    def forward(self, x):
        x = self.blocks[0](x)
        return [x, self.blocks[1](x)]


class Extractor(Part):
    def forward(self, x):
        maps = self.fpn(getattr(self, self.plain['extractor'])(x))
        return maps + self.bottom_up(maps[-1])


class Inside(Part):
    "A cell that holds a chain"
    def forward(self, x): return self.features(x)


def flatten(answers, n): return torch.cat([a.permute(0, 2, 3, 1).reshape(len(a), -1, n) for a in answers], 1)


class MultiBox(Part):
    def forward(self, maps):
        heads = self.multi_loc_layers, self.multi_cls_layers
        numbers = 4, self.plain['num_classes']
        return tuple(flatten([h(m) for h, m in zip(each, maps)], n) for each, n in zip(heads, numbers))


class SharedMultiBox(Part):
    def forward(self, maps):
        loc = [self.loc_layers[0](tower(m)) for tower, m in zip(self.addition_layer_loc, maps)]
        cls = [self.cls_layers[0](tower(m)) for tower, m in zip(self.addition_layer_cls, maps)]
        return flatten(loc, 4), flatten(cls, self.plain['num_classes'])


class SSDMobileNetV2(Part):
    def forward(self, x):
        maps = self.backbone(x)
        for block in self.multi_residual: maps.append(block(maps[-1]))
        return self.multi_box(maps)


class SSDVGG16(Part):
    def forward(self, x):
        fine, x = self.backbone(x)
        maps = [self.l2_norm(fine), self.drop(self.act(self.b7_1(self.drop(self.act(self.b6_1(x))))))]
        for number in (8, 9, 10, 11):
            one, two = (getattr(self, f'b{number}_{i}') for i in (1, 2))
            maps.append(self.act(two(self.act(one(maps[-1])))))
        return self.multi_box(maps)


class SSDFPN(Part):
    def forward(self, x): return self.multi_box(self.feature_extractor(x))


PARTS = dict(InvertedResidual=Residual, _Bottleneck=Bottleneck, MobileNetV2=MobileNetV2,
             MobileNetV1=MobileNetV1, VGG16=VGG16, ResNet50=ResNet50,
             _FPN=Pyramid, _BottomUp=BottomUp, _Pyramid=Extractor,
             ConvBNReLU=Inside, _SharedConv=Inside, _MultiBox=MultiBox, _SharedMultiBox=SharedMultiBox,
             SSDMobileNetV2=SSDMobileNetV2, SSDVGG16=SSDVGG16, SSDFPN=SSDFPN)


def translate(described, known=None):
    "The PyTorch module that computes what a described cell does; a cell that is used twice is one module"
    known = {} if known is None else known
    if id(described) not in known: known[id(described)] = _translate_new(described, known)
    return known[id(described)]


def _translate_new(described, known):
    kind, plain, arrays = described['kind'], described['plain'], described['arrays']
    if kind in PARTS: return PARTS[kind](described, known)
    if kind in ('Conv2d', 'DepthwiseConv2d'): return Conv(plain, arrays)
    if kind == 'BatchNorm2d': return norm(plain, arrays)
    if kind == 'MaxPool2d': return MaxPool(plain)
    if kind in ('ReLU6', '_ReLU6'): return nn.ReLU6(inplace=True)
    if kind == 'ReLU': return nn.ReLU(inplace=True)
    if kind == '_Dropout': return nn.Dropout(plain['p'])
    if kind == 'Identity': return nn.Identity()
    if kind in ('SequentialCell', 'Chain', 'CellList'):
        made = [translate(part, known) for part in described['parts'].values()]
        return nn.ModuleList(made) if kind == 'CellList' else nn.Sequential(*made)
    raise TypeError(f'{kind} has no translation')


def ssd_loss(loc, cls, gt_loc, gt_label, num_matched, gamma, alpha):
    "Sigmoid focal loss + smooth L1 per matched box, as 04_loss"
    matched, count = (gt_label > 0).float()[..., None], num_matched.sum().clamp(min=1)
    one_hot = F.one_hot(gt_label.long(), cls.shape[-1]).float()
    wrong = cls * (1 - 2 * one_hot)
    cross_entropy = F.softplus(wrong)
    weight = (1 - alpha) + (2 * alpha - 1) * one_hot
    focal = weight * torch.exp(gamma * (wrong - cross_entropy)) * cross_entropy
    return (F.smooth_l1_loss(loc, gt_loc, reduction='none') * matched).sum() / count + focal.sum() / count


def check_same(network, images, answers, least=1e-3):
    "Raises if PyTorch's answers to images differ by more than a thousandth of the largest number"
    with torch.inference_mode(): found = network.eval()(images[:1])
    for ours, its in zip(map(tensor, answers), found):
        difference = float((ours - its).abs().max() / ours.abs().max())
        if not difference <= least:
            raise SystemExit(f'the network of PyTorch is not ours: answers differ by {difference:.2g} of the '
                             'largest')


def open_network(path, threads, channels_last):
    "Network that answers as ours does, images, targets, and what else the file holds"
    torch.set_num_threads(threads)
    with open(path, 'rb') as file: content = pickle.load(file)
    order = dict(memory_format=torch.channels_last) if channels_last else {}
    network = translate(content['network']).to(**order)
    image, *targets = map(tensor, content['batch'])
    image = image.contiguous(**order)
    check_same(network, image, content['answers'])
    return network, image, targets, content


def make_step(path, threads=2, channels_last=False):
    "A function that takes a training step and returns the loss"
    network, image, targets, content = open_network(path, threads, channels_last)
    optimizer = torch.optim.SGD(network.train().parameters(), 0.01, momentum=0.9, weight_decay=1.5e-4)
    def step():
        optimizer.zero_grad()
        loss = ssd_loss(*network(image), *targets, **content['loss'])
        loss.backward()
        optimizer.step()
        return float(loss.detach())
    return step


def make_answer(path, threads=2, channels_last=True):
    "A function that answers to one image: boxes and scores, decoded"
    network, image, _, content = open_network(path, threads, channels_last)
    decoder = content['decoder']
    centre, size = tensor(decoder['boxes'])[None].split(2, -1)
    by_centre, by_size = decoder['scales']
    def run():
        with torch.inference_mode():
            loc, cls = network(image)
            middle = loc[..., :2] * by_centre * size + centre
            half = torch.exp(loc[..., 2:] * by_size) * size / 2
            boxes = torch.cat([middle - half, middle + half], -1).clamp(0, 1)
            return boxes.numpy(), (cls.softmax(-1) if decoder['softmax'] else cls.sigmoid()).numpy()
    return run
