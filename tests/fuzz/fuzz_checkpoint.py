#!/usr/bin/env python3
"""Damaged checkpoints for umas-convert: fuzz_checkpoint.py [--runs N] [--seed N] [FILE].

Each run changes a golden checkpoint in one of three places: the opcodes of its pickle, the values of
its configuration, or the bytes of its zip archive.  Whatever comes out, umas-convert must read it or
refuse it with a ModelError, execute nothing, end, and convert only what the library can load.  The
same seed makes the same runs.  What breaks a promise is written to `finding.pickle`; given as FILE,
it is run once more."""

import argparse
import copy
import io
import math
import os
import pickle
import pickletools
import random
import resource
import signal
import struct
import sys
import traceback
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path, PurePosixPath

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "convert"))

import support
from support import GOLDEN, Global, Record, pickled

from umas_convert import ModelError
from umas_convert.architecture import read_architecture, read_embeddings, read_head, read_model_id
from umas_convert.checkpoint import Checkpoint
from umas_convert.command import _one_line as one_line
from umas_convert.model_file import tensor_shapes
from umas_convert.tasks import read_tasks
from umas_convert.unpickle import ALLOWED, STORAGES, load, plain
from umas_convert.weights import Weights

SECONDS = 20  # of the processor; a run takes a millisecond
MEMORY = 2 * 2**30  # bytes more than after the start
NAMES = sorted(ALLOWED)
FORBIDDEN = {
    *("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "os.remove"),
    *("pickle.find_class", "exec", "compile", "import", "ctypes.dlopen", "socket.connect"),
}


class Executed(BaseException):
    """What was read made Python do something."""


class Endless(BaseException):
    """The time is up."""


# ---- pickles -----------------------------------------------------------------------------------


def small_checkpoints():
    """Golden checkpoints with few references and tensors, and the storages of these."""
    for path in sorted(GOLDEN.glob("*.pt")):
        small = support.Checkpoint(path.stem)
        kept = list(small.weights)[:4]
        for key, value in small.fields.items():
            small.fields[key] = shortened(value)
        small.fields["ema_state_dict"] = {name: small.weights[name] for name in kept}
        yield small


def shortened(value):
    """A configuration with long lists, those of references, cut off."""
    if isinstance(value, Record):
        fields = {key: item for key, item in value.fields.items() if key != "_parent"}
        return Record(value.name, shortened(fields))
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in (value if len(value) <= 12 else value[:6])]
    return value


def opcodes(content):
    """The pickle in pieces of one opcode each."""
    begins = [position for _, _, position in pickletools.genops(content)]
    return [content[a:b] for a, b in zip(begins, [*begins[1:], len(content)])]


def sample_opcodes():
    """Opcodes that the goldens do not have: other protocols, numbers, arrays and paths."""
    values = [
        {"a": [1, 2.5, None, True, b"bytes", "text", 2**40, -(2**70)]},
        np.float32(1.5), np.int64(3), np.arange(6, dtype="<f4").reshape(2, 3), np.float64(2),
        OrderedDict(a=1), PurePosixPath("/a/b"), (1, 2, 3, 4), [[]], {1: {2: {3: []}}},
    ]  # fmt: skip
    return [
        piece
        for value in values
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        for piece in opcodes(pickle.dumps(value, protocol))[:-1]
    ]


def integer(rng):
    size = rng.choice([1, 8, 16, 31, 32, 33, 62, 63, 64, 65, 200])
    return rng.choice([0, 1, -1, 2, 7, rng.getrandbits(size), -rng.getrandbits(size), 2**size])


def text(rng):
    return rng.choice(
        ["", "a", "omat", "omol", "two words", "a\nb", "\x1b[31m", "\x85", "\ud800", "${x}", "???"]
        + ["x" * 70, "x" * 5000, "_target_", "<", "latin1", "f4", "b1", "0", "storage", "\U0001f600"]
    )


def new_value(rng, depth=0):
    """Opcodes that leave one value; calls mostly have arguments of the right kinds."""
    kind = rng.randrange(16 if depth < 4 else 6)
    if kind == 0:
        number = integer(rng)
        return rng.choice([b"I%d\n" % number, b"L%dL\n" % number])
    if kind == 1:
        number = rng.choice([0.0, -0.0, 1.5, math.nan, math.inf, 1e308, 1e-320, rng.random()])
        return b"G" + struct.pack(">d", number)
    if kind in (2, 3):
        content = text(rng).encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(content)) + content
    if kind == 4:
        content = rng.randbytes(rng.choice([0, 1, 4, 8, 24]))
        return b"B" + struct.pack("<I", len(content)) + content
    if kind == 5:
        return rng.choice([b"N", b"\x88", b"\x89", b"]", b"}", b")", name(rng), b"h\x01"])
    items = [new_value(rng, depth + 1) for _ in range(rng.choice([0, 1, 2, 3, 5]))]
    if kind == 6:
        return b"](" + b"".join(items) + b"e"
    if kind == 7:
        return b"(" + b"".join(items) + b"t"
    if kind == 8:
        return b"}(" + b"".join(new_value(rng, 9) + item for item in items) + b"u"
    if kind == 9:
        return name(rng) + b")\x81" + new_value(rng, depth + 1) + b"b"
    if kind == 10:
        return b"(" + b"".join(items) + b"tQ"
    if kind == 11:
        return name(rng) + b"(" + b"".join(items) + b"tR"
    if kind == 12:
        return storage(rng)
    if kind == 13:
        return tensor(rng)
    return numpy_object(rng)


def name(rng):
    module, _, short = rng.choice(NAMES).rpartition(".")
    return b"c" + module.encode() + b"\n" + short.encode() + b"\n"


def storage(rng):
    kind = Global(rng.choice(sorted(STORAGES)))
    whole = pickled(("storage", kind, str(rng.randrange(4)), "cpu", integer(rng)))
    return whole[2:-1] + b"Q"


def tensor(rng):
    dimensions = rng.randrange(4)
    shape = tuple(rng.choice([0, 1, 2, 3, integer(rng)]) for _ in range(dimensions))
    strides = tuple(rng.choice([0, 1, 2, integer(rng)]) for _ in range(dimensions))
    rest = pickled((integer(rng), shape, strides, False))[3:-2]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(rng) + rest + b"tR"


def numpy_object(rng):
    code = rng.choice(["f4", "f8", "i8", "b1", "u2", "O", "V3", "f16", "M8"])
    kind = b"cnumpy\ndtype\n" + pickled((code, False, True))[2:-1] + b"R"
    kind += pickled((3, rng.choice(["<", "|", ">", "="]), None, None, None, -1, -1, 0))[2:-1] + b"b"
    content = rng.randbytes(rng.choice([0, 4, 8, 16, 24]))
    content = b"B" + struct.pack("<I", len(content)) + content
    if rng.random() < 0.4:
        return b"cnumpy._core.multiarray\nscalar\n(" + kind + content + b"tR"
    shape = tuple(rng.choice([0, 1, 2, 3, integer(rng)]) for _ in range(rng.randrange(4)))
    array = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntB\1\0\0\0btR"
    state = b"(I1\n" + pickled(shape)[2:-1] + kind + rng.choice([b"\x88", b"\x89"]) + content
    return array + state + b"tb"


def change_pickle(rng, pieces, pool):
    pieces = list(pieces)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        at = rng.randrange(len(pieces))
        end = min(len(pieces), at + rng.choice([1, 1, 2, 5, 20]))
        kind = rng.randrange(8)
        if kind == 0:
            del pieces[at:end]
        elif kind == 1:
            pieces[at:at] = pieces[at:end] * rng.choice([1, 1, 2, 50])
        elif kind == 2:
            pieces[at:at] = [rng.choice(pool)]
        elif kind == 3:
            pieces[at] = rng.choice(pool)
        elif kind == 4:
            changed = bytearray(pieces[at])
            changed[rng.randrange(len(changed))] = rng.choice([0, 1, 127, 128, 255, 46, 40])
            pieces[at] = bytes(changed)
        elif kind == 5:
            pieces[at:at] = [new_value(rng)]
        else:
            values = [i for i, piece in enumerate(pieces) if piece[:1] in b"XIGN\x88\x89]}"]
            if values:
                pieces[rng.choice(values)] = new_value(rng)
        if not pieces:
            return b"."
    return b"".join(pieces)


# ---- configurations ----------------------------------------------------------------------------


def nodes(value, found):
    """(container, key) of everything in a tree."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        found.append((value, key))
        if isinstance(item, (dict, list)):
            nodes(item, found)
    return found


def any_setting(rng, found):
    kind = rng.randrange(10)
    if kind < 3:
        container, key = rng.choice(found)
        return copy.deepcopy(container[key])
    if kind == 3:
        return integer(rng)
    if kind == 4:
        return text(rng)
    if kind == 5:
        return rng.choice([None, True, False, [], {}, [[]], [None], {"a": 1}, b"bytes"])
    if kind == 6:
        return rng.choice([0.0, -1.0, math.nan, math.inf, 1e308, 1e-320, 0.5])
    if kind == 7:
        return rng.choice([1, 2, 3, 4, 8, 118, 119, 120, 4096, 4097])
    if kind == 8:
        return {"_target_": text(rng), "_args_": [any_setting(rng, found)]}
    return [any_setting(rng, found) for _ in range(rng.randrange(4))]


def change_settings(rng, settings):
    for _ in range(rng.choice([1, 1, 2, 3, 5])):
        found = nodes(settings, [])
        container, key = rng.choice(found)
        kind = rng.randrange(8)
        if kind == 0 and container is not settings:
            del container[key]
        elif kind == 1 and isinstance(container, dict) and container is not settings:
            other = rng.choice(found)[1]
            container[rng.choice([other, text(rng), integer(rng)])] = container.pop(key)
        elif kind == 2 and isinstance(container, dict) and container is not settings:
            container[rng.choice([rng.choice(found)[1], text(rng)])] = any_setting(rng, found)
        elif kind == 3 and isinstance(container, list) and container is not settings:
            container.insert(key, any_setting(rng, found))
        else:
            container[key] = any_setting(rng, found)
    return settings


def read_settings(settings):
    """As umas-convert does, up to the weights."""
    config, tasks_config = settings
    if not isinstance(config, dict) or not isinstance(tasks_config, list):
        return
    members = {"model_id": read_model_id(config), "architecture": read_architecture(config)}
    row, rows = read_embeddings(config)
    head = read_head(config)
    slots = max(head.slot.values()) + 1 if head.slot else 1
    members["architecture"] |= {"embeddings": max(len(rows), 1), "heads": slots}
    elements = members["architecture"]["elements"]
    members["tasks"] = read_tasks(tasks_config, elements, row, head.slot)

    check_loadable(members)
    weights = Weights(None, members["architecture"]["experts"], rows, head, slots)
    if members["architecture"]["layers"] < 5:
        for tensor_name in tensor_shapes(members["architecture"]):
            weights.sources(tensor_name)


def check_loadable(members):
    """What the library asks of the members, by docs/file-format.md and core/model_file/."""
    architecture = members["architecture"]
    for key, value in architecture.items():
        if key in ("charge_channels", "spin_channels"):
            assert 0 <= value[0] <= value[1] <= architecture["sphere_channels"], (key, value)
        elif key == "cutoff":
            assert 0 < value <= 100, value
        elif key != "composition_counts_zero_row":
            assert type(value) is int and 0 <= value < 2**31, (key, value)
    assert architecture["distance_functions"] >= 2 and 2 <= architecture["elements"] <= 119
    assert architecture["embeddings"] <= 4096 and architecture["heads"] <= 4096
    assert_text(members["model_id"], 63)
    assert 1 <= len(members["tasks"]) <= 256, "number of tasks"
    for task in members["tasks"]:
        assert_text(task["name"], 63)
        assert " " not in task["name"] and task["name"], "a task's name"
        assert 0 <= task["embedding"] < architecture["embeddings"], "embedding"
        assert 0 <= task["head"] < architecture["heads"], "head"
        assert math.isfinite(task["rmsd"]) and task["rmsd"] > 0, "rmsd"
        assert len(task["references"]) <= 119, "number of references"
        for z, value in enumerate(task["references"]):
            assert (z > 0 and value is None) or math.isfinite(value), "a reference"


def assert_text(value, most):
    assert isinstance(value, str) and len(value.encode()) <= most, "a long text"
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value), "a control character"


# ---- archives ----------------------------------------------------------------------------------


def archive(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for entry, content in entries.items():
            file.writestr(f"archive/{entry}", content)
    return out.getvalue()


def change_archive(rng, content):
    content = bytearray(content)
    directory = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x05\x06"))
    for _ in range(rng.choice([1, 1, 2, 4])):
        kind = rng.randrange(8)
        at = rng.randrange(len(content))
        if kind == 0:
            del content[at:]
            content += b"\0"
        elif kind == 1:
            del content[at : at + rng.choice([1, 2, 50])]
            content += b"\0"
        else:
            # Names, sizes and places are in the first bytes and in the directory at the end.
            at = rng.choice([at, rng.randrange(60), directory + rng.randrange(100)])
            at = min(at, len(content) - 1)
            content[at] = rng.choice([0, 1, 2, 127, 128, 255, content[at] ^ 1, content[at] ^ 128])
    return bytes(content)


def read_archive(content, path):
    path.write_bytes(content)
    checkpoint = Checkpoint(path)
    for weight in checkpoint.weights:
        checkpoint.array(weight)
    read_settings([checkpoint.model_config, checkpoint.tasks_config])


def read_pickle(content, path):
    found = load(content)
    settings = []
    fields = found.fields if isinstance(found, Record) else {}
    for key in ("model_config", "tasks_config"):
        settings.append(plain(fields.get(key), lambda tensor: [1.0]))
    read_settings(settings)


def read_values(settings, path):
    read_settings(plain(settings, lambda tensor: [1.0]))


# ---- running -----------------------------------------------------------------------------------


class Inputs:
    def __init__(self):
        small = list(small_checkpoints())
        self.pickles = [opcodes(pickled(s.object)) for s in small]
        self.settings = [
            plain([s.fields["model_config"], s.fields["tasks_config"]], lambda t: [1.0])
            for s in small
        ]
        self.archives = []
        for s in small:
            kept = {"data.pkl": pickled(s.object), "byteorder": b"little"}
            for weight in s.weights.values():
                entry = "data/" + weight.storage.key
                kept[entry] = s.entries[entry]
            self.archives.append(archive(kept))
        self.pool = sample_opcodes() + [b"".join(rest) for p in self.pickles for rest in [p[:40]]]

    def change(self, rng):
        """(how it is read, what is read)"""
        kind = rng.randrange(8)
        if kind < 4:
            return read_pickle, change_pickle(rng, rng.choice(self.pickles), self.pool)
        if kind < 7:
            return read_values, change_settings(rng, copy.deepcopy(rng.choice(self.settings)))
        return read_archive, change_archive(rng, rng.choice(self.archives))


_watching = False


def watch(event, _):
    if _watching and event in FORBIDDEN:
        raise Executed(event)


def end(_number, _frame):
    raise Endless(f"more than {SECONDS} s")


def holds(read, what, path):
    """Is the promise kept?  Says what came instead."""
    global _watching
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        _watching = True
        read(what, path)
        return "read"
    except ModelError as error:
        line = one_line(str(error))
        if line and line.isprintable() and len(str(error)) < 10**6:
            return "refused"
        print(f"a message of {len(str(error))} characters: {line}")
    except OSError as error:
        if read is read_archive:
            return "refused"
        traceback.print_exc()
    except (Exception, Executed, Endless):
        _watching = False
        traceback.print_exc()
    finally:
        _watching = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("file", nargs="?", help="a finding to run once more")
    options = parser.parse_args()
    signal.signal(signal.SIGVTALRM, end)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    path = Path(f"fuzzed-{os.getpid()}.pt")
    warnings.simplefilter("error")  # a second line
    "".encode("cp437")  # what zipfile imports when it needs it
    sys.addaudithook(watch)
    if options.file:
        read, what = pickle.loads(Path(options.file).read_bytes())
        sys.exit(0 if holds(globals()[read], what, path) else 1)
    inputs = Inputs()
    for read, what in (
        [(read_pickle, b"".join(p)) for p in inputs.pickles]
        + [(read_values, s) for s in inputs.settings]
        + [(read_archive, a) for a in inputs.archives]
    ):
        if holds(read, what, path) != "read":
            sys.exit(f"an unchanged input is not read by {read.__name__}")
    rng = random.Random(options.seed)
    outcomes = {}
    for run in range(options.runs):
        read, what = inputs.change(rng)
        kept = pickle.dumps((read.__name__, what))
        outcome = holds(read, what, path)
        if outcome is None:
            Path("finding.pickle").write_bytes(kept)
            path.unlink(missing_ok=True)
            sys.exit(f"run {run} of seed {options.seed}: see finding.pickle")
        key = read.__name__, outcome
        outcomes[key] = outcomes.get(key, 0) + 1
    path.unlink(missing_ok=True)
    counts = ", ".join(f"{read} {outcome} {n}" for (read, outcome), n in sorted(outcomes.items()))
    print(f"{options.runs} runs: {counts}")


if __name__ == "__main__":
    main()
