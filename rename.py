"""Renames of the whole project, so that they can be reviewed in one place: files, then names, then words.

python rename.py        in the root of a checkout; running it twice changes nothing more

A name is renamed in the file that defines it and in those that import it from there, nowhere else; so one word can get
two new names. Words are renamed everywhere.
"""

import re
import subprocess
from pathlib import Path

MOVES = {
    "spec.reader": "language.reader",
    "spec.amount": "language.amount",
    "study.duration": "language.duration",
    "spec.foreign": "spec.timm",
    "spec.tree": "spec.arrangement",
    "nn.foreign": "nn.timm",
    "nn.parts": "nn.layers",
    "nn.nodes": "nn.inner_features",
    "nn.convolve": "nn.fast_cpu",
    "train.fields": "recipe.recipe",
    "train.recipe": "recipe.text",
    "train.named": "recipe.named",
    "space.draw": "space.distributions",
    "space.layout": "space.compiled",
    "space.leaves": "space.encoding",
    "space.columns": "space.table",
    "space.legal": "space.check",
    "space.count": "space.size",
    "space.fit": "space.linear_fit",
    "space.edit": "space.base",
    "space.narrow": "space.refine",
    "stats.survival": "stats.order_stability",
    "stats.planner": "stats.sample_size",
    "stats.compare": "stats.arms",
    "stats.searches": "stats.versus_random",
    "stats.inputs": "stats.checks",
    "stats.restriction": "stats.non_inferiority",
    "weights.in_timm": "weights.register_timm",
    "weights.in_smp": "weights.register_smp",
    "weights.labels": "weights.class_names",
    "weights.formats.akamaster": "weights.formats.pytorch_resnet_cifar10",
    "study.apart": "jobs.isolated",
    "study.engine": "jobs.engine",
    "study.events": "jobs.events",
    "study.forecast": "jobs.forecast",
    "study.lock": "jobs.lock",
    "study.machine": "jobs.machine",
    "study.placement": "jobs.resources",
    "study.prediction": "jobs.epoch_time",
    "study.ray_connection": "jobs.ray_connection",
    "study.ray_engine": "jobs.ray_engine",
    "study.record_file": "jobs.json_file",
    "study.records": "jobs.records",
    "study.run": "jobs.train",
    "study.session": "jobs.execution",
    "study.store": "jobs.store",
    "study.latency.records": "latency.records",
    "study.latency.prediction": "latency.predict",
    "study.latency.fit": "study.timing.fit",
    "study.latency.measure": "study.timing.run",
    "study.comparison": "study.comparison.question",
    "study.compare": "study.comparison.run",
    "study.population.reliability": "study.recheck.run",
    "study.population.reliability_saved": "study.recheck.saved",
    "study.search.asking": "study.search.proposals",
    "study.search.outcome": "findings.search",
    "study.analysis.analyse": "findings.population.analyse",
    "study.analysis.axis_findings": "findings.population.axis_findings",
    "study.analysis.importance": "findings.population.importance",
    "study.analysis.records": "findings.population.records",
    "study.analysis.results": "findings.population.results",
    "study.analysis.short_schedule": "findings.population.short_schedule",
    "study.analysis.space_finding": "findings.population.space_finding",
    "study.analysis.space_pairs": "findings.population.space_pairs",
    "study.narrowing.features": "findings.narrowing.features",
    "study.narrowing.propose": "findings.narrowing.propose",
    "study.narrowing.records": "findings.narrowing.records",
    "study.narrowing.sentences": "findings.narrowing.sentences",
    "study.narrowing.steps": "findings.narrowing.steps",
    "report.comparison.analysis": "findings.comparison",
    "cli.listing": "cli.list_networks",
    "cli.placing": "cli.options",
    "cli.outcome": "cli.finish",
    "cli.watch": "cli.progress",
    "cli.space_reliability": "cli.space_recheck",
}
"""Modules below `dorsal`, old and new."""

ROOMS = {
    "language": "The small language that all texts share: calls and values, near matches, amounts, durations.",
    "recipe": "HOW a model is trained, as data: the recipe, its text, the named ones. No torch.",
    "jobs": "Runs made anywhere, and what came of them kept: engines, store, forecast, resources.",
    "latency": "A fitted model of latency, and what it predicts.",
    "study.comparison": "Networks compared under the same recipes and seeds.",
    "study.recheck": "Some networks of a population trained again, to see whether its schedule was long enough.",
    "study.timing": "Networks timed, and a model of latency fitted to them.",
    "findings": "What the results of a study say: pure functions from records to data.",
    "findings.population": "What a population shows.",
    "findings.narrowing": "The next space, proposed from a population.",
}

TESTS = {
    "nn/test_foreign": "nn/test_timm",
    "nn/test_convolve": "nn/test_fast_cpu",
    "nn/test_nodes": "nn/test_inner_features",
    "spec/test_foreign": "spec/test_timm",
    "space/test_draw": "space/test_distributions",
    "space/test_fit": "space/test_linear_fit",
    "space/test_narrow": "space/test_refine",
    "stats/test_survival": "stats/test_order_stability",
    "stats/test_planner": "stats/test_sample_size",
    "stats/test_compare": "stats/test_arms",
    "stats/test_compare_simulation": "stats/test_arms_simulation",
    "stats/test_searches": "stats/test_versus_random",
    "stats/test_restriction": "stats/test_non_inferiority",
    "train/test_recipe": "recipe/test_recipe",
    "study/test_apart": "jobs/test_isolated",
    "study/test_engine": "jobs/test_engine",
    "study/test_ray_engine": "jobs/test_ray_engine",
    "study/test_forecast": "jobs/test_forecast",
    "study/test_store": "jobs/test_store",
    "study/test_postgresql": "jobs/test_postgresql",
    "study/test_run": "jobs/test_train",
    "study/test_reliability_run": "study/test_recheck",
    "study/test_asking": "study/test_proposals",
    "study/test_latency": "study/test_timing",
    "study/test_population_analysis": "findings/test_population",
    "study/test_narrowing": "findings/test_narrowing",
    "report/test_analysis": "findings/test_comparison",
    "cli/test_watch": "cli/test_progress",
}

NAMES = {
    "language.reader": {},
    "nn.backbone": {"Backbone": "Classifier", "Pyramid": "Backbone", "Trunk": "_Trunk"},
    "nn.inner_features": {"InnerNodes": "InnerFeatures"},
    "recipe.recipe": {
        "Optimiser": "OptimizerName",
        "Decayed": "DecayOn",
        "Every": "LrPer",
        "CosineFrom": "CosineStart",
        "Policy": "AutoAugment",
    },
    "space.compiled": {"Layout": "CompiledSpace"},
    "space.distributions": {"Draw": "Distribution", "DRAWS": "DISTRIBUTIONS", "Same": "EqualTo"},
    "space.linear_fit": {"Fit": "LinearFit"},
    "space.points": {"Realised": "Candidates"},
    "space.space": {"Step": "Refinement"},
    "spec.widths": {"Match": "MatchedWidths"},
    "stats.arms": {"METHOD": "ARMS_METHOD", "POWER": "ARMS_POWER"},
    "stats.populations": {"METHOD": "POPULATIONS_METHOD", "QUANTILES": "COMPARED_QUANTILES"},
    "stats.best_of": {"QUANTILES": "BEST_OF_QUANTILES"},
    "stats.variance": {"Table": "SumsOfSquares", "analyse": "sums_of_squares", "DRAWS": "POSTERIOR_DRAWS"},
    "stats.bootstrap": {"FEWEST": "FEWEST_TO_RESAMPLE"},
    "stats.reliability": {"Verdict": "RankVerdict", "Schedule": "ScheduleVerdict", "Said": "VerdictText"},
    "stats.regression": {"Fitted": "LinearModel", "Score": "PredictorScore", "Scores": "PredictorScores"},
    "stats.non_inferiority": {"FEWEST": "FEWEST_TO_NARROW", "Cost": "ErrorIncrease", "Verdict": "NarrowingVerdict"},
    "stats.sample_size": {"Plan": "SampleSize", "Need": "NetworksNeeded", "plan_networks": "sample_size"},
    "stats.order_stability": {"OrderSurvival": "OrderStability"},
    "weights.formats.convert": {"Match": "FormatMatch"},
    "weights.formats.compare": {"compare": "shape_differences", "fitted": "fit_to_shapes"},
    "weights.formats.table": {"Change": "TensorChange", "Table": "NamingTable"},
    "jobs.isolated": {"Apart": "Isolated"},
    "jobs.engine": {"Lost": "WorkerDied", "Told": "Message", "Asked": "Request", "Said": "Reply"},
    "jobs.execution": {"Session": "Execution", "carry_out": "execute"},
    "jobs.forecast": {"Timing": "RunTiming"},
    "jobs.resources": {"Placement": "Resources", "place_of": "resources_of", "HERE": "LOCAL_CLUSTER"},
    "jobs.store": {"Choices": "Categories", "SCHEMA": "STORE_SCHEMA"},
    "jobs.records": {"SCHEMA": "STUDY_SCHEMA"},
    "jobs.train": {"check_place": "check_resources"},
    "latency.records": {"SCHEMA": "LATENCY_SCHEMA", "Call": "TimedCall", "Timed": "TimedNetwork"},
    "latency.predict": {"COSTS": "PREDICTING_COSTS"},
    "study.plan": {"distinct": "distinct_runs", "plan": "plan_comparison"},
    "study.question": {"Asked": "Question"},
    "study.saved": {"FILE": "STUDY_FILE", "Saved": "StudyFile"},
    "study.comparison.question": {"Match": "MatchedCost"},
    "study.population.question": {"PopulationQuestion": "Population"},
    "study.population.records": {
        "SCHEMA": "POPULATION_SCHEMA",
        "Drawn": "SpaceSample",
        "Trained": "HowTrained",
        "Population": "PopulationStudy",
    },
    "study.population.run": {"fitted": "fitted_space", "draw": "sample_spaces"},
    "study.recheck.run": {"ReliabilityQuestion": "Recheck", "run_reliability": "run_recheck"},
    "study.recheck.saved": {"FILE": "RECHECK_FILE", "load_retrained": "load_recheck"},
    "study.search.question": {"SearchQuestion": "Search"},
    "study.search.records": {
        "SCHEMA": "SEARCH_SCHEMA",
        "Asked": "SearchedNetwork",
        "Course": "SearchLog",
        "Search": "SearchStudy",
        "Outcome": "SearchFindings",
    },
    "study.search.saved": {"course_so_far": "log_so_far", "write_course": "write_log"},
    "study.search.proposals": {"Told": "Feedback", "Judged": "Judgement", "Genome": "Encoding"},
    "study.search.pick": {"Picked": "PickedNetwork", "pick": "pick_networks"},
    "study.timing.fit": {
        "FEWEST": "FEWEST_TO_FIT",
        "LatencyQuestion": "Timing",
        "sampled": "sample_candidates",
        "distinct": "distinct_candidates",
    },
    "findings.comparison": {"Analysis": "ComparisonFindings", "analyse": "analyse_comparison"},
    "findings.population.records": {
        "SCHEMA": "FINDINGS_SCHEMA",
        "Lost": "NoResult",
        "Marked": "NamedNetwork",
        "Analysis": "PopulationFindings",
        "Retrained": "RecheckRuns",
        "Distribution": "ErrorDistribution",
    },
    "findings.population.results": {"Run": "RunResult"},
    "findings.population.axis_findings": {"FEWEST": "FEWEST_FOR_AXES"},
    "findings.population.importance": {"FEWEST": "FEWEST_FOR_IMPORTANCE", "METHOD": "IMPORTANCE_METHOD"},
    "findings.population.space_pairs": {"FEWEST": "FEWEST_OF_A_SPACE"},
    "findings.narrowing.features": {"FEWEST": "FEWEST_DRAWS", "sampled": "sample_more"},
    "findings.narrowing.propose": {"propose": "propose_space"},
    "findings.narrowing.records": {"Considered": "StepVerdict", "Proposal": "ProposedSpace"},
    "findings.narrowing.steps": {"Step": "NarrowingStep", "Change": "SpaceChange", "orders": "order_steps"},
    "findings.search": {"search_outcome": "analyse_search"},
    "report.comparison.numerals": {"COSTS": "COST_COLUMNS"},
    "report.drawing": {"draw": "draw_network"},
    "report.population.tables": {"sampled": "sample_table", "orders": "order_table"},
}
"""By module (its new name) the names that it defines, old and new."""

WORDS = {
    r"\boptimiser": "optimizer",
    r"\bOptimiser": "Optimizer",
    r"\bmake_optimiser\b": "make_optimizer",
    r"\bcolour_jitter\b": "color_jitter",
    r"(?<=\.)colours\b": "color_order",
    r"\bcolours(?=(: |=))": "color_order",
    r'"colours"': '"color_order"',
    r"`colours`": "`color_order`",
    r"(N|n)ormalis(?=(e|i|a))": r"\1ormaliz",
    r"_normalis(?=(e|i|a))": "_normaliz",
    r"\bdecayed(?=(=(\"|all|weights)|: Decay|          +\"all))": "decay_on",
    r"\brecipe\.decayed\b": "recipe.decay_on",
    r'"decayed"': '"decay_on"',
    r"\bpolicy_layers\b": "augment_ops",
    r"\bpolicy_magnitude\b": "augment_magnitude",
    r"\brecipe\.policy\b": "recipe.auto_augment",
    r'\bpolicy(?=="(randaugment|autoaugment|none)")': "auto_augment",
    r"\bpolicy(?=(: AutoAugment|=(randaugment|autoaugment|none)))": "auto_augment",
    r"\blr_every\b": "lr_per",
    r"\bcosine_from\b": "cosine_starts_at",
    r"\b(L|l)icence(?=(s|_|\b))": r"\1icense",
    r"\bany_licence": "any_license",
    r"_licence": "_license",
    r'"akamaster"': '"pytorch_resnet_cifar10"',
    r"\bspace reliability\b": "space recheck",
    r"\breliability\.json\b": "recheck.json",
}
"""Everywhere: in code, tests, docs and data of the project."""

# ruff: noqa: D103
ROOT = Path.cwd()
PACKAGE = ROOT / "src" / "dorsal"


def path_of(module: str) -> Path:
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def move(old: Path, new: Path) -> None:
    if old.exists() and not new.exists():
        new.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "mv", str(old), str(new)], check=True)


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True
    )
    found = (ROOT / line for line in listed.stdout.splitlines())
    texts = {".py", ".md", ".toml", ".js", ".css", ".json", ""}
    spared = ("rename.py", "LICENSE", "same_results.py")
    kept = [
        path for path in found if path.name not in spared and "experiments/cifar10_spaces/population" not in str(path)
    ]
    return [path for path in kept if path.suffix in texts and path.is_file()]


def rename_modules(text: str) -> str:
    for old, new in sorted(MOVES.items(), key=lambda pair: -len(pair[0])):
        here, there = f"dorsal.{old}", f"dorsal.{new}"
        inside = r"(?!\.\w)" if new.startswith(f"{old}.") else ""  # the old file has become a folder
        text = re.sub(rf"\b{re.escape(here)}\b{inside}", there, text)
        room, _, name = old.rpartition(".")
        new_room, _, new_name = new.rpartition(".")
        faced = rf"\bfrom dorsal\.{re.escape(room)} import {name}$"
        text = re.sub(faced, f"from dorsal.{new_room} import {new_name}", text, flags=re.M)
        slashed, new_slashed = old.replace(".", "/"), new.replace(".", "/")
        text = re.sub(rf"(?<![\w/]){slashed}\.py\b", f"{new_slashed}.py", text)
        text = re.sub(rf"(?<=dorsal/){slashed}\.py\b", f"{new_slashed}.py", text)
    return text


def imported(text: str, module: str) -> set[str]:
    """The names that a file imports from a module."""
    found: set[str] = set()
    for match in re.finditer(rf"from dorsal\.{re.escape(module)} import (\([^)]*\)|[^\n]+)", text):
        found |= {part.split(" as ")[0].strip() for part in match[1].strip("()").replace("\n", " ").split(",")}
    return found


def rename_names(path: Path, text: str) -> str:
    mapping: dict[str, str] = {}
    for module, names in NAMES.items():
        own = path == path_of(module) or (module.startswith("stats.") and path == PACKAGE / "stats" / "__init__.py")
        known = imported(text, module)
        if module.startswith("stats."):
            known |= imported(text, "stats") & set(names)
        for old, new in names.items():
            there = (
                re.search(rf"^(class|def|async def) {old}\b|^{old}\b[^=\n]*=", text, re.M)
                if path == path_of(module)
                else own
            )
            if there or old in known:
                mapping[old] = new
    if not mapping:
        return text
    words = "|".join(map(re.escape, mapping))
    # A function's name can be a word of prose as well: only where it is called, imported, defined or quoted.
    verbs = "|".join(old for old in mapping if old.islower()) or "(?!)"
    nouns = "|".join(old for old in mapping if not old.islower()) or "(?!)"
    pattern = re.compile(
        rf"(?<![\w.\"'])(?:{nouns})(?![\w\"'])(?!=[^=])"
        rf"|(?<![\w.\"'])(?:{verbs})(?=\()"
        rf"|(?<=`)(?:{verbs})(?=`)"
        rf"|(?<=^    )(?:{verbs})(?=,$)|(?<=import )(?:{verbs})\b|(?<=, )(?:{verbs})(?=(, \w+)*$)",
        re.M,
    )
    text = pattern.sub(lambda match: mapping[match[0]], text)
    listed = re.compile(rf"(?<=TypeVar\(\")(?:{words})(?=\")|(?<=^    \")(?:{words})(?=\",$)", re.M)
    return listed.sub(lambda match: mapping[match[0]], text)


def main() -> None:
    for old, new in MOVES.items():
        if old == "study.comparison" and (PACKAGE / "study" / "comparison.py").exists():
            (PACKAGE / "study" / "comparison").mkdir(exist_ok=True)
        move(path_of(old), path_of(new))
    for room, text in ROOMS.items():
        face = PACKAGE.joinpath(*room.split(".")) / "__init__.py"
        if face.parent.is_dir() and not face.exists():
            face.write_text(f'"""{text}"""\n', encoding="utf-8")
            subprocess.run(["git", "add", str(face)], check=True)
    for gone in ("study/analysis", "study/latency", "study/narrowing"):
        face = PACKAGE / gone / "__init__.py"
        if face.exists() and not any(p for p in face.parent.glob("*.py") if p != face):
            subprocess.run(["git", "rm", "-qf", str(face)], check=True)
    for old, new in TESTS.items():
        move(ROOT / "tests" / f"{old}.py", ROOT / "tests" / f"{new}.py")
    for path in files():
        before = text = path.read_text(encoding="utf-8")
        text = rename_modules(text)
        if path.suffix == ".py":
            text = rename_names(path, text)
        for old, new in WORDS.items():
            text = re.sub(old, new, text)
        if text != before:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
