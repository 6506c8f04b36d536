"""What the tests of the Python package share: their command line and their structures."""

import argparse
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "lammps"))

from lammps_run import SKIPPED, Failed, close, run_checks, true  # noqa: F401
from test_golden import read_golden

SAME = 1e-12  # eV, eV/A: sums of numbers of order one in another order


def from_command_line(description, checks, arguments=("golden", "converted")):
    """Run the checks, each check(options); exit with 1 if one failed, 77 if none could run."""
    parser = argparse.ArgumentParser(description=description)
    for name in arguments:
        parser.add_argument(f"--{name}", type=Path)
    for name in {"golden", "converted"} - set(arguments):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--only", help="run only the checks whose name contains this")
    options = parser.parse_args()
    run_checks(checks, options, options.only)


def golden_atoms(path):
    """(atoms with charge and spin, what the golden file says)"""
    from ase import Atoms

    golden = read_golden(path)
    atoms = Atoms(
        golden["symbols"],
        positions=golden["positions"],
        cell=np.array(golden["cell"], dtype=float).reshape(3, 3),
        pbc=[int(p) for p in golden["pbc"]],
    )
    atoms.info.update(charge=int(golden["charge"][0]), spin=int(golden["spin"][0]))
    return atoms, golden


def refused(what, words, action, error=None):
    """The action must raise `error` (UmasError), one line that holds `words`."""
    from umas import UmasError

    try:
        action()
    except error or UmasError as problem:
        text = str(problem)
        true(f"{what}: one line, not {text!r}", "\n" not in text and text)
        true(f"{what}: {words!r} is not in {text!r}", words in text)
        print(f"     {what}: {text}")
    else:
        raise Failed(f"{what} is not refused")
