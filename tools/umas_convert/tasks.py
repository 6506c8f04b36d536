"""From a checkpoint's tasks_config to the tasks of the model file."""

import numpy as np

from . import ModelError
from .literals import arguments, finite, number, numbers

_NORMALIZERS = "fairchem.core.modules.normalization.normalizer."
_REFERENCES = "fairchem.core.modules.normalization.element_references.ElementReferences"
_NAME_BYTES = 63  # what umas_task of umas.h holds
_MOST_TASKS = 256  # what the library reads


def read_tasks(tasks_config, elements, embedding_row, head_slot):
    """`tasks` of docs/file-format.md, sorted by name: one for each data set with an energy task.

    elements       rows of the element tables
    embedding_row  data-set name -> row of the embedding table; empty: row 0 for all
    head_slot      data-set name -> slot of the energy head; empty: slot 0 for all
    """
    tasks = {}
    derivatives = []
    for config in tasks_config:
        if not isinstance(config, dict):
            raise ModelError("tasks_config holds something that is not a task")
        if config.get("property") == "energy":
            scale, references = _rmsd(config), _references(config, elements)
            for name in _datasets(config):
                if name in tasks:
                    raise ModelError(f"data set {name!r} has two energy tasks")
                tasks[name] = _task(name, embedding_row, head_slot, scale, references)
        elif config.get("property") in ("forces", "stress"):
            derivatives.append(config)
        else:
            raise ModelError(
                f"task {config.get('name')!r}: property {config.get('property')!r} is not "
                "supported (energy, forces and stress are)"
            )
    if not 0 < len(tasks) <= _MOST_TASKS:
        raise ModelError(
            f"tasks_config holds {len(tasks) or 'no'} energy tasks, 1 to {_MOST_TASKS} are possible"
        )
    for config in derivatives:
        _check_derivative(config, tasks)
    return [tasks[name] for name in sorted(tasks)]


def _task(name, embedding_row, head_slot, scale, references):
    if embedding_row and name not in embedding_row:
        raise ModelError(f"data set {name!r} has an energy task but no embedding")
    if head_slot and name not in head_slot:
        raise ModelError(f"data set {name!r} has an energy task but no head")
    if not name.isprintable() or " " in name or not 0 < len(name.encode()) <= _NAME_BYTES:
        raise ModelError(f"data set {name!r}: names are one word of 1 to {_NAME_BYTES} bytes")
    return {
        "name": name,
        "embedding": embedding_row.get(name, 0),
        "head": head_slot.get(name, 0),
        "rmsd": scale,
        "references": references,
    }


def _check_derivative(config, tasks):
    """Forces and stress are derivatives of the energy only if they have its scale."""
    scale = _rmsd(config)
    for name in _datasets(config):
        # One of the two may be a tensor, which is of single precision.
        if name in tasks and np.float32(tasks[name]["rmsd"]) != np.float32(scale):
            raise ModelError(
                f"task {config.get('name')!r}: its rmsd {scale} is not the energy's, "
                f"{tasks[name]['rmsd']}; such forces are not the energy's gradient"
            )


def _datasets(config):
    names = config.get("datasets")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"task {config.get('name')!r} has no list of data sets")
    return names


def _rmsd(config):
    """The factor between the network and eV; fairchem adds a mean, too, which must be 0."""
    where = f"task {config.get('name')!r}: normalizer"
    normalizer = config.get("normalizer")
    if not isinstance(normalizer, dict):
        raise ModelError(f"task {config.get('name')!r} has no normalizer")
    target = normalizer.get("_target_")
    if target == _NORMALIZERS + "Normalizer":
        given = {"mean": 0.0, "rmsd": 1.0} | arguments(normalizer, ["mean", "rmsd"], where)
    elif target == _NORMALIZERS + "create_normalizer":
        given = _created(normalizer, where)
    else:
        raise ModelError(f"{where} {target!r} is not supported ({_NORMALIZERS}Normalizer is)")
    mean, rmsd = number(given["mean"], where), number(given["rmsd"], where)
    if not finite(mean) or not finite(rmsd) or not 0 < rmsd < 1e30:
        raise ModelError(f"{where} mean {mean!r}, rmsd {rmsd!r} are not numbers of use")
    if mean != 0:
        raise ModelError(f"{where} mean {mean} is not supported (0 is)")
    return float(rmsd)


def _created(normalizer, where):
    """mean and rmsd as fairchem's create_normalizer finds them: it has several ways."""
    names = ["file", "state_dict", "tensor", "mean", "rmsd", "stdev"]
    given = arguments(normalizer, names, where)
    given = {key: value for key, value in given.items() if value is not None}
    if "file" in given:
        raise ModelError(
            f"{where} is read from {given['file']!r}, which the checkpoint does not hold; "
            "write its mean and rmsd into the configuration"
        )
    if "state_dict" in given:
        state = given["state_dict"]
        for scale in ("rmsd", "std"):  # the second is a name of earlier days
            if isinstance(state, dict) and set(state) == {"mean", scale}:
                return {"mean": state["mean"], "rmsd": state[scale]}
        raise ModelError(f"{where}: state_dict {state!r} is not one of mean and rmsd")
    if "tensor" in given:
        raise ModelError(f"{where} is made from a tensor of data; write its mean and rmsd instead")
    given.setdefault("rmsd", given.get("stdev"))
    if "mean" not in given or given["rmsd"] is None:
        raise ModelError(f"{where}: create_normalizer needs mean and rmsd, as fairchem does")
    return given


def _references(config, elements):
    """eV per atom by atomic number; None for an element that the task has no energy for.

    An empty list where the task has no references at all: its energies are the network's."""
    module = config.get("element_references")
    if module is None:
        return []
    where = f"task {config.get('name')!r}: element_references"
    if not isinstance(module, dict):
        raise ModelError(f"{where} are not a dictionary")
    if module.get("_target_") != _REFERENCES:
        raise ModelError(f"{where} {module.get('_target_')!r} are not supported ({_REFERENCES} is)")
    given = arguments(module, ["element_references"], where)
    values = numbers(given.get("element_references"), where)
    if not isinstance(values, list) or not all(finite(value) for value in values):
        raise ModelError(f"{where} are not a list of numbers")
    if len(values) < 2:
        raise ModelError(f"{where} are a list of {len(values)}: no element has one")
    # fairchem looks an element up by its number and fails beyond the end of the list.
    missing = [None] * (elements - len(values))
    return [float(value) for value in values[:elements]] + missing
