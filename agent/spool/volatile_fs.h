// Is a directory on a filesystem that keeps what fsync promised? tmpfs, ramfs and overlay do not
// survive a power cut (an overlay's upper layer is often memory), and network filesystems and FUSE
// answer fsync, locks and shared maps loosely.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace penstock::spool {

// The name of a filesystem that is refused, by the magic number of statfs(2); nullopt for all
// others. Pure.
std::optional<std::string_view> volatile_filesystem(uint64_t magic);

// One statfs call; kDenied when the directory cannot be looked at.
Result<std::optional<std::string_view>> volatile_filesystem_of(const std::filesystem::path& dir);

// The filesystem's id as hex (on ext4 made from its UUID); empty when it has none.
std::string filesystem_id(const std::filesystem::path& dir);

// Bytes an unprivileged process may still write; nullopt when the system does not say.
std::optional<uint64_t> free_bytes(const std::filesystem::path& dir);

}  // namespace penstock::spool
