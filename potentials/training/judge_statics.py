#!/usr/bin/env python3
"""Crystals of silicon and silica by the teacher or the student: OUT/statics-WHO.json.

Lattices, energies of phases, energy-volume curves, elastic and force constants, Gamma frequencies.
Each section is written when it is done, and what the file has is not computed again.
"""

import argparse
import sys

import numpy as np
from ase import Atoms, units
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from scipy.optimize import curve_fit

from crystals import silica, silicon
from judge_common import add_options, open_calculator, read_results, write_results
from judge_student import StudentError
from sampling import scaled, strained
from teacher import TeacherError

_SILICON = ("diamond", "beta-tin")
_SILICA = ("alpha-quartz", "alpha-cristobalite", "coesite", "stishovite")
_CURVES = ("diamond", "beta-tin", "alpha-quartz", "stishovite")
_VOLUMES = np.linspace(0.86, 1.14, 15)  # of the relaxed volume
_FITTED = 0.0601  # volumes this close to the relaxed one give the bulk modulus
_STRAIN = 0.005
_DISPLACEMENT = 0.015  # A
_TOLERANCE = 1e-3  # eV/A: what relaxations leave; the teacher's noise is a tenth of it
_STEPS = 400
_GPA = 1 / units.GPa  # of 1 eV/A^3
_PER_CM = 1e-2 / (2 * np.pi * units._c)  # 1/cm of 1 rad/s


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    options = parser.parse_args()
    sections = {
        "phases": lambda calculator, _: phases(calculator),
        "curves": curves,
        "elastic": elastic,
        "force-constants": force_constants,
        "frequencies": frequencies,
        "mirror": lambda calculator, _: mirror_image(calculator),
    }
    try:
        path = options.out / f"statics-{options.who}.json"
        results = read_results(path)
        with open_calculator(options) as calculator:
            for name, compute in sections.items():
                if name not in results:
                    results[name] = compute(calculator, results)
                    write_results(path, results)
                    print(f"{path}: {name}", flush=True)
    except (StudentError, TeacherError) as error:
        sys.exit(f"judge_statics.py: {error}")


def phases(calculator):
    """{phase: relaxed cell and atoms, energy in eV/atom, volume in A^3/atom}."""
    results = {}
    for phase in _SILICON + _SILICA:
        atoms = silicon(phase) if phase in _SILICON else silica(phase)
        results[phase] = _crystal(atoms, calculator)
    return results


def mirror_image(calculator):
    """Quartz of the other hand, as `phases` describes a crystal; to a teacher the same."""
    atoms = silica("alpha-quartz")
    atoms.set_scaled_positions(-atoms.get_scaled_positions())
    return _crystal(atoms, calculator)


def curves(calculator, results):
    """{phase: volumes A^3/atom, energies eV/atom, bulk modulus GPa}; shape and atoms relaxed."""
    found = {}
    for phase in _CURVES:
        energies, volumes = [], []
        for factor in _VOLUMES:
            atoms = scaled(_relaxed(results, phase), factor ** (1 / 3))
            _relax(atoms, calculator, FrechetCellFilter(atoms, constant_volume=True))
            energies.append(atoms.get_potential_energy() / len(atoms))
            volumes.append(atoms.get_volume() / len(atoms))
        near = np.abs(_VOLUMES - 1) < _FITTED
        found[phase] = {
            "volumes": volumes,
            "energies": energies,
            "bulk_modulus": _bulk_modulus(np.array(volumes)[near], np.array(energies)[near]),
        }
    return found


def elastic(calculator, results):
    """C11, C12 and C44 of diamond silicon in GPa, from stresses at small strains."""
    start = _relaxed(results, "diamond")
    stress = {}
    for name, (i, j) in {"xx": (0, 0), "yz": (1, 2)}.items():
        values = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5 * sign * _STRAIN
            strain[j, i] += 0.5 * sign * _STRAIN
            atoms = strained(start, strain)
            _relax(atoms, calculator, atoms, tolerance=0.2 * _TOLERANCE)
            values.append(atoms.get_stress())
        stress[name] = _GPA * (values[0] - values[1]) / (2 * _STRAIN)
    return {"C11": stress["xx"][0], "C12": stress["xx"][1], "C44": stress["yz"][3]}


def force_constants(calculator, results):
    """{crystal: [displaced atom and axis, atom, axis] eV/A^2}: one atom of each element moved."""
    found = {}
    for phase, elements in (("diamond", (14,)), ("alpha-quartz", (14, 8))):
        atoms = _relaxed(results, phase).repeat((2, 2, 2))
        atoms.calc = calculator
        first = [int(np.flatnonzero(atoms.numbers == element)[0]) for element in elements]
        axes = (0,) if phase == "diamond" else (0, 1, 2)
        found[phase] = {
            "displaced": [[atom, axis] for atom in first for axis in axes],
            "values": [_force_change(atoms, atom, axis) for atom in first for axis in axes],
        }
    return found


def frequencies(calculator, results):
    """{crystal: sorted Gamma frequencies in 1/cm, negative: imaginary}, of the primitive cells."""
    edge = results["phases"]["diamond"]["lattice"][0]
    cell = 0.5 * edge * (1 - np.eye(3))
    primitive = Atoms("Si2", scaled_positions=[[0, 0, 0], [0.25] * 3], cell=cell, pbc=True)
    found = {}
    for name, atoms in (
        ("diamond", primitive),
        ("alpha-quartz", _relaxed(results, "alpha-quartz")),
    ):
        atoms.calc = calculator
        count = len(atoms)
        rows = [_force_change(atoms, atom, axis) for atom in range(count) for axis in range(3)]
        matrix = np.array(rows).reshape(3 * count, 3 * count)
        root = np.repeat(atoms.get_masses(), 3) ** 0.5
        squares = np.linalg.eigvalsh(0.5 * (matrix + matrix.T) / np.outer(root, root))
        squares *= units._e / (1e-20 * units._amu)  # eV/A^2/u to (rad/s)^2
        found[name] = (np.sign(squares) * np.sqrt(np.abs(squares)) * _PER_CM).tolist()
    return found


def _crystal(atoms, calculator):
    """Relaxes cell and atoms in place; what is kept of them, energy and volume per atom."""
    steps = _relax(atoms, calculator, FrechetCellFilter(atoms))
    return {
        "energy": atoms.get_potential_energy() / len(atoms),
        "volume": atoms.get_volume() / len(atoms),
        "lattice": atoms.cell.cellpar().tolist(),
        "cell": np.array(atoms.cell).tolist(),
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "steps": steps,
    }


def _relax(atoms, calculator, degrees_of_freedom, tolerance=_TOLERANCE):
    """Relaxes `atoms` in place by their own or their cell filter's degrees of freedom; steps."""
    atoms.calc = calculator
    optimizer = BFGS(degrees_of_freedom, logfile=None, maxstep=0.1)
    if not optimizer.run(fmax=tolerance, steps=_STEPS):
        print(f"{atoms.symbols}: not relaxed in {_STEPS} steps", file=sys.stderr)
    return optimizer.nsteps


def _relaxed(results, phase):
    found = results["phases"][phase]
    return Atoms(found["numbers"], found["positions"], cell=found["cell"], pbc=True)


def _force_change(atoms, atom, axis):
    """[atoms, 3] eV/A^2: minus the change of all forces with one coordinate; `atoms` unchanged."""
    place = atoms.positions[atom, axis]
    forces = []
    for step in (_DISPLACEMENT, -_DISPLACEMENT):
        atoms.positions[atom, axis] = place + step
        forces.append(atoms.get_forces())
    atoms.positions[atom, axis] = place
    return ((forces[1] - forces[0]) / (2 * _DISPLACEMENT)).tolist()


def _bulk_modulus(volumes, energies):
    """GPa, from a fit of the third-order equation of state of Birch and Murnaghan."""

    def energy(volume, lowest, at, modulus, slope):
        x = (at / volume) ** (2 / 3)
        return lowest + 9 / 16 * at * modulus * ((x - 1) ** 3 * slope + (x - 1) ** 2 * (6 - 4 * x))

    lowest = int(np.argmin(energies))
    guess = (energies[lowest], volumes[lowest], 0.6, 4.0)
    return curve_fit(energy, volumes, energies, guess, maxfev=20000)[0][2] * _GPA


if __name__ == "__main__":
    main()
