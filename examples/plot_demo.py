#!/usr/bin/env python3
"""Plots what in.demo left: energies and temperature against time, and distances between atoms.

usage: plot_demo.py LOG RDF PICTURE
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.splitlines()[-1])
    log, rdf, picture = sys.argv[1:]
    for path in (log, rdf):
        if not Path(path).is_file():
            sys.exit(f"plot_demo.py: no file {path}; in.demo writes it")
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    plot_energies(axes[0], last_thermo(log))
    plot_distances(axes[1], np.loadtxt(rdf, skiprows=4))
    figure.savefig(picture, dpi=110)
    print(f"plotted: {picture}")


def last_thermo(path):
    """{column: values} of the last table of thermodynamic output in a LAMMPS log."""
    names, rows, tables = None, [], []
    for line in open(path):
        words = line.split()
        if words[:1] == ["Step"]:
            names, rows = words, []
            tables.append((names, rows))
        elif names and len(words) == len(names) and words[0].isdigit():
            rows.append([float(word) for word in words])
    if not tables:
        sys.exit(f"plot_demo.py: no thermodynamic output in {path}")
    names, rows = tables[-1]
    return dict(zip(names, np.array(rows).T))


def plot_energies(axis, thermo):
    """Potential and total energy from the start of the run, temperature on the right."""
    time = thermo["Step"]  # of 1 fs
    start = thermo["PotEng"][0]
    axis.plot(time, thermo["PotEng"] - start, label="potential energy")
    axis.plot(time, thermo["TotEng"] - start, label="total energy")
    axis.set(title="α-quartz at constant energy", xlabel="time, fs", ylabel="energy, eV")
    right = axis.twinx()
    right.plot(time, thermo["Temp"], "k:", linewidth=1, label="temperature")
    right.set_ylabel("temperature, K")
    lines = axis.get_lines() + right.get_lines()
    axis.legend(lines, [line.get_label() for line in lines], loc="upper right", bbox_to_anchor=(1, 0.94))


def plot_distances(axis, table):
    """Pair distribution functions; `table` has a distance and, for every pair, g and its integral."""
    for column, pair in ((2, "Si-Si"), (4, "Si-O"), (6, "O-O")):
        axis.plot(table[:, 1], table[:, column], label=pair)
    axis.set(title="distances between atoms", xlabel="r, Å", ylabel="g(r)", xlim=(1, None))
    axis.legend()


if __name__ == "__main__":
    main()
