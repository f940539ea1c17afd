// C++20 face of the plugin ABI: derive from penstock::sdk::Input, end the file with
// PENSTOCK_INPUT_PLUGIN(...).
//
// Header-only. Contracts and threads are those of penstock_plugin.h. No exception leaves a plugin:
// what create or start throw becomes the error text; anything thrown from the other functions ends
// the process, on purpose, because the plugin's state is unknown then.
#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "penstock_plugin.h"

namespace penstock::sdk {

inline penstock_str str(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(penstock_str text) { return {text.data, text.size}; }

// The host functions, for one instance. A cheap copy; valid until the instance is destroyed.
class Host {
 public:
  explicit Host(const penstock_host* host) : host_(host) {}
  std::string_view instance_id() const { return view(host_->instance_id); }
  std::string_view agent_id() const { return view(host_->agent_id); }
  uint64_t max_emit_bytes() const { return host_->max_emit_bytes; }
  penstock_emit_status emit(std::span<const penstock_record> records, uint64_t& last_seq) const {
    return host_->emit(host_->context, records.data(), records.size(), &last_seq);
  }
  void flush_hint() const { host_->flush_hint(host_->context); }
  void log(penstock_log_level level, std::string_view text) const {
    host_->log(host_->context, level, str(text));
  }
  void set_state(penstock_state state, std::string_view text) const {
    host_->set_state(host_->context, state, str(text));
  }

  // The minor version 1 of the ABI: without it set_aside must not be called, remember answers false
  // and recall has nothing.
  bool has_minor_1() const { return host_->abi_minor >= 1; }
  penstock_emit_status set_aside(const penstock_record& record, std::string_view reason,
                                 uint64_t& last_seq) const {
    return host_->set_aside(host_->context, &record, str(reason), &last_seq);
  }
  bool remember(std::string_view bytes) const {
    return has_minor_1() && host_->remember(host_->context, str(bytes)) == 0;
  }
  std::string recall() const {
    std::string bytes(has_minor_1() ? host_->recall(host_->context, nullptr, 0) : 0, '\0');
    if (!bytes.empty()) {
      const size_t size = host_->recall(host_->context, bytes.data(), bytes.size());
      if (size < bytes.size()) bytes.resize(size);
    }
    return bytes;
  }

  // Needs the minor version 3 of the ABI. Empty: it cannot be read again.
  std::string secret(std::string_view option) const {
    std::string bytes(host_->abi_minor >= 3 ? 256 : 0, '\0');
    while (!bytes.empty()) {
      const size_t room = bytes.size();
      bytes.resize(host_->secret(host_->context, str(option), bytes.data(), room));
      if (bytes.size() <= room) break;
    }
    return bytes;
  }

 private:
  const penstock_host* host_;
};

namespace detail {

// How many bytes a sequence has that begins with these two; 0: none begins so.
inline size_t utf8_length(unsigned char first, unsigned char second) {
  if (first < 0x80) return 1;
  if ((second & 0xC0) != 0x80 || first < 0xC2 || first > 0xF4) return 0;
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool no_character = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  if (overlong || no_character) return 0;
  return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

}  // namespace detail

// What a topic has to be.
inline bool is_utf8(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  for (size_t i = 0; i < text.size();) {
    const size_t length = detail::utf8_length(byte(i), byte(i + 1));
    if (length == 0) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

// A record with empty attributes; the caller keeps the bytes alive until emit returns.
inline penstock_record record(std::string_view topic, std::string_view payload,
                              std::span<const penstock_attribute> attributes = {},
                              int64_t received_at_us = 0) {
  return {
      sizeof(penstock_record), 0, str(topic), str(payload), attributes.data(), attributes.size(),
      received_at_us};
}

// The checked values handed to create. Lookups by the full name; borrowed, use during create only.
class Options {
 public:
  Options(const penstock_value* values, size_t count)
      : first_(values), count_(count), stride_(count ? values->struct_size : 0) {}
  explicit Options(std::span<const penstock_value> values)
      : Options(values.data(), values.size()) {}
  const penstock_value* find(std::string_view name) const {
    for (size_t i = 0; i < count_; ++i) {
      if (name == at(i).name) return &at(i);
    }
    return nullptr;
  }
  std::string text(std::string_view name, std::string_view otherwise = "") const {
    const auto* value = find(name);
    return std::string(value ? view(value->text) : otherwise);
  }
  int64_t number(std::string_view name, int64_t otherwise = 0) const {
    const auto* value = find(name);
    return value ? value->number : otherwise;
  }
  bool flag(std::string_view name) const { return number(name) != 0; }
  // name[0], name[1], ... up to the first that is absent.
  std::vector<std::string> list(const std::string& name) const {
    std::vector<std::string> items;
    while (const auto* value = find(name + "[" + std::to_string(items.size()) + "]"))
      items.emplace_back(view(value->text));
    return items;
  }

 private:
  // The distance is the host's: its struct may be longer than the one known here.
  const penstock_value& at(size_t i) const {
    return *reinterpret_cast<const penstock_value*>(reinterpret_cast<const std::byte*>(first_) +
                                                    i * stride_);
  }
  const penstock_value* first_;
  size_t count_;
  size_t stride_;
};

struct Stat {
  const char* name;  // static storage
  const char* help;
  penstock_stat_kind kind;
  uint64_t value;
  bool loss = false;  // a counter of what came and was lost
};

class Input {
 public:
  Input() = default;
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  virtual ~Input() = default;
  virtual void start() = 0;
  virtual void on_durable(uint64_t up_to) = 0;
  virtual void on_room() = 0;
  virtual void quiesce() = 0;
  virtual void stop() = 0;
  virtual std::vector<Stat> stats() const { return {}; }
};

namespace detail {

inline void report(const std::exception& problem, char* error, size_t size) {
  if (size) std::snprintf(error, size, "%s", problem.what());
}

inline size_t fill(const std::vector<Stat>& from, penstock_stat* to, size_t capacity) {
  const size_t stride = capacity ? to->struct_size : 0;
  for (size_t i = 0; i < from.size() && i < capacity; ++i) {
    auto& entry = *reinterpret_cast<penstock_stat*>(reinterpret_cast<std::byte*>(to) + i * stride);
    entry.kind = from[i].kind;
    entry.name = from[i].name;
    entry.help = from[i].help;
    entry.value = from[i].value;
    if (stride >= offsetof(penstock_stat, reserved)) entry.loss = from[i].loss ? 1 : 0;
  }
  return from.size();
}

// The C functions for an Input class constructible from (Host, Options).
template <class T>
struct Glue {
  static int create(const penstock_host* host, const penstock_value* values, size_t count,
                    void** instance, char* error, size_t size) {
    try {
      *instance = static_cast<Input*>(new T(Host(host), Options(values, count)));
      return 0;
    } catch (const std::exception& problem) {
      report(problem, error, size);
      return 1;
    }
  }
  static int start(void* instance, char* error, size_t size) {
    try {
      of(instance)->start();
      return 0;
    } catch (const std::exception& problem) {
      report(problem, error, size);
      return 1;
    }
  }
  static void on_durable(void* instance, uint64_t up_to) noexcept {
    of(instance)->on_durable(up_to);
  }
  static void on_room(void* instance) noexcept { of(instance)->on_room(); }
  static void quiesce(void* instance) noexcept { of(instance)->quiesce(); }
  static void stop(void* instance) noexcept { of(instance)->stop(); }
  static void destroy(void* instance) noexcept { delete of(instance); }
  static size_t stats(void* instance, penstock_stat* stats, size_t capacity) noexcept {
    return fill(of(instance)->stats(), stats, capacity);
  }
  static Input* of(void* instance) { return static_cast<Input*>(instance); }

  static penstock_plugin descriptor(const char* name, const char* version, const char* summary,
                                    std::span<const penstock_option> options) {
    return {sizeof(penstock_plugin),
            PENSTOCK_ABI_MAJOR,
            PENSTOCK_ABI_MINOR,
            name,
            version,
            summary,
            options.data(),
            options.size(),
            create,
            start,
            on_durable,
            on_room,
            quiesce,
            stop,
            destroy,
            stats};
  }
};

}  // namespace detail
}  // namespace penstock::sdk

// PENSTOCK_INPUT_PLUGIN(ClassDerivedFromInput, "name", "version", "summary",
// array_of_penstock_option)
#define PENSTOCK_INPUT_PLUGIN(Class, name, version, summary, options)                    \
  extern "C" __attribute__((visibility("default"))) const penstock_plugin*               \
  penstock_plugin_descriptor() {                                                         \
    static const penstock_plugin plugin =                                                \
        penstock::sdk::detail::Glue<Class>::descriptor(name, version, summary, options); \
    return &plugin;                                                                      \
  }
