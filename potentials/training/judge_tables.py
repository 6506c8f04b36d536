#!/usr/bin/env python3
"""The tables of potentials/README.md, in Markdown, from the results of the judging scripts."""

import argparse
from pathlib import Path

import numpy as np

from judge_common import needing_results, read_results

STATES = ("melt", "glass")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the results")
    folder = parser.parse_args().results
    for title, table in (
        ("Crystals", statics),
        ("Two atoms pushed together", short_range),
        ("NVE", nve),
        ("Silica", silica),
    ):
        with needing_results(folder):
            print(f"## {title}\n\n{table(folder)}\n")


def statics(folder):
    """Lattices, energies, elastic and force constants: teacher, student, difference."""
    both = [read_results(folder / f"statics-{who}.json") for who in ("teacher", "student")]
    rows = []
    for name, value, form, relative in _quantities():
        teacher, student = (value(results) for results in both)
        if relative:
            difference = f"{100 * (student / teacher - 1):+.2f} %"
        else:
            difference = f"{student - teacher:+.1f}"
        rows.append([name, form.format(teacher), form.format(student), difference])
    for phase in ("diamond", "alpha-quartz"):
        teacher, student = (np.array(r["force-constants"][phase]["values"]) for r in both)
        share = 100 * np.linalg.norm(student - teacher) / np.linalg.norm(teacher)
        rows.append([f"{phase}: force constants", "", "", f"{share:.1f} % of their norm"])
    teacher, student = (np.array(r["frequencies"]["alpha-quartz"]) for r in both)
    rms = np.sqrt(np.mean((student - teacher)[3:] ** 2))
    rows.append(["alpha-quartz: the 24 optical modes", "", "", f"{rms:.1f} 1/cm rms"])
    return _table(["", "teacher", "student", "difference"], rows)


def _quantities():
    """(name, what it is in the results, format, whether the difference is relative)."""

    def edge(phase, axis):
        return lambda results: results["phases"][phase]["lattice"][axis]

    def mirror(axis):
        return lambda results: results["mirror"]["lattice"][axis]

    def above_mirror(results):
        return 1e3 * (results["mirror"]["energy"] - results["phases"]["alpha-quartz"]["energy"])

    def modulus(phase):
        return lambda results: results["curves"][phase]["bulk_modulus"]

    def constant(name):
        return lambda results: results["elastic"][name]

    def highest_mode(crystal):
        return lambda results: results["frequencies"][crystal][-1]

    def volume(results):
        return results["phases"]["alpha-quartz"]["volume"]

    def above(phase, lowest):
        def energy(results):
            return 1e3 * (results["phases"][phase]["energy"] - results["phases"][lowest]["energy"])

        return energy

    return (
        ("diamond: a, Å", edge("diamond", 0), "{:.4f}", True),
        ("bulk modulus, GPa", modulus("diamond"), "{:.1f}", True),
        *((f"{name}, GPa", constant(name), "{:.1f}", True) for name in ("C11", "C12", "C44")),
        ("optical mode, 1/cm", highest_mode("diamond"), "{:.1f}", True),
        ("beta-tin above it, meV/atom", above("beta-tin", "diamond"), "{:.1f}", False),
        ("alpha-quartz: a, Å", edge("alpha-quartz", 0), "{:.4f}", True),
        ("c, Å", edge("alpha-quartz", 2), "{:.4f}", True),
        ("volume, Å³/atom", volume, "{:.4f}", True),
        ("bulk modulus, GPa", modulus("alpha-quartz"), "{:.1f}", True),
        ("its mirror image: a, Å", mirror(0), "{:.4f}", True),
        ("c, Å", mirror(2), "{:.4f}", True),
        ("above it, meV/atom", above_mirror, "{:.1f}", False),
        ("highest mode, 1/cm", highest_mode("alpha-quartz"), "{:.1f}", True),
        *(
            (f"{phase} above it, meV/atom", above(phase, "alpha-quartz"), "{:.1f}", False)
            for phase in ("alpha-cristobalite", "coesite", "stishovite")
        ),
        ("stishovite: a, Å", edge("stishovite", 0), "{:.4f}", True),
        ("c, Å", edge("stishovite", 2), "{:.4f}", True),
        ("bulk modulus, GPa", modulus("stishovite"), "{:.1f}", True),
    )


def short_range(folder):
    """Where the curves have their minimum and how high they rise; the student's deepest hole."""
    both = [read_results(folder / f"short-range-{who}.json") for who in ("teacher", "student")]
    rows = []
    for where, place in (("vacuum", "in vacuum"), ("quartz", "in alpha-quartz")):
        for kind in both[0][where]:
            teacher, student = (results[where][kind] for results in both)
            lowest, nearest = (
                teacher["distances"][np.argmin(teacher["energies"])],
                teacher["distances"][0],
            )
            at, hole = inside(student, lowest, nearest)
            there = np.interp(nearest, student["distances"], student["energies"])
            row = [f"{kind} {place}", f"{lowest:.2f}", f"{at:.2f}", f"{nearest:.2f}"]
            rows.append([*row, f"{teacher['energies'][0]:.1f}", f"{there:.1f}", f"{hole:.3f}"])
    head = ["", "minimum, Å: teacher", "student", "at Å", "eV: teacher", "student", "hole, eV"]
    return _table(head, rows)


def inside(curve, start, nearest):
    """(A, eV): the minimum downhill from `start`, and how far the energy falls again inside it.

    Distances below `nearest` are left out: there a third atom is closer than the teacher, or the
    wall, can be asked about.
    """
    distances, energies = np.array(curve["distances"]), np.array(curve["energies"])
    known = distances >= nearest - 1e-6
    distances, energies = distances[known], energies[known]
    at = int(np.argmin(np.abs(distances - start)))
    while True:
        near = slice(max(at - 1, 0), at + 2)
        lower = near.start + int(np.argmin(energies[near]))
        if lower == at:
            break
        at = lower
    inward = energies[at::-1]
    return distances[at], float(np.max(np.maximum.accumulate(inward) - inward))


def nve(folder):
    rows = []
    for name, run in read_results(folder / "nve.json").items():
        crystal = name.split("-")[0]
        row = [f"{run['atoms']} atoms of {crystal}, {run['temperature']} K"]
        if run["exploded"]:
            rows.append([*row, "", "", "", "", "exploded"])
            continue
        row += [f"{run['ps']:.1f}", f"{run['mean_temperature']:.0f}", f"{run['drift']:+.4f}"]
        rows.append([*row, f"{run['spread']:.4f}", f"{run['moved']:.3f}"])
    head = ["", "ps", "K", "drift, meV/atom/ps", "spread, meV/atom", "moved, Å²"]
    return _table(head, rows)


def silica(folder):
    """What teacher and student see in the liquid and the glass."""
    student = read_results(folder / "silica-student.json")
    head, columns = [""], []
    for state in STATES:
        head += [f"{state} at {student[state]['temperature']} K: student", "teacher"]
        columns += [student[state], read_results(folder / f"silica-teacher-{state}.json")]

    def row(name, value):
        return [name, *(value(found) if found else "" for found in columns)]

    def shares(element, counts):
        return lambda found: ", ".join(
            f"{100 * found['neighbours'][element][k]:.1f}" for k in counts
        )

    def angle(kind):
        return lambda found: "{:.0f} ± {:.0f}".format(*found["angles"][kind])

    def error(form):
        return lambda found: form.format(**found["errors"]) if "errors" in found else ""

    peaks = [
        row(f"{pair}: first peak, Å", lambda found, pair=pair: f"{found['first_peak'][pair]:.3f}")
        for pair in student["melt"]["g"]
    ]
    rows = [
        *peaks,
        row("Si with 3, 4, 5 O, %", shares("Si", (3, 4, 5))),
        row("O with 1, 2, 3 Si, %", shares("O", (1, 2, 3))),
        row("O-Si-O, degree", angle("O-Si-O")),
        row("Si-O-Si, degree", angle("Si-O-Si")),
        row("pressure, GPa", lambda found: f"{found['pressure']:.1f}"),
    ]
    # They stand in the teacher's files but are the student's.
    for name, form in (
        ("student's error of energies, meV/atom", "{energy_mae:.1f}"),
        ("of forces, mean / rms, meV/Å", "{force_mae:.0f} / {force_rmse:.0f}"),
    ):
        cells = row(name, error(form))[1:]
        rows.append([name, *(cells[k ^ 1] for k in range(len(cells)))])
    return _table(head, rows)


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
