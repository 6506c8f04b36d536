#!/usr/bin/env python3
"""Hostile and damaged checkpoints: nothing of them runs, and each gets one line."""

import pickle
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

from support import CONVERT, Checkpoint, Raw, check, check_refused, finish, pickled, write_zip

from umas_convert import ModelError
from umas_convert.unpickle import load

REFUSED = "refused: the pickle"


def text(value):
    content = value.encode()
    return b"\x8c" + bytes([len(content)]) + content


def payloads(mark):
    """{name: opcodes that leave one value}; run by Python's pickle, some create the file `mark`."""
    shell = f"touch {mark}"
    python = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    command = b"(" + text(shell) + b"t"
    source = b"(" + text(python) + b"t"
    return {
        "os.system": b"cos\nsystem\n" + command + b"R",
        "posix.system": b"cposix\nsystem\n" + command + b"R",
        "STACK_GLOBAL": text("os") + text("system") + b"\x93" + command + b"R",
        "subprocess": b"csubprocess\ncall\n((" + text("touch") + text(str(mark)) + b"ltR",
        "eval": b"cbuiltins\neval\n" + source + b"R",
        "eval of Python 2": b"c__builtin__\neval\n" + source + b"R",
        "exec": b"cbuiltins\nexec\n" + source + b"R",
        "getattr chain": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n("
        + text("os") + b"tR" + text("system") + b"tR" + command + b"R",
        "INST": b"(" + text(shell) + b"ios\nsystem\n",
        "OBJ": b"(cos\nsystem\n" + text(shell) + b"o",
        "partial": b"cfunctools\npartial\n(cos\nsystem\n" + text(shell) + b"tR)R",
        "import by name": b"cbuiltins\n__import__\n(" + text("antigravity") + b"tR",
        "nested pickle": b"c_pickle\nloads\n(" + b"C\x01." + b"tR",
        "torch.load": b"ctorch.serialization\nload\n(" + text("/etc/passwd") + b"tR",
        "numpy": b"cnumpy.core.multiarray\n_reconstruct\n(tR",
        "dotted name": text("collections") + text("OrderedDict.__init__.__globals__") + b"\x93",
        "name of an allowed module": text("torch._utils") + text("os") + b"\x93",
        "class of an allowed module": b"comegaconf.base\nos\n",
        "extension registry": b"\x82\x01",
        "extension registry, two bytes": b"\x83\x01\x00",
        "extension registry, four bytes": b"\x84\x01\x00\x00\x00",
        "persistent id of text": b"Pos.system\n",
        "other persistent id": b"(" + text("module") + text("os") + b"tQ",
        "persistent id that is no tuple": text("os.system") + b"Q",
        "NEWOBJ_EX": b"ccollections\nOrderedDict\n)}\x92",
        "NEWOBJ of what is not a record": b"ccollections\nOrderedDict\n)\x81",
        "NEWOBJ with arguments": b"comegaconf.nodes\nAnyNode\n(" + text("x") + b"t\x81",
        "call of a type": b"cbuiltins\ndict\n)R",
        "call of a record": b"comegaconf.dictconfig\nDictConfig\n)R",
        "call of text": text("os.system") + b")R",
        "state of a class": b"comegaconf.nodes\nAnyNode\n}(" + text("__setstate__")
        + b"cbuiltins\ndict\nub",
        "state of a list": b"]}b",
        "state that is not a dictionary": b"comegaconf.nodes\nAnyNode\n)\x81" + b"N}\x86b",
        "bytearray": b"\x96" + struct.pack("<Q", 1) + b"x",
        "out-of-band buffer": b"\x97",
        "set": b"\x8f",
    }  # fmt: skip


# Opcodes that make no sense: (opcodes, what the message says)
MALFORMED = {
    "stack underflow": (b"R", "malformed pickle"),
    "missing memo": (b"h\x07", "malformed pickle"),
    "missing mark": (b"t", "malformed pickle"),
    "append to nothing": (b"Na", "malformed pickle"),
    "key without value": (b"}(Nu", "malformed pickle"),
    "key of a list": (b"}(]Nu", "malformed pickle"),
    "end of file": (b"X\xff\xff\xff\x7fabc", "malformed pickle"),
    "no such opcode": (b"\xff", "malformed pickle"),
    "no end": (b"N", "malformed pickle"),
    "name that is not text": (b"NN\x93", "malformed pickle"),
    "ordered dictionary of pairs": (b"ccollections\nOrderedDict\n(]tR", "refused"),
    "tensor without storage": (b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR", "refused"),
    "tensor of too few arguments": (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "malformed pickle"),
}


NUMBER_TYPE = (
    b"cnumpy\ndtype\n(" + text("f4") + b"\x89\x88tR(I3\n" + text("<") + b"NNNI-1\nI-1\nI0\ntb"
)


def array(shape, content=b""):
    """Opcodes of a numpy array of this shape."""
    begin = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR(I1\n("
    sizes = b"".join(b"I%d\n" % n for n in shape)
    return begin + sizes + b"t" + NUMBER_TYPE + b"\x89C" + bytes([len(content)]) + content + b"tb"


# Arrays of no bytes that would be 10^9 empty lists, or have sizes beyond all integers.
MALFORMED |= {
    "array of empty lists": (array([10**9, 0]), "not one of numbers"),
    "array beyond all": (array([0, 10**30]), "not one of numbers"),
    "array of fewer bytes": (array([2, 3], b"1234"), "numpy array of 4 bytes, not 24"),
}


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        check_payloads(folder)
        check_malformed(folder)
        check_nesting(folder)
        check_archives(folder)
    finish()


def check_payloads(folder):
    mark, target = folder / "executed", folder / "out.safetensors"
    live = 0
    for name, opcodes in payloads(mark).items():
        live += runs_in_pickle(opcodes, mark)
        try:
            load(b"\x80\x04" + opcodes + b".")
            check(False, f"{name}, alone: read")
        except ModelError as error:
            check(str(error).startswith("refused"), f"{name}, alone: {error}")
        check_refused(name, CONVERT, [in_task(folder / "in.pt", opcodes), "-o", target], REFUSED)
        check(not mark.exists(), f"{name}: it was executed")
        check(not target.exists(), f"{name}: left a file")
    check(live >= 8, f"only {live} of the payloads are dangerous to Python's own pickle")


def runs_in_pickle(opcodes, mark):
    """Does Python's unpickler execute this?  Shows that a payload is not a dud."""
    if b"touch" not in opcodes:
        return False
    try:
        pickle.loads(b"\x80\x04" + opcodes + b".")
    except Exception:
        pass
    executed = mark.exists()
    mark.unlink(missing_ok=True)
    return executed


def in_task(path, opcodes):
    checkpoint = Checkpoint("uma-1.2.1")
    checkpoint.tasks[3]["metrics"] = [Raw(opcodes)]
    return checkpoint.write(path)


def check_malformed(folder):
    source, target = folder / "in.pt", folder / "out.safetensors"
    for name, (opcodes, words) in MALFORMED.items():
        write_zip(source, {"data.pkl": b"\x80\x04" + opcodes})
        check_refused(name, CONVERT, [source, "-o", target], words)


def check_nesting(folder):
    """Depth that would exhaust a stack, and sharing that would exhaust memory."""
    shared = b"]q\x00" + b"".join(
        b"](" + (b"h" + bytes([k])) * 10 + b"eq" + bytes([k + 1]) for k in range(30)
    )
    # every list is in the next one, and all of them are in one list as well
    chain = b"(]q\x00" + b"".join(b"]h" + bytes([k, 97, 113, k + 1]) for k in range(150)) + b"l"
    cases = {
        "deep list": (b"]" * 200000 + b"a" * 199999, "nested too deeply"),
        "deep tuple": (b")" + b"\x85" * 200000, "nested too deeply"),
        "deep tuple as a key": (b"})" + b"\x85" * 200000 + b"Ns", "malformed pickle"),
        "list in itself": (b"]q\x00h\x00a", "nested too deeply"),
        "10^30 items by reference": (b"(" + shared + b"l", "has over 4194304 items"),
        "deep by reference": (chain, "nested too deeply"),
    }
    for name, (opcodes, words) in cases.items():
        checkpoint = Checkpoint("uma-1.2.1")
        checkpoint.fields["tasks_config"] = Raw(opcodes)
        source = checkpoint.write(folder / "in.pt")
        check_refused(name, CONVERT, [source, "-o", folder / "out.safetensors"], words)


def check_archives(folder):
    source, target = folder / "in.pt", folder / "out.safetensors"
    whole = Checkpoint("uma-1.2.1").write(folder / "whole.pt").read_bytes()

    def refused(name, content, words):
        source.write_bytes(content)
        check_refused(name, CONVERT, [source, "-o", target], words)
        check(not target.exists(), f"{name}: left a file")

    for cut in (1, 3, 4, 30, 100, 1000, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        refused(f"truncated to {cut}", whole[:cut], "in.pt")
    refused("empty", b"", "empty")
    refused("text", b"model_config: {}\n", "no zip archive")
    refused("PyTorch before 1.6", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before 1.6")

    name = "archive/data/3"
    with zipfile.ZipFile(folder / "whole.pt") as archive:
        entry = archive.getinfo(name)
    flipped = bytearray(whole)
    flipped[entry.header_offset + 30 + len(name) + 40] ^= 1
    refused("flipped bit in a tensor", bytes(flipped), "checksum")
    flipped = bytearray(whole)
    flipped[whole.index(b"num_experts")] ^= 1
    refused("flipped bit in the pickle", bytes(flipped), "checksum")

    def changed(name, words, change, compression=zipfile.ZIP_STORED):
        checkpoint = Checkpoint("uma-1.2.1")
        change(checkpoint.entries)
        checkpoint.write(source, compression)
        check_refused(name, CONVERT, [source, "-o", target], words)

    changed("compressed", "compressed", lambda entries: None, zipfile.ZIP_DEFLATED)
    changed("big-endian", "big-endian", lambda entries: entries.update(byteorder=b"big"))
    changed("missing storage", "'data/3'", lambda entries: entries.pop("data/3"))
    changed("short storage", "bytes where", lambda entries: entries.update({"data/3": b"1234"}))
    write_zip(source, {"version": b"3\n"})
    check_refused("no data.pkl", CONVERT, [source, "-o", target], "no data.pkl")
    write_zip(source, {"data.pkl": pickled({"model": 1})})
    check_refused(
        "no checkpoint", CONVERT, [source, "-o", target], "not a fairchem inference checkpoint"
    )
    write_zip(source, {"data.pkl": b"\x80\x02" + b"comegaconf.nodes\nAnyNode\n)\x81."})
    check_refused("other record", CONVERT, [source, "-o", target], "omegaconf.nodes.AnyNode")


if __name__ == "__main__":
    sys.exit(main())
