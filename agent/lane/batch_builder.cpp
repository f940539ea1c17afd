#include "agent/lane/batch_builder.h"

#include <utility>

#include <spdlog/fmt/fmt.h>

namespace penstock::lane {

BatchBuilder::BatchBuilder(codec::RowEncoder encoder, BatchLimits limits, spool::Origin current,
                           uint32_t lane, Refused refused)
    : encoder_(std::move(encoder)),
      limits_(limits),
      current_(std::move(current)),
      lane_(lane),
      refused_(std::move(refused)),
      max_bytes_(limits.max_bytes) {}

void BatchBuilder::begin(size_t max_bytes) {
  max_bytes_ = std::min(max_bytes, limits_.max_bytes);
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

BatchBuilder::Added BatchBuilder::add(const StoredRecord& stored, MonoTime now) {
  const size_t before = body_.size();
  auto record = decode_record(stored.body, attributes_);
  if (!record) {
    refused_(stored.seq, record.error().what);
    return Added::kRefused;
  }
  use(stored.origin);
  auto rows = encoder_.encode(*record, {origin_, epoch_, stored.seq, lane_}, body_);
  if (!rows) {
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
  Batch batch{info_, std::make_shared<const std::string>(std::move(body_))};
  body_ = {};
  begin(max_bytes_);
  return batch;
}

}  // namespace penstock::lane
