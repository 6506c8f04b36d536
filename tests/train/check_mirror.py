"""A batch whose frames are mirrored is the batch of the mirrored frames.

usage: check_mirror.py FRAMES ; run by test_pipeline.py with the Python that trains
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "potentials" / "training"))

from dataset import GraphSet, read_frames
from train import batch_budget


def rows(batch):
    """Edges as sorted rows: the list of a mirrored frame has another order."""
    edges = torch.cat([batch.source[:, None], batch.target[:, None], batch.vectors], 1)
    return torch.tensor(sorted(edges.tolist()))


def main():
    frames = read_frames(sys.argv[1])
    frames = frames.select(range(min(4, len(frames))))
    budget = batch_budget(8192)
    references = {8: 0.0, 14: 0.0}
    batches = []
    for given, mirror in ((frames, True), (frames.mirrored(), False)):
        graphs = GraphSet(given, references, 1.0, "cpu", dtype=torch.float64)
        row = graphs.plan(range(len(frames)), budget)[0]
        batches.append(graphs.batch(row, budget, mirrored=row >= 0 if mirror else None))
    one, other = batches
    errors = {
        "edges": (rows(one) - rows(other)).abs().max().item(),
        "forces": (one.forces - other.forces).abs().max().item(),
        "energy": (one.energy - other.energy).abs().max().item(),
        "stress": (one.stress - other.stress).abs().max().item(),
    }
    print(errors)
    moved = (one.forces + other.forces).abs().max().item()
    if not max(errors.values()) <= 1e-9 or not moved > 1e-3:  # rounding; and not all zero
        sys.exit("a mirrored batch is not that of the mirrored frames")


if __name__ == "__main__":
    main()
