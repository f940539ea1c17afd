#include "agent/config/sections.h"
#include "agent/config/units.h"

namespace penstock::config {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 60;

// Bytes or a percentage.
std::optional<Quota> read_quota(Reader& reader, std::string_view key) {
  const auto value = reader.get(key);
  if (!value) return {};
  const auto text = scalar_of(*value, reader.context());
  if (!text) return {};
  if (const auto percent = parse_percent(*text); percent && *percent > 0) {
    return Quota{.bytes = std::nullopt, .percent = *percent};
  }
  if (const auto bytes = parse_size(*text); bytes && *bytes > 0) {
    return Quota{.bytes = *bytes, .percent = std::nullopt};
  }
  reader.context().error(value->node->at,
                         value->path + ": " + quote(value->node->written) + " is no size or share",
                         "write a size like 64MiB or a share like 5%");
  return {};
}

}  // namespace

Spool read_spool(Reader& root) {
  Spool out;
  Reader spool = root.map("spool");
  set(out.dir, spool.file_path("dir"));
  set(out.max_size_bytes, spool.size("max_size", kMiB, kMostBytes));
  set(out.min_free_bytes, spool.size("min_free", 0, kMostBytes));
  set(out.commit_interval, spool.duration("commit_interval", Millis(1), Millis(10'000)));
  Reader quarantine = spool.map("quarantine");
  set(out.quarantine, read_quota(quarantine, "max_size"));
  quarantine.finish();
  set(out.allow_volatile, spool.flag("allow_volatile"));
  spool.finish();
  return out;
}

}  // namespace penstock::config
