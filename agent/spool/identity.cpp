#include "agent/spool/identity.h"

#include <fstream>
#include <random>

#include <spdlog/fmt/fmt.h>

namespace penstock::spool {
namespace {

uint64_t random_bits() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

std::string read_machine_id(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string id;
  std::getline(in, id);
  return id;
}

Result<std::vector<EpochRow>> read_epochs(Connection& db) {
  auto query = db.prepare(
      "SELECT id, name, agent_id, machine_id, filesystem, started_at_us FROM epoch ORDER BY id");
  if (!query) return std::move(query).error();
  std::vector<EpochRow> epochs;
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return epochs;
    epochs.push_back({static_cast<uint32_t>(query->int_at(0)), std::string(query->bytes_at(1)),
                      std::string(query->bytes_at(2)), std::string(query->bytes_at(3)),
                      std::string(query->bytes_at(4)), query->int_at(5)});
  }
}

Origin origin_of(const EpochRow& epoch) { return {epoch.agent_id + "/" + epoch.name, epoch.name}; }

Origin unknown_origin(const std::string& agent_id, uint32_t epoch) {
  const std::string name = fmt::format("unknown-{:08x}", epoch);
  return {agent_id + "/" + name, name};
}

std::optional<EpochRow> next_epoch(const std::vector<EpochRow>& known, const Surroundings& now,
                                   bool broken, int64_t wall_us, const Log& log) {
  const EpochRow* last = known.empty() ? nullptr : &known.back();
  const bool same =
      last != nullptr && last->agent_id == now.agent_id && last->machine_id == now.machine_id;
  if (same && !broken) return std::nullopt;
  if (last != nullptr && !same) {
    log.warning(
        "the spool was written by agent '{}' on machine '{}', now it is agent '{}' on machine "
        "'{}': new epoch",
        last->agent_id, last->machine_id, now.agent_id, now.machine_id);
  }
  return EpochRow{last != nullptr ? last->id + 1 : 1,
                  fmt::format("{:016x}", random_bits()),
                  now.agent_id,
                  now.machine_id,
                  now.filesystem,
                  wall_us};
}

}  // namespace penstock::spool
