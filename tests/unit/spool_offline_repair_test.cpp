// Repair brings back exactly the records whose own pages are intact, and never a delivered one,
// whatever else of the file is gone.
#include <random>

#include "tests/unit/spool_offline_fixture.h"

namespace penstock::spool::testing {
namespace {

class OfflineRepair : public OfflineSpoolTest {
 protected:
  std::filesystem::path repaired() const { return dir_.path() / "repaired"; }

  void fill() {
    fill_two_lanes(20);
    open();  // removes what was delivered
    spool_->acknowledge(2, 11);
    ASSERT_TRUE(spool_->flush());
    close();
    // No second copy of anything on pages that were given up: what comes back is exactly known.
    query(file(), "VACUUM");
    settle_log();
    before_ = waiting_records(dir());
    ASSERT_EQ(before_.size(), 58U + 89U);
    healthy_ = file_text(file());
    note_pages();
  }

  // Where every segment lies: found by its bytes, not by what is under test.
  void note_pages() {
    for (const auto& row : query(file(), "SELECT lane, first_seq, count, hex(payload) FROM seg")) {
      LaneId lane = 0;
      unsigned first = 0;
      unsigned count = 0;
      int used = 0;
      ASSERT_EQ(std::sscanf(row.c_str(), "%u|%u|%u|%n", &lane, &first, &count, &used), 3);
      std::string payload;
      for (size_t i = static_cast<size_t>(used); i + 1 < row.size(); i += 2)
        payload.push_back(static_cast<char>(std::stoi(row.substr(i, 2), nullptr, 16)));
      for (size_t at = 0; at < payload.size(); at += 400) {
        const std::string probe = payload.substr(at, 24);
        for (auto found = healthy_.find(probe); found != std::string::npos;
             found = healthy_.find(probe, found + 1)) {
          // Inner pages may keep bytes from when they were leaves.
          if (healthy_[found / kPage * kPage] == 0x05) continue;
          for (unsigned i = 0; i < count; ++i) pages_[{lane, first + i}].insert(found / kPage + 1);
        }
      }
    }
    for (const auto& row : query(file(), "SELECT rootpage FROM sqlite_schema WHERE name='seg'"))
      seg_root_ = static_cast<size_t>(std::stoul(row));
  }

  void destroy(size_t page, std::mt19937_64* random = nullptr) {
    std::string bytes = file_text(file());
    for (size_t i = (page - 1) * kPage; i < page * kPage; ++i)
      bytes[i] = random != nullptr ? static_cast<char>((*random)()) : '\0';
    overwrite(file(), bytes);
  }

  // What must come back once `gone` pages are destroyed.
  Records expected(const std::set<size_t>& gone) const {
    Records records;
    for (const auto& [key, body] : before_) {
      const auto& pages = pages_.at(key);
      if (std::none_of(pages.begin(), pages.end(),
                       [&](size_t page) { return gone.contains(page); })) {
        records[key] = body;
      }
    }
    return records;
  }

  RepairAccount repair() {
    std::filesystem::remove_all(repaired());
    const auto before = directory_content(dir());
    auto account = repair_spool(dir(), repaired(), Log::none());
    if (!account) {
      ADD_FAILURE() << account.error().what;
      return {};
    }
    EXPECT_EQ(directory_content(dir()), before) << "the damaged files are only read";
    return *account;
  }

  // Exactly these records, a clean file that the engine opens, and numbers that go on.
  void expect_repaired(const Records& wanted) {
    const auto records = waiting_records(repaired());
    EXPECT_EQ(records.size(), wanted.size());
    EXPECT_TRUE(records == wanted);
    for (const auto& finding : fsck(repaired())) ADD_FAILURE() << finding.what;
    Options options = this->options();
    options.dir = repaired();
    const auto spool = open_or_die(options);
    EXPECT_EQ(spool->state(1).next_seq, 64U);
    EXPECT_EQ(spool->state(2).next_seq, 101U);
    EXPECT_EQ(spool->state(1).delivered(), 4U);
    EXPECT_EQ(spool->state(2).delivered(), 11U);
    EXPECT_NE(spool->epoch(), epoch_) << "numbers that were lost must not come back under the "
                                         "same name";
  }

  void note_epoch() { epoch_ = query(file(), "SELECT name FROM epoch").at(0); }

  Records before_;
  std::string healthy_;
  std::map<std::pair<LaneId, Seq>, std::set<size_t>> pages_;
  size_t seg_root_ = 0;
  std::string epoch_;
};

TEST_F(OfflineRepair, TheRootOfTheSegmentsIsGone) {
  fill();
  note_epoch();
  ASSERT_EQ(healthy_[(seg_root_ - 1) * kPage], 0x05) << "the tree has to have a level";
  destroy(seg_root_);
  EXPECT_FALSE(fsck(dir()).empty());
  const auto account = repair();
  expect_repaired(before_);
  EXPECT_TRUE(account.files.at(0).was_carved);
}

TEST_F(OfflineRepair, TheFirstPageIsGone) {
  fill();
  note_epoch();
  destroy(1);
  EXPECT_FALSE(fsck(dir()).empty());
  const auto account = repair();
  expect_repaired(before_);
  ASSERT_EQ(account.lanes.size(), 2U);
  EXPECT_TRUE(account.lanes[0].was_known);
  EXPECT_EQ(account.lanes[0].quarantined, 1U);
}

// The newest file knows nothing of the lanes then.
TEST_F(OfflineRepair, TheFirstPageIsGoneBesideABlankSpare) {
  fill();
  Options with_spare = options();
  with_spare.max_size_bytes = 256 << 20;
  open_or_die(with_spare).reset();
  ASSERT_TRUE(std::filesystem::exists(dir() / "2.db"));
  settle_log();
  note_epoch();
  destroy(1);
  repair();
  expect_repaired(before_);
}

TEST_F(OfflineRepair, ALeafOrAnOverflowPageIsGone) {
  fill();
  note_epoch();
  std::set<size_t> all;
  for (const auto& [key, pages] : pages_) all.insert(pages.begin(), pages.end());
  size_t leaves = 0;
  size_t others = 0;
  for (const size_t page : all) {
    const bool is_leaf = healthy_[(page - 1) * kPage] == 0x0D;
    if ((is_leaf ? leaves : others)++ % (is_leaf ? 2 : 9) != 0) continue;
    overwrite(file(), healthy_);
    destroy(page);
    SCOPED_TRACE(page);
    const auto wanted = expected({page});
    ASSERT_LT(wanted.size(), before_.size());
    const auto account = repair();
    expect_repaired(wanted);
    uint64_t lost = 0;
    for (const auto& lane : account.lanes) {
      for (const auto& range : lane.lost) lost += range.size();
    }
    EXPECT_EQ(lost, before_.size() - wanted.size());
  }
  EXPECT_GT(leaves, 2U);
  EXPECT_GT(others, 20U);
}

TEST_F(OfflineRepair, RandomGarbageOnManyPages) {
  fill();
  note_epoch();
  std::mt19937_64 random(test_seed());
  // The pages of the small tables are left: without lane_state there is no cursor to go by.
  std::set<size_t> candidates{1, seg_root_};
  for (const auto& [key, pages] : pages_) candidates.insert(pages.begin(), pages.end());
  const std::vector<size_t> pool(candidates.begin(), candidates.end());
  for (int round = 0; round < 6; ++round) {
    overwrite(file(), healthy_);
    std::set<size_t> gone;
    for (int i = 0; i < 5; ++i) gone.insert(pool[random() % pool.size()]);
    for (const size_t page : gone) destroy(page, &random);
    repair();
    expect_repaired(expected(gone));
  }
}

TEST_F(OfflineRepair, AFileCutOffInTheMiddle) {
  fill();
  note_epoch();
  const size_t keep = healthy_.size() / kPage * 6 / 10;
  std::set<size_t> gone;
  for (size_t page = keep + 1; page <= healthy_.size() / kPage; ++page) gone.insert(page);
  std::filesystem::resize_file(file(), keep * kPage);
  repair();
  expect_repaired(expected(gone));
}

TEST_F(OfflineRepair, WhatWasDeliveredDoesNotComeBackFromFreedPages) {
  open();
  const LaneId id = lane("main.a.b");
  for (int i = 0; i < 30; ++i) put(id, 5, 3000);
  close();
  settle_log();
  open();
  spool_->acknowledge(id, 100);
  ASSERT_TRUE(spool_->flush());
  put(lane("main.a.c"), 1, 50);  // the removal rides on a commit
  close();
  settle_log();
  const std::string bytes = file_text(file());
  ASSERT_NE(bytes.find(Feeder::body(id, 40, 200)), std::string::npos)
      << "freed pages keep their bytes: else this shows nothing";
  destroy(1);
  const auto account = repair();
  const auto records = waiting_records(repaired());
  std::set<Seq> seqs;
  for (const auto& [key, body] : records) {
    if (key.first == id) seqs.insert(key.second);
  }
  EXPECT_EQ(seqs.size(), 50U);
  EXPECT_EQ(*seqs.begin(), 101U);
  EXPECT_GT(account.lanes.at(0).passed, 0U);
}

TEST_F(OfflineRepair, ALaneWhoseRowIsLostIsNamedByTheCopy) {
  fill();
  for (const auto& row :
       query(file(), "SELECT rootpage FROM sqlite_schema WHERE name='lane_state'"))
    destroy(static_cast<size_t>(std::stoul(row)));
  const auto account = repair();
  ASSERT_EQ(account.lanes.size(), 2U);
  EXPECT_TRUE(account.lanes[0].was_known);
  expect_repaired(before_);
  auto spool = OfflineSpool::open(repaired());
  ASSERT_TRUE(spool);
  EXPECT_EQ(spool->lane(2)->key.route, "route");
}

TEST_F(OfflineRepair, RecordsOfALaneWhoseRowIsLostAreKeptUnderAMadeUpRoute) {
  fill();
  std::filesystem::remove(dir() / "lanes");
  for (const auto& row :
       query(file(), "SELECT rootpage FROM sqlite_schema WHERE name='lane_state'"))
    destroy(static_cast<size_t>(std::stoul(row)));
  const auto account = repair();
  const auto records = waiting_records(repaired());
  for (const auto& [key, body] : before_) EXPECT_EQ(records.at(key), body);
  ASSERT_EQ(account.lanes.size(), 2U);
  EXPECT_FALSE(account.lanes[0].was_known);
  auto spool = OfflineSpool::open(repaired());
  ASSERT_TRUE(spool);
  EXPECT_EQ(spool->lane(2)->key, (LaneKey{"_lost", "lane_2"}));
}

TEST_F(OfflineRepair, CommitsThatAreOnlyInTheLogAreKept) {
  fill_two_lanes(8);
  before_ = waiting_records(dir());
  ASSERT_GT(std::filesystem::file_size(dir() / "1.db-wal"), 0U);
  std::string bytes = file_text(file());
  std::fill(bytes.begin(), bytes.end(), '\0');
  overwrite(file(), bytes);
  repair();
  const auto records = waiting_records(repaired());
  // The engine copies the log back as it closes; what the log still holds of it must be found.
  for (const auto& [key, body] : records) EXPECT_EQ(before_.at(key), body);
  EXPECT_GT(records.size(), 0U);
}

}  // namespace
}  // namespace penstock::spool::testing
