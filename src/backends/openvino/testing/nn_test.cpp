// SPDX-License-Identifier: Apache-2.0
// Layers with weights, windows, normalization, attention and resizing, against direct loops in double precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "backends/openvino/testing/harness.h"

namespace torchtrt::openvino::testing {
namespace {

using network::MatrixOperation;
using Values = std::vector<float>;

// A symbol for each dimension of `shape`, so that the same test runs with dynamic shapes.
Dims dims_for(Network& net, const Shape& shape, bool dynamic) {
  Dims dims;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!dynamic) {
      dims.emplace_back(shape[i]);
      continue;
    }
    const std::string name = "d" + std::to_string(net.value_count()) + "_" + std::to_string(i);
    net.add_symbol(name, {1, std::max<std::int64_t>(shape[i], 1), 4096});
    dims.push_back(Expr::symbol(name));
  }
  return dims;
}

TEST(OpenVinoMatrixMultiply, TransposesAndBroadcasts) {
  const Values a = noise(2 * 3 * 5, 1);
  const Values b = noise(5 * 4, 2);
  std::vector<double> expected(2 * 3 * 4);
  for (int n = 0; n < 2; ++n) {
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 4; ++j) {
        for (int k = 0; k < 5; ++k) {
          expected[static_cast<std::size_t>((n * 3 + i) * 4 + j)] +=
              static_cast<double>(a[static_cast<std::size_t>((n * 3 + i) * 5 + k)]) *
              b[static_cast<std::size_t>(k * 4 + j)];
        }
      }
    }
  }
  for (const bool transposed : {false, true}) {
    Network net("test");
    // A symbolic batch: the weights are constant, as a linear layer's.
    net.add_symbol("n", {1, 2, 8});
    const ValueId x =
        net.add_input("x", DataType::kFloat32, {Expr::symbol("n"), transposed ? 5 : 3, transposed ? 3 : 5});
    Values weights = b;
    if (transposed) {
      for (std::size_t j = 0; j < 4; ++j) {
        for (std::size_t k = 0; k < 5; ++k) weights[j * 5 + k] = b[k * 4 + j];
      }
    }
    const ValueId w = constant(net, transposed ? Shape{1, 4, 5} : Shape{1, 5, 4}, weights);
    const MatrixOperation operation = transposed ? MatrixOperation::kTranspose : MatrixOperation::kNone;
    net.mark_output(net.add_matrix_multiply(x, operation, w, operation), "y");
    Values input = a;
    if (transposed) {
      for (std::size_t n = 0; n < 2; ++n) {
        for (std::size_t i = 0; i < 3; ++i) {
          for (std::size_t k = 0; k < 5; ++k) input[(n * 5 + k) * 3 + i] = a[(n * 3 + i) * 5 + k];
        }
      }
    }
    const Tensor y = evaluate(net, {Tensor::of<float>(transposed ? Shape{2, 5, 3} : Shape{2, 3, 5}, input)})[0];
    EXPECT_EQ(y.shape, (Shape{2, 3, 4}));
    expect_close(y.as<float>(), expected, 1e-6);
  }
}

struct Window {
  Shape stride, dilation, pre, post;
  std::int64_t groups = 1;
};

// Direct two-dimensional cross-correlation; one-dimensional data has height 1.
std::vector<double> correlate(const Values& x, const Shape& xs, const Values& w, const Shape& ws, const Values& bias,
                              const Window& p, Shape& ys) {
  const auto size = [&](std::size_t i) {
    return (xs[i + 2] + p.pre[i] + p.post[i] - (ws[i + 2] - 1) * p.dilation[i] - 1) / p.stride[i] + 1;
  };
  ys = {xs[0], ws[0], size(0), size(1)};
  std::vector<double> y;
  const std::int64_t per_group = ws[0] / p.groups;
  for (std::int64_t n = 0; n < ys[0]; ++n) {
    for (std::int64_t k = 0; k < ys[1]; ++k) {
      for (std::int64_t i = 0; i < ys[2]; ++i) {
        for (std::int64_t j = 0; j < ys[3]; ++j) {
          double sum = bias.empty() ? 0 : bias[static_cast<std::size_t>(k)];
          for (std::int64_t c = 0; c < ws[1]; ++c) {
            for (std::int64_t u = 0; u < ws[2]; ++u) {
              for (std::int64_t v = 0; v < ws[3]; ++v) {
                const std::int64_t h = i * p.stride[0] - p.pre[0] + u * p.dilation[0];
                const std::int64_t l = j * p.stride[1] - p.pre[1] + v * p.dilation[1];
                if (h < 0 || h >= xs[2] || l < 0 || l >= xs[3]) continue;
                const std::int64_t channel = k / per_group * ws[1] + c;
                sum +=
                    static_cast<double>(x[static_cast<std::size_t>(((n * xs[1] + channel) * xs[2] + h) * xs[3] + l)]) *
                    w[static_cast<std::size_t>(((k * ws[1] + c) * ws[2] + u) * ws[3] + v)];
              }
            }
          }
          y.push_back(sum);
        }
      }
    }
  }
  return y;
}

TEST(OpenVinoConvolution, StridesPaddingDilationGroups) {
  const Shape xs{2, 4, 9, 7};
  const Values x = noise(volume_of(xs), 3);
  const std::vector<std::pair<Shape, Window>> cases{{{6, 4, 3, 3}, {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1}},
                                                    {{6, 2, 3, 2}, {{2, 1}, {1, 2}, {0, 1}, {2, 0}, 2}},
                                                    {{4, 1, 3, 3}, {{2, 2}, {1, 1}, {1, 1}, {1, 1}, 4}},
                                                    {{5, 4, 1, 1}, {{1, 1}, {1, 1}, {0, 0}, {0, 0}, 1}}};
  for (const auto& [ws, window] : cases) {
    for (const bool dynamic : {false, true}) {
      const Values w = noise(volume_of(ws), 4);
      const Values bias = noise(static_cast<std::size_t>(ws[0]), 5);
      Shape ys;
      const std::vector<double> expected = correlate(x, xs, w, ws, bias, window, ys);
      Network net("test");
      Dims dims = dims_for(net, xs, dynamic);
      dims[1] = xs[1];
      const ValueId in = net.add_input("x", DataType::kFloat32, dims);
      const ValueId weights = constant(net, ws, w);
      const ValueId offsets = constant(net, {ws[0]}, bias);
      net.mark_output(
          net.add_layer(network::Convolution{window.stride, window.dilation, window.pre, window.post, window.groups},
                        {in, weights, offsets})[0],
          "y");
      const Tensor y = evaluate(net, {Tensor::of<float>(xs, x)})[0];
      EXPECT_EQ(y.shape, ys);
      expect_close(y.as<float>(), expected, 5e-6);  // 36 products of up to 4 each, rounded to 24 bits
    }
  }
}

TEST(OpenVinoConvolution, OneAndThreeDimensions) {
  const Values x = noise(2 * 3 * 11, 6);
  const Values w = noise(4 * 3 * 3, 7);
  Shape ys;
  const std::vector<double> expected =
      correlate(x, {2, 3, 1, 11}, w, {4, 3, 1, 3}, {}, {{1, 2}, {1, 1}, {0, 1}, {0, 1}, 1}, ys);
  {
    Network net("test");
    const ValueId in = net.add_input("x", DataType::kFloat32, {2, 3, 11});
    net.mark_output(net.add_layer(network::Convolution{{2}, {1}, {1}, {1}, 1}, {in, constant(net, {4, 3, 3}, w)})[0],
                    "y");
    const Tensor y = evaluate(net, {Tensor::of<float>({2, 3, 11}, x)})[0];
    EXPECT_EQ(y.shape, (Shape{2, 4, ys[3]}));
    expect_close(y.as<float>(), expected, 2e-6);
  }
  {
    Network net("test");
    const ValueId in = net.add_input("x", DataType::kFloat32, {2, 3, 1, 1, 11});
    net.mark_output(net.add_layer(network::Convolution{{1, 1, 2}, {1, 1, 1}, {0, 0, 1}, {0, 0, 1}, 1},
                                  {in, constant(net, {4, 3, 1, 1, 3}, w)})[0],
                    "y");
    expect_close(evaluate(net, {Tensor::of<float>({2, 3, 1, 1, 11}, x)})[0].as<float>(), expected, 2e-6);
  }
}

// Where the plugin's bfloat16 kernels would read beyond them, zeros are elements.
TEST(OpenVinoConvolution, PaddingInBFloat16) {
  struct Case {
    Shape input;
    std::int64_t padding, dilation;
    bool is_elements;
  };
  const std::vector<Case> cases{{{2, 3, 1, 4, 4}, 1, 1, true}, {{2, 3, 5, 4, 4}, 0, 1, false},
                                {{2, 3, 8, 4}, 1, 2, true},    {{2, 3, 8, 4}, 1, 1, false},
                                {{2, 3, 9}, 1, 2, true},       {{2, 3, 9}, 0, 2, false}};
  for (const DataType dtype : {DataType::kFloat32, DataType::kBFloat16}) {
    for (const Case& item : cases) {
      const std::size_t rank = item.input.size() - 2;
      Network net("test");
      const ValueId x = net.add_input("x", dtype, {item.input.begin(), item.input.end()});
      Dims weights(rank + 2, Expr(2));
      weights[1] = 3;
      const network::Convolution op{Shape(rank, 1), Shape(rank, item.dilation), Shape(rank, item.padding),
                                    Shape(rank, item.padding), 1};
      net.mark_output(net.add_layer(op, {x, net.add_input("w", dtype, weights)})[0], "y");
      Engine engine(net);
      EXPECT_EQ(engine.inspect().find("\"Pad\"") != std::string::npos, dtype == DataType::kBFloat16 && item.is_elements)
          << engine.inspect();
    }
  }
}

// The plugin ended the process while it compiled some of these.
TEST(OpenVinoConvolution, BFloat16OverAsManyPositionsAsChannelsOfABlock) {
  for (const std::int64_t channels : {8, 16}) {
    for (const Shape& spatial : {Shape{8}, Shape{16}, Shape{4, 2}, Shape{1, 8}, Shape{4, 4}, Shape{2, 2, 2}}) {
      for (const bool pools : {false, true}) {
        Network net("test");
        Shape dims{2, channels};
        dims.insert(dims.end(), spatial.begin(), spatial.end());
        const std::size_t rank = spatial.size();
        const ValueId x = net.add_input("x", DataType::kBFloat16, {dims.begin(), dims.end()});
        const Shape ones(rank, 1);
        const Shape zeros(rank, 0);
        if (pools) {
          network::Pooling op;
          op.window = op.stride = op.dilation = ones;
          op.pre_padding = op.post_padding = zeros;
          net.mark_output(net.add_layer(op, {x})[0], "y");
        } else {
          Dims weights(rank + 2, Expr(1));
          weights[0] = weights[1] = channels;
          const network::Convolution op{ones, ones, zeros, zeros, 1};
          net.mark_output(net.add_layer(op, {x, net.add_input("w", DataType::kBFloat16, weights)})[0], "y");
        }
        Engine engine(net);
        EXPECT_NE(engine.inspect(), "");
      }
    }
  }
}

TEST(OpenVinoDeconvolution, IsTheAdjointOfConvolution) {
  // <conv(x), y> = <x, deconv(y)> for every x and y: with y's unit vectors this gives deconv element by element.
  for (const std::int64_t groups : {1, 2}) {
    const Shape xs{1, 4, 5, 6};
    const Shape ws{4, 6 / groups, 3, 2};  // [c, k / groups, kernel..]
    const Window window{{2, 1}, {1, 1}, {1, 0}, {1, 1}, groups};
    const Values x = noise(volume_of(xs), 8);
    const Values w = noise(volume_of(ws), 9);
    const Shape out{1, 6, (5 - 1) * 2 - 2 + 2 + 1 + 1, (6 - 1) - 1 + 1 + 1};
    std::vector<double> expected(volume_of(out));
    for (std::int64_t c = 0; c < 4; ++c) {
      for (std::int64_t k = 0; k < ws[1]; ++k) {
        for (std::int64_t h = 0; h < 5; ++h) {
          for (std::int64_t l = 0; l < 6; ++l) {
            for (std::int64_t u = 0; u < 3; ++u) {
              for (std::int64_t v = 0; v < 2; ++v) {
                const std::int64_t i = h * 2 - 1 + u;
                const std::int64_t j = l + v;
                if (i < 0 || i >= out[2] || j < 0 || j >= out[3]) continue;
                const std::int64_t channel = c / (4 / groups) * ws[1] + k;
                expected[static_cast<std::size_t>((channel * out[2] + i) * out[3] + j)] +=
                    static_cast<double>(x[static_cast<std::size_t>((c * 5 + h) * 6 + l)]) *
                    w[static_cast<std::size_t>(((c * ws[1] + k) * 3 + u) * 2 + v)];
              }
            }
          }
        }
      }
    }
    Network net("test");
    const ValueId in = net.add_input("x", DataType::kFloat32, Dims(xs.begin(), xs.end()));
    net.mark_output(
        net.add_layer(network::Deconvolution{window.stride, window.dilation, window.pre, window.post, {1, 0}, groups},
                      {in, constant(net, ws, w)})[0],
        "y");
    const Tensor y = evaluate(net, {Tensor::of<float>(xs, x)})[0];
    EXPECT_EQ(y.shape, out);
    expect_close(y.as<float>(), expected, 2e-6);
  }
}

TEST(OpenVinoPooling, CeilModeAndPadding) {
  for (const std::int64_t size : {7, 8, 9, 10}) {
    for (const auto& [k, s, p] : std::vector<std::array<std::int64_t, 3>>{{3, 2, 1}, {2, 2, 0}, {3, 3, 1}, {2, 3, 1}}) {
      for (const bool ceil : {false, true}) {
        for (const bool max : {true, false}) {
          for (const bool count_padding : {false, true}) {
            if (!max && ceil && count_padding && p > 0) continue;  // refused, see check_test.cpp
            const Values x = noise(static_cast<std::size_t>(2 * size), 10);
            std::int64_t windows = (size + 2 * p - k + (ceil ? s - 1 : 0)) / s + 1;
            if (ceil && (windows - 1) * s >= size + p) --windows;
            std::vector<double> expected;
            for (std::int64_t c = 0; c < 2; ++c) {
              for (std::int64_t i = 0; i < windows; ++i) {
                double best = -INFINITY;
                double sum = 0;
                std::int64_t inside = 0;
                for (std::int64_t u = i * s - p; u < i * s - p + k; ++u) {
                  if (u < 0 || u >= size) continue;
                  const double value = x[static_cast<std::size_t>(c * size + u)];
                  best = std::max(best, value);
                  sum += value;
                  ++inside;
                }
                const std::int64_t padded = std::min(i * s - p + k, size + p) - (i * s - p);
                expected.push_back(max ? best : sum / static_cast<double>(count_padding ? padded : inside));
              }
            }
            Network net("test");
            const ValueId in = net.add_input("x", DataType::kFloat32, {1, 2, size});
            net.mark_output(
                net.add_layer(network::Pooling{max ? network::PoolingType::kMax : network::PoolingType::kAverage,
                                               {k},
                                               {s},
                                               {1},
                                               {p},
                                               {p},
                                               ceil,
                                               count_padding},
                              {in})[0],
                "y");
            const Tensor y = evaluate(net, {Tensor::of<float>({1, 2, size}, x)})[0];
            ASSERT_EQ(y.shape, (Shape{1, 2, windows})) << size << " " << k << " " << s << " " << p << " " << ceil;
            expect_close(y.as<float>(), expected, 1e-6);
          }
        }
      }
    }
  }
}

// Rows of `width` elements, normalized; `scale` and `bias` by element.
std::vector<double> normalize(const Values& x, std::size_t width, const Values& scale, const Values& bias,
                              double epsilon, bool rms) {
  std::vector<double> y;
  for (std::size_t row = 0; row < x.size() / width; ++row) {
    double mean = 0;
    double square = 0;
    for (std::size_t i = 0; i < width; ++i) mean += x[row * width + i] / static_cast<double>(width);
    if (rms) mean = 0;
    for (std::size_t i = 0; i < width; ++i)
      square += std::pow(x[row * width + i] - mean, 2) / static_cast<double>(width);
    for (std::size_t i = 0; i < width; ++i) {
      y.push_back((x[row * width + i] - mean) / std::sqrt(square + epsilon) * scale[i] + (bias.empty() ? 0 : bias[i]));
    }
  }
  return y;
}

TEST(OpenVinoNormalization, LayerAndRms) {
  const Values x = noise(3 * 4 * 8, 11);
  const Values scale = noise(8, 12);
  const Values bias = noise(8, 13);
  for (const bool rms : {false, true}) {
    for (const bool dynamic : {false, true}) {
      Network net("test");
      Dims dims = dims_for(net, {3, 4, 8}, dynamic);
      dims[2] = 8;
      const ValueId in = net.add_input("x", DataType::kFloat32, dims);
      std::vector<ValueId> operands{in, constant(net, {8}, scale)};
      if (!rms) operands.push_back(constant(net, {8}, bias));
      network::Normalization op;
      op.kind = rms ? network::NormalizationKind::kRms : network::NormalizationKind::kLayer;
      op.axes = {2};
      op.epsilon = 1e-3;
      net.mark_output(net.add_layer(op, operands)[0], "y");
      expect_close(evaluate(net, {Tensor::of<float>({3, 4, 8}, x)})[0].as<float>(),
                   normalize(x, 8, scale, rms ? Values{} : bias, 1e-3, rms), 3e-6);
    }
  }
}

// Of any rank, one node of the plugin: taken apart, bfloat16 has its mean rounded before it is subtracted.
TEST(OpenVinoNormalization, LayerIsNeverTakenApart) {
  for (const DataType dtype : {DataType::kFloat32, DataType::kBFloat16}) {
    for (std::int64_t rank = 2; rank <= 6; ++rank) {
      for (std::int64_t count = 1; count < rank; ++count) {
        Network net("test");
        Dims dims(static_cast<std::size_t>(rank), Expr(2));
        dims.back() = 8;
        network::Normalization op;
        op.kind = network::NormalizationKind::kLayer;
        for (std::int64_t i = rank - count; i < rank; ++i) op.axes.push_back(i);
        op.epsilon = 1e-5;
        net.mark_output(net.add_layer(op, {net.add_input("x", dtype, dims)})[0], "y");
        Engine engine(net);
        std::set<std::string> types;
        const nlohmann::json document = nlohmann::json::parse(engine.inspect());
        for (const auto& layer : document["layers"]) types.insert(layer["type"]);
        EXPECT_TRUE(types.contains("MVN")) << rank << ", " << count << ": " << engine.inspect();
        EXPECT_FALSE(types.contains("Reduce")) << rank << ", " << count;
      }
    }
  }
}

TEST(OpenVinoNormalization, Group) {
  const Values x = noise(2 * 6 * 5, 14);
  const Values scale = noise(6, 15);
  const Values bias = noise(6, 16);
  Values scales;
  Values biases;
  for (std::size_t i = 0; i < 30; ++i) {
    scales.push_back(scale[i / 5]);
    biases.push_back(bias[i / 5]);
  }
  // Two groups of three channels: normalize in halves, then scale by channel.
  std::vector<double> expected = normalize(x, 15, Values(15, 1.0F), {}, 1e-5, false);
  for (const bool affine : {true, false}) {
    Network net("test");
    net.add_symbol("n", {1, 2, 8});
    const ValueId in = net.add_input("x", DataType::kFloat32, {Expr::symbol("n"), 6, 5});
    std::vector<ValueId> operands{in};
    if (affine) operands.insert(operands.end(), {constant(net, {6}, scale), constant(net, {6}, bias)});
    network::Normalization op;
    op.kind = network::NormalizationKind::kGroup;
    op.groups = 2;
    net.mark_output(net.add_layer(op, operands)[0], "y");
    std::vector<double> wanted = expected;
    for (std::size_t i = 0; affine && i < wanted.size(); ++i) wanted[i] = wanted[i] * scales[i % 30] + biases[i % 30];
    expect_close(evaluate(net, {Tensor::of<float>({2, 6, 5}, x)})[0].as<float>(), wanted, 3e-6);
  }
}

struct AttentionCase {
  std::int64_t b, h, hk, l, s, e, ev;
};

// `takes_part` and `added` are [b, h, l, s] or empty.
std::vector<double> attend(const AttentionCase& c, const Values& q, const Values& k, const Values& v, double scale,
                           bool causal, const std::vector<bool>& takes_part, const Values& added) {
  std::vector<double> out;
  for (std::int64_t b = 0; b < c.b; ++b) {
    for (std::int64_t h = 0; h < c.h; ++h) {
      const std::int64_t kv = b * c.hk + h / (c.h / c.hk);
      for (std::int64_t i = 0; i < c.l; ++i) {
        std::vector<double> weights;
        double total = 0;
        for (std::int64_t j = 0; j < c.s; ++j) {
          double logit = 0;
          for (std::int64_t d = 0; d < c.e; ++d) {
            logit += static_cast<double>(q[static_cast<std::size_t>(((b * c.h + h) * c.l + i) * c.e + d)]) *
                     k[static_cast<std::size_t>((kv * c.s + j) * c.e + d)];
          }
          logit *= scale;
          const auto at = static_cast<std::size_t>(((b * c.h + h) * c.l + i) * c.s + j);
          if (!added.empty()) logit += added[at];
          if ((causal && j > i) || (!takes_part.empty() && !takes_part[at])) logit = -INFINITY;
          weights.push_back(std::exp(logit));
          total += weights.back();
        }
        for (std::int64_t d = 0; d < c.ev; ++d) {
          double sum = 0;
          for (std::int64_t j = 0; total > 0 && j < c.s; ++j) {
            sum +=
                weights[static_cast<std::size_t>(j)] / total * v[static_cast<std::size_t>((kv * c.s + j) * c.ev + d)];
          }
          out.push_back(sum);
        }
      }
    }
  }
  return out;
}

enum class Mask { kNone, kCausal, kBool, kBoolKeys, kAdded, kAddedConstant };

void expect_attention(const AttentionCase& c, Mask mask, bool dynamic) {
  SCOPED_TRACE(::testing::Message() << "mask " << static_cast<int>(mask) << (dynamic ? " dynamic" : " static"));
  const Shape qs{c.b, c.h, c.l, c.e};
  const Shape ks{c.b, c.hk, c.s, c.e};
  const Shape vs{c.b, c.hk, c.s, c.ev};
  const Values q = noise(volume_of(qs), 17);
  const Values k = noise(volume_of(ks), 18);
  const Values v = noise(volume_of(vs), 19);
  Network net("test");
  Dims qd(qs.begin(), qs.end());
  Dims kd(ks.begin(), ks.end());
  Dims vd(vs.begin(), vs.end());
  Expr l(c.l);
  Expr s(c.s);
  if (dynamic) {
    net.add_symbol("b", {1, c.b, 8});
    net.add_symbol("l", {1, c.l, 64});
    net.add_symbol("s", {1, c.s, 64});
    l = Expr::symbol("l");
    s = Expr::symbol("s");
    qd[0] = kd[0] = vd[0] = Expr::symbol("b");
    qd[2] = l;
    kd[2] = vd[2] = s;
  }
  std::vector<ValueId> operands{net.add_input("q", DataType::kFloat32, qd), net.add_input("k", DataType::kFloat32, kd),
                                net.add_input("v", DataType::kFloat32, vd)};
  std::vector<Tensor> inputs{Tensor::of<float>(qs, q), Tensor::of<float>(ks, k), Tensor::of<float>(vs, v)};
  std::vector<bool> takes_part;
  Values added;
  const Values random = noise(static_cast<std::size_t>(c.b * c.h * c.l * c.s), 20);
  if (mask == Mask::kBool) {
    // [l, s]: one for all heads; row 1 takes no part at all.
    std::vector<bool> small;
    for (std::int64_t i = 0; i < c.l * c.s; ++i)
      small.push_back(i / c.s != 1 && random[static_cast<std::size_t>(i)] > -1);
    for (std::int64_t i = 0; i < c.b * c.h * c.l * c.s; ++i)
      takes_part.push_back(small[static_cast<std::size_t>(i % (c.l * c.s))]);
    operands.push_back(net.add_input("m", DataType::kBool, {l, s}));
    inputs.push_back(Tensor::of<bool>({c.l, c.s}, small));
  } else if (mask == Mask::kBoolKeys) {
    // [b, 1, 1, s]: padding; the second sequence is padding throughout.
    std::vector<bool> keys;
    for (std::int64_t i = 0; i < c.b * c.s; ++i) keys.push_back(i < c.s && i % 3 != 0);
    for (std::int64_t i = 0; i < c.b * c.h * c.l * c.s; ++i) {
      takes_part.push_back(keys[static_cast<std::size_t>(i / (c.h * c.l * c.s) * c.s + i % c.s)]);
    }
    operands.push_back(net.add_input("m", DataType::kBool, {qd[0], 1, 1, s}));
    inputs.push_back(Tensor::of<bool>({c.b, 1, 1, c.s}, keys));
  } else if (mask == Mask::kAdded || mask == Mask::kAddedConstant) {
    added = random;
    if (mask == Mask::kAdded) {
      for (std::int64_t i = 0; i < c.s; ++i) added[static_cast<std::size_t>(i)] = -INFINITY;
    }
    const Shape shape{c.b, c.h, c.l, c.s};
    if (mask == Mask::kAdded) {
      operands.push_back(net.add_input("m", DataType::kFloat32, {qd[0], c.h, l, s}));
      inputs.push_back(Tensor::of<float>(shape, added));
    } else {
      operands.push_back(constant(net, shape, added));
    }
  }
  net.mark_output(net.add_layer(network::Attention{0.3, mask == Mask::kCausal}, operands)[0], "y");
  const Tensor y = evaluate(net, inputs)[0];
  EXPECT_EQ(y.shape, (Shape{c.b, c.h, c.l, c.ev}));
  expect_close(y.as<float>(), attend(c, q, k, v, 0.3, mask == Mask::kCausal, takes_part, added), 3e-6);
}

TEST(OpenVinoAttention, Masks) {
  for (const Mask mask :
       {Mask::kNone, Mask::kCausal, Mask::kBool, Mask::kBoolKeys, Mask::kAdded, Mask::kAddedConstant}) {
    for (const bool dynamic : {false, true}) {
      if (dynamic && mask == Mask::kAddedConstant) continue;
      expect_attention({2, 4, 4, 5, 7, 8, 8}, mask, dynamic);
    }
  }
}
TEST(OpenVinoAttention, GroupedQueriesAndOtherValueSizes) {
  for (const bool dynamic : {false, true}) {
    expect_attention({2, 4, 2, 5, 7, 8, 8}, Mask::kNone, dynamic);
    expect_attention({2, 4, 1, 5, 7, 8, 12}, Mask::kBool, dynamic);
  }
}

TEST(OpenVinoResize, NearestAndLinear) {
  const Values x = noise(2 * 5, 21);
  struct Case {
    network::InterpolationMode mode;
    network::CoordinateTransformation transformation;
  };
  using network::CoordinateTransformation;
  using network::InterpolationMode;
  for (const Case c : {Case{InterpolationMode::kNearest, CoordinateTransformation::kAsymmetric},
                       Case{InterpolationMode::kNearest, CoordinateTransformation::kHalfPixel},
                       Case{InterpolationMode::kLinear, CoordinateTransformation::kHalfPixel},
                       Case{InterpolationMode::kLinear, CoordinateTransformation::kAlignCorners}}) {
    for (const std::int64_t size : {3, 5, 8, 10}) {
      std::vector<double> expected;
      for (std::size_t channel = 0; channel < 2; ++channel) {
        for (std::int64_t i = 0; i < size; ++i) {
          const double ratio = 5.0 / static_cast<double>(size);
          double at = c.transformation == CoordinateTransformation::kAlignCorners
                          ? static_cast<double>(i) * 4 / static_cast<double>(size - 1)
                      : c.transformation == CoordinateTransformation::kHalfPixel
                          ? (static_cast<double>(i) + 0.5) * ratio - 0.5
                          : static_cast<double>(i) * ratio;
          if (c.mode == InterpolationMode::kNearest) {
            if (c.transformation == CoordinateTransformation::kHalfPixel) at += 0.5;
            expected.push_back(x[channel * 5 + static_cast<std::size_t>(std::min(std::floor(at), 4.0))]);
            continue;
          }
          at = std::max(at, 0.0);
          const auto low = static_cast<std::size_t>(std::min(std::floor(at), 4.0));
          const std::size_t high = std::min<std::size_t>(low + 1, 4);
          const double weight = at - static_cast<double>(low);
          expected.push_back(x[channel * 5 + low] * (1 - weight) + x[channel * 5 + high] * weight);
        }
      }
      for (const bool dynamic : {false, true}) {
        SCOPED_TRACE(::testing::Message()
                     << "mode " << static_cast<int>(c.mode) << " size " << size << " dynamic " << dynamic);
        Network net("test");
        net.add_symbol("n", {1, 1, 8});
        const ValueId in = net.add_input("x", DataType::kFloat32, {dynamic ? Expr::symbol("n") : Expr(1), 2, 1, 5});
        network::Resize op;
        op.mode = c.mode;
        op.transformation = c.transformation;
        op.size = {1, size};
        net.mark_output(net.add_layer(op, {in})[0], "y");
        expect_close(evaluate(net, {Tensor::of<float>({1, 2, 1, 5}, x)})[0].as<float>(), expected, 1e-6);
      }
    }
  }
}

TEST(OpenVinoPrecision, BFloat16NetworksComputeInBFloat16AndOthersInFloat32) {
  const auto product = [](DataType dtype, const backend::BuildSettings& settings, std::string* precision) {
    Network net("test");
    const ValueId x = net.add_input("x", dtype, {64, 64});
    ValueId y = x;
    for (int i = 0; i < 2; ++i) y = net.add_matrix_multiply(y, MatrixOperation::kNone, x, MatrixOperation::kNone);
    net.mark_output(y, "y");
    Engine engine(net, {}, settings);
    *precision = engine.built().properties.at("inference_precision");
    Tensor input{dtype, {64, 64}, {}};
    for (const float value : noise(64 * 64, 22)) {
      std::uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const auto high = static_cast<std::uint16_t>(bits >> 16);
      if (dtype == DataType::kFloat32) bits &= 0xffff0000U;  // the same numbers in both types
      const auto* bytes = dtype == DataType::kFloat32 ? reinterpret_cast<const std::byte*>(&bits)
                                                      : reinterpret_cast<const std::byte*>(&high);
      input.bytes.insert(input.bytes.end(), bytes, bytes + size_of(dtype));
    }
    const Tensor result = engine({input})[0];
    return dtype == DataType::kFloat32 ? result.as<float>() : result.as_float();
  };
  std::string precision;
  const Values exact = product(DataType::kFloat32, {}, &precision);
  EXPECT_EQ(precision, "f32");
  const Values rounded = product(DataType::kBFloat16, {}, &precision);
  EXPECT_EQ(precision, "bf16");
  double difference = 0;
  for (std::size_t i = 0; i < exact.size(); ++i)
    difference = std::max(difference, std::fabs(static_cast<double>(exact[i]) - rounded[i]));
  EXPECT_GT(difference, 1e-3);  // bfloat16 it is
  EXPECT_LT(difference, 5.0);   // of values up to some hundreds
  backend::BuildSettings wrong;
  wrong.inference_precision = "float8";
  EXPECT_ANY_THROW(product(DataType::kFloat32, wrong, &precision));
}

}  // namespace
}  // namespace torchtrt::openvino::testing
