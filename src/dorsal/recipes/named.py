"""The named recipes: ours for small images, and the published ones, each with its meaning and its source. No torch."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from dorsal.recipes.recipe import Recipe


class NamedRecipe(NamedTuple):
    """A recipe, what it is for in a sentence, and where it comes from, with what deviates from there."""

    recipe: Recipe
    meaning: str
    source: str


_SMALL = Recipe(optimizer="adamw", lr=0.003, weight_decay=0.05)
_FINETUNE = Recipe(epochs=20, optimizer="adamw", lr=2e-4, weight_decay=0.05, crop="area", min_area=0.25)
_IMAGENET = Recipe(crop="area", warmup_epochs=0, decay_on="all")
_REGNET = replace(
    _IMAGENET,
    weight_decay=5e-5,
    lr_per="epoch",
    cosine_starts_at="start",
    lighting=0.1,
    precise_bn=8192,
)

CATALOG: dict[str, NamedRecipe] = {
    "plain": NamedRecipe(
        _SMALL,
        "For small images and few epochs, without tricks.",
        "Ours (docs/log.md). The batch is small, so that there are steps enough. By AdamW all families learn within "
        "the first epochs; by SGD, at a rate that suits one of them, others do not.",
    ),
    "tricks": NamedRecipe(
        replace(
            _SMALL,
            label_smoothing=0.05,
            mixup=0.1,
            auto_augment="randaugment",
            augment_ops=1,
            augment_magnitude=5,
            erasing=0.1,
            drop_path=0.02,
            ema=0.99,
        ),
        "plain with a mild dose of each trick: label smoothing, mixup, RandAugment, erasing, drop path, averaging.",
        "Ours (docs/log.md). Left out is zero_init, which cost more than it gave.",
    ),
    "finetune": NamedRecipe(
        replace(_FINETUNE, level_decay=0.75),
        "For a network that starts from weights, on a few thousand images: all of it learns, early levels slowly.",
        "Ours. AdamW with rates that fall from level to level by 0.75 as in Battle of the Backbones "
        "(arXiv 2310.19909) and BEiT (arXiv 2106.08254), which count every block and not every stage as a level; lr is "
        "1e-4 for 16 images.",
    ),
    "finetune-frozen-norm": NamedRecipe(
        replace(_FINETUNE, level_decay=0.75, norm="frozen"),
        "finetune with batch norms as the weights have them: for small batches, or images like those of the weights.",
        "Ours, with frozen norms as detectron2 has them (FrozenBN, facebookresearch/detectron2@02b5c4e).",
    ),
    "head": NamedRecipe(
        replace(_FINETUNE, batch=64, lr=2e-3, weight_decay=0.0, freeze="all"),
        "For a network that starts from weights: only its classifier learns.",
        "Ours: the linear evaluation of arXiv 1603.08511 section 3.2 by the training loop, augmentation included.",
    ),
    "dense": NamedRecipe(
        Recipe(epochs=8, batch=16, optimizer="adamw", lr=1e-3, weight_decay=0.05, clip=10.0),
        "For boxes, masks and maps of classes, from scratch on small images and few epochs.",
        "Ours (docs/log.md): plain with smaller batches and rate, and a clip, as first losses of detectors are large.",
    ),
    "detectron2-1x": NamedRecipe(
        Recipe(
            epochs=12,
            batch=16,
            optimizer="sgd",
            lr=0.02,
            weight_decay=1e-4,
            decay_on="all",
            schedule="steps",
            steps=(2 / 3, 8 / 9),
            warmup_epochs=0.136,
            warmup_from=0.001,
            freeze=2,
            norm="frozen",
            min_scale=0.8,
        ),
        "Detectors on COCO from ImageNet weights, on eight GPUs: stem, first stage and all norms stay as they are.",
        "configs/Base-RCNN-FPN.yaml and the 1x schedule of facebookresearch/detectron2@02b5c4e: 90,000 steps of 16 "
        "images, at 800 px. Deviations: the short side is any number from 640 to 800, not one of six; warm-up is told "
        "in epochs of COCO.",
    ),
    "deeplab": NamedRecipe(
        Recipe(
            epochs=484,
            batch=16,
            optimizer="sgd",
            lr=0.01,
            weight_decay=1e-4,
            decay_on="all",
            schedule="poly",
            warmup_epochs=5.4,
            warmup_from=0.001,
            norm="sync",
            min_scale=0.5,
            max_scale=2.0,
        ),
        "DeepLabV3 and V3+ on Cityscapes from ImageNet weights, on eight GPUs.",
        "projects/DeepLab of facebookresearch/detectron2@02b5c4e: 90,000 steps of 16 crops of 512 x 1024. Deviations: "
        "crops are square; all pixels count, not the hardest fifth; norms decay.",
    ),
    "resnest": NamedRecipe(
        replace(
            _IMAGENET,
            epochs=270,
            batch=8192,
            lr=3.2,
            weight_decay=1e-4,
            decay_on="weights",
            warmup_epochs=5,
            label_smoothing=0.1,
            mixup=0.2,
            auto_augment="autoaugment",
            color_jitter=0.4,
            lighting=0.1,
            drop_block=0.1,
            zero_init=True,
        ),
        "ResNeSt-50 on ImageNet, on many GPUs; ResNeSt-200 and -269 add dropout=0.2.",
        "arXiv 2004.08955 section 4 and scripts/gluon/train.py of zhanghang1989/ResNeSt@1dfb3e8, which made the "
        "released weights. Deviations: the policy comes after the crop; a batch is mixed with itself shifted by one, "
        "not reversed; initialisation is that of dorsal.build, not Xavier.",
    ),
    "res2net": NamedRecipe(
        replace(
            _IMAGENET,
            epochs=100,
            batch=256,
            optimizer="sgd",
            lr=0.1,
            weight_decay=1e-4,
            schedule="steps",
            label_smoothing=0.1,
        ),
        "Res2Net on ImageNet.",
        "res2net_pami/main.py of Res2Net/Res2Net-ImageNet-Training@d77c16f.",
    ),
    "regnet-10ep": NamedRecipe(
        replace(_REGNET, epochs=10, batch=128, lr=0.05),
        "The short schedule on ImageNet by which RegNet's design spaces were compared.",
        "arXiv 2003.13678 section 3, which states optimizer, batch, lr, decay and epochs; the rest is that of "
        "regnet-100ep, without its warm-up.",
    ),
    "regnet-100ep": NamedRecipe(
        replace(_REGNET, epochs=100, batch=1024, lr=0.8, warmup_epochs=5, warmup_from=0.1),
        "The published RegNet models on ImageNet.",
        "configs/dds_baselines and pycls/core/config.py of facebookresearch/pycls@5719de6.",
    ),
}
NAMED: dict[str, Recipe] = {name: named.recipe for name, named in CATALOG.items()}
