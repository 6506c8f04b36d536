#!/usr/bin/env python3
"""The plots of potentials/README.md from the results of the judging scripts, as SVG files."""

import argparse
from pathlib import Path

import matplotlib
import numpy as np

from judge_common import needing_results, read_results
from judge_tables import STATES

matplotlib.use("Agg")
from matplotlib import pyplot

_WHO = {
    "teacher": {"linestyle": "none", "marker": "o", "markersize": 4},
    "student": {"linestyle": "-"},
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the results")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the plots")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams.update({"svg.hashsalt": "judge", "font.size": 9})
    for name, plot in (
        ("crystals", crystals),
        ("short-range", short_range),
        ("nve", nve),
        ("silica", silica),
    ):
        with needing_results(options.results):
            figure = plot(options.results)
        figure.savefig(options.output / f"{name}.svg", metadata={"Date": None})


def crystals(folder):
    """Energy-volume curves of silicon and silica, and the Gamma frequencies of quartz."""
    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    panels = (("diamond", "beta-tin"), ("alpha-quartz", "stishovite"))
    for who, style in _WHO.items():
        results = read_results(folder / f"statics-{who}.json")
        for axis, phases in zip(axes, panels):
            zero = min(results["curves"][phases[0]]["energies"])
            for colour, phase in zip(_COLOURS, phases):
                curve = results["curves"][phase]
                energies = 1e3 * (np.array(curve["energies"]) - zero)
                label = f"{phase}, {who}"
                axis.plot(curve["volumes"], energies, color=colour, label=label, **style)
    for axis, title in zip(axes, ("silicon", "silica")):
        axis.set(title=title, xlabel="volume, Å³/atom", ylabel="energy, meV/atom")
        axis.legend(fontsize=7)
    modes = [
        read_results(folder / f"statics-{who}.json")["frequencies"]["alpha-quartz"][3:]
        for who in _WHO
    ]
    axes[2].plot(*modes, "o", color=_COLOURS[0], markersize=4)
    axes[2].plot([0, max(modes[0])], [0, max(modes[0])], "k-", linewidth=0.7)
    title = "Γ modes of α-quartz, 1/cm"
    axes[2].set(title=title, xlabel="teacher", ylabel="student")
    return figure


def short_range(folder):
    """The energy of two atoms against their distance, logarithmic above 1 eV."""
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for who, style in _WHO.items():
        results = read_results(folder / f"short-range-{who}.json")
        for axis, where in zip(axes, ("vacuum", "quartz")):
            for colour, (kind, curve) in zip(_COLOURS, results[where].items()):
                small = {**style, "markersize": 2}
                label = f"{kind}, {who}"
                axis.plot(curve["distances"], curve["energies"], color=colour, label=label, **small)
    for axis, title in zip(axes, ("in vacuum", "in α-quartz, one atom moved")):
        axis.set(title=title, xlabel="distance, Å", ylabel="energy, eV")
        axis.set_yscale("symlog", linthresh=1)
        axis.axhline(0, color="k", linewidth=0.5)
        axis.legend(fontsize=7)
    return figure


def nve(folder):
    """The change of the total energy in runs without a thermostat."""
    figure, axis = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    runs = read_results(folder / "nve.json")
    for colour, (name, run) in zip(_COLOURS, runs.items()):
        if not run["exploded"]:
            label = f"{name.replace('-', ', ')} K"
            axis.plot(run["times"], run["energies"], color=colour, linewidth=0.8, label=label)
    axis.set(xlabel="time, ps", ylabel="total energy, meV/atom")
    axis.legend(fontsize=7)
    return figure


def silica(folder):
    """Pair distribution functions of the liquid and the glass."""
    student = read_results(folder / "silica-student.json")
    figure, axes = pyplot.subplots(
        len(STATES), 3, figsize=(9, 5), layout="constrained", sharex=True
    )
    for row, state in zip(axes, STATES):
        teacher = read_results(folder / f"silica-teacher-{state}.json")
        for axis, pair in zip(row, student[state]["g"]):
            for who, found, colour in (
                ("teacher", teacher, _COLOURS[1]),
                ("student", student[state], _COLOURS[0]),
            ):
                if found:
                    axis.plot(found["r"], found["g"][pair], color=colour, linewidth=1, label=who)
            axis.set_title(f"{pair}, {student[state]['temperature']} K")
    for axis in axes[-1]:
        axis.set_xlabel("distance, Å")
    for row in axes:
        row[0].set_ylabel("g")
    axes[0, 0].legend(fontsize=7)
    return figure


if __name__ == "__main__":
    main()
