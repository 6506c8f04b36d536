"""Which tensors of a checkpoint make which tensor of the model file."""

import re

import numpy as np

from . import ModelError

# Tables of rotation matrices, which umas computes itself.
_NOT_NEEDED = re.compile(r"backbone\.Jd_\d+")


class Weights:
    """The model file's tensors, read from a checkpoint when asked for.

    checkpoint  Checkpoint
    rows        names of the data-set embeddings, in the order of the table
    head        Head
    slots       slots of the energy head
    """

    def __init__(self, checkpoint, experts, rows, head, slots):
        self.checkpoint = checkpoint
        self.experts = experts
        self.rows = rows
        self.head = head
        self.slots = slots

    def tensor(self, name, _shape):
        """The float32 array of this name in the model file; its shape is the writer's to check."""
        if name == "backbone.dataset_embedding.weight":
            return np.concatenate([self._read(source) for source in self.sources(name)])
        source = self.sources(name)[0]
        array = self._read(source)
        if self._has_expert_axis(name):
            if not source.endswith(".weights"):
                return array[None]
            # fairchem makes a slot for every name; names that share a head leave slots unused.
            return array[: self.slots] if name.startswith("head.") else array
        return array

    def sources(self, name):
        """Names of the checkpoint's tensors that a tensor of the model file is made of."""
        if name == "backbone.dataset_embedding.weight":
            return [
                f"backbone.dataset_embedding.dataset_emb_dict.{row}.weight" for row in self.rows
            ]
        if name in ("backbone.charge_embedding.weight", "backbone.spin_embedding.weight"):
            return [name.replace(".weight", ".rand_emb.weight")]
        source = name
        many = self.experts > 0
        if name.startswith("head.energy_block."):
            source = self.head.prefix + name[len("head.energy_block.") :]
            many = self.head.experts
        if many and self._has_expert_axis(name):
            source += "s"
        return [source]

    def check_names(self, names):
        """Refuse a checkpoint that lacks a tensor, or has one that nothing is made of."""
        wanted = {source for name in names for source in self.sources(name)}
        for source in sorted(wanted):
            if source not in self.checkpoint.weights:
                raise ModelError(f"the checkpoint has no tensor {source}")
        for source in sorted(set(self.checkpoint.weights) - wanted):
            embedding = source.startswith("backbone.dataset_embedding.dataset_emb_dict.")
            if not embedding and not _NOT_NEEDED.fullmatch(source):
                raise ModelError(f"tensor {source} is no part of a supported model")

    def _has_expert_axis(self, name):
        if not name.endswith(".weight"):
            return False
        return name.startswith("head.") or ".fc_m0." in name or ".so2_m_conv." in name

    def _read(self, source):
        return self.checkpoint.array(source)
