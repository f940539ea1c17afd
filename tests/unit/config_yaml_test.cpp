#include <random>

#include <gtest/gtest.h>

#include "agent/config/yaml_tree.h"
#include "tests/unit/config_test_support.h"

namespace penstock::config {
namespace {

std::vector<std::string> problems_of(std::string_view text, const YamlLimits& limits = {}) {
  std::vector<Problem> problems;
  (void)parse_yaml(text, "f", problems, limits);
  return texts(problems);
}

Node tree_of(std::string_view text) {
  std::vector<Problem> problems;
  auto node = parse_yaml(text, "f", problems);
  EXPECT_TRUE(node && problems.empty()) << text << (problems.empty() ? "" : to_string(problems[0]));
  return node.value_or(Node{});
}

std::string place(const Node& node) { return to_string(node.at); }

TEST(ConfigYaml, EveryValueKnowsItsPlaceAndForm) {
  const Node root = tree_of(
      "a: on\n"
      "b: {c: \"on\", d: [1, é, x]}\n"
      "e: |\n  block\n"
      "f: null\n"
      "g:\n"
      "h: ~\n");
  EXPECT_EQ(place(*root.find("a")), "f:1:4");
  EXPECT_FALSE(root.find("a")->quoted);
  EXPECT_EQ(root.find("a")->text, "on");
  const Node& b = *root.find("b");
  EXPECT_EQ(to_string(b.entries[1].at), "f:2:14");
  EXPECT_TRUE(b.find("c")->quoted);
  EXPECT_EQ(place(b.find("d")->items[2]), "f:2:25") << "columns count bytes";
  EXPECT_TRUE(root.find("e")->quoted);
  EXPECT_EQ(root.find("e")->text, "block\n");
  EXPECT_EQ(root.find("f")->text, "null");
  EXPECT_EQ(root.find("g")->text, "");
  EXPECT_EQ(place(*root.find("g")), "f:6:1") << "an empty value is where its key is";
  EXPECT_EQ(root.find("h")->text, "~");
}

TEST(ConfigYaml, AByteOrderMarkAndCrlfMoveNothing) {
  const Node root = tree_of(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: null\r\n");
  EXPECT_EQ(place(*root.find("a")), "f:1:4");
  EXPECT_EQ(place(*root.find("b")), "f:2:4");
  EXPECT_EQ(root.find("b")->text, "null");
}

TEST(ConfigYaml, AnEmptyTextIsNothing) {
  EXPECT_TRUE(tree_of("").is_null());
  EXPECT_TRUE(tree_of("# only a comment\n").is_null());
}

TEST(ConfigYaml, AliasesStandForWhatTheyName) {
  const Node root = tree_of("a: &x {k: [1, 2]}\nb: *x\n");
  EXPECT_EQ(root.find("b")->find("k")->items.at(1).text, "2");
}

struct Row {
  std::string_view text;
  std::vector<std::string> expected;
};

TEST(ConfigYaml, WhatIsNoGoodIsNamedWithItsPlace) {
  const std::string look = " (look at indentation, colons and quotes here and in the line above)";
  const std::string braces = " (inside { } and [ ] quote text that holds braces: \"${...}\")";
  for (const auto& [text, expected] : std::vector<Row>{
           {"a: 1\na: 2\n",
            {"f:2:1: error: the key `a` stands twice in the same map (first at f:1:1; remove "
             "one)"}},
           {"x: {k: 1, b: 2, k: 3}\n",
            {"f:1:17: error: the key `k` stands twice in the same map (first at f:1:5; remove "
             "one)"}},
           {"a: 1\n b: 2\n", {"f:2:3: error: not valid YAML: illegal map value" + look}},
           {"a: {b: ${env:X}}\n",
            {"f:1:9: error: not valid YAML: end of map flow not found" + braces}},
           {"m: {t: plant/{line}/x}\n",
            {"f:1:14: error: not valid YAML: end of map flow not found" + braces}},
           {"b: 2\n\tc: 3\n",
            {"f:2:1: error: not valid YAML: illegal tab when looking for indentation (indent with "
             "spaces, not tabs)"}},
           {"a: [1\nb: 2\n",
            {"f:2:2: error: not valid YAML: end of sequence flow not found" + look}},
           {"a: *x\n",
            {"f:1:4: error: not valid YAML: the referenced anchor is not defined" + look}},
           {"a: \"x\nb: 1\n",
            {"f:1:4: error: the quoted text is not closed (end it with the same quote)"}},
           {"a: 'it''s\n",
            {"f:1:4: error: the quoted text is not closed (end it with the same quote)"}},
           {"a: 1\n---\nb: 2\n",
            {"f:2:1: error: a second YAML document (one file holds one document)"}},
           {"a: !!int 3\n",
            {"f:1:4: error: YAML tags such as `tag:yaml.org,2002:int` are not understood (remove "
             "the "
             "tag; quote text)"}},
           {"a: &x {b: *x}\n", {"f:1:11: error: an alias stands inside of what it stands for"}},
           {"[a]: 1\nb: 2\n",
            {"f:1:1: error: a key has to be a single word (quote text that holds { } [ ])"}},
           {"a: &x {b: 1}\nc: {<<: *x}\n",
            {"f:2:5: error: merge keys (<<) are not understood (write the keys out)"}},
           {"a: \x01\n",
            {"f:1:4: error: a byte that is not text (the file has to be UTF-8 without control "
             "bytes)"}},
           {std::string_view("a: b\nc: \0\n", 10),
            {"f:2:4: error: a byte that is not text (the file has to be UTF-8 without control "
             "bytes)"}},
           {"a: \xff\xfe\n",
            {"f:1:4: error: a byte that is not text (the file has to be UTF-8 without control "
             "bytes)"}},
       }) {
    EXPECT_EQ(problems_of(text), expected) << text;
  }
}

TEST(ConfigYaml, ADuplicateLeavesTheFirstAndTheRest) {
  std::vector<Problem> problems;
  const auto root = parse_yaml("a: 1\na: {x: 2}\nb: 3\n", "f", problems);
  ASSERT_TRUE(root);
  EXPECT_EQ(root->find("a")->text, "1");
  EXPECT_EQ(root->find("b")->text, "3");
}

TEST(ConfigYaml, DepthSizeAndCountAreBounded) {
  EXPECT_EQ(problems_of(std::string(100'000, '[')).size(), 1u);
  EXPECT_EQ(problems_of("a: " + std::string(33, '[') + std::string(33, ']')),
            std::vector<std::string>{"f:1:35: error: nested more than 32 deep"});
  std::string deep;
  for (int i = 0; i < 5'000; ++i) deep += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_EQ(problems_of(deep.substr(0, 900'000)).size(), 1u);
  EXPECT_EQ(problems_of("abcdef", {.max_bytes = 5, .max_nodes = 9, .max_depth = 9}),
            std::vector<std::string>{"f: error: larger than 5 bytes"});
  EXPECT_EQ(problems_of("[1, 2, 3]", {.max_bytes = 99, .max_nodes = 3, .max_depth = 9}),
            std::vector<std::string>{"f:1:8: error: more than 3 values in one file"});
}

TEST(ConfigYaml, AnAliasBombDoesNotGoOff) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) bomb += (k ? ", " : "") + last;
    bomb += "]\n";
  }
  const auto problems = problems_of(bomb);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("more than 50000 values"), std::string::npos) << problems[0];
}

// Not a proof, but it finds what hand-written tables do not think of.
TEST(ConfigYaml, DamagedTextNeverCrashes) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string good =
      "version: 1\nagent: {id: gw, labels: {a: \"b\"}}\ninclude: [x]\n"
      "destinations:\n  d: {endpoint: 'http://[::1]:80', auth: {token: \"${env:T}\"}}\n"
      "inputs:\n  i: &i {plugin: mqtt, list: [a, {b: ~}]}\n  j: *i\n"
      "routes:\n  - {name: r, match: {topic: \"a/{b}/#\"}, table: \"a.b.${topic.b}\"}\n";
  const std::string_view spice = "{}[]:,&*!|>'\"%@`#-?\n \t$${.x0\xC3\xA4";
  const FakeMachine machine;
  for (int round = 0; round < 2'000; ++round) {
    std::string text = good;
    for (int edit = 0; edit < 1 + round % 4; ++edit) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = spice[random() % spice.size()];
          break;
        case 1:
          text.insert(at, 1, spice[random() % spice.size()]);
          break;
        default:
          text.erase(at, random() % 8);
      }
      if (text.empty()) text = "x";
    }
    const auto loaded = machine.load(text);
    for (const auto& problem : loaded.problems) EXPECT_FALSE(problem.what.empty()) << text;
  }
}

}  // namespace
}  // namespace penstock::config
