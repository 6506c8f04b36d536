"""The calculator as ASE uses it: derivatives, relaxations, dynamics, neighbour lists, threads."""

import contextlib
import copy
import io
import os
import pickle
import tempfile
import threading
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from python_run import SAME, close, from_command_line, golden_atoms, true

from umas import potentials
from umas.ase import UMAS

# Central differences of second order at 1e-4 A: 1e-8 of the third derivative, which is some tens of
# eV/A^3, is cut off.
STEP = 1e-4
DIFFERENCE = 1e-6
STUDENT = potentials() / "student-SiO.safetensors"


def small(options, task="omat", **changes):
    return UMAS(options.converted / "uma-1.2.1.safetensors", task=task, device="cpu", **changes)


def structure(options, name):
    return golden_atoms(options.golden / f"{name}.golden")[0]


def forces_and_stress_are_derivatives(options):
    for name in ("uma-1.2.1_triclinic_omat", "uma-1.2.1_primitive_omat", "uma-1.2.1_slab_oc20"):
        atoms = structure(options, name)
        atoms.calc = small(options)
        forces, stress = atoms.get_forces(), atoms.get_stress()
        numerical = calculate_numerical_forces(atoms, eps=STEP)
        close(f"{name}: forces", forces, numerical, DIFFERENCE)
        numerical = calculate_numerical_stress(atoms, eps=STEP / 10)
        volume = atoms.get_volume()
        close(f"{name}: stress", stress * volume, numerical * volume, 100 * DIFFERENCE)


def a_relaxation_finds_where_forces_and_stress_vanish(options):
    """From a strained crystal of two atoms: diamond has no other minimum near."""
    atoms = bulk("Si")
    atoms.calc = UMAS(STUDENT, device="cpu")
    atoms.set_cell(atoms.cell.array * 1.04 @ [[1, 0.02, 0], [0, 0.98, 0.01], [0, 0, 1]], True)
    atoms.rattle(0.05, seed=3)
    before = atoms.get_potential_energy()
    relaxation = BFGS(FrechetCellFilter(atoms), logfile=None)
    true("the relaxation ends", relaxation.run(fmax=1e-3, steps=200))
    true("its energy is lower", atoms.get_potential_energy() < before - 0.01)
    close("forces", atoms.get_forces(), np.zeros((2, 3)), 1e-3)
    close("angles", atoms.cell.angles(), [60] * 3, 0.05)
    a, b, c = atoms.cell.lengths()
    close("cubic again", [b, c], [a, a], 0.01)
    steps, lists = relaxation.nsteps, atoms.calc._graph.lists_made
    print(f"     a = {np.sqrt(2) * a:.4f} A after {steps} steps with {lists} neighbour lists")
    true("few lists", lists < steps / 2)


def dynamics_keeps_the_energy(options):
    atoms = bulk("Si") * (2, 1, 1)
    atoms.calc = UMAS(STUDENT, device="cpu")
    kinetic = 1.5 * 4 * units.kB * 600
    thermal = np.random.default_rng(1).normal(0, np.sqrt(units.kB * 600), (4, 3))
    atoms.set_velocities(thermal / np.sqrt(atoms.get_masses()[:, None]))
    total = []
    dynamics = VelocityVerlet(atoms, 1 * units.fs)
    dynamics.attach(lambda: total.append(atoms.get_total_energy()))
    dynamics.run(40)
    print(f"     total energy within {np.ptp(total):.2e} eV, {atoms.calc._graph.lists_made} lists")
    true("total energy", np.ptp(total) < 2e-3 * kinetic)  # (w dt)^2 / 8 of it at 15 THz is 1e-3
    true("one list is enough", atoms.calc._graph.lists_made < 5)


def lists_with_a_skin_lose_no_neighbour(options):
    """Atoms and cell wander; every step agrees with a list made for it alone."""
    random = np.random.default_rng(5)
    for name in ("uma-1.2.1_triclinic_omat", "uma-1.2.1_slab_oc20", "uma-1.2.1_molecule_omol"):
        atoms = structure(options, name)
        atoms.calc = kept = small(options, skin=0.8)
        drift = random.normal(0, 0.03, atoms.positions.shape)
        strain = random.normal(0, 0.002, (3, 3))
        steps = 40
        for _ in range(steps):
            atoms.positions += drift + random.normal(0, 0.01, drift.shape)
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
            fresh = atoms.copy()
            fresh.calc = small(options, skin=0.0)
            try:
                expected = fresh.get_potential_energy()
            except Exception as overlap:  # wandering atoms meet at last
                true(f"{overlap}", "on top of each other" in str(overlap))
                break
            close(f"{name}: energy", atoms.get_potential_energy(), expected, 1e3 * SAME)
            close(f"{name}: forces", atoms.get_forces(), fresh.get_forces(), 1e3 * SAME)
        lists = kept._graph.lists_made
        print(f"     {name}: {lists} lists in {steps} steps")
        true(f"{name}: lists are kept", 1 < lists < steps)


def a_cell_that_shrinks_makes_new_lists(options):
    """Atoms that follow the cell move nowhere beside it, but come within the cutoff."""
    steps = 30
    for stretches in ((0.99, 0.99, 0.99), (1.01, 1.0, 0.99)):
        atoms = bulk("Al") * (2, 2, 2)
        atoms.calc = small(options, skin=0.3)
        for _ in range(steps):
            atoms.set_cell(atoms.cell.array * stretches, scale_atoms=True)
            fresh = atoms.copy()
            fresh.calc = small(options, skin=0.0)
            energy = fresh.get_potential_energy()
            close("energy", atoms.get_potential_energy(), energy, 1e3 * SAME)
        lists = atoms.calc._graph.lists_made
        # 0.3 A are 5 percent of 6 A, which are four steps of a percent
        true(f"{lists} lists in {steps} steps", steps / 6 < lists < steps / 2)


def atoms_far_outside_the_cell_are_the_same(options):
    atoms = structure(options, "uma-1.2.1_triclinic_omat")
    atoms.calc = small(options)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    cells = np.random.default_rng(2).integers(-40, 40, (len(atoms), 3))
    atoms.positions += cells @ atoms.cell.array
    # positions of some 500 A are rounded to 1e-13 A
    close("energy", atoms.get_potential_energy(), energy, 1e-10)
    close("forces", atoms.get_forces(), forces, 1e-10)


def molecules_may_be_far_from_each_other(options):
    """In flat, long and wide arrangements of pairs the energy is that of so many pairs."""
    pair = Atoms("OH", [[0, 0, 0], [0.3, 0.4, 0.8]], info={"spin": 0})
    pair.calc = small(options)
    energy, forces = pair.get_potential_energy(), pair.get_forces()
    for far in (1e2, 1e4, 1e6):
        for direction in ([1, 0, 0], [1, 0, 1], [1, 1, 1]):
            several = pair.copy()
            for n in (1, 2):
                moved = pair.copy()
                moved.positions += n * far * np.array(direction)
                several += moved
            several.calc = small(options)
            tolerance = 1e-15 * far + 1e3 * SAME  # rounded positions
            close(f"{far} A: energy", several.get_potential_energy(), 3 * energy, 100 * tolerance)
            close(f"{far} A: forces", several.get_forces()[:2], forces, 1e3 * SAME)
            several.center(vacuum=far)
            several.pbc = (True, False, True)
            close("in a wide cell", several.get_potential_energy(), 3 * energy, 100 * tolerance)


def one_calculator_takes_atoms_as_they_come(options):
    calculator = small(options)
    names = "triclinic_omat slab_oc20 molecule_omol image_omat one_omol triclinic_omat".split()
    several = [structure(options, f"uma-1.2.1_{name}") for name in names]
    swapped = several[0].copy()
    swapped.numbers = swapped.numbers[::-1]
    without_pbc = several[0].copy()
    without_pbc.pbc = (True, False, False)
    half = several[0][:4]
    for atoms in [*several, swapped, several[0], without_pbc, half, several[0]]:
        fresh = atoms.copy()
        fresh.calc = small(options)
        atoms.calc = calculator
        true("energy", atoms.get_potential_energy() == fresh.get_potential_energy())
        true("forces", np.array_equal(atoms.get_forces(), fresh.get_forces()))


def charge_and_spin_come_from_info(options):
    atoms = structure(options, "uma-1.2.1_molecule_omol")
    atoms.info = {}
    atoms.calc = small(options, task="omol")
    neutral = atoms.get_potential_energy()
    atoms.info["spin"] = 1
    true("spin 1 is omol's own", atoms.get_potential_energy() == neutral)
    atoms.info["charge"] = np.int64(1)
    charged = atoms.get_potential_energy()
    true("a charge changes the energy", abs(charged - neutral) > 1e-6)
    atoms.info["spin"] = 2
    true("a spin changes the energy", abs(atoms.get_potential_energy() - charged) > 1e-6)
    atoms.info = {"charge": 0, "name": "ethanol"}
    true("and back", atoms.get_potential_energy() == neutral)
    true("info is left alone", atoms.info == {"charge": 0, "name": "ethanol"})


def results_are_cached_and_complete(options):
    atoms = structure(options, "uma-1.2.1_triclinic_omat")
    atoms.calc = small(options)
    atoms.get_potential_energy()
    graph = atoms.calc._graph
    first = atoms.calc.results
    atoms.get_forces(), atoms.get_stress()
    true("one evaluation gives all three", atoms.calc.results is first and graph.lists_made == 1)
    true("stresses on demand", atoms.get_stresses().shape == (len(atoms), 6))
    molecule = Atoms("OH2", [[0, 0, 0.1], [0.76, 0.59, 0], [-0.77, 0.58, 0]])
    molecule.calc = small(options, task="omol")
    true("no cell, but forces", molecule.get_forces().shape == (3, 3))
    try:
        molecule.get_stress()
    except Exception as problem:
        true(f"no cell, no stress: {problem}", "stress" in str(problem))
    else:
        true("no cell, no stress", False)


def arguments_can_be_changed(options):
    atoms = structure(options, "uma-1.2.1_triclinic_omat")
    atoms.calc = small(options)
    double = atoms.get_potential_energy()
    atoms.calc.set(precision="single")
    single = atoms.get_potential_energy()
    true("single is another precision", single != double)
    close("single", single, double, 2e-5 * len(atoms))
    true("and is told", "precision single" in atoms.calc.describe())


def calculators_can_be_copied(options):
    atoms = structure(options, "uma-1.2.1_triclinic_omat")
    atoms.calc = small(options)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    for copied in (pickle.loads(pickle.dumps(atoms.calc)), copy.deepcopy(atoms.calc)):
        true("results go with it", copied.results["energy"] == energy)
        other = atoms.copy()
        other.calc = copied
        other.positions[0] += 0.1
        true("it works", other.get_potential_energy() != energy)
        other.positions[0] = atoms.positions[0]
        close("and gives the same", other.get_forces(), forces, SAME)
    true("the original still does", np.array_equal(atoms.get_forces(), forces))


def threads_do_not_disturb_each_other(options):
    """Six threads, half with calculators of their own, half with one for all."""
    names = ("triclinic_omat", "slab_oc20", "molecule_omol")
    several = [structure(options, f"uma-1.2.1_{name}") for name in names]
    expected = []
    for atoms in several:
        atoms.calc = small(options)
        expected.append((atoms.get_potential_energy(), atoms.get_forces()))
    shared, wrong = small(options), []

    def work(which, calculator):
        for _ in range(5):
            atoms = several[which].copy()
            atoms.calc = calculator or small(options)
            forces = atoms.get_forces()
            if not np.array_equal(forces, expected[which][1]):
                wrong.append(names[which])

    threads = [
        threading.Thread(target=work, args=(i % 3, shared if i < 3 else None)) for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    true(f"other forces: {wrong}", not wrong)


def the_note_of_a_model_is_shown_once(options):
    seen = io.StringIO()
    with contextlib.redirect_stderr(seen):
        several = [UMAS(STUDENT, device="cpu") for _ in range(2)]
        random = UMAS(options.converted / "full-size.safetensors", task="omat", device="cpu")
    true("two calculators of one model", len(several) == 2 and random is not None)
    told = seen.getvalue()
    true(f"the student says what it is: {told}", told.count("umas: student of SevenNet") == 1)
    true(f"random weights say so: {told}", told.count("random numbers") == 1)


def a_checkpoint_is_converted_once(options):
    checkpoint = options.golden / "uma-1.2.1.pt"
    atoms = structure(options, "uma-1.2.1_triclinic_omat")
    atoms.calc = small(options)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UMAS_CACHE"] = f"{folder}/new/cache"
        try:
            expected = atoms.get_potential_energy()
            for _ in range(2):
                atoms.calc = UMAS(checkpoint, task="omat", device="cpu")
                true("the same energy", atoms.get_potential_energy() == expected)
                (kept,) = Path(os.environ["UMAS_CACHE"]).iterdir()
                changed = kept.stat().st_mtime_ns
                os.utime(kept, ns=(changed + 10**9, changed + 10**9))
                true("written once", kept.stat().st_mtime_ns == changed + 10**9)
        finally:
            del os.environ["UMAS_CACHE"]


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            forces_and_stress_are_derivatives,
            a_relaxation_finds_where_forces_and_stress_vanish,
            dynamics_keeps_the_energy,
            lists_with_a_skin_lose_no_neighbour,
            a_cell_that_shrinks_makes_new_lists,
            atoms_far_outside_the_cell_are_the_same,
            molecules_may_be_far_from_each_other,
            one_calculator_takes_atoms_as_they_come,
            charge_and_spin_come_from_info,
            results_are_cached_and_complete,
            arguments_can_be_changed,
            calculators_can_be_copied,
            threads_do_not_disturb_each_other,
            the_note_of_a_model_is_shown_once,
            a_checkpoint_is_converted_once,
        ],
    )
