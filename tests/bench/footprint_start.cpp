// From exec to the first datagram on disk, with what it needs in the page cache.
#include "tests/bench/footprint_bench.h"
#include "tests/bench/spool_bench_rig.h"

namespace penstock::bench {
namespace {

// As the agent left it, and one segment in each 50 ms of it.
void add_backlog(const std::filesystem::path& spool, uint64_t records) {
  RigOptions options;
  options.dir = spool;
  options.tables = {"main.bench.t_a", "main.bench.t_b", "main.bench.t_c", "main.bench.t_d"};
  options.forward = false;
  Rig rig(options);
  const auto bodies = make_bodies(200, 20000);
  std::vector<const std::string*> batch(500);
  for (uint64_t done = 0; done < records; done += batch.size()) {
    for (size_t i = 0; i < batch.size(); ++i) batch[i] = &bodies[(done + i) % bodies.size()];
    rig.put(batch.data(), batch.size());
    if (auto flushed = rig.spool().flush(); !flushed)
      throw std::runtime_error(flushed.error().what);
  }
}

}  // namespace

void measure_start(const FootprintSettings& settings, Report& report) {
  Finding empty;
  empty.id = "start_ms";
  empty.unit = "ms";
  empty.target = 100;
  empty.better = Better::kLess;
  empty.digits = 0;
  empty.note = "exec to the answer to the first datagram, which is after its commit";
  Finding full = empty;
  full.id = "start_1m_backlog_ms";
  full.target = 200;
  full.note = "the same with 1,000,000 records waiting and no server";
  if (!settings.wants(empty.id) && !settings.wants(full.id)) return;
  Gateway gateway(settings.dir / "start");
  if (gateway.rig().agent().stop() != 0)
    throw std::runtime_error("the agent did not stop in order");
  (void)gateway.start_to_first_commit_ms();  // everything is in the page cache from here on
  if (settings.wants(empty.id)) {
    for (int run = 0; run < settings.runs(); ++run)
      empty.values.push_back(gateway.start_to_first_commit_ms());
    report.add(empty);
  }
  if (!settings.wants(full.id)) return;
  gateway.rig().cut_server();
  add_backlog(gateway.rig().spool(), 1'000'000);
  (void)gateway.start_to_first_commit_ms();
  for (int run = 0; run < settings.runs(); ++run)
    full.values.push_back(gateway.start_to_first_commit_ms());
  report.add(full);
}

}  // namespace penstock::bench
