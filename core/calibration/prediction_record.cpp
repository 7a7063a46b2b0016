#include "core/calibration/prediction_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "core/base/errors.hpp"
#include "core/base/nearest.hpp"
#include "core/base/printable.hpp"
#include "core/ensemble/log_math.hpp"
#include "core/ensemble/prediction_table.hpp"

namespace chorale {
namespace {

struct Kind {
  std::string_view field;
  bool members;
  PredictionForm form;
};

constexpr std::array<Kind, 6> kKinds = {{
    {"members", true, PredictionForm::probabilities},
    {"probabilities", false, PredictionForm::probabilities},
    {"member_log_probabilities", true, PredictionForm::log_probabilities},
    {"log_probabilities", false, PredictionForm::log_probabilities},
    {"member_logits", true, PredictionForm::logits},
    {"logits", false, PredictionForm::logits},
}};

// Throws with the place in front.
class Complaint {
 public:
  Complaint(const std::string& path, std::size_t line) : place_(fmt::format("{}:{}", path, line)) {}
  [[noreturn]] void raise(const std::string& message) const {
    throw InputError(fmt::format("{}: {}", place_, message));
  }

 private:
  std::string place_;
};

const Kind& find_kind(const Record& record, const Complaint& complaint) {
  const Kind* found = nullptr;
  for (const Kind& kind : kKinds) {
    if (record.fields.contains(kind.field)) {
      // `chorale predict` gives the members' mean beside the members.
      const bool is_their_mean = found == &kKinds[0] && kind.field == "probabilities";
      if (is_their_mean) continue;
      if (found != nullptr) {
        complaint.raise(fmt::format("both '{}' and '{}' are given. Keep one of them.", found->field, kind.field));
      }
      found = &kind;
    }
  }
  if (found != nullptr) {
    return *found;
  }
  std::string hint;
  for (const auto& field : record.fields.items()) {
    std::array<std::string_view, kKinds.size()> names{};
    std::transform(kKinds.begin(), kKinds.end(), names.begin(), [](const Kind& kind) { return kind.field; });
    if (hint.empty()) {
      hint = did_you_mean(field.key(), std::span<const std::string_view>(names));
    }
  }
  complaint.raise(
      "no predictions. Give one of 'members' (M lists of K probabilities), 'probabilities' (K, one model), "
      "or these as 'member_log_probabilities', 'log_probabilities', 'member_logits', 'logits'." +
      hint);
}

std::vector<double> numbers(const nlohmann::json& list, const std::string& where, const Complaint& complaint) {
  if (!list.is_array() || list.empty()) {
    complaint.raise(fmt::format("{} must be a list of numbers, one per choice.", where));
  }
  std::vector<double> values;
  for (const nlohmann::json& value : list) {
    if (!value.is_number()) {
      complaint.raise(
          fmt::format("{}: choice {} is {}, not a number. Write one; an impossible choice is probability 0.", where,
                      values.size(), printable(value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))));
    }
    values.push_back(value.get<double>());
  }
  return values;
}

std::vector<std::vector<double>> json_rows(const Record& record, const Kind& kind, const Complaint& complaint) {
  const nlohmann::json& value = record.fields.at(std::string(kind.field));
  if (!kind.members) {
    return {numbers(value, fmt::format("'{}'", kind.field), complaint)};
  }
  if (!value.is_array() || value.empty()) {
    complaint.raise(fmt::format("'{}' must be a list with one list of numbers per member.", kind.field));
  }
  std::vector<std::vector<double>> rows;
  for (const nlohmann::json& row : value) {
    rows.push_back(numbers(row, fmt::format("'{}', member {}", kind.field, rows.size()), complaint));
    if (rows.back().size() != rows.front().size()) {
      complaint.raise(
          fmt::format("member {} has {} choices and member 0 has {}. Give all the same choices; an impossible "
                      "choice is probability 0.",
                      rows.size() - 1, rows.back().size(), rows.front().size()));
    }
  }
  return rows;
}

template <typename Number>
std::optional<Number> parsed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  text = first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::vector<std::vector<double>> column_rows(const Record& record, const Complaint& complaint) {
  std::vector<double> row;
  while (record.fields.contains(fmt::format("p{}", row.size()))) {
    const std::string name = fmt::format("p{}", row.size());
    const std::string& text = record.fields.at(name).get_ref<const std::string&>();
    const std::optional<double> value = parsed<double>(text);
    if (!value) {
      complaint.raise(fmt::format("column {}: '{}' is not a number. Write one.", name, printable(text)));
    }
    row.push_back(*value);
  }
  if (row.empty()) {
    complaint.raise("no column p0. Name the probabilities p0, p1, ... in the header line.");
  }
  for (const auto& field : record.fields.items()) {
    const bool numbered = field.key().size() > 1 && field.key().front() == 'p' &&
                          field.key().find_first_not_of("0123456789", 1) == std::string::npos;
    const std::optional<std::size_t> number =
        numbered ? parsed<std::size_t>(std::string_view(field.key()).substr(1)) : std::nullopt;
    if (number && *number >= row.size()) {
      complaint.raise(
          fmt::format("there is a column {} but no column p{}. Number the probabilities from p0 without a gap.",
                      printable(field.key()), row.size()));
    }
  }
  return {row};
}

void check_numbers(const std::vector<double>& row, PredictionForm form, const std::string& who,
                   const Complaint& complaint) {
  for (std::size_t choice = 0; choice < row.size(); ++choice) {
    if (!std::isfinite(row[choice])) {
      complaint.raise(
          fmt::format("{}choice {} is not a finite number. Check the model's output; an impossible choice is "
                      "probability 0.",
                      who, choice));
    }
    if (form == PredictionForm::probabilities && row[choice] < 0.0) {
      complaint.raise(
          fmt::format("{}choice {} has probability {}. Probabilities cannot be negative; give raw scores under "
                      "'logits' or 'member_logits'.",
                      who, choice, row[choice]));
    }
  }
}

// Turns one checked row into log-probabilities in place.
void to_log_probabilities(std::vector<double>& row, PredictionForm form, const std::string& who,
                          const Complaint& complaint) {
  check_numbers(row, form, who, complaint);
  if (form == PredictionForm::logits) {
    log_normalise(row);
    return;
  }
  if (form == PredictionForm::probabilities) {
    std::transform(row.begin(), row.end(), row.begin(), [](double value) { return std::log(value); });
  }
  const double sum = std::exp(log_sum_exp(row));
  if (!(std::abs(sum - 1.0) <= kSumTolerance)) {
    complaint.raise(
        fmt::format("{}probabilities sum to {:.6g}, not 1 within {}. Normalise them, or give raw scores under "
                    "'logits' or 'member_logits'.",
                    who, sum, kSumTolerance));
  }
  settle_row(row);
}

std::optional<std::int32_t> read_label(const Record& record, bool columns, std::size_t choices,
                                       const Complaint& complaint) {
  const auto found = record.fields.find("label");
  if (found == record.fields.end() || found->is_null() || (columns && found->get_ref<const std::string&>().empty())) {
    return std::nullopt;
  }
  std::optional<std::int64_t> label;
  if (columns) {
    label = parsed<std::int64_t>(found->get_ref<const std::string&>());
  } else if (found->is_number_integer() && (!found->is_number_unsigned() || found->get<std::uint64_t>() <= INT32_MAX)) {
    label = found->get<std::int64_t>();
  }
  if (!label || *label < -1 || *label >= static_cast<std::int64_t>(choices)) {
    complaint.raise(
        fmt::format("label {} is none of the {} choices. Give the index of the right choice, counted "
                    "from 0 (-1: unlabelled).",
                    printable(found->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)), choices));
  }
  return static_cast<std::int32_t>(*label);
}

}  // namespace

PredictionRecord prediction_record(const Record& record, const std::string& path, bool columns) {
  const Complaint complaint(path, record.line);
  PredictionRecord result;
  PredictionForm form = PredictionForm::probabilities;
  bool members = false;
  if (columns) {
    result.kind = "p0...";
    result.rows = column_rows(record, complaint);
  } else {
    const Kind& kind = find_kind(record, complaint);
    result.kind = kind.field;
    form = kind.form;
    members = kind.members;
    result.rows = json_rows(record, kind, complaint);
  }
  result.label = read_label(record, columns, result.rows.front().size(), complaint);
  for (std::size_t member = 0; member < result.rows.size(); ++member) {
    const std::string who = members ? fmt::format("member {}: ", member) : "";
    to_log_probabilities(result.rows[member], form, who, complaint);
  }
  return result;
}

}  // namespace chorale
