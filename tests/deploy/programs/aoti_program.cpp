// SPDX-License-Identifier: Apache-2.0
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <memory>

#include "program.h"

int main(int argc, const char* argv[]) {
  return run_program(argc, argv, [](const std::string& path) -> Model {
    const c10::InferenceMode no_autograd;
    auto loader = std::make_shared<torch::inductor::AOTIModelPackageLoader>(path);
    return [loader](const at::Tensor& input) {
      const c10::InferenceMode guard;
      return loader->run({input}).at(0);
    };
  });
}
