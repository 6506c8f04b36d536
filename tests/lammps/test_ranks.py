"""Any number of ranks gives what one gives; the same run gives the same bits."""

import re

import numpy as np

from lammps_run import DUMP, PER_ATOM, PRESSURE, THERMO
from lammps_run import close, cluster, crystal, data_file, from_command_line, skewed, slabs
from lammps_run import start, triclinic, true

SUMS = 1e-10  # relative, in double: the order of sums differs
SINGLE = 2e-4  # relative, in single: each rank rounds its own sums

MOVE = """
velocity all create 600 7 loop geom
neigh_modify every 1 delay 0 check no
fix move all nve
timestep 0.001
"""
ALL_VALUES = PER_ATOM + """
dump values all custom 1 values id c_energy c_virial[*]
dump_modify values sort id format float %.17g
"""


def fewest_ghosts(run):
    return int(re.findall(r"^Nghost:.* (\d+) min$", run.output, re.M)[-1])


def compare(what, run, one, tolerance):
    """Energies, pressures, forces and per-atom values of two runs, to the largest of each kind."""
    kinds = {"energy": ("PotEng",), "pressure": PRESSURE}
    for name, columns in kinds.items():
        values, expected = ([[row[c] for c in columns] for row in r.thermo] for r in (run, one))
        close(f"{what}: {name}", values, expected, tolerance * np.abs(expected).max())
    groups = {
        "forces": ("dump", slice(-3, None)),
        "pe/atom": ("values", slice(1, 2)),
        "stress/atom": ("values", slice(2, 8)),
    }
    for name, (file, columns) in groups.items():
        if (one.folder / file).exists():
            tables = [[list(s.values())[columns] for s in r.dump(file)] for r in (run, one)]
            close(f"{what}: {name}", *tables, tolerance * np.abs(tables[1]).max())


def ranks_agree_with_one(lammps):
    systems = {
        "crystal": (data_file(*crystal((2, 1, 1))), start(), ("", "", "")),
        "skew cell smaller than the cutoff": (
            data_file(*triclinic()),
            start(),
            ("", "", "processors 1 2 2\n"),
        ),
    }
    for name, (data, begin, grids) in systems.items():
        rest = (
            begin + lammps.style("Si O") + THERMO + DUMP + ALL_VALUES + MOVE + "thermo 1\nrun 2\n"
        )
        one = lammps.run(rest, files={"data": data})
        for ranks, grid in zip((2, 3, 4), grids):
            run = lammps.run(grid + rest, ranks, files={"data": data})
            compare(f"{name}, {ranks} ranks", run, one, SUMS)


def every_grid_agrees_with_one(lammps):
    systems = {"crystal": crystal((2, 1, 1)), "skew": triclinic(), "one cell": crystal()}
    for name, system in systems.items():
        files = {"data": data_file(*system)}
        rest = start() + lammps.style("Si O") + THERMO + DUMP + ALL_VALUES + MOVE + "thermo 1\n"
        one = lammps.run(rest + "run 1\n", files=files)
        for ranks in (2, 3, 4):
            for grid in np.ndindex(ranks, ranks, ranks):
                if np.prod(np.add(grid, 1)) != ranks:
                    continue
                grid = "processors {} {} {}\n".format(*np.add(grid, 1))
                run = lammps.run(grid + rest + "run 1\n", ranks, files=files)
                compare(f"{name}, {grid.strip()}", run, one, SUMS)


def slabs_on_ranks_of_their_own(lammps):
    """Of three slabs the lower two see each other; the third has only images of itself near it."""
    files = {"data": data_file(*slabs((12, 22, 45)))}
    rest = start() + lammps.style("Si O") + THERMO + DUMP + ALL_VALUES + MOVE + "thermo 1\n"
    one = lammps.run(rest + "run 2\n", files=files)
    for ranks in (2, 3, 4):
        run = lammps.run(f"processors 1 1 {ranks}\n" + rest + "run 2\n", ranks, files=files)
        compare(f"slabs on {ranks} ranks", run, one, SUMS)
        if ranks == 2:
            true("ranks have ghosts", fewest_ghosts(run) > 0)
            true("and send no rows, since these are images of their own atoms", run.rows_sent == 0)
        else:
            true("rows are sent", run.rows_sent > 0)


def flipped_boxes(lammps):
    skew = np.array([[10.0, 0, 0], [4.9, 5.0, 0], [0, 0, 5.0]])
    files = {"data": data_file(*skewed(crystal((2, 1, 1)), skew))}
    rest = start() + lammps.style("Si O") + THERMO.replace("vol", "vol xy") + DUMP + ALL_VALUES
    rest += MOVE + "fix shear all deform 1 xy delta 0.4 remap x flip yes\nthermo 1\nrun 4\n"
    one = lammps.run(rest, files=files)
    tilts = [row["Xy"] for row in one.thermo]
    true(f"the box flips within the run: xy = {tilts}", max(tilts) > 4.9 and min(tilts) < -4)
    for ranks, grid in ((2, "2 1 1"), (2, "1 2 1"), (3, "3 1 1"), (4, "2 2 1"), (4, "1 2 2")):
        run = lammps.run(f"processors {grid}\n" + rest, ranks, files=files)
        compare(f"a box that flips, processors {grid}", run, one, SUMS)


def empty_ranks_take_part(lammps):
    kinds, positions = cluster()
    data = data_file(np.diag([40.0, 20, 20]), kinds, positions, origin=(-5, -10, -10))
    rest = start(boundary="p f f") + lammps.style("Si O") + THERMO + DUMP + ALL_VALUES + "run 0\n"
    one = lammps.run(rest, files={"data": data})
    run = lammps.run("processors 4 1 1\n" + rest, 4, files={"data": data})
    true("a rank without atoms", " 0 min" in run.output)
    compare("4 ranks, most of them empty", run, one, SUMS)


def ranks_without_the_models_atoms_take_part(lammps):
    cell, kinds, positions = crystal((2, 1, 1), types=(2, 2))
    kinds = np.where(positions[:, 0] < 3.0, 1, 2)
    data = data_file(cell, kinds, positions)
    rest = start() + lammps.style("Si NULL") + THERMO + DUMP + "run 0\n"
    one = lammps.run(rest, files={"data": data})
    compare("2 ranks", lammps.run("processors 2 1 1\n" + rest, 2, files={"data": data}), one, SUMS)


def tiles_and_balancing(lammps):
    # comm_style tiled wants the box to be longer than cutoff and skin
    data = data_file(*crystal((2, 2, 2)))
    rest = (
        "neighbor 1.0 bin\n"
        + lammps.style("Si O")
        + THERMO
        + DUMP
        + ALL_VALUES
        + MOVE
        + "thermo 1\n"
    )
    one = lammps.run(start() + rest + "run 2\n", files={"data": data})
    tiled = (
        start(before="comm_style tiled")
        + "balance 1.0 rcb\n"
        + rest
        + "fix even all balance 1 1.0 rcb\nrun 2\n"
    )
    compare("comm_style tiled, rcb", lammps.run(tiled, 3, files={"data": data}), one, SUMS)
    shifted = start() + rest + "fix even all balance 1 1.0 shift xyz 5 1.01\nrun 2\n"
    compare("shifted bricks", lammps.run(shifted, 2, files={"data": data}), one, SUMS)


def tiles_of_uneven_systems(lammps):
    cell, kinds, positions = crystal((2, 2, 2))
    slab = np.diag([10.0, 10.0, 40.0]), kinds, positions + [0, 0, 13]
    skew = skewed((cell, kinds, positions), np.array([[10.0, 0, 0], [2.5, 10, 0], [-1, 2, 10]]))
    for name, system in {"slab": slab, "skew": skew}.items():
        files = {"data": data_file(*system)}
        rest = "neighbor 1.0 bin\n" + lammps.style("Si O") + THERMO + DUMP + ALL_VALUES + MOVE
        rest += "thermo 1\n"
        one = lammps.run(start() + rest + "run 2\n", files=files)
        # after `velocity loop geom`: balance rounds positions in a skew box, which that depends on
        tiled = start(before="comm_style tiled") + rest + "balance 1.0 rcb\n"
        tiled += "fix even all balance 1 1.0 rcb\nrun 2\n"
        for ranks in (2, 4):
            run = lammps.run(tiled, ranks, files=files)
            compare(f"{name} in {ranks} tiles", run, one, SUMS)


def atom_ids_are_not_needed(lammps):
    atoms = """
lattice diamond 5.0
region box block 0 2 0 1 0 1
create_box 2 box
create_atoms 1 box basis 5 2 basis 6 2 basis 7 2 basis 8 2
"""
    rest = lammps.style("Si O") + THERMO + "run 0\n"
    one = lammps.run(start(atoms) + rest)
    for ranks in (1, 2):
        run = lammps.run(start(atoms, before="atom_modify id no") + rest, ranks)
        compare(f"no IDs, {ranks} ranks", run, one, SUMS)


def single_precision_on_two_ranks(lammps):
    data = data_file(*crystal((2, 1, 1)))
    deck = start() + lammps.style("Si O", "task omat precision single") + THERMO + DUMP + "run 0\n"
    one = lammps.run(deck, files={"data": data})
    compare("single, 2 ranks", lammps.run(deck, 2, files={"data": data}), one, SINGLE)


def the_same_run_gives_the_same_bits(lammps):
    data = data_file(*crystal((2, 1, 1)))
    for precision in ("double", "single"):
        style = lammps.style("Si O", f"task omat precision {precision}")
        deck = start() + style + THERMO + DUMP + ALL_VALUES + MOVE + "thermo 1\nrun 3\n"
        files = {"data": data}
        one, again, threads = (lammps.run(deck, files=files, threads=n) for n in (1, 1, 2))
        for name, run in (("a second run", again), ("two threads", threads)):
            for file in ("dump", "values"):
                same = (run.folder / file).read_text() == (one.folder / file).read_text()
                true(f"{name} in {precision} gives other bits in {file}", same)
        for ranks in (2, 3, 4):
            first, again = (lammps.run(deck, ranks, files=files) for _ in range(2))
            for file in ("dump", "values"):
                same = (first.folder / file).read_text() == (again.folder / file).read_text()
                true(f"a second run on {ranks} ranks in {precision} gives other {file}", same)


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            ranks_agree_with_one,
            every_grid_agrees_with_one,
            slabs_on_ranks_of_their_own,
            flipped_boxes,
            empty_ranks_take_part,
            ranks_without_the_models_atoms_take_part,
            tiles_and_balancing,
            tiles_of_uneven_systems,
            atom_ids_are_not_needed,
            single_precision_on_two_ranks,
            the_same_run_gives_the_same_bits,
        ],
    )
