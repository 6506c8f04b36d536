"""Where the parts of umas lie that are not Python."""

from pathlib import Path

from . import _build
from .lammps import refuse_another_lammps


def prefix():
    """Folder with lib, include, bin and share of umas: a prefix for CMake's find_package(umas)."""
    return Path(__file__).parent


def library_path():
    """libumas.so, which the calculator calls."""
    return prefix() / "lib" / f"libumas.so.{_build.SOVERSION}"


def potentials():
    """Folder of the potential for silicon and silica that comes with umas."""
    return prefix() / "share" / "umas" / "potentials"


def examples():
    """Folder of the example decks."""
    return prefix() / "share" / "doc" / "umas" / "examples"


def plugin_path(lammps=None):
    """umasplugin.so, for LAMMPS' command `plugin load`.

    lammps   the LAMMPS that is to load it: the path of a program, or an object of the Python module
             `lammps`.  Where the plugin does not fit it, UmasError says why.  None: nothing is
             checked here, but the plugin refuses another LAMMPS when it is loaded.
    """
    if lammps is not None:
        refuse_another_lammps(lammps)
    return prefix() / "lib" / "umas" / "umasplugin.so"
