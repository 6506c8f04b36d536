"""umas-random-model: its command line, and the model file with random weights that it writes, the
same bytes on every machine."""

import argparse
import sys

try:
    import numpy  # noqa: F401 - what the modules below need, with a hint where it is missing
except ImportError:
    sys.exit("umas-random-model: needs numpy (python3 -m pip install numpy)")

from . import VERSION
from .command import run
from .model_file import check_destination, meter, write_model
from .random_numbers import symmetric
from .random_weights import random_weight

PROGRAM = "umas-random-model"
DESCRIPTION = """\
Write a model file of UMA-S' architecture with random weights, to run and test umas without Meta's
gated weights.  A soft repulsion between all atoms is built in, so that crystals hold together at
300 K, with forces of order 0.1 to 1 eV/A, and atoms do not fall into each other.  Beyond that its
energies mean nothing: no material behaves like it.

The same options give the same bytes on every machine and with every version of numpy."""

TASKS_OF_1_1 = ("oc20", "odac", "omat", "omc", "omol")
TASKS_OF_1_2 = ("oc20", "oc22", "oc25", "odac", "omat", "omc", "omol")
ELEMENTS = 100


def main():
    options = parse()
    run(PROGRAM, lambda: write(options))


def parse():
    parser = argparse.ArgumentParser(
        PROGRAM, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    integer = {"type": int, "metavar": "N"}
    parser.add_argument("output", metavar="OUT.safetensors", help="the model file to write")
    parser.add_argument("--seed", default=1, help="of the random numbers (1)", **integer)
    parser.add_argument(
        "--version", default="1.2.1", choices=["1.1", "1.2", "1.2.1"], help="of UMA-S (1.2.1)"
    )
    parser.add_argument("--channels", default=128, help="sphere channels (128)", **integer)
    parser.add_argument("--hidden", help="hidden channels (as --channels)", **integer)
    parser.add_argument("--edge-channels", help="edge channels (as --channels)", **integer)
    parser.add_argument("--layers", default=4, help="layers (4)", **integer)
    parser.add_argument("--mmax", default=2, type=int, choices=[1, 2], help="largest order m (2)")
    parser.add_argument("--experts", default=8, help="experts, 0 for a dense model (8)", **integer)
    parser.add_argument(
        "--distance-functions",
        help="Gaussians of the distance basis (32 for 1.2.1, else 64)",
        **integer,
    )
    parser.add_argument(
        "--spin-balanced", action="store_true", help="balance channels 3 and 4 to the spin"
    )
    parser.add_argument("--force", action="store_true", help="replace OUT.safetensors if it exists")
    options = parser.parse_args()
    limits = {
        "seed": (0, 2**63 - 1),
        "channels": (7, 4096),
        "hidden": (2, 4096),
        "edge_channels": (1, 4096),
        "layers": (1, 256),
        "experts": (0, 4096),
        "distance_functions": (2, 4096),
    }
    for name, (smallest, largest) in limits.items():
        value = getattr(options, name)
        if value is not None and not smallest <= value <= largest:
            parser.error(f"--{name.replace('_', '-')} {value} is not in {smallest}..{largest}")
    return options


def write(options):
    """Do it; returns a line that sums it up."""
    check_destination(options.output, options.force)
    names = TASKS_OF_1_1 if options.version == "1.1" else TASKS_OF_1_2
    one_head = options.version == "1.1"  # that release has one head for all data sets
    members = {
        "model_id": f"UMA-S-{options.version}",
        "converter": f"{PROGRAM} {VERSION}",
        "source": {"name": f"random, seed {options.seed}", "sha256": "0" * 64},
        "random": True,
        "architecture": architecture(options, len(names), 1 if one_head else len(names)),
        "tasks": [task(options.seed, name, row, one_head) for row, name in enumerate(names)],
    }
    size = write_model(
        options.output,
        members,
        lambda name, shape: random_weight(options.seed, name, shape, members["architecture"]),
        options.force,
        meter(PROGRAM, "writing", sys.stderr.isatty()),
    )
    kind = f"random UMA-S-{options.version}"
    return f"{options.output}: {kind}, {size / 1e6:.1f} MB; its energies mean nothing"


def architecture(options, embeddings, heads):
    newest = options.version == "1.2.1"
    return {
        "sphere_channels": options.channels,
        "hidden_channels": options.hidden or options.channels,
        "edge_channels": options.edge_channels or options.channels,
        "layers": options.layers,
        "lmax": 2,
        "mmax": options.mmax,
        "distance_functions": options.distance_functions or (32 if newest else 64),
        "elements": ELEMENTS,
        "experts": options.experts,
        "routing_channels": 2 * options.experts,
        "embeddings": embeddings,
        "heads": heads,
        "cutoff": 6.0,
        "composition_counts_zero_row": options.version == "1.2" and options.experts > 0,
        "charge_channels": [0, 3] if newest else [0, 0],
        "spin_channels": [3, 5] if options.spin_balanced else [0, 0],
    }


def task(seed, name, row, one_head):
    references = 8 * symmetric(seed, f"references {name}", [ELEMENTS])
    return {
        "name": name,
        "embedding": row,
        "head": 0 if one_head else row,
        "rmsd": float(1.5 + 0.25 * symmetric(seed, f"rmsd {name}", [1])[0]),
        "references": references.tolist(),
    }
