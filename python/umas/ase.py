"""A calculator for ASE.

from umas.ase import UMAS

atoms.calc = UMAS("uma-s-1p2p1.safetensors", task="omat")
"""

import os
import re
import sys
import threading

import numpy as np

try:
    from ase.calculators.calculator import Calculator, all_changes

    from .neighbours import Graph
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"umas.ase needs the package {missing.name}: pip install ase vesin", name=missing.name
    ) from None

from . import _library as c
from ._library import library
from .checkpoints import open_model
from .engine import Engine
from .errors import UmasError

_VOIGT = [0, 1, 2, 5, 4, 3]  # xx yy zz yz xz xy from umas' xx yy zz xy xz yz
_INFO = ("charge", "spin")
FARTHEST = 1e9  # A: beyond, distances are lost to rounding


class UMAS(Calculator):
    """UMA-S energies, forces and stresses.

    model      a model file of umas-convert, or a .pt checkpoint, which is converted once and kept
               (umas.checkpoints)
    task       one of the model's tasks, such as "omat"; may be left out where there is only one
    device     "cpu", "cuda" (a GPU with free memory), "cuda:1" (that one), or "auto": a GPU where
               there is one and it can run the model, else the CPU
    precision  on the CPU "double" (taken for None) or "single", on a GPU "mixed" (None) or "single"
    skin       A that neighbour lists reach beyond the cutoff: larger makes new lists rarer, and
               each step a little slower
    memory     share of the GPU's free memory that may be used, 0 < memory <= 1

    The total charge and the spin multiplicity are atoms.info["charge"] and atoms.info["spin"],
    integers.  Where they are missing, the charge is 0 and the spin 1 for task omol, 0 for others.

    Results, in eV and A: energy and free_energy (the same), forces, energies (of the atoms); where
    the cell has a volume, stress and stresses (of the atoms, which add up to the stress).

    What goes wrong is raised as UmasError with one line that says what to do.  Calculators may be
    used in several threads and pickled; one that several threads share works for one at a time.
    """

    implemented_properties = ["energy", "free_energy", "forces", "energies", "stress", "stresses"]
    default_parameters = {
        "model": None,
        "task": None,
        "device": "auto",
        "precision": None,
        "skin": 1.0,
        "memory": 0.9,
    }

    def __init__(self, model, task=None, device="auto", precision=None, skin=1.0, memory=0.9):
        self._start()
        super().__init__(
            model=os.fspath(model),
            task=task,
            device=device,
            precision=precision,
            skin=skin,
            memory=memory,
        )
        self._prepare()

    def _start(self):
        self._lock = threading.RLock()
        self._settings = self._engine = self._engine_for = self._graph = None

    def set(self, **changes):
        """Change arguments of the constructor; the next calculation uses them."""
        unknown = changes.keys() - self.default_parameters.keys()
        if unknown:
            raise UmasError(f"UMAS has no argument {sorted(unknown)[0]!r}")
        with self._lock:
            changed = super().set(**changes)
            if changed:
                self.reset()
                self._settings = self._engine = self._graph = None
        return changed

    def __getstate__(self):
        kept = self.__dict__.copy()
        for name in ("_lock", "_settings", "_engine", "_engine_for", "_graph"):
            del kept[name]
        return kept

    def __setstate__(self, kept):
        self._start()
        self.__dict__.update(kept)

    def describe(self):
        """One line: the model, the task, and where and how the last evaluation ran."""
        with self._lock:
            settings = self._prepare()
            engine = self._engine.describe() if self._engine else "nothing evaluated yet"
            return (
                f"{settings.model.id} from {settings.model.path}, task {settings.task}, "
                f"{settings.backend}, precision {settings.precision}: {engine}"
            )

    def check_state(self, atoms, tol=1e-15):
        changes = super().check_state(atoms, tol=tol)
        if self.atoms is not None and "info" not in changes:
            before, now = self.atoms.info, atoms.info
            if any(repr(before.get(key)) != repr(now.get(key)) for key in _INFO):
                changes.append("info")
        return changes

    def get_property(self, name, atoms=None, allow_calculation=True):
        with self._lock:
            return super().get_property(name, atoms, allow_calculation)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        with self._lock:
            super().calculate(atoms, properties, system_changes)
            self.results = {}
            settings = self._prepare()
            cell = checked_cell(self.atoms)
            check_atoms(self.atoms)
            self._take_engine(settings, *charge_and_spin(self.atoms.info))
            if self._graph is None:
                self._graph = Graph(settings.model.cutoff, self.parameters.skin)
            changed = self._graph.update(
                self.atoms.positions, cell, self.atoms.pbc, self.atoms.numbers
            )
            found = self._engine.evaluate(self._graph, changed, "stresses" in properties)
            self.results = results_of(found, self.atoms)

    def _prepare(self):
        """The arguments, checked."""
        with self._lock:
            if self._settings is None:
                self._settings = Settings(self.parameters)
            return self._settings

    def _take_engine(self, settings, charge, spin):
        if self._engine is not None and self._engine_for == (charge, spin):
            return
        if self._engine is not None:
            self._engine.close()  # before another takes memory
            self._engine = None
        self._engine = Engine(
            settings.model,
            settings.task,
            charge,
            spin,
            settings.backend,
            settings.device,
            settings.precision,
            self.parameters.memory,
        )
        self._engine_for = (charge, spin)


class Settings:
    """What the arguments of UMAS come to: model, task, backend, device (or None), precision."""

    def __init__(self, parameters):
        self.model = open_model(parameters.model)
        tell_users(self.model)
        self.task = chosen_task(self.model, parameters.task)
        self.backend, self.device = chosen_device(self.model, parameters.device)
        self.precision = parameters.precision or {"cpu": "double", "cuda": "mixed"}[self.backend]
        possible = {"cpu": ("double", "single"), "cuda": ("mixed", "single")}[self.backend]
        if self.precision not in possible:
            raise UmasError(
                f"precision {self.precision!r} is not one of device {self.backend!r}, which runs "
                f"in {' or '.join(map(repr, possible))}"
            )
        for name, good in {"skin": lambda x: x >= 0, "memory": lambda x: 0 < x <= 1}.items():
            value = parameters[name]
            if not isinstance(value, (int, float)) or not np.isfinite(value) or not good(value):
                raise UmasError(f"{name} {value!r} is not possible: see help(umas.ase.UMAS)")


def tell_users(model):
    """What users of a model must see, on stderr, once."""
    if model.told:
        return
    model.told = True
    if model.note:
        print(f"umas: {model.note}", file=sys.stderr)
    if model.is_random:
        print(
            "umas: the weights of this model are random numbers: results are not physics",
            file=sys.stderr,
        )


def chosen_task(model, task):
    names = ", ".join(model.tasks)
    if task is None and len(model.tasks) == 1:
        return model.tasks[0]
    if task is None:
        raise UmasError(f"which task? {model.path} has {names}: name one with task=")
    if task not in model.tasks:
        raise UmasError(f"{model.path} has no task {task!r}; it has {names}")
    return task


def chosen_device(model, device):
    """("cpu" or "cuda", number of the GPU or None)"""
    if device == "auto":
        fits = model.channels == model.hidden_channels == 128
        return ("cuda" if fits and library().umas_device_count() > 0 else "cpu"), None
    match = re.fullmatch(r"(cpu)|cuda(?::(\d+))?", str(device))
    if not match:
        raise UmasError(f"device {device!r} is not one of 'auto', 'cpu', 'cuda' and 'cuda:0'")
    if match[1]:
        return "cpu", None
    if not library().umas_backend_built(c.CUDA):
        raise UmasError("this umas was built without its CUDA engine; use device 'cpu'")
    return "cuda", None if match[2] is None else int(match[2])


def charge_and_spin(info):
    """(charge, spin or None) of atoms.info, as FAIRChemCalculator takes them."""
    found = []
    for key, low, high in (("charge", -100, 100), ("spin", 0, 100)):
        value = info.get(key, 0 if key == "charge" else None)
        if value is None and key == "spin":
            found.append(None)
            continue
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise UmasError(
                f"atoms.info[{key!r}] is {value!r}, a {type(value).__name__}; it must be an integer"
            )
        if not low <= value <= high:
            raise UmasError(f"atoms.info[{key!r}] is {value}, which is outside {low}..{high}")
        found.append(int(value))
    return tuple(found)


def check_atoms(atoms):
    if len(atoms) == 0:
        raise UmasError("there are no atoms")
    bad = np.flatnonzero(~(np.abs(atoms.positions) <= FARTHEST).all(axis=1))
    if len(bad):
        position = ", ".join(f"{x:g}" for x in atoms.positions[bad[0]])
        raise UmasError(
            f"the position of atom {bad[0]} is ({position}), not finite or beyond {FARTHEST:g} A",
            atoms=[int(bad[0])],
        )
    bad = np.flatnonzero((atoms.numbers <= 0) | (atoms.numbers >= c.ELEMENTS))
    if len(bad):
        raise UmasError(
            f"atom {bad[0]} has atomic number {atoms.numbers[bad[0]]}, which is no element",
            atoms=[int(bad[0])],
        )


def checked_cell(atoms):
    """[3][3] A: the cell, filled in where it has no vector, which must not be periodic."""
    if not np.isfinite(atoms.cell.array).all():
        raise UmasError("the cell has an entry that is not finite")
    lengths = atoms.cell.lengths()
    for axis in range(3):
        if atoms.pbc[axis] and lengths[axis] == 0:
            raise UmasError(f"pbc is set along cell vector {axis}, which is zero")
    cell = atoms.cell.complete().array
    if abs(np.linalg.det(cell)) <= 1e-9 * np.prod(np.linalg.norm(cell, axis=1)):
        raise UmasError("the cell vectors lie in a plane")
    return cell


def results_of(found, atoms):
    results = {
        "energy": found.energy,
        "free_energy": found.energy,
        "energies": found.energies,
        "forces": found.forces,
    }
    if atoms.cell.rank == 3:
        volume = atoms.cell.volume
        results["stress"] = -found.virial[_VOIGT] / volume
        if found.atom_virials is not None:
            results["stresses"] = -found.atom_virials[:, _VOIGT] / volume
    return results
