#!/usr/bin/env python3
"""From nothing to a model file on a small share of the data: does every step do its part?

The environment and the labels stay in --folder and are used again; training starts afresh.
"""

import argparse
import json
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "potentials" / "training"
SHARE = "0.01"  # of the trajectories of every class
STEPS = "80"
FALL = 0.8  # of the loss from the first lines to the last: well below what chance does


def run(*command):
    """The output of a command that must succeed."""
    command = [str(part) for part in command]
    print("+", " ".join(command), flush=True)
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(done.stdout, flush=True)
    if done.returncode != 0:
        sys.exit(f"exit status {done.returncode}")
    return done.stdout


def environment(folder):
    """A Python that has potentials/training/requirements.txt."""
    python = folder / "venv" / "bin" / "python"
    requirements = TRAIN / "requirements.txt"
    done = folder / "venv" / requirements.name
    if not done.exists() or done.read_text() != requirements.read_text():
        venv.create(folder / "venv", with_pip=True)
        run(python, "-m", "pip", "install", "--quiet", "-r", requirements)
        done.write_text(requirements.read_text())
    return python


def check_resumes(python, command, state):
    """Half of the steps, then the rest from the state file; returns the losses printed."""
    first = run(python, *command, "--stop-after", "1")
    if not state.exists():
        sys.exit("a run that was stopped left no state file")
    second = run(python, *command)
    if "resumed" not in second:
        sys.exit("the second run did not go on from the state file")
    return [float(loss) for loss in re.findall(r" loss (\S+) ", first + second)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--info", required=True, help="umas-info")
    parser.add_argument("--python", default="", help="with requirements.txt; empty: make one")
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    python = options.python or environment(folder)

    data = folder / "frames"
    run(python, TRAIN / "generate_data.py", data, "--device", "cpu", "--share", SHARE)
    heldout = data / "heldout.extxyz"
    run(python, Path(__file__).with_name("check_mirror.py"), heldout)

    state = folder / "student.state"
    state.unlink(missing_ok=True)
    command = [TRAIN / "train.py", data / "train.extxyz", heldout, "--state", state]
    command += ["--device", "cpu", "--channels", "16", "--batch-edges", "6144"]
    command += ["--steps", STEPS, "--rate", "3e-3", "--report", "0"]
    losses = check_resumes(python, command, state)
    first, last = sum(losses[:10]) / 10, sum(losses[-10:]) / 10  # steps differ in their frames
    print(f"loss {first:.3f} at first, {last:.3f} at last")
    if not last <= FALL * first:
        sys.exit("the loss did not fall")

    checkpoint, model = folder / "student.pt", folder / "student.safetensors"
    run(python, TRAIN / "export.py", state, "-o", checkpoint)
    run(python, TRAIN / "evaluate.py", checkpoint, heldout, "-o", folder, "--device", "cpu")
    if not json.loads((folder / "errors.json").read_text()):
        sys.exit("evaluate.py found no errors to report")
    convert = ROOT / "tools" / "umas-convert"
    run(sys.executable, convert, checkpoint, "-o", model, "--force")
    if "UMA-S-1.2.1" not in run(options.info, model):
        sys.exit("umas-info does not show the model")


if __name__ == "__main__":
    main()
