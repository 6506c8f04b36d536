/* The commands pair_style and pair_coeff, a step, and restart files.  What a deck may get wrong is
   in pair_umas_deck.cpp, what the log says in pair_umas_report.cpp. */

#include "pair_umas.h"

#include "device_choice.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"
#include "update.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <omp.h>

using namespace LAMMPS_NS;

PairUMAS::PairUMAS(LAMMPS *lammps, umas_backend backend_in) :
    Pair(lammps), backend(backend_in), name(backend_in == UMAS_CPU ? "umas" : "umas/gpu"), chosen{},
    by_suffix(false), model(nullptr), engine(nullptr), exchange(lammps, this),
    graph(lammps, exchange, number_of_type), energy_unit(1.0), composition{}, participants(0),
    ready(false), types_printed(false), described(false), told_of_limit(false)
{
  single_enable = 0;
  restartinfo = 1;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  comm_forward = UmasExchange::FORWARD_DOUBLES;
  centroidstressflag = CENTROID_NOTAVAIL;
  unit_convert_flag = utils::get_supported_conversions(utils::ENERGY);
}

PairUMAS::~PairUMAS()
{
  if (copymode) return;
  umas_engine_destroy(engine);
  umas_model_close(model);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairUMAS::allocate()
{
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  std::fill_n(&setflag[0][0], n * n, 0);
  std::fill_n(&cutsq[0][0], n * n, 0.0);
  allocated = 1;
}

/* ---------------------------------------------------------------------- */

void PairUMAS::require_backend()
{
  if (!umas_backend_built(backend))
    fail("this umasplugin.so was built without CUDA: use pair_style umas, or a plugin built with "
         "CUDA");
}

void PairUMAS::settings(int narg, char **arg)
{
  ready = false;
  described = false;
  note_suffix();
  require_backend();
  chosen = UmasSettings::defaults(backend);
  std::vector<std::string> given;
  for (int i = 0; i < narg; i += 2) {
    std::string wrong = UmasSettings::check_keyword(backend, arg[i]);
    if (wrong.empty() && std::find(given.begin(), given.end(), arg[i]) != given.end())
      wrong = fmt::format("keyword {} is given twice", arg[i]);
    if (wrong.empty() && i + 1 == narg) wrong = fmt::format("keyword {} without a value", arg[i]);
    if (wrong.empty()) wrong = chosen.set(backend, arg[i], arg[i + 1]);
    if (!wrong.empty()) fail(wrong);
    given.push_back(arg[i]);
  }
  if (!chosen.task[0]) fail("the keyword task is needed, for example: task omat");

  // the engine follows in coeff(), or in init_style() where pair_coeff is not given again

  umas_engine_destroy(engine);
  engine = nullptr;
}

/* ---------------------------------------------------------------------- */

void PairUMAS::coeff(int narg, char **arg)
{
  ready = false;
  if (!allocated) allocate();
  if (strcmp(update->unit_style, "metal") == 0)
    energy_unit = 1.0;
  else if (strcmp(update->unit_style, "real") == 0)
    energy_unit = utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL);
  else
    fail(fmt::format("units {} are not supported: use units metal or real", update->unit_style));

  if (narg < 3 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    fail("use pair_coeff * * FILE and one element symbol or NULL per atom type");
  if (narg - 3 != atom->ntypes)
    fail(fmt::format("pair_coeff needs one element symbol or NULL for each of the {} atom types, "
                     "but {} are given",
                     atom->ntypes, narg - 3));
  types_printed = false;
  open_model(arg[2]);
  map_types(arg + 3);
  create_engine();
  print_summary();
}

void PairUMAS::open_model(const char *path)
{
  umas_engine_destroy(engine);
  engine = nullptr;
  umas_model_close(model);
  model = nullptr;

  const std::string found = utils::get_potential_file_path(path);
  umas_error problem{};
  const umas_status status =
      umas_model_open(found.empty() ? path : found.c_str(), &model, &problem);
  check(status, problem);
  refuse_different_models(path);
}

/* LAMMPS wants all pairs of types set, but for those a hybrid style leaves to its other styles. */

void PairUMAS::map_types(char **symbol)
{
  const int ntypes = atom->ntypes;
  const int table = umas_model_architecture(model)->elements;
  number_of_type.assign(ntypes + 1, 0);
  symbol_of_type.assign(ntypes + 1, "");
  for (int i = 1; i <= ntypes; i++) {
    const char *s = symbol[i - 1];
    symbol_of_type[i] = s;
    if (strcmp(s, "NULL") == 0) continue;
    const int number = umas_element_number(s);
    if (number == 0) fail(fmt::format("{} (atom type {}) is not a chemical element", s, i));
    if (number >= table)
      fail(fmt::format("the model has no parameters for {} (atom type {}): it knows {} to {}", s, i,
                       umas_element_symbol(1), umas_element_symbol(table - 1)));
    if (!umas_model_has_element(model, number))
      fail(fmt::format("the model was not trained for {} (atom type {}): it was for {}", s, i,
                       umas_model_trained_elements(model)));
    number_of_type[i] = number;
  }
  if (*std::max_element(number_of_type.begin(), number_of_type.end()) == 0)
    fail("pair_coeff maps every atom type to NULL");

  const bool hybrid = utils::strmatch(force->pair_style, "^hybrid");
  for (int i = 1; i <= ntypes; i++)
    for (int j = i; j <= ntypes; j++)
      setflag[i][j] = !hybrid || (number_of_type[i] && number_of_type[j]);
}

/* The GPU of this rank and its share of the memory that the deck allows.  Collective in this
   LAMMPS, but not in the job: other partitions may be elsewhere in their decks. */

void PairUMAS::choose_device(umas_engine_options &options) const
{
  using namespace UmasDevices;
  if (backend != UMAS_CUDA) return;
  MPI_Comm comm_node;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm_node);
  Node node{};
  int ranks;
  MPI_Comm_rank(comm_node, &node.me);
  MPI_Comm_size(comm_node, &ranks);
  MPI_Comm_rank(MPI_COMM_WORLD, &node.job_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &node.job_ranks);
  node.lammps_ranks = comm->nprocs;

  const Launched mine =
      launched([](const char *variable) -> const char * { return getenv(variable); });
  const int place[2] = {mine.rank, mine.ranks};
  std::vector<int> places(2 * ranks);
  MPI_Allgather(place, 2, MPI_INT, places.data(), 2, MPI_INT, comm_node);
  for (int r = 0; r < ranks; r++) node.places.push_back({places[2 * r], places[2 * r + 1]});

  const bool automatic = chosen.device < 0;
  const int gpus = umas_device_count();
  const Launched here = place_on_node(node);
  options.device = automatic ? choose(here, gpus) : chosen.device;

  char card[UMAS_DEVICE_ID];
  umas_device_id(options.device, card);
  std::vector<int> numbers(ranks);
  std::vector<char> cards(UMAS_DEVICE_ID * ranks);
  MPI_Allgather(&options.device, 1, MPI_INT, numbers.data(), 1, MPI_INT, comm_node);
  MPI_Allgather(card, UMAS_DEVICE_ID, MPI_CHAR, cards.data(), UMAS_DEVICE_ID, MPI_CHAR, comm_node);
  MPI_Comm_free(&comm_node);
  std::vector<Chosen> taken(ranks);
  for (int r = 0; r < ranks; r++) taken[r] = {numbers[r], &cards[UMAS_DEVICE_ID * r]};
  options.memory_fraction = chosen.memory_fraction / sharing(taken, node.me, automatic, here, gpus);
}

void PairUMAS::create_engine()
{
  if (!umas_model_find_task(model, chosen.task)) {
    std::string known;
    for (int i = 0; i < umas_model_task_count(model); i++)
      known += fmt::format("{}{}", i ? ", " : "", umas_model_task(model, i)->name);
    fail(fmt::format("unknown task {}: this model has {}", chosen.task, known));
  }

  const umas_exchange calls = exchange.callbacks();
  umas_engine_options options = umas_engine_default_options();
  options.backend = backend;
  options.precision = static_cast<umas_precision>(chosen.precision);
  options.task = chosen.task;
  options.charge = chosen.charge;
  options.spin = chosen.spin;
  choose_device(options);
  options.exchange = comm->nprocs > 1 ? &calls : nullptr;
  options.transport = static_cast<umas_transport>(chosen.transport);

  umas_error problem{};
  const umas_status status = umas_engine_create(model, &options, &engine, &problem);
  check_agreed(status, problem);
  std::fill_n(composition, UMAS_ELEMENTS, 0);
  participants = 0;
  graph.forget();
  described = told_of_limit = false;
}

void PairUMAS::print_summary()
{
  if (comm->me != 0) return;
  const umas_architecture *a = umas_model_architecture(model);
  std::string spin = std::to_string(chosen.spin);
  if (chosen.spin == UMAS_SPIN_OF_TASK) {
    const int usual = umas_model_find_task(model, chosen.task)->spin;
    spin = fmt::format("{}{}", usual,
                       usual ? fmt::format(" (none is given; that of task {})", chosen.task) : "");
  }
  utils::logmesg(lmp, fmt::format("pair {}: {} from {}, task {}, charge {}, spin {}, precision {}, "
                                  "cutoff {} A, {} layers of {} channels, {} experts\n",
                                  name, umas_model_id(model), umas_model_source(model), chosen.task,
                                  chosen.charge, spin, chosen.precision_name(), a->cutoff,
                                  a->layers, a->sphere_channels, a->experts));
  if (const char *const note = umas_model_note(model))
    utils::logmesg(lmp, fmt::format("pair {}: {}\n", name, note));
  if (umas_model_is_random(model))
    error->warning(FLERR,
                   "Pair style {}: the weights of this model are random numbers: results "
                   "are not physics",
                   name);
}

/* ---------------------------------------------------------------------- */

void PairUMAS::init_style()
{
  refuse_newton_off();
  if (!model) fail("pair_coeff is missing (it is not kept in restart files)");
  if (!engine) {
    create_engine();
    print_summary();
  }

  refuse_thin_box();

  // the engine's OpenMP may be another than LAMMPS' own, and LAMMPS may have none

  if (comm->nthreads > 1 || !getenv("OMP_NUM_THREADS")) omp_set_num_threads(comm->nthreads);

  neighbor->add_request(this, NeighConst::REQ_FULL);
  graph.forget();
  ready = true;
}

double PairUMAS::init_one(int i, int j)
{
  if (!number_of_type[i] || !number_of_type[j]) return 0.0;
  return umas_model_architecture(model)->cutoff;
}

/* Count the elements over all ranks; the engine merges its experts again if they have changed.  If
   that fails, it has no composition, and `composition` is set to one that no system has. */

void PairUMAS::update_composition()
{
  int64_t mine[UMAS_ELEMENTS], all[UMAS_ELEMENTS];
  graph.count_elements(mine);
  MPI_Allreduce(mine, all, UMAS_ELEMENTS, MPI_LMP_BIGINT, MPI_SUM, world);
  if (std::equal(all, all + UMAS_ELEMENTS, composition)) return;

  participants = 0;
  for (const int64_t count : all) participants += count;
  if (participants > 0) {
    std::fill_n(composition, UMAS_ELEMENTS, -1);
    umas_error problem{};
    const umas_status status = umas_engine_set_composition(engine, all, &problem);
    check(status, problem);
  }
  std::copy_n(all, UMAS_ELEMENTS, composition);
}

/* ---------------------------------------------------------------------- */

void PairUMAS::compute(int eflag, int vflag)
{
  if (!ready) fail("a run after pair_style or pair_coeff must not say pre no");
  ev_init(eflag, vflag);

  if (graph.is_forgotten()) warn_of_missing_pairs();
  const bool changed = graph.update(*list);
  if (changed) {
    refuse_special_bonds();
    update_composition();
  }
  if (!types_printed) print_types();
  types_printed = true;
  if (participants == 0) {
    graph.set_evaluated();
    return;
  }

  const int total = atom->nlocal + atom->nghost;
  force_eV.resize(3 * static_cast<size_t>(total));
  if (eflag_atom) energy_eV.resize(atom->nlocal);
  if (vflag_atom) virial_eV.resize(6 * static_cast<size_t>(total));

  const umas_atoms atoms = graph.atoms(changed);
  umas_result result{};
  result.force = force_eV.data();
  result.atom_energy = eflag_atom ? energy_eV.data() : nullptr;
  result.atom_virial = vflag_atom ? virial_eV.data() : nullptr;

  umas_error problem{};
  const umas_status status = umas_engine_evaluate(engine, &atoms, &result, &problem);
  check_step(status, problem);
  graph.set_evaluated();
  add_results(result);
  if (!told_of_limit && changed) print_limit(result);
  if (!described) print_first_step(atoms, result);
  described = true;
}

void PairUMAS::add_results(const umas_result &result)
{
  const int nlocal = atom->nlocal;
  const int total = nlocal + atom->nghost;
  double **f = atom->f;

  for (int i = 0; i < total; i++)
    for (int k = 0; k < 3; k++) f[i][k] += energy_unit * result.force[3 * i + k];
  if (eflag_global) eng_vdwl += energy_unit * result.energy;
  if (vflag_global)
    for (int k = 0; k < 6; k++) virial[k] += energy_unit * result.virial[k];
  if (eflag_atom)
    for (int i = 0; i < nlocal; i++) eatom[i] += energy_unit * result.atom_energy[i];
  if (vflag_atom)
    for (int i = 0; i < total; i++)
      for (int k = 0; k < 6; k++) vatom[i][k] += energy_unit * result.atom_virial[6 * i + k];
}

/* ---------------------------------------------------------------------- */

void PairUMAS::fail(const std::string &message)
{
  error->all(FLERR, fmt::format("Pair style {}: {}{}", name, message, suffix_advice()));
}

/* All ranks call with what the library returned to them, each by itself: if it failed on any, all
   of them end. */

void PairUMAS::check(umas_status status, const umas_error &problem)
{
  umas_error none{};
  if (exchange.any_rank(status != UMAS_OK))
    check_agreed(status == UMAS_OK ? UMAS_ERROR_EXCHANGE : status,
                 status == UMAS_OK ? none : problem);
}

/* The same where the ranks have agreed already: the library succeeded on all of them or on none.
   All end with the message of the lowest rank that failed by itself. */

void PairUMAS::check_agreed(umas_status status, const umas_error &problem)
{
  if (status == UMAS_OK) return;
  const bool mine = status != UMAS_ERROR_EXCHANGE;
  int rank = mine ? comm->me : comm->nprocs, lowest = 0;
  MPI_Allreduce(&rank, &lowest, 1, MPI_INT, MPI_MIN, world);
  if (lowest == comm->nprocs) lowest = 0;

  char message[sizeof(problem.message) + 64] = "";
  if (comm->me == lowest) {
    std::string text = problem.message;
    if (mine && atom->tag_enable && problem.row[0] >= 0) {
      const tagint *tag = atom->tag;
      if (problem.row[1] < 0)
        text += fmt::format(" (atom ID {})", tag[problem.row[0]]);
      else
        text += fmt::format(" (atom IDs {} and {})", tag[problem.row[0]], tag[problem.row[1]]);
    }
    strncpy(message, text.c_str(), sizeof(message) - 1);
  }
  MPI_Bcast(message, sizeof(message), MPI_CHAR, lowest, world);
  fail(message);
}

/* The same of a step, in which other ranks may be waiting for a GPU that failed: its rank ends
   them, too. */

void PairUMAS::check_step(umas_status status, const umas_error &problem)
{
  if (status == UMAS_ERROR_DEVICE)
    error->one(FLERR, fmt::format("Pair style {}: {}", name, problem.message));
  check_agreed(status, problem);
}

/* ---------------------------------------------------------------------- */

void PairUMAS::write_restart(FILE *fp)
{
  write_restart_settings(fp);
}

void PairUMAS::read_restart(FILE *fp)
{
  read_restart_settings(fp);
  allocate();
}

void PairUMAS::write_restart_settings(FILE *fp)
{
  const std::string record = chosen.record(backend);
  const int header[2] = {UmasSettings::RECORD_FORM, static_cast<int>(record.size())};
  fwrite(header, sizeof(header), 1, fp);
  fwrite(record.data(), 1, record.size(), fp);
}

void PairUMAS::read_restart_settings(FILE *fp)
{
  ready = false;
  int header[2];
  if (comm->me == 0) utils::sfread(FLERR, header, sizeof(header), 1, fp, nullptr, error);
  MPI_Bcast(header, 2, MPI_INT, 0, world);
  if (header[0] != UmasSettings::RECORD_FORM || header[1] < 1 ||
      header[1] > UmasSettings::LONGEST_RECORD)
    fail("the restart file was written by a version of umas whose settings this one cannot read: "
         "turn it into a data file with that version");

  std::string record(header[1], '\0');
  if (comm->me == 0) utils::sfread(FLERR, &record[0], 1, record.size(), fp, nullptr, error);
  MPI_Bcast(&record[0], header[1], MPI_CHAR, 0, world);
  by_suffix = lmp->suffix_enable && UmasSettings::is_record_of_other(backend, record);
  print_suffix();
  require_backend();
  std::string replaced;
  const std::string wrong = chosen.restore(backend, record, replaced);
  if (!wrong.empty())
    fail(fmt::format("the restart file's settings were written by another version of umas: {}",
                     wrong));
  if (!replaced.empty() && comm->me == 0)
    utils::logmesg(lmp,
                   fmt::format("pair {}: of the restart file's settings, {}\n", name, replaced));
}

/* ---------------------------------------------------------------------- */

int PairUMAS::pack_forward_comm(int n, int *list_in, double *buf, int, int *)
{
  return exchange.pack_forward(n, list_in, buf);
}

void PairUMAS::unpack_forward_comm(int n, int first_in, double *buf)
{
  exchange.unpack_forward(n, first_in, buf);
}

double PairUMAS::memory_usage()
{
  double bytes = Pair::memory_usage() + exchange.memory_usage() + graph.memory_usage();
  if (engine) bytes += umas_engine_bytes(engine);
  bytes += (force_eV.capacity() + energy_eV.capacity() + virial_eV.capacity()) * sizeof(double);
  return bytes;
}
