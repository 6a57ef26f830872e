// SPDX-License-Identifier: Apache-2.0
// Tensors from nothing: filled ones, ranges, numbers, triangles.
#include <cmath>

#include "converters/families.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;

ValueId filled(Context& ctx, ValueId number, const Dims& dims) {
  return dims.empty() ? number : ctx.net().add_broadcast(ctx.expand_rank(number, dims.size()), dims);
}

// full(size, value), full_like(self, value), new_full(self, size, value)
template <std::size_t value_position>
void convert_full(Context& ctx, const Node& node) {
  const graph::TensorMeta& meta = ctx.meta(node);
  ctx.set_output(node, filled(ctx, ctx.tensor_or_scalar(node, value_position, "fill_value", meta.dtype, 0), meta.dims));
}

template <int value>
void convert_constant(Context& ctx, const Node& node) {
  const graph::TensorMeta& meta = ctx.meta(node);
  ctx.set_output(node, filled(ctx, ctx.net().add_int_scalar(meta.dtype, value), meta.dims));
}

void convert_scalar_tensor(Context& ctx, const Node& node) {
  ctx.set_output(node, ctx.tensor_or_scalar(node, 0, "s", ctx.meta(node).dtype, 0));
}

ValueId range(Context& ctx, const Expr& length, DataType dtype) {
  return ctx.net().add_layer(network::Fill{network::FillOperation::kLinspace, dtype, length, 0, 1}, {})[0];
}

// arange(end), arange(start, end), arange(start, end, step): start + step * (0, 1, ..).
template <int start_position, int step_position>
void convert_arange(Context& ctx, const Node& node) {
  const graph::TensorMeta& meta = ctx.meta(node);
  if (meta.dtype != DataType::kInt64 && meta.dtype != DataType::kInt32 && meta.dtype != DataType::kFloat32) {
    refuse(Reason::kDataType, node.target, " of ", to_string(meta.dtype), " is not converted");
  }
  ValueId result = range(ctx, meta.dims[0], meta.dtype);
  const auto whole = [&](int position, const char* name) {
    const graph::Argument* argument = ctx.find(node, static_cast<std::size_t>(position), name);
    const auto* number = argument == nullptr ? nullptr : std::get_if<double>(&argument->value);
    if (number != nullptr && std::nearbyint(*number) != *number) {
      refuse(Reason::kAttribute, node.target, ": fractions round differently in engines");
    }
  };
  if (step_position > 0) {
    whole(step_position, "step");
    const ValueId step = ctx.tensor_or_scalar(node, step_position, "step", meta.dtype, 1);
    result = ctx.net().add_elementwise(result, step, ElementWiseOperation::kProd);
  }
  if (start_position >= 0) {
    whole(start_position, "start");
    const ValueId start = ctx.tensor_or_scalar(node, start_position, "start", meta.dtype, 1);
    result = ctx.net().add_elementwise(result, start, ElementWiseOperation::kSum);
  }
  ctx.set_output(node, result);
}

// tril keeps column <= row + diagonal, triu column >= row + diagonal.
template <bool lower>
void convert_triangle(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const Dims dims = ctx.dims_of(x);
  const std::size_t rank = dims.size();
  Network& net = ctx.net();
  Dims row_dims(rank, Expr(1));
  row_dims[rank - 2] = dims[rank - 2];
  Dims column_dims(rank, Expr(1));
  column_dims[rank - 1] = dims[rank - 1];
  const ValueId rows = net.add_reshape(range(ctx, dims[rank - 2], DataType::kInt64), row_dims);
  const ValueId columns = net.add_reshape(range(ctx, dims[rank - 1], DataType::kInt64), column_dims);
  const ValueId diagonal = net.add_int_scalar(DataType::kInt64, ctx.integer(node, 1, "diagonal", 0), rank);
  const ValueId limit = net.add_elementwise(rows, diagonal, ElementWiseOperation::kSum);
  const ValueId dropped =
      net.add_elementwise(columns, limit, lower ? ElementWiseOperation::kGreater : ElementWiseOperation::kLess);
  ctx.set_output(node, net.add_select(dropped, net.add_int_scalar(ctx.dtype_of(x), 0, rank), x));
}

constexpr TableRow kRows[]{
    {"aten.full.default", convert_full<1>},
    {"aten.full_like.default", convert_full<1>},
    {"aten.new_full.default", convert_full<2>},
    {"aten.zeros.default", convert_constant<0>},
    {"aten.zeros_like.default", convert_constant<0>},
    {"aten.new_zeros.default", convert_constant<0>},
    {"aten.ones.default", convert_constant<1>},
    {"aten.ones_like.default", convert_constant<1>},
    {"aten.new_ones.default", convert_constant<1>},
    {"aten.scalar_tensor.default", convert_scalar_tensor},
    {"aten.arange.default", convert_arange<-1, -1>},
    {"aten.arange.start", convert_arange<0, -1>},
    {"aten.arange.start_step", convert_arange<0, 2>},
    {"aten.tril.default", convert_triangle<true>},
    {"aten.triu.default", convert_triangle<false>},
    // Any elements are right; zeros are never taken for a value that an engine does not compute.
    {"aten.empty.memory_format", convert_constant<0>},
    {"aten.empty_like.default", convert_constant<0>},
    {"aten.empty_permuted.default", convert_constant<0>},
    {"aten.empty_strided.default", convert_constant<0>},
    {"aten.new_empty.default", convert_constant<0>},
    {"aten.new_empty_strided.default", convert_constant<0>},
};

}  // namespace

std::span<const TableRow> creation_rows() { return kRows; }

}  // namespace torchtrt::converters
