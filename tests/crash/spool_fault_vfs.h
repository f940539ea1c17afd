// A VFS under SQLite that knows what would survive a power cut, and fails on command.
//
// Registered as the default for the life of the object, so the product opens through it
// unknowingly. Every write is pending until its file is synced. cut() gives what a power cut might
// leave: all that was synced, and of the rest any part, torn at sectors. Thread-safe: one lock
// around everything.
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
  enum class Survives { kNothing, kPrefix, kSubset, kAnySectors, kGarbledSector, kEverything };

  FaultVfs();
  ~FaultVfs();
  FaultVfs(const FaultVfs&) = delete;

  // The files below `dir` as a power cut could leave them, written to `to`.
  void cut(const std::filesystem::path& dir, const std::filesystem::path& to, Survives mode,
           std::mt19937_64& random);
  // Calls `hook` before the n-th write from now; not under the lock of the VFS. Once.
  void before_write(int n, std::function<void()> hook);

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
  // Writes that would make a file longer, or all, answer SQLITE_FULL.
  void set_disk_full(bool full, bool overwrites_too = false);
  void fail_reads(bool fail);
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
  };
  int write(const std::string& name, const void* bytes, int size, int64_t offset,
            int64_t file_size);
  void truncated(const std::string& name, int64_t size);
  int sync(const std::string& name);
  bool refuses_to_open(const std::string& name);
  void deleted(const std::string& name);  // counts as durable at once: SQLite syncs the directory
  bool reads_fail();
  sqlite3_vfs* real() { return real_; }

 private:
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
  bool reads_fail_ = false;
  int writes_after_failure_ = 0;
  int syncs_ = 0;
  int writes_until_hook_ = 0;
  std::function<void()> hook_;
};

}  // namespace penstock::spool::testing
