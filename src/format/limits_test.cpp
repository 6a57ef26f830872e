// SPDX-License-Identifier: Apache-2.0
// No metadata, however it is made, takes more memory and time than its length allows.
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/testing/hostile.h"
#include "base/testing/limits.h"
#include "format/package.h"

namespace torchtrt::format {
namespace {

using torchtrt::testing::Hostile;
using torchtrt::testing::repeated;

std::string input(const std::string& shape) { return R"({"name":"x","dtype":"int64","shape":[)" + shape + "]}"; }

std::string metadata(const std::string& inputs, const std::string& outputs, const std::string& symbols,
                     const std::string& sections, const std::string& more) {
  std::string text =
      R"({"crc32c":"00000000","format_version":2,"minimum_reader":1,"name":"e","device":"cpu","inputs":[)" + inputs +
      R"(],"outputs":[)" + outputs + R"(],"symbols":{)" + symbols + R"(},"targets":[{"backend":"b","sections":[)" +
      sections + "]}]" + more + "}";
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", crc32c(std::as_bytes(std::span(std::string_view(text).substr(19)))));
  return text.replace(11, 8, digits);
}

std::vector<Hostile> hostile_metadata(std::size_t size) {
  std::vector<Hostile> result;
  for (const std::size_t length : {40, 300, 3000, 15000}) {
    for (const auto& [name, text] : torchtrt::testing::hostile_expressions(std::min(length, size / 2))) {
      const std::string label = name + " of " + std::to_string(text.size());
      result.push_back({label, metadata("", repeated(input('"' + text + '"'), size, ","), "", "", "")});
      result.push_back(
          {label + " in one shape",
           metadata("", input(repeated('"' + text + '"', std::min(size, 64 * text.size()), ",")), "", "", "")});
    }
  }
  const std::string symbols = repeated(R"("a#":{"min":1,"opt":1,"max":2})", size / 2, ",");
  const std::string sections = repeated(R"({"name":"w","offset":0,"size":1000000,"crc32c":0})", size, ",");
  for (const Hostile& part :
       {Hostile{"inputs of many symbols",
                metadata(repeated(input(R"("a#","a#+1","a1*a#")"), size / 2, ","), "", symbols, "", "")},
        Hostile{"outputs beside many symbols", metadata(repeated(input(R"("a#")"), size / 4, ","),
                                                        repeated(input(R"("a#")"), size / 4, ","), symbols, "", "")},
        Hostile{"symbols that no input binds", metadata(input(R"("a1+a2","a3")"), "", symbols, "", "")},
        Hostile{"many members", metadata("", "", "", "", "," + repeated(R"("m#":0)", size, ","))},
        Hostile{"one member many times", metadata("", "", "", "", "," + repeated(R"("m":[0])", size, ","))},
        Hostile{"many properties",
                metadata("", "", "", "", R"(,"producer":{)" + repeated(R"("m#":"")", size, ",") + "}")},
        Hostile{"many arrays", metadata("", "", "", "", R"(,"m":[)" + repeated("[]", size, ",") + "]")},
        Hostile{"deep arrays", metadata("", "", "", "", R"(,"m":)" + std::string(size, '['))},
        Hostile{"a long string", metadata("", "", "", "", R"(,"m":")" + std::string(size, 'x') + '"')},
        Hostile{"escapes", metadata("", "", "", "", R"(,"m":")" + repeated(R"(\\u00e9)", size) + '"')},
        Hostile{"long numbers", metadata("", "", "", "", R"(,"m":)" + std::string(size, '9'))},
        Hostile{"sections over each other", metadata("", "", "", sections, "")}}) {
    result.push_back(part);
  }
  return result;
}

class MetadataLimits : public ::testing::TestWithParam<std::size_t> {};

TEST_P(MetadataLimits, Hold) {
  for (const auto& [name, text] : hostile_metadata(GetParam())) {
    SCOPED_TRACE(name);
    torchtrt::testing::expect_within_limits(text.size(), [&text = text] {
      const std::vector<std::byte> payload(1'000'000);
      const Metadata metadata = read_metadata(text, payload.size());
      for (const TargetSpec& target : metadata.targets) {
        for (const SectionSpec& section : target.sections) (void)crc32c(section_bytes(section, payload));
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, MetadataLimits, ::testing::Values(24'000, 250'000));

}  // namespace
}  // namespace torchtrt::format
