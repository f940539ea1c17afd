// What the message callback has done with the messages of a session, told to the gate without a
// lock.
//
// The chain that makes "PUBACK only after the commit" true: the callback gives a message to the
// host and stores here what came of it; then it returns; then Paho writes the PUBACK, on the same
// thread; then the gate reads those bytes; then, and only then, the gate asks for the stamp. So
// whoever has read the n-th PUBACK of a session sees at least what the n-th callback stored. The
// stamp is conservative: the last sequence number of the instance, not the message's own.
//
// Paho acknowledges what its callback was given, one PUBACK for one QoS 1 message, in order. It
// would also acknowledge a message that it queued without calling back (out of memory, or not
// "connected" any more); such a PUBACK has a number greater than the messages received, and is
// never released.
//
// Writers: Paho's thread, one client at a time. Readers: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "plugins/mqtt/set_aside_mark.h"

namespace penstock::mqtt {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

// Totals of the instance, over all its sessions.
class EmitTotals {
 public:
  // The host took records up to `seq`, `bytes` of payload, topic and attributes. `assigned` never
  // goes back.
  void accept(uint64_t seq, uint64_t bytes) {
    if (seq > assigned_.load(std::memory_order_relaxed)) {
      assigned_.store(seq, std::memory_order_release);
    }
    bytes_.fetch_add(bytes, std::memory_order_release);
  }
  uint64_t assigned() const { return assigned_.load(std::memory_order_acquire); }
  // Read before assigned(): then those bytes belong to records up to it.
  uint64_t bytes() const { return bytes_.load(std::memory_order_acquire); }

 private:
  std::atomic<uint64_t> assigned_{0};
  std::atomic<uint64_t> bytes_{0};
};

// One session: one connection of one Paho client.
class SessionLedger {
 public:
  explicit SessionLedger(const EmitTotals& totals) : totals_(totals) {}
  SessionLedger(const SessionLedger&) = delete;
  SessionLedger& operator=(const SessionLedger&) = delete;

  const SetAsideMark& mark() const { return mark_; }

  // A QoS 1 message entered the callback.
  void received() { received_.fetch_add(1, std::memory_order_release); }
  // The message received last was refused: neither its PUBACK nor any later one of this session may
  // go out. To be called before the callback returns.
  void refuse() {
    if (!refused()) {
      refused_from_.store(received_.load(std::memory_order_relaxed), std::memory_order_release);
    }
  }
  // The same for a message whose acknowledgement has no number here (QoS 2, which is never asked
  // for): with it, everything read from now on.
  void refuse_all() { refused_from_.store(0, std::memory_order_release); }
  bool refused() const { return refused_from_.load(std::memory_order_acquire) != kNever; }

  // The gate, after it has read the bytes: what the durable watermark must reach before this goes
  // out. `number` counts the PUBACKs of the session from 1.
  uint64_t stamp_of_puback(uint64_t number) const {
    const bool accepted = number <= received_.load(std::memory_order_acquire) &&
                          number < refused_from_.load(std::memory_order_acquire);
    return accepted ? totals_.assigned() : kNever;
  }
  uint64_t stamp_of_other() const { return refused() ? kNever : totals_.assigned(); }
  // Paho acknowledged a message that the callback has not seen.
  bool unseen(uint64_t number) const { return number > received_.load(std::memory_order_acquire); }

 private:
  const EmitTotals& totals_;
  const SetAsideMark mark_;
  std::atomic<uint64_t> received_{0};
  std::atomic<uint64_t> refused_from_{kNever};  // number of the first refused message
};

}  // namespace penstock::mqtt
