"""Measures how long the command takes to start, and what it needs to; prints Markdown.

use: startup.py --embedfuse PATH [--rounds 20]
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time

# What is run, and the exit code that it should have. The last two are wrong: an unknown method, a missing input.
RUNS = [
    ("true", 0),
    ("embedfuse --version", 0),
    ("embedfuse merge --help", 0),
    ("embedfuse merge --method unknown a b -o c", 64),
    ("embedfuse merge --method soup missing -o c", 66),
]


def milliseconds(command, code):
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True)
    passed = (time.perf_counter() - start) * 1000
    assert result.returncode == code, (command, result)
    return passed


def libraries(program):
    """The shared libraries that the program names, and those that come with them."""
    dynamic = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    direct = re.findall(r"NEEDED.*\[(.*)\]", dynamic)
    loaded = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines()
    return direct, sorted({os.path.basename(line.split()[0]) for line in loaded} - set(direct))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--embedfuse", type=os.path.abspath, default=".build/release/embedfuse")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    program = arguments.embedfuse
    print("| | milliseconds, median | least to greatest |\n|---|--:|--:|")
    os.chdir(tempfile.gettempdir())
    for command, code in RUNS:
        times = [milliseconds([program if part == "embedfuse" else part for part in command.split()], code)
                 for _ in range(arguments.rounds)]
        print(f"| `{command}` | {statistics.median(times):.1f} | {min(times):.1f} to {max(times):.1f} |")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["strip", "-o", f"{folder}/stripped", program], check=True)
        stripped = os.path.getsize(f"{folder}/stripped")
    direct, others = libraries(program)
    print(f"\nThe program is one file of {os.path.getsize(program) / 1e6:.1f} MB, {stripped / 1e6:.1f} MB stripped. It needs "
          f"{', '.join(f'`{name}`' for name in direct)}; with these come {', '.join(f'`{name}`' for name in others)}.")


if __name__ == "__main__":
    main()
