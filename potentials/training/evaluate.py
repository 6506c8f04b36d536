#!/usr/bin/env python3
"""Errors of an exported student on labelled structures, by class: JSON, a table, a parity plot."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch

from dataset import GraphSet, read_frames
from export import EXPERT, dense_name, is_expert
from saved import load_saved
from student import ELEMENTS, build, energy_forces_stress
from train import batch_budget

GPA = 160.21766  # of 1 eV/A^3
COLUMNS = (("energy", "meV/atom", 1e3), ("forces", "meV/A", 1e3), ("stress", "GPa", GPA))


def load_student(path, device):
    """(dense model, scale, references) of a checkpoint that export.py wrote; its EMA weights."""
    checkpoint = load_saved(
        path, "export.py", lambda file: hasattr(file, "ema_state_dict"), weights_only=False
    )
    backbone = checkpoint.model_config["backbone"]
    model = build(backbone["sphere_channels"], backbone["num_layers"])
    weights = {}
    for name, value in checkpoint.ema_state_dict.items():
        name = dense_name(name.removeprefix("module."))
        weights[name] = value * EXPERT if is_expert(name) else value
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name].reshape(parameter.shape))
    energy = next(t for t in checkpoint.tasks_config if t["property"] == "energy")
    table = energy["element_references"]["element_references"]["_args_"][0]
    references = {number: table[number] for number in ELEMENTS}
    return model.to(device).eval().requires_grad_(False), energy["normalizer"]["rmsd"], references


def predict(model, scale, graphs, edges):
    """Energies less references [frames], forces [atoms, 3], stresses [frames, 9]."""
    budget = batch_budget(edges)
    results = [], [], []
    for row in graphs.plan(range(len(graphs.natoms)), budget):
        energy, forces, stress = energy_forces_stress(
            model, graphs.batch(row, budget), scale, create_graph=False
        )
        frames = row[row >= 0].tolist()
        atoms = int(graphs.natoms[frames].sum())
        for result, values, count in zip(
            results, (energy, forces, stress), (len(frames), atoms, len(frames))
        ):
            result.append(values[:count].detach().cpu().numpy())
    return [np.concatenate(parts) for parts in results]


def compare(frames, references, predicted):
    """Errors {class: {quantity: array}} and pairs for the plot {quantity: (label, prediction)}."""
    counts = frames.composition(ELEMENTS)
    base = counts @ np.array([references[number] for number in ELEMENTS])
    energies, forces, stresses = predicted
    labels = {
        "energy": (frames.energies - base) / frames.natoms,
        "forces": frames.forces,
        "stress": frames.stresses,
    }
    pairs = {
        "energy": (labels["energy"], energies / frames.natoms),
        "forces": (labels["forces"], forces),
        "stress": (labels["stress"], stresses),
    }
    of_atoms = np.repeat(frames.classes, frames.natoms)
    errors = {}
    for name in [*sorted(set(frames.classes)), "all"]:
        errors[name] = {
            "frames": frames.natoms if name == "all" else frames.natoms[frames.classes == name]
        }
        for quantity, (label, value) in pairs.items():
            place = of_atoms if quantity == "forces" else frames.classes
            chosen = slice(None) if name == "all" else place == name
            difference = (value - label)[chosen]
            errors[name][quantity] = difference[np.isfinite(difference)]
    return errors, pairs


def summary(errors):
    """[{class, frames, atoms, energy: {mae, rmse}, ...}] in the units of COLUMNS."""
    rows = []
    for name, parts in errors.items():
        row = {
            "class": name,
            "frames": len(parts["frames"]),
            "atoms": int(parts["frames"].sum()),
        }
        for quantity, unit, factor in COLUMNS:
            difference = parts[quantity] * factor
            if difference.size:
                row[quantity] = {
                    "unit": unit,
                    "mae": float(np.abs(difference).mean()),
                    "rmse": float(np.sqrt(np.square(difference).mean())),
                    "largest": float(np.abs(difference).max()),
                }
        rows.append(row)
    return rows


def table(rows):
    """The summary in Markdown: mean absolute and root-mean-square errors."""
    heads = [f"{quantity}, {unit}" for quantity, unit, _ in COLUMNS]
    lines = ["| class | frames | atoms | " + " | ".join(heads) + " |", "|---" * 6 + "|"]
    for row in rows:
        cells = [row["class"], str(row["frames"]), str(row["atoms"])]
        for quantity, _, _ in COLUMNS:
            error = row.get(quantity)
            cells.append(f"{error['mae']:.3g} / {error['rmse']:.3g}" if error else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(pairs, path):
    """Prediction against label, a panel a quantity."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    titles = ("energy less references, eV/atom", "force component, eV/A", "stress component, GPa")
    for axis, title, (label, value) in zip(axes, titles, pairs.values()):
        factor = GPA if "stress" in title else 1
        x, y = factor * label.ravel(), factor * value.ravel()
        keep = np.isfinite(x)
        x, y = x[keep], y[keep]
        axis.plot(x, y, ".", markersize=2, alpha=0.3, rasterized=True)
        if x.size:
            low, high = np.percentile(x, [0.2, 99.8])  # two atoms pushed together reach 1000 eV/A
            axis.plot([low, high], [low, high], "k-", linewidth=0.7)
            axis.set(xlim=(low, high), ylim=(low, high))
        axis.set(title=title, xlabel="teacher", ylabel="student")
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="what export.py wrote, .pt")
    parser.add_argument("frames", help="held-out frames, .extxyz or .npz")
    parser.add_argument("-o", "--output", help="folder for errors.json, errors.md and parity.png")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-edges", type=int, default=32768)
    parser.add_argument("--mirrored", action="store_true", help="the frames' mirror images")
    parser.add_argument("--only", metavar="CLASS", help="the frames of one class")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    model, scale, references = load_student(options.checkpoint, options.device)
    frames = read_frames(options.frames)
    if options.only:
        chosen = np.flatnonzero(frames.classes == options.only)
        if not len(chosen):
            raise SystemExit(f"{options.frames}: no frame of class {options.only}")
        frames = frames.select(chosen)
    if options.mirrored:
        frames = frames.mirrored()
    graphs = GraphSet(frames, references, 1.0, options.device)
    errors, pairs = compare(
        frames, references, predict(model, scale, graphs, options.batch_edges)
    )
    rows = summary(errors)
    print(table(rows))
    print("mean absolute / root-mean-square error")
    if options.output:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "errors.json").write_text(json.dumps(rows, indent=1) + "\n")
        (folder / "errors.md").write_text(table(rows) + "\n")
        plot(pairs, folder / "parity.png")


if __name__ == "__main__":
    main()
