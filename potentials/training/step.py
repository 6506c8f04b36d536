"""One training step: the loss of a batch and its gradient by every weight."""

import torch

from dataset import Batch
from student import energy_forces_stress


def objective(batch, model, scale, coefficients):
    """(loss, sums [7]) of a batch; the loss is a sum of weighted mean absolute errors.

    coefficients  (energy per atom in eV, force vectors in eV/A, stress in eV/A^3)
    The sums are the loss and, for energy, forces and stress, weighted errors and weights.
    """
    energy, forces, stress = energy_forces_stress(model, batch, scale, create_graph=True)
    energy_error = (energy - batch.energy).abs() / batch.natoms
    force_error = ((forces - batch.forces).square().sum(1) + 1e-12).sqrt()
    stress_error = ((stress - batch.stress).square().sum(1) + 1e-16).sqrt()
    loss, sums = 0, []
    for error, weight, coefficient in (
        (energy_error, batch.frame_weight, coefficients[0]),
        (force_error, batch.atom_weight, coefficients[1]),
        (stress_error, batch.stress_weight, coefficients[2]),
    ):
        total = (error * weight).sum()
        counted = (weight > 0).sum().clamp(min=1)
        loss = loss + coefficient * total / counted
        sums += [total.detach(), weight.sum()]
    return loss, torch.stack([loss.detach(), *sums])


class PlainStep:
    """Leaves the gradient in the weights' .grad and returns the sums."""

    def __init__(self, model, scale, coefficients):
        self.model, self.scale, self.coefficients = model, scale, coefficients
        self.weights = [p for p in model.parameters() if p.requires_grad]

    def __call__(self, batch):
        loss, sums = objective(batch, self.model, self.scale, self.coefficients)
        for weight in self.weights:
            weight.grad = None
        loss.backward()
        return sums


class CapturedStep:
    """The same, captured as a CUDA graph: the thousands of launches of a step become one."""

    def __init__(self, model, scale, coefficients):
        self.plain = PlainStep(model, scale, coefficients)
        self.weights = self.plain.weights
        self.graph = None

    def __call__(self, batch):
        if self.graph is None:
            self._capture(batch)
        for place, tensor in zip(self.inputs, batch.tensors()):
            place.copy_(tensor)
        self.graph.replay()
        return self.sums.clone()

    def _capture(self, batch):
        self.inputs = [tensor.clone() for tensor in batch.tensors()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.plain(Batch(*self.inputs))
        torch.cuda.current_stream().wait_stream(side)
        for weight in self.weights:
            weight.grad = None
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.sums = self.plain(Batch(*self.inputs))
