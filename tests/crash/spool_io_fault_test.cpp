// One call to the filesystem fails, once, and it may be any, SQLite's or the spool's own: nothing
// promised is lost, nothing is called durable that is not, collecting goes on in the same run, and
// the spool opens again.
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <thread>

#include "agent/base/whole_file.h"
#include "agent/spool/lanes_file.h"
#include "tests/crash/spool_cut_lab.h"
#include "tests/crash/spool_sites.h"

namespace penstock::spool::testing {
namespace {

// A life with all that a spool does to its directory: creation, commits, a checkpoint, refusals,
// removals, reads, a roll, evacuation, an old file that is removed and one that is kept, a stop in
// the middle of it, and a start with an old file.
class Story {
 public:
  Story(const std::filesystem::path& dir, FaultVfs& vfs, Sites& sites)
      : options_(lab_options(dir)), vfs_(vfs), sites_(sites) {
    options_.tail_bytes = 4 << 10;  // reads come from the disk
    options_.salvage_wait = Millis(10'000);
    promise_.exact = false;
  }

  Promise run() {
    open();
    collect(12);
    read_some();
    roll("1.db-wal");
    collect(3);
    drain();
    wait_for_old_files();
    roll("2.db-wal");
    collect(1);
    give_up_one();
    wait_for_old_files();
    roll("3.db-wal");
    stop();
    open();
    collect(2);
    read_some();
    stop();
    return promise_;
  }

 private:
  void open() {
    for (int attempt = 0; !spool_; ++attempt) {
      auto opened = Spool::open(options_, Log::none());
      if (opened) {
        spool_ = std::move(*opened);
      } else if (attempt > 0 || sites_.hit().empty()) {
        ADD_FAILURE() << "refused to open: " << opened.error().what;
        std::abort();
      }
    }
    watcher_ = std::make_unique<Watcher>();
    numbers_.clear();
    covered_ = 0;
    watcher_->durable_hook = [this](SourceId, uint64_t up_to) {
      for (; covered_ < up_to; ++covered_) {
        const auto [lane, seq] = numbers_[covered_];
        promise_.durable[lane] = std::max(promise_.durable[lane], seq);
      }
    };
    for (int i = 0; i < 2; ++i) lanes_[i] = spool_->lane({"r", std::to_string(i)});
    feeder_ = std::make_unique<Feeder>(*spool_);
    spool_->start(*watcher_);
  }

  void stop() {
    spool_->stop();
    spool_.reset();
  }

  // The one failure is over by then: it commits again.
  void settle() {
    EXPECT_TRUE(eventually([this] { return spool_->flush().has_value(); }))
        << "does not commit any more";
    for (const auto& [lane, seqs] : asked_)
      promise_.quarantined[lane].insert(seqs.begin(), seqs.end());
    asked_.clear();
  }

  void collect(int commits) {
    for (int i = 0; i < commits; ++i) {
      const LaneId lane = lanes_[i % 2];
      auto records = feeder_->take(lane, 3, i % 3 == 0 ? 30000 : 300);
      if (i % 4 == 1) records.front().refusal = "refused";
      for (const auto& record : records) {
        numbers_.emplace_back(record.lane, record.seq);
        // A number that a fault took back is given again.
        for (auto* seqs : {&promise_.refused, &promise_.poison, &promise_.quarantined})
          (*seqs)[lane].erase(record.seq);
        if (!record.refusal.empty()) promise_.refused[lane].insert(record.seq);
      }
      EXPECT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
      settle();
      if (i % 5 == 4) acknowledge(lane, spool_->state(lane).next_seq - 4);
    }
  }

  void acknowledge(LaneId lane, Seq up_to) {
    promise_.acknowledged[lane] = std::max(promise_.acknowledged[lane], up_to);
    if (!promise_.refused[lane].contains(up_to)) {
      promise_.poison[lane].insert(up_to);
      asked_[lane].insert(up_to);
      spool_->quarantine(lane, up_to, "poison");
    }
    spool_->acknowledge(lane, up_to);
    settle();
  }

  // A read that failed once is told as one that may pass, and then it passes.
  void read_some() {
    for (const LaneId lane : lanes_) {
      Seq from = spool_->state(lane).cursor + 1;
      for (int i = 0; i < 4; ++i) {
        auto segment = read_now(*spool_, lane, from);
        if (!segment) {
          EXPECT_EQ(segment.error().kind, ErrorKind::kTransient) << segment.error().what;
          segment = read_now(*spool_, lane, from);
        }
        ASSERT_TRUE(segment) << segment.error().what;
        if (*segment == nullptr) break;
        from = (*segment)->last() + 1;
      }
    }
  }

  void roll(const std::string& log) {
    vfs_.fail_sync_of(log);
    collect(1);
    vfs_.fail_sync_of("");
  }

  // All but the last segment of each lane.
  void drain() {
    for (const LaneId lane : lanes_) acknowledge(lane, promise_.durable[lane] - 3);
  }

  void give_up_one() {
    const LaneId lane = lanes_[0];
    const SeqRange range = spool_->segment_range(lane, spool_->state(lane).cursor + 1);
    for (Seq seq = range.first; seq != 0 && seq <= range.last; ++seq)
      promise_.given_up[lane].insert(seq);
    if (!range.empty()) spool_->damaged(lane, range.first, range.last, "given up");
    settle();
    drain();
  }

  // What failed there is tried again ten seconds later: the next start finds it.
  void wait_for_old_files() {
    const auto until = std::chrono::steady_clock::now() + Millis(200);
    EXPECT_TRUE(eventually([&] {
      return spool_->counters().older_files == 0 ||
             (!sites_.hit().empty() && std::chrono::steady_clock::now() > until);
    })) << "an old file stays";
  }

  Options options_;
  FaultVfs& vfs_;
  Sites& sites_;
  Promise promise_;
  std::map<LaneId, std::set<Seq>> asked_;        // to be quarantined; not flushed
  std::vector<std::pair<LaneId, Seq>> numbers_;  // by source_seq - 1
  uint64_t covered_ = 0;
  LaneId lanes_[2] = {};
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Feeder> feeder_;
  std::unique_ptr<Spool> spool_;
};

std::vector<int> errors_of(Call call) {
  switch (call) {
    case Call::kSqliteRead:
    case Call::kRead:
      return {EIO, Sites::kShort};
    case Call::kWrite:
      return {EIO, ENOSPC, Sites::kShort};
    case Call::kSqliteOpen:
    case Call::kOpen:
      return {EIO, ENOSPC, EMFILE};
    case Call::kTruncate:
    case Call::kSqliteTruncate:
    case Call::kSqliteRemove:
    case Call::kRemove:
    case Call::kList:
    case Call::kStat:
      return {EIO};
    default:
      return {EIO, ENOSPC};
  }
}

// Of each kind of call: a sample that begins elsewhere each time, or all of them (8,500 in all).
int wanted_sites() {
  const char* wanted = std::getenv("PENSTOCK_IO_SITES");
  if (wanted == nullptr) return 3;
  return std::string_view(wanted) == "all" ? INT_MAX : std::max(1, std::atoi(wanted));
}

class SpoolIoFault : public ::testing::TestWithParam<int> {
 protected:
  ~SpoolIoFault() override { std::filesystem::remove_all(lab_); }

  // How often the story makes this call.
  static int sites_of(Call call) {
    static const std::map<Call, int> counts = [] {
      std::map<Call, int> all;
      const auto lab = make_lab_dir();
      {
        FaultVfs vfs;
        Sites sites(lab);
        Story(lab / "spool", vfs, sites).run();
        for (int i = 0; i < kCalls; ++i)
          all[static_cast<Call>(i)] = sites.count(static_cast<Call>(i));
      }
      std::filesystem::remove_all(lab);
      for (const auto& [one, count] : all) std::printf("%s: %d\n", name_of(one).c_str(), count);
      return all;
    }();
    return counts.at(call);
  }

  // True when the failure happened.
  bool one_failure(Call call, int site, int error) {
    Cut after{lab_ / "spool", FaultVfs::Survives::kEverything, {}, "a restart"};
    Cut cut{lab_ / "medium", FaultVfs::Survives::kNothing, {}, "a power cut"};
    std::string hit;
    {
      FaultVfs vfs;
      Sites sites(lab_);
      sites.fail(call, site, error);
      after.promise = cut.promise = Story(after.dir, vfs, sites).run();
      hit = sites.hit();
      const Quiet quiet;
      vfs.cut_with_names(after.dir, cut.dir, cut.mode, random_);
    }
    for (const auto& left : {after, cut}) {
      const Verdict verdict = check(left, false, 0);
      EXPECT_FALSE(verdict.refused || verdict.lost)
          << "after " << left.story << " behind a failed " << hit << ": " << verdict.what;
      std::filesystem::remove_all(left.dir);
    }
    return !hit.empty();
  }

  const std::filesystem::path lab_ = make_lab_dir();
  std::mt19937_64 random_{test_seed()};
};

TEST_P(SpoolIoFault, OnceAtEverySiteLosesNothingPromised) {
  const auto call = static_cast<Call>(GetParam());
  const int sites = sites_of(call);
  const auto errors = errors_of(call);
  ASSERT_GT(sites, 0) << "the story no longer makes this call";
  const int step = std::max(1, sites * static_cast<int>(errors.size()) / wanted_sites());
  int tried = 0;
  int happened = 0;
  int at = static_cast<int>(random_() % static_cast<uint64_t>(step));
  for (; at < sites * static_cast<int>(errors.size()); at += step) {
    const int error = errors[static_cast<size_t>(at / sites)];
    SCOPED_TRACE(name_of(call) + " " + std::to_string(at % sites) + " of " + std::to_string(sites) +
                 ", error " + std::to_string(error));
    ++tried;
    // Threads make the story longer or shorter: where its end came before, an earlier call fails.
    int site = at % sites;
    bool hit = one_failure(call, site, error);
    for (; !hit && site > 0; hit = one_failure(call, site, error)) site /= 2;
    happened += hit ? 1 : 0;
    if (HasFailure()) return;
  }
  std::printf("%s: %d of %d sites, %d failures happened\n", name_of(call).c_str(), tried,
              sites * static_cast<int>(errors.size()), happened);
  EXPECT_GE(happened * 2, tried);
}

INSTANTIATE_TEST_SUITE_P(Calls, SpoolIoFault, ::testing::Range(0, kCalls), [](const auto& call) {
  std::string name = name_of(static_cast<Call>(call.param));
  std::erase_if(name, [](char c) { return c == ' ' || c == '\''; });
  return name;
});

TEST(SpoolOwnFiles, WhenOnlyTheCloseFailsTheErrorSaysWhy) {
  const TempDir dir;
  Sites sites(dir.path());
  sites.fail(Call::kClose, 0, EDQUOT);
  errno = ENOENT;
  const auto written = write_whole_file(dir.path() / "file", "content");
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().what.find(strerror(EDQUOT)), std::string::npos) << written.error().what;
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(SpoolOwnFiles, ACopyOfTheLanesThatCannotBeReadIsNone) {
  const TempDir dir;
  ASSERT_TRUE(LanesFile(dir.path()).write({}));
  {
    Sites sites(dir.path());
    sites.fail(Call::kRead, 0, EIO);
    EXPECT_FALSE(LanesFile(dir.path()).read());
    EXPECT_EQ(sites.hit(), "read of /lanes");
  }
  EXPECT_TRUE(LanesFile(dir.path()).read());
  std::filesystem::remove(dir.path() / "lanes");
  std::filesystem::create_directory(dir.path() / "lanes");
  EXPECT_FALSE(LanesFile(dir.path()).read());
}

// A race in one order only: the lane's row is planned, the record refused, the row written.
TEST(SpoolIoOrder, ARefusalDuringTheWriteOfItsLanesRowIsOnDiskAfterTheStop) {
  FaultVfs vfs;
  const TempDir dir;
  const Options options = lab_options(dir.path());
  LaneId lane = 0;
  {
    auto spool = open_or_die(options);
    Watcher watcher;
    spool->start(watcher);
    lane = spool->lane({"r", "t"});
    Feeder(*spool).put(lane, 9);
    ASSERT_TRUE(spool->flush());
    vfs.before_write(1, [&] { spool->quarantine(lane, 5, "poison"); });
    spool->acknowledge(lane, 1);
    ASSERT_TRUE(spool->flush());
    spool->stop();
  }
  auto spool = open_or_die(options);
  EXPECT_EQ(spool->state(lane).cursor, 1U);
  EXPECT_TRUE(spool->decided(lane, {5, 5}));
}

}  // namespace
}  // namespace penstock::spool::testing
