/* Rows of the engine's node arrays, shared between MPI ranks through LAMMPS' own communication.

   A row belongs to an owned atom, or to a ghost whose owner is another rank.  A ghost that is an
   image of an owned atom has no row: it uses the owner's.  LAMMPS sends ghosts on from rank to
   rank, so what is packed for a neighbour may itself be a ghost here; its row was filled, or will
   be emptied, in an earlier swap. */

#ifndef UMAS_EXCHANGE_H
#define UMAS_EXCHANGE_H

#include "pointers.h"

#include "umas.h"

namespace LAMMPS_NS {

class UmasExchange : protected Pointers {
 public:
  // at most so many doubles of a row travel at once: it bounds LAMMPS' buffers
  static constexpr int MAX_DOUBLES = 256;

  UmasExchange(LAMMPS *, class Pair *);

  // Find the row of every owned and ghost atom; every rank calls.  Returns the number of rows.
  int find_rows();
  const int *rows() const { return row.data(); }    // [nlocal + nghost]

  // For the engine; they stay valid as long as this object.
  umas_exchange callbacks();

  // True on every rank if any rank says true.
  bool any_rank(bool mine);

  // LAMMPS' packing calls of the pair style end here.
  int pack_forward(int n, const int *list, double *buf) const;
  void unpack_forward(int n, int first, const double *buf);
  int pack_reverse(int n, int first, double *buf) const;
  void unpack_reverse(int n, const int *list, const double *buf);

  double memory_usage() const;

 private:
  class Pair *pair;
  int nlocal;                   // rows below it are owned
  std::vector<int> row;         // of every owned and ghost atom
  std::vector<double> owner;    // [nlocal + nghost][2] rank and index there

  // the block of columns under way
  char *values;     // [rows][width] scalars
  size_t width;     // bytes of a row
  size_t column;    // first byte of the block
  size_t block;     // bytes of the block
  int doubles;      // of LAMMPS' buffer that hold it
  umas_scalar scalar;

  enum Direction { FORWARD, REVERSE };
  void exchange(Direction, void *values, int width, umas_scalar scalar);
  int callback(Direction, void *values, int width, umas_scalar scalar, umas_memory where);
};

}    // namespace LAMMPS_NS

#endif
