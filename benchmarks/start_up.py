"""Processor time of the quick commands, as whole processes and as multiples of the bare interpreter's start.

python benchmarks/start_up.py [--rounds 15]

The aim is at most 8 times for `dorsal list` and `dorsal --help`. Processor time, as it depends little on what else the
machine does; rounds of all commands in turn, as it depends somewhat. Modules are compiled before, as they are where a
package is installed.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile

BARE = "python -c pass"
COMMANDS = {
    BARE: ["-c", "pass"],
    "python -c 'import dorsal'": ["-c", "import dorsal"],
    "python -c 'import msgspec, click'": ["-c", "import msgspec, click"],
    "dorsal --help": ["-m", "dorsal", "--help"],
    "dorsal list": ["-m", "dorsal", "list"],
    "dorsal recipes": ["-m", "dorsal", "recipes"],
    "dorsal show resnet50 resnest50": ["-m", "dorsal", "show", "resnet50", "resnest50"],
}


def processor_seconds(arguments, environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    seconds = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        environment["PYTHONPYCACHEPREFIX"] = folder
        for number in range(rounds + 1):  # the first round compiles
            for name, arguments in COMMANDS.items():
                taken = processor_seconds(arguments, environment)
                if number:
                    seconds[name].append(taken)
    least, median = ({name: of(each) for name, each in seconds.items()} for of in (min, statistics.median))
    print(f"{'':34} {'least':>8} {'median':>8}   times the bare start")
    for name in COMMANDS:
        ratios = f"{least[name] / least[BARE]:5.1f} {median[name] / median[BARE]:7.1f}"
        print(f"{name:34} {1e3 * least[name]:5.0f} ms {1e3 * median[name]:5.0f} ms   {ratios}")


if __name__ == "__main__":
    main()
