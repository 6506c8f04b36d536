"""Every command and deck of the manuals runs as it is written.

Commands are the lines of an indented block that begins with a program, decks those of one that
begins with a command of LAMMPS, scripts those of one that begins with an import of Python.  They run in a copy of the sources' folders, where build/venv and
build/demo are the environment and the build of this test.  Small models stand for those that a
reader has, and what begins with /path/to is put in.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
TIMEOUT = 600  # s a block
DOCUMENTS = {  # and the folder that its commands run in
    "README.md": ".",
    "potentials/README.md": ".",
    "docs/accuracy.md": ".",
    "docs/ase.md": ".",
    "docs/decisions.md": ".",
    "docs/file-format.md": ".",
    "docs/model.md": ".",
    "docs/pair_umas.md": ".",
    "docs/performance.md": ".",
    "docs/reliability.md": ".",
    "examples/README.md": "examples",
    "examples/bench-2000/README.md": "examples/bench-2000",
}
PROGRAMS = {"cmake", "compute-sanitizer", "ctest", "lmp", "mpirun", "pip", "python", "python3"}
PROGRAMS |= {"torchrun", "cd", "mkdir"}
LAMMPS_COMMANDS = {"pair_style", "pair_coeff", "plugin", "units"}
# how the blocks of output begin
OUTPUTS = ("umas 0.1.0: ", "100% tests passed", '{"crc32":', "pair umas: ", "rows between GPUs ")

# how a block begins that the one before it prints
PRINTED = ("(3, 5) two atoms ",)

# What cannot run here, by how it begins or by a part of it, and why.
BUILDS = "builds everything, which is how this test came to run"
TRAINING = "needs PyTorch, fairchem and hours; the test of label slow trains on a share of the data"
GATED = "needs an account that Meta has granted access"
GPU = "needs a GPU"
ANOTHER = "builds for another LAMMPS and runs the tests there"
WHEEL = "is of a wheel; python.wheel makes one, installs it and does this"
CORES = "needs eight or sixteen cores; examples and bench_deck run these decks"
NOT_HERE = {
    "cmake --workflow": BUILDS,
    'pip install "umas-0.1.0-': WHEEL,
    "cd demo && umas-lammps -in in.demo": WHEEL,
    "umas-lammps -in in.demo": WHEEL,
    "cmake -B build/release": BUILDS + "; package.install installs and uses the result",
    "cmake --build build/release": BUILDS,
    "cmake --install build/release": BUILDS,
    "ctest --preset check": "runs the tests, of which this is one",
    "pip install -r potentials/training": TRAINING,
    "cd potentials/training": TRAINING,
    "python generate_data.py": TRAINING,
    "python train.py": TRAINING,
    "torchrun": TRAINING,
    "python export.py": TRAINING,
    "python evaluate.py": TRAINING,
    "../umas-convert student.pt": TRAINING,
    "python3 -m venv hub": GATED,
    "hub/bin/": GATED,
    "python3 -m venv lammps-2024": ANOTHER,
    "lammps-2024/": ANOTHER,
    "export PATH=$PWD/lammps-2024": ANOTHER,
    "mkdir lammps-2026": ANOTHER,
    "cmake -S": ANOTHER,
    "cmake --build build/20": ANOTHER,
    "cmake --build lammps-2026": ANOTHER,
    "ctest --test-dir build/20": ANOTHER,
    "compute-sanitizer": GPU,
    "--profile": GPU,
    "--forces gpu.xyz": GPU,
    "umas-bench uma.safetensors --move 0 --atoms 100,1000,2000,10000,15000,20000": GPU,
    "umas-bench uma.safetensors --move 0 --atoms 20,60,100,200,400,1000,2000,10000 --steps 20": GPU,
    "umas-bench uma.safetensors --structure fccfull --atoms 108000 --steps 3": GPU,
    "umas-bench uma.safetensors --atoms 1500000 --steps 2 --warmup 1": GPU,
    "umas-bench uma-s-random.safetensors": GPU,
    "lmp -in in.bench-2000 -var plugin /path/to/umasplugin.so -var model": GPU,
    "OMP_NUM_THREADS=16 lmp -in in.bench-2000": CORES,
    "OMP_NUM_THREADS=8 lmp -in in.umas.nve": CORES,
    "OMP_NUM_THREADS=2 mpirun -n 4 lmp": CORES,
    "pair_style umas task NAME": "is the syntax of all that may be written",
    "pair_style umas/gpu": GPU,
    "mpirun -n 4 lmp -in in.slab -var style umas/gpu": GPU,
    "tools/bench/scaling.py": "needs several GPUs",
    "python tools/bench/ase_step.py": "needs a checkpoint, fairchem and PyTorch beside umas",
    "pair_coeff * * FILE": "is a line of syntax",
}

FRAMEWORK = """a framework of four atoms

4 atoms
4 atom types
0 12 xlo xhi
0 12 ylo yhi
0 12 zlo zhi

Masses

1 65.38
2 15.999
3 12.011
4 1.008

Atoms # molecular

1 1 1 1.0 1.0 1.0
2 1 2 3.0 1.0 1.0
3 1 3 4.3 1.0 1.0
4 1 4 5.4 1.0 1.0
"""
CO2 = """carbon dioxide

3 atoms

Coords

1 0 0 0
2 1.16 0 0
3 -1.16 0 0

Types

1 5
2 6
3 6
"""

failures = 0
used = set()


def fail(what):
    global failures
    failures += 1
    print(f"FAIL {what}", flush=True)


def blocks(text):
    """The indented blocks of a document, without their indentation, as lists of lines."""
    found, block = [], []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    "):
            block.append(line)
        elif not line.strip() and block:
            block.append("")
        elif block:
            found.append(block)
            block = []
    return [dedent(b) for b in found]


def dedent(block):
    while block and not block[-1]:
        block.pop()
    indentation = min(len(line) - len(line.lstrip()) for line in block if line)
    return [line[indentation:] for line in block]


def first_word(line):
    words = [word for word in line.split() if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    return words[0] if words else ""


def is_program(word):
    return word in PROGRAMS or re.match(r"umas-|(\.\./)*(tools|build|hub)/", word)


def reason_not_to_run(command):
    for part, reason in NOT_HERE.items():
        if any(line.startswith(part) for line in command.splitlines()) or (
            part.startswith("--") and part in command
        ):
            used.add(part)
            return reason
    return None


class Reader:
    """Somebody who has built umas and has the files that a document begins with."""

    def __init__(self, options, root, name):
        self.options, self.root = options, root
        for path in SOURCE.iterdir():
            if path.name == "examples":
                shutil.copytree(path, root / path.name)
            elif path.name not in ("build", ".git"):
                (root / path.name).symlink_to(path)
        (root / "build").mkdir()
        (root / "build" / "venv").symlink_to(options.venv)
        (root / "build" / "demo").symlink_to(options.build)
        self.programs = root / "programs"
        self.programs.mkdir()
        for program in (options.lmp, options.mpirun, *sorted(options.build.glob("tools/umas-*"))):
            if program.exists():  # no link: mpirun looks for its parts where it was started
                self.add_program(program.name, f'"{program}"')
        package = f'env PYTHONPATH="{options.build}/python" "{options.venv}/bin/python" -B'
        self.add_program("python", package)
        self.add_program("umas-lammps", f'{package} -c "import umas.commands as c; c.lammps()"')
        (root / "uma-s-1p2p1.pt").symlink_to(SOURCE / "tests" / "golden" / "uma-1.2.1.pt")
        (root / "checkpoints").mkdir()
        (root / "checkpoints" / "uma-s-1p2p1.pt").symlink_to(root / "uma-s-1p2p1.pt")
        for file in ("potentials/student-SiO.safetensors", "examples/data.quartz"):
            (root / Path(file).name).symlink_to(SOURCE / file)
        for model in ("model.safetensors", "uma.safetensors", "MODEL"):
            (root / model).symlink_to(options.random_model)
        if name == "docs/pair_umas.md":
            (root / "uma-s-1p2p1.safetensors").symlink_to(options.random_model)
            (root / "framework.data").write_text(FRAMEWORK)
            (root / "co2.txt").write_text(CO2)
        (root / "examples" / "uma-s-1p2p1.safetensors").symlink_to(options.random_model)
        (root / "examples" / "umasplugin.so").symlink_to(options.plugin)

    def add_program(self, name, command):
        start = self.programs / name
        start.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        start.chmod(0o755)

    def fill_in(self, text):
        text = text.replace("/path/to/umasplugin.so", str(self.options.plugin))
        return text.replace("/path/to/model.safetensors", str(self.root / "model.safetensors"))

    def run(self, what, command, folder):
        environment = dict(os.environ, PATH=f"{self.programs}:{os.environ['PATH']}")
        environment["UMAS_CACHE"] = str(self.root / "cache")
        # Output goes to a file: a rank that outlives mpirun would keep a pipe open.
        with open(self.root / "output", "w+") as output:
            status = subprocess.run(
                command,
                cwd=self.root / folder,
                env=environment,
                executable=shutil.which(command[0], path=environment["PATH"]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
            ).returncode
            output.seek(0)
            text = output.read()
        if status != 0 or re.search(r"^ERROR", text, re.M):
            fail(f"{what}: exit status {status}\n{text[-3000:]}")
        else:
            print(f"ok   {what}", flush=True)
        self.printed = text

    def run_script(self, name, block):
        (self.root / "script.py").write_text(self.fill_in("\n".join(block)))
        self.run(f"{name}: {block[-1].strip()}", ["python", "script.py"], DOCUMENTS[name])

    def run_commands(self, name, block):
        script, joined = [], "\n".join(block).replace("\\\n", "").splitlines()
        for command in filter(None, map(str.strip, joined)):
            command = re.sub(r"  +", " ", command)
            reason = reason_not_to_run(command)
            if reason:
                print(f"skip {name}: {command}: it {reason}")
            else:
                script.append(self.fill_in(command))
        if script:
            command = ["bash", "-ec", "\n".join(script)]
            self.run(f"{name}: {'; '.join(script)}", command, DOCUMENTS[name])

    def run_deck(self, name, block):
        """Examples stand apart by empty lines; one without atoms gets some of every type."""
        text = "\n".join(line.split("  #")[0] for line in block)
        examples = [text] if "read_data" in text else text.split("\n\n")
        for example in examples:
            reason = reason_not_to_run(example)
            if reason:
                print(f"skip {name}: {example.splitlines()[0]}: it {reason}")
                continue
            model = re.search(r"^pair_coeff \* \* (?:umas )?(\S+) (.*)$", example, re.M)
            atoms = ""
            if model and "read_data" not in example:
                atoms = three_of_each_type(len(model[2].split()))
            if model and "plugin load" not in example:
                atoms = f"plugin load {self.options.plugin}\n{atoms}"
            deck = self.root / "in.document"
            deck.write_text(self.fill_in(atoms + example) + ("\nrun 0\n" if model else "\n"))
            command = ["lmp", "-in", deck.name, "-log", "none"]
            self.run(f"{name}: {example.splitlines()[0]}", command, ".")


def three_of_each_type(types):
    lines = ["units metal", "region box block 0 12 0 12 0 12", f"create_box {types} box"]
    for i in range(3 * types):
        lines.append(f"create_atoms {1 + i % types} single {1 + 2 * (i % 6)} {1 + 2 * (i // 6)} 5")
    return "\n".join([*lines, "mass * 28\n"])


def check_document(reader, name):
    for block in blocks((SOURCE / name).read_text()):
        if is_program(first_word(block[0])):
            reader.run_commands(name, block)
        elif first_word(block[0]) in LAMMPS_COMMANDS:
            reader.run_deck(name, block)
        elif first_word(block[0]) in ("from", "import"):
            reader.run_script(name, block)
        elif block[0].startswith(PRINTED):
            if "\n".join(block) not in reader.printed:
                fail(f"{name}: {block[0]} is not in what is printed: {reader.printed}")
        elif not block[0].startswith(OUTPUTS):
            fail(f"{name}: neither command, deck nor an output that is known: {block[0]!r}")


def check_demo_builds_what_is_used():
    presets = json.loads((SOURCE / "CMakePresets.json").read_text())["buildPresets"]
    targets = next(preset["targets"] for preset in presets if preset["name"] == "demo")
    for name in DOCUMENTS:
        for program in re.findall(r"build/demo/tools/([\w-]+)", (SOURCE / name).read_text()):
            if program not in targets and not (SOURCE / "tools" / program).exists():
                fail(f"{name} uses {program}, which the preset demo does not build: {targets}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("lmp", "mpirun", "plugin", "random-model", "build", "venv"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    if options.lmp.parent != options.build:
        for part in ("LD_LIBRARY_PATH=build/venv/lib", "mpirun -n 4 umas-lammps -in in.slab"):
            NOT_HERE[part] = "is for the LAMMPS that umas downloads"
    for program in options.build.glob("tools/umas-*"):
        if not program.exists():
            fail(f"{program} leads nowhere")
    for name in DOCUMENTS:
        with tempfile.TemporaryDirectory(prefix="umas-documents-") as folder:
            check_document(Reader(options, Path(folder), name), name)
    for part in NOT_HERE.keys() - used:
        fail(f"no document has {part!r} any more")
    check_demo_builds_what_is_used()
    print(f"{failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
