import pytest

from dorsal.stats import Pair, caveats, compare_arms, sentence


def pair(**changes):
    fields = {
        "better": "resnest",
        "worse": "plain",
        "difference": 2.1,
        "low": 1.28,
        "high": 2.92,
        "p": 0.004,
        "n": 3,
        "significant": True,
        "seeds_needed": 3,
        "confidence": 0.95,
    }
    return Pair(**(fields | changes))


def test_significant():
    assert sentence(pair()) == (
        "resnest is better than plain by 2.10 ± 0.82 points (95 % simultaneous interval, 3 seeds, p = 0.004)."
    )


def test_tiny_p_and_other_words():
    said = sentence(pair(p=1e-9, confidence=0.9, n=1), unit="% accuracy")
    assert said.endswith("by 2.10 ± 0.82 % accuracy (90 % simultaneous interval, 1 seed, p < 0.001).")


def test_not_significant():
    said = sentence(pair(difference=0.4, low=-1.5, high=2.3, p=0.6, significant=False, seeds_needed=37))
    assert said == (
        "No difference shown between resnest and plain: 0.4 ± 1.9 points over 3 seeds; "
        "about 37 seeds would be needed to show a difference of this size."
    )


def test_hopeless():
    said = sentence(pair(difference=0.0, low=-1.9, high=1.9, p=1.0, significant=False, seeds_needed=None))
    assert "more than 10,000 seeds would be needed" in said


def test_small_differences_keep_two_digits_of_the_half_width():
    assert "by 0.023 ± 0.012 points" in sentence(pair(difference=0.0231, low=0.0111, high=0.0351))


def test_one_seed():
    (only,) = compare_arms({"a": [1.0], "b": [1.4]}).pairs
    assert sentence(only) == "b is ahead of a by 0.4 points, but one seed cannot tell a difference from chance."


def test_no_noise():
    (tie,) = compare_arms({"a": [1.0, 1.0], "b": [1.0, 1.0]}).pairs
    assert sentence(tie) == "a and b are level, but the results of 2 seeds show no noise to judge it by."


def test_caveats_name_the_facts():
    said = " ".join(caveats("digits", 12, 3, ["basic"]))
    for fact in ("digits", "12 epochs", "3 seeds only", "One recipe (basic)", "test images"):
        assert fact in said


def test_caveats_for_one_seed_and_several_recipes():
    said = " ".join(caveats("digits", 1, 1, ["basic", "strong"]))
    assert "1 epoch:" in said
    assert "One seed gives no interval" in said
    assert "The recipes (basic, strong)" in said


@pytest.mark.parametrize(
    ("epochs", "seeds", "recipes", "field"),
    [(0, 3, ["a"], "epochs"), (1, 0, ["a"], "seeds"), (1, 3, [], "recipes")],
)
def test_bad_input(epochs, seeds, recipes, field):
    with pytest.raises(ValueError, match=f"{field}: at least 1 is needed, not 0"):
        caveats("digits", epochs, seeds, recipes)
