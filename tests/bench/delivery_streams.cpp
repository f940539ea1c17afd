// One stream alone: rows that are there already, put into batches and sent as fast as they are
// acknowledged, beside raw TCP and beside the official client.
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <stdexcept>

#include <spdlog/fmt/fmt.h>
#include <sys/resource.h>

#include "agent/base/record.h"
#include "agent/codec/row_encoder.h"
#include "agent/zerobus/body_buffers.h"
#include "agent/zerobus/transport.h"
#include "tests/bench/delivery_bench.h"
#include "tests/bench/delivery_cpu.h"
#include "tests/bench/delivery_rows.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/paths.h"

namespace penstock::bench {
namespace {

constexpr size_t kInFlight = 4 << 20;  // the shipped default

using Body = std::shared_ptr<const std::string>;

struct Plan {
  std::vector<std::string> rows;
  size_t rows_a_batch = 0;
  std::string descriptor;  // empty: JSON
  // Empty: each batch is put together from rows when it is sent. Else they are there already, as
  // what raw TCP sends is.
  std::vector<Body> bodies = {};
};

struct Streamed {
  double seconds = 0;
  double client_cpu_s = 0;
  double server_cpu_s = 0;
  uint64_t records = 0;
  uint64_t bytes = 0;  // of rows
  double mb_per_s() const { return static_cast<double>(bytes) / seconds / 1e6; }
  double cpu_per_million() const { return client_cpu_s / static_cast<double>(records) * 1e6; }
};

// What the transport's threads tell; the sender waits for it.
class Progress final : public zerobus::StreamEvents {
 public:
  void on_response(uint64_t, zerobus::Response response) override {
    std::unique_lock lock(mutex_);
    if (std::holds_alternative<zerobus::StreamCreated>(response)) open_ = true;
    if (const auto* ack = std::get_if<zerobus::Ack>(&response)) acked_ = ack->up_to;
    wake(std::move(lock));
  }
  void on_bad_response(uint64_t, Error) override {}
  void on_writes_done(uint64_t, size_t count) override {
    std::unique_lock lock(mutex_);
    writing_ -= static_cast<int>(count);
    wake(std::move(lock));
  }
  void on_closed(uint64_t, zerobus::Status status) override {
    std::unique_lock lock(mutex_);
    closed_ = zerobus::code_name(status.code) + ": " + status.message;
    wake(std::move(lock));
  }
  void writes() {
    const std::lock_guard lock(mutex_);
    ++writing_;
  }
  // Until the next batch may go: as many are being written as for a lane, and `acked` is enough.
  void wait(bool open, int64_t acked) {
    std::unique_lock lock(mutex_);
    wanted_open_ = open;
    wanted_acked_ = acked;
    changed_.wait(lock, [&] { return ready(); });
    if (!closed_.empty()) throw std::runtime_error("the stream ended: " + closed_);
  }

 private:
  bool ready() const {
    return !closed_.empty() || (open_ == wanted_open_ && writing_ < 4 && acked_ >= wanted_acked_);
  }
  // Not for every acknowledgement while a write is under way; and not to wait for the lock.
  void wake(std::unique_lock<std::mutex> lock) {
    const bool is_ready = ready();
    lock.unlock();
    if (is_ready) changed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_open_ = true;
  int64_t wanted_acked_ = -1;
  bool open_ = false;
  int writing_ = 0;
  int64_t acked_ = -1;
  std::string closed_;
};

// Put together as a lane does.
Body next_batch(const Plan& plan, size_t& at, zerobus::BodyBuffers& buffers) {
  if (!plan.bodies.empty()) return plan.bodies[at++ % plan.bodies.size()];
  auto body = buffers.take(plan.rows_a_batch * (plan.rows[0].size() + 8));
  for (size_t i = 0; i < plan.rows_a_batch; ++i)
    zerobus::append_row(plan.rows[at++ % plan.rows.size()], body);
  return buffers.share(std::move(body));
}

Streamed stream(const DeliverySettings& settings, const Sink& sink, const Plan& plan,
                double seconds) {
  auto transport =
      zerobus::Transport::connect(settings.endpoint(sink), "penstock/bench", Log::none());
  if (!transport) throw std::runtime_error(transport.error().what);
  const auto progress = std::make_shared<Progress>();
  zerobus::StreamOpen open{1, "main.bench.t", zerobus::Encoding::kJson, plan.descriptor,
                           "bench-token"};
  if (!plan.descriptor.empty()) open.encoding = zerobus::Encoding::kProto;
  auto handle = (*transport)->open(open, progress);
  if (!handle) throw std::runtime_error(handle.error().what);
  progress->wait(true, -1);
  Streamed out;
  const auto buffers = zerobus::BodyBuffers::make();
  const double client_before = own_cpu_s();
  const double server_before = sink.cpu_s();
  const MonoTime start = read_clock().mono;
  size_t at = 0;
  int64_t offset = 0;
  for (; seconds_since(start) < seconds; ++offset) {
    auto body = next_batch(plan, at, *buffers);
    out.records += plan.rows_a_batch;
    out.bytes += body->size();
    const auto window = static_cast<int64_t>(std::max<size_t>(1, kInFlight / body->size()));
    progress->wait(true, offset - window);
    progress->writes();
    (*handle)->write(offset, std::move(body));
  }
  progress->wait(true, offset - 1);
  out.seconds = seconds_since(start);
  out.client_cpu_s = own_cpu_s() - client_before;
  out.server_cpu_s = sink.cpu_s() - server_before;
  return out;
}

Plan json_plan(size_t row_bytes, size_t rows_a_batch) {
  return {payloads(row_bytes, 4096), rows_a_batch, ""};
}

Plan prepared(Plan plan) {
  std::vector<Body> bodies;
  const auto buffers = zerobus::BodyBuffers::make(0);
  size_t at = 0;
  for (size_t batch = 0; batch < plan.rows.size() / plan.rows_a_batch; ++batch)
    bodies.push_back(next_batch(plan, at, *buffers));
  plan.bodies = std::move(bodies);
  return plan;
}

Plan proto_plan(size_t payload_bytes, size_t rows_a_batch) {
  auto encoder = telemetry_encoder(codec::RowForm::kProto);
  return {encoded_rows(encoder, payload_bytes, 20'000), rows_a_batch, encoder.descriptor()};
}

struct Official {
  double records = 0;
  double cpu_s = 0;
  double seconds = 0;
};

// Runs the official client for so long; nothing when it could not.
std::optional<Official> official(const DeliverySettings& settings, const Sink& sink, double seconds,
                                 std::string& why) {
  test::ProcessSpec spec;
  spec.argv = {
      "node", test::source_dir() + "/tests/bench/official_client.mjs", settings.official.string(),
      (sink.tls() ? "https://localhost:" : "http://127.0.0.1:") + std::to_string(sink.port()),
      std::to_string(seconds)};
  if (sink.tls()) spec.env = {{"SSL_CERT_FILE", settings.tls.ca.string()}};
  spec.output = settings.dir / "official.log";
  std::filesystem::remove(spec.output);
  test::Process process(spec);
  const auto code = process.wait(Millis(60'000));
  const auto text = process.output();
  Official out;
  const auto at = text.find("result ");
  if (code == 0 && at != text.npos &&
      std::sscanf(text.c_str() + at, "result %lf %lf %lf", &out.records, &out.cpu_s,
                  &out.seconds) == 3) {
    return out;
  }
  why = "the official client failed: " + text.substr(0, 200);
  return std::nullopt;
}

void compare_with_official(const DeliverySettings& settings, Report& report, const char* id,
                           const test::TestAuthority* tls, std::optional<double> target) {
  Finding result;
  result.id = id;
  if (!settings.wants(result.id)) return;
  result.unit = "1";
  result.target = target;
  if (settings.official.empty()) {
    result.skipped = "no node with the official client here";
    return report.add(result);
  }
  const Sink sink(settings.dir, tls);
  const auto plan = json_plan(1024, 250);  // the shipped batch.max_size, and what theirs sends
  std::vector<double> ours_s;
  std::vector<double> theirs_s;
  // Many short turns: both take their time from the same machine, and what else goes on there comes
  // and goes within seconds.
  const int turns = settings.quick ? settings.runs() : 3 * settings.runs();
  const double turn_s = settings.quick ? settings.stream_s() : settings.stream_s() / 2;
  for (int turn = 0; turn < turns && result.skipped.empty(); ++turn) {
    const auto theirs = official(settings, sink, turn_s, result.skipped);
    if (!theirs) break;
    const auto ours = stream(settings, sink, plan, turn_s);
    theirs_s.push_back(theirs->cpu_s / theirs->records * 1e6);
    ours_s.push_back(ours.cpu_per_million());
    result.values.push_back(theirs_s.back() / ours_s.back());
  }
  result.note = fmt::format(
      "CPU s a million records, batches of 250: official (by Node) {:.2f}, ours {:.2f}{}",
      median(theirs_s), median(ours_s), tls ? ", TLS" : "");
  report.add(result);
}

}  // namespace

void measure_streams(const DeliverySettings& settings, Report& report) {
  Finding plain;
  plain.id = "stream_1kb_json_plain";
  plain.unit = "MB/s";
  plain.of = "raw_tcp";
  plain.target = 0.35;
  if (settings.wants(plain.id)) {
    const Sink sink(settings.dir);
    const auto plan = prepared(json_plan(1024, 250));
    std::vector<double> raw;
    std::vector<double> cpu;
    std::vector<double> server;
    for (int run = 0; run < settings.runs(); ++run) {
      raw.push_back(raw_tcp_bytes_per_s(settings.dir, settings.stream_s()) / 1e6);
      const auto done = stream(settings, sink, plan, settings.stream_s());
      plain.values.push_back(done.mb_per_s());
      plain.ratios.push_back(done.mb_per_s() / raw.back());
      cpu.push_back(done.cpu_per_million());
      server.push_back(done.server_cpu_s / static_cast<double>(done.records) * 1e6);
    }
    plain.note = fmt::format(
        "raw_tcp {:.0f} MB/s in sends of 1 MB; batches of 250 rows; CPU s a million: client {:.2f},"
        " server {:.2f}",
        median(raw), median(cpu), median(server));
    report.add(plain);
  }
  Finding tls;
  tls.id = "stream_200b_proto_tls";
  tls.unit = "rows/s";
  if (!settings.wants(tls.id)) return;
  const Sink sink(settings.dir, &settings.tls);
  const auto plan = prepared(proto_plan(200, 1000));
  std::vector<double> mb;
  std::vector<double> cpu;
  for (int run = 0; run < settings.runs(); ++run) {
    const auto done = stream(settings, sink, plan, settings.stream_s());
    tls.values.push_back(static_cast<double>(done.records) / done.seconds);
    mb.push_back(done.mb_per_s());
    cpu.push_back(done.cpu_per_million());
  }
  tls.note = fmt::format("{:.0f} MB/s of rows, batches of 1000; client CPU s a million {:.2f}",
                         median(mb), median(cpu));
  report.add(tls);
}

void measure_official(const DeliverySettings& settings, Report& report) {
  compare_with_official(settings, report, "client_cpu_vs_official_1kb", nullptr, 5);
  compare_with_official(settings, report, "client_cpu_vs_official_1kb_tls", &settings.tls, {});
}

void measure_encoding(const DeliverySettings& settings, Report& report) {
  for (const bool large : {false, true}) {
    Finding result;
    result.id = large ? "json_to_proto_1kb" : "json_to_proto_200b";
    if (!settings.wants(result.id)) continue;
    result.unit = "rows/s";
    if (!large) result.target = 300'000;
    result.digits = 0;
    result.note = large ? "a document of 40 fields into a table that has them all"
                        : "ten fields and _origin, _seq; of one core's time";
    const auto bodies = table_bodies(large ? 1024 : 200, 20'000);
    auto encoder = large ? document_encoder() : telemetry_encoder(codec::RowForm::kProto);
    for (int run = 0; run < settings.runs(); ++run) {
      const double before = thread_cpu_s();
      uint64_t rows = 0;
      while (thread_cpu_s() - before < settings.stream_s()) rows += encode_all(encoder, bodies);
      result.values.push_back(static_cast<double>(rows) / (thread_cpu_s() - before));
    }
    report.add(result);
  }
  Finding share;
  share.id = "tls_transport_core_share";
  if (!settings.wants(share.id)) return;
  share.unit = "cores";
  share.better = Better::kLess;
  share.note =
      "the transport alone at 100 MB/s, as tls_100mbs_core_share without spool and mapping";
  const Sink sink(settings.dir, &settings.tls);
  const auto plan = prepared(json_plan(1024, 250));
  for (int run = 0; run < settings.runs(); ++run) {
    const auto done = stream(settings, sink, plan, settings.stream_s());
    share.values.push_back(done.client_cpu_s / (static_cast<double>(done.bytes) / 1e8));
  }
  report.add(share);
}

}  // namespace penstock::bench
