"""fairchem-core's energies, forces and virials, reproduced by the calculator in double."""

import numpy as np
from python_run import close, from_command_line, golden_atoms, true
from test_golden import ENERGY, FORCE

from umas.ase import UMAS

VIRIAL = 1e-7  # eV: what the contract allows forces to err, times lever arms of some A


def goldens_are_reproduced(options):
    files = sorted(options.golden.glob("*.golden"))
    true(f"goldens in {options.golden}", files)
    for path in files:
        atoms, golden = golden_atoms(path)
        model = options.converted / f"{golden['model'][0]}.safetensors"
        atoms.calc = UMAS(model, task=golden["task"][0], device="cpu")
        name, energy = path.stem, float(golden["energy"][0])
        close(f"{name}: energy", atoms.get_potential_energy(), energy, ENERGY * len(atoms))
        close(f"{name}: forces", atoms.get_forces(), golden["forces"], FORCE)
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        expected = np.array(golden["virial"], dtype=float)
        close(f"{name}: virial", virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]], expected, VIRIAL)
        free = atoms.get_potential_energy(force_consistent=True)
        true(f"{name}: free energy", free == atoms.get_potential_energy())
        close(f"{name}: sum of energies", atoms.get_potential_energies().sum(), energy, 1e-9)
        sum_of_stresses = atoms.get_stresses().sum(axis=0)
        close(f"{name}: sum of stresses", sum_of_stresses, atoms.get_stress(), 1e-12)
    print(f"{len(files)} goldens")


if __name__ == "__main__":
    from_command_line(__doc__, [goldens_are_reproduced])
