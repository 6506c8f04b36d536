#!/usr/bin/env python3
"""Two atoms pushed together, by the teacher or the student: OUT/short-range-WHO.json.

Pairs in vacuum, and pairs inside quartz of which one atom is moved along their line. The teacher's
curve is the one that was trained on: with the repulsive wall of wall.py.
"""

import argparse
import sys

import numpy as np

from crystals import silica
from disorder import pair
from judge_common import add_options, open_calculator, read_results, write_results
from judge_student import StudentError
from teacher import TeacherError
from wall import label_with_wall

_PAIRS = {"Si-Si": "Si2", "Si-O": "SiO", "O-O": "O2"}
_ELEMENTS = {"Si-Si": (14, 14), "Si-O": (14, 8), "O-O": (8, 8)}
_DISTANCES = np.concatenate([np.arange(0.5, 3.0, 0.025), np.arange(3.0, 6.01, 0.1)])  # A
_STEP_IN_QUARTZ = 0.05  # A


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    options = parser.parse_args()
    try:
        path = options.out / f"short-range-{options.who}.json"
        results = read_results(path)
        with open_calculator(options) as calculator:
            for name, structures in (("vacuum", _in_vacuum), ("quartz", _in_quartz)):
                if name not in results:
                    results[name] = {
                        kind: curve(distances, list(images), calculator, options.who)
                        for kind, distances, images in structures()
                    }
                    write_results(path, results)
                    print(f"{path}: {name}", flush=True)
    except (StudentError, TeacherError) as error:
        sys.exit(f"judge_short_range.py: {error}")


def curve(distances, images, calculator, who):
    """Distances in A and energies in eV, less the last one's."""
    energies = []
    for atoms in images:
        if who == "teacher":
            atoms = label_with_wall(atoms, calculator)
        else:
            atoms.calc = calculator
        energies.append(atoms.get_potential_energy() if atoms is not None else np.nan)
    relative = np.array(energies) - energies[-1]
    known = np.isfinite(relative)
    return {"distances": distances[known].tolist(), "energies": relative[known].tolist()}


def _in_vacuum():
    """(kind, distances, structures) of two atoms in a box."""
    for kind, symbols in _PAIRS.items():
        yield kind, _DISTANCES, (pair(symbols, distance) for distance in _DISTANCES)


def _in_quartz():
    """(kind, distances, structures): an atom moved towards its nearest neighbour of a kind."""
    crystal = silica("alpha-quartz").repeat((2, 2, 2))
    for kind, (mover, neighbour) in _ELEMENTS.items():
        first = int(np.flatnonzero(crystal.numbers == mover)[0])
        others = [int(k) for k in np.flatnonzero(crystal.numbers == neighbour) if k != first]
        vectors = crystal.get_distances(first, others, mic=True, vector=True)
        lengths = np.linalg.norm(vectors, axis=1)
        vector, length = vectors[np.argmin(lengths)], lengths.min()
        distances = np.append(np.arange(0.5, length - 0.01, _STEP_IN_QUARTZ), length)
        yield (
            kind,
            distances,
            (_moved(crystal, first, (1 - distance / length) * vector) for distance in distances),
        )


def _moved(crystal, atom, step):
    atoms = crystal.copy()
    atoms.positions[atom] += step
    return atoms


if __name__ == "__main__":
    main()
