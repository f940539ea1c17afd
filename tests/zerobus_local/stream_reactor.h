// Stream: the reactor of one call. Private to stream.cpp and stream_orders.cpp; stream.h is its
// face.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "zerobus.pb.h"

#include "tests/zerobus_local/intake.h"
#include "tests/zerobus_local/stream.h"

namespace penstock::local {

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
    }
    pump();
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
  void say(std::string bytes) override;
  void end_at_once(const grpc::Status& status) override;
  void drain(const grpc::Status& status) override;
  void signal_close(Millis grace) override;

 private:
  grpc::Status take_message();
  grpc::Status note_changes();
  grpc::Status open_stream(const databricks::zerobus::EphemeralStreamRequest& request);
  grpc::Status submit(const databricks::zerobus::EphemeralStreamRequest& request, size_t bytes);
  // With mutex_ held:
  void read_more();
  void pump();
  bool write_next();  // the next response that is due
  void write(const std::string& message);
  void signal(Millis grace);
  void arm_rotation();
  void rotate_if_due();
  void arm_timer(const AckRules& rules);
  void end(const grpc::Status& status, bool at_once);

  StreamContext& context_;
  const std::string header_table_;
  Intake intake_;                                 // reading thread only
  grpc::ByteBuffer read_buffer_;                  // reading thread only
  std::shared_ptr<const std::string> stream_id_;  // reading thread only
  uint64_t catalog_version_ = 0;                  // reading thread only

  mutable std::mutex mutex_;
  std::shared_ptr<Stream> self_;  // until OnDone
  StreamInfo info_;
  std::deque<std::string> control_;  // messages that go out before acknowledgements
  grpc::ByteBuffer write_buffer_;
  AckSchedule acks_;
  std::optional<MonoTime> armed_;    // the earliest timer that will call pump()
  std::optional<grpc::Status> end_;  // the stream takes nothing more and will end with this
  bool at_once_ = false;             // without waiting for durability and acknowledgements
  bool headers_sent_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool finished_ = false;
  bool store_failed_ = false;
  int64_t submitted_ = -1;  // offsets
  int64_t durable_ = -1;
  size_t undurable_bytes_ = 0;
  MonoTime opened_{};
  bool rotated_ = false;
};

}  // namespace penstock::local
