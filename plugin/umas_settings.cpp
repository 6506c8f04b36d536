#include "umas_settings.h"

#include "fmt/format.h"
#include "utils.h"

#include <cstring>
#include <limits>

using namespace LAMMPS_NS;

static const char *const PRECISION_NAMES[] = {"double", "single", "mixed"};
static constexpr int MAX_CHARGE = 100, MAX_SPIN = 100;

UmasSettings UmasSettings::defaults(umas_backend backend)
{
  const umas_engine_options options = umas_engine_default_options();
  UmasSettings settings{};
  settings.charge = options.charge;
  settings.spin = options.spin;
  settings.precision = backend == UMAS_CPU ? UMAS_DOUBLE : UMAS_MIXED;
  settings.device = options.device;
  settings.memory_fraction = options.memory_fraction;
  return settings;
}

static bool read_integer(const std::string &text, int low, int high, int &number)
{
  if (!utils::is_integer(text) || text.size() > 9) return false;
  const int value = std::stoi(text);
  if (value < low || value > high) return false;
  number = value;
  return true;
}

std::string UmasSettings::set(umas_backend backend, const std::string &keyword,
                              const std::string &value)
{
  const bool gpu = backend == UMAS_CUDA;
  if (keyword == "task") {
    if (value.size() >= sizeof(task)) return fmt::format("unknown task {}", value);
    memcpy(task, value.c_str(), value.size() + 1);
    return "";
  }
  if (keyword == "charge") {
    if (read_integer(value, -MAX_CHARGE, MAX_CHARGE, charge)) return "";
    return fmt::format("charge {} is not an integer from {} to {}", value, -MAX_CHARGE, MAX_CHARGE);
  }
  if (keyword == "spin") {
    if (read_integer(value, 0, MAX_SPIN, spin)) return "";
    return fmt::format("spin {} is not an integer from 0 to {}: it is the multiplicity, or 0 for "
                       "none",
                       value, MAX_SPIN);
  }
  if (keyword == "precision") return set_precision(backend, value);
  if (keyword == "device" || keyword == "memory") {
    if (!gpu) return fmt::format("keyword {} is for pair_style umas/gpu", keyword);
    return keyword == "device" ? set_device(value) : set_memory(value);
  }
  return fmt::format("unknown keyword {}: use task, charge, spin, precision{}", keyword,
                     gpu ? ", device or memory" : "");
}

std::string UmasSettings::set_precision(umas_backend backend, const std::string &value)
{
  const bool gpu = backend == UMAS_CUDA;
  const char *const others = gpu ? "single or mixed" : "double or single";
  for (int p = UMAS_DOUBLE; p <= UMAS_MIXED; p++) {
    if (value != PRECISION_NAMES[p]) continue;
    if (p == (gpu ? UMAS_DOUBLE : UMAS_MIXED))
      return fmt::format("precision {} is for pair_style {}: use {}", value,
                         gpu ? "umas" : "umas/gpu", others);
    precision = p;
    return "";
  }
  return fmt::format("unknown precision {}: use {}", value, others);
}

std::string UmasSettings::set_device(const std::string &value)
{
  if (value == "auto") {
    device = -1;
    return "";
  }
  if (read_integer(value, 0, std::numeric_limits<int>::max(), device)) return "";
  return fmt::format("unknown device {}: use auto or the number of a GPU, from 0", value);
}

std::string UmasSettings::set_memory(const std::string &value)
{
  const double fraction = utils::is_double(value) ? std::stod(value) : 0.0;
  if (!(fraction > 0.0 && fraction <= 1.0))
    return fmt::format("memory {} is not a fraction above 0 and up to 1", value);
  memory_fraction = fraction;
  return "";
}

bool UmasSettings::valid() const
{
  return memchr(task, '\0', sizeof(task)) && task[0] && charge >= -MAX_CHARGE &&
         charge <= MAX_CHARGE && spin >= 0 && spin <= MAX_SPIN && precision >= UMAS_DOUBLE &&
         precision <= UMAS_MIXED && device >= -1 && memory_fraction > 0.0 && memory_fraction <= 1.0;
}

const char *UmasSettings::precision_name() const
{
  return PRECISION_NAMES[precision];
}
