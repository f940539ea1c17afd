#include "agent/app/agent.h"

#include <atomic>
#include <future>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "agent/app/compose.h"
#include "agent/app/destinations.h"
#include "agent/app/lasting_trouble.h"
#include "agent/app/table_schemas.h"
#include "agent/base/clock.h"
#include "agent/base/stepped_clock.h"
#include "agent/host/loss_report.h"
#include "agent/host/plugin_host.h"
#include "agent/intake/intake.h"
#include "agent/lane/lane_set.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/spool.h"

namespace penstock::app {
namespace {

constexpr Millis kInputsReport{1000};  // then the agent is ready, whatever they do
constexpr Millis kQuiesceLimit{2000};
constexpr Millis kPluginStopLimit{3000};
constexpr std::chrono::minutes kLossReport{1};

std::string lane_name(spool::LaneId id, const std::string& table) {
  return fmt::format("lane/{} {}", id, table);
}

// What went to no table although its input had handed it over.
host::LossCounts losses_of(const intake::Counters& counters) {
  return {{"dropped (drop_newest)", counters.dropped_newest},
          {"dropped (unrouted: drop)", counters.dropped_unrouted},
          {"quarantined without a route", counters.unrouted},
          {"quarantined over the size limit", counters.oversize},
          {"quarantined by their input", counters.set_aside}};
}

}  // namespace

// In the order of construction; taken down in reverse.
struct Agent::Parts final : spool::Listener {
  Parts(config::Config c, AgentSettings s, std::function<void(const Error&)> f, Log l)
      : config(std::move(c)),
        settings(std::move(s)),
        fault(std::move(f)),
        log(std::move(l)),
        catalog(settings.plugin_dir, settings.crashes) {}

  // spool::Listener, on the spool thread: every call only leaves a note.
  void on_durable(spool::SourceId source, uint64_t up_to) override { host->durable(source, up_to); }
  void on_committed(spool::LaneId lane, spool::Seq up_to) override {
    boost::asio::post(io, [this, lane, up_to] { lanes->committed(lane, up_to); });
  }
  void on_room() override { host->room(); }
  void on_fault(const Error& error) override { fault(error); }

  std::shared_ptr<lane::Lane> make_lane(const spool::LaneState& state);
  lane::EncoderSource encoder_source(const config::Route& route, const std::string& table) const;
  void make_schemas();
  void add_inputs();
  bool stop_lanes();
  void report_losses();
  void report_losses_every_minute();
  std::vector<Trouble> troubles() const;
  void repeat_troubles();

  const config::Config config;
  const AgentSettings settings;
  const std::function<void(const Error&)> fault;
  const Log log;

  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  boost::asio::steady_timer loss_timer{io};
  boost::asio::steady_timer trouble_timer{io};
  LastingTrouble lasting{config.agent.repeat_every};
  std::atomic<bool> stopping = false;
  std::thread agent_thread;
  host::PluginCatalog catalog;
  std::unique_ptr<SteppedClock> clock;
  std::unique_ptr<spool::Spool> spool;
  std::map<std::string, std::shared_ptr<lane::Destination>> destinations;
  std::map<std::string, std::shared_ptr<TableSchemas>> schemas;  // of destinations that ask
  std::unique_ptr<lane::LaneSet> lanes;
  std::unique_ptr<intake::Intake> intake;
  host::LossCounts losses;  // of the intake, as last reported
  std::unique_ptr<intake::Sink> wrapped;
  std::unique_ptr<host::PluginHost> host;
};

Agent::Agent(config::Config config, AgentSettings settings,
             std::function<void(const Error&)> on_fault, Log log)
    : parts_(std::make_unique<Parts>(std::move(config), std::move(settings), std::move(on_fault),
                                     std::move(log))) {}

Agent::~Agent() = default;

// A lane whose route or destination is gone keeps its records; that is said once, here.
std::shared_ptr<lane::Lane> Agent::Parts::make_lane(const spool::LaneState& state) {
  const auto lane_log = log.named(lane_name(state.id, state.key.table));
  const std::string name = spool::configured_route(state.key);
  const auto route = std::find_if(config.routes.begin(), config.routes.end(),
                                  [&](const auto& one) { return one.name == name; });
  if (route == config.routes.end()) {
    lane_log.warning(
        "route {} is not in the configuration any more; its {} records stay in the spool",
        state.key.route, state.pending());
    return nullptr;
  }
  const auto destination = destinations.find(route->destination);
  if (destination == destinations.end()) {
    lane_log.warning("destination {} cannot be used; records stay in the spool",
                     route->destination);
    return nullptr;
  }
  auto encoder = make_encoder(config, *route);
  if (!encoder) {
    lane_log.error("{}; records stay in the spool", encoder.error().what);
    return nullptr;
  }
  return std::make_shared<lane::Lane>(io, *spool, state, *std::move(encoder), destination->second,
                                      lane_log, encoder_source(*route, state.key.table));
}

void Agent::Parts::make_schemas() {
  for (const auto& one : config.destinations) {
    if (one.schema != config::Schema::kUnityCatalog) continue;
    auto made = TableSchemas::start(config, one, "penstock/" + settings.version,
                                    log.named("destination/" + one.name));
    if (made) {
      schemas.emplace(one.name, *std::move(made));
    } else {
      log.error("destination {}: {}", one.name, made.error().what);
      destinations.erase(one.name);
    }
  }
}

// Empty when the route's table is known from the configuration, or not at all.
lane::EncoderSource Agent::Parts::encoder_source(const config::Route& route,
                                                 const std::string& table) const {
  const auto found = schemas.find(route.destination);
  if (found == schemas.end()) return {};
  return [this, &route, table, tables = found->second](
             bool fresh, std::function<void(Result<lane::TableRows>)> done) {
    tables->get(
        table, fresh,
        [this, &route, done = std::move(done)](Result<TableSchemas::Described> described) {
          if (!described) return done(std::move(described).error());
          auto encoder = make_encoder(config, route, described->table.schema);
          if (!encoder) return done(std::move(encoder).error());
          done(lane::TableRows{*std::move(encoder), described->current, described->unanswered});
        });
  };
}

void Agent::Parts::add_inputs() {
  std::vector<config::Problem> problems;  // reported by check already
  intake::Sink& sink = wrapped ? *wrapped : *intake;
  for (const auto& planned : host::plan_inputs(config, catalog, problems)) {
    auto topic = Expression::parse(planned.input->topic);
    const auto source =
        intake->add_source({planned.input->id, topic ? *std::move(topic) : Expression{}});
    host->add(planned, source, sink);
  }
}

void Agent::Parts::report_losses() {
  auto now = losses_of(intake->counters());
  for (const auto& lane : lanes->lanes()) {
    const auto& counted = lane->counters();
    if (const uint64_t refused = counted.refused_records + counted.poison_records)
      now.emplace_back(
          "quarantined from " + lane_name(lane->id(), spool->state(lane->id()).key.table), refused);
  }
  if (const auto text = host::loss_text(losses, now); !text.empty())
    log.warning("records in no table since the last report: {}", text);
  losses = std::move(now);
}

void Agent::Parts::report_losses_every_minute() {
  loss_timer.expires_after(kLossReport);
  loss_timer.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    report_losses();
    report_losses_every_minute();
  });
}

std::vector<Trouble> Agent::Parts::troubles() const {
  std::vector<Trouble> all;
  for (const auto& lane : lanes->lanes()) {
    const auto now = lane->snapshot();
    if (!zerobus::is_trouble(now.state)) continue;
    const auto table = spool->state(lane->id()).key.table;
    all.push_back({lane_name(lane->id(), table),
                   fmt::format("{}: {}", zerobus::to_string(now.state), now.text)});
  }
  for (const auto& input : host->status()) {
    if (!host::is_trouble(input.state)) continue;
    all.push_back({fmt::format("{}/{}", input.plugin, input.id),
                   fmt::format("{}: {}", host::to_string(input.state), input.text)});
  }
  return all;
}

void Agent::Parts::repeat_troubles() {
  trouble_timer.expires_after(lasting.look_every());
  trouble_timer.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled || stopping) return;
    for (const auto& one : lasting.due(troubles(), std::chrono::steady_clock::now()))
      log.named(one.who).warning("still {}", one.text);
    repeat_troubles();
  });
}

Result<void> Agent::start() {
  auto& p = *parts_;
  p.clock = std::make_unique<SteppedClock>(p.settings.runtime_dir.empty()
                                               ? std::filesystem::path()
                                               : p.settings.runtime_dir / "clock-was-set",
                                           read_clock().wall_us, asked_rarely(wall_clock_is_set));
  const auto clock_is_set = [&clock = *p.clock](int64_t wall_us) { return clock.is_set(wall_us); };
  auto options = spool_options(p.config);
  options.clock = [clock_is_set] { return spool::clock_reading(clock_is_set); };
  auto opened = spool::Spool::open(options, p.log.named("spool"));
  if (!opened) return std::move(opened.error());
  p.spool = *std::move(opened);
  p.destinations = make_destinations(p.config, p.settings.version, p.log);
  p.make_schemas();
  p.lanes = std::make_unique<lane::LaneSet>(*p.spool,
                                            [&p](const auto& state) { return p.make_lane(state); });
  auto router = make_router(p.config);
  if (!router) return std::move(router.error());
  p.intake = std::make_unique<intake::Intake>(*p.spool, *std::move(router),
                                              commit_deadlines(p.config), intake_limits(p.config),
                                              p.log.named("intake"), clock_is_set);
  p.host =
      std::make_unique<host::PluginHost>(p.config.agent.id, p.log, p.config.spool.dir / "inputs");
  if (p.settings.wrap_sink) {
    p.wrapped = p.settings.wrap_sink(
        *p.intake, [&p](auto source, auto up_to) { p.host->durable(source, up_to); });
  }
  p.add_inputs();

  p.agent_thread = std::thread([&p] { p.io.run(); });
  p.spool->start(p);
  boost::asio::post(p.io, [&p] {
    p.lanes->start();
    p.report_losses_every_minute();
  });
  p.host->start(kInputsReport);
  boost::asio::post(p.io, [&p] { p.repeat_troubles(); });
  return {};
}

// False: the agent thread hangs, since the sessions' drain_timeout is less than the limit.
bool Agent::Parts::stop_lanes() {
  const auto stopped = std::make_shared<std::promise<void>>();
  boost::asio::post(io, [this, stopped] { lanes->stop([stopped] { stopped->set_value(); }); });
  return stopped->get_future().wait_for(settings.lanes_stop_limit) == std::future_status::ready;
}

// What the agent thread may be using, which hangs, stays as it is until the process ends.
void Agent::leave_behind() {
  static std::atomic<Parts*> left_behind;  // where a search for leaks finds it
  parts_->log.error(
      "the agent thread does not answer and is left behind; records that were acknowledged last "
      "may be sent again");
  parts_->agent_thread.detach();
  left_behind = parts_.release();
}

void Agent::stop() {
  if (!parts_) return;
  auto& p = *parts_;
  if (!p.agent_thread.joinable()) return;
  p.stopping = true;
  p.host->quiesce(kQuiesceLimit);
  if (auto flushed = p.spool->flush(); !flushed)
    p.log.error("the last commit failed: {}", flushed.error().what);
  p.intake->close();
  p.host->stop(kPluginStopLimit);
  const bool have_lanes_stopped = p.stop_lanes();
  p.spool->stop();
  p.work.reset();
  p.io.stop();
  if (!have_lanes_stopped) return leave_behind();
  p.agent_thread.join();
  p.host->destroy();
  p.report_losses();
  p.lanes.reset();
  p.schemas.clear();
  p.destinations.clear();
}

void Agent::touch(std::function<void()> done) { boost::asio::post(parts_->io, std::move(done)); }

std::optional<MonoTime> Agent::spool_busy_since() const { return parts_->spool->busy_since(); }

std::vector<std::string> Agent::failed_inputs() const {
  std::vector<std::string> failed;
  for (const auto& one : parts_->host->status()) {
    if (one.state == host::InstanceState::kFailed)
      failed.push_back("input " + one.id + ": " + one.text);
  }
  return failed;
}

}  // namespace penstock::app
