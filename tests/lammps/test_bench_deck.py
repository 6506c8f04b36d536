"""examples/bench-2000/in.bench-2000 runs, with a small model, fewer atoms and fewer steps."""

import re

from lammps_run import close, from_command_line, true


def run(lammps, ranks=1, **variables):
    path = lammps.options.examples / "bench-2000" / "in.bench-2000"
    variables = {"style": "umas", "warmup": 1, "steps": 2} | variables
    variables |= {"plugin": lammps.options.plugin, "model": lammps.random_model}
    settings = "".join(f"variable {name} index {value}\n" for name, value in variables.items())
    return lammps.run(settings + path.read_text(), ranks, load=False)


def loop_lines(result):
    """[(steps, atoms)] of what LAMMPS timed."""
    pattern = r"^Loop time of \S+ on \d+ procs for (\d+) steps with (\d+) atoms"
    found = re.findall(pattern, result.output, re.M)
    return [(int(steps), int(atoms)) for steps, atoms in found]


def sampled_lattice(lammps):
    for ranks in 1, 2:  # which sites are emptied depends on the ranks: energies differ
        result = run(lammps, ranks, cells=4, sites=50)
        close("steps and atoms timed", loop_lines(result), [(1, 50), (2, 50)], 0)


def sampled_lattice_of_all_sites(lammps):
    result = run(lammps, cells=4, sites=64)
    close("steps and atoms timed", loop_lines(result), [(1, 64), (2, 64)], 0)


def atoms_of_the_benchmark(lammps):
    result = run(lammps, warmup=0, steps=0)
    close("steps and atoms timed", loop_lines(result), [(0, 2000), (0, 2000)], 0)
    true("the 13 x 13 x 13 sites", "Created 2197 atoms" in result.output)


def full_lattice(lammps):
    result = run(lammps, structure="full", warmup=0, steps=0)
    close("steps and atoms timed", loop_lines(result), [(0, 2048), (0, 2048)], 0)


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [sampled_lattice, sampled_lattice_of_all_sites, atoms_of_the_benchmark, full_lattice],
    )
