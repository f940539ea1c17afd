#include "agent/lane/batch_builder.h"

#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "agent/spool/imported_lane.h"
#include "agent/spool/replayed_record.h"
#include "agent/zerobus/wire.h"

namespace penstock::lane {

BatchBuilder::BatchBuilder(codec::RowEncoder encoder, BatchLimits limits, spool::Origin current,
                           uint32_t lane, Refused refused, bool replays,
                           std::shared_ptr<zerobus::BodyBuffers> buffers)
    : encoder_(std::move(encoder)),
      limits_(limits),
      current_(std::move(current)),
      lane_(lane),
      refused_(std::move(refused)),
      replays_(replays),
      buffers_(std::move(buffers)),
      max_bytes_(limits.max_bytes) {}

void BatchBuilder::begin(size_t max_bytes) {
  max_bytes_ = std::min({max_bytes, limits_.max_bytes, zerobus::kMaxBodyBytes});
  full_ = false;
  info_ = {};
  body_.clear();
}

// A record goes out under the name it was numbered with, also after the spool has got another.
void BatchBuilder::use(const spool::Origin* origin) {
  const spool::Origin& wanted = origin != nullptr ? *origin : current_;
  if (wanted.epoch == epoch_ && !origin_.empty()) return;
  epoch_ = wanted.epoch;
  origin_ = fmt::format("{}/{}", wanted.prefix, lane_);
}

Result<size_t> BatchBuilder::encode(const StoredRecord& stored) {
  auto record = decode_record(stored.body, attributes_);
  if (!record) return std::move(record).error();
  if (!replays_) {
    use(stored.origin);
    return encoder_.encode(*record, {origin_, epoch_, stored.seq, lane_}, body_);
  }
  const auto name = spool::take_name(*record, attributes_);
  const auto parts = name ? spool::parse_origin(name->origin) : std::nullopt;
  if (!parts) return Error{ErrorKind::kCorrupt, "its name is lost: origin and number", {}};
  return encoder_.encode(*record, {parts->origin, parts->epoch, name->seq, parts->lane}, body_);
}

BatchBuilder::Added BatchBuilder::add(const StoredRecord& stored, MonoTime now) {
  const size_t before = body_.size();
  // Busy lanes make one batch like the other: no growing in steps.
  if (before == 0 && body_.capacity() <= std::string().capacity())
    body_ = buffers_->take(last_bytes_);
  const auto rows = encode(stored);
  if (!rows) {
    hopeless_ = rows.error().kind == ErrorKind::kCorrupt || encoder_.payload_unreadable();
    body_.resize(before);
    refused_(stored.seq, rows.error().what);
    return Added::kRefused;
  }
  if (!empty() && body_.size() > max_bytes_) {
    body_.resize(before);
    full_ = true;
    return Added::kNoRoom;
  }
  if (empty()) {
    info_.first_seq = stored.seq;
    first_added_ = now;
  }
  info_.last_seq = stored.seq;
  info_.rows += static_cast<uint32_t>(*rows);
  return Added::kTaken;
}

Batch BatchBuilder::take() {
  info_.bytes = body_.size();
  last_bytes_ = body_.size() + body_.size() / 8;  // also for the record that had no room
  Batch batch{info_, buffers_->share(std::exchange(body_, {}))};
  begin(max_bytes_);
  return batch;
}

}  // namespace penstock::lane
