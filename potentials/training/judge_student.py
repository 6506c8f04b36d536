"""The student as it is used: in LAMMPS with the umas plugin, as an ASE calculator and in decks.

Units: lengths A, energies eV, forces eV/A, stress eV/A^3 with the sign of ASE.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

ELEMENTS = ("Si", "O")  # the atom types 1 and 2
_NUMBERS = (14, 8)
_MASSES = (28.085, 15.999)
_BAR = 1 / 1.6021765e6  # eV/A^3, with the constants of LAMMPS
_THERMO = ("pe", "pxx", "pyy", "pzz", "pyz", "pxz", "pxy")


class StudentError(Exception):
    """LAMMPS does not run or ended early."""


def add_student_options(parser):
    """The options that `Student` is made from."""
    group = parser.add_argument_group("the student in LAMMPS")
    group.add_argument("--lmp", default="lmp", help="the LAMMPS executable")
    group.add_argument("--plugin", type=Path, help="umasplugin.so")
    group.add_argument("--model", type=Path, help="the student's model file, .safetensors")
    group.add_argument("--style", default="umas", help="umas (default) or umas/gpu")
    group.add_argument("--precision", help="of the style; its default without this option")
    group.add_argument("--threads", type=int, default=1, help="of style umas")


class Student:
    """How LAMMPS is run with the student: `options` as add_student_options made them."""

    def __init__(self, options):
        for name in ("plugin", "model"):
            path = getattr(options, name)
            if path is None or not path.exists():
                raise StudentError(f"no {name} {path}: give --{name} FILE")
        program = shutil.which(options.lmp)
        if program is None:
            raise StudentError(f"no program {options.lmp}: give --lmp FILE")
        self.command = [os.path.abspath(program), "-log", "none", "-nocite"]
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
        self.plugin, self.model = options.plugin.resolve(), options.model.resolve()
        precision = f" precision {options.precision}" if options.precision else ""
        self._style = f"{options.style} task omat{precision}"

    def read(self, structure):
        """The first lines of a deck: the plugin, the atoms of the file `structure`, the model."""
        return (
            f"units metal\nplugin load {self.plugin}\nbox tilt large\nread_data {structure}\n"
            f"pair_style {self._style}\npair_coeff * * {self.model} {' '.join(ELEMENTS)}\n"
        )

    def run(self, deck, folder, timeout):
        """(exit status, output) of a deck run in `folder`; ends it after `timeout` s."""
        (folder / "in.deck").write_text(deck)
        with open(folder / "output", "w+") as output:
            try:
                status = subprocess.run(
                    [*self.command, "-in", "in.deck"],
                    cwd=folder,
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                ).returncode
            except subprocess.TimeoutExpired:
                status = -1
            output.seek(0)
            return status, output.read()


class StudentCalculator(Calculator):
    """An ASE calculator: one LAMMPS process, told by its standard input what to evaluate.

    LAMMPS gives each structure's energy and pressure through a pipe that it opens as a file, so
    that its end is seen here, and leaves the forces in a file.
    """

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, student):
        super().__init__()
        self._student = student
        self._folder = tempfile.TemporaryDirectory(prefix="judge-")
        self._path = Path(self._folder.name)
        self._numbers = None
        reader, writer = os.pipe()
        with open(self._path / "output", "w") as output:
            self._process = subprocess.Popen(
                student.command,
                cwd=self._path,
                env=student.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[writer],
                text=True,
            )
        os.close(writer)
        self._answers = open(reader)
        self._print = f"append /dev/fd/{writer} screen no"

    def close(self):
        """Ends LAMMPS."""
        self._process.stdin.close()
        self._process.wait()
        self._answers.close()
        self._folder.cleanup()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        commands = ""
        if self._numbers is None or not np.array_equal(self._numbers, atoms.numbers):
            write_structure(self._path / "atoms", atoms)
            self._numbers = atoms.numbers.copy()
            commands = f"clear\n{self._student.read('atoms')}neighbor 0.5 bin\n"
            commands += f"thermo_style custom step {' '.join(_THERMO)}\n"
        rotation = _write_snapshot(self._path / "snapshot", atoms)
        row = " ".join(f"$({keyword}:%.16g)" for keyword in _THERMO)
        commands += (
            "rerun snapshot dump x y z box yes\n"
            "write_dump all custom forces id fx fy fz modify sort id format float %.16g\n"
            f'print "{row}" {self._print}\n'
        )
        try:
            self._process.stdin.write(commands)
            self._process.stdin.flush()
            answer = self._answers.readline().split()
        except BrokenPipeError:
            answer = []
        if len(answer) != len(_THERMO):
            output = (self._path / "output").read_text()
            raise StudentError(f"LAMMPS ended:\n{output[-2000:]}")
        energy, *pressure = map(float, answer)
        xx, yy, zz, yz, xz, xy = (-_BAR * value for value in pressure)
        stress = rotation @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ rotation.T
        forces = np.loadtxt(self._path / "forces", skiprows=9, ndmin=2)[:, 1:]
        self.results = {
            "energy": energy,
            "forces": forces @ rotation.T,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


def write_structure(path, atoms):
    """A LAMMPS data file of `atoms`, turned so that LAMMPS takes the cell."""
    cell, places, _ = _turned(atoms)
    lines = ["structure", f"{len(atoms)} atoms", f"{len(ELEMENTS)} atom types"]
    lines += [f"0 {cell[k, k]:.15g} {axis}lo {axis}hi" for k, axis in enumerate("xyz")]
    lines += [f"{cell[1, 0]:.15g} {cell[2, 0]:.15g} {cell[2, 1]:.15g} xy xz yz", "", "Masses", ""]
    lines += [f"{kind} {mass}" for kind, mass in enumerate(_MASSES, 1)]
    lines += ["", "Atoms # atomic", ""]
    for number, (element, place) in enumerate(zip(atoms.numbers, places), 1):
        lines.append(
            f"{number} {_NUMBERS.index(element) + 1} " + " ".join(f"{x:.15g}" for x in place)
        )
    path.write_text("\n".join(lines) + "\n")


def _write_snapshot(path, atoms):
    """A dump file of one snapshot; the rotation that takes its vectors back to those of atoms."""
    cell, places, rotation = _turned(atoms)
    xy, xz, yz = cell[1, 0], cell[2, 0], cell[2, 1]
    # A dump has the bounds of the box around the cell, not of the cell.
    shear = (
        (min(0, xy, xz, xy + xz), max(0, xy, xz, xy + xz), xy),
        (min(0, yz), max(0, yz), xz),
        (0, 0, yz),
    )
    lines = ["ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", str(len(atoms))]
    lines.append("ITEM: BOX BOUNDS xy xz yz pp pp pp")
    for axis, (low, high, tilt) in enumerate(shear):
        lines.append(f"{low:.16g} {cell[axis, axis] + high:.16g} {tilt:.16g}")
    lines.append("ITEM: ATOMS id x y z")
    for number, place in enumerate(places, 1):
        lines.append(f"{number} " + " ".join(f"{x:.16g}" for x in place))
    path.write_text("\n".join(lines) + "\n")
    return rotation


def _turned(atoms):
    """(cell, positions, rotation): a lower triangular cell; `positions @ rotation.T` turns back."""
    rotation, upper = np.linalg.qr(np.array(atoms.cell).T)
    signs = np.sign(np.diag(upper))
    cell, rotation = (upper * signs[:, None]).T, rotation * signs
    return cell, (atoms.get_scaled_positions(wrap=True) % 1.0) @ cell, rotation
