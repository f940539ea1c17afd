// What the agent could not read, or not yet, is there for whoever can: no file goes in which
// records that are counted as damaged may still be found.
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>

#include "agent/spool/database.h"
#include "agent/spool/kept_files.h"
#include "agent/spool/offline_check.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_one_lane.h"
#include "tests/crash/spool_sites.h"

namespace penstock::spool::testing {
namespace {

namespace fs = std::filesystem;

class SpoolKept : public OneLaneSpool {
 protected:
  void put(int commits, size_t size) { OneLaneSpool::put(commits, 5, size); }
};

// The records of the lane that `origin` numbered.
std::map<Seq, std::string> late_records(Spool& spool, const std::string& origin) {
  for (const auto& lane : spool.lanes()) {
    if (lane.key.route == "r@" + origin) return read_all(spool, lane.id, lane.cursor + 1);
  }
  return {};
}

// The copy of the lanes is ten records older than the file: those were acknowledged too.
TEST_F(SpoolKept, NoRecordOfAParkedFileThatCanBeReadAgainIsLost) {
  open();
  put(10, 300);
  spool_->acknowledge(lane_, 15);
  ASSERT_TRUE(spool_->flush());
  const std::string origin = spool_->origin_prefix() + "/" + std::to_string(lane_);
  close();
  fs::copy_file(options_.dir / "lanes", dir_.path() / "lanes");
  open();
  put(2, 300);
  close();
  fs::copy_file(dir_.path() / "lanes", options_.dir / "lanes",
                fs::copy_options::overwrite_existing);
  query(options_.dir / "1.db", "PRAGMA user_version=2");
  open();
  EXPECT_EQ(spool_->counters().parked_files, 1U);
  EXPECT_EQ(spool_->state(lane_).damaged, 35U);
  put(1, 40);  // 51..55 once more
  close();
  query(options_.dir / "1.db", "PRAGMA user_version=1");
  for (int time = 0; time < 2; ++time) {
    open();
    EXPECT_TRUE(eventually([&] { return spool_->counters().kept_files == 1; }));
    EXPECT_EQ(spool_->counters().parked_files, 0U);
    EXPECT_EQ(spool_->counters().older_files, 0U);
    EXPECT_EQ(spool_->state(lane_).damaged, 35U);
    EXPECT_EQ(read_all(*spool_, lane_, 51).size(), 5U);
    close();
  }
  EXPECT_TRUE(has("1.kept.db") && has("1.kept.db-wal"));
  EXPECT_FALSE(has("1.db") || has("1.db-wal"));
  {
    auto spool = OfflineSpool::open(options_.dir);
    ASSERT_TRUE(spool) << spool.error().what;
    CheckCounts counts;
    const auto findings = check_spool(*spool, counts);
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_NE(findings[0].advice.find("penstock spool repair"), std::string::npos);
  }
  options_.dir = repaired();
  open();
  const auto late = late_records(*spool_, origin);
  EXPECT_EQ(late.size(), 45U);
  for (Seq seq = 16; seq <= 60; ++seq) {
    ASSERT_TRUE(late.contains(seq)) << seq;
    EXPECT_EQ(late.at(seq), Feeder::body(lane_, seq, 300));
  }
  EXPECT_EQ(spool_->state(lane_).damaged, 0U) << "handed over";
  EXPECT_EQ(read_all(*spool_, lane_, 51).size(), 5U);
  for (const auto& lane : spool_->lanes()) {
    expect_balanced(lane);
    const auto segment = read_now(*spool_, lane.id, lane.cursor + 1);
    if (lane.key.route != "r@" + origin) continue;
    ASSERT_TRUE(segment && *segment != nullptr);
    ASSERT_NE((*segment)->origin(), nullptr);
    EXPECT_EQ((*segment)->origin()->prefix + "/" + std::to_string(lane_), origin);
  }
  close();
}

// Its number was given to another lane, since nobody remembered it.
TEST_F(SpoolKept, ALaneThatOnlyTheParkedFileKnowsComesBackUnderItsOwnRoute) {
  open();
  put(1, 300);
  const std::string prefix = spool_->origin_prefix();
  close();
  fs::copy_file(options_.dir / "lanes", dir_.path() / "lanes");
  open();
  const LaneId forgotten = spool_->lane({"forgotten", "f"});
  feeder_->put(forgotten, 5, 300);
  ASSERT_TRUE(spool_->flush());
  close();
  fs::copy_file(dir_.path() / "lanes", options_.dir / "lanes",
                fs::copy_options::overwrite_existing);
  query(options_.dir / "1.db", "PRAGMA user_version=2");
  open();
  ASSERT_EQ(spool_->lane({"another", "a"}), forgotten);
  feeder_->put(forgotten, 3, 40);
  ASSERT_TRUE(spool_->flush());
  close();
  query(options_.dir / "1.db", "PRAGMA user_version=1");
  open();
  EXPECT_TRUE(eventually([&] { return spool_->counters().kept_files == 1; }));
  close();
  options_.dir = repaired();
  open();
  const LaneId late = spool_->lane({"forgotten@" + prefix + "/" + std::to_string(forgotten), "f"});
  EXPECT_EQ(read_all(*spool_, late).size(), 5U);
  EXPECT_EQ(read_all(*spool_, forgotten).size(), 3U);
  close();
}

// Repair before the agent has seen that the file can be read again.
TEST_F(SpoolKept, RepairTakesDamageBackWhereverTheRecordsAre) {
  open();
  put(10, 300);
  const std::string origin = spool_->origin_prefix() + "/" + std::to_string(lane_);
  close();
  query(options_.dir / "1.db", "PRAGMA user_version=2");
  open();
  put(1, 40);
  close();
  query(options_.dir / "1.db", "PRAGMA user_version=1");
  options_.dir = repaired();
  open();
  EXPECT_EQ(late_records(*spool_, origin).size(), 50U);
  EXPECT_EQ(spool_->state(lane_).damaged, 0U);
  close();
}

// One flipped bit, which the agent takes for damage, too.
TEST_F(SpoolKept, RepairReadsAFileWhoseVersionIsDamaged) {
  open();
  put(10, 300);
  const std::string origin = spool_->origin_prefix() + "/" + std::to_string(lane_);
  close();
  query(options_.dir / "1.db", "PRAGMA user_version=3");
  const auto opened = open_existing(options_.dir / "1.db", sizing_for(options_.max_size_bytes));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(opened.error().what.find("penstock spool repair"), std::string::npos);
  open();
  EXPECT_EQ(spool_->counters().parked_files, 1U);
  put(1, 40);
  close();
  options_.dir = repaired();
  open();
  EXPECT_EQ(late_records(*spool_, origin).size(), 50U);
  EXPECT_EQ(spool_->state(lane_).damaged, 0U);
  close();
}

TEST_F(SpoolKept, RepairGoesOnWithoutAFileInANewerFormat) {
  open();
  put(10, 300);
  close();
  query(options_.dir / "1.db", "PRAGMA user_version=2; CREATE TABLE later(x)");
  const auto opened = open_existing(options_.dir / "1.db", sizing_for(options_.max_size_bytes));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kRejected);
  open();
  EXPECT_EQ(spool_->counters().parked_files, 1U);
  put(1, 40);
  close();
  const auto into = dir_.path() / "repaired";
  const auto account = repair_spool(options_.dir, into, Log::none());
  ASSERT_TRUE(account) << account.error().what;
  ASSERT_EQ(account->left_out.size(), 1U);
  EXPECT_EQ(account->left_out[0].file.filename(), "1.db");
  options_.dir = into;
  open();
  EXPECT_EQ(read_all(*spool_, lane_, 51).size(), 5U);
  EXPECT_EQ(spool_->state(lane_).damaged, 50U);
  close();
}

TEST_F(SpoolKept, AReadErrorThatPassesParksNothing) {
  FaultVfs vfs;
  open();
  put(10, 300);
  close();
  vfs.fail_reads(true);
  auto opened = std::async(std::launch::async, [&] { return Spool::open(options_, Log::none()); });
  EXPECT_TRUE(eventually([&] { return vfs.failed_reads() > 0; }));
  vfs.fail_reads(false);
  auto spool = opened.get();
  ASSERT_TRUE(spool) << spool.error().what;
  EXPECT_EQ((*spool)->counters().parked_files, 0U);
  EXPECT_EQ((*spool)->state(lane_).damaged, 0U);
  EXPECT_EQ((*spool)->state(lane_).next_seq, 51U);
}

// Whichever it is: what it would have found is not taken for lost, and no file for damaged.
TEST_F(SpoolKept, AReadThatTheDiskRefusesOnceWhileOpeningCostsNothing) {
  std::optional<FaultVfs> vfs(std::in_place);
  open();
  put(40, 3000);
  spool_->quarantine(lane_, 20, "poison");
  spool_->acknowledge(lane_, 10);
  ASSERT_TRUE(spool_->flush());
  vfs->fail_sync_of("1.db-wal");
  put(5, 300);
  ASSERT_EQ(spool_->counters().rolls, 1U);
  close();
  int reads = 0;
  uint64_t older_files = 0;  // one, unless it was moved from meanwhile
  for (int site = -1; site < reads; site += std::max(1, reads / 12)) {
    SCOPED_TRACE("read " + std::to_string(site) + " of " + std::to_string(reads));
    Sites sites(options_.dir);
    sites.fail(Call::kSqliteRead, site, EIO);
    auto opened = Spool::open(options_, Log::none());
    ASSERT_TRUE(opened) << opened.error().what;
    if (site < 0) {
      reads = sites.count(Call::kSqliteRead);
      older_files = (*opened)->counters().older_files;
    }
    const LaneState state = (*opened)->state(lane_);
    EXPECT_EQ(state.damaged, 0U);
    EXPECT_EQ(state.next_seq, 226U);
    EXPECT_EQ(state.pending(), 215U);
    EXPECT_EQ((*opened)->counters().parked_files, 0U);
    EXPECT_EQ((*opened)->counters().older_files, older_files);
    EXPECT_EQ(sites.hit().empty(), site < 0);
    if (HasFailure()) return;
  }
  EXPECT_GT(reads, 12);
}

// A parked file that can be opened again, but for its first leaf of segments. What it holds from
// record 16 on was acknowledged.
class SpoolKeptBehindDamage : public SpoolKept {
 protected:
  // `counted`: the copy of the lanes knows of the records, which are counted as damaged. Else their
  // numbers were given out again, and they are in nobody's account.
  void park(bool counted) {
    open();
    put(1, 60);
    spool_->acknowledge(lane_, 5);
    ASSERT_TRUE(spool_->flush());
    close();
    fs::copy_file(options_.dir / "lanes", dir_.path() / "lanes");
    open();
    put(40, 60);
    close();
    const auto how = fs::copy_options::overwrite_existing;
    if (!counted) fs::copy_file(dir_.path() / "lanes", options_.dir / "lanes", how);
    query(options_.dir / "1.db", "PRAGMA user_version=2");
    open();
    ASSERT_EQ(spool_->counters().parked_files, 1U);
    ASSERT_EQ(spool_->state(lane_).damaged, counted ? 200U : 0U);
    put(1, 40);
    spool_->acknowledge(lane_, spool_->state(lane_).next_seq - 1);
    ASSERT_TRUE(spool_->flush());
    close();
    query(options_.dir / "1.db", "PRAGMA user_version=1");
  }
  // The leaf of table `seg` with record `seq`, and any that it was moved from.
  void ruin_leaf_of(Seq seq) {
    const auto file = options_.dir / "1.db";
    std::ifstream in(file, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    in.close();
    int ruined = 0;
    for (size_t page = 0; page < bytes.size(); page += 4096) {
      const auto content = std::string_view(bytes).substr(page, 4096);
      if (content[0] != 0x0D || content.find(Feeder::body(lane_, seq, 60)) == content.npos)
        continue;
      std::fill_n(bytes.begin() + static_cast<long>(page), 4096, '\xEE');
      ++ruined;
    }
    ASSERT_GT(ruined, 0);
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
  }
  void expect_kept_for_its_records() {
    EXPECT_TRUE(eventually([&] { return spool_->counters().kept_files == 1; }));
    EXPECT_EQ(spool_->counters().older_files, 0U);
    EXPECT_TRUE(has("1.kept.db"));
    EXPECT_FALSE(has("1.db") || has("1.damaged.db"));
  }
};

TEST_F(SpoolKeptBehindDamage, SoundRecordsThatAreCountedAsDamagedAreFound) {
  park(true);
  ruin_leaf_of(6);
  open();
  expect_kept_for_its_records();
  close();
}

TEST_F(SpoolKeptBehindDamage, SoundRecordsInNobodysAccountAreFound) {
  park(false);
  ruin_leaf_of(6);
  open();
  expect_kept_for_its_records();
  close();
}

// The last leaf: nobody can tell what there was.
TEST_F(SpoolKeptBehindDamage, AnEndThatCannotBeReachedMayHoldSoundRecords) {
  park(false);
  query(options_.dir / "1.db", "DELETE FROM seg WHERE first_seq<201");
  ruin_leaf_of(201);
  open();
  expect_kept_for_its_records();
  close();
}

// Whichever read it is, the file is looked through again.
TEST_F(SpoolKeptBehindDamage, AReadThatTheDiskRefusesOnceIsNoEnd) {
  const std::optional<FaultVfs> vfs(std::in_place);
  park(false);
  fs::copy(options_.dir, dir_.path() / "parked");
  int reads = 0;
  for (int site = -1; site < reads; ++site) {
    SCOPED_TRACE("read " + std::to_string(site) + " of " + std::to_string(reads));
    fs::remove_all(options_.dir);
    fs::copy(dir_.path() / "parked", options_.dir);
    spool_ = open_or_die(options_);
    watcher_ = std::make_unique<Watcher>();
    {
      Sites sites(options_.dir);
      sites.fail(Call::kSqliteRead, site, EIO);
      spool_->start(*watcher_);
      ASSERT_TRUE(eventually([&] { return !sites.hit().empty() || has("1.kept.db"); }));
      ASSERT_TRUE(at_rest());
      if (site < 0) reads = sites.count(Call::kSqliteRead);
    }
    EXPECT_TRUE(has("1.db") || has("1.kept.db"));
    EXPECT_FALSE(has("1.damaged.db"));
    close();
    open();
    expect_kept_for_its_records();
    close();
    if (HasFailure()) return;
  }
  EXPECT_GT(reads, 0);
}

class SpoolKeptPages : public SpoolKept {
 protected:
  // A file with one segment that cannot be read, given up by its lane; all else delivered.
  void empty_a_damaged_file() {
    std::optional<FaultVfs> vfs(std::in_place);
    open();
    put(40, 3000);
    vfs->fail_sync_of("1.db-wal");
    put(1, 300);
    ASSERT_EQ(spool_->counters().rolls, 1U);
    close();
    vfs.reset();
    query(options_.dir / "1.db", "UPDATE seg SET payload=x'00' WHERE first_seq=51");
    open();
    spool_->damaged(lane_, 51, 55, "cannot be read");
    spool_->acknowledge(lane_, spool_->state(lane_).next_seq - 1);
    ASSERT_TRUE(spool_->flush());
  }
};

TEST_F(SpoolKeptPages, ADamagedFileIsKeptForRepair) {
  options_.quarantine_bytes = 32 << 20;
  empty_a_damaged_file();
  EXPECT_TRUE(eventually([&] { return spool_->counters().kept_files == 1; }));
  EXPECT_EQ(spool_->counters().older_files, 0U);
  EXPECT_TRUE(has("1.damaged.db") && !has("1.db"));
  put(1, 300);
  close();
  open();
  EXPECT_EQ(spool_->counters().kept_files, 1U);
  EXPECT_EQ(spool_->state(lane_).damaged, 5U);
  close();
}

TEST_F(SpoolKeptPages, OneThatIsMoreThanTheQuotaGoes) {
  options_.quarantine_bytes = 1 << 10;
  empty_a_damaged_file();
  EXPECT_TRUE(eventually([&] { return spool_->counters().older_files == 0; }));
  EXPECT_TRUE(eventually([&] { return !has("1.damaged.db-wal"); }));
  EXPECT_FALSE(has("1.db") || has("1.damaged.db"));
  EXPECT_EQ(spool_->counters().kept_files, 0U);
  close();
}

// Numbers were given out again since it was parked, not since it was found to have gone back.
TEST_F(SpoolKept, AMarkKeepsItsEndsAndLearnsThatTheFileHasGoneBack) {
  fs::create_directory(options_.dir);
  const std::map<LaneId, Seq> ends = {{1, 20}, {2, 1}};
  ASSERT_TRUE(write_parked_mark(options_.dir, 1, {ends}));
  EXPECT_FALSE(read_parked_mark(options_.dir, 1)->has_gone_back);
  for (const bool has_gone_back : {false, true, false}) {
    const bool before = read_parked_mark(options_.dir, 1)->has_gone_back;
    ASSERT_TRUE(write_parked_mark(options_.dir, 1, {{{1, 30}}, has_gone_back}));
    const auto mark = read_parked_mark(options_.dir, 1);
    EXPECT_EQ(mark->ends, ends);
    EXPECT_EQ(mark->has_gone_back, before || has_gone_back);
  }
  EXPECT_FALSE(read_parked_mark(options_.dir, 2));
}

// A power cut between the two names.
TEST_F(SpoolKept, AKeptFileWithoutItsLogGetsItAtTheNextStart) {
  open();
  put(10, 300);
  close();
  fs::copy_file(options_.dir / "1.db", options_.dir / "7.kept.db");
  fs::copy_file(options_.dir / "1.db-wal", options_.dir / "7.db-wal");
  open();
  EXPECT_EQ(spool_->counters().kept_files, 1U);
  EXPECT_TRUE(has("7.kept.db-wal"));
  EXPECT_FALSE(has("7.db-wal"));
  close();
}

class SpoolLostLog : public SpoolKept {
 protected:
  // Fifty records, and then the database is gone.
  void lose_database() {
    open();
    put(10, 300);
    origin_ = spool_->origin_prefix() + "/" + std::to_string(lane_);
    close();
    fs::remove(options_.dir / "1.db");
  }
  std::string origin_;
};

TEST_F(SpoolLostLog, IsSetAsideAndRepairGetsItsRecords) {
  lose_database();
  for (int time = 0; time < 2; ++time) {
    open();
    EXPECT_EQ(spool_->state(lane_).damaged, 50U);
    put(1, 40);
    close();
    EXPECT_TRUE(has("1.db-wal.lost") && has("2.db"));
    EXPECT_FALSE(has("1.db-wal"));
  }
  options_.dir = repaired();
  open();
  const auto late = late_records(*spool_, origin_);
  EXPECT_EQ(late.size(), 50U);
  for (const auto& [seq, body] : late) EXPECT_EQ(body, Feeder::body(lane_, seq, 300));
  EXPECT_EQ(read_all(*spool_, lane_, 51).size(), 10U);
  close();
}

TEST_F(SpoolLostLog, AloneInADirectoryIsEnoughForRepair) {
  lose_database();
  fs::remove(options_.dir / "lanes");
  for (const char* name : {"1.db-wal", "1.db-wal.lost"}) {
    SCOPED_TRACE(name);
    if (!has(name)) fs::rename(options_.dir / "1.db-wal", options_.dir / name);
    auto spool = OfflineSpool::open(options_.dir);
    ASSERT_TRUE(spool) << spool.error().what;
    EXPECT_FALSE(spool->findings().empty());
    EXPECT_EQ(query(repaired() / "1.db", "SELECT sum(count) FROM seg").at(0), "50");
  }
}

TEST_F(SpoolLostLog, ThatIsTheRestOfARemovalGoes) {
  lose_database();
  open();  // 2.db, and that is known by the copy
  put(1, 300);
  close();
  fs::rename(options_.dir / "1.db-wal.lost", options_.dir / "1.db-wal");
  open();
  EXPECT_FALSE(has("1.db-wal") || has("1.db-wal.lost"));
  close();
}

TEST_F(SpoolLostLog, OfASpareGoes) {
  options_.max_size_bytes = 128 << 20;
  open();
  put(1, 300);
  close();
  ASSERT_TRUE(has("2.db-wal"));
  fs::remove(options_.dir / "2.db");
  open();
  EXPECT_EQ(read_all(*spool_, lane_).size(), 5U);
  EXPECT_FALSE(has("2.db-wal.lost"));
  close();
}

}  // namespace
}  // namespace penstock::spool::testing
