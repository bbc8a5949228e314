"""Speed is a feature: what loads torch, and how long the quick commands take."""

import resource
import subprocess
import sys

import dorsal


def best_seconds(*arguments):
    """The least processor time of five whole processes. They are single-threaded, so on an idle machine it is their
    wall time, and on a busy one it still says what the code takes."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(seconds)


def test_import_is_quick_and_free_of_torch():
    script = "import sys, dorsal; print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy', 'msgspec'}))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"
    assert best_seconds("-c", "import dorsal") - best_seconds("-c", "pass") <= 0.1


SMALLEST = "import typer; app = typer.Typer()\n@app.command()\ndef f(name: str = ''): pass\napp()"


def test_list_is_quick_and_free_of_torch():
    """`dorsal list` costs little beyond the smallest Typer program. The figure itself, 0.3 s, depends on the machine's
    speed of the moment; benchmarks/start_up.py prints it."""
    assert best_seconds("-m", "dorsal", "list") - best_seconds("-c", SMALLEST) <= 0.15
    script = "import sys; sys.argv=['dorsal','list']; from dorsal.cli import main\ntry: main()\nexcept SystemExit: pass"
    script += "\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_every_public_name_is_there_and_lazy():
    assert sorted(dorsal.__all__) == sorted(dorsal._HOME)
    for name in dorsal.__all__:
        assert callable(getattr(dorsal, name)), name
    assert set(dorsal.__all__) <= set(dir(dorsal))
    assert not hasattr(dorsal, "no_such_name")
