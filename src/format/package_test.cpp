// SPDX-License-Identifier: Apache-2.0
#include "format/package.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>

#include <gtest/gtest.h>

#include <torchtrt/base/error.h>

namespace torchtrt::format {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

template <typename Function>
ErrorCode code_of(Function&& function, std::string* message = nullptr) {
  try {
    function();
  } catch (const Error& error) {
    if (message != nullptr) {
      *message = error.what();
    }
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

/// The package whose file of format 1 is in tests/golden. Every field has a value that is not its default.
struct Sample {
  Metadata metadata;
  std::vector<std::byte> payload;
};
Sample sample() {
  Sample result;
  PayloadWriter writer;
  TargetSpec target{"openvino", "OpenVINO 2026.4.1", {{"inference_precision", "float32"}}, {}};
  target.sections.push_back(writer.append("model", bytes_of("<net/>")));
  target.sections.push_back(writer.append("weights", bytes_of("0123456789")));
  target.sections.push_back(writer.append("empty", {}));
  result.payload = writer.take();
  Metadata& metadata = result.metadata;
  metadata.name = "encoder é";
  metadata.inputs = {{"ids", DataType::kInt64, {Expr::symbol("batch"), Expr::symbol("s1")}, "", Interval{0, 30521}},
                     {"mask", DataType::kFloat32, {Expr::symbol("batch"), 1, Expr::symbol("s1") + 2}, "", std::nullopt},
                     {"n", DataType::kInt64, {}, "u0", std::nullopt}};
  metadata.outputs = {{"embedding", DataType::kBFloat16, {Expr::symbol("batch"), floor_div(Expr::symbol("s1"), 2)}},
                      {"found", DataType::kBool, {Expr::symbol("u7")}}};
  metadata.symbols = {{"batch", {1, 8, 32}}, {"s1", {8, 64, 128}}, {"u0", {}}};
  metadata.targets = {target};
  metadata.requires_output_allocator = true;
  metadata.device = "cuda";
  metadata.producer = {{"torchtrt", "0.1.0"}, {"torch", "2.15.0"}};
  return result;
}

/// The package whose file of format 2 is there: the same, with what that format added.
Sample sample2() {
  Sample result = sample();
  PayloadWriter writer;
  for (SectionSpec& section : result.metadata.targets[0].sections) {
    section = writer.append(section.name, section_bytes(section, result.payload));
  }
  NetworkSpec network{{{"inference_precision", "auto"}}, {}};
  network.sections.push_back(writer.append("network", bytes_of("network \"encoder\"\n")));
  network.sections.push_back(writer.append("constants", bytes_of("abcdefgh")));
  result.payload = writer.take();
  result.metadata.network = network;
  return result;
}

void expect_equal(const Metadata& a, const Metadata& b) {
  // The writer is a function of the value, and every field of the sample shows in its text.
  EXPECT_EQ(write_metadata(a), write_metadata(b));
}

std::vector<std::byte> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  const std::vector<char> chars{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(chars));
  return {bytes.begin(), bytes.end()};
}

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u);       // the check value of the CRC catalogues
  EXPECT_EQ(crc32c(std::vector<std::byte>(32)), 0x8A9136AAu);  // RFC 3720, B.4: 32 bytes of zeros
}

TEST(Crc32c, SeedContinues) {
  const std::string text = "a text of some length, to be cut anywhere";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::string_view whole = text;
    EXPECT_EQ(crc32c(bytes_of(whole.substr(cut)), crc32c(bytes_of(whole.substr(0, cut)))), crc32c(bytes_of(text)));
  }
}

TEST(Metadata, RoundTrip) {
  const Sample original = sample();
  const std::string text = write_metadata(original.metadata);
  const Metadata read = read_metadata(text, original.payload.size());
  expect_equal(read, original.metadata);
  EXPECT_EQ(read.inputs[1].dims[2], Expr::symbol("s1") + 2);
  EXPECT_EQ(read.inputs[0].value_range, (Interval{0, 30521}));
  EXPECT_EQ(read.symbols.at("u0").max, Interval::kUnbounded);
  EXPECT_EQ(read.targets[0].sections[1].offset, 64u);
}

TEST(Metadata, UnknownFieldsAreIgnored) {
  const Sample original = sample();
  std::string text = write_metadata(original.metadata);
  text.insert(text.size() - 1, R"(,"a_field_of_2030":{"x":[1,2,{"y":null}]})");
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", crc32c(bytes_of(std::string_view(text).substr(19))));
  text.replace(11, 8, digits);
  expect_equal(read_metadata(text, original.payload.size()), original.metadata);
}

TEST(Metadata, EveryBitFlipAndTruncationIsAnError) {
  const Sample original = sample();
  const std::string text = write_metadata(original.metadata);
  for (std::size_t i = 0; i < text.size(); ++i) {
    EXPECT_EQ(code_of([&] { read_metadata(std::string_view(text).substr(0, i), original.payload.size()); }),
              ErrorCode::kDataLoss);
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      EXPECT_EQ(code_of([&] { read_metadata(flipped, original.payload.size()); }), ErrorCode::kDataLoss)
          << i << "." << bit;
    }
  }
}

/// Metadata text around `body`, with a right checksum, so that the reader's own checks are what is tested.
std::string signed_text(const std::string& body) {
  std::string text = R"({"crc32c":"00000000",)" + body;
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", crc32c(bytes_of(std::string_view(text).substr(19))));
  return text.replace(11, 8, digits);
}

std::string minimal(const std::string& inputs, const std::string& symbols = "{}", const std::string& sections = "[]",
                    int minimum_reader = 1) {
  return signed_text(R"("format_version":9,"minimum_reader":)" + std::to_string(minimum_reader) +
                     R"(,"name":"e","device":"cpu","inputs":)" + inputs + R"(,"outputs":[],"symbols":)" + symbols +
                     R"(,"targets":[{"backend":"b","sections":)" + sections + "}]}");
}

TEST(Metadata, HostileTextIsAnErrorThatSaysWhere) {
  const auto refused = [](const std::string& text, const std::string& part, ErrorCode code = ErrorCode::kDataLoss) {
    std::string message;
    EXPECT_EQ(code_of([&] { read_metadata(text, 100); }, &message), code) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  EXPECT_NO_THROW(read_metadata(minimal("[]"), 0));
  refused("", "checksum");
  refused("{}", "checksum");
  refused(signed_text("nonsense"), "JSON");
  refused(signed_text(R"("x":)" + std::string(100000, '[')), "nested");
  refused(minimal("[]", "{}", "[]", 3), "format 2", ErrorCode::kVersionMismatch);
  refused(minimal("{}"), "an array at inputs");
  refused(minimal("[7]"), "an object at inputs[0]");
  refused(minimal(R"([{"name":"x","shape":[]}])"), "inputs[0].dtype is missing");
  refused(minimal(R"([{"name":"x","dtype":"float31","shape":[]}])"), "a dtype at inputs[0].dtype");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":[-1]}])"), "not negative at inputs[0].shape");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":[18446744073709551615]}])"), "64 bits");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":["s0 +"]}])"), "expected");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":["s0"]}])"), "symbol s0 has no range");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":["2*s0"]}])", R"({"s0":{"min":0,"opt":1,"max":2}})"),
          "no input determines symbol s0");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":["s0"]}])", R"({"s0":{"min":3,"opt":1,"max":2}})"),
          "min <= max");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":[2],"shape_symbol":"s0"}])"), "0-d int64");
  refused(minimal(R"([{"name":"x","dtype":"bool","shape":[2],"value_range":{"min":0,"max":1}}])"), "range of integers");
  refused(minimal("[]", "{}", R"([{"name":"w","offset":64,"size":37,"crc32c":0}])"), "sections[0].offset");
  refused(minimal("[]", "{}", R"([{"name":"w","offset":1,"size":3,"crc32c":0}])"), "multiple of 64");
  refused(minimal("[]", "{}", R"([{"name":"w","offset":0,"size":18446744073709551615,"crc32c":0}])"), "size");
  // Products that would expand to 2^n terms.
  std::string product = "(a+b)";
  for (int i = 0; i < 60; ++i) {
    product += "*(a" + std::to_string(i) + "+b)";
  }
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":[")" + product + R"("]}])"), "too large");
  refused(minimal(R"([{"name":"x","dtype":"float32","shape":[")" + std::string(900, '(') + R"("]}])"), "expected");
}

TEST(Metadata, WriterRefusesContradictions) {
  Metadata metadata = sample().metadata;
  metadata.targets.clear();
  EXPECT_EQ(code_of([&] { write_metadata(metadata); }), ErrorCode::kInvalidArgument);
  metadata = sample().metadata;
  metadata.name = "\xff";
  EXPECT_EQ(code_of([&] { write_metadata(metadata); }), ErrorCode::kInvalidArgument);
}

TEST(FileImage, RoundTrip) {
  const Sample original = sample();
  const std::string text = write_metadata(original.metadata);
  const std::vector<std::byte> image = write_file_image(text, original.payload);
  const FileImage read = read_file_image(image);
  EXPECT_EQ(read.metadata, text);
  EXPECT_TRUE(std::equal(read.payload.begin(), read.payload.end(), original.payload.begin(), original.payload.end()));
  EXPECT_EQ((read.payload.data() - image.data()) % 64, 0);
}

/// Everything that a loader does with a file.
void load(std::span<const std::byte> image) {
  const FileImage file = read_file_image(image);
  const Metadata metadata = read_metadata(file.metadata, file.payload.size());
  for (const SectionSpec& section : metadata.targets.at(0).sections) {
    verify_checksum(section, file.payload, metadata.name);
  }
}

TEST(FileImage, EveryTruncationIsAnError) {
  const Sample original = sample();
  std::vector<std::byte> image = write_file_image(write_metadata(original.metadata), original.payload);
  ASSERT_NO_THROW(load(image));
  for (std::size_t size = 0; size < image.size(); ++size) {
    EXPECT_EQ(code_of([&] { load(std::span(image).first(size)); }), ErrorCode::kDataLoss) << size;
  }
  image.push_back(std::byte{0});
  EXPECT_EQ(code_of([&] { load(image); }), ErrorCode::kDataLoss) << "bytes after the end";
}

TEST(FileImage, EveryBitFlipIsAnErrorOrInPadding) {
  const Sample original = sample();
  const std::string text = write_metadata(original.metadata);
  std::vector<std::byte> image = write_file_image(text, original.payload);
  const std::size_t payload_offset = image.size() - original.payload.size();
  const auto is_padding = [&](std::size_t i) {
    return (i >= 64 + text.size() && i < payload_offset) || (i >= payload_offset + 6 && i < payload_offset + 64) ||
           i >= payload_offset + 74;
  };
  for (std::size_t i = 0; i < image.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      image[i] ^= std::byte(1 << bit);
      if (is_padding(i)) {
        EXPECT_NO_THROW(load(image));
      } else {
        const ErrorCode code = code_of([&] { load(image); });
        EXPECT_TRUE(code == ErrorCode::kDataLoss || code == ErrorCode::kVersionMismatch) << i << "." << bit;
      }
      image[i] ^= std::byte(1 << bit);
    }
  }
}

TEST(FileImage, RandomBytesAreErrors) {
  std::mt19937 random(20261123);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::byte> image(random() % 300);
    std::generate(image.begin(), image.end(), [&] { return std::byte(random()); });
    const std::string_view magic = "TRCHTRT\n";
    std::copy_n(bytes_of(magic).begin(), std::min(image.size(), magic.size()), image.begin());
    code_of([&] { load(image); });
  }
}

TEST(Metadata, CarriesTheNetworkWhereThereIsOne) {
  const Sample original = sample2();
  const std::string text = write_metadata(original.metadata);
  const Metadata read = read_metadata(text, original.payload.size());
  ASSERT_TRUE(read.network.has_value());
  EXPECT_EQ(read.network->settings.at("inference_precision"), "auto");
  EXPECT_EQ(read.network->sections.at(1).name, "constants");
  expect_equal(read, original.metadata);
  EXPECT_EQ(code_of([&] { read_metadata(text, original.payload.size() - 1); }), ErrorCode::kDataLoss)
      << "its sections are inside of the payload";
}

// Files of every released format stay readable. The files are never rewritten; a new format adds one. To make the first
// file of a new format: TORCHTRT_WRITE_GOLDEN=<path> torchtrt_runtime_tests --gtest_filter=Golden.Format<number>
void check_golden(const std::string& name, const Sample& expected) {
  if (const char* path = std::getenv("TORCHTRT_WRITE_GOLDEN")) {
    const std::vector<std::byte> image = write_file_image(write_metadata(expected.metadata), expected.payload);
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
  }
  const std::vector<std::byte> image = read_file(std::string(TORCHTRT_SOURCE_DIR) + "/tests/golden/" + name);
  ASSERT_NO_THROW(load(image));
  const FileImage file = read_file_image(image);
  expect_equal(read_metadata(file.metadata, file.payload.size()), expected.metadata);
  EXPECT_TRUE(std::ranges::equal(file.payload, expected.payload));
}
TEST(Golden, Format1) { check_golden("engine_format1.trtpkg", sample()); }
TEST(Golden, Format2) { check_golden("engine_format2.trtpkg", sample2()); }

TEST(Inputs, Guards) {
  const auto with = [](const std::string& guards) {
    return R"({"name":"","device":"cpu","inputs":[{"name":"x","dtype":"float32","shape":["s0"]}],)"
           R"("symbols":{"s0":{"min":1,"opt":2,"max":8}})" +
           guards + "}";
  };
  EXPECT_TRUE(read_inputs(with("")).guards.empty());
  const Metadata read = read_inputs(
      with(R"(,"guards":[{"text":"odd","any":[{"value":"s0 % 2","is":"nonzero"},{"value":"s0","is":"zero"}]}])"));
  ASSERT_EQ(read.guards.size(), 1U);
  EXPECT_EQ(read.guards[0].text, "odd");
  ASSERT_EQ(read.guards[0].any.size(), 2U);
  EXPECT_EQ(read.guards[0].any[0].value, mod(Expr::symbol("s0"), 2));
  EXPECT_EQ(read.guards[0].any[0].sign, GuardSpec::Sign::kNonzero);
  EXPECT_EQ(read.guards[0].any[1].sign, GuardSpec::Sign::kZero);
  for (const char* damaged : {R"(,"guards":1)", R"(,"guards":[{"text":"t"}])", R"(,"guards":[{"text":"t","any":[1]}])",
                              R"(,"guards":[{"text":"t","any":[{"value":"s0 %","is":"zero"}]}])",
                              R"(,"guards":[{"text":"t","any":[{"value":"s0","is":"negative"}]}])"}) {
    EXPECT_EQ(code_of([&] { read_inputs(with(damaged)); }), ErrorCode::kDataLoss) << damaged;
  }
}

}  // namespace
}  // namespace torchtrt::format
