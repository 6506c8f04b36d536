#!/usr/bin/env python3
"""Dynamics of the student in LAMMPS: OUT/nve.json and OUT/silica-student.json.

NVE of crystals at 300 K and 1500 K; silica molten and quenched at constant volume, of which the
teacher, started from the student's liquid and glass, makes OUT/silica-teacher-STATE.json beside it.
What has its file is not run again. Times are in ps, temperatures in K.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from crystals import silica, silicon
from disorder import random_packing
from judge_common import read_results, write_results
from judge_structure import structure
from judge_student import Student, StudentError, add_student_options, write_structure

_TIMESTEP = 0.001
_UNITS = 108  # of SiO2 that are molten
_DENSITY = 2.2  # g/cm^3
_SEED = 4928
_EVERY = 25  # steps between the frames whose structure is seen
_SNAPSHOTS = 10  # frames kept with their forces
_EXPLODED = 3.0  # times the temperature

_NVE = {
    "silicon-300": ("silicon", 300),
    "silicon-1500": ("silicon", 1500),
    "quartz-300": ("quartz", 300),
    "quartz-1500": ("quartz", 1500),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--work", type=Path, help="folder of decks and dumps (OUT/work)")
    parser.add_argument("--share", type=float, default=1.0, help="of all times, for a trial")
    parser.add_argument("--limit", type=float, default=500.0, help="s that one run may take")
    parser.add_argument("--device", default="cuda", help="of the teacher; none leaves it out")
    add_student_options(parser)
    options = parser.parse_args()
    options.work = options.work or options.out / "work"
    try:
        student = Student(options)
        with ThreadPoolExecutor(4) as pool:
            crystals = pool.submit(all_nve, student, options)
            teachers = []
            for state, run in (("melt", melt), ("glass", quench)):
                run(student, options)
                if options.device != "none":
                    teachers.append(pool.submit(beside, state, options))
            for task in (crystals, *teachers):
                task.result()
    except StudentError as error:
        sys.exit(f"judge_dynamics.py: {error}")


def all_nve(student, options):
    """Every crystal and temperature that nve.json lacks, one after the other."""
    path = options.out / "nve.json"
    results = read_results(path)
    for name, (crystal, temperature) in _NVE.items():
        if name not in results:
            results[name] = nve(name, crystal, temperature, student, options)
            write_results(path, results)
            print(f"{name}: {_without_series(results[name])}", flush=True)


def nve(name, crystal, temperature, student, options):
    """20 ps after 2 ps with a thermostat: drift and spread of the total energy in meV/atom."""
    folder = _folder(options, name)
    if crystal == "silicon":
        atoms = silicon("diamond").repeat((3, 3, 3))
    else:
        atoms = silica("alpha-quartz").repeat((3, 3, 3))
    write_structure(folder / "atoms", atoms)
    deck = (
        _begin(student, "atoms")
        + _velocities(2 * temperature)
        + _thermostat(2.0, temperature, temperature, options)
        + "fix move all nve\nreset_timestep 0\ncompute moved all msd\n"
        + "thermo_style custom step temp pe etotal press c_moved[4]\n"
        + f"thermo 50\nrun {_steps(20.0, options)}\n"
    )
    status, output = student.run(deck, folder, options.limit)
    rows = _thermo(output, "TotEng")
    result = {"atoms": len(atoms), "temperature": temperature, "status": status}
    if status != 0 or len(rows) < 3:
        return {**result, "exploded": True, "output": output[-1000:]}
    time, energy = rows["Step"] * _TIMESTEP, rows["TotEng"] * 1e3 / len(atoms)
    slope, start = np.polyfit(time, energy, 1)
    return {
        **result,
        "ps": float(time[-1]),
        "drift": float(slope),  # meV/atom/ps
        "spread": float(np.std(energy - start - slope * time)),
        "mean_temperature": float(rows["Temp"].mean()),
        "exploded": bool(not rows["Temp"].max() < _EXPLODED * temperature),
        "moved": float(rows["c_moved[4]"][-1]),  # A^2, mean square displacement
        "times": np.round(time, 4).tolist(),
        "energies": np.round(energy - energy[0], 6).tolist(),
    }


def melt(student, options):
    """Liquid silica from a random packing: 5000 K, cooled to 3000 K and held there."""
    folder = _folder(options, "silica")
    if _has(options, "melt") and (folder / "melt.data").exists():
        return
    atoms = random_packing(_UNITS, 2 * _UNITS, _DENSITY, np.random.default_rng(_SEED))
    write_structure(folder / "atoms", atoms)
    deck = (
        _begin(student, "atoms")
        + "min_modify dmax 0.05\nminimize 0 2.0 200 1000\nreset_timestep 0\n"
        + _velocities(5000)
        + _thermostat(6.0, 5000, 5000, options)
        + _thermostat(4.0, 5000, 3000, options)
        + _thermostat(1.0, 3000, 3000, options)
        + _sampled(5.0, 3000, "melt", options)
    )
    _run_and_keep("melt", 3000, deck, folder, student, options)


def quench(student, options):
    """The liquid of `melt` cooled at 150 K/ps to a glass at 300 K."""
    folder = _folder(options, "silica")
    if _has(options, "glass"):
        return
    deck = (
        _begin(student, "melt.data")
        + _thermostat(18.0, 3000, 300, options)
        + _thermostat(1.0, 300, 300, options)
        + _sampled(3.0, 300, "glass", options)
    )
    _run_and_keep("glass", 300, deck, folder, student, options)


def beside(state, options):
    """The teacher's dynamics from the student's last frame of `state`, in a process of its own."""
    program = Path(__file__).with_name("judge_teacher_dynamics.py")
    steps = max(20, round(2000 * options.share))
    command = [sys.executable, program, state, "--out", options.out, "--device", options.device]
    command += ["--steps", str(steps), "--limit", str(options.limit)]
    if subprocess.run(command).returncode != 0:
        raise StudentError(f"the teacher's dynamics of the {state} ended early")


def _run_and_keep(state, temperature, deck, folder, student, options):
    """Runs a deck that ends with _sampled and adds what it gave to silica-student.json."""
    status, output = student.run(deck, folder, options.limit)
    if status != 0:
        raise StudentError(f"the {state}'s run ended with status {status}:\n{output[-2000:]}")
    kinds, edge, frames = _read_dump(folder / f"{state}.dump")
    numbers = np.where(kinds == 1, 14, 8)
    thermo = _thermo(output, "Press")
    chosen = np.unique(np.linspace(0, len(frames) - 1, _SNAPSHOTS).round().astype(int))
    path = options.out / "silica-student.json"
    results = read_results(path)
    results[state] = {
        "atoms": len(numbers),
        "density": _DENSITY,
        "temperature": temperature,
        "pressure": float(thermo["Press"].mean()) * 1e-4,  # GPa
        **structure(numbers, frames[:, :, :3], edge),
        "snapshots": {
            "edge": edge,
            "numbers": numbers.tolist(),
            "energies": thermo["PotEng"][chosen].tolist(),
            "positions": frames[chosen, :, :3].tolist(),
            "forces": frames[chosen, :, 3:].tolist(),
        },
    }
    write_results(path, results)
    print(f"{state}: neighbours {results[state]['neighbours']}", flush=True)


def _begin(student, atoms):
    return (
        f"{student.read(atoms)}neighbor 1.0 bin\ntimestep {_TIMESTEP}\n"
        "thermo_style custom step temp pe press\nthermo_modify format float %.12g\nthermo 500\n"
    )


def _velocities(temperature):
    return f"velocity all create {temperature} {_SEED} mom yes rot no dist gaussian\n"


def _thermostat(duration, first, last, options):
    steps = _steps(duration, options)
    return f"fix move all nvt temp {first} {last} 0.1\nrun {steps}\nunfix move\n"


def _sampled(duration, temperature, name, options):
    """A run at one temperature whose frames and pressures are kept, and its last state."""
    return (
        f"reset_timestep 0\ndump frames all custom {_EVERY} {name}.dump id type x y z fx fy fz\n"
        "dump_modify frames sort id format float %.6f\n"
        f"thermo {_EVERY}\n{_thermostat(duration, temperature, temperature, options)}"
        f"write_data {name}.data nocoeff\n"
    )


def _steps(duration, options):
    """A whole number of frames, so that the last frame is the last step."""
    return max(1, round(duration * options.share / _TIMESTEP / _EVERY)) * _EVERY


def _folder(options, name):
    folder = options.work / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _has(options, state):
    return state in read_results(options.out / "silica-student.json")


def _thermo(output, column):
    """The last table of the output that has this column: {name: array over rows}."""
    names, rows, table = None, [], []
    for line in output.splitlines():
        words = line.split()
        if words[:1] == ["Step"]:
            names, rows = words, []
        elif names and len(words) == len(names) and words[0].isdigit():
            rows.append([float(word) for word in words])
        elif line.startswith("Loop time") and column in names:
            table, columns = rows, names
    return dict(zip(columns, np.array(table).T)) if table else {}


def _read_dump(path):
    """(types [atoms], edge, [frames, atoms, 6]): the columns of _sampled, of a cubic cell."""
    lines = path.read_text().splitlines()
    count = int(lines[3])
    low, high = map(float, lines[5].split()[:2])
    step = count + 9
    frames = [
        np.array([line.split() for line in lines[start + 9 : start + step]], dtype=float)
        for start in range(0, len(lines), step)
    ]
    return frames[0][:, 1].astype(int), high - low, np.array(frames)[:, :, 2:]


def _without_series(result):
    return {k: v for k, v in result.items() if k not in ("times", "energies")}


if __name__ == "__main__":
    main()
