// SPDX-License-Identifier: Apache-2.0
#include "network/operands.h"

namespace torchtrt::network {
namespace {

// The elements from the first to the last that a window touches.
Expr reach(const Expr& window, std::int64_t dilation) { return (window - 1) * Expr(dilation) + 1; }

// The operand's rank is that of [n, c, spatial..] with 1 to 3 spatial dims; returns their number.
std::size_t spatial_rank(const Operands& in) {
  in.require(in.rank(0) >= 3 && in.rank(0) <= 5, "takes [n, c, 1 to 3 spatial dims], not ", to_string(in.dims(0)));
  return in.rank(0) - 2;
}

// The rules that convolution and deconvolution share; returns the number of spatial dims.
template <typename Kind>
std::size_t check_convolution(const Operands& in, const Kind& op) {
  in.require_count(2, 3);
  in.require_floating(0);
  for (std::size_t i = 1; i < in.count(); ++i) in.require_same_dtype(0, i);
  const std::size_t spatial = spatial_rank(in);
  in.require_rank(1, in.rank(0), "weights of its operand's rank");
  in.require_spatial(op.stride, spatial, 1, "stride");
  in.require_spatial(op.dilation, spatial, 1, "dilation");
  in.require_spatial(op.pre_padding, spatial, 0, "pre_padding");
  in.require_spatial(op.post_padding, spatial, 0, "post_padding");
  in.require(op.groups >= 1, "needs at least one group, not ", op.groups);
  return spatial;
}

// PyTorch refuses windows that are larger than what they move over, too.
void require_windows(const Operands& in, const Dims& result) {
  for (std::size_t i = 2; i < result.size(); ++i) {
    if (result[i].is_constant() && result[i].value() < 1) {
      in.require(false, "has a window that does not fit: it would give ", to_string(result));
    }
  }
}

void check_bias(const Operands& in, const Expr& channels) {
  if (in.count() == 3) in.require_equal(in.dims(2), {channels}, "a bias of shape");
}

}  // namespace

ValueTypes infer_types(const Operands& in, const Convolution& op) {
  const std::size_t spatial = check_convolution(in, op);
  const Dims& x = in.dims(0);
  const Dims& w = in.dims(1);
  in.require_equal(w[1] * Expr(op.groups), x[1], "input channels in weights (times groups) and operand");
  in.require(!w[0].is_constant() || w[0].value() % op.groups == 0, "cannot part ", w[0], " output channels into ",
             op.groups, " groups");
  check_bias(in, w[0]);
  Dims result{x[0], w[0]};
  for (std::size_t i = 0; i < spatial; ++i) {
    const Expr padded = x[i + 2] + Expr(op.pre_padding[i]) + Expr(op.post_padding[i]);
    result.push_back(floor_div(padded - reach(w[i + 2], op.dilation[i]), Expr(op.stride[i])) + 1);
  }
  require_windows(in, result);
  return {{in.dtype(0), result}};
}

ValueTypes infer_types(const Operands& in, const Deconvolution& op) {
  const std::size_t spatial = check_convolution(in, op);
  in.require_spatial(op.output_padding, spatial, 0, "output_padding");
  const Dims& x = in.dims(0);
  const Dims& w = in.dims(1);
  in.require_equal(w[0], x[1], "input channels in weights and operand");
  in.require(!x[1].is_constant() || x[1].value() % op.groups == 0, "cannot part ", x[1], " input channels into ",
             op.groups, " groups");
  const Expr channels = w[1] * Expr(op.groups);
  check_bias(in, channels);
  Dims result{x[0], channels};
  for (std::size_t i = 0; i < spatial; ++i) {
    const Expr covered = (x[i + 2] - 1) * Expr(op.stride[i]) + reach(w[i + 2], op.dilation[i]);
    result.push_back(covered - Expr(op.pre_padding[i]) - Expr(op.post_padding[i]) + Expr(op.output_padding[i]));
  }
  require_windows(in, result);
  return {{in.dtype(0), result}};
}

ValueTypes infer_types(const Operands& in, const Pooling& op) {
  in.require_count(1);
  in.require(op.type == PoolingType::kMax ? in.dtype(0) != DataType::kBool : is_floating(in.dtype(0)),
             op.type == PoolingType::kMax ? "takes numbers, not " : "averages floating values, not ",
             to_string(in.dtype(0)));
  const std::size_t spatial = spatial_rank(in);
  in.require_spatial(op.window, spatial, 1, "window");
  in.require_spatial(op.stride, spatial, 1, "stride");
  in.require_spatial(op.dilation, spatial, 1, "dilation");
  in.require_spatial(op.pre_padding, spatial, 0, "pre_padding");
  in.require_spatial(op.post_padding, spatial, 0, "post_padding");
  Dims result{in.dims(0)[0], in.dims(0)[1]};
  for (std::size_t i = 0; i < spatial; ++i) {
    const Expr& size = in.dims(0)[i + 2];
    const Expr stride(op.stride[i]);
    const Expr room =
        size + Expr(op.pre_padding[i]) + Expr(op.post_padding[i]) - reach(Expr(op.window[i]), op.dilation[i]);
    if (!op.ceil_mode) {
      result.push_back(floor_div(room, stride) + 1);
      continue;
    }
    // As many windows as start before the end of the input or of the left padding (PyTorch's rule).
    const Expr windows = floor_div(room + stride - 1, stride) + 1;
    const Expr starting_inside = floor_div(size + Expr(op.pre_padding[i]) - 1, stride) + 1;
    result.push_back(min(windows, starting_inside));
  }
  require_windows(in, result);
  return {{in.dtype(0), result}};
}

ValueTypes infer_types(const Operands& in, const Resize& op) {
  in.require_count(1);
  in.require_floating(0);
  const std::size_t spatial = spatial_rank(in);
  in.require(op.size.size() == spatial, "needs ", spatial, " entries in size, not ", op.size.size());
  in.require(op.scales.empty() || op.scales.size() == spatial, "needs no scales or ", spatial, ", not ",
             op.scales.size());
  Dims result{in.dims(0)[0], in.dims(0)[1]};
  result.insert(result.end(), op.size.begin(), op.size.end());
  return {{in.dtype(0), result}};
}

}  // namespace torchtrt::network
