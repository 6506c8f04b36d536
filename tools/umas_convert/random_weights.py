"""Random weights whose dynamics hold together.

Weights drawn independently make a rough energy surface on which atoms fall into each other and
crystals melt at once.  Here two channels of the node features are set by hand and kept clear of the
rest; the head adds both to the energy, and the random weights, damped, add to it what makes
elements, directions, tasks, charge and spin matter.

Density, the last channel: unit 0 of the edge-degree network grows as (1 - r / cutoff)^6 and feeds
it, so that energy rises with the nearness of neighbours: a soft repulsion.

Unity, the channel before: it is 1 on every atom, so that the last norm makes of it one over the
size of all features.  Features of degree 1 and 2 vanish by symmetry on the sites of a simple
crystal and grow when an atom leaves its place; the head counts their size as energy.
"""

import math

import numpy as np

from .random_numbers import symmetric

UNIT = math.sqrt(3)  # a uniform number of (-1, 1) times this has variance 1

# Weights of a layer have deviation 1/sqrt(inputs) times its gain; every part that fits counts.
# Layers that write to the node features are damped: what is set by hand must stay the larger part.
_GAINS = (
    ("rad_func.net.0.", 4.0),
    ("rad_func.net.6.", 2.0),
    ("so2_conv", 1.6),
    ("so2_conv_2", 0.03),
    ("so3_linear_2", 0.1),
    ("energy_block", 1.5),
    ("energy_block.4", 0.6),
)
# What the edge-degree network adds to degree 0, and to degrees 1 and 2, is scaled by this.
_DEGREE_0, _DEGREES_1_2 = 0.1, 10.0

# Size of the density's growth in the radial network and in its output, and of density and unity
# in the energy.
_STEEPNESS, _DENSITY = 8.0, 0.5
_REPULSION, _SYMMETRY = 2.0, -15.0

_RADIAL = "backbone.edge_degree_embedding.rad_func.net."


def random_weight(seed, name, shape, architecture):
    """The float32 array of this name and shape, the same on every machine."""
    array = _independent(seed, name, shape)
    channels = architecture["sphere_channels"]
    density, unity = channels - 1, channels - 2
    by_hand = [unity, density]
    if name.startswith(_RADIAL):
        _grow_towards_short_distances(name[len(_RADIAL) :], array, architecture)
    elif name == "backbone.sphere_embedding.weight":
        array[:, density] = 0
        array[:, unity] = 1
    elif name.startswith("backbone.mix_csd.") or name.endswith(
        (".so2_conv_2.fc_m0.bias", ".so3_linear_2.bias")
    ):
        array[by_hand] = 0
    elif name.endswith(".so2_conv_2.fc_m0.weight"):
        array[:, by_hand] = 0
    elif name.endswith(".so3_linear_2.weight"):
        array[0, by_hand] = 0
    elif name.startswith("head.energy_block."):
        _pass_to_energy(name[len("head.energy_block.") :], array, density, unity)
    return array


def _grow_towards_short_distances(part, array, architecture):
    """Unit 0 of every layer of the edge-degree network, and its output for the density."""
    channels = architecture["sphere_channels"]
    by_hand = slice(channels - 2, channels)
    if part == "0.weight":
        steps = architecture["distance_functions"] - 1
        array[0] = 0
        for k in range(steps):
            cube = ((steps - k) / steps) * ((steps - k) / steps) * ((steps - k) / steps)
            array[0, k] = _STEEPNESS * (cube * cube)
    elif part == "3.weight":
        array[0] = 0
        array[0, 0] = 1
    elif part == "6.weight":
        array[:channels] *= np.float32(_DEGREE_0)
        array[channels:] *= np.float32(_DEGREES_1_2)
        array[by_hand] = 0
        array[channels - 1, 0] = _DENSITY
    elif part == "6.bias":
        array[by_hand] = 0
    else:  # biases, and the scales of the layer norms
        array[0] = 1 if part.endswith("weight") else 0


def _pass_to_energy(part, array, density, unity):
    """Units 0 and 1 of every layer of the head, in every slot."""
    if part == "0.weight":
        array[:, :2] = 0
        array[:, 0, density] = 1
        array[:, 1, unity] = 1
    elif part == "2.weight":
        array[:, :2] = 0
        array[:, 0, 0] = 1
        array[:, 1, 1] = 1
    elif part == "4.weight":
        array[:, 0, :2] = (_REPULSION, _SYMMETRY)
    elif part in ("0.bias", "2.bias"):
        array[:2] = 0


def _independent(seed, name, shape):
    u = symmetric(seed, name, shape)
    if name.endswith("bias"):
        return _scaled(u, 0.1)
    if len(shape) == 1 or "norm" in name:  # scales of a norm
        return np.float32(1) + _scaled(u, 0.1)
    if name == "backbone.sphere_embedding.weight":
        return _scaled(u, 0.9)
    if "embedding.weight" in name:
        return _scaled(u, 0.3)
    gain = math.prod(factor for part, factor in _GAINS if part in name)
    return _scaled(u, gain / math.sqrt(shape[-1]))


def _scaled(u, deviation):
    """u times a number of single precision: exact in double precision, then rounded once."""
    return (u * float(np.float32(deviation * UNIT))).astype(np.float32)
