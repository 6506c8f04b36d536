#!/usr/bin/env python3
"""umas-convert on every stored checkpoint, against what tests/golden/kinds.py says is in them."""

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from support import CONVERT, GOLDEN, check, finish, read_model, run

import kinds

HEAD = "output_heads.energyandforcehead."


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in kinds.KINDS.items():
            source, target = GOLDEN / f"{name}.pt", Path(folder) / f"{name}.safetensors"
            code, out, err = run(CONVERT, source, "-o", target)
            check(code == 0 and err == "", f"{name}: exit status {code}: {err}")
            check(out.count("\n") == 1 and str(target) in out, f"{name}: summary {out!r}")
            members, tensors = read_model(target)
            check_members(name, kind, members, source)
            check_tensors(name, kind, members["architecture"], tensors)
            check(list(Path(folder).glob(".*")) == [], f"{name}: left a partial file")
    finish()


def check_members(name, kind, members, source):
    experts = kind.backbone.get("num_experts", 2)
    mapping = kind.mapping or {n: n for n in kind.names}
    rows = sorted(set(mapping.values()))
    many = kind.head == kinds.MIXTURE_HEAD
    expected = {
        "sphere_channels": kinds.CHANNELS,
        "hidden_channels": kinds.HIDDEN,
        "edge_channels": kinds.EDGE_CHANNELS,
        "layers": kinds.LAYERS,
        "lmax": 2,
        "mmax": kind.backbone.get("mmax", 2),
        "distance_functions": kinds.GAUSSIANS,
        "elements": kinds.ELEMENTS,
        "experts": experts,
        "routing_channels": 2 * experts,
        "cutoff": 6.0,
        "max_neighbors": 300,  # that of eSCNMDBackbone, which these checkpoints leave out
        "strict_neighbors": 0,
        "composition_counts_zero_row": kind.version == "1.2",
        "charge_channels": [0, 3] if kind.version == "1.2.1" else [0, 0],
        "spin_channels": [3, 5] if "spin_balanced_channels" in kind.backbone else [0, 0],
        "embeddings": len(rows),
        "heads": len(rows) if many else 1,
    }
    check(members["architecture"] == expected, f"{name}: architecture {members['architecture']}")
    check(members["format_version"] == 1, f"{name}: format version")
    check(members["model_id"] == f"UMA-S-{kind.version}", f"{name}: model_id {members['model_id']}")
    check(members["random"] is False, f"{name}: random")
    check(members["converter"].startswith("umas-convert "), f"{name}: converter")
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    check(
        members["source"] == {"name": source.name, "sha256": sha256}, f"{name}: {members['source']}"
    )
    plain = kind.head == kinds.PLAIN_HEAD  # one task, with the references of its first name
    tasks = [
        {
            "name": n,
            "embedding": rows.index(mapping[n]),
            "head": rows.index(mapping[n]) if many else 0,
            "rmsd": kinds.RMSD,
            "references": kinds.references(kind.names[0] if plain else n)[: kinds.ELEMENTS],
        }
        for n in sorted(kind.names)
    ]
    check(members["tasks"] == tasks, f"{name}: tasks")


def check_tensors(name, kind, architecture, tensors):
    parameters = 0
    for tensor, value in tensors.items():
        wanted = expected_tensor(kind, architecture, tensor, list(value.shape))
        check(value.dtype == np.float32, f"{name}: {tensor} is {value.dtype}")
        check(np.array_equal(value, wanted), f"{name}: {tensor} differs from the checkpoint")
        parameters += value.size
    check(parameters == count_parameters(architecture), f"{name}: {parameters} parameters")


def expected_tensor(kind, a, name, shape):
    """What the checkpoint holds under fairchem's name of this tensor, in single precision."""

    def weight(fairchem_name, fairchem_shape):
        return kinds.weight(fairchem_name, fairchem_shape).astype(np.float32)

    many = kind.head == kinds.MIXTURE_HEAD
    if name == "backbone.dataset_embedding.weight":
        table = "backbone.dataset_embedding.dataset_emb_dict."
        targets = sorted(set((kind.mapping or {n: n for n in kind.names}).values()))
        return np.concatenate([weight(f"{table}{t}.weight", [1, shape[1]]) for t in targets])
    if name.startswith("head."):
        inner = HEAD + ("" if kind.head == kinds.PLAIN_HEAD else "head.") + name[len("head.") :]
        if name.endswith("bias"):
            return weight(inner, shape)
        if not many:
            return weight(inner, shape[1:])[None]
        # fairchem's table has a slot for every name; the first ones are used.
        return weight(inner + "s", [len(kind.names), *shape[1:]])[: shape[0]]
    if name.endswith("weight") and (".fc_m0." in name or ".so2_m_conv." in name):
        return weight(name + "s", shape) if a["experts"] else weight(name, shape[1:])[None]
    value = weight(
        name.replace("charge_embedding.", "charge_embedding.rand_emb.").replace(
            "spin_embedding.", "spin_embedding.rand_emb."
        ),
        shape,
    )
    return in_stored_precision(name, value) if kind.views else value


def in_stored_precision(name, value):
    """The fine-tune keeps some tensors in 16 bits, and one as a single number repeated."""
    if name == "backbone.sphere_embedding.weight":
        return value.astype(np.float16).astype(np.float32)
    if name == "backbone.charge_embedding.weight":  # bfloat16: the upper half, rounded to even
        bits = value.view(np.uint32).astype(np.uint64)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
        return bits.astype(np.uint32).view(np.float32)
    if name == "backbone.norm.affine_bias":
        first = kinds.weight("backbone.blocks.0.norm_1.affine_bias", list(value.shape))
        return np.full_like(value, np.float32(first[3]))
    return value


def count_parameters(a):
    """Numbers in all tensors, summed up by hand from docs/file-format.md."""
    c, h, b = a["sphere_channels"], a["hidden_channels"], a["edge_channels"]
    z, g = a["elements"], a["distance_functions"]
    x, r = a["experts"], a["routing_channels"]
    m = {1: 5, 2: 6}[a["mmax"]] * c

    def radial(outputs):
        return b * (g + 2 * b) + b * b + outputs * b + 6 * b + outputs

    expert = 15 * h * 2 * c + 16 * h * c + 9 * c * h + 8 * c * h
    if a["mmax"] == 2:
        expert += 4 * h * c + 2 * c * h
    layer = 8 * c + radial(2 * m) + max(x, 1) * expert + 5 * h + 3 * c
    layer += 2 * h * c + 2 * h + 3 * h * c + h + 3 * h * c + c
    total = z * c + (201 + 101 + a["embeddings"]) * c + 3 * c * c + c + 2 * z * b
    if x:
        total += z * c + 2 * r * c + r * r + x * r + 2 * r + x
    total += radial(3 * c) + a["layers"] * layer + 4 * c
    return total + a["heads"] * (h * c + h * h + h) + 2 * h + 1


if __name__ == "__main__":
    sys.exit(main())
