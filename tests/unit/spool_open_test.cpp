// Opening: the settings the promises rest on, and every place and file that is refused with a
// reason.
#include <fstream>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/spool/database.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

Error refusal_of(const Options& options) {
  auto spool = Spool::open(options, Log::none());
  if (spool) return {ErrorKind::kTransient, "was opened", {}};
  return spool.error();
}

void write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

TEST(SpoolOpen, EverySettingReadsBackAsRequired) {
  const TempDir dir;
  const Sizing sizing = sizing_for(64 << 20);
  for (int time = 0; time < 2; ++time) {  // created, then opened again
    auto db = open_database(dir.path() / "1.db", sizing, Log::none());
    ASSERT_TRUE(db) << db.error().what;
    const std::map<std::string, std::string> expected{
        {"page_size", "4096"},
        {"auto_vacuum", "2"},
        {"locking_mode", "exclusive"},
        {"journal_mode", "wal"},
        {"synchronous", "2"},
        {"secure_delete", "0"},
        {"mmap_size", "0"},
        {"journal_size_limit", "-1"},
        {"wal_autocheckpoint", "0"},
        {"temp_store", "2"},
        {"cache_size", "-8192"},
        {"user_version", "1"},
        {"max_page_count", std::to_string(sizing.max_pages)}};
    for (const auto& [name, value] : expected) {
      auto read = db->text("PRAGMA " + name);
      ASSERT_TRUE(read);
      EXPECT_EQ(*read, value) << name;
    }
    int powersafe = -1;
    EXPECT_EQ(
        sqlite3_file_control(db->handle(), "main", SQLITE_FCNTL_POWERSAFE_OVERWRITE, &powersafe),
        SQLITE_OK);
    EXPECT_EQ(powersafe, 0);
    int persist = -1;
    EXPECT_EQ(sqlite3_file_control(db->handle(), "main", SQLITE_FCNTL_PERSIST_WAL, &persist),
              SQLITE_OK);
    EXPECT_EQ(persist, 1);
    EXPECT_FALSE(std::filesystem::exists(dir.path() / "1.db-shm"))
        << "shared memory invites a second opener";
    EXPECT_GE(std::filesystem::file_size(dir.path() / "1.db-wal"),
              static_cast<uint64_t>(sizing.wal_bytes));
  }
}

TEST(SpoolOpen, TheWalKeepsItsSizeThroughUseAndClose) {
  const TempDir dir;
  Options options = options_in(dir.path());
  options.max_size_bytes = 8 << 20;
  uintmax_t size = 0;
  for (int time = 0; time < 2; ++time) {
    Watcher watcher;
    auto spool = open_or_die(options);
    spool->start(watcher);
    if (time == 0) size = std::filesystem::file_size(dir.path() / "1.db-wal");
    Feeder feeder(*spool);
    const LaneId lane = spool->lane({"r", "t"});
    for (int i = 0; i < 20; ++i) {
      feeder.put(lane, 10, 20000);
      ASSERT_TRUE(spool->flush());
      spool->acknowledge(lane, spool->state(lane).next_seq - 1);
    }
    spool->stop();
    spool.reset();
    EXPECT_EQ(std::filesystem::file_size(dir.path() / "1.db-wal"), size);
  }
}

TEST(SpoolOpen, MakesTheDirectoryAndStaysBelowMaxSize) {
  const TempDir dir;
  Options options = options_in(dir.path() / "not" / "there yet");
  options.max_size_bytes = 4 << 20;
  const auto spool = open_or_die(options);
  uintmax_t size = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options.dir))
    size += entry.file_size();
  EXPECT_LE(size, options.max_size_bytes);
}

TEST(SpoolOpen, PathsWithUriCharactersWork) {
  const TempDir dir;
  const auto odd = dir.path() / "50% #1?psow=1&x";
  const auto spool = open_or_die(options_in(odd));
  EXPECT_TRUE(std::filesystem::exists(odd / "1.db"));
}

TEST(SpoolOpen, ASecondOpenerIsToldWhoHoldsIt) {
  const TempDir dir;
  auto first = open_or_die(options_in(dir.path()));
  const Error error = refusal_of(options_in(dir.path()));
  EXPECT_EQ(error.kind, ErrorKind::kTransient);
  EXPECT_NE(error.what.find("in use by process " + std::to_string(getpid())), std::string::npos)
      << error.what;
  EXPECT_NE(error.what.find(dir.path().string()), std::string::npos) << error.what;
  first.reset();
  open_or_die(options_in(dir.path()));
}

TEST(SpoolOpen, ADatabaseHeldByAnotherProgramIsDenied) {
  const TempDir dir;
  open_or_die(options_in(dir.path())).reset();
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((dir.path() / "1.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(
          other,
          "PRAGMA locking_mode=exclusive; BEGIN IMMEDIATE; UPDATE lane_state SET cursor=cursor",
          nullptr, nullptr, nullptr),
      SQLITE_OK);
  const Error error = refusal_of(options_in(dir.path()));
  EXPECT_EQ(error.kind, ErrorKind::kDenied) << error.what;
  EXPECT_NE(error.what.find("locked"), std::string::npos) << error.what;
  sqlite3_close(other);
}

TEST(SpoolOpen, MemoryFilesystemsAreRefusedByName) {
  const std::filesystem::path memory = "/dev/shm";
  if (access(memory.c_str(), W_OK) != 0) GTEST_SKIP() << "no /dev/shm here";
  std::string name = (memory / "penstock-test-XXXXXX").string();
  ASSERT_NE(mkdtemp(name.data()), nullptr);
  Options options = options_in(name);
  options.allow_volatile = false;
  const Error error = refusal_of(options);
  EXPECT_EQ(error.kind, ErrorKind::kDenied);
  EXPECT_NE(error.what.find("tmpfs"), std::string::npos) << error.what;
  EXPECT_NE(error.what.find("allow_volatile"), std::string::npos) << error.what;
  options.allow_volatile = true;
  open_or_die(options);
  std::filesystem::remove_all(name);
}

// As another user in a child: root may write anywhere.
TEST(SpoolOpen, ADirectoryThatCannotBeWrittenIsDenied) {
  const TempDir dir;
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0555));
  const std::filesystem::path report =
      dir.path().parent_path() / (dir.path().filename().string() + ".report");
  write_file(report, "");
  std::filesystem::permissions(report, std::filesystem::perms(0666));
  const int report_fd = open(report.c_str(), O_WRONLY);
  const pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(2);
    const Error error = refusal_of(options_in("."));
    const std::string line = std::string(to_string(error.kind)) + ": " + error.what;
    _exit(write(report_fd, line.data(), line.size()) < 0 ? 3 : 0);
  }
  close(report_fd);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  std::ifstream in(report);
  std::string line;
  std::getline(in, line);
  std::filesystem::remove(report);
  std::filesystem::permissions(dir.path(), std::filesystem::perms(0755));
  EXPECT_EQ(line.rfind("denied: ", 0), 0U) << line;
  EXPECT_NE(line.find("LOCK"), std::string::npos) << line;
  EXPECT_NE(line.find("Permission denied"), std::string::npos) << line;
}

// A child with a mount namespace of its own, in which the directory is read-only: what the sandbox
// of a service makes of a folder that its unit does not name.
TEST(SpoolOpen, AReadOnlyPlaceIsDeniedWithBothItsCauses) {
  if (geteuid() != 0) GTEST_SKIP() << "a mount of its own needs root";
  const TempDir dir;
  const std::string place = dir.path().string();
  const std::filesystem::path report = place + ".report";
  write_file(report, "");
  const int report_fd = open(report.c_str(), O_WRONLY);
  const pid_t child = fork();
  if (child == 0) {
    const bool is_mounted =
        unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) == 0 &&
        mount(place.c_str(), place.c_str(), "", MS_BIND, nullptr) == 0 &&
        mount("", place.c_str(), "", MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
    if (!is_mounted) _exit(2);
    const std::string text =
        refusal_of(options_in(place)).what + "\n" + refusal_of(options_in(place + "/below")).what;
    _exit(write(report_fd, text.data(), text.size()) < 0 ? 3 : 0);
  }
  close(report_fd);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  std::ifstream in(report);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  std::filesystem::remove(report);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "no mounts here";
  ASSERT_EQ(status, 0);
  for (const std::string_view wanted : {"ReadWritePaths=", "data-disk.conf", "mounted read-only"}) {
    const auto first = text.find(wanted);
    EXPECT_NE(first, text.npos) << wanted << " in " << text;
    EXPECT_NE(text.find(wanted, text.find('\n')), text.npos) << "for a folder to be made: " << text;
  }
  EXPECT_EQ(text.find("the user the agent runs as"), text.npos) << text;
}

TEST(SpoolOpen, AFileInThePlaceOfTheDirectoryIsDenied) {
  const TempDir dir;
  write_file(dir.path() / "file", "x");
  EXPECT_EQ(refusal_of(options_in(dir.path() / "file")).kind, ErrorKind::kDenied);
  EXPECT_EQ(refusal_of(options_in(dir.path() / "file" / "below")).kind, ErrorKind::kDenied);
}

TEST(SpoolOpen, TooSmallAMaxSizeIsDeniedWithTheMinimum) {
  const TempDir dir;
  Options options = options_in(dir.path());
  options.max_size_bytes = (4 << 20) - 1;
  const Error error = refusal_of(options);
  EXPECT_EQ(error.kind, ErrorKind::kDenied);
  EXPECT_NE(error.what.find("4194304"), std::string::npos) << error.what;
}

TEST(SpoolOpen, GarbageInPlaceOfTheDatabaseIsParkedAndCollectionBegins) {
  const TempDir dir;
  const std::string garbage(8192, 'g');
  write_file(dir.path() / "1.db", garbage);
  Watcher watcher;
  const auto spool = open_or_die(options_in(dir.path()));
  spool->start(watcher);
  EXPECT_EQ(spool->counters().parked_files, 1U);
  Feeder feeder(*spool);
  feeder.put(spool->lane({"r", "t"}), 3);
  EXPECT_TRUE(spool->flush());
  spool->stop();
  std::ifstream in(dir.path() / "1.db", std::ios::binary);
  EXPECT_EQ(std::string((std::istreambuf_iterator<char>(in)), {}), garbage) << "left as it is";
}

// One old file that cannot be opened at all stops nobody.
TEST(SpoolOpen, WhatIsNoFileInPlaceOfAnOldDatabaseIsParked) {
  const TempDir dir;
  std::filesystem::create_directory(dir.path() / "3.db");
  std::filesystem::create_symlink(dir.path() / "nowhere" / "4.db", dir.path() / "4.db");
  for (int time = 0; time < 2; ++time) {
    Watcher watcher;
    const auto spool = open_or_die(options_in(dir.path()));
    spool->start(watcher);
    EXPECT_EQ(spool->counters().parked_files, 2U);
    Feeder feeder(*spool);
    feeder.put(spool->lane({"r", "t"}), 3);
    EXPECT_TRUE(spool->flush());
    EXPECT_EQ(spool->state(1).next_seq, time == 0 ? 4U : 7U);
    spool->stop();
  }
  EXPECT_TRUE(std::filesystem::exists(dir.path() / "5.db"));
}

TEST(SpoolOpen, SomebodyElsesDatabaseIsDenied) {
  const TempDir dir;
  query(dir.path() / "1.db", "PRAGMA auto_vacuum=2; CREATE TABLE invoices(id)");
  const Error error = refusal_of(options_in(dir.path()));
  EXPECT_EQ(error.kind, ErrorKind::kDenied) << error.what;
  EXPECT_NE(error.what.find("not a spool"), std::string::npos) << error.what;
}

TEST(SpoolOpen, ANewerFormatIsParkedAndCollectionBeginsInAFreshFile) {
  const TempDir dir;
  const Options options = options_in(dir.path());
  std::string epoch;
  LaneId lane = 0;
  {
    Watcher watcher;
    const auto spool = open_or_die(options);
    spool->start(watcher);
    epoch = spool->epoch();
    lane = spool->lane({"r", "t"});
    Feeder feeder(*spool);
    feeder.put(lane, 3);
    ASSERT_TRUE(spool->flush());
    spool->stop();
  }
  query(dir.path() / "1.db", "PRAGMA user_version=2");
  for (int time = 0; time < 2; ++time) {
    Watcher watcher;
    const auto spool = open_or_die(options);
    spool->start(watcher);
    EXPECT_EQ(spool->counters().parked_files, 1U);
    EXPECT_NE(spool->epoch(), epoch) << "what numbers it has given out is not known for sure";
    EXPECT_EQ(spool->lane({"r", "t"}), lane);
    EXPECT_GE(spool->state(lane).next_seq, 4U + static_cast<Seq>(time));
    Feeder feeder(*spool);
    feeder.put(lane, 1);
    EXPECT_TRUE(spool->flush());
    spool->stop();
  }
  EXPECT_EQ(query(dir.path() / "1.db", "PRAGMA user_version").at(0), "2");
  EXPECT_EQ(query(dir.path() / "1.db", "SELECT sum(count) FROM seg").at(0), "3");
}

TEST(SpoolOpen, ACreationCutShortIsTakenUpAgain) {
  const TempDir dir;
  write_file(dir.path() / "1.db", "");
  open_or_die(options_in(dir.path())).reset();
  query(dir.path() / "2.db",
        "PRAGMA auto_vacuum=2; PRAGMA journal_mode=wal; VACUUM");  // header written, no table
  std::filesystem::remove(dir.path() / "1.db-wal");
  std::filesystem::rename(dir.path() / "2.db", dir.path() / "1.db");
  open_or_die(options_in(dir.path()));
}

struct MachineId {
  explicit MachineId(const std::filesystem::path& dir) : file(dir / "machine-id") {}
  void set(const std::string& id) const { write_file(file, id + "\n"); }
  std::filesystem::path file;
};

TEST(SpoolEpoch, GoesOnOverRestartsAndIsPartOfTheOrigin) {
  const TempDir dir;
  std::string epoch;
  {
    const auto spool = open_or_die(options_in(dir.path()));
    epoch = spool->epoch();
    EXPECT_EQ(epoch.size(), 16U);
    EXPECT_EQ(epoch.find_first_not_of("0123456789abcdef"), std::string::npos) << epoch;
    EXPECT_EQ(spool->origin_prefix(), "gw-test/" + epoch);
  }
  EXPECT_EQ(open_or_die(options_in(dir.path()))->epoch(), epoch);
  const TempDir elsewhere;
  EXPECT_NE(open_or_die(options_in(elsewhere.path()))->epoch(), epoch);
}

TEST(SpoolEpoch, ARenamedAgentOrAnotherMachineStartsANewOneAndKeepsLanesAndRecords) {
  const TempDir dir;
  const MachineId machine(dir.path());
  machine.set("aaaa");
  Options options = options_in(dir.path() / "spool");
  options.machine_id_file = machine.file;
  std::set<std::string> epochs;
  std::vector<std::string> origins;
  LaneId lane = 0;
  for (int step = 0; step < 4; ++step) {
    if (step == 1) machine.set("bbbb");
    if (step == 2) options.agent_id = "gw-renamed";
    Watcher watcher;
    const auto spool = open_or_die(options);
    spool->start(watcher);
    epochs.insert(spool->epoch());
    origins.push_back(spool->origin_prefix());
    if (step == 0) lane = spool->lane({"r", "t"});
    EXPECT_EQ(spool->lane({"r", "t"}), lane);
    Feeder feeder(*spool);
    feeder.put(lane, 1);
    ASSERT_TRUE(spool->flush());
    EXPECT_EQ(read_all(*spool, lane).size(), static_cast<size_t>(step) + 1);
    for (Seq seq = 1; seq <= origins.size(); ++seq) {
      const auto segment = read_now(*spool, lane, seq);
      ASSERT_TRUE(segment && *segment);
      ASSERT_NE((*segment)->origin(), nullptr);
      EXPECT_EQ((*segment)->origin()->prefix, origins[seq - 1])
          << "record " << seq << " is sent under the name it was numbered with";
    }
    spool->stop();
  }
  EXPECT_EQ(epochs.size(), 3U) << "one for each change, none for the plain restart";
  const std::vector<std::string> expected{"1|1", "2|2", "3|3", "4|3"};
  EXPECT_EQ(query(options.dir / "1.db", "SELECT first_seq, epoch FROM seg ORDER BY id"), expected)
      << "pending records keep the epoch they were numbered in";
}

}  // namespace
}  // namespace penstock::spool::testing
