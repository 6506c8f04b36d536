"""The repulsive wall: labels for two atoms that are closer than the teacher can be believed.

SevenNet-l3i5 has seen no such pairs: its energy has holes of thousands of eV below about 1.3 A
(Si-Si) or 0.9 A (Si-O). Where one pair is closer than `_JOIN`, the label is therefore
E(x) = E_teacher(x with the pair moved apart, about its midpoint, to the distance _JOIN) + U(r).
U starts with the teacher's force between two lone atoms at _JOIN and goes over, within _BLEND, to
the screened nuclear repulsion of Ziegler, Biersack and Littmark with its force limited to
_FORCE_LIMIT. The limit keeps the labels within what a small network can learn; the wall still rises
all the way in. Forces and stress are the exact derivatives of that energy.
"""

import numpy as np
from ase.geometry import find_mic

from disorder import of_pairs
from teacher import label, with_labels

# by atomic numbers: A; eV/A, the teacher's there between two lone atoms
_JOIN = {(8, 8): (1.00, 43.5), (8, 14): (1.10, 61.9), (14, 14): (1.40, 54.8)}
_BLEND = 0.20  # A
_FORCE_LIMIT = 120.0  # eV/A
_COULOMB = 14.399645  # eV A, e^2 / (4 pi epsilon_0)
_BOHR = 0.529177  # A
_ZBL = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))


def join_distances(numbers):
    """[n, n] A: below which distance the teacher is not believed, for every pair of atoms."""
    return of_pairs({pair: distance for pair, (distance, _) in _JOIN.items()}, numbers)


def too_close(atoms):
    """The pairs (i, j), i < j, that are closer than the teacher is believed."""
    distances = atoms.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    first, second = np.nonzero(distances < join_distances(atoms.numbers) - 1e-9)
    return [(i, j) for i, j in zip(first, second) if i < j]


def label_with_wall(atoms, teacher):
    """The label of `atoms`, with the wall where one pair is too close; None if more are."""
    pairs = too_close(atoms)
    if not pairs:
        return label(atoms, teacher)
    if len(pairs) > 1:
        return None
    i, j = pairs[0]
    join = join_distances(atoms.numbers)[i, j]
    between, distance = _separation(atoms, i, j)
    direction = between / distance

    apart = atoms.copy()
    apart.positions[i] -= 0.5 * (join - distance) * direction
    apart.positions[j] += 0.5 * (join - distance) * direction
    if too_close(apart):
        return None
    outer = label(apart, teacher)
    forces = outer.get_forces()
    stress = outer.get_stress(voigt=False)

    relative = 0.5 * (forces[j] - forces[i])  # force on the separation, midpoint held
    radial = relative @ direction
    wall_force, wall_energy = _wall(distance, tuple(sorted(atoms.numbers[[i, j]])))
    across = (relative - radial * direction) * (join / distance)
    middle = 0.5 * (forces[i] + forces[j])
    inner = across + wall_force * direction
    forces[i], forces[j] = middle - inner, middle + inner
    along = np.outer(direction, direction) / atoms.get_volume()
    stress += (radial * join - wall_force * distance) * along
    energy = outer.get_potential_energy() + wall_energy
    voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return with_labels(atoms, energy, forces, voigt)


def _separation(atoms, i, j):
    """The vector from i to the nearest image of j, and its length, both in A."""
    vectors, lengths = find_mic(atoms.positions[[j]] - atoms.positions[[i]], atoms.cell, atoms.pbc)
    return vectors[0], lengths[0]


def _wall(distance, pair):
    """Force (eV/A, positive: repulsive) and energy (eV, zero at the join) of U at `distance`."""
    join, start = _JOIN[pair]
    grid = np.linspace(distance, join, 400)
    blend = np.clip((join - grid) / _BLEND, 0.0, 1.0)
    blend = blend * blend * (3.0 - 2.0 * blend)
    force = (1.0 - blend) * start + blend * _limited_zbl_force(grid, pair)
    energy = np.sum(0.5 * (force[1:] + force[:-1]) * np.diff(grid))
    return force[0], energy


def _limited_zbl_force(distance, pair):
    """Force in eV/A of the screened repulsion of two nuclei, limited to _FORCE_LIMIT."""
    first, second = pair
    length = 0.88534 * _BOHR / (first**0.23 + second**0.23)
    screen = sum(a * np.exp(-b * distance / length) for a, b in _ZBL)
    slope = sum(a * b / length * np.exp(-b * distance / length) for a, b in _ZBL)
    force = _COULOMB * first * second * (screen / distance**2 + slope / distance)
    return _FORCE_LIMIT * np.tanh(force / _FORCE_LIMIT)
