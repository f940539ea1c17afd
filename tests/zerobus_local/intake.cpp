#include "tests/zerobus_local/intake.h"

#include <utility>

#include <google/protobuf/descriptor.pb.h>

#include "agent/base/varint.h"
#include "tests/zerobus_local/json_rows.h"
#include "tests/zerobus_local/proto_rows.h"

namespace penstock::local {
namespace {

namespace zb = databricks::zerobus;

grpc::Status invalid(std::string what) {
  return {grpc::StatusCode::INVALID_ARGUMENT, std::move(what)};
}

// proto2 keeps an enum value it does not know among the unknown fields, where it would look like
// "absent".
bool has_unknown_record_type(const zb::CreateIngestStreamRequest& create) {
  const auto& unknown = create.unknown_fields();
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (unknown.field(i).number() == zb::CreateIngestStreamRequest::kRecordTypeFieldNumber) {
      return true;
    }
  }
  return false;
}

}  // namespace

Intake::Intake(std::string header_table, FindTable find, Veto veto, bool raw)
    : header_table_(std::move(header_table)),
      find_(std::move(find)),
      veto_(std::move(veto)),
      raw_(raw) {}

grpc::Status Intake::check_size(size_t message_bytes) {
  if (message_bytes <= kMaxMessageBytes) return grpc::Status::OK;
  return invalid("message size exceeds the maximum: " + std::to_string(message_bytes) +
                 " bytes, at most " + std::to_string(kMaxMessageBytes) + " are allowed");
}

grpc::Status Intake::open(const zb::EphemeralStreamRequest& request) {
  if (!request.has_create_stream()) {
    return invalid("the first message of a stream must be create_stream");
  }
  const auto& create = request.create_stream();
  if (create.table_name() != header_table_) {
    return invalid("create_stream names table '" + create.table_name() +
                   "', the header x-databricks-zerobus-table-name names '" + header_table_ + "'");
  }
  if (has_unknown_record_type(create) ||
      (create.has_record_type() && create.record_type() == zb::RECORD_TYPE_UNSPECIFIED)) {
    return invalid("record_type of table " + header_table_ + " must be PROTO or JSON");
  }
  table_ = find_(header_table_);
  if (!table_) return {grpc::StatusCode::NOT_FOUND, "table " + header_table_ + " does not exist"};
  json_ = create.has_record_type() && create.record_type() == zb::JSON;
  if (json_) {  // a descriptor, if any, is ignored
    decoder_ = make_json_decoder(table_);
    return grpc::Status::OK;
  }
  auto decoder = make_proto_decoder(create.descriptor_proto(), table_);
  if (!decoder) {
    return invalid("schema of table " + table_->name() +
                   " does not match: " + decoder.error().what);
  }
  decoder_ = std::move(*decoder);
  google::protobuf::DescriptorProto row;
  (void)row.ParseFromString(create.descriptor_proto());
  for (const auto& field : row.field()) declared_.push_back(field.name());
  return grpc::Status::OK;
}

grpc::Status Intake::altered() {
  auto now = find_(header_table_);
  if (!now) {
    return {grpc::StatusCode::NOT_FOUND, "table " + header_table_ + " does not exist any more"};
  }
  if (json_) {
    table_ = std::move(now);
    decoder_ = make_json_decoder(table_);
    return grpc::Status::OK;
  }
  for (const auto& name : declared_) {
    if (now->find(name)) continue;
    return invalid("schema of table " + table_->name() + " does not match any more: column " +
                   name + " was dropped. Error Code: 8001, Error State: 0.");
  }
  return grpc::Status::OK;
}

grpc::Status Intake::wrong_kind() const {
  return invalid(std::string("the request's records are not ") + (json_ ? "JSON" : "PROTO") +
                 ", the record_type this stream of table " + table_->name() + " was created with");
}

// Fills records_ with views into the request.
grpc::Status Intake::collect(const zb::EphemeralStreamRequest& request) {
  records_.clear();
  if (request.has_ingest_record()) {
    const auto& one = request.ingest_record();
    if (json_ ? !one.has_json_record() : !one.has_proto_encoded_record()) return wrong_kind();
    records_.push_back(json_ ? one.json_record() : one.proto_encoded_record());
    return grpc::Status::OK;
  }
  const auto& batch = request.ingest_record_batch();
  if (json_ ? !batch.has_json_batch() : !batch.has_proto_encoded_batch()) return wrong_kind();
  const auto& all = json_ ? batch.json_batch().records() : batch.proto_encoded_batch().records();
  records_.assign(all.begin(), all.end());
  if (records_.empty()) return invalid("a batch must hold at least one record");
  return grpc::Status::OK;
}

grpc::Status Intake::take(const zb::EphemeralStreamRequest& request, Taken& out) {
  if (request.has_create_stream()) return invalid("create_stream may be sent only once");
  const bool batch = request.has_ingest_record_batch();
  if (!batch && !request.has_ingest_record()) {
    return invalid("the request carries neither ingest_record nor ingest_record_batch");
  }
  const bool has_offset = batch ? request.ingest_record_batch().has_offset_id()
                                : request.ingest_record().has_offset_id();
  const int64_t offset =
      batch ? request.ingest_record_batch().offset_id() : request.ingest_record().offset_id();
  if (!has_offset || offset != next_offset_) {
    return invalid("offset_id of table " + table_->name() + ": expected " +
                   std::to_string(next_offset_) + ", got " +
                   (has_offset ? std::to_string(offset) : "none"));
  }
  if (auto status = collect(request); !status.ok()) return status;
  if (auto status = decode(offset, batch, out); !status.ok()) return status;
  ++next_offset_;
  return grpc::Status::OK;
}

grpc::Status Intake::decode(int64_t offset, bool batch, Taken& out) {
  out.offset = offset;
  out.rows.count = records_.size();
  for (size_t i = 0; i < records_.size(); ++i) {
    if (raw_) scratch_.clear();
    auto reason = decoder_->decode(records_[i], raw_ ? scratch_ : out.rows.cells);
    if (!reason) reason = veto_(*table_, records_[i]);
    if (reason) {
      return invalid("table " + table_->name() + ", " +
                     (batch ? "record " + std::to_string(i) + " of the batch" : "record") +
                     " at offset " + std::to_string(offset) + ": " + *reason);
    }
    if (!raw_) continue;
    out.raw.push_back(0x0A);
    append_bytes(records_[i], out.raw);
  }
  return grpc::Status::OK;
}

}  // namespace penstock::local
