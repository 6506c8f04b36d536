"""The commands that pip puts on PATH."""

import os
import sys

from .errors import UmasError
from .installation import prefix
from .lammps import start


def lammps():
    """umas-lammps: LAMMPS with the plugin; all arguments are LAMMPS' own."""
    try:
        start(sys.argv[1:])
    except UmasError as problem:
        sys.exit(f"umas-lammps: {problem}")


def info():
    _become("umas-info")


def bench():
    _become("umas-bench")


def _become(name):
    program = prefix() / "bin" / name
    try:
        os.execv(program, [name, *sys.argv[1:]])
    except OSError as problem:
        sys.exit(f"{name}: {program}: {problem.strerror}; install umas again")
