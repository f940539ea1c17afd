// kill -9 at random moments: what was reported durable is there, numbers go on exactly, cursors are
// never ahead.
#include <atomic>
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr int kLanes = 3;

struct Report {
  uint64_t what;  // 0 durable, 1 acknowledged, 2 quarantined (asked for)
  uint64_t lane;
  uint64_t seq;
};

void tell(int fd, const Report& report) {
  if (write(fd, &report, sizeof report) != static_cast<ssize_t>(sizeof report)) _exit(4);
}

// Writes, acknowledges and quarantines until it is killed. Reports after the fact, but before it
// asks for acknowledgement or quarantine: what was never reported was never asked.
[[noreturn]] void child(const Options& options, int fd, uint64_t seed) {
  Watcher watcher;
  auto spool = open_or_die(options);
  std::mutex mutex;
  std::map<uint64_t, std::pair<LaneId, Seq>> numbers;
  uint64_t covered = 0;
  watcher.durable_hook = [&](SourceId, uint64_t up_to) {
    const std::lock_guard lock(mutex);
    for (; covered < up_to; ++covered) {
      const auto [lane, seq] = numbers[covered + 1];
      tell(fd, {0, lane, seq});
      numbers.erase(covered + 1);
    }
  };
  std::vector<LaneId> lanes;
  for (int i = 0; i < kLanes; ++i) lanes.push_back(spool->lane({"r", std::to_string(i)}));
  spool->start(watcher);
  Feeder feeder(*spool);
  std::mt19937_64 random(seed);
  for (;;) {
    const LaneId lane = lanes[random() % lanes.size()];
    auto records = feeder.take(lane, 1 + static_cast<int>(random() % 5), random() % 2000);
    if (random() % 20 == 0) records.front().refusal = "refused";
    const auto count = static_cast<int>(records.size());
    std::unique_lock lock(mutex);
    for (const auto& record : records) numbers[record.source_seq] = {record.lane, record.seq};
    const bool taken = spool->enqueue(std::move(records)) == Enqueue::kTaken;
    lock.unlock();
    if (!taken) {
      feeder.undo(lane, count);
      std::this_thread::yield();
    }
    const LaneState state = spool->state(lane);
    if (random() % 8 == 0 && state.pending() > 20) {
      const Seq up_to = state.cursor + 1 + random() % 20;
      if (random() % 3 == 0) {
        tell(fd, {2, lane, up_to});
        spool->quarantine(lane, up_to, "poison");
      }
      tell(fd, {1, lane, up_to});
      spool->acknowledge(lane, up_to);
    }
  }
}

struct Known {
  Seq durable = 0;
  Seq acknowledged = 0;
  std::set<Seq> refused_or_quarantined;
};

std::map<LaneId, Known> run_and_kill(const Options& options, uint64_t seed, int delay_ms) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) std::abort();
  const pid_t pid = fork();
  if (pid == 0) {
    close(pipe_fds[0]);
    child(options, pipe_fds[1], seed);
  }
  close(pipe_fds[1]);
  std::atomic<bool> first{false};
  std::map<LaneId, Known> known;
  std::thread reader([&] {
    Report report{};
    while (read(pipe_fds[0], &report, sizeof report) == static_cast<ssize_t>(sizeof report)) {
      first = true;
      Known& lane = known[static_cast<LaneId>(report.lane)];
      if (report.what == 0) lane.durable = std::max(lane.durable, report.seq);
      if (report.what == 1) lane.acknowledged = std::max(lane.acknowledged, report.seq);
      if (report.what == 2) lane.refused_or_quarantined.insert(report.seq);
    }
  });
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!first && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(Millis(1));
  std::this_thread::sleep_for(
      Millis(delay_ms));  // the moment is the point, not what has happened by then
  kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << status;
  reader.join();
  close(pipe_fds[0]);
  return known;
}

TEST(SpoolKill, LosesNothingDurableAndCountsExactly) {
  std::mt19937_64 random(test_seed());
  const TempDir dir;
  Options options = options_in(dir.path());
  options.max_size_bytes = 8 << 20;
  options.tail_bytes = 64 << 10;
  options.queue_bytes = 256 << 10;
  std::map<LaneId, Seq> acknowledged;
  for (int round = 0; round < 12; ++round) {
    const auto known = run_and_kill(options, random(), static_cast<int>(random() % 150));
    for (const auto& [id, lane] : known)
      acknowledged[id] = std::max(acknowledged[id], lane.acknowledged);
    std::map<LaneId, LaneState> states;
    {
      Watcher watcher;
      const auto spool = open_or_die(options);
      spool->start(watcher);
      for (const auto& [id, lane] : known) {
        const LaneState state = spool->state(id);
        states[id] = state;
        EXPECT_GE(state.next_seq, lane.durable + 1) << "lane " << id << " lost durable records";
        EXPECT_EQ(state.damaged, 0U);
        const auto held = read_all(*spool, id, state.cursor + 1);
        for (const auto& [seq, body] : held) {
          EXPECT_EQ(body, Feeder::body(id, seq, body.size()));
        }
      }
      spool->stop();
    }
    // The ledger against the tables, counted by someone else.
    const auto file = dir.path() / "1.db";
    for (const auto& [id, state] : states) {
      const std::string lane = std::to_string(id);
      const std::string cursor = std::to_string(state.cursor);
      EXPECT_EQ(
          query(file, "SELECT count(*) FROM quarantine WHERE lane=" + lane + " AND seq<=" + cursor)
              .at(0),
          std::to_string(state.quarantined));
      const auto ahead =
          query(file, "SELECT seq FROM quarantine WHERE lane=" + lane + " AND seq>" + cursor);
      std::set<Seq> accounted;
      for (const auto& seq : ahead) accounted.insert(std::stoull(seq));
      for (const auto& row :
           query(file, "SELECT first_seq || ' ' || count FROM seg WHERE lane=" + lane)) {
        const Seq first = std::stoull(row);
        const Seq count = std::stoull(row.substr(row.find(' ')));
        for (Seq seq = first; seq < first + count; ++seq) accounted.insert(seq);
      }
      for (Seq seq = state.cursor + 1; seq < state.next_seq; ++seq) {
        EXPECT_TRUE(accounted.contains(seq))
            << "lane " << id << " seq " << seq << " has no fate and no bytes";
      }
      // Only what was asked for, and then what needs no asking: refused records right behind it.
      std::set<Seq> decided;
      for (const auto& seq : query(file, "SELECT seq FROM quarantine WHERE lane=" + lane))
        decided.insert(std::stoull(seq));
      Seq allowed = acknowledged[id];
      while (decided.contains(allowed + 1)) ++allowed;
      EXPECT_LE(state.cursor, allowed)
          << "lane " << id << ": the cursor is ahead of what was acknowledged";
    }
  }
}

}  // namespace
}  // namespace penstock::spool::testing
