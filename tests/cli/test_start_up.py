"""Speed is a feature: what loads torch, and how long the quick commands take."""

import subprocess
import sys
import time

import dorsal


def best_seconds(*arguments):
    """The shortest of five whole-process times: the machine may be busy, the code cannot be faster than it is."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_import_is_quick_and_free_of_torch():
    script = "import sys, dorsal; print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy', 'msgspec'}))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"
    assert best_seconds("-c", "import dorsal") - best_seconds("-c", "pass") <= 0.1


def test_list_is_quick_and_free_of_torch():
    assert best_seconds("-m", "dorsal", "list") <= 0.3
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
