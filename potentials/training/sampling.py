"""From a starting structure to labelled frames: rattles, strains and the teacher's own MD.

Temperatures in K, times in fs, lengths in A. Frames whose largest force is above `FORCE_LIMIT` are
dropped, but for those of the repulsive wall. `random` is always a numpy Generator.
"""

import time

import numpy as np
from ase import units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.optimize import FIRE

from teacher import label, labels_of
from wall import label_with_wall, too_close

FORCE_LIMIT = 60.0  # eV/A

_FRICTION = 0.02  # 1/fs
_RUNAWAY_FORCE = 150.0  # eV/A: such an MD step is no physics any more


def scaled(atoms, factor):
    """A copy with all lengths times `factor`."""
    copy = atoms.copy()
    copy.set_cell(atoms.cell * factor, scale_atoms=True)
    return copy


def strained(atoms, strain):
    """A copy under the homogeneous strain [3, 3]."""
    copy = atoms.copy()
    copy.set_cell(np.array(atoms.cell) @ (np.eye(3) + strain), scale_atoms=True)
    return copy


def random_strain(size, random):
    """A symmetric strain [3, 3] with components up to `size`."""
    strain = random.uniform(-size, size, (3, 3))
    return 0.5 * (strain + strain.T)


def rattled(atoms, deviation, random):
    """A copy with Gaussian displacements of this standard deviation."""
    copy = atoms.copy()
    copy.positions += random.normal(scale=deviation, size=copy.positions.shape)
    return copy


def label_static(structures, teacher, wall=False):
    """Labels of `structures`, without those that are too close or too hot.

    wall  give a pair that is too close the repulsive wall, at any force
    """
    frames = []
    for atoms in structures:
        if wall:
            frame = label_with_wall(atoms, teacher)
            if frame is not None:
                frames.append(frame)
        elif not too_close(atoms):
            frame = label(atoms, teacher)
            if _largest_force(frame) <= FORCE_LIMIT:
                frames.append(frame)
    return frames


def relax(atoms, steps, teacher):
    """Takes the worst forces out of a random structure, in place."""
    atoms.calc = teacher
    FIRE(atoms, logfile=None, dt=0.05, maxstep=0.15).run(fmax=1.0, steps=steps)


def molecular_dynamics(atoms, ramp, interval, frames, timestep, random, teacher, deadline=None):
    """`frames` labelled frames, one every `interval` steps, of Langevin dynamics of the teacher.

    ramp      (first, last) temperature, changed linearly from frame to frame
    deadline  time.time() after which no further frame is started
    """
    first, last = ramp
    atoms.calc = teacher
    MaxwellBoltzmannDistribution(atoms, temperature_K=first, rng=random)
    dynamics = Langevin(
        atoms,
        timestep * units.fs,
        temperature_K=first,
        friction=_FRICTION / units.fs,
        fixcm=False,
        rng=random,
    )
    labelled = []
    for count in range(frames):
        if deadline and time.time() > deadline:
            break
        target = first + (last - first) * count / max(frames - 1, 1)
        dynamics.set_temperature(temperature_K=target)
        dynamics.run(interval)
        if not _largest_force(atoms) <= _RUNAWAY_FORCE:
            break
        if too_close(atoms):
            continue
        if _largest_force(atoms) <= FORCE_LIMIT:
            labelled.append(labels_of(atoms))
    return labelled


def _largest_force(atoms):
    return np.abs(atoms.get_forces()).max()
