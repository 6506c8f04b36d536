#!/usr/bin/env python3
"""Model files of a few kilobytes to begin fuzzing with: make_seeds.py FOLDER MODEL...

Of every MODEL, a converted checkpoint, stays what it says of itself; widths become the smallest that
its architecture may have, and weights are random."""

import json
import struct
import sys
from pathlib import Path

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from umas_convert.model_file import write_model

ELEMENTS = 15  # H to Si


def members_of(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    members = json.loads(header["__metadata__"]["umas"])
    for written in ("crc32", "format_version", "tensors"):
        del members[written]
    return members


def shrink(members):
    a = members["architecture"]
    a |= {"sphere_channels": 1, "hidden_channels": 1, "edge_channels": 1, "distance_functions": 2}
    a |= {"layers": 1, "elements": ELEMENTS, "experts": min(a["experts"], 2)}
    a["routing_channels"] = min(a["routing_channels"], 1)
    for balanced in ("charge_channels", "spin_channels"):
        a[balanced] = [min(c, 1) for c in a[balanced]]
    for task in members["tasks"]:
        task["references"] = task["references"][:ELEMENTS]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(1)
    for path in sys.argv[2:]:
        members = members_of(path)
        shrink(members)
        if "uma-1.2.1" in path:
            members |= {"trained_elements": [1, 8, ELEMENTS - 1], "note": "for fuzzing"}
        for dtype in ("F32", "F16"):
            write_model(
                folder / f"{Path(path).stem}-{dtype}.safetensors",
                members,
                lambda name, shape: random.standard_normal(shape).astype("<f2").astype("<f4"),
                force=True,
                dtype=dtype,
            )


if __name__ == "__main__":
    main()
