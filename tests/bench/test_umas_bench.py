"""umas-bench: its table, its files and how it refuses what it cannot do.

usage: test_umas_bench.py UMAS_BENCH UMAS_RANDOM_MODEL
"""

import argparse
import csv
import math
import subprocess
import sys
import tempfile
from pathlib import Path

CHANNELS, LAYERS = 8, 2  # of the model made here
CPU = ["--device", "cpu"]
failures = 0


def check(holds, what):
    global failures
    if not holds:
        failures += 1
        print(f"failed: {what}")


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def check_refused(bench, arguments, status, words):
    code, _, err = run(bench, *arguments)
    check(code == status, f"{arguments}: status {code}: {err}")
    check(err.startswith("umas-bench: ") and err.count("\n") == 1, f"{arguments}: {err!r}")
    check(words in err, f"{arguments}: {words!r} is not in {err!r}")


def products():
    """Multiply-adds of an edge and layer, forward: the shapes of its convolutions, mmax = 2."""
    c = CHANNELS
    shapes = [(6 * c, 5 * c), (8 * c, 4 * c), (4 * c, 2 * c)]
    shapes += [(3 * c, 3 * c), (4 * c, 4 * c), (2 * c, 2 * c)]
    return sum(rows * columns for rows, columns in shapes)


def close(a, b, relative):
    return math.isclose(float(a), float(b), rel_tol=relative)


def check_table(bench, model, folder):
    """Two sizes, in the table and in the CSV file."""
    path = folder / "times.csv"
    steps = ["--steps", 4, "--warmup", 1, "--move", 0]
    options = ["--atoms", "32,27", *steps, "--csv", path, *CPU]
    code, out, err = run(bench, model, *options)
    check(code == 0 and err == "", f"status {code}, {err!r}")
    lines = out.splitlines()
    check("UMA-S-1.2.1 with random weights, task omat" in lines[0], lines[:1])
    check("structure fcc; 4 steps after 1, atoms moved by 0 A" in lines[2], lines[2:3])
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    check([row["atoms"] for row in rows] == ["32", "27"], f"sizes: {rows}")
    check([line.split()[0] for line in lines[-2:]] == ["32", "27"], f"table: {lines[-2:]}")
    check(rows[1]["edges"] == str(27 * 54), f"edges of the full 3 x 3 x 3 cells: {rows[1]}")
    for row, line in zip(rows, lines[-2:]):
        ms = float(row["ms"])
        check(line.split()[1] == row["edges"], f"edges: {line} and {row}")
        check(row["device"] == "cpu" and row["precision"] == "double", f"engine: {row}")
        check(0 < float(row["ms_10"]) <= ms <= float(row["ms_90"]), f"spread: {row}")
        check(close(row["steps_per_s"], 1000 / ms, 1e-4), f"steps: {row}")
        check(close(row["ns_per_day"], 86.4 / ms, 1e-4), f"ns/day: {row}")
        check(close(row["us_per_atom"], 1000 * ms / int(row["atoms"]), 1e-4), f"per atom: {row}")
        operations = 4 * products() * LAYERS * int(row["edges"])
        check(close(row["tflops"], operations / ms * 1e-9, 1e-4), f"products: {row}")
        check(float(row["host_gib"]) > 0, f"memory: {row}")


def check_files(bench, model, folder):
    """Forces that are written are those of the positions beside them, which can be read again."""
    files = [folder / name for name in ("first.xyz", "second.xyz")]
    once = ["--steps", 1, "--warmup", 0, *CPU]
    for structure, atoms in ("si", 8), ("fccfull", 4), ("fcc", 20):
        made = ["--structure", structure, "--atoms", atoms, "--forces", files[0]]
        code, _, err = run(bench, model, *once, *made)
        check(code == 0, f"{structure}: {err}")
        again = ["--positions", files[0], "--forces", files[1]]
        code, out, err = run(bench, model, *once, *again)
        check(code == 0 and f"atoms of {files[0]}" in out, f"{structure} again: {err}")
        lines = [path.read_text().splitlines() for path in files]
        check(lines[0] == lines[1], f"{structure}: other forces from the file")
        size = (lines[0][0], len(lines[0]))
        check(size == (str(atoms), atoms + 2), f"{structure}: {size}")
    forces = [list(map(float, line.split()[4:])) for line in lines[0][2:]]
    check(all(len(f) == 3 for f in forces), "three forces a line")
    check(all(abs(sum(f[d] for f in forces)) < 1e-8 for d in range(3)), "a net force")
    check(max(abs(x) for f in forces for x in f) > 1e-3, "no forces")


def check_open_boundaries(bench, model, folder):
    path = folder / "molecule.xyz"
    path.write_text("3\n\nO 0 0 0.1 9\nH 0 0.8 0.6\nH 0 -0.8 0.6\n")
    options = ["--positions", path, "--steps", 1, "--task", "omol", "--spin", 1, *CPU]
    code, out, err = run(bench, model, *options)
    check(code == 0 and out.splitlines()[-1].split()[:2] == ["3", "6"], f"molecule: {out} {err}")
    options = ["--positions", path, "--steps", 1, "--task", "omol", *CPU]
    for spin, given in ((0, ["--spin", 0]), (1, [])):
        code, out, err = run(bench, model, *options, *given)
        check(f"task omol, charge 0, spin {spin}\n" in out, f"spin {spin}: {out} {err}")


def check_without_a_gpu(bench, model, folder):
    """Auto takes the CPU and says so; a number is an error that says what to write."""
    once = ["--atoms", 8, "--steps", 1, "--warmup", 0]
    for auto in (["--device", "auto"], []):
        code, out, err = run(bench, model, *once, *auto)
        lines = [line for line in out.splitlines() if line.startswith("device ")]
        gpu = lines and lines[0].startswith("device auto,")
        told = ("device cpu (no GPU is visible), double", "device cpu (built without CUDA), double")
        check(gpu or code == 0 and lines[0].startswith(told), f"{auto}: {code} {out} {err}")
    check_refused(bench, [model, *once, "--device", 1000], 1, "no GPU 1000")
    if not gpu:
        check_refused(bench, [model, *once, "--device", 0], 1, ": use --device cpu\n")
        check_refused(bench, [model, *once, "--profile"], 2, "--profile is for a GPU, not for")


def check_bad_files(bench, model, folder):
    path = folder / "bad.xyz"
    head = 'Lattice="9 0 0 0 9 0 0 0 9"'
    cases = (
        ("", "ends before line 1"),
        ("0\n\n", ":1: not a number of atoms"),
        ("2 atoms\n\n", ":1: not a number of atoms"),
        ("2\n\nC 0 0 0\n", "ends before line 4"),
        ("1\n\nC 0 0\n", ":3: not an element and three coordinates"),
        ("1\n\nC 0 0 nan\n", ":3: not an element and three coordinates"),
        ("1\n\nQq 0 0 0\n", ":3: there is no element 'Qq'"),
        ('1\nLattice="9 0 0 0 9 0 0 0"\nC 0 0 0\n', ":2: Lattice does not have nine numbers"),
        ('1\nLattice="9 0 0 9 0 0 0 0 9"\nC 0 0 0\n', ":2: the vectors of Lattice span no volume"),
        (f'1\n{head} pbc="T T"\nC 0 0 0\n', ":2: pbc is not three of T, F"),
        ('1\npbc="T T T"\nC 0 0 0\n', ":2: pbc has a T, but there is no Lattice"),
        (f"1\n{head} Properties=pos:R:3\nC 0 0 0\n", ":2: Properties do not start with"),
        (f"1\n{'x' * 5000}\nC 0 0 0\n", ":2: a line is longer than 4094 characters"),
        (f"2\n{head}\nC 0 0 0\nC 9 0 0\n", "2 atoms: "),
    )
    for text, words in cases:
        path.write_text(text)
        check_refused(bench, [model, "--positions", path, *CPU], 1, words)
    check_refused(bench, [model, "--positions", folder / "none"], 1, "No such file")


def check_refusals(bench, model, folder):
    once = ["--steps", 1, "--warmup", 0, *CPU]
    for arguments, words in (
        ([], "no MODEL is given"),
        (["a", "b"], "there is one MODEL, but also 'b'"),
        (["--fast"], "unknown option '--fast'"),
        (["a", "--atoms"], "a value is missing after '--atoms'"),
        (["a", "--atoms", "1,"], "--atoms cannot be '1,'"),
        (["a", "--atoms", "0"], "--atoms cannot be '0'"),
        (["a", "--structure", "bcc"], "--structure cannot be 'bcc'"),
        (["a", "--steps", "0"], "--steps cannot be '0'"),
        (["a", "--move", "0.1"], "--move cannot be '0.1'"),
        (["a", "--move", "1x"], "--move cannot be '1x'"),
        (["a", "--memory", "0"], "--memory cannot be '0'"),
        (["a", "--memory", "1.5"], "--memory cannot be '1.5'"),
        (["a", "--memory", "0.5", *CPU], "--memory is for a GPU"),
        (["a", "--profile", *CPU], "--profile is for a GPU, not for --device 'cpu'"),
        (["a", "--profile=all"], "unknown option '--profile=all'"),
        (["a", "--device", "gpu"], "--device is cpu, auto or a number, not 'gpu'"),
        (["a", "--precision", "half"], "--precision is double, single or mixed, not 'half'"),
        (["a", "--atoms", "1,2", "--forces", "f"], "one size only"),
    ):
        check_refused(bench, arguments, 2, words)
    check_refused(bench, [folder / "none"], 1, "No such file")
    check_refused(bench, [model, *once, "--task", "water"], 1, "the model has no task 'water'")
    check_refused(bench, [model, *once, "--precision", "mixed"], 1, "not mixed")
    missing = folder / "none" / "file"
    check_refused(bench, [model, *once, "--csv", missing], 1, f"cannot open {missing}")
    one_size = ["--atoms", 8, "--forces", missing]
    check_refused(bench, [model, *once, *one_size], 1, f"cannot open {missing}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("umas_bench")
    parser.add_argument("umas_random_model")
    options = parser.parse_args()
    bench = options.umas_bench
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.safetensors"
        size = ["--channels", CHANNELS, "--layers", LAYERS, "--experts", 2]
        made = run(sys.executable, options.umas_random_model, model, *size)
        check(made[0] == 0, f"umas-random-model: {made[2]}")
        check_table(bench, model, folder)
        check_files(bench, model, folder)
        check_open_boundaries(bench, model, folder)
        check_without_a_gpu(bench, model, folder)
        check_bad_files(bench, model, folder)
        check_refusals(bench, model, folder)
    check(run(bench, "--help")[1].startswith("usage: umas-bench MODEL "), "--help")
    check(run(bench, "--version")[1].startswith("umas-bench 0."), "--version")
    print(f"{failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
