"""Writing the model file that docs/file-format.md describes."""

import contextlib
import json
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

from . import ModelError

FORMAT_VERSION = 1
_WIDTH = {"F32": 4, "F16": 2}  # bytes of a number


def tensor_shapes(architecture):
    """{name: shape} of every tensor of a model, in the order of the file."""
    a = architecture
    c, h, b, z = (a[k] for k in ("sphere_channels", "hidden_channels", "edge_channels", "elements"))
    x, r = a["experts"], a["routing_channels"]
    inputs = a["distance_functions"] + 2 * b
    shapes = {
        "backbone.sphere_embedding.weight": (z, c),
        "backbone.charge_embedding.weight": (201, c),
        "backbone.spin_embedding.weight": (101, c),
        "backbone.dataset_embedding.weight": (a["embeddings"], c),
        "backbone.mix_csd.weight": (c, 3 * c),
        "backbone.mix_csd.bias": (c,),
        "backbone.source_embedding.weight": (z, b),
        "backbone.target_embedding.weight": (z, b),
    }
    if x:
        shapes["backbone.composition_embedding.weight"] = (z, c)
        for i, (rows, columns) in {0: (r, 2 * c), 2: (r, r), 4: (x, r)}.items():
            shapes[f"backbone.routing_mlp.{i}.weight"] = (rows, columns)
            shapes[f"backbone.routing_mlp.{i}.bias"] = (rows,)
    shapes |= _radial("backbone.edge_degree_embedding.rad_func", inputs, b, 3 * c)
    for i in range(a["layers"]):
        shapes |= _layer(f"backbone.blocks.{i}", a, inputs)
    shapes |= {"backbone.norm.affine_weight": (3, c), "backbone.norm.affine_bias": (c,)}
    for i, (rows, columns) in {0: (h, c), 2: (h, h), 4: (1, h)}.items():
        shapes[f"head.energy_block.{i}.weight"] = (a["heads"], rows, columns)
        shapes[f"head.energy_block.{i}.bias"] = (rows,)
    return shapes


def _radial(prefix, inputs, b, outputs):
    return {
        f"{prefix}.net.0.weight": (b, inputs),
        f"{prefix}.net.0.bias": (b,),
        f"{prefix}.net.1.weight": (b,),
        f"{prefix}.net.1.bias": (b,),
        f"{prefix}.net.3.weight": (b, b),
        f"{prefix}.net.3.bias": (b,),
        f"{prefix}.net.4.weight": (b,),
        f"{prefix}.net.4.bias": (b,),
        f"{prefix}.net.6.weight": (outputs, b),
        f"{prefix}.net.6.bias": (outputs,),
    }


def _layer(prefix, a, inputs):
    c, h, x = a["sphere_channels"], a["hidden_channels"], max(a["experts"], 1)
    rows = {1: 5, 2: 6}[a["mmax"]]  # m-major rows of distinct (m >= 0, l)
    k = 2 * c
    conv_1, conv_2 = f"{prefix}.edge_wise.so2_conv_1", f"{prefix}.edge_wise.so2_conv_2"
    shapes = {f"{prefix}.norm_1.affine_weight": (3, c), f"{prefix}.norm_1.affine_bias": (c,)}
    shapes |= _radial(f"{conv_1}.rad_func", inputs, a["edge_channels"], rows * k)
    shapes[f"{conv_1}.fc_m0.weight"] = (x, 5 * h, 3 * k)
    shapes[f"{conv_1}.fc_m0.bias"] = (5 * h,)
    shapes[f"{conv_1}.so2_m_conv.0.fc.weight"] = (x, 4 * h, 2 * k)
    if a["mmax"] == 2:
        shapes[f"{conv_1}.so2_m_conv.1.fc.weight"] = (x, 2 * h, k)
    shapes[f"{conv_2}.fc_m0.weight"] = (x, 3 * c, 3 * h)
    shapes[f"{conv_2}.fc_m0.bias"] = (3 * c,)
    shapes[f"{conv_2}.so2_m_conv.0.fc.weight"] = (x, 4 * c, 2 * h)
    if a["mmax"] == 2:
        shapes[f"{conv_2}.so2_m_conv.1.fc.weight"] = (x, 2 * c, h)
    atom_wise = f"{prefix}.atom_wise"
    return shapes | {
        f"{prefix}.norm_2.affine_weight": (3, c),
        f"{prefix}.norm_2.affine_bias": (c,),
        f"{atom_wise}.scalar_mlp.0.weight": (2 * h, c),
        f"{atom_wise}.scalar_mlp.0.bias": (2 * h,),
        f"{atom_wise}.so3_linear_1.weight": (3, h, c),
        f"{atom_wise}.so3_linear_1.bias": (h,),
        f"{atom_wise}.so3_linear_2.weight": (3, c, h),
        f"{atom_wise}.so3_linear_2.bias": (c,),
    }


def write_model(path, members, tensor, force=False, progress=None, dtype="F32", source=None):
    """Write a model file, whole or not at all; returns its size in bytes.

    members   the members of `__metadata__.umas` but for crc32, format_version and tensors
    tensor    tensor(name, shape) gives the float32 array of that name
    force     replace an existing file
    progress  progress(bytes done, bytes) is called now and then
    dtype     "F32", or "F16", which refuses numbers that it does not hold exactly
    source    the file that the weights come from, which is never replaced
    """
    check_destination(path, force, source)
    path = Path(path)
    shapes = tensor_shapes(members["architecture"])
    begin = len(_header(members, shapes, dict.fromkeys(shapes, 0), dtype))
    total = sum(_bytes(shape, dtype) for shape in shapes.values())
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "xb") as file:
            file.seek(begin)
            checksums = {}
            done = 0
            for name, shape in shapes.items():
                array = _checked(name, tensor(name, shape), shape)
                content = memoryview(_halved(name, array) if dtype == "F16" else array).cast("B")
                checksums[name] = zlib.crc32(content)
                file.write(content)
                done += len(content)
                if progress:
                    progress(done, total)
            file.seek(0)
            file.write(_header(members, shapes, checksums, dtype))
            file.flush()
            os.fsync(file.fileno())
        check_destination(path, force, source)
        os.replace(partial, path)
    except OSError as error:  # of the partial file, whose name means nothing to users
        raise ModelError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):  # it was renamed, or could not be opened
            partial.unlink()
    return begin + total


def check_destination(path, force, source=None):
    """Refuse a name that no model file can have, or whose file would be lost by it.

    A link to a file is replaced, not that file; only a file of the user's choice (force) is."""
    if not str(path):
        raise ModelError("the name of the model file is empty; give one, as in model.safetensors")
    if os.path.isdir(path):
        raise ModelError(
            f"{path} is a folder; name a file in it, as in {Path(path) / 'model.safetensors'}"
        )
    if os.path.exists(path):
        if source is not None and os.path.exists(source) and os.path.samefile(path, source):
            raise ModelError(
                f"{path} is the checkpoint itself, which is not replaced; give the model file "
                "another name"
            )
        if not os.path.isfile(path):
            raise ModelError(
                f"{path} is a device or pipe, which is not replaced; give the model file another "
                "name"
            )
    if os.path.lexists(path) and not force:
        raise ModelError(f"{path} exists already; --force replaces it")
    folder = Path(path) if str(path).endswith(os.sep) else Path(path).parent
    if not folder.is_dir():
        raise ModelError(f"{path} cannot be written: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ModelError(f"{path} cannot be written: no permission to write in folder {folder}")


def _bytes(shape, dtype):
    return _WIDTH[dtype] * int(np.prod(shape, dtype=np.int64))


def _checked(name, array, shape):
    if array.shape != shape:
        raise ModelError(f"tensor {name} has shape {list(array.shape)}, not {list(shape)}")
    array = np.ascontiguousarray(array, dtype="<f4")
    if not np.isfinite(array).all():
        raise ModelError(f"tensor {name} holds a number that is not finite")
    return array


def _halved(name, array):
    """The same numbers in 16 bits, all of them exactly."""
    with np.errstate(over="ignore"):
        half = array.astype("<f2")
    wrong = np.flatnonzero(half != array)
    if wrong.size:
        raise ModelError(
            f"tensor {name} cannot be stored in 16 bits: number {wrong[0]}, "
            f"{array.flat[wrong[0]]:.9g}, would change"
        )
    return half


def _header(members, shapes, checksums, dtype):
    """The file up to its first tensor; its length does not depend on the checksums."""
    tensors = {name: f"{checksums[name]:08x}" for name in shapes}
    body = json.dumps(
        {"format_version": FORMAT_VERSION, **members, "tensors": tensors}, separators=(",", ":")
    )
    rest = "," + body[1:]
    umas = f'{{"crc32":"{zlib.crc32(rest.encode()):08x}"{rest}'
    header = {"__metadata__": {"umas": umas}}
    offset = 0
    for name, shape in shapes.items():
        end = offset + _bytes(shape, dtype)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of eight bytes
    return struct.pack("<Q", len(text)) + text


def meter(program, action, wanted):
    """A progress function that writes percents to stderr, or None when they are not wanted."""
    if not wanted:
        return None
    last = -1

    def show(done, total):
        nonlocal last
        percent = 100 * done // total
        if percent != last:
            last = percent
            end = "\n" if done == total else ""
            print(f"\r{program}: {action} {percent:3d} %", end=end, file=sys.stderr, flush=True)

    return show
