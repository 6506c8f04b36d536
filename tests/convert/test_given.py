#!/usr/bin/env python3
"""What users give in place of a checkpoint: umas-convert takes it or says what it is."""

import bz2
import gzip
import io
import lzma
import os
import struct
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from support import (
    CONVERT,
    GOLDEN,
    Checkpoint,
    Raw,
    check,
    check_refused,
    finish,
    pickled,
    read_model,
    run,
    write_zip,
)

GOOD = GOLDEN / "uma-1.1.pt"
TO_INFERENCE = "convert_train_checkpoint_to_inference_checkpoint"
# Names of this program's own, which say nothing to its users.
INTERNAL = ("TensorReference", "StorageReference", "Global(", "Record(", "Reference", "__main__")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = folder / "out.safetensors"

        def refused(name, given, words):
            check_refused(name, CONVERT, [given, "-o", target], words)
            _, _, err = run(CONVERT, given, "-o", target)
            for word in INTERNAL:
                check(word not in err, f"{name}: {word!r} is in {err!r}")
            check(not target.exists(), f"{name}: left a file")

        check_names(folder, refused)
        check_files(folder, refused)
        check_archives(folder, refused)
        check_objects(folder, refused)
        check_folders(folder, refused, target)
    finish()


def check_names(folder, refused):
    refused("nothing", "", "the name of the checkpoint is empty")
    refused("missing", folder / "none.pt", "none.pt: No such file or directory")
    for name in ("uma-s-1p2p1", "uma-s-1", "esen-sm-conserving-all-omol"):
        refused(name, name, [f"{name} is a model's name", "give its .pt", "README.md"])
    refused("UMA-M", "uma-m-1p1", "UMA-M (lmax 4) is not supported; UMA-S is")
    refused("repository", "facebook/UMA", ["facebook/UMA is a repository", "README.md"])
    for address in (
        "https://huggingface.co/facebook/UMA/blob/main/checkpoints/uma-s-1p1.pt",
        "hf://facebook/UMA/checkpoints/uma-s-1p1.pt",
        "s3://bucket/uma.pt",
    ):
        refused(address, address, [f"{address} is an address", "download the checkpoint"])
    (folder / "mine.pt").write_bytes(b"")
    refused("no suffix", folder / "mine", f"give {folder}/mine.pt")
    os.mkfifo(folder / "pipe")
    refused("pipe", folder / "pipe", "a device or pipe")
    (folder / "pipe").unlink()
    (folder / "mine.pt").unlink()


def check_files(folder, refused):
    content = GOOD.read_bytes()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.add(GOOD, "uma-1.1.pt")
    code, _, err = run(CONVERT, GOOD, "-o", folder / "model")
    check(code == 0, f"conversion: {err}")
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    files = {
        "git-lfs": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1168\n",
            ["a git-lfs pointer", "git lfs pull"],
        ),
        "web page": (b"<!DOCTYPE html>\n<html class=''>", "a web page"),
        "bare page": (b"\xef\xbb\xbf \n<html><head>", "a web page"),
        "JSON": (b'{"error":"Access to model facebook/UMA is restricted"}', "a JSON text"),
        "answer": (
            b"Access to model facebook/UMA is restricted. You must be authenticated.",
            "a text (Access to model facebook/UMA is restricted.",
        ),
        "YAML": (b"model_config: {}\nlmax: 2\n", "a text (model_config: {})"),
        "control characters": (b"\x1b[2Jmodel of mine", "not a PyTorch checkpoint"),
        "gzip": (gzip.compress(content), "compressed with gzip; unpack it first"),
        "bzip2": (bz2.compress(content), "compressed with bzip2; unpack it first"),
        "xz": (lzma.compress(content), "compressed with xz; unpack it first"),
        "tar": (tar.getvalue(), "a tar archive; unpack it first"),
        "converted": ((folder / "model").read_bytes(), "a converted model already"),
        "safetensors": (
            struct.pack("<Q", len(header)) + header + b"\0\0\0\0",
            "weights in safetensors, without the model's configuration",
        ),
        "zeros": (bytes(100000), "an incomplete download"),
        "half": (content[: len(content) // 2], ["damaged zip", "download or copy it again"]),
        "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a PyTorch checkpoint"),
    }
    given = folder / "given.pt"
    for name, (held, words) in files.items():
        given.write_bytes(held)
        refused(name, given, words)
    given.unlink()
    (folder / "model").unlink()


def check_archives(folder, refused):
    given = folder / "given.pt"
    with zipfile.ZipFile(given, "w") as archive:
        archive.write(GOOD, "download/uma-s-1p1.pt")
    refused("zipped", given, "a zip archive of download/uma-s-1p1.pt; unpack it")
    with zipfile.ZipFile(given, "w") as archive:
        archive.writestr("step_100/__0_0.distcp", b"")
    refused("zipped state", given, ["a zipped training state", TO_INFERENCE])
    with open(given, "wb") as file:
        np.savez(file, a=np.zeros(3))
    refused("numpy", given, "a numpy archive")
    write_zip(given, {"data.pkl": b"\x80\x02N.", "constants.pkl": b"\x80\x02)."})
    refused("TorchScript", given, "a TorchScript program")
    Checkpoint("uma-1.1").write(given, zipfile.ZIP_DEFLATED)
    refused("compressed", given, ["is compressed", "give the file as PyTorch wrote it"])
    given.unlink()


def check_objects(folder, refused):
    """PyTorch files that hold something else, and values of other kinds within a checkpoint."""
    given = folder / "given.pt"
    tensor = Checkpoint("uma-1.1").weights["module.backbone.norm.affine_bias"]
    unknown = Raw(b"ctorch.optim.adamw\nAdamW\n")
    no = "not a fairchem inference checkpoint: "
    for name, (value, words) in {
        "training state": ({"unit_state": {"model": {"w": tensor}}}, ["training state", no]),
        "its optimizer": ({"unit_state": {"o": unknown}}, ["training state", TO_INFERENCE, no]),
        "a training's": ({"epoch": 1, "optimizer": {}}, [no, "the state of a training"]),
        "fairchem 1": ({"state_dict": {"w": tensor}, "config": {}}, [no, "fairchem 1"]),
        "weights": ({"w": tensor}, [no, "weights alone"]),
        "a tensor": (tensor, no + "it holds a tensor"),
        "a number": (7, no + "it holds a number"),
        "another's class": (unknown, [no, "'torch.optim.adamw.AdamW'", "nothing was run"]),
    }.items():
        write_zip(given, {"data.pkl": pickled(value)})
        refused(name, given, words)
    for name, (opcodes, words) in {
        "call of a tensor": ([tensor, Raw(b")R")], "the pickle calls a tensor"),
        "call of a dictionary": ([Raw(b"})R")], "the pickle calls a dictionary"),
        "shape of a storage": (
            [Raw(b"ctorch._utils\n_rebuild_tensor_v2\n("), *[tensor.storage] * 4, Raw(b"tR")],
            "of the wrong kind",
        ),
    }.items():
        checkpoint = Checkpoint("uma-1.1")
        parts = b"".join(p if isinstance(p, Raw) else pickled(p)[2:-1] for p in opcodes)
        checkpoint.fields["tasks_config"] = Raw(parts)
        refused(name, checkpoint.write(given), words)
    for name, field in {"model": "model_config", "tasks": "tasks_config"}.items():
        checkpoint = Checkpoint("uma-1.1")
        checkpoint.fields[field] = "text"
        refused(name, checkpoint.write(given), [f"{field} is not a ", str(given)])
    given.unlink()


def check_folders(folder, refused, target):
    empty, state = folder / "empty", folder / "step_100"
    empty.mkdir()
    refused("empty folder", empty, f"{empty} is a folder, and no checkpoint is in it")
    state.mkdir()
    for name in (".metadata", "__0_0.distcp"):
        (state / name).write_bytes(b"PK\x03\x04")
        refused(name, state / name, [f"the training state {state}", TO_INFERENCE])
    refused("training state", state, [f"{state} is a training state", TO_INFERENCE])
    inference = state / "inference_ckpt.pt"
    inference.write_bytes(GOOD.read_bytes())
    refused("shard", state / "__0_0.distcp", f"a part of a training state; give {inference}")
    refused("run", folder, f"{folder} is a folder; give a checkpoint in it, as {inference}")

    code, out, err = run(CONVERT, state, "-o", target)
    check(code == 0 and "UMA-S-1.1" in out, f"a folder of a training: {err}")
    members, _ = read_model(target)
    check(members["source"]["name"] == "inference_ckpt.pt", f"source {members['source']}")
    target.unlink()
    arguments = [state, "-o", inference, "--force"]
    check_refused("onto what a folder holds", CONVERT, arguments, "is the checkpoint itself")
    check(inference.read_bytes() == GOOD.read_bytes(), "the folder's checkpoint was changed")

    release = folder / "UMA" / "checkpoints"
    release.mkdir(parents=True)
    (release / "uma-s-1p1.pt").write_bytes(b"")
    refused("repository", release.parent, f"give a checkpoint in it, as {release}/uma-s-1p1.pt")
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(GOOD) as archive:
        archive.extractall(unpacked)
    refused("unpacked", unpacked, "is an unpacked checkpoint")


if __name__ == "__main__":
    sys.exit(main())
