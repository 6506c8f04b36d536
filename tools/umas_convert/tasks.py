"""From a checkpoint's tasks_config to the tasks of the model file."""

import math

import numpy as np

from . import ModelError

_NAME_BYTES = 63  # what umas_task of umas.h holds


def read_tasks(tasks_config, elements, embedding_row, head_slot):
    """`tasks` of docs/file-format.md, sorted by name: one for each data set with an energy task.

    elements       rows of the element tables
    embedding_row  data-set name -> row of the embedding table
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
    if not tasks:
        raise ModelError("tasks_config holds no energy task")
    for config in derivatives:
        _check_derivative(config, tasks)
    return [tasks[name] for name in sorted(tasks)]


def _task(name, embedding_row, head_slot, scale, references):
    if name not in embedding_row:
        raise ModelError(f"data set {name!r} has an energy task but no embedding")
    if head_slot and name not in head_slot:
        raise ModelError(f"data set {name!r} has an energy task but no head")
    if not 0 < len(name.encode()) <= _NAME_BYTES:
        raise ModelError(f"data set {name!r}: names have 1 to {_NAME_BYTES} bytes")
    return {
        "name": name,
        "embedding": embedding_row[name],
        "head": head_slot.get(name, 0),
        "rmsd": scale,
        "references": references,
    }


def _check_derivative(config, tasks):
    """Forces and stress are derivatives of the energy only if they have its scale."""
    scale = _rmsd(config)
    for name in _datasets(config):
        if name in tasks and tasks[name]["rmsd"] != scale:
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
    name, normalizer = config.get("name"), config.get("normalizer")
    if not isinstance(normalizer, dict):
        raise ModelError(f"task {name!r} has no normalizer")
    mean, rmsd = normalizer.get("mean", 0.0), normalizer.get("rmsd", 1.0)
    if not _finite(mean) or not _finite(rmsd) or rmsd <= 0:
        raise ModelError(
            f"task {name!r}: normalizer mean {mean!r}, rmsd {rmsd!r} are not numbers of use"
        )
    if mean != 0:
        raise ModelError(f"task {name!r}: normalizer mean {mean} is not supported (0 is)")
    return float(rmsd)


def _references(config, elements):
    """eV per atom by atomic number; an empty list where the task has none."""
    name, module = config.get("name"), config.get("element_references")
    if module is None:
        return []
    if not isinstance(module, dict):
        raise ModelError(f"task {name!r}: element_references are not a dictionary")
    values = module.get("element_references")
    single = False
    if isinstance(values, dict):
        target = values.get("_target_")
        if target not in ("torch.DoubleTensor", "torch.FloatTensor"):
            raise ModelError(f"task {name!r}: element_references from {target!r} are not supported")
        single = target == "torch.FloatTensor"
        arguments = values.get("_args_")
        values = arguments[0] if isinstance(arguments, list) and len(arguments) == 1 else None
    if not isinstance(values, list) or not all(_finite(value) for value in values):
        raise ModelError(f"task {name!r}: element_references are not a list of numbers")
    if len(values) < elements:
        raise ModelError(
            f"task {name!r}: {len(values)} element references for {elements} elements of the model"
        )
    values = values[:elements]
    return [float(np.float32(value)) if single else float(value) for value in values]


def _finite(value):
    return type(value) in (int, float) and math.isfinite(value)
