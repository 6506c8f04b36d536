"""Model files from the names that users give: a .pt is converted once, and the result kept.

It is kept in UMAS_CACHE, else in umas/ of XDG_CACHE_HOME, else in ~/.cache/umas, under a name that
changes with the checkpoint's path, size and time of change.
"""

import hashlib
import os
import sys
import threading
from pathlib import Path

from umas_convert import VERSION, ModelError
from umas_convert.conversion import convert

from .engine import Model
from .errors import UmasError

_converting = threading.Lock()


def open_model(path):
    """The Model of a model file or a checkpoint."""
    try:
        return Model.open(path)
    except UmasError as problem:
        if problem.status != "not converted":
            raise
    return Model.open(converted(path))


def cache_folder():
    if "UMAS_CACHE" in os.environ:
        return Path(os.environ["UMAS_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "umas"


def converted(checkpoint):
    """Path of the model file that the checkpoint is converted to, unless it was before."""
    checkpoint = Path(checkpoint).resolve()
    found = checkpoint.stat()
    identity = f"{checkpoint}\n{found.st_size}\n{found.st_mtime_ns}\n{VERSION}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:16]
    model = cache_folder() / f"{checkpoint.stem}-{key}.safetensors"
    with _converting:
        if not model.exists():
            summary = _convert(checkpoint, model)
            print(f"umas: converted {checkpoint} to {summary}", file=sys.stderr)
    return model


def _convert(checkpoint, model):
    try:
        model.parent.mkdir(parents=True, exist_ok=True)
        return convert(checkpoint, model, force=True)
    except ModelError as problem:
        raise UmasError(str(problem), "not converted") from None
    except OSError as problem:
        raise UmasError(
            f"{problem.filename or model}: {problem.strerror}; set UMAS_CACHE to a folder that can "
            f"be written to, or convert once: umas-convert {checkpoint} -o OUT.safetensors"
        ) from None
