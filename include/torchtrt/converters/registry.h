// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torchtrt/base/export.h>
#include <torchtrt/converters/context.h>

/// Converters of users, beside torchtrt's own (src/converters/table.cpp). Link libtorchtrt, or open a library of yours
/// that does, before a model is compiled.
namespace torchtrt::converters {

/// Where a converter stands among the users' converters for the same operator. All of them come before torchtrt's own,
/// which is used where they refuse the node.
enum class Priority {
  kStandard,  ///< After those of high priority.
  kHigh,      ///< First.
};

struct Converter {
  std::string target;  ///< "aten.nonzero.default"; for an operator of a library of yours "my_lib.my_op.default".
  /// Adds layers and sets the node's outputs, see Context. Throws by refuse() what it cannot express; any other Error
  /// ends the compilation with a message that names the converter, the node and its source line.
  std::function<void(Context&, const graph::Node&)> convert;
  /// Whether the converter is for this node; empty: for all.
  std::function<bool(const graph::Node&)> validate;
  Priority priority = Priority::kStandard;
  bool supports_dynamic_shapes = false;    ///< Otherwise nodes with a symbol in some shape stay in PyTorch.
  bool requires_output_allocator = false;  ///< Engines with such a node allocate their outputs while they run.
  std::string name;                        ///< For messages: "aten_ops_nonzero (converters.py:12)".
};

/// Takes the converter back when it is destroyed.
class TORCHTRT_API Registration {
 public:
  Registration() = default;
  explicit Registration(std::shared_ptr<const Converter> converter) : converter_(std::move(converter)) {}
  Registration(Registration&&) noexcept = default;
  Registration& operator=(Registration&& other) noexcept;
  ~Registration();

 private:
  std::shared_ptr<const Converter> converter_;
};

/// Of converters of the same operator and priority the one registered last comes first. Thread-safe; holds for
/// compilations that begin afterwards. Error(kInvalidArgument) without a target or a function.
[[nodiscard]] TORCHTRT_API Registration register_converter(Converter converter);

/// The users' converters for an operator, in the order in which they are tried.
TORCHTRT_API std::vector<std::shared_ptr<const Converter>> user_converters(const std::string& target);
/// The operators that users' converters are registered for.
TORCHTRT_API std::vector<std::string> user_targets();

}  // namespace torchtrt::converters
