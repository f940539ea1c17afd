// How long collection stands still when the file it writes to fails: from a record that meets a
// failing sync to that record durable in the next file, on a disk with room and on a full one.
//
// The fault is made in this program's fdatasync, which SQLite calls too.
#include <atomic>
#include <cerrno>
#include <fstream>
#include <string>

#include <spdlog/fmt/fmt.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/spool_bench.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/loop_disk.h"

namespace {

std::atomic<bool> syncs_fail{false};
std::atomic<int> failing_fd{-1};  // the first log synced since: only that one fails

bool is_log(int fd) {
  char name[512];
  const auto size = readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), name, sizeof name);
  return size > 0 && std::string_view(name, static_cast<size_t>(size)).ends_with("-wal");
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int fdatasync(int fd) {
  if (syncs_fail && failing_fd < 0 && is_log(fd)) failing_fd = fd;
  if (syncs_fail && failing_fd == fd) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

namespace penstock::bench {
namespace {

// A spool with some backlog and its spare, whose file then fails; milliseconds.
Result<double> roll_ms(const std::filesystem::path& dir, bool full_disk) {
  const auto bodies = make_bodies(200, 2000);
  RigOptions options;
  options.dir = dir / "spool";
  options.commit_within = Millis(0);
  options.forward = false;
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t durable = 0;
  Rig rig(options);  // goes first: its hook still runs while it stops
  rig.durable_hook = [&](uint64_t up_to) {
    const std::lock_guard lock(mutex);
    durable = up_to;
    changed.notify_one();
  };
  std::vector<const std::string*> batch(bodies.size());
  for (size_t i = 0; i < bodies.size(); ++i) batch[i] = &bodies[i];
  rig.put(batch.data(), batch.size());
  if (auto done = rig.spool().flush(); !done) return std::move(done).error();
  if (full_disk) {  // until not a block is left
    std::ofstream filler(dir / "filler", std::ios::binary);
    const std::string block(1 << 16, 'f');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  failing_fd = -1;
  syncs_fail = true;
  const MonoTime start = read_clock().mono;
  rig.put(batch.data(), 1);
  std::unique_lock lock(mutex);
  const bool came =
      changed.wait_for(lock, std::chrono::seconds(60), [&] { return durable > bodies.size(); });
  const double took_ms = seconds_since(start) * 1e3;
  syncs_fail = false;
  if (!came || rig.spool().counters().rolls != 1)
    return Error{ErrorKind::kTransient, "the record did not become durable in the next file", {}};
  return took_ms;
}

Result<double> roll_on_a_disk(const Settings& settings, bool full_disk) {
  const auto dir = fresh_dir(settings, "roll");
  if (!full_disk) return roll_ms(dir, false);
  auto disk = test::LoopDisk::make(dir, {uint64_t{1} << 30, "ext4"});
  if (!disk) return disk.error();
  return roll_ms((*disk)->path(), true);
}

}  // namespace

void measure_roll(const Settings& settings, Report& report) {
  for (const bool full_disk : {false, true}) {
    Finding result;
    result.id = full_disk ? "first_commit_after_fault_full_disk_ms" : "first_commit_after_fault_ms";
    if (!settings.wants(result.id)) continue;
    result.unit = "ms";
    result.target = full_disk ? 1000 : 200;
    result.better = Better::kLess;
    result.digits = 1;
    result.note = full_disk ? "a sync fails with EIO and the disk is full: into the spare"
                            : "a sync fails with EIO; the spare is there";
    for (int run = 0; run < settings.runs(); ++run) {
      const auto took = roll_on_a_disk(settings, full_disk);
      if (!took) {
        result.skipped = took.error().what;
        break;
      }
      result.values.push_back(*took);
    }
    report.add(result);
  }
}

}  // namespace penstock::bench
