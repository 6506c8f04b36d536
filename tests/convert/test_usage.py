#!/usr/bin/env python3
"""Wrong command lines and files of umas-convert and umas-random-model: one clear line each."""

import os
import sys
import tempfile
from pathlib import Path

from support import CONVERT, GOLDEN, RANDOM_MODEL, check, check_refused, finish, run


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_convert(folder)
        check_random_model(folder)
        check_help()
    finish()


def check_convert(folder):
    good, target = GOLDEN / "uma-1.1.pt", folder / "out.safetensors"
    there = folder / "there.safetensors"
    there.write_text("mine")
    check_refused("no arguments", CONVERT, [], "required", status=2)
    check_refused("no output", CONVERT, [good], "-o", status=2)
    check_refused("two inputs", CONVERT, [good, good, "-o", target], "unrecognized", status=2)
    check_refused("unknown option", CONVERT, [good, "-o", target, "--fast"], "--fast", status=2)
    for option, value, words in (
        ("--elements", "Si,Xx", "'Xx' is not a chemical element"),
        ("--elements", "si", "'si' is not a chemical element"),
        ("--elements", "Si,O,Si", "Si is there twice"),
        ("--elements", "", "'' is not a chemical element"),
        ("--note", "two\nlines", "a character that cannot be printed"),
        ("--note", "", "0 bytes; 1 to 200 are possible"),
        ("--note", "\u00c5" * 101, "202 bytes; 1 to 200 are possible"),
    ):
        arguments = [good, "-o", target, option, value]
        check_refused(f"{option} {value!r}", CONVERT, arguments, words, status=2)
    check_refused("missing input", CONVERT, [folder / "none.pt", "-o", target], "No such file")
    check_refused("output exists", CONVERT, [good, "-o", there], "--force")
    check(there.read_text() == "mine", "output exists: it was changed")
    if os.geteuid() != 0:  # root may read everything
        secret = folder / "secret.pt"
        secret.write_bytes(b"x")
        secret.chmod(0)
        check_refused("unreadable input", CONVERT, [secret, "-o", target], "Permission denied")
    check(not target.exists(), "a refused conversion left a file")
    code, _, err = run(CONVERT, good, "-o", there, "--force")
    check(code == 0 and there.stat().st_size > 1000, f"--force: exit status {code}: {err}")
    code, _, err = run(CONVERT, good, "-o", target, "--verbose")
    check(code == 0 and "100 %" in err, f"--verbose shows no progress: {err!r}")


def check_random_model(folder):
    target = folder / "random.safetensors"
    cases = {
        "--channels": "6",
        "--hidden": "1",
        "--layers": "0",
        "--experts": "-1",
        "--seed": "-1",
        "--mmax": "3",
        "--version": "1.0",
        "--distance-functions": "1",
    }
    check_refused("no output", RANDOM_MODEL, [], "OUT.safetensors", status=2)
    for option, value in cases.items():
        check_refused(f"{option} {value}", RANDOM_MODEL, [target, option, value], value, status=2)
    check_refused("width of text", RANDOM_MODEL, [target, "--channels", "wide"], "wide", status=2)
    check_refused("output exists", RANDOM_MODEL, [folder / "there.safetensors"], "--force")
    check(not target.exists(), "a refused model left a file")


def check_help():
    for program in (CONVERT, RANDOM_MODEL):
        code, out, _ = run(program, "--help")
        check(
            code == 0 and "usage:" in out and "OUT.safetensors" in out,
            f"{program.name} --help: {out}",
        )
        check(os.access(program, os.X_OK), f"{program.name} is not executable")


if __name__ == "__main__":
    sys.exit(main())
