// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <torchtrt/network/network.h>

#include <string>

namespace torchtrt::network {
namespace {

constexpr const char* kText = R"(network "n"
symbols s0=[1,2,8]
input %x: float32[s0, 4]
%w: float32[4, 4] = constant() {elements = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}
%scale: float32[1, 4] = constant() {elements = [1, 2, 3, 4]}
%product: float32[s0, 4] = matrix_multiply(%x, %w)
%y: float32[s0, 4] = elementwise(%product, %scale) {operation = prod}  # model.py:1
output %y as "y"
)";

std::string with(const std::string& from, const std::string& to) {
  std::string text = kText;
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  EXPECT_NE(text, kText) << from;
  return text;
}

std::uint64_t digest_of(const std::string& text, const std::string& hidden = "w") {
  const Network net = parse(text);
  net.verify();
  return structure_digest(net, [&](ValueId id) { return net.value(id).name == hidden; });
}

TEST(Structure, IsTheSameForOtherHiddenElements) {
  EXPECT_EQ(digest_of(kText), digest_of(with("[1, 0, 0", "[5, 6, 7")));
  EXPECT_NE(digest_of(kText), digest_of(with("[1, 2, 3", "[5, 6, 7"))) << "not hidden";
  EXPECT_NE(digest_of(kText), digest_of(kText, "scale")) << "others are hidden";
}

TEST(Structure, IsTheSameForOtherNamesOfWhatHasNoneOutside) {
  EXPECT_EQ(digest_of(kText), digest_of(with("s0", "s77")));
  EXPECT_EQ(digest_of(kText), digest_of(with("%product", "%linear")));
  EXPECT_EQ(digest_of(kText), digest_of(with("model.py:1", "other.py:2")));
  EXPECT_EQ(digest_of(kText), digest_of(with("network \"n\"", "network \"m\"")));
  EXPECT_NE(digest_of(kText), digest_of(with("%x", "%input")));
  EXPECT_NE(digest_of(kText), digest_of(with("\"y\"", "\"z\"")));
}

TEST(Structure, DiffersWithEverythingElse) {
  EXPECT_NE(digest_of(kText), digest_of(with("[1,2,8]", "[1,2,9]")));
  EXPECT_NE(digest_of(kText), digest_of(with("prod", "sum")));
  EXPECT_NE(digest_of(kText), digest_of(with("float32", "float16")));
  EXPECT_NE(digest_of(kText), digest_of(with("(%product, %scale)", "(%scale, %product)")));
}

TEST(Structure, DiffersWithSharedStorage) {
  const auto digest = [](bool shared) {
    Network net("n");
    const auto storage = std::make_shared<std::vector<float>>(4, 1.0F);
    const auto other = std::make_shared<std::vector<float>>(4, 1.0F);
    const auto weights = [](const auto& owner) {
      return Weights{std::shared_ptr<const void>(owner, owner->data()), 16};
    };
    const ValueId a = net.add_constant({4}, DataType::kFloat32, weights(storage));
    const ValueId b = net.add_constant({4}, DataType::kFloat32, weights(shared ? storage : other));
    net.mark_output(net.add_elementwise(a, b, ElementWiseOperation::kSum), "y");
    return structure_digest(net, [](ValueId) { return true; });
  };
  EXPECT_EQ(digest(true), digest(true));
  EXPECT_NE(digest(true), digest(false));
}

}  // namespace
}  // namespace torchtrt::network
