// Reading a spool without SQLite gives what the engine has written, changes nothing, and says what
// is wrong.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/unit/spool_offline_fixture.h"

namespace penstock::spool::testing {
namespace {

class OfflineReader : public OfflineSpoolTest {};

// The same by the engine itself.
Records by_engine(const Options& options) {
  Records records;
  auto spool = open_or_die(options);
  Watcher watcher;
  spool->start(watcher);
  for (const auto& state : spool->lanes()) {
    for (auto& [seq, body] : read_all(*spool, state.id, state.cursor + 1)) {
      if (seq > state.cursor) records[{state.id, seq}] = body;
    }
  }
  spool->stop();
  return records;
}

TEST_F(OfflineReader, SeesWhatTheEngineSeesFromTheLogAndFromTheDatabase) {
  fill_two_lanes(12);
  for (const bool settled : {false, true}) {
    if (settled) settle_log();
    const auto before = directory_content(dir());
    const auto records = waiting_records(dir());
    EXPECT_EQ(directory_content(dir()), before) << "reading must not change anything";
    const auto copy = dir_.path() / (settled ? "copy2" : "copy1");
    copy_database(dir(), copy);
    Options options = this->options();
    options.dir = copy;
    EXPECT_EQ(records, by_engine(options)) << "settled " << settled;
    EXPECT_EQ(records.size(), 34U + 50U);
  }
}

TEST_F(OfflineReader, TheAccountOfEveryLaneCloses) {
  fill_two_lanes(6);
  auto spool = OfflineSpool::open(dir());
  ASSERT_TRUE(spool) << spool.error().what;
  EXPECT_TRUE(spool->findings().empty());
  const OfflineLane& small = *spool->lane(1);
  EXPECT_EQ(small.key, (LaneKey{"route", "main.a.small"}));
  EXPECT_EQ(small.committed(), 21U);
  EXPECT_EQ(small.delivered(), 4U);
  EXPECT_EQ(small.quarantined, 1U);
  EXPECT_EQ(small.pending, 16U);
  EXPECT_EQ(spool->lane(2)->committed(), 30U);
  EXPECT_EQ(spool->lane(2)->delivered(), 10U);
  EXPECT_EQ(spool->lane(2)->pending, 20U);
  CheckCounts counts;
  EXPECT_TRUE(check_spool(*spool, counts).empty());
  EXPECT_EQ(counts.quarantined, 1U);
}

TEST_F(OfflineReader, ARunningAgentIsNamedAndItsSpoolLeftAlone) {
  fill_two_lanes(1);
  const int fd = ::open((dir() / "LOCK").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  const auto refused = OfflineSpool::open(dir());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDenied);
  EXPECT_NE(refused.error().what.find("process " + std::to_string(getpid())), std::string::npos)
      << refused.error().what;
  ::close(fd);
  EXPECT_TRUE(OfflineSpool::open(dir()));
}

TEST_F(OfflineReader, WhatIsNoSpoolIsRefusedWithTheReason) {
  const auto what = [](const std::filesystem::path& path) {
    auto spool = OfflineSpool::open(path);
    return spool ? std::string("opened") : spool.error().what;
  };
  EXPECT_NE(what(dir_.path() / "nothing").find("no such directory"), std::string::npos);
  EXPECT_NE(what(dir_.path()).find("not a spool"), std::string::npos);
  std::filesystem::create_directories(dir());
  query(file(), "CREATE TABLE t(x); INSERT INTO t VALUES(1); PRAGMA application_id=77;");
  EXPECT_NE(what(dir()).find("not a spool"), std::string::npos) << what(dir());
  std::filesystem::remove_all(dir());
  fill_two_lanes(1);
  EXPECT_NE(what(file()).find("directory"), std::string::npos) << what(file());
  query(file(), "PRAGMA journal_mode=delete; PRAGMA user_version=9; CREATE TABLE later(x)");
  EXPECT_NE(what(dir()).find("format 9"), std::string::npos) << what(dir());
}

TEST_F(OfflineReader, AVersionThatTheTablesGiveTheLieIsADamagedHeader) {
  fill_two_lanes(1);
  const auto records = waiting_records(dir());
  ASSERT_FALSE(records.empty());
  for (const char* version : {"0", "3", "-2147483647"}) {
    query(file(), std::string("PRAGMA user_version=") + version);
    const auto findings = fsck(dir());
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_NE(findings[0].what.find("header is damaged"), std::string::npos) << findings[0].what;
    EXPECT_EQ(waiting_records(dir()), records);
  }
}

TEST_F(OfflineReader, FsckNamesLaneRecordsAndPlaceOfABadSegment) {
  fill_two_lanes(6);
  settle_log();
  std::string bytes = file_text(file());
  const auto at = bytes.find(Feeder::body(2, 17, 200));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 1000] = static_cast<char>(bytes[at + 1000] ^ 0x10);
  overwrite(file(), bytes);
  const auto findings = fsck(dir());
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].lane, std::optional<LaneId>(2));
  EXPECT_EQ(findings[0].records, (SeqRange{16, 20}));
  EXPECT_EQ(findings[0].file.filename(), "1.db");
  EXPECT_NE(findings[0].what.find("checksum"), std::string::npos) << findings[0].what;
  EXPECT_FALSE(findings[0].advice.empty());
}

TEST_F(OfflineReader, FsckNoticesMissingNumbersAndAnAccountThatDoesNotClose) {
  fill_two_lanes(6);
  query(file(), "DELETE FROM seg WHERE lane=2 AND first_seq=16");
  auto findings = fsck(dir());
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].records, (SeqRange{16, 20}));
  query(file(), "INSERT INTO fate VALUES(2,16,20,1,0,'x')");
  EXPECT_TRUE(fsck(dir()).empty());
}

TEST_F(OfflineReader, RecordsQuarantinedAheadOfTheCursorAreNotSeenTwice) {
  open();
  const LaneId id = lane("main.a.b");
  put(id, 5, 100);
  spool_->quarantine(id, 3, "poison");
  ASSERT_TRUE(spool_->flush());
  spool_->stop();
  spool_.reset();
  auto spool = OfflineSpool::open(dir());
  ASSERT_TRUE(spool);
  RecordFilter filter;
  filter.quarantine = true;
  std::vector<std::pair<Seq, RecordState>> seen;
  spool->for_each(
      filter,
      [&](const OfflineRecord& record) {
        seen.emplace_back(record.seq, record.state);
        EXPECT_EQ(record.body, record_body(id, record.seq, 100));
        return true;
      },
      [](const auto&, const auto&, const auto&) {});
  const auto w = RecordState::kPending;
  EXPECT_EQ(seen, (std::vector<std::pair<Seq, RecordState>>{
                      {1, w}, {2, w}, {3, RecordState::kQuarantined}, {4, w}, {5, w}}));
}

// A second, newer file: lanes and cursors are its word, records come from both.
TEST_F(OfflineReader, SeveralFilesAreOneSpoolAndTheNewestKnowsTheLanes) {
  fill_two_lanes(6);
  settle_log();
  std::filesystem::copy_file(file(), dir() / "2.db");
  query(dir() / "1.db",
        "DELETE FROM seg WHERE lane=1; UPDATE lane_state SET cursor=0 WHERE lane=2");
  // From first_seq on the newer file alone counts.
  query(dir() / "2.db", "DELETE FROM seg WHERE lane=2; UPDATE lane_state SET first_seq=1000");
  auto spool = OfflineSpool::open(dir());
  ASSERT_TRUE(spool) << spool.error().what;
  EXPECT_EQ(spool->generations().size(), 2U);
  EXPECT_EQ(spool->generations().front().number(), 2U);
  EXPECT_EQ(spool->lane(2)->cursor, 10U);
  EXPECT_EQ(waiting_records(*spool).size(), 16U + 20U);
  EXPECT_TRUE(spool->findings().empty());
}

// The newest file's own rows are not there; older ones of the same lanes are.
TEST_F(OfflineReader, TheCopyOfTheLanesKnowsBetterThanAnOlderFile) {
  fill_two_lanes(6);
  settle_log();
  std::filesystem::copy_file(file(), dir() / "2.db");
  query(dir() / "1.db", "UPDATE lane_state SET cursor=0");
  const auto root =
      query(dir() / "2.db", "SELECT rootpage FROM sqlite_schema WHERE name='lane_state'");
  std::string bytes = file_text(dir() / "2.db");
  std::fill_n(bytes.begin() + (std::stol(root.at(0)) - 1) * static_cast<long>(kPage), kPage, '\0');
  overwrite(dir() / "2.db", bytes);
  auto spool = OfflineSpool::open(dir());
  ASSERT_TRUE(spool) << spool.error().what;
  EXPECT_EQ(spool->lane(1)->cursor, 4U);
  EXPECT_EQ(spool->lane(2)->cursor, 10U);
  EXPECT_EQ(waiting_records(*spool).size(), 16U + 20U);
}

// Whole tables count: what a copy from later says has passed may be in the quarantine by now.
TEST_F(OfflineReader, TheCopyOfTheLanesDoesNotPassRecordsOfAFileThatHasGoneBack) {
  fill_two_lanes(6);
  query(file(), "UPDATE lane_state SET cursor=6 WHERE lane=2; DELETE FROM seg WHERE first_seq=26");
  query(file(), "UPDATE lane_state SET next_seq=26 WHERE lane=2");
  auto spool = OfflineSpool::open(dir());
  ASSERT_TRUE(spool) << spool.error().what;
  EXPECT_EQ(spool->lane(2)->cursor, 6U);
  ASSERT_EQ(spool->findings().size(), 1U);
  EXPECT_NE(spool->findings()[0].what.find("gone back in time"), std::string::npos);
}

// By agent, tools and the advice alike, whoever comes last into table epoch.
TEST_F(OfflineReader, RecordsOfALostEpochHaveOneName) {
  fill_two_lanes(6);
  query(file(),
        "INSERT INTO epoch SELECT 7, 'e0e0', 'elsewhere', 'imported', '', started_at_us FROM epoch;"
        "INSERT INTO epoch SELECT 5, 'f0f0', agent_id, machine_id, '', started_at_us FROM epoch "
        "WHERE id=1; DELETE FROM epoch WHERE id=1");
  std::filesystem::remove(dir() / "lanes");
  const std::string name = "gw-test/unknown-00000001";
  {
    const auto spool = OfflineSpool::open(dir());
    ASSERT_TRUE(spool) << spool.error().what;
    EXPECT_EQ(spool->origin(*spool->lane(2), 1), name + "/2");
  }
  const auto findings = fsck(dir());
  ASSERT_FALSE(findings.empty());
  EXPECT_NE(findings[0].advice.find(name + "/"), std::string::npos) << findings[0].advice;
  auto engine = open_or_die(options());
  Watcher watcher;
  engine->start(watcher);
  const auto segment = read_now(*engine, 2, 11);
  ASSERT_TRUE(segment && *segment);
  EXPECT_EQ((*segment)->origin()->prefix, name);
  engine->stop();
}

}  // namespace
}  // namespace penstock::spool::testing
