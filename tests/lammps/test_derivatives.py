"""Forces and pressure are derivatives of the energy; per-atom values sum to the total; units."""

import numpy as np

from lammps_run import BAR_A3, DUMP, PER_ATOM, PRESSURE, THERMO
from lammps_run import close, crystal, data_file, from_command_line, start, triclinic

STEP = 1e-4  # A: the error of a central difference is its square times the third derivative
DERIVATIVE = 1e-6  # of the largest force or virial


def forces_are_derivatives(lammps):
    cell, kinds, positions = triclinic()
    deck = start() + lammps.style("Si O") + THERMO + DUMP + "run 0\nundump forces\n"
    moved = [(atom, axis) for atom in (1, 4, 7) for axis in range(3)]
    for atom, axis in moved:
        deck += f"group one id {atom}\n"
        there, back = (
            "displace_atoms one move "
            + " ".join(str(shift if k == axis else 0.0) for k in range(3))
            + " units box\n"
            for shift in (STEP, -STEP)
        )
        deck += there + "run 0\n" + 2 * back + "run 0\n" + there + "group one delete\n"
    run = lammps.run(deck, files={"data": data_file(cell, kinds, positions)})
    energy = [row["PotEng"] for row in run.thermo]
    dump = run.dump()[0]
    forces = np.array([dump["fx"], dump["fy"], dump["fz"]]).T
    numeric = [(energy[2 + 2 * k] - energy[1 + 2 * k]) / (2 * STEP) for k in range(len(moved))]
    close(
        "force",
        [forces[atom - 1, axis] for atom, axis in moved],
        numeric,
        DERIVATIVE * np.abs(forces).max(),
    )
    close("sum of forces", forces.sum(0), np.zeros(3), 1e-10)


def pressure_is_a_derivative(lammps):
    cell, kinds, positions = triclinic()
    entries = [(0, 0), (1, 1), (2, 2), (1, 0), (2, 0), (2, 1)]
    deck = start() + lammps.style("Si O") + THERMO + "run 0\n"

    def box(h):
        bounds = " ".join(f"{c} final 0.0 {h[k, k]:.17g}" for k, c in enumerate("xyz"))
        skew = {"xy": h[1, 0], "xz": h[2, 0], "yz": h[2, 1]}
        tilts = " ".join(f"{name} final {tilt:.17g}" for name, tilt in skew.items())
        return f"change_box all {bounds} {tilts} remap units box\n"

    for row, column in entries:
        for shift in (STEP, -STEP):
            h = cell.copy()
            h[row, column] += shift
            deck += box(h) + "run 0\n"
    run = lammps.run(deck, files={"data": data_file(cell, kinds, positions)})
    base = run.thermo[0]
    xx, yy, zz, xy, xz, yz = (base[p] * base["Volume"] / BAR_A3 for p in PRESSURE)
    virial = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    energy = [row["PotEng"] for row in run.thermo[1:]]
    for k, (row, column) in enumerate(entries):
        change = np.zeros((3, 3))
        change[row, column] = 1
        strain = np.linalg.inv(cell) @ change  # rows r -> r (1 + strain)
        numeric = (energy[2 * k] - energy[2 * k + 1]) / (2 * STEP)
        close(
            f"dE/dcell{row}{column}",
            -np.sum(virial * strain),
            numeric,
            DERIVATIVE * np.abs(virial).max(),
        )


def per_atom_values_sum_to_the_total(lammps):
    for cell, kinds, positions in (triclinic(), crystal()):
        columns = "pe vol " + " ".join(p.lower() for p in PRESSURE)
        columns += " c_energies " + " ".join(f"c_virials[{k}]" for k in range(1, 7))
        deck = start() + lammps.style("Si O") + PER_ATOM
        deck += f"thermo_style custom step {columns}\nthermo_modify format float %.17g\nrun 0\n"
        row = lammps.run(deck, files={"data": data_file(cell, kinds, positions)}).thermo[0]
        close("sum of pe/atom", row["c_energies"], row["PotEng"], 1e-12 * abs(row["PotEng"]))
        total = np.array([row[p] for p in PRESSURE]) * row["Volume"]
        sums = [row[f"c_virials[{k}]"] for k in range(1, 7)]
        close("sum of stress/atom", sums, -total, 1e-12 * np.abs(total).max())


def real_units_are_converted(lammps):
    cell, kinds, positions = triclinic()
    rows, forces = {}, {}
    for units in ("metal", "real"):
        deck = start(units=units) + lammps.style("Si O") + THERMO + DUMP + "run 0\n"
        run = lammps.run(deck, files={"data": data_file(cell, kinds, positions)})
        rows[units], dump = run.thermo[0], run.dump()[0]
        forces[units] = np.array([dump["fx"], dump["fy"], dump["fz"]])
    kcal_mol, bar_of_atm = 23.060549, 1.01325
    metal, real = rows["metal"], rows["real"]
    close("energy", real["PotEng"], kcal_mol * metal["PotEng"], 1e-12 * abs(real["PotEng"]))
    close(
        "forces", forces["real"], kcal_mol * forces["metal"], 1e-12 * np.abs(forces["real"]).max()
    )
    # LAMMPS' constants of the two unit systems agree to seven digits
    pressures = [[row[p] for p in PRESSURE] for row in (real, metal)]
    close(
        "pressure",
        np.array(pressures[0]) * bar_of_atm,
        pressures[1],
        1e-6 * np.abs(pressures[1]).max(),
    )


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            forces_are_derivatives,
            pressure_is_a_derivative,
            per_atom_values_sum_to_the_total,
            real_units_are_converted,
        ],
    )
