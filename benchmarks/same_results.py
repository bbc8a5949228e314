"""Does this tree still give the results of an earlier commit? Both are run here, since processors round differently.

python benchmarks/same_results.py [--commit d2745a9] [--only curves,samples,comparison,population,search]

Each part runs a driver of its own in either tree and prints whether all numbers are equal, bit for bit, and the first
that is not. Keys that were renamed since are renamed by the drivers; sentences are not compared. Both trees take the
plain calls of convolutions: the fast forms of a CPU round otherwise, and have changed on purpose. Exit code 1 where
anything differs. About four minutes on two cores.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent

_DATA = "scenes(size=32, train=160, val=80)"
_SMALL = ("small(widths=[16, 24, 48])", "small(widths=[16, 24, 48], mixer=multi_scale(scales=2, width=26))")
_SPACE = {"count": 5, "bounds": {"macs": "2M..40M"}, "edit": ""}

OLD = {
    "names": """
from dorsal.spec.network import network_hash
from dorsal.zoo import named, NETWORKS
found = {name: network_hash(named(name)) for name in NETWORKS if not name.endswith("_small")}  # those are new
""",
    "curves": """
import dorsal
data = dorsal.open_data(dorsal.parse_data(DATA))
found = {}
for net in SMALL:
    for recipe in ("plain(epochs=2)", "tricks(epochs=2)",
                   "resnest(epochs=2, batch=64, lr=0.1, warmup_epochs=0, drop_block=0)",
                   "regnet-10ep(epochs=2, batch=32, precise_bn=64)"):
        network = dorsal.network(net.replace("small(", "small(classes=10, "))
        fit = dorsal.fit(network, dorsal.recipe(recipe), data, seed=3)
        found[f"{net} {recipe}"] = [[e.epoch, e.train_loss, e.val_loss, e.accuracy, e.learning_rate] for e in fit.curve]
""",
    "samples": """
import dorsal
from dorsal.spec.network import network_hash
found = {}
for name in ("regnetx", "regnety_pycls", "anynetx_a", "anynetx_e", "crossed"):
    sample = dorsal.sample(dorsal.read_space(name), 40, {"macs": "200M..600M"}, 7)
    found[name] = [[network_hash(net) for net in sample.networks()], sample.candidates, sample.accepted,
                   dict(sample.rejected), dict(sample.met), {k: v.tolist() for k, v in sample.costs.items()}]
""",
    "comparison": """
import dorsal
study = dorsal.compare(dorsal.Comparison(networks=SMALL, data=DATA, epochs=1, seeds=2, out=OUT))
said = dorsal.analyse(study)
found = {
    "arms": [[arm.label, arm.network_hash,
              arm.cost.macs, arm.cost.params, arm.cost.activations] for arm in study.arms],
    "trials": sorted([t.arm, t.recipe, t.seed, t.status, t.accuracy,
               [[e.epoch, e.train_loss, e.val_loss, e.accuracy, e.learning_rate] for e in t.curve]]
               for t in study.trials),
    "pairs": {name: [[p.better, p.worse, p.difference, p.low, p.high, p.p] for p in each.pairs]
              for name, each in said.comparisons.items()},
    "cells": [[c.arm, c.recipe, c.accuracy and [c.accuracy.mean, c.accuracy.low, c.accuracy.high]] for c in said.cells],
}
""",
    "population": """
import dorsal
population = dorsal.run_population(dorsal.PopulationQuestion(
    spaces=("anynetx_a", "crossed"), data=DATA, recipe="plain", epochs=1, out=OUT, **SPACE))
said = dorsal.analyse_population(population)
found = {
    "trials": sorted([t.arm, t.seed, t.accuracy, [[e.train_loss, e.val_loss] for e in t.curve]]
                     for t in population.study.trials),
    "hashes": [arm.network_hash for arm in population.study.arms],
    "spaces": [[s.name, s.points, s.dimensions, s.candidates, s.accepted, list(s.errors), list(s.statuses),
                s.summary.mean.value, s.summary.mean.low, s.summary.mean.high, s.summary.best.label]
               for s in said.spaces],
    "pairs": [[p.a, p.b, p.comparison.mean.difference.value, p.comparison.mean.difference.low] for p in said.pairs],
    "plans": [[p.difference, p.mean.networks, p.mean.low, p.mean.high] for p in said.planner.plans],
    "fronts": [[f.cost, list(f.labels), list(f.costs), list(f.errors)] for f in said.fronts],
}
""",
    "search": """
import dorsal
search = dorsal.run_search(dorsal.SearchQuestion(
    space=("crossed",), trials=13, sampler="tpe", objectives=("error", "macs"),
    data="scenes(size=32, train=60, val=40)",
    recipe="plain", epochs=1, workers=1, out=OUT, bounds=SPACE["bounds"], edit=SPACE["edit"]))
said = dorsal.search_outcome(search)
found = {
    "asked": [[n.label, n.point, n.costs, n.drawn] for n in search.course.networks],
    "errors": list(said.errors),
    "front": [[p.label, list(p.values)] for p in said.front],
}
""",
}
"""By part what an earlier tree is asked, in its own names. Each leaves what it found in `found`."""

_RENAMED = {
    "data = dorsal.open_data(dorsal.parse_data(DATA))": "from dorsal.data.spec import parse_data\n"
    "data = dorsal.open_data(parse_data(DATA))",
    "dorsal.compare(": "dorsal.run(",
    "dorsal.run_population(dorsal.PopulationQuestion": "dorsal.run(dorsal.Population",
    "dorsal.run_search(dorsal.SearchQuestion": "dorsal.run(dorsal.Search",
    # These runs are too short to learn anything, and what learnt nothing is compared no more: the largest class is said
    # to have a share of 0.
    "dorsal.analyse_population(population)": "dorsal.analyse(replace(population, study=learnt(population.study)))",
    "dorsal.analyse(study)": "dorsal.analyse(learnt(study))",
    'space=("crossed",), trials': 'space="crossed", trials',
    "dorsal.search_outcome(search)": "dorsal.analyse(search)",
    '"trials": sorted([t.arm, t.recipe, t.seed, t.status': '"trials": sorted([*run, t.status',
    "for t in study.trials)": "for run, t in study.ended().items())",
    "sorted([t.arm, t.seed, t.accuracy": "sorted([arm, seed, t.accuracy",
    "sample.candidates, sample.accepted,": "sample.sampling.candidates, sample.sampling.accepted,",
    "dict(sample.rejected), dict(sample.met)": "dict(sample.sampling.rejected), dict(sample.sampling.met)",
    "s.points, s.dimensions, s.candidates, s.accepted": "s.sampling.points, s.sampling.dimensions, "
    "s.sampling.candidates, s.sampling.accepted",
    "for t in population.study.trials)": "for (arm, _, seed), t in population.study.ended().items())",
    "p.difference, p.low, p.high, p.p]": "p.difference.value, p.difference.low, p.difference.high, p.p]",
    # A cell has the noise of all arms now; its mean is compared, and the interval that its own runs would give.
    "c.accuracy and [c.accuracy.mean, c.accuracy.low, c.accuracy.high]": "own_interval(study, c)",
    "study = dorsal.run(dorsal.Comparison": """
import numpy
from scipy.special import stdtrit
def own_interval(study, c):
    runs = [t.score for (arm, recipe, _), t in study.ended().items() if (arm, recipe) == (c.arm, c.recipe)]
    n, sd = len(runs), float(numpy.std(runs, ddof=1))
    reach = float(stdtrit(n - 1, 0.975)) * sd / n**0.5
    return [c.score.value, c.score.value - reach, c.score.value + reach]
study = dorsal.run(dorsal.Comparison""",
    "p.mean.networks, p.mean.low": "p.mean.value, p.mean.low",
    ".accuracy": ".score",
    ".course.": ".log.",
}
_LEARNT = """
from msgspec.structs import replace
def learnt(study):
    return replace(study, data=replace(study.data, constant=0.0))
"""
NEW = {
    part: _LEARNT + functools.reduce(lambda text, pair: text.replace(*pair), _RENAMED.items(), old)
    for part, old in OLD.items()
}
"""The same in today's names."""

_PLAIN_THEN = "from dorsal.nn import convolve; convolve._is_eager_on_cpu = lambda x: False"
_PLAIN_NOW = "from dorsal.nn import fast_cpu; fast_cpu.is_faster_here = lambda precision: False"

_FRAME = """
import json, sys
{plain}
DATA, SMALL, SPACE, OUT = {constants!r}
if __name__ == "__main__":
    exec(compile({driver!r}, "driver", "exec"))
    json.dump(found, open({answer!r}, "w"), sort_keys=True)
"""


def answer(tree, plain, driver, folder):
    """What the driver found with the sources of `tree`; `plain` runs in its worker processes too."""
    folder.mkdir()
    script, result = folder / "driver.py", folder / "answer.json"
    constants = (_DATA, _SMALL, _SPACE, str(folder / "out"))
    script.write_text(
        _FRAME.format(plain=plain, constants=constants, driver=driver, answer=str(result)), encoding="utf-8"
    )
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(script)], check=True, cwd=folder, env=environment)
    return json.loads(result.read_text(encoding="utf-8"))


def first_difference(old, new, place=""):
    """Where two JSON values differ first, or ""."""
    if type(old) is not type(new):
        return f"{place}: {old!r} then, {new!r} now"
    if isinstance(old, dict) and old.keys() == new.keys():
        return next(filter(None, (first_difference(old[key], new[key], f"{place}.{key}") for key in old)), "")
    if isinstance(old, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next(filter(None, (first_difference(a, b, f"{place}[{i}]") for i, (a, b) in pairs)), "")
    return "" if old == new else f"{place}: {old!r} then, {new!r} now"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default="d2745a9")
    parser.add_argument("--only", default=",".join(OLD))
    asked = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as temporary:
        then = Path(temporary) / "then"
        then.mkdir()
        archive = subprocess.run(["git", "-C", HERE, "archive", asked.commit], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", then], check=True, input=archive)
        for part in asked.only.split(","):
            old = answer(then, _PLAIN_THEN, OLD[part], Path(temporary) / f"{part}-then")
            new = answer(HERE, _PLAIN_NOW, NEW[part], Path(temporary) / f"{part}-now")
            where = first_difference(old, new)
            differing += bool(where)
            print(f"{part:12} {where or 'equal'}", flush=True)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
