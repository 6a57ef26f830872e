// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <torchtrt/base/error.h>

namespace torchtrt::testing {

/// One case of a text file: a line "=== <kind>: <name>", then text, in two parts where a line "---" divides it. What
/// the kinds mean is said by the test that reads them. Empty lines and what comes before the first case are for readers.
struct TextCase {
  std::string file, kind, name;
  std::string first, second;  ///< The parts, every line with its end.
  int line = 0;               ///< Of the head.

  /// Takes the first line away from the first part.
  std::string take_line() {
    const std::size_t end = std::min(first.find('\n'), first.size());
    std::string result = first.substr(0, end);
    first.erase(0, end + 1);
    return result;
  }
};

/// How GoogleTest shows the case of a failed test.
inline std::ostream& operator<<(std::ostream& out, const TextCase& c) {
  return out << c.file << ":" << c.line << ": " << c.name;
}

/// The cases of all .txt files in a folder of tests/.
inline std::vector<TextCase> load_text_cases(std::string_view folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(TORCHTRT_SOURCE_DIR "/tests/" + std::string(folder))) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<TextCase> cases;
  for (const auto& file : files) {
    std::ifstream in(file);
    int number = 0;
    std::string* part = nullptr;
    for (std::string line; std::getline(in, line);) {
      ++number;
      if (line.starts_with("=== ")) {
        const std::size_t colon = line.find(": ");
        cases.push_back({file.filename().string(), line.substr(4, colon - 4), line.substr(colon + 2), "", "", number});
        part = &cases.back().first;
      } else if (part != nullptr && line == "---") {
        part = &cases.back().second;
      } else if (part != nullptr && !line.empty()) {
        *part += line + "\n";
      }
    }
  }
  return cases;
}

/// A name that GoogleTest takes, from the file's and the case's.
inline std::string test_name(const ::testing::TestParamInfo<TextCase>& info) {
  std::string name = info.param.file.substr(0, info.param.file.find('.')) + "_" + info.param.name;
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

/// The message of the Error that `function` throws; "(no error)" if it throws none.
template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace torchtrt::testing
