"""What is worth knowing about a study, in words."""

from dorsal.jobs.remarks import (
    BatchExceedsData,
    BudgetCut,
    EmulatedBfloat16,
    FewSteps,
    InputFinding,
    SeveralSettings,
    StudyRemark,
    TuningTime,
    recipe_remarks,
)
from dorsal.recipes.text import recipe
from dorsal.report.words.remarks import remark_sentence
from dorsal.train.doctor.finding import Finding


def test_recipes_that_make_little_of_the_data() -> None:
    recipes = {
        "large": recipe("plain(epochs=3, batch=200)"),
        "short": recipe("plain(epochs=3, batch=32)"),
        "long": recipe("plain(epochs=30, batch=30)"),
    }
    assert recipe_remarks(recipes, 100) == [BatchExceedsData("large", 200, 100, 3), FewSteps("short", 12)]


def test_every_remark_has_its_sentence() -> None:
    said: dict[StudyRemark, str] = {
        BatchExceedsData("large", 8192, 1000, 3): "large: its batch of 8,192 exceeds the 1,000 training images, so it "
        "makes 3 steps in all, one an epoch; a smaller batch makes more",
        FewSteps("short", 12): "short: only 12 steps in all; a smaller batch or more epochs make more",
        EmulatedBfloat16("cpu"): "this cpu has no bfloat16 instructions and emulates them: precision=bf16 can take ten "
        "times as long as precision=float32",
        InputFinding("a", Finding(check="inputs/colors", verdict="cannot tell", found="No card.", advice="Ask.")): (
            "a, inputs/colors: cannot tell. No card. Ask."
        ),
        BudgetCut("1h", 2, 5, "seeds for every arm and recipe", 3000.0): "the budget of 1h fits 2 of 5 seeds for every "
        "arm and recipe (about 50m); the same command with more runs the rest",
        TuningTime("30m", 5, 1700.0): "tuning for 30m is 5 settings for each arm under each recipe, as many for all "
        "(about 28m20s)",
        SeveralSettings(("torch 1.0", "torch 2.0")): "runs were made in different settings, which round differently: "
        "torch 1.0; torch 2.0",
    }
    assert {remark: remark_sentence(remark) for remark in said} == said
