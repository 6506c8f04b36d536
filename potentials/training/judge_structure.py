"""The structure of liquid and glassy silica: pair distribution functions, neighbours, angles."""

import numpy as np

_WIDTH = 0.05  # A, of a bin
_BOND = 2.2  # A: between the first and the second shell of Si-O
_ATOMS = {"Si": 14, "O": 8}
_ANGLES = {"O-Si-O": 14, "Si-O-Si": 8}  # and the atom in the middle
_PAIRS = {"Si-O": (14, 8), "O-O": (8, 8), "Si-Si": (14, 14)}


def structure(numbers, frames, edge):
    """What is seen in `frames`, each [atoms, 3] A, of a cubic cell of this edge.

    g            {pair: pair distribution function} at the distances `r`, up to half the edge
    first_peak   {pair: A}, where g is largest
    neighbours   {atom: [share of these atoms with 0, 1, 2, ... bonds]}
    angles       {triple: [mean, standard deviation] in degree}, of bonds at the middle atom
    """
    bins = np.arange(0.0, 0.5 * edge, _WIDTH)
    shells = 4 / 3 * np.pi * np.diff(bins**3)
    g = {pair: np.zeros(len(shells)) for pair in _PAIRS}
    counts = {atom: [] for atom in _ATOMS}
    angles = {triple: [] for triple in _ANGLES}
    for positions in frames:
        between = positions[None] - positions[:, None]
        between -= edge * np.round(between / edge)
        distances = np.linalg.norm(between, axis=2)
        np.fill_diagonal(distances, np.inf)
        for pair, (first, second) in _PAIRS.items():
            chosen = distances[np.ix_(numbers == first, numbers == second)]
            density = chosen.size / edge**3 * (1 - (first == second) / len(chosen))
            g[pair] += np.histogram(chosen, bins)[0] / (density * shells * len(frames))
        bonded = (distances < _BOND) & (numbers[:, None] != numbers[None])
        for atom, element in _ATOMS.items():
            counts[atom].append(bonded[numbers == element].sum(axis=1))
        directions = between / distances[:, :, None]
        for triple, element in _ANGLES.items():
            for middle in np.flatnonzero(numbers == element):
                angles[triple] += _angles(directions[middle, bonded[middle]])

    middles = 0.5 * (bins[1:] + bins[:-1])
    return {
        "r": middles.round(4).tolist(),
        "g": {pair: values.round(5).tolist() for pair, values in g.items()},
        "first_peak": {pair: middles[np.argmax(values)] for pair, values in g.items()},
        "neighbours": {
            atom: (np.bincount(np.concatenate(parts), minlength=7) / np.size(parts)).tolist()
            for atom, parts in counts.items()
        },
        "angles": {
            triple: [np.mean(values), np.std(values)] for triple, values in angles.items() if values
        },
        "frames": len(frames),
    }


def _angles(directions):
    """Degrees between every two of the unit vectors [bonds, 3]."""
    cosines = (directions @ directions.T)[np.triu_indices(len(directions), 1)]
    return np.degrees(np.arccos(np.clip(cosines, -1, 1))).tolist()
