// A plugin in plain C style whose structs end where version 1.0 lets them end: no stats, no help,
// no time of a record. Emits three records from start, whose attributes are the first one or two of
// one array, and breaks the contract if told.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "plugins/sdk/penstock_plugin.h"

namespace {

constexpr size_t kRecordSize = offsetof(penstock_record, received_at_us);
constexpr size_t kOptionSize = offsetof(penstock_option, help);
constexpr size_t kPluginSize = offsetof(penstock_plugin, stats);

// Beyond the end that a struct says it has lies rubbish: nobody may look there.
alignas(penstock_option) unsigned char options[2 * kOptionSize];
alignas(penstock_plugin) unsigned char plugin[sizeof(penstock_plugin)];

struct Instance {
  const penstock_host* host;
  bool misuse;
};

int create(const penstock_host* host, const penstock_value* values, size_t count, void** instance,
           char*, size_t) {
  auto* made = static_cast<Instance*>(std::malloc(sizeof(Instance)));
  *made = {host, false};
  for (size_t i = 0; i < count; ++i) {
    if (std::strcmp(values[i].name, "misuse") == 0) made->misuse = values[i].number != 0;
  }
  *instance = made;
  return 0;
}

int start(void* instance, char*, size_t) {
  const auto& self = *static_cast<Instance*>(instance);
  alignas(penstock_record) unsigned char records[3 * kRecordSize];
  const penstock_attribute attributes[] = {{{"k", 1}, {"1", 1}}, {{"m", 1}, {"2", 1}}};
  for (size_t i = 0; i < 3; ++i) {
    penstock_record record{};
    record.struct_size = self.misuse ? 8 : kRecordSize;
    record.topic = {"lean", 4};
    record.payload = {&"abc"[i], 1};
    record.attributes = attributes;
    record.attribute_count = i < 2 ? 1 : 2;
    std::memcpy(records + i * kRecordSize, &record, kRecordSize);
  }
  uint64_t seq = 0;
  self.host->set_state(self.host->context, PENSTOCK_STATE_UP, {"lean", 4});
  self.host->emit(self.host->context, reinterpret_cast<const penstock_record*>(records), 3, &seq);
  return 0;
}

void ignore(void*) {}
void stop(void* instance) {
  const auto& host = *static_cast<Instance*>(instance)->host;
  host.set_state(host.context, PENSTOCK_STATE_STOPPED, {nullptr, 0});
}

void write_option(size_t i, const char* name, penstock_option_type type, const char* standard) {
  penstock_option option{};
  option.struct_size = kOptionSize;
  option.name = name;
  option.type = type;
  option.default_value = standard;
  std::memcpy(options + i * kOptionSize, &option, kOptionSize);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const penstock_plugin*
penstock_plugin_descriptor() {
  write_option(0, "misuse", PENSTOCK_OPTION_BOOL, "false");
  write_option(1, "size", PENSTOCK_OPTION_SIZE, "4KiB");
  penstock_plugin filled{};
  filled.struct_size = kPluginSize;
  filled.abi_major = 1;
  filled.name = "lean";
  filled.version = "1";
  filled.options = reinterpret_cast<const penstock_option*>(options);
  filled.option_count = 2;
  filled.create = create;
  filled.start = start;
  filled.on_durable = [](void*, uint64_t) {};
  filled.on_room = filled.quiesce = ignore;
  filled.stop = stop;
  filled.destroy = [](void* instance) { std::free(instance); };
  std::memset(plugin, 0x5A, sizeof plugin);
  std::memcpy(plugin, &filled, kPluginSize);
  return reinterpret_cast<const penstock_plugin*>(plugin);
}
