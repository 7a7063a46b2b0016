#include "core/kernels/adapted_linear.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/base/errors.hpp"

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

// Calls body(member, first row, row count) for every member that has rows. The members' products are small beside the
// frozen one they share; they run one after the other, each on all threads.
template <typename Body>
void for_members(const LowRankTerm& term, const Body& body) {
  for (std::size_t m = 0; m + 1 < term.stream_offsets.size(); ++m) {
    const std::int64_t begin = term.stream_offsets[m];
    const std::int64_t count = term.stream_offsets[m + 1] - begin;
    if (count > 0) body(static_cast<std::int64_t>(m), begin, count);
  }
}

// u = x A^T for every member, all linears side by side: [rows, linears*rank].
at::Tensor down(const at::Tensor& x, const at::Tensor& a, const LowRankTerm& term) {
  at::Tensor u = at::empty({x.size(0), a.size(1)}, x.options());
  if (term.dropout == 0.0) {
    for_members(term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
      at::Tensor out = u.narrow(0, begin, count);
      at::mm_out(out, x.narrow(0, begin, count), a[m].t());
    });
    return u;
  }
  for (std::size_t l = 0; l < term.columns.size(); ++l) {
    const auto first = static_cast<std::int64_t>(l) * term.rank;
    const at::Tensor dropped = x * mask_of(term, x, l);
    for_members(term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
      u.narrow(0, begin, count)
          .narrow(1, first, term.rank)
          .copy_(at::mm(dropped.narrow(0, begin, count), a[m].narrow(0, first, term.rank).t()));
    });
  }
  return u;
}

class AdaptedLinear : public torch::autograd::Function<AdaptedLinear> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& a,
                            const at::Tensor& b, const LowRankTermPtr& term) {
    at::Tensor y = term->frozen.product(x);
    const at::Tensor u = down(x, a, *term);
    for_members(*term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
      std::int64_t row = 0;
      for (std::size_t l = 0; l < term->columns.size(); ++l) {
        const AdaptedColumns& columns = term->columns[l];
        at::Tensor out = y.narrow(0, begin, count).narrow(1, columns.begin, columns.count);
        const at::Tensor small =
            u.narrow(0, begin, count).narrow(1, static_cast<std::int64_t>(l) * term->rank, term->rank);
        out.addmm_(small, b[m].narrow(0, row, columns.count).t(), 1.0, term->scale);
        row += columns.count;
      }
    });
    context->save_for_backward({x, a, b, u});
    context->saved_data["term"] = c10::IValue::make_capsule(term);
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& a = saved[1];
    const at::Tensor& b = saved[2];
    const at::Tensor& u = saved[3];
    const auto term = c10::static_intrusive_pointer_cast<LowRankTerm>(context->saved_data["term"].toCapsule());
    const at::Tensor dy = gradients[0].contiguous();
    const bool input_needed = context->needs_input_grad(0);
    // Members without rows get zeros; everybody else's slices are written whole.
    at::Tensor da = at::zeros(a.sizes(), x.options());
    at::Tensor db = at::zeros(b.sizes(), x.options());
    at::Tensor du = at::empty(u.sizes(), u.options());
    for_members(*term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
      std::int64_t row = 0;
      for (std::size_t l = 0; l < term->columns.size(); ++l) {
        const AdaptedColumns& columns = term->columns[l];
        const auto first = static_cast<std::int64_t>(l) * term->rank;
        const at::Tensor dy_here = dy.narrow(0, begin, count).narrow(1, columns.begin, columns.count);
        at::Tensor du_here = du.narrow(0, begin, count).narrow(1, first, term->rank);
        du_here.addmm_(dy_here, b[m].narrow(0, row, columns.count), 0.0, term->scale);
        at::Tensor db_here = db[m].narrow(0, row, columns.count);
        db_here.addmm_(dy_here.t(), u.narrow(0, begin, count).narrow(1, first, term->rank), 0.0, term->scale);
        row += columns.count;
      }
    });
    at::Tensor dx = input_needed ? term->frozen.input_gradient(dy) : at::Tensor();
    if (term->dropout == 0.0) {
      for_members(*term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
        const at::Tensor du_here = du.narrow(0, begin, count);
        at::Tensor da_here = da[m];
        at::mm_out(da_here, du_here.t(), x.narrow(0, begin, count));
        if (input_needed) dx.narrow(0, begin, count).addmm_(du_here, a[m]);
      });
    } else {
      through_dropout(*term, x, a, du, da, dx);
    }
    return {dx, da, db, at::Tensor()};
  }

 private:
  // The same two products where every linear saw an input of its own: x times its mask.
  static void through_dropout(const LowRankTerm& term, const at::Tensor& x, const at::Tensor& a, const at::Tensor& du,
                              at::Tensor& da, at::Tensor& dx) {
    for (std::size_t l = 0; l < term.columns.size(); ++l) {
      const auto first = static_cast<std::int64_t>(l) * term.rank;
      const at::Tensor mask = mask_of(term, x, l);
      const at::Tensor dropped = x * mask;
      for_members(term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
        const at::Tensor du_here = du.narrow(0, begin, count).narrow(1, first, term.rank);
        da[m].narrow(0, first, term.rank).copy_(at::mm(du_here.t(), dropped.narrow(0, begin, count)));
        if (dx.defined()) {
          dx.narrow(0, begin, count)
              .addcmul_(at::mm(du_here, a[m].narrow(0, first, term.rank)), mask.narrow(0, begin, count));
        }
      });
    }
  }
};

}  // namespace

at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, const LowRankTermPtr& term) {
  CHORALE_ASSERT(term->stream_offsets.back() == x.size(0), "every row belongs to a member");
  return AdaptedLinear::apply(x, a, b, term);
}

at::Tensor adapted_linear_plain(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b,
                                const LowRankTermPtr& term) {
  std::vector<at::Tensor> members;
  std::vector<at::Tensor> masks;
  for (std::size_t l = 0; l < term->columns.size() && term->dropout > 0.0; ++l) masks.push_back(mask_of(*term, x, l));
  for_members(*term, [&](std::int64_t m, std::int64_t begin, std::int64_t count) {
    const at::Tensor x_m = x.narrow(0, begin, count);
    at::Tensor y = at::mm(x_m, term->frozen.weight().t());
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
