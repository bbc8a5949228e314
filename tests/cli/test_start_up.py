"""What the quick commands import. How long they take, benchmarks/start_up.py prints."""

import subprocess
import sys

import dorsal

HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "accelerate",
    "numpy",
    "scipy",
    "optuna",
    "sqlalchemy",
    "plotly",
    "PIL",
    "psutil",
}


def loaded(script):
    """The packages that a Python of its own has imported after this script."""
    script += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


def test_import_loads_nothing_of_others():
    assert loaded("import dorsal") & {*HEAVY, "msgspec", "typer"} == set()


def test_list_loads_nothing_heavy():
    script = "import sys; sys.argv=['dorsal','list']; from dorsal.cli import main\ntry: main()\nexcept SystemExit: pass"
    assert loaded(script) & HEAVY == set()


def test_every_public_name_is_there_and_lazy():
    assert sorted(dorsal.__all__) == sorted(dorsal._HOME)
    for name in dorsal.__all__:
        assert callable(getattr(dorsal, name)), name
    assert set(dorsal.__all__) <= set(dir(dorsal))
    assert not hasattr(dorsal, "no_such_name")
