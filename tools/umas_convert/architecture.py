"""From a checkpoint's configuration to the numbers of the model file; refusals of the rest.

Keys that are absent have fairchem-core's defaults (eSCNMDBackbone and eSCNMDMoeBackbone).
"""

from dataclasses import dataclass

from . import ModelError

_MAX_ELEMENTS = 119
_MAX_NAMES = 256  # data sets; what the library reads
_ID_BYTES = 63
_PLAIN_BACKBONES = ("escnmd_backbone", "fairchem.core.models.uma.escn_md.eSCNMDBackbone")
_MOE_BACKBONES = ("escnmd_moe_backbone", "fairchem.core.models.uma.escn_moe.eSCNMDMoeBackbone")

# key, fairchem's default, the value that umas runs
_REQUIRED = [
    ("lmax", 2, 2),
    ("direct_forces", True, False),
    ("direct_stress", False, False),
    ("norm_type", "rms_norm_sh", "rms_norm_sh"),
    ("act_type", "gate", "gate"),
    ("ff_type", "grid", "spectral"),
    ("distance_function", "gaussian", "gaussian"),
    ("chg_spin_emb_type", "pos_emb", "rand_emb"),
]
# moe_layer_type, dgl or another, names a kernel: the weights are the same.
_REQUIRED_OF_EXPERTS = [
    ("use_composition_embedding", False, True),
    ("use_global_embedding", False, False),
    ("moe_expert_coefficient_norm", "softmax", "softmax"),
    ("moe_type", "so2", "so2"),
    ("moe_single", False, False),
    ("layers_moe", None, None),
]


# Options of fairchem-core 2.3 to 2.24 that are read elsewhere or make no difference here.
_KNOWN = {key for key, _, _ in _REQUIRED + _REQUIRED_OF_EXPERTS} | {
    *("model", "model_version", "num_experts", "dataset_list", "dataset_mapping"),
    *("max_num_elements", "sphere_channels", "hidden_channels", "edge_channels", "num_layers"),
    *("mmax", "num_distance_basis", "cutoff", "charge_balanced_channels"),
    *("spin_balanced_channels", "max_neighbors", "enforce_max_neighbors_strictly"),
    *("use_dataset_embedding", "grid_resolution", "num_sphere_samples", "otf_graph", "use_pbc"),
    *("use_pbc_single", "always_use_pbc", "radius_pbc_version", "regress_forces"),
    *("regress_stress", "regress_hessian", "hessian_vmap", "activation_checkpointing"),
    *("edge_chunk_size", "execution_mode", "use_cuda_graph_wigner", "use_quaternion_wigner"),
    *("cs_emb_grad", "dataset_emb_grad", "moe_dropout", "composition_dropout", "act"),
    "moe_layer_type",
}


@dataclass(frozen=True)
class Head:
    """The energy head of a checkpoint.

    prefix   of its tensors' names, as "output_heads.energyandforcehead.head.energy_block."
    experts  has it one set of weights per data set?
    slot     data-set name -> slot; empty: one slot serves every name
    """

    prefix: str
    experts: bool
    slot: dict


def read_model_id(model_config):
    """The generation of UMA, as the model file names it."""
    backbone = _backbone(model_config)
    model_id = model_config.get("model_id")
    if isinstance(model_id, str) and model_id.strip():
        if not model_id.isprintable() or len(model_id.encode()) > _ID_BYTES:
            raise ModelError(f"model_id {model_id!r} is not a name of up to {_ID_BYTES} bytes")
        # fairchem fills in "UMA-1.1" where release 1.1 has nothing.
        return "UMA-S-1.1" if model_id == "UMA-1.1" else model_id
    if backbone.get("model_version") in (1.1, "1.1"):
        return "UMA-S-1.1"
    if _experts(backbone) == 0:
        return "untagged" if _has_embeddings(backbone) else "eSEN"
    raise ModelError(
        "no model_id and no model_version 1.1: this is UMA 1.0 or an untagged model, which is not "
        "supported (UMA-S 1.1, 1.2, 1.2.1 and their fine-tunes are)"
    )


def read_architecture(model_config):
    """`architecture` of docs/file-format.md but for `embeddings` and `heads`."""
    backbone = _backbone(model_config)
    experts = _experts(backbone)
    if experts and backbone.get("lmax") == 4:
        raise ModelError("UMA-M (lmax 4) is not supported; UMA-S is")
    for key, default, wanted in _REQUIRED:
        _require(backbone, key, default, wanted)
    for key in sorted(map(str, set(backbone) - _KNOWN)):
        if backbone.get(key) not in (None, False):
            raise ModelError(
                f"{key} {backbone.get(key)!r} of the backbone is not known; umas runs what "
                "fairchem-core 2.3 to 2.24 makes of UMA-S"
            )
    if experts:
        for key, default, wanted in _REQUIRED_OF_EXPERTS:
            _require(backbone, key, default, wanted)
    channels = _integer(backbone, "sphere_channels", 128, 4096)
    return {
        "sphere_channels": channels,
        "hidden_channels": _integer(backbone, "hidden_channels", 128, 4096),
        "edge_channels": _integer(backbone, "edge_channels", 128, 4096),
        "layers": _integer(backbone, "num_layers", 2, 256),
        "lmax": 2,
        "mmax": _integer(backbone, "mmax", 2, 2),
        "distance_functions": _integer(backbone, "num_distance_basis", 512, 4096, smallest=2),
        "elements": _integer(backbone, "max_num_elements", 100, _MAX_ELEMENTS, smallest=2),
        "experts": experts,
        "routing_channels": 2 * experts,
        "cutoff": _cutoff(backbone),
        "max_neighbors": _max_neighbors(backbone),
        "composition_counts_zero_row": experts > 0 and model_config.get("model_id") == "UMA-S-1.2",
        "charge_channels": _channel_range(backbone, "charge_balanced_channels", channels),
        "spin_channels": _channel_range(backbone, "spin_balanced_channels", channels),
    }


def read_embeddings(model_config):
    """(data-set name -> row of the embedding table, the embedding's name of every row).

    Both are empty where the model has none: one row of zeros serves every name."""
    if not _has_embeddings(_backbone(model_config)):
        return {}, []
    mapping = _mapping(_backbone(model_config), "dataset_list", "the backbone")
    rows = sorted(set(mapping.values()))
    return {name: rows.index(target) for name, target in mapping.items()}, rows


def read_head(model_config):
    """The one energy head; other heads are refused."""
    heads = model_config.get("heads")
    if not isinstance(heads, dict) or not heads:
        raise ModelError("model_config has no heads")
    if len(heads) != 1:
        raise ModelError(f"heads {', '.join(map(str, heads))}: one energy head is supported")
    name, head = next(iter(heads.items()))
    if not isinstance(head, dict):
        raise ModelError(f"head {name} is not a dictionary")
    module = str(head.get("module"))
    kind = module.rsplit(".", 1)[-1]
    prefix = f"output_heads.{name}."
    if kind == "MLP_EFS_Head":
        _check_head_options(name, head)
        return Head(prefix + "energy_block.", False, {})
    if kind not in ("DatasetSpecificMoEWrapper", "DatasetSpecificSingleHeadWrapper"):
        raise ModelError(f"head {name}: module {module} is not supported (MLP_EFS_Head is)")
    if str(head.get("head_cls")).rsplit(".", 1)[-1] != "MLP_EFS_Head":
        raise ModelError(
            f"head {name}: head_cls {head.get('head_cls')} is not supported (MLP_EFS_Head is)"
        )
    _check_head_options(name, head.get("head_kwargs") or {})
    prefix += "head.energy_block."
    if kind == "DatasetSpecificSingleHeadWrapper":
        return Head(prefix, False, {})
    mapping = _mapping(head, "dataset_names", f"head {name}")
    slots = sorted(set(mapping.values()))
    return Head(prefix, True, {key: slots.index(target) for key, target in mapping.items()})


def _check_head_options(name, options):
    if not isinstance(options, dict):
        raise ModelError(f"head {name}: its options are not a dictionary")
    if options.get("reduce", "sum") != "sum":
        raise ModelError(f"head {name}: reduce {options['reduce']!r} is not supported ('sum' is)")


def _backbone(model_config):
    backbone = model_config.get("backbone")
    if not isinstance(backbone, dict):
        raise ModelError("model_config has no backbone")
    model = backbone.get("model")
    if model not in _PLAIN_BACKBONES + _MOE_BACKBONES:
        raise ModelError(f"backbone {model!r} is not supported (UMA's eSCNMDMoeBackbone is)")
    return backbone


def _has_embeddings(backbone):
    value = backbone.get("use_dataset_embedding", True)
    if type(value) is not bool:
        raise ModelError(f"use_dataset_embedding {value!r} is neither True nor False")
    return value


def _experts(backbone):
    if backbone["model"] in _PLAIN_BACKBONES:
        return 0
    return _integer(backbone, "num_experts", 8, 4096, smallest=0)


def _require(backbone, key, default, wanted):
    value = backbone.get(key, default)
    if value != wanted or isinstance(value, bool) != isinstance(wanted, bool):
        raise ModelError(f"{key} {value!r} is not supported ({wanted!r} is)")


def _integer(backbone, key, default, largest, smallest=1):
    value = backbone.get(key, default)
    if type(value) is not int or not smallest <= value <= largest:
        raise ModelError(f"{key} {value!r} is not supported ({smallest} to {largest} are)")
    return value


def _cutoff(backbone):
    value = backbone.get("cutoff", 5.0)
    if type(value) not in (int, float) or not 0 < value <= 100:
        raise ModelError(f"cutoff {value!r} is not supported (more than 0 and up to 100 A is)")
    return float(value)


def _max_neighbors(backbone):
    value = backbone.get("max_neighbors", 300)
    if type(value) is not int or value >= 2**31:
        raise ModelError(f"max_neighbors {value!r} is not supported (integers below 2^31 are)")
    return max(value, 0)  # fairchem keeps all neighbours where it is not positive


def _channel_range(backbone, key, channels):
    listed = backbone.get(key) or []
    if not isinstance(listed, list) or any(type(c) is not int for c in listed):
        raise ModelError(f"{key} {listed!r} is not a list of channels")
    if not listed:
        return [0, 0]
    first, end = min(listed), max(listed) + 1
    if first < 0 or end > channels:
        raise ModelError(f"{key} {listed} are not channels of 0 to {channels - 1}")
    if sorted(listed) != list(range(first, end)):
        raise ModelError(f"{key} {listed} are not contiguous, which is not supported")
    return [first, end]


def _mapping(options, deprecated, where):
    """Data-set name -> name whose embedding or head serves it."""
    mapping, names = options.get("dataset_mapping"), options.get(deprecated)
    if mapping is not None and names is not None:
        raise ModelError(f"{where} has both {deprecated} and dataset_mapping")
    if mapping is None and isinstance(names, list):
        if not all(isinstance(name, str) for name in names):
            raise ModelError(f"{where}: {deprecated} holds something that is not a name")
        mapping = {name: name for name in names}
    if not isinstance(mapping, dict) or not mapping:
        raise ModelError(f"{where} has no dataset_mapping")
    if any(not isinstance(name, str) for pair in mapping.items() for name in pair):
        raise ModelError(f"{where}: dataset_mapping holds something that is not a name")
    if len(mapping) > _MAX_NAMES:
        raise ModelError(f"{where}: {len(mapping)} data sets, at most {_MAX_NAMES} are supported")
    strangers = set(mapping.values()) - set(mapping)
    if strangers:
        raise ModelError(
            f"{where}: dataset_mapping leads to {min(strangers)!r}, which it does not list"
        )
    return mapping
