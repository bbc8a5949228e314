"""Time of `import dorsal` and of `dorsal list`, as whole processes less the bare interpreter's start; medians.

python benchmarks/start_up.py [--rounds 11]
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import dorsal'": ["-c", "import dorsal"],
    "dorsal list": ["-m", "dorsal", "list"],
    "dorsal --help": ["-m", "dorsal", "--help"],
    "dorsal show resnet50 resnest50": ["-m", "dorsal", "show", "resnet50", "resnest50"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    seconds = {name: [] for name in COMMANDS}
    for _ in range(parser.parse_args().rounds):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(each[1:]) for name, each in seconds.items()}
    bare = medians["python -c pass"]
    for name, median in medians.items():
        print(f"{name:32} {median:6.3f} s whole, {median - bare:6.3f} s above the bare interpreter")


if __name__ == "__main__":
    main()
