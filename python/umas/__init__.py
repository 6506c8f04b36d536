"""UMA-S interatomic potentials without PyTorch: a LAMMPS plugin, programs, a calculator for ASE.

from umas.ase import UMAS            # the calculator (needs ase and vesin: pip install umas[ase])
umas.plugin_path()                   # umasplugin.so, for a LAMMPS of your own
umas.potentials()                    # folder of the potential that comes with umas
"""

from ._build import VERSION as __version__
from .errors import UmasError
from .installation import examples, plugin_path, potentials, prefix

__all__ = ["UmasError", "__version__", "examples", "plugin_path", "potentials", "prefix"]
