#include "agent/spool/lanes_file.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <unistd.h>

#include "agent/base/varint.h"
#include "agent/spool/crc32c.h"
#include "agent/spool/directory.h"

namespace penstock::spool {
namespace {

constexpr char kMagic[] = "PkLn";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 24;  // magic, version, number, length, checksum
constexpr size_t kLeastSlotBytes = 4096;
constexpr uint64_t kMostItems = 1 << 20;
constexpr uint64_t kMostBytes = 1 << 30;

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

uint64_t get(std::string_view in, size_t at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i)
    value |= uint64_t{static_cast<unsigned char>(in[at + static_cast<size_t>(i)])} << (8 * i);
  return value;
}

std::string sealed(uint64_t number, std::string_view body) {
  std::string slot(kMagic, 4);
  put(slot, kVersion, 4);
  put(slot, number, 8);
  put(slot, body.size(), 4);
  put(slot, crc32c(body, crc32c(slot)), 4);
  return slot.append(body);
}

struct Slot {
  uint64_t number;
  std::string_view body;
};

std::optional<Slot> open_slot(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes || bytes.substr(0, 4) != std::string_view(kMagic, 4)) return {};
  const uint64_t length = get(bytes, 16, 4);
  if (get(bytes, 4, 4) != kVersion || length > bytes.size() - kHeaderBytes) return {};
  const auto body = bytes.substr(kHeaderBytes, length);
  if (get(bytes, 20, 4) != crc32c(body, crc32c(bytes.substr(0, 20)))) return {};
  return Slot{get(bytes, 8, 8), body};
}

bool take(std::string_view& in, std::string& out) {
  const auto bytes = take_bytes(in);
  if (bytes) out = *bytes;
  return bytes.has_value();
}

template <class T>
bool take(std::string_view& in, T& out) {
  const auto value = take_varint(in);
  if (value) out = static_cast<T>(*value);
  return value.has_value();
}

bool take_epoch(std::string_view& in, EpochRow& epoch) {
  return take(in, epoch.id) && take(in, epoch.name) && take(in, epoch.agent_id) &&
         take(in, epoch.machine_id) && take(in, epoch.filesystem) && take(in, epoch.started_at_us);
}

bool take_lane(std::string_view& in, LaneRow& lane) {
  FateCounts& counts = lane.counts;
  return take(in, lane.lane) && take(in, lane.key.route) && take(in, lane.key.table) &&
         take(in, lane.cursor) && take(in, lane.next_seq) && take(in, counts.quarantined) &&
         take(in, counts.damaged) && take(in, counts.discarded) && take(in, counts.dropped) &&
         take(in, counts.dropped_age) && take(in, lane.refused) && take(in, lane.quarantine_bytes);
}

// All of it, or nothing: where the slots are follows from its size. Not by an iterator of the
// stream, which throws where the medium cannot be read.
std::string content_of(const std::filesystem::path& file) {
  std::error_code failed;
  const auto size = std::filesystem::file_size(file, failed);
  if (failed || size > kMostBytes) return {};
  std::string bytes(size, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(size));
  return in.gcount() == static_cast<std::streamsize>(size) ? bytes : std::string();
}

}  // namespace

std::string encode_lanes(const LanesCopy& copy) {
  std::string out;
  append_varint(copy.active, out);
  append_varint(copy.epochs.size(), out);
  for (const auto& epoch : copy.epochs) {
    append_varint(epoch.id, out);
    for (const auto* text : {&epoch.name, &epoch.agent_id, &epoch.machine_id, &epoch.filesystem})
      append_bytes(*text, out);
    append_varint(static_cast<uint64_t>(epoch.started_at_us), out);
  }
  append_varint(copy.lanes.size(), out);
  for (const auto& lane : copy.lanes) {
    append_varint(lane.lane, out);
    append_bytes(lane.key.route, out);
    append_bytes(lane.key.table, out);
    const auto& counts = lane.counts;
    for (const uint64_t value :
         {lane.cursor, lane.next_seq, counts.quarantined, counts.damaged, counts.discarded,
          counts.dropped, counts.dropped_age, lane.refused, lane.quarantine_bytes}) {
      append_varint(value, out);
    }
  }
  return out;
}

std::optional<LanesCopy> decode_lanes(std::string_view bytes) {
  LanesCopy copy;
  uint64_t count = 0;
  if (!take(bytes, copy.active) || !take(bytes, count) || count > kMostItems) return {};
  for (; count > 0; --count) {
    if (!take_epoch(bytes, copy.epochs.emplace_back())) return {};
  }
  if (!take(bytes, count) || count > kMostItems) return {};
  for (; count > 0; --count) {
    if (!take_lane(bytes, copy.lanes.emplace_back())) return {};
  }
  return bytes.empty() ? std::optional(std::move(copy)) : std::nullopt;
}

std::optional<LanesCopy> LanesFile::read() {
  const std::string bytes = content_of(file_);
  const size_t half = bytes.size() / 2;
  std::optional<LanesCopy> newest;
  for (const size_t at : {size_t{0}, half}) {
    const auto slot = open_slot(std::string_view(bytes).substr(at, half));
    if (!slot || (newest && slot->number <= number_)) continue;
    auto copy = decode_lanes(slot->body);
    if (!copy) continue;
    newest = std::move(copy);
    number_ = slot->number;
    slot_bytes_ = static_cast<int64_t>(half);
  }
  return newest;
}

Result<void> LanesFile::write(const LanesCopy& copy) {
  const std::string slot = sealed(number_ + 1, encode_lanes(copy));
  if (static_cast<int64_t>(slot.size()) <= slot_bytes_) {
    const int64_t at = (number_ + 1) % 2 == 0 ? 0 : slot_bytes_;
    auto done = write_slot(file_, at, slot);
    if (done) {
      ++number_;
    } else {
      slot_bytes_ = 0;  // the next goes elsewhere: a bad block would refuse it for ever
    }
    return done;
  }
  // Both halves at once, in a new file.
  const size_t half = std::bit_ceil(std::max(kLeastSlotBytes, slot.size() * 2));
  std::string both((number_ + 1) % 2 == 0 ? 0 : half, '\0');
  both += slot;
  both.resize(2 * half, '\0');
  const std::filesystem::path fresh = file_.string() + ".new";
  std::error_code failed;
  std::filesystem::remove(fresh, failed);  // one that was cut short might be longer
  if (auto done = write_slot(fresh, 0, both); !done) return done;
  std::filesystem::rename(fresh, file_, failed);
  if (failed)
    return Error{ErrorKind::kTransient, "rename " + fresh.string() + ": " + failed.message(), {}};
  slot_bytes_ = static_cast<int64_t>(half);
  ++number_;
  return sync_directory(file_.parent_path());
}

Result<void> LanesFile::write_slot(const std::filesystem::path& file, int64_t at,
                                   std::string_view bytes) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
  const bool good =
      fd >= 0 && pwrite(fd, bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size()) &&
      fdatasync(fd) == 0;
  const std::string why = strerror(errno);
  if (fd >= 0) close(fd);
  if (!good) return Error{ErrorKind::kTransient, "write of " + file.string() + ": " + why, {}};
  return {};
}

}  // namespace penstock::spool
