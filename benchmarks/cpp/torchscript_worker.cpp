// SPDX-License-Identifier: Apache-2.0
// The C++ contender of benchmarks/bench.py: loads model.ts and inputs.pt from a folder, then answers each line
// `run SECONDS` with the nanoseconds of every inference. The protocol is worker.py's.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <torch/script.h>

namespace {

double peak_megabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) {
      return std::stod(line.substr(6)) / 1024.0;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: torchscript_worker FOLDER\n";
    return 2;
  }
  const std::string folder = argv[1];
  const c10::InferenceMode inference_mode;
  using Clock = std::chrono::steady_clock;

  const auto load_start = Clock::now();
  torch::jit::Module model = torch::jit::load(folder + "/model.ts");
  torch::jit::Module holder = torch::jit::load(folder + "/inputs.pt");
  std::vector<c10::IValue> inputs;
  for (int i = 0; holder.hasattr("input" + std::to_string(i)); ++i) {
    inputs.push_back(holder.attr("input" + std::to_string(i)));
  }
  model.forward(inputs);
  const double load_seconds = std::chrono::duration<double>(Clock::now() - load_start).count();
  for (int i = 0; i < 3; ++i) {  // the TorchScript interpreter optimizes during its first calls
    model.forward(inputs);
  }
  std::printf("{\"load_to_first_s\": %.4f}\n", load_seconds);
  std::fflush(stdout);

  std::vector<long long> times;
  for (std::string line; std::getline(std::cin, line);) {
    const double seconds = std::stod(line.substr(line.find(' ')));
    const auto deadline = Clock::now() + std::chrono::duration<double>(seconds);
    times.clear();
    while (times.size() < 3 || (Clock::now() < deadline && times.size() < 20000)) {
      const auto start = Clock::now();
      model.forward(inputs);
      times.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
    }
    std::printf("{\"ns\": [");
    for (std::size_t i = 0; i < times.size(); ++i) {
      std::printf("%s%lld", i == 0 ? "" : ", ", times[i]);
    }
    std::printf("], \"peak_mb\": %.1f}\n", peak_megabytes());
    std::fflush(stdout);
  }
  return 0;
}
