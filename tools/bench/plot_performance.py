#!/usr/bin/env python3
"""Plot the time of a step against the number of atoms, both axes logarithmic."""

import argparse
import csv
import json
import sys
from pathlib import Path

DESCRIPTION = """\
Plot the time of a step against the number of atoms, both axes logarithmic.

A .csv file is what umas-bench --csv wrote.  A .json file holds the times of fairchem-core: a list
of objects with "mode", "struct", "natoms" and "ms_md", the time of a step in which atoms moved and
whose forces went to the host.  Rows of failed runs are left out."""


class PlotError(Exception):
    pass


def main():
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a .csv or .json file")
    parser.add_argument("-o", "--output", required=True, help="a .svg, .png or .pdf file")
    parser.add_argument("--structure", default="fcc", help="plot this structure only (fcc)")
    parser.add_argument("--title", help="above the plot, for example the name of the machine")
    options = parser.parse_args()
    try:
        curves = {}
        for name in options.files:
            read(Path(name), options.structure, curves)
        if not curves:
            raise PlotError(f"no file has a time of structure {options.structure}")
        plot(curves, options.title, options.output)
    except (PlotError, OSError) as error:
        sys.exit(f"plot_performance.py: {error}")


def read(path, structure, curves):
    """Add the file's times to curves, {name: [(atoms, ms, ms_10, ms_90)]}."""
    readers = {".csv": read_umas, ".json": read_fairchem}
    if path.suffix not in readers:
        raise PlotError(f"{path} is neither a .csv nor a .json file")
    try:
        for name, kind, *point in readers[path.suffix](path):
            if kind == structure:
                curves.setdefault(name, []).append(tuple(point))
    except (KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__} {error}"
        raise PlotError(f"{path} is not a benchmark's output: {what}") from error


def read_umas(path):
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            style = "umas" if row["device"] == "cpu" else "umas/gpu"
            times = (float(row[column]) for column in ("ms", "ms_10", "ms_90"))
            yield f"{style} {row['precision']}", row["structure"], int(row["atoms"]), *times


def read_fairchem(path):
    for row in json.loads(path.read_text()):
        if "ms_md" in row:
            ms = float(row["ms_md"])
            yield f"fairchem {row['mode']}", row["struct"], int(row["natoms"]), ms, ms, ms


def plot(curves, title, output):
    try:
        import matplotlib
    except ImportError as error:
        raise PlotError("needs matplotlib (python3 -m pip install matplotlib)") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.8), layout="constrained")
    for name, points in sorted(curves.items(), key=lambda curve: not curve[0].startswith("umas")):
        atoms, ms, low, high = zip(*sorted(points))
        spread = [[m - l for m, l in zip(ms, low)], [h - m for m, h in zip(ms, high)]]
        line = "o-" if name.startswith("umas") else "s--"
        axes.errorbar(atoms, ms, yerr=spread, fmt=line, markersize=4, capsize=2, label=name)
    axes.set(xscale="log", yscale="log", xlabel="atoms", ylabel="time of a step, ms", title=title)
    axes.grid(which="both", alpha=0.25)
    axes.legend()
    try:
        figure.savefig(output, dpi=150)
    except ValueError as error:
        raise PlotError(error) from error


if __name__ == "__main__":
    main()
