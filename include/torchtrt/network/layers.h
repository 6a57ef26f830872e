// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/expr.h>

/// The layer kinds: a plain struct each, one variant over all. Where a name and its meaning are TensorRT's, its
/// documentation applies; what differs is said here. "x: T[..]" is an operand; unless said, the result has x's dtype.
namespace torchtrt::network {

struct Weights;

/// Handle of a value of one network.
struct ValueId {
  std::uint32_t index = UINT32_MAX;
  auto operator<=>(const ValueId&) const = default;
};

// One list per enumeration: (enumerator, text-form name).
#define TORCHTRT_ACTIVATIONS(X)                                                                              \
  X(kRelu, "relu") X(kSigmoid, "sigmoid") X(kTanh, "tanh") X(kLeakyRelu, "leaky_relu") X(kElu, "elu")        \
  X(kSelu, "selu") X(kSoftsign, "softsign") X(kSoftplus, "softplus") X(kClip, "clip")                        \
  X(kHardSigmoid, "hard_sigmoid") X(kGeluErf, "gelu_erf") X(kGeluTanh, "gelu_tanh") X(kSilu, "silu")         \
  X(kHardSwish, "hard_swish") X(kMish, "mish") X(kScale, "scale") X(kQuotient, "quotient")
#define TORCHTRT_UNARIES(X)                                                                                  \
  X(kExp, "exp") X(kLog, "log") X(kSqrt, "sqrt") X(kRecip, "recip") X(kAbs, "abs") X(kNeg, "neg")            \
  X(kSin, "sin") X(kCos, "cos") X(kTan, "tan") X(kSinh, "sinh") X(kCosh, "cosh") X(kAsin, "asin")            \
  X(kAcos, "acos") X(kAtan, "atan") X(kAsinh, "asinh") X(kAcosh, "acosh") X(kAtanh, "atanh")                 \
  X(kCeil, "ceil") X(kFloor, "floor") X(kErf, "erf") X(kNot, "not") X(kSign, "sign") X(kRound, "round")      \
  X(kIsInf, "isinf") X(kIsNan, "isnan")
#define TORCHTRT_ELEMENTWISES(X)                                                                             \
  X(kSum, "sum") X(kProd, "prod") X(kMax, "max") X(kMin, "min") X(kSub, "sub") X(kDiv, "div")                \
  X(kPow, "pow") X(kFloorDiv, "floor_div") X(kMod, "mod") X(kAnd, "and") X(kOr, "or") X(kXor, "xor")         \
  X(kEqual, "equal") X(kGreater, "greater") X(kLess, "less")
#define TORCHTRT_REDUCES(X) X(kSum, "sum") X(kProd, "prod") X(kMax, "max") X(kMin, "min") X(kAvg, "avg")

#define TORCHTRT_ENUMERATOR(name, text) name,
enum class ActivationType : std::uint8_t { TORCHTRT_ACTIVATIONS(TORCHTRT_ENUMERATOR) };
enum class UnaryOperation : std::uint8_t { TORCHTRT_UNARIES(TORCHTRT_ENUMERATOR) };
/// kDiv of integers truncates; kFloorDiv and kMod follow Python. kEqual, kGreater and kLess give bool; kAnd, kOr and
/// kXor take bool. kMax and kMin propagate NaN.
enum class ElementWiseOperation : std::uint8_t { TORCHTRT_ELEMENTWISES(TORCHTRT_ENUMERATOR) };
enum class ReduceOperation : std::uint8_t { TORCHTRT_REDUCES(TORCHTRT_ENUMERATOR) };
#undef TORCHTRT_ENUMERATOR
enum class MatrixOperation : std::uint8_t { kNone, kTranspose };
enum class PoolingType : std::uint8_t { kMax, kAverage };
enum class GatherMode : std::uint8_t { kDefault, kElement, kNd };
enum class ScatterMode : std::uint8_t { kElement, kNd };
enum class TopKOperation : std::uint8_t { kMax, kMin };
enum class TopKTies : std::uint8_t { kLowerIndex, kSort, kTopK, kTopKUnsorted };
enum class SliceMode : std::uint8_t { kStrict, kFill, kReflect, kClamp };
enum class InterpolationMode : std::uint8_t { kNearest, kLinear, kCubic };
enum class CoordinateTransformation : std::uint8_t { kAlignCorners, kAsymmetric, kHalfPixel };
enum class NormalizationKind : std::uint8_t { kLayer, kRms, kGroup };
enum class FillOperation : std::uint8_t { kLinspace };

/// () -> dtype[dims]. `data` is shared with its owner.
struct Constant {
  Dims dims;
  DataType dtype = DataType::kFloat32;
  std::shared_ptr<const Weights> weights;
};
/// (x). alpha and beta as in TensorRT: leaky_relu slope; elu alpha; clip [alpha, beta]; hard_sigmoid
/// max(0, min(1, alpha * x + beta)); softplus alpha * log(exp(beta * x) + 1). silu, hard_swish and mish have none. Not of
/// TensorRT: scale alpha * x, quotient x / alpha. alpha and beta are float32 whatever x's dtype, as the numbers of PyTorch's
/// kernels: half precision is computed with them in float32 and rounded once.
struct Activation {
  ActivationType type{};
  double alpha = 0, beta = 0;
};
/// (x). kNot: bool only. kRound: half to even. kIsInf, kIsNan give bool.
struct Unary {
  UnaryOperation operation{};
};
/// (a, b): same dtype, same rank, dims equal or 1.
struct ElementWise {
  ElementWiseOperation operation{};
};
/// (a[.., m, k], b[.., k, n]) -> [.., m, n]: same rank >= 2, batch dims broadcast; kTranspose swaps the last two first.
struct MatrixMultiply {
  MatrixOperation op_a = MatrixOperation::kNone, op_b = MatrixOperation::kNone;
};
/// (x[n, c, spatial..], w[k, c / groups, kernel..], bias[k] optional) -> [n, k, out..]; 1 to 3 spatial dims.
/// Cross-correlation, as torch.nn.functional.conv*d.
struct Convolution {
  std::vector<std::int64_t> stride, dilation, pre_padding, post_padding;
  std::int64_t groups = 1;
};
/// (x[n, c, spatial..], w[c, k / groups, kernel..], bias[k] optional); as torch.nn.functional.conv_transpose*d.
struct Deconvolution {
  std::vector<std::int64_t> stride, dilation, pre_padding, post_padding, output_padding;
  std::int64_t groups = 1;
};
/// (x[n, c, spatial..]); 1 to 3 spatial dims. `ceil_mode` as in PyTorch (a last window must start inside the input or
/// the left padding). kMax pads with -inf; kAverage counts padding only with count_include_pad.
struct Pooling {
  PoolingType type{};
  std::vector<std::int64_t> window, stride, dilation, pre_padding, post_padding;
  bool ceil_mode = false, count_include_pad = true;
};
/// (x). Axes are >= 0 and sorted. Integer kAvg is refused by the verifier.
struct Reduce {
  ReduceOperation operation{};
  std::vector<std::int64_t> axes;
  bool keep_dims = false;
};
/// (x)
struct Softmax {
  std::int64_t axis = 0;
};
/// (x) -> (values, indices: int64), both with dims[axis] = k, sorted. `ties`: which of equal elements come first. kLowerIndex:
/// those of lower index. The others are what PyTorch's CPU kernels happen to do, which a backend may take for kLowerIndex:
/// torch.sort that is not stable, torch.topk, and torch.topk(sorted=False), whose results are in no order.
struct TopK {
  TopKOperation operation{};
  Expr k;
  std::int64_t axis = 0;
  TopKTies ties = TopKTies::kLowerIndex;
};
/// kDefault: (data, indices): data.dims[:axis] + indices.dims + data.dims[axis+1:]. kElement: torch.gather.
/// kNd: last dim of indices indexes data's leading dims. Indices are int32 or int64 and not negative.
struct Gather {
  GatherMode mode = GatherMode::kDefault;
  std::int64_t axis = 0;
};
/// (data, indices, updates): a copy of data with updates written. kElement: torch.scatter; kNd: as ONNX ScatterND.
struct Scatter {
  ScatterMode mode = ScatterMode::kElement;
  std::int64_t axis = 0;
};
/// (x, fill 0-d optional, for kFill): out[i] = x[start + i * stride]. One entry per dimension; stride may be negative.
struct Slice {
  Dims start, size;
  std::vector<std::int64_t> stride;
  SliceMode mode = SliceMode::kStrict;
};
/// (x): transpose, then reshape to `reshape` (whose volume is the input's), then transpose. Each part optional.
struct Shuffle {
  std::vector<std::int64_t> first_transpose;  ///< Empty: none.
  std::optional<Dims> reshape;
  std::vector<std::int64_t> second_transpose;  ///< Empty: none.
};
/// (x) -> dims: x's dims, aligned at the right, are equal or 1.
struct Broadcast {
  Dims dims;
};
/// (x0, x1, ..): same dtype and rank; dims equal except along axis.
struct Concatenation {
  std::int64_t axis = 0;
};
/// (condition: bool, then, else): same rank, broadcast.
struct Select {};
/// (x) -> to. Float to integer truncates; to bool: != 0; from bool: 0 and 1.
struct Cast {
  DataType to{};
};
struct Identity {};
/// (x[n, c, spatial..]) -> [n, c, size..]. `scales` empty: out / in. Cubic uses `cubic_coeff`.
struct Resize {
  InterpolationMode mode{};
  CoordinateTransformation transformation = CoordinateTransformation::kHalfPixel;
  Dims size;
  std::vector<double> scales;
  double cubic_coeff = -0.75;
};
/// kLayer, kRms: (x, scale, bias) over the trailing `axes`, scale and bias shaped like those dims (both optional; rms
/// has no bias). kGroup: (x[n, c, ..], scale[c], bias[c]) with `groups`. Statistics in float32. All operands of x's
/// dtype.
struct Normalization {
  NormalizationKind kind{};
  std::vector<std::int64_t> axes;
  std::int64_t groups = 1;
  double epsilon = 1e-5;
};
/// () -> dtype[length]: start + i * step; int64, int32 or float32.
struct Fill {
  FillOperation operation = FillOperation::kLinspace;
  DataType dtype = DataType::kInt64;
  Expr length;
  double start = 0, step = 1;
};
/// () -> int64[dims.size()], or 0-d where `scalar`: the values of the expressions.
struct ShapeOf {
  std::vector<Expr> values;
  bool scalar = false;
};
/// (q[b, h, l, e], k[b, hk, s, e], v[b, hk, s, ev], mask optional: bool (true = take part) or q's dtype (added),
/// broadcastable to [b, h, l, s]) -> [b, h, l, ev]: softmax(q k^T * scale + mask) v. h is a multiple of hk. `is_causal`:
/// upper left. A row whose mask is false everywhere gives zeros, as PyTorch's does.
struct Attention {
  double scale = 1;
  bool is_causal = false;
};
/// (x)
struct CumulativeSum {
  std::int64_t axis = 0;
  bool exclusive = false, reverse = false;
};
/// (x) -> int64[rank, count]: `count` is a symbol that no input binds.
struct NonZero {
  std::string count_symbol;
};
/// (x0, x1, ..) -> a result for each of `dtypes` and `dims`: what no layer expresses, computed by the plugin that is
/// registered under `name` (torchtrt/backend/plugin.h) when the engine runs.
struct Plugin {
  std::string name;
  std::string attributes;  ///< What the plugin is made from; its own business.
  std::string library;     ///< The library that brings the plugin, for messages.
  std::vector<DataType> dtypes;
  std::vector<Dims> dims;
};

/// (boxes[n, 4] as x1, y1, x2, y2; scores[n]), float32 -> int64[count], as torchvision.ops.nms: taken by falling score (NaN
/// first, of equal scores the lower index), the boxes that no box taken before overlaps by an intersection over union above
/// the threshold. `count` is a symbol that no input binds.
struct NonMaxSuppression {
  double iou_threshold = 0;
  std::string count_symbol;
};

using Op =
    std::variant<Constant, Activation, Unary, ElementWise, MatrixMultiply, Convolution, Deconvolution, Pooling, Reduce,
                 Softmax, TopK, Gather, Scatter, Slice, Shuffle, Broadcast, Concatenation, Select, Cast, Identity,
                 Resize, Normalization, Fill, ShapeOf, Attention, CumulativeSum, NonZero, NonMaxSuppression, Plugin>;

/// The symbol whose value is known once the layer has run, for layers that count; else nullptr.
TORCHTRT_API const std::string* count_symbol(const Op& op);

/// The layer kind's name in the text form, in reports and in refusals ("matrix_multiply").
TORCHTRT_API std::string_view kind_name(const Op& op);

TORCHTRT_API std::string_view to_string(ActivationType type);
TORCHTRT_API std::string_view to_string(UnaryOperation operation);
TORCHTRT_API std::string_view to_string(ElementWiseOperation operation);
TORCHTRT_API std::string_view to_string(ReduceOperation operation);

}  // namespace torchtrt::network
