// Lanes as the agent has them, over a spool on disk: from reading back to the acknowledgement. Each
// run is a process of its own, so that its CPU time and memory are only that.
#include <cstdio>
#include <stdexcept>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/fmt/fmt.h>

#include "agent/lane/lane.h"
#include "tests/bench/delivery_bench.h"
#include "tests/bench/delivery_cpu.h"
#include "tests/bench/delivery_rows.h"
#include "tests/bench/spool_bench_rig.h"

namespace penstock::bench {
namespace {

constexpr Millis kRunLimit{300'000};
constexpr size_t kFillRecords = 1000;

// What a child carries, in the form it goes over its command line.
struct Load {
  std::vector<std::string> tables;  // those with "dead" in their name are never delivered
  uint64_t bytes_a_table = 0;       // of payload
  size_t record_bytes = 1024;
  bool proto = false;
  uint64_t max_rows_per_s = 0;
};

struct Carried {
  double seconds = 0;
  double cpu_s = 0;
  double memory_mb = 0;
  double bytes = 0;  // of payload
  double mb_per_s() const { return bytes / seconds / 1e6; }
};

bool is_dead(const std::string& table) { return table.find("dead") != table.npos; }

std::string joined(const std::vector<std::string>& tables) {
  std::string out;
  for (const auto& table : tables) out += (out.empty() ? "" : ",") + table;
  return out;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

void run_child(const std::vector<std::string>& arguments, const std::filesystem::path& output,
               std::string& text) {
  std::filesystem::remove(output);
  const auto process = start_child(arguments, output);
  const auto code = process->wait(kRunLimit);
  text = process->output();
  if (code != 0) throw std::runtime_error("a measured process failed: " + text.substr(0, 400));
}

// Fills a new spool in a process of its own, has another deliver it, and removes it. `active`: the
// tables that have a lane, others only lie there.
Carried carry(const DeliverySettings& settings, const Sink& sink, const Load& load,
              const std::vector<std::string>& active) {
  const auto spool = settings.dir / "spool";
  std::filesystem::remove_all(spool);
  std::string text;
  run_child({"fill", spool.string(), joined(load.tables), std::to_string(load.bytes_a_table),
             std::to_string(load.record_bytes)},
            settings.dir / "fill.log", text);
  run_child({"carry", spool.string(), joined(active), std::to_string(sink.port()),
             sink.tls() ? settings.tls.ca.string() : "-", std::to_string(load.record_bytes),
             load.proto ? "proto" : "json", std::to_string(load.max_rows_per_s)},
            settings.dir / "carry.log", text);
  std::filesystem::remove_all(spool);
  Carried out;
  const auto at = text.find("carried ");
  if (at == text.npos || std::sscanf(text.c_str() + at, "carried %lf %lf %lf %lf", &out.seconds,
                                     &out.cpu_s, &out.memory_mb, &out.bytes) != 4) {
    throw std::runtime_error("a measured process said: " + text.substr(0, 400));
  }
  return out;
}

struct NoListener final : spool::Listener {
  void on_durable(spool::SourceId, uint64_t) override {}
  void on_committed(spool::LaneId, spool::Seq) override {}
  void on_room() override {}
  void on_fault(const Error& error) override {
    std::fprintf(stderr, "the spool failed: %s\n", error.what.c_str());
    std::exit(1);
  }
};

std::shared_ptr<lane::Destination> destination(const zerobus::Endpoint& endpoint,
                                               uint64_t max_rows_per_s) {
  auto out = std::make_shared<lane::Destination>();
  auto transport = zerobus::Transport::connect(endpoint, "penstock/bench", Log::none());
  if (!transport) throw std::runtime_error(transport.error().what);
  out->name = "bench";
  out->transport = *std::move(transport);
  out->bearer = [](const std::string&, bool, const lane::Destination::Token& done) {
    done(std::string("bench-token"));
  };
  out->max_rows_per_s = max_rows_per_s;
  return out;
}

// The lanes of one process. Runs on the thread that calls it.
class Carrier {
 public:
  Carrier(spool::Spool& spool, const zerobus::Endpoint& endpoint, uint64_t max_rows_per_s,
          size_t record_bytes, codec::RowForm form)
      : spool_(spool), record_bytes_(record_bytes), form_(form) {
    destination_ = destination(endpoint, max_rows_per_s);
  }
  ~Carrier() {
    lanes_.clear();
    destination_->transport.reset();
  }

  void add(const std::string& table) {
    const auto state = spool_.state(spool_.lane({"bench", table}));
    lanes_.push_back(std::make_shared<lane::Lane>(
        io_, spool_, state, encoder_for(record_bytes_, form_), destination_, Log::none()));
    if (is_dead(table)) return;
    live_.emplace_back(lanes_.back(), state.cursor);
    bytes_ += static_cast<double>(state.pending() * record_bytes_);
  }

  // The first fifth is not measured: connections open, dead tables get what they get.
  Carried run() {
    for (const auto& lane : lanes_) lane->start();
    look_again();
    io_.run();
    Carried out;
    out.seconds = seconds_since(start_);
    out.cpu_s = own_cpu_s() - cpu_before_;
    out.memory_mb = peak_memory_mb();
    out.bytes = bytes_ - bytes_before_;
    return out;
  }

 private:
  void look_again() {
    timer_.expires_after(Millis(2));
    timer_.async_wait([this](const boost::system::error_code&) {
      double done = 0;
      for (const auto& [lane, from] : live_)
        done += static_cast<double>((lane->cursor() - from) * record_bytes_);
      if (bytes_before_ == 0 && done >= bytes_ / 5) {
        bytes_before_ = done;
        cpu_before_ = own_cpu_s();
        start_ = read_clock().mono;
      }
      if (done >= bytes_) return io_.stop();
      look_again();
    });
  }

  boost::asio::io_context io_;
  boost::asio::steady_timer timer_{io_};
  spool::Spool& spool_;
  const size_t record_bytes_;
  const codec::RowForm form_;
  std::shared_ptr<lane::Destination> destination_;
  std::vector<std::shared_ptr<lane::Lane>> lanes_;
  std::vector<std::pair<std::shared_ptr<lane::Lane>, spool::Seq>> live_;
  double bytes_ = 0;
  double bytes_before_ = 0;
  double cpu_before_ = 0;
  MonoTime start_{};
};

}  // namespace

// fill DIR TABLES BYTES-A-TABLE RECORD-BYTES
int child_fill(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto tables = split(argv[1]);
  const auto record_bytes = static_cast<size_t>(std::stoul(argv[3]));
  RigOptions options;
  options.dir = argv[0];
  options.tables = tables;
  options.forward = false;
  options.max_size_bytes = uint64_t{8} << 30;
  Rig rig(options);
  const auto bodies = table_bodies(record_bytes, 20'000);
  const uint64_t records = std::stoull(argv[2]) / record_bytes * tables.size();
  std::vector<const std::string*> batch(kFillRecords);
  for (uint64_t done = 0; done < records; done += batch.size()) {
    for (size_t i = 0; i < batch.size(); ++i) batch[i] = &bodies[(done + i) % bodies.size()];
    rig.put(batch.data(), batch.size());
  }
  const auto flushed = rig.spool().flush();
  return flushed ? 0 : 1;
}

// carry DIR TABLES PORT CA|- RECORD-BYTES json|proto ROWS-A-SECOND
int child_carry(int argc, char** argv) {
  if (argc != 7) return 2;
  spool::Options options;
  options.dir = argv[0];
  options.agent_id = "bench";
  options.max_size_bytes = uint64_t{8} << 30;
  auto spool = spool::Spool::open(options, Log::none());
  if (!spool) throw std::runtime_error(spool.error().what);
  NoListener listener;
  (*spool)->start(listener);
  const std::string ca = argv[3];
  const zerobus::Endpoint endpoint{"localhost", static_cast<uint16_t>(std::stoul(argv[2])),
                                   ca != "-", ca == "-" ? "" : ca};
  Carried done;
  {
    Carrier carrier(
        **spool, endpoint, std::stoull(argv[6]), std::stoul(argv[4]),
        std::string(argv[5]) == "proto" ? codec::RowForm::kProto : codec::RowForm::kJson);
    for (const auto& table : split(argv[1])) carrier.add(table);
    done = carrier.run();
  }
  (*spool)->stop();
  std::printf("carried %f %f %f %f\n", done.seconds, done.cpu_s, done.memory_mb, done.bytes);
  return 0;
}

// At the service's limit for a stream; scaled to it where this machine does not get there.
void measure_core_share(const DeliverySettings& settings, Report& report) {
  for (const bool proto : {false, true}) {
    Finding result;
    result.id = proto ? "tls_100mbs_core_share_proto" : "tls_100mbs_core_share";
    if (!settings.wants(result.id)) continue;
    result.unit = "cores";
    if (!proto) result.target = 0.6;
    result.better = Better::kLess;
    const Sink sink(settings.dir, &settings.tls);
    Load load;
    load.tables = {"main.bench.t0"};
    load.bytes_a_table = settings.quick ? 60'000'000 : 1'000'000'000;
    load.proto = proto;
    load.max_rows_per_s = 100'000'000 / load.record_bytes;
    std::vector<double> rate;
    for (int run = 0; run < (settings.quick ? 1 : 5); ++run) {
      const auto done = carry(settings, sink, load, load.tables);
      rate.push_back(done.mb_per_s());
      result.values.push_back(done.cpu_s / (done.bytes / 1e8));
    }
    result.note = fmt::format(
        "1 KB of JSON, rows as {}; spool, mapping, TLS, all threads; ran at {:.0f} MB/s",
        proto ? "protobuf of 40 columns" : "JSON", median(rate));
    report.add(result);
  }
}

void measure_drain(const DeliverySettings& settings, Report& report) {
  if (!settings.wants("drain_1gb") && !settings.wants("rss_delivery_mb")) return;
  const Sink sink(settings.dir, &settings.tls);
  Load load;
  for (int i = 0; i < 4; ++i) load.tables.push_back("main.bench.t" + std::to_string(i));
  load.bytes_a_table = settings.quick ? 25'000'000 : 250'000'000;
  Finding drain;
  drain.id = "drain_1gb";
  drain.unit = "MB/s";
  drain.note =
      fmt::format("{} MB in four tables, 1 KB of JSON, TLS", 4 * load.bytes_a_table / 1'000'000);
  Finding memory;
  memory.id = "rss_delivery_mb";
  memory.unit = "MB";
  memory.digits = 1;
  memory.better = Better::kLess;
  memory.note = "peak of the process that does that";
  for (int run = 0; run < (settings.quick ? 1 : 5); ++run) {
    const auto done = carry(settings, sink, load, load.tables);
    drain.values.push_back(done.mb_per_s());
    memory.values.push_back(done.memory_mb);
  }
  report.add(drain);
  report.add(memory);
}

void measure_dead_tables(const DeliverySettings& settings, Report& report) {
  Finding result;
  result.id = "others_beside_dead_tables";
  if (!settings.wants(result.id)) return;
  result.unit = "MB/s";
  result.of = "alone";
  result.target = 0.9;
  const Sink sink(settings.dir);
  Load load;
  std::vector<std::string> live;
  for (int i = 0; i < 4; ++i) live.push_back("main.bench.t" + std::to_string(i));
  load.tables = live;
  load.tables.insert(load.tables.end(),
                     {"main.bench.dead_refused", "main.bench.dead_frozen", "main.bench.dead_mute"});
  load.bytes_a_table = settings.quick ? 15'000'000 : 60'000'000;
  std::vector<double> alone;
  for (int run = 0; run < settings.runs(); ++run) {
    // Once the one first, once the other.
    const bool alone_first = run % 2 == 0;
    if (alone_first) alone.push_back(carry(settings, sink, load, live).mb_per_s());
    result.values.push_back(carry(settings, sink, load, load.tables).mb_per_s());
    if (!alone_first) alone.push_back(carry(settings, sink, load, live).mb_per_s());
    result.ratios.push_back(result.values.back() / alone.back());
  }
  result.note = fmt::format(
      "four tables; one more is refused, one never opened, one never acknowledged; alone {:.0f}",
      median(alone));
  report.add(result);
}

}  // namespace penstock::bench
