// What a decoder's shape is, whatever file said so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace chorale {

/// Rotary-embedding scaling of Llama 3.x ("llama3") or plain position interpolation ("linear"); "none" otherwise.
struct RopeScaling {
  std::string kind = "none";  // none | linear | llama3
  double factor = 1.0;
  double low_frequency_factor = 1.0;   // llama3
  double high_frequency_factor = 4.0;  // llama3
  double original_context = 8192.0;    // llama3
};

/// Shape and constants of a decoder of the Llama family. Sizes are counts of elements.
struct ModelConfig {
  std::string family = "llama";
  std::string name;  // as the file calls itself; may be empty
  std::int64_t vocabulary = 0;
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t feed_forward = 0;
  std::int64_t context_length = 0;
  double rms_epsilon = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool tied_head = false;
  bool attention_bias = false;  // biases on q, k, v and o
  bool mlp_bias = false;
};

}  // namespace chorale
