"""Fairchem checkpoints with random weights, one for each kind that umas-convert reads."""

import hydra
import torch
from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint
from omegaconf import OmegaConf

import kinds
from kinds import KINDS, MIXTURE_HEAD, PLAIN_HEAD, UMA, references, weight


def model_config(kind):
    mapping = kind.mapping or {name: name for name in kind.names}
    head = {"module": UMA + kind.head}
    if kind.head != PLAIN_HEAD:
        head["head_cls"] = UMA + "escn_md.MLP_EFS_Head"
        head["head_kwargs"] = {"wrap_property": False}
    config = {
        "_target_": "fairchem.core.models.base.HydraModel",
        "backbone": {
            "model": UMA + "escn_moe.eSCNMDMoeBackbone",
            "num_experts": 2,
            "use_composition_embedding": True,
            "max_num_elements": kinds.ELEMENTS,
            "sphere_channels": kinds.CHANNELS,
            "hidden_channels": kinds.HIDDEN,
            "edge_channels": kinds.EDGE_CHANNELS,
            "lmax": 2,
            "mmax": 2,
            "num_layers": kinds.LAYERS,
            "cutoff": 6,
            "num_distance_basis": kinds.GAUSSIANS,
            "otf_graph": True,
            "regress_forces": True,
            "regress_stress": True,
            "direct_forces": False,
            "norm_type": "rms_norm_sh",
            "act_type": "gate",
            "ff_type": "spectral",
            "chg_spin_emb_type": "rand_emb",
            "cs_emb_grad": True,
            **kind.backbone,
        },
        "heads": {"energyandforcehead": head},
        "pass_through_head_outputs": True,
    }
    if kind.version == "1.2.1":
        config["backbone"]["charge_balanced_channels"] = [0, 1, 2]
        config["backbone"]["dataset_mapping"] = mapping
        if kind.head == MIXTURE_HEAD:
            head["dataset_mapping"] = mapping
    else:  # earlier releases have the names that fairchem now calls deprecated
        config["backbone"]["dataset_list"] = list(kind.names)
        head["dataset_names"] = list(kind.names)
    if kind.version == "1.1":
        config["backbone"]["model_version"] = 1.1
    else:
        config["model_id"] = f"UMA-S-{kind.version}"
    return config


def tasks_config(kind):
    modules = "fairchem.core.modules.normalization."

    def task(name, datasets, kind_of, level, dim, refs=None):
        config = {
            "_target_": "fairchem.core.units.mlip_unit.mlip_unit.Task",
            "name": name,
            "level": level,
            "property": kind_of,
            "datasets": datasets,
            "out_spec": {"dim": dim, "dtype": "float32"},
            "normalizer": {
                "_target_": modules + "normalizer.Normalizer",
                "mean": 0.0,
                "rmsd": kinds.RMSD,
            },
            "metrics": ["mae"],
        }
        if refs is not None:
            config["element_references"] = {
                "_target_": modules + "element_references.ElementReferences",
                "element_references": {"_target_": "torch.DoubleTensor", "_args_": [refs]},
            }
        return config

    def group(prefix, datasets):
        return [
            task(prefix + "energy", datasets, "energy", "system", [1], references(datasets[0])),
            task(prefix + "forces", datasets, "forces", "atom", [3]),
            task(prefix + "stress", datasets, "stress", "system", [1, 9]),
        ]

    if kind.head == PLAIN_HEAD:  # its outputs have no data-set name
        return group("", list(kind.names))
    return [config for name in kind.names for config in group(f"{name}_", [name])]


def _random_weight(name, value):
    if ".Jd_" in name:
        return value.clone()
    return torch.from_numpy(weight(name, list(value.shape))).to(value.dtype)


def _stored_as_views(state):
    """The same values as slices, transposes, shared storages and in 16 or 64 bits."""
    for name, value in list(state.items()):
        if name.endswith(".weights"):
            spare = torch.full_like(value[:1], 7.0)
            state[name] = torch.cat([spare, value, spare])[1:-1]
        elif name.endswith("mix_csd.weight"):
            state[name] = value.T.contiguous().T
        elif name.endswith("routing_mlp.0.weight"):
            state[name] = torch.stack([value, value + 1], -1)[..., 0]
        elif name.endswith("sphere_embedding.weight"):
            state[name] = value.to(torch.float16)
        elif name.endswith("charge_embedding.rand_emb.weight"):
            state[name] = value.to(torch.bfloat16)
        elif name.endswith("spin_embedding.rand_emb.weight"):
            state[name] = value.double()
    shared = torch.cat(
        [v.reshape(-1) for k, v in state.items() if k.endswith("norm_1.affine_bias")]
    )
    for i, name in enumerate(k for k in state if k.endswith("norm_1.affine_bias")):
        state[name] = shared[8 * i : 8 * (i + 1)]
    # Two parameters of one storage, the second an expanded number.
    state["backbone.norm.affine_bias"] = shared[3].expand(8)
    return state


def checkpoint(name):
    """MLIPInferenceCheckpoint of one of KINDS."""
    return checkpoint_of(KINDS[name], _random_weight)


def checkpoint_of(kind, weight_of):
    """MLIPInferenceCheckpoint; weight_of(name, tensor to replace) gives its weights."""
    config, tasks = model_config(kind), tasks_config(kind)
    model = hydra.utils.instantiate(config)
    state = {name: weight_of(name, value) for name, value in model.state_dict().items()}
    if kind.views:
        state = _stored_as_views(state)
    ema = {
        "n_averaged": torch.tensor(1),
        **{f"module.{key}": value for key, value in state.items()},
    }
    # The weights before averaging must not be taken: they differ where that costs no space.
    raw = {key: value + 1 if value.ndim == 1 else value for key, value in state.items()}
    if kind.omegaconf:
        config, tasks = OmegaConf.create(config), [OmegaConf.create(task) for task in tasks]
    return MLIPInferenceCheckpoint(
        model_config=config, model_state_dict=raw, ema_state_dict=ema, tasks_config=tasks
    )
