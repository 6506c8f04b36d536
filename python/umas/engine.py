"""Models and engines of umas.h as Python objects, and the arrays that they work on.

Units are eV and A.  Models may be shared by engines and threads; an engine is for one thread at a
time.
"""

import ctypes
import os
import threading
import weakref
from ctypes import byref, c_void_p

import numpy as np

from . import _library as c
from ._library import check, library
from .errors import UmasError

_open_models = weakref.WeakValueDictionary()  # by identity of the file
_opening = threading.Lock()
_threads_of = None  # the process whose OpenMP threads exist: a fork of it has none of them


class Model:
    """A model file, mapped and checked.

    tasks      their names
    cutoff     A
    note       what users must see, or None
    is_random  are its weights random numbers?

    Raises UmasError; its status is "not converted" for a checkpoint of PyTorch.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        lib, handle, error = library(), c_void_p(), c.Error()
        check(lib.umas_model_open(os.fsencode(self.path), byref(handle), byref(error)), error)
        self._handle = handle
        self._close = weakref.finalize(self, lib.umas_model_close, handle)
        architecture = lib.umas_model_architecture(handle).contents
        self.cutoff, self.channels = architecture.cutoff, architecture.sphere_channels
        self.hidden_channels = architecture.hidden_channels
        self.id = lib.umas_model_id(handle).decode()
        note = lib.umas_model_note(handle)
        self.note = note.decode() if note else None
        self.told = False  # have users seen the note?
        self.is_random = bool(lib.umas_model_is_random(handle))
        count = lib.umas_model_task_count(handle)
        self.tasks = [lib.umas_model_task(handle, i).contents.name.decode() for i in range(count)]

    @classmethod
    def open(cls, path):
        """As Model(path), but a file that is open already is not opened again."""
        with _opening:
            try:
                found = os.stat(path)
                key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            except OSError:
                return cls(path)  # which says what is wrong
            model = _open_models.get(key)
            if model is None:
                model = _open_models[key] = cls(path)
            return model


class Engine:
    """One task of a model, for a charge and a spin, on a device.

    model      Model
    task       one of model.tasks
    charge     of the whole system, -100..100
    spin       multiplicity of the whole system, 0 (unspecified) .. 100; None: the task's own, which
               is 1 for omol and 0 for others
    backend    "cpu" or "cuda"
    device     number of the GPU, or None for one that has memory
    precision  "double" or "single" on the CPU, "mixed" or "single" on a GPU
    memory     share of the GPU's free memory to use, 0 < memory <= 1
    """

    BACKENDS = {"cpu": c.CPU, "cuda": c.CUDA}
    PRECISIONS = {"double": c.DOUBLE, "single": c.SINGLE, "mixed": c.MIXED}

    def __init__(self, model, task, charge, spin, backend, device, precision, memory):
        lib, handle, error = library(), c_void_p(), c.Error()
        options = lib.umas_engine_default_options()
        options.backend = self.BACKENDS[backend]
        options.precision = self.PRECISIONS[precision]
        options.task = task.encode()
        options.charge = charge
        options.spin = c.SPIN_OF_TASK if spin is None else spin
        options.device = -1 if device is None else device
        options.memory_fraction = memory
        check(
            lib.umas_engine_create(model._handle, byref(options), byref(handle), byref(error)),
            error,
        )
        self.model, self._handle = model, handle
        self._has_threads = backend == "cuda" or os.environ.get("OMP_NUM_THREADS") != "1"
        self._counts = None
        # The model outlives the engine: the finalizer holds it.
        self._destroy = weakref.finalize(self, _destroy_engine, lib, handle, model)

    def describe(self):
        """One line: where it runs and how it cut the last evaluation."""
        text = ctypes.create_string_buffer(1024)
        library().umas_engine_describe(self._handle, text, len(text))
        return text.value.decode(errors="replace")

    def close(self):
        self._destroy()

    def evaluate(self, graph, changed, want_atom_virials=False):
        """Energies, forces and virials of the atoms of a neighbours.Graph.

        changed   False: all but the positions is as in the last call
        Returns Evaluation.
        """
        counts = np.bincount(graph.element[: graph.owned], minlength=c.ELEMENTS).astype(np.int64)
        error = c.Error()
        lib = library()
        self._refuse_in_fork()
        if self._counts is None or not np.array_equal(counts, self._counts):
            self._counts = None
            check(lib.umas_engine_set_composition(self._handle, counts.ctypes.data, error), error)
            self._counts = counts
        found = Evaluation(graph, want_atom_virials)
        atoms = graph.c_atoms(changed)
        status = lib.umas_engine_evaluate(self._handle, byref(atoms), byref(found.c), byref(error))
        if status != c.OK:
            check(status, error, [graph.atom_of_row(row) for row in error.row if row >= 0])
        return found

    def _refuse_in_fork(self):
        """OpenMP would wait for threads that a fork has not, and CUDA does not survive one."""
        global _threads_of
        if not self._has_threads:
            return
        if _threads_of is None:
            _threads_of = os.getpid()
        if _threads_of != os.getpid():
            raise UmasError(
                "this process was forked from one that had used umas, and has none of its threads: "
                "start processes by multiprocessing.get_context('spawn'), or set OMP_NUM_THREADS=1"
            )


class Evaluation:
    """What an evaluation gave.

    energy         eV
    energies       [atoms] eV
    virial         [6] eV, xx yy zz xy xz yz: sum of r f
    forces         [atoms][3] eV/A
    atom_virials   [atoms][6] eV, or None
    """

    def __init__(self, graph, want_atom_virials):
        self._graph = graph
        self._force = np.empty((graph.total, 3))
        self.energies = np.empty(graph.owned)
        self._atom_virial = np.empty((graph.total, 6)) if want_atom_virials else None
        self.c = c.Result()
        self.c.force = self._force.ctypes.data
        self.c.atom_energy = self.energies.ctypes.data
        if want_atom_virials:
            self.c.atom_virial = self._atom_virial.ctypes.data

    @property
    def energy(self):
        return self.c.energy

    @property
    def edges(self):
        return self.c.edges

    @property
    def virial(self):
        return np.array(self.c.virial)

    @property
    def forces(self):
        return self._graph.sum_over_images(self._force)

    @property
    def atom_virials(self):
        if self._atom_virial is None:
            return None
        return self._graph.sum_over_images(self._atom_virial)


def _destroy_engine(lib, handle, _model):
    lib.umas_engine_destroy(handle)
