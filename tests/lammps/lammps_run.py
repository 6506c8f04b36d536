"""Running LAMMPS decks with the plugin, and comparing what they give.

Every test here is a script with the command line of `from_command_line`; it runs its checks one
after the other and exits with 1 if any failed, or with 77 if none could run.  Its last line counts
those that were skipped: they are for what this LAMMPS or machine has not.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np

SKIPPED = 77
TIMEOUT = 600  # s: a deck takes a few seconds on an idle machine; what takes longer by far hangs
NO_MPI = "none"


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


class Run:
    """What a deck left: its output, the rows of its thermo tables and its files."""

    def __init__(self, folder, output, status):
        self.folder, self.output, self.status = folder, output, status

    @property
    def thermo(self):
        """[{column: number}] of all runs and minimizations, in order."""
        rows, columns = [], None
        for line in self.output.splitlines():
            words = line.split()
            if words[:1] == ["Step"]:
                columns = words
            elif line.startswith("Loop time"):
                columns = None
            elif columns and len(words) == len(columns) and re.fullmatch(r"\d+", words[0]):
                rows.append(dict(zip(columns, map(float, words))))
        return rows

    def dump(self, name="dump"):
        """[{column: array over atoms by ID}] of every snapshot in a dump file."""
        snapshots, lines = [], (self.folder / name).read_text().splitlines()
        for start, line in enumerate(lines):
            if line.startswith("ITEM: ATOMS"):
                end = next(
                    (i for i in range(start + 1, len(lines)) if lines[i].startswith("ITEM:")),
                    len(lines),
                )
                table = [list(map(float, row.split())) for row in lines[start + 1 : end]]
                snapshots.append(dict(zip(line.split()[2:], np.array(table).T)))
        return snapshots

    @property
    def rows_sent(self):
        """By a rank, on average, as the log says."""
        return int(re.search(r"(\d+) \(\d+\) rows sent", self.output)[1])

    def errors(self):
        return [line for line in self.output.splitlines() if line.startswith("ERROR")]


class Lammps:
    """The programs and the model that a test was given."""

    def __init__(self, options, folder):
        self.options, self.model = options, options.model
        self.folder, self.count = folder, 0

    def run(self, deck, ranks=1, threads=1, files=None, fails=False, load=True, variables=None,
            of_ranks=None, meanwhile=None, timeout=TIMEOUT):
        """Run a deck in a folder of its own; files: {name: text} it reads.  Without `fails`, an
        error of the deck is one of the check; without `load`, the deck loads the plugin itself.
        variables: {name: text} of the environment.  of_ranks: [{name: value}] of the deck, where the
        ranks' command lines differ.  meanwhile(folder, process) is called once the deck has been
        started.  timeout: s, for decks that are meant to take long."""
        self.count += 1
        folder = self.folder / f"{self.count}"
        folder.mkdir()
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        first = f"plugin load {self.options.plugin}\n" if load else ""
        (folder / "in.deck").write_text(first + deck)
        command = [self.options.lmp, "-in", "in.deck", "-log", "none", "-nocite"]
        if ranks > 1:
            if self.options.mpirun == NO_MPI:
                raise Skipped("this LAMMPS has no MPI")
            parts = [["-n", str(ranks), *command]]
            if of_ranks:
                sets = [[w for v in own.items() for w in ("-var", *v)] for own in of_ranks]
                parts = [["-n", "1", *command, *own] for own in sets]
            command = [self.options.mpirun, *parts[0]]
            for part in parts[1:]:
                command += [":", *part]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), **(variables or {}))
        # Output goes to a file: with a pipe, ranks that outlive mpirun would keep the test waiting.
        with open(folder / "output", "w+") as output:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                if meanwhile:
                    meanwhile(folder, process)
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                output.seek(0)
                raise Failed(
                    f"no end after {timeout} s on {ranks} ranks:\n{deck}\n{output.read()[-3000:]}"
                ) from None
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            result = Run(folder, output.read(), process.returncode)
        missing = re.search(r"(?:Unrecognized|Unknown) (\w+ style '(?!umas)[^']*')", result.output)
        if missing:
            raise Skipped(f"this LAMMPS has no {missing[1]}")
        if not fails and (result.status != 0 or result.errors()):
            raise Failed(
                f"exit status {result.status} on {ranks} ranks:\n{deck}\n{result.output[-3000:]}"
            )
        return result

    def style(self, elements, keywords="task omat", style="umas", model=None):
        """pair_style and pair_coeff lines, and the elements' masses."""
        lines = f"pair_style {style} {keywords}\npair_coeff * * {model or self.model} {elements}\n"
        return lines + masses(elements)

    @property
    def random_model(self):
        return self.options.random_model


def absolute_path(name):
    return Path(name).resolve()


def from_command_line(description, checks):
    """Parse the command line, run the checks and exit."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lmp", required=True, help="the LAMMPS executable")
    parser.add_argument(
        "--mpirun", required=True, help=f"its MPI launcher, or {NO_MPI} where it was built without"
    )
    for name, what in {
        "plugin": "umasplugin.so",
        "model": "a model file with tasks omat and omol",
        "random-model": "a model file that says that its weights are random",
        "golden": "folder of the golden files and their checkpoints",
        "converted": "folder of these checkpoints, converted",
        "examples": "folder of the example decks",
        "other-version": "a plugin compiled for a LAMMPS of another version",
        "other-integers": "a plugin compiled for a LAMMPS of other integers",
    }.items():
        parser.add_argument(f"--{name}", type=absolute_path, required=True, help=what)
    parser.add_argument(
        "--fake-nccl", type=absolute_path, help="folder of the stand-in for NCCL, if it was built"
    )
    parser.add_argument("--only", help="run only the checks whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="umas-lammps-") as folder:
        run_checks(checks, Lammps(options, Path(folder)), options.only)


def run_checks(checks, argument, only=None):
    """Do check(argument) for every check, or those with `only` in their names, and exit."""
    failed = passed = skipped = 0
    for check in checks:
        if only and only not in check.__name__:
            continue
        try:
            check(argument)
        except Skipped as reason:
            skipped += 1
            print(f"skip {check.__name__}: {reason}", flush=True)
        except Exception as reason:
            failed += 1
            print(f"FAIL {check.__name__}: {reason}", flush=True)
            if not isinstance(reason, Failed):
                traceback.print_exc(file=sys.stdout)
        else:
            passed += 1
            print(f"ok   {check.__name__}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0 if passed else SKIPPED)


def close(what, values, expected, tolerance):
    """Fail, naming the worst element, unless every |value - expected| <= tolerance."""
    values, expected = np.asarray(values, dtype=float), np.asarray(expected, dtype=float)
    if values.shape != expected.shape:
        raise Failed(f"{what}: {values.shape} values, expected {expected.shape}")
    error = np.abs(values - expected)
    if not np.all(error <= tolerance):
        worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
        raise Failed(
            f"{what}{list(map(int, worst))}: {values[worst]!r}, "
            f"expected {expected[worst]!r} +- {tolerance:g}"
        )


def true(what, condition):
    if not condition:
        raise Failed(what)


# ---- decks -----------------------------------------------------------------------------------

# Printed to the last digit; no velocities, so that pressure is virial alone.
THERMO = """
thermo_style custom step pe pxx pyy pzz pxy pxz pyz vol lx ly lz press
thermo_modify format float %.17g
"""
DUMP = """
dump forces all custom 1 dump id type x y z fx fy fz
dump_modify forces sort id format float %.17g
"""
PER_ATOM = """
compute energy all pe/atom pair
compute virial all stress/atom NULL virial
compute energies all reduce sum c_energy
compute virials all reduce sum c_virial[*]
"""
MASSES = {"H": 1.008, "C": 12.011, "N": 14.007, "O": 15.999, "Si": 28.085, "Cu": 63.546}
PRESSURE = ("Pxx", "Pyy", "Pzz", "Pxy", "Pxz", "Pyz")
BAR_A3 = 1.6021765e6  # bar A^3 in an eV, as LAMMPS' metal units have it


def data_file(cell, types, positions, origin=(0, 0, 0), ntypes=None):
    """cell: LAMMPS' lower triangular vectors a, b, c as rows, A."""
    hi = np.add(origin, np.diag(cell))
    lines = ["umas", "", f"{len(types)} atoms", f"{ntypes or max(types, default=1)} atom types"]
    lines += [f"{origin[k]:.17g} {hi[k]:.17g} {c}lo {c}hi" for k, c in enumerate("xyz")]
    if cell[1][0] or cell[2][0] or cell[2][1]:
        lines.append(f"{cell[1][0]:.17g} {cell[2][0]:.17g} {cell[2][1]:.17g} xy xz yz")
    lines += ["", "Atoms # atomic", ""]
    for i, (kind, r) in enumerate(zip(types, positions)):
        lines.append(f"{i + 1} {kind} {r[0]:.17g} {r[1]:.17g} {r[2]:.17g}")
    return "\n".join(lines) + "\n"


def masses(elements):
    """The mass commands of these elements, one an atom type; others keep the mass of `start`."""
    types = enumerate(elements.split(), 1)
    return "".join(f"mass {i} {MASSES[e]}\n" for i, e in types if e in MASSES)


def start(read="read_data data", boundary="p p p", units="metal", before=""):
    return f"units {units}\nboundary {boundary}\n{before}\n{read}\nmass * 28\n"


def crystal(repeat=(1, 1, 1), noise=0.15, seed=1, types=(1, 2), a=5.0):
    """Perturbed zincblende: (cell, types, positions).  One cell is shorter than the cutoff."""
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    basis = np.concatenate([basis, basis + 0.25])
    shifts = np.array(list(np.ndindex(*repeat)))
    positions = (shifts[:, None] + basis[None]).reshape(-1, 3) * a
    kinds = np.tile(np.repeat(types, 4), len(shifts))
    positions = positions + np.random.default_rng(seed).uniform(-noise, noise, positions.shape)
    return np.diag(np.array(repeat) * a), kinds, positions


def triclinic(seed=2):
    """Eight perturbed atoms of two types in a skew cell."""
    cell, kinds, positions = crystal(seed=seed)
    skew = np.array([[5.3, 0, 0], [0.9, 4.8, 0], [-0.7, 1.1, 5.1]])
    return skew, kinds, positions @ np.linalg.inv(cell) @ skew


def skewed(system, skew):
    """A system in another cell, its atoms at the same fractions of the lattice vectors."""
    cell, kinds, positions = system
    return skew, kinds, positions @ np.linalg.inv(cell) @ skew


def slabs(heights, side=5.0, height=60.0):
    """Slabs as thick as a cell with vacuum between them; heights: of their lower sides."""
    layers = [crystal(seed=seed) for seed in range(len(heights))]
    kinds = np.concatenate([layer[1] for layer in layers])
    positions = np.concatenate([layer[2] + [0, 0, z] for layer, z in zip(layers, heights)])
    return np.diag([side, side, height]), kinds, positions


def cluster(count=6, seed=3):
    """Atoms of two types about the origin, none closer than 1.4 A."""
    random, positions = np.random.default_rng(seed), []
    while len(positions) < count:
        r = random.uniform(-2.2, 2.2, 3)
        if all(np.linalg.norm(r - s) > 1.4 for s in positions):
            positions.append(r)
    return [1 + i % 2 for i in range(count)], np.array(positions)
