"""What the judging scripts share: their options, the two judged calculators, files of results."""

import contextlib
import json
import os
import sys
from pathlib import Path

from judge_student import Student, StudentCalculator, add_student_options
from teacher import check_teacher, load_teacher


def add_options(parser):
    """Who is judged and where the results go."""
    parser.add_argument("who", choices=("teacher", "student"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cpu", help="of the teacher: cpu (default) or cuda")
    add_student_options(parser)


@contextlib.contextmanager
def open_calculator(options):
    """The ASE calculator of `options.who`."""
    if options.who == "teacher":
        teacher = load_teacher(options.device)
        check_teacher(teacher)
        yield teacher
        return
    calculator = StudentCalculator(Student(options))
    try:
        yield calculator
    finally:
        calculator.close()


def read_results(path):
    """What an earlier run left in the file, if anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return json.loads(path.read_text()) if path.exists() else {}


@contextlib.contextmanager
def needing_results(folder):
    """Ends the program with one line where the body misses a result of the judging scripts."""
    try:
        yield
    except KeyError as missing:
        sys.exit(f"{folder} lacks the results {missing}: run the judging scripts first")


def write_results(path, results):
    """Writes the file at once, so that an interrupted run leaves the old one."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, default=float) + "\n")  # numpy's numbers are floats too
    os.replace(part, path)
