"""What a recipe can say: its fields, their ranges and their meaning. No torch."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from dorsal.language.fields import builtins_of, check_word, convert, show

OptimizerName = Literal["sgd", "nesterov", "adamw"]
DecayOn = Literal["all", "weights"]
Schedule = Literal["cosine", "steps", "poly"]
CosineStart = Literal["start", "warmup_end"]
LrPer = Literal["step", "epoch"]
ClassWeights = Literal["none", "balanced"]
Sampling = Literal["shuffled", "balanced", "repeat"]
Crop = Literal["pad", "area"]
AutoAugment = Literal["none", "autoaugment", "randaugment"]
Norm = Literal["train", "frozen", "sync"]
Precision = Literal["float32", "bf16"]
"""Of the arithmetic of a step: not in the recipe, as it is the machine's to choose. "bf16" is torch's autocast."""


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="recipe"):
    """Everything about one training run but the network, the data and the seed.

    Raises ValueError naming the field, the value and the nearest valid one.

    Optimisation
        epochs            passes over the training images
        batch             images per step, over all processes together
        optimizer         "sgd" (heavy ball), "nesterov", or "adamw" (arXiv 1711.05101)
        lr                peak learning rate *for this `batch`*; only `scaled` changes one with the other
        clip              largest norm of a step's gradient, 0 is off (arXiv 1211.5063)
        momentum          beta1 of adamw, whose beta2 is 0.999
        weight_decay      L2 penalty of sgd and nesterov, decoupled in adamw
        decay_on           "all" parameters, or "weights": of convolutions and linear layers; no bias, no norm
        schedule          "cosine": half a period down to 0; "steps": lr falls tenfold at each of `steps`; "poly":
                          (1 - share of the steps gone by) to the power of 0.9 (arXiv 1606.00915 section 4.1)
        steps             shares of the epochs gone by, increasing; (0.3, 0.6) of 100 epochs is after 30 and 60
        lr_per          lr is set anew at every "step", or once an "epoch" for the whole epoch (pycls)
        warmup_epochs     for so long lr is multiplied by a factor rising linearly from `warmup_from` to 1
        warmup_from       the first factor, 0 to 1
        cosine_starts_at       the cosine runs from the "start", under the warm-up (pycls), or from "warmup_end" (Gluon)

    What learns, and how fast; levels are the stem, 0, and the stages, from 1
        freeze            so many of the first levels keep their weights, norms included (detectron2's FREEZE_AT; one
                          more than MMDetection's frozen_stages); "all" is everything but the classifier
        head_epochs       so many epochs at the start the classifier learns alone (arXiv 2202.10054)
        norm              what batch norms do in training: "train", by the statistics of the batch; "frozen", by fixed
                          statistics, scale and shift; "sync", by those of the batches of all processes
        trunk_rate        factor of lr for stem and stages; the head has lr itself
        level_decay       further factor for each level between a layer and the head: lr of the last stage is multiplied
                          by it once, that of the stage before twice, ... (arXiv 2106.08254 section 3.1)

    Loss
        class_weights     "none", or "balanced": an image counts in inverse proportion to its class's share of the
                          training images (n / (classes x n of the class))
        label_smoothing   eps / classes on every class (arXiv 1512.00567 section 7)
        mixup, cutmix     alpha of Beta(alpha, alpha), 0 is off (arXiv 1710.09412, 1905.04899); one draw a batch;
                          with both on, each batch gets one of them, by a fair coin

    Images, in this order
        sampling          "shuffled": each training image once an epoch; "balanced": as many images an epoch, of every
                          class equally many, those of small classes several times; "repeat", for objects: images
                          with a class that under a thousandth of the images have come several times (LVIS, arXiv
                          1908.03195)
        crop              "area": a random share of the image, `min_area` to 1, aspect 3/4 to 4/3
                          (arXiv 1409.4842 section 6); "pad", for small images: shifted by up to an eighth of the
                          side, zeros moving in
        min_area          smallest share of "area"
        min_scale, max_scale   for tasks that learn from annotations: an image is seen at its size times a random number
                          between the two
        flip              mirror every other image, where the data say that keeps the label
        auto_augment      "autoaugment" (arXiv 1805.09501, ImageNet's) or "randaugment" (arXiv 1909.13719)
        augment_ops     operations an image, randaugment only
        augment_magnitude  0 to 30, randaugment only
        color_jitter      brightness, contrast and saturation, each by a factor of 1 ± up to this
        lighting          standard deviation of AlexNet's PCA lighting, for values in 0..1
        erasing           probability of blanking a rectangle (arXiv 1708.04896)

    Network in training (arguments of `nn.build`)
        drop_path         share of residual branches dropped in the last block, rising linearly from 0 over depth
        drop_block        probability of DropBlock, rising linearly from 0 in the first epoch to this in the last
        dropout           before the classifier
        zero_init         the last norm of every residual branch starts at gamma 0

    Evaluation
        ema               decay, per step, of a moving average of parameters and buffers, less during the first
                          steps; the average is then the model that is evaluated; 0 is off
        precise_bn        norm statistics are measured anew over so many training images before each evaluation;
                          0 is off
    """

    epochs: int = 6
    batch: int = 32
    optimizer: OptimizerName = "nesterov"
    lr: float = 0.2
    clip: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_on: DecayOn = "weights"
    schedule: Schedule = "cosine"
    steps: tuple[float, ...] = (0.3, 0.6, 0.9)
    lr_per: LrPer = "step"
    warmup_epochs: float = 0.5
    warmup_from: float = 0.0
    cosine_starts_at: CosineStart = "warmup_end"
    freeze: int | Literal["all"] = 0
    head_epochs: int = 0
    norm: Norm = "train"
    trunk_rate: float = 1.0
    level_decay: float = 1.0
    label_smoothing: float = 0.0
    class_weights: ClassWeights = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    sampling: Sampling = "shuffled"
    crop: Crop = "pad"
    min_area: float = 0.08
    min_scale: float = 1.0
    max_scale: float = 1.0
    flip: bool = True
    auto_augment: AutoAugment = "none"
    augment_ops: int = 2
    augment_magnitude: int = 9
    color_jitter: float = 0.0
    lighting: float = 0.0
    erasing: float = 0.0
    drop_path: float = 0.0
    drop_block: float = 0.0
    dropout: float = 0.0
    zero_init: bool = False
    ema: float = 0.0
    precise_bn: int = 0

    def __post_init__(self) -> None:
        for field, words in WORDS.items():
            check_word(field, getattr(self, field), words)
        if isinstance(self.freeze, str):
            check_word("freeze", self.freeze, ("all",))
        for field, kind in _KINDS.items():  # 1 and 1.0 are one recipe, and are to have one hash
            msgspec.structs.force_setattr(self, field, convert(field, builtins_of(getattr(self, field)), kind))
        for field, (low, high) in _RANGES.items():
            if field != "freeze" or self.freeze != "all":
                _check_range(field, getattr(self, field), low, high)
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs={self.warmup_epochs:g} is not below epochs={self.epochs}; nearest valid: "
                f"warmup_epochs={self.epochs / 2:g}, or epochs={int(self.warmup_epochs) + 1}"
            )
        if list(self.steps) != sorted(set(self.steps)) or not all(0 < share < 1 for share in self.steps):
            valid = sorted({share for share in self.steps if 0 < share < 1})
            raise ValueError(f"steps={show(self.steps)} must increase between 0 and 1; nearest valid: {show(valid)}")
        if self.min_scale > self.max_scale:
            raise ValueError(
                f"min_scale={self.min_scale:g} is above max_scale={self.max_scale:g}; nearest valid: "
                f"min_scale={self.max_scale:g}"
            )
        if self.optimizer == "nesterov" and self.momentum == 0:
            raise ValueError(
                "momentum=0 leaves optimizer=nesterov nothing to look ahead by; nearest valid: optimizer=sgd"
            )
        self._check_what_learns()

    @property
    def keeps_weights(self) -> str:
        """The field by which some weights stay what they are, as `freeze=2`; "" where all learn from the start."""
        fields = {"freeze": self.freeze != 0, "head_epochs": self.head_epochs > 0, "norm": self.norm == "frozen"}
        return next((f"{field}={getattr(self, field)}" for field, on in fields.items() if on), "")

    def _check_what_learns(self) -> None:
        """Raises ValueError for fields that contradict one another, or would do nothing."""
        if self.head_epochs >= self.epochs:
            raise ValueError(
                f"head_epochs={self.head_epochs} is not below epochs={self.epochs}; to train nothing else: freeze=all"
            )
        useless = {
            "head_epochs": self.head_epochs > 0,
            "trunk_rate": self.trunk_rate != 1,
            "level_decay": self.level_decay != 1,
        }
        if self.freeze == "all" and any(useless.values()):
            field = next(field for field, on in useless.items() if on)
            raise ValueError(f"{field}={getattr(self, field):g} does nothing beside freeze=all; leave one of them out")
        if self.precise_bn and (self.freeze != 0 or self.norm == "frozen"):
            raise ValueError(
                f"precise_bn={self.precise_bn} would measure anew the statistics that {self.keeps_weights} keeps; "
                "nearest valid: precise_bn=0"
            )


def _check_range(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        nearest = high if value > high else low  # not-a-number compares false and lands on low
        raise ValueError(f"{field}={value} is out of range; nearest valid: {nearest:g} ({low:g} to {high:g})")


_KINDS = {field.name: field.type for field in msgspec.structs.fields(Recipe)}
WORDS: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(OptimizerName),
    "decay_on": get_args(DecayOn),
    "schedule": get_args(Schedule),
    "lr_per": get_args(LrPer),
    "cosine_starts_at": get_args(CosineStart),
    "class_weights": get_args(ClassWeights),
    "sampling": get_args(Sampling),
    "crop": get_args(Crop),
    "auto_augment": get_args(AutoAugment),
    "norm": get_args(Norm),
}
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000),
    "batch": (1, 65_536),
    "lr": (1e-8, 1e8),
    "clip": (0, 1e8),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 1),
    "warmup_epochs": (0, 10_000),
    "warmup_from": (0, 1),
    "freeze": (0, 100),
    "head_epochs": (0, 10_000),
    "trunk_rate": (0.000_1, 1),
    "level_decay": (0.01, 1),
    "label_smoothing": (0, 0.99),
    "mixup": (0, 10),
    "cutmix": (0, 10),
    "min_area": (0.001, 1),
    "min_scale": (0.1, 10),
    "max_scale": (0.1, 10),
    "augment_ops": (1, 10),
    "augment_magnitude": (0, 30),
    "color_jitter": (0, 1),
    "lighting": (0, 1),
    "erasing": (0, 1),
    "drop_path": (0, 0.99),
    "drop_block": (0, 0.99),
    "dropout": (0, 0.99),
    "ema": (0, 0.99999),
    "precise_bn": (0, 10_000_000),
}
