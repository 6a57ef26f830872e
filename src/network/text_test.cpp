// SPDX-License-Identifier: Apache-2.0
// The cases in tests/network/*.txt. A case is a line "=== <kind>: <name>" and the text of a network:
//   ok        parses, verifies, prints as it stands, and every layer's inferred dims are the written ones
//   refined   as ok, but some dims are written in another form than the inferred one
//   error     does not parse; the first line after the head is part of the message
//   broken    parses, but does not verify; the first line after the head is part of the message
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torchtrt/base/error.h>
#include <torchtrt/network/network.h>

#include "network/infer.h"

namespace torchtrt::network {
namespace {

struct Case {
  std::string file, kind, name, message, text;
  int line = 0;  // of the head
};

// How GoogleTest shows the parameter of a failed test.
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.file << ":" << c.line << ": " << c.name; }

std::vector<Case> load_cases() {
  std::vector<Case> cases;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(TORCHTRT_SOURCE_DIR "/tests/network")) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in(file);
    int number = 0;
    bool message_next = false, started = false;
    for (std::string line; std::getline(in, line);) {
      ++number;
      if (line.starts_with("=== ")) {
        const std::size_t colon = line.find(": ");
        cases.push_back({file.filename().string(), line.substr(4, colon - 4), line.substr(colon + 2), "", "", number});
        message_next = cases.back().kind == "error" || cases.back().kind == "broken";
        started = true;
      } else if (message_next) {
        cases.back().message = line;
        message_next = false;
      } else if (started && !line.empty()) {
        cases.back().text += line + "\n";
      }
    }
  }
  return cases;
}

template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

class TextTest : public testing::TestWithParam<Case> {};

TEST_P(TextTest, Holds) {
  const Case& c = GetParam();
  if (c.kind == "error") {
    EXPECT_PRED_FORMAT2(testing::IsSubstring, c.message, error_of([&] { parse(c.text); }));
    return;
  }
  const Network network = parse(c.text);
  if (c.kind == "broken") {
    EXPECT_PRED_FORMAT2(testing::IsSubstring, c.message, error_of([&] { network.verify(); }));
    return;
  }
  ASSERT_TRUE(c.kind == "ok" || c.kind == "refined") << c.kind;
  network.verify();
  EXPECT_EQ(print(network), c.text);
  for (const Layer& layer : network.layers()) {
    const std::vector<ValueType> types = infer(network, layer);
    for (std::size_t i = 0; c.kind == "ok" && i < types.size(); ++i) {
      EXPECT_EQ(to_string(types[i].dims), to_string(network.value(layer.outputs[i]).dims)) << layer.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, TextTest, testing::ValuesIn(load_cases()), [](const auto& case_info) {
  std::string name = case_info.param.file.substr(0, case_info.param.file.find('.')) + "_" + case_info.param.name;
  std::replace_if(name.begin(), name.end(), [](unsigned char ch) { return std::isalnum(ch) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace torchtrt::network
