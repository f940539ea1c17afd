// How long a record waits for its durability when nothing else is going on, beside the least a disk
// can do for it: an append of 4 KB and fdatasync on the same filesystem.
#include <fcntl.h>
#include <unistd.h>

#include "tests/bench/spool_bench.h"
#include "tests/bench/spool_bench_rig.h"

namespace penstock::bench {
namespace {

class Appender {
 public:
  explicit Appender(const std::filesystem::path& file)
      : fd_(open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {}
  ~Appender() { close(fd_); }
  double append_us() {
    const MonoTime start = read_clock().mono;
    (void)!write(fd_, page_.data(), page_.size());
    fdatasync(fd_);
    return seconds_since(start) * 1e6;
  }

 private:
  int fd_;
  std::string page_ = std::string(4096, 'p');
};

// One to three records from enqueue to on_durable.
class Committer {
 public:
  Committer(const std::filesystem::path& dir, const std::vector<std::string>& bodies)
      : bodies_(bodies), rig_(options_in(dir)) {
    rig_.durable_hook = [this](uint64_t up_to) {
      const std::lock_guard lock(mutex_);
      durable_ = up_to;
      durable_at_ = read_clock().mono;
      changed_.notify_one();
    };
  }
  double commit_us(size_t records) {
    std::vector<const std::string*> batch;
    for (size_t i = 0; i < records; ++i) batch.push_back(&bodies_[(put_ + i) % bodies_.size()]);
    put_ += records;
    const MonoTime start = read_clock().mono;
    rig_.put(batch.data(), batch.size());
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return durable_ >= put_; });
    return std::chrono::duration<double>(durable_at_ - start).count() * 1e6;
  }

 private:
  static RigOptions options_in(const std::filesystem::path& dir) {
    RigOptions options;
    options.dir = dir;
    options.commit_within = Millis(0);
    options.round_trip = Millis(5);
    return options;
  }
  const std::vector<std::string>& bodies_;
  uint64_t put_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t durable_ = 0;
  MonoTime durable_at_{};
  Rig rig_;
};

}  // namespace

void measure_commit(const Settings& settings, Report& report) {
  Finding result;
  result.id = "commit_p50";
  if (!settings.wants(result.id)) return;
  result.unit = "us";
  result.of = "append_4kb";
  result.target = 2.2;
  result.better = Better::kLess;
  result.digits = 2;
  const auto bodies = make_bodies(200, 2000);
  const auto dir = fresh_dir(settings, "commit");
  Appender appender(dir / "append");
  Committer committer(dir / "spool", bodies);
  std::vector<double> baselines;
  for (int run = 0; run < settings.runs(); ++run) {
    std::vector<double> appends;
    std::vector<double> commits;
    for (int block = 0; block < (settings.quick ? 10 : 40); ++block) {
      for (int i = 0; i < 50; ++i) appends.push_back(appender.append_us());
      for (size_t i = 0; i < 50; ++i) commits.push_back(committer.commit_us(1 + i % 3));
    }
    baselines.push_back(percentile(appends, 0.5));
    result.values.push_back(percentile(commits, 0.5));
    result.ratios.push_back(result.values.back() / baselines.back());
  }
  result.note = "append_4kb " + std::to_string(static_cast<int>(median(baselines))) +
                " us; the commit includes waking the spool thread";
  report.add(result);
}

}  // namespace penstock::bench
