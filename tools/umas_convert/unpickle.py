"""A pickle reader that executes nothing.

Python's own unpickler calls whatever a file names.  This one is a small stack machine over the
opcodes: a name in the pickle becomes an inert `Global`, an object becomes an inert `Record`, and
the few calls that a UMA checkpoint makes are answered here by building plain data.  Any other name
or opcode is refused, before anything after it is looked at.
"""

import io
import pickletools
from dataclasses import dataclass, field

from . import ModelError, python_objects

CHECKPOINT = "fairchem.core.units.mlip_unit.api.inference.MLIPInferenceCheckpoint"

STORAGES = {
    f"torch.{name}Storage"
    for name in (
        "Float",
        "Double",
        "Half",
        "BFloat16",
        "Long",
        "Int",
        "Short",
        "Char",
        "Byte",
        "Bool",
    )
}

OMEGACONF = {
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.Metadata",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.nodes.AnyNode",
    "omegaconf.nodes.StringNode",
    "omegaconf.nodes.IntegerNode",
    "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.BooleanNode",
    "omegaconf.nodes.PathNode",
    "omegaconf.nodes.BytesNode",
}

# Objects that become a Record: their fields are kept, their class is never looked up.
RECORDS = OMEGACONF | {CHECKPOINT}

# Calls that are answered by plain data (see _call).
CALLS = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
} | python_objects.CALLS

# Names that stand for a type and are only carried about: element types of OmegaConf containers,
# storage types of persistent ids, number types.
INERT = (
    STORAGES
    | {python_objects.ARRAY}
    | {f"builtins.{name}" for name in ("dict", "list", "tuple", "int", "float", "str", "bool")}
    | {f"typing.{name}" for name in ("Any", "Dict", "List", "Optional", "Tuple", "Union")}
    | {f"torch.{name}" for name in ("float16", "float32", "float64", "bfloat16", "int64", "int32")}
)

ALLOWED = RECORDS | CALLS | INERT


class _InWords:
    """Messages show values; of these, what they are to the user."""

    def __repr__(self):
        return in_words(self)


@dataclass(frozen=True, repr=False)
class Global(_InWords):
    """A name that the pickle refers to; never imported."""

    name: str


@dataclass(eq=False, repr=False)
class Record(_InWords):
    """An object of the pickle: the name of its class and its fields."""

    name: str
    fields: dict = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class StorageReference(_InWords):
    """A record of the zip file: its key, the name of its storage type, its count of numbers."""

    key: str
    type: str
    count: int


@dataclass(frozen=True, repr=False)
class TensorReference(_InWords):
    """A view into a storage, counted in numbers; not yet checked against the storage."""

    storage: StorageReference
    offset: int
    shape: tuple
    strides: tuple


def in_words(value):
    """What a value is, for messages."""
    if isinstance(value, (Global, Record)):
        return value.name
    kinds = {
        dict: "a dictionary",
        list: "a list",
        tuple: "a tuple",
        str: "a text",
        bytes: "bytes",
        type(None): "nothing",
        TensorReference: "a tensor",
        StorageReference: "a tensor's storage",
        python_objects.Array: "an array",
        python_objects.NumberType: "a number type",
    }
    return kinds.get(type(value), "a number")


class _Mark:
    pass


MARK = _Mark()

# Opcodes whose argument is the value they push.
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

# Of a configuration; those of the releases have some thousands and some ten.
_MOST_ITEMS = 2**22
_DEEPEST = 100


def load(pickle_bytes):
    """The object that the pickle describes, made of plain data, Records, Globals and references.

    Raises ModelError for a name or opcode that a UMA checkpoint does not hold, or a pickle that
    is cut short or malformed."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(pickle_bytes)):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except ValueError as error:
        raise ModelError(f"malformed pickle: {error}") from None
    except (IndexError, KeyError, TypeError, AttributeError):
        raise ModelError("malformed pickle: a value is missing or of the wrong kind") from None
    raise ModelError("malformed pickle: it has no end")


class _Machine:
    def __init__(self):
        self.stack = []
        self.memo = {}

    def pop(self):
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("stack underflow")
        return self.stack.pop()

    def pop_to_mark(self):
        items = []
        while self.stack and self.stack[-1] is not MARK:
            items.append(self.stack.pop())
        if not self.stack:
            raise ValueError("missing mark")
        self.stack.pop()
        return items[::-1]

    def top(self, kind):
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError(f"{in_words(kind())} was expected")
        return self.stack[-1]

    def step(self, name, argument):
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _PUT:
            self.memo[int(argument)] = self.stack[-1]
        elif name in _GET:
            self.stack.append(self.memo[int(argument)])
        elif name in _TUPLES:
            items = [self.pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(items[::-1]))
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise ModelError(
                f"refused: the pickle uses {name}, which no UMA checkpoint needs; nothing was run"
            )

    def memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def mark(self, _):
        self.stack.append(MARK)

    def tuple_(self, _):
        self.stack.append(tuple(self.pop_to_mark()))

    def list_(self, _):
        self.stack.append(self.pop_to_mark())

    def dict_(self, _):
        items = self.pop_to_mark()
        self.stack.append({})
        self._set(items)

    def append(self, _):
        value = self.pop()
        self.top(list).append(value)

    def appends(self, _):
        values = self.pop_to_mark()
        self.top(list).extend(values)

    def setitem(self, _):
        value = self.pop()
        key = self.pop()
        self._set([key, value])

    def setitems(self, _):
        self._set(self.pop_to_mark())

    def _set(self, items):
        target = self.top(dict)
        if len(items) % 2:
            raise ValueError("a key without a value")
        # Hashing a deeply nested tuple would exhaust the C stack.
        if not all(isinstance(key, (str, int)) for key in items[::2]):
            raise ValueError("a dictionary key that is neither text nor an integer")
        target.update(zip(items[::2], items[1::2]))

    def global_(self, argument):
        module, name = argument.split(" ", 1)
        self._name(module, name)

    def stack_global(self, _):
        name = self.pop()
        module = self.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is not text")
        self._name(module, name)

    def _name(self, module, name):
        # Pickles of protocol 2 use Python 2's names for the builtins.
        if module == "__builtin__":
            module, name = "builtins", {"long": "int", "unicode": "str"}.get(name, name)
        full = f"{module}.{name}"
        if full not in ALLOWED:
            raise ModelError(
                f"refused: the pickle names {full!r}, which no UMA checkpoint needs; "
                "nothing was run"
            )
        self.stack.append(Global(full))

    def newobj(self, _):
        arguments = self.pop()
        target = self.pop()
        if not isinstance(target, Global) or target.name not in RECORDS or arguments != ():
            raise ModelError(
                f"refused: the pickle makes an object of {_shown(target)}; nothing was run"
            )
        self.stack.append(Record(target.name))

    def build(self, _):
        state = self.pop()
        target = self.stack[-1]
        # An ordered dictionary of tensors carries module versions as an attribute: not needed.
        if isinstance(target, dict):
            return
        if isinstance(target, (python_objects.NumberType, python_objects.Array)):
            if not python_objects.set_state(target, state):
                raise ModelError(
                    "refused: the pickle holds an array of numpy that is not one of numbers in "
                    "little-endian order; nothing was run"
                )
            return
        if not isinstance(target, Record) or not isinstance(state, dict):
            raise ModelError(
                f"refused: the pickle sets the state of {_shown(target)}; nothing was run"
            )
        target.fields.update(state)

    def reduce(self, _):
        arguments = self.pop()
        target = self.pop()
        if not isinstance(target, Global) or target.name not in CALLS:
            raise ModelError(f"refused: the pickle calls {_shown(target)}; nothing was run")
        if not isinstance(arguments, tuple):
            raise ValueError("arguments that are not a tuple")
        self.stack.append(_call(target.name, arguments))

    def persistent(self, _):
        identity = self.pop()
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise ModelError(
                "refused: the pickle has a persistent id that is not a tensor's storage"
            )
        _, kind, key, _, count = identity
        if not isinstance(kind, Global) or kind.name not in STORAGES:
            raise ModelError(f"refused: a tensor's storage is of type {_shown(kind)}")
        if not isinstance(key, str) or type(count) is not int:
            raise ValueError("a storage without key or size")
        self.stack.append(StorageReference(key, kind.name, count))


_STEPS = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "POP": lambda machine, argument: machine.stack.pop(),
    "POP_MARK": lambda machine, argument: machine.pop_to_mark(),
    "MEMOIZE": _Machine.memoize,
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple_,
    "LIST": _Machine.list_,
    "DICT": _Machine.dict_,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.setitem,
    "SETITEMS": _Machine.setitems,
    "GLOBAL": _Machine.global_,
    "STACK_GLOBAL": _Machine.stack_global,
    "NEWOBJ": _Machine.newobj,
    "BUILD": _Machine.build,
    "REDUCE": _Machine.reduce,
    "BINPERSID": _Machine.persistent,
}


def _shown(value):
    return repr(value.name) if isinstance(value, (Global, Record)) else in_words(value)


def _call(name, arguments):
    if name in python_objects.CALLS:
        value = python_objects.call(name, arguments)
        return _wrong(name) if value is None else value
    if name == "collections.OrderedDict":
        return {} if arguments == () else _wrong(name)
    if name == "collections.defaultdict":
        return {}
    if name == "torch.Size":
        return tuple(*arguments) if len(arguments) <= 1 else _wrong(name)
    if name == "torch._utils._rebuild_parameter":
        tensor = arguments[0]
        return tensor if isinstance(tensor, TensorReference) else _wrong(name)
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, StorageReference):
        _wrong(name)
    return TensorReference(storage, offset, tuple(shape), tuple(strides))


def _wrong(name):
    raise ModelError(f"refused: the pickle calls {name!r} with arguments no checkpoint gives it")


def plain(value, numbers):
    """`value` with OmegaConf containers, tensors and arrays turned into dictionaries, lists and
    numbers; numbers(tensor) gives those of a TensorReference."""
    return _plain(value, numbers, {}, 0)[0]


def _plain(value, numbers, known, depth):
    """(plain value, its items, its depth); both count what is shared every time it is met, since
    whoever writes the value out meets it as often."""
    if isinstance(value, python_objects.Array):
        value = value.values
    if isinstance(value, TensorReference):
        key = "numbers", id(value)
        if key not in known:
            known[key] = numbers(value)  # kept here, as all that is known by its id must be
        value = known[key]
    if not isinstance(value, (dict, list, tuple, Record)):
        return value, 1, 0
    if depth > _DEEPEST:
        raise ModelError("the configuration in the checkpoint is nested too deeply")
    if id(value) not in known:
        found, inner = _plain_container(value, numbers, known, depth)
        items = 1 + sum(item[1] for item in inner)
        height = 1 + max((item[2] for item in inner), default=0)
        if items > _MOST_ITEMS:
            raise ModelError(f"the configuration in the checkpoint has over {_MOST_ITEMS} items")
        known[id(value)] = found, items, height
    if depth + known[id(value)][2] > _DEEPEST:
        raise ModelError("the configuration in the checkpoint is nested too deeply")
    return known[id(value)]


def _plain_container(value, numbers, known, depth):
    """(plain value, what _plain gives for all that is in it)"""
    if isinstance(value, dict):
        inner = [_plain(item, numbers, known, depth + 1) for item in value.values()]
        return {key: item[0] for key, item in zip(value, inner)}, inner
    if isinstance(value, (list, tuple)):
        inner = [_plain(item, numbers, known, depth + 1) for item in value]
        return [item[0] for item in inner], inner
    if value.name.startswith("omegaconf.nodes."):
        content = value.fields.get("_val")
    elif value.name in ("omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"):
        content = value.fields.get("_content")
    else:
        raise ModelError(f"a {value.name} stands where the configuration should hold plain values")
    if isinstance(content, str) and ("${" in content or content == "???"):
        raise ModelError(
            f"the configuration holds {content!r}, an OmegaConf reference without its value; "
            "save the checkpoint with resolved configurations"
        )
    inner = [_plain(content, numbers, known, depth + 1)]
    return inner[0][0], inner
