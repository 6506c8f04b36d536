/* What the pair_style command sets, and how a restart file keeps it: as the keywords of the command
   that would set the same, so that a file stays readable when keywords are added. */

#ifndef UMAS_SETTINGS_H
#define UMAS_SETTINGS_H

#include "umas.h"

#include <string>

namespace LAMMPS_NS {

struct UmasSettings {
  char task[sizeof(umas_task::name)];    // empty: not set
  int charge;
  int spin;         // UMAS_SPIN_OF_TASK where none is given
  int precision;    // a umas_precision
  int device;       // -1: automatic
  double memory_fraction;
  int transport;    // a umas_transport
  int profile;      // are the stages of a run's first step timed?

  // The defaults of pair_style umas or umas/gpu.
  static UmasSettings defaults(umas_backend backend);

  // Is there such a keyword?  Returns what is wrong with it, or an empty string.
  static std::string check_keyword(umas_backend backend, const std::string &keyword);

  // Set one keyword.  Returns what is wrong with it, or an empty string.
  std::string set(umas_backend backend, const std::string &keyword, const std::string &value);

  // The record of a restart file: a line "keyword value" for each keyword of the backend.
  static constexpr int RECORD_FORM = 1;
  static constexpr int LONGEST_RECORD = 4096;    // characters
  std::string record(umas_backend backend) const;

  // Did the style of another backend write this record?
  static bool is_record_of_other(umas_backend backend, const std::string &record);

  // Defaults, and a record on top of them.  Returns what is wrong with it, or an empty string.  The
  // style that wrote it may have been for the other backend: what cannot be kept then is replaced
  // by the default, and `replaced` says so where it changes results.
  std::string restore(umas_backend backend, const std::string &record, std::string &replaced);

  const char *precision_name() const;

 private:
  static std::string precision_for_other(umas_backend backend, const std::string &value);
  std::string set_gpu(const std::string &keyword, const std::string &value);
  std::string set_precision(umas_backend backend, const std::string &value);
  std::string set_device(const std::string &value);
  std::string set_memory(const std::string &value);
  std::string set_transport(const std::string &value);
  std::string set_profile(const std::string &value);
};

}    // namespace LAMMPS_NS

#endif
