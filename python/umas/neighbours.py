"""Neighbour lists as umas.h wants them, with a skin, so that most steps need no new one.

The list holds all pairs within cutoff + skin.  With F the deformation of the cell since it was made
and u what atoms moved beyond that, no pair that it lacks is within the cutoff as long as

    smallest stretch of F * (cutoff + skin) - 2 max |u| >= cutoff
"""

import numpy as np
from ase.neighborlist import primitive_neighbor_list
from vesin import NeighborList

from . import _library as c
from .errors import UmasError


class Graph:
    """Atoms, their periodic images within reach, and who is near whom.

    owned      number of atoms
    total      atoms and images, which are the rows of `position` and `element`
    element    [total] atomic numbers
    position   [total][3] A
    """

    def __init__(self, cutoff, skin):
        self.cutoff, self.skin = cutoff, skin
        # One thread: the order of neighbours, and so the last bits of sums, are always the same.
        self._search = NeighborList(cutoff=cutoff + skin, full_list=True, sorted=True, n_threads=1)
        self.owned = self.total = 0
        self.lists_made = 0
        self.element = np.empty(0, dtype=np.int32)
        self._made_for = None

    def update(self, positions, cell, pbc, numbers):
        """Take over positions [atoms][3] A, cell [3][3] A (rows, of full rank), pbc [3], atomic
        numbers [atoms].  Returns whether anything but positions has changed."""
        changed = not self._still_holds(positions, cell, pbc)
        if changed:
            self._make(positions, cell, pbc)
        self.position[: self.owned] = positions
        if self.total > self.owned:
            images = self.position[self.owned :]
            np.matmul(self._shift, cell, out=images)
            images += positions[self._node[self.owned :]]
        if changed or not np.array_equal(numbers, self.element[: self.owned]):
            self.element = numbers.astype(np.int32)[self._node]
            changed = True
        return changed

    def _still_holds(self, positions, cell, pbc):
        if self._made_for is None:
            return False
        old_positions, old_cell, old_pbc = self._made_for
        if len(positions) != self.owned or not np.array_equal(pbc, old_pbc):
            return False
        stretch = 1.0
        if not np.array_equal(cell, old_cell):
            deformation = np.linalg.solve(old_cell, cell)
            stretch = np.linalg.svd(deformation, compute_uv=False)[-1]
            old_positions = old_positions @ deformation
        moved = positions - old_positions
        farthest = np.sqrt(np.einsum("ij,ij->i", moved, moved).max(initial=0.0))
        return stretch * (self.cutoff + self.skin) - 2 * farthest >= self.cutoff

    def _make(self, positions, cell, pbc):
        self._made_for = None
        self.lists_made += 1
        i, j, shift = self._pairs(positions, cell, pbc)
        self.owned = n = len(positions)
        image = shift.any(axis=1)
        row = j.astype(np.int32)
        images, at, row_of_pair = np.unique(
            _number_images(j[image].astype(np.int64), shift[image].astype(np.int64), n),
            return_index=True,
            return_inverse=True,
        )
        row[image] = n + row_of_pair
        self.total = n + len(images)
        self._node = np.concatenate([np.arange(n), images % n]).astype(np.int32)
        self._shift = shift[image][at].astype(float)
        self._first = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=n))]).astype(np.int64)
        self._neighbour = row
        self.position = np.empty((self.total, 3))
        self._made_for = positions.copy(), cell.copy(), np.array(pbc)

    def _pairs(self, positions, cell, pbc):
        """i [pairs] ascending, j [pairs], shift [pairs][3]: j is at positions[j] + shift @ cell."""
        reach = self.cutoff + self.skin
        boxes = _boxes(positions, cell, pbc, reach)
        # vesin 0.6 joins boxes where they are more than 1e5, and divides by zero where that leaves
        # none along a direction in which they are few.
        joined = np.cbrt(np.prod(boxes) / 5e4)
        try:
            if joined < 1 or boxes.min() / joined > 3:
                return self._search.compute(positions, cell, pbc, "ijS")
            if np.prod(boxes) < 1e18:  # ASE numbers them
                return primitive_neighbor_list("ijS", pbc, cell, positions, reach)
        except RuntimeError as problem:
            raise UmasError(f"no neighbour list: {problem}") from None
        x, y, z = boxes * reach
        raise UmasError(f"atoms or cell extend over {x:g} x {y:g} x {z:g} A, too far for a list")

    def c_atoms(self, list_changed):
        """umas_atoms, which holds no references to the arrays: they live as long as this object."""
        return c.Atoms(
            owned=self.owned,
            total=self.total,
            nodes=self.owned,
            element=self.element.ctypes.data,
            position=self.position.ctypes.data,
            node=self._node.ctypes.data,
            rows=None,
            first=self._first.ctypes.data,
            neighbour=self._neighbour.ctypes.data,
            list_changed=list_changed,
        )

    def atom_of_row(self, row):
        return int(self._node[row])

    def sum_over_images(self, values):
        """[total][k] -> [atoms][k]: what acts on an image acts on its atom."""
        summed = values[: self.owned].copy()
        images = self._node[self.owned :]
        if len(images):
            for k in range(values.shape[1]):
                summed[:, k] += np.bincount(
                    images, weights=values[self.owned :, k], minlength=self.owned
                )
        return summed


def _boxes(positions, cell, pbc, reach):
    """[3] boxes of the size `reach` along the directions of the cell: 1 or more."""
    normals = np.linalg.inv(cell)
    normals /= np.linalg.norm(normals, axis=0)  # columns
    heights = np.abs(np.einsum("ij,ji->i", cell, normals))
    return np.maximum(np.where(pbc, heights, np.ptp(positions @ normals, axis=0)) / reach, 1)


def _number_images(atom, shift, atoms):
    """[pairs] a number for every image (atom, shift), which modulo `atoms` is the atom."""
    if len(atom) == 0:
        return atom
    lowest = shift.min(axis=0)
    span = [int(s) for s in shift.max(axis=0) - lowest + 1]
    if span[0] * span[1] * span[2] * atoms >= 2**62:
        raise UmasError("atoms are millions of cells away from each other; atoms.wrap() helps")
    x, y, z = (shift - lowest).T
    return ((x * span[1] + y) * span[2] + z) * atoms + atom
