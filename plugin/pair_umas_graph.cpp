/* LAMMPS' atoms, ghosts and neighbour list as the graph that umas_atoms describes. */

#include "pair_umas.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "neigh_list.h"
#include "neighbor.h"

#include <algorithm>

using namespace LAMMPS_NS;

/* Bring element, row and neighbour arrays up to date; true, on every rank, if any changed.  A type
   may change without a new list (fix atom/swap), so elements are compared at every step.  Until the
   engine has evaluated what changed, it counts as changed. */

bool PairUMAS::update_graph()
{
  bool changed = neighbor->ago == 0 || neighbor->ncalls != build;
  const size_t total = atom->nlocal + atom->nghost;
  element.resize(total);
  for (size_t i = 0; i < total; i++) {
    const int number = number_of_type[atom->type[i]];
    changed = changed || element[i] != number;
    element[i] = number;
  }
  if (comm->nprocs > 1) changed = exchange.any_rank(changed);
  if (!changed) return false;

  if (build < 0) warn_of_missing_pairs();
  refuse_special_bonds();
  nodes = exchange.find_rows();
  copy_neighbours();
  build = -1;
  return true;
}

/* Rows stay empty for atoms that a hybrid style gives to others. */

void PairUMAS::copy_neighbours()
{
  first.assign(atom->nlocal + 1, 0);
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    first[i + 1] = list->numneigh[i];
  }
  for (int i = 0; i < atom->nlocal; i++) first[i + 1] += first[i];

  neighbour.resize(first[atom->nlocal]);
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    const int *from = list->firstneigh[i];
    int *to = neighbour.data() + first[i];
    for (int jj = 0; jj < list->numneigh[i]; jj++) to[jj] = from[jj] & NEIGHMASK;
  }
}

/* Count the elements over all ranks; the engine merges its experts again if they changed.  Where
   that fails it has no composition, and `composition` is none that could be met again. */

void PairUMAS::update_composition()
{
  int64_t mine[UMAS_ELEMENTS] = {}, all[UMAS_ELEMENTS];
  for (int i = 0; i < atom->nlocal; i++) mine[element[i]]++;
  mine[0] = 0;
  MPI_Allreduce(mine, all, UMAS_ELEMENTS, MPI_LMP_BIGINT, MPI_SUM, world);
  if (std::equal(all, all + UMAS_ELEMENTS, composition)) return;

  participants = 0;
  for (const int64_t count : all) participants += count;
  if (participants > 0) {
    std::fill_n(composition, UMAS_ELEMENTS, -1);
    umas_error problem{};
    const umas_status status = umas_engine_set_composition(engine, all, &problem);
    check(status, problem);
  }
  std::copy_n(all, UMAS_ELEMENTS, composition);
}

/* The user may want some pairs left out, but must know that the model then is another one. */

void PairUMAS::warn_of_missing_pairs()
{
  if (comm->me != 0) return;
  if (neighbor->exclude || neighbor->includegroup)
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

/* Neighbour lists drop bonded neighbours whose special_bonds factors are zero, which would be
   edges missing from the graph.  Other factors are for the other styles of a hybrid style. */

void PairUMAS::refuse_special_bonds()
{
  if (atom->molecular == Atom::ATOMIC) return;
  const bool hybrid = utils::strmatch(force->pair_style, "^hybrid");
  bool missing = false;
  for (int kind = 1; kind <= 3; kind++) {
    const bool scaled = force->special_lj[kind] != 1.0 || force->special_coul[kind] != 1.0;
    if (!(hybrid ? neighbor->special_flag[kind] == 0 : scaled)) continue;
    if (atom->molecular == Atom::TEMPLATE) missing = true;
    for (int i = 0; i < atom->nlocal && !missing; i++) {
      const int *counts = atom->nspecial[i];    // cumulative
      missing = element[i] && counts[kind - 1] > (kind > 1 ? counts[kind - 2] : 0);
    }
  }
  if (exchange.any_rank(missing))
    fail("bonded neighbours are left out or scaled: use special_bonds lj/coul 1 1 1");
}
