// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include <torchtrt/base/export.h>
#include <torchtrt/converters/context.h>

/// Operators that no layer expresses, inside an engine: a plugin layer that calls PyTorch's own operator.
namespace torchtrt::converters {

/// The operators that torchtrt's plugins take ("aten.scatter_reduce.two"), sorted.
TORCHTRT_API std::span<const std::string_view> plugin_targets();
TORCHTRT_API bool has_plugin(std::string_view target);

/// Converts the node to a layer that calls its operator when the engine runs. The operator has a kernel for the device
/// that the engine runs on, writes to none of its arguments, and its results' shapes do not depend on data. Refuses what
/// the plugin cannot call. `library`: what brings the operator besides libtorchtrt_plugins.so, for messages; may be empty.
TORCHTRT_API void convert_to_plugin(Context& ctx, const graph::Node& node, std::string_view library = "");

}  // namespace torchtrt::converters
