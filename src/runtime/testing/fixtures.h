// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "format/package.h"

/// Engines of the fake backend (fake_executor.cpp) for tests.
namespace torchtrt::runtime::testing {

/// A payload at an address of the required alignment.
class AlignedBytes {
 public:
  explicit AlignedBytes(const std::vector<std::byte>& bytes)
      : size_(bytes.size()), memory_(std::aligned_alloc(64, (bytes.size() + 63) / 64 * 64 + 64), &std::free) {
    std::memcpy(memory_.get(), bytes.data(), bytes.size());
  }
  [[nodiscard]] std::span<const std::byte> span() const {
    return {static_cast<const std::byte*>(memory_.get()), size_};
  }
  [[nodiscard]] std::byte* data() { return static_cast<std::byte*>(memory_.get()); }
  [[nodiscard]] std::shared_ptr<const void> owner() const { return memory_; }

 private:
  std::size_t size_;
  std::shared_ptr<void> memory_;
};

/// Float input "x" of shape [batch, 3], batch in 1..32; float output "y" of the same shape.
struct FakeEngineSpec {
  std::string name = "engine";
  float bias = 1.5F;
  std::map<std::string, std::string> properties{{"operation", "add"}};
  Dims output{Expr::symbol("batch"), 3};
  std::string device = "cpu";
  bool requires_output_allocator = false;
  std::string backend = "fake";
};

struct FakeEngineState {
  format::Metadata metadata;
  std::vector<std::byte> payload;
  [[nodiscard]] std::string text() const { return format::write_metadata(metadata); }
};

inline FakeEngineState fake_engine(const FakeEngineSpec& spec = {}) {
  format::PayloadWriter writer;
  FakeEngineState state;
  format::TargetSpec target{spec.backend, "the fake builder", spec.properties, {}};
  target.sections.push_back(writer.append("bias", std::as_bytes(std::span(&spec.bias, 1))));
  state.metadata.name = spec.name;
  state.metadata.device = spec.device;
  state.metadata.requires_output_allocator = spec.requires_output_allocator;
  state.metadata.inputs = {{"x", DataType::kFloat32, {Expr::symbol("batch"), 3}, "", std::nullopt}};
  state.metadata.outputs = {{"y", DataType::kFloat32, spec.output}};
  state.metadata.symbols = {{"batch", {1, 8, 32}}};
  state.metadata.targets = {target};
  state.payload = writer.take();
  return state;
}

}  // namespace torchtrt::runtime::testing
