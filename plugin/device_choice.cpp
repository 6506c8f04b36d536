/* Which GPU a rank takes: what launchers say of a node's ranks, and the rule that deals out GPUs.
 */

#include "device_choice.h"

#include <algorithm>
#include <climits>
#include <cstdlib>

namespace UmasDevices {

/* In a batch job of Slurm a launcher of another kind passes on Slurm's variables of the batch
   script, the same to every rank, so these come last. */

static const struct {
  const char *rank, *ranks;
} LAUNCHERS[] = {
    {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},    // Open MPI
    {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},                          // MPICH, Intel MPI
    {"MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},      // MVAPICH
    {"PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"},                            // Cray
    {"PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"},                        // PALS
    {"MPT_LRANK", nullptr},                                          // HPE MPT
    {"FLUX_TASK_LOCAL_ID", nullptr},                                 // Flux
};

/* A number from 0 at the start of a text, or -1. */

static int read_number(const char *text, const char **end = nullptr)
{
  char *after = nullptr;
  const long value = text && *text >= '0' && *text <= '9' ? strtol(text, &after, 10) : -1;
  if (end) *end = after;
  return value < 0 || value > INT_MAX ? -1 : static_cast<int>(value);
}

/* The number of ranks on a node in Slurm's list for all nodes, such as "4(x2),3". */

static int slurm_ranks(const char *list, int node)
{
  for (int first = 0; list && *list && node >= 0;) {
    const int ranks = read_number(list, &list);
    int nodes = 1;
    if (ranks < 0) return -1;
    if (list[0] == '(' && list[1] == 'x') {
      nodes = read_number(list + 2, &list);
      if (nodes < 1 || *list++ != ')') return -1;
    }
    if (node < first + nodes) return ranks;
    first += nodes;
    if (*list == ',') list++;
  }
  return -1;
}

Launched launched(Variable variable)
{
  for (const auto &launcher : LAUNCHERS) {
    const int rank = read_number(variable(launcher.rank));
    if (rank >= 0) return {rank, launcher.ranks ? read_number(variable(launcher.ranks)) : -1};
  }
  return {
      read_number(variable("SLURM_LOCALID")),
      slurm_ranks(variable("SLURM_STEP_TASKS_PER_NODE"), read_number(variable("SLURM_NODEID")))};
}

/* ---------------------------------------------------------------------- */

/* Variables may be left from another launcher: ranks of one node must differ in theirs. */

static bool plausible(const std::vector<Launched> &places)
{
  std::vector<int> ranks;
  for (const Launched &place : places) {
    if (place.rank < 0 || (place.ranks >= 0 && place.rank >= place.ranks)) return false;
    ranks.push_back(place.rank);
  }
  std::sort(ranks.begin(), ranks.end());
  return std::adjacent_find(ranks.begin(), ranks.end()) == ranks.end();
}

/* Without a launcher's word, a LAMMPS that is alone counts its own ranks.  Otherwise the ranks of
   the others are taken to be on this node, numbered as in the job: that is so on a single node, and
   elsewhere spreads the ranks and gives a rank rather too little memory than too much. */

Launched place_on_node(const Node &node)
{
  const int ranks = static_cast<int>(node.places.size());
  const int others = node.job_ranks - node.lammps_ranks;
  if (plausible(node.places)) {
    const Launched &mine = node.places[node.me];
    const int least = std::max(ranks, mine.rank + 1);
    return {mine.rank,
            mine.ranks < 0 ? std::max(ranks + others, least) : std::max(mine.ranks, least)};
  }
  if (others == 0) return {node.me, ranks};
  return {node.job_rank, std::max(ranks + others, node.job_rank + 1)};
}

int choose(const Launched &place, int gpus)
{
  return gpus > 0 ? place.rank % gpus : -1;
}

/* Where the numbers of two ranks are the same and the cards are not, the launcher has given ranks
   cards of their own, and the numbers of other ranks say nothing about theirs. */

int sharing(const std::vector<Chosen> &chosen, int me, bool automatic, const Launched &place,
            int gpus)
{
  const Chosen &mine = chosen[me];
  int same_card = 0;
  bool own_cards = false;
  for (const Chosen &other : chosen) {
    if (other.card == mine.card)
      same_card++;
    else if (other.gpu == mine.gpu)
      own_cards = true;
  }
  if (!automatic || own_cards || gpus < 1) return std::max(same_card, 1);
  const int in_turn = (place.ranks - mine.gpu + gpus - 1) / gpus;
  return std::max(same_card, in_turn);
}

}    // namespace UmasDevices
