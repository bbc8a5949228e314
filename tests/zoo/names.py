"""What others call the networks of the zoo: package or paper → its names, as it spells them."""

from dorsal.zoo import small

NAMES: dict[str, tuple[str, ...]] = {
    "timm": (
        *(f"resnet{n}" for n in (18, 26, 34, 50, 101, 152, 200)),
        *(f"resnet{n}c" for n in (50, 101, 152)),
        *(f"resnet{n}d" for n in (18, 26, 34, 50, 101, 152, 200)),
        *("wide_resnet50_2", "wide_resnet101_2"),
        *("resnext50_32x4d", "resnext50d_32x4d"),
        *(f"resnext101_{width}" for width in ("32x4d", "32x8d", "32x16d", "32x32d", "64x4d")),
        *(f"seresnet{n}" for n in ("50", "101", "152", "152d", "200d")),
        *(f"seresnext{n}" for n in ("50_32x4d", "101_32x4d", "101_32x8d", "101_64x4d", "101d_32x8d")),
        *("skresnet18", "skresnet34", "skresnet50", "skresnet50d", "skresnext50_32x4d"),
        *("resnest14d", "resnest26d", "resnest50d", "resnest101e", "resnest200e", "resnest269e"),
        *("resnest50d_1s4x24d", "resnest50d_4s2x40d"),
        *(f"res2net50_{setting}" for setting in ("14w_8s", "26w_4s", "26w_6s", "26w_8s", "48w_2s")),
        *("res2net101_26w_4s", "res2net50d", "res2net101d", "res2next50"),
        *("dla60", "dla60_res2net", "dla60_res2next"),
        *(f"regnetx_{n}" for n in ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")),
        *(f"regnety_{n}" for n in ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")),
        *("regnety_640", "regnety_1280", "regnety_2560"),
        *("regnetx_004_tv", "regnety_008_tv", "regnety_080_tv"),
        *("regnetz_005", "regnetz_040", "regnetz_040_h"),
    ),
    "earlier timm": ("regnetz_040h",),
    "torchvision": (
        *(f"resnet{n}" for n in (18, 34, 50, 101, 152)),
        *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
        *(f"regnet_x_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
        *(f"regnet_y_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf", "128gf")),
    ),
    "pycls": (
        *(f"RegNet{kind}-{size}MF" for kind in "XY" for size in (200, 400, 600, 800)),
        *(f"RegNet{kind}-{size}GF" for kind in "XY" for size in ("1.6", "3.2", "4.0", "6.4", "8.0", "12", "16", "32")),
        *(f"{family}-{n}" for family in ("ResNet", "ResNeXt") for n in (50, 101, 152)),
        *(config for n in (50, 101, 152) for config in (f"R-{n}-1x64d", f"X-{n}-32x4d")),
    ),
    "resnest": (  # the authors' package
        *(f"resnest{n}" for n in (50, 101, 200, 269)),
        *(f"resnest50_fast_{s}" for s in ("1s1x64d", "2s1x64d", "4s1x64d", "1s2x40d", "2s2x40d", "4s2x40d", "1s4x24d")),
    ),
    "ResNeSt for Gluon": tuple(f"resnest{n}" for n in (14, 26, 50, 101, 200, 269)),
    "PyTorch-Encoding": ("resnest50", "resnest50_fast", "resnest101", "resnest101_fast", "resnest200", "resnest269"),
    "res2net": (  # functions, files and the table of the authors' README
        *("res2net50", "res2net101", "res2net101_26w_4s", "Res2Net-101-26w-4s"),
        *(f"res2net50_{setting}" for setting in ("48w_2s", "26w_4s", "14w_8s", "26w_6s", "26w_8s")),
        *(f"Res2Net-50-{setting}" for setting in ("48w-2s", "26w-4s", "14w-8s", "26w-6s", "26w-8s", "18w-6s")),
        *("res2next50", "res2next50_4s", "Res2NeXt-50"),
        *("res2net_dla60", "res2net_dla60_4s", "Res2Net-DLA-60"),
        *("res2next_dla60", "res2next_dla60_4s", "Res2NeXt-DLA-60"),
        *(f"res2net{n}_v1b{setting}" for n in (50, 101, 152) for setting in ("", "_26w_4s")),
        *("Res2Net-v1b-50", "Res2Net-v1b-101", "Res2Net-v1d-200"),
        *(f"res2net{n}_v1d" for n in (50, 101, 200)),
    ),
    "PaddleClas": tuple(f"Res2Net{n}_vd_26w_4s" for n in (50, 101, 200)),
    "MMPretrain": (
        *(f"resnet{n}" for n in (18, 34, 50, 101, 152)),
        *(f"resnetv1{kind}{n}" for kind in "cd" for n in (50, 101, 152)),
        *(f"resnext{n}" for n in ("50-32x4d", "101-32x4d", "101-32x8d", "152-32x4d")),
        *("seresnet50", "seresnet101", "seresnext50-32x4d", "seresnext101-32x4d", "wide-resnet50", "wide-resnet101"),
        *(f"resnest{n}" for n in (50, 101, 200, 269)),
        *("res2net50-w14-s8", "res2net50-w26-s8", "res2net101-w26-s4"),
        *(f"regnetx-{size}" for size in ("400mf", "800mf", "1.6gf", "3.2gf", "4.0gf", "6.4gf", "8.0gf", "12gf")),
    ),
    "arXiv 1512.03385": ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"),
    "SEER and SWAG": ("RegNetY-64GF", "RegNetY-128GF", "RegNetY-256GF"),
}

UNPUBLISHED = {
    **dict.fromkeys(small.NETWORKS, "ours, small forms of the families"),
    "resnest200_dcn": "of published COCO results, under no name of its own",
    "res2next101": "Res2NeXt-50's block at the depths of -101, of which no figures are published",
    **{f"res2netplus{n}": "lessw2020/res2net-plus, which has one function for all depths" for n in (50, 101, 152)},
    "res2netplus50_aliased": "the same with the bug of the published code",
}
"""Networks that nobody else has a name for, and where they are from."""
