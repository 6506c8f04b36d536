#!/usr/bin/env python3
"""umas-convert's --half, --elements and --note: what they write, and what they refuse."""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from support import CONVERT, ROOT, Checkpoint, check, check_refused, finish, read_model, run

from umas_convert.elements import SYMBOLS

NOT_EXACT = "tensor backbone.sphere_embedding.weight cannot be stored in 16 bits: number 5, "


def main():
    check_symbols()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rounded, half = folder / "rounded.pt", folder / "half.safetensors"
        write_rounded(rounded)
        check_half(rounded, half, folder / "single.safetensors")
        check_not_exact(folder)
        check_labels(rounded, folder / "labels.safetensors")
    finish()


def check_symbols():
    """The same elements as the library's."""
    source = (ROOT / "core" / "element.c").read_text()
    table = source[source.index("symbols[") : source.index("};")]
    check(re.findall(r'"([A-Z][a-z]?)"', table) == SYMBOLS, "symbols differ from core/element.c")


def write_rounded(path, change=None):
    """uma-1.2.1.pt with every weight rounded to a number that 16 bits hold, the first ones of the
    sphere embedding such as are special among these; `change` replaces its number 5."""
    checkpoint = Checkpoint("uma-1.2.1")
    for name in [name for name in checkpoint.entries if name.startswith("data/")]:
        numbers = np.frombuffer(checkpoint.entries[name], "<f4")
        checkpoint.entries[name] = numbers.astype("<f2").astype("<f4").tobytes()
    sphere = checkpoint.weights["module.backbone.sphere_embedding.weight"]
    entry = f"data/{sphere.storage.key}"
    numbers = np.frombuffer(checkpoint.entries[entry], "<f4").copy()
    numbers[sphere.offset : sphere.offset + 4] = (-0.0, 2.0**-24, 3 * 2.0**-24, -65504)
    if change is not None:
        numbers[sphere.offset + 5] = change
    checkpoint.entries[entry] = numbers.tobytes()
    checkpoint.write(path)


def check_half(source, half, single):
    """The same model, but for the type of its tensors and what follows from it."""
    for target, options in {half: ["--half"], single: []}.items():
        code, _, err = run(CONVERT, source, "-o", target, *options)
        check(code == 0, f"{target.name}: exit status {code}: {err}")
    members, tensors = read_model(half)
    single_members, single_tensors = read_model(single)
    parameters = sum(tensor.size for tensor in tensors.values())
    saved = single.stat().st_size - half.stat().st_size
    check(abs(saved - 2 * parameters) < 1000, f"{saved} bytes saved of {parameters} numbers")
    for name, tensor in tensors.items():
        check(tensor.dtype == np.float16, f"{name} is {tensor.dtype}")
        widened = tensor.astype(np.float32)
        same = np.array_equal(widened.view("u4"), single_tensors[name].view("u4"))
        check(same, f"{name} is not what the checkpoint holds")
    for each in (members, single_members):
        del each["crc32"], each["tensors"]
    check(members == single_members, "the metadata differs")
    check(not {"trained_elements", "note"} & set(members), "labels that were not asked for")


def check_not_exact(folder):
    """A number between two of 16 bits, and ones too small and too large for them."""
    source, target = folder / "in.pt", folder / "out.safetensors"
    for number, text in {0.1: "0.100000001,", 2.0**-26: "1.49011612e-08,", 65520: "65520,"}.items():
        write_rounded(source, number)
        check_refused(f"{number}", CONVERT, [source, "-o", target, "--half"], NOT_EXACT + text)
        check(not list(folder.glob("*out*")), f"{number}: left a file")
        code, _, err = run(CONVERT, source, "-o", folder / "single", "--force")
        check(code == 0, f"{number} without --half: {err}")


def check_labels(source, target):
    note = 'Trained on 3000 structures of "silica", 5 \u00c5'
    code, _, err = run(CONVERT, source, "-o", target, "--elements", "Si,O", "--note", note)
    check(code == 0, f"labels: exit status {code}: {err}")
    members, _ = read_model(target)
    check(members.get("trained_elements") == [8, 14], f"{members.get('trained_elements')}")
    check(members.get("note") == note, f"note {members.get('note')!r}")
    target.unlink()
    check_refused(
        "an element without a row",
        CONVERT,
        [source, "-o", target, "--elements", "Si,Fm"],
        "element Fm is not in the model, which ends at Es",
    )
    check(not target.exists(), "an element without a row: left a file")


if __name__ == "__main__":
    sys.exit(main())
