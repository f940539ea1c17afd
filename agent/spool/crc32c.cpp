// The processor's instruction where it has one, which takes a fifth of the time of the tables
// (slicing by eight).
#include "agent/spool/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

namespace penstock::spool {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected
using Table = std::array<std::array<uint32_t, 256>, 8>;

constexpr Table make_table() {
  Table table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[0][i] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t i = 0; i < 256; ++i) {
      table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xFF];
    }
  }
  return table;
}

constexpr Table kTable = make_table();

uint32_t load_le32(const unsigned char* p) {
  return uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24;
}

#if defined(__x86_64__)
#define PENSTOCK_CRC_TARGET __attribute__((target("sse4.2")))
bool has_instruction() { return __builtin_cpu_supports("sse4.2") != 0; }
PENSTOCK_CRC_TARGET uint32_t add(uint32_t crc, uint64_t eight) {
  return static_cast<uint32_t>(_mm_crc32_u64(crc, eight));
}
PENSTOCK_CRC_TARGET uint32_t add(uint32_t crc, unsigned char one) { return _mm_crc32_u8(crc, one); }
#elif defined(__aarch64__)
#define PENSTOCK_CRC_TARGET __attribute__((target("+crc")))
bool has_instruction() { return (getauxval(AT_HWCAP) & (1UL << 7)) != 0; }  // HWCAP_CRC32
PENSTOCK_CRC_TARGET uint32_t add(uint32_t crc, uint64_t eight) { return __crc32cd(crc, eight); }
PENSTOCK_CRC_TARGET uint32_t add(uint32_t crc, unsigned char one) { return __crc32cb(crc, one); }
#endif

#if defined(PENSTOCK_CRC_TARGET)
PENSTOCK_CRC_TARGET uint32_t by_instruction(std::string_view bytes, uint32_t crc) {
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  crc = ~crc;
  for (uint64_t eight = 0; end - p >= 8; p += 8) {
    std::memcpy(&eight, p, 8);
    crc = add(crc, eight);
  }
  for (; p != end; ++p) crc = add(crc, static_cast<unsigned char>(*p));
  return ~crc;
}
#endif

}  // namespace

uint32_t crc32c(std::string_view bytes, uint32_t crc) {
#if defined(PENSTOCK_CRC_TARGET)
  static const bool found = has_instruction();
  if (found) return by_instruction(bytes, crc);
#endif
  return crc32c_by_table(bytes, crc);
}

uint32_t crc32c_by_table(std::string_view bytes, uint32_t crc) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  crc = ~crc;
  for (; left >= 8; p += 8, left -= 8) {
    const uint32_t low = load_le32(p) ^ crc;
    const uint32_t high = load_le32(p + 4);
    crc = kTable[7][low & 0xFF] ^ kTable[6][low >> 8 & 0xFF] ^ kTable[5][low >> 16 & 0xFF] ^
          kTable[4][low >> 24] ^ kTable[3][high & 0xFF] ^ kTable[2][high >> 8 & 0xFF] ^
          kTable[1][high >> 16 & 0xFF] ^ kTable[0][high >> 24];
  }
  for (; left > 0; ++p, --left) crc = (crc >> 8) ^ kTable[0][(crc ^ *p) & 0xFF];
  return ~crc;
}

}  // namespace penstock::spool
