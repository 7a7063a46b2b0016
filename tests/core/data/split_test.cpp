#include <algorithm>
#include <cmath>
#include <set>

#include "core/data/message_of.hpp"
#include "core/data/task.hpp"
#include "support/catch.hpp"

using namespace chorale;

namespace {

RecordFile numbered(std::size_t count) {
  RecordFile file{"f.jsonl", {}};
  for (std::size_t i = 0; i < count; ++i) {
    file.records.push_back({std::to_string(i + 1), {{"q", "question " + std::to_string(i)}}, i + 1});
  }
  return file;
}

std::set<std::string> questions(const RecordFile& file) {
  std::set<std::string> all;
  for (const Record& record : file.records) all.insert(record.fields["q"]);
  return all;
}

}  // namespace

TEST_CASE("a split takes its share and keeps order", "[data]") {
  const RecordFile file = numbered(10000);
  for (const double fraction : {0.01, 0.1, 0.5, 0.9}) {
    const Split split = split_by_hash(file, fraction);
    CHECK(split.rest.records.size() + split.taken.records.size() == file.records.size());
    const double spread = std::sqrt(10000.0 * fraction * (1.0 - fraction));
    CHECK(std::abs(static_cast<double>(split.taken.records.size()) - 10000.0 * fraction) < 4.0 * spread);
    const auto by_line = [](const Record& left, const Record& right) { return left.line < right.line; };
    CHECK(std::is_sorted(split.rest.records.begin(), split.rest.records.end(), by_line));
    CHECK(std::is_sorted(split.taken.records.begin(), split.taken.records.end(), by_line));
    CHECK(split.taken.path == "f.jsonl");
  }
}

TEST_CASE("adding, removing and moving records moves no other from side to side", "[data]") {
  const RecordFile file = numbered(500);
  const std::set<std::string> taken = questions(split_by_hash(file, 0.2).taken);
  RecordFile changed = numbered(600);
  std::reverse(changed.records.begin(), changed.records.end());
  changed.records.erase(changed.records.begin() + 100, changed.records.begin() + 150);
  for (std::size_t i = 0; i < changed.records.size(); ++i) {  // a record without an id is named by its new line
    changed.records[i].line = i + 1;
    changed.records[i].id = std::to_string(i + 1);
  }
  const std::set<std::string> now = questions(changed);
  const std::set<std::string> taken_now = questions(split_by_hash(changed, 0.2).taken);
  for (const std::string& question : questions(file)) {
    if (now.count(question) > 0) CHECK(taken.count(question) == taken_now.count(question));
  }
  // A larger share keeps what a smaller one took.
  const std::set<std::string> more = questions(split_by_hash(file, 0.3).taken);
  CHECK(std::includes(more.begin(), more.end(), taken.begin(), taken.end()));
}

TEST_CASE("the side of a record is the same in every version", "[data]") {
  // sha256 of {"q":"question 0"} begins 13 hexadecimal digits that put the record at a fixed place in [0, 1).
  RecordFile file = numbered(2);
  const double first = 0.6508230924407881;   // hashlib.sha256(b'{"q":"question 0"}')
  const double second = 0.4586357105285894;  // hashlib.sha256(b'{"q":"question 1"}')
  const double between = (first + second) / 2.0;
  const Split split = split_by_hash(file, between);
  CHECK(split.taken.records[0].line == (first < second ? 1U : 2U));
  CHECK(split.rest.records[0].line == (first < second ? 2U : 1U));
}

TEST_CASE("records that would leave a side empty are refused", "[data]") {
  const std::string message = test::message_of([] { (void)split_by_hash(numbered(3), 1e-9); });
  CHECK(test::missing_part(message, {"f.jsonl", "3 records", "data.validation.fraction"}).empty());
  CHECK_THROWS_AS(split_by_hash(numbered(3), 0.0), InternalError);
  CHECK_THROWS_AS(split_by_hash(numbered(3), 1.0), InternalError);
}
