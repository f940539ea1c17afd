#include "agent/spool/identity.h"

#include <fstream>
#include <optional>

#include <spdlog/fmt/fmt.h>

namespace penstock::spool {
namespace {

struct Last {
  Epoch epoch;
  Surroundings where;
};

Result<std::optional<Last>> last_epoch(Connection& db) {
  auto query = db.prepare(
      "SELECT id, name, agent_id, machine_id, filesystem FROM epoch ORDER BY id DESC LIMIT 1");
  if (!query) return std::move(query).error();
  auto row = query->step();
  if (!row) return std::move(row).error();
  if (!*row) return std::optional<Last>();
  Last last;
  last.epoch = {static_cast<uint32_t>(query->int_at(0)), std::string(query->bytes_at(1))};
  last.where = {std::string(query->bytes_at(2)), std::string(query->bytes_at(3)),
                std::string(query->bytes_at(4))};
  return std::optional<Last>(std::move(last));
}

Result<void> insert(Connection& db, const Epoch& epoch, const Surroundings& now, int64_t wall_us) {
  auto statement = db.prepare("INSERT INTO epoch VALUES(?,?,?,?,?,?)");
  if (!statement) return std::move(statement).error();
  statement->bind(1, int64_t{epoch.id}).bind_text(2, epoch.name).bind_text(3, now.agent_id);
  statement->bind_text(4, now.machine_id).bind_text(5, now.filesystem).bind(6, wall_us);
  return statement->run();
}

}  // namespace

std::string read_machine_id(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string id;
  std::getline(in, id);
  return id;
}

Result<std::map<uint32_t, OriginPtr>> read_origins(Connection& db) {
  auto query = db.prepare("SELECT id, name, agent_id FROM epoch");
  if (!query) return std::move(query).error();
  std::map<uint32_t, OriginPtr> origins;
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return origins;
    const std::string name(query->bytes_at(1));
    origins[static_cast<uint32_t>(query->int_at(0))] = std::make_shared<const Origin>(
        Origin{std::string(query->bytes_at(2)) + "/" + name, name});
  }
}

Result<Epoch> current_epoch(Connection& db, const Surroundings& now, uint64_t random,
                            int64_t wall_us, const Log& log) {
  auto last = last_epoch(db);
  if (!last) return std::move(last).error();
  if (*last) {
    const auto& where = (*last)->where;
    if (where.agent_id == now.agent_id && where.machine_id == now.machine_id) return (*last)->epoch;
    log.warning(
        "the spool was written by agent '{}' on machine '{}', now it is agent '{}' on machine "
        "'{}': new epoch",
        where.agent_id, where.machine_id, now.agent_id, now.machine_id);
  }
  const Epoch epoch{*last ? (*last)->epoch.id + 1 : 1, fmt::format("{:016x}", random)};
  if (auto inserted = insert(db, epoch, now, wall_us); !inserted)
    return std::move(inserted).error();
  return epoch;
}

}  // namespace penstock::spool
