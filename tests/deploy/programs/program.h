// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the deploy programs share. <program> <model> [library to dlopen first]: runs the model for two batch sizes,
// prints every output element and then the shared libraries in the process.

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <set>
#include <string>

using Model = std::function<at::Tensor(const at::Tensor&)>;

inline int run_program(int argc, const char* argv[], const std::function<Model(const std::string&)>& load) {
  if (argc < 2) return 2;
  if (argc > 2 && dlopen(argv[2], RTLD_NOW | RTLD_LOCAL) == nullptr) {
    std::cerr << dlerror() << '\n';
    return 3;
  }
  try {
    const Model model = load(argv[1]);
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
