// SPDX-License-Identifier: Apache-2.0
// Like jit_program.cpp, with engines that do not fit rebuilt; then says which targets ran.
#include <torch/script.h>
#include <torchtrt/torch.h>

#include "program.h"

int main(int argc, const char* argv[]) {
  torchtrt::runtime::set_rebuild_engines(true);
  std::vector<torchtrt::runtime::EngineHandle> engines;
  const int status = run_program(argc, argv, [&](const std::string& path) -> Model {
    torch::jit::Module module = torch::jit::load(path);
    engines = torchtrt::runtime::engines_of(module);
    return [module](const at::Tensor& input) mutable {
      const c10::InferenceMode no_autograd;
      return module.forward({input}).toTensor();
    };
  });
  for (const auto& engine : engines) std::printf("target %s\n", engine.target().c_str());
  return status;
}
