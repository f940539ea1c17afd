// What the inputs of a spool have lost in all their lives (host/loss_book.h), for `spool stat`.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "agent/host/loss_report.h"

namespace penstock::cli {

// By input; those that lost nothing are not in it.
std::map<std::string, host::LossCounts> input_losses(const std::filesystem::path& spool_dir);

// "\ninput u  lost 15 kernel_drops, 1 oversize\n"; empty when nothing was lost.
std::string text_of(const std::map<std::string, host::LossCounts>& losses);
// {"u":{"kernel_drops":15}}
std::string json_of(const std::map<std::string, host::LossCounts>& losses);

}  // namespace penstock::cli
