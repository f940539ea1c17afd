// SegmentReader: the records of a segment one by one, from a given sequence number on. Keeps the
// segment alive; the bytes it hands out are valid as long as it is.
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "agent/base/varint.h"
#include "agent/spool/types.h"

namespace penstock::lane {

struct StoredRecord {
  spool::Seq seq = 0;
  std::string_view body;                  // encode_record's byte form
  const spool::Origin* origin = nullptr;  // what it was numbered under; null: the current one
};

class SegmentReader {
 public:
  SegmentReader() = default;
  SegmentReader(spool::SegmentPtr segment, spool::Seq from)
      : segment_(std::move(segment)), rest_(segment_->run()), next_(segment_->first()) {
    while (next_ < from && next()) {
    }
  }

  // Nothing at the end of the segment, or when its run is cut short (then `broken`).
  std::optional<StoredRecord> next() {
    if (!segment_ || next_ > segment_->last()) return std::nullopt;
    const auto body = take_bytes(rest_);
    if (!body) {
      broken_ = true;
      return std::nullopt;
    }
    return StoredRecord{next_++, *body, segment_->origin()};
  }
  bool broken() const { return broken_; }
  spool::Seq last() const { return segment_ ? segment_->last() : 0; }
  spool::Seq position() const { return next_; }

 private:
  spool::SegmentPtr segment_;
  std::string_view rest_;
  spool::Seq next_ = 0;
  bool broken_ = false;
};

}  // namespace penstock::lane
