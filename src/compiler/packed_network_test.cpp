// SPDX-License-Identifier: Apache-2.0
// Networks that are packed into a package and read back: those of tests/network with elements for their constants, and
// packages that are damaged.
#include "compiler/packed_network.h"

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/base/error.h>

#include "base/testing/text_cases.h"

namespace torchtrt::compiler {
namespace {

using testing::error_of;
using testing::TextCase;

struct Package {
  format::Metadata metadata;
  std::vector<std::byte> payload;
};

Package pack(const network::Network& network, const backend::BuildSettings& settings = {}) {
  Package package;
  package.metadata.name = network.name();
  package.metadata.producer = {{"torchtrt", TORCHTRT_VERSION}};
  format::PayloadWriter writer;
  writer.append("of a target", std::as_bytes(std::span("some bytes before")));
  package.metadata.network = pack_network(network, settings, writer);
  package.payload = writer.take();
  return package;
}

// Elements that differ from constant to constant; small, so that they are valid as indices, sizes and the like.
network::Weights elements(const std::string& name, std::size_t bytes) {
  auto storage = std::make_shared<std::vector<unsigned char>>(bytes);
  std::size_t random = std::hash<std::string>{}(name);
  for (std::size_t i = 0; i < bytes; i += 8) {
    random = random * 6364136223846793005U + 1;
    (*storage)[i] = static_cast<unsigned char>(random >> 63);
  }
  return {std::shared_ptr<const void>(storage, storage->data()), bytes};
}

void expect_same_elements(const network::Network& a, const network::Network& b) {
  ASSERT_EQ(a.layers().size(), b.layers().size());
  for (std::size_t i = 0; i < a.layers().size(); ++i) {
    const auto* ours = std::get_if<network::Constant>(&a.layers()[i].op);
    if (ours == nullptr) continue;
    const network::Weights& theirs = *std::get<network::Constant>(b.layers()[i].op).weights;
    ASSERT_EQ(ours->weights->bytes, theirs.bytes);
    const auto bytes_of = [](const network::Weights& weights) {
      return std::string_view(static_cast<const char*>(weights.data.get()), weights.bytes);  // may be empty and null
    };
    EXPECT_EQ(bytes_of(*ours->weights), bytes_of(theirs)) << a.layers()[i].name;
    EXPECT_FALSE(theirs.digest.has_value());
  }
}

class PackedNetworkTest : public ::testing::TestWithParam<TextCase> {};

TEST_P(PackedNetworkTest, ComesBack) {
  const network::Network original =
      network::parse(GetParam().first,
                     [](const std::string& name, std::size_t bytes, std::uint64_t) { return elements(name, bytes); });
  const Package package = pack(original);
  const UnpackedNetwork unpacked = unpack_network(package.metadata, package.payload);
  EXPECT_EQ(network::print(unpacked.network), network::print(original));  // with the digests of the elements
  expect_same_elements(original, unpacked.network);
}

std::vector<TextCase> readable_networks() {
  std::vector<TextCase> cases = testing::load_text_cases("network");
  std::erase_if(cases, [](const TextCase& c) { return c.kind != "ok" && c.kind != "refined"; });
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Cases, PackedNetworkTest, ::testing::ValuesIn(readable_networks()), testing::test_name);

// Two constants of one storage, one of another, one in the text.
network::Network sample() {
  network::Network net("sample");
  const network::ValueId x = net.add_input("x", DataType::kFloat32, {4, 8});
  const network::Weights shared = elements("w", 256);
  const network::ValueId w1 = net.add_constant({8, 8}, DataType::kFloat32, shared, "w1");
  const network::ValueId w2 = net.add_constant({8, 8}, DataType::kFloat32, shared, "w2");
  const network::ValueId w3 = net.add_constant({5, 8}, DataType::kFloat32, elements("other", 160), "w3");
  using Op = network::MatrixOperation;
  network::ValueId y = net.add_matrix_multiply(x, Op::kNone, w1, Op::kNone);
  y = net.add_matrix_multiply(y, Op::kNone, w2, Op::kTranspose);
  y = net.add_matrix_multiply(y, Op::kNone, w3, Op::kTranspose);
  y = net.add_elementwise(y, net.add_scalar(DataType::kFloat32, 2, 2), network::ElementWiseOperation::kProd);
  net.mark_output(y, "y");
  return net;
}

TEST(PackedNetwork, SharedStorageIsPackedOnceAndAligned) {
  const network::Network original = sample();
  const Package package = pack(original);
  for (const format::SectionSpec& section : package.metadata.network->sections) {
    EXPECT_EQ(section.offset % 64, 0u);
    if (section.name == "constants") {
      EXPECT_EQ(section.size, 256u + 160u);
    }
  }
  const UnpackedNetwork unpacked = unpack_network(package.metadata, package.payload);
  expect_same_elements(original, unpacked.network);
  EXPECT_EQ(unpacked.network.constant(network::ValueId{1})->data, unpacked.network.constant(network::ValueId{2})->data);
}

TEST(PackedNetwork, SettingsComeBack) {
  backend::BuildSettings settings;
  settings.workspace_size = std::size_t{1} << 33;
  settings.optimization_level = 0;
  settings.use_fp32_acc = false;
  settings.compute_capabilities = {89, 120};
  settings.inference_precision = "bfloat16";
  settings.profiles = {{{"s0", {1, 2, 4}}}, {{"s0", {2, 8, 1 << 20}}, {"s1", {0, 1, 1}}}};
  settings.hardware_compatible = settings.version_compatible = settings.weight_streaming = true;
  settings.timing_cache_path = "/of/this/machine";
  const Package package = pack(sample(), settings);
  const backend::BuildSettings read = unpack_network(package.metadata, package.payload).settings;
  EXPECT_EQ(read.workspace_size, settings.workspace_size);
  EXPECT_EQ(read.optimization_level, settings.optimization_level);
  EXPECT_FALSE(read.use_fp32_acc);
  EXPECT_EQ(read.compute_capabilities, settings.compute_capabilities);
  EXPECT_EQ(read.inference_precision, settings.inference_precision);
  ASSERT_EQ(read.profiles.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(read.profiles[i].size(), settings.profiles[i].size());
    for (const auto& [symbol, range] : settings.profiles[i]) {
      const network::SymbolRange& its = read.profiles[i].at(symbol);
      EXPECT_EQ(std::tie(its.min, its.opt, its.max), std::tie(range.min, range.opt, range.max)) << symbol;
    }
  }
  EXPECT_TRUE(read.hardware_compatible && read.version_compatible && read.weight_streaming);
  EXPECT_EQ(read.timing_cache_path, "");
  const Package plain = pack(sample());
  EXPECT_EQ(unpack_network(plain.metadata, plain.payload).settings.optimization_level, std::nullopt);
  EXPECT_TRUE(unpack_network(plain.metadata, plain.payload).settings.use_fp32_acc);
}

ErrorCode code_of(const Package& package) {
  try {
    unpack_network(package.metadata, package.payload);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST(PackedNetwork, EveryBitFlipIsAnErrorOrInPadding) {
  Package package = pack(sample());
  std::vector<bool> covered(package.payload.size());
  for (const format::SectionSpec& section : package.metadata.network->sections) {
    std::fill_n(covered.begin() + static_cast<std::ptrdiff_t>(section.offset), section.size, true);
  }
  for (std::size_t i = 0; i < package.payload.size(); ++i) {
    if (!covered[i]) continue;
    package.payload[i] ^= std::byte{4};
    EXPECT_EQ(code_of(package), ErrorCode::kDataLoss) << i;
    package.payload[i] ^= std::byte{4};
  }
}

TEST(PackedNetwork, TruncationsAndMissingSectionsAreErrors) {
  const Package whole = pack(sample());
  for (std::size_t size = 0; size < whole.payload.size(); size += 16) {
    Package cut = whole;
    cut.payload.resize(size);
    EXPECT_EQ(code_of(cut), ErrorCode::kDataLoss) << size;
  }
  for (std::size_t i = 0; i < whole.metadata.network->sections.size(); ++i) {
    Package less = whole;
    less.metadata.network->sections.erase(less.metadata.network->sections.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_EQ(code_of(less), ErrorCode::kDataLoss);
  }
  Package none = whole;
  none.metadata.network.reset();
  EXPECT_EQ(code_of(none), ErrorCode::kInvalidArgument);
}

// The package with another section in place of one of its own, checksum and all.
Package with_section(Package package, const std::string& name, const std::string& text) {
  format::PayloadWriter writer;
  for (format::SectionSpec& section : package.metadata.network->sections) {
    const auto bytes =
        section.name == name ? std::as_bytes(std::span(text)) : format::section_bytes(section, package.payload);
    section = writer.append(section.name, bytes);
  }
  package.payload = writer.take();
  return package;
}

TEST(PackedNetwork, HostileSectionsAreErrors) {
  const Package whole = pack(sample());
  ASSERT_NO_THROW(unpack_network(whole.metadata, whole.payload));
  for (const char* index :
       {"", "[]", "7", "nonsense", "{}", R"({"w1":0,"w2":0})", R"({"w1":0,"w2":0,"w3":"256"})",
        R"({"w1":0,"w2":0,"w3":-64})", R"({"w1":0,"w2":0,"w3":1})", R"({"w1":0,"w2":0,"w3":320})",
        R"({"w1":0,"w2":64,"w3":256})", R"({"w1":0,"w2":0,"w3":18446744073709551552})", R"({"w1":0,"w2":0,"w3":0})"}) {
    EXPECT_EQ(code_of(with_section(whole, "index", index)), ErrorCode::kDataLoss) << index;
  }
  for (const std::string text : {"", "nonsense",
                                 "network \"sample\"\n%w: float32[99999999999, 99999999999] = constant() "
                                 "{digest = 0x1}\n",
                                 "network \"sample\"\n%w1: float32[1099511627776] = constant() {digest = 0x1}\n"}) {
    EXPECT_EQ(code_of(with_section(whole, "network", text)), ErrorCode::kDataLoss) << text;
  }
  EXPECT_EQ(code_of(with_section(whole, "constants", "too short")), ErrorCode::kDataLoss);
  for (const char* setting : {"optimization_level", "workspace_size", "compute_capabilities"}) {
    Package odd = whole;
    odd.metadata.network->settings[setting] = "a lot";
    EXPECT_EQ(code_of(odd), ErrorCode::kDataLoss);
  }
}

TEST(PackedNetwork, OfAnotherReleaseSaysSo) {
  Package package = with_section(pack(sample()), "network", "network \"sample\"\nlayers of 2030\n");
  package.metadata.producer["torchtrt"] = "7.0.0";
  EXPECT_EQ(code_of(package), ErrorCode::kVersionMismatch);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "was written by torchtrt 7.0.0",
                      error_of([&] { unpack_network(package.metadata, package.payload); }));
}

TEST(PackedNetwork, NetworksWithoutTheirElementsAreRefused) {
  const network::Network text_only =
      network::parse("network \"n\"\n%w: float32[99] = constant() {digest = 0x1}\noutput %w as \"w\"\n");
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "are elsewhere", error_of([&] { pack(text_only); }));
}

}  // namespace
}  // namespace torchtrt::compiler
