// LossBook: what one input has lost in all its lives, on disk and in the log.
//
// Owned by the Instance; its dispatcher's alone. Counters of plugins begin with zero in each life;
// the book adds what earlier lives have lost. A crash forgets what was lost since the last look.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/log.h"
#include "agent/host/instance_note.h"
#include "agent/host/loss_report.h"

namespace penstock::host {

// The content of INPUT.lost: "NAME TOTAL" a line. Lines that are none are passed over. Pure.
LossCounts parse_losses(std::string_view text);

class LossBook {
 public:
  LossBook(std::filesystem::path file, Log log) : kept_(std::move(file)), log_(std::move(log)) {}

  // `now` as the plugin counts. Writes the totals when they have grown, and says what was added
  // since the last time it did when `say`.
  void look(const LossCounts& now, bool say);

 private:
  void keep();

  InstanceNote kept_;
  const Log log_;
  bool read_ = false;
  bool complained_ = false;  // that they cannot be kept
  LossCounts before_;        // of earlier lives
  LossCounts totals_;
  LossCounts said_;
};

}  // namespace penstock::host
