"""Tables that others made: what is read, what is said of it, and one clear sentence for what cannot be read."""

import csv
import re
from itertools import product

import numpy as np
import pytest

import dorsal
from dorsal.findings.table.read import _ROWS, read_table
from dorsal.report.words.table import caveats, conclusions
from dorsal.stats import compare_arms, pooled_means
from dorsal.stats.data_sets import compare_over_data_sets

SCORES = {"plain": [76.1, 75.8, 76.5], "res2net": [78.4, 78.0, 78.1], "resnest": [78.2, 78.3, 78.6]}


def rows_of(scores):
    return [(arm, seed, score) for arm, runs in scores.items() for seed, score in enumerate(runs)]


def verdicts_of(found):
    return [each.judgement.verdict for each in found.overall.verdicts.pairs]


def predictions(arms, seeds, images, state=0):
    random = np.random.default_rng(state)
    return [
        (arm, seed, f"val/{image}.png", int(random.random() < share))
        for (arm, share), seed, image in product(arms.items(), range(seeds), range(images))
    ]


@pytest.fixture
def written(tmp_path):
    def write(header, rows, **form):
        path = tmp_path / "table.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, **form)
            writer.writerow(header)
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def raw(tmp_path):
    def write(text):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_table_of_scores_has_the_statistics_of_its_numbers(written):
    found = dorsal.analyse_table(
        written(("model", "seed", "path", "Top-1"), [(*row[:2], "x", row[2]) for row in rows_of(SCORES)])
    )
    assert found.columns == {"arm": "model", "seed": "seed", "score": "Top-1"}
    assert found.overall.pairs == compare_arms(SCORES).pairs
    assert (found.margin, found.in_points, found.lower_is_better, found.rows) == (1, True, False, 9)
    assert verdicts_of(found) == [
        "practically equal",
        "better",
        "better",
    ]
    assert found.overall.verdicts.tie_group == ("resnest", "res2net")
    assert found.overall.verdicts.ranks == {"resnest": (1, 2), "res2net": (1, 2), "plain": (3, 3)}
    assert found.overall.verdicts.pairs[1].wins.low > 0.5


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_cells_may_be_separated_otherwise_and_missing_runs_are_empty(written, delimiter):
    rows = rows_of({"a": [1.0, "", 3.0], "b": [2.0, 4.0, 5.5]})
    table = read_table(written(("Arm", "Run", "m_AP"), rows, delimiter=delimiter))
    assert table.scores == {"": {"a": [1, None, 3], "b": [2, 4, 5.5]}}
    assert table.rows == 5


def test_a_byte_order_mark_empty_lines_and_quotes_are_no_trouble(raw):
    table = read_table(raw('\ufeffarm,seed,score\n\n"a,b",0,1\n\n"a,b",1,2\nc,1,2\nc,0,4\n'))
    assert table.scores == {"": {"a,b": [1, 2], "c": [4, 2]}}


def test_of_errors_the_lower_one_is_better(written):
    errors = {arm: [100 - score for score in runs] for arm, runs in SCORES.items()}
    found = dorsal.analyse_table(written(("arm", "seed", "error"), rows_of(errors)))
    assert found.lower_is_better
    assert found.overall.verdicts.tie_group == ("resnest", "res2net")
    mean = found.overall.means["plain"]
    assert mean.value == pytest.approx(100 - np.mean(SCORES["plain"]))
    assert mean.low < mean.value < mean.high
    assert found.overall.pairs[1].difference.value == pytest.approx(2.2333, abs=1e-3)


def test_the_margin_of_shares_is_a_hundredth(written):
    shares = {arm: [score / 100 for score in runs] for arm, runs in SCORES.items()}
    path = written(("arm", "seed", "score"), rows_of(shares))
    found = dorsal.analyse_table(path)
    assert (found.margin, found.in_points) == (0.01, False)
    assert verdicts_of(found) == [
        "practically equal",
        "better",
        "better",
    ]
    assert dorsal.analyse_table(path, margin=0.5).margin == 0.5


def test_several_data_sets_have_an_answer_over_all_and_one_on_each(written):
    random = np.random.default_rng(0)
    tables = {
        data: {arm: list(random.normal(70 + 2 * place, 0.3, 3)) for place, arm in enumerate(("a", "b", "c"))}
        for data in ("birds", "cars", "food", "pets")
    }
    rows = [(data, *row) for data, scores in tables.items() for row in rows_of(scores)]
    found = dorsal.analyse_table(written(("dataset", "arm", "seed", "score"), rows))
    over = compare_over_data_sets(tables)
    assert found.overall.pairs == over.overall.pairs
    assert {data: answer.pairs for data, answer in found.data_sets.items()} == {
        data: comparisons.pairs for data, comparisons in over.each.items()
    }
    assert found.records == over.records
    assert found.overall.repeats == 4


def test_one_seed_of_predictions_has_intervals_over_images(written):
    rows = [(arm, image, correct) for arm, _, image, correct in predictions({"a": 0.6, "b": 0.9}, 1, 300)]
    found = dorsal.analyse_table(written(("model", "file", "correct"), rows))
    (pair,) = found.overall.pairs
    assert (pair.better, pair.n, found.overall.images, found.overall.repeats) == ("b", 1, 300, 1)
    assert pair.significant
    gaps = np.array([row[2] for row in rows[300:]]) - np.array([row[2] for row in rows[:300]])
    half = 1.96 * 100 * gaps.std() / np.sqrt(300)
    assert pair.difference.value == pytest.approx(100 * gaps.mean())
    assert pair.difference.high - pair.difference.value == pytest.approx(half, rel=0.02)
    assert pair.p < 0.001


def test_with_seeds_and_images_the_interval_covers_both(written):
    rows = predictions({"a": 0.6, "b": 0.7}, 3, 200)
    found = dorsal.analyse_table(written(("arm", "seed", "image", "hit"), rows))
    scores = read_table(written(("arm", "seed", "image", "hit"), rows)).scores[""]
    seen = read_table(written(("arm", "seed", "image", "hit"), rows)).images[""]
    assert found.overall.pairs == compare_arms(scores, images=seen).pairs
    assert found.overall.means == pooled_means(scores, images=seen)


def test_an_undecided_pair_says_how_many_images_it_would_take(written):
    rows = [(arm, image, int(image % 10 < right)) for arm, right in (("a", 7), ("b", 7)) for image in range(50)]
    rows = [(arm, image, hit ^ (arm == "b" and image in (3, 9, 8))) for arm, image, hit in rows]
    found = dorsal.analyse_table(written(("arm", "image", "correct"), rows))
    ((pair,), (each,)) = found.overall.pairs, found.overall.verdicts.pairs
    assert (each.judgement.verdict, each.judgement.can_be_equal, pair.needed) == ("undecided", False, None)
    assert each.judgement.equal_images == int(np.ceil(50 * pair.image_half**2))
    said = conclusions(found)[0]
    assert "test images would show a difference of this size. Roughly " in said
    assert "test images would show that level arms are practically equal." in said


def test_predictions_on_several_data_sets_have_images_of_their_own(written):
    rows = [
        (data, arm, f"{data}{image}", int(image % 10 < right))
        for data, images in (("x", 40), ("y", 30), ("z", 20))
        for arm, right in (("a", 6), ("b", 9))
        for image in range(images)
    ]
    found = dorsal.analyse_table(written(("data", "arm", "image", "correct"), rows[:-20]))
    assert {data: answer.images for data, answer in found.data_sets.items()} == {"x": 40, "y": 30}
    assert [answer.pairs[0].difference.value for answer in found.data_sets.values()] == pytest.approx([30, 30])
    assert found.overall.missing == 1
    apart = [row for row in rows if row[:2] in (("x", "a"), ("y", "b"))]
    found = dorsal.analyse_table(written(("data", "arm", "image", "correct"), apart))
    assert (found.overall.unpaired, found.data_sets) == ((("b", "a"),), {})


def test_labels_and_predictions_are_compared_and_order_does_not_count(written):
    rows = predictions({"a": 0.6, "b": 0.9}, 2, 20)
    label = {row[2]: str(place % 3) for place, row in enumerate(rows)}
    named = [(arm, seed, image, label[image], label[image] if hit else "other") for arm, seed, image, hit in rows]
    plain = read_table(written(("arm", "seed", "image", "correct"), rows))
    random = np.random.default_rng(0)
    other = read_table(
        written(("arm", "seed", "image", "y_true", "y_pred"), [named[i] for i in random.permutation(80)])
    )
    assert {arm: sorted(runs) for arm, runs in other.scores[""].items()} == {
        arm: sorted(runs) for arm, runs in plain.scores[""].items()
    }
    assert sorted(map(tuple, np.array(other.images[""]["a"]).tolist())) != []


def test_a_file_longer_than_a_part_is_read_whole(written):
    rows = predictions({"a": 0.5, "b": 0.5}, 1, _ROWS)
    table = read_table(written(("arm", "seed", "image", "correct"), rows))
    assert table.rows == 2 * _ROWS
    assert table.scores[""]["b"] == [pytest.approx(100 * np.mean([row[3] for row in rows[_ROWS:]]))]


def test_unequal_noise_is_told_with_what_remains(written):
    random = np.random.default_rng(0)
    scores = {arm: list(np.round(random.normal(70, sd, 8), 3)) for arm, sd in (("a", 9), ("b", 0.1), ("c", 0.1))}
    scores["c"] = [score + 5 for score in scores["c"]]
    found = dorsal.analyse_table(written(("arm", "seed", "score"), rows_of(scores)))
    assert found.overall.verdicts.noise.noisiest == "a"
    assert {(pair.better, pair.worse) for pair in found.overall.verdicts.borne if pair.significant} == {("c", "b")}
    assert found.overall.verdicts.pairs[0].flips_p is not None


HEAD = "arm,seed,score\n"
IMAGES = "arm,seed,image,correct\n"
BAD = {
    "": "line 1: there is no header",
    "\n": "line 1: there is no header",
    HEAD: "line 2: there are no rows",
    "arm,score\na,1\n": "line 1: no column of the seed among 'arm', 'score'; it may be called seed, run, trial",
    "seed,score\n1,1\n": "no column of the arm among 'seed', 'score'",
    "arm,seed\na,1\n": "no column of the score among",
    "arm,image,label\na,1,2\n": "no column of the predicted among",
    "arm,model,seed,score\na,a,1,2\n": "line 1: 'arm' and 'model' are both columns of the arm; rename one",
    HEAD + "a,1,2\nb,1,3\na,1,4\n": "line 4: the score of 'a', seed 1 stands twice; line 2 has it already",
    HEAD + "a,1,2\nb,1,good\n": "line 3, column 'score': 'good' is not a number; leave it empty",
    HEAD + 'a,1,2\nb,1,"71,5"\n': "line 3, column 'score': '71,5' is not a number; write decimals with a point",
    HEAD + "a,1,2\nb,1,inf\n": "line 3, column 'score': 'inf' is not finite",
    HEAD + "a,1,2\nb,1,nan\n": "line 3, column 'score': 'nan' is not finite",
    HEAD + "a,1,2\nb,1,-7e301\n": "line 3, column 'score': '-7e301' is above 1e+100; give scores in another unit",
    HEAD + "a,1,2\nb,1,70.8 %\n": "line 3, column 'score': '70.8 %' is not a number; write '70.8'",
    "arm,image,label,predicted\na,x,1,1\nb,x,,1\n": "line 3, column 'label': the cell is empty",
    "arm,image,label,predicted\na,x,1,1\nb,x,1,\n": "line 3, column 'predicted': the cell is empty",
    "arm,image,label,predicted\na,x,cat,cat\na,y,dog,cat\nb,x,cat,dog\nb,y,cat,cat\n": "line 5, column 'label': 'cat', "
    "but line 3 says 'dog' of the same image",
    "data,arm,image,label,predicted\n1,a,x,c,c\n1,b,x,c,d\n2,a,x,d,d\n2,b,x,c,c\n": "line 5, column 'label': 'c', but",
    HEAD + "a,1,2\n\nb,1\n": "line 4: 2 cells, but the header has 3",
    HEAD + '"a\nb",1,2\n\nb,1,x\n': "line 5, column 'score': 'x' is not a number",
    HEAD + "a,1,2\n,1,3\n": "line 3, column 'arm': the cell is empty",
    HEAD + "a,1,2\na,2,3\n": "column 'arm' has one arm, 'a'; a comparison needs at least 2",
    HEAD + "a,1,\nb,1,\n": "column 'score' holds results of no arm; a comparison needs 2 arms",
    HEAD + "a,1,2\nb,1,\n": "column 'score' holds results of 'a'; a comparison needs 2 arms",
    IMAGES + "a,1,x,1\nb,1,x,2\n": "line 3, column 'correct': '2' is neither 1 or true nor 0 or false",
    IMAGES + "a,1,x,1\na,1,x,1\nb,1,x,1\n": "line 3: an image of 'a', seed 1 stands twice; line 2 has it already",
    IMAGES
    + "a,1,x,1\na,1,y,1\nb,1,x,1\nb,1,z,0\n": "line 5: image 'z' is one of 'b', seed 1, but not of 'a', seed 1; all",
    IMAGES + "a,1,x,1\na,1,y,1\nb,1,x,1\n": "line 3: image 'y' is one of 'a', seed 1, but not of 'b', seed 1; all",
    "arm,image,label,score,x\na,1,3,.5,2\n": "rows with a score and an image are of objects found in images, which",
    '[{"image_id": 1}]': "it holds JSON, not a table; give a CSV file with the score of each run",
    b"PK\x03\x04": "it holds arrays, not a table; give a CSV file with the score of each run",
    b"arm,seed,score\na,1,2\n\xe9,1,3\n": "line 3: not UTF-8 text; save the table as UTF-8",
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_read_is_named_by_line_and_column(raw, text):
    path = raw(text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}[:,] .*{re.escape(BAD[text])}[^\n]*$"):
        dorsal.analyse_table(path)


def test_bad_arguments(raw):
    with pytest.raises(ValueError, match=r"table 'none.csv' does not exist; give a CSV file"):
        dorsal.analyse_table("none.csv")
    with pytest.raises(ValueError, match=r"table '.*' is a folder; give a CSV file"):
        dorsal.analyse_table(raw(HEAD).parent)
    path = raw(HEAD + "a,1,2\nb,1,3\n")
    for margin in (-1, 0):
        with pytest.raises(ValueError, match=f"margin={margin} must be above 0, for example 1"):
            dorsal.analyse_table(path, margin=margin)
    with pytest.raises(ValueError, match="confidence=95 must lie between 0 and 1"):
        dorsal.analyse_table(path, confidence=95)


def test_one_seed_of_scores_and_seeds_of_their_own_have_no_interval(raw):
    found = dorsal.analyse_table(raw(HEAD + "a,1,2\nb,1,3\n")).overall
    ((pair,), (each,)) = found.pairs, found.verdicts.pairs
    assert (each.judgement.verdict, pair.p, each.wins) == ("undecided", None, None)
    assert "One seed gives no interval" in next(caveats(dorsal.analyse_table(raw(HEAD + "a,1,2\nb,1,3\n"))))
    apart = dorsal.analyse_table(raw(HEAD + "a,1,2\na,2,2.5\nb,3,3\nb,4,3.5\n")).overall
    assert (apart.pairs, apart.unpaired) == ((), (("b", "a"),))


def test_verdicts_do_not_contradict_the_intervals_beside_them(raw):
    one = dorsal.analyse_table(raw(IMAGES + "a,1,x,1\nb,1,x,0\n"))
    assert any("a and b are undecided: 100.0 (-95.0 to 100.0) points" in line for line in conclusions(one))
    level = dorsal.analyse_table(raw(HEAD + "".join(f"{arm},{seed},70\n" for arm in "ab" for seed in (1, 2, 3))))
    assert "a and b are level; 3 seeds without noise cannot tell this from chance." in conclusions(level)
