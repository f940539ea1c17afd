#include "tests/zerobus_local/proto_schema.h"

#include <optional>
#include <string>
#include <utility>

#include <google/protobuf/descriptor.pb.h>

namespace penstock::local {
namespace {

namespace pb = google::protobuf;
using FieldType = pb::FieldDescriptor::Type;

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

FieldType wire_type(Kind kind) {
  switch (kind) {
    case Kind::kTinyint:
    case Kind::kSmallint:
    case Kind::kInt:
    case Kind::kDate:
      return pb::FieldDescriptor::TYPE_INT32;
    case Kind::kBigint:
    case Kind::kTimestamp:
    case Kind::kTimestampNtz:
      return pb::FieldDescriptor::TYPE_INT64;
    case Kind::kFloat:
      return pb::FieldDescriptor::TYPE_FLOAT;
    case Kind::kDouble:
      return pb::FieldDescriptor::TYPE_DOUBLE;
    case Kind::kBoolean:
      return pb::FieldDescriptor::TYPE_BOOL;
    case Kind::kBinary:
      return pb::FieldDescriptor::TYPE_BYTES;
    case Kind::kStruct:
      return pb::FieldDescriptor::TYPE_MESSAGE;
    default:
      return pb::FieldDescriptor::TYPE_STRING;
  }
}

std::string spelled(const pb::FieldDescriptor& field) {
  if (field.is_map()) return "a map";
  return std::string(field.is_repeated() ? "repeated " : "") + field.type_name();
}

class Matcher {
 public:
  // Notes what is wrong between a field and the type it must carry; `path` names it.
  void match(const pb::FieldDescriptor& field, const Type& type, const std::string& path) {
    if (type.kind == Kind::kArray) {
      if (!field.is_repeated() || field.is_map()) return mismatch(field, type, path);
      return match_single(field, type.args[0], path);
    }
    if (type.kind == Kind::kMap) {
      if (!field.is_map()) return mismatch(field, type, path);
      match_single(*field.message_type()->map_key(), type.args[0], path + " key");
      return match_single(*field.message_type()->map_value(), type.args[1], path + " value");
    }
    if (field.is_repeated()) return mismatch(field, type, path);
    match_single(field, type, path);
  }

  void problem(const std::string& text) {
    if (!problems.empty()) problems += "; ";
    problems += text;
  }

  std::string problems;

 private:
  void mismatch(const pb::FieldDescriptor& field, const Type& type, const std::string& path) {
    std::string want = pb::FieldDescriptor::TypeName(wire_type(type.kind));
    if (type.kind == Kind::kArray) {
      want = std::string("repeated ") + pb::FieldDescriptor::TypeName(wire_type(type.args[0].kind));
    } else if (type.kind == Kind::kMap) {
      want = "a map";
    }
    problem(path + " is " + spelled(field) + ", but " + to_string(type) + " needs " + want);
  }

  // The same without regard to labels.
  void match_single(const pb::FieldDescriptor& field, const Type& type, const std::string& path) {
    if (field.type() != wire_type(type.kind)) return mismatch(field, type, path);
    if (type.kind != Kind::kStruct) return;
    const auto& message = *field.message_type();
    for (int i = 0; i < message.field_count(); ++i) {
      const auto& inner = *message.field(i);
      size_t at = 0;
      while (at < type.names.size() && type.names[at] != inner.name()) ++at;
      const std::string inner_path = path + "." + inner.name();
      if (at == type.names.size()) {
        problem(inner_path + " is not in " + to_string(type));
      } else {
        match(inner, type.args[at], inner_path);
      }
    }
  }
};

class BuildErrors : public pb::DescriptorPool::ErrorCollector {
 public:
  void AddError(const std::string&, const std::string& element, const pb::Message*, ErrorLocation,
                const std::string& message) override {
    if (!text.empty()) text += "; ";
    text += element + ": " + message;
  }
  std::string text;
};

// What only a proto3 file may say, or the package of an absolute type name below the row message.
struct Hints {
  bool proto3 = false;
  std::optional<std::string> package;
};

void look_for_hints(const pb::DescriptorProto& message, const std::string& row, Hints& hints) {
  for (const auto& field : message.field()) {
    hints.proto3 = hints.proto3 || field.proto3_optional();
    const std::string& name = field.type_name();
    if (hints.package || name.empty() || name[0] != '.') continue;
    const size_t at = name.find("." + row + ".");
    if (at != std::string::npos) hints.package = at == 0 ? "" : name.substr(1, at - 1);
  }
  for (const auto& nested : message.nested_type()) look_for_hints(nested, row, hints);
}

Result<ProtoSchema> build(std::string_view bytes) {
  pb::FileDescriptorProto file;
  auto& row = *file.add_message_type();
  if (bytes.empty()) return refused("descriptor_proto is missing; a PROTO stream must carry it");
  if (!row.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return refused("descriptor_proto is not a serialized google.protobuf.DescriptorProto");
  }
  if (row.name().empty()) row.set_name("Row");
  Hints hints;
  look_for_hints(row, row.name(), hints);
  file.set_name("row.proto");
  if (hints.package) file.set_package(*hints.package);
  file.set_syntax(hints.proto3 ? "proto3" : "proto2");
  ProtoSchema schema;
  schema.pool = std::make_unique<pb::DescriptorPool>();
  BuildErrors errors;
  const auto* built = schema.pool->BuildFileCollectingErrors(file, &errors);
  if (built == nullptr) {
    return refused("descriptor_proto is not usable (" + errors.text +
                   "); every type it uses must be nested in the row message");
  }
  schema.row = built->message_type(0);
  return schema;
}

void match_label(const pb::FieldDescriptor& field, const Column& column, Matcher& matcher) {
  if (column.nullable || field.is_repeated() || field.is_required()) return;
  matcher.problem("field " + field.name() + " must be required, because column " + column.name +
                  " is NOT NULL");
}

}  // namespace

Result<ProtoSchema> match_descriptor(std::string_view descriptor, const Table& table) {
  auto schema = build(descriptor);
  if (!schema) return schema;
  Matcher matcher;
  std::vector<bool> present(table.columns().size(), false);
  for (int i = 0; i < schema->row->field_count(); ++i) {
    const auto& field = *schema->row->field(i);
    const auto at = table.find(field.name());
    if (!at) {
      matcher.problem("field " + field.name() + " is not a column of the table");
      continue;
    }
    present[*at] = true;
    const Column& column = table.columns()[*at];
    matcher.match(field, column.type, "field " + field.name());
    match_label(field, column, matcher);
    schema->fields.push_back({&field, *at});
  }
  for (size_t i = 0; i < present.size(); ++i) {
    const Column& column = table.columns()[i];
    if (present[i] || column.nullable) continue;
    matcher.problem("column " + column.name +
                    " is NOT NULL, but the descriptor has no field for it");
  }
  if (!matcher.problems.empty()) return refused(std::move(matcher.problems));
  return schema;
}

}  // namespace penstock::local
