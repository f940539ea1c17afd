// A record as received, before any decoding: what a source handed over and the host's note of when
// and where.
//
// RecordView borrows; it is valid as long as the bytes behind it. Its one byte form (docs in
// record.cpp) is what the spool stores, so encode/decode round-trip exactly and every decoder
// failure is an Error, never a crash.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace penstock {

// What the clock was worth when the record was received.
enum class TimeQuality : uint8_t {
  kSet = 0,    // the system clock had been set
  kUnset = 1,  // received before the clock was ever set
};

struct AttributeView {
  std::string_view key;
  std::string_view value;
};

struct RecordView {
  std::string_view source;  // id of the input instance
  std::string_view topic;
  std::string_view payload;
  std::span<const AttributeView> attributes;
  int64_t received_at_us = 0;  // wall clock, microseconds since epoch UTC
  TimeQuality time_quality = TimeQuality::kSet;
};

// Appends the byte form of `record` to `out`. Never fails.
void encode_record(const RecordView& record, std::string& out);

// An exact upper bound of what encode_record would append.
size_t encoded_record_bound(const RecordView& record);

// Views into `bytes`; `attributes` is the storage for the view's span and is overwritten. kCorrupt
// on bytes that encode_record cannot have written.
Result<RecordView> decode_record(std::string_view bytes, std::vector<AttributeView>& attributes);

}  // namespace penstock
