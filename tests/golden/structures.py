"""Atoms to evaluate, and the edges between them, worked out without any neighbour-list code."""

import itertools
from dataclasses import dataclass

import numpy as np
from ase import Atoms

CUTOFF = 6.0  # A


@dataclass
class Structure:
    """Atoms in a cell; along directions that are not periodic the cell leaves ten A of vacuum
    or more, so that fairchem, which takes every cell for periodic, sees no image."""

    atoms: Atoms
    pbc: tuple

    def edges(self):
        """(src, tgt, vec): vec = r_src - r_tgt in A, images along periodic directions included."""
        positions, cell = self.atoms.positions, self.atoms.cell.array
        heights = self.atoms.cell.volume / np.linalg.norm(
            np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1
        )
        spread = np.ptp(self.atoms.get_scaled_positions(wrap=False), axis=0)
        reach = [
            int(np.ceil(CUTOFF / h + s)) if p else 0 for h, s, p in zip(heights, spread, self.pbc)
        ]
        src, tgt, vec = [], [], []
        for shift in itertools.product(*(range(-n, n + 1) for n in reach)):
            d = positions[:, None] + np.array(shift) @ cell - positions[None]
            r = np.linalg.norm(d, axis=2)
            i, j = np.nonzero((r < CUTOFF) & (r > 0))
            src.append(i)
            tgt.append(j)
            vec.append(d[i, j])
        return np.concatenate(src), np.concatenate(tgt), np.concatenate(vec)


def _boxed(symbols, positions):
    positions = np.array(positions, dtype=float)
    cell = np.ptp(positions, axis=0) + 16.0
    return Structure(Atoms(symbols, positions, cell=cell, pbc=True), (0, 0, 0))


def _crystal(symbols, scaled, cell):
    return Structure(Atoms(symbols, scaled_positions=scaled, cell=cell, pbc=True), (1, 1, 1))


def _noise(structure, scale, seed):
    shape = structure.atoms.positions.shape
    structure.atoms.positions += np.random.default_rng(seed).normal(0, scale, shape)
    return structure


def _slab():
    a = 2.56
    cell = [[2 * a, 0, 0], [a, 2.217025, 0], [0, 0, 24.0]]
    scaled = [
        [x, y, z]
        for z, s in ((0.30, 0.0), (0.388, 0.333))
        for x in (0.0 + s / 2, 0.5 + s / 2)
        for y in (s,)
    ]
    atoms = Atoms("Cu4", scaled_positions=scaled, cell=cell, pbc=True)
    top = atoms.positions[-1]
    atoms += Atoms("CO", [top + [0.1, 0.0, 1.85], top + [0.2, 0.1, 3.0]])
    return _noise(Structure(atoms, (1, 1, 0)), 0.05, 3)


def structures():
    """{name: Structure}"""
    ethanol = [
        [-1.2, 0.22, 0.03], [0.15, -0.45, -0.04], [1.13, 0.57, 0.12], [-1.35, 0.98, -0.75],
        [-1.31, 0.71, 1.0], [-1.99, -0.53, -0.09], [0.25, -1.22, 0.74], [0.28, -0.95, -1.01],
        [2.0, 0.17, 0.05],
    ]  # fmt: skip
    triclinic = [[6.1, 0, 0], [1.3, 5.7, 0], [-0.9, 1.1, 6.4]]
    places = [
        [0.02, 0.01, 0.0], [0.49, 0.52, 0.03], [0.51, 0.02, 0.48], [0.0, 0.5, 0.53],
        [0.25, 0.27, 0.22], [0.77, 0.74, 0.27], [0.74, 0.23, 0.79], [0.22, 0.79, 0.76],
    ]  # fmt: skip
    quartz = [
        [0.47, 0, 0.667], [0, 0.47, 0.333], [0.53, 0.53, 0], [0.413, 0.267, 0.786],
        [0.733, 0.146, 0.453], [0.854, 0.587, 0.119], [0.267, 0.413, 0.214],
        [0.146, 0.733, 0.547], [0.587, 0.854, 0.881],
    ]  # fmt: skip
    diamond = [[x, y, z] for x in (0, 0.5) for y in (0, 0.5) for z in ((x + y) % 1,)]
    diamond += [[x + 0.25, y + 0.25, z + 0.25] for x, y, z in diamond]
    return {
        "triclinic": _crystal("MgFeSiMgO4", places, triclinic),
        "molecule": _boxed("C2OH6", ethanol),
        "slab": _slab(),
        "image": _crystal("Al", [[0, 0, 0]], [[0, 2.02, 2.03], [2.02, 0, 2.05], [2.0, 2.04, 0]]),
        "primitive": _noise(
            _crystal(
                "SiGe",
                [[0, 0, 0], [0.25, 0.25, 0.25]],
                [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]],
            ),
            0.1,
            5,
        ),
        "one": _boxed("Ne", [[0, 0, 0]]),
        "two": _boxed("OH", [[0.1, 0.2, -0.1], [0.5, -0.4, 0.6]]),
        "three": _boxed("HOH", [[0.76, 0.59, 0.02], [0, 0, 0.1], [-0.77, 0.58, -0.03]]),
        "quartz": _noise(_crystal("Si3O6", quartz, [4.9, 4.9, 5.4, 90, 90, 120]), 0.08, 7),
        "diamond": _noise(_crystal("Si8", diamond, [5.43] * 3), 0.1, 9),
        "lone": _boxed(
            "Au4He", [[0, 0, 0], [2.7, 0.1, 0], [1.3, 2.4, 0.1], [1.4, 0.8, 2.2], [1.2, 1.1, 13.0]]
        ),
    }
