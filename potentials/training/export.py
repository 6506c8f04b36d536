#!/usr/bin/env python3
"""Write a trained student as a fairchem inference checkpoint, which umas-convert reads.

The EMA weights become those of a model with one expert, rounded to values that fp16 holds exactly.
Rows of the element, charge and spin tables that no label has touched become zero.  The result is
run by fairchem in float64 and compared with the rounded dense model before it is kept.
"""

import argparse
import logging
import os
from pathlib import Path

import ase
import hydra
import numpy as np
import torch
from fairchem.core.datasets.atomic_data import AtomicData
from fairchem.core.units.mlip_unit import MLIPPredictUnit
from fairchem.core.units.mlip_unit.api.inference import InferenceSettings, MLIPInferenceCheckpoint

from dataset import Budget, Frames, GraphSet
from student import (
    CHARGE_ROW,
    ELEMENTS,
    SPIN_ROW,
    TASK,
    build,
    energy_forces_stress,
    model_config,
)
from train import read_state

# fairchem's weight of the only expert: softmax of one number, plus this constant
EXPERT = 1.005
AGREEMENT = 1e-9  # eV and eV/A, between fairchem and the dense model in float64: rounding


def tasks_config(scale, references):
    """Energy, forces and stress of one data set, with one scale."""
    modules = "fairchem.core.modules.normalization."
    table = [references.get(number, 0.0) for number in range(101)]

    def task(kind, level, dim):
        return {
            "_target_": "fairchem.core.units.mlip_unit.mlip_unit.Task",
            "name": f"{TASK}_{kind}",
            "level": level,
            "property": kind,
            "datasets": [TASK],
            "out_spec": {"dim": dim, "dtype": "float32"},
            "normalizer": {
                "_target_": modules + "normalizer.Normalizer",
                "mean": 0.0,
                "rmsd": scale,
            },
            "metrics": ["mae"],
        }

    energy = task("energy", "system", [1])
    energy["element_references"] = {
        "_target_": modules + "element_references.ElementReferences",
        "element_references": {"_target_": "torch.DoubleTensor", "_args_": [table]},
    }
    return [energy, task("forces", "atom", [3]), task("stress", "system", [1, 9])]


def kept_rows(name):
    """Rows of a table that labels have touched, or None where all of it is used."""
    of_elements = ("sphere_embedding", "source_embedding", "target_embedding")
    if name.endswith(tuple(f"{table}.weight" for table in of_elements)):
        return list(ELEMENTS)
    if name.endswith("charge_embedding.rand_emb.weight"):
        return [CHARGE_ROW]
    if name.endswith("spin_embedding.rand_emb.weight"):
        return [SPIN_ROW]
    return None


def is_expert(name):
    return name.endswith(".weight") and (".fc_m0." in name or ".so2_m_conv." in name)


def rounded(name, values):
    """A weight in float64 with values that fp16 holds; those of an expert still without EXPERT."""
    values = values.detach().double().cpu()
    rows = kept_rows(name)
    if rows is not None:
        kept = torch.zeros_like(values)
        kept[rows] = values[rows]
        values = kept
    if is_expert(name):
        values = values / EXPERT
    half = values.half()
    if not torch.isfinite(half).all():
        raise SystemExit(f"{name}: {values.abs().max():.3g} is too large for fp16")
    return half.double()


def export(state, path):
    """Write the checkpoint of a training state (see train.py) to path."""
    channels, layers = state["channels"], state["layers"]
    torch.set_default_dtype(torch.float64)  # as fairchem does, for tables that are computed
    dense = build(channels, layers)
    torch.set_default_dtype(torch.float32)
    parameters = dict(dense.named_parameters())
    weights = {name: rounded(name, value) for name, value in state["ema"].items()}
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name] * (EXPERT if is_expert(name) else 1.0))

    config = model_config(channels, layers, experts=1)
    model = hydra.utils.instantiate(config)
    tensors = model.state_dict()
    for name, value in tensors.items():
        if "composition_embedding" in name or "routing_mlp" in name:
            value.zero_()  # one expert: nothing to choose
        elif ".Jd_" not in name:
            value.copy_(weights.pop(dense_name(name)).reshape(value.shape))
    if weights:
        raise SystemExit(f"no place for {', '.join(weights)}")
    averaged = {f"module.{name}": value for name, value in tensors.items()}
    part = Path(f"{path}.part")
    torch.save(
        MLIPInferenceCheckpoint(
            model_config=config,
            model_state_dict=tensors,
            ema_state_dict={"n_averaged": torch.tensor(1), **averaged},
            tasks_config=tasks_config(state["scale"], state["references"]),
        ),
        part,
    )
    compare(part, dense, state)
    os.replace(part, path)
    values = torch.cat([p.detach().abs().flatten() for p in model.parameters()])
    small = ((values > 0) & (values < 2.0**-14)).float().mean()
    print(f"{path}: {len(values)} weights, largest {values.max():.3g}, {small:.1e} below 2^-14")


def dense_name(name):
    """The dense model's name of a tensor of the model with one expert."""
    name = name.replace("energyandforcehead.head.", "energyandforcehead.")
    return name[:-1] if name.endswith(".weights") else name


def compare(path, dense, state):
    """Fairchem's own prediction of the checkpoint against the dense model."""
    places = [[0, 0, 0], [1.5, 0.9, 0.2], [0.1, 2.2, 2.0], [2.6, 2.5, 0.4], [2.4, 0.2, 2.5]]
    cell = np.array([[5.1, 0, 0], [0.4, 4.6, 0], [0.2, -0.3, 4.9]])
    atoms = ase.Atoms("SiO2SiO", places, cell=cell, pbc=True, info={"charge": 0, "spin": 0})
    settings = InferenceSettings(
        tf32=False,
        activation_checkpointing=False,
        merge_mole=False,  # merging would round the weights to single precision
        compile=False,
        external_graph_gen=False,
        execution_mode="general",
        base_precision_dtype="float64",
    )
    logging.disable(logging.WARNING)
    unit = MLIPPredictUnit(str(path), "cpu", inference_settings=settings)
    given = AtomicData.from_ase(
        atoms, task_name=TASK, r_data_keys=["charge", "spin"], target_dtype=torch.float64
    )
    theirs = unit.predict(given)

    n = len(atoms)
    frames = Frames(
        numbers=atoms.numbers,
        positions=atoms.positions,
        forces=np.zeros((n, 3)),
        cells=cell[None],
        periodic=np.ones((1, 3), bool),
        energies=np.zeros(1),
        stresses=np.zeros((1, 9)),
        natoms=np.array([n]),
        classes=np.array(["check"]),
    )
    graphs = GraphSet(frames, state["references"], 1.0, "cpu", dtype=torch.float64)
    budget = Budget(edges=int(graphs.nedges[0]) + 7, atoms=n + 3, frames=3)
    batch = graphs.batch(graphs.plan([0], budget)[0], budget)
    energy, forces, stress = energy_forces_stress(dense, batch, state["scale"], False)
    energy = energy[0] - batch.energy[0]  # the label is zero less the references
    error = max(
        abs(energy.item() - theirs["energy"].item()),
        (forces[:n] - theirs["forces"]).abs().max().item(),
        (stress[0] - theirs["stress"].flatten()).abs().max().item(),
    )
    print(f"fairchem in float64 against the dense model: {error:.1e} (eV, eV/A, eV/A^3)")
    if not error <= AGREEMENT:
        raise SystemExit(f"{path}: fairchem's result is not the trained model's")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", help="train.py's own checkpoint")
    parser.add_argument("-o", "--output", required=True, help="the fairchem checkpoint, .pt")
    options = parser.parse_args()
    export(read_state(options.state, "cpu"), options.output)


if __name__ == "__main__":
    main()
