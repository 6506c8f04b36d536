#!/usr/bin/env python3
"""umas-random-model: the same bytes everywhere, the documented layout, every architecture."""

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np

from support import RANDOM_MODEL, check, finish, read_model, run

from umas_convert.model_file import tensor_shapes
from umas_convert.random_numbers import integers, symmetric

SMALL = "--channels 8 --hidden 6 --edge-channels 10 --layers 1 --experts 2".split()

# What these options gave when they were last meant to change.
SHA256 = {
    ("--seed", "7", *SMALL): "35284bec97dbdcb41cab05c74ef78179afe2b24510925ef64752903c4e89995c",
    ("--seed", "7", "--version", "1.1", "--mmax", "1", *SMALL): "65068188142e1155f849685c0f203d22d323c14d429c202ff999672aac29c805",
}


def main():
    check_numbers()
    with tempfile.TemporaryDirectory() as folder:
        for k, (options, sha256) in enumerate(SHA256.items()):
            path = Path(folder) / f"{k}.safetensors"
            code, out, err = run(RANDOM_MODEL, path, *options)
            check(code == 0 and "random" in out, f"{options}: {err}")
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            check(found == sha256, f"{options}: SHA-256 is {found}, not {sha256}")
        check_architectures(Path(folder) / "model.safetensors")
    finish()


def check_numbers():
    """The generator against splitmix64 in Python's own integers, and its range."""
    digest = hashlib.sha256(b"3:x").digest()
    state, expected = int.from_bytes(digest[:8], "little"), []
    for _ in range(5):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        expected.append(z ^ (z >> 31))
    check([int(n) for n in integers(3, "x", 5)] == expected, "integers differ from splitmix64")
    u = symmetric(1, "u", [300, 400])
    check(bool((abs(u) < 1).all() and (u != 0).all()), "numbers leave (-1, 1) or are 0")
    check(np.array_equal(u, u.astype(np.float32)), "numbers are not exact in single precision")
    # 120,000 uniform numbers: the mean of u has deviation 1.7e-3, that of u^2 8.6e-4.
    check(abs(u.mean()) < 0.01 and abs((u**2).mean() - 1 / 3) < 0.005, "numbers are not uniform")
    check(not np.array_equal(u, symmetric(2, "u", [300, 400])), "the seed makes no difference")


def check_architectures(path):
    cases = {
        "1.1": ["--version", "1.1"],
        "1.2": ["--version", "1.2"],
        "1.2.1": ["--version", "1.2.1"],
        "mmax 1": ["--mmax", "1"],
        "spin": ["--spin-balanced"],
        "dense": ["--experts", "0"],
        "Gaussians": ["--distance-functions", "20"],
    }
    for name, options in cases.items():
        code, _, err = run(RANDOM_MODEL, path, *SMALL, *options, "--force")
        check(code == 0, f"{name}: {err}")
        members, tensors = read_model(path)
        a = members["architecture"]
        shapes = {tensor: value.shape for tensor, value in tensors.items()}
        check(shapes == tensor_shapes(a), f"{name}: shapes")
        check(members["random"] is True, f"{name}: does not say that it is random")
        version = name if name[0] == "1" else "1.2.1"
        check(members["model_id"] == f"UMA-S-{version}", f"{name}: model_id {members['model_id']}")
        check(a["composition_counts_zero_row"] is (version == "1.2"), f"{name}: composition")
        check(a["charge_channels"] == ([0, 3] if version == "1.2.1" else [0, 0]), f"{name}: charge")
        check(a["spin_channels"] == ([3, 5] if name == "spin" else [0, 0]), f"{name}: spin")
        check(a["mmax"] == (1 if name == "mmax 1" else 2), f"{name}: mmax")
        check(a["experts"] == (0 if name == "dense" else 2), f"{name}: experts")
        check(len(members["tasks"]) == (5 if version == "1.1" else 7), f"{name}: tasks")
        check(a["heads"] == (1 if version == "1.1" else 7), f"{name}: heads")
        for task in members["tasks"]:
            check(
                task["head"] < a["heads"] and task["embedding"] < a["embeddings"],
                f"{name}: {task['name']}",
            )
            check(
                1 < task["rmsd"] < 2 and len(task["references"]) == a["elements"],
                f"{name}: {task['name']}",
            )


if __name__ == "__main__":
    sys.exit(main())
