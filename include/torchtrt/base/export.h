// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Marks a symbol that a torchtrt library exports. Everything else is built hidden.
#define TORCHTRT_API __attribute__((visibility("default")))
