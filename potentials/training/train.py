#!/usr/bin/env python3
"""Train the student on labelled structures; stop at any time, start again, go on from there.

Several GPUs: torchrun --nproc-per-node N train.py ...; each takes its own batches.
Data are extended XYZ files, or the .npz files that --pack makes of them (small enough to carry to
another machine).  The learning rate follows the share of --minutes (of training, on this device)
or of --steps that is done, across restarts.  The state file is replaced every --save seconds and
when the run is told to stop; export.py makes a checkpoint of it.
"""

import argparse
import copy
import math
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from dataset import Budget, GraphSet, fit_references, force_scale, read_frames, write_frames
from saved import load_saved
from step import CapturedStep, PlainStep
from student import ELEMENTS, build, energy_forces_stress
from team import Team

WARM_UP = 0.02  # share of the schedule
LAST_RATE = 0.01  # of the learning rate, at the end
EVALUATED = 200  # held-out frames looked at during training
AGREED = 16  # steps between two looks at the leader's clock
SOFT = 1 / 3  # of a weight: what has more counts in the errors printed during training


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", help="training frames, .extxyz or .npz")
    parser.add_argument("heldout", help="held-out frames")
    parser.add_argument("--pack", metavar="FOLDER", help="write both as .npz there and stop")
    parser.add_argument("--state", default="student.state", help="own checkpoint (student.state)")
    schedule = parser.add_mutually_exclusive_group()
    schedule.add_argument("--minutes", type=float, default=10, help="of training in all (10)")
    schedule.add_argument("--steps", type=int, help="in all, in place of --minutes")
    parser.add_argument("--stop-after", type=float, default=math.inf, metavar="SECONDS")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--step", choices=["plain", "captured"], default="plain")
    parser.add_argument("--fp32", action="store_true", help="no TF32 products")
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch-edges", type=int, default=32768, help="of a batch (32768)")
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate (1e-3)")
    parser.add_argument("--decay", type=float, default=1e-3, help="of weights (1e-3)")
    parser.add_argument("--clip", type=float, default=100, help="norm of the gradient (100)")
    parser.add_argument("--ema", type=float, default=0.999, help="decay of the average (0.999)")
    parser.add_argument("--energy", type=float, default=20, help="coefficient (20)")
    parser.add_argument("--forces", type=float, default=10, help="coefficient (10)")
    parser.add_argument("--stress", type=float, default=100, help="coefficient (100)")
    parser.add_argument("--soft-force", type=float, default=5, help="eV/A, see dataset.py (5)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=float, default=60, help="seconds between states (60)")
    parser.add_argument("--report", type=float, default=10, help="seconds between lines (10)")
    parser.add_argument("--evaluate", type=float, default=60, help="seconds (60)")
    return parser.parse_args()


def batch_budget(edges):
    """Structures have 40 to 120 edges an atom but for dimers and clusters."""
    atoms = max(edges // 32, 128)
    return Budget(edges=edges, atoms=atoms, frames=max(atoms // 16, 8))


def read_known_frames(path):
    """Frames of the elements that the student knows."""
    frames = read_frames(path)
    strangers = sorted(set(frames.numbers.tolist()) - set(ELEMENTS))
    if strangers:
        raise SystemExit(f"{path}: elements {strangers}; the student knows {ELEMENTS}")
    return frames


def read_state(path, device):
    """What `Trainer.save` wrote."""
    return load_saved(
        path, "train.py", lambda state: isinstance(state, dict) and "ema" in state, device
    )


class Trainer:
    def __init__(self, options, references, scale, team):
        self.options, self.references, self.scale, self.team = options, references, scale, team
        self.model = build(options.channels, options.layers, options.seed).to(options.device)
        self.model.train()
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.averaged = [
            a for a, p in zip(self.average.parameters(), self.model.parameters()) if p.requires_grad
        ]
        spared = {f"backbone.{name}" for name in self.model.backbone.no_weight_decay()}
        groups = {True: [], False: []}
        for name, weight in self.model.named_parameters():
            if weight.requires_grad:
                groups[name in spared or name.endswith("bias")].append(weight)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": groups[False], "weight_decay": options.decay},
                {"params": groups[True], "weight_decay": 0.0},
            ],
            lr=options.rate,
            fused=True,
        )
        self.steps, self.elapsed, self.epoch, self.position = 0, 0.0, 0, 0
        self.skipped = torch.zeros((), device=options.device)

    def progress(self):
        """Share of the schedule that is done."""
        if self.options.steps:
            return self.steps / self.options.steps
        return self.elapsed / (60 * self.options.minutes)

    def rate(self):
        done = self.progress()
        if done < WARM_UP:
            return self.options.rate * (done + 1e-3) / (WARM_UP + 1e-3)
        share = min((done - WARM_UP) / (1 - WARM_UP), 1)
        return self.options.rate * (
            LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
        )

    def update(self):
        """One step of the optimiser and the average; a gradient that is not finite is skipped."""
        self.team.average_gradients(self.weights)
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip, foreach=True)
        bad = (~torch.isfinite(norm)).float()
        self.skipped += bad
        self.optimizer.grad_scale, self.optimizer.found_inf = None, bad
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        self.steps += 1
        decay = min(self.options.ema, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.averaged, self.weights, 1 - decay)
        return norm

    def save(self):
        path = Path(self.options.state)
        state = {
            "channels": self.options.channels,
            "layers": self.options.layers,
            "scale": self.scale,
            "references": self.references,
            "ema": dict(self.average.named_parameters()),
            "model": dict(self.model.named_parameters()),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "elapsed": self.elapsed,
            "epoch": self.epoch,
            "position": self.position,
        }
        part = path.with_name(path.name + ".part")
        torch.save(state, part)
        os.replace(part, path)

    def resume(self):
        state = read_state(self.options.state, self.options.device)
        for key in ("channels", "layers"):
            if state[key] != getattr(self.options, key):
                raise SystemExit(f"{self.options.state}: its {key} are {state[key]}")
        with torch.no_grad():
            for model, key in ((self.model, "model"), (self.average, "ema")):
                for name, weight in model.named_parameters():
                    weight.copy_(state[key][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.references, self.scale = state["references"], state["scale"]
        for key in ("steps", "elapsed", "epoch", "position"):
            setattr(self, key, state[key])
        self.team.say(f"resumed {self.options.state}: step {self.steps}, {self.elapsed:.0f} s")

    def errors(self, graphs, budget):
        """Mean absolute errors of the averaged model where forces are not extreme, as text."""
        totals = torch.zeros(6, device=self.options.device)
        plan = graphs.plan(range(len(graphs.natoms)), budget)
        for row in plan[self.team.rank :: self.team.size]:
            batch = graphs.batch(row, budget)
            energy, forces, stress = energy_forces_stress(self.average, batch, self.scale, False)
            soft = batch.frame_weight > SOFT
            atoms = batch.atom_weight > SOFT
            strained = batch.stress_weight > SOFT
            parts = [
                ((energy - batch.energy).abs() / batch.natoms * soft).sum(),
                soft.sum(),
                ((forces - batch.forces).abs().mean(1) * atoms).sum(),
                atoms.sum(),
                ((stress - batch.stress).abs().mean(1) * strained).sum(),
                strained.sum(),
            ]
            totals += torch.stack([part.detach().float() for part in parts])
        e, frames, f, atoms, s, strained = self.team.sum(totals).tolist()
        return (
            f"held out: {1e3 * e / max(frames, 1):.2f} meV/atom, "
            f"{1e3 * f / max(atoms, 1):.1f} meV/A, {1e3 * s / max(strained, 1):.3f} meV/A^3"
        )


def train(trainer, graphs, heldout, options):
    """The loop; returns when the schedule or the time is over, or a signal came."""
    stop, team = [], trainer.team
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(True))
    budget = batch_budget(options.batch_edges)
    kind = CapturedStep if options.step == "captured" else PlainStep
    step = kind(trainer.model, trainer.scale, (options.energy, options.forces, options.stress))
    running, counted, norm = torch.zeros(7, device=options.device), 0, None
    saved = logged = evaluated = last = None
    elapsed, over = trainer.elapsed, trainer.progress() >= 1
    while not over:
        order = np.random.default_rng([options.seed, trainer.epoch]).permutation(len(graphs.natoms))
        plan = graphs.plan(order, budget)
        if len(plan) < team.size:
            raise SystemExit(f"{len(plan)} batches for {team.size} processes: lower --batch-edges")
        for first in range(trainer.position, len(plan) - team.size + 1, team.size):
            row = plan[first + team.rank]
            # Every frame is met as it is and, in the next epoch, as its mirror image.
            running += step(graphs.batch(row, budget, mirrored=(row + trainer.epoch) % 2 == 1))
            norm = trainer.update()
            trainer.position = first + team.size
            counted += 1
            if last is None:  # the first step may be captured: no part of the schedule
                running.sum().item()
                saved = logged = evaluated = last = time.monotonic()
                team.say(f"first step after {last - START:.0f} s")
            now = time.monotonic()
            elapsed, last = elapsed + now - last, now
            if trainer.steps % AGREED == 0 or options.steps:
                stopped = bool(stop) or now - START > options.stop_after
                due = now - evaluated >= options.evaluate
                trainer.elapsed, stopped, due = team.as_leader(elapsed, stopped, due)
                over = bool(stopped) or trainer.progress() >= 1
                if due:
                    team.say(trainer.errors(heldout, budget))
                    evaluated = now
            if now - logged >= options.report:
                report(trainer, running, counted, norm, now - logged)
                running.zero_()
                counted, logged = 0, now
            if now - saved >= options.save and team.leads:
                trainer.save()
                saved = now
            if over:
                break
        else:
            trainer.epoch += 1
            trainer.position = 0
    if counted:
        report(trainer, running, counted, norm, time.monotonic() - logged)
    if team.leads:
        trainer.save()
    team.say(trainer.errors(heldout, budget))


def report(trainer, running, counted, norm, seconds):
    loss, e, we, f, wf, s, ws = running.tolist()
    trainer.team.say(
        f"{100 * trainer.progress():5.1f} % step {trainer.steps} epoch {trainer.epoch} "
        f"{counted / max(seconds, 1e-9):.1f}/s rate {trainer.rate():.1e} loss {loss / counted:.3f} "
        f"energy {1e3 * e / max(we, 1e-9):.2f} meV/atom forces {1e3 * f / max(wf, 1e-9):.1f} meV/A "
        f"stress {1e3 * s / max(ws, 1e-9):.2f} meV/A^3 gradient {norm.item():.1f} "
        f"skipped {int(trainer.skipped.item())}",
    )
    if not math.isfinite(loss) and trainer.skipped.item() > 100:
        raise SystemExit("the loss is not finite; go on from the state file with a lower --rate")


def progress_line(team, done, total):
    if done == total or done % 500 == 0:
        team.say(f"neighbour lists: {done} of {total} frames")


def main():
    options = parse()
    if options.pack:
        folder = Path(options.pack)
        folder.mkdir(parents=True, exist_ok=True)
        for path in (options.train, options.heldout):
            write_frames(folder / (Path(path).stem + ".npz"), read_frames(path))
        return
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("train.py: no CUDA device; --device cpu runs, slowly")
    if options.step == "captured" and not options.device.startswith("cuda"):
        sys.exit("train.py: --step captured needs a CUDA device")
    torch.set_float32_matmul_precision("highest" if options.fp32 else "high")
    team = Team(options.device)
    options.device = team.device
    frames, heldout = read_known_frames(options.train), read_known_frames(options.heldout)
    if len(heldout) > EVALUATED:
        heldout = heldout.select(np.linspace(0, len(heldout) - 1, EVALUATED).astype(int))
    references = fit_references(frames, ELEMENTS, options.soft_force)
    trainer = Trainer(options, references, force_scale(frames, options.soft_force), team)
    if Path(options.state).exists():
        trainer.resume()
    graphs, heldout = (
        GraphSet(
            given,
            trainer.references,
            options.soft_force,
            options.device,
            progress=lambda done, total: progress_line(team, done, total),
        )
        for given in (frames, heldout)
    )
    team.say(
        f"{len(frames)} frames, {graphs.natoms.sum()} atoms, {graphs.nedges.sum()} edges; "
        f"references {trainer.references} eV, scale {trainer.scale} eV/A; "
        f"{sum(w.numel() for w in trainer.weights)} weights; ready after "
        f"{time.monotonic() - START:.0f} s",
    )
    train(trainer, graphs, heldout, options)
    team.close()


START = time.monotonic()
if __name__ == "__main__":
    main()
