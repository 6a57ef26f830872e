// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <torchtrt/base/export.h>
#include <torchtrt/base/expr.h>

#include "torch/operator_call.h"

namespace torchtrt::torch_adapter {

/// An engine's ATen graph, to be executed by PyTorch's own operators on the CPU (src/format/README.md has the text form).
/// Everything that does not depend on a call is found and checked when it is made. Immutable, thread-safe.
class TORCHTRT_API AtenProgram {
 public:
  using Sections = std::map<std::string, std::span<const std::byte>, std::less<>>;
  /// `sections` holds the constants' elements and outlives the program. Error(kDataLoss) for a text that is no program;
  /// errors of OperatorCall, which name the node.
  AtenProgram(std::string_view text, const Sections& sections);

  struct Node {
    std::string name;  ///< As captured: "add_1".
    OperatorCall call;

    std::vector<std::size_t> last_used;  ///< Values that nothing behind this node reads.
    std::size_t first_result = 0, results = 0;
    /// Symbols that a result's dimension determines.
    struct Binding {
      std::size_t symbol = 0, value = 0, dim = 0;
    };
    std::vector<Binding> bindings;
  };

  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  [[nodiscard]] std::size_t inputs() const { return inputs_.size(); }
  [[nodiscard]] const std::vector<at::ScalarType>& output_types() const { return output_types_; }

  /// Called before each node and once behind the last: for those who measure.
  using Observer = std::function<void()>;
  /// Runs the graph on tensors of the program's dtypes and ranks: Error(kInvalidArgument) for others. The results are
  /// contiguous and share memory with nothing. What operators throw goes through as it is, IndexError as IndexError.
  [[nodiscard]] std::vector<at::Tensor> run(std::vector<at::Tensor> inputs, const Observer& observer = nullptr) const;

 private:
  class Reader;
  struct Input {
    std::string name;
    at::ScalarType dtype{};
    std::size_t rank = 0;
  };
  /// A symbolic integer among the nodes' arguments.
  struct Size {
    Expr value;
    std::vector<std::string> symbols;
  };
  class Frame;

  std::vector<Input> inputs_;
  std::vector<at::Tensor> constants_;
  std::vector<std::string> symbols_;
  std::map<std::string, std::size_t, std::less<>> symbol_index_;
  std::vector<Size> sizes_;
  std::vector<Node::Binding> input_bindings_;
  std::vector<std::pair<std::size_t, std::size_t>> shape_inputs_;  // input, symbol
  std::vector<Node> nodes_;
  std::vector<std::size_t> outputs_;
  std::vector<at::ScalarType> output_types_;
  std::size_t values_ = 0;
};

}  // namespace torchtrt::torch_adapter
