// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <torchtrt/base/error.h>

#include "network/infer.h"

namespace torchtrt::network {

/// The operands of one layer, and the rules that layers share. Every rule that does not hold is an
/// Error(kInvalidArgument) which starts with the layer's kind and name.
class Operands {
 public:
  Operands(const Network& network, const Layer& layer) : network_(network), layer_(layer) {}

  [[nodiscard]] std::size_t count() const { return layer_.inputs.size(); }
  [[nodiscard]] DataType dtype(std::size_t i) const { return operand(i).dtype; }
  [[nodiscard]] const Dims& dims(std::size_t i) const { return operand(i).dims; }
  [[nodiscard]] std::size_t rank(std::size_t i) const { return dims(i).size(); }

  template <typename... Parts>
  void require(bool condition, const Parts&... parts) const {
    if (!condition) [[unlikely]] {
      fail(ErrorCode::kInvalidArgument, kind_name(layer_.op), " layer \"", layer_.name, "\" ", parts...);
    }
  }
  void require_count(std::size_t expected) const;
  void require_count(std::size_t least, std::size_t most) const;
  void require_floating(std::size_t i) const;
  void require_number(std::size_t i) const;  ///< Anything but bool.
  void require_index(std::size_t i) const;   ///< int32 or int64.
  void require_same_dtype(std::size_t a, std::size_t b) const;
  void require_rank(std::size_t i, std::size_t expected, std::string_view form) const;
  void require_axis(std::int64_t axis, std::size_t of_rank) const;
  /// Two dims that must be equal contradict each other only where both are known; the capture vouches for the rest.
  void require_equal(const Expr& a, const Expr& b, std::string_view what) const;
  void require_equal(const Dims& a, const Dims& b, std::string_view what) const;
  /// `from` fits `to` when aligned at the right: equal or 1.
  void require_broadcastable(const Dims& from, const Dims& to) const;
  /// One entry a spatial dimension, each at least `least`.
  void require_spatial(const std::vector<std::int64_t>& values, std::size_t spatial, std::int64_t least,
                       std::string_view what) const;

  /// Dims of equal rank, each equal or 1. Of two that are not known to be equal, a constant is taken, else the first.
  [[nodiscard]] Dims broadcast(const Dims& a, const Dims& b) const;
  /// `permutation` empty: none.
  [[nodiscard]] Dims permute(const Dims& from, const std::vector<std::int64_t>& permutation) const;

 private:
  [[nodiscard]] const Value& operand(std::size_t i) const { return network_.value(layer_.inputs.at(i)); }

  const Network& network_;
  const Layer& layer_;
};

using ValueTypes = std::vector<ValueType>;

// infer_elementwise.cpp: an element at a time.
ValueTypes infer_types(const Operands& in, const Activation& op);
ValueTypes infer_types(const Operands& in, const Unary& op);
ValueTypes infer_types(const Operands& in, const ElementWise& op);
ValueTypes infer_types(const Operands& in, const Select& op);
ValueTypes infer_types(const Operands& in, const Cast& op);
ValueTypes infer_types(const Operands& in, const Identity& op);
// infer_math.cpp: products, sums along axes and what is made of them.
ValueTypes infer_types(const Operands& in, const MatrixMultiply& op);
ValueTypes infer_types(const Operands& in, const Reduce& op);
ValueTypes infer_types(const Operands& in, const Softmax& op);
ValueTypes infer_types(const Operands& in, const TopK& op);
ValueTypes infer_types(const Operands& in, const CumulativeSum& op);
ValueTypes infer_types(const Operands& in, const Normalization& op);
ValueTypes infer_types(const Operands& in, const Attention& op);
// infer_spatial.cpp: windows over [n, c, spatial..].
ValueTypes infer_types(const Operands& in, const Convolution& op);
ValueTypes infer_types(const Operands& in, const Deconvolution& op);
ValueTypes infer_types(const Operands& in, const Pooling& op);
ValueTypes infer_types(const Operands& in, const Resize& op);
// infer_shape.cpp: elements are made or moved.
ValueTypes infer_types(const Operands& in, const Constant& op);
ValueTypes infer_types(const Operands& in, const Fill& op);
ValueTypes infer_types(const Operands& in, const ShapeOf& op);
ValueTypes infer_types(const Operands& in, const Gather& op);
ValueTypes infer_types(const Operands& in, const Scatter& op);
ValueTypes infer_types(const Operands& in, const Slice& op);
ValueTypes infer_types(const Operands& in, const Shuffle& op);
ValueTypes infer_types(const Operands& in, const Broadcast& op);
ValueTypes infer_types(const Operands& in, const Concatenation& op);
ValueTypes infer_types(const Operands& in, const NonZero& op);
ValueTypes infer_types(const Operands& in, const Plugin& op);
ValueTypes infer_types(const Operands& in, const NonMaxSuppression& op);

}  // namespace torchtrt::network
