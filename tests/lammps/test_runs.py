"""Between and around runs: restarts, relaxation, boundaries, adding atoms, plugins."""

import struct

import numpy as np

from lammps_run import DUMP, PRESSURE, THERMO
from lammps_run import close, cluster, crystal, data_file, from_command_line, start, triclinic, true

SAME = 1e-11  # relative, in double: the order of sums differs


def energies(run):
    return [row["PotEng"] for row in run.thermo]


def same_energy(what, value, expected):
    close(what, value, expected, SAME * np.abs(expected).max())


def restart_files_keep_the_settings(lammps):
    files = {"data": data_file(*crystal())}
    keywords = "task omol charge -2 spin 3 precision single"
    move = "velocity all create 300 5 loop geom\nfix move all nve\n"
    first = start() + lammps.style("Si O", keywords) + THERMO + move
    whole = lammps.run(first + "run 6\nwrite_restart at6\nrun 4\n", files=files)
    again = f"pair_coeff * * {lammps.model} Si O\n{THERMO}fix move all nve\nrun 4\n"
    for ranks in (1, 2):
        deck = f"read_restart {whole.folder}/at6\n{again}"
        run = lammps.run(deck, ranks)
        # single: sums of a rank differ in the last bits
        close(f"run after a restart on {ranks} ranks", energies(run)[-1], energies(whole)[-1], 1e-4)
        lines = [
            next(line for line in r.output.splitlines() if line.startswith("pair umas:"))
            for r in (whole, run)
        ]
        true(f"{lines[1]!r} instead of {lines[0]!r}", lines[0] == lines[1])
    # the settings give way to a new pair_style command
    deck = (
        f"read_restart {whole.folder}/at6\n"
        + lammps.style("Si O", "task omat")
        + THERMO
        + "run 0\n"
    )
    run = lammps.run(deck)
    true("task omat after a restart", "task omat, charge 0, spin 0, precision double" in run.output)
    # a spin that is not given is not given after a restart either
    deck = start() + lammps.style("Si O", "task omol") + "run 0\nwrite_restart at0\n"
    whole = lammps.run(deck, files=files)
    coeff = f"pair_coeff * * {lammps.model} Si O\n"
    run = lammps.run(f"read_restart {whole.folder}/at0\n{coeff}run 0\n")
    for r in (whole, run):
        true("spin 1 of omol", "spin 1 (none is given; that of task omol)" in r.output)


def with_record(file, change):
    """The bytes of a restart file after `change` of the style's record; its length precedes it."""
    content = file.read_bytes()
    begin, end = content.index(b"task omat\n"), content.index(b"precision double\n") + 17
    form, length = struct.unpack("ii", content[begin - 8 : begin])
    true(f"a record of form {form} and {length} characters", length == end - begin)
    record = change(content[begin:end].decode()).encode()
    return content[: begin - 4] + struct.pack("i", len(record)) + record + content[end:]


def restart_files_of_other_styles_and_versions(lammps):
    files = {"data": data_file(*crystal())}
    first = start() + lammps.style("Si O", "task omat charge 1 spin 2") + THERMO
    whole = lammps.run(first + "run 0\nwrite_restart at0\n", files=files)
    file = whole.folder / "at0"
    again = f"pair_coeff * * {lammps.model} Si O\n{THERMO}run 0\n"
    as_gpu = "precision mixed\ndevice 1\nmemory 0.5\n"
    changes = {
        "gpu": lambda record: record.replace("precision double\n", as_gpu),
        "older": lambda record: record.replace("spin 2\n", ""),
        "newer": lambda record: record + "colour red\n",
        "wrong": lambda record: record.replace("charge 1", "charge 1000"),
    }
    for name, change in changes.items():
        (lammps.folder / name).write_bytes(with_record(file, change))
    content = bytearray(file.read_bytes())
    content[content.index(b"task omat\n") - 8] += 1
    (lammps.folder / "form").write_bytes(content)

    for ranks in (1, 2):
        deck = f"read_restart {lammps.folder}/{{}}\n{again}"
        run = lammps.run(deck.format("gpu"), ranks)
        same_energy("after umas/gpu", energies(run)[0], energies(whole)[0])
        told = "precision mixed is for pair_style umas/gpu: precision is double"
        true(f"a line on precision on {ranks} ranks", run.output.count(told) == 1)
        run = lammps.run(deck.format("older"), ranks)
        true("the default of a keyword that is missing", "charge 1, spin 0," in run.output)
        for name, expected in {
            "form": "by a version of umas whose settings this one cannot read",
            "newer": "by another version of umas: unknown keyword colour",
            "wrong": "charge 1000 is not an integer",
        }.items():
            run = lammps.run(deck.format(name), ranks, fails=True)
            lines = run.errors()
            true(f"{name} on {ranks} ranks: {lines}", len(lines) == 1 and expected in lines[0])

    # the other way, whether or not there is a GPU to run it then
    run = lammps.run(f"suffix gpu\nread_restart {file}\n" + again, fails=True)
    told = "precision double is for pair_style umas: precision is mixed"
    without = "umas/gpu: this umasplugin.so was built without CUDA"
    true(f"umas/gpu after umas: {run.errors()}", (told in run.output) != (without in run.output))
    true("a line on the suffix", run.output.count("a suffix made this of pair_style umas") == 1)


def minimize_goes_downhill(lammps):
    files = {"data": data_file(*crystal())}
    style = lammps.style("Si O", model=lammps.random_model)  # its landscape has minima
    run = lammps.run(start() + style + THERMO + DUMP + "minimize 0 0.001 100 1000\n", files=files)
    first, last = run.thermo[0], run.thermo[-1]
    true(f"energy {first['PotEng']} -> {last['PotEng']}", last["PotEng"] < first["PotEng"])
    norms = [np.sqrt(d["fx"] ** 2 + d["fy"] ** 2 + d["fz"] ** 2).max() for d in run.dump()]
    true(f"force {norms[0]} -> {norms[-1]}", norms[-1] < 0.1 * norms[0])


def box_relax_lowers_the_enthalpy(lammps):
    files = {"data": data_file(*triclinic())}
    deck = start() + lammps.style("Si O") + THERMO + "fix relax all box/relax tri 0.0 vmax 0.002\n"
    run = lammps.run(deck + "minimize 0 0 8 50\n", files=files)
    first, last = run.thermo[0], run.thermo[-1]
    true("the box did not change", last["Volume"] != first["Volume"])
    true(f"energy {first['PotEng']} -> {last['PotEng']}", last["PotEng"] < first["PotEng"])


def boundaries_do_not_matter_to_a_cluster(lammps):
    kinds, positions = cluster()
    files = {"data": data_file(np.diag([20.0, 20, 20]), kinds, positions, origin=(-10, -10, -10))}
    rest = lammps.style("Si O") + THERMO + DUMP + "run 0\n"
    runs = [
        lammps.run(start(boundary=b) + rest, files=files)
        for b in ("p p p", "f f f", "s s s", "p m f")
    ]
    for run in runs[1:]:
        same_energy("energy", energies(run), energies(runs[0]))
        for axis in "xyz":
            close("forces", run.dump()[0]["f" + axis], runs[0].dump()[0]["f" + axis], 1e-10)


def cells_smaller_than_the_cutoff(lammps):
    cell, kinds, positions = triclinic()
    small = {"data": data_file(cell, kinds, positions)}
    rest = lammps.style("Si O") + THERMO + "run 0\n"
    one = lammps.run(start() + rest, files=small)
    many = lammps.run(start("read_data data\nreplicate 2 2 2") + rest, files=small)
    same_energy("eight cells", energies(many), 8 * np.array(energies(one)))
    close("their pressure", *[[r.thermo[0][p] for p in PRESSURE] for r in (many, one)], 1e-6)


def skew_and_straight_cells_agree(lammps):
    a = 4.9
    straight, kinds, positions = crystal(noise=0, a=a)
    half = a / np.sqrt(2)  # the primitive cell, its first vector along x
    skew = half * np.array(
        [[1, 0, 0], [0.5, np.sqrt(0.75), 0], [0.5, np.sqrt(1 / 12), np.sqrt(2 / 3)]]
    )
    rest = lammps.style("Si O") + THERMO + "run 0\n"
    one = lammps.run(start() + rest, files={"data": data_file(straight, kinds, positions)})
    primitive = data_file(skew, [1, 2], [[0, 0, 0], skew.sum(0) / 4])
    two = lammps.run(start() + rest, files={"data": primitive})
    same_energy("primitive cell", 4 * np.array(energies(two)), energies(one))


def several_runs_are_one_run(lammps):
    files = {"data": data_file(*crystal())}
    begin = (
        start()
        + lammps.style("Si O")
        + THERMO
        + "velocity all create 300 5 loop geom\nfix move all nve\n"
    )
    whole = lammps.run(begin + "run 6\n", files=files)
    parts = lammps.run(begin + "run 3\nrun 0\nrun 3\n", files=files)
    same_energy("last step", energies(parts)[-1], energies(whole)[-1])
    # unlike settings in one deck: the engine follows each
    deck = (
        begin
        + "unfix move\nrun 0\n"
        + "pair_style umas task omol charge 1 spin 2\nrun 0\n"
        + "pair_style umas task omat\nrun 0\n"
    )
    e = energies(lammps.run(deck, files=files))
    same_energy("settings changed back", e[2], e[0])


def plugin_unloads_and_loads_again(lammps):
    files = {"data": data_file(*crystal())}
    style, plugin = lammps.style("Si O"), lammps.options.plugin
    deck = start() + style + THERMO + "run 0\n"
    unload = "plugin unload pair umas\nplugin unload pair umas/gpu\n"
    again = f"plugin load {plugin}\n{style}run 0\n"
    # two threads: those of OpenMP outlive the style
    run = lammps.run(deck + unload + again + "plugin clear\n" + again, threads=2, files=files)
    same_energy("energy after loading again", energies(run)[1:], 2 * [energies(run)[0]])
    # a style that is gone is an unknown style; its use ends with it
    run = lammps.run(deck + unload + style, files=files, fails=True)
    true("an error after unloading", len(run.errors()) == 1)
    # LAMMPS of 29 Aug 2024 forgets plugins at `clear`, later ones restore them
    clear = "clear\n"
    if "Restoring plugin" not in lammps.run(clear).output:
        clear += f"plugin load {plugin}\n"
    run = lammps.run(deck + clear + start() + style + THERMO + "run 0\n", files=files)
    same_energy("energy after clear", energies(run)[1], energies(run)[0])


def composition_follows_the_atoms(lammps):
    """After atoms come, go or change type, the energy is that of a fresh start with these atoms."""
    cell, kinds, positions = crystal((2, 1, 1))
    files = {"data": data_file(cell, kinds, positions, ntypes=3)}
    begin = start() + lammps.style("Si O H") + THERMO
    changes = """
group gone id 3 8
delete_atoms group gone compress no
run 0
write_data deleted
create_atoms 3 single 1.3 3.7 1.2 units box
run 0
write_data created
set atom 1 type 2
run 0
write_data retyped
region above block 8 9 0 5 0 5 units box
fix rain all deposit 2 3 2 4711 region above near 1.0 attempt 1000 units box
fix move all nve
timestep 0.0001
run 4
write_data deposited
"""
    for ranks in (1, 2):
        run = lammps.run(begin + "run 0\n" + changes, ranks, files=files)
        e = energies(run)
        count = int(
            next(
                line
                for line in (run.folder / "deposited").read_text().splitlines()
                if "atoms" in line
            ).split()[0]
        )
        true(f"{count} atoms after depositing on 15", count > 15)
        for name, value in zip(
            ("deleted", "created", "retyped", "deposited"), (e[1], e[2], e[3], e[-1])
        ):
            fresh = lammps.run(
                start(f"read_data {run.folder}/{name}")
                + lammps.style("Si O H")
                + THERMO
                + "run 0\n"
            )
            # write_data rounds positions to 16 digits
            close(f"{name} on {ranks} ranks", value, energies(fresh)[0], 1e-9)


def monte_carlo_moves(lammps):
    """Moves change types or atoms and ask for energies within one step."""
    cell, kinds, positions = crystal((2, 1, 1))
    files = {"data": data_file(cell, kinds, positions)}
    begin = start() + lammps.style("Si O") + THERMO + "fix move all nve\n"
    moves = {
        "atom/swap": "fix swap all atom/swap 1 5 123 5000 types 1 2\nrun 3\n",
        "gcmc": "group oxygen type 2\n"
        "fix exchange oxygen gcmc 1 6 0 2 4711 9000 -2.0 0.3 full_energy\n"
        "compute_modify thermo_temp dynamic/dof yes\nrun 3\n",
    }
    for name, deck in moves.items():
        for ranks in (1, 2):
            run = lammps.run(begin + deck + "write_data after\n", ranks, files=files)
            again = start(f"read_data {run.folder}/after") + lammps.style("Si O") + THERMO
            fresh = lammps.run(again + "run 0\n")
            # write_data rounds positions to 16 digits
            close(f"{name} on {ranks} ranks", energies(run)[-1], energies(fresh)[0], 1e-9)


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            restart_files_keep_the_settings,
            restart_files_of_other_styles_and_versions,
            minimize_goes_downhill,
            box_relax_lowers_the_enthalpy,
            boundaries_do_not_matter_to_a_cluster,
            cells_smaller_than_the_cutoff,
            skew_and_straight_cells_agree,
            several_runs_are_one_run,
            plugin_unloads_and_loads_again,
            composition_follows_the_atoms,
            monte_carlo_moves,
        ],
    )
