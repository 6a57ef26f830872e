// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openvino/core/node_output.hpp>

namespace torchtrt::openvino {

/// What the plugin does with constants behind each other, and must not: it makes (x * a) * b to x * (a * b), (x + a) + b to
/// x + (a + b), (x + a) * b to x * b + a * b, and moves factors into the weights of convolutions and products. a * b may be
/// infinite or 0 where x * a is not, and x + a may cancel what a * b is rounded to. Right behind a convolution, a product or
/// a normalization, whose own sums are rounded as much, constants of usual size may meet: that is how biases and scales
/// become part of the weights.

/// One operand of an addition or subtraction: hidden from the plugin's folding where it is a constant that must not meet
/// one of `other`'s.
ov::Output<ov::Node> as_term(const ov::Output<ov::Node>& operand, const ov::Output<ov::Node>& other);
/// Of a multiplication.
ov::Output<ov::Node> as_factor(const ov::Output<ov::Node>& operand, const ov::Output<ov::Node>& other);

/// The exponent of a power: hidden from the plugin where it would make a root of it, which is NaN for -inf and -0 for -0.
ov::Output<ov::Node> as_exponent(const ov::Output<ov::Node>& operand);

/// |x|. The plugin (2026.4.1) leaves it out where it knows that no element is negative, and of a constant that was
/// converted it knows that of negative ones too: such an operand is hidden from it.
ov::Output<ov::Node> magnitude(const ov::Output<ov::Node>& x);

/// a / b. By a constant it is a product where that is as exact: by powers of two, and behind a convolution, a product or a
/// normalization.
ov::Output<ov::Node> quotient(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b);

}  // namespace torchtrt::openvino
