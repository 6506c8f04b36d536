#!/usr/bin/env python3
"""What umas-convert does not support is refused by name, and what it does support is not."""

import copy
import sys
import tempfile
from pathlib import Path

from support import CONVERT, Checkpoint, check, check_refused, finish, read_model, run

NORMALIZERS = "fairchem.core.modules.normalization.normalizer."
REFERENCES = "fairchem.core.modules.normalization.element_references."
FC_M0 = "backbone.blocks.0.edge_wise.so2_conv_1.fc_m0.weights"


def backbone(**changes):
    def change(checkpoint):
        checkpoint.backbone.update(changes)

    return change


def without(key):
    def change(checkpoint):
        del checkpoint.backbone[key]

    return change


def head(**changes):
    def change(checkpoint):
        checkpoint.head.update(changes)

    return change


def task(index, **changes):
    """Tasks 0, 1 and 2 are the energy, forces and stress of oc20."""

    def change(checkpoint):
        checkpoint.tasks[index].update(changes)

    return change


def normalizer(index, **changes):
    def change(checkpoint):
        checkpoint.tasks[index]["normalizer"] = checkpoint.tasks[index]["normalizer"] | changes

    return change


def normalizers(target="Normalizer", **given):
    """The normalizer of all tasks of oc20."""

    def change(checkpoint):
        for index in range(3):
            checkpoint.tasks[index]["normalizer"] = {"_target_": NORMALIZERS + target, **given}

    return change


def created(**given):
    return normalizers("create_normalizer", **given)


def tensor_of(value, target="torch.DoubleTensor"):
    return {"_target_": target, "_args_": [value]}


def references(values, target="ElementReferences"):
    module = {"_target_": REFERENCES + target, "element_references": values}
    return task(0, element_references=module)


def oc20(members):
    return next(t for t in members["tasks"] if t["name"] == "oc20")


def has_neighbors(most):
    return lambda members: members["architecture"]["max_neighbors"] == most


def has_rmsd(rmsd):
    return lambda members: oc20(members)["rmsd"] == rmsd


def tensor(name, **changes):
    return lambda checkpoint: checkpoint.tensor(name, **changes)


def config(**changes):
    return lambda checkpoint: checkpoint.fields["model_config"].update(changes)


def no_identity(checkpoint):
    del checkpoint.fields["model_config"]["model_id"]


def second_head(checkpoint):
    heads = checkpoint.fields["model_config"]["heads"]
    heads["dipole"] = copy.deepcopy(heads["energyandforcehead"])


def data_sets(*names):
    """Names that share the embedding and the head of oc20, in its energy task."""

    def change(checkpoint):
        for mapping in (checkpoint.backbone["dataset_mapping"], checkpoint.head["dataset_mapping"]):
            mapping.update(dict.fromkeys(names, "oc20"))
        checkpoint.tasks[0]["datasets"] = list(names)

    return change


def no_field(name):
    def change(checkpoint):
        del checkpoint.fields[name]

    return change


def empty_ema(checkpoint):
    checkpoint.fields["ema_state_dict"] = {"n_averaged": 1}


def no_energy(checkpoint):
    checkpoint.tasks[:] = [t for t in checkpoint.tasks if t["property"] != "energy"]


def two_energies(checkpoint):
    checkpoint.tasks.append(checkpoint.tasks[0])


def missing_tensor(checkpoint):
    del checkpoint.weights["module.backbone.norm.affine_weight"]


def merged(checkpoint):
    for name in list(checkpoint.weights):
        if ".routing_mlp." in name or ".composition_embedding." in name:
            del checkpoint.weights[name]


def unused(checkpoint):
    checkpoint.backbone["use_dataset_embedding"] = False
    for name in list(checkpoint.weights):
        if ".dataset_embedding." in name:
            del checkpoint.weights[name]


def extra_tensor(checkpoint):
    checkpoint.weights["module.backbone.force_block.weight"] = checkpoint.weights[
        "module.backbone.norm.affine_weight"
    ]


def integer_tensor(checkpoint):
    from umas_convert.unpickle import StorageReference

    old = checkpoint.weights["module.backbone.norm.affine_weight"].storage
    checkpoint.tensor(
        "backbone.norm.affine_weight",
        storage=StorageReference(old.key, "torch.LongStorage", old.count // 2),
    )


def not_finite(checkpoint):
    storage = checkpoint.weights["module.backbone.mix_csd.weight"].storage
    content = bytearray(checkpoint.entries[f"data/{storage.key}"])
    content[8:12] = b"\x00\x00\xc0\x7f"
    checkpoint.entries[f"data/{storage.key}"] = bytes(content)


# name: (what to change in uma-1.2.1.pt, what the message says)
REFUSED = {
    "direct forces": (backbone(direct_forces=True), "direct_forces True"),
    "direct forces by default": (without("direct_forces"), "direct_forces True"),
    "direct stress": (backbone(direct_stress=True), "direct_stress True"),
    "lmax 4": (backbone(lmax=4), "lmax 4"),
    "mmax 3": (backbone(mmax=3), "mmax 3"),
    "mmax 0": (backbone(mmax=0), "mmax 0"),
    "layer norm": (backbone(norm_type="layer_norm_sh"), "norm_type 'layer_norm_sh'"),
    "S2 activation": (backbone(act_type="s2"), "act_type 's2'"),
    "grid feed-forward": (backbone(ff_type="grid"), "ff_type 'grid'"),
    "grid by default": (without("ff_type"), "ff_type 'grid'"),
    "other distances": (backbone(distance_function="bessel"), "distance_function 'bessel'"),
    "charge by sines": (backbone(chg_spin_emb_type="pos_emb"), "chg_spin_emb_type 'pos_emb'"),
    "charge by default": (without("chg_spin_emb_type"), "chg_spin_emb_type 'pos_emb'"),
    "charge by a line": (backbone(chg_spin_emb_type="lin_emb"), "chg_spin_emb_type 'lin_emb'"),
    "embeddings that are not used": (
        backbone(use_dataset_embedding=False),
        "tensor backbone.dataset_embedding.dataset_emb_dict.oc20.weight is no part",
    ),
    "mix of a data set that is not used": (unused, "mix_csd.weight has shape [8, 24], not [8, 16]"),
    "text for an embedding": (
        backbone(use_dataset_embedding="no"),
        "use_dataset_embedding 'no' is neither",
    ),
    "UMA-M": (backbone(lmax=4, mmax=2), "UMA-M (lmax 4) is not supported; UMA-S is"),
    "a large eSEN": (backbone(lmax=4, num_experts=0), ": lmax 4 is not supported (2 is)"),
    "a solvent": (backbone(use_solvent_embedding=True), "use_solvent_embedding True"),
    "no composition": (
        backbone(use_composition_embedding=False),
        "use_composition_embedding False",
    ),
    "other expert norm": (
        backbone(moe_expert_coefficient_norm="pnorm"),
        "moe_expert_coefficient_norm 'pnorm'",
    ),
    "experts elsewhere": (backbone(moe_type="all"), "moe_type 'all'"),
    "experts in some layers": (backbone(layers_moe=[0]), "layers_moe [0]"),
    "shared experts": (backbone(moe_single=True), "moe_single True"),
    "scattered channels": (
        backbone(charge_balanced_channels=[0, 2]),
        "charge_balanced_channels [0, 2]",
    ),
    "channels out of range": (
        backbone(spin_balanced_channels=[7, 8]),
        "spin_balanced_channels [7, 8]",
    ),
    "channels of text": (
        backbone(charge_balanced_channels="all"),
        "charge_balanced_channels 'all'",
    ),
    "too many elements": (backbone(max_num_elements=200), "max_num_elements 200"),
    "huge width": (backbone(sphere_channels=10**9), "sphere_channels 1000000000"),
    "width of text": (backbone(hidden_channels="6"), "hidden_channels '6'"),
    "no cutoff": (backbone(cutoff=0), "cutoff 0"),
    "neighbours of text": (backbone(max_neighbors="all"), "max_neighbors 'all'"),
    "half a neighbour": (backbone(max_neighbors=30.5), "max_neighbors 30.5"),
    "neighbours beyond all": (backbone(max_neighbors=2**31), "max_neighbors 2147483648"),
    "other backbone": (backbone(model="escaip_backbone"), "backbone 'escaip_backbone'"),
    "no mapping": (without("dataset_mapping"), "the backbone has no dataset_mapping"),
    "list and mapping": (backbone(dataset_list=["omat"]), "both dataset_list and dataset_mapping"),
    "mapping to a stranger": (backbone(dataset_mapping={"omat": "omol"}), "'omol'"),
    "UMA 1.0": (no_identity, "no model_id"),
    "no backbone": (config(backbone=None), "no backbone"),
    "no heads": (config(heads={}), "no heads"),
    "two heads": (second_head, "heads energyandforcehead, dipole"),
    "force head": (
        head(module="fairchem.core.models.uma.escn_md.Linear_Force_Head"),
        "Linear_Force_Head",
    ),
    "other inner head": (
        head(head_cls="fairchem.core.models.uma.escn_md.Linear_Energy_Head"),
        "Linear_Energy_Head",
    ),
    "mean energy": (head(head_kwargs={"reduce": "mean"}), "reduce 'mean'"),
    "mean of the energy": (normalizer(0, mean=0.5), "mean 0.5"),
    "rmsd 0": (normalizer(0, rmsd=0.0), "rmsd 0.0"),
    "rmsd not finite": (normalizer(0, rmsd=float("nan")), "rmsd nan"),
    "forces of another scale": (normalizer(1, rmsd=2.0), "not the energy's gradient"),
    "no normalizer": (task(0, normalizer=None), "no normalizer"),
    "normalizer without a target": (
        task(0, normalizer={"mean": 0.0, "rmsd": 2.0}),
        "normalizer None is not supported",
    ),
    "normalizer of another's": (
        task(0, normalizer={"_target_": "mine.Normalizer", "rmsd": 2.0}),
        "normalizer 'mine.Normalizer' is not supported",
    ),
    "fitted normalizers": (normalizers("fit_normalizers"), "fit_normalizers' is not supported"),
    "normalizer with std": (normalizers(mean=0.0, std=2.0), "Normalizer with std 2.0"),
    "normalizer with stdev": (normalizers(mean=0.0, stdev=2.0), "Normalizer with stdev 2.0"),
    "normalizer twice": (normalizers(_args_=[0.0, 2.0], rmsd=2.0), "Normalizer with rmsd 2.0"),
    "normalizer of three": (normalizers(_args_=[0.0, 1.0, 2.0]), "arguments [0.0, 1.0, 2.0]"),
    "rmsd None": (normalizers(rmsd=None), "rmsd None"),
    "rmsd of text": (normalizers(rmsd="2"), "rmsd '2'"),
    "rmsd True": (normalizers(rmsd=True), "rmsd True"),
    "an rmsd a component": (normalizers(rmsd=tensor_of([1.0, 2.0])), "rmsd [1.0, 2.0]"),
    "computed rmsd": (normalizers(rmsd=tensor_of(1.0, "os.system")), "from 'os.system'"),
    "created without a mean": (created(stdev=2.0), "create_normalizer needs mean and rmsd"),
    "created without a scale": (created(mean=0.0), "create_normalizer needs mean and rmsd"),
    "created with a mean": (created(mean=0.5, stdev=2.0), "mean 0.5"),
    "created from a file": (
        created(file="/data/normalizers.pt", mean=0.0, rmsd=2.0),
        "is read from '/data/normalizers.pt', which the checkpoint does not hold",
    ),
    "created from data": (created(tensor=tensor_of([1.0, 2.0])), "made from a tensor of data"),
    "created from another state": (created(state_dict={"rmsd": 2.0}), "state_dict {'rmsd': 2.0}"),
    "created with more": (created(mean=0.0, rmsd=2.0, scale=3), "create_normalizer with scale 3"),
    "other stdev of the forces": (
        normalizer(1, _target_=NORMALIZERS + "create_normalizer", rmsd=None, stdev=2.0),
        "not the energy's gradient",
    ),
    "other property": (task(0, property="dipole"), "property 'dipole'"),
    "unknown data set": (task(0, datasets=["oc19"]), "'oc19'"),
    "data sets of text": (task(0, datasets="oc20"), "no list of data sets"),
    "long name": (
        backbone(dataset_mapping={"x" * 64: "x" * 64}),
        "has an energy task but no embedding",
    ),
    "references of text": (references("none"), "element_references are not a list"),
    "no reference": (references([0.0]), "element_references are a list of 1"),
    "references of another kind": (
        references([0.0] * 100, "LinearReferences"),
        "LinearReferences' are not supported",
    ),
    "references without a target": (
        task(0, element_references={"element_references": [0.0] * 100}),
        "element_references None are not supported",
    ),
    "references with more": (
        task(0, element_references={"_target_": REFERENCES + "ElementReferences", "scale": 2.0}),
        "ElementReferences with scale 2.0",
    ),
    "references not finite": (
        references([float("inf")] * 101),
        "element_references are not a list",
    ),
    "computed references": (references({"_target_": "os.system", "_args_": ["x"]}), "'os.system'"),
    "no energy task": (no_energy, "no energy task"),
    "two energy tasks": (two_energies, "two energy tasks"),
    "no model_config": (no_field("model_config"), "no model_config"),
    "no tasks_config": (no_field("tasks_config"), "no tasks_config"),
    "no EMA": (no_field("ema_state_dict"), "no EMA weights"),
    "empty EMA": (empty_ema, "no EMA weights"),
    "missing tensor": (missing_tensor, "no tensor backbone.norm.affine_weight"),
    "extra tensor": (extra_tensor, "tensor backbone.force_block.weight"),
    "integer tensor": (integer_tensor, "torch.LongStorage"),
    "not a number": (not_finite, "not finite"),
    "other width": (backbone(hidden_channels=7), "has shape"),
    "other number of experts": (backbone(num_experts=2), "has shape"),
    "negative offset": (tensor(FC_M0, offset=-1), "malformed offset"),
    "offset too large": (tensor(FC_M0, offset=1), "reaches number"),
    "negative stride": (tensor(FC_M0, strides=(-1440, 48, 1)), "malformed offset"),
    "stride too large": (tensor(FC_M0, strides=(1440, 48, 2**62)), "reaches number"),
    "strides missing": (tensor(FC_M0, strides=(1,)), "malformed offset"),
    "negative size": (tensor(FC_M0, shape=(-3, 30, 48)), "malformed offset"),
    "no size": (tensor(FC_M0, shape=(0, 30, 48)), "is empty"),
    "size beyond all": (tensor(FC_M0, shape=(2**40, 30, 48), strides=(0, 0, 0)), "malformed shape"),
    "merged experts": (merged, "its experts are merged for one composition"),
    "a hundred sizes": (tensor(FC_M0, shape=(1,) * 100, strides=(1,) * 100), "malformed shape"),
    "a stride that is not taken": (
        tensor(FC_M0, shape=(1, 30, 48), strides=(2**70, 48, 1)),
        "has shape [1, 30, 48]",
    ),
    # found by tests/fuzz/fuzz_checkpoint.py
    "data sets that are no names": (
        backbone(dataset_mapping=None, dataset_list=[["omat"]]),
        "dataset_list holds something that is not a name",
    ),
    "options of text": (head(head_kwargs="sum"), "its options are not a dictionary"),
    "references computed by a list": (
        references({"_target_": ["torch.tensor"], "_args_": [[0.0]]}),
        "from ['torch.tensor'] are not supported",
    ),
    "a channel beyond all": (
        backbone(charge_balanced_channels=[0, 10**30]),
        "are not channels of 0 to 7",
    ),
    "a scale beyond all": (normalizers(rmsd=1e308), "are not numbers of use"),
    "a single scale beyond all": (
        normalizers(rmsd=tensor_of(1e300, "torch.FloatTensor")),
        "are not numbers of use",
    ),
    # what the library would not load
    "one element": (backbone(max_num_elements=1), "max_num_elements 1"),
    "a model_id of two lines": (config(model_id="UMA\nS"), "model_id 'UMA\\nS' is not a name"),
    "a long model_id": (config(model_id="x" * 64), "is not a name of up to 63 bytes"),
    "half a character": (config(model_id="\ud800"), "is not a name"),
    "a name of two words": (data_sets("two words"), "data set 'two words': names are one word"),
    "a name of two lines": (data_sets("two\nlines"), "names are one word"),
    "many data sets": (
        data_sets(*map(str, range(250))),
        "the backbone: 257 data sets, at most 256 are supported",
    ),
    "size of text": (tensor(FC_M0, shape=("3", 30, 48)), "malformed offset"),
}

# name: (what to change, what the result must hold)
ACCEPTED = {
    "nothing changed": (lambda checkpoint: None, lambda m: m["model_id"] == "UMA-S-1.2.1"),
    "own model_id": (config(model_id="MINE-3"), lambda m: m["model_id"] == "MINE-3"),
    "release 1.2's rule": (
        config(model_id="UMA-S-1.2"),
        lambda m: m["architecture"]["composition_counts_zero_row"] is True,
    ),
    "no references": (
        task(0, element_references=None),
        lambda m: oc20(m)["references"] == [],
    ),
    "single precision references": (
        references(tensor_of([0.1] * 100, "torch.FloatTensor")),
        lambda m: oc20(m)["references"][1] == 0.10000000149011612,
    ),
    "references as torch.tensor": (
        references({"_target_": "torch.tensor", "data": [0.1] * 100}),
        lambda m: oc20(m)["references"][1] == 0.10000000149011612,
    ),
    "references for few elements": (
        references(tensor_of([0.5] * 84)),
        lambda m: (
            oc20(m)["references"] == [0.5] * 84 + [None] * 16
            and all(None not in t["references"] for t in m["tasks"] if t["name"] != "oc20")
        ),
    ),
    "experts by DGL": (backbone(moe_layer_type="dgl"), lambda m: m["architecture"]["experts"] == 3),
    "experts by a new kernel": (
        backbone(moe_layer_type="fused"),
        lambda m: m["architecture"]["experts"] == 3,
    ),
    # Normalizer(mean=0.0, rmsd=1.0) and create_normalizer(file, state_dict, tensor, mean, rmsd,
    # stdev) of fairchem-core 2.3 to 2.24; what each makes of its arguments is read from its code.
    "rmsd by default": (normalizers(), has_rmsd(1.0)),
    "rmsd": (normalizers(mean=0, rmsd=2), has_rmsd(2.0)),
    "rmsd in its place": (normalizers(_args_=[0.0, 2.5]), has_rmsd(2.5)),
    "rmsd as a tensor": (normalizers(rmsd=tensor_of(0.1)), has_rmsd(0.1)),
    "rmsd as a tensor of one": (normalizers(rmsd=tensor_of([0.1])), has_rmsd(0.1)),
    "rmsd in single precision": (
        normalizers(rmsd=tensor_of([0.1], "torch.FloatTensor")),
        has_rmsd(0.10000000149011612),
    ),
    "forces in single precision": (
        normalizer(1, rmsd=tensor_of([1.423], "torch.FloatTensor")),
        has_rmsd(1.423),
    ),
    "created from rmsd": (created(mean=0.0, rmsd=2.0), has_rmsd(2.0)),
    "created from stdev": (created(mean=0.0, stdev=2.0), has_rmsd(2.0)),
    "created from both": (created(mean=0.0, rmsd=3.0, stdev=2.0), has_rmsd(3.0)),
    "created with nothing else": (
        created(mean=0.0, rmsd=3.0, stdev=None, file=None, state_dict=None, _convert_="all"),
        has_rmsd(3.0),
    ),
    "created in its place": (created(_args_=[None, None, None, 0.0, 2.0]), has_rmsd(2.0)),
    "created from a state": (created(state_dict={"mean": 0.0, "rmsd": 2.0}), has_rmsd(2.0)),
    "created from an old state": (created(state_dict={"mean": 0.0, "std": 2.0}), has_rmsd(2.0)),
    "no solvent": (
        backbone(use_solvent_embedding=False),
        lambda m: m["model_id"] == "UMA-S-1.2.1",
    ),
    "few neighbours": (backbone(max_neighbors=30), has_neighbors(30)),
    "all neighbours": (backbone(max_neighbors=-1), has_neighbors(0)),
    "few neighbours, strictly, which no fairchem reads": (
        backbone(max_neighbors=20, enforce_max_neighbors_strictly=True),
        has_neighbors(20),
    ),
    "no balanced channels": (
        backbone(charge_balanced_channels=None),
        lambda m: m["architecture"]["charge_channels"] == [0, 0],
    ),
}


def main():
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.pt", Path(folder) / "out.safetensors"
        for name, (change, words) in REFUSED.items():
            checkpoint = Checkpoint("uma-1.2.1")
            change(checkpoint)
            checkpoint.write(source)
            check_refused(name, CONVERT, [source, "-o", target], words)
            check(
                sorted(p.name for p in Path(folder).iterdir()) == ["in.pt"], f"{name}: left a file"
            )
        for name, (change, holds) in ACCEPTED.items():
            checkpoint = Checkpoint("uma-1.2.1")
            change(checkpoint)
            code, _, err = run(CONVERT, checkpoint.write(source), "-o", target, "--force")
            check(code == 0, f"{name}: exit status {code}: {err}")
            check(code == 0 and holds(read_model(target)[0]), f"{name}: not in the result")
        # The library reads no control characters, which the name of a file may have.
        odd = Checkpoint("uma-1.2.1").write(Path(folder) / "a\nb.pt")
        code, _, err = run(CONVERT, odd, "-o", target, "--force")
        check(code == 0, f"a name of two lines: exit status {code}: {err}")
        check(read_model(target)[0]["source"]["name"] == "a?b.pt", "a name of two lines is shown")
    finish()


if __name__ == "__main__":
    sys.exit(main())
