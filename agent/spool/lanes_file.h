// The file `lanes`: a copy of where every lane stands, for the day the active generation cannot be
// read. FORMAT.md has the byte layout.
//
// Two slots, each with a number and a checksum, written in turn: a cut in the middle of a write
// leaves the other. The copy is older than the truth by some seconds; cursors in it are behind,
// never ahead. Spool thread only. An error here is told and costs nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/spool/rows.h"

namespace penstock::spool {

struct LanesCopy {
  uint32_t active = 0;           // the generation that took commits
  std::vector<EpochRow> epochs;  // oldest first
  std::vector<LaneRow> lanes;
};

std::string encode_lanes(const LanesCopy& copy);
// nullopt: not what encode_lanes can have written.
std::optional<LanesCopy> decode_lanes(std::string_view bytes);

class LanesFile {
 public:
  explicit LanesFile(const std::filesystem::path& dir) : file_(dir / "lanes") {}

  // The newest good copy; nullopt when there is none.
  std::optional<LanesCopy> read();
  // Written and synced on return. Makes the file anew only when it has to: a copy is too long for
  // its slot, or the last one could not be written.
  Result<void> write(const LanesCopy& copy);

 private:
  Result<void> write_slot(const std::filesystem::path& file, int64_t at, std::string_view bytes);

  std::filesystem::path file_;
  uint64_t number_ = 0;     // of the newest copy in the file
  int64_t slot_bytes_ = 0;  // 0: not known yet, no file, or not to be used
};

}  // namespace penstock::spool
