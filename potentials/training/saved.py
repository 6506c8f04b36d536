"""Files that torch.save wrote, told from others before anything is done with them."""

import pickle
from pathlib import Path

import torch


def load_saved(path, writer, belongs, device="cpu", weights_only=True):
    """What `writer`, a program here, left at `path`; `belongs(content)` knows its files."""
    if not Path(path).is_file():
        raise SystemExit(f"{path}: no such file; {writer} writes it")
    try:
        content = torch.load(path, map_location=device, weights_only=weights_only)
        known = belongs(content)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError):
        known = False
    if not known:
        raise SystemExit(f"{path}: not what {writer} writes")
    return content
