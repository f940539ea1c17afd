// `penstock spool` as a person or a script meets it: what it prints, what it leaves behind and how
// it exits.
#include <cstdio>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "agent/codec/export_line.h"
#include "agent/spool/lock_file.h"
#include "tests/unit/spool_offline_fixture.h"

namespace penstock::cli {
namespace {

using namespace spool::testing;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class SpoolTools : public OfflineSpoolTest {
 protected:
  static Outcome penstock(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"penstock", "spool"});
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = run(static_cast<int>(argv.size()), argv.data());
    std::fflush(stdout);
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }
  std::string at(const char* name) const { return (dir_.path() / name).string(); }
  std::string spool_dir() const { return dir().string(); }
  void destroy_first_page() {
    std::string bytes = file_text(file());
    std::fill_n(bytes.begin(), kPage, '\0');
    overwrite(file(), bytes);
  }
};

TEST_F(SpoolTools, StatTellsTheAccountOfEveryLane) {
  fill_two_lanes(6);
  const auto outcome = penstock({"stat", spool_dir()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.out, "36 records waiting")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "lane 1  route -> main.a.small")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "committed 21 = delivered 4 + quarantined 1 + pending 16"))
      << outcome.out;
  EXPECT_TRUE(has(outcome.out, "committed 30 = delivered 10 + pending 20")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, "agent gw-test")) << outcome.out;
  for (const auto& line : lines_of(outcome.out)) {
    if (has(line, spool_dir())) continue;  // as long as the path is
    EXPECT_LE(line.size(), 100U) << line;
  }
  const auto json = penstock({"stat", "--json", spool_dir()});
  EXPECT_EQ(json.code, 0);
  EXPECT_TRUE(has(json.out,
                  R"("lane":1,"route":"route","table":"main.a.small","committed":21,)"
                  R"("delivered":4,"replayed":0,"quarantined":1,"discarded":0,"dropped":0,)"
                  R"("damaged":0,"missing":0,"pending":16)"))
      << json.out;
}

// The second ledger, and why records were dropped.
TEST_F(SpoolTools, StatTellsWhatWasRefusedAndWhyRecordsWereDropped) {
  open();
  const spool::LaneId idle = lane("main.a.idle");
  spool_->turned_away(idle, 1234);
  spool_->turned_away(spool::kUnroutedLane, 3);
  ASSERT_TRUE(spool_->flush());
  close();
  auto outcome = penstock({"stat", spool_dir()});
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_TRUE(has(outcome.out,
                  "route -> main.a.idle\n    committed 0 = delivered 0 + pending 0\n"
                  "    refused before they were committed: 1,234 (drop_newest)"))
      << outcome.out;
  EXPECT_TRUE(has(outcome.out, "refused before they were committed: 3 (unrouted: drop)"))
      << outcome.out;
  outcome = penstock({"stat", "--json", spool_dir()});
  EXPECT_TRUE(has(outcome.out, R"("refused":1237,)")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, R"("refused":1234,)")) << outcome.out;
  fill_two_lanes(6);
  query(file(),
        "UPDATE lane_state SET dropped=5, dropped_age=2 WHERE table_name='main.a.large';"
        "INSERT INTO fate SELECT lane, 11, 12, 3, 0, 'age' FROM lane_state "
        "WHERE table_name='main.a.large'");
  outcome = penstock({"stat", spool_dir()});
  EXPECT_TRUE(has(outcome.out,
                  "committed 30 = delivered 5 + dropped (overflow) 3 + "
                  "dropped (age) 4 + pending 18"))
      << outcome.out;
  outcome = penstock({"stat", "--json", spool_dir()});
  EXPECT_TRUE(has(outcome.out, R"("dropped":7,)")) << outcome.out;
  EXPECT_TRUE(has(outcome.out, R"("dropped_overflow":3,"dropped_age":4,"refused":0)"))
      << outcome.out;
}

TEST_F(SpoolTools, LsShowsRecordsAndKeepsToTheTerminal) {
  fill_two_lanes(6);
  const auto outcome = penstock({"ls", "--lane", "1", "--from", "6", "--limit", "3", spool_dir()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = lines_of(outcome.out);
  ASSERT_EQ(lines.size(), 4U) << outcome.out;
  EXPECT_TRUE(has(lines[1], "lane 1 seq 6")) << lines[1];
  EXPECT_TRUE(has(lines[1], "plant/1")) << lines[1];
  EXPECT_TRUE(has(lines[1], "2023-11-14 22:13:20.000")) << lines[1];
  for (const auto& line : lines) EXPECT_LE(line.size(), 100U) << line;
  EXPECT_EQ(lines_of(penstock({"ls", "--table", "main.a.large", spool_dir()}).out).size(), 21U);
  const auto all = penstock({"ls", "--all", "--lane", "1", spool_dir()});
  EXPECT_TRUE(has(all.out, "quarantined: no such column")) << all.out;
  EXPECT_EQ(penstock({"ls", "--lane", "9", spool_dir()}).code, 2);
}

TEST_F(SpoolTools, AnExportImportedElsewhereIsTheSameSpool) {
  fill_two_lanes(6);
  const auto before = directory_content(dir());
  auto outcome = penstock({"export", spool_dir(), "--quarantine", "-o", at("dump.ndjson")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "37 records exported")) << outcome.err;
  EXPECT_EQ(directory_content(dir()), before);
  EXPECT_EQ(penstock({"export", spool_dir(), "--quarantine"}).out.size(),
            file_text(at("dump.ndjson")).size());
  for (int time = 0; time < 2; ++time) {
    outcome = penstock({"import", at("dump.ndjson"), at("laptop")});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(has(outcome.err, time == 0 ? "37 records imported" : "0 records imported"))
        << outcome.err;
  }
  const auto there = waiting_records(at("laptop"));
  const auto here = waiting_records(dir());
  ASSERT_EQ(there.size(), here.size());
  std::multiset<std::string> bodies;
  std::multiset<std::string> wanted;
  for (const auto& [key, body] : there) bodies.insert(body);
  for (const auto& [key, body] : here) wanted.insert(body);
  EXPECT_EQ(bodies, wanted);
  EXPECT_EQ(penstock({"fsck", at("laptop")}).code, 0);
  // And once more from there: nothing but the header may differ.
  const auto again = lines_of(penstock({"export", at("laptop"), "--quarantine"}).out);
  const auto first = lines_of(file_text(at("dump.ndjson")));
  EXPECT_EQ(std::multiset<std::string>(again.begin() + 1, again.end()),
            std::multiset<std::string>(first.begin() + 1, first.end()));
}

// The copy of the lanes knows epochs and cursors as well.
TEST_F(SpoolTools, AnExportKeepsNamesAndCursorsWhenTheTablesOfTheLanesAreGone) {
  fill_two_lanes(6);
  settle_log();
  const auto exported = [this] {
    auto lines = lines_of(penstock({"export", spool_dir()}).out);
    if (!lines.empty()) lines.erase(lines.begin());  // the header tells the time
    return lines;
  };
  const auto wanted = exported();
  ASSERT_GT(wanted.size(), 36U);
  const std::string healthy = file_text(file());
  for (const std::string table : {"epoch", "lane_state"}) {
    SCOPED_TRACE(table);
    const auto root =
        query(file(), "SELECT rootpage FROM sqlite_schema WHERE name='" + table + "'").at(0);
    std::string bytes = healthy;
    std::fill_n(bytes.begin() + (std::stol(root) - 1) * static_cast<long>(kPage), kPage, '\0');
    overwrite(file(), bytes);
    EXPECT_EQ(penstock({"export", spool_dir(), "-o", at("dump.ndjson")}).code, 1);
    EXPECT_EQ(exported(), wanted);
    const auto fsck = penstock({"fsck", spool_dir()});
    EXPECT_TRUE(has(fsck.out, "in this copy alone")) << fsck.out;
    EXPECT_FALSE(has(fsck.out, "gone back in time")) << fsck.out;
    EXPECT_TRUE(has(penstock({"stat", spool_dir()}).out, "agent gw-test, epoch"));
    overwrite(file(), healthy);
  }
}

// Lane 2 holds 11..30; by the second export it has delivered up to 40, and waits with 41..45.
TEST_F(SpoolTools, ASecondExportOfADeviceAccountsForWhatWentOutSinceTheFirst) {
  fill_two_lanes(6);
  ASSERT_EQ(penstock({"export", spool_dir(), "-o", at("first.ndjson")}).code, 0);
  open();
  put(2, 15, 300);
  spool_->acknowledge(2, 40);
  ASSERT_TRUE(spool_->flush());
  close();
  ASSERT_EQ(penstock({"export", spool_dir(), "-o", at("second.ndjson")}).code, 0);
  for (const char* dump : {"first.ndjson", "second.ndjson"}) {
    const auto outcome = penstock({"import", at(dump), at("laptop")});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
  }
  const auto fsck = penstock({"fsck", at("laptop")});
  EXPECT_EQ(fsck.code, 0) << fsck.out;
  const auto stat = penstock({"stat", at("laptop")});
  EXPECT_TRUE(has(stat.out, "committed 45 = delivered 10 + discarded 10 + pending 25")) << stat.out;
  // The other way round the first brings nothing that is not known.
  for (const char* dump : {"second.ndjson", "first.ndjson"})
    EXPECT_EQ(penstock({"import", at(dump), at("other")}).code, 0);
  EXPECT_TRUE(has(penstock({"stat", at("other")}).out, "committed 45 = delivered 40 + pending 5"));
}

TEST_F(SpoolTools, NumbersWithoutARecordTakeTheirFateAlong) {
  fill_two_lanes(6);
  open();
  spool_->damaged(2, 16, 20, "torn");
  ASSERT_TRUE(spool_->flush());
  close();
  ASSERT_EQ(penstock({"export", spool_dir(), "-o", at("dump.ndjson")}).code, 0);
  ASSERT_EQ(penstock({"import", at("dump.ndjson"), at("laptop")}).code, 0);
  const auto stat = penstock({"stat", at("laptop")});
  EXPECT_TRUE(has(stat.out, "committed 30 = delivered 10 + damaged 5 + pending 15")) << stat.out;
  EXPECT_TRUE(has(stat.out, "committed 21 = delivered 4 + damaged 1 + pending 16"))
      << "the quarantined record was not exported: " << stat.out;
  const auto fsck = penstock({"fsck", at("laptop")});
  EXPECT_EQ(fsck.code, 0) << fsck.out;
}

TEST_F(SpoolTools, ABadLineIsNamedAndNothingElseIsLost) {
  fill_two_lanes(6);
  penstock({"export", spool_dir(), "-o", at("dump.ndjson")});
  auto lines = lines_of(file_text(at("dump.ndjson")));
  const std::string whole = lines[7];
  lines[7].resize(40);
  lines[9] = "";
  lines.push_back(
      R"({"origin":"x","route":"r","table":"t","seq":1,"encoding":"raw","payload":""})");
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  text.pop_back();  // nor does the last line need its newline
  overwrite(at("dump.ndjson"), text);
  auto outcome = penstock({"import", at("dump.ndjson"), at("laptop")});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(has(outcome.err, "dump.ndjson:8: not one JSON object")) << outcome.err;
  EXPECT_TRUE(has(outcome.err, fmt::format("dump.ndjson:{}: \"origin\" is x", lines.size())))
      << outcome.err;
  EXPECT_TRUE(has(outcome.err, "34 records imported")) << outcome.err;
  overwrite(at("one.ndjson"), lines[0] + "\n" + whole + "\n");
  outcome = penstock({"import", at("one.ndjson"), at("laptop")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(has(outcome.err, "1 record imported")) << outcome.err;
  EXPECT_EQ(waiting_records(at("laptop")).size(), 35U);
}

TEST_F(SpoolTools, ANewerExportAndAFileThatIsNoneAreRefused) {
  overwrite(at("new.ndjson"), "{\"penstock_export\":2}\n");
  auto outcome = penstock({"import", at("new.ndjson"), at("laptop")});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(has(outcome.err, "export format 2")) << outcome.err;
  overwrite(at("x.txt"), "hello\nworld\n");
  outcome = penstock({"import", at("x.txt"), at("laptop")});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(has(outcome.err, "no header line")) << outcome.err;
  EXPECT_EQ(penstock({"import", at("nothing"), at("laptop")}).code, 2);
  EXPECT_EQ(penstock({"import", dir_.path().string(), at("laptop")}).code, 2);
}

TEST_F(SpoolTools, FsckAndRepairInPlaceKeepTheDamagedFiles) {
  fill_two_lanes(12);
  settle_log();
  EXPECT_EQ(penstock({"fsck", spool_dir()}).code, 0);
  const auto nothing = penstock({"repair", spool_dir()});
  EXPECT_EQ(nothing.code, 0);
  EXPECT_TRUE(has(nothing.out, "nothing to repair")) << nothing.out;
  const auto records = waiting_records(dir());
  destroy_first_page();
  const auto damaged = file_text(file());
  auto outcome = penstock({"fsck", spool_dir()});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(has(outcome.out, "1.db page 1: the first page is destroyed")) << outcome.out;
  EXPECT_EQ(penstock({"stat", spool_dir()}).code, 1);
  outcome = penstock({"repair", spool_dir() + "/"});
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(waiting_records(dir()), records);
  EXPECT_EQ(file_text(spool_dir() + ".before-repair/1.db"), damaged);
  EXPECT_FALSE(std::filesystem::exists(spool_dir() + ".repairing"));
  EXPECT_EQ(penstock({"fsck", spool_dir()}).code, 0);
}

// What the agent has set aside is no part of the account of what waits.
TEST_F(SpoolTools, RecordsThatARepairMayBringBackAreNamedByAll) {
  fill_two_lanes(6);
  destroy_first_page();
  open();
  close();
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"stat"}, {"stat", "--json"}, {"ls"}, {"export"}}) {
    SCOPED_TRACE(command.front());
    auto arguments = command;
    arguments.push_back(spool_dir());
    if (command.front() == "export") arguments.insert(arguments.end(), {"-o", at("all.ndjson")});
    const auto outcome = penstock(arguments);
    EXPECT_EQ(outcome.code, 1);
    if (command.size() == 2) {
      EXPECT_TRUE(has(outcome.out, R"("kept":["1.db"])")) << outcome.out;
      continue;
    }
    EXPECT_TRUE(has(outcome.out + outcome.err,
                    "37 records counted as damaged may be in 1.db: penstock spool repair may "
                    "bring them back"))
        << outcome.out << outcome.err;
    EXPECT_FALSE(has(outcome.out, "drained"));
  }
  EXPECT_EQ(penstock({"repair", spool_dir()}).code, 0);
  const auto repaired = penstock({"stat", spool_dir()});
  EXPECT_EQ(repaired.code, 0) << repaired.err;
  EXPECT_TRUE(has(repaired.out, "36 records waiting")) << repaired.out;
}

TEST_F(SpoolTools, StatNamesTheAgentThatFilledASpoolAndNotTheLastImport) {
  fill_two_lanes(2);
  const std::string lines = at("other.ndjson");
  ASSERT_EQ(penstock({"export", spool_dir(), "-o", lines}).code, 0);
  const std::string home = at("home");
  ASSERT_EQ(penstock({"import", lines, home}).code, 0);
  EXPECT_TRUE(has(penstock({"stat", home}).out, "no agent has run on it; last imported from"));
  {
    auto elsewhere = options();
    elsewhere.dir = home;
    elsewhere.agent_id = "gw-home";
    auto spool = open_or_die(elsewhere);
    Watcher watcher;
    spool->start(watcher);
    spool->stop();
  }
  next_.clear();
  std::filesystem::remove_all(dir());
  fill_two_lanes(2);
  ASSERT_EQ(penstock({"export", spool_dir(), "-o", lines}).code, 0);
  ASSERT_EQ(penstock({"import", lines, home}).code, 0);
  const auto outcome = penstock({"stat", home});
  EXPECT_TRUE(has(outcome.out, "agent gw-home, epoch")) << outcome.out;
  EXPECT_FALSE(has(outcome.out, "no agent has run on it")) << outcome.out;
}

TEST_F(SpoolTools, WhatAnInterruptedRepairHasLeftIsNamed) {
  fill_two_lanes(12);
  settle_log();
  destroy_first_page();
  std::filesystem::create_directory(spool_dir() + ".repairing");
  overwrite(spool_dir() + ".repairing/LOCK", "");
  overwrite(spool_dir() + ".repairing/1.db", "");
  const auto outcome = penstock({"repair", spool_dir()});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(has(outcome.err, ".repairing is what an interrupted one has left: remove it"))
      << outcome.err;
}

TEST_F(SpoolTools, AnExportThatFailsLeavesNothing) {
  fill_two_lanes(1);
  std::filesystem::create_directory(at("out"));
  EXPECT_EQ(penstock({"export", spool_dir(), "-o", at("out")}).code, 2);
  EXPECT_FALSE(std::filesystem::exists(at("out") + ".part"));
}

// Root exports too: what is no file must not become one.
TEST_F(SpoolTools, APipeIsWrittenToAndStaysAPipe) {
  fill_two_lanes(1);
  const auto whole = penstock({"export", spool_dir()}).out;
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  // Open at both ends, so that nobody waits; the export is smaller than what a pipe takes.
  const int pipe = ::open(at("pipe").c_str(), O_RDWR | O_NONBLOCK);
  ASSERT_GE(pipe, 0);
  const auto outcome = penstock({"export", spool_dir(), "-o", at("pipe")});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(std::filesystem::is_fifo(std::filesystem::symlink_status(at("pipe"))));
  std::string got(whole.size() + 1, '\0');
  got.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(pipe, got.data(), got.size()))));
  EXPECT_EQ(got.size(), whole.size());
  ::close(pipe);
}

TEST_F(SpoolTools, ALinkStaysOneAndWhatItPointsToIsWritten) {
  fill_two_lanes(1);
  std::filesystem::create_directory(at("card"));
  std::filesystem::create_symlink("card/dump", at("link"));
  for (int time = 0; time < 2; ++time) {  // without and with a file behind it
    ASSERT_EQ(penstock({"export", spool_dir(), "-o", at("link")}).code, 0);
    EXPECT_TRUE(std::filesystem::is_symlink(at("link")));
    EXPECT_GT(std::filesystem::file_size(at("card/dump")), 100U);
    EXPECT_FALSE(std::filesystem::exists(at("card/dump.part")));
    overwrite(at("card/dump"), "");
  }
}

// As root, for an agent of another user.
class SpoolOwner : public SpoolTools {
 protected:
  static constexpr uid_t kSomeone = 12345;

  void SetUp() override {
    SpoolTools::SetUp();
    if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  }
  static void expect_given(const std::filesystem::path& dir) {
    struct stat info {};
    ASSERT_EQ(stat(dir.c_str(), &info), 0) << dir;
    EXPECT_EQ(info.st_uid, kSomeone) << dir;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
      ASSERT_EQ(lstat(entry.path().c_str(), &info), 0);
      EXPECT_EQ(info.st_uid, kSomeone) << entry.path();
    }
  }
};

TEST_F(SpoolOwner, WhatIsImportedBelongsToTheOwnerOfItsPlace) {
  fill_two_lanes(1);
  ASSERT_EQ(penstock({"export", spool_dir(), "-o", at("dump")}).code, 0);
  std::filesystem::create_directory(at("home"));
  ASSERT_EQ(chown(at("home").c_str(), kSomeone, kSomeone), 0);
  ASSERT_EQ(penstock({"import", at("dump"), at("home/deep/spool")}).code, 0);
  expect_given(at("home"));
  ASSERT_EQ(penstock({"import", at("dump"), at("home/deep/spool")}).code, 0);
  expect_given(at("home"));
  // A directory that is no spool is nobody's business.
  overwrite(at("home/1.db"), "mine");
  ASSERT_EQ(penstock({"import", at("dump"), at("home")}).code, 2);
  struct stat info {};
  ASSERT_EQ(stat(at("home/1.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
}

TEST_F(SpoolOwner, ARepairedSpoolHasAllNotesOfTheOldAndItsOwner) {
  fill_two_lanes(12);
  settle_log();
  std::filesystem::create_directories(dir() / "inputs");
  std::filesystem::create_directories(dir() / "schemas" / "prod");
  overwrite(dir() / "inputs" / "plc.note", "filters");
  overwrite(dir() / "schemas" / "prod" / "a.b.c.json", "{}");
  overwrite(dir() / "plugin-crashes", "boot 1 udp\n");
  destroy_first_page();
  ASSERT_EQ(chown(dir().c_str(), kSomeone, kSomeone), 0);
  const auto outcome = penstock({"repair", spool_dir()});
  ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(file_text(dir() / "inputs" / "plc.note"), "filters");
  EXPECT_EQ(file_text(dir() / "schemas" / "prod" / "a.b.c.json"), "{}");
  EXPECT_EQ(file_text(dir() / "plugin-crashes"), "boot 1 udp\n");
  expect_given(dir());
}

// The directory is writable: to say that it should be would send people the wrong way.
TEST_F(SpoolOwner, ALockOfSomeoneElseIsNamedWithItsOwner) {
  overwrite(at("LOCK"), "");
  ASSERT_EQ(chmod(at("LOCK").c_str(), 0640), 0);
  std::filesystem::permissions(dir_.path(), std::filesystem::perms::all);
  ASSERT_EQ(seteuid(kSomeone), 0);
  const bool is_reached = access(dir_.path().c_str(), X_OK) == 0;
  const auto lock = spool::LockFile::take(at("LOCK"));
  ASSERT_EQ(seteuid(0), 0);
  ASSERT_FALSE(lock);
  if (!is_reached) GTEST_SKIP() << "another user cannot come here";
  EXPECT_TRUE(has(lock.error().what, "LOCK: Permission denied; the file belongs to root, and this"))
      << lock.error().what;
  EXPECT_TRUE(has(lock.error().what, "12345")) << lock.error().what;
  EXPECT_FALSE(has(lock.error().what, "must be writable")) << lock.error().what;
}

TEST_F(SpoolTools, RepairElsewhereLeavesTheCardAlone) {
  fill_two_lanes(12);
  settle_log();
  const auto records = waiting_records(dir());
  destroy_first_page();
  const auto before = directory_content(dir());
  EXPECT_EQ(penstock({"repair", spool_dir(), "--into", at("new")}).code, 0);
  EXPECT_EQ(directory_content(dir()), before);
  EXPECT_EQ(waiting_records(at("new")), records);
  const auto again = penstock({"repair", spool_dir(), "--into", at("new")});
  EXPECT_EQ(again.code, 2);
  EXPECT_TRUE(has(again.err, "not empty")) << again.err;
}

TEST_F(SpoolTools, ASpoolInUseAndWrongUseExitWith2) {
  fill_two_lanes(1);
  const int fd = ::open((dir() / "LOCK").c_str(), O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  for (const char* command : {"stat", "ls", "export", "fsck", "repair"}) {
    const auto outcome = penstock({command, spool_dir()});
    EXPECT_EQ(outcome.code, 2) << command;
    EXPECT_TRUE(has(outcome.err, "process " + std::to_string(getpid()))) << outcome.err;
  }
  overwrite(at("empty"), "");
  EXPECT_EQ(penstock({"import", at("empty"), spool_dir()}).code, 2);
  ::close(fd);
  for (const char* command : {"stat", "ls", "export", "import", "fsck", "repair"}) {
    const auto help = penstock({command, "--help"});
    EXPECT_EQ(help.code, 0) << command;
    EXPECT_TRUE(has(help.out, "DIR")) << help.out;
    EXPECT_EQ(penstock({command}).code, 2) << command;
  }
  EXPECT_EQ(penstock({"stat", at("nowhere")}).code, 2);
}

}  // namespace
}  // namespace penstock::cli
