"""RegNetX and RegNetY (arXiv 2003.13678), the 24 published designs, and what others added to them.

Design numbers are those of pycls's configs (configs/dds_baselines); the paper's figures print them rounded. Bottleneck
ratio 1, stem of one 3x3 with 32 channels, every stage strided; Y adds squeeze-and-excitation after the 3x3, a quarter
of the block's *input* wide. Names are timm's (`regnety_032`); pycls's (`RegNetY-3.2GF`), torchvision's
(`regnet_y_3_2gf`) and MMPretrain's are accepted too. torchvision rounds widths so that none loses more than 10 %, which
changes three designs: `_tv`; the torchvision names mean those. Y at 64, 128 and 256 GF are from SEER and SWAG. RegNetZ
(arXiv 2103.06877) is as timm has it and was not published by its authors: inverted bottlenecks, no shortcut where the
shape changes, linear outputs.
"""

from __future__ import annotations

from dorsal.spec.block import Bottleneck, Conv, IdentityOnly, SqueezeExcite
from dorsal.spec.network import Network
from dorsal.spec.stage import Head, Stage
from dorsal.spec.stem import Simple
from dorsal.spec.widths import compatible_group_width, regnet_stages

SE = SqueezeExcite(ratio=0.25, reference="input", position="after_mixer")

# name, pycls name, depth, w0, wa, wm, group width
_X = (
    ("002", "200MF", 13, 24, 36.44, 2.49, 8),
    ("004", "400MF", 22, 24, 24.48, 2.54, 16),
    ("006", "600MF", 16, 48, 36.97, 2.24, 24),
    ("008", "800MF", 16, 56, 35.73, 2.28, 16),
    ("016", "1.6GF", 18, 80, 34.01, 2.25, 24),
    ("032", "3.2GF", 25, 88, 26.31, 2.25, 48),
    ("040", "4.0GF", 23, 96, 38.65, 2.43, 40),
    ("064", "6.4GF", 17, 184, 60.83, 2.07, 56),
    ("080", "8.0GF", 23, 80, 49.56, 2.88, 120),
    ("120", "12GF", 19, 168, 73.36, 2.37, 112),
    ("160", "16GF", 22, 216, 55.59, 2.1, 128),
    ("320", "32GF", 23, 320, 69.86, 2.0, 168),
)
_Y = (
    ("002", "200MF", 13, 24, 36.44, 2.49, 8),
    ("004", "400MF", 16, 48, 27.89, 2.09, 8),
    ("006", "600MF", 15, 48, 32.54, 2.32, 16),
    ("008", "800MF", 14, 56, 38.84, 2.4, 16),
    ("016", "1.6GF", 27, 48, 20.71, 2.65, 24),
    ("032", "3.2GF", 21, 80, 42.63, 2.66, 24),
    ("040", "4.0GF", 22, 96, 31.41, 2.24, 64),
    ("064", "6.4GF", 25, 112, 33.22, 2.27, 72),
    ("080", "8.0GF", 17, 192, 76.82, 2.19, 56),
    ("120", "12GF", 19, 168, 73.36, 2.37, 112),
    ("160", "16GF", 18, 200, 106.23, 2.48, 112),
    ("320", "32GF", 20, 232, 115.89, 2.53, 232),
    ("640", "64GF", 20, 352, 147.48, 2.4, 328),
    ("1280", "128GF", 27, 456, 160.83, 2.52, 264),
    ("2560", "256GF", 27, 640, 230.83, 2.53, 373),
)


def regnet(
    depth: int,
    w0: int,
    wa: float,
    wm: float,
    group_width: int,
    attention: SqueezeExcite | None = None,
    max_loss: float = 1.0,
) -> Network:
    """The RegNet of these design numbers (paper section 3.3), with group widths made to fit as pycls does.

    `max_loss` is the share of a width that fitting may take away: torchvision's rule has 0.1.
    """
    stages = []
    for width, count in zip(*regnet_stages(w0, wa, wm, depth), strict=True):
        fitting, fitted = compatible_group_width(width, group_width, max_loss=max_loss)
        stages.append(Stage(count, fitting, block=Bottleneck(Conv(group_width=fitted), attention, expansion=1)))
    return Network(tuple(stages), Simple())


def _regnetz(depth: int, w0: int, wa: float, wm: float, group_width: int, head_width: int | None) -> Network:
    stages = []
    for width, count in zip(*regnet_stages(w0, wa, wm, depth), strict=True):
        fitting, fitted = compatible_group_width(width, group_width, expansion=0.25)
        block = Bottleneck(Conv(group_width=fitted), SE, IdentityOnly(), expansion=0.25, output="linear")
        stages.append(Stage(count, fitting, block=block))
    return Network(tuple(stages), Simple(), Head(width=head_width), activation="silu")


NETWORKS = {
    **{f"regnetx_{name}": regnet(d, w0, wa, wm, g) for name, _, d, w0, wa, wm, g in _X},
    **{f"regnety_{name}": regnet(d, w0, wa, wm, g, SE) for name, _, d, w0, wa, wm, g in _Y},
    "regnetx_004_tv": regnet(22, 24, 24.48, 2.54, 16, max_loss=0.1),
    "regnety_008_tv": regnet(14, 56, 38.84, 2.4, 16, SE, max_loss=0.1),
    "regnety_080_tv": regnet(17, 192, 76.82, 2.19, 56, SE, max_loss=0.1),
    "regnetz_005": _regnetz(21, 16, 10.7, 2.51, 4, 1024),
    "regnetz_040": _regnetz(28, 48, 14.5, 2.226, 8, None),
    "regnetz_040_h": _regnetz(28, 48, 14.5, 2.226, 8, 1536),
}
# the sizes torchvision has; its rounding would change 4 GF too, which it has not
_TORCHVISION = ("400MF", "800MF", "1.6GF", "3.2GF", "8.0GF", "16GF", "32GF", "128GF")
_FLOPS = [(kind, name, flops) for kind, table in (("x", _X), ("y", _Y)) for name, flops, *_ in table]
ALIASES = {
    **{f"regnet{kind}-{flops.lower()}": f"regnet{kind}_{name}" for kind, name, flops in _FLOPS},
    **{
        f"regnet_{kind}_{flops.lower().replace('.0', '').replace('.', '_')}": f"regnet{kind}_{name}"
        for kind, name, flops in _FLOPS
        if flops in _TORCHVISION
    },
    "regnet_x_400mf": "regnetx_004_tv",
    "regnet_y_800mf": "regnety_008_tv",
    "regnet_y_8gf": "regnety_080_tv",
    "regnetz_040h": "regnetz_040_h",
}
