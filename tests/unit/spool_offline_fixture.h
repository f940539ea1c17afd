// What the tests of the offline tools share: spools filled by the real engine, pages destroyed on
// purpose, and what a reader without SQLite makes of them.
#pragma once

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/spool/offline_check.h"
#include "agent/spool/offline_import.h"
#include "agent/spool/offline_repair.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {

inline constexpr size_t kPage = 4096;

// A record as the agent stores it; incompressible from 40 bytes of payload on.
inline std::string record_body(LaneId lane, Seq seq, size_t size) {
  const std::string payload = Feeder::body(lane, seq, size);
  const std::string topic = "plant/" + std::to_string(lane);
  const AttributeView attributes[] = {{"qos", "1"}};
  RecordView record{"plc",
                    topic,
                    payload,
                    attributes,
                    1'700'000'000'000'000 + static_cast<int64_t>(seq),
                    TimeQuality::kSet};
  std::string body;
  encode_record(record, body);
  return body;
}

using Records = std::map<std::pair<LaneId, Seq>, std::string>;

inline Records waiting_records(OfflineSpool& spool) {
  Records records;
  spool.for_each(
      {},
      [&](const OfflineRecord& record) {
        records[{record.lane, record.seq}] = record.body;
        return true;
      },
      [](const auto&, const auto&, const auto&) {});
  return records;
}

inline Records waiting_records(const std::filesystem::path& dir) {
  auto spool = OfflineSpool::open(dir);
  if (!spool) {
    ADD_FAILURE() << spool.error().what;
    return {};
  }
  return waiting_records(*spool);
}

inline std::vector<Finding> fsck(const std::filesystem::path& dir) {
  auto spool = OfflineSpool::open(dir);
  if (!spool) {
    ADD_FAILURE() << spool.error().what;
    return {};
  }
  CheckCounts counts;
  return check_spool(*spool, counts);
}

inline std::string file_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void overwrite(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
}

// Names and contents of everything in a directory.
inline std::map<std::string, std::string> directory_content(const std::filesystem::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    files[entry.path().filename().string()] = file_text(entry.path());
  return files;
}

class OfflineSpoolTest : public ::testing::Test {
 protected:
  std::filesystem::path dir() const { return dir_.path() / "spool"; }
  std::filesystem::path file() const { return dir() / "1.db"; }
  Options options() const {
    Options options = options_in(dir());
    options.max_size_bytes = 32 << 20;
    options.quarantine_bytes = 32 << 20;
    return options;
  }

  void open() {
    watcher_ = std::make_unique<Watcher>();
    spool_ = open_or_die(options());
    spool_->start(*watcher_);
  }
  void close() {
    spool_->stop();
    spool_.reset();
  }
  LaneId lane(const std::string& table) { return spool_->lane({"route", table}); }

  // `count` records of `size` payload bytes, in one commit.
  void put(LaneId id, int count, size_t size, const std::string& refusal = {}) {
    std::vector<Pending> records;
    for (int i = 0; i < count; ++i) {
      auto& next = next_.try_emplace(id, spool_->state(id).next_seq).first->second;
      Pending record;
      record.lane = id;
      record.seq = next++;
      record.source = 1;
      record.source_seq = ++source_seq_;
      record.commit_within = Millis(5);
      record.received_at_us = 1'700'000'000'000'000 + static_cast<int64_t>(record.seq);
      record.body = record_body(id, record.seq, size);
      record.refusal = refusal;
      records.push_back(std::move(record));
    }
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  }
  // Everything out of the log into the database, as after a long quiet time.
  void settle_log() { query(file(), "PRAGMA wal_checkpoint(TRUNCATE)"); }

  // Two lanes, segments small and large, some delivered, some refused. Closed.
  void fill_two_lanes(int segments) {
    open();
    const LaneId small = lane("main.a.small");
    const LaneId large = lane("main.a.large");
    for (int i = 0; i < segments; ++i) {
      put(small, 3, 60);
      put(large, 5, 3000);
    }
    put(small, 1, 60, "no such column");
    put(small, 2, 60);
    spool_->acknowledge(small, 4);
    spool_->acknowledge(large, 10);
    ASSERT_TRUE(spool_->flush());
    close();
  }

  TempDir dir_;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Spool> spool_;
  std::map<LaneId, Seq> next_;
  uint64_t source_seq_ = 0;
};

}  // namespace penstock::spool::testing
