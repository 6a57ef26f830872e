// SPDX-License-Identifier: Apache-2.0
// Runs a compiled model that was saved as an AOTInductor package: PyTorch's own loader, as for any other package. That
// the program is linked with libtorchtrt_runtime.so is all it takes (CMakeLists.txt); the runtime modes are extras.

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torchtrt/torch.h>

#include <iostream>

#include "modes.h"
#include "sentence_search.h"

int main(int argc, const char* argv[]) {
  example::Options options;
  if (!example::parse(argc, argv, "torchtrt_aoti_example", "model.pt2", options)) return 2;
  if (options.help) return 0;
  try {
    const c10::InferenceMode no_autograd;
    torch::inductor::AOTIModelPackageLoader model(options.model);
    const auto modes = example::enable(options, torchtrt::runtime::engines_of_package(options.model));
    const at::Device device = options.cuda ? at::kCUDA : at::kCPU;
    return sentence_search::run("torchtrt_aoti_example", options.folder, [&](const sentence_search::Tokens& tokens) {
      return model.run({tokens.ids.to(device), tokens.mask.to(device)}).at(0).cpu();
    });
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
