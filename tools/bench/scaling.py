#!/usr/bin/env python3
"""Time LAMMPS with umas/gpu on several GPUs, and plot it."""

import argparse
import csv
import re
import statistics
import subprocess
import sys
from os import environ
from pathlib import Path

DESCRIPTION = """\
Time LAMMPS with umas/gpu on several GPUs, one rank each, and plot it.

  scaling.py run --lmp lmp --plugin umasplugin.so --model uma.safetensors -o scaling.csv
  scaling.py plot scaling.csv -o scaling.png

A size is the cells of fcc carbon along x, y and z: 14 or 10x10x20."""

DECK = Path(__file__).resolve().parent / "in.scaling"
COLUMNS = ("plugin", "atoms", "ranks", "keywords", "ms", "ms_low", "ms_high", "engine")


class ScalingError(Exception):
    pass


def main():
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="time decks and write a table")
    run.add_argument("--lmp", default="lmp")
    run.add_argument("--mpirun", default="mpirun")
    run.add_argument("--plugin", nargs="+", required=True, help="one or more, compared in turns")
    run.add_argument("--model", required=True)
    run.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    run.add_argument("--sizes", nargs="+", default=["8", "14", "20", "30"])
    run.add_argument("--keywords", default="", help="of the pair style, as 'exchange host'")
    run.add_argument("--style", default="umas/gpu")
    run.add_argument("--steps", type=int, default=20)
    run.add_argument("--repeat", type=int, default=3, help="the median is reported (3)")
    run.add_argument("-o", "--output", required=True, help="a .csv file; rows are appended")
    run.set_defaults(work=time_decks)
    plot = commands.add_parser("plot", help="draw a table")
    plot.add_argument("table", help="a .csv file")
    plot.add_argument("-o", "--output", required=True, help="a .svg, .png or .pdf file")
    plot.add_argument("--title", help="above the plot, for example the name of the machine")
    plot.set_defaults(work=draw)
    options = parser.parse_args()
    try:
        options.work(options)
    except (ScalingError, OSError) as error:
        sys.exit(f"scaling.py: {error}")


def time_decks(options):
    new = not Path(options.output).exists()
    with open(options.output, "a", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        if new:
            table.writeheader()
        for size in options.sizes:
            for ranks in options.ranks:
                times = {plugin: [] for plugin in options.plugin}
                for _ in range(options.repeat):
                    for plugin in options.plugin:
                        times[plugin].append(time_deck(options, plugin, size, ranks))
                for plugin, runs in times.items():
                    ms = [run["ms"] for run in runs]
                    row = dict(runs[0], ms=statistics.median(ms), ms_low=min(ms), ms_high=max(ms))
                    table.writerow(row)
                    file.flush()
                    print(
                        f"{plugin}: {row['atoms']} atoms, {ranks} ranks: {row['ms']:.2f} ms "
                        f"({row['ms_low']:.2f} to {row['ms_high']:.2f})",
                        flush=True,
                    )


def cells(size):
    words = size.split("x")
    if len(words) not in (1, 3) or not all(re.fullmatch("[1-9][0-9]*", w) for w in words):
        raise ScalingError(f"size {size} is neither a number of cells nor three, as 10x10x20")
    return words * 3 if len(words) == 1 else words


def time_deck(options, plugin, size, ranks):
    command = [options.mpirun, "-np", str(ranks), options.lmp, "-in", str(DECK), "-log", "none"]
    values = dict(zip(("nx", "ny", "nz"), cells(size)), plugin=plugin, model=options.model)
    values.update(style=options.style, steps=str(options.steps))
    if options.keywords:
        values["keywords"] = options.keywords
    for name, value in values.items():
        command += ["-var", name, value]
    environment = dict({"OMP_NUM_THREADS": "1"}, **environ)
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    loops = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms", run.stdout)
    if run.returncode != 0 or len(loops) != 2:
        raise ScalingError(f"{' '.join(command)} failed:\n{run.stdout[-2000:]}{run.stderr[-500:]}")
    seconds, steps, atoms = loops[1]
    engine = re.search(r"pair umas\S*: ((?:GPU|CPU).*)", run.stdout)
    return {
        "plugin": plugin,
        "atoms": int(atoms),
        "ranks": ranks,
        "keywords": options.keywords,
        "ms": 1000 * float(seconds) / int(steps),
        "engine": engine[1] if engine else "",
    }


def draw(options):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curves = {}
    with open(options.table, newline="") as file:
        for row in csv.DictReader(file):
            name = f"{int(row['atoms']):,} atoms" + (f", {row['keywords']}" if row["keywords"] else "")
            curves.setdefault(name, {})[int(row["ranks"])] = float(row["ms"])
    figure, axes = pyplot.subplots(figsize=(6.4, 4.8), layout="constrained")
    ranks = sorted({r for points in curves.values() for r in points})
    for name, points in curves.items():
        if 1 not in points or len(points) < 2:
            continue
        speedup = [(r, points[1] / points[r]) for r in sorted(points)]
        axes.plot(*zip(*speedup), "s--" if ", " in name[8:] else "o-", markersize=4, label=name)
    axes.plot(ranks, ranks, ":", color="grey", label="as many times as fast")
    axes.set(xlabel="GPUs", ylabel="speed against one GPU", xticks=ranks, title=options.title)
    axes.grid(alpha=0.25)
    axes.legend()
    figure.savefig(options.output, dpi=150)


if __name__ == "__main__":
    main()
