#include "agent/app/last_good.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <memory>

#include <fnmatch.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include "agent/base/whole_file.h"

namespace penstock::app {
namespace {

constexpr std::string_view kHead = "penstock configuration 1\n";
constexpr const char* kName = "last-good-config";

// For each file a line with its size and path, then its bytes.
std::string to_text(const std::vector<config::SourceFile>& sources) {
  std::string text(kHead);
  for (const auto& source : sources)
    text += fmt::format("{} {}\n{}\n", source.text.size(), source.path.string(), source.text);
  return text;
}

std::optional<config::SourceFile> take_file(std::string_view& rest) {
  const size_t line = rest.find('\n');
  const size_t space = rest.find(' ');
  if (line == std::string_view::npos || space >= line) return {};
  size_t size = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + space, size);
  if (parsed.ec != std::errc() || parsed.ptr != rest.data() + space) return {};
  config::SourceFile file{std::string(rest.substr(space + 1, line - space - 1)), {}};
  rest.remove_prefix(line + 1);
  if (size >= rest.size() || rest[size] != '\n') return {};
  file.text = rest.substr(0, size);
  rest.remove_prefix(size + 1);
  return file;
}

}  // namespace

LastGood::LastGood(const std::filesystem::path& state_dir) {
  std::error_code ignored;
  if (!state_dir.empty() && std::filesystem::is_directory(state_dir, ignored))
    file_ = state_dir / kName;
}

Result<void> LastGood::save(const std::vector<config::SourceFile>& sources) const {
  if (file_.empty()) return {};
  const std::string text = to_text(sources);
  if (const auto known = config::system_environment().read_file(file_); known && *known == text)
    return {};
  return write_whole_file(file_, text);
}

Result<std::vector<config::SourceFile>> LastGood::sources() const {
  std::vector<config::SourceFile> files;
  std::error_code ignored;
  if (file_.empty() || !std::filesystem::exists(file_, ignored)) return files;
  const auto text = config::system_environment().read_file(file_);
  if (!text) return text.error();
  std::string_view rest = *text;
  bool good = rest.starts_with(kHead);
  if (good) rest.remove_prefix(kHead.size());
  while (good && !rest.empty()) {
    auto file = take_file(rest);
    good = file.has_value();
    if (good) files.push_back(*std::move(file));
  }
  if (!good || files.empty())
    return Error{ErrorKind::kCorrupt, file_.string() + " is damaged and cannot be used", {}};
  return files;
}

std::string LastGood::saved_at() const {
  struct stat info {};
  if (file_.empty() || stat(file_.c_str(), &info) != 0) return {};
  tm parts{};
  gmtime_r(&info.st_mtim.tv_sec, &parts);
  char text[32];
  return {text, strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

config::Environment with_files(config::Environment environment,
                               std::vector<config::SourceFile> files) {
  const auto kept = std::make_shared<const std::vector<config::SourceFile>>(std::move(files));
  environment.read_file = [kept, real = environment.read_file](
                              const std::filesystem::path& path) -> Result<std::string> {
    for (const auto& file : *kept) {
      if (file.path == path) return file.text;
    }
    return real(path);
  };
  environment.find_files = [kept](const std::filesystem::path& pattern) {
    std::vector<std::filesystem::path> found;
    for (size_t i = 1; i < kept->size(); ++i) {  // the first is the one that includes
      const auto& path = (*kept)[i].path;
      if (fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0)
        found.push_back(path);
    }
    std::sort(found.begin(), found.end());
    return found;
  };
  return environment;
}

}  // namespace penstock::app
