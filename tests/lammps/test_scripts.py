"""The scripts here fail, or count what they skip, where something that they need is missing."""

import subprocess
import sys
from pathlib import Path

from lammps_run import NO_MPI, SKIPPED, from_command_line, true


def script(lammps, name, *options):
    """(exit status, lines) of a script with the options given here, but for those that change."""
    command = [sys.executable, "-B", Path(__file__).parent / f"test_{name}.py", *sys.argv[1:]]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def goldens_need_all_their_models(lammps):
    some = lammps.folder / "some"
    some.mkdir()
    golden = min(lammps.options.golden.glob("*.golden"))  # the first one that the script takes
    model = f"{golden.stem.split('_')[0]}.safetensors"
    (some / model).symlink_to(lammps.options.converted / model)
    status, lines = script(lammps, "golden", "--converted", some)
    true(f"exit status {status} with one model: {lines}", status == 1)
    needed = [line for line in lines if " needs " in line and ".safetensors" in line]
    true(f"a line that names the missing model: {lines}", needed)


def ranks_need_a_launcher(lammps):
    only = "--only", "single_precision_on_two_ranks"
    status, lines = script(lammps, "ranks", *only, "--mpirun", lammps.folder / "no-mpirun")
    true(f"exit status {status} without a launcher: {lines}", status == 1)
    true(f"last line {lines[-1]!r}", lines[-1] == "0 passed, 1 failed, 0 skipped")
    status, lines = script(lammps, "ranks", *only, "--mpirun", NO_MPI)
    true(f"exit status {status} without MPI: {lines}", status == SKIPPED)
    true(f"last line {lines[-1]!r}", lines[-1] == "0 passed, 0 failed, 1 skipped")


if __name__ == "__main__":
    from_command_line(__doc__, [goldens_need_all_their_models, ranks_need_a_launcher])
