"""What the tests of umas-convert and umas-random-model share."""

import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

sys.dont_write_bytecode = True

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
CONVERT = ROOT / "tools" / "umas-convert"
RANDOM_MODEL = ROOT / "tools" / "umas-random-model"
sys.path[:0] = [str(ROOT / "tools"), str(GOLDEN)]

from umas_convert.unpickle import Global, Record, StorageReference, TensorReference, load

_counts = {"passed": 0, "failed": 0}


def check(holds, message):
    """Count one check; say what failed."""
    if holds:
        _counts["passed"] += 1
    else:
        _counts["failed"] += 1
        print(f"FAILED: {message}")


def finish():
    """The last line of a test script: its exit status says whether every check passed."""
    print(f"{_counts['passed']} passed, {_counts['failed']} failed")
    sys.exit(0 if _counts["failed"] == 0 and _counts["passed"] > 0 else 1)


def run(program, *arguments):
    """(exit status, stdout, stderr) of one of the tools."""
    done = subprocess.run(
        [sys.executable, str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def check_refused(name, program, arguments, words, status=1):
    """The program must end with this status, one line holding `words`, and no output file."""
    code, out, err = run(program, *arguments)
    check(code == status, f"{name}: exit status {code}, not {status}: {err}")
    check("Traceback" not in err, f"{name}: a traceback: {err}")
    check(out == "", f"{name}: wrote {out!r} to stdout")
    if status == 1:
        check(err.count("\n") == 1, f"{name}: not one line: {err!r}")
    for word in [words] if isinstance(words, str) else words:
        check(word in err, f"{name}: {word!r} is not in {err!r}")


def read_model(path):
    """(members of `__metadata__.umas`, {name: array}), with checksums and layout checked.

    The safetensors package reads the tensors: it shares no code with what wrote them."""
    from safetensors import safe_open

    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    umas = header.pop("__metadata__")["umas"]
    members = json.loads(umas)
    begin = umas.index('"', len('{"crc32":"')) + 1
    check(umas.startswith('{"crc32":"'), f"{path}: crc32 is not the first member")
    check(
        zlib.crc32(umas[begin:].encode()) == int(members["crc32"], 16),
        f"{path}: crc32 of the header",
    )
    offset = 0
    for name, entry in header.items():
        check(entry["data_offsets"][0] == offset, f"{path}: a gap before {name}")
        offset = entry["data_offsets"][1]
        tensor = content[8 + length + entry["data_offsets"][0] : 8 + length + offset]
        check(f"{zlib.crc32(tensor):08x}" == members["tensors"][name], f"{path}: crc32 of {name}")
    check(8 + length + offset == len(content), f"{path}: bytes after the last tensor")
    check(set(members["tensors"]) == set(header), f"{path}: list of tensors")
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    return members, tensors


class Checkpoint:
    """A stored checkpoint taken apart, to be changed and written again.

    fields   the fields of MLIPInferenceCheckpoint, as umas_convert.unpickle gives them
    entries  {name in the zip, without its folder: bytes}
    """

    def __init__(self, name):
        with zipfile.ZipFile(GOLDEN / f"{name}.pt") as archive:
            self.entries = {n.split("/", 1)[1]: archive.read(n) for n in archive.namelist()}
        self.object = load(self.entries["data.pkl"])
        self.fields = self.object.fields

    @property
    def backbone(self):
        return self.fields["model_config"]["backbone"]

    @property
    def head(self):
        return self.fields["model_config"]["heads"]["energyandforcehead"]

    @property
    def tasks(self):
        return self.fields["tasks_config"]

    @property
    def weights(self):
        return self.fields["ema_state_dict"]

    def tensor(self, name, **changes):
        """Replace fields of one tensor's description."""
        old = self.weights["module." + name]
        values = {k: getattr(old, k) for k in ("storage", "offset", "shape", "strides")} | changes
        self.weights["module." + name] = TensorReference(**values)

    def write(self, path, compression=zipfile.ZIP_STORED):
        self.entries["data.pkl"] = pickled(self.object)
        write_zip(path, self.entries, compression)
        return path


def write_zip(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)


class Raw(bytes):
    """Opcodes to put into a pickle as they are."""


def pickled(value):
    """A pickle of protocol 2 with this content."""
    out = io.BytesIO()
    out.write(b"\x80\x02")
    _emit(out.write, value)
    out.write(b".")
    return out.getvalue()


def _text(text):
    content = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


def _global(name):
    module, _, short = name.rpartition(".")
    return b"c" + module.encode() + b"\n" + short.encode() + b"\n"


def _emit(write, value):
    if isinstance(value, Raw):
        write(value)
    elif value is None or isinstance(value, bool):
        write({None: b"N", True: b"\x88", False: b"\x89"}[value])
    elif isinstance(value, int):
        write(b"I" + str(value).encode() + b"\n")
    elif isinstance(value, float):
        write(b"G" + struct.pack(">d", value))
    elif isinstance(value, str):
        write(_text(value))
    elif isinstance(value, Global):
        write(_global(value.name))
    elif isinstance(value, dict):
        write(b"}(")
        for key, item in value.items():
            _emit(write, key)
            _emit(write, item)
        write(b"u")
    elif isinstance(value, (list, tuple)):
        write(b"](" if isinstance(value, list) else b"(")
        for item in value:
            _emit(write, item)
        write(b"e" if isinstance(value, list) else b"t")
    elif isinstance(value, Record):
        # Parents of OmegaConf nodes are left out: they lead back up.
        fields = {k: v for k, v in value.fields.items() if k != "_parent"}
        write(_global(value.name) + b")\x81")
        _emit(write, fields)
        write(b"b")
    elif isinstance(value, StorageReference):
        _emit(write, ("storage", Global(value.type), value.key, "cpu", value.count))
        write(b"Q")
    elif isinstance(value, TensorReference):
        write(_global("torch._utils._rebuild_tensor_v2"))
        write(b"(")
        _emit(write, value.storage)
        for item in (value.offset, value.shape, value.strides, False):
            _emit(write, item)
        write(_global("collections.OrderedDict") + b")Rt" + b"R")
    else:
        raise TypeError(type(value))
