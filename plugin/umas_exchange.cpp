#include "umas_exchange.h"

#include "atom.h"
#include "comm.h"
#include "pair.h"

#include <algorithm>
#include <cstring>
#include <numeric>

using namespace LAMMPS_NS;

UmasExchange::UmasExchange(LAMMPS *lammps, Pair *pair_in) :
    Pointers(lammps), pair(pair_in), nlocal(0), values(nullptr), width(0), column(0), block(0),
    doubles(0), scalar(UMAS_FLOAT64)
{}

/* Every ghost learns its owner in one forward communication, which needs neither atom IDs nor an
   atom map and works for bricks and tiles alike. */

int UmasExchange::find_rows()
{
  nlocal = atom->nlocal;
  const int total = nlocal + atom->nghost;
  row.resize(total);
  std::iota(row.begin(), row.end(), 0);
  owner.resize(2 * static_cast<size_t>(total));
  for (int i = 0; i < nlocal; i++) {
    owner[2 * i] = comm->me;
    owner[2 * i + 1] = i;
  }
  exchange(FORWARD, owner.data(), 2, UMAS_FLOAT64);

  int nrows = nlocal;
  for (size_t j = nlocal; j < row.size(); j++)
    row[j] = owner[2 * j] == comm->me ? static_cast<int>(owner[2 * j + 1]) : nrows++;
  return nrows;
}

/* Move an array a block of columns at a time.  comm_forward and comm_reverse are what LAMMPS sizes
   its messages by; their values for its buffers, set in PairUMAS::init_style(), are put back. */

void UmasExchange::exchange(Direction direction, void *values_in, int columns,
                            umas_scalar scalar_in)
{
  values = static_cast<char *>(values_in);
  scalar = scalar_in;
  width = columns * (scalar == UMAS_FLOAT64 ? sizeof(double) : sizeof(float));
  int &size = direction == FORWARD ? pair->comm_forward : pair->comm_reverse;
  const int buffer_size = size;

  for (column = 0; column < width; column += block) {
    block = std::min(width - column, MAX_DOUBLES * sizeof(double));
    doubles = static_cast<int>((block + sizeof(double) - 1) / sizeof(double));
    size = doubles;
    if (direction == FORWARD)
      comm->forward_comm(pair);
    else
      comm->reverse_comm(pair);
  }
  size = buffer_size;
}

/* ---------------------------------------------------------------------- */

int UmasExchange::pack_forward(int n, const int *list, double *buf) const
{
  for (int k = 0; k < n; k++)
    memcpy(buf + static_cast<size_t>(k) * doubles, values + row[list[k]] * width + column, block);
  return n * doubles;
}

void UmasExchange::unpack_forward(int n, int first, const double *buf)
{
  for (int k = 0; k < n; k++) {
    const int r = row[first + k];
    if (r >= nlocal)
      memcpy(values + r * width + column, buf + static_cast<size_t>(k) * doubles, block);
  }
}

int UmasExchange::pack_reverse(int n, int first, double *buf) const
{
  for (int k = 0; k < n; k++) {
    double *to = buf + static_cast<size_t>(k) * doubles;
    const int r = row[first + k];
    if (r >= nlocal)
      memcpy(to, values + r * width + column, block);
    else
      memset(to, 0, block);    // added to the owner's row already, by the engine
  }
  return n * doubles;
}

template <typename SCALAR> static void add(char *to, const double *from, size_t bytes)
{
  auto *sum = reinterpret_cast<SCALAR *>(to);
  auto *terms = reinterpret_cast<const char *>(from);
  for (size_t k = 0; k < bytes / sizeof(SCALAR); k++) {
    SCALAR term;
    memcpy(&term, terms + k * sizeof(SCALAR), sizeof(SCALAR));
    sum[k] += term;
  }
}

void UmasExchange::unpack_reverse(int n, const int *list, const double *buf)
{
  for (int k = 0; k < n; k++) {
    char *to = values + row[list[k]] * width + column;
    const double *from = buf + static_cast<size_t>(k) * doubles;
    if (scalar == UMAS_FLOAT64)
      add<double>(to, from, block);
    else
      add<float>(to, from, block);
  }
}

/* ---------------------------------------------------------------------- */

bool UmasExchange::any_rank(bool mine)
{
  int flag = mine, any = 0;
  MPI_Allreduce(&flag, &any, 1, MPI_INT, MPI_MAX, world);
  return any != 0;
}

/* Before it communicates, every callback asks whether a rank has failed since the last one.  A
   rank that failed answers from PairUMAS::check() and sends nothing more, so no rank waits for
   it. */

int UmasExchange::callback(Direction direction, void *values_in, int columns, umas_scalar scalar_in,
                           umas_memory where)
{
  if (where != UMAS_HOST) return 1;
  if (any_rank(false)) return 1;
  exchange(direction, values_in, columns, scalar_in);
  return 0;
}

umas_exchange UmasExchange::callbacks()
{
  umas_exchange calls{};
  calls.context = this;
  calls.forward = [](void *context, void *rows, int columns, umas_scalar type, umas_memory where) {
    return static_cast<UmasExchange *>(context)->callback(FORWARD, rows, columns, type, where);
  };
  calls.reverse = [](void *context, void *rows, int columns, umas_scalar type, umas_memory where) {
    return static_cast<UmasExchange *>(context)->callback(REVERSE, rows, columns, type, where);
  };
  calls.sum = [](void *context, double *numbers, int count) {
    auto *self = static_cast<UmasExchange *>(context);
    if (self->any_rank(false)) return 1;
    MPI_Allreduce(MPI_IN_PLACE, numbers, count, MPI_DOUBLE, MPI_SUM, self->world);
    return 0;
  };
  return calls;
}

double UmasExchange::memory_usage() const
{
  return row.capacity() * sizeof(int) + owner.capacity() * sizeof(double);
}
