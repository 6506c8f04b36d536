"""What is given instead of a checkpoint: finding the file that is meant, or saying what it is."""

import re
from pathlib import Path

from . import ModelError

INFERENCE = "inference_ckpt.pt"  # what fairchem's training writes beside its own state
HOW_TO_GET = "potentials/README.md says how to get it"
TO_INFERENCE = (
    "convert_train_checkpoint_to_inference_checkpoint of fairchem.core.units.mlip_unit.mlip_unit "
    "makes an inference checkpoint of it"
)
TRAINING_STATE = f"it is a training state; {TO_INFERENCE}"

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"(\xb5/\xfd": "zstd",
    b"7z\xbc\xaf'\x1c": "7z",
    b"Rar!": "rar",
}


def find_checkpoint(given):
    """The path of the checkpoint that the user means."""
    path = Path(given)
    if not given:
        raise ModelError("the name of the checkpoint is empty")
    if path.is_dir():
        return _in_folder(path)
    if not path.exists():
        raise ModelError(_missing(given))
    if not path.is_file():
        raise ModelError(f"{given} is a device or pipe; the checkpoint must be a file")
    if path.suffix == ".distcp" or path.name == ".metadata":
        beside = path.parent / INFERENCE
        if beside.exists():
            raise ModelError(f"{given} is a part of a training state; give {beside}")
        raise ModelError(f"{given} is a part of the training state {path.parent}; {TO_INFERENCE}")
    return path


def _in_folder(folder):
    if (folder / INFERENCE).is_file():
        return folder / INFERENCE
    deeper = [found for depth in ("*", "*/*") for found in folder.glob(f"{depth}/{INFERENCE}")]
    if deeper:
        newest = max(deeper, key=lambda found: (found.stat().st_mtime, str(found)))
        raise ModelError(f"{folder} is a folder; give a checkpoint in it, as {newest}")
    if (folder / ".metadata").exists() or any(folder.glob("*.distcp")):
        raise ModelError(f"{folder} is a training state without {INFERENCE}; {TO_INFERENCE}")
    if any(folder.glob("data.pkl")) or any(folder.glob("*/data.pkl")):
        raise ModelError(f"{folder} is an unpacked checkpoint; give the .pt file as it was")
    for pattern in ("*.pt", "*/*.pt"):
        for found in sorted(folder.glob(pattern)):
            raise ModelError(f"{folder} is a folder; give a checkpoint in it, as {found}")
    raise ModelError(f"{folder} is a folder, and no checkpoint is in it")


def _missing(given):
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", given):
        return f"{given} is an address; download the checkpoint and give the file: {HOW_TO_GET}"
    if Path(given + ".pt").is_file():
        return f"there is no file {given}; give {given}.pt"
    if re.fullmatch(r"uma-m\b.*", given):
        return f"there is no file {given}, and UMA-M (lmax 4) is not supported; UMA-S is"
    if re.fullmatch(r"(uma|esen)-[a-z0-9-]+", given):
        return f"{given} is a model's name, and there is no such file; give its .pt: {HOW_TO_GET}"
    if re.fullmatch(r"facebook/[\w.-]+", given):
        return f"{given} is a repository, and there is no such file; give a .pt of it: {HOW_TO_GET}"
    return f"{given}: No such file or directory"


def describe(content):
    """What a file is that is no zip archive, and what to do; `content` is a view of its bytes."""
    head = bytes(content[:4096])
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file it points to; fetch that with 'git lfs pull'"
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            return f"compressed with {name}; unpack it first"
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it first"
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 8 + header <= len(content):
        if b'{"umas":"{' in head[8 : 8 + header]:
            return "a converted model already; use it as it is (umas-info shows what it holds)"
        return "weights in safetensors, without the model's configuration; give the .pt checkpoint"
    if not any(head):
        return "an incomplete download (it begins with zeros); download it again"
    return _describe_text(head) or "not a PyTorch checkpoint (no zip archive)"


def _describe_text(head):
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    start = text[:100].lower()
    if start.startswith(("<!doctype html", "<html")):
        return f"a web page, not the checkpoint behind it; {HOW_TO_GET}"
    printable = text[:60].split("\n")[0].rstrip("\r")
    if not printable.isprintable() or "\ufffd" in printable or len(printable) < 8:
        return None
    if start.startswith(("{", "[")):
        return f"a JSON text, such as a server's answer ({printable}); {HOW_TO_GET}"
    return f"a text ({printable}), not a PyTorch checkpoint (no zip archive)"


def describe_archive(names):
    """What a zip archive is that is no PyTorch checkpoint; `names` are those of its entries."""
    for name in names:
        if name.endswith((".pt", ".pth")):
            return f"a zip archive of {name}; unpack it and give that"
    if any(name.endswith((".distcp", ".metadata")) for name in names):
        return f"a zipped training state; unpack it, and {TO_INFERENCE}"
    if any(name.endswith(".npy") for name in names):
        return "a numpy archive, not a PyTorch checkpoint (no data.pkl)"
    return "a zip archive, but not a PyTorch checkpoint (no data.pkl)"


def describe_object(value, kind):
    """What a PyTorch file holds in place of a checkpoint; `kind` says it in words."""
    if not isinstance(value, dict):
        return f"it holds {kind}"
    if "unit_state" in value:
        return TRAINING_STATE
    if {"optimizer", "optimizer_state_dict", "optimizer_states"} & set(value):
        return "it is the state of a training; save the model for inference with fairchem"
    if {"state_dict", "model_state_dict"} & set(value):
        return "it holds weights as fairchem 1 or another program saves them"
    return "it holds a dictionary, perhaps weights alone without the model's configuration"
