#!/usr/bin/env python3
"""Plots what in.demo left: energies and temperature against time, and distances between atoms.

usage: plot_demo.py ENERGIES RDF PICTURE
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
    energies, rdf, picture = sys.argv[1:]
    for path in (energies, rdf):
        if not Path(path).is_file():
            sys.exit(f"plot_demo.py: no file {path}; in.demo writes it")
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    plot_energies(axes[0], np.loadtxt(energies))
    plot_distances(axes[1], np.loadtxt(rdf, skiprows=4))
    figure.savefig(picture, dpi=110)
    print(f"plotted: {picture}")


def plot_energies(axis, table):
    """Potential and total energy from the start of the run, temperature on the right."""
    steps, potential, total, temperature = table.T  # of 1 fs
    axis.plot(steps, potential - potential[0], label="potential energy")
    axis.plot(steps, total - potential[0], label="total energy")
    axis.set(title="α-quartz at constant energy", xlabel="time, fs", ylabel="energy, eV")
    right = axis.twinx()
    right.plot(steps, temperature, "k:", linewidth=1, label="temperature")
    right.set_ylabel("temperature, K")
    lines = axis.get_lines() + right.get_lines()
    labels = [line.get_label() for line in lines]
    axis.legend(lines, labels, loc="upper right", bbox_to_anchor=(1, 0.94))


def plot_distances(axis, table):
    """Pair distribution functions; `table`: distances and, for every pair, g and its integral."""
    for column, pair in ((2, "Si-Si"), (4, "Si-O"), (6, "O-O")):
        axis.plot(table[:, 1], table[:, column], label=pair)
    axis.set(title="distances between atoms", xlabel="r, Å", ylabel="g(r)", xlim=(1, None))
    axis.legend()


if __name__ == "__main__":
    main()
