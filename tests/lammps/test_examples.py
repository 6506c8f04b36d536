"""The decks of examples/ run, with fewer steps and a small model."""

import re

from lammps_run import Skipped, from_command_line, true

STEPS = 3


def every_example_runs(lammps):
    folder = lammps.options.examples
    if not folder:
        raise Skipped("no --examples")
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


def the_demo_says_that_weights_are_random(lammps):
    text = (lammps.options.examples / "in.demo").read_text()
    true("a print command", re.search(r"^print .*random numbers.*not physics", text, re.M))


if __name__ == "__main__":
    from_command_line(__doc__, [every_example_runs, the_demo_says_that_weights_are_random])
