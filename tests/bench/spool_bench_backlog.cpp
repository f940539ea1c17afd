// A backlog read back cold, and the start after a kill -9.
#include <csignal>
#include <fstream>
#include <tuple>

#include <sys/wait.h>
#include <unistd.h>

#include "agent/spool/database.h"
#include "agent/spool/generation.h"
#include "tests/bench/spool_bench.h"
#include "tests/bench/spool_bench_rig.h"

namespace penstock::bench {
namespace {

constexpr int kReadLanes = 4;
constexpr int kOpenLanes = 64;
constexpr int kOpenGenerations = 8;
constexpr size_t kCommitRecords = 200;  // 20 ms at 10,000 records a second

void fill(Rig& rig, const std::vector<std::string>& bodies, uint64_t records) {
  std::vector<const std::string*> batch(kCommitRecords);
  for (uint64_t done = 0; done < records; done += batch.size()) {
    for (size_t i = 0; i < batch.size(); ++i) batch[i] = &bodies[(done + i) % bodies.size()];
    rig.put(batch.data(), batch.size());
    (void)rig.spool().flush();
  }
}

// Reads every lane from its start, four segments ahead each; returns the bytes of records.
uint64_t read_everything(Rig& rig) {
  std::mutex mutex;
  std::condition_variable changed;
  size_t open_lanes = rig.lanes().size();
  uint64_t bytes = 0;
  std::function<void(spool::LaneId, spool::Seq)> next = [&](spool::LaneId lane, spool::Seq from) {
    rig.spool().read(lane, from, [&, lane](Result<spool::SegmentPtr> segment) {
      if (segment && *segment != nullptr) {
        {
          const std::lock_guard lock(mutex);
          bytes += (*segment)->run().size();
        }
        next(lane, (*segment)->last() + 1);
        return;
      }
      const std::lock_guard lock(mutex);
      --open_lanes;
      changed.notify_one();
    });
  };
  for (const auto lane : rig.lanes()) next(lane, 1);
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return open_lanes == 0; });
  return bytes;
}

int generations(const std::filesystem::path& dir) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir))
    count += entry.path().extension() == ".db" ? 1 : 0;
  return count;
}

// So that the next start finds its newest file unreadable and begins another one.
void ruin_newest(const std::filesystem::path& dir) {
  const auto numbers = spool::list_generations(dir);
  if (!numbers) throw std::runtime_error(numbers.error().what);
  uint32_t newest = 0;  // with anything in it: the spare has no epoch
  int64_t page = 0;
  for (const uint32_t number : *numbers) {
    auto db = spool::open_existing(spool::generation_file(dir, number),
                                   spool::sizing_for(RigOptions{}.max_size_bytes));
    const auto epochs = db ? db->number("SELECT count(*) FROM epoch") : db.error();
    if (!epochs || *epochs == 0) continue;
    const auto root = db->number("SELECT rootpage FROM sqlite_schema WHERE name='epoch'");
    if (root) std::tie(newest, page) = std::pair(number, *root);
  }
  if (newest == 0) throw std::runtime_error("no generation to ruin in " + dir.string());
  const auto file = spool::generation_file(dir, newest);
  std::filesystem::resize_file(file.string() + "-wal", 0);
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
      .seekp((page - 1) * spool::kPageBytes)
      .write(std::string(spool::kPageBytes, '\xEE').data(), spool::kPageBytes);
}

RigOptions open_options(const std::filesystem::path& dir) {
  RigOptions options;
  options.dir = dir;
  options.lanes = kOpenLanes;
  options.forward = false;
  return options;
}

// A spool killed in the middle of its work, with a WAL that was about to be copied back, and with
// older files that all have something pending.
bool make_killed_spool(const std::filesystem::path& dir, uint64_t records) {
  const auto bodies = make_bodies(200, 20000);
  for (int i = 1; i < kOpenGenerations; ++i) {
    {
      Rig rig(open_options(dir));
      fill(rig, bodies, records / kOpenGenerations);
    }
    ruin_newest(dir);
  }
  const Child child = start_child("fill", dir, std::to_string(records / kOpenGenerations));
  char ready = 0;
  const bool filled = read(child.output, &ready, 1) == 1;
  const MonoTime start = read_clock().mono;
  while (filled && wal_pages(dir) < 3700 && seconds_since(start) < 60) usleep(2000);
  kill(child.pid, SIGKILL);
  waitpid(child.pid, nullptr, 0);
  close(child.output);
  return filled;
}

}  // namespace

int child_fill(const std::filesystem::path& dir, const std::string& records) {
  Rig rig(open_options(dir));
  const auto bodies = make_bodies(200, 20000);
  fill(rig, bodies, std::stoull(records));
  (void)!write(1, "r", 1);
  for (;;) fill(rig, bodies, kCommitRecords);
}

void measure_backlog_read(const Settings& settings, Report& report) {
  Finding result;
  result.id = "backlog_read";
  if (!settings.wants(result.id)) return;
  result.unit = "MB/s";
  result.digits = 0;
  const uint64_t records = settings.quick ? 200000 : 1000000;
  result.note =
      std::to_string(records) +
      " records in commits of 200, four lanes, cold; bytes of records as the lanes get them";
  RigOptions options;
  options.dir = fresh_dir(settings, "read");
  options.lanes = kReadLanes;
  options.forward = false;
  {
    Rig rig(options);
    fill(rig, make_bodies(200, 60000), records);
  }
  for (int run = 0; run < settings.runs(); ++run) {
    make_cold(options.dir);
    Rig rig(options);
    const MonoTime start = read_clock().mono;
    const uint64_t bytes = read_everything(rig);
    result.values.push_back(static_cast<double>(bytes) / 1e6 / seconds_since(start));
  }
  report.add(result);
}

void measure_open_after_kill(const Settings& settings, Report& report) {
  Finding result;
  result.id = "open_after_kill_ms";
  if (!settings.wants(result.id)) return;
  result.unit = "ms";
  result.target = 50;
  result.better = Better::kLess;
  result.digits = 1;
  const auto killed = fresh_dir(settings, "killed");
  const uint64_t records = settings.quick ? 40000 : 1200000;
  if (!make_killed_spool(killed, records)) {
    result.skipped = "the writing process failed";
    return report.add(result);
  }
  const int frames = wal_pages(killed);
  for (int run = 0; run < settings.runs(); ++run) {
    const auto dir = fresh_dir(settings, "open");
    std::filesystem::copy(killed, dir, std::filesystem::copy_options::recursive);
    make_cold(dir);
    spool::Options options;
    options.dir = dir;
    options.agent_id = "bench";
    const MonoTime start = read_clock().mono;
    const auto opened = spool::Spool::open(options, Log::none());
    if (!opened) throw std::runtime_error(opened.error().what);
    result.values.push_back(seconds_since(start) * 1e3);
  }
  Finding commit;
  commit.id = "first_commit_after_kill_ms";
  commit.unit = "ms";
  commit.better = Better::kLess;
  commit.digits = 1;
  commit.note = "the start and a record durable: the WAL is copied back first";
  for (int run = 0; run < settings.runs(); ++run) {
    const auto dir = fresh_dir(settings, "open");
    std::filesystem::copy(killed, dir, std::filesystem::copy_options::recursive);
    make_cold(dir);
    const MonoTime start = read_clock().mono;
    Rig rig(open_options(dir));
    const std::string body = make_bodies(200, 1).front();
    const std::string* one = &body;
    rig.put(&one, 1);
    if (auto done = rig.spool().flush(); !done) throw std::runtime_error(done.error().what);
    commit.values.push_back(seconds_since(start) * 1e3);
  }
  report.add(commit);
  result.note = std::to_string(frames) + " pages in the WAL, " + std::to_string(kOpenLanes) +
                " lanes, " + std::to_string(generations(killed)) + " files with the spare, " +
                std::to_string(records) + " records in commits of 200";
  report.add(result);
}

}  // namespace penstock::bench
