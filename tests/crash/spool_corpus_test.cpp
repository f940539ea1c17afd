// Damaged spools of all versions, kept for ever (corpus/README.md): each opens, hands out no wrong
// record and as many right ones as it ever did, gives every other one a fate, and takes new ones,
// twice. The offline tools end on each, say what is wrong and lose no more than the engine.
#include "tests/crash/spool_corpus.h"

#include <optional>

#include "agent/spool/offline_check.h"
#include "agent/spool/offline_repair.h"

namespace penstock::spool::testing {
namespace {

constexpr int kParts = 8;
// In the default run one damage in so many is gone through with everything; which, the seed says.
constexpr size_t kThorough = 8;

using Names = std::set<std::pair<LaneId, Seq>>;

// What a base holds, undamaged.
struct Base {
  SpoolFiles files;
  std::set<std::string> epochs;
  std::map<LaneId, Seq> next;
  Names pending;
  std::map<std::pair<LaneId, uint32_t>, std::string> origins;  // by lane and epoch
};

std::string body_in(const std::string& base, LaneId lane, Seq seq, size_t size) {
  const bool is_one_file = base == "format1" || base == "indexed1";
  return is_one_file ? Feeder::body(lane, seq, size) : corpus_body(lane, seq, size);
}

// Lanes that imported or salvaged records are in have another id than the one in the bodies.
std::string own_body(const std::string& base, const LaneKey& key, LaneId lane, Seq seq,
                     std::string_view body) {
  if (key.route.find('@') != std::string::npos) lane = 0;
  if (lane == 0 && body.starts_with("lane "))
    lane = static_cast<LaneId>(std::stoul(std::string(body.substr(5, 10))));
  return body_in(base, lane, seq, body.size());
}

// Pending and quarantined records, as `penstock spool export --quarantine` gets them. Those of the
// quarantine whose bytes are gone say so.
Names exported(OfflineSpool& spool, const std::string& base, bool with_quarantine = true) {
  Names names;
  RecordFilter filter;
  filter.quarantine = with_quarantine;
  spool.for_each(
      filter,
      [&](const OfflineRecord& record) {
        if (record.quarantine != nullptr && record.body.empty()) {
          EXPECT_NE(record.quarantine->reason.find("destroyed"), std::string::npos);
          return true;
        }
        const LaneKey& key = spool.lane(record.lane)->key;
        EXPECT_EQ(record.body, own_body(base, key, record.lane, record.seq, record.body));
        names.insert({record.lane, record.seq});
        return true;
      },
      [](const auto&, const auto&, const auto&) {});
  return names;
}

// What records are called, and whether they wait.
void for_each_name(OfflineSpool& spool,
                   const std::function<void(const OfflineRecord&, const std::string&)>& take) {
  RecordFilter filter;
  filter.delivered = filter.quarantine = true;
  spool.for_each(
      filter,
      [&](const OfflineRecord& record) {
        take(record, spool.origin(*spool.lane(record.lane), record.epoch));
        return true;
      },
      [](const auto&, const auto&, const auto&) {});
}

const Base& base_named(const std::string& name) {
  static std::map<std::string, Base> all;
  const auto found = all.find(name);
  if (found != all.end()) return found->second;
  Base& base = all[name];
  base.files = unpack(corpus_dir() / (name + ".zst"));
  const TempDir dir;
  spill_all(base.files, dir.path());
  auto spool = OfflineSpool::open(dir.path());
  EXPECT_TRUE(spool) << spool.error().what;
  if (!spool) return base;
  for (const auto& [id, epoch] : spool->epochs()) base.epochs.insert(epoch.name);
  for (const auto& [id, lane] : spool->lanes()) base.next[id] = lane.next_seq;
  base.pending = exported(*spool, name, false);
  for_each_name(*spool, [&base](const OfflineRecord& record, const std::string& origin) {
    base.origins[{record.lane, record.epoch}] = origin;
  });
  return base;
}

// What can be read of all lanes. What cannot is given up, as a lane does it.
class Walk {
 public:
  Walk(Spool& spool, std::string base) : spool_(spool), base_(std::move(base)) {
    for (const auto& lane : spool_.lanes()) {
      EXPECT_LE(lane.cursor, lane.next_seq - 1);
      read(lane);
    }
  }
  const Names& held() const { return held_; }

  // P2: no record without a fate. After a flush.
  void expect_fates() const {
    for (const auto& lane : spool_.lanes()) {
      expect_balanced(lane);
      ASSERT_LT(lane.next_seq, 100'000U) << "lane " << lane.id;
      for (Seq seq = lane.cursor + 1; seq < lane.next_seq; ++seq) {
        ASSERT_TRUE(held_.contains({lane.id, seq}) || spool_.decided(lane.id, {seq, seq}))
            << "lane " << lane.id << " seq " << seq << " is neither readable nor counted";
      }
    }
  }

 private:
  void read(const LaneState& lane) {
    for (Seq from = 1; from < 10'000;) {
      const auto segment = read_now(spool_, lane.id, from);
      if (!segment) {
        const SeqRange range = spool_.segment_range(lane.id, from);
        if (range.last < from) {  // below the cursor they go while this looks
          if (from > lane.cursor) return;
          from = lane.cursor + 1;
          continue;
        }
        spool_.damaged(lane.id, range.first, range.last, "corpus");
        from = range.last + 1;
        continue;
      }
      if (*segment == nullptr) return;
      Seq seq = (*segment)->first();
      for (const auto& body : bodies_of(**segment)) {
        EXPECT_EQ(body, own_body(base_, lane.key, lane.id, seq, body));
        held_.insert({lane.id, seq++});
      }
      from = seq;
    }
  }

  Spool& spool_;
  std::string base_;
  Names held_;
};

// Records behind a cursor that are still stored. Rows of the index that reach over a cursor have
// them read along; a start that has set a file aside looks at each segment, and leaves them out.
Names passed_in(const std::filesystem::path& dir) {
  Names names;
  auto spool = OfflineSpool::open(dir);
  if (!spool) return names;
  RecordFilter filter;
  filter.delivered = filter.quarantine = true;
  spool->for_each(
      filter,
      [&](const OfflineRecord& record) {
        if (record.seq <= spool->lane(record.lane)->cursor) names.insert({record.lane, record.seq});
        return true;
      },
      [](const auto&, const auto&, const auto&) {});
  return names;
}

// One of its life: read, write, stop. Gives what is there afterwards.
Names live_once(const Options& options, const std::string& base, size_t& readable,
                const Base* before = nullptr, const std::map<LaneId, Seq>& known = {},
                const Names& passed = {}) {
  auto opened = Spool::open(options, Log::none());
  EXPECT_TRUE(opened) << opened.error().what;
  if (!opened) return {};
  Spool& spool = **opened;
  Watcher watcher;
  spool.start(watcher);
  const Walk walk(spool, base);
  readable = walk.held().size();
  if (before != nullptr && !before->epochs.contains(spool.epoch())) {
    for (const auto& one : passed) readable += walk.held().contains(one) ? 0 : 1;
  }
  EXPECT_TRUE(spool.flush());
  walk.expect_fates();
  if (before != nullptr && before->epochs.contains(spool.epoch())) {
    for (const auto& [lane, next] : known)
      EXPECT_GE(spool.state(lane).next_seq, next) << "numbers of lane " << lane << " come again";
  }
  Names names = walk.held();
  Feeder feeder(spool);
  const LaneId lane = spool.lane({"r", "0"});
  auto records = feeder.take(lane, 2);
  for (auto& record : records) {
    record.body = body_in(base, lane, record.seq, 300);
    names.insert({lane, record.seq});
  }
  EXPECT_EQ(spool.enqueue(std::move(records)), Enqueue::kTaken);
  const auto written = spool.flush();
  EXPECT_TRUE(written) << written.error().what;
  std::erase_if(names, [&](const auto& one) {
    return one.second <= spool.state(one.first).cursor;  // it may be trimmed
  });
  spool.stop();
  return names;
}

void expect_all_of(const Names& wanted, const Names& found, const char* what) {
  size_t missing = 0;
  for (const auto& one : wanted) missing += found.contains(one) ? 0 : 1;
  EXPECT_EQ(missing, 0U) << what;
}

// The lanes' next numbers by the copy, as far as damage has left it.
std::map<LaneId, Seq> copied_lanes(const std::filesystem::path& dir) {
  std::map<LaneId, Seq> next;
  if (const auto copy = LanesFile(dir).read()) {
    for (const auto& row : copy->lanes) next[row.lane] = row.next_seq;
  }
  return next;
}

// Of commits that are nowhere but in the log of the active file only the copy tells.
bool spoils_the_last_commits(const Damage& damage) {
  const std::string active = damage.base == "rolled1"  ? "3.db"
                             : damage.base == "spare1" ? "2.db"
                                                       : "1.db";
  return std::any_of(damage.steps.begin(), damage.steps.end(),
                     [&](const auto& step) { return step.file == active + "-wal"; });
}

// What somebody knows the lanes' next numbers to be.
std::map<LaneId, Seq> known_next(const std::filesystem::path& dir, const Damage& damage,
                                 const Base& base) {
  return spoils_the_last_commits(damage) ? copied_lanes(dir) : base.next;
}

// A record keeps its name as long as the tables or the copy know its epoch, and what was delivered
// does not wait again as long as one of them knows the cursor.
void check_names(OfflineSpool& spool, const Base& base, const std::vector<Finding>& findings) {
  const auto copy = LanesFile(spool.dir()).read();
  const bool is_old = std::any_of(findings.begin(), findings.end(), [](const auto& one) {
    return one.what.find("gone back in time") != std::string::npos ||
           one.what.find("out of reach") != std::string::npos;
  });
  std::map<LaneId, Seq> cursors;
  for (const auto& lane : copy ? copy->lanes : std::vector<LaneRow>())
    cursors[lane.lane] = lane.cursor;
  size_t others = 0;
  size_t again = 0;
  for_each_name(spool, [&](const OfflineRecord& record, const std::string& origin) {
    const auto name = base.origins.find({record.lane, record.epoch});
    const bool is_lost =
        origin.find("/unknown-") != std::string::npos && !copy && !findings.empty();
    if (name != base.origins.end() && origin != name->second && !is_lost) ++others;
    if (record.state == RecordState::kPending && record.seq <= cursors[record.lane] && !is_old)
      ++again;
  });
  EXPECT_EQ(others, 0U) << "records are exported under other names";
  EXPECT_EQ(again, 0U) << "delivered records wait again";
}

// fsck and export, which write nothing, and what a repair makes of it. Gives what was exported.
std::optional<Names> check_tools(const std::filesystem::path& dir, const Damage& damage,
                                 const Base& base) {
  auto spool = OfflineSpool::open(dir);
  if (!spool) {
    EXPECT_NE(spool.error().what.find(dir.string()), std::string::npos) << spool.error().what;
    return std::nullopt;
  }
  Names names = exported(*spool, damage.base);
  CheckCounts counts;
  const auto findings = check_spool(*spool, counts);
  for (const auto& one : findings) {
    EXPECT_TRUE(one.file.string().starts_with(dir.string())) << one.file;
    EXPECT_FALSE(one.what.empty() || one.advice.empty());
  }
  const bool has_all =
      std::includes(names.begin(), names.end(), base.pending.begin(), base.pending.end());
  const auto known = known_next(dir, damage, base);
  const bool has_known =
      std::all_of(base.pending.begin(), base.pending.end(), [&](const auto& one) {
        const auto next = known.find(one.first);
        return names.contains(one) || next == known.end() || one.second >= next->second;
      });
  EXPECT_TRUE(has_known || !findings.empty()) << "records are missing, and fsck has nothing to say";
  check_names(*spool, base, findings);
  const bool is_sound = damage.steps.front().operation == "none";
  EXPECT_TRUE(!is_sound || (findings.empty() && has_all)) << "nothing is wrong with it";
  if (std::getenv("PENSTOCK_CORPUS_PRINT") != nullptr)
    std::printf("  export %zu of %zu, %zu findings\n", names.size(), base.pending.size(),
                findings.size());
  return names;
}

// In a file that has gone back waits what was delivered or quarantined since; a repair knows
// better.
void check_repair(const std::filesystem::path& dir, const Damage& damage, const Base& base,
                  Names before) {
  if (damage.noticed == Noticed::kGoneBack)
    std::erase_if(before, [&base](const auto& one) { return !base.pending.contains(one); });
  const TempDir into;
  std::filesystem::remove(into.path());
  std::set<std::string> known;  // an epoch whose name is lost stays lost
  if (auto damaged = OfflineSpool::open(dir)) {
    CheckCounts counts;
    for (const auto& one : check_spool(*damaged, counts)) known.insert(one.what);
  }
  const auto account = repair_spool(dir, into.path(), Log::none());
  ASSERT_TRUE(account) << account.error().what;
  {
    auto spool = OfflineSpool::open(into.path());
    ASSERT_TRUE(spool) << spool.error().what;
    expect_all_of(before, exported(*spool, damage.base), "repair keeps what export finds");
    CheckCounts counts;
    for (const auto& one : check_spool(*spool, counts))
      EXPECT_TRUE(known.contains(one.what)) << "a repaired spool is sound: " << one.what;
  }
  size_t readable = 0;
  live_once(corpus_options(into.path(), damage.base), damage.base, readable);
}

size_t waiting(const std::filesystem::path& dir, const std::string& base) {
  auto spool = OfflineSpool::open(dir);
  EXPECT_TRUE(spool) << spool.error().what;
  return spool ? exported(*spool, base, false).size() : 0;
}

// Before a start. Records that a repair finds again are in lanes of their own.
void check_noticed(const std::filesystem::path& dir, const Damage& damage) {
  auto spool = OfflineSpool::open(dir);
  ASSERT_TRUE(spool) << spool.error().what;
  CheckCounts counts;
  const auto findings = check_spool(*spool, counts);
  if (damage.noticed == Noticed::kNothing) {
    EXPECT_TRUE(findings.empty()) << findings.front().what;
    return;
  }
  EXPECT_TRUE(std::any_of(findings.begin(), findings.end(), [](const auto& one) {
    return one.what.find("gone back in time") != std::string::npos ||
           one.what.find("out of reach") != std::string::npos;
  })) << "fsck does not say it";
  const TempDir into;
  std::filesystem::remove(into.path());
  ASSERT_TRUE(repair_spool(dir, into.path(), Log::none()));
  const size_t repaired = waiting(into.path(), damage.base);
  EXPECT_GE(repaired, damage.repaired);
  if (std::getenv("PENSTOCK_CORPUS_PRINT") != nullptr) std::printf("  repaired %zu\n", repaired);
}

// After it: a file that is sound is gone on with.
void check_went_on(const std::filesystem::path& dir, const Damage& damage, const Base& base) {
  auto spool = OfflineSpool::open(dir);
  ASSERT_TRUE(spool) << spool.error().what;
  ASSERT_NE(spool->newest_epoch(), nullptr);
  const bool is_same = base.epochs.contains(spool->newest_epoch()->name);
  EXPECT_EQ(is_same, damage.noticed == Noticed::kNothing);
}

void check(const Damage& damage, bool is_thorough) {
  const Base& base = base_named(damage.base);
  SpoolFiles files = base.files;
  ASSERT_NO_THROW(damage.inflict(files));
  const TempDir dir;
  spill_all(files, dir.path());
  if (is_thorough) {
    const auto names = check_tools(dir.path(), damage, base);
    if (names) check_repair(dir.path(), damage, base, *names);
  }
  if (damage.noticed != Noticed::kAny) check_noticed(dir.path(), damage);
  const Options options = corpus_options(dir.path(), damage.base);
  size_t now = 0;
  const auto known = known_next(dir.path(), damage, base);
  const Names first = live_once(options, damage.base, now, &base, known, passed_in(dir.path()));
  EXPECT_GE(now, damage.readable);
  if (damage.noticed != Noticed::kAny) check_went_on(dir.path(), damage, base);
  if (std::getenv("PENSTOCK_CORPUS_PRINT") != nullptr)
    std::printf("%s= %zu\n", damage.line.substr(0, damage.line.find('=')).c_str(), now);
  if (!is_thorough) return;
  size_t again = 0;
  expect_all_of(first, live_once(options, damage.base, again),
                "the second start has what the first had");
}

class SpoolCorpus : public ::testing::TestWithParam<int> {};

TEST_P(SpoolCorpus, EveryDamageIsSurvivedAsWellAsEver) {
  const auto damages = all_damages();
  EXPECT_GE(damages.size(), 180U);
  const bool is_all = std::getenv("PENSTOCK_CORPUS_ALL") != nullptr;
  const size_t thorough = is_all ? 0 : test_seed() % kThorough;
  const auto part = static_cast<size_t>(GetParam());
  for (size_t i = part; i < damages.size(); i += kParts) {
    SCOPED_TRACE(damages[i].line);
    check(damages[i], is_all || i / kParts % kThorough == thorough);
  }
}

INSTANTIATE_TEST_SUITE_P(Part, SpoolCorpus, ::testing::Range(0, kParts));

}  // namespace
}  // namespace penstock::spool::testing
