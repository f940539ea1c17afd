// A private disk for one test or measurement: an image file on a loop device, formatted and
// mounted.
//
// Its block device counts exactly the bytes that this filesystem wrote, and it can really be full.
// Needs root; make() says why it cannot. The mount lives in a mount namespace of the calling thread
// (and of threads it makes later), and the loop device detaches itself with its last user: nothing
// is left behind even after a kill -9.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "agent/base/result.h"

namespace penstock::test {

struct LoopDiskOptions {
  uint64_t bytes = uint64_t{64} << 20;
  std::string filesystem = "ext4";  // or xfs, with reflinks
};

class LoopDisk {
 public:
  // `dir` gets the image and the mount point; it must exist. An image that is there already is
  // mounted as it is.
  static Result<std::unique_ptr<LoopDisk>> make(const std::filesystem::path& dir,
                                                const LoopDiskOptions& options);
  ~LoopDisk();  // unmounts; the image stays
  LoopDisk(const LoopDisk&) = delete;

  const std::filesystem::path& path() const { return mount_point_; }
  // Writes everything back, then says how many bytes the device has been given since it was made.
  uint64_t written_bytes() const;

 private:
  LoopDisk() = default;
  std::filesystem::path mount_point_;
  std::string device_;  // "loop3"
};

}  // namespace penstock::test
