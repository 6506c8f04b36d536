"""How a trajectory's frames are drawn: one function per kind of structure.

Each takes `random` (a numpy Generator), the teacher, the time.time() at which dynamics are to end
(or None) and its settings, and gives labelled frames. Temperatures in K, times in fs, lengths in A,
densities in g/cm^3.
"""

import numpy as np

import disorder
from crystals import SILICA_PHASES, enlarged, silica, silicon
from sampling import (
    label_static,
    molecular_dynamics,
    rattled,
    relax,
    scaled,
    random_strain,
    strained,
)

_DISTANCES = np.concatenate([np.arange(0.5, 3.0, 0.0125), np.arange(3.0, 6.0, 0.05)])  # A
PAIR_PARTS = 10


def _cell(material, phase, atoms):
    crystal = silicon(phase) if material == "silicon" else silica(phase)
    return enlarged(crystal, max(atoms, len(crystal)))


def crystal_statics(random, teacher, _deadline, material, phase, atoms, strain, frames=12):
    """Rattled cells at random small strain and, up to `strain`, random volume."""
    start = _cell(material, phase, atoms)
    structures = []
    for count in range(frames):
        cell = scaled(start, 1.0 + random.uniform(-strain, strain))
        cell = strained(cell, random_strain(0.01, random))
        largest = 0.30 if material == "silicon" else 0.20
        structures.append(rattled(cell, 0.02 * (largest / 0.02) ** (count / (frames - 1)), random))
    return label_static(structures, teacher)


def crystal_strains(random, teacher, _deadline, material, phase, atoms, frames=12):
    """Isotropic, uniaxial and general strains, rattled a little."""
    start = _cell(material, phase, atoms)
    structures = []
    for count in range(frames):
        if count % 3 == 0:
            strain = random.uniform(-0.12, 0.12) * np.eye(3)
        elif count % 3 == 1:
            axis = np.linalg.qr(random.normal(size=(3, 3)))[0][0]
            strain = random.uniform(-0.08, 0.08) * np.outer(axis, axis)
        else:
            strain = random_strain(0.08, random)
        structures.append(rattled(strained(start, strain), random.uniform(0.0, 0.05), random))
    return label_static(structures, teacher)


def crystal_dynamics(
    random, teacher, deadline, material, phase, atoms, temperature, timestep=2.0, frames=15
):
    """MD of a slightly strained crystal, after 25 steps to warm up."""
    start = strained(_cell(material, phase, atoms), random_strain(0.02, random))
    return _warmed_dynamics(start, temperature, timestep, frames, 16, random, teacher, deadline)


def defect_dynamics(random, teacher, deadline, species, temperature, timestep=2.0):
    start = disorder.defect(species, random)
    relax(start, 15, teacher)
    return _warmed_dynamics(start, temperature, timestep, 10, 12, random, teacher, deadline)


def slab_dynamics(random, teacher, deadline, slab, temperature):
    start = rattled(disorder.slab(*slab), 0.05, random)
    relax(start, 15, teacher)
    return _warmed_dynamics(start, temperature, 1.5, 10, 12, random, teacher, deadline)


def interface_dynamics(random, teacher, deadline, temperature):
    start = disorder.interface(random)
    relax(start, 30, teacher)
    return _warmed_dynamics(start, temperature, 1.5, 14, 12, random, teacher, deadline)


def melt(
    random,
    teacher,
    deadline,
    silicons,
    oxygens,
    density,
    timestep,
    hot,
    ramp,
    frames=18,
    mixing=3,
):
    """A random packing, mixed at `hot` K for `mixing` frames, then sampled along `ramp`."""
    start = disorder.random_packing(silicons, oxygens, density, random)
    relax(start, 20, teacher)
    mixed = molecular_dynamics(start, (hot, hot), 15, mixing, timestep, random, teacher, deadline)
    drawn = molecular_dynamics(start, ramp, 12, frames, timestep, random, teacher, deadline)
    return mixed + drawn


def molten_crystal(random, teacher, deadline, phase, density):
    """A silica crystal brought to `density`, molten at 6000 K and quenched to 300 K."""
    start = _cell("silica", phase, 96)
    mass = start.get_masses().sum() * disorder.GRAM_PER_CM3
    start = scaled(start, (mass / density / start.get_volume()) ** (1.0 / 3.0))
    start = rattled(start, 0.05, random)
    molten = molecular_dynamics(start, (6000, 5000), 12, 12, 1.5, random, teacher, deadline)
    drawn = molecular_dynamics(start, (4000, 300), 12, 34, 1.5, random, teacher, deadline)
    return molten + drawn


def _warmed_dynamics(start, temperature, timestep, frames, interval, random, teacher, deadline):
    """MD at one temperature; the first 25 steps, from twice that temperature, give no frame."""
    double = 2 * temperature
    molecular_dynamics(start, (double, temperature), 25, 1, timestep, random, teacher, deadline)
    ramp = (temperature, temperature)
    return molecular_dynamics(start, ramp, interval, frames, timestep, random, teacher, deadline)


def dimers(_random, teacher, _deadline, symbols, part):
    """Every tenth distance of the fine grid, beginning with number `part`."""
    structures = [disorder.pair(symbols, distance) for distance in _DISTANCES[part::PAIR_PARTS]]
    return label_static(structures, teacher, wall=True)


def molecules(random, teacher, _deadline, name, frames=12):
    """A molecule stretched and bent; an atom in boxes of several sizes."""
    structures = []
    for count in range(frames):
        atoms = disorder.small_molecule(name, edge=11.0 + 0.4 * count)
        centre = atoms.get_center_of_mass()
        stretch = random.uniform(0.85, 1.5)
        atoms.positions = centre + stretch * (atoms.positions - centre)
        structures.append(rattled(atoms, 0.08, random))
    return label_static(structures[:4] if len(atoms) == 1 else structures, teacher)


def clusters(random, teacher, _deadline, frames=12):
    """Lumps of two to eight atoms of any composition."""
    structures = []
    for _ in range(frames):
        total = int(random.integers(2, 9))
        oxygens = int(random.integers(0, total + 1))
        shrink = random.uniform(0.75, 1.1)
        structures.append(disorder.random_cluster(total - oxygens, oxygens, random, shrink))
    return label_static(structures, teacher, wall=True)


def packings(random, teacher, _deadline, shrink, frames=12):
    """Random dense packings of up to 32 atoms, as no equilibrium visits."""
    structures = []
    for _ in range(frames):
        total = int(random.integers(8, 33))
        silicons = round(total * random.uniform(0.2, 1.0))
        density = random.uniform(1.5, 3.5)
        structures.append(
            disorder.random_packing(silicons, total - silicons, density, random, shrink)
        )
    return label_static(structures, teacher)


def pushed_pairs(random, teacher, _deadline, host, frames=12):
    """A crystal or a packing in which one atom is pushed at its neighbour."""
    structures = []
    for _ in range(frames):
        if host == "silicon":
            atoms = rattled(enlarged(silicon("diamond"), 16), 0.05, random)
        elif host == "silica":
            phase = SILICA_PHASES[int(random.integers(len(SILICA_PHASES)))]
            atoms = rattled(enlarged(silica(phase), 24), 0.05, random)
        else:
            oxygens = int(random.integers(0, 17))
            atoms = disorder.random_packing(24 - oxygens, oxygens, 2.2, random)
        structures.append(_pushed(atoms, random))
    return label_static(structures, teacher, wall=True)


def _pushed(atoms, random):
    """One atom moved towards one of its four nearest neighbours, to 0.5 A up to their distance."""
    mover = int(random.integers(len(atoms)))
    others = [k for k in range(len(atoms)) if k != mover]
    vectors = atoms.get_distances(mover, others, mic=True, vector=True)
    lengths = np.linalg.norm(vectors, axis=1)
    chosen = np.argsort(lengths)[int(random.integers(4))]
    distance = random.uniform(0.5, lengths[chosen])
    atoms.positions[mover] += (1.0 - distance / lengths[chosen]) * vectors[chosen]
    return atoms
