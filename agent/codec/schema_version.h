// A short name for the schema that rows were built for, and its place in the reason of a refused
// record: what a person compares with the table of today.
//
// The version is a hash of the DescriptorProto the stream was opened with: the columns of the rows,
// their types, numbers and labels. Rows of JSON have none. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <spdlog/fmt/fmt.h>

namespace penstock::codec {

// Eight hex digits; empty for an empty descriptor.
inline std::string schema_version(std::string_view descriptor) {
  if (descriptor.empty()) return {};
  uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : descriptor) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return fmt::format("{:08x}", hash);
}

// "REASON [schema 1a2b3c4d]", or the reason alone.
inline std::string with_schema_version(std::string reason, std::string_view descriptor) {
  const auto version = schema_version(descriptor);
  if (!version.empty()) reason += " [schema " + version + "]";
  return reason;
}

struct RefusalReason {
  std::string_view text;
  std::string_view schema_version;  // empty: there was none
};

inline RefusalReason split_reason(std::string_view reason) {
  constexpr std::string_view kMark = " [schema ";
  constexpr size_t kTail = kMark.size() + 8 + 1;
  if (reason.size() < kTail || !reason.ends_with(']')) return {reason, {}};
  const size_t at = reason.size() - kTail;
  const auto version = reason.substr(at + kMark.size(), 8);
  if (reason.substr(at, kMark.size()) != kMark ||
      version.find_first_not_of("0123456789abcdef") != version.npos) {
    return {reason, {}};
  }
  return {reason.substr(0, at), version};
}

}  // namespace penstock::codec
