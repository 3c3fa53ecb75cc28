"""ssd300 and its loss in PyTorch, made cell by cell from ours with the same weights.

Something to compare the speed of a training step with.
"""
import torch
import torch.nn.functional as F
from torch import nn


def tensor(parameter): return torch.tensor(parameter.asnumpy())


class Conv(nn.Conv2d):
    "A convolution that pads as MindSpore's `same`: what is left over goes to the right and below"
    def forward(self, x):
        pads = []
        for size, window, step in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            zeros = max((-(-size // step) - 1) * step + window - size, 0)
            pads += [zeros // 2, zeros - zeros // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return F.conv2d(x, self.weight, self.bias, self.stride, (pads[2], pads[0]), 1, self.groups)
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def conv(cell):
    made = Conv(cell.in_channels, cell.out_channels, cell.kernel_size, cell.stride, groups=cell.group,
                bias=cell.has_bias)
    made.weight.data = tensor(cell.weight)
    if cell.has_bias: made.bias.data = tensor(cell.bias)
    return made


def norm(cell):
    made = nn.BatchNorm2d(cell.num_features, cell.eps,
                          1 - cell.momentum) # PyTorch counts the new part, MindSpore the old
    made.weight.data, made.bias.data = tensor(cell.gamma), tensor(cell.beta)
    return made


class Residual(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.conv, self.last, self.shortcut = translate(cell.conv), translate(cell.last), cell.shortcut

    def forward(self, x):
        y = self.conv(x)
        return self.last(x + y if self.shortcut else y)


def translate(cell):
    "The PyTorch module that computes what a MindSpore cell does"
    kind = type(cell).__name__
    if kind in ('Conv2d', 'DepthwiseConv2d'): return conv(cell)
    if kind == 'BatchNorm2d': return norm(cell)
    if kind in ('ReLU6', '_ReLU6'): return nn.ReLU6(inplace=True)
    if kind == 'Identity': return nn.Identity()
    if kind == 'ConvBNReLU': return translate(cell.features)
    if kind == 'InvertedResidual': return Residual(cell)
    if kind in ('SequentialCell', 'Chain'): return nn.Sequential(*map(translate, cell))
    if kind == 'CellList': return nn.ModuleList(map(translate, cell))
    raise TypeError(f'{kind} has no translation')


class SSD300(nn.Module):
    "Our ssd300, images (B, 3, H, W) to offsets (B, boxes, 4) and logits (B, boxes, classes)"
    def __init__(self, network):
        super().__init__()
        backbone, heads = network.backbone, network.multi_box
        self.first, self.expand, self.second = map(translate,
                                                   (backbone.features_1, backbone.expand_layer_conv_13,
                                                    backbone.features_2))
        self.extras, self.loc, self.cls = map(translate,
                                              (network.multi_residual, heads.multi_loc_layers,
                                               heads.multi_cls_layers))
        self.classes = heads.num_classes

    def forward(self, x):
        x = self.first(x)
        maps = [self.expand(x), self.second(x)]
        for block in self.extras: maps.append(block(maps[-1]))
        flat = lambda heads, n: torch.cat([h(m).permute(0, 2, 3, 1).reshape(len(x), -1, n) for h,
                                           m in zip(heads, maps)], 1)
        return flat(self.loc, 4), flat(self.cls, self.classes)


def ssd_loss(loc, cls, gt_loc, gt_label, num_matched, gamma=2.0, alpha=0.75):
    "Sigmoid focal loss + smooth L1 per matched box, as 04_loss"
    matched, count = (gt_label > 0).float()[..., None], num_matched.sum().clamp(min=1)
    one_hot = F.one_hot(gt_label.long(), cls.shape[-1]).float()
    wrong = cls * (1 - 2 * one_hot)
    cross_entropy = F.softplus(wrong)
    weight = (1 - alpha) + (2 * alpha - 1) * one_hot
    focal = weight * torch.exp(gamma * (wrong - cross_entropy)) * cross_entropy
    return (F.smooth_l1_loss(loc, gt_loc, reduction='none') * matched).sum() / count + focal.sum() / count
