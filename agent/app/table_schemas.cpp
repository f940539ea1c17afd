#include "agent/app/table_schemas.h"

#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <utility>

#include <sys/stat.h>

#include "agent/app/destinations.h"
#include "agent/app/secret_source.h"
#include "agent/base/ownership.h"
#include "agent/base/text.h"
#include "agent/base/whole_file.h"

namespace penstock::app {
namespace {

constexpr std::chrono::minutes kFreshFor{10};
constexpr std::chrono::minutes kStaleFor{1};
constexpr Millis kPatience{30'000};  // of a person who asks

std::optional<std::string> content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// Table names are checked by the route: letters, digits, `_` and dots.
std::filesystem::path body_file(const std::filesystem::path& dir, const std::string& table) {
  return dir / (table + ".json");
}

// "OLD_ID NEW_ID" of a table that was created anew.
std::filesystem::path anew_file(const std::filesystem::path& dir, const std::string& table) {
  return dir / (table + ".anew");
}

std::string anew_text(const std::string& before, const std::string& now) {
  return "the table has been dropped and created again (its id is " + shown(now) + ", it was " +
         shown(before) +
         "); the service does not support that while it is written to: check that rows arrive, "
         "and expect rows sent before in the dropped table only";
}

std::filesystem::path schema_folder(const config::Config& config,
                                    const config::Destination& destination) {
  return config.spool.dir / "schemas" / destination.name;
}

zerobus::TableCatalog::Credentials credentials_of(const config::Destination& destination,
                                                  const config::Agent& agent) {
  zerobus::TableCatalog::Credentials credentials;
  if (destination.auth.client_id.configured()) {
    credentials.client = oauth_client(destination, agent);
  } else {
    const auto source = std::make_shared<SecretSource>(destination.auth.token, agent);
    credentials.token = [source](bool fresh) { return source->get(fresh); };
  }
  return credentials;
}

}  // namespace

Result<codec::UnityTable> kept_schema(const config::Config& config,
                                      const config::Destination& destination,
                                      const std::string& table) {
  const auto dir = schema_folder(config, destination);
  const auto kept = content_of(body_file(dir, table));
  if (!kept) {
    return Error{ErrorKind::kDenied,
                 "nothing is known of " + table + " yet; run `penstock schema fetch " + table + "`",
                 {}};
  }
  auto read = codec::parse_unity_table(*kept);
  const auto anew = content_of(anew_file(dir, table));
  if (!read || !anew) return read;
  const auto space = anew->find(' ');
  if (space != anew->npos && anew->substr(space + 1) == read->table_id)
    read->warnings.push_back(anew_text(anew->substr(0, space), read->table_id));
  return read;
}

Result<std::shared_ptr<TableSchemas>> TableSchemas::start(const config::Config& config,
                                                          const config::Destination& destination,
                                                          const std::string& user_agent, Log log,
                                                          Limits limits) {
  auto http = workspace_options(destination, user_agent);
  if (!http) return std::move(http).error();
  auto catalog = zerobus::TableCatalog::start(destination.workspace_url, *std::move(http),
                                              credentials_of(destination, config.agent));
  if (!catalog) return std::move(catalog).error();
  std::shared_ptr<TableSchemas> schemas(new TableSchemas(
      config.spool.dir, schema_folder(config, destination), std::move(log), limits));
  schemas->catalog_ = *std::move(catalog);
  return schemas;
}

void TableSchemas::get(const std::string& table, bool fresh, Got done) {
  std::optional<codec::UnityTable> usable;
  bool known = false;
  {
    const std::lock_guard lock(mutex_);
    if (known_.contains(table)) read_again(table);
    const auto found = known_.find(table);
    known = found != known_.end();
    if (known && !fresh && read_clock().mono < found->second.usable_until)
      usable = found->second.table;
  }
  if (usable) return done(Described{*std::move(usable), false, {}});
  std::error_code ignored;
  known = known || std::filesystem::exists(body_file(dir_, table), ignored);
  ask(table, known ? limits_.known : limits_.unknown,
      [this, table, done = std::move(done)](Result<codec::UnityTable> asked) {
        if (asked) return done(Described{*std::move(asked), true, {}});
        auto last = last_known(table, asked.error());
        if (!last) return done(std::move(last).error());
        done(Described{*std::move(last), false, asked.error().what});
      });
}

void TableSchemas::ask(const std::string& table, Done done) {
  ask(table, kPatience, std::move(done));
}

void TableSchemas::ask(const std::string& table, Millis limit, Done done) {
  catalog_->get(table, limit, [this, table, done = std::move(done)](Result<std::string> body) {
    if (!body) return done(std::move(body).error());
    auto learned = learn(table, *body);
    done(learned ? std::move(learned) : std::move(learned).error().in("table " + table));
  });
}

Result<codec::UnityTable> TableSchemas::learn(const std::string& table, const std::string& body) {
  auto read = codec::parse_unity_table(body);
  if (!read) return read;
  const size_t hash = std::hash<std::string>()(body);
  const std::lock_guard lock(mutex_);
  const auto known = known_.find(table);
  const bool same = known != known_.end() && known->second.body_hash == hash;
  if (!same || known->second.file != mark_of(table)) keep(table, *read, body);
  known_[table] = {*read, hash, mark_of(table), read_clock().mono + kFreshFor, {}};
  return read;
}

// Says what there is to say of a table that is new to us, or that has changed.
void TableSchemas::keep(const std::string& table, const codec::UnityTable& read,
                        const std::string& body) {
  for (const auto& warning : read.warnings) log_.warning("table {}: {}", table, warning);
  const auto kept = content_of(body_file(dir_, table));
  if (kept == body) return;
  const auto last = kept ? codec::parse_unity_table(*kept) : read;
  const auto before = last ? last->table_id : std::string();
  if (!before.empty() && !read.table_id.empty() && before != read.table_id) {
    log_.warning("table {}: {}", table, anew_text(before, read.table_id));
    write(anew_file(dir_, table), before + " " + read.table_id);
  }
  write(body_file(dir_, table), body);
}

// A start after a power cut reads it.
void TableSchemas::write(const std::filesystem::path& file, const std::string& text) {
  if (auto written = write_as_owner(file, text); !written)
    log_.warning("what is known of a table cannot be kept: {}", written.error().what);
}

// Root may be asking (`penstock schema fetch`), for an agent that runs as another user.
Result<void> TableSchemas::write_as_owner(const std::filesystem::path& file,
                                          const std::string& text) {
  std::error_code error;
  if (!std::filesystem::is_directory(spool_, error))
    return Error{ErrorKind::kDenied, spool_.string() + " is not there yet", {}};
  for (const auto& folder : {dir_.parent_path(), dir_}) {
    if (std::filesystem::create_directory(folder, spool_, error)) give_to_owner_of(spool_, folder);
  }
  if (auto written = write_whole_file(file, text, 0640); !written) return written;
  if (give_to_owner_of(spool_, file)) return {};
  return Error{ErrorKind::kDenied, file.string() + " cannot be given to the agent's user", {}};
}

TableSchemas::FileMark TableSchemas::mark_of(const std::string& table) const {
  struct stat info {};
  if (::stat(body_file(dir_, table).c_str(), &info) != 0) return {};
  return {info.st_ino, int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

// What `penstock schema fetch` has fetched meanwhile counts. When the workspace was asked last by
// this process does not change with it.
void TableSchemas::read_again(const std::string& table) {
  const auto known = known_.find(table);
  const auto mark = mark_of(table);
  if (mark == (known == known_.end() ? FileMark{} : known->second.file)) return;
  const auto kept = content_of(body_file(dir_, table));
  auto read = kept ? codec::parse_unity_table(*kept) : Error{ErrorKind::kDenied, "none", {}};
  if (!read) return;
  if (known != known_.end())
    log_.info("table {}: it has been fetched by another process, and that counts", table);
  auto& entry = known_[table];
  entry.table = *std::move(read);
  entry.body_hash = std::hash<std::string>()(*kept);
  entry.file = mark;
}

Result<codec::UnityTable> TableSchemas::last_known(const std::string& table, const Error& why) {
  const std::lock_guard lock(mutex_);
  read_again(table);
  const auto known = known_.find(table);
  if (known == known_.end()) return why;
  known->second.usable_until = read_clock().mono + kStaleFor;
  if (std::exchange(known->second.said_stale, why.kind) != why.kind)
    log_.warning("{}; going on with the schema known last", why.what);
  return known->second.table;
}

}  // namespace penstock::app
