#!/usr/bin/env python3
"""Numbers and paths in a checkpoint's configuration, as scripts and trainings leave them there, and
a model that was saved while prepared for fast inference."""

import pathlib
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np

from support import CONVERT, Checkpoint, Raw, check, check_refused, finish, read_model, run

from umas_convert.unpickle import StorageReference, TensorReference, load

UNIFIED = "module.backbone._unified_radial_mlp."


def dumped(value):
    """The opcodes with which Python pickles a value as torch.save does, in protocol 2."""
    return Raw(pickle.dumps(value, 2)[2:-1])


def renamed(value, old, new):
    """The same where the class was found elsewhere."""
    opcodes = dumped(value)
    check(old in opcodes, f"{old} is not in the pickle of {value!r}")
    return Raw(opcodes.replace(old, new))


def numpy_elsewhere(value):
    opcodes = pickle.dumps(value, 2)
    if b"numpy._core." in opcodes:
        return renamed(value, b"numpy._core.", b"numpy.core.")
    return renamed(value, b"numpy.core.", b"numpy._core.")


def main():
    check_paths()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_numbers(folder)
        check_refused_arrays(folder)
        check_unified(folder)
    finish()


def check_paths():
    for path, text in {
        pathlib.PurePosixPath("/data/omat/train"): "/data/omat/train",
        pathlib.PurePosixPath("data/omat"): "data/omat",
        pathlib.PurePosixPath("/"): "/",
        pathlib.PurePosixPath("."): ".",
        pathlib.PureWindowsPath("C:\\data\\omat"): "C:\\data\\omat",
    }.items():
        for opcodes in (dumped(path), renamed(path, b"cpathlib\n", b"cpathlib._local\n")):
            found = load(b"\x80\x02" + opcodes + b".")
            check(found == text and type(found) is str, f"{path!r} is read as {found!r}")


def stored(checkpoint, key, values, kind, shape):
    """A tensor that torch would save with these numbers."""
    checkpoint.entries[f"data/{key}"] = values.tobytes()
    strides, step = [], 1
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    storage = StorageReference(str(key), f"torch.{kind}Storage", values.size)
    return TensorReference(storage, 0, shape, tuple(strides))


def check_numbers(folder):
    """rmsd, references, a size and a path by numpy and by torch: the values that they print."""
    source, target = folder / "in.pt", folder / "out.safetensors"
    table = np.linspace(-8, 8, 100)
    single = np.float32(1.423)
    columns = np.asfortranarray(np.stack([table, table + 1]))[0]

    def tensor(key, values, kind, shape):
        return lambda checkpoint: stored(checkpoint, key, values, kind, shape)

    cases = {
        "numpy": (np.float64(1.423), table, np.int64(8)),
        "numpy elsewhere": (*map(numpy_elsewhere, (np.float64(1.423), table, np.int64(8))),),
        "numpy, narrow": (single, table.astype("f4"), np.int32(8)),
        "numpy, arrays": (np.array(1.423), columns, np.array(8)),
        "numpy, one": (np.array([1.423]), table, np.uint8(8)),
        "torch": (
            tensor(900, np.array([1.423]), "Double", ()),
            tensor(901, table, "Double", (100,)),
            tensor(902, np.array([8]), "Long", ()),
        ),
        "torch, narrow": (
            tensor(900, np.array([single]), "Float", (1,)),
            tensor(901, table.astype("f4"), "Float", (100,)),
            tensor(902, np.array([8], "i4"), "Int", ()),
        ),
    }
    for name, (rmsd, values, channels) in cases.items():
        checkpoint = Checkpoint("uma-1.2.1")
        made = []
        for value in (rmsd, values, channels):
            if isinstance(value, (np.generic, np.ndarray)):
                value = dumped(value)
            made.append(value(checkpoint) if callable(value) else value)
        for task in checkpoint.tasks[:3]:
            task["normalizer"]["rmsd"] = made[0]
        checkpoint.tasks[0]["element_references"]["element_references"] = made[1]
        checkpoint.backbone["sphere_channels"] = made[2]
        path = dumped(pathlib.PurePosixPath("/a/b"))
        checkpoint.tasks[0]["metrics"] = [path, dumped(np.bool_(True))]
        code, _, err = run(CONVERT, checkpoint.write(source), "-o", target, "--force")
        check(code == 0, f"{name}: exit status {code}: {err}")
        if code != 0:
            continue
        members, _ = read_model(target)
        task = next(task for task in members["tasks"] if task["name"] == "oc20")
        narrow = "narrow" in name
        check(task["rmsd"] == (float(single) if narrow else 1.423), f"{name}: {task['rmsd']}")
        expected = table.astype("f4").tolist() if narrow else table.tolist()
        check(task["references"] == expected, f"{name}: references")
        check(members["architecture"]["sphere_channels"] == 8, f"{name}: channels")
    target.unlink()


def check_refused_arrays(folder):
    source, target = folder / "in.pt", folder / "out.safetensors"
    cases = {
        "objects": (dumped(np.array([{}])), "refused: the pickle calls 'numpy.dtype'"),
        "text": (dumped(np.array(["x"])), "refused: the pickle calls 'numpy.dtype'"),
        "big-endian": (dumped(np.array([1.0, 2.0], ">f8")), "little-endian"),
        "wrong size": (
            renamed(np.array([1.0, 2.0]), b"K\x02\x85", b"K\x03\x85"),
            "a numpy array of 16 bytes, not 24",
        ),
        "two in place of one": (dumped(np.array([1.0, 2.0])), "rmsd [1.0, 2.0]"),
        "path of a call": (Raw(b"cpathlib\nPosixPath\n(cbuiltins\ndict\ntR"), "calls 'pathlib"),
        "other encoding": (
            Raw(b"c_codecs\nencode\n(X\x01\0\0\0xX\x03\0\0\0hextR"),
            "calls '_codecs.encode'",
        ),
    }
    for name, (opcodes, words) in cases.items():
        checkpoint = Checkpoint("uma-1.2.1")
        checkpoint.tasks[0]["normalizer"]["rmsd"] = opcodes
        check_refused(name, CONVERT, [checkpoint.write(source), "-o", target], words)
        check(not target.exists(), f"{name}: left a file")
    checkpoint = Checkpoint("uma-1.2.1")
    huge = stored(checkpoint, 900, np.array([1.0]), "Double", (2**30,))
    huge = TensorReference(huge.storage, 0, (2**30,), (0,))
    checkpoint.tasks[0]["normalizer"]["rmsd"] = huge
    words = "too many numbers for settings"
    check_refused("huge tensor", CONVERT, [checkpoint.write(source), "-o", target], words)


def check_unified(folder):
    """What fairchem's UnifiedRadialMLP keeps: the first layers' weights and biases one below the
    other, all else stacked."""
    source, target, plain = folder / "in.pt", folder / "out.safetensors", folder / "plain"
    code, _, err = run(CONVERT, Checkpoint("uma-1.2.1").write(source), "-o", plain)
    check(code == 0, f"unprepared: {err}")
    _, expected = read_model(plain)

    def prepared(damaged=None):
        checkpoint = Checkpoint("uma-1.2.1")
        parts = {"W1_cat": "0.weight", "b1_cat": "0.bias", "ln1_weight": "1.weight"}
        parts |= {"ln1_bias": "1.bias", "fc2_weight": "3.weight", "fc2_bias": "3.bias"}
        parts |= {"ln2_weight": "4.weight", "ln2_bias": "4.bias"}
        parts |= {"fc3_weight": "6.weight", "fc3_bias": "6.bias"}
        for key, (name, part) in enumerate(parts.items(), 900):
            where = "backbone.blocks.{}.edge_wise.so2_conv_1.rad_func.net." + part
            layers = [expected[where.format(layer)] for layer in range(2)]
            values = np.concatenate(layers) if name.endswith("_cat") else np.stack(layers)
            if name == damaged:
                values.flat[7] += 1
            checkpoint.weights[UNIFIED + name] = stored(
                checkpoint, key, values, "Float", values.shape
            )
        return checkpoint

    code, _, err = run(CONVERT, prepared().write(source), "-o", target)
    check(code == 0, f"prepared for inference: {err}")
    if code == 0:
        _, found = read_model(target)
        same = all(np.array_equal(found[name], expected[name]) for name in expected)
        check(same and set(found) == set(expected), "prepared for inference: other weights")
        target.unlink()
    for name in ("W1_cat", "b1_cat", "ln2_bias", "fc3_weight"):
        words = f"tensor backbone._unified_radial_mlp.{name} differs"
        given = [prepared(name).write(source), "-o", target]
        check_refused(f"damaged {name}", CONVERT, given, words)
    checkpoint = prepared()
    checkpoint.weights[UNIFIED + "W4"] = checkpoint.weights[UNIFIED + "b1_cat"]
    words = "tensor backbone._unified_radial_mlp.W4 is no part of a supported model"
    check_refused("a new part", CONVERT, [checkpoint.write(source), "-o", target], words)


if __name__ == "__main__":
    sys.exit(main())
