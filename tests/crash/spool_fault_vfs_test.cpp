#include "tests/crash/spool_fault_vfs.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/crash/spool_sites.h"
#include "tests/crash/spool_stuck_files.h"

namespace penstock::spool::testing {
namespace {

struct Handle {
  sqlite3_file base;
  FaultVfs* vfs;
  std::string* name;
  sqlite3_int64 chunk;  // SQLITE_FCNTL_CHUNK_SIZE
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

Handle* handle(sqlite3_file* file) { return reinterpret_cast<Handle*>(file); }
const sqlite3_io_methods* methods(sqlite3_file* file) { return handle(file)->real()->pMethods; }

using Whose = Quiet::Whose;

int close_file(sqlite3_file* file) {
  const Quiet sqlite(Whose::kSqlite);
  delete handle(file)->name;
  return methods(file)->xClose(handle(file)->real());
}
int read_file(sqlite3_file* file, void* out, int size, sqlite3_int64 at) {
  const Quiet sqlite(handle(file)->vfs->reads_fail() ? Whose::kSqliteFailing : Whose::kSqlite);
  return methods(file)->xRead(handle(file)->real(), out, size, at);
}
int write_file(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
  const Quiet sqlite(Whose::kSqlite);
  sqlite3_int64 length = 0;
  methods(file)->xFileSize(handle(file)->real(), &length);
  const int code = handle(file)->vfs->write(*handle(file)->name, bytes, size, at, length);
  return code != SQLITE_OK ? code : methods(file)->xWrite(handle(file)->real(), bytes, size, at);
}
// As SQLite makes it of a size.
sqlite3_int64 whole_chunks(const Handle& file, sqlite3_int64 size) {
  const sqlite3_int64 chunk = std::max<sqlite3_int64>(1, file.chunk);
  return (size + chunk - 1) / chunk * chunk;
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  int code = SQLITE_OK;
  if (handle(file)->vfs->hook_or_fail(false, code)) return code;
  const Quiet sqlite(Whose::kSqlite);
  handle(file)->vfs->truncated(*handle(file)->name, whole_chunks(*handle(file), size));
  return methods(file)->xTruncate(handle(file)->real(), size);
}
int sync_file(sqlite3_file* file, int) { return handle(file)->vfs->sync(*handle(file)->name); }
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return methods(file)->xFileSize(handle(file)->real(), size);
}
int lock_file(sqlite3_file* file, int level) {
  return methods(file)->xLock(handle(file)->real(), level);
}
int unlock_file(sqlite3_file* file, int level) {
  return methods(file)->xUnlock(handle(file)->real(), level);
}
int check_lock(sqlite3_file* file, int* out) {
  return methods(file)->xCheckReservedLock(handle(file)->real(), out);
}
// The file has whole chunks then, at once, and on the medium with its next sync.
int grow_file(sqlite3_file* file, sqlite3_int64 hint) {
  const Quiet sqlite(Whose::kSqliteGrow);
  const Handle& self = *handle(file);
  sqlite3_int64 before = 0;
  sqlite3_int64 after = 0;
  file_size(file, &before);
  if (whole_chunks(self, hint) > before && self.vfs->is_full()) {
    errno = ENOSPC;
    return SQLITE_IOERR_WRITE;
  }
  const int code = methods(file)->xFileControl(handle(file)->real(), SQLITE_FCNTL_SIZE_HINT, &hint);
  const int error = errno;
  file_size(file, &after);
  if (after > before) self.vfs->grown(*self.name, after);
  errno = error;
  return code;
}
int control(sqlite3_file* file, int op, void* arg) {
  if (handle(file)->vfs->swallows(op)) return SQLITE_OK;
  if (op == SQLITE_FCNTL_SIZE_HINT) return grow_file(file, *static_cast<sqlite3_int64*>(arg));
  if (op == SQLITE_FCNTL_CHUNK_SIZE) handle(file)->chunk = *static_cast<int*>(arg);
  const Quiet sqlite(Whose::kSqlite);
  return methods(file)->xFileControl(handle(file)->real(), op, arg);
}
int sector_size(sqlite3_file* file) { return methods(file)->xSectorSize(handle(file)->real()); }
int characteristics(sqlite3_file* file) {
  const int known = methods(file)->xDeviceCharacteristics(handle(file)->real());
  return handle(file)->vfs->pretends_powersafe() ? known | SQLITE_IOCAP_POWERSAFE_OVERWRITE : known;
}

// Version 1: no shared memory. In exclusive mode the spool needs none, which this also proves.
const sqlite3_io_methods kMethods = {
    1,         close_file,  read_file,  write_file, truncate_file, sync_file,       file_size,
    lock_file, unlock_file, check_lock, control,    sector_size,   characteristics, nullptr,
    nullptr,   nullptr,     nullptr,    nullptr,    nullptr};

int open_file(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  auto* self = static_cast<FaultVfs*>(vfs->pAppData);
  auto* opened = handle(file);
  opened->base.pMethods = nullptr;
  const Quiet sqlite(Whose::kSqlite);
  if (name != nullptr && self->refuses_to_open(name)) return SQLITE_CANTOPEN;
  const bool existed = name == nullptr || std::filesystem::exists(name);
  int code = SQLITE_OK;
  if (!existed && self->hook_or_fail(false, code)) return SQLITE_CANTOPEN;
  code = self->real()->xOpen(self->real(), name, opened->real(), flags, out);
  if (code != SQLITE_OK) return code;
  if (name != nullptr) self->opened(name, existed, flags);
  opened->vfs = self;
  opened->chunk = 0;
  opened->name = new std::string(name != nullptr ? name : "");
  opened->base.pMethods = &kMethods;
  return SQLITE_OK;
}

void put(std::string& image, int64_t offset, const char* bytes, size_t size) {
  const auto at = static_cast<size_t>(offset);
  if (image.size() < at + size) image.resize(at + size, '\0');
  std::memcpy(image.data() + at, bytes, size);
}

void apply(std::string& image, const FaultVfs::Write& write) {
  if (write.truncates) {
    image.resize(std::min(image.size(), static_cast<size_t>(write.offset)));
  } else {
    put(image, write.offset, write.bytes.data(), write.bytes.size());
  }
}

// Any part of them, each as likely as the next.
void apply_some(std::string& image, const std::vector<FaultVfs::Write>& pending,
                std::mt19937_64& random) {
  const uint64_t percent = random() % 101;
  for (const auto& write : pending) {
    if (random() % 100 < percent) apply(image, write);
  }
}

// Of every sector, some number of the writes that touched it, in order; sectors independently.
void apply_sectors(std::string& image, const std::vector<FaultVfs::Write>& pending, size_t sector,
                   bool garble, std::mt19937_64& random) {
  std::map<size_t, std::vector<const FaultVfs::Write*>> by_sector;
  for (const auto& write : pending) {
    if (write.truncates || write.bytes.empty()) continue;
    const auto first = static_cast<size_t>(write.offset) / sector;
    const auto last = (static_cast<size_t>(write.offset) + write.bytes.size() - 1) / sector;
    for (size_t s = first; s <= last; ++s) by_sector[s].push_back(&write);
  }
  for (const auto& [number, writes] : by_sector) {
    const size_t count = random() % (writes.size() + 1);
    for (size_t i = 0; i < count; ++i) {
      const auto begin = std::max(static_cast<size_t>(writes[i]->offset), number * sector);
      const auto end = std::min(static_cast<size_t>(writes[i]->offset) + writes[i]->bytes.size(),
                                (number + 1) * sector);
      put(image, static_cast<int64_t>(begin),
          writes[i]->bytes.data() + (begin - static_cast<size_t>(writes[i]->offset)), end - begin);
    }
  }
  if (!garble || by_sector.empty()) return;
  auto victim = by_sector.begin();
  if (random() % 2 == 0) std::advance(victim, random() % by_sector.size());
  for (size_t i = victim->first * sector; i < std::min(image.size(), (victim->first + 1) * sector);
       ++i) {
    image[i] = static_cast<char>(random());
  }
}

std::string database_of(const std::string& name) {
  return name.ends_with("-wal") ? name.substr(0, name.size() - 4) : name;
}

std::string survivor(const FaultVfs::File& file, FaultVfs::Survives mode, std::mt19937_64& random) {
  using Survives = FaultVfs::Survives;
  std::string image = file.durable;
  const auto& pending = file.pending;
  switch (mode) {
    case Survives::kNothing:
      break;
    case Survives::kPrefix: {
      const size_t count = random() % (pending.size() + 1);
      for (size_t i = 0; i < count; ++i) apply(image, pending[i]);
      if (count < pending.size() && !pending[count].truncates) {
        const size_t torn = random() % (pending[count].bytes.size() + 1) & ~size_t{511};
        put(image, pending[count].offset, pending[count].bytes.data(), torn);
      }
      break;
    }
    case Survives::kSubset:
      apply_some(image, pending, random);
      break;
    case Survives::kAnySectors:
      apply_sectors(image, pending, 512, false, random);
      break;
    case Survives::kAnyPages:
      apply_sectors(image, pending, 4096, false, random);
      break;
    case Survives::kGarbledSector:
      apply_sectors(image, pending, 4096, true, random);
      break;
    case Survives::kEverything:
      for (const auto& write : pending) apply(image, write);
      break;
  }
  return image;
}

}  // namespace

namespace {

std::atomic<FaultVfs*> active{nullptr};
thread_local bool in_cut = false;  // removals then are ours

std::string directory_of(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISDIR(info.st_mode)) return {};
  std::error_code failed;
  const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), failed);
  return failed ? std::string() : path.string();
}

}  // namespace

FaultVfs::FaultVfs() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
  vfs_.zName = "penstock-fault";
  vfs_.szOsFile = static_cast<int>(sizeof(Handle)) + real_->szOsFile;
  vfs_.pAppData = this;
  vfs_.pNext = nullptr;
  vfs_.xOpen = open_file;
  // The rest works on names or needs pAppData of the real one.
  vfs_.xDelete = [](sqlite3_vfs* vfs, const char* name, int sync) {
    auto* self = static_cast<FaultVfs*>(vfs->pAppData);
    const Quiet sqlite(Whose::kSqlite);
    return self->real()->xDelete(self->real(), name, sync);  // by unlink and fsync, see below
  };
  vfs_.xAccess = [](sqlite3_vfs* vfs, const char* name, int flags, int* out) {
    auto* real = static_cast<FaultVfs*>(vfs->pAppData)->real();
    return real->xAccess(real, name, flags, out);
  };
  vfs_.xFullPathname = [](sqlite3_vfs* vfs, const char* name, int size, char* out) {
    auto* real = static_cast<FaultVfs*>(vfs->pAppData)->real();
    return real->xFullPathname(real, name, size, out);
  };
  sqlite3_vfs_register(&vfs_, 1);
  active = this;
}

FaultVfs::~FaultVfs() {
  active = nullptr;
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(real_, 1);
}

void FaultVfs::cut(const std::filesystem::path& dir, const std::filesystem::path& to, Survives mode,
                   std::mt19937_64& random) {
  const std::lock_guard lock(mutex_);
  std::filesystem::create_directories(to);
  for (const auto& [name, file] : files_) {
    const std::filesystem::path path(name);
    if (path.parent_path() != dir || !std::filesystem::exists(path)) continue;
    const std::string image = survivor(file, mode, random);
    std::ofstream(to / path.filename(), std::ios::binary)
        .write(image.data(), static_cast<long>(image.size()));
  }
}

void FaultVfs::cut_with_names(const std::filesystem::path& dir, const std::filesystem::path& to,
                              Survives mode, std::mt19937_64& random) {
  in_cut = true;
  cut(dir, to, mode, random);
  cut_names(dir, to, mode, random);
  in_cut = false;
}

void FaultVfs::cut_names(const std::filesystem::path& dir, const std::filesystem::path& to,
                         Survives mode, std::mt19937_64& random) {
  if (mode == Survives::kEverything) {
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (!std::filesystem::exists(to / entry.path().filename()))
        std::filesystem::copy_file(entry.path(), to / entry.path().filename());
    }
    return;
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [name, file] : files_) {
    const std::filesystem::path path(name);
    if (path.parent_path() == dir && !file.named && random() % 2 == 0)
      std::filesystem::remove(to / path.filename());
  }
  for (const auto& [name, file] : removed_) {
    const std::filesystem::path path(name);
    if (path.parent_path() != dir || files_.contains(name) || random() % 2 == 0) continue;
    const std::string image = survivor(file, mode, random);
    std::ofstream(to / path.filename(), std::ios::binary)
        .write(image.data(), static_cast<long>(image.size()));
  }
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const auto fate = random() % 3;
    const auto kept = to / entry.path().filename();
    if (files_.contains(entry.path().string()) || fate == 0) continue;
    std::filesystem::copy_file(entry.path(), kept,
                               std::filesystem::copy_options::overwrite_existing);
    if (fate == 1) std::filesystem::resize_file(kept, random() % (entry.file_size() + 1));
  }
}

void FaultVfs::before_operation(int n, std::function<void()> hook) {
  const std::lock_guard lock(mutex_);
  operations_until_hook_ = n;
  operation_hook_ = std::move(hook);
}

void FaultVfs::fail_operation(int n, Fault fault) {
  const std::lock_guard lock(mutex_);
  fails_at_ = operations_ + n;
  fault_ = fault;
}

int FaultVfs::operations() {
  const std::lock_guard lock(mutex_);
  return operations_;
}

bool FaultVfs::hook_or_fail(bool is_sync, int& code) {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    if (operation_hook_ && --operations_until_hook_ <= 0)
      hook = std::exchange(operation_hook_, nullptr);
  }
  if (hook) hook();
  const std::lock_guard lock(mutex_);
  if (operations_++ != fails_at_) return false;
  code = is_sync                     ? SQLITE_IOERR_FSYNC
         : fault_ == Fault::kNoSpace ? SQLITE_FULL
                                     : SQLITE_IOERR_WRITE;
  return true;
}

void FaultVfs::opened(const std::string& name, bool existed, int flags) {
  const std::lock_guard lock(mutex_);
  if (files_.contains(name)) return;
  File& file = files_[name];
  file.named = existed;
  file.syncs_name = !existed && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
  if (!existed) return;
  std::ifstream in(name, std::ios::binary);
  file.durable.assign(std::istreambuf_iterator<char>(in), {});
}

void FaultVfs::adopt(const std::filesystem::path& dir) {
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().filename().string().find(".db") != std::string::npos)
      opened(entry.path().string(), true, 0);
  }
}

void FaultVfs::directory_synced(const std::string& dir) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, file] : files_) {
    if (std::filesystem::path(name).parent_path() == dir) file.named = true;
  }
  std::erase_if(removed_, [&dir](const auto& file) {
    return std::filesystem::path(file.first).parent_path() == dir;
  });
}

void FaultVfs::before_write(int n, std::function<void()> hook) {
  const std::lock_guard lock(mutex_);
  writes_until_hook_ = n;
  hook_ = std::move(hook);
}

void FaultVfs::fail_sync_after(int syncs) {
  const std::lock_guard lock(mutex_);
  syncs_left_ = syncs;
}

void FaultVfs::fail_write_after(int writes) {
  const std::lock_guard lock(mutex_);
  writes_left_ = writes;
}

void FaultVfs::set_read_only(bool read_only) {
  const std::lock_guard lock(mutex_);
  read_only_ = read_only;
}

bool FaultVfs::refuses_to_open(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (std::filesystem::exists(name)) return false;
  files_.erase(name);
  return read_only_;
}

void FaultVfs::fail_sync_of(const std::string& suffix) {
  const std::lock_guard lock(mutex_);
  failing_suffix_ = suffix;
}

void FaultVfs::lie_about_syncs() {
  const std::lock_guard lock(mutex_);
  sync_lies_ = true;
}

void FaultVfs::set_disk_full(bool full, bool overwrites_too) {
  const std::lock_guard lock(mutex_);
  disk_full_ = full;
  overwrites_fail_ = full && overwrites_too;
}

void FaultVfs::pretend_powersafe() {
  const std::lock_guard lock(mutex_);
  powersafe_ = true;
}

bool FaultVfs::pretends_powersafe() {
  const std::lock_guard lock(mutex_);
  return powersafe_;
}

void FaultVfs::swallow(int file_control) {
  const std::lock_guard lock(mutex_);
  swallowed_.insert(file_control);
}

bool FaultVfs::swallows(int file_control) {
  const std::lock_guard lock(mutex_);
  return swallowed_.contains(file_control);
}

void FaultVfs::fail_reads(bool fail) {
  const std::lock_guard lock(mutex_);
  reads_fail_ = fail;
}

int FaultVfs::writes_after_failure() {
  const std::lock_guard lock(mutex_);
  return writes_after_failure_;
}

int FaultVfs::syncs() {
  const std::lock_guard lock(mutex_);
  return syncs_;
}

int FaultVfs::write(const std::string& name, const void* bytes, int size, int64_t offset,
                    int64_t length) {
  std::function<void()> hook;
  {
    const std::lock_guard lock(mutex_);
    if (hook_ && --writes_until_hook_ <= 0) hook = std::exchange(hook_, nullptr);
  }
  if (hook) hook();
  int code = SQLITE_OK;
  if (hook_or_fail(false, code)) return code;
  const std::lock_guard lock(mutex_);
  if (failed_.contains(database_of(name))) ++writes_after_failure_;
  if (read_only_ || (writes_left_ >= 0 && writes_left_-- == 0)) {
    failed_.insert(database_of(name));
    return SQLITE_IOERR_WRITE;
  }
  if (failed_.contains(database_of(name))) return SQLITE_IOERR_WRITE;
  if (disk_full_ && (overwrites_fail_ || offset + size > length)) return SQLITE_FULL;
  files_[name].pending.push_back(
      {offset, false, std::string(static_cast<const char*>(bytes), static_cast<size_t>(size))});
  return SQLITE_OK;
}

void FaultVfs::truncated(const std::string& name, int64_t size) {
  const std::lock_guard lock(mutex_);
  if (failed_.contains(database_of(name))) ++writes_after_failure_;
  files_[name].pending.push_back({size, true, {}});
}

void FaultVfs::grown(const std::string& name, int64_t size) {
  const std::lock_guard lock(mutex_);
  files_[name].pending.push_back({size - 1, false, std::string(1, '\0')});
}

bool FaultVfs::is_full() {
  const std::lock_guard lock(mutex_);
  return disk_full_;
}

int FaultVfs::sync(const std::string& name) {
  int code = SQLITE_OK;
  bool fails = hook_or_fail(true, code);
  if (next_site(Call::kSqliteSync, name) != 0) {
    fails = true;
    code = SQLITE_IOERR_FSYNC;
  }
  const std::lock_guard lock(mutex_);
  ++syncs_;
  if (sync_lies_) return SQLITE_OK;
  File& file = files_[name];
  if (fails) {
    file.pending.clear();
    return code;
  }
  const bool hit = !failing_suffix_.empty() && name.ends_with(failing_suffix_);
  const bool failed = failed_.contains(database_of(name));
  if (failed || read_only_ || hit || (syncs_left_ >= 0 && syncs_left_-- == 0)) {
    failed_.insert(database_of(name));
    file.pending.clear();
    return SQLITE_IOERR_FSYNC;
  }
  for (const auto& write : file.pending) apply(file.durable, write);
  file.pending.clear();
  if (std::exchange(file.syncs_name, false)) file.named = true;
  return SQLITE_OK;
}

void FaultVfs::deleted(const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    if (!files_.contains(name)) return;
  }
  int code = SQLITE_OK;
  (void)hook_or_fail(false, code);
  const std::lock_guard lock(mutex_);
  const auto it = files_.find(name);
  if (it == files_.end()) return;
  if (it->second.named) removed_[name] = std::move(it->second);
  files_.erase(it);
}

bool FaultVfs::reads_fail() {
  const std::lock_guard lock(mutex_);
  failed_reads_ += reads_fail_ ? 1 : 0;
  return reads_fail_;
}

int FaultVfs::failed_reads() {
  const std::lock_guard lock(mutex_);
  return failed_reads_;
}

std::mutex staying_mutex;
std::string staying_suffix;
std::function<void(const std::string&)> removal_watch;

void refuse_removal_of(const std::string& suffix) {
  const std::lock_guard lock(staying_mutex);
  staying_suffix = suffix;
}

void watch_removals(std::function<void(const std::string&)> watch) {
  const std::lock_guard lock(staying_mutex);
  removal_watch = std::move(watch);
}

bool must_stay(const char* path) {
  const std::lock_guard lock(staying_mutex);
  if (active != nullptr && removal_watch) removal_watch(path);
  if (active == nullptr || in_cut || staying_suffix.empty() ||
      !std::string_view(path).ends_with(staying_suffix)) {
    return false;
  }
  errno = EIO;
  return true;
}

void note_unlink(const char* path) {
  FaultVfs* vfs = active;
  if (vfs != nullptr && !in_cut) vfs->deleted(path);
}

void note_fsync(int fd) {
  FaultVfs* vfs = active;
  if (vfs == nullptr) return;
  if (const std::string dir = directory_of(fd); !dir.empty()) vfs->directory_synced(dir);
}

}  // namespace penstock::spool::testing

// In front of the C library's: the program's own calls and those of its shared libraries end here.
extern "C" {

__attribute__((visibility("default"))) int fsync(int fd) {
  if (penstock::spool::testing::own_sync_fails(fd)) return -1;
  const auto result = static_cast<int>(syscall(SYS_fsync, fd));
  if (result == 0) penstock::spool::testing::note_fsync(fd);
  return result;
}

__attribute__((visibility("default"))) int unlink(const char* path) noexcept {
  if (penstock::spool::testing::must_stay(path) || penstock::spool::testing::removal_fails(path))
    return -1;
  penstock::spool::testing::note_unlink(path);
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

__attribute__((visibility("default"))) int remove(const char* path) noexcept {
  if (penstock::spool::testing::must_stay(path) || penstock::spool::testing::removal_fails(path))
    return -1;
  const auto result = static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
  if (result == 0) penstock::spool::testing::note_unlink(path);
  if (result == 0 || (errno != EISDIR && errno != EPERM)) return result;
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}
}
