#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "agent/route/router.h"
#include "agent/route/table_template.h"

namespace penstock::route {
namespace {

Router compiled(std::vector<RouteSpec> routes) {
  auto router =
      Router::compile(std::move(routes), {{"site", "ber1"}, {"schema", "main.iot"}}, "gw1");
  EXPECT_TRUE(router) << (router ? "" : router.error().what);
  return *std::move(router);
}

RouteSpec spec(std::string name, std::string topic, std::string input, std::string table) {
  return {std::move(name), std::move(topic), std::move(input), std::move(table), 256};
}

// Routes one record through one route and returns the table, or the refusal.
std::string table_of(const std::string& pattern, const std::string& table,
                     const RecordView& record) {
  const auto decision = compiled({spec("r", pattern, "", table)}).route(record);
  EXPECT_EQ(decision.route == nullptr, !decision.refusal.empty());
  EXPECT_EQ(decision.table.empty(), !decision.refusal.empty());
  return decision.route ? decision.table : decision.refusal;
}

RecordView record(std::string_view source, std::string_view topic) {
  RecordView view;
  view.source = source;
  view.topic = topic;
  return view;
}

TEST(Router, TheFirstMatchingRouteDecides) {
  const Router router = compiled({
      spec("alarm", "plant/+/alarm", "", "a.b.alarm"),
      spec("plc", "plant/#", "plc", "a.b.plc"),
      spec("vib", "", "vib", "a.b.vib"),
      spec("plant", "plant/#", "", "a.b.plant"),
  });
  const auto route_of = [&](std::string_view source, std::string_view topic) {
    const auto decision = router.route(record(source, topic));
    return decision.route ? decision.route->name + "@" + std::to_string(decision.index) : "none";
  };
  EXPECT_EQ(route_of("plc", "plant/1/alarm"), "alarm@0");
  EXPECT_EQ(route_of("vib", "plant/1/alarm"), "alarm@0");
  EXPECT_EQ(route_of("plc", "plant/1/x"), "plc@1");
  EXPECT_EQ(route_of("vib", "plant/1/x"), "vib@2");
  EXPECT_EQ(route_of("vib", ""), "vib@2");
  EXPECT_EQ(route_of("vib", "$SYS/x"), "vib@2");  // no pattern: really any topic
  EXPECT_EQ(route_of("other", "plant/1/x"), "plant@3");
  EXPECT_EQ(route_of("plc", "office"), "none");
  EXPECT_EQ(route_of("PLC", "office"), "none");
}

TEST(Router, ARecordWithoutRouteIsRefusedWithAReason) {
  const auto decision = compiled({}).route(record("plc", "a"));
  EXPECT_EQ(decision.route, nullptr);
  EXPECT_TRUE(decision.table.empty());
  EXPECT_EQ(decision.refusal, "no route matches this topic and input");
}

TEST(Router, ExpandsWhatATableMayRefer) {
  const RecordView plain = record("plc", "plant/l1/telemetry/x");
  EXPECT_EQ(table_of("", "main.iot.t", plain), "main.iot.t");
  EXPECT_EQ(table_of("plant/{line}/#", "main.iot.t_${topic.line}", plain), "main.iot.t_l1");
  EXPECT_EQ(table_of("#", "${topic[0]}.${topic[1]}.${topic[3]}", plain), "plant.l1.x");
  EXPECT_EQ(table_of("", "main.iot.${source}_${topic[2]}", plain), "main.iot.plc_telemetry");
  EXPECT_EQ(table_of("", "${label.schema}.${label.site}", plain), "main.iot.ber1");
  EXPECT_EQ(table_of("", "main.iot.${agent.id}_${topic[1]}", plain), "main.iot.gw1_l1");

  const std::vector<AttributeView> attributes = {{"kind", "temp"}, {"kind", "other"}};
  RecordView attributed = plain;
  attributed.attributes = attributes;
  EXPECT_EQ(table_of("", "main.iot.${attr.kind}", attributed), "main.iot.temp");
}

TEST(Router, ValuesATableCannotHoldAreRefusedAndNeverRewritten) {
  const std::string table = "main.iot.t_${topic[1]}";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plant/l-1", "${topic[1]} is 'l-1'"},
      {"plant/a.b", "${topic[1]} is 'a.b'"},
      {"plant/a b", "${topic[1]} is 'a b'"},
      {"plant/l\xc3\xa4", "${topic[1]} is 'l\xc3\xa4'"},
      {"plant/a`;--", "${topic[1]} is 'a`;--'"},
      {"plant/a\nb", "${topic[1]} is 'a\\x0ab'"},
      {"plant/", "${topic[1]} is empty"},
      {"plant", "${topic[1]} does not exist"},
      {"plant/" + std::string(254, 'x'), "illegal table name 'main.iot.t_xx"},
  };
  for (const auto& [topic, want] : cases) {
    const std::string got = table_of("", table, record("plc", topic));
    EXPECT_NE(got.find(want), std::string::npos) << topic << ": " << got;
    EXPECT_NE(got.find("route 'r'"), std::string::npos) << got;
    EXPECT_NE(got.find("illegal table name"), std::string::npos) << got;
  }
  const std::string longest(253, 'x');
  EXPECT_EQ(table_of("", table, record("plc", "plant/" + longest)), "main.iot.t_" + longest);
  EXPECT_NE(table_of("", "main.iot.${attr.k}", record("", "")).find("${attr.k} does not exist"),
            std::string::npos);
  EXPECT_NE(table_of("", "main.iot.${source}", record("", "")).find("${source} is empty"),
            std::string::npos);
}

TEST(Router, AMatchWithAnIllegalTableDoesNotFallThrough) {
  const Router router = compiled({
      spec("lines", "plant/{line}", "", "main.iot.${topic.line}"),
      spec("rest", "#", "", "main.iot.rest"),
  });
  const auto decision = router.route(record("plc", "plant/a-b"));
  EXPECT_EQ(decision.route, nullptr);
  EXPECT_NE(decision.refusal.find("route 'lines'"), std::string::npos);
}

TEST(Router, RefusesAtOnceWhatCouldNeverWork) {
  const std::vector<std::tuple<std::string, std::string, std::string_view>> cases = {
      {"a/#/b", "a.b.c", "`#` must be the whole last level"},
      {"", "a.b", "need catalog.schema.table"},
      {"", "a.b.c.d", "need catalog.schema.table"},
      {"", "", "need catalog.schema.table"},
      {"", "a..c", "need catalog.schema.table"},
      {"", ".b.c", "need catalog.schema.table"},
      {"", "a.b.", "need catalog.schema.table"},
      {"", "a.b.c-d", "illegal table name 'a.b.c-d'"},
      {"", "a.b.`c`", "illegal table name"},
      {"#", "a.b-${topic[0]}.c", "illegal table name 'a.b-'"},
      {"#", "a.${topic[0]}", "need catalog.schema.table"},
      {"#", "a.b.${topic", "not closed"},
      {"#", "a.b.${topic}", "name one level"},
      {"#", "a.b.${topic[0][1]}", "name one level"},
      {"#", "a.b.${topic.line}", "no level {line}"},
      {"", "a.b.${topic.line}", "no level {line}"},
      {"a/{x}", "a.b.${topic.y}", "no level {y}"},
      {"a/{x}", "a.b.${topic[2]}", "have only 2 levels"},
      {"", "a.b.${label.nope}", "agent.labels has no `nope`"},
      {"", "a.b.${payload.x}", "cannot be part of a table name"},
      {"", "a.b.${meta.seq}", "cannot be part of a table name"},
      {"", "a.b.${agent.name}", "cannot be part of a table name"},
      {"", "a.b.${source.x}", "cannot be part of a table name"},
      {"", "a.b.${attr}", "cannot be part of a table name"},
      {"", "a.b.${env:X}", "when the configuration is loaded"},
  };
  for (const auto& [topic, table, want] : cases) {
    const auto router = Router::compile({spec("r7", topic, "", table)}, {}, "gw");
    ASSERT_FALSE(router) << topic << " " << table;
    EXPECT_EQ(router.error().kind, ErrorKind::kRejected);
    EXPECT_NE(router.error().what.find(want), std::string::npos) << router.error().what;
    EXPECT_NE(router.error().what.find("route 'r7'"), std::string::npos) << router.error().what;
  }
  const auto dotted_agent = Router::compile({spec("r", "", "", "a.b.${agent.id}")}, {}, "gw-1");
  ASSERT_FALSE(dotted_agent);
  EXPECT_NE(dotted_agent.error().what.find("gw-1"), std::string::npos);
}

TEST(Router, ANameIsUsedOnce) {
  const auto router =
      Router::compile({spec("a", "", "", "a.b.c"), spec("a", "x", "", "a.b.d")}, {}, "gw");
  ASSERT_FALSE(router);
  EXPECT_NE(router.error().what.find("route 'a': the name is used twice"), std::string::npos);
}

TEST(Router, ADecisionOutlivesTheRouterItCameFromWhileACopyLives) {
  Router copy = compiled({});
  Router::Decision decision;
  {
    const Router first = compiled({spec("a-rather-long-route-name", "", "", "a.b.c")});
    decision = first.route(record("", ""));
    copy = first;
  }
  ASSERT_NE(decision.route, nullptr);
  EXPECT_EQ(decision.route->name, "a-rather-long-route-name");
}

TEST(Router, IsUsedByManyThreadsAtOnce) {
  const Router router = compiled({spec("r", "p/{l}/#", "", "main.iot.t_${topic.l}")});
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      const std::string topic = "p/line" + std::to_string(t) + "/x";
      const std::string want = "main.iot.t_line" + std::to_string(t);
      for (int i = 0; i < 2000; ++i) wrong[t] += router.route(record("s", topic)).table != want;
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : wrong) EXPECT_EQ(count, 0);
}

TEST(LegalTable, HasThreeNonEmptyPartsOfIdentifierCharacters) {
  EXPECT_TRUE(is_legal_table("a.b.c"));
  EXPECT_TRUE(is_legal_table("A_1.b2.9"));
  EXPECT_TRUE(is_legal_table("a.b." + std::string(255, 'c')));
  EXPECT_FALSE(is_legal_table("a.b." + std::string(256, 'c')));
  for (const auto* bad :
       {"", ".", "..", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c.", "a.b. c"}) {
    EXPECT_FALSE(is_legal_table(bad)) << bad;
  }
}

}  // namespace
}  // namespace penstock::route
