// BatchBuilder: encodes stored records into the body of the next batch until it is full, and names
// what cannot be encoded. No I/O, no clock: one owner (a Lane).
//
// A batch holds whole records in sequence order and never more bytes than asked for, unless its
// first record alone is larger; several never make more than the service takes, and the encoder
// refuses a single row that does. A record that its encoder refuses leaves no bytes behind and
// is reported to the owner, which must give it its fate; it never keeps the records behind it from
// being sent.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/codec/row_encoder.h"
#include "agent/lane/segment_reader.h"
#include "agent/zerobus/ack_window.h"
#include "agent/zerobus/body_buffers.h"

namespace penstock::lane {

struct BatchLimits {
  size_t max_bytes = 256 << 10;
  uint32_t max_rows = 1000;
  Millis max_delay{200};  // after the first record came into the batch
};

struct Batch {
  zerobus::BatchInfo info;
  std::shared_ptr<const std::string> body;
};

class BatchBuilder {
 public:
  using Refused = std::function<void(spool::Seq seq, std::string reason)>;
  enum class Added {
    kTaken,
    kRefused,  // it cannot be encoded; the owner was told
    kNoRoom,   // the batch is full; the record is to be given again to the next one
  };

  // `current` is the origin of records that do not bring their own. `replays`: it is a lane of
  // replayed records, each of which brings its name (spool/replayed_record.h).
  BatchBuilder(codec::RowEncoder encoder, BatchLimits limits, spool::Origin current, uint32_t lane,
               Refused refused, bool replays = false,
               std::shared_ptr<zerobus::BodyBuffers> buffers = zerobus::BodyBuffers::make());

  // From the next batch on. Only between streams: all rows of one have one form.
  void use(codec::RowEncoder encoder) { encoder_ = std::move(encoder); }

  // Starts over; the next batch may have up to `max_bytes`.
  void begin(size_t max_bytes);
  // `now` is looked at for the first record of a batch only.
  Added add(const StoredRecord& record, MonoTime now);

  // Of the record refused last: no other encoder would take it.
  bool hopeless() const { return hopeless_; }

  // Of the rows: a serialized DescriptorProto, or empty for JSON.
  const std::string& descriptor() const { return encoder_.descriptor(); }

  bool empty() const { return info_.rows == 0; }
  bool full() const {
    return full_ || info_.rows >= limits_.max_rows || body_.size() >= max_bytes_;
  }
  // When a batch that is not full should go all the same.
  MonoTime due() const { return first_added_ + limits_.max_delay; }
  // The batch, and an empty builder.
  Batch take();

 private:
  codec::RowEncoder encoder_;
  const BatchLimits limits_;
  void use(const spool::Origin* origin);
  Result<size_t> encode(const StoredRecord& stored);

  const spool::Origin current_;
  std::string origin_;  // of the last record
  std::string epoch_;
  const uint32_t lane_;
  const Refused refused_;
  const bool replays_;
  const std::shared_ptr<zerobus::BodyBuffers> buffers_;

  size_t max_bytes_ = 0;
  bool full_ = false;
  bool hopeless_ = false;
  zerobus::BatchInfo info_;
  std::string body_;
  size_t last_bytes_ = 0;  // what the batch before would have needed room for
  MonoTime first_added_;
  std::vector<AttributeView> attributes_;
};

}  // namespace penstock::lane
