#include "tests/zerobus_local/proto_rows.h"

#include <utility>

#include <google/protobuf/dynamic_message.h>
#include <simdjson.h>

#include "tests/zerobus_local/proto_json.h"
#include "tests/zerobus_local/proto_schema.h"
#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

namespace pb = google::protobuf;
using Reason = std::optional<std::string>;

// The first field anywhere in `message` that its descriptor does not know.
Reason unknown_field(const pb::Message& message) {
  const auto& r = *message.GetReflection();
  if (!r.GetUnknownFields(message).empty()) {
    return "field number " + std::to_string(r.GetUnknownFields(message).field(0).number()) +
           " of " + message.GetDescriptor()->name() + " is not in the stream's descriptor";
  }
  std::vector<const pb::FieldDescriptor*> fields;
  r.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int n = field->is_repeated() ? r.FieldSize(message, field) : 1;
    for (int i = 0; i < n; ++i) {
      const auto& inner = field->is_repeated() ? r.GetRepeatedMessage(message, field, i)
                                               : r.GetMessage(message, field);
      if (auto reason = unknown_field(inner)) return reason;
    }
  }
  return std::nullopt;
}

class ProtoRows : public RowDecoder {
 public:
  ProtoRows(ProtoSchema schema, TablePtr table)
      : schema_(std::move(schema)),
        table_(std::move(table)),
        factory_(schema_.pool.get()),
        row_(factory_.GetPrototype(schema_.row)->New()) {}

  Reason decode(std::string_view record, std::vector<Value>& cells) override {
    if (!row_->ParsePartialFromArray(record.data(), static_cast<int>(record.size()))) {
      return "not a valid protobuf message " + schema_.row->name();
    }
    if (!row_->IsInitialized()) {
      std::vector<std::string> missing;
      row_->FindInitializationErrors(&missing);
      return "column " + missing.front() + ": missing, but the column is NOT NULL";
    }
    if (auto reason = unknown_field(*row_)) return reason;
    const size_t base = cells.size();
    cells.resize(base + table_->columns().size());
    for (const auto& [field, at] : schema_.fields) {
      const Column& column = table_->columns()[at];
      if (auto reason = read(*field, column.type, cells[base + at])) {
        cells.resize(base);
        return "column " + column.name + " (" + to_string(column.type) + "): " + *reason;
      }
    }
    return std::nullopt;
  }

 private:
  Reason read(const pb::FieldDescriptor& field, const Type& type, Value& cell) {
    const auto& r = *row_->GetReflection();
    if (type.nested()) return read_nested(field, cell);
    if (!r.HasField(*row_, &field)) return std::nullopt;
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT32:
        return store(int64_t{r.GetInt32(*row_, &field)}, type, cell);
      case pb::FieldDescriptor::CPPTYPE_INT64:
        return store(int64_t{r.GetInt64(*row_, &field)}, type, cell);
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        cell = int64_t{r.GetBool(*row_, &field)};
        return std::nullopt;
      case pb::FieldDescriptor::CPPTYPE_FLOAT:
        cell = double{r.GetFloat(*row_, &field)};
        return std::nullopt;
      case pb::FieldDescriptor::CPPTYPE_DOUBLE:
        cell = r.GetDouble(*row_, &field);
        return std::nullopt;
      default:
        return store(r.GetString(*row_, &field), type, cell);
    }
  }

  static Reason store(int64_t value, const Type& type, Value& cell) {
    cell = value;
    return check_integer(value, type);
  }

  Reason store(std::string value, const Type& type, Value& cell) {
    if (type.kind == Kind::kBinary) {
      cell = Blob{std::move(value)};
      return std::nullopt;
    }
    auto reason = check_text(value, type, scratch_);
    cell = std::move(value);
    return reason;
  }

  // An empty list or map cannot be told from an absent one: both are stored as empty, not NULL.
  Reason read_nested(const pb::FieldDescriptor& field, Value& cell) {
    if (!field.is_repeated() && !row_->GetReflection()->HasField(*row_, &field)) {
      return std::nullopt;
    }
    std::string text;
    append_field_json(*row_, field, text);
    if (!simdjson::validate_utf8(text.data(), text.size())) return "the text is not valid UTF-8";
    cell = std::move(text);
    return std::nullopt;
  }

  ProtoSchema schema_;
  TablePtr table_;
  pb::DynamicMessageFactory factory_;
  std::unique_ptr<pb::Message> row_;  // reused
  simdjson::dom::parser scratch_;
};

}  // namespace

Result<std::unique_ptr<RowDecoder>> make_proto_decoder(std::string_view descriptor,
                                                       TablePtr table) {
  auto schema = match_descriptor(descriptor, *table);
  if (!schema) return std::move(schema).error();
  return std::unique_ptr<RowDecoder>(
      std::make_unique<ProtoRows>(std::move(*schema), std::move(table)));
}

}  // namespace penstock::local
