// SPDX-License-Identifier: Apache-2.0
// The text form of an engine's ATen graph, over a section of weights. What is accepted is not run: which operators a graph
// calls, and with how much memory, is its author's to say.
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include <torchtrt/base/error.h>

#include "torch/aten_program.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace torchtrt;
  alignas(16) static const std::array<std::byte, 64> kWeights{};
  const torch_adapter::AtenProgram::Sections sections{{"weights", kWeights}};
  try {
    const torch_adapter::AtenProgram program({reinterpret_cast<const char*>(data), size}, sections);
  } catch (const Error&) {
  }
  return 0;
}
