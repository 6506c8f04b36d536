#!/usr/bin/env python3
"""Where the programs write: nothing is lost, and nothing half-written stays."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from support import CONVERT, GOLDEN, RANDOM_MODEL, check, check_refused, finish, run

SMALL = "--channels 8 --hidden 6 --edge-channels 10 --layers 1 --experts 2".split()

# Runs a program that waits where its file is written but does not have its name yet.
WAITING = """
import os, runpy, sys, time
def wait(_):
    print("written", flush=True)
    time.sleep(60)
os.fsync = wait
program = sys.argv[1]
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(program))
runpy.run_path(program, run_name="__main__")
"""


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.pt"
        source.write_bytes((GOLDEN / "uma-1.1.pt").read_bytes())
        for program, arguments in (
            (CONVERT, lambda output: [source, "-o", output]),
            (RANDOM_MODEL, lambda output: [output, *SMALL]),
        ):
            check_names(folder, program, arguments)
            check_not_files(folder, program, arguments)
            check_link(folder, program, arguments)
            check_stopped(folder, program, arguments)
        check_source(folder, source)
    finish()


def check_source(folder, source):
    """The checkpoint under any of its names; it took its owner an application to get it."""
    content = source.read_bytes()
    os.link(source, folder / "hard.pt")
    (folder / "soft.pt").symlink_to("in.pt")
    (folder / "around").symlink_to(folder, target_is_directory=True)
    words = "is the checkpoint itself"
    for output in ("in.pt", "hard.pt", "soft.pt", "around/in.pt"):
        for force in (["--force"], []):
            arguments = [source, "-o", folder / output, *force]
            check_refused(f"onto {output} {force}", CONVERT, arguments, words)
    arguments = [folder / "soft.pt", "-o", source, "--force"]
    check_refused("from a link", CONVERT, arguments, words)
    check(source.read_bytes() == content, "the checkpoint was changed")
    check((folder / "soft.pt").is_symlink(), "a link to the checkpoint was replaced")


def check_names(folder, program, arguments):
    """What no model file can be called is said at once, not after all the work."""
    (folder / "file").write_text("mine")
    for output, words in {
        "": "the name of the model file is empty",
        ".": ". is a folder; name a file in it, as in model.safetensors",
        folder: f"{folder} is a folder; name a file in it, as in {folder}/model.safetensors",
        f"{folder}/new/": f"there is no folder {folder}/new; make it first",
        f"{folder}/new/out": f"there is no folder {folder}/new; make it first",
        f"{folder}/file/out": f"there is no folder {folder}/file; make it first",
        f"{folder}/{'x' * 252}": "xxx cannot be written: File name too long",
    }.items():
        for force in ([], ["--force"]):
            given = [*arguments(output), *force]
            name = f"{program.name} {str(output)[:60]!r} {force}"
            check_refused(name, program, given, words)
            _, _, err = run(program, *given)
            check(".part" not in err, f"{name}: the message names a file of ours: {err}")
    if os.geteuid() != 0:  # root may write everywhere
        closed = folder / "closed"
        closed.mkdir(exist_ok=True)
        closed.chmod(0o555)
        words = f"no permission to write in folder {closed}"
        check_refused("closed folder", program, arguments(closed / "out"), words)
    check((folder / "file").read_text() == "mine", "a file was changed")
    check(not (folder / "new").exists(), "a folder was made")


def check_not_files(folder, program, arguments):
    """A device that root replaces is gone for every program of the machine."""
    others = {"pipe": lambda path: os.mkfifo(path), "socket": bind}
    if os.geteuid() == 0:
        null = stat.S_IFCHR | 0o666
        others["device"] = lambda path: os.mknod(path, null, os.makedev(1, 3))
    for name, make in others.items():
        path = folder / name
        try:
            make(path)
        except PermissionError:  # root of a container need not be allowed to
            continue
        kind = stat.S_IFMT(path.stat().st_mode)
        link = folder / f"link to {name}"
        link.symlink_to(path)
        for output in (path, link):
            given = [*arguments(output), "--force"]
            check_refused(f"onto {output.name}", program, given, "is a device or pipe")
        check(stat.S_IFMT(path.stat().st_mode) == kind, f"{name}: it was replaced")
        check(link.is_symlink(), f"{name}: the link to it was replaced")
        link.unlink()
        path.unlink()


def bind(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def check_link(folder, program, arguments):
    """A link is the user's file, too: it is kept, and with --force only the link is replaced."""
    other, link, lost = folder / "other", folder / "link", folder / "link to nothing"
    other.write_text("mine")
    link.symlink_to(other)
    lost.symlink_to(folder / "nothing")
    for output in (link, lost):
        check_refused(output.name, program, arguments(output), "exists already; --force")
        check(output.is_symlink(), f"{output.name}: it was replaced")
        code, _, err = run(program, *arguments(output), "--force")
        check(code == 0, f"{output.name}, --force: {err}")
        check(not output.is_symlink() and output.stat().st_size > 1000, f"{output.name}: not there")
        output.unlink()
    check(other.read_text() == "mine", "the file behind a link was changed")


def check_stopped(folder, program, arguments):
    output = folder / "stopped.safetensors"
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        command = [sys.executable, "-c", WAITING, program, *arguments(output)]
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        check(process.stdout.readline() == "written\n", f"{program.name}: it wrote no file")
        check(len(list(folder.glob(".stopped*"))) == 1, f"{program.name}: no partial file")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        name = f"{program.name}, {number.name}"
        check(process.returncode == 1, f"{name}: exit status {process.returncode}")
        check(err == f"{program.name}: interrupted; nothing was written\n", f"{name}: {err!r}")
        left = [path.name for path in folder.iterdir() if "stopped" in path.name]
        check(left == [], f"{name}: left {left}")
        for path in folder.glob(".stopped*"):
            path.unlink()


if __name__ == "__main__":
    sys.exit(main())
