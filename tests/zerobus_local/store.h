// Durable storage behind all streams: one writer thread, one commit for whatever has arrived since
// the last one.
//
// A Backend knows a file format; the GroupCommitter owns the thread, the queue and the pace.
// Streams hand in requests and hear back, on the writer thread, only after the commit that holds
// them has been synced.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "tests/zerobus_local/rows.h"
#include "tests/zerobus_local/schema.h"

namespace penstock::local {

// A stream, as the store sees it. Called on the writer thread, never under a lock of the store.
class DurabilityListener {
 public:
  virtual ~DurabilityListener() = default;
  // Every request of this stream up to `offset` is durable; `bytes` of them since the last call.
  virtual void durable(int64_t offset, size_t bytes) = 0;
  // Something of this stream could not be stored: nothing after the last durable() may be
  // acknowledged.
  virtual void store_failed(const Error& error) = 0;
};

// One request: rows that are stored together or not at all.
struct Write {
  std::shared_ptr<DurabilityListener> from;
  TablePtr table;
  std::shared_ptr<const std::string> stream_id;
  int64_t offset = 0;
  int64_t arrived_us = 0;  // wall clock
  size_t bytes = 0;        // size of the request, for limits
  Rows rows;               // cells are empty for a backend that wants raw records
  std::string raw;  // the records, each as 0x0A varint(length) bytes; only for such a backend
};

// An acknowledgement that has been sent, for those who measure; kept with the next commit.
struct AckNote {
  std::shared_ptr<const std::string> stream_id;
  int64_t up_to = 0;
  int64_t at_us = 0;  // wall clock
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual bool wants_raw() const = 0;
  // Makes room for the table as it is now, or opens what an earlier run left. Returns the rows it
  // holds. Writes for an older form of the table may still follow.
  virtual Result<int64_t> open_table(const TablePtr& table) = 0;
  // All of `writes` durable (synced), or none. Tables have been opened.
  virtual Result<void> commit(std::span<const Write> writes, std::span<const AckNote> acks) = 0;
};

// DIR/lakehouse.db, one SQL table per Delta table; see README.md. kDenied when the file cannot be
// opened.
Result<std::unique_ptr<Backend>> open_sqlite_backend(const std::string& dir);
// DIR/TABLE.rows, raw records appended and synced; for benches.
Result<std::unique_ptr<Backend>> open_bitmap_backend(const std::string& dir);

class GroupCommitter {
 public:
  // Commits start at least `pace` apart unless much is waiting. `tables` are open when the
  // constructor returns.
  GroupCommitter(std::unique_ptr<Backend> backend, Millis pace, std::vector<TablePtr> tables);
  ~GroupCommitter();

  // Any thread, never blocks on I/O. submit() may only follow open_table() of the same table.
  void open_table(TablePtr table);
  void submit(Write write);
  // Any thread. Stored with the next commit, so the last ones are missing until stop().
  void note_ack(AckNote ack);
  bool wants_raw() const { return backend_->wants_raw(); }

  // Durable rows per opened table, those of earlier runs included.
  std::map<std::string, int64_t> rows() const;

  // Commits what is queued and ends the thread. Nothing may be submitted afterwards.
  void stop();

 private:
  void loop();
  void open_waiting(std::vector<TablePtr> tables);
  void commit(std::vector<Write>& group, const std::vector<AckNote>& acks);

  const std::unique_ptr<Backend> backend_;  // writer thread only
  const Millis pace_;
  std::map<std::string, Error> unusable_;  // tables that could not be opened; writer thread only
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<TablePtr> to_open_;
  std::vector<Write> queue_;
  std::vector<AckNote> acks_;
  size_t queued_bytes_ = 0;
  std::map<std::string, int64_t> rows_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace penstock::local
