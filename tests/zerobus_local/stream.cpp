#include "tests/zerobus_local/stream.h"

#include <random>
#include <utility>

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/slice.h>

#include "tests/zerobus_local/stream_reactor.h"

namespace penstock::local {
namespace {

namespace zb = databricks::zerobus;

constexpr size_t kMaxUndurableBytes = 16 << 20;

// A random (version 4) UUID.
std::string make_stream_id() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 8; ++i) {
    uint32_t word = random() & 0xFFFF;
    if (i == 3) word = (word & 0x0FFF) | 0x4000;
    if (i == 4) word = (word & 0x3FFF) | 0x8000;
    if (i >= 2 && i <= 5) id += '-';
    id += fmt::format("{:04x}", word);
  }
  return id;
}

class Refusal : public RawReactor {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

void Stream::OnReadDone(bool ok) {
  grpc::Status status = ok ? take_message() : grpc::Status::OK;
  const std::lock_guard lock(mutex_);
  reading_ = false;
  if (!ok || !status.ok()) return end(status, false);  // half-closed, or refused
  read_more();
}

// Parses and checks without the mutex: only one read is under way.
grpc::Status Stream::take_message() {
  {
    const std::lock_guard lock(mutex_);
    if (end_) return grpc::Status::OK;  // read while the end was being decided: not taken
  }
  const size_t bytes = read_buffer_.Length();
  grpc::Status status = Intake::check_size(bytes);
  zb::EphemeralStreamRequest request;
  if (status.ok() &&
      !grpc::SerializationTraits<zb::EphemeralStreamRequest>::Deserialize(&read_buffer_, &request)
           .ok()) {
    status = {grpc::StatusCode::INVALID_ARGUMENT, "the message is not an EphemeralStreamRequest"};
  }
  read_buffer_.Clear();
  if (status.ok()) status = note_changes();
  if (status.ok()) status = intake_.opened() ? submit(request, bytes) : open_stream(request);
  if (!status.ok()) {
    context_.registry.count_refused(intake_.table() ? intake_.table()->name() : header_table_);
    context_.log.info("stream of {} refused: {} {}", header_table_,
                      status_name(status.error_code()), status.error_message());
  }
  return status;
}

// An ALTER or DROP TABLE since the last message.
grpc::Status Stream::note_changes() {
  const uint64_t version = context_.catalog.version();
  if (std::exchange(catalog_version_, version) == version || !intake_.opened()) {
    return grpc::Status::OK;
  }
  auto status = intake_.altered();
  if (status.ok()) context_.store.open_table(intake_.table());
  return status;
}

grpc::Status Stream::open_stream(const zb::EphemeralStreamRequest& request) {
  if (auto fault = context_.faults.on_create(header_table_)) return *fault;
  if (auto status = intake_.open(request); !status.ok()) return status;
  context_.store.open_table(intake_.table());
  context_.registry.count_opened(intake_.table()->name());
  stream_id_ = std::make_shared<const std::string>(make_stream_id());
  zb::EphemeralStreamResponse response;
  response.mutable_create_stream_response()->set_stream_id(*stream_id_);
  const std::lock_guard lock(mutex_);
  info_.id = *stream_id_;
  info_.table = intake_.table()->name();
  info_.record_type = intake_.json() ? "JSON" : "PROTO";
  opened_ = read_clock().mono;
  control_.push_front(response.SerializeAsString());  // before a close signal that came early
  arm_rotation();
  pump();
  return grpc::Status::OK;
}

grpc::Status Stream::submit(const zb::EphemeralStreamRequest& request, size_t bytes) {
  Intake::Taken taken;
  if (auto status = intake_.take(request, taken); !status.ok()) return status;
  const std::string& table = intake_.table()->name();
  const auto records = static_cast<int64_t>(taken.rows.count);
  {
    const std::lock_guard lock(mutex_);
    if (end_) return grpc::Status::OK;
    submitted_ = taken.offset;
    undurable_bytes_ += bytes;
    ++info_.received;
    info_.records += records;
  }
  context_.registry.count_received(table, records);
  context_.store.submit({shared_from_this(), intake_.table(), stream_id_, taken.offset,
                         read_clock().wall_us, bytes, std::move(taken.rows), std::move(taken.raw)});
  if (auto fault = context_.faults.on_received(table, records)) end_at_once(*fault);
  return grpc::Status::OK;
}

void Stream::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (!ok) return end({grpc::StatusCode::CANCELLED, "the client is gone"}, true);
  pump();
}

void Stream::OnCancel() {
  const std::lock_guard lock(mutex_);
  end({grpc::StatusCode::CANCELLED, "the client is gone"}, true);
}

void Stream::durable(int64_t offset, size_t bytes) {
  const std::lock_guard lock(mutex_);
  undurable_bytes_ -= bytes;
  if (store_failed_) return;  // something before it is missing
  durable_ = offset;
  acks_.durable(offset, read_clock().mono);
  read_more();
  pump();
}

void Stream::store_failed(const Error& error) {
  context_.log.error("{}", error.what);
  const std::lock_guard lock(mutex_);
  store_failed_ = true;
  end({grpc::StatusCode::UNAVAILABLE, "the local server could not store: " + error.what}, false);
}

void Stream::end(const grpc::Status& status, bool at_once) {
  if (!end_) end_ = status;
  if (at_once && !at_once_) {
    at_once_ = true;
    end_ = status;
  }
  pump();
}

void Stream::read_more() {
  if (reading_ || end_ || undurable_bytes_ >= kMaxUndurableBytes) return;
  // An open stream: a client that is not even answered is another fault (freeze).
  if (!info_.id.empty() && context_.faults.unread(info_.table)) return;
  reading_ = true;
  StartRead(&read_buffer_);
}

// Writes what is due, or ends the stream when nothing is left to wait for.
void Stream::pump() {
  if (writing_ || finished_) return;
  if (!at_once_) {
    if (context_.faults.frozen(info_.table)) return;
    if (!std::exchange(headers_sent_, true)) StartSendInitialMetadata();
    if (write_next()) return;
    const bool stored = store_failed_ || durable_ == submitted_;
    if (!stored || (!acks_.idle() && !context_.faults.rules(context_.acks).hold)) return;
  }
  if (!end_) return;
  finished_ = true;
  Finish(*end_);
}

bool Stream::write_next() {
  if (!control_.empty()) {
    write(control_.front());
    control_.pop_front();
    return true;
  }
  const auto rules = context_.faults.rules(context_.acks);
  const bool stored = store_failed_ || durable_ == submitted_;
  const auto ack = acks_.take_due(read_clock().mono, rules, end_ && stored);
  if (!ack) {
    arm_timer(rules);
    return false;
  }
  info_.acked = *ack + 1;
  zb::EphemeralStreamResponse response;
  response.mutable_ingest_record_response()->set_durability_ack_up_to_offset(*ack);
  context_.store.note_ack(
      {std::make_shared<const std::string>(info_.id), *ack, read_clock().wall_us});
  write(response.SerializeAsString());
  return true;
}

void Stream::write(const std::string& message) {
  const grpc::Slice slice(message);
  grpc::ByteBuffer buffer(&slice, 1);
  write_buffer_.Swap(&buffer);
  writing_ = true;
  StartWrite(&write_buffer_);
}

void Stream::arm_timer(const AckRules& rules) {
  const auto next = acks_.next(rules);
  if (!next || (armed_ && *armed_ <= *next)) return;
  armed_ = *next;
  context_.timers.at(*next, [weak = weak_from_this()] {
    const auto stream = weak.lock();
    if (!stream) return;
    const std::lock_guard lock(stream->mutex_);
    stream->armed_.reset();
    stream->pump();
  });
}

RawReactor* start_stream(StreamContext& context, std::string header_table) {
  const auto stream = std::make_shared<Stream>(context, std::move(header_table));
  stream->start();
  return stream.get();
}

RawReactor* refuse_stream(const grpc::Status& status) { return new Refusal(status); }

}  // namespace penstock::local
