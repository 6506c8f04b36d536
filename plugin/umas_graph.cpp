/* The graph's candidates from LAMMPS: elements of atoms and ghosts, which atoms are hidden, the
   full neighbour list in one array, and rows of features for ghosts (umas_exchange). */

#include "umas_graph.h"

#include "atom.h"
#include "comm.h"
#include "force.h"
#include "neigh_list.h"
#include "neighbor.h"

#include <algorithm>

using namespace LAMMPS_NS;

UmasGraph::UmasGraph(LAMMPS *lammps, UmasExchange &exchange_in, const std::vector<int> &numbers) :
    Pointers(lammps), exchange(exchange_in), number_of_type(numbers), evaluated(-1), rows(0)
{}

size_t UmasGraph::total() const
{
  return atom->nlocal + atom->nghost;
}

/* A type may change without a new list (fix atom/swap), so elements are compared at every step.  An
   atom that the list hides from all others takes no part: so fix gcmc asks for the energy without
   it.  Until the engine has evaluated what changed, it counts as changed. */

bool UmasGraph::update(const NeighList &list)
{
  bool changed = neighbor->ago == 0 || neighbor->ncalls != evaluated;
  if (changed) find_hidden();
  element.resize(total());
  for (size_t i = 0; i < total(); i++) {
    const int number = hidden[i] ? 0 : number_of_type[atom->type[i]];
    changed = changed || element[i] != number;
    element[i] = number;
  }
  if (comm->nprocs > 1) changed = exchange.any_rank(changed);
  if (!changed) return false;

  rows = exchange.plan_rows(copy_neighbours(list));
  forget();
  return true;
}

void UmasGraph::set_evaluated()
{
  evaluated = neighbor->ncalls;
}

umas_atoms UmasGraph::atoms(bool changed) const
{
  umas_atoms atoms{};
  atoms.owned = atom->nlocal;
  atoms.total = static_cast<int>(total());
  atoms.nodes = rows;
  atoms.element = element.data();
  atoms.position = total() ? atom->x[0] : nullptr;
  atoms.node = exchange.rows();
  atoms.rows = comm->nprocs > 1 ? exchange.plan() : nullptr;
  atoms.first = first.data();
  atoms.neighbour = neighbour.data();
  atoms.list_changed = changed;
  return atoms;
}

void UmasGraph::count_elements(int64_t *counts) const
{
  std::fill_n(counts, UMAS_ELEMENTS, 0);
  for (int i = 0; i < atom->nlocal; i++) counts[element[i]]++;
  counts[0] = 0;
}

/* Which atoms does neigh_modify exclude hide from all others?  Those of a group that is excluded
   from group all, and of a type that is excluded from all types of the model.  The list was built
   with the groups of that moment. */

void UmasGraph::find_hidden()
{
  constexpr int ALL = 1;    // bit of group all
  int bits = 0;
  for (int k = 0; k < neighbor->nex_group; k++) {
    if (neighbor->ex2_bit[k] == ALL) bits |= neighbor->ex1_bit[k];
    if (neighbor->ex1_bit[k] == ALL) bits |= neighbor->ex2_bit[k];
  }
  std::vector<bool> type_hidden(atom->ntypes + 1, false);
  for (int i = 1; i <= atom->ntypes; i++) type_hidden[i] = is_hidden_type(i);
  hidden.resize(total());
  for (size_t i = 0; i < total(); i++)
    hidden[i] = (atom->mask[i] & bits) != 0 || type_hidden[atom->type[i]];
}

bool UmasGraph::is_hidden_type(int type) const
{
  if (neighbor->nex_type == 0) return false;
  for (int other = 1; other <= atom->ntypes; other++)
    if (number_of_type[other] && !neighbor->ex_type[type][other]) return false;
  return true;
}

/* An exclusion that hides an atom from all others takes no pair of the model. */

bool UmasGraph::excludes_pairs() const
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

/* Atoms that a hybrid style gives to other styles are not in the list and have no neighbours.
   Returns which atoms, ghosts included, an owned atom has among its candidates. */

std::vector<bool> UmasGraph::copy_neighbours(const NeighList &list)
{
  std::vector<bool> candidate(element.size(), false);
  first.assign(atom->nlocal + 1, 0);
  for (int ii = 0; ii < list.inum; ii++) {
    const int i = list.ilist[ii];
    first[i + 1] = list.numneigh[i];
  }
  for (int i = 0; i < atom->nlocal; i++) first[i + 1] += first[i];

  neighbour.resize(first[atom->nlocal]);
  for (int ii = 0; ii < list.inum; ii++) {
    const int i = list.ilist[ii];
    const int *from = list.firstneigh[i];
    int *to = neighbour.data() + first[i];
    for (int jj = 0; jj < list.numneigh[i]; jj++) {
      to[jj] = from[jj] & NEIGHMASK;
      if (element[i] && element[to[jj]]) candidate[to[jj]] = true;
    }
  }
  return candidate;
}

/* Neighbour lists drop bonded neighbours whose special_bonds factors are zero, which would be
   edges missing from the graph.  Other factors are for the other styles of a hybrid style. */

bool UmasGraph::lacks_bonded() const
{
  if (atom->molecular == Atom::ATOMIC) return false;
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
  return exchange.any_rank(missing);
}

double UmasGraph::memory_usage() const
{
  return hidden.capacity() / 8.0 + (element.capacity() + neighbour.capacity()) * sizeof(int) +
         first.capacity() * sizeof(int64_t);
}
