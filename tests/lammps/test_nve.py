"""Dynamics keep the total energy: forces are the gradient of one smooth function."""

import numpy as np

from lammps_run import crystal, data_file, from_command_line, start, true

STEPS = 200
TIME = 0.2  # ps, of all runs

# Halving the time step quarters the error of velocity Verlet; forces that are no gradient, or a
# jump at the cutoff, leave an error that does not follow the step.
RATIO = (3.0, 5.0)
DRIFT = 1e-6  # eV/atom, between the first and the last quarter, at the smaller step


def total_energies(lammps, precision, steps, data):
    deck = start() + lammps.style("Si O", f"task omat precision {precision}")
    deck += f"""
velocity all create 600 7 loop geom
fix move all nve
timestep {TIME / steps:.17g}
thermo_style custom step etotal atoms
thermo_modify format float %.17g
thermo {steps // 100}
run {steps}
"""
    rows = lammps.run(deck, files={"data": data}).thermo
    return np.array([row["TotEng"] for row in rows]) / rows[0]["Atoms"]


def energy_is_kept(lammps):
    data = data_file(*crystal())
    coarse, fine = (total_energies(lammps, "double", steps, data) for steps in (STEPS, 2 * STEPS))
    errors = [np.abs(e - e[0]).max() for e in (coarse, fine)]
    ratio, quarter = errors[0] / errors[1], len(fine) // 4
    drift = abs(fine[-quarter:].mean() - fine[:quarter].mean())
    print(
        f"largest error {errors[0]:.2e} and {errors[1]:.2e} eV/atom, "
        f"ratio {ratio:.2f}, drift {drift:.1e}"
    )
    true(f"the error falls by {ratio:.2f} with half the step", RATIO[0] <= ratio <= RATIO[1])
    true(f"energy drifts by {drift:.2e} eV/atom", drift <= DRIFT)


def single_precision_keeps_it_too(lammps):
    data = data_file(*crystal())
    double, single = (
        total_energies(lammps, precision, STEPS, data) for precision in ("double", "single")
    )
    difference = np.abs((single - single[0]) - (double - double[0])).max()
    # rounding of forces in 24 bits, added up over the steps
    true(f"single differs from double by {difference:.2e} eV/atom", difference <= 1e-5)


if __name__ == "__main__":
    from_command_line(__doc__, [energy_is_kept, single_precision_keeps_it_too])
