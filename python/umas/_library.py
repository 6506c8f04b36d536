"""The functions and structures of umas.h for ctypes; tests/python holds the layouts to the header.

Calls release Python's lock, so that other threads run meanwhile.
"""

import ctypes
import functools
from ctypes import (
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_size_t,
    c_void_p,
)

from . import _build
from .errors import UmasError
from .installation import library_path

ELEMENTS = 119
CPU, CUDA = 0, 1
DOUBLE, SINGLE, MIXED = 0, 1, 2
OK, NOT_CONVERTED = 0, 2
SPIN_OF_TASK = -1


class Error(Structure):
    _fields_ = [("status", c_int), ("message", c_char * 512), ("row", c_int * 2)]


class Architecture(Structure):
    _fields_ = [
        ("sphere_channels", c_int),
        ("hidden_channels", c_int),
        ("edge_channels", c_int),
        ("layers", c_int),
        ("lmax", c_int),
        ("mmax", c_int),
        ("distance_functions", c_int),
        ("elements", c_int),
        ("experts", c_int),
        ("routing_channels", c_int),
        ("embeddings", c_int),
        ("heads", c_int),
        ("cutoff", c_double),
        ("max_neighbors", c_int),
        ("composition_counts_zero_row", c_int),
        ("charge_channel", c_int * 2),
        ("spin_channel", c_int * 2),
    ]


class Task(Structure):
    _fields_ = [
        ("name", c_char * 64),
        ("embedding", c_int),
        ("head", c_int),
        ("rmsd", c_double),
        ("reference", c_double * ELEMENTS),
        ("spin", c_int),
    ]


class EngineOptions(Structure):
    _fields_ = [
        ("backend", c_int),
        ("precision", c_int),
        ("task", c_char_p),
        ("charge", c_int),
        ("spin", c_int),
        ("device", c_int),
        ("memory_fraction", c_double),
        ("exchange", c_void_p),
        ("transport", c_int),
    ]


class Atoms(Structure):
    _fields_ = [
        ("owned", c_int),
        ("total", c_int),
        ("nodes", c_int),
        ("element", c_void_p),
        ("position", c_void_p),
        ("node", c_void_p),
        ("rows", c_void_p),
        ("first", c_void_p),
        ("neighbour", c_void_p),
        ("list_changed", c_int),
    ]


class Result(Structure):
    _fields_ = [
        ("energy", c_double),
        ("virial", c_double * 6),
        ("edges", c_int64),
        ("crowded", c_int),
        ("force", c_void_p),
        ("atom_energy", c_void_p),
        ("atom_virial", c_void_p),
    ]


STRUCTURES = {
    "umas_error": Error,
    "umas_architecture": Architecture,
    "umas_task": Task,
    "umas_engine_options": EngineOptions,
    "umas_atoms": Atoms,
    "umas_result": Result,
}

_HANDLE = c_void_p
_FUNCTIONS = {  # name: (result, arguments)
    "umas_status_name": (c_char_p, [c_int]),
    "umas_version": (c_char_p, []),
    "umas_backend_built": (c_int, [c_int]),
    "umas_device_count": (c_int, []),
    "umas_model_open": (c_int, [c_char_p, POINTER(_HANDLE), POINTER(Error)]),
    "umas_model_close": (None, [_HANDLE]),
    "umas_model_architecture": (POINTER(Architecture), [_HANDLE]),
    "umas_model_id": (c_char_p, [_HANDLE]),
    "umas_model_note": (c_char_p, [_HANDLE]),
    "umas_model_is_random": (c_int, [_HANDLE]),
    "umas_model_task_count": (c_int, [_HANDLE]),
    "umas_model_task": (POINTER(Task), [_HANDLE, c_int]),
    "umas_engine_default_options": (EngineOptions, []),
    "umas_engine_create": (
        c_int,
        [_HANDLE, POINTER(EngineOptions), POINTER(_HANDLE), POINTER(Error)],
    ),
    "umas_engine_destroy": (None, [_HANDLE]),
    "umas_engine_describe": (None, [_HANDLE, c_char_p, c_size_t]),
    "umas_engine_set_composition": (c_int, [_HANDLE, c_void_p, POINTER(Error)]),
    "umas_engine_evaluate": (c_int, [_HANDLE, POINTER(Atoms), POINTER(Result), POINTER(Error)]),
}


@functools.cache
def library():
    """libumas.so, opened at the first call."""
    path = library_path()
    try:
        opened = ctypes.CDLL(str(path))
    except OSError as problem:
        raise UmasError(f"{path} cannot be loaded: {_reason(str(problem), path)}") from None
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(opened, name)
        function.restype, function.argtypes = result, arguments
    version = opened.umas_version().decode()
    if version != _build.VERSION:
        raise UmasError(
            f"{path} is umas {version}, but its Python package is {_build.VERSION}; install umas "
            "again"
        )
    return opened


def _reason(text, path):
    text = text.removeprefix(f"{path}: ")
    if "GLIBC_" in text:
        return f"{text}; this wheel needs a newer C library: build umas on this machine instead"
    return text


def check(status, error, atoms=()):
    """Raise what the library says is wrong, and with which atoms."""
    if status == OK:
        return
    message = error.message.decode(errors="replace")
    if atoms:
        message += f" (atom{'s' * (len(atoms) > 1)} {' and '.join(map(str, atoms))})"
    raise UmasError(message, library().umas_status_name(status).decode(), atoms)
