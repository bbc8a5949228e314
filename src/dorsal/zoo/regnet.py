"""RegNetX and RegNetY (arXiv 2003.13678), the 24 published designs.

Design numbers are those of pycls's configs (configs/dds_baselines); the paper's figures print them rounded. Bottleneck
ratio 1, stem of one 3x3 with 32 channels, every stage strided; Y adds squeeze-and-excitation after the 3x3, a quarter
of the block's *input* wide. Names are timm's (`regnety_032`); pycls's (`RegNetY-3.2GF`) are accepted too.
"""

from dorsal.spec.block import Bottleneck, Conv, SqueezeExcite
from dorsal.spec.network import Network, Stage
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
)


def regnet(
    depth: int, w0: int, wa: float, wm: float, group_width: int, attention: SqueezeExcite | None = None
) -> Network:
    """The RegNet of these design numbers (paper section 3.3), with group widths made to fit as pycls does."""
    stages = []
    for width, count in zip(*regnet_stages(w0, wa, wm, depth), strict=True):
        fitting, fitted = compatible_group_width(width, group_width)
        stages.append(Stage(count, fitting, block=Bottleneck(Conv(group_width=fitted), attention, expansion=1)))
    return Network(tuple(stages), Simple())


NETWORKS = {
    **{f"regnetx_{name}": regnet(d, w0, wa, wm, g) for name, _, d, w0, wa, wm, g in _X},
    **{f"regnety_{name}": regnet(d, w0, wa, wm, g, SE) for name, _, d, w0, wa, wm, g in _Y},
}
ALIASES = {
    **{f"regnetx-{pycls.lower()}": f"regnetx_{name}" for name, pycls, *_ in _X},
    **{f"regnety-{pycls.lower()}": f"regnety_{name}" for name, pycls, *_ in _Y},
}
