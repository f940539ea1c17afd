// What the flash is given for every byte of payload: counted by the block device of a private loop
// image, so that nothing else is in it, and nothing is left out (filesystem journal, checkpoints,
// trims).
#include <random>
#include <thread>

#include <spdlog/fmt/fmt.h>

#include "tests/bench/spool_bench.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/loop_disk.h"

namespace penstock::bench {
namespace {

constexpr size_t kPayloadBytes = 200;

struct Pace {
  const char* id;
  const char* name;
  double per_s;
  Millis commit_within;
  double target;
};
constexpr Pace kPaces[] = {
    {"write_amp_1k_20ms", "wa1k20", 1000, Millis(20), 4},
    {"write_amp_10k_20ms", "wa10k20", 10000, Millis(20), 1},
    {"write_amp_default_100", "wadef100", 100, Millis(50), 6},
    {"write_amp_default_1k", "wadef1k", 1000, Millis(50), 3},
};

// Records at random moments, `per_s` of them on average.
uint64_t feed_poisson(Rig& rig, const std::vector<std::string>& bodies, double per_s,
                      double seconds, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(per_s);
  const MonoTime start = read_clock().mono;
  double at = gap(random);
  uint64_t count = 0;
  while (at < seconds) {
    std::this_thread::sleep_until(
        start + std::chrono::duration_cast<MonoTime::duration>(std::chrono::duration<double>(at)));
    for (const double now = seconds_since(start); at <= now && at < seconds; at += gap(random)) {
      const std::string* body = &bodies[count++ % bodies.size()];
      rig.put(&body, 1);
    }
  }
  return count;
}

// One rate on a disk of its own, over several runs of one spool.
struct Paced {
  const Pace* pace = nullptr;
  std::unique_ptr<test::LoopDisk> disk;
  std::unique_ptr<Rig> rig;
  Finding result;
  uint64_t payload = 0;

  void run(const std::vector<std::string>& bodies, double seconds, uint64_t seed) {
    const uint64_t before = disk->written_bytes();
    const uint64_t count = feed_poisson(*rig, bodies, pace->per_s, seconds, seed);
    rig->drain();
    const uint64_t written = disk->written_bytes() - before;
    payload += count * kPayloadBytes;
    result.values.push_back(static_cast<double>(written) /
                            static_cast<double>(count * kPayloadBytes));
  }
};

void skip(Report& report, const std::string& id, const Error& error) {
  Finding result;
  result.id = id;
  result.skipped = error.what;
  report.add(result);
}

std::vector<std::unique_ptr<Paced>> set_up(const Settings& settings, Report& report) {
  std::vector<std::unique_ptr<Paced>> all;
  for (const auto& pace : kPaces) {
    if (!settings.wants(pace.id)) continue;
    auto disk = test::LoopDisk::make(fresh_dir(settings, pace.name), {uint64_t{1} << 30, "ext4"});
    if (!disk) {
      skip(report, pace.id, disk.error());
      continue;
    }
    auto paced = std::make_unique<Paced>();
    paced->pace = &pace;
    paced->disk = std::move(*disk);
    RigOptions options;
    options.dir = paced->disk->path() / "spool";
    options.commit_within = pace.commit_within;
    paced->rig = std::make_unique<Rig>(options);
    // The file grows at its first checkpoint and then never again: that is not what wears a card
    // out.
    paced->rig->settle();
    paced->result.id = pace.id;
    paced->result.unit = "bytes/byte";
    paced->result.target = pace.target;
    paced->result.better = Better::kLess;
    all.push_back(std::move(paced));
  }
  return all;
}

// Device bytes for the removal of a backlog, with the last checkpoint, per byte of its payload.
// `small`: it came in 20 ms commits of 200 records; else as fast as it could, in commits of up to 1
// MB.
Result<double> trim_share(const Settings& settings, const std::vector<std::string>& bodies,
                          uint64_t records, bool small) {
  auto disk = test::LoopDisk::make(fresh_dir(settings, "trim"), {uint64_t{2} << 30, "ext4"});
  if (!disk) return disk.error();
  RigOptions options;
  options.dir = (*disk)->path() / "spool";
  options.forward = false;
  auto rig = std::make_unique<Rig>(options);
  std::vector<const std::string*> batch(200);
  for (uint64_t done = 0; done < records; done += batch.size()) {
    for (size_t i = 0; i < batch.size(); ++i) batch[i] = &bodies[(done + i) % bodies.size()];
    rig->put(batch.data(), batch.size());
    if (small) (void)rig->spool().flush();
  }
  rig = nullptr;  // what it cost to write is not what it costs to remove: nothing is in the log
  rig = std::make_unique<Rig>(options);
  if (auto done = rig->spool().flush(); !done) return std::move(done).error();
  const uint64_t before = (*disk)->written_bytes();
  for (const auto lane : rig->lanes())
    rig->spool().acknowledge(lane, rig->spool().state(lane).next_seq - 1);
  (void)rig->spool().flush();
  rig.reset();
  return static_cast<double>((*disk)->written_bytes() - before) /
         static_cast<double>(records * kPayloadBytes);
}

}  // namespace

void measure_write_amplification(const Settings& settings, Report& report) {
  auto all = set_up(settings, report);
  const auto bodies = make_bodies(kPayloadBytes, 60000);
  for (int run = 0; run < (settings.quick ? 1 : 5) && !all.empty(); ++run) {
    std::vector<std::thread> threads;
    for (auto& paced : all) {
      threads.emplace_back(
          [&, run] { paced->run(bodies, settings.quick ? 8 : 30, static_cast<uint64_t>(run)); });
    }
    for (auto& thread : threads) thread.join();
  }
  for (auto& paced : all) {
    const uint64_t before = paced->disk->written_bytes();
    paced->rig.reset();  // with the last checkpoint, of which every run gets its share
    const uint64_t rest = paced->disk->written_bytes() - before;
    const double share = static_cast<double>(rest) / static_cast<double>(paced->payload);
    for (auto& value : paced->result.values) value += share;
    paced->result.note = fmt::format("of it checkpoint at the end {:.2f}", share);
    report.add(paced->result);
  }
}

void measure_trim(const Settings& settings, Report& report) {
  const auto bodies = make_bodies(kPayloadBytes, 60000);
  const uint64_t records = settings.quick ? 200000 : 1000000;
  for (const bool small : {false, true}) {
    Finding result;
    result.id = small ? "trim_write_share_20ms" : "trim_write_share";
    if (!settings.wants(result.id)) continue;
    result.unit = "bytes/byte";
    if (!small) result.target = 0.03;
    result.better = Better::kLess;
    result.digits = 4;
    result.note = small ? "backlog in commits of 200 records, four lanes"
                        : "backlog in commits of up to 1 MB, four lanes";
    for (int run = 0; run < (settings.quick ? 1 : 5); ++run) {
      const auto share = trim_share(settings, bodies, records, small);
      if (!share) {
        result.skipped = share.error().what;
        break;
      }
      result.values.push_back(*share);
    }
    report.add(result);
  }
}

}  // namespace penstock::bench
