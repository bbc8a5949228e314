"""What the quick commands import. How long they take, benchmarks/start_up.py prints."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import dorsal
from tests.processes import Copied

HEAVY = {
    "PIL",
    "accelerate",
    "numpy",
    "optuna",
    "plotly",
    "psutil",
    "pydantic",
    "rich",
    "scipy",
    "sqlalchemy",
    "timm",
    "torch",
    "torchvision",
    "typer",
}


def loaded(script: str) -> set[str]:
    """The packages, and our own modules, that a Python of its own has imported after this script."""
    script += (
        "\nimport sys; print(*{name if name.startswith('dorsal') else name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def loaded_by(*words: str) -> set[str]:
    """The same of a command."""
    script = f"import sys; sys.argv = {['dorsal', *words]}\nfrom dorsal.cli import main\ntry: main()\n"
    return loaded(f"{script}except SystemExit as ended: assert not ended.code")


def test_import_loads_nothing_of_others() -> None:
    assert loaded("import dorsal") & {*HEAVY, "msgspec", "click"} == set()


@pytest.mark.parametrize("words", [("list",), ("list", "res2", "--json"), ("recipes",), ("recipes", "tricks")], ids=str)
def test_lists_load_nothing_heavy(words: tuple[str, ...]) -> None:
    assert loaded_by(*words) & HEAVY == set()


def test_the_list_of_networks_needs_no_paths() -> None:
    """They take as long to import as counting the networks."""
    assert loaded_by("list") & {"pathlib", "urllib", "hashlib", "dorsal.cli.folders"} == set()


@pytest.mark.parametrize("words", [(), ("--help",), ("space", "--help"), ("--version",), ("help",)], ids=str)
def test_the_list_of_verbs_loads_none_of_them(words: tuple[str, ...]) -> None:
    found = loaded_by(*words)
    assert found & {*HEAVY, "msgspec"} == set()
    assert {name for name in found if name.startswith("dorsal")} == {
        "dorsal", "dorsal.cli", "dorsal.cli.app", "dorsal.cli.group", "dorsal.cli.interrupts",
    }  # fmt: skip


def test_a_question_is_read_without_torch() -> None:
    assert "torch" not in loaded("import dorsal\ndorsal.Comparison, dorsal.Recheck, dorsal.Timing, dorsal.Evaluation")


def test_every_public_name_is_there_and_lazy() -> None:
    assert sorted(dorsal.__all__) == sorted(dorsal._HOME)
    for name in dorsal.__all__:
        assert callable(getattr(dorsal, name)), name
    assert set(dorsal.__all__) <= set(dir(dorsal))
    assert not hasattr(dorsal, "no_such_name")


def test_what_is_scored_is_said_before_torch_is_imported() -> None:
    script = "import sys; sys.argv = ['dorsal', 'evaluate', 'runs/x']; sys.modules['torch'] = None  # fails\n"
    script += "from dorsal.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == "scoring runs/x on scenes"


def says_modules() -> None:
    """Prints what is loaded after the imports of `dorsal evaluate MODEL`."""
    for module in ("dorsal.cli.evaluate", "dorsal.study.evaluation.plan"):
        importlib.import_module(module)
    print(*{name if name.startswith("dorsal") else name.partition(".")[0] for name in sys.modules})


def test_one_model_is_scored_without_what_many_need(tmp_path: Path) -> None:
    """In a copy of what workers are copies of, so that torch is not imported once more."""
    found = set(Copied(says_modules, errors=tmp_path / "errors").rest().split())
    assert found >= {"torch", "dorsal.cli.evaluate", "dorsal.study.evaluation.plan"}
    assert found & {"optuna", "sqlalchemy", "rich", "dorsal.jobs.execution", "dorsal.jobs.ray_engine"} == set()
