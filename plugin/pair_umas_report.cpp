/* What the log says before a run's first step, which type is which element, and after it: how it
   was cut, how its work lies on the ranks, and, where the deck asks for it, where the time goes. */

#include "pair_umas.h"

#include "atom.h"
#include "comm.h"
#include "error.h"

#include <cmath>
#include <vector>

using namespace LAMMPS_NS;

static constexpr double MASS_MARGIN = 0.1;    // of an element's mass: most isotopes are within it
static constexpr double DEUTERIUM = 2.014, TRITIUM = 3.016;

static bool near(double mass, double usual)
{
  return std::fabs(mass - usual) <= MASS_MARGIN * usual;
}

/* Symbols in the order of another deck make a valid system of wrong atoms.  Every rank calls. */

void PairUMAS::print_types()
{
  const int ntypes = atom->ntypes;
  std::vector<double> mine(2 * (ntypes + 1), 0.0), all(2 * (ntypes + 1));    // atoms, their mass
  for (int i = 0; i < atom->nlocal; i++) {
    const int type = atom->type[i];
    mine[2 * type] += 1.0;
    mine[2 * type + 1] += atom->rmass ? atom->rmass[i] : atom->mass[type];
  }
  MPI_Reduce(mine.data(), all.data(), 2 * (ntypes + 1), MPI_DOUBLE, MPI_SUM, 0, world);
  if (comm->me != 0) return;

  std::vector<double> mass(ntypes + 1, 0.0);    // 0: not known, of a type without atoms
  std::string table = fmt::format("pair {}: elements of the atom types\n{:>8}  {:<7}{:>12}{:>12}\n",
                                  name, "type", "element", "mass", "atoms");
  for (int i = 1; i <= ntypes; i++) {
    const double atoms = all[2 * i];
    if (atoms > 0)
      mass[i] = all[2 * i + 1] / atoms;
    else if (atom->mass)
      mass[i] = atom->mass[i];
    table += fmt::format("{:>8}  {:<7}{:>12.5g}{:>12.0f}\n", i, symbol_of_type[i], mass[i], atoms);
  }
  utils::logmesg(lmp, table);
  for (int i = 1; i <= ntypes; i++)
    if (number_of_type[i] && mass[i] > 0) warn_of_mass(i, mass[i]);
}

void PairUMAS::warn_of_mass(int type, double mass)
{
  const int number = number_of_type[type];
  const std::string &symbol = symbol_of_type[type];
  if (near(mass, umas_element_mass(number)) || symbol == "D" || symbol == "T") return;
  if (number == 1 && (near(mass, DEUTERIUM) || near(mass, TRITIUM))) return;

  int nearest = 1;
  for (int z = 2; z < UMAS_ELEMENTS; z++)
    if (std::fabs(umas_element_mass(z) - mass) < std::fabs(umas_element_mass(nearest) - mass))
      nearest = z;
  error->warning(FLERR,
                 "Pair style {}: atom type {} is {}, whose mass is {:.5g}, but it has the mass "
                 "{:.5g}{}: check the order of the elements in pair_coeff",
                 name, type, symbol, umas_element_mass(number), mass,
                 near(mass, umas_element_mass(nearest))
                     ? fmt::format(" (near that of {})", umas_element_symbol(nearest))
                     : "");
}

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
  check_step(status, problem);
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
