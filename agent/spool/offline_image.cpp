#include "agent/spool/offline_image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spool/sizing.h"

namespace penstock::spool {
namespace {

constexpr size_t kPage = static_cast<size_t>(kPageBytes);
constexpr size_t kLogHeaderBytes = 32;
constexpr size_t kFrameHeaderBytes = 24;
constexpr size_t kFrameBytes = kFrameHeaderBytes + kPage;
constexpr uint32_t kLogMagic = 0x377f0682;  // the lowest bit: checksums over big-endian words

uint32_t load_be32(const char* at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(at[i]);
  return value;
}

uint32_t load_le32(const char* at) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<uint8_t>(at[i]);
  return value;
}

// The log's running checksum.
struct Checksum {
  bool big_endian = false;
  uint32_t s0 = 0;
  uint32_t s1 = 0;
  bool is(const char* stored) const {
    return s0 == load_be32(stored) && s1 == load_be32(stored + 4);
  }
  void take(const char* stored) {
    s0 = load_be32(stored);
    s1 = load_be32(stored + 4);
  }
  void add(const char* bytes, size_t size) {
    for (size_t i = 0; i + 8 <= size; i += 8) {
      s0 += (big_endian ? load_be32(bytes + i) : load_le32(bytes + i)) + s1;
      s1 += (big_endian ? load_be32(bytes + i + 4) : load_le32(bytes + i + 4)) + s0;
    }
  }
};

// Commits behind the end of a log. Frames that follow each other have been written so: a commit is
// begun when the one before it is on the medium. What was rolled back, and overwritten in part, is
// no such chain.
class Unreached {
 public:
  // Of all frames of the log. `counts`: it is before the end.
  void note(const std::string& frame, bool counts, bool follows) {
    if (!follows) count_ = 0;
    const uint32_t page = load_be32(frame.data());
    const bool is_commit = load_be32(frame.data() + 4) != 0;
    // The last frame of a commit is written a second time to fill up its sector. What of that copy
    // is behind the sector is written after the sync: it may be cut off, and the next commit there.
    const bool is_padding = is_commit && page == padded_;
    padded_ = is_commit && !is_padding ? page : 0;
    if (!counts && is_commit && !is_padding) most_ = std::max(most_, ++count_);
  }
  uint32_t commits() const { return most_ > 0 ? most_ - 1 : 0; }

 private:
  uint32_t count_ = 0;
  uint32_t padded_ = 0;
  uint32_t most_ = 0;
};

struct Descriptor {
  explicit Descriptor(int number) : fd(number) {}
  ~Descriptor() { close(fd); }
  Descriptor(const Descriptor&) = delete;
  const int fd;
};

bool read_fully(int fd, uint64_t at, size_t size, char* out) {
  while (size > 0) {
    const ssize_t got = pread(fd, out, size, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += static_cast<uint64_t>(got);
    out += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

ByteSource bytes_in_memory(std::string bytes) {
  const auto kept = std::make_shared<const std::string>(std::move(bytes));
  return {kept->size(), [kept](uint64_t at, size_t size, char* out) {
            if (at > kept->size() || size > kept->size() - at) return false;
            std::memcpy(out, kept->data() + at, size);
            return true;
          }};
}

Result<ByteSource> bytes_of_file(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Error{ErrorKind::kDenied,
                 file.string() + " cannot be read: " + strerror(error) +
                     (error == EACCES || error == EPERM
                          ? "; run as root or as the agent's user"
                          : "; copy what the medium still gives to another one and work on that"),
                 {}};
  }
  const auto kept = std::make_shared<const Descriptor>(fd);
  return ByteSource{
      static_cast<uint64_t>(info.st_size),
      [kept](uint64_t at, size_t size, char* out) { return read_fully(kept->fd, at, size, out); }};
}

uint32_t commits_behind_log(const std::filesystem::path& log) {
  auto bytes = bytes_of_file(log);
  std::string magic(4, '\0');
  if (!bytes || !bytes->read(0, magic.size(), magic.data()) || load_be32(magic.data()) == 0)
    return 0;
  return PageImage(bytes_in_memory({}), std::move(*bytes)).unreached_commits();
}

PageImage::PageImage(ByteSource database, std::optional<ByteSource> log)
    : database_(std::move(database)), log_(std::move(log)) {
  const uint64_t pages = (database_.size_bytes + kPage - 1) / kPage;
  page_count_ =
      static_cast<uint32_t>(std::min<uint64_t>(pages, std::numeric_limits<uint32_t>::max() - 1));
  database_pages_ = page_count_;
  if (log_) scan_log();
  for (const auto& [page, frame] : committed_) page_count_ = std::max(page_count_, page);
}

// A frame counts when its salts and the checksum of everything before it agree, and a later frame
// of the same run says "commit".
void PageImage::scan_log() {
  std::string header(kLogHeaderBytes, '\0');
  std::string frame(kFrameBytes, '\0');
  Checksum sum;
  bool valid = log_->read(0, kLogHeaderBytes, header.data());
  if (valid) {
    const uint32_t magic = load_be32(header.data());
    sum.big_endian = (magic & 1) != 0;
    sum.add(header.data(), 24);
    valid = (magic & ~1U) == kLogMagic && load_be32(header.data() + 8) == kPage &&
            sum.is(header.data() + 24);
  }
  const bool has_header = valid;
  Unreached unreached;
  std::unordered_map<uint32_t, uint32_t> open;  // of the transaction being read
  for (uint64_t at = kLogHeaderBytes; at + kFrameBytes <= log_->size_bytes; at += kFrameBytes) {
    const auto number = static_cast<uint32_t>(frame_page_.size());
    // A read that fails once must not end a sound log.
    if (!log_->read(at, kFrameBytes, frame.data()) && !log_->read(at, kFrameBytes, frame.data())) {
      valid = false;
      frame_page_.push_back(0);
      continue;
    }
    const uint32_t page = load_be32(frame.data());
    frame_page_.push_back(page);
    if (page != 0) any_[page] = number;
    if (!has_header || page == 0 || std::memcmp(frame.data() + 8, header.data() + 16, 8) != 0) {
      valid = false;
      continue;
    }
    sum.add(frame.data(), 8);
    sum.add(frame.data() + kFrameHeaderBytes, kPage);
    const bool follows = sum.is(frame.data() + 16);
    valid = valid && follows;
    sum.take(frame.data() + 16);
    unreached.note(frame, valid, follows);
    if (!valid) continue;
    open[page] = number;
    if (load_be32(frame.data() + 4) == 0) continue;
    database_pages_ = load_be32(frame.data() + 4);
    for (const auto& [changed, where] : open) committed_[changed] = where;
    open.clear();
    committed_frames_ = number + 1;
  }
  unreached_commits_ = unreached.commits();
}

bool PageImage::is_committed_frame(uint32_t frame) const {
  if (frame >= frame_page_.size()) return false;
  const auto found = committed_.find(frame_page_[frame]);
  return found != committed_.end() && found->second == frame;
}

bool PageImage::read_frame(uint32_t frame, std::string& out) const {
  if (frame >= frame_page_.size()) return false;
  const uint64_t at = kLogHeaderBytes + uint64_t{frame} * kFrameBytes + kFrameHeaderBytes;
  return log_->read(at, kPage, out.data());
}

bool PageImage::read(PageRef ref, std::string& out) const {
  out.assign(kPage, '\0');
  if (ref.from == PageFrom::kFrame) return read_frame(ref.number, out);
  if (ref.number == 0) return false;
  const auto& overlay = ref.from == PageFrom::kAnyFrame ? any_ : committed_;
  if (ref.from != PageFrom::kDatabase) {
    if (const auto found = overlay.find(ref.number); found != overlay.end())
      return read_frame(found->second, out);
  }
  const uint64_t at = uint64_t{ref.number - 1} * kPage;
  if (at >= database_.size_bytes) return false;
  // A file that is cut off within a page still gives the part that is there.
  const auto size = static_cast<size_t>(std::min<uint64_t>(kPage, database_.size_bytes - at));
  return database_.read(at, size, out.data());
}

}  // namespace penstock::spool
