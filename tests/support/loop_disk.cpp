#include "tests/support/loop_disk.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::test {
namespace {

Error no_disk(const std::string& step) {
  return {ErrorKind::kDenied, "no loop disk: " + step + ": " + strerror(errno), {}};
}

struct Fd {
  int fd = -1;
  ~Fd() {
    if (fd >= 0) close(fd);
  }
};

bool run_quietly(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (failed != 0) errno = failed;
  return failed == 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

// Mounts made from here on are seen by this process alone and end with it.
bool own_mount_namespace() {
  thread_local bool done = false;
  if (!done) {
    done = unshare(CLONE_NEWNS) == 0 &&
           mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  }
  return done;
}

Result<void> format(const std::filesystem::path& image, const LoopDiskOptions& options) {
  const Fd file{open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
  if (file.fd < 0 || ftruncate(file.fd, static_cast<off_t>(options.bytes)) != 0)
    return no_disk("image " + image.string());
  // Nothing may be initialised later in the background: it would be counted as ours.
  const std::vector<std::string> ext4{
      "mkfs.ext4",   "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0",
      image.string()};
  const std::vector<std::string> xfs{"mkfs.xfs", "-q", "-f", "-m", "reflink=1", image.string()};
  if (run_quietly(options.filesystem == "xfs" ? xfs : ext4)) return {};
  std::filesystem::remove(image);
  return Error{ErrorKind::kDenied, "no loop disk: mkfs." + options.filesystem + " failed", {}};
}

// The open device keeps it attached until it is mounted.
Result<std::string> attach(const std::filesystem::path& image, Fd& device) {
  const Fd control{open("/dev/loop-control", O_RDWR | O_CLOEXEC)};
  const Fd file{open(image.c_str(), O_RDWR | O_CLOEXEC)};
  if (control.fd < 0) return no_disk("/dev/loop-control");
  if (file.fd < 0) return no_disk(image.string());
  for (int attempt = 0; attempt < 20; ++attempt) {
    const int number = ioctl(control.fd, LOOP_CTL_GET_FREE);
    if (number < 0) return no_disk("no free loop device");
    const std::string name = "loop" + std::to_string(number);
    Fd candidate{open(("/dev/" + name).c_str(), O_RDWR | O_CLOEXEC)};
    if (candidate.fd < 0) return no_disk("/dev/" + name);
    loop_config config{};
    config.fd = static_cast<uint32_t>(file.fd);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(candidate.fd, LOOP_CONFIGURE, &config) == 0) {
      std::swap(device.fd, candidate.fd);
      return name;
    }
    if (errno != EBUSY) return no_disk("attach " + name);  // busy: someone else was faster
  }
  return no_disk("every loop device is taken");
}

}  // namespace

Result<std::unique_ptr<LoopDisk>> LoopDisk::make(const std::filesystem::path& dir,
                                                 const LoopDiskOptions& options) {
  if (geteuid() != 0) return Error{ErrorKind::kDenied, "no loop disk: needs root", {}};
  if (!own_mount_namespace()) return no_disk("mount namespace");
  const auto image = dir / "disk.img";
  if (!std::filesystem::exists(image)) {
    if (auto made = format(image, options); !made) return std::move(made).error();
  }
  Fd device;
  auto name = attach(image, device);
  if (!name) return std::move(name).error();
  std::unique_ptr<LoopDisk> disk(new LoopDisk);
  disk->device_ = *name;
  const auto mount_point = dir / "mnt";
  std::filesystem::create_directories(mount_point);
  const char* extra = options.filesystem == "xfs" ? "nouuid" : "";  // a snapshot has its twin's id
  if (mount(("/dev/" + *name).c_str(), mount_point.c_str(), options.filesystem.c_str(), MS_NOATIME,
            extra) != 0) {
    return no_disk("mount of " + *name);
  }
  disk->mount_point_ = mount_point;
  return disk;
}

LoopDisk::~LoopDisk() {
  if (!mount_point_.empty()) umount2(mount_point_.c_str(), MNT_DETACH);
}

uint64_t LoopDisk::written_bytes() const {
  const Fd fd{open(mount_point_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (fd.fd >= 0) syncfs(fd.fd);
  std::ifstream stat("/sys/block/" + device_ + "/stat");
  uint64_t value = 0;
  for (int field = 0; field < 7; ++field) stat >> value;  // the seventh: sectors written
  return value * 512;
}

}  // namespace penstock::test
