// A spool file beyond 2 GiB and 4 GiB, where signed and unsigned 32-bit offsets end: what is
// written there is read back by the spool and by the reader without SQLite. The files are sparse,
// so that they take neither time nor room.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/spool_offline_fixture.h"

namespace penstock::spool::testing {
namespace {

static_assert(sizeof(off_t) == 8, "a 32-bit build without _FILE_OFFSET_BITS=64");
static_assert(sizeof(ino_t) == 8, "a 32-bit build without _FILE_OFFSET_BITS=64");

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr int kBefore = 20;
constexpr int kBehind = 40;
constexpr size_t kRecordBytes = 20'000;

struct stat status_of(const std::filesystem::path& file) {
  struct stat info {};
  EXPECT_EQ(stat(file.c_str(), &info), 0) << strerror(errno);
  return info;
}

// Of a closed spool: what the log still holds is in the database then, and is read from there.
void remove_log(const std::filesystem::path& file) { query(file, "PRAGMA journal_mode=DELETE"); }

// Makes the database of a closed spool `bytes` long. Its header is told so: SQLite then takes the
// pages in between as used, and its next ones from behind them.
void lengthen(const std::filesystem::path& file, uint64_t bytes) {
  remove_log(file);  // it would write the old header again
  const auto pages = static_cast<uint32_t>(bytes / kPage);
  const unsigned char header[] = {
      static_cast<unsigned char>(pages >> 24), static_cast<unsigned char>(pages >> 16),
      static_cast<unsigned char>(pages >> 8), static_cast<unsigned char>(pages)};
  constexpr off_t kPagesInHeader = 28;
  const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0) << strerror(errno);
  EXPECT_EQ(ftruncate(fd, static_cast<off_t>(bytes)), 0) << strerror(errno);
  EXPECT_EQ(pwrite(fd, header, sizeof header, kPagesInHeader), 4);
  close(fd);
}

class SpoolLargeFile : public ::testing::TestWithParam<uint64_t> {
 protected:
  void put(int count) {
    Watcher watcher;
    const auto spool = open_or_die(options_);
    spool->start(watcher);
    Feeder feeder(*spool);
    feeder.put(spool->lane({"r", "t"}), count, kRecordBytes);
    ASSERT_TRUE(spool->flush());
    EXPECT_TRUE(watcher.faults().empty());
    EXPECT_EQ(spool->counters().rolls, 0U);
    spool->stop();
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path());
  std::filesystem::path file_ = dir_.path() / "1.db";
};

TEST_P(SpoolLargeFile, WhatIsWrittenBehindIsReadBack) {
  const uint64_t end = GetParam();
  options_.max_size_bytes = 8 * kGiB;
  put(kBefore);
  lengthen(file_, end);
  put(kBehind);
  remove_log(file_);
  const auto info = status_of(file_);
  EXPECT_GT(static_cast<uint64_t>(info.st_size), end + kBehind * kRecordBytes);
  EXPECT_LT(static_cast<uint64_t>(info.st_blocks) * 512, kGiB) << "not sparse: the test is slow";

  Watcher watcher;
  auto spool = open_or_die(options_);
  spool->start(watcher);
  const LaneId lane = spool->lane({"r", "t"});
  const auto bodies = read_all(*spool, lane);
  ASSERT_EQ(bodies.size(), size_t{kBefore + kBehind});
  for (const auto& [seq, body] : bodies) EXPECT_EQ(body, Feeder::body(lane, seq, kRecordBytes));
  EXPECT_GT(spool->counters().disk_reads, 0U);
  spool.reset();
  EXPECT_EQ(waiting_records(dir_.path()).size(), size_t{kBefore + kBehind}) << "without SQLite";
}

INSTANTIATE_TEST_SUITE_P(Behind, SpoolLargeFile, ::testing::Values(2 * kGiB, 4 * kGiB),
                         [](const auto& value) {
                           return std::to_string(value.param / kGiB) + "GiB";
                         });

}  // namespace
}  // namespace penstock::spool::testing
