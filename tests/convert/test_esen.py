#!/usr/bin/env python3
"""An eSEN model: UMA's layers without experts and without a data-set embedding.

usage: test_esen.py [UNIT_GOLDEN], the program that compares energies and forces with fairchem's

dense.pt becomes one by moving what its mix of charge, spin and data set makes of the data set omol
into the bias: W [c, s, d] + b = W' [c, s] + (W'' d + b).  It must be converted to the model that
fairchem's energies of dense.pt with omol belong to, but for the rounding of the bias.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from support import CONVERT, GOLDEN, Checkpoint, check, check_refused, finish, read_model, run

from umas_convert.unpickle import StorageReference, TensorReference

CASE = GOLDEN / "dense_molecule_omol.golden"
CHANNELS = 8
MIX = "module.backbone.mix_csd."
EMBEDDING = "module.backbone.dataset_embedding.dataset_emb_dict."


def numbers(checkpoint, name):
    """[..] of a contiguous tensor, in double precision."""
    tensor = checkpoint.weights[name]
    count = int(np.prod(tensor.shape))
    stored = np.frombuffer(checkpoint.entries[f"data/{tensor.storage.key}"], "<f4")
    return stored[tensor.offset : tensor.offset + count].reshape(tensor.shape).astype(float)


def store(checkpoint, name, values, key):
    checkpoint.entries[f"data/{key}"] = np.ascontiguousarray(values, "<f4").tobytes()
    strides = (values.shape[1], 1) if values.ndim == 2 else (1,)
    storage = StorageReference(str(key), "torch.FloatStorage", values.size)
    checkpoint.weights[name] = TensorReference(storage, 0, values.shape, strides)


def esen():
    checkpoint = Checkpoint("dense")
    weight, bias = numbers(checkpoint, MIX + "weight"), numbers(checkpoint, MIX + "bias")
    omol = numbers(checkpoint, f"{EMBEDDING}omol.weight")[0]
    store(checkpoint, MIX + "weight", weight[:, : 2 * CHANNELS], 900)
    store(checkpoint, MIX + "bias", bias + weight[:, 2 * CHANNELS :] @ omol, 901)
    for name in [name for name in checkpoint.weights if name.startswith(EMBEDDING)]:
        del checkpoint.weights[name]
    for key in ("dataset_mapping", "num_experts", "use_composition_embedding"):
        del checkpoint.backbone[key]
    checkpoint.backbone["use_dataset_embedding"] = False
    checkpoint.backbone["model"] = "fairchem.core.models.uma.escn_md.eSCNMDBackbone"
    del checkpoint.fields["model_config"]["model_id"]
    return checkpoint


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, target = folder / "esen.pt", folder / "dense.safetensors"
        code, out, err = run(CONVERT, esen().write(source), "-o", target)
        check(code == 0 and "eSEN" in out, f"exit status {code}: {out}{err}")
        check_contents(folder, target)
        if len(sys.argv) > 1:
            check_energies(sys.argv[1], folder)
        check_variants(folder)
    finish()


def check_contents(folder, target):
    whole = folder / "whole.safetensors"
    code, _, err = run(CONVERT, GOLDEN / "dense.pt", "-o", whole)
    check(code == 0, f"dense.pt: {err}")
    expected_members, expected = read_model(whole)
    members, tensors = read_model(target)
    check(members["model_id"] == "eSEN", f"model_id {members['model_id']}")
    a = members["architecture"]
    check(a["experts"] == 0 and a["embeddings"] == 1 and a["heads"] == 1, f"architecture {a}")
    tasks = {task["name"]: task["embedding"] for task in members["tasks"]}
    check(tasks == {"omat": 0, "omol": 0}, f"tasks {tasks}")
    changed = {"backbone.mix_csd.weight", "backbone.mix_csd.bias"}
    changed |= {"backbone.dataset_embedding.weight"}
    for name in expected:
        if name not in changed:
            check(np.array_equal(tensors[name], expected[name]), f"{name} differs")
    mix, whole_mix = (t["backbone.mix_csd.weight"] for t in (tensors, expected))
    check(np.array_equal(mix[:, :16], whole_mix[:, :16]), "the mix of charge and spin differs")
    check(not mix[:, 16:].any(), "a data set counts")
    check(not tensors["backbone.dataset_embedding.weight"].any(), "a data set has an embedding")


def check_energies(program, folder):
    """In single precision, where the rounded bias is no larger an error than others."""
    command = [program, "single", str(folder), str(CASE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, f"fairchem's energies: {done.stdout}{done.stderr}")
    check("energy off by" in done.stdout, f"no energy was compared: {done.stdout}")


def check_variants(folder):
    """The releases of OMol25 in short: the same with another head, or direct, or larger."""
    source, target = folder / "esen.pt", folder / "variant.safetensors"

    def single_head(checkpoint):
        heads = checkpoint.fields["model_config"]["heads"]
        head = heads["energyandforcehead"]
        head["head_cls"] = head["module"]
        head["module"] = "fairchem.core.models.uma.escn_moe.DatasetSpecificSingleHeadWrapper"
        head["dataset_names"] = ["omol"]
        for name in [n for n in checkpoint.weights if n.startswith("module.output_heads.")]:
            new = name.replace("energyandforcehead.", "energyandforcehead.head.")
            checkpoint.weights[new] = checkpoint.weights.pop(name)

    def moe_backbone(checkpoint):
        checkpoint.backbone["model"] = "fairchem.core.models.uma.escn_moe.eSCNMDMoeBackbone"
        checkpoint.backbone.update(num_experts=0, use_composition_embedding=True)
        checkpoint.backbone["dataset_list"] = ["omol"]

    for change in (single_head, moe_backbone):
        checkpoint = esen()
        change(checkpoint)
        code, _, err = run(CONVERT, checkpoint.write(source), "-o", target, "--force")
        check(code == 0, f"{change.__name__}: {err}")
    target.unlink()
    for options, words in (
        ({"direct_forces": True}, "direct_forces True is not supported (False is)"),
        ({"lmax": 4, "mmax": 2}, "lmax 4 is not supported (2 is)"),
        ({"chg_spin_emb_type": "pos_emb"}, "chg_spin_emb_type 'pos_emb' is not supported"),
        ({"ff_type": "grid"}, "ff_type 'grid' is not supported"),
        ({"use_dataset_embedding": True}, "the backbone has no dataset_mapping"),
    ):
        checkpoint = esen()
        checkpoint.backbone.update(options)
        given = [checkpoint.write(source), "-o", target]
        check_refused(f"{options}", CONVERT, given, words)


if __name__ == "__main__":
    sys.exit(main())
