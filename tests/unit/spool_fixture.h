// What the spool's tests share: a directory on a real filesystem, a listener that remembers, a
// feeder that numbers.
#pragma once

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "agent/base/record.h"
#include "agent/base/varint.h"
#include "agent/spool/spool.h"
#include "tests/support/paths.h"
#include "tests/support/wait.h"

namespace penstock::spool::testing {

inline constexpr std::chrono::seconds kPatience{
    60};  // for things that happen, on however loaded a machine

// True as soon as `condition` holds; false after kPatience.
template <class Condition>
bool eventually(Condition condition) {
  return test::wait_until(condition, kPatience, Millis(2));
}

// Every record of the lane has exactly one fate, or none yet.
inline void expect_balanced(const LaneState& s) {
  EXPECT_EQ(s.next_seq - 1,
            s.delivered() + s.quarantined + s.discarded + s.dropped() + s.damaged + s.pending());
}

// The spool's clock, moved by hand. Thread-safe: the spool thread reads it.
class HandClock {
 public:
  static constexpr int64_t kSecondUs = 1'000'000;

  std::function<ClockReading()> reader() {
    return [this] { return now(); };
  }
  ClockReading now() const {
    const std::lock_guard lock(mutex_);
    return reading_;
  }
  void pass(int64_t seconds) {
    const std::lock_guard lock(mutex_);
    reading_.boot_us += seconds * kSecondUs;
    reading_.wall_us += seconds * kSecondUs;
  }
  void change(const std::function<void(ClockReading&)>& edit) {
    const std::lock_guard lock(mutex_);
    edit(reading_);
  }

 private:
  mutable std::mutex mutex_;
  ClockReading reading_{"boot-a", 1'000 * kSecondUs, 1'800'000'000 * kSecondUs, true};
};

class TempDir {
 public:
  TempDir() {
    const std::filesystem::path base = std::filesystem::path(test::build_dir()) / "spool_test_tmp";
    std::filesystem::create_directories(base);
    std::string name = (base / "XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline Options options_in(const std::filesystem::path& dir) {
  Options options;
  options.dir = dir;
  options.agent_id = "gw-test";
  options.max_size_bytes = 64 << 20;
  options.allow_volatile = true;
  options.other_lanes.max_share_percent = 100;  // one lane may fill it all
  // So little that every test works with parts of the index only.
  options.index_unwritten = 16;
  options.index_entries = 32;
  return options;
}

class Watcher : public Listener {
 public:
  std::function<void(SourceId, uint64_t)> durable_hook;  // runs first, on the spool thread

  void on_durable(SourceId source, uint64_t up_to) override {
    if (durable_hook) durable_hook(source, up_to);
    const std::lock_guard lock(mutex_);
    if (up_to <= durable_[source]) ++went_back_;
    durable_[source] = up_to;
    changed_.notify_all();
  }
  void on_committed(LaneId lane, Seq up_to) override {
    const std::lock_guard lock(mutex_);
    committed_[lane] = up_to;
    changed_.notify_all();
  }
  void on_room() override {
    const std::lock_guard lock(mutex_);
    ++rooms_;
    changed_.notify_all();
  }
  void on_fault(const Error& error) override {
    const std::lock_guard lock(mutex_);
    faults_.push_back(error);
    changed_.notify_all();
  }

  // False when `condition`, evaluated under the lock, did not come true in time.
  bool wait(const std::function<bool(Watcher&)>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return condition(*this); });
  }
  bool wait_durable(SourceId source, uint64_t up_to) {
    return wait([=](Watcher& w) { return w.durable_[source] >= up_to; });
  }
  uint64_t durable(SourceId source) {
    const std::lock_guard lock(mutex_);
    return durable_[source];
  }
  int rooms() {
    const std::lock_guard lock(mutex_);
    return rooms_;
  }
  std::vector<Error> faults() {
    const std::lock_guard lock(mutex_);
    return faults_;
  }
  int went_back() {
    const std::lock_guard lock(mutex_);
    return went_back_;
  }
  // For wait(): no lock of their own.
  std::map<SourceId, uint64_t> durable_;
  std::map<LaneId, Seq> committed_;
  int rooms_ = 0;
  std::vector<Error> faults_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int went_back_ = 0;
};

// Numbers records as intake does. Bodies name their lane and seq, so that a mix-up shows.
class Feeder {
 public:
  explicit Feeder(Spool& spool, SourceId source = 1) : spool_(spool), source_(source) {}

  static std::string body(LaneId lane, Seq seq, size_t size) {
    std::string text = "lane " + std::to_string(lane) + " seq " + std::to_string(seq) + " ";
    uint64_t noise = seq * 0x9E3779B97F4A7C15U + lane;  // so that it does not compress away
    while (text.size() < size) {
      noise ^= noise << 13;
      noise ^= noise >> 7;
      noise ^= noise << 17;
      text.push_back(static_cast<char>(noise >> 32));
    }
    return text;
  }
  Pending next(LaneId lane, size_t size = 50, std::string refusal = {}) {
    auto& seq = seqs_.try_emplace(lane, spool_.state(lane).next_seq).first->second;
    Pending record;
    record.lane = lane;
    record.seq = seq++;
    record.source = source_;
    record.source_seq = ++source_seq_;
    record.commit_within = within;
    record.body = body(lane, record.seq, size);
    record.refusal = std::move(refusal);
    return record;
  }
  std::vector<Pending> take(LaneId lane, int count, size_t size = 50) {
    std::vector<Pending> records;
    for (int i = 0; i < count; ++i) records.push_back(next(lane, size));
    return records;
  }
  // Enqueues `count` records of `lane`; expects them to be taken.
  void put(LaneId lane, int count, size_t size = 50) {
    ASSERT_EQ(spool_.enqueue(take(lane, count, size)), Enqueue::kTaken);
  }
  void refuse(LaneId lane, const std::string& reason, size_t size = 50) {
    std::vector<Pending> records;
    records.push_back(next(lane, size, reason));
    ASSERT_EQ(spool_.enqueue(std::move(records)), Enqueue::kTaken);
  }
  // Takes back numbers that enqueue did not take.
  void undo(LaneId lane, int count) {
    seqs_[lane] -= static_cast<Seq>(count);
    source_seq_ -= static_cast<uint64_t>(count);
  }
  uint64_t source_seq() const { return source_seq_; }
  Millis within{5};

 private:
  Spool& spool_;
  SourceId source_;
  uint64_t source_seq_ = 0;
  std::map<LaneId, Seq> seqs_;
};

inline std::unique_ptr<Spool> open_or_die(const Options& options) {
  auto spool = Spool::open(options, Log::none());
  if (!spool) {
    ADD_FAILURE() << spool.error().what;
    std::abort();
  }
  return std::move(*spool);
}

inline Result<SegmentPtr> read_now(Spool& spool, LaneId lane, Seq from) {
  std::promise<Result<SegmentPtr>> promise;
  auto future = promise.get_future();
  spool.read(lane, from,
             [&promise](Result<SegmentPtr> result) { promise.set_value(std::move(result)); });
  return future.get();
}

inline std::vector<std::string> bodies_of(const Segment& segment) {
  std::vector<std::string> bodies;
  std::string_view run = segment.run();
  while (auto body = take_bytes(run)) bodies.emplace_back(*body);
  EXPECT_EQ(bodies.size(), segment.count());
  return bodies;
}

// A spool in a directory of its own, opened and closed as often as a test wants. A fixture with
// members of its own that the spool uses, or a VFS, closes it in its destructor: spool_.reset().
class SpoolFixture : public ::testing::Test {
 protected:
  // With a new listener and a new feeder.
  void open() {
    spool_ = open_or_die(options_);
    watcher_ = std::make_unique<Watcher>();
    feeder_ = std::make_unique<Feeder>(*spool_);
    spool_->start(*watcher_);
  }
  void close() {
    spool_->stop();
    spool_.reset();
  }
  void reopen() {
    close();
    open();
  }
  // Is there a file of that name?
  bool has(const std::string& name) const { return std::filesystem::exists(options_.dir / name); }
  // The spool's thread waits: it has done all that was due.
  bool at_rest() {
    return eventually([this] { return !spool_->busy_since(); });
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  HandClock clock_;  // where the options name it
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<Feeder> feeder_;
};

// A small spool whose clock is moved by hand and that reads all from its files.
class LimitedSpool : public SpoolFixture {
 protected:
  LimitedSpool() {
    options_.max_size_bytes = 16 << 20;
    options_.tail_bytes = 0;
    options_.clock = clock_.reader();
  }
};

// All records of `lane` from `from` on, by seq. Fails the test on any read error.
inline std::map<Seq, std::string> read_all(Spool& spool, LaneId lane, Seq from = 1) {
  std::map<Seq, std::string> all;
  for (;;) {
    auto segment = read_now(spool, lane, from);
    if (!segment) {
      ADD_FAILURE() << segment.error().what;
      return all;
    }
    if (*segment == nullptr) return all;
    Seq seq = (*segment)->first();
    for (auto& body : bodies_of(**segment)) all[seq++] = std::move(body);
    from = (*segment)->last() + 1;
  }
}

// Rows of `sql` as text, columns joined by '|', read by a plain connection, whatever VFS the spool
// is tested with.
inline std::vector<std::string> query(const std::filesystem::path& file, const std::string& sql) {
  std::vector<std::string> rows;
  sqlite3* db = nullptr;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  EXPECT_EQ(sqlite3_open_v2(file.c_str(), &db, kFlags, "unix"), SQLITE_OK);
  const auto take = [](void* out, int count, char** values, char**) {
    std::string row;
    for (int i = 0; i < count; ++i)
      row += (i > 0 ? "|" : "") + std::string(values[i] != nullptr ? values[i] : "");
    static_cast<std::vector<std::string>*>(out)->push_back(row);
    return 0;
  };
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), take, &rows, &error), SQLITE_OK)
      << sql << ": " << (error ? error : "");
  sqlite3_free(error);
  sqlite3_close(db);
  return rows;
}

inline void copy_database(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::create_directories(to);
  for (const char* name : {"1.db", "1.db-wal"}) {
    std::filesystem::remove(to / name);
    if (std::filesystem::exists(from / name)) std::filesystem::copy_file(from / name, to / name);
  }
}

// From PENSTOCK_TEST_SEED, else random; printed so that a failure can be repeated.
inline uint64_t test_seed() {
  const char* given = std::getenv("PENSTOCK_TEST_SEED");
  const uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::printf("PENSTOCK_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace penstock::spool::testing
