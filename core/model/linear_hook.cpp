#include "core/model/linear_hook.hpp"

#include "core/base/errors.hpp"

namespace chorale {

const std::vector<std::string_view>& linears_of(LinearGroup group) {
  static const std::vector<std::string_view> qkv = {"q_proj", "k_proj", "v_proj"};
  static const std::vector<std::string_view> q = {"q_proj"};
  static const std::vector<std::string_view> kv = {"k_proj", "v_proj"};
  static const std::vector<std::string_view> o = {"o_proj"};
  static const std::vector<std::string_view> gate_up = {"gate_proj", "up_proj"};
  static const std::vector<std::string_view> down = {"down_proj"};
  switch (group) {
    case LinearGroup::qkv:
      return qkv;
    case LinearGroup::q:
      return q;
    case LinearGroup::kv:
      return kv;
    case LinearGroup::o:
      return o;
    case LinearGroup::gate_up:
      return gate_up;
    case LinearGroup::down:
      return down;
  }
  throw InternalError("internal error: a linear group without linears");
}

const std::vector<LinearGroup>& groups_of_layer(bool last_layer) {
  static const std::vector<LinearGroup> inner = {LinearGroup::qkv, LinearGroup::o, LinearGroup::gate_up,
                                                 LinearGroup::down};
  static const std::vector<LinearGroup> last = {LinearGroup::q, LinearGroup::kv, LinearGroup::o, LinearGroup::gate_up,
                                                LinearGroup::down};
  return last_layer ? last : inner;
}

}  // namespace chorale
