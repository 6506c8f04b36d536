/* Registers the pair styles umas and umas/gpu when LAMMPS loads umasplugin.so. */

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "library.h"

#include "lammps_plugin_abi.h"
#include "pair_umas.h"

#include <cstring>

using namespace LAMMPS_NS;

static void *create_pair_umas(void *lmp)
{
  return new PairUMAS(static_cast<LAMMPS *>(lmp));
}

static void *create_pair_umas_gpu(void *lmp)
{
  return new PairUMASGPU(static_cast<LAMMPS *>(lmp));
}

/* LAMMPS would load a plugin for another version with no more than a line in the log, and one for
   other integers without any; what its classes look like inside would then be a guess. */

static void refuse_another_lammps(LAMMPS *lammps)
{
  Error *const error = lammps->error;
  if (strcmp(lammps->version, UMAS_LAMMPS_VERSION) != 0)
    error->all(
        FLERR,
        "umasplugin.so was compiled for LAMMPS {}, but this is LAMMPS {}: compile umas again "
        "with -DLAMMPS_ROOT= naming this one",
        UMAS_LAMMPS_VERSION, lammps->version);
  if (lammps->atom->extract_datatype("id") != LAMMPS_TAGINT)
    error->all(
        FLERR,
        "umasplugin.so was compiled for a LAMMPS with atom IDs of {} bits, which this one has "
        "not: compile umas again with -DLAMMPS_ROOT= naming this one",
        8 * sizeof(tagint));
}

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle,
                                                                         void *regfunc)
{
  auto *lammps = static_cast<LAMMPS *>(lmp);
  auto register_plugin = reinterpret_cast<lammpsplugin_regfunc>(regfunc);

  refuse_another_lammps(lammps);
  if (lammps->comm->me == 0)
    utils::logmesg(lammps, fmt::format("umas {}: engines built in: cpu{}\n", umas_version(),
                                       umas_backend_built(UMAS_CUDA) ? ", cuda" : ""));

  lammpsplugin_t plugin{};
  plugin.version = UMAS_LAMMPS_VERSION;
  plugin.style = "pair";
  plugin.author = "the umas authors";
  plugin.handle = handle;

  plugin.name = "umas";
  plugin.info = "pair style umas (UMA-S on the CPU)";
  plugin.creator.v1 = create_pair_umas;
  register_plugin(&plugin, lmp);

  // without CUDA the style still exists, to say so

  plugin.name = "umas/gpu";
  plugin.info = "pair style umas/gpu (UMA-S on a CUDA GPU)";
  plugin.creator.v1 = create_pair_umas_gpu;
  register_plugin(&plugin, lmp);
}
