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
   may change without a new list (fix atom/swap), so elements are compared at every step.  An atom
   that the list hides from all others is not there: fix gcmc asks so for the energy without it.
   Until the engine has evaluated what changed, it counts as changed. */

bool PairUMAS::update_graph()
{
  bool changed = neighbor->ago == 0 || neighbor->ncalls != build;
  const size_t total = atom->nlocal + atom->nghost;
  if (changed) find_hidden();
  element.resize(total);
  for (size_t i = 0; i < total; i++) {
    const int number = hidden[i] ? 0 : number_of_type[atom->type[i]];
    changed = changed || element[i] != number;
    element[i] = number;
  }
  if (comm->nprocs > 1) changed = exchange.any_rank(changed);
  if (!changed) return false;

  if (build < 0) warn_of_missing_pairs();
  refuse_special_bonds();
  nodes = exchange.plan_rows(copy_neighbours());
  build = -1;
  return true;
}

/* Which atoms does neigh_modify exclude hide from all others?  Those of a group that is excluded
   from group all, and of a type that is excluded from all types of the model.  The list was built
   with the groups of that moment. */

void PairUMAS::find_hidden()
{
  constexpr int ALL = 1;    // bit of group all
  int bits = 0;
  for (int k = 0; k < neighbor->nex_group; k++) {
    if (neighbor->ex2_bit[k] == ALL) bits |= neighbor->ex1_bit[k];
    if (neighbor->ex1_bit[k] == ALL) bits |= neighbor->ex2_bit[k];
  }
  std::vector<bool> type_hidden(atom->ntypes + 1, false);
  for (int i = 1; i <= atom->ntypes; i++) type_hidden[i] = is_hidden_type(i);
  const size_t total = atom->nlocal + atom->nghost;
  hidden.resize(total);
  for (size_t i = 0; i < total; i++)
    hidden[i] = (atom->mask[i] & bits) != 0 || type_hidden[atom->type[i]];
}

bool PairUMAS::is_hidden_type(int type) const
{
  if (neighbor->nex_type == 0) return false;
  for (int other = 1; other <= atom->ntypes; other++)
    if (number_of_type[other] && !neighbor->ex_type[type][other]) return false;
  return true;
}

/* Are there exclusions that leave atoms in the model but take some of their pairs? */

bool PairUMAS::excludes_pairs() const
{
  if (neighbor->includegroup || neighbor->nex_mol > 0) return true;
  for (int k = 0; k < neighbor->nex_group; k++)
    if (neighbor->ex1_bit[k] != 1 && neighbor->ex2_bit[k] != 1) return true;
  for (int k = 0; k < neighbor->nex_type; k++) {
    const int i = neighbor->ex1_type[k], j = neighbor->ex2_type[k];
    if (number_of_type[i] && number_of_type[j] && !is_hidden_type(i) && !is_hidden_type(j))
      return true;
  }
  return false;
}

/* Rows stay empty for atoms that a hybrid style gives to others.  Returns which atoms are
   candidates for an edge. */

std::vector<bool> PairUMAS::copy_neighbours()
{
  std::vector<bool> candidate(element.size(), false);
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
    for (int jj = 0; jj < list->numneigh[i]; jj++) {
      to[jj] = from[jj] & NEIGHMASK;
      if (element[i] && element[to[jj]]) candidate[to[jj]] = true;
    }
  }
  return candidate;
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
  if (excludes_pairs())
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
