// An agent in the test's own process, with one lane to a server that is not there and an input
// whose plugin is not there, and what it says.
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/app/agent.h"
#include "agent/config/config.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"

namespace penstock::app {

// Standard error into a file, for a scope.
class ErrorFile {
 public:
  explicit ErrorFile(const std::filesystem::path& file) : file_(file), kept_(dup(2)) {
    const int fd = open(file.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    dup2(fd, 2);
    close(fd);
  }
  ~ErrorFile() {
    dup2(kept_, 2);
    close(kept_);
  }
  std::string text() const {
    std::ostringstream out;
    out << std::ifstream(file_).rdbuf();
    return out.str();
  }

 private:
  const std::filesystem::path file_;
  const int kept_;
};

// Passes everything on, and shows the way in.
class Door final : public intake::Sink {
 public:
  Door(intake::Sink& next, intake::Sink*& shown) : next_(next) { shown = this; }
  intake::EmitStatus emit(spool::SourceId source, std::span<const RecordView> records,
                          uint64_t& up_to) override {
    return next_.emit(source, records, up_to);
  }
  intake::EmitStatus set_aside(spool::SourceId source, const RecordView& record,
                               std::string_view why, uint64_t& up_to) override {
    return next_.set_aside(source, record, why, up_to);
  }
  void flush_hint() override { next_.flush_hint(); }
  uint64_t max_emit_bytes() const override { return next_.max_emit_bytes(); }

 private:
  intake::Sink& next_;
};

class AgentRig {
 public:
  explicit AgentRig(Millis lanes_stop_limit = AgentSettings{}.lanes_stop_limit) {
    auto loaded = config::load_text(
        "version: 1\nagent: {id: gw, log: {repeat_every: 1s}}\n"
        "spool: {dir: " +
            spool_dir().string() +
            ", allow_volatile: true, min_free: 1MiB}\n"
            "destinations:\n  d: {endpoint: \"http://127.0.0.1:" +
            std::to_string(test::free_tcp_port()) +
            "\", auth: {token: a-token-of-the-test}}\n"
            "inputs:\n  broken: {plugin: none-such, topic: t}\n"
            "routes:\n  - {name: r, match: {topic: t}, table: a.b.c}\n",
        "c.yaml", "/tmp", config::system_environment());
    EXPECT_EQ(loaded.config.routes.size(), 1u);
    AgentSettings settings;
    settings.plugin_dir = dir_.path();
    settings.lanes_stop_limit = lanes_stop_limit;
    settings.wrap_sink = [this](intake::Sink& next, const AgentSettings::Durable&) {
      return std::make_unique<Door>(next, door_);
    };
    agent_.emplace(
        std::move(loaded.config), std::move(settings), [](const Error&) {},
        Log::to_stderr(LogLevel::kInfo));
  }
  void start() {
    const auto started = agent_->start();
    ASSERT_TRUE(started) << started.error().what;
  }
  // A record, as an input hands it over.
  void emit() {
    RecordView record;
    record.source = "s";
    record.topic = "t";
    record.payload = "{}";
    record.received_at_us = 1;
    uint64_t up_to = 0;
    EXPECT_EQ(door_->emit(0, {&record, 1}, up_to), intake::EmitStatus::kOk);
  }
  std::string said() const { return log_.text(); }
  std::filesystem::path spool_dir() const { return dir_.path() / "spool"; }
  Agent& agent() { return *agent_; }
  void destroy_agent() { agent_.reset(); }

 private:
  const test::TempDir dir_{"agent"};
  const ErrorFile log_{dir_.path() / "log"};
  intake::Sink* door_ = nullptr;
  std::optional<Agent> agent_;
};

}  // namespace penstock::app
