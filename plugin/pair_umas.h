/* Pair styles umas and umas/gpu: Meta's UMA-S potential.  What LAMMPS knows (types, neighbour
   list, ghosts, ranks) is translated here into what include/umas.h asks for, and back. */

#ifndef LMP_PAIR_UMAS_H
#define LMP_PAIR_UMAS_H

#include "pair.h"

#include "umas.h"
#include "umas_exchange.h"
#include "umas_graph.h"
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
  UmasGraph graph;
  double energy_unit;                         // of LAMMPS, in one eV
  std::vector<int> number_of_type;            // [ntypes + 1] atomic number, 0 for NULL
  std::vector<std::string> symbol_of_type;    // [ntypes + 1] as pair_coeff has them
  int64_t composition[UMAS_ELEMENTS];         // atoms of every element, all ranks together
  int64_t participants;                       // their sum

  bool ready;            // lists and buffers are those that init_style() asked for this model
  bool types_printed;    // the log has the table of atom types
  bool described;        // the log says how the engine runs
  bool told_of_limit;    // ... and that not all neighbours count
  std::vector<double> force_eV, energy_eV, virial_eV;    // of the last step, as in umas_result

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
