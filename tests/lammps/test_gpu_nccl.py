"""Without NCCL, or with one that fails, umas/gpu goes another way or ends all ranks with one line.

The stand-in for NCCL of tests/gpu fails where UMAS_FAKE_NCCL says and is NCCL otherwise."""

import os

from lammps_run import Skipped, from_command_line, start, true
from test_gpu import MOVE, compare, gpu, need_gpu, one_error
from test_gpu_ranks import AGREES, LIBRARY, need_gpus, need_nccl, systems, transport


def with_library(folder, **variables):
    """An environment in which the loader looks for NCCL in this folder first."""
    path = f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")
    return {"LD_LIBRARY_PATH": path, **variables}


def failing_nccl(lammps, function, real=""):
    """function: NAME fails on all ranks, NAME:RANK:CALL on one from this call on, from 1."""
    folder = lammps.options.fake_nccl
    if not folder:
        raise Skipped("no stand-in for NCCL was built")
    true(f"{LIBRARY} in {folder}", (folder / LIBRARY).exists())
    return with_library(folder, UMAS_FAKE_NCCL=function, UMAS_REAL_NCCL=real)


def goes_round(lammps, variables, reason):
    """auto runs through host memory and says why; nccl is an error that says so."""
    system = systems()["crystal"]
    one = system.run(lammps, 1, "mixed")
    run = system.run(lammps, 2, "mixed", variables=variables)
    said = transport(run)
    true(f"rows went {said}, expected {reason!r}",
         said.startswith("through host memory (") and reason in said)
    compare(reason, run, one, AGREES["mixed"])
    deck = start() + gpu(lammps, "mixed", "exchange nccl") + "run 0\n"
    run = lammps.run(deck, 2, files=system.files, variables=variables, fails=True)
    one_error(reason, run, "exchange nccl cannot be had")
    true(f"{run.errors()} has {reason!r}", reason in run.errors()[0])


def without_nccl(lammps):
    """A file that is no library, found first: one that the loader knows of cannot be hidden."""
    need_gpu(lammps)
    folder = lammps.folder / "no-library"
    folder.mkdir(exist_ok=True)
    (folder / LIBRARY).write_text("not a library, and longer than the header of one is\n" * 4)
    goes_round(lammps, with_library(folder), "cannot open libnccl.so.2")


def an_old_nccl(lammps):
    need_gpu(lammps)
    goes_round(lammps, failing_nccl(lammps, "ncclGetVersion"), "NCCL 2.10.3 is older than 2.14")


def nccl_without_an_id(lammps):
    need_gpus(lammps, 2)
    goes_round(lammps, failing_nccl(lammps, "ncclGetUniqueId"), "NCCL cannot start: a stand-in")


def nccl_that_cannot_connect(lammps):
    need_gpus(lammps, 2)
    goes_round(lammps, failing_nccl(lammps, "ncclCommInitRank"), "NCCL cannot start: a stand-in")


def nccl_that_one_rank_cannot_start(lammps):
    """The other waits for it, though not for ever: this takes three minutes."""
    need_gpus(lammps, 2)
    variables = failing_nccl(lammps, "ncclCommInitRank:1:1", need_nccl())
    system = systems()["crystal"]
    said = transport(system.run(lammps, 2, "mixed", variables=variables))
    true(f"rows went {said}", said.startswith("through host memory (rank 0: NCCL did not reach"))


def nccl_without_a_network(lammps):
    need_gpus(lammps, 2)
    need_nccl()
    goes_round(lammps, {"NCCL_SOCKET_IFNAME": "nosuchinterface"}, "NCCL cannot start")


def nccl_that_fails_in_a_run(lammps):
    """In the call that sends rows, of one rank, while the other waits for these rows."""
    need_gpus(lammps, 2)
    real = need_nccl()
    system = systems()["crystal"]
    deck = "processors 2 1 1\n" + start() + gpu(lammps, "mixed", "exchange nccl") + MOVE
    deck += "thermo_modify flush yes\nrun 50\n"
    # lists change at every step, so that every step sends anew: four times with two layers
    for rank in (0, 1):
        variables = failing_nccl(lammps, f"ncclGroupEnd:{rank}:30", real)
        run = lammps.run(deck, 2, files=system.files, variables=variables, fails=True)
        one_error(f"rank {rank}", run, "NCCL cannot send rows: a stand-in")
        true(f"it was in the run: {run.output[-1000:]}", 0 < len(run.thermo) < 51)
    said = transport(system.run(lammps, 2, "mixed", variables=failing_nccl(lammps, "", real)))
    true(f"with a stand-in that does not fail rows went {said}", said.startswith("by NCCL 2."))


if __name__ == "__main__":
    from_command_line(
        __doc__,
        [
            without_nccl,
            an_old_nccl,
            nccl_without_an_id,
            nccl_that_cannot_connect,
            nccl_that_one_rank_cannot_start,
            nccl_without_a_network,
            nccl_that_fails_in_a_run,
        ],
    )
