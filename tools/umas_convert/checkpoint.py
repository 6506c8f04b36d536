"""Opening a fairchem checkpoint: a zip archive of a pickle and of storages, mapped, not copied."""

import hashlib
import math
import mmap
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from . import ModelError
from .given import TRAINING_STATE, describe, describe_archive, describe_object
from .unpickle import CHECKPOINT, Record, TensorReference, in_words, load, plain

_PICKLE_LIMIT = 256 * 2**20  # bytes; release checkpoints have well under one
_DTYPES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "<u2",
}
# What a tensor in the configuration may hold as well.
_INTEGERS = {
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
_CONFIGURED = 2**20  # numbers of all such tensors together; more are no settings
_LARGEST = 2**40  # numbers of a tensor, which may be far more than its storage has


class Checkpoint:
    """A fairchem MLIPInferenceCheckpoint.

    model_config  dict, plain values
    tasks_config  list of dicts, plain values
    weights       name -> TensorReference, the EMA weights, names without "module."
    """

    def __init__(self, path):
        self.path = Path(path)
        with open(self.path, "rb") as file:
            if file.seek(0, 2) == 0:
                raise ModelError(f"{path}: the file is empty")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._entries, self._root = self._directory()
        self._check_byte_order()
        self._storages = {}
        self._configured_numbers = 0
        checkpoint = self._load()
        if not isinstance(checkpoint, Record) or checkpoint.name != CHECKPOINT:
            found = describe_object(checkpoint, in_words(checkpoint))
            raise ModelError(f"{path}: not a fairchem inference checkpoint: {found}")
        self.model_config = self._field(checkpoint, "model_config", dict)
        self.tasks_config = self._field(checkpoint, "tasks_config", list)
        self.weights = self._ema(checkpoint)

    def _load(self):
        content = bytes(self._record("data.pkl", limit=_PICKLE_LIMIT))
        try:
            return load(content)
        except ModelError as error:
            if CHECKPOINT.rpartition(".")[2].encode() in content:
                raise ModelError(f"{self.path}: {error}") from None
            found = TRAINING_STATE if b"unit_state" in content else error
            raise ModelError(
                f"{self.path}: not a fairchem inference checkpoint: {found}"
            ) from None

    def sha256(self, progress=None):
        """SHA-256 of the file in hexadecimal; calls progress(bytes done, bytes) now and then."""
        digest = hashlib.sha256()
        size = len(self._map)
        step = 16 * 2**20
        with memoryview(self._map) as view:
            for begin in range(0, size, step):
                digest.update(view[begin : begin + step])
                if progress:
                    progress(min(begin + step, size), size)
        return digest.hexdigest()

    def array(self, name):
        """The named weight as a float32 array: a view of the file where it is stored as that."""
        view, bfloat = self._view(f"tensor {name}", self.weights[name], _DTYPES)
        if bfloat:
            return (view.astype("<u4") << np.uint32(16)).view("<f4")
        return view.astype("<f4", copy=False)

    def _configured(self, tensor):
        """Numbers of a tensor of the configuration: nested lists, or one number."""
        where = "a tensor of the configuration"
        view, bfloat = self._view(where, tensor, _DTYPES | _INTEGERS)
        self._configured_numbers += view.size
        if self._configured_numbers > _CONFIGURED:
            raise ModelError("tensors of the configuration hold too many numbers for settings")
        if bfloat:
            view = (view.astype("<u4") << np.uint32(16)).view("<f4")
        return view.tolist()

    def _view(self, where, tensor, dtypes):
        """(the numbers of a tensor in the file, are they bfloat16)"""
        storage, bfloat = self._storage(where, tensor.storage, dtypes)
        shape, strides = tensor.shape, tensor.strides
        numbers = (tensor.offset, *shape, *strides)
        if any(type(n) is not int or n < 0 for n in numbers) or len(shape) != len(strides):
            raise ModelError(f"{where}: a negative or malformed offset, size or stride")
        if 0 in shape:
            raise ModelError(f"{where} is empty")
        if len(shape) > 8 or math.prod(shape) > _LARGEST:
            raise ModelError(f"{where} has a malformed shape, {list(shape)}")
        last = tensor.offset + sum((n - 1) * stride for n, stride in zip(shape, strides))
        if last >= len(storage):
            raise ModelError(
                f"{where} reaches number {last} of a storage that has {len(storage)}"
            )
        step = storage.itemsize
        strides = [stride if n > 1 else 0 for n, stride in zip(shape, strides)]
        view = np.lib.stride_tricks.as_strided(
            storage[tensor.offset :], shape, [s * step for s in strides], writeable=False
        )
        return view, bfloat

    def _directory(self):
        """{name: ZipInfo} of the archive and the folder that all of it is in."""
        if bytes(self._map[:8]) == b"\x80\x02\x8a\nl\xfc\x9cF":
            raise ModelError(
                f"{self.path}: written by PyTorch before 1.6; load it with a current PyTorch and "
                "save it again"
            )
        if bytes(self._map[:4]) != b"PK\x03\x04":
            with memoryview(self._map) as content:
                raise ModelError(f"{self.path}: {describe(content)}")
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
            raise ModelError(
                f"{self.path}: truncated or damaged zip archive ({error}); download or copy it "
                "again"
            ) from None
        by_name = {entry.filename: entry for entry in entries}
        if len(by_name) != len(entries):
            raise ModelError(f"{self.path}: the zip archive holds a name twice")
        roots = [name[: -len("data.pkl")] for name in by_name if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ModelError(f"{self.path}: {describe_archive(by_name)}")
        if roots[0] + "constants.pkl" in by_name:
            raise ModelError(f"{self.path}: a TorchScript program; give its model's checkpoint")
        return by_name, roots[0]

    def _check_byte_order(self):
        if self._root + "byteorder" in self._entries:
            order = bytes(self._record("byteorder", limit=16))
            if order != b"little":
                raise ModelError(
                    f"{self.path}: its numbers are {order.decode('ascii', 'replace')}-endian"
                )

    def _record(self, name, limit=None):
        """The bytes of one entry, checked against their CRC-32, as a view of the map."""
        entry = self._entries.get(self._root + name)
        if entry is None:
            raise ModelError(f"{self.path}: the archive has no entry {name!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ModelError(
                f"{self.path}: entry {name!r} is compressed or encrypted; give the file as "
                "PyTorch wrote it"
            )
        if limit is not None and entry.file_size > limit:
            raise ModelError(f"{self.path}: entry {name!r} has {entry.file_size} bytes, too many")
        header = bytes(self._map[entry.header_offset : entry.header_offset + 30])
        if len(header) != 30 or header[:4] != b"PK\x03\x04":
            raise ModelError(f"{self.path}: damaged zip archive at entry {name!r}")
        begin = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        record = memoryview(self._map)[begin : begin + entry.file_size]
        if len(record) != entry.file_size or entry.compress_size != entry.file_size:
            raise ModelError(f"{self.path}: truncated at entry {name!r}")
        if zlib.crc32(record) != entry.CRC:
            raise ModelError(f"{self.path}: damaged, entry {name!r} does not have its checksum")
        return record

    def _storage(self, where, reference, dtypes):
        """(numbers, are they bfloat16) of a storage, read and checked once."""
        if reference.type not in dtypes:
            raise ModelError(f"{where} is of type {reference.type}, not of floating point")
        if reference not in self._storages:
            dtype = np.dtype(dtypes[reference.type])
            record = self._record("data/" + reference.key)
            if len(record) != reference.count * dtype.itemsize:
                raise ModelError(
                    f"{where}: its storage has {len(record)} bytes where {reference.count} "
                    f"numbers are declared"
                )
            self._storages[reference] = np.frombuffer(record, dtype)
        return self._storages[reference], reference.type == "torch.BFloat16Storage"

    def _field(self, checkpoint, name, kind):
        if name not in checkpoint.fields:
            raise ModelError(f"{self.path}: the checkpoint has no {name}")
        value = plain(checkpoint.fields[name], self._configured)
        if not isinstance(value, kind):
            raise ModelError(f"{self.path}: {name} is not {in_words(kind())}")
        return value

    def _ema(self, checkpoint):
        state = checkpoint.fields.get("ema_state_dict")
        if not isinstance(state, dict) or not any(name != "n_averaged" for name in state):
            raise ModelError(
                f"{self.path}: the checkpoint has no EMA weights (ema_state_dict), which UMA is "
                "evaluated with"
            )
        weights = {}
        for name, tensor in state.items():
            if name == "n_averaged":
                continue
            if not isinstance(name, str) or not isinstance(tensor, TensorReference):
                raise ModelError(f"{self.path}: ema_state_dict entry {name!r} is not a tensor")
            while name.startswith("module."):
                name = name[len("module.") :]
            weights[name] = tensor
        return weights
