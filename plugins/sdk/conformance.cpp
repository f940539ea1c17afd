#include "conformance.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>

#include "conformance_bench.h"
#include "conformance_caller.h"
#include <dirent.h>
#include <malloc.h>

// Under AddressSanitizer mallinfo2 knows nothing; this does, and is absent otherwise.
extern "C" __attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes();

namespace penstock::sdk {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kFullRepeats = 2;  // one may be of a source that sends something twice
constexpr uint64_t kFewCalls = 64;    // of a plugin with several threads, each learning it once
constexpr size_t kBytesPerLife = 16;  // less is noise of the allocator
constexpr int kReceivingLives = 4;    // the first fills caches
constexpr uint64_t kRecordsPerLife = 100;
constexpr uint64_t kFewRecords = 10;
constexpr size_t kBytesPerRecord = 16;
constexpr milliseconds kGiveUp{10000};  // for a call that takes too long to return after all
constexpr milliseconds kRoomEvery{250};

size_t allocated_bytes() {
  if (__sanitizer_get_current_allocated_bytes) return __sanitizer_get_current_allocated_bytes();
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

size_t entries(const char* path) {
  DIR* folder = opendir(path);
  if (!folder) return 0;
  size_t count = 0;
  while (readdir(folder)) ++count;
  closedir(folder);
  return count;
}

struct Left {
  size_t bytes = allocated_bytes();
  size_t threads = entries("/proc/self/task");
  size_t descriptors = entries("/proc/self/fd");
};

std::string ms(milliseconds time) { return std::to_string(time.count()) + " ms"; }

// One run: a life with everything in it, one that ends with CLOSED, many short ones, and a few that
// receive.
class Run {
 public:
  Run(const penstock_plugin& plugin, std::span<const penstock_value> values, Source* source,
      const ConformanceLimits& limits)
      : plugin_(plugin), values_(values), source_(source), limits_(limits) {}

  ConformanceReport go() {
    if (open()) {
      full_life();
      if (goes_on() && open()) closed_life();
      if (goes_on()) count_leftovers();
      if (goes_on()) count_per_record();
    }
    auto kept = std::make_shared<std::vector<std::shared_ptr<ConformanceBench>>>(benches_);
    report_.kept = kept;
    return std::move(report_);
  }

  // A call never returned: this must outlive it.
  bool stuck() const { return stuck_; }

 private:
  void found(Fault fault, std::string text) {
    if (!report_.found(fault)) report_.findings.push_back({fault, std::move(text)});
  }

  // Whether more lives say more: not of a plugin that costs a time limit in each, or
  // whose threads are still about.
  bool goes_on() {
    const bool hopeless = report_.found(Fault::kBlocks) || report_.found(Fault::kNotStopped) ||
                          report_.found(Fault::kBadRecord) ||
                          report_.found(Fault::kCallAfterDestroy);
    if (hopeless && report_.notes.empty())
      report_.notes.emplace_back("CLOSED and what is left behind were not tested, for the above");
    return !stuck_ && !hopeless;
  }

  // Calls one function of the plugin; false: it never returned and nothing more can be done.
  bool call(const char* name, std::function<void()> job, milliseconds limit) {
    if (caller_.call(std::move(job), limit)) return true;
    found(Fault::kBlocks, std::string(name) + " did not return within " + ms(limit) +
                              "; hand the work to a thread of the plugin");
    stuck_ = !caller_.wait_idle(kGiveUp);
    return !stuck_;
  }

  // A new instance, created and started.
  bool open() {
    if (used_ == benches_.size()) benches_.push_back(std::make_shared<ConformanceBench>());
    bench_ = benches_[used_++];
    instance_ = nullptr;
    durable_ = 0;
    const auto create = [this] {
      failed_ = plugin_.create(bench_->host(), values_.data(), values_.size(), &instance_,
                               error_.data(), error_.size());
    };
    if (!call("create", create, limits_.callback)) return false;
    if (failed_ || !instance_) return refused("create", error_.data());
    bench_->phase(ConformanceBench::Phase::kStarted);
    const auto start = [this] { failed_ = plugin_.start(instance_, error_.data(), error_.size()); };
    if (!call("start", start, limits_.callback)) return false;
    if (failed_) {
      refused("start", error_.data());
      destroy();
      return false;
    }
    return true;
  }

  bool refused(const char* name, const char* reason) {
    found(Fault::kRefused, std::string(name) + " refused: " + reason);
    return false;
  }

  void full_life() {
    bench_->wait_reported(limits_.record);
    if (source_) source_->begin();
    acknowledgements();
    too_big();
    refusals();
    end_life(true);
    if (source_) source_->end();
    if (!stuck_) destroy();
    if (const auto bad = bench_->bad_record(); !bad.empty()) found(Fault::kBadRecord, bad);
    report_.records += bench_->taken();
  }

  // Records come, and nothing is safe yet.
  void acknowledgements() {
    if (!bench_->wait_taken(1, limits_.record)) {
      report_.notes.push_back("no record came within " + ms(limits_.record) +
                              (source_ ? "" : ", and there was no source to send any") +
                              ": FULL, CLOSED and acknowledgements were not tested");
      if (source_ && bench_->bad_record().empty())
        found(Fault::kNothingCame,
              "no record came within " + ms(limits_.record) +
                  " although the source was running; see that it sends to where the options have "
                  "the plugin listen, and in what form");
      return;
    }
    if (!source_) {
      report_.notes.emplace_back("no source: whether acknowledgements come early was not tested");
    } else {
      watch_early(0);
      const uint64_t some = bench_->last_seq();
      durable(some);
      watch_early(some);
    }
    during_emit();
  }

  // A lock that is held across emit and taken in on_durable stops the plugin for good.
  void during_emit() {
    durable(bench_->last_seq());
    if (stuck_) return;
    const auto before = bench_->taken();
    bench_->during_next_emit([this](uint64_t seq) {
      const auto tell = [this, seq] { plugin_.on_durable(instance_, seq); };
      if (!caller_.try_call(tell, limits_.callback)) deadlocked_ = true;
    });
    if (!bench_->wait_taken(before + 1, limits_.watch)) {
      durable(bench_->last_seq());  // its source may be waiting for acknowledgements
      bench_->wait_taken(before + 1, limits_.record);
    }
    bench_->wait_no_hook();
    if (deadlocked_)
      found(Fault::kBlocks,
            "on_durable did not return while emit was under way; hold no lock "
            "across emit that on_durable takes");
    stuck_ = !caller_.wait_idle(kGiveUp);
  }

  void durable(uint64_t up_to) {
    if (up_to <= durable_ || stuck_ || report_.found(Fault::kBlocks)) return;
    durable_ = up_to;
    call(
        "on_durable", [this, up_to] { plugin_.on_durable(instance_, up_to); }, limits_.callback);
  }

  // Watches for acknowledgements of more than `safe` records: a message is at least one record.
  void watch_early(uint64_t safe) {
    const auto end = std::chrono::steady_clock::now() + limits_.watch;
    do {
      const uint64_t acknowledged = source_->acknowledged();
      if (acknowledged > safe) {
        return found(Fault::kEarlyAck, "the source has acknowledgements for " +
                                           std::to_string(acknowledged) + " messages while " +
                                           std::to_string(safe) +
                                           " records are safe; acknowledge in on_durable");
      }
      std::this_thread::sleep_for(milliseconds(5));
    } while (std::chrono::steady_clock::now() < end);
  }

  // The host has the record's head in quarantine: for the plugin it is a record like any other.
  void too_big() {
    if (stuck_ || bench_->taken() == 0) return;
    bench_->answer_too_big_once();
    durable(bench_->last_seq());
    if (!bench_->wait_too_big(limits_.record)) {
      bench_->answer(PENSTOCK_EMIT_OK);
      report_.notes.emplace_back(
          "payloads do not differ, or no record came: TOO_BIG was not tested");
      return;
    }
    const auto before = bench_->taken();
    const auto end = std::chrono::steady_clock::now() + limits_.record;
    do {
      durable(bench_->last_seq());
    } while (!stuck_ && !bench_->wait_taken(before + 3, kRoomEvery) &&
             bench_->too_big_repeats() < 3 && std::chrono::steady_clock::now() < end);
    if (bench_->too_big_repeats() > 0) {
      found(Fault::kIgnoresTooBig,
            "a record that emit answered with TOO_BIG was offered again; it is taken, and its "
            "number is in last_seq");
    } else if (bench_->taken() == before && !stuck_) {
      found(Fault::kIgnoresTooBig, "no record came within " + ms(limits_.record) +
                                       " of one that emit answered with TOO_BIG; go on behind it");
    }
  }

  void refusals() {
    if (stuck_ || bench_->taken() == 0) return;
    bench_->answer(PENSTOCK_EMIT_FULL);
    durable(bench_->last_seq());
    if (!bench_->wait_refused(1, limits_.record)) {
      bench_->answer(PENSTOCK_EMIT_OK);
      report_.notes.emplace_back("no record came while the answer was FULL: it was not tested");
      return;
    }
    if (bench_->wait_refused(kFewCalls, limits_.watch)) {
      found(Fault::kIgnoresFull,
            "emit was called " + std::to_string(bench_->refused()) +
                " times while the answer was FULL; wait for on_room before the next call");
    } else if (bench_->full_repeats() >= kFullRepeats) {
      found(
          Fault::kIgnoresFull,
          "records that emit refused with FULL were offered again too soon; wait for on_room, not "
          "for a time");
    }
    bench_->answer(PENSTOCK_EMIT_OK);
    const auto end = std::chrono::steady_clock::now() + limits_.record;
    bool again = false;
    do {
      if (!call(
              "on_room", [this] { plugin_.on_room(instance_); }, limits_.callback))
        return;
      again = bench_->wait_offered_again(kRoomEvery);
      durable(bench_->last_seq());
    } while (!again && !stuck_ && std::chrono::steady_clock::now() < end);
    if (!again)
      found(Fault::kIgnoresFull,
            "records that emit refused with FULL were not offered again within " +
                ms(limits_.record) + " of on_room: they are lost");
  }

  void closed_life() {
    bench_->wait_reported(limits_.record);
    if (source_) source_->begin();
    if (bench_->wait_taken(1, limits_.record)) {
      bench_->answer(PENSTOCK_EMIT_CLOSED);
      durable(bench_->last_seq());
      if (bench_->wait_refused(kFewCalls, limits_.watch))
        found(Fault::kIgnoresClosed, "emit was called " + std::to_string(bench_->refused()) +
                                         " times after the answer CLOSED; stop reading");
    }
    if (!stuck_) end_life(true);
    if (source_) source_->end();
    if (!stuck_) destroy();
    report_.records += bench_->taken();
  }

  void end_life(bool thorough) {
    if (stuck_) return;
    if (!call(
            "quiesce", [this] { plugin_.quiesce(instance_); }, limits_.stop))
      return;
    durable(bench_->last_seq());
    if (stuck_ || !call(
                      "stop", [this] { plugin_.stop(instance_); }, limits_.stop))
      return;
    if (!bench_->wait_state(PENSTOCK_STATE_STOPPED, limits_.stop)) {
      found(Fault::kNotStopped, "STOPPED was not reported within " + ms(limits_.stop) + " of stop");
      bench_->phase(ConformanceBench::Phase::kStopped);
    }
    if (thorough && bench_->wait_stopped_emit(limits_.watch))
      found(Fault::kEmitAfterStop,
            "emit was called after STOPPED was reported; end all threads "
            "that emit before");
  }

  void destroy() {
    if (!call(
            "destroy", [this] { plugin_.destroy(instance_); }, limits_.callback))
      return;
    bench_->phase(ConformanceBench::Phase::kDestroyed);
    if (!watched_) bench_->wait_late_call(limits_.watch);
    watched_ = true;
    if (const auto late = bench_->late_call(); !late.empty())
      found(Fault::kCallAfterDestroy,
            late + " was called after destroy had returned; wait for all threads in destroy");
  }

  void lives(int count) {
    for (int i = 0; i < count && !stuck_; ++i) {
      if (!open()) return;
      bench_->wait_reported(limits_.callback);
      end_life(false);
      if (!stuck_) destroy();
    }
  }

  // What grows from life to life, twice the same way, is not freed. The first lives fill caches.
  void count_leftovers() {
    // All beforehand: what a late call may touch is kept, and must not count as growth.
    for (int i = 0; i < 3 * limits_.lives; ++i)
      benches_.push_back(std::make_shared<ConformanceBench>());
    lives(limits_.lives);
    const Left first;
    lives(limits_.lives);
    const Left second;
    lives(limits_.lives);
    const Left third;
    if (stuck_) return;
    const auto least = [&](size_t Left::*what) -> size_t {
      if (second.*what <= first.*what || third.*what <= second.*what) return 0;
      return std::min(second.*what - first.*what, third.*what - second.*what);
    };
    const auto count = static_cast<size_t>(limits_.lives);
    std::string text;
    if (const size_t bytes = least(&Left::bytes); bytes >= count * kBytesPerLife)
      text += ", " + std::to_string(bytes / count) + " bytes of memory";
    if (const size_t threads = least(&Left::threads); threads >= count)
      text += ", " + std::to_string(threads / count) + " threads";
    if (const size_t descriptors = least(&Left::descriptors); descriptors >= count)
      text += ", " + std::to_string(descriptors / count) + " file descriptors";
    if (!text.empty())
      found(Fault::kLeak, "every life from create to destroy leaves behind " + text.substr(2));
  }

  // How many records its source has sent through one life.
  uint64_t receiving_life() {
    if (!open()) return 0;
    bench_->wait_reported(limits_.callback);
    source_->begin();
    const auto end = std::chrono::steady_clock::now() + limits_.record;
    while (!stuck_ && !bench_->wait_taken(kRecordsPerLife, kRoomEvery) &&
           std::chrono::steady_clock::now() < end)
      durable(bench_->last_seq());  // its source may be waiting for acknowledgements
    end_life(false);
    source_->end();
    if (!stuck_) destroy();
    return bench_->taken();
  }

  // What is done with a message is done only while messages come.
  void count_per_record() {
    if (!source_ || report_.records == 0) return;
    for (int i = 0; i < kReceivingLives; ++i)
      benches_.push_back(std::make_shared<ConformanceBench>());
    uint64_t least = UINT64_MAX;
    uint64_t fewest = UINT64_MAX;
    receiving_life();
    Left before;
    for (int i = 1; i < kReceivingLives && !stuck_; ++i) {
      const uint64_t records = receiving_life();
      const Left after;
      const uint64_t grown = after.bytes > before.bytes ? after.bytes - before.bytes : 0;
      fewest = std::min(fewest, records);
      least = std::min(least, grown / std::max<uint64_t>(records, 1));
      before = after;
    }
    if (stuck_) return;
    if (fewest < kFewRecords) {
      report_.notes.push_back("only " + std::to_string(fewest) + " records came within " +
                              ms(limits_.record) + ": what each leaves behind was not measured");
    } else if (least >= kBytesPerRecord) {
      found(Fault::kLeak,
            "every record leaves behind " + std::to_string(least) + " bytes of memory");
    }
  }

  const penstock_plugin plugin_;
  const std::span<const penstock_value> values_;
  Source* const source_;
  const ConformanceLimits limits_;
  ConformanceReport report_;
  ConformanceCaller caller_;
  std::vector<std::shared_ptr<ConformanceBench>> benches_;
  size_t used_ = 0;  // of them
  std::shared_ptr<ConformanceBench> bench_;
  void* instance_ = nullptr;
  int failed_ = 0;
  std::array<char, 1024> error_{};
  uint64_t durable_ = 0;
  std::atomic<bool> deadlocked_{false};  // on_durable did not return inside emit
  bool watched_ = false;
  bool stuck_ = false;
};

}  // namespace

std::string_view to_string(Fault fault) {
  switch (fault) {
    case Fault::kRefused:
      return "refused";
    case Fault::kEmitAfterStop:
      return "emit after stop";
    case Fault::kIgnoresFull:
      return "FULL ignored";
    case Fault::kIgnoresClosed:
      return "CLOSED ignored";
    case Fault::kEarlyAck:
      return "early acknowledgement";
    case Fault::kLeak:
      return "leak";
    case Fault::kCallAfterDestroy:
      return "call after destroy";
    case Fault::kBlocks:
      return "blocks";
    case Fault::kBadRecord:
      return "bad record";
    case Fault::kNotStopped:
      return "not stopped";
    case Fault::kIgnoresTooBig:
      return "TOO_BIG ignored";
    case Fault::kNothingCame:
      return "nothing came";
  }
  return "unknown";
}

bool ConformanceReport::found(Fault fault) const {
  return std::any_of(findings.begin(), findings.end(),
                     [&](const Finding& finding) { return finding.fault == fault; });
}

ConformanceReport run_conformance(const penstock_plugin& plugin,
                                  std::span<const penstock_value> values, Source* source,
                                  const ConformanceLimits& limits) {
  auto run = std::make_unique<Run>(plugin, values, source, limits);
  auto report = run->go();
  if (run->stuck()) (void)run.release();
  return report;
}

}  // namespace penstock::sdk
