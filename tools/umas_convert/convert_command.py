"""umas-convert: its command line."""

import argparse
import sys

try:
    import numpy  # noqa: F401 - what the modules below need, with a hint where it is missing
except ImportError:
    sys.exit("umas-convert: needs numpy (python3 -m pip install numpy)")

from . import VERSION
from .command import run
from .conversion import PROGRAM, convert
from .elements import atomic_numbers
from .model_file import meter

NOTE_BYTES = 200  # what the library reads
DESCRIPTION = """\
Convert a fairchem UMA-S inference checkpoint (uma-s-1p1.pt, uma-s-1p2.pt, uma-s-1p2p1.pt or a
fine-tune of one) into the model file that the pair styles umas and umas/gpu read.  The EMA weights
are kept, in single precision, with all experts and tasks.

Weights that were rounded to 16-bit numbers beforehand fit in a file of half the size with --half;
nothing is rounded here.  --elements and --note say what a model is for: other elements are refused
wherever the file is used, and users are shown the note.

The checkpoint is a zip archive with a Python pickle in it.  It is read by a program that knows the
few names a UMA checkpoint holds and refuses every other; nothing in it is executed, and neither
PyTorch nor fairchem is needed."""
EPILOG = """\
exit status: 0 converted, 1 the checkpoint is refused or cannot be read, 2 wrong command line

The output appears under its name only when it is complete; the checkpoint, devices and pipes are
never replaced.  umas-info OUT.safetensors shows what
it holds."""


def main():
    options = parse()
    wanted = options.verbose or sys.stderr.isatty()
    run(
        PROGRAM,
        lambda: convert(
            options.checkpoint,
            options.output,
            options.half,
            options.elements,
            options.note,
            options.force,
            lambda action: meter(PROGRAM, action, wanted),
        ),
    )


def parse():
    parser = argparse.ArgumentParser(
        PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "checkpoint",
        metavar="IN.pt",
        help="the checkpoint, or the folder of one that fairchem's training wrote",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT.safetensors", required=True, help="the model file to write"
    )
    parser.add_argument(
        "--half",
        action="store_true",
        help="store 16-bit numbers; refused unless they hold every weight exactly",
    )
    parser.add_argument(
        "--elements",
        metavar="Si,O",
        type=elements,
        help="the elements that the weights were trained for (not stated: all may be used)",
    )
    parser.add_argument(
        "--note",
        metavar="TEXT",
        type=note,
        help=f"a line for users of the model, of at most {NOTE_BYTES} bytes in UTF-8",
    )
    parser.add_argument("--force", action="store_true", help="replace OUT.safetensors if it exists")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show progress even when stderr is a file"
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    return parser.parse_args()


def elements(text):
    try:
        return atomic_numbers(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def note(text):
    if not text.isprintable():
        raise argparse.ArgumentTypeError("a character that cannot be printed")
    if not 0 < len(text.encode()) <= NOTE_BYTES:
        raise argparse.ArgumentTypeError(
            f"{len(text.encode())} bytes; 1 to {NOTE_BYTES} are possible"
        )
    return text
