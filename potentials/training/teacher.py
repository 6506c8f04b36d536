"""The teacher: SevenNet-l3i5, whose weights are part of the wheel sevenn (MIT), and its labels.

Units: energy eV, forces eV/A, stress eV/A^3 in Voigt order xx yy zz yz xz xy with the sign of ASE
(positive: the cell wants to shrink).
"""

import os
import warnings

import numpy as np
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

MODEL = "7net-l3i5"

_POSITION_DECIMALS = 6
_CHECK_CELL = 5.43  # A, cubic silicon
_CHECK_ENERGY = -5.42  # eV/atom, the teacher's own on a CPU
_CHECK_TOLERANCE = 0.02  # eV/atom: catches other weights and broken builds, not rounding


class TeacherError(Exception):
    """The teacher cannot be loaded or does not give its known numbers."""


def load_teacher(device):
    """The teacher as an ASE calculator on `device` ("cpu" or "cuda"), on one CPU thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.filterwarnings("ignore")
    try:
        import torch
        from sevenn.calculator import SevenNetCalculator
    except ImportError as error:
        raise TeacherError(
            f"{error}: install potentials/training/requirements.txt, or put its packages on PYTHONPATH"
        ) from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise TeacherError(f"no {device} here: torch sees no GPU; use --device cpu")
    torch.set_num_threads(1)
    # Every structure has another number of edges: specialised kernels would be built for each.
    torch.jit.set_fusion_strategy([("DYNAMIC", 0)])
    return SevenNetCalculator(MODEL, device=device)


def label(atoms, teacher):
    """A copy of `atoms` that carries the teacher's energy, forces and stress."""
    labelled = atoms.copy()
    labelled.calc = teacher
    return labels_of(labelled)


def labels_of(atoms):
    """A copy of `atoms` with the labels that its calculator, the teacher, holds or computes."""
    return with_labels(atoms, atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())


def with_labels(atoms, energy, forces, stress):
    """`atoms` without velocities, with these labels and nothing else attached."""
    plain = atoms.copy()
    plain.arrays.pop("momenta", None)
    # Files of the data compress to half; the energy changes by far less than the teacher's noise.
    plain.positions = np.round(plain.positions, _POSITION_DECIMALS)
    plain.calc = SinglePointCalculator(
        plain,
        energy=float(energy),
        forces=np.round(np.asarray(forces, dtype=float), 5),
        stress=np.asarray(stress, dtype=float),
    )
    return plain


def check_teacher(teacher):
    """One label of diamond silicon against its known energy; raises TeacherError."""
    silicon = label(bulk("Si", "diamond", _CHECK_CELL, cubic=True), teacher)
    energy = silicon.get_potential_energy() / len(silicon)
    force = np.abs(silicon.get_forces()).max()
    if not abs(energy - _CHECK_ENERGY) <= _CHECK_TOLERANCE or not force <= 1e-3:
        raise TeacherError(
            f"the teacher gives {energy:.4f} eV/atom and forces of {force:.1e} eV/A for diamond "
            f"silicon, not {_CHECK_ENERGY} and 0: check the versions of sevenn and torch"
        )
    return energy
