// The UDP input: one socket, one thread, records in batches.
//
// Public functions are called by the host, one at a time (stats() also meanwhile); all state after
// `batch_` belongs to the thread. quiesce() and stop() return when what they promise is done, which
// takes no longer than a few emits.
//
// Back-pressure: UDP has no way to hold its source. While the host has no room the batch it refused
// is kept and the socket is not read; the kernel's buffer fills, and what it then drops is counted
// exactly (kernel_drops).
//
// With ack_bytes a datagram is answered once its records are safe, and not before; a sender that
// repeats what is not answered loses nothing, and may be recorded twice. Too many unanswered ones
// stop the reading.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "plugins/sdk/penstock_plugin.hpp"
#include "plugins/udp/ack_queue.h"
#include "plugins/udp/counters.h"
#include "plugins/udp/datagram_batch.h"
#include "plugins/udp/drop_meter.h"
#include "plugins/udp/membership.h"
#include "plugins/udp/record_builder.h"
#include "plugins/udp/settings.h"
#include "plugins/udp/socket.h"
#include "plugins/udp/wakeup.h"

namespace penstock::udp {

class UdpInput final : public sdk::Input {
 public:
  // Throws std::invalid_argument with the key, what is wrong and what to write. Binds nothing yet.
  UdpInput(sdk::Host host, const sdk::Options& options);
  UdpInput(sdk::Host host, UdpSettings settings);
  ~UdpInput() override;

  void start() override;
  void on_durable(uint64_t up_to) override;
  void on_room() override;
  // On return nothing more is read, and what the kernel held was offered to the host.
  void quiesce() override;
  void stop() override;
  std::vector<sdk::Stat> stats() const override;

 private:
  void end_thread();

  void run();
  void step();
  void bind();
  int receive_batch();
  void receive();
  void gather(size_t count);
  void deliver();
  void finish_reading();
  void answer();
  void tend_groups();
  void join_groups();
  void report_up();
  void close_socket();
  bool pending() const { return delivered_ < builder_.records().size(); }
  // Until woken, and if `for_datagrams` until one can be read; at most `timeout_ms`, -1: for ever.
  // Also until there is something to do for the groups.
  void wait(int timeout_ms, bool for_datagrams);

  sdk::Host host_;
  const UdpSettings settings_;
  Counters counters_;
  Wakeup wakeup_;
  std::atomic<bool> room_{false};
  std::atomic<uint64_t> durable_{0};
  std::atomic<bool> quiescing_{false};
  std::atomic<bool> stopping_{false};
  std::promise<void> quiesced_;
  mutable std::mutex
      socket_mutex_;  // the thread changes socket_ under it, others look at it under it
  std::unique_ptr<Socket> socket_;
  mutable DropMeter drops_;  // under socket_mutex_

  AckQueue acks_;
  Membership membership_;
  std::optional<LinkWatch> links_;                     // where there are groups
  std::chrono::steady_clock::time_point next_look_{};  // at the links
  std::chrono::steady_clock::time_point next_join_{};  // when groups are missing, or blindly
  bool blind_ = false;                                 // links cannot be watched
  std::chrono::steady_clock::time_point received_at_{};
  int gather_ms_ = 0;
  bool gathering_ = false;  // datagrams come so thick that they are let gather
  DatagramBatch batch_;
  RecordBuilder builder_;
  size_t delivered_ = 0;  // records of the builder the host has taken
  size_t answered_ = 0;   // answers of the builder that are in acks_
  bool stalled_ = false;  // the host answered FULL; wait for on_room
  bool closed_ = false;   // the host answered CLOSED
  bool ended_ = false;    // quiesced
  std::string down_;      // reported as the reason for DOWN

  std::thread thread_;
};

}  // namespace penstock::udp
