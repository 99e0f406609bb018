"""What the benchmarks share: runs of commands in turn, their times and memory, and the machine's description."""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass
class Run:
    seconds: float
    memory: int
    """Peak resident bytes; mapped file pages count, and it is never below the 15 MB of Python, which starts the command."""
    written: int


def options(description, rounds=None):
    """A parser of what the benchmarks take alike: the program, where the checkpoints are, and how many rounds."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--embedfuse", type=os.path.abspath, default=".build/release/embedfuse")
    parser.add_argument("--data", type=lambda path: Path(path).resolve(), default=".build-bench")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds)
        parser.add_argument("--quick", action="store_true")
    return parser


def size(path):
    """Bytes of a file, or of all files of a directory."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def warm(folder):
    """Reads a folder's files into the page cache."""
    for file in folder.rglob("*.safetensors"):
        with open(file, "rb", buffering=0) as stream:
            while stream.read(1 << 24):
                pass


def measure(command, output):
    """One run of a command that writes to a new output. What the disk still has to do is finished before."""
    remove(output)
    os.sync()
    start = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"failed with {child.returncode}: {' '.join(map(str, command))}\n{errors.decode()[-2000:]}")
    return Run(seconds, usage.ru_maxrss * 1024, size(output))


def race(contestants, rounds, warms_up=True):
    """Name -> runs, from name -> (command, output). A round before the first, which fills the page cache, doesn't count."""
    runs = {name: [] for name in contestants}
    for number in range(-1 if warms_up else 0, rounds):
        for name, (command, output) in contestants.items():
            run = measure(command, output)
            if number >= 0:
                runs[name].append(run)
            remove(output)
    return runs


def median(runs):
    return statistics.median(run.seconds for run in runs)


def spread(runs):
    seconds = [run.seconds for run in runs]
    return f"{min(seconds):.2f} to {max(seconds):.2f}"


def memory(runs):
    return max(run.memory for run in runs) / 1e6


def ratio(runs, others):
    """The median over the rounds of the ratio of times within a round."""
    return statistics.median(own.seconds / other.seconds for own, other in zip(runs, others))


def machine():
    """The machine, without its name."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (f"{model}, {os.cpu_count()} processors, {total / 1e9:.0f} GB, Linux {platform.release()}, "
            f"pages of {os.sysconf('SC_PAGE_SIZE')} bytes")


def generate(folder, families):
    """Generates what isn't there, in a process of its own: a child's peak memory counts from its parent's."""
    subprocess.run([sys.executable, HERE / "checkpoints.py", folder, *families], check=True)
