"""The crystals the data start from: silicon and silica phases at about their own volumes.

Lengths in A, angles in degree. Silica from the usual refinements; silicon's high-pressure phases
near their PBE equilibrium, which is close enough for structures that are strained and rattled.
"""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal


def silicon(phase):
    """A conventional (or the primitive, where it has one atom) cell of a silicon phase."""
    if phase == "diamond":
        return bulk("Si", "diamond", 5.46, cubic=True)
    if phase == "beta-tin":
        sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0, 0.5, 0.25), (0.5, 0, 0.75)]
        return Atoms("Si4", scaled_positions=sites, cell=[4.81, 4.81, 2.65], pbc=True)
    if phase == "simple-hexagonal":
        return Atoms("Si", [(0, 0, 0)], cell=[2.64, 2.64, 2.48, 90, 90, 120], pbc=True)
    if phase in ("sc", "bcc", "fcc"):
        return bulk("Si", phase, {"sc": 2.53, "bcc": 3.09, "fcc": 3.87}[phase])
    if phase == "hcp":
        return bulk("Si", "hcp", 2.74, c=4.47)
    if phase == "lonsdaleite":
        return _crystal("Si", [(1 / 3, 2 / 3, 0.0625)], 194, (3.85, 3.85, 6.36, 90, 90, 120))
    if phase == "bc8":
        return _crystal("Si", [(0.1003, 0.1003, 0.1003)], 206, (6.64, 6.64, 6.64, 90, 90, 90))
    if phase == "clathrate":
        sites = [(0.25, 0, 0.5), (0.1837, 0.1837, 0.1837), (0, 0.3077, 0.1172)]
        return _crystal(["Si"] * 3, sites, 223, (10.23, 10.23, 10.23, 90, 90, 90))
    raise ValueError(f"no silicon phase {phase}")


SILICON_PHASES = (
    "beta-tin",
    "simple-hexagonal",
    "sc",
    "bcc",
    "fcc",
    "hcp",
    "lonsdaleite",
    "bc8",
    "clathrate",
)

# phase -> elements, sites, space group, cell
_SILICA = {
    "alpha-quartz": (
        ["Si", "O"],
        [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.7857)],
        154,
        (4.9134, 4.9134, 5.4052, 90, 90, 120),
    ),
    "beta-quartz": (
        ["Si", "O"],
        [(0.5, 0, 0), (0.2072, 0.4144, 0.5)],
        180,
        (4.9977, 4.9977, 5.4601, 90, 90, 120),
    ),
    "alpha-cristobalite": (
        ["Si", "O"],
        [(0.3003, 0.3003, 0), (0.2392, 0.1044, 0.1787)],
        92,
        (4.9717, 4.9717, 6.9223, 90, 90, 90),
    ),
    "beta-cristobalite": (
        ["Si", "O"],
        [(0, 0, 0), (0.125, 0.125, 0.125)],
        227,
        (7.16, 7.16, 7.16, 90, 90, 90),
    ),
    "tridymite": (
        ["Si", "O", "O"],
        [(1 / 3, 2 / 3, 0.062), (1 / 3, 2 / 3, 0.25), (0.5, 0, 0)],
        194,
        (5.052, 5.052, 8.27, 90, 90, 120),
    ),
    "coesite": (
        ["Si", "Si", "O", "O", "O", "O", "O"],
        [
            (0.1403, 0.1084, 0.0723),
            (0.5068, 0.1580, 0.5396),
            (0, 0, 0),
            (0.5, 0.1164, 0.75),
            (0.2661, 0.1234, 0.9401),
            (0.3115, 0.1038, 0.3280),
            (0.0172, 0.2117, 0.4781),
        ],
        15,
        (7.1356, 12.3692, 7.1736, 90, 120.34, 90),
    ),
    "stishovite": (
        ["Si", "O"],
        [(0, 0, 0), (0.3062, 0.3062, 0)],
        136,
        (4.1772, 4.1772, 2.6651, 90, 90, 90),
    ),
}
SILICA_PHASES = tuple(_SILICA)


def silica(phase):
    """A conventional cell of a silica phase."""
    return _crystal(*_SILICA[phase])


def enlarged(cell, atoms_wanted):
    """`cell` repeated, shortest edge first, while it stays within `atoms_wanted` atoms."""
    repeats = np.ones(3, dtype=int)
    while True:
        shortest = int(np.argmin(np.round(repeats * cell.cell.lengths(), 3)))
        longer = repeats.copy()
        longer[shortest] += 1
        if len(cell) * longer.prod() > atoms_wanted:
            return cell.repeat(repeats)
        repeats = longer


def _crystal(symbols, sites, spacegroup, cell):
    built = crystal(symbols, sites, spacegroup=spacegroup, cellpar=cell)
    return Atoms(built.get_chemical_symbols(), built.positions, cell=built.cell, pbc=True)
