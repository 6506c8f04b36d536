"""The decks of examples/ run, with fewer steps and a small model."""

import re
import subprocess
import sys

import numpy as np

from lammps_run import close, from_command_line, true

STEPS = 3
DEMO_STEPS = 20
DEMO_ATOMS = 36
LATTICE = 5.029, 5.514  # A, of the potential's teacher (potentials/README.md)
NEAR = 0.01  # twice what the potential is to differ from its teacher
CONSERVED = 5e-4  # eV/atom: a hundredth of the kinetic energy that is exchanged


def every_example_runs(lammps):
    folder = lammps.options.examples
    decks = sorted(folder.glob("in.*"))
    files = {path.name: path.read_text() for path in folder.glob("data.*")}
    true(f"decks in {folder}", decks)
    for path in decks:
        deck = path.read_text()
        true(f"{path.name} loads the plugin", re.search(r"^plugin +load \$\{plugin\}$", deck, re.M))
        settings = f"variable plugin index {lammps.options.plugin}\n"
        settings += f"variable model index {lammps.random_model}\nvariable steps index {STEPS}\n"
        for ranks in (1, 2):
            run = lammps.run(settings + deck, ranks, files=files, load=False)
            true(f"{path.name} computed nothing", run.thermo)


def the_demo_is_quartz(lammps):
    """With the potential that belongs to it: its lattice, energies and plot."""
    examples = lammps.options.examples
    potential = examples.parent / "potentials" / "student-SiO.safetensors"
    settings = f"variable plugin index {lammps.options.plugin}\n"
    settings += f"variable model index {potential}\nvariable steps index {DEMO_STEPS}\n"
    files = {"data.quartz": (examples / "data.quartz").read_text()}
    deck = settings + (examples / "in.demo").read_text()
    run = lammps.run(deck, threads=2, files=files, load=False)

    found = re.search(r"^Quartz: a = (\S+) A, c = (\S+) A", run.output, re.M)
    true("a line with the lattice constants", found)
    for name, value, expected in zip("ac", found.groups(), LATTICE):
        close(f"{name} of quartz", float(value), expected, NEAR * expected)
    rows = [row for row in run.thermo if "TotEng" in row]
    energies = np.array([row["TotEng"] for row in rows]) / DEMO_ATOMS
    close("total energy of every atom", energies, np.full(len(energies), energies[0]), CONSERVED)
    true("kinetic energy that comes and goes", np.ptp([row["Temp"] for row in rows]) > 50)

    picture = run.folder / "demo.png"
    plot = [sys.executable, examples / "plot_demo.py", "energies.demo", "g.demo", picture]
    done = subprocess.run(plot, cwd=run.folder, capture_output=True, text=True)
    true(f"plot_demo.py plots: {done.stderr}", done.returncode == 0)
    true("a picture", picture.read_bytes()[:4] == b"\x89PNG")
    plot[2] = "no-file"
    done = subprocess.run(plot, cwd=run.folder, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    true(f"plot_demo.py names a missing file in a line: {lines}", lines and "no-file" in lines[-1])


if __name__ == "__main__":
    from_command_line(__doc__, [every_example_runs, the_demo_is_quartz])
