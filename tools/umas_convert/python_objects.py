"""Objects of Python's library and of numpy that a configuration may hold, read as plain data.

A script that computes a scale or an element's reference leaves numpy's numbers in a checkpoint, a
training its paths.  Like everything of the pickle they are read without calling what it names: a
number is unpacked from its bytes here, a path becomes its text.
"""

from dataclasses import dataclass

import numpy as np

from . import ModelError

_SCALARS = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}
_ARRAYS = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}
_PATHS = {
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
}
ARRAY = "numpy.ndarray"
CALLS = _SCALARS | _ARRAYS | _PATHS | {"numpy.dtype", "_codecs.encode"}

_NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


@dataclass(eq=False, repr=False)
class NumberType:
    """numpy.dtype of one of _NUMBERS."""

    code: str


@dataclass(eq=False, repr=False)
class Array:
    """numpy.ndarray: nested lists, or one number, once its state is set."""

    values: object = None


def call(name, arguments):
    """What the call of one of CALLS gives; None where no checkpoint gives it such arguments."""
    if name in _PATHS:
        return _path(name, arguments)
    if name == "_codecs.encode":
        if len(arguments) == 2 and type(arguments[0]) is str and arguments[1] == "latin1":
            return arguments[0].encode("latin1")  # how protocol 2 writes bytes
        return None
    if name == "numpy.dtype":
        code = arguments[0] if arguments else None
        return NumberType(code) if isinstance(code, str) and code in _NUMBERS else None
    if name in _ARRAYS:
        return Array() if arguments and getattr(arguments[0], "name", None) == ARRAY else None
    if len(arguments) != 2:
        return None
    return _numbers(arguments[1], arguments[0], (), False)


def set_state(target, state):
    """BUILD of a NumberType or an Array; False where no checkpoint has such a state."""
    if not isinstance(state, tuple):
        return False
    if isinstance(target, NumberType):
        return len(state) >= 2 and state[1] in ("<", "|", "=")
    if len(state) != 5 or not isinstance(state[1], tuple):
        return False
    target.values = _numbers(state[4], state[2], state[1], state[3])
    return target.values is not None


def _numbers(content, kind, shape, by_columns):
    if not isinstance(content, bytes) or not isinstance(kind, NumberType):
        return None
    if any(type(n) is not int or n < 0 for n in shape) or len(shape) > 8:
        return None
    if 0 in shape and len(shape) > 1:
        return None  # few bytes, and as many empty lists as the other numbers say
    size = np.dtype("<" + kind.code).itemsize
    for n in shape:
        size *= n
    if size != len(content):
        raise ModelError(f"malformed pickle: a numpy array of {len(content)} bytes, not {size}")
    array = np.frombuffer(content, "<" + kind.code)
    return array.reshape(shape, order="F" if by_columns else "C").tolist()


def _path(name, parts):
    if not all(isinstance(part, str) for part in parts):
        return None
    separator = "\\" if "Windows" in name else "/"
    text = separator.join(part.rstrip(separator) for part in parts)
    return text or (separator if parts else ".")
