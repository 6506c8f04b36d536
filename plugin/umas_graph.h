/* LAMMPS' atoms, ghosts and neighbour list as umas_atoms, the graph's candidates, wants them.

   Everything but the positions is copied, and copied again only when it has changed: with a new
   neighbour list, or when an atom has changed its type. */

#ifndef UMAS_GRAPH_H
#define UMAS_GRAPH_H

#include "pointers.h"

#include "umas.h"
#include "umas_exchange.h"

#include <vector>

namespace LAMMPS_NS {

class NeighList;

class UmasGraph : protected Pointers {
 public:
  // number_of_type [ntypes + 1]: the atomic number of every atom type, 0 for NULL; it and the
  // exchange outlive this object
  UmasGraph(LAMMPS *, UmasExchange &, const std::vector<int> &number_of_type);

  // Forget what was evaluated: everything counts as changed in the next update().
  void forget() { evaluated = -1; }
  bool is_forgotten() const { return evaluated < 0; }

  // Bring all but the positions up to date.  True, on every rank, if any of it has changed since
  // the last graph that was evaluated.  Every rank calls.
  bool update(const NeighList &);

  // The graph, with the positions of this moment.  Its arrays are this object's and LAMMPS'.
  umas_atoms atoms(bool changed) const;

  // The engine has evaluated the graph.
  void set_evaluated();

  // counts [UMAS_ELEMENTS] of this rank's atoms that take part
  void count_elements(int64_t *counts) const;

  // Does neigh_modify leave out pairs of atoms that both take part?
  bool excludes_pairs() const;

  // Does special_bonds leave bonded neighbours out of the list, or scale them?  Every rank calls;
  // the answer is the same on all.
  bool lacks_bonded() const;

  double memory_usage() const;

 private:
  UmasExchange &exchange;
  const std::vector<int> &number_of_type;

  bigint evaluated;              // neighbor->ncalls of the list that was evaluated, or -1
  int rows;                      // of the engine's feature arrays
  std::vector<bool> hidden;      // [nlocal + nghost] from all others, by neigh_modify exclude
  std::vector<int> element;      // [nlocal + nghost] atomic number, 0 for what takes no part
  std::vector<int64_t> first;    // [nlocal + 1] where an atom's candidates begin
  std::vector<int> neighbour;    // [first[nlocal]] candidates

  size_t total() const;
  void find_hidden();
  bool is_hidden_type(int type) const;
  std::vector<bool> copy_neighbours(const NeighList &);
};

}    // namespace LAMMPS_NS

#endif
