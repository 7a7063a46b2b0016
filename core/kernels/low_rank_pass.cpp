#include "core/kernels/low_rank_pass.hpp"

namespace chorale {

void run_downs(const at::Tensor& x, LowRankPass& pass) {
  for (const LowRankDown& down : pass.downs) {
    grouped_down(x, down.begin, down.m, pass.u, down.first, pass.offsets, down.scale);
  }
}

void run_ups(at::Tensor& y, const LowRankPass& pass) {
  for (const LowRankUp& up : pass.ups) {
    grouped_up(pass.u, up.first, up.m, y, up.begin, pass.offsets, up.scale);
  }
}

}  // namespace chorale
