// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the deploy programs share. <program> <model> [libraries to dlopen first]: runs the model for two batch sizes,
// prints every output element and then the shared libraries in the process. With BAD_INPUTS in its environment it first
// runs inputs that are to be refused, and prints what was said.

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

using Model = std::function<at::Tensor(const at::Tensor&)>;

inline void run_bad_inputs(const Model& model) {
  const at::Tensor good = at::ones({3, 10});
  const std::vector<std::pair<const char*, at::Tensor>> inputs = {
      {"dtype", good.to(at::kDouble)}, {"rank", good.unsqueeze(0)},  {"size", at::ones({3, 11})},
      {"range", at::ones({65, 10})},   {"empty", at::ones({0, 10})}, {"device", good.to(at::kMeta)},
      {"layout", good.to_sparse()},    {"undefined", at::Tensor()},
  };
  for (const auto& [name, input] : inputs) {
    std::string said;
    try {
      model(input);
      said = "nothing";
    } catch (const std::exception& error) {
      said = error.what();
    }
    for (char& c : said) c = c == '\n' ? ' ' : c;
    std::printf("refused %s %s\n", name, said.c_str());
  }
}

inline int run_program(int argc, const char* argv[], const std::function<Model(const std::string&)>& load) {
  if (argc < 2) return 2;
  for (int i = 2; i < argc; ++i) {
    if (dlopen(argv[i], RTLD_NOW | RTLD_LOCAL) == nullptr) {
      std::cerr << dlerror() << '\n';
      return 3;
    }
  }
  try {
    const Model model = load(argv[1]);
    if (std::getenv("BAD_INPUTS") != nullptr) run_bad_inputs(model);
    for (const std::int64_t batch : {2, 5}) {
      const at::Tensor input = at::arange(batch * 10, at::kFloat).reshape({batch, 10}).div(10).sin();
      const at::Tensor output = model(input).contiguous();
      std::printf("output %lld", static_cast<long long>(batch));
      for (std::int64_t i = 0; i < output.numel(); ++i) std::printf(" %.9g", output.const_data_ptr<float>()[i]);
      std::printf("\n");
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  std::set<std::string> libraries;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (const auto path = line.find('/'); path != std::string::npos) libraries.insert(line.substr(path));
  }
  for (const std::string& library : libraries) std::printf("mapped %s\n", library.c_str());
  return 0;
}
