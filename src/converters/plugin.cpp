// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/converters/plugin.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include <torchtrt/backend/plugin.h>

#include "converters/operator_call.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using nlohmann::json;

// What models need and no layer expresses. Each computes the same on CPU and CUDA, writes to no argument, and gives
// results whose shapes follow from its arguments'.
constexpr auto kTargets = std::to_array<std::string_view>({
    "aten._upsample_bicubic2d_aa.default",
    "aten._upsample_bicubic2d_aa.vec",
    "aten._upsample_bilinear2d_aa.default",
    "aten._upsample_bilinear2d_aa.vec",
    "aten.grid_sampler_2d.default",
    "aten.grid_sampler_3d.default",
    "aten.scatter_add.default",
    "aten.scatter_reduce.two",
    "aten.upsample_bicubic2d.default",
    "aten.upsample_bicubic2d.vec",
    "aten.upsample_bilinear2d.default",
    "aten.upsample_bilinear2d.vec",
    "aten.upsample_linear1d.default",
    "aten.upsample_linear1d.vec",
    "aten.upsample_nearest1d.default",
    "aten.upsample_nearest1d.vec",
    "aten.upsample_nearest2d.default",
    "aten.upsample_nearest2d.vec",
    "aten.upsample_nearest3d.default",
    "aten.upsample_nearest3d.vec",
    "aten.upsample_trilinear3d.default",
    "aten.upsample_trilinear3d.vec",
});
static_assert(std::is_sorted(kTargets.begin(), kTargets.end()));

// Writes arguments, and collects the tensors and the symbolic sizes among them.
class ArgumentWriter {
 public:
  explicit ArgumentWriter(Context& ctx) : ctx_(ctx) {}

  json write(const graph::Argument& argument) {
    return write_argument<json>(argument, [this](const auto& value) { return number_of(value); });
  }
  [[nodiscard]] const std::vector<ValueId>& tensors() const { return tensors_; }
  [[nodiscard]] const std::vector<Expr>& sizes() const { return sizes_; }

 private:
  std::size_t number_of(const Expr& value) {
    sizes_.push_back(value);
    return sizes_.size() - 1;
  }
  std::size_t number_of(const graph::Ref& value) {
    const ValueId* id = ctx_.lookup(value.name);
    TORCHTRT_CHECK(id != nullptr, kInternal, "%", value.name, " has no value yet");
    tensors_.push_back(*id);
    return tensors_.size() - 1;
  }

  Context& ctx_;
  std::vector<ValueId> tensors_;
  std::vector<Expr> sizes_;
};

// The symbols whose values an engine knows before it reaches the node.
std::set<std::string> known_symbols(const Network& net) {
  std::set<std::string> known;
  for (const network::Input& input : net.inputs()) {
    if (input.is_shape_tensor) known.insert(input.symbol);
    for (const Expr& dim : net.value(input.value).dims) dim.collect_symbols(known);
  }
  for (const network::Layer& layer : net.layers()) {
    if (const std::string* symbol = network::count_symbol(layer.op)) known.insert(*symbol);
  }
  return known;
}

}  // namespace

std::span<const std::string_view> plugin_targets() { return kTargets; }

bool has_plugin(std::string_view target) { return std::binary_search(kTargets.begin(), kTargets.end(), target); }

void convert_to_plugin(Context& ctx, const Node& node, std::string_view library) {
  ArgumentWriter writer(ctx);
  const std::optional<std::string> called = operator_name(node.target);
  if (!called) refuse(Reason::kAttribute, node.target, " is no overload of an operator");
  json text{{"operator", *called}, {"arguments", json::array()}, {"keywords", json::object()}};
  for (const graph::Argument& argument : node.args) text["arguments"].push_back(writer.write(argument));
  for (const auto& [name, argument] : node.kwargs) text["keywords"][name] = writer.write(argument);

  network::Plugin plugin;
  const std::set<std::string> known = known_symbols(ctx.net());
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const graph::TensorMeta& meta = ctx.meta(node, i);
    std::set<std::string> used;
    for (const Expr& dim : meta.dims) dim.collect_symbols(used);
    if (!std::includes(known.begin(), known.end(), used.begin(), used.end())) {
      refuse(Reason::kDataDependent, node.target, " has a result of shape ", to_string(meta.dims),
             ", which depends on data");
    }
    plugin.dtypes.push_back(meta.dtype);
    plugin.dims.push_back(meta.dims);
    text["results"].push_back(to_string(meta.dtype));
  }
  std::vector<ValueId> operands = writer.tensors();
  text["inputs"] = json::array();
  for (const ValueId operand : operands) text["inputs"].push_back(to_string(ctx.dtype_of(operand)));
  if (!writer.sizes().empty()) {
    text["has_sizes"] = true;
    operands.push_back(ctx.net().add_layer(network::ShapeOf{writer.sizes(), false}, {})[0]);
  }
  if (!library.empty()) text["library"] = library;

  plugin.name = backend::kTorchOperatorPlugin;
  plugin.attributes = text.dump();
  plugin.library = backend::kPluginsLibrary;
  // What the plugin cannot call must not first be found where the engine runs.
  try {
    (void)backend::make_plugin(plugin.name, plugin.attributes, plugin.library, ctx.net().name());
  } catch (const Error& error) {
    refuse(Reason::kAttribute, error.what());
  }
  const std::vector<ValueId> results = ctx.net().add_layer(std::move(plugin), std::move(operands));
  for (std::size_t i = 0; i < results.size(); ++i) ctx.set_output(node, results[i], i);
}

}  // namespace torchtrt::converters
