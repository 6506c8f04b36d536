/* Rows of ghosts: who owns them, which of them travel, and the messages that carry them. */

#include "umas_exchange.h"

#include "atom.h"
#include "comm.h"
#include "pair.h"

#include <algorithm>
#include <numeric>

using namespace LAMMPS_NS;

// Apart from LAMMPS' own messages, whose tags are small.
static constexpr int TAG = 28271;

UmasExchange::UmasExchange(LAMMPS *lammps, Pair *pair_in) :
    Pointers(lammps), pair(pair_in), row_plan{}
{}

/* ---- the plan ------------------------------------------------------------------------- */

/* Every ghost learns its owner in one forward communication, which needs neither atom IDs nor an
   atom map and works for bricks and tiles alike. */

void UmasExchange::find_owners()
{
  owner.resize(2 * (static_cast<size_t>(atom->nlocal) + atom->nghost));
  for (int i = 0; i < atom->nlocal; i++) {
    owner[2 * i] = comm->me;
    owner[2 * i + 1] = i;
  }
  comm->forward_comm(pair);
}

int UmasExchange::pack_forward(int n, const int *list, double *buf) const
{
  for (int k = 0; k < n; k++) std::copy_n(&owner[2 * static_cast<size_t>(list[k])], 2, buf + 2 * k);
  return 2 * n;
}

void UmasExchange::unpack_forward(int n, int first, const double *buf)
{
  std::copy_n(buf, 2 * static_cast<size_t>(n), &owner[2 * static_cast<size_t>(first)]);
}

/* wanted: indices of remote atoms on their ranks, by rank; wanted_from [nprocs + 1]: where those of
   a rank begin. */

int UmasExchange::number_rows(const std::vector<bool> &candidate, std::vector<int> &wanted,
                              std::vector<int> &wanted_from)
{
  const int nlocal = atom->nlocal;
  const int total = nlocal + atom->nghost;
  row.assign(total, -1);
  std::iota(row.begin(), row.begin() + nlocal, 0);
  remote.clear();
  for (int j = nlocal; j < total; j++) {
    const int rank = static_cast<int>(owner[2 * static_cast<size_t>(j)]);
    const int index = static_cast<int>(owner[2 * static_cast<size_t>(j) + 1]);
    if (rank == comm->me)
      row[j] = index;
    else if (candidate[j])
      remote.push_back({rank, index, j});
  }
  std::sort(remote.begin(), remote.end());

  wanted_from.assign(comm->nprocs + 1, 0);
  for (size_t k = 0; k < remote.size(); k++) {
    if (k == 0 || !remote[k].same_atom(remote[k - 1])) {
      wanted.push_back(remote[k].index);
      wanted_from[remote[k].rank + 1]++;
    }
    row[remote[k].ghost] = nlocal + static_cast<int>(wanted.size()) - 1;
  }
  std::partial_sum(wanted_from.begin(), wanted_from.end(), wanted_from.begin());
  return nlocal + static_cast<int>(wanted.size());
}

/* Tell every owner which of its rows are wanted here, and hear what others want. */

void UmasExchange::announce_rows(const std::vector<int> &wanted,
                                 const std::vector<int> &wanted_from)
{
  const int nprocs = comm->nprocs;
  std::vector<int> receives(nprocs), sends(nprocs);
  for (int p = 0; p < nprocs; p++) receives[p] = wanted_from[p + 1] - wanted_from[p];
  MPI_Alltoall(receives.data(), 1, MPI_INT, sends.data(), 1, MPI_INT, world);

  peer.clear();
  send_first.assign(1, 0);
  receive_first.assign(1, 0);
  for (int p = 0; p < nprocs; p++) {
    if (receives[p] == 0 && sends[p] == 0) continue;
    peer.push_back(p);
    send_first.push_back(send_first.back() + sends[p]);
    receive_first.push_back(receive_first.back() + receives[p]);
  }
  send_row.resize(send_first.back());
  row_plan = {static_cast<int>(peer.size()), peer.data(), send_first.data(), send_row.data(),
              receive_first.data()};

  // an index travels against the row it stands for

  swap({row_plan.peers, row_plan.peer, sizeof(int), wanted.data(), row_plan.receive_first,
        send_row.data(), row_plan.send_first});
}

int UmasExchange::plan_rows(const std::vector<bool> &candidate)
{
  std::vector<int> wanted, wanted_from;
  find_owners();
  const int nrows = number_rows(candidate, wanted, wanted_from);
  announce_rows(wanted, wanted_from);
  return nrows;
}

/* ---- what the engine asks for --------------------------------------------------------- */

/* MPI counts in ints: rows go in as many messages as that takes, in the same order on both sides.
 */

int UmasExchange::swap(const umas_swap &rows)
{
  const int most = static_cast<int>(std::max<size_t>(1, (1u << 30) / rows.row_bytes));
  std::vector<MPI_Request> requests;
  auto each_message = [&](const int *first, auto &&start) {
    for (int p = 0; p < rows.peers; p++)
      for (int from = first[p]; from < first[p + 1]; from += most) {
        const int count = std::min(most, first[p + 1] - from);
        requests.emplace_back();
        start(from * rows.row_bytes, static_cast<int>(count * rows.row_bytes), rows.peer[p],
              &requests.back());
      }
  };
  each_message(rows.receive_first, [&](size_t at, int bytes, int from, MPI_Request *request) {
    MPI_Irecv(static_cast<char *>(rows.receive) + at, bytes, MPI_BYTE, from, TAG, world, request);
  });
  each_message(rows.send_first, [&](size_t at, int bytes, int to, MPI_Request *request) {
    auto *data = const_cast<char *>(static_cast<const char *>(rows.send)) + at;
    MPI_Isend(data, bytes, MPI_BYTE, to, TAG, world, request);
  });
  std::vector<MPI_Status> statuses(requests.size());
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), statuses.data());
  return 0;
}

bool UmasExchange::any_rank(bool mine)
{
  int flag = mine, any = 0;
  MPI_Allreduce(&flag, &any, 1, MPI_INT, MPI_MAX, world);
  return any != 0;
}

/* MPI ends the program where it fails, so that none of these does. */

umas_exchange UmasExchange::callbacks()
{
  umas_exchange calls{};
  calls.context = this;
  calls.rank = comm->me;
  calls.ranks = comm->nprocs;
  calls.swap = [](void *context, const umas_swap *rows) {
    return static_cast<UmasExchange *>(context)->swap(*rows);
  };
  calls.sum = [](void *context, double *numbers, int count) {
    auto *self = static_cast<UmasExchange *>(context);
    MPI_Allreduce(MPI_IN_PLACE, numbers, count, MPI_DOUBLE, MPI_SUM, self->world);
    return 0;
  };
  calls.gather = [](void *context, const void *mine, void *all, size_t bytes) {
    auto *self = static_cast<UmasExchange *>(context);
    const int count = static_cast<int>(bytes);
    MPI_Allgather(const_cast<void *>(mine), count, MPI_BYTE, all, count, MPI_BYTE, self->world);
    return 0;
  };
  return calls;
}

double UmasExchange::memory_usage() const
{
  return (row.capacity() + send_row.capacity()) * sizeof(int) + owner.capacity() * sizeof(double) +
         remote.capacity() * sizeof(Remote);
}
