"""Which tensors of a checkpoint make which tensor of the model file."""

import re

import numpy as np

from . import ModelError

# Tables of rotation matrices, which umas computes itself.
_NOT_NEEDED = re.compile(r"backbone\.Jd_\d+")

# A model that is saved while prepared for fast inference holds its layers' radial functions twice:
# the second time with those of all layers in one tensor.
_UNIFIED = "backbone._unified_radial_mlp."
_UNIFIED_PARTS = {
    "W1_cat": "net.0.weight",
    "b1_cat": "net.0.bias",
    "ln1_weight": "net.1.weight",
    "ln1_bias": "net.1.bias",
    "fc2_weight": "net.3.weight",
    "fc2_bias": "net.3.bias",
    "ln2_weight": "net.4.weight",
    "ln2_bias": "net.4.bias",
    "fc3_weight": "net.6.weight",
    "fc3_bias": "net.6.bias",
}


class Weights:
    """The model file's tensors, read from a checkpoint when asked for.

    checkpoint  Checkpoint
    rows        names of the data-set embeddings, in the order of the table; empty: none
    head        Head
    slots       slots of the energy head
    """

    def __init__(self, checkpoint, experts, rows, head, slots):
        self.checkpoint = checkpoint
        self.experts = experts
        self.rows = rows
        self.head = head
        self.slots = slots

    def tensor(self, name, shape):
        """The float32 array of this name in the model file; its shape is the writer's to check."""
        if name == "backbone.dataset_embedding.weight":
            if not self.rows:
                return np.zeros(shape, "<f4")
            return np.concatenate([self._read(source) for source in self.sources(name)])
        source = self.sources(name)[0]
        array = self._read(source)
        if name == "backbone.mix_csd.weight" and not self.rows:
            return _with_no_data_set(source, array, shape)
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
        routed = "backbone.routing_mlp.0.weight"
        if routed in wanted and routed not in self.checkpoint.weights:
            raise ModelError(
                "the checkpoint has no routing_mlp: its experts are merged for one composition; "
                "save the model before it is prepared for inference"
            )
        for source in sorted(wanted):
            if source not in self.checkpoint.weights:
                raise ModelError(f"the checkpoint has no tensor {source}")
        for source in sorted(set(self.checkpoint.weights) - wanted):
            prefix = "backbone.dataset_embedding.dataset_emb_dict."
            embedding = self.rows and source.startswith(prefix)
            if source.startswith(_UNIFIED) and source[len(_UNIFIED) :] in _UNIFIED_PARTS:
                self._check_unified(source, names)
            elif not embedding and not _NOT_NEEDED.fullmatch(source):
                raise ModelError(f"tensor {source} is no part of a supported model")

    def _check_unified(self, source, names):
        """Refuse a second copy of the radial functions that is not the first: which one counts?"""
        part = _UNIFIED_PARTS[source[len(_UNIFIED) :]]
        layers = [name for name in names if name.endswith(f".so2_conv_1.rad_func.{part}")]
        single = [self._read(self.sources(name)[0]) for name in layers]
        join = np.concatenate if source.endswith("_cat") else np.stack
        if not np.array_equal(self._read(source), join(single)):
            raise ModelError(
                f"tensor {source} differs from the layers' {part}, which it was made of; save the "
                "model without preparing it for inference"
            )

    def _has_expert_axis(self, name):
        if not name.endswith(".weight"):
            return False
        return name.startswith("head.") or ".fc_m0." in name or ".so2_m_conv." in name

    def _read(self, source):
        return self.checkpoint.array(source)


def _with_no_data_set(source, array, shape):
    """The mix of charge and spin as one of charge, spin and a data set that counts for nothing."""
    channels = shape[0]
    if array.shape != (channels, 2 * channels):
        raise ModelError(
            f"tensor {source} has shape {list(array.shape)}, not {[channels, 2 * channels]}, which "
            "a model without data-set embedding has"
        )
    return np.concatenate([array, np.zeros((channels, channels), "<f4")], axis=1)
