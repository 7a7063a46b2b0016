#include "core/data/delimited.hpp"

#include <fmt/format.h>

#include <set>
#include <string_view>
#include <utility>

#include "core/base/errors.hpp"
#include "core/base/printable.hpp"
#include "core/data/line_reader.hpp"

namespace chorale {
namespace {

struct Row {
  std::vector<std::string> fields;
  std::size_t line = 0;  // where it starts
};

// Cuts a file into rows. The reader hands out lines at line feeds; what a row is beyond that is decided here.
class RowReader {
 public:
  RowReader(const std::string& path, Delimited kind) : reader_(path), kind_(kind) {}

  // The next row that is not blank; false at the end of the file.
  [[nodiscard]] bool next(Row& row) {
    for (;;) {
      if (position_ >= text_.size() && !next_line()) return false;
      row.fields.clear();
      row.line = line();
      if (kind_ == Delimited::tsv) {
        tsv_row(row);
      } else {
        csv_row(row);
      }
      if (!row.fields.empty()) return true;
    }
  }

 private:
  // Reads a line into text_ and gives it its line feed back, which quoted fields keep.
  [[nodiscard]] bool next_line() {
    position_ = 0;
    if (!reader_.next(text_)) {
      text_.clear();
      return false;
    }
    crlf_ = !text_.empty() && text_.back() == '\r';
    text_ += '\n';
    return true;
  }

  void tsv_row(Row& row) {
    std::string_view rest = text_;
    rest.remove_suffix(crlf_ ? 2 : 1);
    position_ = text_.size();
    if (rest.empty()) return;
    for (std::size_t tab = rest.find('\t'); tab != rest.npos; tab = rest.find('\t')) {
      row.fields.emplace_back(rest.substr(0, tab));
      rest.remove_prefix(tab + 1);
    }
    row.fields.emplace_back(rest);
  }

  // One CSV row from position_; leaves position_ behind its line end, or reads on where a quoted field goes on.
  void csv_row(Row& row) {
    if (ends_here()) return skip_line_end();
    for (;;) {
      row.fields.push_back(text_[position_] == '"' ? quoted_field() : plain_field());
      if (text_[position_] != ',') return skip_line_end();
      ++position_;
    }
  }

  std::string plain_field() {
    const std::size_t end = text_.find_first_of(",\r\n", position_);
    std::string field = text_.substr(position_, end - position_);
    position_ = end;
    return field;
  }

  std::string quoted_field() {
    const std::size_t opened = line();
    std::string field;
    ++position_;
    for (;;) {
      const std::size_t quote = text_.find('"', position_);
      field.append(text_, position_, quote == text_.npos ? text_.npos : quote - position_);
      if (field.size() > kMaxRecordBytes) {
        throw InputError(
            fmt::format("{}:{}: the quoted field that starts here is longer than {} MiB. Close it where it "
                        "ends, or double quotes that belong to the text.",
                        reader_.path(), opened, kMaxRecordBytes >> 20U));
      }
      if (quote == text_.npos) {
        if (next_line()) continue;
        throw InputError(
            fmt::format("{}:{}: a quote is opened here and never closed. Close it, or double quotes that "
                        "belong to the text.",
                        reader_.path(), opened));
      }
      position_ = quote + 1;
      if (text_[position_] != '"') break;
      field += '"';
      ++position_;
    }
    if (text_[position_] != ',' && !ends_here()) {
      throw InputError(
          fmt::format("{}:{}: '{}' follows a closing quote. Double the quotes inside a quoted field (\"\").",
                      reader_.path(), line(), printable(std::string_view(text_).substr(position_, 12))));
    }
    return field;
  }

  [[nodiscard]] bool ends_here() const { return text_[position_] == '\n' || text_[position_] == '\r'; }
  void skip_line_end() {
    const bool carriage_return = text_[position_] == '\r';
    if (carriage_return) ++position_;
    if (position_ < text_.size() && text_[position_] == '\n') {
      ++position_;
    } else if (carriage_return) {
      ++lone_carriage_returns_;
    }
  }
  // Number of the current line where a lone carriage return outside quotes ends a line too.
  [[nodiscard]] std::size_t line() const { return reader_.line() + lone_carriage_returns_; }

  LineReader reader_;
  Delimited kind_;
  std::string text_;
  std::size_t position_ = 0;
  bool crlf_ = false;
  std::size_t lone_carriage_returns_ = 0;
};

std::vector<std::string> read_header(RowReader& rows, const std::string& path, Delimited kind) {
  Row header;
  if (!rows.next(header)) throw InputError(fmt::format("{}: is empty. Give a header line and records.", path));
  std::set<std::string> seen;
  for (std::size_t column = 0; column < header.fields.size(); ++column) {
    const std::string& name = header.fields[column];
    if (name.find_first_not_of(" \t") == name.npos) {
      throw InputError(fmt::format("{}:{}: column {} of the header has no name. Name every field in the first line.",
                                   path, header.line, column + 1));
    }
    if (!seen.insert(name).second) {
      throw InputError(fmt::format("{}:{}: the header names '{}' twice. {}", path, header.line, printable(name),
                                   "Give each column a name of its own; a file without a header line needs one."));
    }
  }
  if (kind == Delimited::tsv && header.fields.size() == 1 && header.fields[0].find(',') != std::string::npos) {
    throw InputError(
        fmt::format("{}:{}: the header has commas and no tab. Name a comma-separated file .csv.", path, header.line));
  }
  const bool one = kind == Delimited::csv && header.fields.size() == 1;
  if (one && header.fields[0].front() == '{') {
    throw InputError(
        fmt::format("{}:{}: holds JSON where a header line is expected. Name JSON lines .jsonl.", path, header.line));
  }
  for (const auto& [mark, name] : {std::pair(';', "semicolons"), std::pair('\t', "tabs"), std::pair('|', "bars")}) {
    if (!one || header.fields[0].find(mark) == std::string::npos) continue;
    throw InputError(fmt::format(
        "{}:{}: the header has {} and no comma. {}", path, header.line, name,
        mark == '\t' ? "Name a tab-separated file .tsv." : "Save the file with commas between the fields."));
  }
  return std::move(header.fields);
}

}  // namespace

std::vector<Record> read_delimited(const std::string& path, Delimited kind, std::size_t limit) {
  RowReader rows(path, kind);
  const std::vector<std::string> names = read_header(rows, path, kind);
  std::vector<Record> records;
  Row row;
  while ((limit == 0 || records.size() < limit) && rows.next(row)) {
    if (row.fields.size() != names.size()) {
      throw InputError(fmt::format(
          "{}:{}: {} fields where the header has {}. {}", path, row.line, row.fields.size(), names.size(),
          kind == Delimited::csv ? "Put fields with commas or line breaks in double quotes."
                                 : "Remove tabs and line breaks inside fields; they cannot be quoted here."));
    }
    Record record;
    record.line = row.line;
    for (std::size_t column = 0; column < names.size(); ++column) {
      record.fields[names[column]] = std::move(row.fields[column]);
    }
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace chorale
