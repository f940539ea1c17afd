// What a stream does from outside: faults, signals and ends that were ordered.
#include "tests/zerobus_local/stream_reactor.h"

namespace penstock::local {

StreamInfo Stream::info() const {
  const std::lock_guard lock(mutex_);
  StreamInfo info = info_;
  info.ending = end_.has_value();
  return info;
}

void Stream::fault_changed() {
  const std::lock_guard lock(mutex_);
  arm_rotation();
  read_more();
  pump();
}

void Stream::say(std::string bytes) {
  const std::lock_guard lock(mutex_);
  if (end_) return;
  control_.push_back(std::move(bytes));
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
  const std::lock_guard lock(mutex_);
  signal(grace);
}

void Stream::signal(Millis grace) {
  databricks::zerobus::EphemeralStreamResponse response;
  auto& duration = *response.mutable_close_stream_signal()->mutable_duration();
  duration.set_seconds(grace.count() / 1000);
  duration.set_nanos(static_cast<int32_t>(grace.count() % 1000 * 1'000'000));
  if (end_) return;
  control_.push_back(response.SerializeAsString());
  context_.timers.at(read_clock().mono + grace, [weak = weak_from_this()] {
    if (const auto stream = weak.lock()) stream->drain(grpc::Status::OK);
  });
  if (!info_.id.empty()) pump();
}

void Stream::arm_rotation() {
  const Rotation rotation = context_.faults.rotation(info_.table);
  if (rotation.every <= Millis(0) || info_.id.empty() || rotated_) return;
  context_.timers.at(opened_ + rotation.every, [weak = weak_from_this()] {
    const auto stream = weak.lock();
    if (!stream) return;
    const std::lock_guard lock(stream->mutex_);
    stream->rotate_if_due();
  });
}

// The rotation may have been changed since the timer was set.
void Stream::rotate_if_due() {
  const Rotation rotation = context_.faults.rotation(info_.table);
  if (rotated_ || rotation.every <= Millis(0)) return;
  if (read_clock().mono < opened_ + rotation.every) return;
  rotated_ = true;
  if (!rotation.hard) return signal(rotation.grace);
  end({grpc::StatusCode::UNAVAILABLE, "Stream timeout reached after " +
                                          std::to_string(rotation.every.count()) +
                                          " ms. Error Code: 6002, Error State: 0."},
      true);
}

}  // namespace penstock::local
