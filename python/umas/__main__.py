"""python -m umas: what is installed, or a copy of the examples."""

import argparse
import shutil
import sys
from pathlib import Path

from . import UmasError, __version__, _build, examples, plugin_path, potentials, prefix
from . import _library as c
from ._library import library


def main():
    parser = argparse.ArgumentParser("python -m umas", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    copy = commands.add_parser("examples", help="copy the example decks and the small potential")
    copy.add_argument("folder", type=Path, help="the folder to make")
    options = parser.parse_args()
    try:
        copy_examples(options.folder) if options.command == "examples" else describe()
    except UmasError as problem:
        sys.exit(f"umas: {problem}")
    except OSError as problem:
        sys.exit(f"umas: {problem.filename}: {problem.strerror}")


def describe():
    engines = ["cpu"] + ["cuda"] * bool(library().umas_backend_built(c.CUDA))
    print(f"umas {__version__}: engines built in: {', '.join(engines)}")
    print(f"GPUs: {library().umas_device_count()}")
    print(f"plugin for LAMMPS {_build.LAMMPS_VERSION}: {plugin_path()}")
    print(f"potential: {potentials() / 'student-SiO.safetensors'}")
    print(f"examples: {examples()}")
    print(f"prefix for CMake: {prefix()}")


def copy_examples(folder):
    if folder.exists():
        raise UmasError(f"{folder} exists already; name a folder that is to be made")
    shutil.copytree(examples(), folder)
    for potential in potentials().glob("*.safetensors"):
        shutil.copy(potential, folder)
    print(f"{folder}: in it, umas-lammps -in in.demo")


if __name__ == "__main__":
    main()
