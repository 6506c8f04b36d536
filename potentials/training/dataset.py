"""Labelled structures as flat arrays, their neighbour lists, and batches of a fixed size.

A batch is assembled on the device from arrays that stay there, and always has the same numbers of
atoms, edges and frames, so that a training step has one shape; what a batch leaves free is filled
with atoms of a frame of its own and with edges longer than the cutoff, which add nothing.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch

CUTOFF = 6.0  # A
FRAME_SOFTNESS = 4  # a frame may have that much larger forces than an atom before it counts less
_VOIGT = (0, 5, 4, 5, 1, 3, 4, 3, 2)  # row-major 3 x 3 from xx yy zz yz xz xy


@dataclasses.dataclass
class Frames:
    """Structures one after the other; `first[i]` is the first atom of frame i."""

    numbers: np.ndarray  # [atoms] int64
    positions: np.ndarray  # [atoms, 3] A
    forces: np.ndarray  # [atoms, 3] eV/A
    cells: np.ndarray  # [frames, 3, 3] A, rows are the vectors
    periodic: np.ndarray  # [frames, 3] bool
    energies: np.ndarray  # [frames] eV
    stresses: np.ndarray  # [frames, 9] eV/A^3, row-major; NaN where there is no label
    natoms: np.ndarray  # [frames] int64
    classes: np.ndarray  # [frames] names

    @property
    def first(self):
        return np.concatenate([[0], np.cumsum(self.natoms)[:-1]])

    def __len__(self):
        return len(self.natoms)

    def select(self, chosen):
        """The frames with these indices."""
        first = self.first
        atoms = np.concatenate([np.arange(first[i], first[i] + self.natoms[i]) for i in chosen])
        per_atom = ("numbers", "positions", "forces")
        return Frames(
            **{
                field.name: getattr(self, field.name)[atoms if field.name in per_atom else chosen]
                for field in dataclasses.fields(self)
            }
        )

    def mirrored(self):
        """The images of all frames under inversion, whose labels are known as well.

        A UMA network is equivariant under rotations alone: it has to learn that both are alike.
        """
        return dataclasses.replace(
            self, positions=-self.positions, forces=-self.forces, cells=-self.cells
        )

    def composition(self, elements):
        """[frames, len(elements)] numbers of atoms."""
        frame = np.repeat(np.arange(len(self)), self.natoms)
        counts = np.zeros((len(self), len(elements)))
        for column, number in enumerate(elements):
            np.add.at(counts[:, column], frame, self.numbers == number)
        return counts


def read_frames(path):
    """Frames of an extended XYZ file, or of the .npz file that write_frames made of one."""
    path = Path(path)
    if not path.is_file():
        raise SystemExit(f"{path}: no such file; generate_data.py writes frames")
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            frames = Frames(**{name: arrays[name] for name in arrays.files})
        frames.numbers = frames.numbers.astype(np.int64)
        frames.positions = frames.positions.astype(np.float64)
        frames.forces = frames.forces.astype(np.float64)
        return frames
    import ase.io

    images = ase.io.read(path, index=":")
    if not images:
        raise SystemExit(f"{path}: no frames")
    columns = {field.name: [] for field in dataclasses.fields(Frames)}
    for image in images:
        results = image.calc.results if image.calc else {}
        if "energy" not in results or "forces" not in results:
            raise SystemExit(f"{path}: frame {len(columns['natoms'])} has no energy or no forces")
        stress = np.asarray(results.get("stress", np.full(6, np.nan)))
        columns["numbers"].append(image.numbers)
        columns["positions"].append(image.positions)
        columns["forces"].append(results["forces"])
        columns["cells"].append([np.array(image.cell)])
        columns["periodic"].append([image.pbc])
        columns["energies"].append([results["energy"]])
        columns["stresses"].append([stress[list(_VOIGT)]])
        columns["natoms"].append([len(image)])
        columns["classes"].append([str(image.info.get("class", "all"))])
    return Frames(**{name: np.concatenate(parts) for name, parts in columns.items()})


def write_frames(path, frames):
    """Positions and forces in single precision: 25 bytes an atom, small enough to carry about."""
    stored = {"numbers": np.uint8, "positions": np.float32, "forces": np.float32}
    arrays = {field.name: getattr(frames, field.name) for field in dataclasses.fields(frames)}
    arrays |= {name: arrays[name].astype(kind) for name, kind in stored.items()}
    np.savez_compressed(path, **arrays)


def find_edges(positions, cell, periodic, cutoff=CUTOFF, device=None):
    """(source, target, vector): every pair closer than the cutoff, both ways, images included.

    positions [N, 3], cell [3, 3]: numpy arrays; the results, tensors, are in the order of
    targets; vector [E, 3] = r_source - r_target
    """
    reach = np.zeros(3, int)
    if periodic.any():
        if abs(np.linalg.det(cell)) < 1e-6:
            raise SystemExit("a periodic frame has a cell without volume")
        inverse = np.linalg.inv(cell)
        scaled = positions @ inverse
        scaled -= np.where(periodic, np.floor(scaled), 0)
        positions = scaled @ cell
        reach = np.floor(cutoff * np.linalg.norm(inverse, axis=0) + np.ptp(scaled, axis=0))
        reach = np.where(periodic, reach, 0).astype(int)
    steps = np.stack(np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), -1)
    shifts = torch.as_tensor(steps.reshape(-1, 3) @ cell, device=device)
    place = torch.as_tensor(positions, device=device)
    # [target, source, image, 3]
    difference = place[None, :, None] + shifts[None, None] - place[:, None, None]
    square = difference.square().sum(-1)
    target, source, image = ((square < cutoff**2) & (square > 1e-12)).nonzero(as_tuple=True)
    return source, target, difference[target, source, image]


@dataclasses.dataclass
class Budget:
    """What one batch has room for; the last frame and the last atom are the filling's."""

    edges: int
    atoms: int
    frames: int


@dataclasses.dataclass
class Batch:
    """One batch of tensors: E = budget.edges, N = budget.atoms, S = budget.frames."""

    elements: torch.Tensor  # [N] int64, atomic numbers
    system: torch.Tensor  # [N] int64, frame of each atom
    natoms: torch.Tensor  # [S]
    source: torch.Tensor  # [E] int64
    target: torch.Tensor  # [E] int64
    edge_system: torch.Tensor  # [E] int64
    vectors: torch.Tensor  # [E, 3] A
    energy: torch.Tensor  # [S] eV, without the element references
    forces: torch.Tensor  # [N, 3] eV/A
    stress: torch.Tensor  # [S, 9] eV/A^3
    volume: torch.Tensor  # [S] A^3
    atom_weight: torch.Tensor  # [N] of the force loss; 0: filling
    frame_weight: torch.Tensor  # [S] of the energy loss; 0: filling
    stress_weight: torch.Tensor  # [S]; 0: filling, or no label

    def tensors(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]


class GraphSet:
    """All frames with their edges on one device.

    soft_force   eV/A; an atom's force error counts 1 / (1 + |F| / soft_force), a frame's energy
                 and stress errors the same with a quarter of its largest force
    references   {atomic number: eV}
    """

    def __init__(self, frames, references, soft_force, device, dtype=torch.float32, progress=None):
        self.device = device
        self._dtype = dtype
        edges = []
        for i, begin in enumerate(frames.first):
            atoms = slice(begin, begin + frames.natoms[i])
            source, target, vectors = find_edges(
                frames.positions[atoms], frames.cells[i], frames.periodic[i], device=device
            )
            edges.append((source.int(), target.int(), vectors.to(dtype)))
            if progress:
                progress(i + 1, len(frames))
        self.natoms = frames.natoms
        self.nedges = np.array([len(source) for source, _, _ in edges])
        whole = dict(dtype=torch.int64, device=device)
        self._natoms = torch.as_tensor(np.append(frames.natoms, 0), **whole)
        self._nedges = torch.as_tensor(np.append(self.nedges, 0), **whole)
        self._first_atom = self._natoms.cumsum(0) - self._natoms
        self._first_edge = self._nedges.cumsum(0) - self._nedges
        self._source, self._target, self._vectors = (torch.cat(parts) for parts in zip(*edges))

        self._long = self._vectors.new_tensor([0, 2 * CUTOFF, 0])

        elements = sorted(references)
        counts = frames.composition(elements)
        base = counts @ np.array([references[number] for number in elements])
        size = np.linalg.norm(frames.forces, axis=1)
        largest = np.maximum.reduceat(size, frames.first)
        frame_weight = 1 / (1 + largest / (FRAME_SOFTNESS * soft_force))
        labelled = np.isfinite(frames.stresses).all(1)
        volume = np.abs(np.linalg.det(frames.cells))
        labelled &= frames.periodic.all(1)
        self._elements = torch.as_tensor(frames.numbers, **whole)
        real = dict(dtype=dtype, device=device)
        self._forces = torch.as_tensor(frames.forces, **real)
        self._atom_weight = torch.as_tensor(1 / (1 + size / soft_force), **real)
        self._energy = torch.as_tensor(np.append(frames.energies - base, 0), **real)
        stress = np.where(labelled[:, None], frames.stresses, 0)
        self._stress = torch.as_tensor(np.append(stress, np.zeros((1, 9)), 0), **real)
        self._volume = torch.as_tensor(np.append(np.where(labelled, volume, 1), 1), **real)
        self._frame_weight = torch.as_tensor(np.append(frame_weight, 0), **real)
        self._stress_weight = torch.as_tensor(np.append(frame_weight * labelled, 0), **real)

    def plan(self, order, budget):
        """[batches, budget.frames - 1] frame indices, taken in this order; -1 is a free place."""
        slots, batch, atoms, edges = [], [], 0, 0
        for frame in order:
            n, e = self.natoms[frame], self.nedges[frame]
            if n >= budget.atoms or e > budget.edges:
                raise SystemExit(
                    f"frame {frame} has {n} atoms and {e} edges; a batch of {budget.atoms} atoms "
                    f"and {budget.edges} edges is too small for it"
                )
            full = atoms + n >= budget.atoms or edges + e > budget.edges
            if full or len(batch) == budget.frames - 1:
                slots.append(batch)
                batch, atoms, edges = [], 0, 0
            batch.append(frame)
            atoms, edges = atoms + n, edges + e
        slots.append(batch)
        table = np.full((len(slots), budget.frames - 1), -1)
        for row, batch in zip(table, slots):
            row[: len(batch)] = batch
        return torch.as_tensor(table, device=self.device)

    def batch(self, row, budget, mirrored=None):
        """The batch of one row of a plan; `mirrored`, bool like the row: which are inverted."""
        last = len(self.natoms)
        frame = torch.cat([row, row.new_full((1,), -1)])
        frame = torch.where(frame < 0, last, frame)
        filling = budget.frames - 1
        sign = self._vectors.new_ones(budget.frames)
        if mirrored is not None:
            sign[:-1] = 1 - 2 * mirrored.to(self._dtype)
        system, atom, real_atom = self._spread(
            self._natoms[frame], self._first_atom[frame], budget.atoms, filling
        )
        edge_system, edge, real_edge = self._spread(
            self._nedges[frame], self._first_edge[frame], budget.edges, filling
        )
        natoms = self._natoms[frame]
        start = natoms.cumsum(0) - natoms
        spare = budget.atoms - 1
        free_atoms = budget.atoms - natoms.sum()
        counted = torch.cat([natoms[:-1], free_atoms[None]])

        def node(index):
            return torch.where(real_edge, index[edge].long() + start[edge_system], spare)

        def per_atom(values):
            mask = real_atom if values.ndim == 1 else real_atom[:, None]
            return torch.where(mask, values[atom], torch.zeros_like(values[:1]))

        return Batch(
            elements=torch.where(real_atom, self._elements[atom], self._elements[0]),
            system=system,
            natoms=counted.clamp(min=1).to(self._dtype),
            source=node(self._source),
            target=node(self._target),
            edge_system=edge_system,
            vectors=torch.where(
                real_edge[:, None], self._vectors[edge] * sign[edge_system, None], self._long
            ),
            energy=self._energy[frame],
            forces=per_atom(self._forces) * sign[system, None],
            stress=self._stress[frame],
            volume=self._volume[frame],
            atom_weight=per_atom(self._atom_weight),
            frame_weight=self._frame_weight[frame],
            stress_weight=self._stress_weight[frame],
        )

    @staticmethod
    def _spread(counts, first, total, filling):
        """Of `total` places: the system, the index in the flat arrays, and whether it is real."""
        end = counts.cumsum(0)
        place = torch.arange(total, device=counts.device)
        system = torch.searchsorted(end, place, right=True)
        real = system < filling
        system = system.clamp(max=filling)
        index = place - (end - counts)[system] + first[system]
        return system, torch.where(real, index, 0), real


def fit_references(frames, elements, soft_force):
    """{atomic number: eV}: least squares of the energies on the compositions.

    Frames with large forces count less; an element without atoms gets 0.
    """
    size = np.linalg.norm(frames.forces, axis=1)
    weight = 1 / (1 + np.maximum.reduceat(size, frames.first) / soft_force) / frames.natoms
    counts = frames.composition(elements)
    fitted = np.linalg.lstsq(counts * weight[:, None], frames.energies * weight, rcond=None)[0]
    return {number: float(value) for number, value in zip(elements, fitted)}


def force_scale(frames, soft_force):
    """eV/A: the root mean square of a force component, large forces counting less.

    Rounded to what fp16 holds: fairchem keeps it in single precision.
    """
    square = (frames.forces**2).sum(1)
    weight = 1 / (1 + np.sqrt(square) / soft_force) ** 2
    return float(np.float16(np.sqrt((weight * square).sum() / (3 * weight.sum()))))
