#include "tests/crash/spool_cut_lab.h"

#include <atomic>
#include <cstdlib>

#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/spool/offline_reader.h"
#include "tests/support/paths.h"

namespace penstock::spool::testing {
namespace {

using Survives = FaultVfs::Survives;

std::vector<sqlite3*> opened_databases;  // by the spool under test; its last is the current one

int note_database(sqlite3* db, char**, const sqlite3_api_routines*) {
  opened_databases.push_back(db);
  return SQLITE_OK;
}

class Life {
 public:
  Life(std::filesystem::path base, const LifePlan& plan)
      : base_(std::move(base)), plan_(plan), random_(plan.seed), cut_random_(plan.seed + 1) {}

  std::vector<Cut> run() {
    sqlite3_auto_extension(reinterpret_cast<void (*)()>(&note_database));
    promise_.exact = plan_.faults == 0;
    if (plan_.control == Control::kPowersafe) vfs_.pretend_powersafe();
    arm();
    begin();
    for (int step = 0; taken_ < plan_.cuts && step < 20000; ++step) {
      if (step % 100 < plan_.faults)
        vfs_.fail_operation(static_cast<int>(random_() % 40),
                            static_cast<FaultVfs::Fault>(random_() % 2));
      one_step();
    }
    vfs_.before_operation(0, nullptr);
    end();
    sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(&note_database));
    return std::move(cuts_);
  }

 private:
  void arm() {
    vfs_.before_operation(1 + static_cast<int>(cut_random_() % static_cast<uint64_t>(plan_.every)),
                          [this] {
                            take_cut();
                            if (taken_ < plan_.cuts) arm();
                          });
  }

  // On the spool thread, in the middle of an operation; or on ours, while it opens.
  void take_cut() {
    Cut cut;
    cut.dir = base_ / ("cut" + std::to_string(cuts_.size()));
    cut.mode = static_cast<Survives>(cut_random_() % FaultVfs::kModes);
    if (plan_.mode) cut.mode = *plan_.mode;
    cut.story = "life " + std::to_string(plan_.seed) + ", cut " + std::to_string(cuts_.size()) +
                ", mode " + std::to_string(static_cast<int>(cut.mode));
    {
      const std::lock_guard lock(mutex_);
      cut.promise = promise_;
    }
    vfs_.cut_with_names(dir(), cut.dir, cut.mode, cut_random_);
    cuts_.push_back(std::move(cut));
    ++taken_;
  }

  std::filesystem::path dir() const { return base_ / "spool"; }

  // An opening that fails because of a fault of ours is tried again: the fault happens once.
  void begin() {
    for (int attempt = 0; !spool_; ++attempt) {
      opened_databases.clear();
      auto opened = Spool::open(lab_options(dir()), Log::none());
      if (opened) {
        spool_ = std::move(*opened);
      } else if (attempt >= 3 || plan_.faults == 0) {
        ADD_FAILURE() << "life " << plan_.seed << ": " << opened.error().what;
        std::abort();
      }
    }
    if (plan_.control == Control::kNormalSync)
      sqlite3_exec(opened_databases.back(), "PRAGMA synchronous=NORMAL", nullptr, nullptr, nullptr);
    watcher_ = std::make_unique<Watcher>();
    numbers_.clear();
    covered_ = 0;
    watcher_->durable_hook = [this](SourceId, uint64_t up_to) {
      const std::lock_guard lock(mutex_);
      for (; covered_ < up_to; ++covered_) {
        const auto [lane, seq] = numbers_[covered_];
        promise_.durable[lane] = std::max(promise_.durable[lane], seq);
      }
    };
    lanes_.clear();
    for (int i = 0; i < 4; ++i) lanes_.push_back(spool_->lane({"r", std::to_string(i)}));
    // What the restart found is not known to be lost or kept; numbers go on from it either way.
    feeder_ = std::make_unique<Feeder>(*spool_);
    spool_->start(*watcher_);
  }

  void end() {
    if (spool_) spool_->stop();
    spool_.reset();
  }

  void one_step() {
    const uint64_t dice = random_() % 100;
    const LaneId lane = lanes_[random_() % lanes_.size()];
    if (dice < 2) {
      restart();
    } else if (dice < 70) {
      put(lane, 1 + static_cast<int>(random_() % 20), 40 + random_() % 900);
    } else if (dice < 72) {
      put(lane, 2, 20000);
    } else if (dice < 76) {
      put(kUnroutedLane, 1, 100);
    } else {
      acknowledge(lane);
    }
  }

  void restart() {
    end();
    begin();
  }

  void put(LaneId lane, int count, size_t size) {
    auto records = feeder_->take(lane, count, size);
    if (lane == kUnroutedLane || random_() % 10 == 0) records.front().refusal = "refused";
    {
      const std::lock_guard lock(mutex_);
      for (const auto& record : records) {
        numbers_.emplace_back(record.lane, record.seq);
        // A number that a fault took back is given again.
        promise_.refused[lane].erase(record.seq);
        promise_.poison[lane].erase(record.seq);
        if (!record.refusal.empty()) promise_.refused[lane].insert(record.seq);
        if (plan_.control == Control::kAckBeforeCommit) promise_.durable[lane] = record.seq;
      }
    }
    if (spool_->enqueue(std::move(records)) != Enqueue::kTaken) return restart();
    if (random_() % 4 != 0 && !spool_->flush()) restart();
  }

  void acknowledge(LaneId lane) {
    const LaneState state = spool_->state(lane);
    if (state.pending() < 20) return;
    const Seq up_to = state.cursor + 1 + random_() % 20;
    {
      const std::lock_guard lock(mutex_);
      promise_.acknowledged[lane] = std::max(promise_.acknowledged[lane], up_to);
      if (up_to % 3 == 0) promise_.poison[lane].insert(up_to);
    }
    if (up_to % 3 == 0) spool_->quarantine(lane, up_to, "poison");
    spool_->acknowledge(lane, up_to);
  }

  const std::filesystem::path base_;
  const LifePlan plan_;
  std::mt19937_64 random_;      // what happens
  std::mt19937_64 cut_random_;  // what the medium does
  FaultVfs vfs_;
  std::mutex mutex_;
  Promise promise_;
  std::vector<std::pair<LaneId, Seq>> numbers_;  // by source_seq - 1
  uint64_t covered_ = 0;
  std::vector<Cut> cuts_;
  std::atomic<int> taken_{0};
  std::vector<LaneId> lanes_;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Feeder> feeder_;
  std::unique_ptr<Spool> spool_;
};

std::string at(LaneId lane, const std::string& what) {
  return "lane " + std::to_string(lane) + ": " + what;
}

// What is wrong with one lane; empty when nothing is.
std::string fault_of(Spool& spool, LaneId lane, const Promise& promise) {
  const auto known = [lane](const auto& map) {
    const auto it = map.find(lane);
    return it == map.end() ? typename std::decay_t<decltype(map)>::mapped_type{} : it->second;
  };
  const Seq durable = known(promise.durable);
  const std::set<Seq> refused = known(promise.refused);
  std::set<Seq> decided = known(promise.poison);
  decided.insert(refused.begin(), refused.end());
  const LaneState state = spool.state(lane);
  if (state.next_seq <= durable)
    return at(lane, "ends at " + std::to_string(state.next_seq - 1) + ", promised " +
                        std::to_string(durable));
  const std::set<Seq> given_up = known(promise.given_up);
  if (state.damaged > given_up.size()) return at(lane, std::to_string(state.damaged) + " damaged");
  Seq allowed = known(promise.acknowledged);
  while (decided.contains(allowed + 1) || given_up.contains(allowed + 1)) ++allowed;
  if (state.cursor > allowed)
    return at(lane,
              "cursor " + std::to_string(state.cursor) + " is ahead of " + std::to_string(allowed));
  const auto up_to_cursor = [&state](const std::set<Seq>& seqs) {
    return static_cast<uint64_t>(std::distance(seqs.begin(), seqs.upper_bound(state.cursor)));
  };
  const uint64_t most = up_to_cursor(decided);
  std::set<Seq> on_disk = known(promise.quarantined);
  on_disk.insert(refused.begin(), refused.end());
  const uint64_t least = promise.exact ? most : up_to_cursor(on_disk);
  if (state.quarantined < least || state.quarantined > most) {
    return at(lane, std::to_string(state.quarantined) + " quarantined, expected " +
                        std::to_string(least) + ".." + std::to_string(most));
  }
  std::set<Seq> held;
  for (Seq from = state.cursor + 1;;) {
    const auto segment = read_now(spool, lane, from);
    if (!segment) return at(lane, segment.error().what);
    if (*segment == nullptr) break;
    Seq seq = (*segment)->first();
    for (const auto& body : bodies_of(**segment)) {
      if (body != Feeder::body(lane, seq, body.size()))
        return at(lane, "record " + std::to_string(seq) + " is not what it was");
      held.insert(seq++);
    }
    from = seq;
  }
  for (Seq seq = state.cursor + 1; seq < state.next_seq; ++seq) {
    if (!held.contains(seq) && !decided.contains(seq) && !given_up.contains(seq))
      return at(lane, "record " + std::to_string(seq) + " is gone");
  }
  return {};
}

// A copy in the quarantine that is not what the record was; empty: none. Of a spool at rest.
std::string bad_copy_in(const std::filesystem::path& dir, const Promise& promise) {
  auto spool = OfflineSpool::open(dir);
  if (!spool) return spool.error().what;
  for (const auto& [lane, found] : spool->lanes()) {
    for (const auto& copy : found.quarantine) {
      const auto is_in = [&, id = lane](const auto& seqs) {
        const auto of_lane = seqs.find(id);
        return of_lane != seqs.end() && of_lane->second.contains(copy.seq);
      };
      if (!is_in(promise.poison) && !is_in(promise.refused)) continue;
      const auto body = spool->load(copy);
      if (!body) return at(lane, body.error().what);
      if (*body != Feeder::body(lane, copy.seq, body->size()))
        return at(lane, "quarantined record " + std::to_string(copy.seq) + " is not what it was");
    }
  }
  return {};
}

Verdict look(const std::filesystem::path& dir, const Promise& promise, bool go_on) {
  Verdict verdict;
  auto opened = Spool::open(lab_options(dir), Log::none());
  if (!opened) {
    verdict.refused = true;
    verdict.what = opened.error().what;
    return verdict;
  }
  Spool& spool = **opened;
  Watcher watcher;
  spool.start(watcher);
  for (LaneId lane = 0; lane <= 4 && !verdict.lost; ++lane) {
    verdict.what = fault_of(spool, lane, promise);
    verdict.lost = !verdict.what.empty();
  }
  if (go_on && !verdict.lost) {
    Feeder feeder(spool);
    const bool taken = spool.enqueue(feeder.take(spool.lane({"r", "0"}), 3)) == Enqueue::kTaken;
    verdict.lost = !taken || !spool.flush();
    if (verdict.lost) verdict.what = "it does not go on";
  }
  spool.stop();
  opened->reset();
  if (!verdict.lost) {
    verdict.what = bad_copy_in(dir, promise);
    verdict.lost = !verdict.what.empty();
  }
  return verdict;
}

}  // namespace

std::filesystem::path make_lab_dir() {
  std::string pattern = test::build_dir() + "/spool_lab_XXXXXX";
  struct statvfs memory {};
  if (access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &memory) == 0 &&
      memory.f_bavail * memory.f_frsize > uint64_t{512} << 20) {
    pattern = "/dev/shm/penstock_spool_lab_XXXXXX";
  }
  if (mkdtemp(pattern.data()) == nullptr) std::abort();
  return pattern;
}

Options lab_options(const std::filesystem::path& dir) {
  Options options = options_in(dir);
  options.max_size_bytes = 4 << 20;  // a small WAL, so that checkpoints are among what is cut
  return options;
}

std::vector<Cut> live_and_cut(const std::filesystem::path& base, const LifePlan& plan) {
  return Life(base, plan).run();
}

Verdict check(const Cut& cut, bool again, uint64_t seed) {
  if (again) {
    const auto second = cut.dir.string() + "-again";
    {
      FaultVfs vfs;
      vfs.adopt(cut.dir);
      std::mt19937_64 random(seed);
      const auto mode = static_cast<Survives>(random() % FaultVfs::kModes);
      bool taken = false;
      vfs.before_operation(1 + static_cast<int>(random() % 30), [&] {
        vfs.cut_with_names(cut.dir, second, mode, random);
        taken = true;
      });
      Verdict first = look(cut.dir, cut.promise, true);
      vfs.before_operation(0, nullptr);
      if (first.refused || first.lost || !taken) return first;
    }
    // look() may have added records of its own: more than promised, never less.
    Verdict verdict = look(second, cut.promise, false);
    std::filesystem::remove_all(second);
    if (!verdict.what.empty()) verdict.what = "cut again while opening: " + verdict.what;
    return verdict;
  }
  return look(cut.dir, cut.promise, true);
}

}  // namespace penstock::spool::testing
