/* Registers the pair styles umas and umas/gpu when LAMMPS loads umasplugin.so. */

#include "comm.h"

#include "lammps_plugin_abi.h"
#include "pair_umas.h"

using namespace LAMMPS_NS;

static void *create_pair_umas(void *lmp)
{
  return new PairUMAS(static_cast<LAMMPS *>(lmp));
}

static void *create_pair_umas_gpu(void *lmp)
{
  return new PairUMASGPU(static_cast<LAMMPS *>(lmp));
}

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle,
                                                                         void *regfunc)
{
  auto *lammps = static_cast<LAMMPS *>(lmp);
  auto register_plugin = reinterpret_cast<lammpsplugin_regfunc>(regfunc);

  if (lammps->comm->me == 0)
    utils::logmesg(lammps, fmt::format("umas {}: engines built in: cpu{}\n", umas_version(),
                                       umas_backend_built(UMAS_CUDA) ? ", cuda" : ""));

  lammpsplugin_t plugin{};
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
