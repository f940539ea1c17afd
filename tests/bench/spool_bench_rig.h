// What the spool's measurements share: records, a running spool with its feeders, and a forwarder
// that reads and acknowledges as a lane would.
//
// A record is 200 or 1,024 bytes of JSON telemetry with a topic of 30 bytes, in the form the spool
// stores it in, with all its metadata. "Payload" is the JSON alone.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <time.h>

#include "agent/spool/spool.h"

namespace penstock::bench {

// `count` different records of `payload_bytes` of JSON, the same at every call.
std::vector<std::string> make_bodies(size_t payload_bytes, size_t count);

// Pages in the fullest WAL of the spool in `dir`, of its present round.
int wal_pages(const std::filesystem::path& dir);

struct RigOptions {
  std::filesystem::path dir;
  int lanes = 4;
  std::vector<std::string> tables;              // instead: one lane each
  Millis commit_within{50};                     // the shipped default
  bool forward = true;                          // else nothing is read or acknowledged
  Millis round_trip{50};                        // from reading to acknowledgement
  uint64_t max_size_bytes = uint64_t{2} << 30;  // the shipped default
};

// One spool at work. put() from any thread; the rest from one. Throws std::runtime_error when the
// spool cannot be opened.
class Rig final : private spool::Listener {
 public:
  explicit Rig(const RigOptions& options);
  ~Rig() override;
  Rig(const Rig&) = delete;

  // Called on the spool thread with the number of the last record that is durable, counted from 1.
  // Set before the first put().
  std::function<void(uint64_t up_to)> durable_hook;

  // Copies the bodies into records, lane by lane in turn; waits while the spool is full. False once
  // closed.
  bool put(const std::string* const* bodies, size_t count);
  void close() { closed_ = true; }
  // All that was put is read, acknowledged and removed. Only with `forward`.
  void drain();
  // Commits until the WAL has just been copied back and begun anew, then drains if that is wanted:
  // what is measured from here on is charged with nothing from before.
  void settle();
  spool::Spool& spool() { return *spool_; }
  const std::vector<spool::LaneId>& lanes() const { return lanes_; }
  double writer_cpu_s() const;  // of the spool thread so far
  uint64_t committed() const { return spool_->counters().committed_records; }

 private:
  struct Outgoing {
    spool::Seq next = 1;
    spool::Seq committed = 0;
    bool reading = false;
  };
  struct Ack {
    MonoTime at;
    size_t lane;
    spool::Seq up_to;
  };
  void on_durable(spool::SourceId source, uint64_t up_to) override;
  void on_committed(spool::LaneId lane, spool::Seq up_to) override;
  void on_room() override;
  void on_fault(const Error& error) override;
  void forward();
  void start_reads(std::unique_lock<std::mutex>& lock);
  void acknowledge_due(std::unique_lock<std::mutex>& lock);

  const RigOptions options_;
  std::unique_ptr<spool::Spool> spool_;
  std::vector<spool::LaneId> lanes_;
  std::atomic<bool> closed_{false};
  std::atomic<clockid_t> writer_clock_{CLOCK_MONOTONIC};
  std::atomic<bool> writer_known_{false};

  std::mutex feed_mutex_;
  std::vector<spool::Seq> next_seq_;
  uint64_t source_seq_ = 0;
  std::mutex room_mutex_;
  std::condition_variable room_changed_;
  bool room_ = true;

  std::mutex forward_mutex_;
  std::condition_variable forward_changed_;
  std::vector<Outgoing> outgoing_;
  std::vector<Ack> acks_;  // by time
  bool ending_ = false;
  std::thread forwarder_;
};

}  // namespace penstock::bench
