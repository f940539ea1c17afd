// As many records as go in, beside a bare log on the same disk: the same records, taken by
// reference, framed, written over a preallocated and already written file, one fdatasync per
// megabyte. No checksum, no index, nothing read or removed: the disk's own limit rather than a
// rival.
#include <atomic>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "agent/base/varint.h"
#include "tests/bench/spool_bench.h"
#include "tests/bench/spool_bench_rig.h"

namespace penstock::bench {
namespace {

constexpr size_t kCommitBytes = size_t{1} << 20;
constexpr size_t kQueueBytes = size_t{12} << 20;
constexpr size_t kLogBytes = size_t{256} << 20;
constexpr size_t kPutRecords = 64;  // what a source hands over in one call
constexpr int kProducers = 2;

struct Saturated {
  double records_per_s = 0;
  double cpu_per_million = 0;
};

class RawLog {
 public:
  explicit RawLog(const std::filesystem::path& file)
      : fd_(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    // Once for all runs.
    const std::string zeros(size_t{1} << 20, '\0');
    for (off_t at = lseek(fd_, 0, SEEK_END); at < static_cast<off_t>(kLogBytes);
         at += static_cast<off_t>(zeros.size())) {
      (void)!pwrite(fd_, zeros.data(), zeros.size(), at);
    }
    fsync(fd_);
    writer_ = std::thread([this] { write_all(); });
  }
  ~RawLog() {
    close_queue();
    writer_.join();
    close(fd_);
  }
  bool put(const std::string* const* bodies, size_t count) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return bytes_ < kQueueBytes || closed_; });
    for (size_t i = 0; i < count; ++i) {
      queue_.push_back(bodies[i]);
      bytes_ += bodies[i]->size();
    }
    filled_.notify_one();
    return !closed_;
  }
  void close_queue() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    room_.notify_all();
    filled_.notify_all();
  }
  uint64_t committed() const { return committed_; }

 private:
  void write_all() {
    std::string out;
    for (;;) {
      out.clear();
      size_t count = 0;
      std::vector<const std::string*> taken;
      {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [&] { return !queue_.empty() || closed_; });
        if (queue_.empty()) return;
        taken.swap(queue_);
        bytes_ = 0;
        room_.notify_all();
      }
      for (const auto* body : taken) {
        append_bytes(*body, out);
        ++count;
        if (out.size() < kCommitBytes && count < taken.size()) continue;
        sync_out(out);
      }
      committed_ += count;
    }
  }
  void sync_out(std::string& out) {
    if (at_ + out.size() > kLogBytes) at_ = 0;
    (void)!pwrite(fd_, out.data(), out.size(), static_cast<off_t>(at_));
    fdatasync(fd_);
    at_ += out.size();
    out.clear();
  }

  int fd_;
  size_t at_ = 0;
  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable filled_;
  std::vector<const std::string*> queue_;
  size_t bytes_ = 0;
  bool closed_ = false;
  std::atomic<uint64_t> committed_{0};
  std::thread writer_;
};

// Runs producers against `target` and counts over the middle of the time.
template <class Target, class Close, class Cpu>
Saturated saturate(const std::vector<std::string>& bodies, double seconds, Target& target,
                   Close close, Cpu cpu_s) {
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&, p] {
      std::vector<const std::string*> batch(kPutRecords);
      size_t at = bodies.size() / kProducers * static_cast<size_t>(p);
      do {
        for (auto& body : batch) body = &bodies[at++ % bodies.size()];
      } while (target.put(batch.data(), batch.size()));
    });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds / 5));
  const MonoTime start = read_clock().mono;
  const uint64_t records = target.committed();
  const double cpu = cpu_s();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const auto done = static_cast<double>(target.committed() - records);
  const double used = cpu_s() - cpu;
  const double elapsed = seconds_since(start);
  close();
  for (auto& producer : producers) producer.join();
  return {done / elapsed, used / done * 1e6};
}

Saturated run_raw(const Settings& settings, const std::vector<std::string>& bodies,
                  double seconds) {
  RawLog log(settings.dir / "raw_log");
  return saturate(
      bodies, seconds, log, [&] { log.close_queue(); }, [] { return 0.0; });
}

Saturated run_spool(const Settings& settings, const std::vector<std::string>& bodies,
                    double seconds) {
  RigOptions options;
  options.dir = fresh_dir(settings, "saturated");
  options.round_trip = Millis(5);
  Rig rig(options);
  const auto result = saturate(
      bodies, seconds, rig, [&] { rig.close(); }, [&] { return rig.writer_cpu_s(); });
  return result;
}

}  // namespace

void measure_saturated(const Settings& settings, Report& report) {
  const double seconds = settings.quick ? 0.8 : 4.0;
  for (const size_t bytes : {size_t{200}, size_t{1024}}) {
    const bool small = bytes == 200;
    Finding rate;
    rate.id = small ? "saturated_200b" : "saturated_1kb";
    if (!settings.wants(rate.id) && !(small && settings.wants("cpu_per_million_200b"))) continue;
    rate.unit = "records/s";
    rate.of = "raw_log";
    rate.target = small ? 0.35 : 0.15;
    Finding cpu;
    cpu.id = "cpu_per_million_200b";
    cpu.unit = "s";
    cpu.target = 0.9;
    cpu.better = Better::kLess;
    cpu.note = "CPU time of the spool thread, reading for the forwarder included";
    std::vector<double> raw_rates;
    const auto bodies = make_bodies(bytes, small ? 60000 : 20000);
    for (int run = 0; run < settings.runs(); ++run) {
      const auto raw = run_raw(settings, bodies, seconds);
      const auto spool = run_spool(settings, bodies, seconds);
      raw_rates.push_back(raw.records_per_s);
      rate.values.push_back(spool.records_per_s);
      rate.ratios.push_back(spool.records_per_s / raw.records_per_s);
      cpu.values.push_back(spool.cpu_per_million);
    }
    rate.note = "raw_log " + std::to_string(static_cast<int64_t>(median(raw_rates))) + "/s";
    report.add(rate);
    if (small) report.add(cpu);
  }
}

}  // namespace penstock::bench
