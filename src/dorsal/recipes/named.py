"""The named recipes: ours for small images, and the published ones. No torch."""

from msgspec.structs import replace

from dorsal.recipes.recipe import Recipe

# Ours, for small images and few epochs: a small batch, so that there are steps enough, and AdamW, with which all
# families leave chance within the first epochs; by SGD at rates that suit one of them, others do not (docs/log.md).
# "tricks" adds each trick in a mild dose, but zero_init, which cost more than it gave.
_SMALL = Recipe(optimizer="adamw", lr=0.003, weight_decay=0.05)
_IMAGENET = Recipe(crop="area", warmup_epochs=0, decay_on="all")
_REGNET = replace(
    _IMAGENET,
    weight_decay=5e-5,
    lr_per="epoch",
    cosine_starts_at="start",
    lighting=0.1,
    precise_bn=8192,
)

NAMED: dict[str, Recipe] = {
    "plain": _SMALL,
    "tricks": replace(
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
    # ResNeSt-50, arXiv 2004.08955 section 4 and scripts/gluon/train.py of zhanghang1989/ResNeSt@1dfb3e8, which made
    # the released weights. Deviations: the policy comes after the crop; a batch is mixed with itself shifted by one,
    # not reversed; initialisation is that of `nn.build`, not Xavier. ResNeSt-200 and -269 add dropout=0.2.
    "resnest": replace(
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
    # Res2Net, res2net_pami/main.py of Res2Net/Res2Net-ImageNet-Training@d77c16f.
    "res2net": replace(
        _IMAGENET,
        epochs=100,
        batch=256,
        optimizer="sgd",
        lr=0.1,
        weight_decay=1e-4,
        schedule="steps",
        label_smoothing=0.1,
    ),
    # RegNet's design-space regime, arXiv 2003.13678 section 3, which states optimizer, batch, lr, decay and epochs;
    # the rest is that of the baselines below, without their warm-up.
    "regnet-10ep": replace(_REGNET, epochs=10, batch=128, lr=0.05),
    # RegNet's baselines, configs/dds_baselines and pycls/core/config.py of facebookresearch/pycls@5719de6.
    "regnet-100ep": replace(_REGNET, epochs=100, batch=1024, lr=0.8, warmup_epochs=5, warmup_from=0.1),
}
