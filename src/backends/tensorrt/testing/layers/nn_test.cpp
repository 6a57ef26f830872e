// SPDX-License-Identifier: Apache-2.0
// Convolution, pooling, resampling, normalization and attention: which dtypes build.
#include <gtest/gtest.h>

#include "backends/tensorrt/testing/layers/harness.h"

namespace torchtrt::tensorrt::testing {
namespace {

using network::NormalizationKind;
using network::PoolingType;

std::vector<Case> convolutions() {
  const auto convolve = [](std::size_t spatial, std::int64_t groups, bool constant_weights, bool bias) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      Dims shape{n, 4}, kernel{6, 4 / groups};
      for (std::size_t i = 0; i < spatial; ++i) {
        shape.emplace_back(8 + static_cast<std::int64_t>(i));
        kernel.emplace_back(3);
      }
      const ValueId x = net.add_input("x", dtype, shape);
      std::vector<ValueId> inputs{x, constant_weights ? zeros(net, kernel, dtype) : net.add_input("w", dtype, kernel)};
      if (bias) inputs.push_back(zeros(net, {6}, dtype));
      const auto each = [&](std::int64_t value) { return std::vector<std::int64_t>(spatial, value); };
      net.add_layer(network::Convolution{each(2), each(1), each(1), each(2), groups}, inputs);
    };
  };
  return {{"conv1d", kFloats, convolve(1, 1, true, true)},
          {"conv2d", kFloats, convolve(2, 1, true, true)},
          {"conv3d", kFloats, convolve(3, 1, true, true)},
          {"grouped", kFloats, convolve(2, 2, true, false)},
          {"grouped1d", kFloats, convolve(1, 2, true, false)},
          {"weights_are_an_input", kFloats, convolve(2, 1, false, true)},
          {"weights1d_are_an_input", kFloats, convolve(1, 1, false, false)},
          {"dynamic_image", kFloats, [](Network& net, DataType dtype, const Expr& n) {
             const ValueId x = net.add_input("x", dtype, {1, 3, n * Expr(8), n + Expr(7)});
             net.add_input("y", DataType::kFloat32, {n});
             net.add_layer(network::Convolution{{2, 1}, {2, 1}, {1, 0}, {1, 0}, 1},
                           {x, zeros(net, {4, 3, 3, 3}, dtype)});
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtConvolution, convolutions());

std::vector<Case> deconvolutions() {
  const auto deconvolve = [](std::size_t spatial, std::int64_t groups, std::int64_t padding,
                             std::int64_t output_padding) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      Dims shape{n, 4}, kernel{4, 6 / groups};
      for (std::size_t i = 0; i < spatial; ++i) {
        shape.emplace_back(5);
        kernel.emplace_back(3);
      }
      const ValueId x = net.add_input("x", dtype, shape);
      const auto each = [&](std::int64_t value) { return std::vector<std::int64_t>(spatial, value); };
      net.add_layer(
          network::Deconvolution{each(2), each(1), each(padding), each(padding), each(output_padding), groups},
          {x, zeros(net, kernel, dtype), zeros(net, {6}, dtype)});
    };
  };
  return {{"deconv1d", kFloats, deconvolve(1, 1, 1, 1)},
          {"deconv2d", kFloats, deconvolve(2, 1, 1, 1)},
          {"deconv3d", kFloats, deconvolve(3, 1, 0, 0)},
          {"grouped", kFloats, deconvolve(2, 2, 0, 0)},
          {"output_padding_without_padding", kNone, deconvolve(2, 1, 0, 1)},
          {"dilated", kNone, [](Network& net, DataType dtype, const Expr& n) {
             const ValueId x = net.add_input("x", dtype, {n, 4, 5, 5});
             net.add_layer(network::Deconvolution{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {0, 0}, 1},
                           {x, zeros(net, {4, 6, 3, 3}, dtype)});
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtDeconvolution, deconvolutions());

std::vector<Case> poolings() {
  const auto pool = [](PoolingType type, std::size_t spatial, std::int64_t padding, bool ceil, bool count_padding,
                       std::int64_t dilation = 1, std::int64_t stride = 2) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      Dims shape{n, 4};
      for (std::size_t i = 0; i < spatial; ++i) shape.emplace_back(8);
      const auto each = [&](std::int64_t value) { return std::vector<std::int64_t>(spatial, value); };
      net.add_layer(network::Pooling{type, each(3), each(stride), each(dilation), each(padding), each(padding), ceil,
                                     count_padding},
                    {net.add_input("x", dtype, shape)});
    };
  };
  return {{"max1d", kFloats, pool(PoolingType::kMax, 1, 1, false, false)},
          {"max2d", kFloats, pool(PoolingType::kMax, 2, 1, false, false)},
          {"max3d", kFloats, pool(PoolingType::kMax, 3, 1, false, false)},
          {"max_ceil", kFloats, pool(PoolingType::kMax, 2, 0, true, false)},
          {"max_ceil_padded", kNone, pool(PoolingType::kMax, 2, 1, true, false)},
          {"max_ceil_far", kNone, pool(PoolingType::kMax, 2, 0, true, false, 1, 4)},
          {"max_dilated", kNone, pool(PoolingType::kMax, 2, 0, false, false, 2)},
          {"average1d", kFloats, pool(PoolingType::kAverage, 1, 1, false, true)},
          {"average2d", kFloats, pool(PoolingType::kAverage, 2, 1, false, true)},
          {"average2d_without_padding", kFloats, pool(PoolingType::kAverage, 2, 1, false, false)},
          {"average3d", kFloats, pool(PoolingType::kAverage, 3, 1, false, false)},
          {"average_ceil", kFloats, pool(PoolingType::kAverage, 2, 0, true, true)},
          {"average_ceil_padded", kNone, pool(PoolingType::kAverage, 2, 1, true, true)}};
}
TORCHTRT_TENSORRT_CASES(TensorRtPooling, poolings());

std::vector<Case> resizes() {
  using network::CoordinateTransformation;
  using network::InterpolationMode;
  const auto resize = [](InterpolationMode mode, CoordinateTransformation transformation, Dims from, Dims to,
                         std::vector<double> scales = {}) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      Dims shape = from;
      shape.insert(shape.begin(), {n, 3});
      net.add_layer(network::Resize{mode, transformation, to, scales, -0.75}, {net.add_input("x", dtype, shape)});
    };
  };
  const auto dynamic = [](InterpolationMode mode, bool scaled) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      network::Resize op{mode, CoordinateTransformation::kHalfPixel, {n * Expr(2), 6}, {}, -0.75};
      if (scaled) op.scales = {2, 2};
      net.add_layer(op, {net.add_input("x", dtype, {1, 3, n, 3})});
    };
  };
  using enum InterpolationMode;
  using enum CoordinateTransformation;
  return {{"nearest1d", kFloats, resize(kNearest, kAsymmetric, {4}, {7})},
          {"nearest2d", kFloats, resize(kNearest, kAsymmetric, {4, 5}, {8, 9})},
          {"nearest3d", kFloats, resize(kNearest, kAsymmetric, {4, 5, 2}, {8, 9, 1})},
          {"linear1d", kFloats, resize(kLinear, kHalfPixel, {4}, {7})},
          {"linear2d", kFloats, resize(kLinear, kAlignCorners, {4, 5}, {8, 9})},
          {"linear2d_half", kFloats, resize(kLinear, kHalfPixel, {4, 5}, {8, 9})},
          {"linear3d", kFloats, resize(kLinear, kHalfPixel, {4, 5, 2}, {8, 9, 4})},
          {"cubic2d", kFloats, resize(kCubic, kHalfPixel, {4, 5}, {8, 9})},
          {"scaled", kFloats, resize(kNearest, kAsymmetric, {4, 5}, {8, 10}, {2, 2})},
          {"scaled_unevenly", kFloats, resize(kLinear, kHalfPixel, {5, 5}, {7, 10}, {1.5, 2})},
          {"dynamic_image", kFloats, dynamic(kLinear, false)},
          {"dynamic_scaled", kFloats, dynamic(kNearest, true)}};
}
TORCHTRT_TENSORRT_CASES(TensorRtResize, resizes());

std::vector<Case> normalizations() {
  const auto normalize = [](NormalizationKind kind, Dims shape, std::vector<std::int64_t> axes, Dims affine,
                            std::size_t parameters, std::int64_t groups = 2) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      Dims dims = shape;
      dims.insert(dims.begin(), n);
      std::vector<ValueId> inputs{net.add_input("x", dtype, dims)};
      for (std::size_t i = 0; i < parameters; ++i) inputs.push_back(zeros(net, affine, dtype));
      net.add_layer(network::Normalization{kind, axes, kind == NormalizationKind::kGroup ? groups : 1, 1e-5}, inputs);
    };
  };
  using enum NormalizationKind;
  return {{"layer", kFloats, normalize(kLayer, {4, 6}, {2}, {6}, 2)},
          {"layer_two_axes", kFloats, normalize(kLayer, {4, 6}, {1, 2}, {4, 6}, 2)},
          {"layer_scale", kFloats, normalize(kLayer, {4, 6}, {2}, {6}, 1)},
          {"layer_plain", kFloats, normalize(kLayer, {4, 6}, {2}, {6}, 0)},
          {"layer_of_a_matrix", kFloats, normalize(kLayer, {6}, {1}, {6}, 2)},
          {"layer_dynamic_axis", kFloats,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_layer(network::Normalization{kLayer, {1}, 1, 1e-5}, {net.add_input("x", dtype, {3, n})});
           }},
          {"rms", kFloats, normalize(kRms, {4, 6}, {2}, {6}, 1)},
          {"rms_plain", kFloats, normalize(kRms, {4, 6}, {1, 2}, {4, 6}, 0)},
          {"group", kFloats, normalize(kGroup, {4, 5, 6}, {}, {4}, 2)},
          {"group_plain", kFloats, normalize(kGroup, {4, 5, 6}, {}, {4}, 0)},
          {"group1d", kFloats, normalize(kGroup, {4, 5}, {}, {4}, 2)},
          {"group_of_a_matrix", kFloats, normalize(kGroup, {4}, {}, {4}, 2)},
          {"one_group", kFloats, normalize(kGroup, {4, 5, 6}, {}, {4}, 2, 1)},
          {"one_group_plain", kFloats, normalize(kGroup, {4, 5}, {}, {4}, 0, 1)},
          {"one_group_of_a_matrix", kFloats, normalize(kGroup, {4}, {}, {4}, 2, 1)}};
}
TORCHTRT_TENSORRT_CASES(TensorRtNormalization, normalizations());

std::vector<Case> attentions() {
  // A mask of the given dims, of bool or of the operands' dtype.
  enum class Mask { kNo, kBool, kAdded };
  const auto attend = [](bool causal, std::int64_t key_heads, Mask mask, std::size_t mask_rank, bool share_mask) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      const ValueId q = net.add_input("q", dtype, {n, 4, 5, 16});
      const ValueId k = net.add_input("k", dtype, {n, key_heads, 7, 16});
      std::vector<ValueId> inputs{q, k, net.add_input("v", dtype, {n, key_heads, 7, 16})};
      const Dims dims = share_mask ? Dims{n, 1, 1, 7} : Dims{n, 4, 5, 7};
      if (mask != Mask::kNo) {
        inputs.push_back(net.add_input("mask", mask == Mask::kBool ? DataType::kBool : dtype,
                                       Dims(dims.end() - static_cast<std::ptrdiff_t>(mask_rank), dims.end())));
      }
      net.add_layer(network::Attention{0.25, causal}, inputs);
    };
  };
  const auto widths = [](std::int64_t queries, std::int64_t values) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      const ValueId q = net.add_input("q", dtype, {n, 2, 4, queries});
      const ValueId k = net.add_input("k", dtype, {n, 2, 5, queries});
      const ValueId v = net.add_input("v", dtype, {n, 2, 5, values});
      net.add_layer(network::Attention{1, false}, {q, k, v, net.add_input("mask", DataType::kBool, {4, 5})});
    };
  };
  return {{"plain", kFloats, attend(false, 4, Mask::kNo, 0, false)},
          {"causal", kFloats, attend(true, 4, Mask::kNo, 0, false)},
          {"grouped", kFloats, attend(false, 2, Mask::kNo, 0, false)},
          {"masked", kFloats, attend(false, 4, Mask::kBool, 4, false)},
          {"masked_by_key", kFloats, attend(false, 4, Mask::kBool, 4, true)},
          {"masked_matrix", kFloats, attend(false, 4, Mask::kBool, 2, false)},
          {"added", kFloats, attend(false, 4, Mask::kAdded, 4, true)},
          {"added_row", kFloats, attend(false, 4, Mask::kAdded, 1, false)},
          {"causal_and_masked", kNone, attend(true, 4, Mask::kBool, 4, false)},
          {"wide_values", kFloats, widths(8, 24)},
          {"narrow_values", kFloats, widths(24, 8)},
          {"dynamic_lengths", kFloats, [](Network& net, DataType dtype, const Expr& n) {
             const Expr length = n * Expr(2);
             net.add_input("x", DataType::kFloat32, {n});
             const ValueId q = net.add_input("q", dtype, {1, 2, length, 8});
             const ValueId k = net.add_input("k", dtype, {1, 2, n, 8});
             const ValueId mask = net.add_input("mask", DataType::kBool, {1, 1, length, n});
             net.add_layer(network::Attention{1, false}, {q, k, net.add_input("v", dtype, {1, 2, n, 8}), mask});
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtAttention, attentions());

}  // namespace
}  // namespace torchtrt::tensorrt::testing
