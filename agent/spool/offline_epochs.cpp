#include "agent/spool/offline_epochs.h"

#include <algorithm>

#include "agent/spool/identity.h"
#include "agent/spool/offline_writer.h"

namespace penstock::spool {

const FoundEpoch* newest_epoch(const FoundEpochs& epochs) {
  const auto own = std::find_if(epochs.rbegin(), epochs.rend(), [](const auto& epoch) {
    return epoch.second.machine_id != kImportedMachine;
  });
  if (own != epochs.rend()) return &own->second;
  return epochs.empty() ? nullptr : &epochs.rbegin()->second;
}

std::string origin_prefix(const FoundEpochs& epochs, uint32_t epoch) {
  const auto found = epochs.find(epoch);
  if (found != epochs.end()) return found->second.agent_id + "/" + found->second.name;
  const FoundEpoch* newest = newest_epoch(epochs);
  return unknown_origin(newest != nullptr ? newest->agent_id : "unknown", epoch).prefix;
}

}  // namespace penstock::spool
