#include "core/kernels/adapted_linear.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/base/errors.hpp"
#include "core/kernels/grouped_low_rank.hpp"
#include "core/kernels/low_rank_pass.hpp"

namespace chorale {
namespace {

DropoutKey key_of(const LowRankTerm& term, std::size_t linear) {
  DropoutKey key = term.dropout_key;
  key.site = term.columns[linear].site;
  return key;
}

at::Tensor mask_of(const LowRankTerm& term, const at::Tensor& x, std::size_t linear) {
  return dropout_mask(x, term.stream_offsets, term.row_keys, key_of(term, linear), term.dropout);
}

at::Tensor dropped_input(const LowRankTerm& term, const at::Tensor& x, std::size_t linear) {
  return dropped(x, term.stream_offsets, term.row_keys, key_of(term, linear), term.dropout);
}

// Calls body(member, first row, row count) for every member that has rows.
template <typename Body>
void for_members(const LowRankTerm& term, const Body& body) {
  for (std::size_t m = 0; m + 1 < term.stream_offsets.size(); ++m) {
    const std::int64_t begin = term.stream_offsets[m];
    const std::int64_t count = term.stream_offsets[m + 1] - begin;
    if (count > 0) body(static_cast<std::int64_t>(m), begin, count);
  }
}

// Columns of the rank-sized product that belong to linear l.
std::int64_t first_of(const LowRankTerm& term, std::size_t l) {
  return static_cast<std::int64_t>(l) * term.rank;
}

// What u = x A^T comes from, all linears side by side: [rows, linears*rank]. With dropout every linear sees an input of
// its own, and u is there before the pass.
void add_downs(const at::Tensor& x, const at::Tensor& a, const LowRankTerm& term, LowRankPass& pass) {
  if (term.dropout == 0.0) {
    pass.downs.push_back({a, 0, 0, 1.0});
    return;
  }
  for (std::size_t l = 0; l < term.columns.size(); ++l) {
    const std::int64_t first = first_of(term, l);
    grouped_down(dropped_input(term, x, l), 0, a.narrow(1, first, term.rank), pass.u, first, term.stream_offsets, 1.0);
  }
}

// B as the kernels take it, [members, rank, outputs]. The CPU's read the stored layout through a view.
at::Tensor long_side_last(const at::Tensor& b) {
  const at::Tensor view = b.transpose(1, 2);
  return b.is_cpu() ? view : view.contiguous();
}

struct Maker : torch::CustomClassHolder {
  std::function<at::Tensor(const at::Tensor&)> make;
};

class AdaptedLinear : public torch::autograd::Function<AdaptedLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& a,
                            const at::Tensor& b, const at::Tensor& /*anchor*/, const LowRankTermPtr& term,
                            const InputOrigin& origin) {
    const at::Tensor b_rows = long_side_last(b);
    LowRankPass pass{term->stream_offsets, at::empty({x.size(0), a.size(1)}, x.options()), {}, {}};
    add_downs(x, a, *term, pass);
    std::int64_t row = 0;
    for (std::size_t l = 0; l < term->columns.size(); ++l) {
      const AdaptedColumns& columns = term->columns[l];
      pass.ups.push_back({b_rows.narrow(2, row, columns.count), first_of(*term, l), columns.begin, term->scale});
      row += columns.count;
    }
    at::Tensor y = term->frozen.product(x, &pass);
    if (origin.make) {
      auto maker = c10::make_intrusive<Maker>();
      maker->make = origin.make;
      context->saved_data["maker"] = c10::IValue::make_capsule(maker);
    }
    context->save_for_backward({origin.make ? origin.source : x, a, b_rows, pass.u});
    context->saved_data["term"] = c10::IValue::make_capsule(term);
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor x = input(*context, saved[0]);
    const at::Tensor& a = saved[1];
    const at::Tensor& b_rows = saved[2];
    const at::Tensor& u = saved[3];
    const auto term = c10::static_intrusive_pointer_cast<LowRankTerm>(context->saved_data["term"].toCapsule());
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor du = at::empty(u.sizes(), u.options());
    LowRankPass pass{term->stream_offsets, du, {}, {}};
    std::int64_t row = 0;
    for (std::size_t l = 0; l < term->columns.size(); ++l) {
      const AdaptedColumns& columns = term->columns[l];
      pass.downs.push_back({b_rows.narrow(2, row, columns.count), columns.begin, first_of(*term, l), term->scale});
      row += columns.count;
    }
    at::Tensor dx;
    if (context->needs_input_grad(0)) {
      if (term->dropout == 0.0) pass.ups.push_back({a, 0, 0, 1.0});
      dx = term->frozen.input_gradient(dy, &pass);
    } else {
      run_downs(dy, pass);
    }
    const LowRankGradients& there = term->gradients;
    at::Tensor db_rows = there.b.defined() ? there.b.transpose(1, 2) : room_for_gradient(b_rows, x);
    row = 0;
    for (std::size_t l = 0; l < term->columns.size(); ++l) {
      const AdaptedColumns& columns = term->columns[l];
      at::Tensor db = db_rows.narrow(2, row, columns.count);
      take_outer(*term, u, first_of(*term, l), dy, columns.begin, db, term->scale);
      row += columns.count;
    }
    at::Tensor da = there.a.defined() ? there.a : at::empty(a.sizes(), x.options());
    if (term->dropout == 0.0) {
      take_outer(*term, du, 0, x, 0, da, 1.0);
    } else {
      through_dropout(*term, x, a, du, da, dx);
    }
    if (!there.a.defined()) return {dx, da, db_rows.transpose(1, 2), at::Tensor(), at::Tensor(), at::Tensor()};
    ++*there.written;
    return torch::autograd::variable_list{dx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  // As B lies on the device: rank last on the CPU.
  static at::Tensor room_for_gradient(const at::Tensor& b_rows, const at::Tensor& x) {
    return x.is_cpu() ? at::empty({b_rows.size(0), b_rows.size(2), b_rows.size(1)}, x.options()).transpose(1, 2)
                      : at::empty(b_rows.sizes(), b_rows.options());
  }

  static void take_outer(const LowRankTerm& term, const at::Tensor& u, std::int64_t first, const at::Tensor& x,
                         std::int64_t begin, at::Tensor& g, double scale) {
    const auto outer = term.gradients.a.defined() && term.gradients.add ? grouped_outer_add : grouped_outer;
    outer(u, first, x, begin, g, term.stream_offsets, scale);
  }

  static at::Tensor input(torch::autograd::AutogradContext& context, const at::Tensor& saved) {
    const auto maker = context.saved_data.find("maker");
    if (maker == context.saved_data.end()) return saved;
    const at::NoGradGuard no_gradients;
    return c10::static_intrusive_pointer_cast<Maker>(maker->second.toCapsule())->make(saved);
  }

  // The same two products where every linear saw an input of its own: x times its mask.
  static void through_dropout(const LowRankTerm& term, const at::Tensor& x, const at::Tensor& a, const at::Tensor& du,
                              at::Tensor& da, at::Tensor& dx) {
    for (std::size_t l = 0; l < term.columns.size(); ++l) {
      const std::int64_t first = first_of(term, l);
      at::Tensor da_here = da.narrow(1, first, term.rank);
      take_outer(term, du, first, dropped_input(term, x, l), 0, da_here, 1.0);
      if (!dx.defined()) continue;
      at::Tensor through = at::zeros(x.sizes(), x.options());
      grouped_up(du, first, a.narrow(1, first, term.rank), through, 0, term.stream_offsets, 1.0);
      dx.add_(dropped_input(term, through, l));
    }
  }
};

}  // namespace

at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, const LowRankTermPtr& term,
                          const InputOrigin& origin) {
  CHORALE_ASSERT(term->stream_offsets.back() == x.size(0), "every row belongs to a member");
  // Every input must be a tensor; where gradients go back to a and b, nothing more goes to this one.
  return AdaptedLinear::apply(x, a, b, term->anchor.defined() ? term->anchor : a, term, origin);
}

at::Tensor adapted_linear_plain(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b,
                                const LowRankTermPtr& term) {
  std::vector<at::Tensor> members;
  std::vector<at::Tensor> masks;
  for (std::size_t l = 0; l < term->columns.size() && term->dropout > 0.0; ++l) masks.push_back(mask_of(*term, x, l));
  for_members(*term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
    const at::Tensor x_m = x.narrow(0, begin, count);
    at::Tensor y = at::mm(x_m, term->frozen.weight().to(x.scalar_type()).t());
    std::int64_t row = 0;
    for (std::size_t l = 0; l < term->columns.size(); ++l) {
      const AdaptedColumns& columns = term->columns[l];
      const at::Tensor a_l = a[m].narrow(0, static_cast<std::int64_t>(l) * term->rank, term->rank);
      const at::Tensor b_l = b[m].narrow(0, row, columns.count);
      const at::Tensor input = masks.empty() ? x_m : x_m * masks[l].narrow(0, begin, count);
      const at::Tensor update = at::mm(at::mm(input, a_l.t()), b_l.t()) * term->scale;
      const std::int64_t after = y.size(1) - columns.begin - columns.count;
      y = y +
          at::cat({at::zeros({count, columns.begin}, y.options()), update, at::zeros({count, after}, y.options())}, 1);
      row += columns.count;
    }
    members.push_back(y);
  });
  return at::cat(members, 0);
}

}  // namespace chorale
