/* Which GPU a rank takes, and how many ranks it shares the memory of that GPU with.

   Every LAMMPS of a job chooses for its own ranks: with -partition, or where a program runs
   several, the others may be in another part of their decks, or have ended, so nothing may wait for
   them. What is known of them comes from the launcher, whose environment variables number the ranks
   of a node. */

#ifndef UMAS_DEVICE_CHOICE_H
#define UMAS_DEVICE_CHOICE_H

#include <string>
#include <vector>

namespace UmasDevices {

// What the launcher says of a rank's place on its node.
struct Launched {
  int rank;     // among all ranks of the job on this node, or -1: it does not say
  int ranks;    // their number, or -1: it does not say
};

// The value of an environment variable, or null.
using Variable = const char *(*) (const char *name);

// Ask the variables of the launchers that are known.
Launched launched(Variable variable);

// The ranks of one LAMMPS on one node, as one of them sees it.
struct Node {
  int me;                          // index of this rank below
  std::vector<Launched> places;    // of all of these ranks
  int job_rank, job_ranks;         // of this rank among all of the job, on all nodes
  int lammps_ranks;                // of this LAMMPS, on all nodes
};

// This rank's place among all ranks of the job on this node; never "does not say".
Launched place_on_node(const Node &node);

// The GPU for a place: the ranks of a node take its GPUs in turn.  -1 without GPUs.
int choose(const Launched &place, int gpus);

// A GPU that a rank has chosen: its number there, and a text that is the same for the same card.
struct Chosen {
  int gpu;
  std::string card;
};

// The number of ranks that share this rank's card, itself included.  `automatic`: it was chosen by
// choose() of `place` and `gpus`, and the other ranks of the job on this node may have done the
// same.
int sharing(const std::vector<Chosen> &chosen, int me, bool automatic, const Launched &place,
            int gpus);

}    // namespace UmasDevices

#endif
