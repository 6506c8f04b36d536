/* Rows of the engine's node arrays, shared between MPI ranks.

   A row belongs to an owned atom, or to an atom of another rank that is a candidate of an owned
   one. A ghost that is an image of an owned atom uses the owner's row, and all images of a remote
   atom share one.  Rows of remote atoms are numbered by the rank that owns them and its index
   there, so that what a rank sends arrives as one block, straight from the owner. */

#ifndef UMAS_EXCHANGE_H
#define UMAS_EXCHANGE_H

#include "pointers.h"

#include "umas.h"

#include <vector>

namespace LAMMPS_NS {

class UmasExchange : protected Pointers {
 public:
  // doubles an atom in LAMMPS' forward communication: rank of the owner and index there
  static constexpr int FORWARD_DOUBLES = 2;

  UmasExchange(LAMMPS *, class Pair *);

  // Number the rows and plan which ones travel; every rank calls after atoms or lists changed.
  // candidate [nlocal + nghost]: the ghosts that owned atoms list.  Returns the number of rows.
  int plan_rows(const std::vector<bool> &candidate);
  const int *rows() const { return row.data(); }    // [nlocal + nghost], -1: a ghost without one
  const umas_row_plan *plan() const { return &row_plan; }

  // For the engine; they stay valid as long as this object.
  umas_exchange callbacks();

  // True on every rank if any rank says true.
  bool any_rank(bool mine);

  // LAMMPS' packing calls of the pair style end here.
  int pack_forward(int n, const int *list, double *buf) const;
  void unpack_forward(int n, int first, const double *buf);

  double memory_usage() const;

 private:
  struct Remote {
    int rank, index, ghost;    // owner, index there, index here
    bool operator<(const Remote &other) const
    {
      return rank != other.rank ? rank < other.rank : index < other.index;
    }
    bool same_atom(const Remote &other) const { return rank == other.rank && index == other.index; }
  };

  class Pair *pair;
  std::vector<int> row;         // of every owned and ghost atom
  std::vector<double> owner;    // [nlocal + nghost][2] rank and index there
  std::vector<Remote> remote;

  // what row_plan points to
  std::vector<int> peer, send_first, send_row, receive_first;
  umas_row_plan row_plan;

  void find_owners();
  int number_rows(const std::vector<bool> &candidate, std::vector<int> &wanted,
                  std::vector<int> &wanted_from);
  void announce_rows(const std::vector<int> &wanted, const std::vector<int> &wanted_from);
  int swap(const umas_swap &);
};

}    // namespace LAMMPS_NS

#endif
