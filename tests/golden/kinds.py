"""What the checkpoints of this folder are: kinds, weights and references, without fairchem.

make_goldens.py builds the checkpoints from this; tests work out from it what a conversion must
give.  Weights come from the project's own generator, so that a name has the same weights whatever
the version of torch.
"""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from umas_convert.random_numbers import symmetric

UMA = "fairchem.core.models.uma."
MIXTURE_HEAD = "escn_moe.DatasetSpecificMoEWrapper"
SINGLE_HEAD = "escn_moe.DatasetSpecificSingleHeadWrapper"
PLAIN_HEAD = "escn_md.MLP_EFS_Head"
OF_1_1 = ("oc20", "odac", "omat", "omc", "omol")
OF_1_2 = ("oc20", "oc22", "oc25", "odac", "omat", "omc", "omol")
RMSD = 1.423  # eV, that of the releases


@dataclass
class Kind:
    """What sets one checkpoint apart."""

    version: str
    names: tuple = OF_1_2
    mapping: dict = None  # data-set names that share embeddings and heads
    head: str = MIXTURE_HEAD
    omegaconf: bool = False
    views: bool = False  # store tensors as views of larger ones, and in other precisions
    backbone: dict = field(default_factory=dict)


SHARED = {
    "omat": "omat",
    "omat_surface": "omat",
    "omol": "omol",
    "omol_ion": "omol",
    "odac": "odac",
}
KINDS = {
    "uma-1.1": Kind("1.1", OF_1_1, head=SINGLE_HEAD),
    "uma-1.2": Kind("1.2"),
    "uma-1.2.1": Kind("1.2.1", backbone={"num_experts": 3}),
    "uma-1.2.1-mmax1": Kind("1.2.1", backbone={"mmax": 1}),
    "uma-1.2.1-spin": Kind("1.2.1", backbone={"spin_balanced_channels": [4, 3]}),
    "uma-1.2.1-nearest": Kind("1.2.1", backbone={"max_neighbors": 20}),
    "finetune": Kind("1.2.1", tuple(SHARED), mapping=SHARED, omegaconf=True, views=True),
    "dense": Kind("1.2.1", ("omat", "omol"), head=PLAIN_HEAD, backbone={"num_experts": 0}),
}


CHANNELS, HIDDEN, EDGE_CHANNELS, LAYERS, GAUSSIANS, ELEMENTS = 8, 6, 10, 2, 12, 100


def references(name):
    """[101] eV per atom by atomic number."""
    return (8 * symmetric(1, f"references {name}", [101])).tolist()


def weight(name, shape):
    """float64 weights that keep activations near one and give forces of 0.1 to 1 eV/A."""
    u = symmetric(1, name, shape) * math.sqrt(3)  # of unit variance
    if "norm" in name and "weight" in name or name.endswith(("net.1.weight", "net.4.weight")):
        return 1 + 0.1 * u
    if len(shape) < 2:
        return 0.1 * u
    if "_embedding." in name and "edge_degree" not in name:
        return 0.3 * u
    gain = {"rad_func.net.0": 2.0, "rad_func.net.6": 2.0, "energy_block": 1.5}
    for part, factor in gain.items():
        if part in name:
            u = u * factor
    return u / math.sqrt(shape[-1])
