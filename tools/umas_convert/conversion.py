"""The conversion itself: from a checkpoint to a model file."""

from . import VERSION
from .architecture import read_architecture, read_embeddings, read_head, read_model_id
from .checkpoint import Checkpoint
from .elements import SYMBOLS, check_in_tables
from .given import find_checkpoint
from .model_file import check_destination, tensor_shapes, write_model
from .tasks import read_tasks
from .weights import Weights

PROGRAM = "umas-convert"


def convert(given, output, half=False, elements=None, note=None, force=False, meter=None):
    """Write the model file `output`, whole or not at all; returns a line that sums it up.

    given     the checkpoint, or the folder of one that fairchem's training wrote
    half      store 16-bit numbers, which must hold every weight exactly
    elements  atomic numbers that the weights were trained for, or None: not stated
    note      a line for users of the model, or None
    force     replace `output` if it exists
    meter     meter("reading" or "writing") gives a function that is told (bytes done, bytes)

    Raises ModelError with one line, or OSError.
    """
    source = find_checkpoint(str(given))
    check_destination(output, force, source)
    meter = meter or (lambda action: None)
    checkpoint = Checkpoint(source)
    config = checkpoint.model_config

    model_id = read_model_id(config)
    architecture = read_architecture(config)
    row, rows = read_embeddings(config)
    head = read_head(config)
    slots = max(head.slot.values()) + 1 if head.slot else 1
    architecture |= {"embeddings": max(len(rows), 1), "heads": slots}
    check_in_tables(elements or [], architecture["elements"])
    tasks = read_tasks(checkpoint.tasks_config, architecture["elements"], row, head.slot)
    weights = Weights(checkpoint, architecture["experts"], rows, head, slots)
    weights.check_names(tensor_shapes(architecture))

    members = {
        "model_id": model_id,
        "converter": f"{PROGRAM} {VERSION}",
        "source": {
            "name": "".join(c if c.isprintable() else "?" for c in checkpoint.path.name),
            "sha256": checkpoint.sha256(meter("reading")),
        },
        "random": False,
        "architecture": architecture,
        "tasks": tasks,
    }
    if elements:
        members["trained_elements"] = elements
    if note:
        members["note"] = note
    size = write_model(
        output,
        members,
        weights.tensor,
        force,
        meter("writing"),
        "F16" if half else "F32",
        source,
    )
    names = ", ".join(map(summary, tasks))
    return f"{output}: {model_id}, {size / 1e6:.1f} MB, tasks {names}"


def summary(task):
    """Its name, and where its elements end if that is before the end of the model's."""
    known = [z for z, reference in enumerate(task["references"]) if reference is not None]
    if len(known) == len(task["references"]):
        return task["name"]
    return f"{task['name']} (H to {SYMBOLS[len(known) - 2]} only)"
