#include "agent/base/result.h"

namespace penstock {

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kTransient:
      return "transient";
    case ErrorKind::kThrottled:
      return "throttled";
    case ErrorKind::kRejected:
      return "rejected";
    case ErrorKind::kDenied:
      return "denied";
    case ErrorKind::kCorrupt:
      return "corrupt";
    case ErrorKind::kFull:
      return "full";
    case ErrorKind::kShutdown:
      return "shutdown";
  }
  return "unknown";
}

}  // namespace penstock
