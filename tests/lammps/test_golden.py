"""fairchem-core's energies, forces and virials, reproduced by the pair style in double."""

import numpy as np

from lammps_run import BAR_A3, DUMP, PRESSURE, THERMO
from lammps_run import close, data_file, from_command_line, masses, start, true

ENERGY = 1e-9  # eV per atom, the contract
FORCE = 1e-8  # eV/A, the contract
VIRIAL = 1e-7  # eV: LAMMPS gives it as a pressure, whose printed digits times the volume remain


def read_golden(path):
    golden, lines = {}, [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for number, line in enumerate(lines):
        key, *values = line.split()
        if key == "atoms":
            rows = [row.split() for row in lines[number + 1 : number + 1 + int(values[0])]]
            golden["symbols"] = [row[0] for row in rows]
            table = np.array([row[1:] for row in rows], dtype=float)
            golden["positions"], golden["forces"] = table[:, :3], table[:, 3:6]
            return golden
        golden[key] = values
    raise ValueError(f"{path}: no atoms")


def to_lammps(cell):
    """(lower triangular cell, rotation): rows of vectors v become v @ rotation."""
    if np.linalg.det(cell) < 0:
        cell = cell[[1, 0, 2]]
    # LAMMPS wants small tilts
    cell = cell.copy()
    for row, onto in ((1, 0), (2, 1), (2, 0)):
        lower = np.linalg.cholesky(cell @ cell.T)
        cell[row] -= np.round(lower[row, onto] / lower[onto, onto]) * cell[onto]
    lower = np.linalg.cholesky(cell @ cell.T)
    return lower, np.linalg.inv(cell) @ lower


def run_golden(lammps, path, keywords="task {task} charge {charge} spin {spin}"):
    golden = read_golden(path)
    model = lammps.options.converted / f"{golden['model'][0]}.safetensors"
    true(f"{path.name} needs {model}", model.exists())
    cell, rotation = to_lammps(np.array(golden["cell"], dtype=float).reshape(3, 3))
    periodic = [int(p) for p in golden["pbc"]]
    positions = golden["positions"] @ rotation
    low = np.where(periodic, 0.0, positions.min(0) - 1.0)
    cell = np.where(
        np.eye(3, dtype=bool) & ~np.array(periodic, dtype=bool),
        np.diag(np.ptp(positions, axis=0) + 2.0),
        cell,
    )
    elements = sorted(set(golden["symbols"]))
    kinds = [1 + elements.index(s) for s in golden["symbols"]]
    deck = start(boundary=" ".join("fp"[p] for p in periodic))
    keywords = keywords.format(**{key: golden[key][0] for key in ("task", "charge", "spin")})
    deck += f"pair_style umas {keywords}\n"
    deck += f"pair_coeff * * {model} {' '.join(elements)}\n" + masses(' '.join(elements))
    deck += THERMO + DUMP + "run 0\n"
    run = lammps.run(deck, files={"data": data_file(cell, kinds, positions, origin=low)})

    name, row, dump = path.stem, run.thermo[0], run.dump()[0]
    close(f"{name}: energy", row["PotEng"], float(golden["energy"][0]), ENERGY * len(kinds))
    forces = np.array([dump["fx"], dump["fy"], dump["fz"]]).T @ rotation.T
    close(f"{name}: forces", forces, golden["forces"], FORCE)
    xx, yy, zz, xy, xz, yz = (row[p] * row["Volume"] / BAR_A3 for p in PRESSURE)
    virial = rotation @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ rotation.T
    expected = np.array(golden["virial"], dtype=float)
    close(f"{name}: virial", virial[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]], expected, VIRIAL)
    return run.output


def omol_without_a_spin_is_a_closed_shell(lammps):
    """As fairchem takes it, whose other tasks have spin 0."""
    closed = "spin 1 (none is given; that of task omol),"
    for name, spin, told in (
        ("uma-1.2.1_three_omol", "1", closed),
        ("uma-1.1_molecule_omol", "1", closed),
        ("uma-1.2.1_slab_oc20", "0", "spin 0,"),
    ):
        path = lammps.options.golden / f"{name}.golden"
        true(f"{name} has spin {spin}", read_golden(path)["spin"] == [spin])
        output = run_golden(lammps, path, "task {task} charge {charge}")
        true(f"{name}: the log says {told!r}", told in output)


def goldens_are_reproduced(lammps):
    files = sorted(lammps.options.golden.glob("*.golden"))
    true(f"goldens in {lammps.options.golden}", files)
    for path in files:
        run_golden(lammps, path)
    print(f"{len(files)} goldens")


if __name__ == "__main__":
    from_command_line(__doc__, [goldens_are_reproduced, omol_without_a_spin_is_a_closed_shell])
