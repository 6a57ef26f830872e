// SPDX-License-Identifier: Apache-2.0
// Runs a compiled model that was saved as an AOTInductor package: PyTorch's own loader, as for any other package. That
// the program is linked with libtorchtrt_runtime.so is all it takes (CMakeLists.txt).

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>

#include <iostream>

#include "sentence_search.h"

int main(int argc, const char* argv[]) {
  if (argc != 3) {
    std::cerr << "usage: torchtrt_aoti_example <model.pt2> <folder with sentences and queries>\n";
    return 2;
  }
  try {
    const c10::InferenceMode no_autograd;
    torch::inductor::AOTIModelPackageLoader model(argv[1]);
    return sentence_search::run("torchtrt_aoti_example", argv[2], [&](const sentence_search::Tokens& tokens) {
      return model.run({tokens.ids, tokens.mask}).at(0);
    });
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
