// A VFS under SQLite that knows what would survive a power cut, and fails on command.
//
// Registered as the default for the life of the object, so the product opens through it
// unknowingly. Every write is pending until its file is synced. cut() gives what a power cut might
// leave: all that was synced, and of the rest any part, torn at sectors. Thread-safe: one lock
// around everything. One at a time: the product's own directory syncs and unlinks, which do not go
// through SQLite, are seen by replacing fsync, unlink and remove in the test program.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <sqlite3.h>

namespace penstock::spool::testing {

class FaultVfs {
 public:
  enum class Survives {
    kNothing,
    kPrefix,         // in order, the last one torn
    kSubset,         // any of the writes
    kAnySectors,     // any state of every 512 bytes
    kAnyPages,       // any state of every 4 KB
    kGarbledSector,  // the same, and one 4 KB sector is noise: the one being written
    kEverything,     // as after kill -9
  };
  static constexpr int kModes = 7;
  enum class Fault { kIoError, kNoSpace };

  FaultVfs();
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;

  // The files below `dir` as a power cut could leave them, written to `to`.
  void cut(const std::filesystem::path& dir, const std::filesystem::path& to, Survives mode,
           std::mt19937_64& random);
  // The same, and files whose creation or removal was not followed by a sync of their directory may
  // be missing or back again. Files that SQLite does not write are whole, cut short or missing.
  void cut_with_names(const std::filesystem::path& dir, const std::filesystem::path& to,
                      Survives mode, std::mt19937_64& random);
  // Calls `hook` before the n-th write from now; not under the lock of the VFS. Once.
  void before_write(int n, std::function<void()> hook);
  // The same, counting every operation that changes a file or a directory.
  void before_operation(int n, std::function<void()> hook);
  // The n-th operation from now (0: the next) fails, once. A failed sync loses the pages it was
  // for, although they read back and the next sync is fine: that is what Linux does.
  void fail_operation(int n, Fault fault);
  int operations();  // so far

  // What lies in `dir` now is on the medium.
  void adopt(const std::filesystem::path& dir);
  // The sync after `syncs` more, and from then on every one of that database, answers
  // SQLITE_IOERR_FSYNC. The pages count as lost.
  void fail_sync_after(int syncs);
  // The same for writes, with SQLITE_IOERR_WRITE.
  void fail_write_after(int writes);
  // Nothing can be written, synced or made, as on a filesystem that was remounted read-only.
  void set_read_only(bool read_only);
  // The same, for the next sync of a file whose name ends so.
  void fail_sync_of(const std::string& suffix);
  // Every sync answers OK and does nothing, as cheap cards do.
  void lie_about_syncs();
  // Writes that would make a file longer, or all, answer SQLITE_FULL; so do size hints.
  void set_disk_full(bool full, bool overwrites_too = false);
  // SQLite believes that a torn sector harms nothing beside it, whatever it is told; for a control.
  void pretend_powersafe();
  bool pretends_powersafe();
  // This file control is answered OK and not followed.
  void swallow(int file_control);
  bool swallows(int file_control);
  void fail_reads(bool fail);
  int failed_reads();  // so far
  // Writes and truncations of a database after its first failed write or sync.
  int writes_after_failure();
  int syncs();

  // For the C callbacks.
  struct Write {
    int64_t offset;  // of a truncation: the new size, with no bytes
    bool truncates;
    std::string bytes;
  };
  struct File {
    std::string durable;
    std::vector<Write> pending;
    bool named = true;  // its directory entry is on the medium
    bool syncs_name =
        false;  // its first sync is one of the directory too, as SQLite does for a WAL
  };
  void opened(const std::string& name, bool existed, int flags);
  void directory_synced(const std::string& dir);
  bool hook_or_fail(bool is_sync, int& code);  // true: the operation fails with `code`
  int write(const std::string& name, const void* bytes, int size, int64_t offset,
            int64_t file_size);
  void truncated(const std::string& name, int64_t size);
  void grown(const std::string& name, int64_t size);  // by a size hint
  bool is_full();
  int sync(const std::string& name);
  bool refuses_to_open(const std::string& name);
  void deleted(const std::string& name);
  bool reads_fail();
  sqlite3_vfs* real() { return real_; }

 private:
  void cut_names(const std::filesystem::path& dir, const std::filesystem::path& to, Survives mode,
                 std::mt19937_64& random);

  std::mutex mutex_;
  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  std::map<std::string, File> files_;
  int syncs_left_ = -1;
  std::string failing_suffix_;
  int writes_left_ = -1;
  bool read_only_ = false;
  std::set<std::string> failed_;  // databases
  bool sync_lies_ = false;
  bool disk_full_ = false;
  bool overwrites_fail_ = false;
  bool powersafe_ = false;
  std::set<int> swallowed_;  // file controls
  bool reads_fail_ = false;
  int failed_reads_ = 0;
  int writes_after_failure_ = 0;
  int syncs_ = 0;
  int writes_until_hook_ = 0;
  std::function<void()> hook_;
  int operations_until_hook_ = 0;
  std::function<void()> operation_hook_;
  int operations_ = 0;
  int fails_at_ = -1;
  Fault fault_ = Fault::kIoError;
  std::map<std::string, File> removed_;  // not yet on the medium
};

}  // namespace penstock::spool::testing
