/* Pair styles umas and umas/gpu: Meta's UMA-S potential.  What LAMMPS knows (types, neighbour
   list, ghosts, ranks) is translated here into what include/umas.h asks for, and back. */

#ifndef LMP_PAIR_UMAS_H
#define LMP_PAIR_UMAS_H

#include "pair.h"

#include "umas.h"
#include "umas_exchange.h"
#include "umas_settings.h"

namespace LAMMPS_NS {

class PairUMAS : public Pair {
 public:
  PairUMAS(LAMMPS *, umas_backend backend = UMAS_CPU);
  ~PairUMAS() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;

  void write_restart(FILE *) override;
  void read_restart(FILE *) override;
  void write_restart_settings(FILE *) override;
  void read_restart_settings(FILE *) override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;

  double memory_usage() override;

 private:
  const umas_backend backend;
  const char *const name;    // of the style, for messages
  UmasSettings chosen;
  bool by_suffix;    // the deck says umas, and this is another style

  umas_model *model;
  umas_engine *engine;
  UmasExchange exchange;
  double energy_unit;                         // of LAMMPS, in one eV
  std::vector<int> number_of_type;            // [ntypes + 1] atomic number, 0 for NULL
  std::vector<std::string> symbol_of_type;    // [ntypes + 1] as pair_coeff has them
  int64_t composition[UMAS_ELEMENTS];         // atoms of every element, all ranks together
  int64_t participants;                       // their sum

  // the system as umas_atoms wants it; all but the positions are kept while they do not change
  bigint build;          // neighbor->ncalls of the list that was evaluated, or -1
  bool ready;            // lists and buffers are those that init_style() asked for this model
  bool listed;           // the log says which type is which element
  bool described;        // the log says how the engine runs
  bool told_of_limit;    // ... and that not all neighbours count
  int nodes;
  std::vector<bool> hidden;      // [nlocal + nghost] from all others, by neigh_modify exclude
  std::vector<int> element;      // [nlocal + nghost] 0 for none
  std::vector<int64_t> first;    // [nlocal + 1]
  std::vector<int> neighbour;    // [first[nlocal]]
  std::vector<double> force_eV, energy_eV, virial_eV;

  void note_suffix();
  void print_suffix();
  std::string suffix_advice() const;
  void refuse_newton_off();
  void refuse_thin_box();
  void require_backend();
  void allocate();
  void open_model(const char *);
  void refuse_different_models(const char *);
  void map_types(char **);
  void choose_device(umas_engine_options &) const;
  void create_engine();
  void print_summary();
  void print_types();
  void warn_of_mass(int, double);
  void print_first_step(const umas_atoms &, umas_result &);
  void print_ranks(const umas_result &);
  void print_limit(const umas_result &);
  void print_profile(const umas_atoms &, umas_result &);

  bool update_graph();
  void find_hidden();
  bool is_hidden_type(int type) const;
  bool excludes_pairs() const;
  std::vector<bool> copy_neighbours();
  void update_composition();
  void warn_of_missing_pairs();
  void refuse_special_bonds();
  void add_results(const umas_result &);

  [[noreturn]] void fail(const std::string &);
  void check(umas_status, const umas_error &);
  void check_agreed(umas_status, const umas_error &);
  void check_step(umas_status, const umas_error &);
};

class PairUMASGPU : public PairUMAS {
 public:
  PairUMASGPU(LAMMPS *lammps) : PairUMAS(lammps, UMAS_CUDA) {}
};

}    // namespace LAMMPS_NS

#endif
