#!/usr/bin/env python3
"""Draws and labels the training data: silicon, silica and what lies between, by the teacher.

Each trajectory becomes one file OUT_DIR/trajectories/CLASS-NUMBER.extxyz; those that exist are not
made again, so that an interrupted run goes on where it was. At the end all of them are merged into
OUT_DIR/train.extxyz and OUT_DIR/heldout.extxyz (every tenth trajectory of each class).
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from pathlib import Path

import ase.io

from teacher import TeacherError, check_teacher, load_teacher
from trajectories import all_trajectories, shared_out

_GRACE = 20.0  # s past --minutes in which a trajectory under way may go on

_worker = {}


def main():
    arguments = _arguments()
    folder = arguments.out_dir / "trajectories"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = shared_out(all_trajectories(), arguments.share)
    if arguments.plan:
        _print_plan(wanted)
        return 0
    if not arguments.collect:
        try:
            energy = check_teacher(load_teacher(arguments.device))
        except TeacherError as error:
            print(f"generate_data: {error}", file=sys.stderr)
            return 1
        print(f"teacher on {arguments.device}: diamond silicon {energy:.4f} eV/atom", flush=True)
        missing = [t for t in wanted if not _path(folder, t).exists()]
        print(f"{len(wanted)} trajectories, {len(wanted) - len(missing)} there", flush=True)
        _generate(missing, folder, arguments)
    return _collect(wanted, folder, arguments.out_dir)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out_dir", type=Path, help="where the data go")
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes, each with a teacher")
    parser.add_argument("--share", type=_share, default=1.0, help="share of every class, 0 to 1")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument("--minutes", type=float, help="start no trajectory after this time")
    parser.add_argument("--collect", action="store_true", help="only merge what is there")
    parser.add_argument("--plan", action="store_true", help="only print what would be made")
    return parser.parse_args()


def _share(text):
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and up to 1")
    return value


def _path(folder, trajectory):
    return folder / f"{trajectory.name}.extxyz"


def _generate(trajectories, folder, arguments):
    """Has the workers make `trajectories`, one file each, and prints how it goes."""
    deadline = time.time() + 60.0 * arguments.minutes if arguments.minutes else None
    tasks = [(trajectory, folder, arguments.seed, deadline) for trajectory in trajectories]
    context = multiprocessing.get_context("spawn")
    started = time.time()
    frames = 0
    with context.Pool(arguments.workers, _start_worker, (arguments.device,)) as pool:
        for done, (name, count, seconds) in enumerate(pool.imap_unordered(_make, tasks), 1):
            frames += count
            if seconds > 0.0:
                spent = time.time() - started
                print(
                    f"{spent:6.0f} s  {done}/{len(tasks)}  {name}: {count} frames in "
                    f"{seconds:.0f} s; {frames} in all",
                    flush=True,
                )
        pool.close()
        pool.join()


def _start_worker(device):
    _worker["teacher"] = load_teacher(device)


def _make(task):
    """One trajectory's file; (name, frames, seconds), with no seconds when there was no time."""
    trajectory, folder, seed, deadline = task
    started = time.time()
    if deadline and started > deadline:
        return trajectory.name, 0, 0.0
    last = deadline + _GRACE if deadline else None
    try:
        frames = trajectory.frames(seed, _worker["teacher"], last)
    except (ArithmeticError, ValueError, RuntimeError) as error:
        print(f"generate_data: {trajectory.name} gave up: {error}", file=sys.stderr, flush=True)
        return trajectory.name, 0, time.time() - started
    if frames:
        path = _path(folder, trajectory)
        unfinished = path.with_suffix(".part")
        ase.io.write(unfinished, frames, format="extxyz")
        os.replace(unfinished, path)
    return trajectory.name, len(frames), time.time() - started


def _collect(trajectories, folder, out_dir):
    """Merges the files there are into the two sets; prints the frames and atoms of each class."""
    counts = Counter()
    for name, held_out in (("train", False), ("heldout", True)):
        frames = []
        for trajectory in sorted(trajectories, key=lambda t: t.name):
            path = _path(folder, trajectory)
            if trajectory.held_out == held_out and path.exists():
                frames += ase.io.read(path, index=":")
        if not frames:
            print(f"generate_data: no trajectory for {name}.extxyz", file=sys.stderr)
            return 1
        ase.io.write(out_dir / f"{name}.extxyz", frames, format="extxyz")
        for frame in frames:
            counts[frame.info["class"], name] += 1
        atoms = sum(len(frame) for frame in frames)
        print(f"{name}.extxyz: {len(frames)} frames, {atoms / len(frames):.0f} atoms on average")
    for kind in sorted({kind for kind, _ in counts}):
        print(f"{kind:20} {counts[kind, 'train']:5} {counts[kind, 'heldout']:5}")
    return 0


def _print_plan(trajectories):
    """Trajectories and evaluations of the teacher by class."""
    number, evaluations = Counter(), Counter()
    for trajectory in trajectories:
        number[trajectory.kind] += 1
        evaluations[trajectory.kind] += trajectory.evaluations
    for kind in sorted(number):
        print(f"{kind:20} {number[kind]:4} trajectories {evaluations[kind]:6} evaluations")
    print(f"{'all':20} {number.total():4} trajectories {evaluations.total():6} evaluations")


if __name__ == "__main__":
    sys.exit(main())
