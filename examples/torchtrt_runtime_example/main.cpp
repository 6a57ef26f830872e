// SPDX-License-Identifier: Apache-2.0
// Runs a compiled model that was saved as TorchScript: torch::jit::load, as for any other TorchScript file. That the
// program is linked with libtorchtrt_runtime.so is all it takes (CMakeLists.txt).

#include <torch/script.h>

#include <iostream>

#include "sentence_search.h"

int main(int argc, const char* argv[]) {
  if (argc != 3) {
    std::cerr << "usage: torchtrt_runtime_example <model.ts> <folder with sentences and queries>\n";
    return 2;
  }
  try {
    const c10::InferenceMode no_autograd;
    torch::jit::Module model = torch::jit::load(argv[1]);
    return sentence_search::run("torchtrt_runtime_example", argv[2], [&](const sentence_search::Tokens& tokens) {
      return model.forward({tokens.ids, tokens.mask}).toTensor();
    });
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
