// One column of a route, compiled: where its value comes from and the text around it in the row.
//
// Immutable after compile; values it fetches borrow from the record, the reader and `RowInputs`.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/record.h"
#include "agent/base/result.h"
#include "agent/codec/cast.h"
#include "agent/codec/encoder_spec.h"
#include "agent/codec/json_reader.h"
#include "agent/codec/row_encoder.h"

namespace penstock::codec {

// All that a row can be made of, for the length of one encode.
struct RowInputs {
  const RecordView& record;
  const RowMeta& meta;
  const std::string& agent_id;
  const JsonReader& reader;  // has read the payload, when the format is json
  PayloadFormat format;
  std::array<char, 24> digits{};  // of a number that is not in the payload
  std::string text;               // of a column put together from several parts
};

class Column {
 public:
  // Adds the payload paths it needs to `paths`. kRejected as RowEncoder::make, without the column's
  // name.
  static Result<Column> compile(const ColumnSpec& column, const EncoderSpec& spec, PathTree& paths);

  // Appends `"name":value`. kRejected with column, reference and value; `out` then ends in a part
  // of it. `nulled` counts values replaced because of on_error.
  Result<void> append(RowInputs& inputs, std::string& out, uint64_t& nulled) const;

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

  static Value fetch(const Part& part, RowInputs& inputs);
  static Value fetch_field(Field field, RowInputs& inputs);
  Value fetch_all(RowInputs& inputs) const;

  std::string prefix_;  // `"name":`
  std::string name_;
  std::string from_;  // as written, for messages
  std::vector<Part> parts_;
  CastSpec cast_;
  TimeUnit unit_ = TimeUnit::kAuto;
  OnError on_error_ = OnError::kReject;
  std::string when_missing_ = "null";
  std::string constant_;  // not empty: the same in every row
};

}  // namespace penstock::codec
