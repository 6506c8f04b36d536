"""The structures in Python are those of umas.h."""

import ctypes
import re
import subprocess

from python_run import Failed, from_command_line, true

from umas import _library as c


def structures_are_those_of_the_header(options):
    told = subprocess.run([options.program], capture_output=True, text=True, check=True).stdout
    expected = dict(line.split(" ", 1) for line in told.splitlines())
    found = {
        "UMAS_ELEMENTS": c.ELEMENTS,
        "UMAS_CUDA": c.CUDA,
        "UMAS_SINGLE": c.SINGLE,
        "UMAS_MIXED": c.MIXED,
        "UMAS_SPIN_OF_TASK": c.SPIN_OF_TASK,
    }
    for name, structure in c.STRUCTURES.items():
        found[name] = ctypes.sizeof(structure)
        for member, _ in structure._fields_:
            field = getattr(structure, member)
            found[f"{name}.{member}"] = f"{field.offset} {field.size}"
    found = {name: str(value) for name, value in found.items()}
    differ = {n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n)}
    if differ:
        raise Failed(f"{sorted(differ)} differ: {found} and, in the header, {expected}")
    true("structures were compared", len(found) > 40)


def every_member_is_compared(options):
    """layout.c names all members that the header has."""
    root = options.golden.parents[1]
    header = (root / "include" / "umas.h").read_text()
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    listed = (root / "tests" / "python" / "layout.c").read_text()
    for name in c.STRUCTURES:
        body = re.search(r"typedef struct %s \{(.*?)\} %s;" % (name, name), header, re.S)[1]
        for declaration in body.split(";")[:-1]:
            for variable in declaration.split(","):
                member = re.search(r"(\w+)\s*(\[\w+\])?\s*$", variable)[1]
                true(f"layout.c has no {name}.{member}", f"({name}, {member})" in listed)


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [structures_are_those_of_the_header, every_member_is_compared],
        ("golden", "converted", "program"),
    )
