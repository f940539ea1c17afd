// Fuzz target: a configuration against the option tables of the inputs that are shipped, and what
// passes given to the input's own settings: no crash, a refusal says what is wrong, and what is
// taken is within what the rest of the input relies on. No I/O.
//
// First line: mqtt, serial or udp (else one of them by the first byte). The rest: options in YAML.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

#include "agent/config/config.h"
#include "agent/config/options.h"
#include "agent/host/native_values.h"
#include "agent/host/plugin_library.h"
#include "plugins/mqtt/settings.h"
#include "plugins/serial/framing.h"
#include "plugins/serial/settings.h"
#include "plugins/udp/settings.h"

// Each plugin's descriptor under a name of its own: tests/input_descriptors.cmake.
extern "C" const penstock_plugin* mqtt_plugin_descriptor();
extern "C" const penstock_plugin* serial_plugin_descriptor();
extern "C" const penstock_plugin* udp_plugin_descriptor();

namespace {

using namespace penstock;

void require(bool condition) {
  if (!condition) std::abort();
}

void try_mqtt(const sdk::Options& options) {
  penstock_host native{};
  native.struct_size = sizeof native;
  native.agent_id = sdk::str("gw");
  native.instance_id = sdk::str("plc");
  const auto settings = mqtt::parse_settings(sdk::Host(&native), options);
  require(!settings.server.host.empty() && settings.server.port > 0);
  require(!settings.client_id.empty() && settings.client_id.size() <= 65535);
  require(!settings.filters.empty() && settings.filters.size() == settings.qos.size());
  for (const int qos : settings.qos) require(qos == 0 || qos == 1);
  for (const auto& filter : settings.filters) require(!filter.empty());
  // What the client library takes as C strings would end at a NUL.
  for (const auto& text : {settings.server.host, settings.tls.server_name, settings.client_id,
                           settings.username, settings.password.value_or("")})
    require(text.find('\0') == std::string::npos && text.size() <= 65535);
  require(!settings.password || !settings.username.empty());
  require(settings.keepalive.count() >= 1 && settings.keepalive.count() <= 65535);
  require(settings.session_expiry.count() >= 1 &&
          settings.session_expiry.count() <= int64_t{4294967294});
  require(settings.receive_maximum >= 1 && settings.receive_maximum <= 65535);
  require(settings.max_packet_bytes >= 1024 && settings.max_unacked_bytes >= 65536);
}

void try_serial(const sdk::Options& options) {
  const auto settings = serial::read_settings(options);
  require(!settings.device.empty() && settings.device.front() == '/');
  require(settings.line.baud > 0);
  require(settings.framing.max_frame_bytes >= 1 && settings.framing.max_frame_bytes <= 1 << 20);
  for (const auto& request : settings.poll) {
    require(!request.bytes.empty());
    require(request.every_us >= 10'000 && request.timeout_us >= 1000);
  }
  const auto framing = serial::make_framing(settings.framing);
  std::vector<serial::Frame> frames;
  framing->feed(std::string(64, '\x55'), {1, 1}, frames);
  for (const auto& frame : frames) require(frame.bytes.size() <= settings.framing.max_frame_bytes);
}

void try_udp(const sdk::Options& options) {
  const auto settings = udp::read_settings(options);
  require(settings.listen.family() == AF_INET || settings.listen.family() == AF_INET6);
  require(settings.max_datagram_bytes >= 1 && settings.max_datagram_bytes <= 65536);
  require(settings.receive_buffer_bytes >= 4096 && settings.ack_bytes <= 256);
  for (const auto& group : settings.multicast.groups)
    require(group.group.v4 == (settings.listen.family() == AF_INET));
}

struct Plugin {
  host::PluginLibrary library;
  std::function<void(const sdk::Options&)> attempt;
};

const Plugin& plugin_of(const std::string& name) {
  const auto made = [](const penstock_plugin* descriptor) {
    auto library = host::PluginLibrary::of(descriptor);
    require(library.has_value());
    return *std::move(library);
  };
  static const Plugin kPlugins[] = {{made(mqtt_plugin_descriptor()), try_mqtt},
                                    {made(serial_plugin_descriptor()), try_serial},
                                    {made(udp_plugin_descriptor()), try_udp}};
  for (const auto& plugin : kPlugins) {
    if (plugin.library.name() == name) return plugin;
  }
  return kPlugins[name.empty() ? 0 : static_cast<unsigned char>(name.front()) % 3];
}

config::Environment nothing_around() {
  config::Environment nothing;
  nothing.env = [](std::string_view) { return std::nullopt; };
  nothing.read_file = [](const std::filesystem::path&) {
    return Result<std::string>(Error{ErrorKind::kDenied, "no", {}});
  };
  nothing.find_files = [](const std::filesystem::path&) {
    return std::vector<std::filesystem::path>();
  };
  return nothing;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), input.size());
  const auto& plugin = plugin_of(input.substr(0, line));
  const auto loaded = config::load_text("version: 1\nagent: {id: f}\ninputs: {i: {plugin: p, " +
                                            input.substr(std::min(line + 1, size)) + "}}",
                                        "fuzz.yaml", "/", nothing_around());
  if (loaded.config.inputs.size() != 1) return 0;
  std::vector<config::Problem> problems;
  const auto values = config::check_options(loaded.config.inputs[0].options,
                                            plugin.library.options(), "p", problems);
  for (const auto& problem : problems) {
    if (!problem.warning) return 0;  // then no instance is made
  }
  const auto native = host::native_values(values);
  try {
    plugin.attempt(sdk::Options(std::span(native)));
  } catch (const std::invalid_argument& refusal) {
    require(*refusal.what() != '\0');
  }
  return 0;
}
