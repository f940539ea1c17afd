// One column of a route, compiled: where its value comes from and how it stands in a row, JSON or
// protobuf.
//
// Immutable after compile; values it fetches borrow from the record, the reader and `RowInputs`.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/record.h"
#include "agent/base/result.h"
#include "agent/codec/cast.h"
#include "agent/codec/encoder_spec.h"
#include "agent/codec/json_reader.h"
#include "agent/codec/nested_values.h"
#include "agent/codec/row_encoder.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

// All that a row can be made of, for the length of one encode.
struct RowInputs {
  const RecordView& record;
  const RowMeta& meta;
  const std::string& agent_id;
  const JsonReader& reader;  // has read the payload, when the format is json
  PayloadFormat format;
  std::array<char, 24> digits{};  // of a number that is not in the payload
  NestedValues& nested;           // for protobuf rows
  std::string text;               // of a column put together from several parts
  std::string scratch;            // of a value that its cast had to rewrite
};

class Column {
 public:
  // Adds the payload paths it needs to `paths`. With `target`, the column of a table that the cast
  // was fitted to, it is written as a protobuf field, else as JSON. kRejected as RowEncoder::make,
  // without the column's name.
  static Result<Column> compile(const ColumnSpec& column, const EncoderSpec& spec, PathTree& paths,
                                const TableColumn* target = nullptr);

  // Appends `"name":value`, or the protobuf field, of which NULL leaves nothing. kRejected with
  // column, reference and value; `out` then ends in a part of it. `nulled` counts values replaced
  // because of on_error.
  Result<void> append(RowInputs& inputs, std::string& out, uint64_t& nulled) const;

  const std::string& name() const { return name_; }

 private:
  struct Constant {
    std::string text;
  };
  struct TopicLevel {
    size_t index;
  };
  struct Attribute {
    std::string key;
  };
  struct PayloadSlot {
    size_t slot;
  };
  enum class Field {  // what needs no argument
    kTopic,
    kSource,
    kPayload,
    kOrigin,
    kSeq,
    kSub,
    kAgentId,
    kEpoch,
    kLane,
    kReceivedAt,
    kTimeQuality,
  };
  using Part = std::variant<Constant, TopicLevel, Attribute, PayloadSlot, Field>;

  static Result<Part> compile_reference(const Reference& reference, const ColumnSpec& column,
                                        const EncoderSpec& spec, PathTree& paths);
  static Result<Part> compile_topic(const Reference& reference, const EncoderSpec& spec);
  static Result<Part> compile_payload(const Reference& reference, const ColumnSpec& column,
                                      const EncoderSpec& spec, PathTree& paths);
  static Result<Part> compile_meta(const Reference& reference);
  Result<void> settle_constants(const ColumnSpec& column);
  Result<std::string> written_default(const std::string& json) const;
  Result<void> write(const Value& value, NestedValues& nested, std::string& scratch,
                     std::string& out) const;
  Result<void> write_null(std::string& out) const;

  static Value fetch(const Part& part, RowInputs& inputs);
  static Value fetch_field(Field field, RowInputs& inputs);
  Value fetch_all(RowInputs& inputs) const;

  std::string prefix_;  // `"name":`, or the tag of the field
  std::string name_;
  std::string from_;  // as written, for messages
  std::vector<Part> parts_;
  CastSpec cast_;
  TimeUnit unit_ = TimeUnit::kAuto;
  OnError on_error_ = OnError::kReject;
  bool nullable_ = true;
  bool proto_ = false;
  DataType type_;                            // proto_: of the table's column
  uint32_t number_ = 0;                      // proto_
  std::optional<std::string> when_missing_;  // unset: NULL
  std::string constant_;                     // not empty: the same in every row
};

}  // namespace penstock::codec
