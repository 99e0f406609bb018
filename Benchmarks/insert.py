"""Runs a command and puts what it prints between the markers of a section of docs/benchmarks.md.

use: insert.py SECTION COMMAND...       the markers are <!-- SECTION --> and <!-- end of SECTION -->

What the command prints is shown, too. If it fails the page stays as it is.
"""

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def parts(section):
    """The page before the section's contents, and after them."""
    start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    before, found, rest = PAGE.read_text().partition(start)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        sys.exit(f"insert.py: {PAGE} has no section {section}")
    return before + start, end + after


def main():
    section, command = sys.argv[1], sys.argv[2:]
    parts(section)
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if child.returncode:
        sys.exit(child.returncode)
    before, after = parts(section)
    PAGE.write_text(f"{before}\n{''.join(lines).strip()}\n\n{after}")


if __name__ == "__main__":
    main()
