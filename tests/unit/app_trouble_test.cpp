// Goal: a trouble that lasts is said again at the pace that is configured (agent.log.repeat_every).
// Method: the decision alone, and an agent with an input and a destination that do not work.
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/app/agent.h"
#include "agent/app/lasting_trouble.h"
#include "agent/config/config.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::app {
namespace {

// --- the decision

class Lasting : public testing::Test {
 protected:
  // Time passes; who of those in trouble then is said again.
  std::string after(int64_t ms, const std::vector<std::string>& troubled) {
    now_ += Millis(ms);
    std::vector<Trouble> all;
    for (const auto& who : troubled) all.push_back({who, "down"});
    std::string said;
    for (const auto& one : lasting_.due(std::move(all), now_)) said += one.who;
    return said;
  }
  MonoTime now_{};
  LastingTrouble lasting_{Millis(1000)};
};

TEST_F(Lasting, EachTroubleIsRepeatedAtItsOwnTimeAsLongAsItLasts) {
  EXPECT_EQ(after(0, {"a"}), "") << "it has just said so itself";
  EXPECT_EQ(after(500, {"a", "b"}), "");
  EXPECT_EQ(after(499, {"a", "b"}), "");
  EXPECT_EQ(after(1, {"a", "b"}), "a");
  EXPECT_EQ(after(500, {"a", "b"}), "b");
  EXPECT_EQ(after(500, {"a", "b"}), "a");
}

TEST_F(Lasting, WhatIsOverIsForgotten) {
  after(0, {"a"});
  after(500, {});
  EXPECT_EQ(after(500, {"a"}), "") << "another trouble, which began just now";
  EXPECT_EQ(after(1000, {"a"}), "a");
}

// --- the agent

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

TEST(AgentTrouble, ALaneAndAnInputThatDoNotWorkSaySoAgain) {
  const test::TempDir dir("trouble");
  const auto loaded = config::load_text(
      "version: 1\nagent: {id: gw, log: {repeat_every: 1s}}\n"
      "spool: {dir: " +
          (dir.path() / "spool").string() +
          ", allow_volatile: true, min_free: 1MiB}\n"
          "destinations:\n  d: {endpoint: \"http://127.0.0.1:" +
          std::to_string(test::free_tcp_port()) +
          "\", auth: {token: a-token-of-the-test}}\n"
          "inputs:\n  broken: {plugin: none-such, topic: t}\n"
          "routes:\n  - {name: r, match: {topic: t}, table: a.b.c}\n",
      "c.yaml", "/tmp", config::system_environment());
  ASSERT_EQ(loaded.config.routes.size(), 1u);
  const ErrorFile log(dir.path() / "log");
  AgentSettings settings;
  settings.plugin_dir = dir.path();
  intake::Sink* door = nullptr;
  settings.wrap_sink = [&door](intake::Sink& next, AgentSettings::Durable) {
    return std::make_unique<Door>(next, door);
  };
  Agent agent(
      loaded.config, std::move(settings), [](const Error&) {}, Log::to_stderr(LogLevel::kInfo));
  const auto started = agent.start();
  ASSERT_TRUE(started) << started.error().what;
  RecordView record;
  record.source = "s";
  record.topic = "t";
  record.payload = "{}";
  record.received_at_us = 1;
  uint64_t up_to = 0;
  EXPECT_EQ(door->emit(0, {&record, 1}, up_to), intake::EmitStatus::kOk);
  const auto said = [&log](const std::string& words) {
    return test::wait_until([&] { return log.text().find(words) != std::string::npos; },
                            Millis(30'000));
  };
  EXPECT_TRUE(said("lane/1 a.b.c: still backoff: UNAVAILABLE")) << log.text();
  EXPECT_TRUE(said("none-such/broken: still failed")) << log.text();
  agent.stop();
}

}  // namespace
}  // namespace penstock::app
