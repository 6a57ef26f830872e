// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <ATen/TracerMode.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>
#include <nlohmann/json_fwd.hpp>

#include <torchtrt/base/export.h>

/// Calls of PyTorch's operators that a file describes: plugins and the exact form of engines. The text form of arguments is
/// in src/plugins/README.md.
namespace torchtrt::torch_adapter {

/// For a scope in which operators belong to an engine: neither autograd, tracing nor autocast of the caller has a part in
/// them. Tensors that are made in it are inference tensors.
class EngineScope {
 private:
  const c10::InferenceMode inference_;
  const at::tracer::impl::NoTracerDispatchMode no_tracing_;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast_{c10::autocast_dispatch_keyset};
};

/// What the arguments of a call refer to by number. At least as many as the OperatorCall was made for.
struct Operands {
  std::span<const at::Tensor> tensors;
  std::span<const std::int64_t> sizes;
};

/// One argument of an operator, as its schema wants it.
class OperatorArgument {
 public:
  /// Error(kInvalidArgument), Error(kUnsupported) or Error(kDataLoss) if `value` is none of `type`, or refers to what is
  /// not there.
  OperatorArgument(const nlohmann::json& value, const c10::TypePtr& type, std::size_t tensors, std::size_t sizes);
  explicit OperatorArgument(c10::IValue constant) : constant_(std::move(constant)) {}

  [[nodiscard]] c10::IValue value(const Operands& operands) const;
  void collect(std::vector<std::size_t>& tensors, std::vector<std::size_t>& sizes) const;

 private:
  enum class Kind : std::uint8_t { kConstant, kTensor, kSize, kFloatSize, kTensorSize, kList };

  Kind kind_ = Kind::kConstant;
  c10::IValue constant_;
  std::size_t index_ = 0;
  c10::TypePtr element_;
  std::vector<OperatorArgument> items_;
};

/// An operator with its arguments, found and checked once, called any number of times. Immutable, thread-safe.
class TORCHTRT_API OperatorCall {
 public:
  /// `name`: "aten::add.Tensor". `tensors`, `sizes`: how many of each a call will have. What is missing among the arguments
  /// has the schema's default. `library`: what brings the operator, for messages; may be empty.
  ///
  /// Error(kNotFound) if the dispatcher has no such operator, Error(kUnsupported) for one that writes to its arguments;
  /// those of OperatorArgument, which name the operator.
  OperatorCall(std::string name, const std::string& library, const nlohmann::json& arguments,
               const nlohmann::json& keywords, std::size_t tensors, std::size_t sizes);

  [[nodiscard]] const std::string& name() const { return name_; }
  /// The tensors and sizes that it reads, each once, ascending.
  [[nodiscard]] const std::vector<std::size_t>& tensors() const { return tensors_; }
  [[nodiscard]] const std::vector<std::size_t>& sizes() const { return sizes_; }

  /// Calls the operator, in the scope that the caller has set up. Lists of tensors among the results become single ones;
  /// a result that is no tensor, or None, is an undefined one. What the operator throws goes through.
  [[nodiscard]] std::vector<at::Tensor> operator()(const Operands& operands) const;

 private:
  const std::string name_;
  const c10::OperatorHandle op_;
  std::vector<OperatorArgument> arguments_;
  std::vector<std::size_t> tensors_, sizes_;
};

}  // namespace torchtrt::torch_adapter
