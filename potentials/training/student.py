"""The student: a UMA-S 1.2.1-type model of fairchem's own classes, and its energy in few launches.

Training uses the model without experts, whose layers are plain linear ones; a model with one expert
is the same function (export.py makes it and checks that).  The forward pass here calls fairchem's
layers in fairchem's order; what it adds is the graph of a whole batch, rotation matrices whose
derivatives are cheap, and one charge, spin and data-set embedding for all frames.
"""

import hydra
import torch

from fairchem.core.models.uma.escn_md import balance_channels_batched

TASK = "omat"
ELEMENTS = (8, 14)  # O, Si: what there are labels for
CHARGE_ROW, SPIN_ROW = 100, 0  # of charge 0 and spin 0 in their tables
_UMA = "fairchem.core.models.uma."
_S, _T = 0.5**0.5, (1 / 6) ** 0.5


def model_config(channels=128, layers=2, experts=0):
    """The `model_config` of a checkpoint."""
    head = {"module": _UMA + "escn_md.MLP_EFS_Head", "wrap_property": False}
    if experts:
        head = {
            "module": _UMA + "escn_moe.DatasetSpecificMoEWrapper",
            "head_cls": _UMA + "escn_md.MLP_EFS_Head",
            "wrap_property": True,
            "head_kwargs": {"wrap_property": False},
            "dataset_mapping": {TASK: TASK},
        }
    return {
        "_target_": "fairchem.core.models.base.HydraModel",
        "backbone": {
            "model": _UMA + "escn_moe.eSCNMDMoeBackbone",
            "num_experts": experts,
            "moe_dropout": 0.0,
            "moe_layer_type": "pytorch",
            "use_composition_embedding": True,
            "use_global_embedding": False,
            "max_num_elements": 100,
            "sphere_channels": channels,
            "hidden_channels": channels,
            "edge_channels": channels,
            "num_layers": layers,
            "lmax": 2,
            "mmax": 2,
            "otf_graph": True,
            "max_neighbors": 300,
            "use_pbc": True,
            "use_pbc_single": True,
            "cutoff": 6,
            "distance_function": "gaussian",
            "num_distance_basis": 32,
            "direct_forces": False,
            "regress_forces": True,
            "regress_stress": True,
            "norm_type": "rms_norm_sh",
            "act_type": "gate",
            "ff_type": "spectral",
            "chg_spin_emb_type": "rand_emb",
            "cs_emb_grad": True,
            "charge_balanced_channels": [0, 1, 2],
            "dataset_mapping": {TASK: TASK},
        },
        "heads": {"energyandforcehead": head},
        "pass_through_head_outputs": True,
        "model_id": "UMA-S-1.2.1",
    }


def build(channels=128, layers=2, seed=0):
    """The dense model with fairchem's initial weights."""
    torch.manual_seed(seed)
    return hydra.utils.instantiate(model_config(channels, layers))


def rotations(vectors, lengths):
    """[E, 9, 9] from node features (l-major) into the frame of an edge, whose axis is +y (m-major).

    The turn about the axis is free: no result depends on it.
    """
    axis = vectors / lengths[:, None]
    first = axis[:, :1].abs() < 0.7
    helper = torch.cat([first, torch.zeros_like(first), ~first], 1).to(axis)
    across = helper - (helper * axis).sum(1, keepdim=True) * axis
    across = across / across.norm(dim=1, keepdim=True)
    x, y, z = across, axis, torch.linalg.cross(across, axis, dim=1)

    left = torch.stack([x, x, y, x, y, z], 1)
    right = torch.stack([z, y, z, x, y, z], 1)
    a, b, c = left.unbind(2)
    p, q, r = right.unbind(2)
    # components of the symmetric products along the five orthonormal harmonics of l = 2
    products = torch.stack(
        [
            _S * (a * r + c * p),
            _S * (a * q + b * p),
            _T * (2 * b * q - a * p - c * r),
            _S * (b * r + c * q),
            _S * (c * r - a * p),
        ],
        2,
    )
    xz, xy, yz, xx, yy, zz = products.unbind(1)
    root = 2 * _S
    scalar = torch.nn.functional.pad(torch.ones_like(lengths)[:, None], (0, 8))

    def degree_1(row):
        return torch.nn.functional.pad(row, (1, 5))

    def degree_2(row):
        return torch.nn.functional.pad(row, (4, 0))

    rows = [scalar, degree_1(y), degree_2(_T * (2 * yy - xx - zz))]
    rows += [degree_1(z), degree_2(root * yz), degree_1(x), degree_2(root * xy)]
    rows += [degree_2(_S * (zz - xx)), degree_2(root * xz)]
    return torch.stack(rows, 1)


def neutral_embedding(backbone):
    """[1, C] backbone.csd_embedding of charge 0, spin 0 and the one task, from slices alone."""
    row = torch.cat(
        [
            backbone.charge_embedding.rand_emb.weight[CHARGE_ROW : CHARGE_ROW + 1],
            backbone.spin_embedding.rand_emb.weight[SPIN_ROW : SPIN_ROW + 1],
            backbone.dataset_embedding.dataset_emb_dict[TASK].weight,
        ],
        1,
    )
    return torch.nn.functional.silu(backbone.mix_csd(row))


def node_energies(model, batch, vectors):
    """[N] the network's energy of every atom of a batch; vectors [E, 3] are differentiated."""
    backbone, head = model.backbone, model.output_heads["energyandforcehead"]
    channels = backbone.sphere_channels
    source, target = batch.source, batch.target
    system = neutral_embedding(backbone)

    lengths = vectors.norm(dim=1)
    envelope = backbone.envelope(lengths / backbone.cutoff)
    x_edge = torch.cat(
        [
            backbone.distance_expansion(lengths),
            backbone.source_embedding(batch.elements).index_select(0, source),
            backbone.target_embedding(batch.elements).index_select(0, target),
        ],
        1,
    )
    forward = rotations(vectors, lengths)
    back = forward.transpose(1, 2) * envelope[:, None, None]

    scalars = backbone.sphere_embedding(batch.elements) + system
    x = torch.nn.functional.pad(scalars[:, None], (0, 0, 0, 8))
    degree = backbone.edge_degree_embedding
    radial = degree.rad_func(x_edge).reshape(-1, 3, channels)
    x = x.index_add(0, target, torch.bmm(back[:, :, :3], radial / degree.rescale_factor))
    system = torch.nn.functional.pad(system[:, None], (0, 0, 0, 8))
    neutral = torch.zeros_like(batch.natoms)
    for block in backbone.blocks:
        h = block.norm_1(x) + system
        message = torch.cat([h.index_select(0, source), h.index_select(0, target)], 2)
        edge_wise = block.edge_wise
        message, gates = edge_wise.so2_conv_1(torch.bmm(forward, message), x_edge)
        message = edge_wise.so2_conv_2(edge_wise.act(gates, message))
        x = x.index_add(0, target, torch.bmm(back, message))
        x = x + block.atom_wise(block.norm_2(x))
        x = balance_channels_batched(
            x,
            neutral,
            batch.natoms,
            batch.system,
            backbone.charge_channel_start,
            backbone.charge_channel_end,
        )
    x = backbone.norm(x)
    return head.energy_block(x[:, 0]).squeeze(1)


def energy_forces_stress(model, batch, scale, create_graph):
    """(energy [S] eV without references, forces [N, 3] eV/A, stress [S, 9] eV/A^3) of a batch.

    The energy depends on the edge vectors alone, so their gradients hold forces and stress.
    """
    vectors = batch.vectors.detach().requires_grad_()
    nodes = scale * node_energies(model, batch, vectors)
    energy = torch.zeros_like(batch.energy).index_add(0, batch.system, nodes)
    (gradient,) = torch.autograd.grad(nodes.sum(), vectors, create_graph=create_graph)
    forces = torch.zeros_like(batch.forces)
    forces = forces.index_add(0, batch.source, -gradient).index_add(0, batch.target, gradient)
    outer = vectors[:, :, None] * gradient[:, None, :]
    outer = (0.5 * (outer + outer.transpose(1, 2))).flatten(1)
    stress = torch.zeros_like(batch.stress).index_add(0, batch.edge_system, outer)
    return energy, forces, stress / batch.volume[:, None]
