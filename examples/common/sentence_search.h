// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the two example programs share: reading the demo's files, and searching with embeddings. Nothing in here knows
// of torchtrt; a program of yours needs none of it.

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace sentence_search {

/// A batch as a tokenizer gives it: ids and attention mask, int64 [sentences, tokens]. The file is text: the two sizes,
/// the ids row by row, the mask row by row.
struct Tokens {
  at::Tensor ids, mask;
};

inline Tokens read_tokens(const std::string& path) {
  std::ifstream file(path);
  std::int64_t rows = 0, columns = 0;
  if (!(file >> rows >> columns) || rows < 1 || columns < 1 || rows * columns > 1'000'000) {
    throw std::runtime_error(path + " is not a tokens file: it starts with two sizes");
  }
  const auto read_matrix = [&] {
    at::Tensor matrix = at::empty({rows, columns}, at::kLong);
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      if (!(file >> matrix.data_ptr<std::int64_t>()[i])) throw std::runtime_error(path + " ends too early");
    }
    return matrix;
  };
  return {.ids = read_matrix(), .mask = read_matrix()};
}

inline std::vector<std::string> read_lines(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

/// Whether a Python interpreter, or torch's bindings for it, is mapped into this process.
inline bool python_in_process() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libpython") != std::string::npos || line.find("libtorch_python") != std::string::npos) return true;
  }
  return false;
}

using Embed = std::function<at::Tensor(const Tokens&)>;

/// Embeds the sentences (one batch) and the queries (a batch of another size and length) in `folder`, prints the
/// sentence nearest to each query, and writes the embeddings to `<folder>/<name>.embeddings` (float32) for comparison.
inline int run(const char* name, const std::string& folder, const Embed& embed) {
  const std::vector<std::string> sentences = read_lines(folder + "/sentences.txt");
  const std::vector<std::string> queries = read_lines(folder + "/queries.txt");
  const Tokens sentence_tokens = read_tokens(folder + "/sentences.tokens");
  const Tokens query_tokens = read_tokens(folder + "/queries.tokens");
  const at::Tensor sentence_vectors = embed(sentence_tokens).contiguous();
  const at::Tensor query_vectors = embed(query_tokens).contiguous();

  std::ofstream out(folder + "/" + name + ".embeddings", std::ios::binary);
  for (const at::Tensor& vectors : {sentence_vectors, query_vectors}) {
    out.write(static_cast<const char*>(vectors.const_data_ptr()), static_cast<std::streamsize>(vectors.nbytes()));
  }

  // The embeddings have length one, so their products are the cosines.
  const at::Tensor similarity = at::matmul(query_vectors, sentence_vectors.t());
  std::printf("  batch of %lld sentences x %lld tokens, batch of %lld queries x %lld tokens\n",
              static_cast<long long>(sentence_tokens.ids.size(0)), static_cast<long long>(sentence_tokens.ids.size(1)),
              static_cast<long long>(query_tokens.ids.size(0)), static_cast<long long>(query_tokens.ids.size(1)));
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const auto [value, index] = similarity[static_cast<std::int64_t>(i)].max(0);
    std::printf("  %-34s %.3f  %s\n", queries[i].c_str(), value.item<double>(),
                sentences.at(static_cast<std::size_t>(index.item<std::int64_t>())).c_str());
  }

  std::vector<double> times;
  for (int i = 0; i < 30; ++i) {
    const auto start = std::chrono::steady_clock::now();
    embed(query_tokens);
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  std::printf("  a batch of queries: min %.2f ms, median %.2f ms\n", times.front(), times[times.size() / 2]);

  if (python_in_process()) {
    std::fprintf(stderr, "  Python is in this process\n");
    return 1;
  }
  std::printf("  no Python in this process\n");
  return 0;
}

}  // namespace sentence_search
