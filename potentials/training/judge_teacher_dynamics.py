#!/usr/bin/env python3
"""The teacher's own dynamics of silica beside the student's: OUT/silica-teacher-STATE.json.

It starts from the last frame that the student left in OUT/silica-student.json and has the same
volume and temperature; the first third is not counted. It also labels the student's frames, which
gives the student's errors along a trajectory that is its own.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units

from judge_common import read_results, write_results
from judge_structure import structure
from sampling import molecular_dynamics
from teacher import TeacherError, label, load_teacher

_TIMESTEP = 1.5  # fs
_EVERY = 10  # steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", choices=("melt", "glass"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--limit", type=float, default=500.0, help="s after which it ends")
    options = parser.parse_args()
    path = options.out / f"silica-teacher-{options.state}.json"
    if path.exists():
        return
    student = read_results(options.out / "silica-student.json")
    if options.state not in student:
        sys.exit(f"judge_teacher_dynamics.py: no {options.state} in silica-student.json")
    student = student[options.state]
    try:
        teacher = load_teacher(options.device)
    except TeacherError as error:
        sys.exit(f"judge_teacher_dynamics.py: {error}")
    deadline = time.time() + options.limit
    errors = compare(student["snapshots"], teacher)
    atoms = _atoms(student["snapshots"], -1)
    drawn = molecular_dynamics(
        atoms,
        (student["temperature"],) * 2,
        _EVERY,
        options.steps // _EVERY,
        _TIMESTEP,
        np.random.default_rng(1),
        teacher,
        deadline,
    )
    counted = drawn[len(drawn) // 3 :]
    if not counted:
        sys.exit(
            f"judge_teacher_dynamics.py: the {options.state} is nothing that the teacher knows"
        )
    result = {
        "ps": len(counted) * _EVERY * _TIMESTEP * 1e-3,
        "pressure": _pressure(counted, student["temperature"]),
        "errors": errors,
        **structure(atoms.numbers, np.array([a.positions for a in counted]), atoms.cell[0, 0]),
    }
    write_results(path, result)
    print(f"teacher's {options.state}: {result['ps']:.2f} ps, errors {errors}", flush=True)


def compare(snapshots, teacher):
    """The student's errors on its own frames: energy meV/atom, forces meV/A."""
    energies, forces = [], []
    for number, energy in enumerate(snapshots["energies"]):
        atoms = label(_atoms(snapshots, number), teacher)
        energies.append((energy - atoms.get_potential_energy()) / len(atoms))
        forces.append(np.array(snapshots["forces"][number]) - atoms.get_forces())
    return {
        "energy_mean": 1e3 * float(np.mean(energies)),
        "energy_mae": 1e3 * float(np.mean(np.abs(energies))),
        "force_mae": 1e3 * float(np.mean(np.abs(forces))),
        "force_rmse": 1e3 * float(np.sqrt(np.mean(np.square(forces)))),
    }


def _pressure(frames, temperature):
    """The mean pressure in GPa, with the atoms' kinetic share at this temperature."""
    pressures = []
    for atoms in frames:
        kinetic = len(atoms) * units.kB * temperature / atoms.get_volume()
        pressures.append(kinetic - np.mean(atoms.get_stress()[:3]))
    return float(np.mean(pressures)) / units.GPa


def _atoms(snapshots, number):
    """The periodic structure of one snapshot."""
    cell = [snapshots["edge"]] * 3
    return Atoms(snapshots["numbers"], snapshots["positions"][number], cell=cell, pbc=True)


if __name__ == "__main__":
    main()
