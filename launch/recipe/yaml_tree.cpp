#include "launch/recipe/yaml_tree.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <unordered_set>
#include <utility>

#include "core/base/utf8.hpp"

namespace chorale::recipe {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 20;
constexpr std::size_t kMostLevels = 64;
constexpr std::string_view kNoAliases = "aliases (*name) are not allowed; write the value out";

struct TooDeep {
  YAML::Mark mark;
};

// yaml-cpp's own tree keeps duplicate keys silently and expands aliases, so the tree is built from its events.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::shared_ptr<const std::string> source, const Place* place_of_all, Mistakes& mistakes)
      : source_(std::move(source)), place_of_all_(place_of_all), mistakes_(mistakes) {}

  [[nodiscard]] Place place(const YAML::Mark& mark) const {
    if (place_of_all_ != nullptr) return *place_of_all_;
    if (mark.is_null()) return {source_, 1, 1};
    return {source_, static_cast<std::size_t>(mark.line) + 1, static_cast<std::size_t>(mark.column) + 1};
  }
  [[nodiscard]] Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    mistakes_.add(place(mark), "", fmt::format("anchors (&{}) are not allowed; write the value out", name));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    mistakes_.add(place(mark), "", kNoAliases);
    add_leaf(leaf(mark, Node::Kind::broken));
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add_leaf(leaf(mark, Node::Kind::null)); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& value) override {
    refuse_tag(mark, tag);
    Node node = leaf(mark, Node::Kind::scalar);
    node.text = value;
    node.quoted = tag == "!";  // yaml-cpp's sign for a scalar that is not plain
    add_leaf(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, Node::Kind::list);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, Node::Kind::map);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Node node;
    std::unordered_set<std::string> keys;
    bool expects_key = true;
    bool is_key = false;  // a collection where a key should stand
    std::string key;
    Place key_place;
  };

  [[nodiscard]] Node leaf(const YAML::Mark& mark, Node::Kind kind) const {
    Node node;
    node.kind = kind;
    node.place = place(mark);
    return node;
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    mistakes_.add(place(mark), "", fmt::format("the tag {} is not allowed; write the plain value", tag));
  }

  void open(const YAML::Mark& mark, const std::string& tag, Node::Kind kind) {
    refuse_tag(mark, tag);
    if (open_.size() >= kMostLevels) throw TooDeep{mark};
    const bool is_key = !open_.empty() && open_.back().node.kind == Node::Kind::map && open_.back().expects_key;
    open_.push_back({});
    open_.back().node = leaf(mark, kind);
    open_.back().is_key = is_key;
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    if (done.is_key) done.node.kind = Node::Kind::list;  // whatever it is, it is no word
    add_leaf(std::move(done.node));
  }

  void add_leaf(Node node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == Node::Kind::list) {
      parent.node.children.push_back(std::move(node));
    } else if (parent.expects_key) {
      take_key(parent, node);
    } else {
      parent.expects_key = true;
      node.key = std::move(parent.key);
      node.key_place = parent.key_place;
      // yaml-cpp places a value that is not there at whatever comes next.
      if (node.kind == Node::Kind::null) node.place = parent.key_place;
      if (parent.keys.insert(node.key).second) {
        parent.node.children.push_back(std::move(node));
      } else {
        const Node* first = parent.node.find(node.key);
        mistakes_.add(node.key_place, node.key,
                      fmt::format("the key is given twice (first at line {}); keep one", first->key_place.line));
      }
    }
  }

  void take_key(Open& parent, const Node& node) {
    parent.expects_key = false;
    parent.key_place = node.place;
    parent.key = node.text;
    if (node.kind == Node::Kind::scalar) return;
    if (node.kind != Node::Kind::broken) mistakes_.add(node.place, "", "a key must be a single word");
    parent.key = fmt::format("?{}", parent.node.children.size());
  }

  std::shared_ptr<const std::string> source_;
  const Place* place_of_all_;
  Mistakes& mistakes_;
  std::vector<Open> open_;
  Node root_;
};

// What yaml-cpp would pass over or stumble on: byte 4 ends its stream, other controls have no place in YAML at all.
std::optional<std::pair<std::size_t, std::string>> bad_byte(std::string_view text) {
  if (const auto offset = first_invalid_utf8(text)) {
    return std::pair(*offset, std::string("the text is not UTF-8; save the file as UTF-8"));
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t' && byte != '\r') || byte == 0x7f;
    if (control) return std::pair(at, fmt::format("control character 0x{:02x}; remove it", byte));
  }
  return std::nullopt;
}

Node broken_at(const Place& place) {
  Node node;
  node.kind = Node::Kind::broken;
  node.place = place;
  return node;
}

}  // namespace

const Node* Node::find(std::string_view name) const {
  for (const Node& child : children) {
    if (child.key == name) return &child;
  }
  return nullptr;
}

Node* Node::find(std::string_view name) {
  return const_cast<Node*>(std::as_const(*this).find(name));
}

std::string_view kind_name(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "empty";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::map:
      return "a map";
    default:
      return "a single value";
  }
}

Node parse_yaml(std::string_view text, const std::string& source, const Place* place_of_all, Mistakes& mistakes) {
  const auto shared_source = std::make_shared<const std::string>(source);
  const auto place_at = [&](std::size_t line, std::size_t column) {
    return place_of_all != nullptr ? *place_of_all : Place{shared_source, line, column};
  };
  if (text.size() > kMostBytes) {
    mistakes.add(place_at(1, 1), "",
                 fmt::format("{} bytes are no recipe; the limit is 1 MiB; give the path of a recipe", text.size()));
    return broken_at(place_at(1, 1));
  }
  if (const auto bad = bad_byte(text)) {
    const std::string_view before = text.substr(0, bad->first);
    const auto line = static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
    const std::size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    const Place place = place_at(line, before.size() - start + 1);
    mistakes.add(place, "", bad->second);
    return broken_at(place);
  }
  TreeBuilder builder(shared_source, place_of_all, mistakes);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) {
      Node nothing;
      nothing.place = place_at(1, 1);
      return nothing;
    }
    Node root = builder.take();
    Mistakes of_second;
    TreeBuilder second(shared_source, place_of_all, of_second);
    if (parser.HandleNextDocument(second)) {
      mistakes.add(second.take().place, "", "a second YAML document starts here; keep one; a recipe is one document");
    }
    return root;
  } catch (const TooDeep& deep) {
    const Place place = builder.place(deep.mark);
    mistakes.add(place, "", fmt::format("nested deeper than {} levels; write it with fewer", kMostLevels));
    return broken_at(place);
  } catch (const YAML::Exception& error) {
    const Place place = builder.place(error.mark);
    if (error.msg == YAML::ErrorMsg::UNKNOWN_ANCHOR) {
      mistakes.add(place, "", kNoAliases);
      return broken_at(place);
    }
    mistakes.add(place, "", fmt::format("not valid YAML: {}; check indentation, colons and quotes here", error.msg));
    return broken_at(place);
  }
}

}  // namespace chorale::recipe
