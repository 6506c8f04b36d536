"""umas/gpu in LAMMPS gives what umas gives; test_gpu_ranks.py is about several ranks.

The random model has 128 channels here, as the CUDA engine wants."""

import re

import numpy as np

from lammps_run import DUMP, PER_ATOM, PRESSURE, THERMO, Skipped
from lammps_run import close, crystal, data_file, from_command_line, start, triclinic, true

# relative to the largest value of a kind, against the CPU in double (docs/accuracy.md)
AGREES = {"single": 1e-4, "mixed": 5e-3}
VALUES = PER_ATOM + """
dump values all custom 1 values id c_energy c_virial[*]
dump_modify values sort id format float %.17g
"""
MOVE = """
velocity all create 300 7 loop geom
neigh_modify every 1 delay 0 check no
fix move all nve
timestep 0.0005
thermo 1
"""


def need_gpu(lammps):
    deck = start() + gpu(lammps, "single")
    run = lammps.run(deck + "run 0\n", files={"data": data_file(*crystal())}, fails=True)
    reason = re.search(r"ERROR.*umas/gpu: (.*(?:no CUDA engine|NVIDIA|GPU cannot).*)", run.output)
    if reason:
        raise Skipped(reason[1])


def gpu(lammps, precision, keywords=""):
    return lammps.style("Si O", f"task omat precision {precision} {keywords}", "umas/gpu",
                        lammps.random_model)


def cpu(lammps):
    return lammps.style("Si O", model=lammps.random_model)


def compare(what, run, one, tolerance):
    for columns in (("PotEng",), PRESSURE):
        values, expected = ([[row[c] for c in columns] for row in r.thermo] for r in (run, one))
        close(f"{what}: {columns[0]}", values, expected, tolerance * np.abs(expected).max())
    for file, columns in {"dump": slice(-3, None), "values": slice(1, 8)}.items():
        tables = [[list(s.values())[columns] for s in r.dump(file)] for r in (run, one)]
        for k, (value, expected) in enumerate(zip(*(np.moveaxis(t, 1, 0) for t in tables))):
            close(f"{what}: {file} {k}", value, expected, tolerance * np.abs(tables[1]).max())


def agrees_with_the_cpu(lammps):
    need_gpu(lammps)
    systems = {"crystal": crystal(), "skew": triclinic(), "larger": crystal((2, 2, 1))}
    for name, system in systems.items():
        files = {"data": data_file(*system)}
        rest = THERMO + DUMP + VALUES + MOVE + "run 2\n"
        one = lammps.run(start() + cpu(lammps) + rest, files=files)
        for precision, tolerance in AGREES.items():
            run = lammps.run(start() + gpu(lammps, precision) + rest, files=files)
            compare(f"{name}, {precision}", run, one, tolerance)


def runs_repeat_to_the_bit(lammps):
    need_gpu(lammps)
    deck = start() + gpu(lammps, "mixed") + THERMO + DUMP + VALUES + MOVE + "run 20\nrun 5\n"
    files = {"data": data_file(*crystal((2, 1, 1)))}
    first, again = (lammps.run(deck, files=files) for _ in range(2))
    true("thermo output repeats", first.thermo == again.thermo)
    for name in ("dump", "values"):
        true(f"{name} repeats", (first.folder / name).read_text() == (again.folder / name).read_text())


def atoms_come_and_go(lammps):
    need_gpu(lammps)
    change = """
run 1
group some id 3 5
delete_atoms group some compress no
run 1
create_atoms 2 single 2.1 2.3 2.2
mass * 28
run 1
"""
    files = {"data": data_file(*crystal())}
    one = lammps.run(start() + cpu(lammps) + THERMO + MOVE + change, files=files)
    run = lammps.run(start() + gpu(lammps, "single") + THERMO + MOVE + change, files=files)
    values, expected = ([row["PotEng"] for row in r.thermo] for r in (run, one))
    close("energy", values, expected, AGREES["single"] * np.abs(expected).max())


def one_error(what, run, expected):
    lines = run.errors()
    true(f"{what}: exit status {run.status}, {len(lines)} errors: {lines}",
         run.status != 0 and len(lines) == 1 and expected in lines[0])


def errors_are_one_line(lammps):
    need_gpu(lammps)
    files = {"data": data_file(*crystal())}
    for keywords, expected in {
        "device 99": "there is no device 99",
        "memory 0.00001": "of GPU memory and may take",
    }.items():
        for ranks in (1, 2):
            deck = start() + gpu(lammps, "mixed", keywords) + "run 0\n"
            run = lammps.run(deck, ranks, files=files, fails=True)
            one_error(f"'{keywords}' on {ranks} ranks", run, expected)
    small = lammps.style("Si O", "task omat", "umas/gpu")
    run = lammps.run(start() + small + "run 0\n", files=files, fails=True)
    one_error("8 channels", run, "128 channels")


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            agrees_with_the_cpu,
            runs_repeat_to_the_bit,
            atoms_come_and_go,
            errors_are_one_line,
        ],
    )
