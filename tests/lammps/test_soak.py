"""Long runs: energy that does not drift, memory that does not grow, a pressure that is kept.

Dynamics are those of the trained potential student-SiO; runs for memory take the small random
model.  Hours on a processor, so the preset `soak` runs this, and no other.  UMAS_SOAK_STEPS and
UMAS_SOAK_TIMES of the environment are other numbers of steps and times; drift wants all of them."""

import os
import re

import numpy as np

from lammps_run import Skipped, crystal, data_file, from_command_line, start, true

STEPS = int(os.environ.get("UMAS_SOAK_STEPS", "50000"))
TIMES = int(os.environ.get("UMAS_SOAK_TIMES", "1000"))
NO_LIMIT = 30 * 24 * 3600  # s

# Largest drift, meV/atom/ns.  Velocity Verlet has an energy of its own that it keeps but for
# rounding.  In double that leaves the error of the fitted line: the total energy swings by some 0.1
# meV/atom as the fastest vibrations do, 24 fs in the molecule, so that its 25 ps give the slope to
# 0.1 (12 * 24 fs / 25 ps)^0.5 / 0.025 ns = 0.4.  In single, forces of 1 eV/A err by some 1e-6 of it;
# at 5 A/ps and 1 fs that is 5e-9 eV a step, 1e-6 eV in 50,000 steps if errors are independent and
# 2.5e-4 eV, 5 meV in a ns, if all have one sign.  In mixed, factors have 8 to 11 bits: a thousand
# times that, of which independent errors leave 20.
DRIFT = {"double": 1.0, "single": 5.0, "mixed": 20.0}

# Mean pressure against the one asked for.  The barostat's momentum changes by the sum of the
# deviations and stays small, so that their mean falls as 1 / time, not as its root.
PRESSURE, PRESSURE_ERROR = 20000.0, 2000.0  # bar

# A block of 1 kB that is lost a time would be 1 MB after a thousand.
GROWTH = 1024  # kB
MAPS = 4  # mappings: the heap may be cut into a few more

SILICON = start() + "mass 1 28.085\n"
MOLECULE = """
units metal
boundary f f f
region box block -15 15 -15 15 -15 15
create_box 2 box
create_atoms 1 single 0 0 0
create_atoms 2 single 1.55 0 0
create_atoms 2 single -1.55 0.1 0
mass 1 28.085
mass 2 15.999
"""


def silicon(a=5.46):
    """The two atoms of diamond's primitive cell, a side of which is shorter than the cutoff."""
    side = a / np.sqrt(2)
    cell = side * np.array(
        [[1, 0, 0], [0.5, np.sqrt(0.75), 0], [0.5, np.sqrt(1 / 12), np.sqrt(2 / 3)]]
    )
    return {"data": data_file(cell, [1, 1], [[0, 0, 0], cell.sum(axis=0) / 4])}


def potential(lammps, elements, precision, style="umas"):
    model = lammps.options.converted / "student-SiO.safetensors"
    return f"pair_style {style} task omat precision {precision}\npair_coeff * * {model} {elements}\n"


def drift(lammps, system, elements, precision, step, style="umas"):
    """(meV/atom/ns, meV/atom that the total energy swings by)"""
    deck = system + potential(lammps, elements, precision, style)
    deck += f"""
minimize 0 1e-4 1000 5000
reset_timestep 0
velocity all create 600 4711 mom yes rot yes loop all
fix move all nve
timestep {step}
thermo_style custom step etotal temp
thermo_modify format float %.17g
thermo 1
run {STEPS}
"""
    rows = lammps.run(deck, files=silicon(), timeout=NO_LIMIT).thermo[-STEPS - 1 :]
    true(f"{len(rows)} rows", len(rows) == STEPS + 1)
    atoms = 2 if system == SILICON else 3
    energy = 1000 * np.array([row["TotEng"] for row in rows]) / atoms
    time = 1e-3 * step * np.arange(STEPS + 1)  # ns
    slope, first = np.polyfit(time, energy, 1)
    swing = (energy - slope * time - first).std()
    print(f"{elements} {precision}: {STEPS} steps, {slope:.3g} meV/atom/ns, swing {swing:.3g} "
          f"meV/atom, {np.mean([row['Temp'] for row in rows]):.0f} K", flush=True)
    return slope, swing


def energy_is_kept(lammps, precision, style="umas"):
    for system, elements, step in ((MOLECULE, "Si O", 0.0005), (SILICON, "Si", 0.001)):
        slope, _ = drift(lammps, system, elements, precision, step, style)
        true(f"{elements}: energy drifts by {slope:.3g} meV/atom/ns", abs(slope) <= DRIFT[precision])


def double_keeps_energy(lammps):
    energy_is_kept(lammps, "double")


def single_keeps_energy(lammps):
    energy_is_kept(lammps, "single")


def mixed_keeps_energy(lammps):
    need_gpu(lammps)
    energy_is_kept(lammps, "mixed", "umas/gpu")


def need_gpu(lammps):
    deck = SILICON + potential(lammps, "Si", "mixed", "umas/gpu")
    run = lammps.run(deck + "run 0\n", files=silicon(), fails=True)
    reason = re.search(r"ERROR.*umas/gpu: (.*(?:without CUDA|no CUDA engine|NVIDIA|GPU cannot).*)", run.output)
    if reason:
        raise Skipped(reason[1])


# ---- memory ------------------------------------------------------------------------------------

WRITE_MEMORY = """
shell "grep VmRSS /proc/$PPID/status >> resident"
shell "wc -l < /proc/$PPID/maps >> maps"
"""
WRITE_GPU_MEMORY = """
shell "nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -n 1 >> gpu"
"""


def memory_is_flat(lammps, what, deck, files, gpu=False):
    """`deck` is done TIMES times, with the variable `time` in it."""
    count = WRITE_MEMORY + (WRITE_GPU_MEMORY if gpu else "")
    deck = f"log none\nvariable time loop {TIMES}\nlabel again\n{deck}{count}next time\n"
    run = lammps.run(deck + "jump in.deck again\n", files=files, timeout=NO_LIMIT)
    limits = {"resident": GROWTH, "maps": MAPS} | ({"gpu": 1} if gpu else {})  # kB, lines, MiB
    for name, limit in limits.items():
        values = [int(re.search(r"\d+", line)[0]) for line in open(run.folder / name)]
        true(f"{what}: {len(values)} values of {name}", len(values) == TIMES)
        tenth = TIMES // 10
        growth = max(values[-tenth:]) - max(values[tenth : 2 * tenth])
        print(f"{what}: {name} {values[0]} ... {values[-1]}, growth {growth}", flush=True)
        true(f"{what}: {name} grows by {growth} in {TIMES}", growth <= limit)


def style(lammps, gpu=""):
    return lammps.style("Si O", "task omat", "umas" + gpu, lammps.random_model)


def clear_gives_memory_back(lammps, gpu=""):
    deck = "clear\n" + start() + style(lammps, gpu) + "run 0 post no\n"
    files = {"data": data_file(*crystal())}
    memory_is_flat(lammps, "clear" + gpu, deck, files, bool(gpu))


def unloading_gives_memory_back(lammps, gpu=""):
    deck = f"clear\nplugin clear\nplugin load {lammps.options.plugin}\n"
    deck += start() + style(lammps, gpu) + "run 0 post no\n"
    files = {"data": data_file(*crystal())}
    memory_is_flat(lammps, "unload and load" + gpu, deck, files, bool(gpu))


def compositions_give_memory_back(lammps, gpu=""):
    """One style, in which the types of atoms are drawn again and again."""
    deck = "if '${time} == 1' then 'include begin'\n"
    deck += "set group all type 1\nset group all type/fraction 2 0.5 ${time}\nrun 0 post no\n"
    files = {"data": data_file(*crystal((2, 1, 1))), "begin": start() + style(lammps, gpu)}
    memory_is_flat(lammps, "compositions" + gpu, deck, files, bool(gpu))


def a_gpu_gives_memory_back(lammps):
    need_gpu(lammps)
    clear_gives_memory_back(lammps, "/gpu")
    unloading_gives_memory_back(lammps, "/gpu")
    compositions_give_memory_back(lammps, "/gpu")


# ---- pressure ----------------------------------------------------------------------------------


def a_barostat_finds_its_pressure(lammps):
    steps = STEPS // 5
    deck = SILICON + potential(lammps, "Si", "single")
    deck += f"""
velocity all create 600 4711 mom yes loop all
fix move all npt temp 300 300 0.1 iso {PRESSURE} {PRESSURE} 0.5
timestep 0.001
thermo_style custom step press vol temp
thermo 1
run {steps}
"""
    rows = lammps.run(deck, files=silicon(), timeout=NO_LIMIT).thermo[steps // 2 :]
    pressure = np.mean([row["Press"] for row in rows])
    volume = np.mean([row["Volume"] for row in rows])
    print(f"NPT: {pressure:.0f} bar of {PRESSURE:.0f}, {volume:.2f} A^3", flush=True)
    true(f"a mean of {pressure:.0f} bar", abs(pressure - PRESSURE) <= PRESSURE_ERROR)
    # 2 GPa against a bulk modulus of 80 to 110 GPa, softened and expanded by 300 K
    change = volume / (5.46**3 / 4) - 1
    true(f"the volume changes by {change:.3%}", -0.03 <= change <= -0.01)


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            clear_gives_memory_back,
            unloading_gives_memory_back,
            compositions_give_memory_back,
            a_gpu_gives_memory_back,
            a_barostat_finds_its_pressure,
            single_keeps_energy,
            double_keeps_energy,
            mixed_keeps_energy,
        ],
    )
