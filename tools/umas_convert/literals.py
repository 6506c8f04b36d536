"""Numbers as a configuration writes them: plain, or as calls of torch that make tensors of them."""

import math

import numpy as np

from . import ModelError

# What hydra calls -> does it round to single precision?
_TENSORS = {
    "torch.DoubleTensor": False,
    "torch.FloatTensor": True,
    "torch.Tensor": True,
    "torch.tensor": True,
}
_HYDRA = ("_convert_", "_recursive_")  # how hydra makes the arguments, not what they are


def arguments(call, names, where):
    """{name: value} of what hydra calls _target_ with; `names` are those of its parameters."""
    target = str(call.get("_target_")).rpartition(".")[2]
    positional = call.get("_args_", [])
    if not isinstance(positional, list) or len(positional) > len(names):
        raise ModelError(f"{where}: {target} with arguments {positional!r} is not supported")
    given = dict(zip(names, positional))
    for key, value in call.items():
        if key in ("_target_", "_args_", *_HYDRA):
            continue
        if key not in names or key in given:
            raise ModelError(f"{where}: {target} with {key} {value!r} is not supported")
        given[key] = value
    return given


def numbers(value, where):
    """`value`, a number or nested lists of them, with calls of torch replaced by their result."""
    if not isinstance(value, dict):
        return value
    target = value.get("_target_")
    if not isinstance(target, str) or target not in _TENSORS:
        raise ModelError(f"{where} from {target!r} are not supported")
    given = arguments(value, ["data"], where).get("data")
    return _single(given) if _TENSORS[target] else given


def number(value, where):
    """The one number that `value` is or holds, as tensors of one number do."""
    found = numbers(value, where)
    while isinstance(found, list) and len(found) == 1:
        found = found[0]
    return found


def finite(value):
    return type(value) in (int, float) and math.isfinite(value)


def _single(value):
    if isinstance(value, list):
        return [_single(item) for item in value]
    with np.errstate(over="ignore"):  # to infinity, which is refused like any other
        return float(np.float32(value)) if type(value) is float else value
