// What an export is written to: a file that comes into being as a whole, under its name, once
// everything is in it; or a stream (standard output, a device, a pipe), which is written as it goes
// and never replaced.
//
// One thread.
#pragma once

#include <filesystem>
#include <string_view>

#include "agent/base/result.h"
#include "agent/cli/stream_file.h"

namespace penstock::cli {

class ExportFile {
 public:
  // A symbolic link stands for what it points to. Opening a pipe waits for its reader.
  static Result<ExportFile> open(const std::filesystem::path& file);
  ExportFile(ExportFile&&) noexcept = default;
  ExportFile& operator=(ExportFile&&) = delete;
  ~ExportFile();  // without finish() the file is not there, or is what it was

  void write(std::string_view text);
  bool good() const { return good_; }
  Result<void> finish();

 private:
  ExportFile(std::filesystem::path name, std::filesystem::path part, File file)
      : name_(std::move(name)), part_(std::move(part)), file_(std::move(file)) {}

  std::filesystem::path name_;
  std::filesystem::path part_;  // renamed to name_ at the end; empty: a stream
  File file_;
  bool good_ = true;
  bool is_there_ = false;
};

}  // namespace penstock::cli
