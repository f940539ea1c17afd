#include "tests/crash/spool_sites.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <optional>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::spool::testing {
namespace {

std::atomic<Sites*> sites{nullptr};
thread_local Quiet::Whose whose = Quiet::Whose::kTest;
thread_local bool is_quiet = false;

// The kind of a call that both make; nullopt: it does not count.
std::optional<Call> kind_of(Call own, std::optional<Call> of_sqlite = std::nullopt) {
  if (!is_quiet) return own;
  return whose == Quiet::Whose::kTest ? std::nullopt : of_sqlite;
}

std::string path_of(int fd) {
  std::array<char, 512> text{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(link.c_str(), text.data(), text.size());
  return {text.data(), static_cast<size_t>(size > 0 ? size : 0)};
}

// How a call is to fail: 0 not, else as Sites::next, with errno set.
int fate_of(std::optional<Call> call, std::string_view path) {
  Sites* all = sites;
  if (all == nullptr || !call) return 0;
  const int fate = all->next(*call, path);
  if (fate > 0) errno = fate;
  return fate;
}

int fate_of(std::optional<Call> call, int fd) {
  return sites == nullptr || !call ? 0 : fate_of(call, path_of(fd));
}

// The function that the program would have called.
template <class Function>
Function* next_of(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

size_t part_of(size_t size, int fate) { return fate == Sites::kShort ? (size + 1) / 2 : size; }

}  // namespace

std::string name_of(Call call) {
  static const std::array<const char*, kCalls> kNames{"SQLite's open",
                                                      "SQLite's read",
                                                      "SQLite's write",
                                                      "SQLite's growing",
                                                      "SQLite's truncation",
                                                      "SQLite's sync",
                                                      "SQLite's removal",
                                                      "open",
                                                      "read",
                                                      "write",
                                                      "sync",
                                                      "sync of a directory",
                                                      "truncation",
                                                      "close",
                                                      "rename",
                                                      "removal",
                                                      "mkdir",
                                                      "listing",
                                                      "stat"};
  return kNames.at(static_cast<size_t>(call));
}

Sites::Sites(std::string dir) : dir_(std::move(dir)) { sites = this; }
Sites::~Sites() { sites = nullptr; }

void Sites::fail(Call call, int n, int error) {
  const std::lock_guard lock(mutex_);
  failing_ = call;
  left_ = n;
  error_ = error;
}

int Sites::count(Call call) const {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(call);
  return found == counts_.end() ? 0 : found->second;
}

std::string Sites::hit() const {
  const std::lock_guard lock(mutex_);
  return hit_;
}

int Sites::next(Call call, std::string_view path) {
  if (!path.starts_with(dir_)) return 0;
  const std::lock_guard lock(mutex_);
  ++counts_[call];
  if (call != failing_ || left_ < 0 || left_-- != 0) return 0;
  hit_ = name_of(call) + " of " + std::string(path.substr(dir_.size()));
  return error_;
}

Quiet::Quiet(Whose now) : before_(whose), was_quiet_(is_quiet) {
  whose = now;
  is_quiet = true;
}

Quiet::~Quiet() {
  whose = before_;
  is_quiet = was_quiet_;
}

int next_site(Call call, std::string_view path) { return fate_of(call, path); }

bool removal_fails(const char* path) {
  return fate_of(kind_of(Call::kRemove, Call::kSqliteRemove), path) > 0;
}

bool own_sync_fails(int fd) {
  struct stat info {};
  const bool is_directory = sites != nullptr && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
  return fate_of(kind_of(is_directory ? Call::kSyncDirectory : Call::kSync), fd) > 0;
}

int open_any(const char* path, int flags, va_list rest) {
  const auto mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  if (fate_of(kind_of(Call::kOpen, Call::kSqliteOpen), path) > 0) return -1;
  static const auto real = next_of<int(const char*, int, ...)>("open64");
  return real(path, flags | O_LARGEFILE, mode);
}

ssize_t pwrite_any(int fd, const void* bytes, size_t size, off_t at) {
  const Call of_sqlite =
      whose == Quiet::Whose::kSqliteGrow ? Call::kSqliteGrow : Call::kSqliteWrite;
  const int fate = fate_of(kind_of(Call::kWrite, of_sqlite), fd);
  if (fate > 0) return -1;
  static const auto real = next_of<ssize_t(int, const void*, size_t, off_t)>("pwrite64");
  return real(fd, bytes, part_of(size, fate), at);
}

ssize_t pread_any(int fd, void* bytes, size_t size, off_t at) {
  const int fate = fate_of(kind_of(Call::kRead, Call::kSqliteRead), fd);
  if (is_quiet && whose == Quiet::Whose::kSqliteFailing) errno = EIO;
  if (fate > 0 || (is_quiet && whose == Quiet::Whose::kSqliteFailing)) return -1;
  static const auto real = next_of<ssize_t(int, void*, size_t, off_t)>("pread64");
  return real(fd, bytes, part_of(size, fate), at);
}

int truncate_any(int fd, off_t size) {
  if (fate_of(kind_of(Call::kTruncate, Call::kSqliteTruncate), fd) > 0) return -1;
  static const auto real = next_of<int(int, off_t)>("ftruncate64");
  return real(fd, size);
}

}  // namespace penstock::spool::testing

// In front of the C library's and the sanitizers': the program's own calls and those of its shared
// libraries end here. By label, because the headers give some of these names to others.
#define PENSTOCK_REPLACES(name) asm(name) __attribute__((visibility("default")))

// With 32 bits the plain names are of another ABI, that of libraries that know small files only;
// ours and SQLite use the others.
#if defined(__LP64__)
#define PENSTOCK_LARGE(name) name
#else
#define PENSTOCK_LARGE(name) name "64"
#endif

extern "C" {
namespace sites = penstock::spool::testing;
using sites::Call;
using sites::fate_of;
using sites::kind_of;

int site_open(const char* path, int flags, ...) PENSTOCK_REPLACES("open");
int site_open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int result = sites::open_any(path, flags, rest);
  va_end(rest);
  return result;
}

int site_open64(const char* path, int flags, ...) PENSTOCK_REPLACES("open64");
int site_open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const int result = sites::open_any(path, flags, rest);
  va_end(rest);
  return result;
}

ssize_t site_read(int fd, void* bytes, size_t size) PENSTOCK_REPLACES("read");
ssize_t site_read(int fd, void* bytes, size_t size) {
  const int fate = fate_of(kind_of(Call::kRead), fd);
  if (fate > 0) return -1;
  static const auto real = sites::next_of<ssize_t(int, void*, size_t)>("read");
  return real(fd, bytes, sites::part_of(size, fate));
}

ssize_t site_write(int fd, const void* bytes, size_t size) PENSTOCK_REPLACES("write");
ssize_t site_write(int fd, const void* bytes, size_t size) {
  const int fate = fate_of(kind_of(Call::kWrite), fd);
  if (fate > 0) return -1;
  static const auto real = sites::next_of<ssize_t(int, const void*, size_t)>("write");
  return real(fd, bytes, sites::part_of(size, fate));
}

#if defined(__LP64__)
ssize_t site_pread(int fd, void* bytes, size_t size, off64_t at) PENSTOCK_REPLACES("pread");
ssize_t site_pread(int fd, void* bytes, size_t size, off64_t at) {
  return sites::pread_any(fd, bytes, size, at);
}
ssize_t site_pwrite(int fd, const void* bytes, size_t size, off64_t at) PENSTOCK_REPLACES("pwrite");
ssize_t site_pwrite(int fd, const void* bytes, size_t size, off64_t at) {
  return sites::pwrite_any(fd, bytes, size, at);
}
int site_ftruncate(int fd, off64_t size) PENSTOCK_REPLACES("ftruncate");
int site_ftruncate(int fd, off64_t size) { return sites::truncate_any(fd, size); }
#endif

ssize_t site_pread64(int fd, void* bytes, size_t size, off64_t at) PENSTOCK_REPLACES("pread64");
ssize_t site_pread64(int fd, void* bytes, size_t size, off64_t at) {
  return sites::pread_any(fd, bytes, size, at);
}

ssize_t site_pwrite64(int fd, const void* bytes, size_t size, off64_t at)
    PENSTOCK_REPLACES("pwrite64");
ssize_t site_pwrite64(int fd, const void* bytes, size_t size, off64_t at) {
  return sites::pwrite_any(fd, bytes, size, at);
}

int site_ftruncate64(int fd, off64_t size) PENSTOCK_REPLACES("ftruncate64");
int site_ftruncate64(int fd, off64_t size) { return sites::truncate_any(fd, size); }

int site_fdatasync(int fd) PENSTOCK_REPLACES("fdatasync");
int site_fdatasync(int fd) {
  if (sites::own_sync_fails(fd)) return -1;
  static const auto real = sites::next_of<int(int)>("fdatasync");
  return real(fd);
}

// The descriptor is gone all the same, as on Linux.
int site_close(int fd) PENSTOCK_REPLACES("close");
int site_close(int fd) {
  const int fate = fate_of(kind_of(Call::kClose), fd);
  static const auto real = sites::next_of<int(int)>("close");
  const int result = real(fd);
  if (fate <= 0) return result;
  errno = fate;
  return -1;
}

int site_rename(const char* from, const char* to) PENSTOCK_REPLACES("rename");
int site_rename(const char* from, const char* to) {
  if (fate_of(kind_of(Call::kRename), from) > 0) return -1;
  static const auto real = sites::next_of<int(const char*, const char*)>("rename");
  return real(from, to);
}

int site_mkdir(const char* path, mode_t mode) PENSTOCK_REPLACES("mkdir");
int site_mkdir(const char* path, mode_t mode) {
  if (fate_of(kind_of(Call::kMakeDirectory), path) > 0) return -1;
  static const auto real = sites::next_of<int(const char*, mode_t)>("mkdir");
  return real(path, mode);
}

struct dirent* site_readdir(DIR* dir) PENSTOCK_REPLACES(PENSTOCK_LARGE("readdir"));
struct dirent* site_readdir(DIR* dir) {
  if (fate_of(kind_of(Call::kList), dirfd(dir)) > 0) return nullptr;
  static const auto real = sites::next_of<struct dirent*(DIR*)>("readdir64");
  return real(dir);
}

int site_stat(const char* path, struct stat* info) PENSTOCK_REPLACES(PENSTOCK_LARGE("stat"));
int site_stat(const char* path, struct stat* info) {
  if (fate_of(kind_of(Call::kStat), path) > 0) return -1;
  static const auto real = sites::next_of<int(const char*, struct stat*)>("stat64");
  return real(path, info);
}
}
