// SPDX-License-Identifier: Apache-2.0
#include "network/infer.h"

#include <algorithm>
#include <numeric>

#include "network/operands.h"

namespace torchtrt::network {

void Operands::require_count(std::size_t expected) const {
  require(count() == expected, "takes ", expected, expected == 1 ? " operand, not " : " operands, not ", count());
}

void Operands::require_count(std::size_t least, std::size_t most) const {
  require(count() >= least && count() <= most, "takes ", least, " to ", most, " operands, not ", count());
}

void Operands::require_floating(std::size_t i) const {
  require(is_floating(dtype(i)), "takes a floating operand, not ", to_string(dtype(i)));
}

void Operands::require_number(std::size_t i) const { require(dtype(i) != DataType::kBool, "takes numbers, not bool"); }

void Operands::require_index(std::size_t i) const {
  require(dtype(i) == DataType::kInt32 || dtype(i) == DataType::kInt64, "needs int32 or int64 indices, not ",
          to_string(dtype(i)));
}

void Operands::require_same_dtype(std::size_t a, std::size_t b) const {
  require(dtype(a) == dtype(b), "needs operands of one dtype, not ", to_string(dtype(a)), " and ", to_string(dtype(b)));
}

void Operands::require_rank(std::size_t i, std::size_t expected, std::string_view form) const {
  if (rank(i) != expected) require(false, "takes ", form, ", not ", to_string(dims(i)));
}

void Operands::require_axis(std::int64_t axis, std::size_t of_rank) const {
  require(axis >= 0 && axis < static_cast<std::int64_t>(of_rank), "has axis ", axis, ", but the rank is ", of_rank);
}

void Operands::require_equal(const Expr& a, const Expr& b, std::string_view what) const {
  if (a.is_constant() && b.is_constant() && a != b) require(false, "needs equal ", what, ", not ", a, " and ", b);
}

void Operands::require_equal(const Dims& a, const Dims& b, std::string_view what) const {
  const bool equal = std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Expr& x, const Expr& y) {
    return !(x.is_constant() && y.is_constant()) || x == y;
  });
  if (!equal) require(false, "needs ", what, " ", to_string(b), ", not ", to_string(a));
}

void Operands::require_broadcastable(const Dims& from, const Dims& to) const {
  bool fits = from.size() <= to.size();
  for (std::size_t i = 0; fits && i < from.size(); ++i) {
    const Expr& target = to[to.size() - from.size() + i];
    fits = !from[i].is_constant() || from[i] == Expr(1) || !target.is_constant() || from[i] == target;
  }
  if (!fits) require(false, "cannot broadcast ", to_string(from), " to ", to_string(to));
}

void Operands::require_spatial(const std::vector<std::int64_t>& values, std::size_t spatial, std::int64_t least,
                               std::string_view what) const {
  require(values.size() == spatial, "needs ", spatial, " entries in ", what, ", not ", values.size());
  for (const std::int64_t value : values)
    require(value >= least, "needs ", what, " of at least ", least, ", not ", value);
}

Dims Operands::broadcast(const Dims& a, const Dims& b) const {
  if (a.size() != b.size()) require(false, "needs operands of one rank, not ", to_string(a), " and ", to_string(b));
  Dims result;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].is_constant() && b[i].is_constant() && a[i] != b[i] && a[i] != Expr(1) && b[i] != Expr(1)) {
      require(false, "cannot broadcast ", to_string(a), " with ", to_string(b));
    }
    const bool take_second = a[i] == Expr(1) || (b[i].is_constant() && b[i] != Expr(1));
    result.push_back(take_second ? b[i] : a[i]);
  }
  return result;
}

Dims Operands::permute(const Dims& from, const std::vector<std::int64_t>& permutation) const {
  if (permutation.empty()) return from;
  std::vector<std::int64_t> sorted = permutation;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> axes(from.size());
  std::iota(axes.begin(), axes.end(), 0);
  require(sorted == axes, "has a transpose that is no permutation of the axes 0..", from.size() - 1);
  Dims result;
  for (const std::int64_t axis : permutation) result.push_back(from[static_cast<std::size_t>(axis)]);
  return result;
}

ValueTypes infer(const Network& network, const Layer& layer) {
  const Operands operands(network, layer);
  ValueTypes types;
  try {
    types = std::visit([&](const auto& op) { return infer_types(operands, op); }, layer.op);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInvalidArgument) throw;
    operands.require(false, "has impossible dimensions: ", error.what());  // the arithmetic of expressions
  }
  for (const ValueType& type : types) {
    operands.require(type.dims.size() <= kMaxRank, "would give ", type.dims.size(), " dimensions; at most ", kMaxRank,
                     " are allowed, as in PyTorch");
    for (const Expr& dim : type.dims) {
      if (dim.is_constant() && dim.value() < 0) operands.require(false, "would give ", to_string(type.dims));
    }
  }
  return types;
}

}  // namespace torchtrt::network
