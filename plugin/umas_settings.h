/* What the pair_style command sets.  A restart file keeps this struct as it is. */

#ifndef UMAS_SETTINGS_H
#define UMAS_SETTINGS_H

#include "umas.h"

#include <string>

namespace LAMMPS_NS {

struct UmasSettings {
  char task[sizeof(umas_task::name)];    // empty: not set
  int charge;
  int spin;
  int precision;    // a umas_precision
  int device;       // -1: automatic
  double memory_fraction;

  // The defaults of pair_style umas or umas/gpu.
  static UmasSettings defaults(umas_backend backend);

  // Set one keyword.  Returns what is wrong with it, or an empty string.
  std::string set(umas_backend backend, const std::string &keyword, const std::string &value);

  // Could these have come from set()?
  bool valid() const;

  const char *precision_name() const;

 private:
  std::string set_precision(umas_backend backend, const std::string &value);
  std::string set_device(const std::string &value);
  std::string set_memory(const std::string &value);
};

}    // namespace LAMMPS_NS

#endif
