// DIR/TABLE.rows: every record as 0x0A varint(length) bytes, appended and fdatasynced; for benches.
//
// That framing is field 1 of a batch message, so a whole file parses as one ProtoEncodedRecordBatch
// or JsonRecordBatch. A record torn by a crash is cut off when the file is opened again: it was
// never acknowledged.
#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/varint.h"
#include "tests/zerobus_local/store.h"

namespace penstock::local {
namespace {

constexpr size_t kReadBytes = 1 << 20;

Error io_error(const std::string& doing, const std::string& path) {
  return {ErrorKind::kTransient, doing + " " + path + ": " + std::strerror(errno), {}};
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct Extent {
  int64_t rows = 0;
  int64_t bytes = 0;  // up to the end of the last whole record
};

// Walks the frames; reads only their heads.
Extent measure(int fd, int64_t size) {
  Extent extent;
  std::string buffer;
  int64_t buffer_at = 0;
  for (;;) {
    int64_t skip = extent.bytes - buffer_at;
    const auto have = static_cast<int64_t>(buffer.size());
    if (skip < 0 || skip + 1 + static_cast<int64_t>(kMaxVarintBytes) > have) {
      buffer.resize(kReadBytes);
      const ssize_t n = pread(fd, buffer.data(), buffer.size(), extent.bytes);
      if (n <= 0) return extent;
      buffer.resize(static_cast<size_t>(n));
      buffer_at = extent.bytes;
      skip = 0;
    }
    std::string_view head = std::string_view(buffer).substr(static_cast<size_t>(skip));
    const size_t before = head.size();
    if (head.front() != 0x0A) return extent;
    head.remove_prefix(1);
    const auto length = take_varint(head);
    if (!length) return extent;
    const auto end = extent.bytes + static_cast<int64_t>(before - head.size() + *length);
    if (*length > static_cast<uint64_t>(size) || end > size) return extent;
    extent.bytes = end;
    ++extent.rows;
    if (end == size) return extent;
  }
}

class BitmapBackend : public Backend {
 public:
  explicit BitmapBackend(std::string dir) : dir_(std::move(dir)) {}

  bool wants_raw() const override { return true; }

  Result<int64_t> open_table(const TablePtr& table) override {
    const std::string path = dir_ + "/" + table->name() + ".rows";
    File file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (file.fd() < 0) return io_error("open", path);
    struct stat status {};
    if (fstat(file.fd(), &status) != 0) return io_error("stat", path);
    const Extent extent = measure(file.fd(), status.st_size);
    if (extent.bytes < status.st_size && ftruncate(file.fd(), extent.bytes) != 0) {
      return io_error("truncate", path);
    }
    const File dir(open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (dir.fd() < 0 || fsync(dir.fd()) != 0) return io_error("sync", dir_);  // the file's name
    files_.insert_or_assign(table->name(), Open{std::move(file), path, extent.bytes, {}});
    return extent.rows;
  }

  Result<void> commit(std::span<const Write> writes, std::span<const AckNote>) override {
    for (auto& [name, file] : files_) file.waiting.clear();
    for (const auto& write : writes) files_.at(write.table->name()).waiting += write.raw;
    for (auto& [name, file] : files_) {
      if (auto written = append(file); !written) return written;
    }
    for (auto& [name, file] : files_) {
      if (file.waiting.empty()) continue;
      if (fdatasync(file.file.fd()) != 0) return io_error("sync", file.path);
      file.end += static_cast<int64_t>(file.waiting.size());
    }
    return {};
  }

 private:
  struct Open {
    File file;
    std::string path;
    int64_t end;  // of what is durable; a failed commit is overwritten by the next
    std::string waiting;
  };

  static Result<void> append(const Open& file) {
    size_t done = 0;
    while (done < file.waiting.size()) {
      const ssize_t n = pwrite(file.file.fd(), file.waiting.data() + done,
                               file.waiting.size() - done, file.end + static_cast<int64_t>(done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return io_error("write", file.path);
      done += static_cast<size_t>(n);
    }
    return {};
  }

  const std::string dir_;
  std::unordered_map<std::string, Open> files_;
};

}  // namespace

Result<std::unique_ptr<Backend>> open_bitmap_backend(const std::string& dir) {
  return std::unique_ptr<Backend>(std::make_unique<BitmapBackend>(dir));
}

}  // namespace penstock::local
