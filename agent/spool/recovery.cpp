#include "agent/spool/recovery.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include <spdlog/fmt/fmt.h>

#include "agent/spool/database.h"
#include "agent/spool/gone_back.h"
#include "agent/spool/volatile_fs.h"

namespace penstock::spool {
namespace {

constexpr Millis kReadRetry{100};

class Recovery {
 public:
  Recovery(const Options& options, const Surroundings& now, int64_t wall_us, const Log& log)
      : options_(options),
        now_(now),
        wall_us_(wall_us),
        log_(log),
        sizing_(sizing_for(options.max_size_bytes)),
        out_{.lanes_file = LanesFile(options.dir)} {}

  Result<Recovered> run() {
    patient_until_ = read_clock().mono + options_.salvage_wait;
    copy_ = out_.lanes_file.read();
    if (auto done = finish_keeping(options_.dir); !done)
      log_.warning("spool: {}", done.error().what);
    out_.kept = list_kept(options_.dir);
    for (const auto& kept : out_.kept) {
      log_.error("{}: kept; penstock spool repair gets out of it what can be had",
                 kept_file(options_.dir, kept).string());
      out_.newest = kept.number;
    }
    if (auto done = open_all(); !done) return std::move(done).error();
    set_misplaced_aside();
    if (auto done = settle_lone_logs(); !done) return std::move(done).error();
    auto good = take_newest();
    if (!good) return std::move(good).error();
    if (!*good) {
      if (auto done = begin_fresh(); !done) return std::move(done).error();
    }
    if (auto done = settle_files(); !done) return std::move(done).error();
    return std::move(out_);
  }

 private:
  Result<void> open_all();
  Result<void> open_one(uint32_t number);
  Result<Connection> open_patiently(uint32_t number, OpenTrouble& trouble);
  void park(uint32_t number, const Error& why);
  bool is_unused(Connection& db, uint32_t number) const;
  bool was_before(Generation& one, Generation& other) const;
  void set_misplaced_aside();
  bool is_newest_good() const;
  Result<bool> take_newest();
  Result<void> begin_fresh();
  Result<std::unique_ptr<Generation>> blank();
  std::vector<LaneRow> remembered_lanes();
  Result<Loaded> load_all(const std::vector<LaneRow>& lanes);
  Result<void> continue_epoch(bool broken);
  Result<void> settle_lone_logs();
  void mark_given_up();
  Result<void> settle_files();
  std::string file(uint32_t number) const { return generation_file(options_.dir, number).string(); }

  const Options& options_;
  const Surroundings& now_;
  const int64_t wall_us_;
  const Log& log_;
  const Sizing sizing_;
  std::optional<LanesCopy> copy_;
  std::vector<std::unique_ptr<Generation>> blanks_;  // nothing was ever committed to them
  std::map<uint32_t, EpochRow> epochs_;
  std::vector<uint32_t> lost_;  // databases that are gone, but not their logs
  using EpochNames = std::set<std::pair<uint32_t, std::string>>;
  std::map<uint32_t, EpochNames> epochs_of_;  // of the files whose epochs can be read
  MonoTime patient_until_{};                  // with read errors
  bool newest_has_gone_back_ = false;         // of the files that can be read
  Recovered out_;
};

Result<void> Recovery::open_all() {
  auto numbers = list_generations(options_.dir);
  if (!numbers) return std::move(numbers).error();
  if (copy_) {
    for (const auto& epoch : copy_->epochs) epochs_[epoch.id] = epoch;
  }
  for (const uint32_t number : *numbers) {
    out_.newest = std::max(out_.newest, number);
    if (auto done = open_one(number); !done) return done;
  }
  return {};
}

void Recovery::park(uint32_t number, const Error& why) {
  // The agent gets nothing out of a file that is no database any more, the tools still may.
  const char* advice = why.kind == ErrorKind::kCorrupt
                           ? "; penstock spool repair gets out of it what can be had"
                           : "";
  log_.error("{}: {}; it is left as it is, what is in it is not delivered{}", file(number),
             why.what, advice);
  out_.parked.push_back(number);
}

// Was nothing ever committed to this file, which has no epochs? A bit that flipped in the table's
// root page looks the same; other tables and the copy know better.
bool Recovery::is_unused(Connection& db, uint32_t number) const {
  if (copy_ && copy_->active == number) return false;
  for (const char* table : {"seg", "lane_state", "quarantine", "fate", "clock"}) {
    const auto rows = db.number(fmt::format("SELECT EXISTS(SELECT 1 FROM {})", table));
    if (!rows || *rows != 0) return false;
  }
  return true;
}

// A read error may pass, and a file that is parked costs: the start waits for it, once for all.
Result<Connection> Recovery::open_patiently(uint32_t number, OpenTrouble& trouble) {
  for (bool is_first = true;; is_first = false) {
    auto db = open_existing(file(number), sizing_, &trouble);
    if (db && !read_epochs(*db)) trouble = trouble_of(db->last_code());
    if (trouble != OpenTrouble::kReadError || read_clock().mono >= patient_until_) return db;
    if (is_first) {
      log_.warning("{}: {}; tried again", file(number),
                   db ? "its table of epochs cannot be read" : db.error().what);
    }
    std::this_thread::sleep_for(kReadRetry);
  }
}

Result<void> Recovery::open_one(uint32_t number) {
  OpenTrouble trouble = OpenTrouble::kOther;
  auto db = open_patiently(number, trouble);
  if (!db && (db.error().kind == ErrorKind::kCorrupt || db.error().kind == ErrorKind::kRejected ||
              trouble == OpenTrouble::kUnopenable)) {
    park(number, db.error());
    return {};
  }
  if (!db && db.error().kind == ErrorKind::kFull) {
    // One without tables yet, and no room to make them.
    log_.warning("{}: {}; not used", file(number), db.error().what);
    return {};
  }
  if (!db) return std::move(db).error();
  auto epochs = read_epochs(*db);
  if (epochs && epochs->empty() && !is_unused(*db, number)) {
    const auto lanes = db->number("SELECT count(*) FROM lane_state");
    if (lanes && *lanes == 0) {  // as an older file it would say that no lane has gone on before it
      park(number,
           {ErrorKind::kCorrupt, "it was written to, but nothing is in it: its log is lost", {}});
      return {};
    }
    epochs = Error{ErrorKind::kCorrupt, "it was written to, but its table of epochs is empty", {}};
  }
  auto store = Store::make(std::move(*db), sizing_);
  if (!store) {
    park(number, store.error());
    return {};
  }
  store->freeze();  // until it is known what it is
  auto generation = std::make_unique<Generation>(Generation{number, std::move(*store)});
  if (epochs && epochs->empty()) {
    blanks_.push_back(std::move(generation));
    return {};
  }
  if (epochs) {
    for (auto& epoch : *epochs) {
      epochs_of_[number].emplace(epoch.id, epoch.name);
      epochs_[epoch.id] = std::move(epoch);
    }
  } else {
    log_.error("{}: {}", file(number), epochs.error().what);
  }
  out_.older.push_back(std::move(generation));
  return {};
}

// Was `one`, which has the higher number, in use before `other`? Then somebody has renamed it. A
// file that comes after another begins with all epochs of that one, or with a new one nobody else
// has, and with every lane where it had got to: it can lack an epoch of the other only by damage,
// and begin a lane before it only by another.
bool Recovery::was_before(Generation& one, Generation& other) const {
  const auto mine = epochs_of_.find(one.number);
  const auto others = epochs_of_.find(other.number);
  if (mine == epochs_of_.end() || others == epochs_of_.end()) return false;
  const auto& [has, all] = std::tie(mine->second, others->second);
  if (has.size() >= all.size() || !std::includes(all.begin(), all.end(), has.begin(), has.end()))
    return false;
  const auto lanes = read_lanes(one.store.connection());
  const auto known = read_lanes(other.store.connection());
  if (!lanes || !known) return false;
  std::map<LaneId, const LaneRow*> by_id;
  for (const auto& row : *known) by_id[row.lane] = &row;
  bool begins_before = false;
  for (const auto& row : *lanes) {
    const auto found = by_id.find(row.lane);
    if (found == by_id.end() || found->second->key != row.key) return false;
    if (row.first_seq > found->second->first_seq) return false;
    begins_before = begins_before || row.first_seq < found->second->first_seq;
  }
  return begins_before;
}

// As the newest file it would have numbers given out again, and hide what newer ones hold. One that
// the copy calls active has been in use like this.
void Recovery::set_misplaced_aside() {
  auto& files = out_.older;
  for (auto it = files.begin(); it != files.end();) {
    const KeptFile kept{(*it)->number, KeptFor::kRecords};
    const auto later = std::find_if(files.begin(), it,
                                    [&](const auto& other) { return was_before(**it, *other); });
    if (later == it || (copy_ && copy_->active == kept.number)) {
      ++it;
      continue;
    }
    log_.error(
        "{}: it was in use before {} and has a wrong number; what waits in it is counted as "
        "damaged. It is kept as {}; penstock spool repair gets out of it what can be had",
        file(kept.number), file((*later)->number), kept_file(options_.dir, kept).string());
    epochs_of_.erase(kept.number);
    it = files.erase(it);
    if (auto done = keep_generation(options_.dir, kept); done) {
      out_.kept.push_back(kept);
    } else {
      park(kept.number, done.error());
    }
  }
  std::sort(out_.kept.begin(), out_.kept.end());
  std::sort(out_.parked.begin(), out_.parked.end());
}

// Is the newest file that was written to here, and the last that was?
bool Recovery::is_newest_good() const {
  if (out_.older.empty()) return false;
  const uint32_t newest = out_.older.back()->number;
  if (!epochs_of_.contains(newest)) return false;
  if (!lost_.empty() && lost_.back() > newest) return false;
  return (out_.parked.empty() || out_.parked.back() < newest) &&
         (!copy_ || copy_->active <= newest);
}

Result<bool> Recovery::take_newest() {
  if (!is_newest_good()) return false;
  out_.active = std::move(out_.older.back());
  out_.older.pop_back();
  out_.active->store.thaw();
  Result<void> done = has_whole_log(file(out_.active->number) + "-wal");
  auto loaded = done ? load_all({}) : Result<Loaded>(done.error());
  if (loaded) done = reaches_copy(loaded->ledger, copy_);
  newest_has_gone_back_ = !done;
  if (!loaded) done = loaded.error();
  if (done) done = continue_epoch(false);
  if (done) {
    out_.loaded = std::move(*loaded);
    return true;
  }
  if (done.error().kind != ErrorKind::kCorrupt)
    return std::move(done).error().in(file(out_.active->number));
  log_.error("{}: {}; collection goes on in a new file", file(out_.active->number),
             done.error().what);
  out_.active->store.freeze();
  out_.older.push_back(std::move(out_.active));
  return false;
}

Result<Loaded> Recovery::load_all(const std::vector<LaneRow>& lanes) {
  std::vector<LoadSource> sources;
  if (out_.active) sources.push_back({out_.active->number, &out_.active->store.connection(), true});
  for (auto it = out_.older.rbegin(); it != out_.older.rend(); ++it)
    sources.push_back({(*it)->number, &(*it)->store.connection(), false});
  // What a read that failed once did not find would be counted as damaged.
  const auto take_read_error = [&sources] {
    bool any = false;
    for (const auto& source : sources) any = source.db->take_read_error() || any;
    return any;
  };
  for (bool is_first = true;; is_first = false) {
    (void)take_read_error();
    auto loaded = load(sources, lanes, wall_us_, log_, options_.quarantine_quota());
    if (!take_read_error() || read_clock().mono >= patient_until_) return loaded;
    if (is_first) log_.warning("spool: a file cannot be read; tried again");
    std::this_thread::sleep_for(kReadRetry);
  }
}

// Adds the epoch that begins now, if one does, to the active generation.
Result<void> Recovery::continue_epoch(bool broken) {
  for (const auto& [id, epoch] : epochs_) out_.epochs.push_back(epoch);
  const auto fresh = next_epoch(out_.epochs, now_, broken, wall_us_, log_);
  if (!fresh) return {};
  out_.epochs.push_back(*fresh);
  if (broken) return {};  // comes with the activation
  Transaction transaction;
  transaction.epochs.push_back(*fresh);
  return out_.active->store.apply(transaction);
}

// The furthest any readable file or the copy knows each lane to be.
std::vector<LaneRow> Recovery::remembered_lanes() {
  std::map<LaneId, LaneRow> lanes;
  const auto learn = [&lanes](const std::vector<LaneRow>& rows) {
    for (const auto& row : rows) {
      LaneRow& known = lanes.try_emplace(row.lane, row).first->second;
      if (row.key != known.key) continue;
      if (row.cursor > known.cursor) {
        known.cursor = row.cursor;
        known.counts = row.counts;
      }
      known.next_seq = std::max(known.next_seq, row.next_seq);
      known.refused = std::max(known.refused, row.refused);
      known.quarantine_bytes = std::max(known.quarantine_bytes, row.quarantine_bytes);
    }
  };
  if (copy_) learn(copy_->lanes);
  for (auto it = out_.older.rbegin(); it != out_.older.rend(); ++it) {
    if (auto rows = read_lanes((*it)->store.connection())) learn(*rows);
  }
  std::vector<LaneRow> rows;
  for (auto& [id, row] : lanes) rows.push_back(std::move(row));
  return rows;
}

Result<void> Recovery::begin_fresh() {
  const bool is_first = out_.older.empty() && out_.parked.empty() && epochs_.empty();
  auto fresh = blank();
  if (!fresh) return std::move(fresh).error();
  auto loaded = load_all(remembered_lanes());
  if (!loaded) return std::move(loaded).error();
  out_.loaded = std::move(*loaded);
  out_.active = std::move(*fresh);
  out_.epochs.clear();
  if (auto done = continue_epoch(true); !done) return done;
  const auto name = generation_file(options_.dir, out_.active->number);
  auto& db = out_.active->store.connection();
  if (auto ready = prepare_for_writing(db, name, sizing_, log_); !ready) return ready;
  mark_given_up();
  auto begun =
      out_.active->store.apply(activation(out_.loaded.ledger, out_.epochs, out_.loaded.marks));
  if (!begun) return std::move(begun).error().in(name.string());
  if (!is_first)
    log_.error("spool: collection goes on in {}, epoch {}", name.string(), out_.epochs.back().name);
  return {};
}

// A log without its database is the rest of a removal where the spool has gone on in newer files,
// or of one with nothing in it. Else the database was taken away, and what was committed last is
// here alone.
Result<void> Recovery::settle_lone_logs() {
  auto logs = list_lone_logs(options_.dir);
  if (!logs) return std::move(logs).error();
  const uint32_t newest = out_.older.empty() ? 0 : out_.older.back()->number;
  for (const uint32_t number : *logs) {
    const auto log = std::filesystem::path(file(number) + "-wal");
    std::error_code failed;
    if ((copy_ && copy_->active > number && newest > number) || !log_has_rows(log)) {
      std::filesystem::remove(log, failed);
      continue;
    }
    out_.newest = std::max(out_.newest, number);
    lost_.push_back(number);
    auto aside = set_log_aside(options_.dir, number);
    log_.error(
        "{} is gone, its log is not; it is kept as {}. Put the database back beside its log under "
        "the old name, or let penstock spool repair get out of the log what can be had",
        file(number), aside ? aside->string() : log.string() + " (" + aside.error().what + ")");
  }
  return {};
}

// Of the files that are newer than what the lanes are known by: what they hold from here on was
// acknowledged too, and its numbers are given out again.
void Recovery::mark_given_up() {
  ParkedMark mark;
  for (const auto& state : out_.loaded.ledger.states()) mark.ends[state.id] = state.next_seq;
  const uint32_t newest = out_.older.empty() ? 0 : out_.older.back()->number;
  std::vector<uint32_t> given_up = out_.parked;
  given_up.insert(given_up.end(), lost_.begin(), lost_.end());
  if (newest > 0) given_up.push_back(newest);
  for (const uint32_t number : given_up) {
    if (number < newest) continue;
    mark.has_gone_back = number == newest && newest_has_gone_back_;
    if (auto written = write_parked_mark(options_.dir, number, mark); !written)
      log_.warning("{}: {}", file(number), written.error().what);
  }
}

// A file with tables and nothing in them, newer than all others.
Result<std::unique_ptr<Generation>> Recovery::blank() {
  uint32_t used = copy_ ? copy_->active : 0;
  for (const auto& generation : out_.older) used = std::max(used, generation->number);
  for (const uint32_t number : out_.parked) used = std::max(used, number);
  if (!blanks_.empty() && blanks_.back()->number > used) {
    auto taken = std::move(blanks_.back());
    blanks_.pop_back();
    taken->store.thaw();
    return taken;
  }
  out_.newest = std::max(out_.newest, used) + 1;
  auto db = open_existing(file(out_.newest), sizing_);
  if (!db) return std::move(db).error();
  auto store = Store::make(std::move(*db), sizing_);
  if (!store) return std::move(store).error();
  return std::make_unique<Generation>(Generation{out_.newest, std::move(*store)});
}

// Roles of all files: older ones are not written any more, of those with nothing in them one is the
// spare.
Result<void> Recovery::settle_files() {
  uint64_t others = 0;
  for (const auto& generation : out_.older)
    others += generation_bytes(options_.dir, generation->number);
  for (const uint32_t number : out_.parked) others += generation_bytes(options_.dir, number);
  for (const auto& kept : out_.kept) others += kept_bytes(options_.dir, kept);
  for (const auto& generation : out_.older)
    generation->has_strangers = out_.loaded.with_strangers.contains(generation->number);
  std::vector<uint32_t> numbers;
  for (const auto& generation : blanks_) numbers.push_back(generation->number);
  blanks_.clear();
  const bool wants_spare = sizing_.spare_bytes > 0;
  if (wants_spare && !numbers.empty() && numbers.back() > out_.active->number) {
    out_.spare = numbers.back();
    numbers.pop_back();
  }
  for (const uint32_t number : numbers) (void)remove_generation(options_.dir, number);
  const auto free = free_bytes(options_.dir);
  if (wants_spare && !out_.spare &&
      free.value_or(UINT64_MAX) >= options_.min_free_bytes + sizing_.spare_bytes) {
    const uint32_t number = out_.newest + 1;
    auto made = make_spare(options_.dir, number, spare_sizing(options_.max_size_bytes), log_);
    if (!made) log_.warning("spool: no spare file could be made: {}", made.error().what);
    if (made) out_.spare = out_.newest = number;
  }
  const auto name = generation_file(options_.dir, out_.active->number);
  auto& db = out_.active->store.connection();
  if (auto ready = prepare_for_writing(db, name, sizing_, log_); !ready) return ready;
  return out_.active->store.resize(sizing_for(options_.max_size_bytes, others));
}

}  // namespace

Result<Recovered> recover(const Options& options, const Surroundings& now, int64_t wall_us,
                          const Log& log) {
  return Recovery(options, now, wall_us, log).run();
}

Transaction activation(const Ledger& ledger, const std::vector<EpochRow>& epochs,
                       std::vector<ClockMark> marks) {
  Transaction transaction;
  transaction.epochs = epochs;
  transaction.marks = std::move(marks);
  for (const auto& state : ledger.states()) {
    if (!ledger.is_persisted(state.id)) continue;  // comes with its first record
    LaneRow row = ledger.row(state.id, false, false);
    row.first_seq = row.next_seq;
    transaction.lanes.push_back(std::move(row));
  }
  return transaction;
}

}  // namespace penstock::spool
