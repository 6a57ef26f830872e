// SPDX-License-Identifier: Apache-2.0
// Runs a compiled model that was saved as TorchScript: torch::jit::load, as for any other TorchScript file. That the
// program is linked with libtorchtrt_runtime.so is all it takes (CMakeLists.txt); the runtime modes are extras.

#include <torch/script.h>
#include <torchtrt/torch.h>

#include <iostream>

#include "modes.h"
#include "sentence_search.h"

int main(int argc, const char* argv[]) {
  example::Options options;
  if (!example::parse(argc, argv, "torchtrt_runtime_example", "model.ts", options)) return 2;
  if (options.help) return 0;
  try {
    const c10::InferenceMode no_autograd;
    torch::jit::Module model = torch::jit::load(options.model);
    const auto modes = example::enable(options, torchtrt::runtime::engines_of(model));
    const at::Device device = options.cuda ? at::kCUDA : at::kCPU;
    return sentence_search::run("torchtrt_runtime_example", options.folder, [&](const sentence_search::Tokens& tokens) {
      return model.forward({tokens.ids.to(device), tokens.mask.to(device)}).toTensor().cpu();
    });
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
