// SPDX-License-Identifier: Apache-2.0
#include "network/operands.h"

namespace torchtrt::network {

ValueTypes infer_types(const Operands& in, const Activation&) {
  in.require_count(1);
  in.require_floating(0);
  return {{in.dtype(0), in.dims(0)}};
}

ValueTypes infer_types(const Operands& in, const Unary& op) {
  in.require_count(1);
  switch (op.operation) {
    case UnaryOperation::kNot:
      in.require(in.dtype(0) == DataType::kBool, "\"not\" takes bool, not ", to_string(in.dtype(0)));
      break;
    case UnaryOperation::kAbs:
    case UnaryOperation::kNeg:
    case UnaryOperation::kSign: in.require_number(0); break;
    default: in.require_floating(0);
  }
  const bool test = op.operation == UnaryOperation::kIsInf || op.operation == UnaryOperation::kIsNan;
  return {{test ? DataType::kBool : in.dtype(0), in.dims(0)}};
}

ValueTypes infer_types(const Operands& in, const ElementWise& op) {
  using enum ElementWiseOperation;
  in.require_count(2);
  in.require_same_dtype(0, 1);
  const bool logical = op.operation == kAnd || op.operation == kOr || op.operation == kXor;
  const bool comparison = op.operation == kEqual || op.operation == kGreater || op.operation == kLess;
  if (logical) {
    in.require(in.dtype(0) == DataType::kBool, "\"", to_string(op.operation), "\" takes bool, not ",
               to_string(in.dtype(0)));
  } else if (op.operation != kEqual) {
    in.require(in.dtype(0) != DataType::kBool, "\"", to_string(op.operation), "\" takes numbers, not bool");
  }
  return {{comparison ? DataType::kBool : in.dtype(0), in.broadcast(in.dims(0), in.dims(1))}};
}

ValueTypes infer_types(const Operands& in, const Select&) {
  in.require_count(3);
  in.require(in.dtype(0) == DataType::kBool, "needs a bool condition, not ", to_string(in.dtype(0)));
  in.require_same_dtype(1, 2);
  return {{in.dtype(1), in.broadcast(in.dims(0), in.broadcast(in.dims(1), in.dims(2)))}};
}

ValueTypes infer_types(const Operands& in, const Cast& op) {
  in.require_count(1);
  return {{op.to, in.dims(0)}};
}

ValueTypes infer_types(const Operands& in, const Identity&) {
  in.require_count(1);
  return {{in.dtype(0), in.dims(0)}};
}

}  // namespace torchtrt::network
