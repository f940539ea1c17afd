// Turns records as received into rows for the service, JSON or protobuf, framed so that a run of
// rows is the body of a batch.
//
// Each row is appended as 0x0A, varint(length), one row: field 1 of JsonRecordBatch and of
// ProtoEncodedRecordBatch (proto/zerobus.proto), so that consecutive rows need no further work.
// Protobuf rows are messages of descriptor(); NULL is an absent field. Of JSON rows, columns stand
// in the order of the spec, absent values as null. Row values follow the service's JSON
// conventions: timestamps are integer microseconds, dates integer days, decimals, binary (base64)
// and variants (JSON text) strings. Numbers keep the digits they came with.
//
// One encoder per lane, one thread at a time: it reuses its parser and buffers between records.
// Movable, not copyable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/record.h"
#include "agent/base/result.h"
#include "agent/codec/encoder_spec.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

enum class RowForm { kJson, kProto };

// Identity of the record, for `${meta.x}`.
struct RowMeta {
  std::string_view origin;
  std::string_view epoch;
  uint64_t seq = 0;
  uint32_t lane = 0;
};

class RowEncoder {
 public:
  static constexpr size_t kMaxPayloadBytes = 10'485'760;  // larger payloads are refused unread
  static constexpr size_t kMaxRowBytes =
      10'420'224;                           // what the service's SDKs accept as one record
  static constexpr size_t kMaxDepth = 100;  // nesting of a payload

  // kRejected, naming the column, for whatever can be known before the first record: a reference
  // that does not exist,
  // `${payload.x}` or auto columns with format raw, a default that its cast refuses, a bad or
  // repeated name.
  static Result<RowEncoder> make(EncoderSpec spec);

  // For a table whose schema is known: columns are fitted to it (table_fit.h), and rows are
  // protobuf, or JSON, by `form`.
  static Result<RowEncoder> make(EncoderSpec spec, const TableSchema& table, RowForm form);

  // Appends the rows of one record to `out` and returns their number (1 in all formats there are).
  // On failure nothing is appended; kRejected means this record can never be encoded by this spec,
  // and `what` names column, reference and offending value (shortened). A missing value is no
  // failure: it gives the default, else null.
  Result<size_t> encode(const RecordView& record, const RowMeta& meta, std::string& out);

  // Whether the record refused last has a payload that cannot be read: no other table would help.
  bool payload_unreadable() const;

  // The serialized google.protobuf.DescriptorProto of the rows; empty: rows are JSON.
  const std::string& descriptor() const;

  // Values stored as NULL because of `on_error: null`, since make().
  uint64_t values_nulled() const;

  RowEncoder(RowEncoder&&) noexcept;
  RowEncoder& operator=(RowEncoder&&) noexcept;
  ~RowEncoder();

 private:
  class Impl;
  explicit RowEncoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::codec
