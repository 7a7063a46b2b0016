#include "core/tokenizer/unicode_class.hpp"

#include <utf8proc.h>

namespace chorale {

bool is_numeric(char32_t value) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(value));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

bool is_white_space(char32_t value) {
  // White_Space is the separators (Z*) and six controls; the stability policy keeps it so.
  if ((value >= 0x09 && value <= 0x0D) || value == 0x85) {
    return true;
  }
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(value));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

}  // namespace chorale
