/* The keywords of pair_style umas and umas/gpu: reading, checking, and the record of restart files.
 */

#include "umas_settings.h"

#include "fmt/format.h"
#include "utils.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

using namespace LAMMPS_NS;

static const char *const PRECISION_NAMES[] = {"double", "single", "mixed"};
static const char *const TRANSPORT_NAMES[] = {"auto", "nccl", "host"};
static const char *const KEYWORDS[] = {"task", "charge", "spin", "precision"};
static const char *const GPU_KEYWORDS[] = {"device", "memory", "exchange", "profile"};
static const char *const USUAL_TASKS[] = {"omat", "omol", "oc20", "oc22", "oc25", "odac", "omc"};
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
  settings.transport = options.transport;
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

template <int COUNT>
static bool is_one_of(const char *const (&words)[COUNT], const std::string &word)
{
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

static bool is_gpu_keyword(const std::string &keyword)
{
  return is_one_of(GPU_KEYWORDS, keyword);
}

std::string UmasSettings::check_keyword(umas_backend backend, const std::string &keyword)
{
  const bool gpu = backend == UMAS_CUDA;
  if (is_one_of(KEYWORDS, keyword)) return "";
  if (is_gpu_keyword(keyword))
    return gpu ? "" : fmt::format("keyword {} is for pair_style umas/gpu", keyword);
  if (is_one_of(USUAL_TASKS, keyword))
    return fmt::format("unknown keyword {}: did you mean task {}?", keyword, keyword);
  return fmt::format("unknown keyword {}: use task, charge, spin, precision{}", keyword,
                     gpu ? ", device, memory, exchange or profile" : "");
}

std::string UmasSettings::set(umas_backend backend, const std::string &keyword,
                              const std::string &value)
{
  std::string wrong = check_keyword(backend, keyword);
  if (!wrong.empty()) return wrong;
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
  return set_gpu(keyword, value);
}

std::string UmasSettings::set_gpu(const std::string &keyword, const std::string &value)
{
  if (keyword == "device") return set_device(value);
  if (keyword == "memory") return set_memory(value);
  if (keyword == "exchange") return set_transport(value);
  return set_profile(value);
}

/* The style that this precision is for, where it is another than the backend's. */

std::string UmasSettings::precision_for_other(umas_backend backend, const std::string &value)
{
  if (backend == UMAS_CPU && value == PRECISION_NAMES[UMAS_MIXED]) return "umas/gpu";
  if (backend == UMAS_CUDA && value == PRECISION_NAMES[UMAS_DOUBLE]) return "umas";
  return "";
}

std::string UmasSettings::set_precision(umas_backend backend, const std::string &value)
{
  const char *const own = backend == UMAS_CUDA ? "single or mixed" : "double or single";
  const std::string other = precision_for_other(backend, value);
  if (!other.empty())
    return fmt::format("precision {} is for pair_style {}: use {}", value, other, own);
  for (int p = UMAS_DOUBLE; p <= UMAS_MIXED; p++) {
    if (value != PRECISION_NAMES[p]) continue;
    precision = p;
    return "";
  }
  return fmt::format("unknown precision {}: use {}", value, own);
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

std::string UmasSettings::set_transport(const std::string &value)
{
  for (int t = UMAS_TRANSPORT_AUTO; t <= UMAS_TRANSPORT_HOST; t++) {
    if (value != TRANSPORT_NAMES[t]) continue;
    transport = t;
    return "";
  }
  return fmt::format("unknown exchange {}: use auto, nccl or host", value);
}

std::string UmasSettings::set_profile(const std::string &value)
{
  if (value != "yes" && value != "no") return fmt::format("profile {}: use yes or no", value);
  profile = value == "yes";
  return "";
}

std::string UmasSettings::record(umas_backend backend) const
{
  std::string lines = fmt::format("task {}\ncharge {}\n", task, charge);
  if (spin != UMAS_SPIN_OF_TASK) lines += fmt::format("spin {}\n", spin);
  lines += fmt::format("precision {}\n", precision_name());
  if (backend == UMAS_CUDA)
    lines += fmt::format("device {}\nmemory {:.17g}\nexchange {}\nprofile {}\n",
                         device < 0 ? "auto" : std::to_string(device), memory_fraction,
                         TRANSPORT_NAMES[transport], profile ? "yes" : "no");
  return lines;
}

bool UmasSettings::is_record_of_other(umas_backend backend, const std::string &record)
{
  const bool of_gpu = record.find("\ndevice ") != std::string::npos;
  return of_gpu != (backend == UMAS_CUDA);
}

std::string UmasSettings::restore(umas_backend backend, const std::string &record,
                                  std::string &replaced)
{
  *this = defaults(backend);
  for (const std::string &line : utils::split_lines(record)) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string keyword = line.substr(0, space);
    const std::string value = line.substr(std::min(space + 1, line.size()));
    if (backend != UMAS_CUDA && is_gpu_keyword(keyword)) continue;    // of no effect on results
    if (keyword == "precision" && !precision_for_other(backend, value).empty()) {
      replaced = fmt::format("precision {} is for pair_style {}: precision is {}", value,
                             precision_for_other(backend, value), precision_name());
      continue;
    }
    const std::string wrong = set(backend, keyword, value);
    if (!wrong.empty()) return wrong;
  }
  return task[0] ? "" : "no task";
}

const char *UmasSettings::precision_name() const
{
  return PRECISION_NAMES[precision];
}
