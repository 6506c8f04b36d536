/* What the log says after a run's first step: how it was cut, how its work lies on the ranks, and,
   where the deck asks for it, where the time goes. */

#include "pair_umas.h"

#include "atom.h"
#include "comm.h"
#include "error.h"

#include <vector>

using namespace LAMMPS_NS;

/* Every rank calls. */

void PairUMAS::print_first_step(const umas_atoms &atoms, umas_result &result)
{
  if (comm->me == 0) {
    char line[1024];
    umas_engine_describe(engine, line, sizeof(line));
    utils::logmesg(lmp, fmt::format("pair {}: {}\n", name, line));
  }
  if (comm->nprocs > 1) print_ranks(result);
  if (chosen.profile) print_profile(atoms, result);
}

/* Rows that are sent are received elsewhere: their mean is the same. */

void PairUMAS::print_ranks(const umas_result &result)
{
  const umas_row_plan *plan = exchange.plan();
  const double mine[4] = {
      static_cast<double>(atom->nlocal), static_cast<double>(plan->send_first[plan->peers]),
      static_cast<double>(plan->receive_first[plan->peers]), static_cast<double>(result.edges)};
  double sum[4], most[4];
  MPI_Reduce(const_cast<double *>(mine), sum, 4, MPI_DOUBLE, MPI_SUM, 0, world);
  MPI_Reduce(const_cast<double *>(mine), most, 4, MPI_DOUBLE, MPI_MAX, 0, world);
  if (comm->me != 0) return;
  const double n = comm->nprocs;
  utils::logmesg(
      lmp, fmt::format("pair {}: {} ranks, on average (and at most): {:.0f} ({:.0f}) atoms, "
                       "{:.0f} ({:.0f}) rows sent, {:.0f} ({:.0f}) received, "
                       "{:.0f} ({:.0f}) edges; the busiest rank has {:.2f} times the mean\n",
                       name, comm->nprocs, sum[0] / n, most[0], sum[1] / n, most[1], sum[2] / n,
                       most[2], sum[3] / n, most[3], sum[3] > 0 ? most[3] * n / sum[3] : 1.0));
}

/* The limit may begin to bind at any step; it is looked for when lists are new.  Every rank calls.
 */

void PairUMAS::print_limit(const umas_result &result)
{
  bigint mine = result.crowded, all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_LMP_BIGINT, MPI_SUM, world);
  if (all == 0) return;
  told_of_limit = true;
  if (comm->me == 0)
    utils::logmesg(lmp, fmt::format("pair {}: {} atoms have more than {} neighbours within the "
                                    "cutoff: the nearest count, as in fairchem\n",
                                    name, all, umas_model_architecture(model)->max_neighbors));
}

/* The step once more, with a clock on every stage; of rank 0. */

void PairUMAS::print_profile(const umas_atoms &atoms, umas_result &result)
{
  std::vector<umas_stage_time> stages(UMAS_MOST_STAGES);
  int count = 0;
  umas_error problem{};
  const umas_status status = umas_engine_profile(engine, &atoms, &result, stages.data(),
                                                 UMAS_MOST_STAGES, &count, &problem);
  if (status == UMAS_ERROR_DEVICE)
    error->one(FLERR, fmt::format("Pair style {}: {}", name, problem.message));
  check_agreed(status, problem);
  if (comm->me != 0) return;

  double all = 0.0;
  std::string table =
      fmt::format("pair {}: stages of a step on rank 0\n{:<52}{:>6}{:>10}{:>9}{:>10}\n", name,
                  "stage", "calls", "ms", "GB/s", "TFLOP/s");
  for (int i = 0; i < count; i++) {
    const umas_stage_time &s = stages[i];
    if (!s.beside) all += s.milliseconds;
    table += fmt::format("{:<52}{:>6}{:>10.3f}{:>9.0f}{:>10.2f}\n",
                         s.beside ? fmt::format("({})", s.name) : s.name, s.calls, s.milliseconds,
                         s.bytes / s.milliseconds * 1e-6, s.operations / s.milliseconds * 1e-9);
  }
  table +=
      fmt::format("{:<52}{:>6}{:>10.3f}\n", "all; stages in brackets run beside others", "", all);
  utils::logmesg(lmp, table);
}
