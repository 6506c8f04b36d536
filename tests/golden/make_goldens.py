#!/usr/bin/env python3
"""Write the checkpoints and goldens of this folder with fairchem-core 2.24.0.

Tests never run this; they read what it left here.  Every energy is checked against the model's
definition in numpy before it is written.

A golden is a text file of `keyword values` lines:
    model     name of the checkpoint here, or of a model that umas-random-model makes
    task, charge, spin
    cell      nine numbers, A: vectors a, b, c
    pbc       1 or 0 along a, b, c; along 0 the cell is only a box around the atoms
    energy    eV, element references included
    virial    xx yy zz xy xz yz, eV: minus the stress of fairchem times the volume
    atoms     N, followed by N lines: symbol x y z (A) fx fy fz (eV/A)
"""

import argparse
import importlib.util
import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from fairchem.core.datasets.atomic_data import AtomicData
from fairchem.core.units.mlip_unit import MLIPPredictUnit
from fairchem.core.units.mlip_unit.api.inference import InferenceSettings
from omegaconf import OmegaConf
from safetensors import safe_open

import checkpoints
import kinds
from structures import structures

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TOOLS = ROOT / "tools"
AGREEMENT = 1e-9  # eV, between fairchem and the definition in numpy; what differs is rounding

# model: (structure, task, charge, spin)
CASES = {
    "uma-1.1": [
        ("triclinic", "omat", 0, 0),
        ("molecule", "omol", 0, 1),
        ("slab", "oc20", 0, 0),
        ("one", "odac", 0, 0),
    ],
    "uma-1.2": [
        ("triclinic", "omat", 0, 0),
        ("molecule", "omol", -1, 2),
        ("primitive", "oc25", 0, 0),
    ],
    "uma-1.2.1": [
        ("triclinic", "omat", 0, 0),
        ("slab", "oc20", 0, 0),
        ("slab", "oc22", 0, 0),
        ("slab", "oc25", 1, 0),
        ("primitive", "odac", 0, 0),
        ("molecule", "omc", 0, 0),
        ("molecule", "omol", 2, 3),
        ("one", "omol", 1, 2),
        ("two", "omol", -1, 1),
        ("three", "omol", 0, 1),
        ("image", "omat", 0, 0),
        ("primitive", "omat", 0, 0),
        ("lone", "omol", 0, 5),
    ],
    "uma-1.2.1-mmax1": [("triclinic", "omat", 0, 0), ("three", "omol", -2, 3)],
    "uma-1.2.1-spin": [("triclinic", "omat", 0, 0), ("molecule", "omol", -1, 4)],
    "uma-1.2.1-nearest": [("triclinic", "omat", 0, 0), ("primitive", "omat", 0, 0)],
    "finetune": [
        ("primitive", "omat", 0, 0),
        ("primitive", "omat_surface", 0, 0),
        ("three", "omol", 1, 2),
        ("three", "omol_ion", 1, 2),
        ("image", "odac", 0, 0),
    ],
    "dense": [("triclinic", "omat", 0, 0), ("molecule", "omol", 1, 2)],
}
# A model of full size is generated from its seed, here and by the tests.
GENERATED = {"full-size": ["--seed", "1", "--version", "1.2.1", "--experts", "4"]}
GENERATED_CASES = {"full-size": [("triclinic", "omat", 0, 0), ("molecule", "omol", 1, 2)]}
# A potential of potentials/, trained and stored as a model file.
POTENTIAL_CASES = {"student-SiO": [("quartz", "omat", 0, 0), ("diamond", "omat", 0, 0)]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--reference",
        default=ROOT / "docs" / "uma_energy_reference.py",
        help="the model's definition in numpy, a Python file",
    )
    parser.add_argument(
        "--only",
        choices=("stored", "generated", "potentials"),
        help="the goldens of these models alone",
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    spec = importlib.util.spec_from_file_location("reference", options.reference)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    shapes = structures()
    if options.only in (None, "stored"):
        for name, cases in CASES.items():
            path = HERE / f"{name}.pt"
            torch.save(checkpoints.checkpoint(name), path)
            for case in cases:
                write_golden(name, path, shapes[case[0]], *case, reference)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.only in (None, "generated"):
            for name, cases in GENERATED_CASES.items():
                model_file = folder / f"{name}.safetensors"
                command = [sys.executable, TOOLS / "umas-random-model", *GENERATED[name]]
                subprocess.run([*command, model_file], check=True)
                write_goldens_of_file(model_file, cases, folder, shapes, reference)
        if options.only in (None, "potentials"):
            for name, cases in POTENTIAL_CASES.items():
                model_file = ROOT / "potentials" / f"{name}.safetensors"
                write_goldens_of_file(model_file, cases, folder, shapes, reference)


def write_goldens_of_file(model_file, cases, folder, shapes, reference):
    """The goldens of a model that is there as a model file alone."""
    path = folder / f"{model_file.stem}.pt"
    torch.save(checkpoint_of_file(model_file), path)
    for case in cases:
        write_golden(model_file.stem, path, shapes[case[0]], *case, reference)


def checkpoint_of_file(model_file):
    """A checkpoint with the weights, tasks and references of a model file."""
    with safe_open(model_file, "pt") as file:
        members = json.loads(file.metadata()["umas"])
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}
    a = members["architecture"]
    names = tuple(task["name"] for task in members["tasks"])
    kind = kinds.Kind(members["model_id"].removeprefix("UMA-S-"), names)
    if kind.version == "1.1":
        kind.head = kinds.SINGLE_HEAD
    kind.backbone = {
        "num_experts": a["experts"],
        "sphere_channels": a["sphere_channels"],
        "hidden_channels": a["hidden_channels"],
        "edge_channels": a["edge_channels"],
        "num_layers": a["layers"],
        "mmax": a["mmax"],
        "num_distance_basis": a["distance_functions"],
        "spin_balanced_channels": list(range(*a["spin_channels"])),
    }
    result = checkpoints.checkpoint_of(
        kind, lambda name, value: fairchem_weight(tensors, members, name, value)
    )
    for task in result.tasks_config:
        ours = next(t for t in members["tasks"] if t["name"] in task["datasets"])
        task["normalizer"]["rmsd"] = ours["rmsd"]
        if task["property"] == "energy":
            task["element_references"]["element_references"]["_args_"] = [ours["references"]]
    return result


def fairchem_weight(tensors, members, name, value):
    """The tensor of fairchem's name, from those of a model file."""
    if ".Jd_" in name:
        return value.clone()
    if ".dataset_emb_dict." in name:
        task = next(t for t in members["tasks"] if t["name"] == name.split(".")[-2])
        return tensors["backbone.dataset_embedding.weight"][task["embedding"]][None].clone()
    ours = name.replace(".rand_emb.", ".").replace(".weights", ".weight")
    ours = "head." + ours[ours.index("energy_block.") :] if "energy_block." in ours else ours
    tensor = tensors[ours]
    return (tensor if tensor.shape == value.shape else tensor[0]).clone()


def write_golden(model, path, structure, shape, task, charge, spin, reference):
    settings = InferenceSettings(
        tf32=False,
        activation_checkpointing=False,
        merge_mole=False,  # merging would round the experts' sum to single precision
        compile=False,
        external_graph_gen=False,
        execution_mode="general",
        base_precision_dtype="float64",
    )
    atoms = structure.atoms.copy()
    atoms.info = {"charge": charge, "spin": spin}
    unit = MLIPPredictUnit(str(path), "cpu", inference_settings=settings)
    given = AtomicData.from_ase(
        atoms, task_name=task, r_data_keys=["charge", "spin"], target_dtype=torch.float64
    )
    result = unit.predict(given)
    energy = result["energy"].detach().double().item()
    forces = result["forces"].detach().double().numpy()
    stress = result["stress"].detach().double().numpy().reshape(3, 3)
    virial = -stress[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]] * atoms.cell.volume

    expected = defined_energy(path, structure, task, charge, spin, reference)
    name = f"{model}_{shape}_{task}"
    if not abs(energy - expected) <= AGREEMENT:
        raise SystemExit(f"{name}: fairchem {energy!r}, definition {expected!r}")
    rms = np.sqrt((forces**2).mean())
    print(f"{name:40s} energy {energy:18.9f}  off {energy - expected:8.1e}  forces {rms:.3f} rms")

    def numbers(values):
        return " ".join(repr(float(value)) for value in np.ravel(values))

    lines = [
        "# fairchem-core 2.24.0 in float64; eV and A; make_goldens.py says what the lines mean",
        f"model {model}",
        f"task {task}",
        f"charge {charge}",
        f"spin {spin}",
        f"cell {numbers(atoms.cell.array)}",
        f"pbc {' '.join(map(str, structure.pbc))}",
        f"energy {energy!r}",
        f"virial {numbers(virial)}",
        f"atoms {len(atoms)}",
    ]
    for symbol, position, force in zip(atoms.symbols, atoms.positions, forces):
        lines.append(f"{symbol} {numbers(position)} {numbers(force)}")
    (HERE / f"{name}.golden").write_text("\n".join(lines) + "\n")


def nearest(src, tgt, vec, most):
    """The edges that fairchem keeps (get_max_neighbors_mask, not strict): into an atom that has more
    than `most`, those no farther than the one after these, and ties within 0.01 A^2."""
    squared = (vec**2).sum(1)
    kept = np.ones(len(src), bool)
    for target in np.unique(tgt):
        into = tgt == target
        if into.sum() > most:
            kept[into] = squared[into] <= np.sort(squared[into])[most] + 0.01
    return src[kept], tgt[kept], vec[kept]


def defined_energy(path, structure, task, charge, spin, reference):
    """The energy by the model's definition in numpy."""
    checkpoint = torch.load(path, weights_only=False)
    plain = [
        OmegaConf.to_container(OmegaConf.create(c))
        for c in (checkpoint.model_config, *checkpoint.tasks_config)
    ]
    weights = {
        name.removeprefix("module."): value.double().numpy()
        for name, value in checkpoint.ema_state_dict.items()
        if name != "n_averaged"
    }
    config = plain[0]
    if not config["backbone"]["num_experts"]:
        reference.merge_experts, merge = (lambda sd, *_: sd), reference.merge_experts
    src, tgt, vec = nearest(*structure.edges(), config["backbone"].get("max_neighbors", 300))
    if not len(src):  # the definition wants an edge: one beyond the cutoff weighs nothing
        src, tgt, vec = np.array([0]), np.array([0]), np.array([[0.0, 0.0, 9.0]])
    numbers = structure.atoms.numbers
    energy = reference.total_energy(
        weights, config, plain[1:], numbers, src, tgt, vec, task, charge, spin
    )
    if not config["backbone"]["num_experts"]:
        reference.merge_experts = merge
    return energy


if __name__ == "__main__":
    main()
