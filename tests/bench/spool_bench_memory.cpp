// The memory of a process that has a large backlog, in a process of its own so that only the spool
// is in it.
#include <cstdio>
#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/spool_bench.h"
#include "tests/bench/spool_bench_rig.h"

namespace penstock::bench {
namespace {

constexpr int kLanes = 16;
constexpr size_t kCommitRecords = 200;  // 20 ms at 10,000 records a second

double peak_memory_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

// All lanes but the first read and acknowledge what they have.
void drain_but_one(Rig& rig) {
  std::mutex mutex;
  std::condition_variable changed;
  size_t busy = rig.lanes().size() - 1;
  std::function<void(spool::LaneId, spool::Seq)> next = [&](spool::LaneId lane, spool::Seq from) {
    rig.spool().read(lane, from, [&, lane](Result<spool::SegmentPtr> segment) {
      if (segment && *segment != nullptr) {
        rig.spool().acknowledge(lane, (*segment)->last());
        next(lane, (*segment)->last() + 1);
        return;
      }
      const std::lock_guard lock(mutex);
      --busy;
      changed.notify_one();
    });
  };
  for (size_t i = 1; i < rig.lanes().size(); ++i) next(rig.lanes()[i], 1);
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return busy == 0; });
  lock.unlock();
  (void)rig.spool().flush();
}

}  // namespace

// Prints the peak after filling and after draining.
int child_memory(const std::filesystem::path& dir, const std::string& megabytes) {
  RigOptions options;
  options.dir = dir;
  options.lanes = kLanes;
  options.forward = false;
  options.max_size_bytes = uint64_t{16} << 30;
  const auto bodies = make_bodies(200, 2000);
  const double empty_mb = peak_memory_mb();
  const uint64_t wanted = std::stoull(megabytes) * 1000000;
  Rig rig(options);
  std::vector<const std::string*> batch(kCommitRecords);
  for (uint64_t bytes = 0, at = 0; bytes < wanted;) {
    for (auto& body : batch) {
      body = &bodies[at++ % bodies.size()];
      bytes += body->size();
    }
    rig.put(batch.data(), batch.size());
    (void)rig.spool().flush();
  }
  const double filled_mb = peak_memory_mb();
  drain_but_one(rig);
  std::printf("%f %f %f\n", empty_mb, filled_mb, peak_memory_mb());
  return 0;
}

void measure_memory(const Settings& settings, Report& report) {
  Finding result;
  result.id = "rss_backlog_mb";
  if (!settings.wants(result.id)) return;
  result.unit = "MB";
  if (!settings.quick) result.target = 64;  // of 10 GB
  result.better = Better::kLess;
  result.digits = 1;
  const int megabytes = settings.quick ? 100 : 10000;
  const auto dir = fresh_dir(settings, "memory");
  const Child child = start_child("memory", dir, std::to_string(megabytes));
  std::string text;
  char buffer[256];
  for (ssize_t size; (size = read(child.output, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(size));
  int status = 0;
  waitpid(child.pid, &status, 0);
  close(child.output);
  double empty = 0;
  double filled = 0;
  double drained = 0;
  if (status != 0 || std::sscanf(text.c_str(), "%lf %lf %lf", &empty, &filled, &drained) != 3) {
    result.skipped = "the measured process failed";
  } else {
    result.values.push_back(drained);
    result.note = std::to_string(megabytes) +
                  " MB of records in commits of 200, one run; peak: before " +
                  std::to_string(static_cast<int>(empty)) + ", filled " +
                  std::to_string(static_cast<int>(filled)) + ", 15 of 16 lanes drained " +
                  std::to_string(static_cast<int>(drained));
  }
  std::filesystem::remove_all(dir);
  report.add(result);
}

}  // namespace penstock::bench
