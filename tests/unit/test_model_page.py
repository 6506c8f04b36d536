"""docs/model.md: every line has a number, a place on the CPU and on the GPU, and the places exist.

Comments in the sources point to its lines, as "docs/model.md (16)"; those lines must exist, too.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "model.md"
POINTER = re.compile(r"model\.md((?:[\s*/]|,|and|to|\(\d+\))*)")


def numbers(text):
    return [int(n) for n in re.findall(r"\((\d+)\)", text)]


def places(cell):
    """(file, name) of all that a cell of a table names."""
    file = None
    for code in re.findall(r"`([^`]+)`", cell):
        if "/" in code:
            file = code
            yield file, None
        elif file:
            yield file, code


def check_place(line, file, name):
    path = ROOT / file
    if not path.is_file():
        return [f"line {line}: there is no {file}"]
    if name and not re.search(rf"\b{re.escape(name)}\b", path.read_text()):
        return [f"line {line}: {file} does not have {name}"]
    return []


def check_tables(text, lines):
    failures, placed = [], []
    for row in re.findall(r"^\| \(.*\|$", text, re.M):
        line, cpu, gpu = (cell.strip() for cell in row.strip("|").split("|"))
        placed += numbers(line)
        for cell in (cpu, gpu):
            if not cell:
                failures.append(f"line {line}: a place is missing")
            for file, name in places(cell):
                failures += check_place(line, file, name)
    if sorted(placed) != lines:
        failures.append(f"places of lines {placed}, but lines {lines}")
    return failures


def check_pointers(lines):
    failures, count = [], 0
    for folder in ("core", "cuda"):
        for path in sorted((ROOT / folder).rglob("*.[ch]*")):
            for pointer in POINTER.findall(path.read_text()):
                count += len(numbers(pointer))
                for n in set(numbers(pointer)) - set(lines):
                    failures.append(f"{path.relative_to(ROOT)} points to line ({n})")
    print(f"{count} pointers to lines")
    return failures


def main():
    text = PAGE.read_text()
    lines = [int(n) for n in re.findall(r"^\*\*\((\d+)\)\*\*", text, re.M)]
    failures = check_tables(text, lines) + check_pointers(lines)
    if not lines or lines != list(range(1, len(lines) + 1)):
        failures.append(f"lines are not numbered 1, 2, 3 ...: {lines}")
    for failure in failures:
        print("FAIL", failure)
    print(f"{len(lines)} lines, {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
