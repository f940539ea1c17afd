#include "tests/zerobus_local/stream.h"

#include <deque>
#include <optional>
#include <random>
#include <utility>

#include "zerobus.pb.h"
#include <grpcpp/impl/codegen/proto_utils.h>

#include "tests/zerobus_local/intake.h"

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

class Stream : public RawReactor,
               public StreamFace,
               public DurabilityListener,
               public std::enable_shared_from_this<Stream> {
 public:
  Stream(StreamContext& context, std::string header_table)
      : context_(context),
        header_table_(header_table),
        intake_(
            header_table, [&context](std::string_view name) { return context.catalog.find(name); },
            [&context](const Table& table, std::string_view record) {
              return context.faults.on_record(table.name(), record);
            },
            context.store.wants_raw()) {
    info_.table = std::move(header_table);
  }

  // Clients wait for the response headers before they send anything.
  void start() {
    const std::lock_guard lock(mutex_);
    self_ = shared_from_this();
    if (!context_.registry.add(self_)) {
      end_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down");
      return pump();
    }
    StartSendInitialMetadata();
    read_more();
  }

  // Reactions.
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override {
    std::shared_ptr<Stream> keep;
    {
      const std::lock_guard lock(mutex_);  // whoever was last in here has left
      keep = std::move(self_);
    }
    context_.registry.remove(this);
  }

  // DurabilityListener.
  void durable(int64_t offset, size_t bytes) override;
  void store_failed(const Error& error) override;

  // StreamFace.
  StreamInfo info() const override;
  void fault_changed() override;
  void end_at_once(const grpc::Status& status) override;
  void drain(const grpc::Status& status) override;
  void signal_close(Millis grace) override;

 private:
  grpc::Status take_message();
  grpc::Status open_stream(const zb::EphemeralStreamRequest& request);
  grpc::Status submit(const zb::EphemeralStreamRequest& request, size_t bytes);
  // With mutex_ held:
  void read_more();
  void pump();
  void write(const zb::EphemeralStreamResponse& response);
  void arm_timer(const AckRules& rules);
  void end(const grpc::Status& status, bool at_once);

  StreamContext& context_;
  const std::string header_table_;
  Intake intake_;                                 // reading thread only
  grpc::ByteBuffer read_buffer_;                  // reading thread only
  std::shared_ptr<const std::string> stream_id_;  // reading thread only

  mutable std::mutex mutex_;
  std::shared_ptr<Stream> self_;  // until OnDone
  StreamInfo info_;
  std::deque<zb::EphemeralStreamResponse> control_;  // goes out before acknowledgements
  grpc::ByteBuffer write_buffer_;
  AckSchedule acks_;
  std::optional<MonoTime> armed_;    // the earliest timer that will call pump()
  std::optional<grpc::Status> end_;  // the stream takes nothing more and will end with this
  bool at_once_ = false;             // without waiting for durability and acknowledgements
  bool reading_ = false;
  bool writing_ = false;
  bool finished_ = false;
  bool store_failed_ = false;
  int64_t submitted_ = -1;  // offsets
  int64_t durable_ = -1;
  size_t undurable_bytes_ = 0;
};

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
  if (status.ok()) status = intake_.opened() ? submit(request, bytes) : open_stream(request);
  if (!status.ok()) {
    context_.registry.count_refused(intake_.table() ? intake_.table()->name() : header_table_);
    context_.log.info("stream of {} refused: {} {}", header_table_,
                      status_name(status.error_code()), status.error_message());
  }
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
  control_.push_front(std::move(response));  // before a close signal that came early
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

StreamInfo Stream::info() const {
  const std::lock_guard lock(mutex_);
  StreamInfo info = info_;
  info.ending = end_.has_value();
  return info;
}

void Stream::fault_changed() {
  const std::lock_guard lock(mutex_);
  pump();
}

void Stream::end_at_once(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  end(status, true);
}

void Stream::drain(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  end(status, false);
}

void Stream::signal_close(Millis grace) {
  zb::EphemeralStreamResponse response;
  auto& duration = *response.mutable_close_stream_signal()->mutable_duration();
  duration.set_seconds(grace.count() / 1000);
  duration.set_nanos(static_cast<int32_t>(grace.count() % 1000 * 1'000'000));
  const std::lock_guard lock(mutex_);
  if (end_) return;
  control_.push_back(std::move(response));
  context_.timers.at(read_clock().mono + grace, [weak = weak_from_this()] {
    if (const auto stream = weak.lock()) stream->drain(grpc::Status::OK);
  });
  if (!info_.id.empty()) pump();
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
  reading_ = true;
  StartRead(&read_buffer_);
}

// Writes the next response that is due, or ends the stream when nothing is left to wait for.
void Stream::pump() {
  if (writing_ || finished_) return;
  if (!at_once_) {
    if (!control_.empty()) {
      write(control_.front());
      return control_.pop_front();
    }
    const auto rules = context_.faults.rules(context_.acks);
    const bool stored = store_failed_ || durable_ == submitted_;
    if (const auto ack = acks_.take_due(read_clock().mono, rules, end_ && stored)) {
      info_.acked = *ack + 1;
      zb::EphemeralStreamResponse response;
      response.mutable_ingest_record_response()->set_durability_ack_up_to_offset(*ack);
      context_.store.note_ack(
          {std::make_shared<const std::string>(info_.id), *ack, read_clock().wall_us});
      return write(response);
    }
    arm_timer(rules);
    if (!stored || (!acks_.idle() && !rules.hold)) return;
  }
  if (!end_) return;
  finished_ = true;
  Finish(*end_);
}

void Stream::write(const zb::EphemeralStreamResponse& response) {
  bool own = false;
  write_buffer_.Clear();  // the serializer wants an empty one
  (void)grpc::SerializationTraits<zb::EphemeralStreamResponse>::Serialize(response, &write_buffer_,
                                                                          &own);
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

}  // namespace

RawReactor* start_stream(StreamContext& context, std::string header_table) {
  const auto stream = std::make_shared<Stream>(context, std::move(header_table));
  stream->start();
  return stream.get();
}

RawReactor* refuse_stream(const grpc::Status& status) { return new Refusal(status); }

}  // namespace penstock::local
