// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// What an engine is, as data: read from the vendor's engine once when it is loaded (native.h), so that everything that
/// decides is plain C++ that a test feeds.
namespace torchtrt::tensorrt {

using Shape = std::span<const std::int64_t>;

/// One input of one optimization profile. Of a shape input (InputLayout::is_shape_input) the elements' values, of any other
/// the dims. Empty where nothing can vary.
struct ProfileRange {
  std::vector<std::int64_t> min, max;
};

/// The shapes that one set of kernels was chosen for.
struct Profile {
  std::vector<ProfileRange> inputs;
  std::size_t scratch_bytes = 0;  ///< What a run within the profile needs at most.
};

struct InputLayout {
  std::string name;
  std::size_t item_size = 0;
  bool is_dynamic = false;      ///< Some dim is not fixed by the engine.
  bool is_shape_input = false;  ///< Its elements decide shapes, so the engine reads them on the host.
  bool is_used = true;          ///< TensorRT drops inputs that nothing depends on.
};

struct OutputLayout {
  std::string name;
  std::size_t item_size = 0;
  bool is_on_host = false;  ///< Its elements are sizes, which TensorRT computes on the host when it infers shapes.
};

/// In the order of the package's metadata, whatever the engine's is.
struct Layout {
  std::string engine;  ///< For messages.
  std::vector<InputLayout> inputs;
  std::vector<OutputLayout> outputs;
  std::vector<Profile> profiles;  ///< At least one.
  /// Whether a run's scratch memory is asked for by its shapes. Not with weights that are streamed: what the library says of
  /// shapes does not name the buffers that weights go through.
  bool has_scratch_by_shape = false;
};

/// What a run's inputs are for the choice of a profile: as in ProfileRange, by input.
using InputValues = std::vector<std::vector<std::int64_t>>;

/// The profile that runs these inputs: among those that take them the one with the fewest shapes, which is the most
/// specialized; the first of several. nullopt if none takes them.
std::optional<std::size_t> choose_profile(const Layout& layout, const InputValues& values);

/// Error(kOutOfRange) that says of the first input which no profile takes what came and what the profiles are for.
[[noreturn]] void fail_without_profile(const Layout& layout, const InputValues& values);

/// Error(kOutOfRange) unless there is a profile of that number and it takes these inputs; says what came and what the
/// profile is for.
void check_profile(const Layout& layout, std::size_t profile, const InputValues& values);

std::string text_of(Shape shape);

}  // namespace torchtrt::tensorrt
