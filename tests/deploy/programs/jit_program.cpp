// SPDX-License-Identifier: Apache-2.0
#include <torch/script.h>

#include "program.h"

int main(int argc, const char* argv[]) {
  return run_program(argc, argv, [](const std::string& path) -> Model {
    return [module = torch::jit::load(path)](const at::Tensor& input) mutable {
      const c10::InferenceMode no_autograd;
      return module.forward({input}).toTensor();
    };
  });
}
