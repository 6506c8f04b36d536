"""Every mistake gives one line that says what is wrong, on one rank and on two; nothing hangs."""

import re
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
        r"newton off is not supported: use newton on",
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
velocity all set 1e306 0 0
timestep 1000
fix move all nve
run 2
"""
    one_error(
        lammps,
        "infinite positions",
        start() + lammps.style("Si O") + move,
        r"Pair style umas: .*(finite|NaN)",
    )


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
    true(f"no more than model and engine without a note: {lines}", len(lines) == 2)


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
            coefficients,
            model_files,
            checkpoints,
            surroundings,
            atoms_on_top_of_each_other,
            positions_that_are_no_numbers,
            elements_it_was_not_trained_for,
            notes_are_shown,
            a_restart_needs_pair_coeff,
            runs_without_preparation,
            plugins_for_another_lammps,
            random_weights_are_announced,
        ],
    )
