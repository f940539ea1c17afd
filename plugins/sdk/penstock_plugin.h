/* Penstock input plugin ABI, version 1. Frozen: within major version 1 no field, number or promise
 * of this header changes; a minor version only adds fields at the end of structs and functions at
 * the end of the descriptor. plugins/README.md shows how to write an input with it.
 *
 * A plugin is a shared object that exports one symbol, `penstock_plugin_descriptor`, and includes
 * nothing of the agent but this header (or its C++ face, penstock_plugin.hpp). Plain C: no
 * exceptions, no ownership passes the border unless a comment says so.
 *
 * Versions. Every struct that may grow starts with its size, as whoever filled it in knows it; an
 * array of them has its elements that far apart, and nobody reads or writes beyond it. The host
 * refuses another major version and says so. It takes any minor version: from an older plugin it
 * reads the fields that are there, in a newer one it passes over those it does not know. A plugin
 * that uses something newer than minor version 0 looks at penstock_host.abi_minor first.
 *
 * Promise to the source. `emit` hands records over; it returns before they are safe. A record is
 * safe (committed and fsynced) only once `on_durable(up_to)` with up_to >= its sequence number has
 * been called. A plugin whose source can be held (an MQTT broker) must not acknowledge before that.
 *
 * Threads. The plugin runs its own threads and may call any host function from any of them, also at
 * the same time, from `start` until `destroy` returns (log and set_state from `create` on). The
 * host calls the plugin functions of one instance one at a time, never under a lock that `emit`
 * takes, and never after `destroy`; only `stats` may come from another thread at any time between.
 * A function that waits (for the device, for a lock held across `emit`) keeps this instance from
 * everything else, and no other.
 *
 * Life of an instance: create -> start -> (on_durable | on_room)* -> quiesce -> on_durable* -> stop
 * -> destroy. start may be skipped when the agent stops early; destroy is always called once per
 * successful create.
 */
#ifndef PENSTOCK_PLUGIN_H
#define PENSTOCK_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PENSTOCK_ABI_MAJOR 1u
#define PENSTOCK_ABI_MINOR 3u
#define PENSTOCK_DESCRIPTOR_SYMBOL "penstock_plugin_descriptor"

/* Bytes with a length; not NUL-terminated. Borrowed for the duration of the call unless said
 * otherwise. */
typedef struct penstock_str {
  const char* data;
  size_t size;
} penstock_str;

typedef struct penstock_attribute {
  penstock_str key;
  penstock_str value;
} penstock_attribute;

typedef struct penstock_record {
  uint32_t
      struct_size; /* sizeof(penstock_record); also the distance between records of one emit call */
  uint32_t reserved;
  penstock_str topic;   /* UTF-8; empty: the host uses the input's configured `topic` */
  penstock_str payload; /* any bytes */
  const penstock_attribute* attributes;
  size_t attribute_count;
  int64_t received_at_us; /* microseconds since 1970 UTC; 0: the host stamps the record */
} penstock_record;

typedef enum penstock_emit_status {
  PENSTOCK_EMIT_OK = 0, /* all records taken; *last_seq is the last one's sequence number */
  PENSTOCK_EMIT_FULL =
      1, /* none taken; on_room will be called when a retry makes sense, not before */
  PENSTOCK_EMIT_TOO_BIG =
      2, /* a record can never fit: its head was quarantined; *last_seq covers the call */
  PENSTOCK_EMIT_CLOSED = 3 /* none taken; the agent is stopping, or the call broke this contract:
                              stop reading */
} penstock_emit_status;

typedef enum penstock_log_level {
  PENSTOCK_LOG_DEBUG = 0,
  PENSTOCK_LOG_INFO = 1,
  PENSTOCK_LOG_WARNING = 2,
  PENSTOCK_LOG_ERROR = 3
} penstock_log_level;

typedef enum penstock_state {
  PENSTOCK_STATE_STARTING = 0,
  PENSTOCK_STATE_UP = 1,       /* connected, open, bound: collecting */
  PENSTOCK_STATE_DEGRADED = 2, /* collecting, but a person should know (text says what) */
  PENSTOCK_STATE_DOWN = 3,     /* not collecting now; the plugin keeps trying */
  PENSTOCK_STATE_STOPPED = 4   /* stop finished; destroy may follow at once */
} penstock_state;

/* What the host offers to one instance. Valid from create until destroy returns. All functions are
 * thread-safe. */
typedef struct penstock_host {
  uint32_t struct_size;
  uint32_t abi_minor;
  void* context;            /* first argument of every function below */
  penstock_str instance_id; /* key of the input in the configuration */
  penstock_str agent_id;
  uint64_t max_emit_bytes; /* a call of up to this many payload + topic + attribute bytes is always
                              taken when the queue is empty and no table is over its share */

  /* All or nothing. On OK every record of the call got a sequence number, per instance contiguous
   * from 1 in each run of the agent, but those that the configuration says to drop; *last_seq is
   * that of the last record that has one, of this call or before it (0: none yet). Does not block
   * on I/O. `last_seq` must not be null. */
  penstock_emit_status (*emit)(void* context, const penstock_record* records, size_t count,
                               uint64_t* last_seq);

  /* The source is stalled on acknowledgements: commit early. Rate-limited by the host. */
  void (*flush_hint)(void* context);

  /* One line of text. Not for events that come once per record. */
  void (*log)(void* context, penstock_log_level level, penstock_str text);

  /* Reports a change of state; repeated equal reports are ignored. The host logs each change once.
   */
  void (*set_state)(void* context, penstock_state state, penstock_str text);

  /* From here on since 1.1: use them only when abi_minor is at least 1. */

  /* For what the plugin received but cannot hand over as it came: cut to its head because it is too
   * big, or not to be decoded. As an emit of this one record, with the same answers, number and
   * on_durable; but the record goes to the quarantine, never to a table. `reason`: a sentence that
   * names sizes and limits, for the person who finds it there. */
  penstock_emit_status (*set_aside)(void* context, const penstock_record* record,
                                    penstock_str reason, uint64_t* last_seq);

  /* Keeps up to 64 KiB of this instance's own over restarts, in place of what was kept before.
   * Returns 0 once they survive a power cut; else what was kept before still is. Waits for the
   * disk: only from threads of the plugin. Not for what changes with every record. */
  int (*remember)(void* context, penstock_str bytes);

  /* Copies the first `capacity` bytes of what is kept and returns how many there are; 0: none. */
  size_t (*recall)(void* context, char* bytes, size_t capacity);

  /* From here on since 1.3: use it only when abi_minor is at least 3. */

  /* Reads an option of type SECRET (its name as in penstock_value) again from where the
   * configuration says it is: for when the source refuses the one that create was given. Copies the
   * first `capacity` bytes and returns how many there are; 0: it cannot be read now, or the
   * configuration has none. Waits for the disk: only from threads of the plugin. */
  size_t (*secret)(void* context, penstock_str name, char* bytes, size_t capacity);
} penstock_host;

typedef enum penstock_option_type {
  PENSTOCK_OPTION_STRING = 0,
  PENSTOCK_OPTION_BOOL = 1, /* integer 0 or 1 */
  PENSTOCK_OPTION_INTEGER = 2,
  PENSTOCK_OPTION_SIZE = 3,     /* integer bytes; written `64KiB` */
  PENSTOCK_OPTION_DURATION = 4, /* integer milliseconds; written `5s` */
  PENSTOCK_OPTION_ENUM = 5,     /* one word of `choices` */
  PENSTOCK_OPTION_SECRET = 6,   /* a string that is never printed */
  PENSTOCK_OPTION_PATH = 7,
  PENSTOCK_OPTION_STRING_LIST = 8 /* a YAML list; arrives as values `name[0]`, `name[1]`, ... */
} penstock_option_type;

/* One row of the option table. The host checks the YAML against it before create and fills in
 * defaults, so a plugin sees only valid values. Names are paths: `line.baud` is key `baud` in map
 * `line`; `subscribe[].filter` is key `filter` in every element of the list `subscribe`. */
typedef struct penstock_option {
  uint32_t struct_size;
  uint32_t required; /* 1: absence is an error (inside a list: in every element) */
  const char* name;
  penstock_option_type type;
  const char* default_value; /* as written in YAML; NULL: no value is passed when absent */
  const char* choices;       /* for ENUM: words separated by '|'; NULL otherwise */
  int64_t min;      /* for INTEGER, SIZE, DURATION: inclusive limits in the unit of the value; */
  int64_t max;      /* min == max == 0: no limits */
  const char* help; /* one sentence */
} penstock_option;

/* A checked value; element i of an array stands i * values[0].struct_size bytes in. Name as in the
 * option table with list indexes filled in: `subscribe[0].filter`.
 */
typedef struct penstock_value {
  uint32_t struct_size;
  penstock_option_type type;
  const char* name;
  penstock_str text; /* STRING, ENUM, SECRET, PATH and elements of STRING_LIST */
  int64_t number;    /* BOOL, INTEGER, SIZE, DURATION */
} penstock_value;

typedef enum penstock_stat_kind {
  PENSTOCK_STAT_COUNTER = 0,
  PENSTOCK_STAT_GAUGE = 1
} penstock_stat_kind;

typedef struct penstock_stat {
  uint32_t struct_size; /* set by the host, also the distance between entries; leave it */
  penstock_stat_kind kind;
  const char* name; /* snake_case with unit: received_bytes; static storage */
  const char* help;
  uint64_t value;

  /* From here on since 1.2: only where struct_size says that it is there. */
  uint32_t loss; /* 1: a COUNTER of what came and was lost; the host logs it when it has grown */
  uint32_t reserved;
} penstock_stat;

typedef struct penstock_plugin {
  uint32_t struct_size; /* these three fields stand still in every version */
  uint32_t abi_major;   /* PENSTOCK_ABI_MAJOR */
  uint32_t abi_minor;   /* PENSTOCK_ABI_MINOR */
  const char* name;     /* what `plugin:` says in the configuration */
  const char* version;
  const char* summary;
  const penstock_option* options; /* static storage; elements options[0].struct_size apart */
  size_t option_count;

  /* Returns 0 and sets *instance, or writes a NUL-terminated reason to `error` and returns
   * non-zero. Does no network or device I/O. `values` are valid during the call only. */
  int (*create)(const penstock_host* host, const penstock_value* values, size_t count,
                void** instance, char* error, size_t error_size);
  /* Begins to collect and returns soon: an unreachable source is not an error but
   * PENSTOCK_STATE_DOWN. */
  int (*start)(void* instance, char* error, size_t error_size);
  /* Every record of this instance up to and including `up_to` survives a power cut. May arrive
   * before emit returned. */
  void (*on_durable)(void* instance, uint64_t up_to);
  /* emit answered FULL before; there is room again. May arrive before that emit returned, and is
   * therefore repeated until the instance emits again. */
  void (*on_room)(void* instance);
  /* Stop reading from the source. emit still works, for what was read already. */
  void (*quiesce)(void* instance);
  /* After the last on_durable: flush acknowledgements, say goodbye to the source, end all threads,
   * then report PENSTOCK_STATE_STOPPED, at once or within 3 s from another thread. No emit after
   * that. */
  void (*stop)(void* instance);
  /* Frees the instance; waits for its threads. No host call after it returns. */
  void (*destroy)(void* instance);
  /* Fills up to `capacity` entries and returns how many there are; `stats` is NULL when capacity
   * is 0. Any thread, at any time between create and destroy, also during the calls above. May be
   * NULL. */
  size_t (*stats)(void* instance, penstock_stat* stats, size_t capacity);
} penstock_plugin;

/* The one exported symbol. */
typedef const penstock_plugin* (*penstock_plugin_descriptor_fn)(void);

#ifdef __cplusplus
}
#endif

#endif /* PENSTOCK_PLUGIN_H */
