"""Networks written out by hand, where no package to compare with can be installed. Plain and slow on purpose.

Modules stand in the order of ours, so states correspond by position.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

LAYOUTS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class CifarBlock(nn.Module):
    """arXiv 1512.03385 section 4.2, shortcut A: every second position, zeros for the channels that are not there."""

    def __init__(self, w_in, w_out):
        super().__init__()
        self.conv1 = nn.Conv2d(w_in, w_out, 3, 1 if w_in == w_out else 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(w_out)
        self.conv2 = nn.Conv2d(w_out, w_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(w_out)

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if y.shape != x.shape:
            x = x[:, :, ::2, ::2]
            zeros = x.new_zeros(x.shape[0], x.shape[1] // 2, *x.shape[2:])
            x = torch.cat((zeros, x, zeros), 1)
        return (x + y).relu()


class CifarResNet(nn.Module):
    """6n + 2 layers."""

    def __init__(self, layers):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16] + [width for width in (16, 32, 64) for _ in range((layers - 2) // 6)]
        self.blocks = nn.Sequential(*(CifarBlock(*pair) for pair in pairwise(widths)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(self.blocks(self.bn(self.conv(x)).relu()).mean((2, 3)))


class Res2NetPlusBlock(nn.Module):
    """4 groups of `26 * planes / 64` channels; activation before norm after the first 1x1, after it elsewhere."""

    def __init__(self, w_in, planes, stride, first, aliased):
        super().__init__()
        width, w_out = 26 * planes // 64, 4 * planes
        self.first, self.aliased, self.stride = first, aliased, stride
        self.conv1, self.bn1 = nn.Conv2d(w_in, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        pairs = ((nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)) for _ in range(3))
        self.scales = nn.ModuleList(nn.Sequential(*pair) for pair in pairs)
        self.conv3, self.bn3 = nn.Conv2d(4 * width, w_out, 1, bias=False), nn.BatchNorm2d(w_out)
        shortcut = (nn.Conv2d(w_in, w_out, 1, stride, bias=False), nn.BatchNorm2d(w_out)) if first else ()
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x):
        groups = self.bn1(F.mish(self.conv1(x))).chunk(4, 1)
        outputs = []
        for index, scale in enumerate(self.scales):
            if index == 0 or self.first:
                y = groups[index]
            elif index == 1 and self.aliased:
                y = outputs[0]
                y += groups[1]  # in place: the output that is already kept changes with it
            else:
                y = outputs[-1] + groups[index]
            outputs.append(F.mish(scale(y)))
        last = F.avg_pool2d(groups[3], 3, self.stride, 1) if self.first else groups[3]
        return F.mish(self.bn3(self.conv3(torch.cat((*outputs, last), 1))) + self.shortcut(x))


class Res2NetPlus(nn.Module):
    """lessw2020/res2net-plus from its description: Mish, and convolution, activation, norm in a stem of three 3x3."""

    def __init__(self, layers, aliased):
        super().__init__()
        sizes = ((3, 32, 2), (32, 64, 1), (64, 64, 1))
        self.stem = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(w_in, w_out, 3, stride, 1, bias=False), nn.Mish(), nn.BatchNorm2d(w_out))
                for w_in, w_out, stride in sizes
            )
        )
        blocks, w_in = [], 64
        for stage, depth in enumerate(LAYOUTS[layers]):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Res2NetPlusBlock(w_in, 64 * 2**stage, stride, index == 0, aliased))
                w_in = 256 * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x):
        return self.fc(self.blocks(F.max_pool2d(self.stem(x), 3, 2, 1)).mean((2, 3)))


class DeformConv(nn.Module):
    """A modulated deformable 3x3 convolution (arXiv 1811.11168) of stride 1, tap by tap with `grid_sample`.

    Offsets are (y, x) for each of 9 taps in each offset group, then a mask for each tap in each group.
    """

    def __init__(self, conv, offset_groups):
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().clone())
        self.offset = nn.Conv2d(conv.in_channels, 27 * offset_groups, 3, 1, 1, groups=offset_groups)
        self.groups, self.offset_groups = conv.groups, offset_groups

    def forward(self, x):
        count, (height, width) = self.offset_groups, x.shape[2:]
        shifts, masks = self.offset(x).split((18 * count, 9 * count), 1)
        shifts, masks = shifts.unflatten(1, (count, 9, 2)), masks.sigmoid().unflatten(1, (count, 9))
        rows = torch.arange(height, dtype=x.dtype)[:, None]
        columns = torch.arange(width, dtype=x.dtype)[None]
        total = 0
        for tap in range(9):
            parts = []
            for group, part in enumerate(x.chunk(count, 1)):
                y = rows + tap // 3 - 1 + shifts[:, group, tap, 0]
                across = columns + tap % 3 - 1 + shifts[:, group, tap, 1]
                # pixel p is at (2p + 1) / size - 1 where align_corners is False
                grid = torch.stack(((2 * across + 1) / width - 1, (2 * y + 1) / height - 1), -1)
                sampled = F.grid_sample(part, grid, align_corners=False)
                parts.append(sampled * masks[:, group, tap, None])
            weight = self.weight[:, :, tap // 3, tap % 3, None, None]
            total = total + F.conv2d(torch.cat(parts, 1), weight, groups=self.groups)
        return total
