"""Time steps of molecular dynamics in ASE: umas, fairchem's calculator, and ASE itself.

    python tools/bench/ase_step.py MODEL.safetensors [--checkpoint CHECKPOINT.pt] [--device cpu]

umas (pip install umas[ase]) takes the model file and fairchem-core, where --checkpoint is given,
the checkpoint that it was converted from.  Both get the same atoms, carbon on an fcc lattice
(3.8 A, 54 neighbours) at 300 K, and agree on the forces before they are timed.  A line gives the
median time of a step with the smallest and largest, in ms.
"""

import argparse
import time

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet

CELLS = {100: (5, 5, 1), 1000: (10, 5, 5)}


class Nothing(Calculator):
    """No forces: what is left is ASE's own time."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def crystal(count):
    atoms = bulk("C", "fcc", a=3.8, cubic=True) * CELLS[count]
    random = np.random.default_rng(1)
    atoms.positions += random.normal(0, 0.05, atoms.positions.shape)
    atoms.set_velocities(
        random.normal(0, np.sqrt(units.kB * 300), (count, 3)) / np.sqrt(atoms.get_masses())[:, None]
    )
    return atoms


def time_steps(atoms, steps, warm, clock):
    dynamics = VelocityVerlet(atoms, 1 * units.fs)
    dynamics.run(warm)
    taken = []
    for _ in range(steps):
        start = clock()
        dynamics.run(1)
        taken.append(1e3 * (clock() - start))
    return taken


def fairchem_calculator(checkpoint, device, mode):
    from fairchem.core import FAIRChemCalculator
    from fairchem.core.units.mlip_unit import InferenceSettings, load_predict_unit

    if mode == "general":
        mode = InferenceSettings(execution_mode="general", merge_mole=True)
    unit = load_predict_unit(checkpoint, inference_settings=mode, device=device)
    return FAIRChemCalculator(unit, task_name="omat")


def calculators(options):
    from umas.ase import UMAS

    yield "ASE alone", Nothing
    for precision in options.precisions.split(","):
        settings = {"device": options.device, "precision": precision}
        yield f"umas, {precision}", lambda s=settings: UMAS(options.model, task="omat", **s)
    if options.checkpoint:
        mode = options.mode
        yield (
            f"fairchem, {mode}",
            lambda: fairchem_calculator(options.checkpoint, options.device, mode),
        )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL.safetensors")
    parser.add_argument("--checkpoint", metavar="CHECKPOINT.pt")
    parser.add_argument("--device", default="cpu", help="cpu (taken) or cuda, for both")
    parser.add_argument("--mode", default="default", help="fairchem's inference settings (default)")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="time of the processor, all threads together, for a machine that others use, too",
    )
    parser.add_argument("--precisions", default="double,single", help="of umas (double,single)")
    parser.add_argument("--atoms", type=int, choices=CELLS, default=100, help="100 (taken) or 1000")
    parser.add_argument("--steps", type=int, default=10, help="to time (10)")
    parser.add_argument("--warm", type=int, default=2, help="steps before (2)")
    options = parser.parse_args()

    clock = time.process_time if options.processor_time else time.perf_counter
    forces = None
    for name, make in calculators(options):
        atoms = crystal(options.atoms)
        atoms.calc = make()
        found = atoms.get_forces().copy()
        if name != "ASE alone":
            forces = found if forces is None else forces
            error = np.linalg.norm(found - forces) / np.linalg.norm(forces)
            if not error < 1e-2:
                raise SystemExit(f"{name}: forces differ by {error:g} of their size")
        taken = time_steps(atoms, options.steps, options.warm, clock)
        print(
            f"{options.atoms} atoms, {name}: {np.median(taken):.2f} "
            f"({min(taken):.2f} to {max(taken):.2f}) ms a step",
            flush=True,
        )


if __name__ == "__main__":
    main()
