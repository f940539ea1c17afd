#include "agent/spool/volatile_fs.h"

#include <cerrno>
#include <cstring>

#include <spdlog/fmt/fmt.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

namespace penstock::spool {
namespace {

struct Known {
  uint32_t magic;
  std::string_view name;
};

// linux/magic.h and the statfs(2) manual page.
constexpr Known kVolatile[] = {
    {0x01021994, "tmpfs"}, {0x858458F6, "ramfs"}, {0x794C7630, "overlay"}, {0x6969, "nfs"},
    {0x517B, "smb"},       {0xFF534D42, "cifs"},  {0xFE534D42, "smb2"},    {0x01021997, "9p"},
    {0x00C36400, "ceph"},  {0x5346414F, "afs"},   {0x73757245, "coda"},    {0x564C, "ncp"},
    {0x65735546, "fuse"},
};

}  // namespace

std::optional<std::string_view> volatile_filesystem(uint64_t magic) {
  // f_type is a signed long: on 32-bit systems the large magics arrive sign-extended.
  const auto low = static_cast<uint32_t>(magic);
  for (const auto& known : kVolatile) {
    if (known.magic == low) return known.name;
  }
  return std::nullopt;
}

Result<std::optional<std::string_view>> volatile_filesystem_of(const std::filesystem::path& dir) {
  struct statfs info {};
  if (statfs(dir.c_str(), &info) != 0) {
    return Error{
        ErrorKind::kDenied, "spool directory " + dir.string() + ": " + strerror(errno), {}};
  }
  return volatile_filesystem(static_cast<uint64_t>(info.f_type));
}

std::string filesystem_id(const std::filesystem::path& dir) {
  struct statvfs info {};
  if (statvfs(dir.c_str(), &info) != 0 || info.f_fsid == 0) return {};
  return fmt::format("{:x}", static_cast<uint64_t>(info.f_fsid));
}

std::optional<uint64_t> free_bytes(const std::filesystem::path& dir) {
  struct statvfs info {};
  if (statvfs(dir.c_str(), &info) != 0) return std::nullopt;
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace penstock::spool
