// A pseudo terminal as a serial line: the test writes at the master end, the agent opens a symlink
// to the slave end.
//
// The symlink stands for /dev/serial/by-id/...: unplug() closes the master and removes it (the
// reader sees end of file and EIO, and the node is gone, exactly as with a USB adapter), plug()
// makes a new pty and points the link there. Owned by one scope; not thread-safe. Throws
// std::runtime_error when the system has no pty to give.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace penstock::test {

class PtyLine {
 public:
  // Starts unplugged.
  explicit PtyLine(std::filesystem::path link);
  ~PtyLine();
  PtyLine(const PtyLine&) = delete;
  PtyLine& operator=(const PtyLine&) = delete;

  void plug();
  void unplug();
  bool plugged() const { return master_ >= 0; }

  // Takes the bytes or, when the line cannot take all of them now, says false. Bytes of a message
  // once begun are finished before the next one, so a reader never sees two messages torn into each
  // other.
  bool write(std::string_view bytes);

  // What the agent has sent, up to `bytes` of it; shorter when no more came within ten seconds.
  std::string read(size_t bytes);

  const std::filesystem::path& link() const { return link_; }

 private:
  bool flush_rest();

  std::filesystem::path link_;
  int master_ = -1;
  std::string rest_;  // of a message the line took in part
};

}  // namespace penstock::test
