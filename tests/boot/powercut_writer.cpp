// For tests/boot/powercut-vm: what writes in the guest, and what looks at its disk afterwards.
//
// powercut-writer write DIR: puts numbered records into the spool in DIR until the power goes, and
// prints "acked N" once all up to N are called durable. Part of them is acknowledged, so that rows
// are removed too.
// powercut-writer check DIR N: opens the spool in DIR and exits 0 when it holds every record up to
// N that was not removed, and those it holds are what was written; else it says what is wrong and
// exits 1.
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <string>
#include <vector>

#include <unistd.h>

#include "agent/base/varint.h"
#include "agent/spool/spool.h"

namespace penstock::spool {
namespace {

constexpr uint64_t kKept = 2000;  // of the newest records nothing is removed

std::string body_of(Seq seq) {
  std::string text = R"({"n":)" + std::to_string(seq) + R"(,"noise":")";
  uint64_t noise = seq * 0x9E3779B97F4A7C15U + 1;
  for (size_t size = 40 + seq % 400; text.size() < size;) {
    noise ^= noise << 13;
    noise ^= noise >> 7;
    noise ^= noise << 17;
    text.push_back(static_cast<char>('a' + noise % 26));
  }
  return text + "\"}";
}

class Listening final : public Listener {
 public:
  void on_durable(SourceId, uint64_t up_to) override {
    const std::string line = "acked " + std::to_string(up_to) + "\n";
    (void)!::write(STDOUT_FILENO, line.data(), line.size());
    const std::lock_guard lock(mutex_);
    durable_ = up_to;
    changed_.notify_all();
  }
  void on_committed(LaneId, Seq) override {}
  void on_room() override {}
  void on_fault(const Error& error) override {
    std::fprintf(stderr, "fault: %s\n", error.what.c_str());
  }
  void wait_durable(uint64_t up_to) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return durable_ >= up_to; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t durable_ = 0;
};

Result<std::unique_ptr<Spool>> open_spool(const std::string& dir) {
  Options options;
  options.dir = dir;
  options.agent_id = "powercut";
  options.max_size_bytes = uint64_t{48} << 20;
  return Spool::open(options, Log::none());
}

int write_until_the_end(const std::string& dir) {
  auto spool = open_spool(dir);
  if (!spool) return std::fprintf(stderr, "%s\n", spool.error().what.c_str()), 1;
  Listening listener;
  const LaneId lane = (*spool)->lane({"r", "main.power.cut"});
  (*spool)->start(listener);
  for (Seq seq = 1;;) {
    std::vector<Pending> records(1 + seq % 17);
    for (auto& record : records) {
      record.lane = lane;
      record.source = 1;
      record.seq = record.source_seq = seq++;
      record.commit_within = Millis(5);
      record.body = body_of(record.seq);
    }
    const uint64_t last = records.back().seq;
    if ((*spool)->enqueue(std::move(records)) != Enqueue::kTaken) return 1;
    if (last > kKept) (*spool)->acknowledge(lane, last - kKept);
    if (seq % 3 == 0) listener.wait_durable(last);
  }
}

// Empty when all is well.
std::string what_is_wrong(Spool& spool, LaneId lane, uint64_t acked) {
  const LaneState state = spool.state(lane);
  if (state.next_seq <= acked) return "the lane ends at " + std::to_string(state.next_seq - 1);
  if (state.damaged > 0) return std::to_string(state.damaged) + " records are damaged";
  if (acked > kKept && state.cursor > acked) return "more was removed than acknowledged";
  for (Seq next = state.cursor + 1; next < state.next_seq;) {
    std::promise<Result<SegmentPtr>> read;
    spool.read(lane, next, [&read](Result<SegmentPtr> one) { read.set_value(std::move(one)); });
    const auto segment = read.get_future().get();
    if (!segment) return segment.error().what;
    if (*segment == nullptr || (*segment)->first() > next)
      return "record " + std::to_string(next) + " is missing";
    Seq seq = (*segment)->first();
    for (std::string_view run = (*segment)->run(); !run.empty(); ++seq) {
      const auto body = take_bytes(run);
      if (!body || *body != body_of(seq)) return "record " + std::to_string(seq) + " is another";
    }
    next = (*segment)->last() + 1;
  }
  return {};
}

int check(const std::string& dir, uint64_t acked) {
  auto spool = open_spool(dir);
  if (!spool) return std::printf("%s\n", spool.error().what.c_str()), 1;
  Listening listener;
  const LaneId lane = (*spool)->lane({"r", "main.power.cut"});
  (*spool)->start(listener);
  const auto wrong = what_is_wrong(**spool, lane, acked);
  const LaneState state = (*spool)->state(lane);
  (*spool)->stop();
  std::printf(
      "acked %llu, on disk %llu, removed %llu%s%s\n", static_cast<unsigned long long>(acked),
      static_cast<unsigned long long>(state.next_seq - 1),
      static_cast<unsigned long long>(state.cursor), wrong.empty() ? "" : ": ", wrong.c_str());
  return wrong.empty() ? 0 : 1;
}

}  // namespace
}  // namespace penstock::spool

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "write" && argc == 3) return penstock::spool::write_until_the_end(argv[2]);
  uint64_t acked = 0;
  const std::string number = argc > 3 ? argv[3] : "";
  const auto read = std::from_chars(number.data(), number.data() + number.size(), acked);
  if (what == "check" && argc == 4 && read.ec == std::errc())
    return penstock::spool::check(argv[2], acked);
  std::fputs("usage: powercut-writer write DIR | check DIR N\n", stderr);
  return 2;
}
