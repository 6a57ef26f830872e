// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/expr.h>
#include <torchtrt/network/layers.h>

/// The engine network: what every converter produces and every backend lowers.
///
/// The vocabulary is TensorRT's (layer kinds, attribute names and meanings), because it is documented and stable. Three
/// things are our own: every value has an explicit dtype (nothing is promoted or cast implicitly), dimensions are
/// expressions over named symbols, and operands of an elementwise layer have the same rank (dimension 1 broadcasts).
namespace torchtrt::network {

/// The range of a symbol: every input's dimension that depends on it stays within what follows from [min, max].
struct SymbolRange {
  std::int64_t min = 0;
  std::int64_t opt = 1;
  std::int64_t max = Interval::kUnbounded;
  bool operator==(const SymbolRange&) const = default;
};

/// A constant's elements, row-major and contiguous. `data` shares ownership with whoever holds the storage (a torch
/// tensor as a rule), so that weights are never copied into the network.
struct Weights {
  std::shared_ptr<const void> data;
  std::size_t bytes = 0;
  /// For weights that came from a text without their elements, which are zeros then: the digest that the text gave.
  std::optional<std::uint64_t> digest = std::nullopt;
};

/// One value: the result of exactly one layer, or an input.
struct Value {
  std::string name;  ///< Unique within the network; never empty.
  DataType dtype = DataType::kFloat32;
  Dims dims;
  /// What is known of an integer value's elements (for backends whose integers are narrower than the dtype).
  Interval range{INT64_MIN, INT64_MAX};
};

/// A network input. `is_shape_tensor`: a 0-d int64 host tensor whose element is the value of the symbol `symbol`.
struct Input {
  ValueId value;
  bool is_shape_tensor = false;
  std::string symbol;
};

/// One layer: an operation with its operands and results.
struct Layer {
  Op op;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::string name;    ///< Unique; the graph node it came from, with a suffix where a node became several layers.
  std::string source;  ///< The user's source line of that node, for messages; may be empty.
};

/// A network under construction or finished. Layers are kept in execution order: a layer's inputs are network inputs or
/// outputs of earlier layers. Movable, not copyable; not thread-safe while it is being built.
class TORCHTRT_API Network {
 public:
  explicit Network(std::string name = "network");
  Network(Network&&) noexcept;
  Network& operator=(Network&&) noexcept;
  ~Network();

  [[nodiscard]] const std::string& name() const;

  // --- symbols, inputs, outputs -------------------------------------------------------------------------------------
  /// Declares a symbol; declaring it again with the same range is allowed, with another one Error(kInvalidArgument).
  void add_symbol(const std::string& name, SymbolRange range);
  [[nodiscard]] const std::map<std::string, SymbolRange>& symbols() const;
  /// Bounds of an expression under the declared symbol ranges.
  [[nodiscard]] Interval bounds(const Expr& expr) const;

  ValueId add_input(const std::string& name, DataType dtype, Dims dims);
  /// A 0-d int64 host input whose value is the symbol's.
  ValueId add_shape_input(const std::string& name, const std::string& symbol);
  void mark_output(ValueId value, const std::string& name);

  /// A 0-d bool that the engine computes beside its outputs: where it is true, something that the network assumed does not
  /// hold, the outputs are not used, and the engine's exact form runs. For backends that take guards (builder.h).
  /// Error(kInvalidArgument) for another dtype or rank.
  void add_guard(ValueId broken);
  [[nodiscard]] const std::vector<ValueId>& guards() const;

  [[nodiscard]] const std::vector<Input>& inputs() const;
  struct Output {
    std::string name;
    ValueId value;
  };
  [[nodiscard]] const std::vector<Output>& outputs() const;
  [[nodiscard]] const std::vector<Layer>& layers() const;
  [[nodiscard]] const Value& value(ValueId id) const;
  [[nodiscard]] std::size_t value_count() const;
  /// The layer that produces the value; nullptr for an input.
  [[nodiscard]] const Layer* producer(ValueId id) const;
  /// The constant's elements if the value is produced by a Constant layer, else nullptr.
  [[nodiscard]] const Weights* constant(ValueId id) const;

  /// Replaces a value's dims by an equivalent, better-known form (the captured shape). Error(kInternal) naming both if
  /// the two cannot be equal.
  void refine_dims(ValueId id, const Dims& dims);
  /// Intersects what is known about an integer value's elements. Of an input it is a demand, which the runtime checks.
  /// Error(kInvalidArgument) if no element can be in both ranges, which holds for empty tensors only.
  void refine_range(ValueId id, Interval range);
  /// Gives a value another name. Error(kInvalidArgument) if it is taken.
  void rename(ValueId id, const std::string& name);
  /// True if some output dimension is known only after the run: a symbol that no input binds.
  [[nodiscard]] bool has_data_dependent_outputs() const;

  // --- layers -------------------------------------------------------------------------------------------------------
  /// Appends a layer, infers and checks its outputs' dtypes and dims, and returns them. Every failed rule is an
  /// Error(kInvalidArgument) that names the layer, the rule and what came. The named helpers below all end here.
  std::vector<ValueId> add_layer(Op op, std::vector<ValueId> inputs, const std::string& name = "");
  /// Where the network stands, so that a layer sequence that turns out impossible can be taken back. Symbols, dims and
  /// ranges that were refined meanwhile stay.
  struct Checkpoint {
    std::size_t layers = 0, values = 0, inputs = 0, guards = 0;
  };
  [[nodiscard]] Checkpoint checkpoint() const;
  void rollback(const Checkpoint& to);

  /// Set by the converter driver: prefix of the layers' names, and the user's source line they carry.
  void set_origin(const std::string& node_name, const std::string& source);

  ValueId add_constant(Dims dims, DataType dtype, Weights weights, const std::string& name = "");
  /// A 0-d or filled constant from numbers; floating values are rounded to `dtype` as PyTorch rounds them.
  ValueId add_scalar(DataType dtype, double value, std::size_t rank = 0);
  ValueId add_int_scalar(DataType dtype, std::int64_t value, std::size_t rank = 0);
  ValueId add_activation(ValueId input, ActivationType type, double alpha = 0, double beta = 0);
  ValueId add_unary(ValueId input, UnaryOperation operation);
  ValueId add_elementwise(ValueId a, ValueId b, ElementWiseOperation operation);
  ValueId add_matrix_multiply(ValueId a, MatrixOperation op_a, ValueId b, MatrixOperation op_b);
  ValueId add_reduce(ValueId input, ReduceOperation operation, std::vector<std::int64_t> axes, bool keep_dims);
  ValueId add_softmax(ValueId input, std::int64_t axis);
  ValueId add_gather(ValueId data, ValueId indices, std::int64_t axis);
  ValueId add_slice(ValueId input, Dims start, Dims size, std::vector<std::int64_t> stride);
  ValueId add_reshape(ValueId input, Dims dims);
  ValueId add_transpose(ValueId input, std::vector<std::int64_t> permutation);
  ValueId add_broadcast(ValueId input, Dims dims);
  ValueId add_concatenation(std::vector<ValueId> inputs, std::int64_t axis);
  ValueId add_select(ValueId condition, ValueId then_value, ValueId else_value);
  ValueId add_cast(ValueId input, DataType to);
  ValueId add_identity(ValueId input);

  /// Drops the layers that are not marked (for passes; whoever calls vouches that nobody reads their results).
  void keep_layers(const std::vector<bool>& live);

  /// Checks every invariant (order, uniqueness, dtypes and dims as inferred afresh, outputs present, symbols declared).
  /// Throws Error(kInternal) that names the first violation.
  void verify() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The values that a dtype can hold; everything for floating dtypes.
TORCHTRT_API Interval range_of(DataType dtype);

/// Drops layers whose results no output depends on (inputs stay: they are the caller's interface).
TORCHTRT_API void remove_dead_layers(Network& network);

/// A layer of this kind ("matrix_multiply") with attributes as the text form writes them ({"op_b", "transpose"}); those
/// that are missing have their defaults. Error(kInvalidArgument) for a kind or an attribute that does not exist, for a
/// missing one that has no default, and for a text that is no value.
TORCHTRT_API Op make_layer(std::string_view kind, std::map<std::string, std::string> attributes);

/// Text form, one line a layer; parse(print(n)) prints the same. Constants up to 16 elements are printed in full, larger
/// ones as a digest (parse then gives zeros). src/network/README.md has the grammar.
TORCHTRT_API std::string print(const Network& network);
/// Whether structure_digest() leaves out the elements of a constant.
using HidesElements = std::function<bool(ValueId constant)>;
/// Tells networks apart that differ in more than the elements that are hidden: in layers, attributes, shapes, ranges, other
/// constants, names of inputs and outputs, or in which of the hidden ones share their storage. Names of other values and
/// of symbols, and where layers came from, make no difference. 64 bits, not against intent.
TORCHTRT_API std::uint64_t structure_digest(const Network& network, const HidesElements& hides);

/// Error(kInvalidArgument) with line and column.
TORCHTRT_API Network parse(std::string_view text);

/// Gives the elements of a constant whose text has a digest only: `bytes` bytes for the constant of this name. Throws
/// Error if it has none.
using ConstantSource = std::function<Weights(const std::string& name, std::size_t bytes, std::uint64_t digest)>;
/// As above, with the elements; whether they are those of the digest is for the source to compare.
TORCHTRT_API Network parse(std::string_view text, const ConstantSource& constants);

}  // namespace torchtrt::network
