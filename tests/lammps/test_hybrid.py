"""NULL types, hybrid styles, bonded neighbours and excluded pairs."""

import numpy as np

from lammps_run import DUMP, PER_ATOM, PRESSURE, THERMO
from lammps_run import close, crystal, data_file, from_command_line, start, true

SAME = 1e-11  # relative, in double: the order of sums differs
LJ = "0.05 2.2 6.0"


def system():
    """Types 1 and 2 are the model's; every fourth atom is of type 3."""
    cell, kinds, positions = crystal((2, 1, 1))
    kinds = np.where(np.arange(len(kinds)) % 4 == 3, 3, kinds)
    return cell, kinds, positions


def evaluate(lammps, style, ranks=1, keep=slice(None), setup=THERMO):
    cell, kinds, positions = system()
    files = {"data": data_file(cell, kinds[keep], positions[keep], ntypes=3)}
    run = lammps.run(start() + style + setup + DUMP + "run 0\n", ranks, files=files)
    dump = run.dump()[0]
    forces = np.array([dump["fx"], dump["fy"], dump["fz"]]).T
    row = run.thermo[0]
    return row["PotEng"], forces, np.array([row[p] for p in PRESSURE])


def same(what, result, expected):
    for name, values, target in zip(("energy", "forces", "pressure"), result, expected):
        close(
            f"{what}: {name}",
            values,
            target,
            SAME * max(1.0, np.abs(expected[0])) if name != "pressure" else 1e-6,
        )


def umas_alone(lammps):
    """Energy, forces and pressure of the model's atoms without the others, forces of those zero."""
    kinds = system()[1]
    energy, some, pressure = evaluate(lammps, lammps.style("Si O NULL"), keep=kinds != 3)
    forces = np.zeros((len(kinds), 3))
    forces[kinds != 3] = some
    return energy, forces, pressure


def lj_alone(lammps, pairs):
    style = "pair_style hybrid lj/cut 6.0\npair_coeff * * none\n"
    return evaluate(lammps, style + "".join(f"pair_coeff {p} lj/cut {LJ}\n" for p in pairs))


def plus(a, b):
    return tuple(x + y for x, y in zip(a, b))


def null_types_take_no_part(lammps):
    expected = umas_alone(lammps)
    for ranks in (1, 2):
        same(f"NULL on {ranks} ranks", evaluate(lammps, lammps.style("Si O NULL"), ranks), expected)


def systems_of_null_types_alone_have_no_energy(lammps):
    cell, kinds, positions = crystal()
    files = {"data": data_file(cell, np.full(len(kinds), 3), positions, ntypes=3)}
    for ranks in (1, 2):
        run = lammps.run(
            start() + lammps.style("Si O NULL") + THERMO + "run 0\n", ranks, files=files
        )
        close("energy", run.thermo[0]["PotEng"], 0.0, 0.0)


def hybrid_shares_the_types(lammps):
    pairs = ("1*3 3",)
    style = "pair_style hybrid umas task omat lj/cut 6.0\n"
    style += f"pair_coeff * * umas {lammps.model} Si O NULL\n" + "".join(
        f"pair_coeff {p} lj/cut {LJ}\n" for p in pairs
    )
    expected = plus(umas_alone(lammps), lj_alone(lammps, pairs))
    for ranks in (1, 2):
        same(f"hybrid on {ranks} ranks", evaluate(lammps, style, ranks), expected)


def hybrid_overlay_adds(lammps):
    style = "pair_style hybrid/overlay {} umas task omat\n"
    coefficients = "pair_coeff * * {}\n" + f"pair_coeff * * umas {lammps.model} Si O NULL\n"
    zero = style.format("zero 6.0") + coefficients.format("zero")
    alone = umas_alone(lammps)
    same("with zero", evaluate(lammps, zero), alone)
    lj = style.format("lj/cut 6.0") + coefficients.format("lj/cut " + LJ)
    expected = plus(alone, lj_alone(lammps, ("* *",)))
    for ranks in (1, 2):
        same(f"with lj/cut on {ranks} ranks", evaluate(lammps, lj, ranks), expected)


def hybrid_per_atom_values(lammps):
    cell, kinds, positions = system()
    style = "pair_style hybrid/overlay zero 6.0 umas task omat\npair_coeff * * zero\n"
    style += f"pair_coeff * * umas {lammps.model} Si O NULL\n"
    columns = """
thermo_style custom step pe vol pxx pyy pzz pxy pxz pyz c_energies c_virials[*]
thermo_modify format float %.17g
"""
    run = lammps.run(
        start() + style + PER_ATOM + columns + "run 0\n",
        2,
        files={"data": data_file(cell, kinds, positions)},
    )
    row = run.thermo[0]
    close("sum of pe/atom", row["c_energies"], row["PotEng"], 1e-10)
    total = [-row[p] * row["Volume"] for p in PRESSURE]
    close("sum of stress/atom", [row[f"c_virials[{k}]"] for k in range(1, 7)], total, 1e-6)


def pairs_given_to_others_are_reported(lammps):
    style = "pair_style hybrid umas task omat lj/cut 6.0\n"
    style += f"pair_coeff * * umas {lammps.model} Si O NULL\n"
    style += f"pair_coeff 1*3 3 lj/cut {LJ}\npair_coeff 1 2 lj/cut {LJ}\n"
    cell, kinds, positions = system()
    files = {"data": data_file(cell, kinds, positions)}
    run = lammps.run(start() + style + "run 0\n", files=files)
    true(
        "a warning of types 1 and 2",
        "pairs of types 1 and 2 are given to other styles" in run.output,
    )
    run = lammps.run(
        start() + lammps.style("Si O NULL") + "neigh_modify exclude type 1 1\nrun 0\n", files=files
    )
    true(
        "a warning of excluded pairs",
        "neigh_modify exclude or include leaves out pairs" in run.output,
    )


def bonded(cell, kinds, positions):
    """The same atoms with a bond between the first two."""
    text = data_file(cell, kinds, positions, ntypes=3).split("Atoms # atomic\n\n")
    atoms = [line.split(" ", 2) for line in text[1].splitlines()]
    header = text[0].replace(
        "3 atom types", "3 atom types\n1 bonds\n1 bond types\n4 extra special per atom"
    )
    rows = "\n".join(f"{i} 1 {kind} 0.0 {r}" for i, kind, r in atoms)
    return f"{header}Atoms # full\n\n{rows}\n\nBonds\n\n1 1 1 2\n"


def bonded_neighbours_must_count(lammps):
    cell, kinds, positions = crystal((2, 1, 1))
    plain = lammps.run(
        start() + lammps.style("Si O NULL") + THERMO + "run 0\n",
        files={"data": data_file(cell, kinds, positions, ntypes=3)},
    )
    files = {"data": bonded(cell, kinds, positions)}
    begin = (
        start(before="atom_style full")
        + "bond_style zero\nbond_coeff *\n"
        + lammps.style("Si O NULL")
        + THERMO
    )
    for ranks in (1, 2):
        run = lammps.run(begin + "special_bonds lj/coul 1 1 1\nrun 0\n", ranks, files=files)
        close("energy", run.thermo[0]["PotEng"], plain.thermo[0]["PotEng"], 1e-10)
        for factors in ("", "special_bonds lj/coul 0.5 1 1\n"):
            run = lammps.run(begin + factors + "run 0\n", ranks, files=files, fails=True)
            true(
                f"one error: {run.errors()}",
                len(run.errors()) == 1 and "special_bonds lj/coul 1 1 1" in run.errors()[0],
            )
    # without bonds the factors are of no consequence
    run = lammps.run(
        begin.replace("bond_style", "delete_bonds all bond 1 remove special\nbond_style")
        + "run 0\n",
        files=files,
    )
    close("energy", run.thermo[0]["PotEng"], plain.thermo[0]["PotEng"], 1e-10)


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            null_types_take_no_part,
            systems_of_null_types_alone_have_no_energy,
            hybrid_shares_the_types,
            hybrid_overlay_adds,
            hybrid_per_atom_values,
            pairs_given_to_others_are_reported,
            bonded_neighbours_must_count,
        ],
    )
