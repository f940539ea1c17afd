// Every call by which the spool reaches its directory is a site that can be made to fail, once.
//
// SQLite's calls and the spool's own are told apart and counted by kind: the test program replaces
// the C library's functions. SQLite's syncs are counted by FaultVfs, which does them itself. Calls
// of the test do not count inside a Quiet. Thread-safe; one Sites at a time.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace penstock::spool::testing {

enum class Call {
  kSqliteOpen,
  kSqliteRead,
  kSqliteWrite,
  kSqliteGrow,  // by a size hint
  kSqliteTruncate,
  kSqliteSync,
  kSqliteRemove,
  kOpen,
  kRead,
  kWrite,
  kSync,
  kSyncDirectory,
  kTruncate,
  kClose,
  kRename,
  kRemove,
  kMakeDirectory,
  kList,
  kStat,
};
inline constexpr int kCalls = static_cast<int>(Call::kStat) + 1;
std::string name_of(Call call);

class Sites {
 public:
  static constexpr int kShort = -1;  // instead of an errno: half of it is read or written

  explicit Sites(std::string dir);  // and all below it
  ~Sites();
  Sites(const Sites&) = delete;

  // The n-th call of this kind from now (0: the next) fails with `error`, once.
  void fail(Call call, int n, int error);
  int count(Call call) const;
  // What failed: call and file; empty when nothing did.
  std::string hit() const;

  // For the replaced functions: 0, or how this call is to fail.
  int next(Call call, std::string_view path);

 private:
  const std::string dir_;
  mutable std::mutex mutex_;
  std::map<Call, int> counts_;
  Call failing_ = Call::kOpen;
  int left_ = -1;
  int error_ = 0;
  std::string hit_;
};

// While it lives, calls of this thread are none of the spool's own: the test's, or SQLite's.
class Quiet {
 public:
  enum class Whose { kTest, kSqlite, kSqliteGrow, kSqliteFailing };  // failing: its reads, with EIO
  explicit Quiet(Whose whose = Whose::kTest);
  ~Quiet();
  Quiet(const Quiet&) = delete;

 private:
  const Whose before_;
  const bool was_quiet_;
};

// For FaultVfs, which stands for some calls itself: 0, or how this one is to fail; with errno set.
int next_site(Call call, std::string_view path);
bool removal_fails(const char* path);
bool own_sync_fails(int fd);

}  // namespace penstock::spool::testing
