"""umas/gpu on several ranks gives what it gives on one, sharing GPUs or with one each; a rank that
fails ends all."""

import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lammps_run import DUMP, THERMO, TIMEOUT, Failed, Skipped
from lammps_run import cluster, crystal, data_file, from_command_line, skewed, slabs, start
from lammps_run import triclinic, true
from test_gpu import MOVE, VALUES, compare, gpu, need_gpu, one_error

# relative to the largest value of a kind: ranks round sums of their own
AGREES = {"single": 5e-5, "mixed": 5e-3}
RANKS = (2, 4)
LIBRARY = "libnccl.so.2"
ONE_GPU = "device 0"  # for all ranks


# ---- what there is -----------------------------------------------------------------------------


@functools.cache
def count_gpus(lammps):
    need_gpu(lammps)
    deck = start() + gpu(lammps, "single", "device 9999") + "run 0\n"
    run = lammps.run(deck, files={"data": data_file(*crystal())}, fails=True)
    visible = re.search(r"there is no device 9999; (\d+) visible", run.output)
    true(f"the number of GPUs: {run.errors()}", visible)
    return int(visible[1])


def need_gpus(lammps, number):
    visible = count_gpus(lammps)
    if visible < number:
        raise Skipped(f"{number} GPUs are needed, {visible} visible")


def nccl_path():
    """Of the library that the loader finds, or None."""
    find = f"import ctypes; ctypes.CDLL('{LIBRARY}'); print(open('/proc/self/maps').read())"
    found = subprocess.run([sys.executable, "-c", find], capture_output=True, text=True)
    paths = re.findall(r"(/\S*libnccl\.so\S*)$", found.stdout, re.M)
    return paths[0] if paths else None


def need_nccl():
    path = nccl_path()
    if not path:
        raise Skipped(f"{LIBRARY} is not where the loader looks")
    return path


def transport(run):
    """How rows travelled, as the log says."""
    lines = re.findall(r"^pair umas/gpu: GPU .*; rows between GPUs (.*)$", run.output, re.M)
    true(f"one line on how rows travel: {lines}", len(lines) == 1)
    return lines[0]


# ---- several ranks against one -----------------------------------------------------------------


class System:
    """A deck but for the pair style; grids: {ranks: processors}."""

    def __init__(
        self, system, grids, before="", boundary="p p p", origin=(0, 0, 0), tail="run 2\n"
    ):
        self.files = {"data": data_file(*system, origin=origin)}
        self.grids, self.before, self.boundary, self.tail = grids, before, boundary, tail

    def run(self, lammps, ranks, precision, keywords="", variables=None):
        grid = f"processors {self.grids[ranks]}\n" if ranks > 1 and self.grids else ""
        deck = grid + start(boundary=self.boundary, before=self.before) + "neighbor 1.0 bin\n"
        deck += gpu(lammps, precision, keywords)
        deck += THERMO.replace("vol", "vol xy") + DUMP + VALUES + MOVE + self.tail
        return lammps.run(deck, ranks, files=self.files, variables=variables)


def systems():
    skew = np.array([[10.0, 0, 0], [4.9, 5.0, 0], [0, 0, 5.0]])
    cell, kinds, positions = crystal((2, 2, 2))
    slab = np.diag([10.0, 10.0, 40.0]), kinds, positions + [0, 0, 13]
    few_kinds, few = cluster()
    shear = "fix shear all deform 1 xy delta 0.4 remap x flip yes\nrun 4\n"
    balance = "balance 1.0 rcb\nfix even all balance 1 1.0 rcb\nrun 2\n"
    return {
        "crystal": System(crystal((2, 1, 1)), {2: "2 1 1", 4: "4 1 1"}),
        "one cell": System(crystal(), {2: "1 2 1", 4: "2 1 2"}),
        "skew cell": System(triclinic(), {2: "1 1 2", 4: "1 2 2"}),
        # on 2 ranks none has atoms of the other near it; on 4, one is empty
        "slabs": System(slabs((12, 22, 45)), {2: "1 1 2", 4: "1 1 4"}),
        "a box that flips": System(
            skewed(crystal((2, 1, 1)), skew), {2: "2 1 1", 4: "2 2 1"}, tail=shear
        ),
        "tiles": System(slab, None, before="comm_style tiled", tail=balance),
        "cluster": System(
            (np.diag([40.0, 20, 20]), few_kinds, few),
            {2: "2 1 1", 4: "4 1 1"},
            boundary="p f f",
            origin=(-5, -10, -10),
        ),
    }


@functools.cache
def on_one_rank(lammps, name, precision):
    run = systems()[name].run(lammps, 1, precision)
    if name == "a box that flips":
        true("the box flips", np.ptp([row["Xy"] for row in run.thermo]) > 9)
    return run


def agree_with_one(lammps, keywords, by, numbers_of_ranks):
    """In mixed precision; `single` takes the same way, so that one system shows it."""
    for name, system in systems().items():
        for precision in AGREES if name == "crystal" else ("mixed",):
            one, tolerance = on_one_rank(lammps, name, precision), AGREES[precision]
            for ranks in numbers_of_ranks:
                run = system.run(lammps, ranks, precision, keywords)
                what = f"{name}, {precision}, {ranks} ranks, {keywords}"
                compare(what, run, one, tolerance)
                true(f"{what}: rows went {transport(run)}", transport(run).startswith(by))
                if name == "slabs":
                    true(f"{what}: {run.rows_sent} rows sent", (run.rows_sent == 0) == (ranks == 2))


def host_agrees_with_one(lammps):
    need_gpu(lammps)
    agree_with_one(lammps, "exchange host", "through host memory (as asked for)", RANKS)


def nccl_agrees_with_one_on_2_gpus(lammps):
    need_gpus(lammps, 2)
    need_nccl()
    agree_with_one(lammps, "exchange nccl", "by NCCL 2.", (2,))


def nccl_agrees_with_one_on_4_gpus(lammps):
    need_gpus(lammps, 4)
    need_nccl()
    agree_with_one(lammps, "exchange nccl", "by NCCL 2.", (4,))


def auto_takes_nccl(lammps):
    need_gpus(lammps, 2)
    need_nccl()
    run = systems()["crystal"].run(lammps, 2, "mixed")
    true(f"rows went {transport(run)}", transport(run).startswith("by NCCL 2."))


def three_ranks_share_gpus(lammps):
    need_gpu(lammps)
    for precision, tolerance in AGREES.items():
        system = System(crystal((2, 1, 1)), {3: "3 1 1"})
        one = system.run(lammps, 1, precision)
        run = system.run(lammps, 3, precision, "exchange host")
        compare(f"3 ranks, {precision}", run, one, tolerance)


def repeat(lammps, keywords, most_ranks):
    for name, precision in (("crystal", "mixed"), ("slabs", "single")):
        for ranks in RANKS:
            if ranks > most_ranks:
                continue
            system = systems()[name]
            system.tail = "run 10\n"
            first, again = (system.run(lammps, ranks, precision, keywords) for _ in range(2))
            what = f"{name}, {precision}, {ranks} ranks, {keywords}"
            true(f"{what}: thermo output repeats", first.thermo == again.thermo)
            for file in ("dump", "values"):
                same = (first.folder / file).read_text() == (again.folder / file).read_text()
                true(f"{what}: {file} repeats", same)


def runs_repeat_to_the_bit(lammps):
    need_gpu(lammps)
    repeat(lammps, "exchange host", max(RANKS))


def runs_by_nccl_repeat_to_the_bit(lammps):
    gpus = count_gpus(lammps)
    need_gpus(lammps, 2)
    need_nccl()
    repeat(lammps, "exchange nccl", gpus)


def profiles_have_what_travels(lammps):
    need_gpu(lammps)
    system = systems()["crystal"]
    for keywords in each_transport(lammps):
        plain = system.run(lammps, 2, "mixed", keywords)
        run = system.run(lammps, 2, "mixed", f"{keywords} profile yes")
        compare(f"profile yes, {keywords}", run, plain, AGREES["mixed"])
        true("no table without the keyword", "stages of a step" not in plain.output)
        true("one table", run.output.count("pair umas/gpu: stages of a step on rank 0") == 1)
        for stage in (
            "(features to other ranks)",
            "wait for features of other ranks",
            "(gradients to other ranks)",
            "wait for gradients of other ranks",
        ):
            rows = re.findall(rf"^{re.escape(stage)} +(\d+) +([\d.]+) ", run.output, re.M)
            true(f"{keywords}: {stage}, once a layer: {rows}", [r[0] for r in rows] == ["2"])


# ---- a GPU that ranks share ---------------------------------------------------------------------


def nccl_needs_a_gpu_a_rank(lammps):
    need_gpu(lammps)
    need_nccl()
    deck = start() + gpu(lammps, "mixed", f"exchange nccl {ONE_GPU}") + "run 0\n"
    run = lammps.run(deck, 2, files={"data": data_file(*crystal((2, 1, 1)))}, fails=True)
    one_error("one GPU", run, "exchange nccl cannot be had (ranks 0 and 1 share a GPU")


def auto_shares_a_gpu_through_host_memory(lammps):
    need_gpu(lammps)
    need_nccl()
    run = systems()["crystal"].run(lammps, 2, "mixed", ONE_GPU)
    expected = "through host memory (ranks 0 and 1 share a GPU"
    true(f"rows went {transport(run)}", transport(run).startswith(expected))


# ---- a rank that fails --------------------------------------------------------------------------


def each_transport(lammps):
    """Keywords of those that two ranks have here."""
    ways = ["exchange host"]
    if count_gpus(lammps) > 1 and nccl_path():
        ways.append("exchange nccl")
    return ways


def atoms_on_top_of_each_other(lammps):
    """Only the second rank sees them, at once or after steps that were well."""
    need_gpu(lammps)
    cell, kinds, positions = crystal((4, 1, 1))
    last = np.argmax(np.where(positions[:, 0] < 15.5, positions[:, 0], 0))
    true("far from the first rank", 13 < positions[last][0])
    positions = positions % np.diag(cell)
    twice = np.append(kinds, 1), np.append(positions, [positions[last]], axis=0)
    later = f"create_atoms 1 single {' '.join(f'{x:.17g}' for x in positions[last])} units box\n"
    decks = {
        "at once": (data_file(cell, *twice), "run 0\n"),
        # without `fix nve`, so that the atom stays where it is
        "after a run": (data_file(cell, kinds, positions), "run 2\n" + later + "run 1\n"),
    }
    for keywords in each_transport(lammps):
        for name, (data, tail) in decks.items():
            deck = "processors 2 1 1\n" + start() + "neighbor 0.3 bin\n"
            deck += gpu(lammps, "mixed", keywords) + tail
            run = lammps.run(deck, 2, files={"data": data}, fails=True)
            one_error(f"{name}, {keywords}", run, "on top of each other")


def memory_that_one_rank_lacks(lammps):
    """The message is that of the lowest rank that failed: if it counts the second one's atoms, the
    first had enough."""
    need_gpu(lammps)
    few, many = crystal(), crystal((8, 8, 8))
    kinds = np.concatenate([few[1], many[1]])
    positions = np.concatenate([few[2] + [20, 10, 10], many[2] + [70, 0, 0]])
    files = {"data": data_file(np.diag([120.0, 40, 40]), kinds, positions)}
    for keywords in each_transport(lammps):
        for k in range(6, 17):
            share = f"memory {0.5**k} {keywords}"
            deck = "processors 2 1 1\n" + start() + gpu(lammps, "mixed", share) + "run 0\n"
            run = lammps.run(deck, 2, files=files, fails=True)
            if run.errors():
                break
        one_error(share, run, f"{len(many[1])} atoms need")


def descendants(pid):
    """{process: its parent} of those that a process has started."""
    parent = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # it has just ended
        state, above = text.rpartition(")")[2].split()[:2]
        if state not in "ZX":
            parent[int(stat.parent.name)] = int(above)
    found = {}
    while True:
        more = {p: a for p, a in parent.items() if p not in found and (a == pid or a in found)}
        if not more:
            return found
        found.update(more)


def killed_ranks_end_the_job(lammps):
    need_gpu(lammps)
    data = data_file(*crystal((2, 1, 1)))
    for keywords in each_transport(lammps):
        seen = []

        def kill_one(folder, process, seen=seen):
            began = time.monotonic()
            while not (folder / "progress").exists() or not (folder / "progress").stat().st_size:
                if process.poll() is not None or time.monotonic() - began > TIMEOUT:
                    output = (folder / "output").read_text()
                    raise Failed(f"{keywords}: the run did not begin: {output[-2000:]}")
                time.sleep(0.2)
            started = descendants(process.pid)
            seen += [p for p in started if p not in started.values()]
            os.kill(max(seen), signal.SIGKILL)

        deck = "processors 2 1 1\n" + start() + gpu(lammps, "mixed", keywords) + MOVE
        deck += "dump progress all custom 5 progress id\nrun 100000000\n"
        run = lammps.run(deck, 2, files={"data": data}, fails=True, meanwhile=kill_one)
        true(f"{keywords}: two ranks were running: {seen}", len(seen) == 2)
        true(f"{keywords}: exit status {run.status}", run.status != 0)
        began = time.monotonic()
        while alive := [p for p in seen if running(p)]:
            true(f"{keywords}: these go on: {alive}", time.monotonic() - began < TIMEOUT)
            time.sleep(0.2)


def running(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            host_agrees_with_one,
            nccl_agrees_with_one_on_2_gpus,
            nccl_agrees_with_one_on_4_gpus,
            auto_takes_nccl,
            three_ranks_share_gpus,
            runs_repeat_to_the_bit,
            runs_by_nccl_repeat_to_the_bit,
            profiles_have_what_travels,
            nccl_needs_a_gpu_a_rank,
            auto_shares_a_gpu_through_host_memory,
            atoms_on_top_of_each_other,
            memory_that_one_rank_lacks,
            killed_ranks_end_the_job,
        ],
    )
