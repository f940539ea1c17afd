#include "agent/cli/input_losses.h"

#include <spdlog/fmt/fmt.h>

#include "agent/base/text.h"
#include "agent/cli/human.h"
#include "agent/host/instance_note.h"
#include "agent/host/loss_book.h"

namespace penstock::cli {

std::map<std::string, host::LossCounts> input_losses(const std::filesystem::path& spool_dir) {
  std::map<std::string, host::LossCounts> losses;
  std::error_code none;  // a spool without inputs' files
  for (const auto& entry : std::filesystem::directory_iterator(spool_dir / "inputs", none)) {
    if (entry.path().extension() != ".lost") continue;
    auto counts = host::parse_losses(host::InstanceNote(entry.path()).read());
    if (!counts.empty()) losses[entry.path().stem().string()] = std::move(counts);
  }
  return losses;
}

std::string text_of(const std::map<std::string, host::LossCounts>& losses) {
  std::string text;
  for (const auto& [input, counts] : losses) {
    text += fmt::format("\ninput {}  lost", shown(input, 64));
    for (const auto& [name, count] : counts)
      text += fmt::format("{} {} {}", text.ends_with("lost") ? "" : ",", count, shown(name, 64));
    text += "\n";
  }
  return text;
}

std::string json_of(const std::map<std::string, host::LossCounts>& losses) {
  std::string text = "{";
  for (const auto& [input, counts] : losses) {
    text += (text.ends_with('{') ? "" : ",") + json(input) + ":{";
    for (const auto& [name, count] : counts)
      text += fmt::format("{}{}:{}", text.ends_with('{') ? "" : ",", json(name), count);
    text += "}";
  }
  return text + "}";
}

}  // namespace penstock::cli
