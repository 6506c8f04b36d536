"""Every mistake gives one line that says what is wrong, on one rank and on two; nothing hangs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from lammps_run import crystal, data_file, from_command_line, start, true

RUN = "run 0\n"


def one_error(lammps, what, deck, pattern, files=None, ranks=(1, 2)):
    files = files or {"data": data_file(*crystal((2, 1, 1)))}
    for number in ranks:
        run = lammps.run(deck, number, files=files, fails=True)
        lines = run.errors()
        true(
            f"{what} on {number} ranks: {len(lines)} errors: {lines or run.output[-500:]}",
            len(lines) == 1,
        )
        true(
            f"{what} on {number} ranks: {lines[0]!r} does not match {pattern!r}",
            re.search(pattern, lines[0]),
        )
        true(f"{what} on {number} ranks: exit status 0", run.status != 0)


def keywords(lammps):
    cases = {
        "charge 0": r"keyword task is needed",
        "task omat charge": r"keyword charge without a value",
        "omat": r"unknown keyword omat: did you mean task omat\?",
        "omol charge 1": r"unknown keyword omol: did you mean task omol\?",
        "charge 1 omat": r"unknown keyword omat: did you mean task omat\?",
        "task omat colour": r"unknown keyword colour: use task, charge, spin, precision",
        "task omat charge 1 task omol": r"keyword task is given twice",
        "task omat charge 1 charge 1": r"keyword charge is given twice",
        "task omat charge 1 charge": r"keyword charge is given twice",
        "task omat colour red": r"unknown keyword colour",
        "task nonsense": r"unknown task nonsense: this model has .*omat",
        "task " + "o" * 80: r"unknown task ooo",
        "task omat charge 101": r"charge 101 is not an integer from -100 to 100",
        "task omat charge -101": r"charge -101 is not an integer",
        "task omat charge 0.5": r"charge 0\.5 is not an integer",
        "task omat spin 101": r"spin 101 is not an integer from 0 to 100",
        "task omat spin -1": r"spin -1 is not an integer",
        "task omat precision half": r"unknown precision half: use double or single",
        "task omat precision mixed": r"precision mixed is for pair_style umas/gpu",
        "task omat device 0": r"keyword device is for pair_style umas/gpu",
        "task omat memory 0.5": r"keyword memory is for pair_style umas/gpu",
        "task omat exchange host": r"keyword exchange is for pair_style umas/gpu",
        "task omat profile yes": r"keyword profile is for pair_style umas/gpu",
    }
    for words, pattern in cases.items():
        deck = start() + lammps.style("Si O", words) + RUN
        one_error(lammps, words, deck, pattern, ranks=(1, 2) if "task nonsense" in words else (1,))


def gpu_keywords(lammps):
    deck = start() + lammps.style("Si O", "task omat", "umas/gpu") + RUN
    load = lammps.run("")
    if "cuda" not in re.search(r"engines built in: (.*)", load.output)[1]:
        one_error(lammps, "umas/gpu", deck, r"umas/gpu: .*built without CUDA")
        return
    for words, pattern in {
        "task omat precision double": r"precision double is for pair_style umas",
        "task omat precision half": r"unknown precision half: use single or mixed",
        "task omat device first": r"unknown device first: use auto or the number of a GPU",
        "task omat device -2": r"unknown device -2",
        "task omat memory 1.5": r"memory 1.5 is not a fraction",
        "task omat exchange mpi": r"unknown exchange mpi: use auto, nccl or host",
        "task omat profile maybe": r"profile maybe: use yes or no",
    }.items():
        one_error(lammps, words, deck.replace("task omat", words), pattern, ranks=(1,))


def suffixes(lammps):
    """A suffix changes style and precision: the log says so, and errors say how to undo it."""
    told = "a suffix made this of pair_style umas, with precision mixed where the deck gives none"
    undo = r"\(a suffix made pair_style umas into umas/gpu: put suffix off before pair_style"
    hybrid = "pair_style hybrid umas task omat precision double lj/cut 5.0\n"
    files = {"data": data_file(*crystal())}
    for words in (lammps.style("Si O", "task omat precision double"), hybrid):
        run = lammps.run(start() + "suffix gpu\n" + words + RUN, files=files, fails=True)
        lines = run.errors()
        true(f"a line on the suffix: {run.output}", run.output.count(told) == 1)
        true(f"how to undo the suffix: {lines}", len(lines) == 1 and re.search(undo, lines[0]))
    # neither where the deck says umas/gpu, nor where the suffix is off or makes nothing of umas
    gpu = "suffix gpu\n" + lammps.style("Si O", "task omat colour 1", "umas/gpu")
    run = lammps.run(start() + gpu + RUN, files=files, fails=True)
    true(f"no suffix: {run.output}", run.errors() and "a suffix made" not in run.output)
    for words in ("suffix gpu\nsuffix off\n", "suffix opt\n"):
        run = lammps.run(start() + words + lammps.style("Si O") + RUN, files=files)
        true(f"{words}: {run.output}", "a suffix made" not in run.output)


def coefficients(lammps):
    for elements, pattern in {
        "Si": r"one element symbol or NULL for each of the 2 atom types, but 1 are given",
        "Si O O": r"each of the 2 atom types, but 3 are given",
        "Si Xx": r"Xx \(atom type 2\) is not a chemical element",
        "si O": r"si \(atom type 1\) is not a chemical element",
        "Si Og": r"no parameters for Og",
        "NULL NULL": r"every atom type to NULL",
    }.items():
        one_error(lammps, elements, start() + lammps.style(elements) + RUN, pattern)
    deck = start() + f"pair_style umas task omat\npair_coeff 1 1 {lammps.model} Si O\n" + RUN
    one_error(lammps, "pair_coeff 1 1", deck, r"[Pp]air_coeff .*\* \*", ranks=(1,))
    one_error(
        lammps,
        "no pair_coeff",
        start() + "pair_style umas task omat\n" + RUN,
        r"pair coeffs are not set|pair_coeff",
        ranks=(1,),
    )


def model_files(lammps):
    folder = lammps.folder
    with open(lammps.model, "rb") as file:
        content = file.read()
    flipped = bytearray(content)
    flipped[len(content) - 5] ^= 4
    for name, text in {
        "empty": b"",
        "text": b"this is no model\n" * 10,
        "truncated": content[: len(content) * 2 // 3],
        "header": content[:100],
        "longer": content + b"\0" * 4,
        "flipped": bytes(flipped),
    }.items():
        (folder / name).write_bytes(text)
    cases = {
        "no-such-file": r"cannot open: No such file",
        ".": r"a directory, not a model file",
        "empty": r"the file is empty",
        "text": r"not a safetensors file",
        "truncated": r"cut off: \d+ bytes of tensors, the header lists \d+",
        "header": r"cut off at 100 bytes, the header alone has \d+",
        "longer": r"4 bytes follow the last tensor",
        "flipped": r"tensor \S+ has checksum",
    }
    for name, pattern in cases.items():
        deck = start() + f"pair_style umas task omat\npair_coeff * * {folder}/{name} Si O\n" + RUN
        ranks = (1, 2) if name in ("no-such-file", "truncated") else (1,)
        pattern = rf"Pair style umas: {re.escape(f'{folder}/{name}')}: {pattern}"
        one_error(lammps, name, deck, pattern, ranks=ranks)


def ranks_with_different_files(lammps):
    """An old copy on one node: neither an energy of neither model nor a hang."""
    seeds = [lammps.folder / f"seed-{seed}.safetensors" for seed in (1, 2)]
    program = Path(__file__).resolve().parents[2] / "tools" / "umas-random-model"
    for seed, model in enumerate(seeds, 1):
        sizes = "--channels", "8", "--layers", "2", "--experts", "2", "--seed", str(seed)
        subprocess.run([sys.executable, program, *sizes, "--force", model], check=True)
    files = {"data": data_file(*crystal((2, 1, 1)))}
    deck = start() + "pair_style umas task omat\npair_coeff * * ${model} Si O\n" + RUN
    wide, older = lammps.model, lammps.options.converted / "uma-1.1.safetensors"
    for what, models, ids in (
        ("other weights", seeds, r"rank 1 \(\S+ on \S+\) opened"),
        ("another architecture", (wide, seeds[0]), r"rank 1 \(\S+ on \S+\) opened"),
        ("another release", (older, wide), r"rank 1 \(UMA-S-1.2.1 on \S+\) opened"),
        ("another release", (wide, older), r"rank 1 \(UMA-S-1.1 on \S+\) opened"),
        ("one of three", (wide, wide, older), r"rank 2 \(UMA-S-1.1 on \S+\) opened"),
        ("two of three", (wide, older, older), r"rank 1 \(.*\), rank 2 \(.*\) opened"),
        ("most of seven", (wide, *[older] * 6), r"rank 4 \(UMA-S-1.1 on \S+\), and more opened"),
    ):
        variables = [{"model": model} for model in models]
        run = lammps.run(deck, len(models), files=files, fails=True, of_ranks=variables)
        lines = run.errors()
        path = re.escape(str(models[0]))
        pattern = rf"{path} is not the same file on all ranks: .*{ids} another "
        true(f"{what}: {lines or run.output}", len(lines) == 1 and re.search(pattern, run.output))
        true(f"{what}: exit status 0", run.status != 0)
    same = [{"model": wide}, {"model": lammps.folder / "copy"}]
    shutil.copy(wide, same[1]["model"])
    lammps.run(deck, 2, files=files, of_ranks=same)


def files_overwritten_in_a_run(lammps):
    """The next composition would merge another model's experts, or read what is not there."""
    older = lammps.options.converted / "uma-1.1.safetensors"
    other = convert(lammps, "si-only.safetensors", "--elements", "Si")
    files = {"data": data_file(*crystal())}
    pattern = r"model: the file was written to while it is in use; start again, and replace model"
    for ranks in (1, 2):
        for what, command in {
            "another release": f"cp {older} model",
            "other weights of the same size": f"cp {other} model",
            "cut off": "truncate -s 2000 model",
            "empty": "truncate -s 0 model",
        }.items():
            deck = f"shell cp {lammps.model} model\n" + start()
            deck += lammps.style("Si O", model="model") + RUN
            deck += f"shell {command}\nset atom 1 type 2\n" + RUN
            one_error(lammps, what, deck, pattern, files, (ranks,))
        # a file that is replaced, or away, is still there for who has it open
        energies = []
        for command in ("true", "mv next model", "rm model"):
            deck = f"shell cp {lammps.model} model\nshell cp {older} next\n" + start()
            deck += lammps.style("Si O", model="model") + RUN
            deck += f"shell {command}\nset atom 1 type 2\n" + RUN
            run = lammps.run(deck, ranks, files=files)
            energies.append(run.thermo[-1]["TotEng"])
        true(f"energies after mv and rm: {energies}", len(set(energies)) == 1)


def checkpoints(lammps):
    deck = (
        start()
        + f"pair_style umas task omat\npair_coeff * * {lammps.options.golden}/dense.pt Si O\n"
        + RUN
    )
    one_error(lammps, "a .pt file", deck, r"umas-convert")


def surroundings(lammps):
    one_error(
        lammps,
        "units lj",
        start(units="lj") + lammps.style("Si O") + RUN,
        r"units lj are not supported: use units metal or real",
    )
    one_error(
        lammps,
        "newton off",
        start(before="newton off") + lammps.style("Si O") + RUN,
        r"newton off is not supported: use newton on, .*-pk kokkos newton on neigh half",
    )


def atoms_on_top_of_each_other(lammps):
    """Close to the far end of x: with two ranks, only the second one sees them."""
    cell, kinds, positions = crystal((4, 1, 1))
    last = np.argmax(np.where(positions[:, 0] < 15.5, positions[:, 0], 0))
    kinds, positions = np.append(kinds, 1), np.append(positions, [positions[last]], axis=0)
    files = {"data": data_file(cell, kinds, positions)}
    a, b = last + 1, len(kinds)
    for ranks, grid in ((1, ""), (2, "processors 2 1 1\n")):
        deck = grid + start() + "neighbor 0.3 bin\n" + lammps.style("Si O") + RUN
        one_error(
            lammps,
            "atoms on top of each other",
            deck,
            rf"on top of each other.*\(atom IDs ({a} and {b}|{b} and {a})\)",
            files,
            (ranks,),
        )


def positions_that_are_no_numbers(lammps):
    """LAMMPS looks at positions only when it makes a new neighbour list, so the model must."""
    move = """
neigh_modify delay 1000 every 1000 check no
velocity all set {} 0 0
timestep 1000
fix move all nve
run 2
"""
    # the last one is finite, but all atoms have the same place there
    for speed in ("1e306", "1e287", "2e6"):
        deck = start() + lammps.style("Si O") + move.format(speed)
        pattern = r"Pair style umas: atom position .* is not finite or beyond 1e\+09 A, "
        one_error(lammps, f"speed {speed}", deck, pattern)


def boxes_too_thin_for_bins(lammps):
    """LAMMPS' own error says neither that it is the box nor what to do."""
    for boundary, thin, axis in (("s s s", (0, 1, 2), "z"), ("p s p", (0, 2, 1), "y")):
        flat = np.array([[0.0, 0, 0], [1.2, 0.3, 0], [-0.6, 0.9, 0]])[:, thin]
        cell = np.diag([12.0, 12.0, 12.0])
        files = {"data": data_file(cell, [1, 2, 2], flat + 6.0)}
        deck = start(boundary=boundary) + lammps.style("O H", "task omol")
        one_error(
            lammps,
            f"a flat molecule, {boundary}",
            deck + RUN,
            rf"box that is \S+ A thin along {axis}, .*: use neighbor 2 nsq, or a larger box",
            files,
            (1, 2),
        )
        lammps.run(deck + "neighbor 2.0 nsq\n" + RUN, files=files)
        # so little that LAMMPS can sort the atoms is enough
        flat[0] += np.array([0, 0, 0.05])[list(thin)]
        files = {"data": data_file(cell, [1, 2, 2], flat + 6.0)}
        lammps.run(deck + RUN, files=files)


def convert(lammps, name, *options):
    """A model file made from the goldens' checkpoint with these options of umas-convert."""
    program = Path(__file__).resolve().parents[2] / "tools" / "umas-convert"
    model = lammps.folder / name
    checkpoint = lammps.options.golden / "uma-1.2.1.pt"
    subprocess.run([sys.executable, program, checkpoint, "-o", model, *options], check=True)
    return model


def elements_it_was_not_trained_for(lammps):
    model = convert(lammps, "trained.safetensors", "--elements", "Si,O")
    for elements, pattern in {
        "Si C": r"the model was not trained for C \(atom type 2\): it was for O, Si",
        "H NULL": r"the model was not trained for H \(atom type 1\): it was for O, Si",
        "Og O": r"the model has no parameters for Og",
    }.items():
        deck = start() + lammps.style(elements, model=model) + RUN
        one_error(lammps, elements, deck, r"Pair style umas: " + pattern)
    files = {"data": data_file(*crystal())}
    lammps.run(start() + lammps.style("Si O", model=model) + RUN, files=files)
    lammps.run(start() + lammps.style("NULL Si", model=model) + RUN, files=files)


def notes_are_shown(lammps):
    note = "for {trying}, testing % and teaching"  # signs that formats could take for their own
    model = convert(lammps, "note.safetensors", "--note", note)
    files = {"data": data_file(*crystal())}
    for ranks in (1, 2):
        run = lammps.run(start() + lammps.style("Si O", model=model) + RUN, ranks, files=files)
        lines = run.output.splitlines()
        true(f"the note on {ranks} ranks: {lines}", lines.count(f"pair umas: {note}") == 1)
    without = lammps.run(start() + lammps.style("Si O") + RUN, files=files)
    lines = [line for line in without.output.splitlines() if line.startswith("pair umas:")]
    true(f"no more than model, types and engine without a note: {lines}", len(lines) == 3)


def types_and_their_elements(lammps):
    """A table in the log, and a warning of a mass that is not the element's."""
    cell, kinds, positions = crystal()
    kinds[-1] = 3
    files = {"data": data_file(cell, kinds, positions, ntypes=4)}
    silica = "28.085", "15.999", "39.95", "15.999"

    def run(elements, masses=silica, ranks=1, more=""):
        deck = start() + f"pair_style umas task omat\npair_coeff * * {lammps.model} {elements}\n"
        deck += "".join(f"mass {i} {m}\n" for i, m in enumerate(masses, 1)) + more + RUN
        result = lammps.run(deck, ranks, files=files)
        lines = result.output.splitlines()
        return result, [line for line in lines if "order of the elements" in line]

    head, rows = "type element mass atoms", ["1 Si 28.085 4", "2 O 15.999 3", "3 NULL 39.95 1"]
    for ranks in (1, 2):
        result, warnings = run("Si O NULL O", ranks=ranks, more=RUN)
        lines = [" ".join(line.split()) for line in result.output.splitlines()]
        true(f"one table on {ranks} ranks: {lines}", lines.count(head) == 1)
        found = lines[lines.index(head) + 1 :][:4]
        true(f"types on {ranks} ranks: {found}", found == [*rows, "4 O 15.999 0"])
        true(f"no warning of the right masses: {warnings}", not warnings)
    for elements, masses, pattern in (
        ("O Si NULL O", silica, r"1 is O, whose mass is 15.999, .* 28.085 \(near that of Si\): "),
        ("Si O NULL Si", silica, r"4 is Si, whose mass is 28.085, .* 15.999 \(near that of O\): "),
        ("Si O NULL O", ("28.085", "17.7", "28", "16"), r"2 is O, .* 17.7 \(near that of F\): "),
        ("Si H NULL O", ("28.085", "0.7", "28", "16"), r"2 is H, .* but it has the mass 0.7: "),
        ("Si H NULL O", ("31.2", "5000", "28", "16"), r"2 is H, .* but it has the mass 5000: "),
    ):
        _, warnings = run(elements, masses)
        found = [re.search(r"Pair style umas: atom type " + pattern, line) for line in warnings]
        true(f"{elements}, {masses}: {warnings}", len(found) - found.count(None) == 1)
    for elements, masses in (  # isotopes, and masses nearer than a tenth
        ("Si O NULL O", ("30.8", "17.5", "28", "16")),
        ("Si H NULL O", ("28.085", "2.014", "28", "16")),
        ("Si H NULL O", ("28.085", "3.016", "28", "16")),
        ("D T NULL O", ("1.008", "10", "28", "16")),
    ):
        _, warnings = run(elements, masses)
        true(f"no warning of {elements}, {masses}: {warnings}", not warnings)
    energy = [run(elements)[0].thermo[0]["TotEng"] for elements in ("H O NULL O", "D O NULL O")]
    true(f"D is hydrogen: {energy}", energy[0] == energy[1])


def a_restart_needs_pair_coeff(lammps):
    files = {"data": data_file(*crystal())}
    first = lammps.run(start() + lammps.style("Si O") + "run 0\nwrite_restart at0\n", files=files)
    one_error(
        lammps,
        "restart without pair_coeff",
        f"read_restart {first.folder}/at0\n" + RUN,
        r"pair coeffs are not set|pair_coeff",
    )


def runs_without_preparation(lammps):
    """`pre no` keeps lists and buffers that were made for another style or another model."""
    files = {"data": data_file(*crystal((2, 1, 1)))}
    lj = "pair_style lj/cut 6.0\npair_coeff * * 0.05 2.2\n"
    wide, narrow = lammps.style("Si O"), lammps.style("Si O", model=lammps.random_model)
    coeff_alone = f"pair_coeff * * {lammps.model} Si O\n"
    for name, before, after in (
        ("another style", lj, wide),
        ("another model", narrow, coeff_alone),
        ("settings and coefficients again", wide, wide),
        ("settings alone", wide, "pair_style umas task omat charge 1\n"),
    ):
        deck = start() + before + RUN + after + "run 1 pre no\n"
        pattern = r"Pair style umas: a run after pair_style or pair_coeff must not say pre no"
        one_error(lammps, f"pre no after {name}", deck, pattern, files)
    # without a change it is what LAMMPS means it to be
    lammps.run(start() + wide + "fix move all nve\nrun 1\nrun 1 pre no\n", files=files)


def plugins_for_another_lammps(lammps):
    version, integers = lammps.options.other_version, lammps.options.other_integers
    help_text = subprocess.run([lammps.options.lmp, "-help"], capture_output=True, text=True).stdout
    here = re.search(r"Simulator - (\d+ \w+ \d+)", help_text)[1]
    for plugin, pattern in {
        version: rf"was compiled for LAMMPS 1 Jan 2020, but this is LAMMPS {here}: ",
        integers: r"was compiled for a LAMMPS with atom IDs of (32|64) bits, which this one has not",
    }.items():
        for ranks in (1, 2):
            run = lammps.run(f"plugin load {plugin}\n", ranks, fails=True, load=False)
            lines = run.errors()
            true(f"{plugin.name} on {ranks} ranks: {lines or run.output}", len(lines) == 1)
            true(f"{lines[0]!r} does not match {pattern!r}", re.search(pattern, lines[0]))


def random_weights_are_announced(lammps):
    deck = start() + lammps.style("Si O", model=lammps.random_model) + RUN
    run = lammps.run(deck, files={"data": data_file(*crystal())})
    true(
        "a warning of random weights",
        re.search(r"WARNING: .*random numbers: results are not physics", run.output),
    )
    true(
        "one line on the model",
        re.search(r"^pair umas: \S+ from .*, task omat, .*precision double", run.output, re.M),
    )


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            keywords,
            gpu_keywords,
            suffixes,
            coefficients,
            model_files,
            ranks_with_different_files,
            files_overwritten_in_a_run,
            checkpoints,
            surroundings,
            atoms_on_top_of_each_other,
            positions_that_are_no_numbers,
            boxes_too_thin_for_bins,
            elements_it_was_not_trained_for,
            notes_are_shown,
            types_and_their_elements,
            a_restart_needs_pair_coeff,
            runs_without_preparation,
            plugins_for_another_lammps,
            random_weights_are_announced,
        ],
    )
