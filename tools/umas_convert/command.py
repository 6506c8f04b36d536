"""What the programs share: their errors, each one line, and what happens when they are stopped."""

import signal
import sys

from . import ModelError

_LONGEST = 1000  # characters of a message; a value of a damaged file may be of any length


def run(program, action):
    """Print the line that action() returns; exit with 1 and one line where it fails."""
    # Python would die at once and leave a partial file behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)
    try:
        print(action())
    except MemoryError:
        sys.exit(f"{program}: out of memory")
    except ModelError as error:
        sys.exit(f"{program}: {_one_line(str(error))}")
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{program}: {_one_line(name + (error.strerror or str(error)))}")
    except KeyboardInterrupt:
        sys.exit(f"{program}: interrupted; nothing was written")


def _stop(_number, _frame):
    raise KeyboardInterrupt


def _one_line(text):
    """Printable characters only: names in a checkpoint may hold newlines and control sequences."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return line if len(line) <= _LONGEST else line[:_LONGEST] + " ..."
