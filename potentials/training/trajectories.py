"""The list of trajectories that make up the data, by class, and the recipe of each.

A trajectory is one starting structure and what is drawn from it; all its frames are either trained
on or held out. The list is the same every time; what a recipe draws follows from the seed, the
class and the number of the trajectory alone. A GPU adds up in no fixed order, so that dynamics
repeat in distribution and not to the last bit.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np

import disorder
import recipes
from crystals import SILICA_PHASES, SILICON_PHASES

_PAIRS = ("Si2", "SiO", "O2")

# silicon atoms, oxygen atoms, density in g/cm^3 of mixtures with too little or too much oxygen
_MIXTURES = (
    (40, 16, 2.2),
    (36, 24, 2.2),
    (32, 32, 2.2),
    (28, 40, 2.2),
    (26, 46, 2.3),
    (22, 50, 2.2),
    (20, 54, 2.0),
)
_SLABS = (
    ("silicon", (1, 0, 0), 2, (2, 2)),
    ("silicon", (1, 1, 1), 2, (2, 2)),
    ("silicon", (1, 1, 0), 2, (1, 2)),
    ("silica", (1, 0, 0), 2, (1, 1)),
    ("silica", (1, 1, 0), 2, (1, 1)),
)


@dataclass(frozen=True)
class Trajectory:
    """One task: `recipe(random, teacher, deadline, **settings)` gives its labelled frames.

    evaluations  about how often it asks the teacher
    """

    kind: str
    number: int
    recipe: object
    evaluations: int
    settings: dict = field(default_factory=dict)

    @property
    def name(self):
        return f"{self.kind}-{self.number:04d}"

    @property
    def held_out(self):
        """Every tenth of a class."""
        return self.number % 10 == 1

    def frames(self, seed, teacher, deadline=None):
        """The labelled frames; `info` names the class and the trajectory."""
        random = np.random.default_rng([seed, zlib.crc32(self.kind.encode()), self.number])
        frames = self.recipe(random, teacher, deadline, **self.settings)
        for frame in frames:
            frame.info = {"class": self.kind, "trajectory": self.name}
        return frames


def all_trajectories():
    """Every trajectory, so ordered that any beginning of the list has all classes in proportion."""
    classes = {}

    def add(kind, recipe, evaluations, **settings):
        members = classes.setdefault(kind, [])
        members.append(Trajectory(kind, len(members), recipe, evaluations, settings))

    _add_silicon(add)
    _add_silica(add)
    _add_small(add)
    placed = [
        ((trajectory.number + 0.5) / len(members), kind, trajectory)
        for kind, members in classes.items()
        for trajectory in members
    ]
    return [trajectory for _, _, trajectory in sorted(placed, key=lambda item: item[:2])]


def shared_out(trajectories, share):
    """About this share (0 to 1) of every class, and at least two of the small and cheap ones."""
    totals = {}
    for trajectory in trajectories:
        totals[trajectory.kind] = totals.get(trajectory.kind, 0) + 1
    kept = {kind: round(share * total) for kind, total in totals.items()}
    for kind in ("silicon-crystal", "dimer", "molecule"):
        kept[kind] = max(kept[kind], 2)
    return [trajectory for trajectory in trajectories if trajectory.number < kept[trajectory.kind]]


def _add_silicon(add):
    for number in range(20):
        add(
            "silicon-crystal",
            recipes.crystal_statics,
            12,
            material="silicon",
            phase="diamond",
            atoms=(8, 16, 64)[number % 3],
            strain=0.03,
        )
    for number in range(20):
        add(
            "silicon-strained",
            recipes.crystal_strains,
            12,
            material="silicon",
            phase="diamond",
            atoms=(8, 8, 64)[number % 3],
        )
    for temperature in (900, 300, 1500, 300, 900, 1500, 1200, 300, 900, 600, 1500, 1500):
        add(
            "silicon-dynamics",
            recipes.crystal_dynamics,
            270,
            material="silicon",
            phase="diamond",
            atoms=64,
            temperature=temperature,
        )
    for number in range(30):
        phase = SILICON_PHASES[number % len(SILICON_PHASES)]
        add(
            "silicon-phases",
            recipes.crystal_statics,
            12,
            material="silicon",
            phase=phase,
            atoms=(8, 24, 48)[number // 10],
            strain=0.10,
        )
    for number in range(10):
        phase = SILICON_PHASES[(4 * number) % len(SILICON_PHASES)]
        add(
            "silicon-phases",
            recipes.crystal_dynamics,
            180,
            material="silicon",
            phase=phase,
            atoms=48,
            temperature=(600, 1200)[number % 2],
            frames=10,
        )
    for number in range(20):
        add(
            "silicon-defects",
            recipes.defect_dynamics,
            165,
            temperature=(500, 1200)[number % 2],
            species=disorder.DEFECTS_OF_SILICON[number % 3],
        )
    for number in range(20):
        add(
            "surface",
            recipes.slab_dynamics,
            165,
            slab=_SLABS[(number + 2 * (number // 10)) % len(_SLABS)],
            temperature=(400, 1000, 1500)[number % 3],
        )
    for number in range(16):
        add(
            "silicon-liquid",
            recipes.melt,
            300,
            silicons=64,
            oxygens=0,
            density=(2.4, 2.55, 2.3, 2.7)[number % 4],
            timestep=2.0,
            hot=3500,
            ramp=((2500, 2500), (1800, 1800), (2200, 1500), (3000, 2000))[number // 4],
        )
    for number in range(10):
        add(
            "silicon-amorphous",
            recipes.melt,
            420,
            silicons=64,
            oxygens=0,
            density=(2.25, 2.33, 2.40)[number % 3],
            timestep=2.0,
            hot=3000,
            ramp=(2200, 300),
            frames=30,
        )


def _add_silica(add):
    for number in range(21):
        add(
            "silica-crystal",
            recipes.crystal_statics,
            12,
            material="silica",
            phase=SILICA_PHASES[number % 7],
            atoms=(24, 72, 48)[number // 7],
            strain=0.03,
        )
    for number in range(21):
        add(
            "silica-strained",
            recipes.crystal_strains,
            12,
            material="silica",
            phase=SILICA_PHASES[number % 7],
            atoms=(24, 24, 72)[number // 7],
        )
    for number in range(25):
        add(
            "silica-dynamics",
            recipes.crystal_dynamics,
            240,
            material="silica",
            phase=SILICA_PHASES[number % 7],
            atoms=96,
            timestep=1.5,
            temperature=(300, 900, 1500)[(number + number // 10) % 3],
            frames=14,
        )
    for number in range(20):
        units = (24, 32, 28)[number % 3]
        density = (2.2, 2.0, 2.4, 2.7, 3.1, 1.9, 2.2, 2.3, 2.2, 2.6)[number % 10]
        last = (3000, 4000, 5000, 3500)[number % 4]
        add(
            "silica-liquid",
            recipes.melt,
            320,
            silicons=units,
            oxygens=2 * units,
            density=density,
            timestep=1.5,
            hot=5000,
            ramp=(last, last),
            frames=20,
        )
    for number in range(20):
        density = (2.2, 2.2, 2.1, 2.35, 2.2, 2.6)[number % 6]
        if (number + number // 10) % 2:
            add(
                "silica-quench",
                recipes.melt,
                560,
                silicons=32,
                oxygens=64,
                density=density,
                timestep=1.5,
                hot=6000,
                mixing=6,
                ramp=(4000, 300),
                frames=38,
            )
        else:
            phase = ("beta-cristobalite", "coesite", "alpha-cristobalite", "tridymite")[
                number // 2 % 4
            ]
            add("silica-quench", recipes.molten_crystal, 560, phase=phase, density=density)
    for number in range(10):
        add(
            "silica-defects",
            recipes.defect_dynamics,
            165,
            temperature=(500, 1200)[number % 2],
            species=disorder.DEFECTS_OF_SILICA[number % 3],
            timestep=1.5,
        )
    for number in range(14):
        silicons, oxygens, density = _MIXTURES[number % len(_MIXTURES)]
        add(
            "mixture",
            recipes.melt,
            270,
            silicons=silicons,
            oxygens=oxygens,
            density=density,
            timestep=1.5,
            hot=4000,
            ramp=((3000, 2000), (2500, 500))[number // 7],
            frames=16,
        )
    for number in range(6):
        add("mixture", recipes.interface_dynamics, 230, temperature=(1000, 2000)[number % 2])


def _add_small(add):
    for number in range(len(_PAIRS) * recipes.PAIR_PARTS):
        add("dimer", recipes.dimers, 26, symbols=_PAIRS[number % 3], part=number // 3)
    for number in range(20):
        add(
            "molecule",
            recipes.molecules,
            12,
            name=disorder.MOLECULES[(3 * number + 2 * (number // 10)) % 10],
        )
    for number in range(30):
        add("cluster", recipes.clusters, 12)
    for number in range(24):
        add("packing", recipes.packings, 12, shrink=(0.75, 0.85, 0.95)[number % 3])
    for number in range(30):
        add(
            "pushed-pair",
            recipes.pushed_pairs,
            12,
            host=("silicon", "silica", "liquid")[number % 3],
        )
