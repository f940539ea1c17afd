#include "tests/zerobus_local/proto_json.h"

#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

namespace pb = google::protobuf;

void append_message_json(const pb::Message& message, std::string& out) {
  std::vector<const pb::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  out.push_back('{');
  bool first = true;
  for (const auto* field : fields) {
    if (!first) out.push_back(',');
    first = false;
    append_json_string(field->name(), out);
    out.push_back(':');
    append_field_json(message, *field, out);
  }
  out.push_back('}');
}

// One value: element `index` of a repeated field, or the field itself when index < 0.
void append_value_json(const pb::Message& message, const pb::FieldDescriptor& field, int index,
                       std::string& out) {
  const auto& r = *message.GetReflection();
  const bool many = index >= 0;
  switch (field.type()) {
    case pb::FieldDescriptor::TYPE_INT32:
      out += std::to_string(many ? r.GetRepeatedInt32(message, &field, index)
                                 : r.GetInt32(message, &field));
      return;
    case pb::FieldDescriptor::TYPE_INT64:
      out += std::to_string(many ? r.GetRepeatedInt64(message, &field, index)
                                 : r.GetInt64(message, &field));
      return;
    case pb::FieldDescriptor::TYPE_FLOAT:
      return append_json_number(
          many ? r.GetRepeatedFloat(message, &field, index) : r.GetFloat(message, &field), out);
    case pb::FieldDescriptor::TYPE_DOUBLE:
      return append_json_number(
          many ? r.GetRepeatedDouble(message, &field, index) : r.GetDouble(message, &field), out);
    case pb::FieldDescriptor::TYPE_BOOL:
      out += (many ? r.GetRepeatedBool(message, &field, index) : r.GetBool(message, &field))
                 ? "true"
                 : "false";
      return;
    case pb::FieldDescriptor::TYPE_MESSAGE:
      return append_message_json(
          many ? r.GetRepeatedMessage(message, &field, index) : r.GetMessage(message, &field), out);
    default: {
      const std::string text =
          many ? r.GetRepeatedString(message, &field, index) : r.GetString(message, &field);
      if (field.type() != pb::FieldDescriptor::TYPE_BYTES) return append_json_string(text, out);
      out.push_back('"');
      append_base64(text, out);
      out.push_back('"');
    }
  }
}

void append_map_json(const pb::Message& message, const pb::FieldDescriptor& field,
                     std::string& out) {
  const auto& r = *message.GetReflection();
  const auto& key = *field.message_type()->map_key();
  const auto& value = *field.message_type()->map_value();
  out.push_back('{');
  for (int i = 0; i < r.FieldSize(message, &field); ++i) {
    if (i > 0) out.push_back(',');
    const auto& entry = r.GetRepeatedMessage(message, &field, i);
    const bool text = key.type() == pb::FieldDescriptor::TYPE_STRING;
    if (!text) out.push_back('"');  // JSON keys are text, whatever the map's key type
    append_value_json(entry, key, -1, out);
    if (!text) out.push_back('"');
    out.push_back(':');
    append_value_json(entry, value, -1, out);
  }
  out.push_back('}');
}

}  // namespace

void append_field_json(const pb::Message& message, const pb::FieldDescriptor& field,
                       std::string& out) {
  if (field.is_map()) return append_map_json(message, field, out);
  if (!field.is_repeated()) return append_value_json(message, field, -1, out);
  out.push_back('[');
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    if (i > 0) out.push_back(',');
    append_value_json(message, field, i, out);
  }
  out.push_back(']');
}

}  // namespace penstock::local
