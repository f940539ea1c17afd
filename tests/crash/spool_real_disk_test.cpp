// Real filesystems on loop devices of our own: one that is really full, and one whose image is
// cloned while the spool works, which is a power cut as a disk without a volatile cache sees it.
// Skipped without root or tools.
#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/loop_disk.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

using test::LoopDisk;

// Everything there is, to the last block.
void fill_up(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const std::string block(64 << 10, 'f');
  for (size_t size = block.size(); size > 0; size /= 2) {
    while (write(fd, block.data(), size) > 0) {
    }
  }
  fsync(fd);
  close(fd);
}

TEST(SpoolRealDisk, WithNoBlockLeftItTrimsDeliversAndResumes) {
  const TempDir base;
  auto disk = LoopDisk::make(base.path(), {uint64_t{64} << 20, "ext4"});
  if (!disk) GTEST_SKIP() << disk.error().what;
  Options options = options_in((*disk)->path() / "spool");
  options.max_size_bytes = 200 << 20;  // more than there is
  Watcher watcher;
  auto spool = open_or_die(options);
  spool->start(watcher);
  const LaneId lane = spool->lane({"r", "t"});
  Feeder feeder(*spool);
  for (int i = 0; i < 100; ++i) {
    feeder.put(lane, 10, 2000);
    ASSERT_TRUE(spool->flush());
  }
  fill_up((*disk)->path() / "others");
  // As much as what is allocated takes, then no more, and nobody is told otherwise.
  int taken = 0;
  for (; taken < 3000 && spool->enqueue(feeder.take(lane, 10, 2000)) == Enqueue::kTaken; ++taken) {
    if (!spool->flush()) break;
  }
  ASSERT_LT(taken, 3000);
  EXPECT_TRUE(watcher.faults().empty()) << "a full disk is no fault";
  const uint64_t durable = watcher.durable(1);
  EXPECT_EQ(spool->state(lane).next_seq, durable + 1);
  EXPECT_EQ(read_all(*spool, lane, durable - 50).count(durable), 1U) << "reads go on";
  // Delivery frees room, on a disk that is still full.
  spool->acknowledge(lane, durable);
  ASSERT_TRUE(watcher.wait([&](Watcher& w) { return w.durable_[1] > durable; }));
  ASSERT_TRUE(spool->flush());
  std::filesystem::remove((*disk)->path() / "others");
  feeder.put(lane, 5, 2000);
  EXPECT_TRUE(spool->flush());
  spool->stop();
  spool.reset();
  EXPECT_TRUE(watcher.faults().empty());
  auto again = open_or_die(options);
  EXPECT_EQ(again->state(lane).next_seq, watcher.durable(1) + 1);
}

// Reports what is durable on `fd` for as long as it lives.
[[noreturn]] void write_and_tell(const Options& options, int fd) {
  Watcher watcher;
  auto spool = open_or_die(options);
  const LaneId lane = spool->lane({"r", "t"});
  Seq first = spool->state(lane).next_seq - 1;
  watcher.durable_hook = [&](SourceId, uint64_t up_to) {
    const Seq seq = first + up_to;
    if (write(fd, &seq, sizeof seq) != sizeof seq) _exit(4);
  };
  spool->start(watcher);
  Feeder feeder(*spool);
  for (;;) {
    feeder.put(lane, 5, 300);
    if (!spool->flush()) _exit(5);
    const Seq end = spool->state(lane).next_seq;
    if (end > 200 && end % 50 < 5) spool->acknowledge(lane, end - 100);
  }
}

bool clone(const std::filesystem::path& from, const std::filesystem::path& to) {
  const int in = open(from.c_str(), O_RDONLY | O_CLOEXEC);
  const int out = open(to.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool good = in >= 0 && out >= 0 && ioctl(out, FICLONE, in) == 0;
  close(in);
  close(out);
  return good;
}

// What write_and_tell() wrote, up to where it was told durable and behind the cursor.
void expect_all_of(Spool& spool, Seq promised) {
  Watcher watcher;
  spool.start(watcher);
  const LaneId lane = spool.lane({"r", "t"});
  const LaneState state = spool.state(lane);
  EXPECT_GE(state.next_seq, promised + 1);
  EXPECT_EQ(state.damaged, 0U);
  auto held = read_all(spool, lane, state.cursor + 1);
  std::erase_if(held, [&](const auto& one) { return one.first <= state.cursor; });
  EXPECT_EQ(held.size(), state.next_seq - 1 - state.cursor);
  for (const auto& [seq, body] : held) EXPECT_EQ(body, Feeder::body(lane, seq, 300)) << seq;
  spool.stop();
}

TEST(SpoolRealDisk, ASnapshotOfTheDiskAtAnyMomentHoldsWhatWasPromised) {
  const TempDir base;
  auto outer = LoopDisk::make(base.path(), {uint64_t{512} << 20, "xfs"});
  if (!outer) GTEST_SKIP() << outer.error().what;
  const auto live_dir = (*outer)->path() / "live";
  const auto cut_dir = (*outer)->path() / "cut";
  std::filesystem::create_directories(live_dir);
  std::filesystem::create_directories(cut_dir);
  auto live = LoopDisk::make(live_dir, {uint64_t{64} << 20, "ext4"});
  if (!live) GTEST_SKIP() << live.error().what;
  Options options = options_in((*live)->path() / "spool");
  options.max_size_bytes = 16 << 20;
  int pipe_fds[2];
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  const pid_t writer = fork();
  if (writer == 0) write_and_tell(options, pipe_fds[1]);
  close(pipe_fds[1]);
  std::atomic<Seq> told{0};
  std::thread reader([&] {
    Seq seq = 0;
    while (read(pipe_fds[0], &seq, sizeof seq) == sizeof seq) told = seq;
  });
  std::mt19937_64 random(test_seed());
  int cuts = 0;
  while (cuts < 12 && !HasFailure()) {
    const Seq begun = told;
    for (int i = 0; i < 2000 && told < begun + 20 + random() % 300; ++i)
      std::this_thread::sleep_for(Millis(1));
    const Seq promised = told;  // before the cut
    ASSERT_TRUE(clone(live_dir / "disk.img", cut_dir / "disk.img")) << strerror(errno);
    auto cut = LoopDisk::make(cut_dir, {0, "ext4"});
    ASSERT_TRUE(cut) << cut.error().what;
    auto opened = Spool::open(
        [&] {
          Options there = options;
          there.dir = (*cut)->path() / "spool";
          return there;
        }(),
        Log::none());
    ASSERT_TRUE(opened || promised == 0) << opened.error().what;
    if (opened) expect_all_of(**opened, promised);
    ++cuts;
  }
  kill(writer, SIGKILL);
  waitpid(writer, nullptr, 0);
  reader.join();
  close(pipe_fds[0]);
  EXPECT_GT(told, 100U) << "the writer did not get anywhere";
}

}  // namespace
}  // namespace penstock::spool::testing
