/* What a deck or a command line around the pair style may get wrong: a suffix, newton, a box, pairs
   of atoms that are left out, model files that differ between ranks. */

#include "pair_umas.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "input.h"
#include "neigh_list.h"
#include "neighbor.h"

#include <algorithm>
#include <cstring>
#include <limits>

using namespace LAMMPS_NS;

static constexpr int MOST_NAMED = 4;    // ranks in a message
static constexpr const char *UNDO_SUFFIX =
    "put suffix off before pair_style, or take -sf off the command line, to have umas";

/* The command being read names the style, on its own or in a hybrid one, as the user wrote it. */

void PairUMAS::note_suffix()
{
  by_suffix = lmp->suffix_enable && std::string(name) != "umas" &&
              std::count(input->arg, input->arg + input->narg, std::string("umas")) > 0;
  print_suffix();
}

void PairUMAS::print_suffix()
{
  if (!by_suffix || comm->me != 0) return;
  utils::logmesg(
      lmp,
      fmt::format("pair {}: a suffix made this of pair_style umas, with precision {} where the "
                  "deck gives none; {}\n",
                  name, UmasSettings::defaults(backend).precision_name(), UNDO_SUFFIX));
}

/* An error that says "use umas" is no help to who did. */

std::string PairUMAS::suffix_advice() const
{
  if (!by_suffix || described) return "";
  return fmt::format(" (a suffix made pair_style umas into {}: {})", name, UNDO_SUFFIX);
}

void PairUMAS::refuse_newton_off()
{
  if (force->newton_pair) return;
  fail(
      "newton off is not supported: use newton on, also where an accelerator package turned it off "
      "(-pk kokkos newton on neigh half, -pk gpu 1 newton on)");
}

/* An old copy on one node would make forces of neither model, or rows of other lengths than the
   other ranks wait for.  Every rank calls. */

void PairUMAS::refuse_different_models(const char *path)
{
  struct Opened {
    uint64_t digest;
    char id[64], host[MPI_MAX_PROCESSOR_NAME];
  };
  Opened mine{};
  int length;
  mine.digest = umas_model_digest(model);
  strncpy(mine.id, umas_model_id(model), sizeof(mine.id) - 1);
  MPI_Get_processor_name(mine.host, &length);
  std::vector<Opened> all(comm->nprocs);
  MPI_Allgather(&mine, sizeof(mine), MPI_CHAR, all.data(), sizeof(mine), MPI_CHAR, world);

  std::string others;
  int named = 0;
  for (int rank = 1; rank < comm->nprocs; rank++) {
    const Opened &there = all[rank];
    if (there.digest == all[0].digest || named > MOST_NAMED) continue;
    others += named == MOST_NAMED ? ", and more"
                                  : fmt::format("{}rank {} ({} on {})", named ? ", " : "", rank,
                                                there.id, there.host);
    named++;
  }
  if (named > 0)
    fail(fmt::format("{} is not the same file on all ranks: {} opened another than rank 0 ({} on "
                     "{}): copy one file to all "
                     "nodes",
                     path, others, all[0].id, all[0].host));
}

/* LAMMPS' own error does not say what to do.  Its bins are half as wide as the longest list
   reaches, and must not be a hundred times as wide as the box.  Every rank calls. */

void PairUMAS::refuse_thin_box()
{
  constexpr int PERIODIC = 0, SHRINK_WRAPPED = 2;
  constexpr double WRAPPING = 2.0e-4;    // what LAMMPS leaves around the atoms, of the box
  if (neighbor->style == Neighbor::NSQ || domain->triclinic) return;
  double mine[6], all[6];    // lowest x, y, z, -x, -y, -z of the atoms
  std::fill_n(mine, 6, std::numeric_limits<double>::max());
  for (int i = 0; i < atom->nlocal; i++)
    for (int d = 0; d < 3; d++) {
      mine[d] = std::min(mine[d], atom->x[i][d]);
      mine[3 + d] = std::min(mine[3 + d], -atom->x[i][d]);
    }
  MPI_Allreduce(mine, all, 6, MPI_DOUBLE, MPI_MIN, world);

  const double skin = neighbor->skin;
  const double reach = umas_model_architecture(model)->cutoff + skin;
  const double thin = 0.01 * (neighbor->binsizeflag ? neighbor->binsize_user : 0.5 * reach);
  for (int d = 0; d < 3; d++) {
    const int *const face = domain->boundary[d];
    const double extent = atom->natoms > 0 ? -all[3 + d] - all[d] : 0.0;
    double thickness = domain->prd[d];
    if (face[0] == SHRINK_WRAPPED && face[1] == SHRINK_WRAPPED && thickness > 10.0 * thin)
      thickness = extent + WRAPPING * thickness;    // it is not wrapped yet
    if (face[0] != PERIODIC && std::max(thickness, extent) < thin)
      fail(fmt::format(
          "a box that is {:.2g} A thin along {}, much less than the cutoff, is one that "
          "LAMMPS cannot divide into bins: use neighbor {:g} nsq, or a larger box",
          thickness, "xyz"[d], skin));
  }
}

/* The user may want some pairs left out, but must know that the model then is another one. */

void PairUMAS::warn_of_missing_pairs()
{
  if (comm->me != 0) return;
  if (graph.excludes_pairs())
    error->warning(FLERR,
                   "Pair style {}: neigh_modify exclude or include leaves out pairs of atoms "
                   "the model counts on",
                   name);
  if (!list->ijskip) return;
  for (int i = 1; i <= atom->ntypes; i++)
    for (int j = i; j <= atom->ntypes; j++)
      if (number_of_type[i] && number_of_type[j] && list->ijskip[i][j])
        error->warning(FLERR,
                       "Pair style {}: pairs of types {} and {} are given to other styles, "
                       "but the model counts on them",
                       name, i, j);
}

void PairUMAS::refuse_special_bonds()
{
  if (graph.lacks_bonded())
    fail("bonded neighbours are left out or scaled: use special_bonds lj/coul 1 1 1");
}
