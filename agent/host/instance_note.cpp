#include "agent/host/instance_note.h"

#include <fstream>
#include <iterator>

#include "agent/base/whole_file.h"

namespace penstock::host {

Result<void> InstanceNote::write(std::string_view bytes) {
  if (file_.empty()) return Error{ErrorKind::kDenied, "there is no place for it", {}};
  if (bytes.size() > kMaxBytes)
    return Error{ErrorKind::kDenied, "more than 64 KiB were to be kept", {}};
  const std::lock_guard lock(mutex_);
  std::error_code ignored;  // writing says it better
  std::filesystem::create_directories(file_.parent_path(), ignored);
  return write_whole_file(file_, bytes);
}

std::string InstanceNote::read() const {
  if (file_.empty()) return {};
  const std::lock_guard lock(mutex_);
  std::ifstream in(file_, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  return bytes.size() > kMaxBytes ? std::string() : bytes;
}

}  // namespace penstock::host
