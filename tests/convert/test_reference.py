"""The model's definition in numpy, docs/uma_energy_reference.py, gives fairchem's energies."""

import importlib.util
import itertools
import sys

import numpy as np

from support import GOLDEN, ROOT, check, finish

from umas_convert.checkpoint import Checkpoint
from umas_convert.elements import SYMBOLS

CUTOFF = 6.0  # A
AGREEMENT = 1e-9  # eV: what fairchem and the definition in double differ by is rounding


def golden(path):
    """{keyword: words}, and under "atoms" the symbols and positions, A."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    at = next(i for i, words in enumerate(lines) if words[0] == "atoms")
    values = {words[0]: words[1:] for words in lines[:at]}
    atoms = lines[at + 1 : at + 1 + int(lines[at][1])]
    values["symbols"] = [words[0] for words in atoms]
    values["positions"] = np.array([words[1:4] for words in atoms], float)
    return values


def edges(positions, cell, periodic, most):
    """(src, tgt, vec) of all pairs within the cutoff, images included; into an atom that has more than
    `most`, the nearest `most` + 1 and ties within 0.01 A^2."""
    reach = [6 if p else 0 for p in periodic]  # images on either side: more than any cell here needs
    src, tgt, vec = [], [], []
    for shift in itertools.product(*(range(-r, r + 1) for r in reach)):
        between = positions[:, None] + np.array(shift, float) @ cell - positions[None]
        squared = (between**2).sum(-1)
        near = squared < CUTOFF**2
        if not any(shift):
            np.fill_diagonal(near, False)
        s, t = np.nonzero(near)
        src, tgt, vec = src + [s], tgt + [t], vec + [between[s, t]]
    src, tgt, vec = np.concatenate(src), np.concatenate(tgt), np.concatenate(vec)
    squared = (vec**2).sum(1)
    kept = np.ones(len(src), bool)
    for target in range(len(positions)):
        into = tgt == target
        if into.sum() > most:
            kept[into] = squared[into] <= np.sort(squared[into])[most] + 0.01
    return src[kept], tgt[kept], vec[kept]


def energy(reference, checkpoint, weights, values):
    config = checkpoint.model_config
    most = config["backbone"].get("max_neighbors", 300)
    cell = np.array(values["cell"], float).reshape(3, 3)
    src, tgt, vec = edges(values["positions"], cell, [p == "1" for p in values["pbc"]], most)
    if not len(src):  # the definition wants an edge: one beyond the cutoff weighs nothing
        src, tgt, vec = np.array([0]), np.array([0]), np.array([[0.0, 0.0, 9.0]])
    numbers = np.array([SYMBOLS.index(s) + 1 for s in values["symbols"]])
    return reference.total_energy(
        weights, config, checkpoint.tasks_config, numbers, src, tgt, vec,
        values["task"][0], int(values["charge"][0]), int(values["spin"][0]),
    )  # fmt: skip


def main():
    page = ROOT / "docs" / "uma_energy_reference.py"
    spec = importlib.util.spec_from_file_location("reference", page)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    merge = reference.merge_experts
    for path in sorted(GOLDEN.glob("*.pt")):
        checkpoint = Checkpoint(path)
        weights = {name: checkpoint.array(name).astype(float) for name in checkpoint.weights}
        dense = not checkpoint.model_config["backbone"]["num_experts"]
        reference.merge_experts = (lambda sd, *_: sd) if dense else merge
        for case in sorted(GOLDEN.glob(f"{path.stem}_*.golden")):
            values = golden(case)
            found, want = energy(reference, checkpoint, weights, values), float(values["energy"][0])
            check(abs(found - want) <= AGREEMENT, f"{case.stem}: {found!r}, fairchem {want!r}")
    finish()


if __name__ == "__main__":
    sys.exit(main())
