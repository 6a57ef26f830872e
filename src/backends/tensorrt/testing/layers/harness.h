// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <NvInfer.h>
#include <torchtrt/backend/builder.h>
#include <torchtrt/base/log.h>
#include <torchtrt/network/network.h>

/// For the tests of the TensorRT builder, which need the vendor's library and no GPU: a network is lowered, what the
/// library infers of its values is compared with our own inference, and the plan is built where the library can (TensorRT
/// itself wants a GPU for that). Nothing runs. The tests in this folder are compiled for all three libraries.
namespace torchtrt::tensorrt::testing {

using network::Network;
using network::ValueId;

/// The builder of the module under test.
backend::Builder& builder();
/// Whether the vendor's library was found, and makes networks on this machine; where not, tests of them are skipped.
bool has_library();
/// The library's own builder, which may be good for networks only.
std::unique_ptr<nvinfer1::IBuilder> create_builder();

/// What check() says of the network's layers: the first refusal.
std::optional<backend::Refusal> first_refusal(const Network& net);

/// Lowers the network (which check() must accept), compares dtype and dims of each value with what the library infers,
/// and builds; both once more as for the oldest library, where that makes a difference. Gives the first difference or error,
/// "" if there is none.
std::string problem_of(const Network& net);

/// Collects the log's lines up to level info for the life of the object, each with its level: "3 text". Thread-safe.
class Log {
 public:
  Log() {
    set_log_level(LogLevel::kInfo);
    set_log_sink([this](LogLevel level, const std::string& line) {
      const std::lock_guard lock(mutex_);
      lines_ += std::to_string(static_cast<int>(level)) + " " + line + "\n";
    });
  }
  ~Log() {
    set_log_sink(nullptr);
    set_log_level(LogLevel::kWarning);
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  [[nodiscard]] std::string lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  [[nodiscard]] bool has(const std::string& part) { return lines().find(part) != std::string::npos; }

 private:
  std::mutex mutex_;
  std::string lines_;
};

/// The size that is dynamic in half of the cases: symbol "n" in [1, 8], or 2.
Expr size_n(Network& net, bool dynamic);

/// An int64 or int32 input whose elements are known to lie in [low, high].
ValueId indices(Network& net, const std::string& name, Dims dims, std::int64_t low, std::int64_t high,
                DataType dtype = DataType::kInt64);

/// A constant of zeros.
ValueId zeros(Network& net, const Dims& dims, DataType dtype);

/// A layer under test, with operands of the given dtype. Each of its dtypes must build, with static and with dynamic
/// shapes; each other dtype must be refused, or be no network at all.
struct Case {
  std::string name;
  std::vector<DataType> builds;
  std::function<void(Network& net, DataType dtype, const Expr& n)> add;
};
void PrintTo(const Case& value, std::ostream* stream);

/// Runs one case: all dtypes, static and dynamic.
void run(const Case& value);

inline const std::vector<DataType> kFloats{DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16};
inline const std::vector<DataType> kIntegers{DataType::kInt64, DataType::kInt32};
inline const std::vector<DataType> kNumbers{DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16,
                                            DataType::kInt64, DataType::kInt32};
inline const std::vector<DataType> kAny{DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16,
                                        DataType::kInt64,   DataType::kInt32,   DataType::kBool};
inline const std::vector<DataType> kBools{DataType::kBool};
inline const std::vector<DataType> kNone{};

/// `TORCHTRT_TENSORRT_CASES(Name, cases)`: one parameterized test over a vector of cases.
#define TORCHTRT_TENSORRT_CASES(suite, cases)                                    \
  class suite : public ::testing::TestWithParam<Case> {};                        \
  TEST_P(suite, Builds) { run(GetParam()); }                                     \
  INSTANTIATE_TEST_SUITE_P(Layers, suite, ::testing::ValuesIn(cases),            \
                           [](const auto& tested) { return tested.param.name; })

}  // namespace torchtrt::tensorrt::testing
