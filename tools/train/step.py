"""One training step: the loss of a batch and its gradient by every weight, plain or compiled."""

import contextlib

import torch

from dataset import Batch
from student import energy_forces_stress, fused_product, product



class Objective(torch.nn.Module):
    """The loss of a batch: weighted mean absolute errors.

    coefficients  (energy per atom in eV, force vectors in eV/A, stress in eV/A^3)
    """

    def __init__(self, model, scale, coefficients, multiply=product):
        super().__init__()
        self.model, self.scale, self.coefficients = model, scale, coefficients
        self.multiply = multiply

    def forward(self, *tensors):
        """(loss, sums [7]) of the tensors of a Batch.

        The sums are the loss and, for energy, forces and stress, weighted errors and weights.
        """
        batch = Batch(*tensors)
        energy, forces, stress = energy_forces_stress(
            self.model, batch, self.scale, create_graph=True, multiply=self.multiply
        )
        energy_error = (energy - batch.energy).abs() / batch.natoms
        force_error = ((forces - batch.forces).square().sum(1) + 1e-12).sqrt()
        stress_error = ((stress - batch.stress).square().sum(1) + 1e-16).sqrt()
        loss, sums = 0, []
        for error, weight, coefficient in (
            (energy_error, batch.frame_weight, self.coefficients[0]),
            (force_error, batch.atom_weight, self.coefficients[1]),
            (stress_error, batch.stress_weight, self.coefficients[2]),
        ):
            total = (error * weight).sum()
            counted = (weight > 0).sum().clamp(min=1)
            loss = loss + coefficient * total / counted
            sums += [total.detach(), weight.sum()]
        return loss, torch.stack([loss.detach(), *sums])


def autocast(device, wanted):
    if not wanted:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16, cache_enabled=False)


class PlainStep:
    """Leaves the gradient in the weights' .grad and returns the sums."""

    def __init__(self, model, scale, coefficients, bf16=False):
        self.objective = Objective(model, scale, coefficients)
        self.weights = [p for p in model.parameters() if p.requires_grad]
        self.bf16 = bf16

    def __call__(self, batch):
        with autocast(batch.vectors.device, self.bf16):
            loss, sums = self.objective(*batch.tensors())
        for weight in self.weights:
            weight.grad = None
        loss.backward()
        return sums


class CapturedStep:
    """The same, captured as a CUDA graph: the thousands of launches of a step become one."""

    def __init__(self, model, scale, coefficients, bf16=False):
        self.plain = PlainStep(model, scale, coefficients, bf16)
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


class CompiledStep:
    """The same through torch.compile.

    Its autograd cannot differentiate a compiled function twice, so the whole step, with the forces
    and the gradient by the weights, is recorded as one list of operations first.
    """

    def __init__(self, model, scale, coefficients, bf16=False, mode=None):
        self.objective = Objective(model, scale, coefficients, fused_product)
        named = [(n, p) for n, p in self.objective.named_parameters() if p.requires_grad]
        self.names, self.weights = zip(*named)
        self.bf16, self.mode = bf16, mode
        self.compiled = None

    def _evaluate(self, weights, tensors):
        weights = [w.detach().requires_grad_() for w in weights]
        with autocast(tensors[-1].device, self.bf16):
            loss, sums = torch.func.functional_call(
                self.objective, dict(zip(self.names, weights)), tuple(tensors)
            )
        return sums, torch.autograd.grad(loss, weights, materialize_grads=True)

    def __call__(self, batch):
        tensors = batch.tensors()
        if self.compiled is None:
            from torch.fx.experimental.proxy_tensor import make_fx

            recorded = make_fx(lambda *inputs: self._evaluate(*inputs))(list(self.weights), tensors)
            self.compiled = torch.compile(recorded, dynamic=False, mode=self.mode)
        with torch.no_grad():
            sums, gradients = self.compiled(list(self.weights), tensors)
        for weight, gradient in zip(self.weights, gradients):
            weight.grad = gradient
        return sums
