// SPDX-License-Identifier: Apache-2.0
// Upsampling by nearest, linear and cubic interpolation.
#include <cmath>
#include <optional>

#include "converters/constants.h"
#include "converters/families.h"
#include "converters/guards.h"
#include "converters/operands.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::CoordinateTransformation;
using network::InterpolationMode;

// What a resizing node asks for: the output size, and the scale factors where the user gave those instead.
struct Target {
  ValueId x;
  Dims size;
  std::vector<std::optional<double>> factors;
};

// The .vec overloads take output_size or scale_factors; the others a size and, one argument each, the factors it came from.
Target read_target(Context& ctx, const Node& node, std::size_t spatial, std::size_t first_factor) {
  Target target{ctx.tensor(node, 0, "input"), {}, std::vector<std::optional<double>>(spatial)};
  require_floating(ctx, node, target.x);
  if (ctx.rank_of(target.x) != spatial + 2) {
    refuse(Reason::kAttribute, node.target, " takes an input of rank ", spatial + 2, ", not ", ctx.rank_of(target.x));
  }
  const Dims& captured = ctx.meta(node).dims;
  target.size.assign(captured.begin() + 2, captured.end());
  require_elements(ctx, target.x, 2);
  for (const Expr& size : target.size) require_elements(ctx, size);
  if (!node.target.ends_with(".vec")) {
    for (std::size_t i = 0; i < spatial; ++i) {
      if (!ctx.is_none(node, first_factor + i, "scales"))
        target.factors[i] = ctx.number(node, first_factor + i, "scales");
    }
  } else if (ctx.is_none(node, 1, "output_size")) {
    const graph::Argument* argument = ctx.find(node, first_factor, "scale_factors");
    const auto* list = argument == nullptr ? nullptr : std::get_if<graph::List>(&argument->value);
    if (list == nullptr || list->size() != spatial)
      refuse(Reason::kAttribute, node.target, " without a size or scales");
    for (std::size_t i = 0; i < spatial; ++i) {
      if (const auto* number = std::get_if<double>(&(*list)[i].value)) {
        target.factors[i] = *number;
      } else if (const auto* integer = std::get_if<std::int64_t>(&(*list)[i].value)) {
        target.factors[i] = static_cast<double>(*integer);
      } else {
        refuse(Reason::kDynamicShape, node.target, " with a scale that is no constant");
      }
    }
  }
  return target;
}

// With factors, PyTorch's coordinates follow from them and not from the sizes, which are rounded down. The layer goes by
// sizes: the two must say the same.
void require_exact_factors(Context& ctx, const Node& node, const Target& target) {
  const Dims& dims = ctx.dims_of(target.x);
  for (std::size_t i = 0; i < target.factors.size(); ++i) {
    if (!target.factors[i]) continue;
    const double factor = *target.factors[i];
    const Expr& in = dims[i + 2];
    const bool whole = factor >= 1 && factor == std::floor(factor) && factor < 1e6;
    if (whole && target.size[i] == in * Expr(static_cast<std::int64_t>(factor))) continue;
    if (in.is_constant() && target.size[i].is_constant() &&
        static_cast<double>(in.value()) * factor == static_cast<double>(target.size[i].value())) {
      continue;
    }
    refuse(in.is_constant() ? Reason::kAttribute : Reason::kDynamicShape, node.target, " by ", factor, " of size ", in,
           ": the result's size is rounded, and engines have no coordinates for that");
  }
}

// aten.upsample_{linear1d,bilinear2d,trilinear3d,bicubic2d}(input, output_size, align_corners, scales..)
template <InterpolationMode mode, std::size_t spatial>
void convert_interpolation(Context& ctx, const Node& node) {
  const Target target = read_target(ctx, node, spatial, 3);
  require_exact_factors(ctx, node, target);
  network::Resize op;
  op.mode = mode;
  op.transformation = ctx.boolean(node, 2, "align_corners") ? CoordinateTransformation::kAlignCorners
                                                            : CoordinateTransformation::kHalfPixel;
  op.size = target.size;
  ctx.set_output(node, ctx.net().add_layer(std::move(op), {target.x})[0]);
}

enum class Nearest : std::uint8_t { kFloor, kExact };

// Where PyTorch reads for each position of a nearest-neighbor result, in its own float32 arithmetic. nullopt: its
// kernels, which one depends on strides, read at different places for one of them.
std::optional<std::vector<std::int64_t>> nearest_sources(Nearest kind, std::size_t spatial, std::int64_t in,
                                                         std::int64_t out, std::optional<double> factor) {
  const float scale =
      factor && *factor > 0 ? static_cast<float>(1.0 / *factor) : static_cast<float>(in) / static_cast<float>(out);
  const bool exact_scale = static_cast<double>(scale) * static_cast<double>(out) == static_cast<double>(in);
  std::vector<std::int64_t> sources;
  for (std::int64_t i = 0; i < out; ++i) {
    std::int64_t source = 0;
    if (kind == Nearest::kExact) {
      const double at = (static_cast<double>(i) + 0.5) * static_cast<double>(scale);
      // Kernels take 0.5 off and add it again, each time rounded to float32's 24 bits.
      const double error = exact_scale && at < 0x1p22 ? 0 : (at + 1) * 0x1p-22;
      if (std::floor(at - error) != std::floor(at + error)) return std::nullopt;
      source = static_cast<std::int64_t>(std::floor(at));
    } else {
      source = static_cast<std::int64_t>(std::floor(static_cast<float>(i) * scale));
    }
    source = std::min(source, in - 1);
    if (kind == Nearest::kFloor && spatial > 1 && (out == in || out == 2 * in)) {
      // Of images some kernels go by such sizes alone and some by the factor, of which the sizes are rounded (3 * 1.1).
      if (source != (out == in ? i : i / 2)) return std::nullopt;
    }
    sources.push_back(source);
  }
  return sources;
}

// The whole factor by which PyTorch repeats every element, if that is what the table of sources says.
std::optional<std::int64_t> repetition(const std::vector<std::int64_t>& sources, std::int64_t in) {
  const auto out = static_cast<std::int64_t>(sources.size());
  if (in == 0 || out % in != 0) return std::nullopt;
  for (std::int64_t i = 0; i < out; ++i) {
    if (sources[static_cast<std::size_t>(i)] != i / (out / in)) return std::nullopt;
  }
  return out / in;
}

// aten.upsample_nearest{1,2,3}d and aten._upsample_nearest_exact{1,2,3}d(input, output_size, scales..): repetitions by
// the resize layer, anything else, where its rounding would decide, by a gather at the positions that PyTorch computes.
template <Nearest kind, std::size_t spatial>
void convert_nearest(Context& ctx, const Node& node) {
  const Target target = read_target(ctx, node, spatial, 2);
  const Dims dims = ctx.dims_of(target.x);
  std::vector<std::vector<std::int64_t>> tables(spatial);
  bool repeats = true;
  for (std::size_t i = 0; i < spatial; ++i) {
    const Expr& in = dims[i + 2];
    const Expr& out = target.size[i];
    if (in.is_constant() && out.is_constant()) {
      auto sources = nearest_sources(kind, spatial, in.value(), out.value(), target.factors[i]);
      if (!sources) {
        refuse(Reason::kAttribute, node.target, " from size ", in, " to ", out,
               " reads where PyTorch's kernels do not agree: between two elements, or by a factor that is rounded");
      }
      tables[i] = std::move(*sources);
      repeats = repeats && repetition(tables[i], in.value()).has_value();
      continue;
    }
    // A power of two is exact in PyTorch's arithmetic, whatever the size.
    bool power_of_two = out == in;
    for (std::int64_t factor = 2; factor <= 16; factor *= 2) power_of_two = power_of_two || out == in * Expr(factor);
    if (!power_of_two) {
      refuse(Reason::kDynamicShape, node.target, " from the dynamic size ", in, " to ", out,
             " rounds its coordinates in a way that engines do not");
    }
  }
  if (repeats) {
    network::Resize op;
    op.mode = InterpolationMode::kNearest;
    op.transformation = CoordinateTransformation::kAsymmetric;
    op.size = target.size;
    ctx.set_output(node, ctx.net().add_layer(std::move(op), {target.x})[0]);
    return;
  }
  ValueId result = target.x;
  for (std::size_t i = 0; i < spatial; ++i) {
    if (tables[i].empty()) {
      refuse(Reason::kDynamicShape, node.target, " of static and dynamic sizes together has no engine layer");
    }
    result = ctx.net().add_gather(result, add_integers(ctx.net(), tables[i]), static_cast<std::int64_t>(i) + 2);
  }
  ctx.set_output(node, result);
}

// Kept whole, so that it is one node in PyTorch and not a hundred: its indices come from data that nothing bounds.
void convert_grid_sampler(Context&, const Node& node) {
  refuse(Reason::kDataDependent, node.target, " reads where its grid says, which no engine layer does");
}

constexpr auto kLinear = InterpolationMode::kLinear;
constexpr TableRow kRows[]{
    {"aten._upsample_nearest_exact1d.default", convert_nearest<Nearest::kExact, 1>},
    {"aten._upsample_nearest_exact1d.vec", convert_nearest<Nearest::kExact, 1>},
    {"aten._upsample_nearest_exact2d.default", convert_nearest<Nearest::kExact, 2>},
    {"aten._upsample_nearest_exact2d.vec", convert_nearest<Nearest::kExact, 2>},
    {"aten._upsample_nearest_exact3d.default", convert_nearest<Nearest::kExact, 3>},
    {"aten._upsample_nearest_exact3d.vec", convert_nearest<Nearest::kExact, 3>},
    {"aten.grid_sampler_2d.default", convert_grid_sampler},
    {"aten.grid_sampler_3d.default", convert_grid_sampler},
    {"aten.upsample_bicubic2d.default", convert_interpolation<InterpolationMode::kCubic, 2>},
    {"aten.upsample_bicubic2d.vec", convert_interpolation<InterpolationMode::kCubic, 2>},
    {"aten.upsample_bilinear2d.default", convert_interpolation<kLinear, 2>},
    {"aten.upsample_bilinear2d.vec", convert_interpolation<kLinear, 2>},
    {"aten.upsample_linear1d.default", convert_interpolation<kLinear, 1>},
    {"aten.upsample_linear1d.vec", convert_interpolation<kLinear, 1>},
    {"aten.upsample_nearest1d.default", convert_nearest<Nearest::kFloor, 1>},
    {"aten.upsample_nearest1d.vec", convert_nearest<Nearest::kFloor, 1>},
    {"aten.upsample_nearest2d.default", convert_nearest<Nearest::kFloor, 2>},
    {"aten.upsample_nearest2d.vec", convert_nearest<Nearest::kFloor, 2>},
    {"aten.upsample_nearest3d.default", convert_nearest<Nearest::kFloor, 3>},
    {"aten.upsample_nearest3d.vec", convert_nearest<Nearest::kFloor, 3>},
    {"aten.upsample_trilinear3d.default", convert_interpolation<kLinear, 3>},
    {"aten.upsample_trilinear3d.vec", convert_interpolation<kLinear, 3>},
};

}  // namespace

std::span<const TableRow> resize_rows() { return kRows; }

}  // namespace torchtrt::converters
