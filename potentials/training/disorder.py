"""Starting structures without order: packings, clusters, molecules, and crystals cut or damaged.

Lengths in A, densities in g/cm^3. `random` is always a numpy Generator.
"""

import numpy as np
from ase import Atoms
from ase.build import molecule, surface
from ase.data import atomic_masses
from ase.geometry import find_mic

from crystals import enlarged, silica, silicon

GRAM_PER_CM3 = 1.66053907  # of one atomic mass unit per A^3
_CORES = {(8, 8): 2.10, (8, 14): 1.50, (14, 14): 2.30}  # A, least distances of a packing

# one or two atoms: the bond length, 0 for one atom
_SMALL = {"O": 0.0, "Si": 0.0, "O2": 1.23, "Si2": 2.25, "SiO": 1.53}
MOLECULES = ("O", "Si", "O2", "Si2", "SiO", "O3", "SiO2", "Si3", "Si2O2", "SiO4")


def of_pairs(values, numbers):
    """[n, n]: for every pair of atoms what `values`, {(lower, higher atomic number): x}, has."""
    table = np.zeros((15, 15))
    for (first, second), value in values.items():
        table[first, second] = table[second, first] = value
    return table[np.ix_(numbers, numbers)]


def random_packing(silicons, oxygens, density, random, shrink=1.0):
    """Atoms at random in a cubic periodic cell, pushed apart to `shrink` times their cores."""
    numbers = np.array([14] * silicons + [8] * oxygens)
    mass = atomic_masses[numbers].sum()
    edge = (mass * GRAM_PER_CM3 / density) ** (1.0 / 3.0)
    atoms = Atoms(numbers, random.random((len(numbers), 3)) * edge, cell=[edge] * 3, pbc=True)
    _push_apart(atoms, shrink)
    return atoms


def random_cluster(silicons, oxygens, random, shrink=1.0, edge=13.0):
    """A few atoms in a lump inside a box with vacuum around."""
    numbers = np.array([14] * silicons + [8] * oxygens)
    radius = 1.2 * len(numbers) ** (1.0 / 3.0)
    positions = random.normal(size=(len(numbers), 3)) * 0.6 * radius + 0.5 * edge
    atoms = Atoms(numbers, positions, cell=[edge] * 3, pbc=True)
    _push_apart(atoms, shrink)
    return atoms


def small_molecule(name, edge=13.0):
    """A molecule or an atom near its equilibrium geometry, in a box."""
    if name in _SMALL:
        length = _SMALL[name]
        atoms = Atoms(name, [(0, 0, 0), (0, 0, length)] if length else [(0, 0, 0)])
    elif name == "O3":
        atoms = Atoms("O3", molecule("O3").positions)
    elif name == "SiO2":
        atoms = Atoms("OSiO", [(-1.53, 0, 0), (0, 0, 0), (1.53, 0, 0)])
    elif name == "Si3":
        atoms = Atoms("Si3", [(0, 0, 0), (2.3, 0, 0), (1.15, 2.0, 0)])
    elif name == "Si2O2":
        atoms = Atoms("Si2O2", [(1.2, 0, 0), (-1.2, 0, 0), (0, 1.17, 0), (0, -1.17, 0)])
    elif name == "SiO4":
        corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) * 1.62 / 3**0.5
        atoms = Atoms("SiO4", np.vstack([np.zeros((1, 3)), corners]))
    else:
        raise ValueError(f"no molecule {name}")
    atoms.set_cell([edge] * 3)
    atoms.pbc = True
    atoms.center()
    return atoms


def pair(symbols, distance, edge=14.0):
    """Two atoms at `distance` in a box."""
    centre = 0.5 * edge
    positions = [
        (centre - 0.5 * distance, centre, centre),
        (centre + 0.5 * distance, centre, centre),
    ]
    return Atoms(symbols, positions, cell=[edge] * 3, pbc=True)


def defect(kind, random):
    """A crystal of about 60 atoms with one atom taken out, put in, or moved to the other kind."""
    if kind.startswith("silicon"):
        atoms = enlarged(silicon("diamond"), 64)
        oxygen = []
    else:
        atoms = enlarged(silica("alpha-quartz"), 72)
        oxygen = np.nonzero(atoms.numbers == 8)[0]
    if kind == "silicon-vacancy":
        del atoms[int(random.integers(len(atoms)))]
    elif kind == "silicon-interstitial":
        _insert(atoms, 14, random)
    elif kind == "silicon-oxygen":
        _insert(atoms, 8, random)
    elif kind == "silica-oxygen-vacancy":
        del atoms[int(random.choice(oxygen))]
    elif kind == "silica-silicon-vacancy":
        del atoms[int(random.choice(np.nonzero(atoms.numbers == 14)[0]))]
    elif kind == "silica-oxygen-interstitial":
        _insert(atoms, 8, random)
    else:
        raise ValueError(f"no defect {kind}")
    return atoms


DEFECTS_OF_SILICON = ("silicon-vacancy", "silicon-interstitial", "silicon-oxygen")
DEFECTS_OF_SILICA = (
    "silica-oxygen-vacancy",
    "silica-oxygen-interstitial",
    "silica-silicon-vacancy",
)


def slab(material, miller, layers, repeat, vacuum=10.0):
    """A periodic slab with `vacuum` above it; silica is cut from beta-cristobalite."""
    crystal = silicon("diamond") if material == "silicon" else silica("beta-cristobalite")
    atoms = surface(crystal, miller, layers, vacuum=0.5 * vacuum, periodic=True)
    return atoms.repeat((*repeat, 1))


def interface(random):
    """Five layers of silicon on a thin packing of silica in one cell, 88 atoms."""
    below = silicon("diamond").repeat((2, 2, 1))
    edge = below.cell[0, 0]
    units = 18
    mass = units * (atomic_masses[14] + 2 * atomic_masses[8])
    height = mass * GRAM_PER_CM3 / 2.2 / edge**2
    numbers = [14] * units + [8] * 2 * units
    cell = [edge, edge, height]
    above = Atoms(numbers, random.random((3 * units, 3)) * cell, cell=cell, pbc=True)
    _push_apart(above, 1.0)
    gap = 1.0
    above.positions[:, 2] += below.cell[2, 2] + gap
    atoms = below + above
    atoms.set_cell([edge, edge, below.cell[2, 2] + height + 2 * gap])
    _push_apart(atoms, 1.0)
    return atoms


def _insert(atoms, number, random):
    """Adds an atom where, of many random points, the nearest atom is farthest away."""
    points = random.random((60, 3)) @ np.array(atoms.cell)
    nearest = []
    for point in points:
        _, lengths = find_mic(atoms.positions - point, atoms.cell, atoms.pbc)
        nearest.append(lengths.min())
    order = np.argsort(nearest)
    chosen = points[order[-1 - int(random.integers(5))]]
    atoms += Atoms([number], [chosen])


def _push_apart(atoms, shrink, sweeps=300):
    """Moves overlapping atoms apart, half the overlap each, until no pair is inside its core."""
    first, second = np.triu_indices(len(atoms), 1)
    cores = shrink * of_pairs(_CORES, atoms.numbers)[first, second]
    edges = atoms.cell.lengths()
    for _ in range(sweeps):
        between = atoms.positions[second] - atoms.positions[first]
        between -= np.round(between / edges) * edges
        lengths = np.maximum(np.linalg.norm(between, axis=1), 1e-3)
        overlap = cores - lengths
        if overlap.max() < 1e-3:
            return
        close = overlap > 0.0
        step = (0.5 * overlap[close] / lengths[close])[:, None] * between[close]
        np.add.at(atoms.positions, first[close], -step)
        np.add.at(atoms.positions, second[close], step)
