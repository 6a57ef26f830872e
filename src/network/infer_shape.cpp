// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "network/operands.h"

namespace torchtrt::network {

// --- made from nothing
// ------------------------------------------------------------------------------------------------

ValueTypes infer_types(const Operands& in, const Constant& op) {
  in.require_count(0);
  in.require(op.weights != nullptr, "has no elements");
  in.require(is_static(op.dims), "needs a static shape, not ", to_string(op.dims));
  const Expr bytes = volume(op.dims) * Expr(static_cast<std::int64_t>(size_of(op.dtype)));
  in.require(bytes.value() >= 0 && op.weights->bytes == static_cast<std::size_t>(bytes.value()), "has ",
             op.weights->bytes, " bytes, but ", to_string(op.dtype), to_string(op.dims), " needs ", bytes);
  return {{op.dtype, op.dims}};
}

ValueTypes infer_types(const Operands& in, const Fill& op) {
  in.require_count(0);
  in.require(op.dtype == DataType::kInt64 || op.dtype == DataType::kInt32 || op.dtype == DataType::kFloat32,
             "gives int64, int32 or float32, not ", to_string(op.dtype));
  return {{op.dtype, {op.length}}};
}

ValueTypes infer_types(const Operands& in, const ShapeOf& op) {
  in.require_count(0);
  in.require(!op.scalar || op.values.size() == 1, "gives one value where it is 0-d, not ", op.values.size());
  return {{DataType::kInt64, op.scalar ? Dims{} : Dims{Expr(static_cast<std::int64_t>(op.values.size()))}}};
}

// --- picked and written
// -----------------------------------------------------------------------------------------------

namespace {

// What data[indices] has the shape of, where the last dimension of `indices` counts the axes of data that it indexes.
Dims indexed(const Operands& in, const Dims& data, const Dims& indices) {
  in.require(!indices.empty() && indices.back().is_constant() && indices.back().value() >= 1 &&
                 indices.back().value() <= static_cast<std::int64_t>(data.size()),
             "needs indices whose last dimension is 1 to ", data.size(), ", not ", to_string(indices));
  Dims result(indices.begin(), indices.end() - 1);
  result.insert(result.end(), data.begin() + indices.back().value(), data.end());
  return result;
}

// Element mode: no index lies outside of the other axes.
void require_within(const Operands& in, const Dims& inner, const Dims& outer, std::int64_t except) {
  bool within = inner.size() == outer.size();
  for (std::size_t i = 0; within && i < inner.size(); ++i) {
    within = static_cast<std::int64_t>(i) == except || !inner[i].is_constant() || !outer[i].is_constant() ||
             inner[i].value() <= outer[i].value();
  }
  if (!within) {
    in.require(false, "needs indices no larger than ", to_string(outer), " (but along the axis), not ",
               to_string(inner));
  }
}

}  // namespace

ValueTypes infer_types(const Operands& in, const Gather& op) {
  in.require_count(2);
  in.require_index(1);
  const Dims& data = in.dims(0);
  const Dims& indices = in.dims(1);
  if (op.mode == GatherMode::kNd) return {{in.dtype(0), indexed(in, data, indices)}};
  in.require_axis(op.axis, data.size());
  if (op.mode == GatherMode::kElement) {
    require_within(in, indices, data, op.axis);
    return {{in.dtype(0), indices}};
  }
  Dims result(data.begin(), data.begin() + op.axis);
  result.insert(result.end(), indices.begin(), indices.end());
  result.insert(result.end(), data.begin() + op.axis + 1, data.end());
  return {{in.dtype(0), result}};
}

ValueTypes infer_types(const Operands& in, const Scatter& op) {
  in.require_count(3);
  in.require_index(1);
  in.require_same_dtype(0, 2);
  if (op.mode == ScatterMode::kElement) {
    in.require_axis(op.axis, in.rank(0));
    require_within(in, in.dims(1), in.dims(0), op.axis);
    require_within(in, in.dims(1), in.dims(2), -1);
  } else {
    in.require_equal(in.dims(2), indexed(in, in.dims(0), in.dims(1)), "updates of shape");
  }
  return {{in.dtype(0), in.dims(0)}};
}

ValueTypes infer_types(const Operands& in, const Slice& op) {
  in.require_count(1, op.mode == SliceMode::kFill ? 2 : 1);
  const std::size_t rank = in.rank(0);
  in.require(op.start.size() == rank && op.size.size() == rank && op.stride.size() == rank, "needs ", rank,
             " starts, sizes and strides");
  if (in.count() == 2) {
    in.require_same_dtype(0, 1);
    in.require_rank(1, 0, "a 0-d fill value");
  }
  for (std::size_t i = 0; i < rank; ++i) {
    in.require(op.stride[i] != 0, "has stride 0 (repeating is what broadcast is for)");
    const Expr& available = in.dims(0)[i];
    if (op.mode != SliceMode::kStrict || op.size[i] == Expr(0)) continue;
    const Expr last = op.start[i] + (op.size[i] - 1) * Expr(op.stride[i]);
    const Expr beyond = available - 1 - last;  // constant also where a symbol cancels out
    const bool before =
        (op.start[i].is_constant() && op.start[i].value() < 0) || (last.is_constant() && last.value() < 0);
    if (before || (beyond.is_constant() && beyond.value() < 0) ||
        (available.is_constant() && op.start[i].is_constant() && op.size[i].is_constant() &&
         op.start[i].value() >= available.value())) {
      in.require(false, "reads elements ", op.start[i], " to ", last, " of dimension ", i, ", whose size is ",
                 available);
    }
  }
  return {{in.dtype(0), op.size}};
}

// --- moved
// ------------------------------------------------------------------------------------------------------------

ValueTypes infer_types(const Operands& in, const Shuffle& op) {
  in.require_count(1);
  Dims result = in.permute(in.dims(0), op.first_transpose);
  if (op.reshape) {
    const Expr before = volume(result);
    const Expr after = volume(*op.reshape);
    if (before.is_constant() && after.is_constant() && before != after) {
      in.require(false, "cannot reshape ", to_string(result), " to ", to_string(*op.reshape));
    }
    result = *op.reshape;
  }
  return {{in.dtype(0), in.permute(result, op.second_transpose)}};
}

ValueTypes infer_types(const Operands& in, const Broadcast& op) {
  in.require_count(1);
  in.require_broadcastable(in.dims(0), op.dims);
  return {{in.dtype(0), op.dims}};
}

ValueTypes infer_types(const Operands& in, const Concatenation& op) {
  in.require(in.count() > 0, "needs an operand");
  in.require_axis(op.axis, in.rank(0));
  const auto axis = static_cast<std::size_t>(op.axis);
  Dims result = in.dims(0);
  for (std::size_t i = 1; i < in.count(); ++i) {
    in.require_same_dtype(0, i);
    Dims expected = in.dims(i);
    if (expected.size() == result.size()) expected[axis] = result[axis];
    in.require_equal(expected, result, "(but along the axis) operands of shape");
    result[axis] = result[axis] + in.dims(i)[axis];
  }
  return {{in.dtype(0), result}};
}

ValueTypes infer_types(const Operands& in, const NonZero& op) {
  in.require_count(1);
  return {{DataType::kInt64, {Expr(static_cast<std::int64_t>(in.rank(0))), Expr::symbol(op.count_symbol)}}};
}

// The plugin's author vouches for the results.
ValueTypes infer_types(const Operands& in, const Plugin& op) {
  in.require(!op.name.empty(), "needs a name");
  in.require(!op.dtypes.empty() && op.dtypes.size() == op.dims.size(), "has ", op.dtypes.size(), " dtypes and ",
             op.dims.size(), " shapes for its results");
  ValueTypes types;
  for (std::size_t i = 0; i < op.dtypes.size(); ++i) types.push_back({op.dtypes[i], op.dims[i]});
  return types;
}

ValueTypes infer_types(const Operands& in, const NonMaxSuppression& op) {
  in.require_count(2);
  for (std::size_t i = 0; i < 2; ++i) {
    in.require(in.dtype(i) == DataType::kFloat32, "takes float32, not ", to_string(in.dtype(i)));
  }
  in.require_rank(0, 2, "boxes [n, 4]");
  in.require_rank(1, 1, "scores [n]");
  in.require_equal(in.dims(0), {in.dims(1)[0], Expr(4)}, "boxes of shape");
  return {{DataType::kInt64, {Expr::symbol(op.count_symbol)}}};
}

}  // namespace torchtrt::network
