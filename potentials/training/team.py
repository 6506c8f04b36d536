"""The processes of one training, a GPU each, as torchrun starts them; one alone is a team too."""

import os

import torch


class Team:
    """Which member this is, and what the members do together.

    device  "cuda" or "cpu" as the user gave it; `self.device` is the member's own
    """

    def __init__(self, device):
        self.rank = int(os.environ.get("RANK", 0))
        self.size = int(os.environ.get("WORLD_SIZE", 1))
        self.device = device
        if self.size > 1:
            if device.startswith("cuda"):
                self.device = f"cuda:{os.environ['LOCAL_RANK']}"
                torch.cuda.set_device(self.device)
            torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")

    @property
    def leads(self):
        """Whether this member writes files and prints."""
        return self.rank == 0

    def say(self, line):
        """Prints a line once."""
        if self.leads:
            print(line, flush=True)

    def average_gradients(self, weights):
        """The mean over the members of every weight's gradient, in place."""
        if self.size == 1:
            return
        gradients = [weight.grad for weight in weights]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.size
        parts = flat.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients)])

    def sum(self, values):
        """The sum over the members of a tensor, everywhere."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values

    def as_leader(self, *numbers):
        """The leader's numbers, everywhere."""
        if self.size == 1:
            return numbers
        together = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(together, 0)
        return together.tolist()

    def close(self):
        if self.size > 1:
            torch.distributed.destroy_process_group()
