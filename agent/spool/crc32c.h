// CRC-32C (Castagnoli, RFC 3720 appendix B.4), as iSCSI and ext4 use it. Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace penstock::spool {

// Of `bytes`, going on from `crc`: crc32c(b, crc32c(a)) is the checksum of a followed by b.
uint32_t crc32c(std::string_view bytes, uint32_t crc = 0);

// The same, on machines without an instruction for it.
uint32_t crc32c_by_table(std::string_view bytes, uint32_t crc = 0);

}  // namespace penstock::spool
