// Goal: a plugin is checked before it is used, gets its calls in the promised order, and one that
// refuses, hangs or is of another ABI stops nobody else. Method: real shared objects
// (tests/support/plugins) against a sink in memory.
#include <condition_variable>
#include <fstream>

#include <gtest/gtest.h>

#include "agent/host/loss_book.h"
#include "agent/host/loss_report.h"
#include "agent/host/plugin_host.h"
#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::host {
namespace {

using test::wait_until;

const std::filesystem::path kPlugins = test::build_dir() + "/test_plugins";
constexpr Millis kSoon{10'000};

// Numbers records per source; answers kFull while `full`.
class MemorySink final : public intake::Sink {
 public:
  intake::EmitStatus emit(spool::SourceId source, std::span<const RecordView> records,
                          uint64_t& last_seq) override {
    const std::lock_guard lock(mutex_);
    if (closed) return intake::EmitStatus::kClosed;
    if (full) {
      ++refused;
      return intake::EmitStatus::kFull;
    }
    for (const auto& record : records) {
      auto& text = payloads[source].emplace_back(record.payload);
      for (const auto& [key, value] : record.attributes) text.append(key).append(value);
    }
    last_seq = payloads[source].size();
    return intake::EmitStatus::kOk;
  }
  intake::EmitStatus set_aside(spool::SourceId source, const RecordView& record,
                               std::string_view reason, uint64_t& last_seq) override {
    {
      const std::lock_guard lock(mutex_);
      reasons.emplace_back(reason);
    }
    return emit(source, std::span(&record, 1), last_seq);
  }
  void flush_hint() override {}
  uint64_t max_emit_bytes() const override { return 1 << 20; }
  size_t taken(spool::SourceId source) {
    const std::lock_guard lock(mutex_);
    return payloads[source].size();
  }

  std::atomic<bool> full{false};
  std::atomic<bool> closed{false};
  std::atomic<int> refused{0};
  std::map<spool::SourceId, std::vector<std::string>> payloads;
  std::vector<std::string> reasons;

 private:
  std::mutex mutex_;
};

class HostTest : public testing::Test {
 protected:
  // Adds an input with the options written in YAML flow style.
  void add(const std::string& id, const std::string& plugin, const std::string& options) {
    add(id, plugin, options, host_);
  }
  void add(const std::string& id, const std::string& plugin, const std::string& options,
           PluginHost& host) {
    config::Environment environment = config::system_environment();
    auto loaded =
        config::load_text("version: 1\nagent: {id: gw}\ninputs:\n  " + id + ": {plugin: " + plugin +
                              ", topic: t" + (options.empty() ? "" : ", " + options) + "}\n",
                          "test.yaml", "/", environment);
    configs_.push_back(std::make_unique<config::Config>(std::move(loaded.config)));
    for (const auto& planned : plan_inputs(*configs_.back(), catalog_, problems_)) {
      host.add(planned, next_source_++, sink_);
    }
  }
  InstanceStatus status(const std::string& id) {
    for (auto& status : host_.status()) {
      if (status.id == id) return status;
    }
    return {};
  }
  uint64_t stat(const std::string& id, const std::string& name) {
    for (const auto& [instance, stat, value] : host_.stats()) {
      if (instance == id && stat == name) return value;
    }
    return 0;
  }

  PluginCatalog catalog_{kPlugins};
  std::vector<std::unique_ptr<config::Config>> configs_;
  std::vector<config::Problem> problems_;
  MemorySink sink_;
  PluginHost host_{"gw", Log::none()};
  spool::SourceId next_source_ = 0;
};

TEST_F(HostTest, RecordsComeInAndWatermarksGoOut) {
  add("one", "probe", "count: 5");
  host_.start(kSoon);
  EXPECT_EQ(status("one").state, InstanceState::kUp) << "started is: it said how it stands";
  ASSERT_TRUE(wait_until([&] { return sink_.taken(0) == 5; }, kSoon));
  EXPECT_EQ(stat("one", "durable"), 0u);
  host_.durable(0, 4);
  EXPECT_TRUE(wait_until([&] { return stat("one", "durable") == 4; }, kSoon));
  host_.quiesce(kSoon);
  host_.durable(0, 5);
  host_.stop(kSoon);
  EXPECT_EQ(stat("one", "durable"), 5u) << "the last watermark goes before stop";
  host_.destroy();
}

TEST_F(HostTest, WhatAPluginSetsAsideIsTakenWithItsReason) {
  add("one", "probe", "count: 2, mode: set_aside");
  host_.start(kSoon);
  ASSERT_TRUE(wait_until([&] { return sink_.taken(0) == 2; }, kSoon));
  host_.quiesce(kSoon);
  host_.stop(kSoon);
  host_.destroy();
  EXPECT_EQ(sink_.reasons, (std::vector<std::string>{"as told", "as told"}));
}

TEST_F(HostTest, AnInputRemembersOverRestartsAndOnlyItsOwn) {
  const test::TempDir dir("notes");
  for (uint64_t life = 1; life <= 3; ++life) {
    PluginHost host("gw", Log::none(), dir.path() / "inputs");
    config::Environment environment = config::system_environment();
    const auto loaded = config::load_text(
        "version: 1\nagent: {id: gw}\ninputs:\n"
        "  one: {plugin: probe, topic: t, mode: remember}\n"
        "  two: {plugin: probe, topic: t, mode: remember}\n",
        "test.yaml", "/", environment);
    std::vector<config::Problem> problems;
    for (const auto& planned : plan_inputs(loaded.config, catalog_, problems)) {
      if (planned.input->id == "one" || life == 3) host.add(planned, next_source_++, sink_);
    }
    host.start(kSoon);
    std::map<std::string, uint64_t> lives;
    for (const auto& [instance, stat, value] : host.stats()) {
      if (stat == "lives") lives[instance] = value;
      EXPECT_TRUE(stat != "remembered" || value == 1u) << instance;
    }
    EXPECT_EQ(lives["one"], life);
    EXPECT_EQ(lives["two"], life == 3 ? 1u : 0u);
    host.quiesce(kSoon);
    host.stop(kSoon);
    host.destroy();
  }
}

TEST_F(HostTest, WithoutAPlaceForItAnInputIsToldThatNothingIsRemembered) {
  add("one", "probe", "mode: remember");
  host_.start(kSoon);
  EXPECT_EQ(stat("one", "lives"), 1u);
  EXPECT_EQ(stat("one", "remembered"), 0u);
  host_.quiesce(kSoon);
  host_.stop(kSoon);
  host_.destroy();
}

TEST_F(HostTest, ASecretIsReadAgainWhereTheConfigurationSaysItIs) {
  const test::TempDir dir("secrets");
  const auto put = [&](const std::string& name, const std::string& text) {
    std::ofstream(dir.path() / name) << text << "\n";
    return "count: 1, mode: secret, password: \"${file:" + (dir.path() / name).string() + "}\"";
  };
  add("changed", "probe", put("a", "old"));
  add("same", "probe", put("b", "old"));
  add("gone", "probe", put("c", "old"));
  add("none", "probe", "count: 1, mode: secret");
  const std::string renewed(1'000, 'n');
  put("a", renewed);
  std::filesystem::remove(dir.path() / "c");
  host_.start(kSoon);
  const std::vector<std::string> wanted{renewed + "|", "old|", "|", "|"};
  for (spool::SourceId source = 0; source < wanted.size(); ++source) {
    ASSERT_TRUE(wait_until([&] { return sink_.taken(source) == 1; }, kSoon)) << source;
  }
  host_.quiesce(kSoon);
  host_.stop(kSoon);
  host_.destroy();
  for (spool::SourceId source = 0; source < wanted.size(); ++source) {
    EXPECT_EQ(sink_.payloads[source], std::vector<std::string>{wanted[source]}) << source;
  }
}

TEST_F(HostTest, AFullQueueIsFollowedByRoomUntilThePluginEmitsAgain) {
  sink_.full = true;
  add("one", "probe", "count: 3");
  host_.start(kSoon);
  ASSERT_TRUE(wait_until([&] { return sink_.refused > 0; }, kSoon));
  sink_.full = false;
  host_.room();
  EXPECT_TRUE(wait_until([&] { return sink_.taken(0) == 3; }, kSoon));
  EXPECT_EQ(sink_.payloads[0], (std::vector<std::string>{"1", "2", "3"}));
  host_.quiesce(kSoon);
  host_.stop(kSoon);
  host_.destroy();
}

TEST_F(HostTest, OneThatRefusesOrHangsStopsNobodyElse) {
  add("refuses", "probe", "mode: refuse_create");
  add("unwilling", "probe", "mode: refuse_start");
  add("hangs", "probe", "mode: hang_start");
  add("good", "probe", "count: 2");
  host_.start(Millis(100));  // returns, though "hangs" says nothing
  EXPECT_TRUE(wait_until([&] { return sink_.taken(next_source_ - 1) == 2; }, kSoon));
  EXPECT_EQ(status("refuses").state, InstanceState::kFailed);
  EXPECT_NE(status("refuses").text.find("told to refuse"), std::string::npos);
  EXPECT_TRUE(
      wait_until([&] { return status("unwilling").state == InstanceState::kFailed; }, kSoon));
  EXPECT_EQ(status("hangs").state, InstanceState::kStarting);
  host_.quiesce(Millis(100));
  host_.stop(Millis(100));
  EXPECT_EQ(status("good").state, InstanceState::kStopped);
  host_.destroy();  // returns, though "hangs" never will
}

TEST_F(HostTest, OneThatHangsInStopIsLeftBehind) {
  add("hangs", "probe", "mode: hang_stop");
  host_.start(kSoon);
  ASSERT_TRUE(wait_until([&] { return sink_.taken(0) == 3; }, kSoon));
  host_.quiesce(kSoon);
  host_.stop(Millis(50));
  host_.destroy();
}

// It is failed at once, but failed is not stopped.
TEST_F(HostTest, OneThatMisusedItsHostAndHangsInStopIsLeftBehindToo) {
  testing::internal::CaptureStderr();
  PluginHost host("gw", Log::to_stderr(LogLevel::kError));
  add("hangs", "probe", "mode: misuse_hang_stop", host);
  host.start(kSoon);
  EXPECT_TRUE(wait_until([&] { return host.status()[0].state == InstanceState::kFailed; }, kSoon));
  host.quiesce(Millis(50));
  host.stop(Millis(50));
  host.destroy(Millis(50));  // returns
  const auto log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("input hangs (probe) did not finish stopping in time"), std::string::npos)
      << log;
}

TEST_F(HostTest, OneThatHangsInCreateIsLeftOutAndTheOthersStart) {
  PluginHost host("gw", Log::none(), {}, {Millis(100), Millis(60'000)});
  add("hangs", "probe", "mode: hang_create", host);
  add("good", "probe", "count: 2", host);
  host.start(kSoon);
  EXPECT_TRUE(wait_until([&] { return sink_.taken(1) == 2; }, kSoon));
  ASSERT_EQ(host.status().size(), 2u);
  EXPECT_EQ(host.status()[0].state, InstanceState::kFailed);
  EXPECT_NE(host.status()[0].text.find("probe 1 does not return from create within 1 s"),
            std::string::npos)
      << host.status()[0].text;
  host.quiesce(kSoon);
  host.stop(kSoon);
  host.destroy();
}

TEST_F(HostTest, OneThatHangsInDestroyIsLeftBehind) {
  testing::internal::CaptureStderr();
  PluginHost host("gw", Log::to_stderr(LogLevel::kError));
  add("hangs", "probe", "mode: hang_destroy, count: 0", host);
  add("good", "probe", "", host);
  host.start(kSoon);
  host.quiesce(kSoon);
  host.stop(kSoon);
  host.destroy(Millis(2000));  // returns; time enough for the other one
  const auto log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("input hangs (probe) did not finish its destroy in time"), std::string::npos)
      << log;
  EXPECT_EQ(log.find("input good"), std::string::npos) << log;
}

// One that was never stopped, because the agent did not get so far.
TEST_F(HostTest, AHostThatEndsEarlyEndsItsInputs) {
  auto host = std::make_unique<PluginHost>("gw", Log::none());
  add("one", "probe", "", *host);
  add("two", "probe", "count: 0", *host);
  host.reset();
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

TEST_F(HostTest, WhatAnInputLosesIsLoggedOnceAndOnceMoreAtItsEnd) {
  testing::internal::CaptureStderr();
  PluginHost host("gw", Log::to_stderr(LogLevel::kWarning), {}, {kSoon, Millis(5), Millis(5)});
  add("leaky", "probe", "mode: spill, count: 7", host);
  add("tight", "probe", "count: 7", host);
  const auto stat_of = [&](const std::string& name) {
    for (const auto& [instance, stat, value] : host.stats()) {
      if (instance == "leaky" && stat == name) return value;
    }
    return uint64_t{0};
  };
  host.start(kSoon);
  ASSERT_TRUE(wait_until([&] { return stat_of("emitted") == 7; }, kSoon));
  // Looks at the counters that find nothing new say nothing.
  ASSERT_TRUE(wait_until([&] { return stat_of("looks") > 50; }, kSoon));
  host.quiesce(kSoon);
  host.stop(kSoon);
  host.destroy();
  const auto log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(count_of(log, "probe/leaky: lost since the last report: spilt "),
            count_of(log, "lost since the last report"))
      << log;
  EXPECT_EQ(count_of(log, "(7 in all)"), 1u) << log;
  EXPECT_EQ(count_of(log, "spilt 4 (11 in all)"), 1u) << log;
}

// Lives one after the other, the first one without an orderly end.
TEST(LossBook, CountsOverLivesAndWhatACrashLeaves) {
  test::TempDir dir{"lost"};
  const auto file = dir.path() / "inputs" / "u.lost";
  const auto kept = [&] {
    std::ifstream in(file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  testing::internal::CaptureStderr();
  const auto log = Log::to_stderr(LogLevel::kWarning);
  LossBook crashed(file, log);
  crashed.look({{"kernel_drops", 0}, {"oversize", 0}}, false);
  EXPECT_FALSE(std::filesystem::exists(file)) << "nothing was lost";
  crashed.look({{"kernel_drops", 12}, {"oversize", 0}}, false);
  EXPECT_EQ(kept(), "kernel_drops 12\n");
  LossBook next(file, log);
  next.look({{"kernel_drops", 0}, {"oversize", 0}}, true);
  EXPECT_EQ(kept(), "kernel_drops 12\n");
  next.look({{"kernel_drops", 3}, {"oversize", 1}}, true);
  EXPECT_EQ(kept(), "kernel_drops 15\noversize 1\n");
  EXPECT_EQ(count_of(testing::internal::GetCapturedStderr(),
                     "lost since the last report: kernel_drops 3 (15 in all), oversize 1 (1"),
            1u);
}

TEST(LossBook, PassesOverWhatIsNoCount) {
  EXPECT_EQ(parse_losses("a 1\n\nb\n c 2 3\nd x\ne -\n\xFF\nf 18446744073709551615\ng 4"),
            (LossCounts{{"a", 1}, {"f", UINT64_MAX}, {"g", 4}}));
}

TEST(LossBook, WithoutAPlaceCountsThisRunAndSaysSoOnce) {
  testing::internal::CaptureStderr();
  LossBook book({}, Log::to_stderr(LogLevel::kWarning));
  book.look({{"a", 1}}, true);
  book.look({{"a", 2}}, true);
  const auto log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(count_of(log, "for this run only"), 1u) << log;
  EXPECT_EQ(count_of(log, "a 1 (2 in all)"), 1u) << log;
}

TEST(LossReport, SaysWhatWasAddedAndHowMuchItIsInAll) {
  EXPECT_EQ(loss_text({}, {{"a", 0}, {"b", 0}}), "");
  EXPECT_EQ(loss_text({}, {{"a", 2}, {"b", 0}}), "a 2 (2 in all)");
  EXPECT_EQ(loss_text({{"a", 2}, {"b", 0}}, {{"a", 2}, {"b", 0}}), "");
  EXPECT_EQ(loss_text({{"a", 2}, {"b", 0}}, {{"a", 5}, {"b", 1}}),
            "a 3 (5 in all), b 1 (1 in all)");
  EXPECT_EQ(loss_text({{"a", 5}}, {{"a", 2}}), "a 2 (2 in all)") << "it has begun anew";
}

TEST_F(HostTest, OptionsAreCheckedAgainstThePluginsTable) {
  add("one", "probe", "cuont: 3");
  ASSERT_EQ(problems_.size(), 1u);
  EXPECT_NE(to_string(problems_[0]).find("count"), std::string::npos) << to_string(problems_[0]);
}

std::string refusal(const std::string& plugin) {
  auto library = find_plugin(kPlugins, plugin);
  return library ? "" : library.error().what;
}

TEST(PluginLibraryTest, AnotherAbiIsRefusedWithBothVersionsAndAdvice) {
  const auto older = refusal("old_abi");
  EXPECT_NE(older.find("built for plugin ABI 0.1, this agent speaks 1."), std::string::npos)
      << older;
  EXPECT_NE(older.find("rebuild the plugin"), std::string::npos) << older;
  const auto newer = refusal("next_abi");
  EXPECT_NE(newer.find("built for plugin ABI 2.0, this agent speaks 1."), std::string::npos)
      << newer;
  EXPECT_NE(newer.find("update the agent"), std::string::npos) << newer;
}

TEST(PluginLibraryTest, AFileThatIsNoPluginIsRefused) {
  EXPECT_NE(refusal("no_descriptor").find("no symbol penstock_plugin_descriptor"),
            std::string::npos);
}

TEST(PluginLibraryTest, AnUnknownPluginNamesThoseThatAreThere) {
  const auto text = refusal("mqqt");
  EXPECT_NE(text.find("`mqqt`"), std::string::npos) << text;
  EXPECT_NE(text.find("probe"), std::string::npos) << text;
}

TEST(PluginLibraryTest, ANameThatLeavesTheDirectoryIsNoPlugin) {
  EXPECT_NE(refusal("../plugins/udp").find("there is no plugin"), std::string::npos);
}

TEST(PluginLibraryTest, BytesThatAreNoLibraryAreRefused) {
  const test::TempDir dir;
  std::ofstream(dir.path() / "junk.so") << "not an object file";
  auto library = find_plugin(dir.path(), "junk");
  ASSERT_FALSE(library);
  EXPECT_NE(library.error().what.find("cannot be loaded"), std::string::npos);
}

TEST(PluginLibraryTest, AnIncompleteDescriptorIsRefused) {
  EXPECT_FALSE(descriptor_problem(nullptr).empty());
  penstock_plugin plugin{};
  plugin.struct_size = sizeof plugin;
  plugin.abi_major = PENSTOCK_ABI_MAJOR;
  EXPECT_NE(descriptor_problem(&plugin).find("lacks"), std::string::npos);
  plugin.struct_size = 8;
  EXPECT_NE(descriptor_problem(&plugin).find("8 bytes"), std::string::npos);
}

// A complete descriptor whose table has one option.
std::string option_refusal(penstock_option option) {
  option.struct_size = sizeof option;
  auto library = find_plugin(kPlugins, "probe");
  penstock_plugin plugin = library->descriptor();
  plugin.options = &option;
  plugin.option_count = 1;
  return descriptor_problem(&plugin);
}

TEST(PluginLibraryTest, AnOptionTableThatCannotBeUnderstoodIsRefusedWithTheRow) {
  penstock_option option{};
  option.name = "speed";
  option.type = PENSTOCK_OPTION_INTEGER;
  EXPECT_EQ(option_refusal(option), "");
  option.type = static_cast<penstock_option_type>(77);
  EXPECT_NE(option_refusal(option).find("option speed has a type 77"), std::string::npos);
  option.type = PENSTOCK_OPTION_ENUM;
  EXPECT_NE(option_refusal(option).find("option speed has no choices"), std::string::npos);
  option.name = "a b";
  EXPECT_NE(option_refusal(option).find("`a b`: has a name that is no path"), std::string::npos);
  option.name = nullptr;
  EXPECT_NE(option_refusal(option).find("no path of words"), std::string::npos);
}

TEST_F(HostTest, StructsThatEndWhereVersionOneLetsThemAreAccepted) {
  add("lean", "lean", "size: 8KiB");
  EXPECT_TRUE(problems_.empty());
  host_.start(kSoon);
  EXPECT_TRUE(wait_until([&] { return sink_.taken(0) == 3; }, kSoon));
  EXPECT_EQ(sink_.payloads[0], (std::vector<std::string>{"ak1", "bk1", "ck1m2"}));
  EXPECT_TRUE(host_.stats().empty()) << "rubbish behind the end of a descriptor is no function";
  host_.quiesce(kSoon);
  host_.stop(kSoon);
  EXPECT_EQ(status("lean").state, InstanceState::kStopped);
  host_.destroy();
}

TEST_F(HostTest, AnEmitAgainstTheContractFailsThatInputAlone) {
  add("bad", "lean", "misuse: true");
  add("good", "probe", "count: 2");
  host_.start(kSoon);
  EXPECT_TRUE(wait_until([&] { return sink_.taken(1) == 2; }, kSoon));
  EXPECT_TRUE(wait_until([&] { return status("bad").state == InstanceState::kFailed; }, kSoon));
  EXPECT_NE(status("bad").text.find("struct_size of a record is too small"), std::string::npos)
      << status("bad").text;
  EXPECT_EQ(sink_.taken(0), 0u);
  host_.quiesce(kSoon);
  host_.stop(kSoon);
  host_.destroy();
}

}  // namespace
}  // namespace penstock::host
