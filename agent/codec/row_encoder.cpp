#include "agent/codec/row_encoder.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/base/text.h"
#include "agent/base/varint.h"
#include "agent/codec/column.h"
#include "agent/codec/compact_object.h"
#include "agent/codec/json_reader.h"
#include "agent/codec/nested_values.h"
#include "agent/codec/row_descriptor.h"
#include "agent/codec/table_fit.h"

namespace penstock::codec {
namespace {

constexpr char kRowTag = 0x0A;        // field 1, length-delimited: JsonRecordBatch.records
constexpr size_t kMaxColumns = 2000;  // of a table, by the service's limits page
constexpr size_t kKeptBytes = size_t{256} * 1024;  // a row buffer beyond this is not kept

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }

Result<void> check_name(const std::string& name, std::set<std::string>& taken) {
  const auto is_legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  const std::string context = "column '" + shown(name) + "': ";
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_legal)) {
    return refused(context + "a name is one or more of [A-Za-z0-9_]");
  }
  std::string folded = name;  // Unity Catalog does not tell upper from lower case in names
  for (char& c : folded) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (!taken.insert(std::move(folded)).second) return refused(context + "the name is used twice");
  return {};
}

}  // namespace

class RowEncoder::Impl {
 public:
  // `table`: the columns of the table in the order of the spec's, for protobuf rows; null for JSON.
  static Result<std::unique_ptr<Impl>> make(EncoderSpec spec, const TableSchema* table);
  static Result<std::unique_ptr<Impl>> make_fitted(EncoderSpec spec, const TableSchema& table,
                                                   RowForm form);

  Result<size_t> encode(const RecordView& record, const RowMeta& meta, std::string& out);
  uint64_t nulled() const { return nulled_; }
  bool unreadable() const { return unreadable_; }
  const std::string& descriptor() const { return descriptor_; }

 private:
  Impl(EncoderSpec spec, std::vector<Column> columns, PathTree paths)
      : format_(spec.format),
        agent_id_(std::move(spec.agent_id)),
        columns_(std::move(columns)),
        reader_(std::move(paths), kMaxDepth),
        nested_(spec.unknown_fields != UnknownFields::kReject) {}

  bool append_payload_as_it_is(std::string_view payload, std::string& out);
  Result<void> build_row(const RecordView& record, const RowMeta& meta);
  Result<void> append_columns(const RecordView& record, const RowMeta& meta);
  Result<void> append_payload_object();
  Result<void> check_fields() const;
  Error refused_field(std::string_view field) const;
  void release_large_buffers();

  PayloadFormat format_;
  std::string agent_id_;
  std::vector<Column> columns_;  // empty: auto, the reader's slot 0 is the payload
  JsonReader reader_;
  CompactObject compact_{kMaxDepth};
  NestedValues nested_;
  std::string descriptor_;         // empty: rows are JSON
  bool refuse_strangers_ = false;  // payload fields that the table does not have
  bool unreadable_ = false;        // the payload of the record last refused
  std::string row_;
  std::string text_;     // lent to RowInputs
  std::string scratch_;  // the same
  uint64_t nulled_ = 0;
};

Result<std::unique_ptr<RowEncoder::Impl>> RowEncoder::Impl::make(EncoderSpec spec,
                                                                 const TableSchema* table) {
  if (spec.columns.empty() && spec.format == PayloadFormat::kRaw) {
    return refused("format raw needs columns, such as {payload: \"${payload}\"}");
  }
  if (spec.columns.size() > kMaxColumns) return refused("a table has at most 2000 columns");
  PathTree paths;
  if (spec.columns.empty()) paths.add({});
  std::vector<Column> columns;
  std::set<std::string> names;
  for (const auto& column : spec.columns) {
    if (auto checked = check_name(column.name, names); !checked) return std::move(checked).error();
    const TableColumn* target = table ? &table->columns[columns.size()] : nullptr;
    auto compiled = Column::compile(column, spec, paths, target);
    if (!compiled) return std::move(compiled).error().in("column '" + column.name + "'");
    columns.push_back(*std::move(compiled));
  }
  return std::unique_ptr<Impl>(new Impl(std::move(spec), std::move(columns), std::move(paths)));
}

Result<std::unique_ptr<RowEncoder::Impl>> RowEncoder::Impl::make_fitted(EncoderSpec spec,
                                                                        const TableSchema& table,
                                                                        RowForm form) {
  if (spec.columns.empty() && spec.format == PayloadFormat::kRaw) {
    return refused("format raw needs columns, such as {payload: \"${payload}\"}");
  }
  const bool refuse = spec.unknown_fields == UnknownFields::kReject;
  auto fitted = fit_to_table(std::move(spec), table);
  if (!fitted) return std::move(fitted).error();
  std::string descriptor;
  if (form == RowForm::kProto) {
    auto described = row_descriptor(fitted->table, "Row");
    if (!described) return std::move(described).error();
    descriptor = *std::move(described);
  }
  auto impl = make(std::move(fitted->spec), form == RowForm::kProto ? &fitted->table : nullptr);
  if (!impl) return impl;
  (*impl)->descriptor_ = std::move(descriptor);
  (*impl)->refuse_strangers_ = fitted->by_name && refuse;
  return impl;
}

Result<size_t> RowEncoder::Impl::encode(const RecordView& record, const RowMeta& meta,
                                        std::string& out) {
  if (append_payload_as_it_is(record.payload, out)) return 1;
  auto built = build_row(record, meta);
  if (built) {
    out += kRowTag;
    append_bytes(row_, out);
  }
  release_large_buffers();
  if (!built) return std::move(built).error();
  return 1;
}

// The row is the payload, and the payload is an object without a flaw: no more than a look and a
// copy. Whatever else there is to say about it is said on the long way.
bool RowEncoder::Impl::append_payload_as_it_is(std::string_view payload, std::string& out) {
  const bool whole = columns_.empty() && format_ == PayloadFormat::kJson && !refuse_strangers_;
  if (!whole || payload.size() > kMaxPayloadBytes) return false;
  const auto object = compact_.read(payload);
  const bool good = object && object->size() <= kMaxRowBytes;
  if (good) {
    out += kRowTag;
    append_bytes(*object, out);
  }
  compact_.release_large_buffers();
  return good;
}

Result<void> RowEncoder::Impl::build_row(const RecordView& record, const RowMeta& meta) {
  row_.clear();
  unreadable_ = record.payload.size() > kMaxPayloadBytes;
  if (unreadable_) {
    return refused("payload has " + std::to_string(record.payload.size()) + " bytes, at most " +
                   std::to_string(kMaxPayloadBytes) + " are taken");
  }
  if (format_ == PayloadFormat::kJson) {
    if (auto read = reader_.read(record.payload); !read) {
      unreadable_ = true;
      return Error{read.error().kind, "payload " + read.error().what, {}};
    }
    if (refuse_strangers_) {
      if (auto checked = check_fields(); !checked) return checked;
    }
  }
  auto appended = columns_.empty() ? append_payload_object() : append_columns(record, meta);
  if (appended && row_.size() > kMaxRowBytes) {
    return refused("the row has more than " + std::to_string(kMaxRowBytes) +
                   " bytes, the most that the service takes; send less in one message, or fewer "
                   "columns");
  }
  return appended;
}

Result<void> RowEncoder::Impl::append_columns(const RecordView& record, const RowMeta& meta) {
  RowInputs inputs{record,
                   meta,
                   agent_id_,
                   reader_,
                   format_,
                   {},
                   nested_,
                   std::move(text_),
                   std::move(scratch_)};
  const bool json = descriptor_.empty();
  Result<void> appended;
  if (json) row_ += '{';
  for (const auto& column : columns_) {
    if (json && row_.size() > 1) row_ += ',';
    appended = column.append(inputs, row_, nulled_);
    if (!appended || row_.size() > kMaxRowBytes) break;
  }
  if (json) row_ += '}';
  text_ = std::move(inputs.text);
  scratch_ = std::move(inputs.scratch);
  return appended;
}

// Of a route whose columns are those of the table.
Result<void> RowEncoder::Impl::check_fields() const {
  if (!reader_.is_object()) {
    return refused(
        "the payload is no object, and only an object has fields to fill columns by name; give the "
        "route columns");
  }
  if (const auto stranger = reader_.stranger()) return refused_field(*stranger);
  return {};
}

Error RowEncoder::Impl::refused_field(std::string_view field) const {
  const auto column = std::find_if(columns_.begin(), columns_.end(),
                                   [&](const Column& one) { return same_name(one.name(), field); });
  const std::string shown_field = "'" + shown(field) + "'";
  if (column == columns_.end()) {
    return refused("the table has no column " + shown_field +
                   ", but the payload has such a field; add the column, or set unknown_fields: "
                   "ignore");
  }
  if (column->name() == field) {
    return refused("the payload has a field " + shown_field +
                   ", but the column of that name is filled with what names the record; rename the "
                   "field, or set unknown_fields: ignore");
  }
  return refused("the payload has a field " + shown_field + ", the table a column '" +
                 column->name() + "'; give the route columns, or make both names the same");
}

Result<void> RowEncoder::Impl::append_payload_object() {
  const JsonValue& payload = reader_.value(0);
  if (payload.kind != JsonValue::Kind::kObject) {
    return refused("payload is " + shown(payload.json, 40) +
                   ", and only an object has fields to fill columns by name; give the route "
                   "columns");
  }
  row_.append(payload.json);
  return {};
}

void RowEncoder::Impl::release_large_buffers() {
  reader_.release_large_buffers();
  nested_.release_large_buffers();
  if (row_.capacity() > kKeptBytes) row_ = {};
  if (text_.capacity() > kKeptBytes) text_ = {};
  if (scratch_.capacity() > kKeptBytes) scratch_ = {};
}

RowEncoder::RowEncoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RowEncoder::RowEncoder(RowEncoder&&) noexcept = default;
RowEncoder& RowEncoder::operator=(RowEncoder&&) noexcept = default;
RowEncoder::~RowEncoder() = default;

Result<RowEncoder> RowEncoder::make(EncoderSpec spec) {
  auto impl = Impl::make(std::move(spec), nullptr);
  if (!impl) return std::move(impl).error();
  return RowEncoder(*std::move(impl));
}

Result<RowEncoder> RowEncoder::make(EncoderSpec spec, const TableSchema& table, RowForm form) {
  auto impl = Impl::make_fitted(std::move(spec), table, form);
  if (!impl) return std::move(impl).error();
  return RowEncoder(*std::move(impl));
}

const std::string& RowEncoder::descriptor() const { return impl_->descriptor(); }

Result<size_t> RowEncoder::encode(const RecordView& record, const RowMeta& meta, std::string& out) {
  return impl_->encode(record, meta, out);
}

bool RowEncoder::payload_unreadable() const { return impl_->unreadable(); }

uint64_t RowEncoder::values_nulled() const { return impl_->nulled(); }

}  // namespace penstock::codec
