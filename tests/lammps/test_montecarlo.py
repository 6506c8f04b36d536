"""Atoms that are hidden from all others are not there, as fix gcmc wants it for trial deletions."""

import numpy as np

from lammps_run import DUMP, PER_ATOM, THERMO
from lammps_run import close, data_file, from_command_line, start, true

SAME = 1e-10  # eV, eV/A: the same sums over the same atoms
BOX = np.diag([30.0, 30, 30])
# a bent SiO2 and a silicon far from it
KINDS = [1, 2, 2, 1]
POSITIONS = np.array([[5.0, 5, 5], [6.55, 5, 5], [5, 6.5, 5], [20, 20, 20]])
KELVIN = 8.617333262e-5  # eV
HOT = 20000  # K: moves both ways are accepted


def hidden_atoms_are_not_there(lammps):
    files = {"data": data_file(BOX, KINDS, POSITIONS)}
    style = lammps.style("Si O", "task omol charge 1 spin 2")
    values = THERMO + DUMP + PER_ATOM
    gone = start() + "group gone id 4\ndelete_atoms group gone compress no\n" + style + values + "run 0\n"
    ways = {
        "a group": "group gone id 4\nneigh_modify exclude group gone all\n",
        "a group, the other way round": "group gone id 4\nneigh_modify exclude group all gone\n",
        "a type": "set atom 4 type 3\nneigh_modify exclude type 3 1 exclude type 3 2 exclude type 3 3\n",
    }
    data = data_file(BOX, KINDS, POSITIONS, ntypes=3)
    three = lammps.style("Si O Si", "task omol charge 1 spin 2")
    for ranks in (1, 2, 4):
        want = lammps.run(gone, ranks, files=files)
        for name, exclude in ways.items():
            deck = start() + three + exclude + values + "run 0\n"
            got = lammps.run(deck, ranks, files={"data": data})
            what = f"{name}, {ranks} ranks"
            close(f"{what}: energy", got.thermo[0]["PotEng"], want.thermo[0]["PotEng"], SAME)
            forces = [np.array([s[k] for k in ("fx", "fy", "fz")]).T for s in got.dump()]
            wanted = [np.array([s[k] for k in ("fx", "fy", "fz")]).T for s in want.dump()]
            close(f"{what}: forces", forces[0][:3], wanted[0], SAME)
            close(f"{what}: force on the hidden atom", forces[0][3], np.zeros(3), 0)
            true(f"{what}: a warning of excluded pairs", "leaves out pairs" not in got.output)


def atoms_may_be_hidden_and_shown_again(lammps):
    files = {"data": data_file(BOX, KINDS, POSITIONS)}
    deck = (
        start()
        + lammps.style("Si O", "task omol charge 1 spin 2")
        + THERMO
        + "group some id 3\nrun 0\nneigh_modify exclude group some all\nrun 0\n"
        + "neigh_modify exclude none\nrun 0\n"
    )
    for ranks in (1, 2):
        first, hidden, again = (row["PotEng"] for row in lammps.run(deck, ranks, files=files).thermo)
        close("shown again", again, first, SAME)
        true("hiding an atom changes nothing", abs(hidden - first) > 1e-3)


def some_pairs_are_still_warned_of(lammps):
    files = {"data": data_file(BOX, KINDS, POSITIONS)}
    deck = (
        start()
        + lammps.style("Si O")
        + "group one id 1\ngroup two id 2\nneigh_modify exclude group one two\nrun 0\n"
    )
    run = lammps.run(deck, files=files)
    true("no warning of excluded pairs", "leaves out pairs of atoms" in run.output)


def energy_of(lammps, kinds, positions, keywords="task omat"):
    """A fresh start's energy."""
    deck = start() + lammps.style("Si O", keywords) + THERMO + "run 0\n"
    files = {"data": data_file(BOX, kinds, positions, ntypes=2)}
    return lammps.run(deck, files=files).thermo[0]["PotEng"]


def trial_deck(lammps, mu, seed, moves, kelvin=300):
    """A gas of one silicon beside fixed SiO2: each step tries to delete or to insert one."""
    return (
        start()
        + lammps.style("Si O")
        + "group gas id 4\n"
        + f"fix mc gas gcmc 1 {moves} 0 1 {seed} {kelvin} {mu:.17g} 0 full_energy overlap_cutoff 1.0\n"
        + TRIALS
    )


TRIALS = """
thermo_style custom step pe atoms f_mc[4] f_mc[5] f_mc[6]
thermo_modify format float %.17g lost ignore
dump all all custom 1 dump id type x y z
dump_modify all sort id format float %.17g
thermo 1
"""
# tried moves: insertions that were accepted, deletions, deletions that were accepted
INSERTED, TRIED, DELETED = "f_mc[4]", "f_mc[5]", "f_mc[6]"


def check_energies(lammps, what, run):
    """Every state that a run came to has the energy that a fresh start gives it."""
    numbers = [row["Atoms"] for row in run.thermo]
    true(f"{what}: no atom came or went, {numbers}", len(set(numbers)) > 1)
    last = run.thermo[-1]
    true(f"{what}: no deletion was accepted", last[DELETED] > 0)
    seen = set()
    for row, snapshot in zip(run.thermo, run.dump()):
        if row["PotEng"] in seen:
            continue
        seen.add(row["PotEng"])
        kinds = snapshot["type"].astype(int)
        positions = np.array([snapshot[k] for k in "xyz"]).T
        want = energy_of(lammps, kinds, positions)
        close(f"{what}: step {row['Step']:.0f}", row["PotEng"], want, 1e-8)


def accepted_moves_of_atoms_have_a_fresh_starts_energy(lammps):
    files = {"data": data_file(BOX, KINDS, POSITIONS)}
    mu = threshold(lammps, HOT)
    for ranks in (1, 2):
        deck = trial_deck(lammps, mu, 4711, 5, HOT) + "run 6\n"
        run = lammps.run(deck, ranks, files=files)
        check_energies(lammps, f"atoms, {ranks} ranks", run)


def accepted_moves_of_molecules_have_a_fresh_starts_energy(lammps):
    dimer = "a dimer\n\n2 atoms\n\nCoords\n\n1 0 0 0\n2 1.6 0 0\n\nTypes\n\n1 1\n2 2\n"
    atoms = data_file(BOX, KINDS[:3], POSITIONS[:3]).replace("# atomic", "# molecular")
    head, rows = atoms.split("Atoms # molecular\n\n")
    rows = "\n".join("{} 1 {}".format(*row.split(" ", 1)) for row in rows.splitlines())
    files = {"data": head + "Atoms # molecular\n\n" + rows + "\n", "dimer": dimer}
    with_it = energy_of(lammps, [*KINDS[:3], 1, 2], np.vstack([POSITIONS[:3], [[20.0, 20, 20], [21.6, 20, 20]]]))
    mu = with_it - energy_of(lammps, KINDS[:3], POSITIONS[:3])
    deck = (
        start(before="atom_style molecular")
        + lammps.style("Si O")
        + "molecule dimer dimer\nregion all block INF INF INF INF INF INF\n"
        + "group gas empty\ncompute_modify thermo_temp dynamic/dof yes\n"
        + f"fix mc gas gcmc 1 5 0 0 4711 {HOT} {mu - ideal(HOT, 56):.17g} 0 mol dimer full_energy overlap_cutoff 1.0\n"
        + TRIALS
    )
    for ranks in (1, 2):
        check_energies(lammps, f"molecules, {ranks} ranks", lammps.run(deck + "run 6\n", ranks, files=files))


def ideal(kelvin, mass=28):
    """kT ln(V / lambda^3), eV, with lambda = h / sqrt(2 pi m k T)."""
    wavelength = 17.458218 / np.sqrt(mass * kelvin)  # A
    return KELVIN * kelvin * np.log(30.0**3 / wavelength**3)


def threshold(lammps, kelvin):
    """The chemical potential, eV, at which the lone silicon is as likely to stay as to leave:
    fix gcmc accepts a deletion with exp((E(N) - E(N - 1) - mu) / kT) lambda^3 / V."""
    with_it = energy_of(lammps, KINDS, POSITIONS)
    return with_it - energy_of(lammps, KINDS[:3], POSITIONS[:3]) - ideal(kelvin)


def deletions_follow_their_energies(lammps):
    """The atom's energy as a lone one must not count: 20 kT to either side of the threshold it leaves
    at the first trial, or does not."""
    lone = energy_of(lammps, KINDS[3:], POSITIONS[3:])
    true("the lone atom's energy tells nothing", abs(lone) > 40 * KELVIN * 300)
    files = {"data": data_file(BOX, KINDS, POSITIONS)}
    for offset, accepted in ((-20, 1), (20, 0)):
        mu = threshold(lammps, 300) + offset * KELVIN * 300
        for seed in range(1, 20):  # the first move is a deletion with every other seed
            last = lammps.run(trial_deck(lammps, mu, seed, 1) + "run 1\n", files=files).thermo[-1]
            if last[TRIED]:
                break
        true("no deletion was tried", last[TRIED] == 1)
        true(f"at {offset} kT: {last[DELETED]:.0f} deletions", last[DELETED] == accepted)


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            hidden_atoms_are_not_there,
            atoms_may_be_hidden_and_shown_again,
            some_pairs_are_still_warned_of,
            accepted_moves_of_atoms_have_a_fresh_starts_energy,
            accepted_moves_of_molecules_have_a_fresh_starts_energy,
            deletions_follow_their_energies,
        ],
    )
