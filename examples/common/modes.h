// SPDX-License-Identifier: Apache-2.0
#pragma once

// The command line of the two example programs, and the runtime modes that it asks for.

#include <torchtrt/runtime.h>

#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace example {

struct Options {
  std::string model, folder;
  bool help = false;
  bool cuda = false;
  bool cuda_graphs = false;
  bool safe_mode = false;
  bool output_allocator = false;
  bool pre_allocated_outputs = false;
};

struct Flag {
  std::string_view name;
  bool Options::* value;
  std::string_view meaning;
};
inline constexpr Flag kFlags[] = {
    {"--cuda-graphs", &Options::cuda_graphs, "record each engine into a CUDA graph per combination of input shapes"},
    {"--safe-mode", &Options::safe_mode, "multi-device safe mode: compare devices before each call, move inputs"},
    {"--output-allocator", &Options::output_allocator, "engines allocate their outputs while they run"},
    {"--pre-allocated-outputs", &Options::pre_allocated_outputs, "each call allocates the outputs of the next one"},
    {"--cuda", &Options::cuda, "the model runs on an NVIDIA GPU: its inputs go there, its results come back"},
    {"--help", &Options::help, "this text"},
};

inline void print_usage(std::ostream& out, std::string_view program, std::string_view model) {
  out << "usage: " << program << " [flags] <" << model << "> <folder with sentences and queries>\n";
  for (const Flag& flag : kFlags) {
    out << "  " << flag.name << std::string(25 - flag.name.size(), ' ') << flag.meaning << '\n';
  }
}

/// Reads the command line; flags may stand anywhere. Says what is wrong and what is accepted, and gives false, if it is
/// not understood. `model`: what to call the first argument.
inline bool parse(int argc, const char* const* argv, std::string_view program, std::string_view model,
                  Options& options) {
  std::vector<std::string> files;
  std::string wrong;
  for (const std::string argument : std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
    if (!argument.starts_with('-')) {
      files.push_back(argument);
      continue;
    }
    bool known = false;
    for (const Flag& flag : kFlags) {
      if (argument == flag.name) known = options.*flag.value = true;
    }
    if (!known && wrong.empty()) wrong = "unknown flag " + argument;
  }
  if (wrong.empty() && !options.help && files.size() != 2) {
    wrong = "expected a model and a folder, but got " + std::to_string(files.size()) + " arguments that are no flags";
  }
  if (!wrong.empty()) {
    std::cerr << program << ": " << wrong << '\n';
    print_usage(std::cerr, program, model);
    return false;
  }
  if (options.help) {
    print_usage(std::cout, program, model);
  } else {
    options.model = files[0];
    options.folder = files[1];
  }
  return true;
}

/// Turns the modes on for these engines as long as the result lives.
inline std::vector<torchtrt::runtime::ModeScope> enable(const Options& options,
                                                        std::span<const torchtrt::runtime::EngineHandle> engines) {
  namespace runtime = torchtrt::runtime;
  std::vector<runtime::ModeScope> scopes;
  if (options.safe_mode) scopes.push_back(runtime::scoped_multi_device_safe_mode(true));
  if (options.cuda_graphs) scopes.push_back(runtime::enable_cudagraphs(engines));
  if (options.output_allocator) scopes.push_back(runtime::enable_output_allocator(engines));
  if (options.pre_allocated_outputs) scopes.push_back(runtime::enable_pre_allocated_outputs(engines));
  return scopes;
}

}  // namespace example
