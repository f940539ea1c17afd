#include "agent/config/sections.h"

namespace penstock::config {
namespace {

void read_log(Reader& agent, Agent& out) {
  Reader log = agent.map("log");
  set(out.level, log.word<LogLevel>("level", {{"debug", LogLevel::kDebug},
                                              {"info", LogLevel::kInfo},
                                              {"warning", LogLevel::kWarning},
                                              {"error", LogLevel::kError}}));
  set(out.repeat_every,
      log.duration("repeat_every", std::chrono::seconds(1), std::chrono::hours(24 * 7)));
  log.finish();
}

}  // namespace

Agent read_agent(Reader& root) {
  Agent out;
  Reader agent = root.map("agent");
  const std::string& host_name = agent.context().environment.host_name;
  const bool named_by_host = is_name(host_name);
  if (!named_by_host) agent.require("id", "the name of this gateway, like `gw-0042`");
  const auto id = agent.get("id");
  if (!id && named_by_host) out.id = host_name;
  if (id) {
    const auto text = text_of(*id, agent.context());
    if (text && !is_name(*text)) {
      agent.context().error(
          id->node->at, "agent.id: " + quote(id->node->written) + " cannot be the name of an agent",
          std::string(kNameHint));
    } else if (text) {
      out.id = *text;
    }
  }
  for (const auto& label :
       agent.named_entries("labels", is_identifier, "labels are named like site_1")) {
    if (const auto text = text_of(label, agent.context())) out.labels[label.key] = *text;
  }
  read_log(agent, out);
  agent.finish();
  return out;
}

}  // namespace penstock::config
