#include "core/report/report_page.hpp"

#include "core/base/sha256.hpp"
#include "core/report/page_files.hpp"
#include "core/report/static_page.hpp"
#include "support/catch.hpp"

using namespace chorale;
using nlohmann::json;

namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

json data_with(const std::string& text) {
  return {
      {"made_by", "chorale"},
      {"runs",
       {{{"name", text},
         {"main_set", "test"},
         {"headline", {text}},
         {"metrics", {{"datasets", {{"test", {{"members", {{"mean", {{"nll", nullptr}, {"accuracy", 0.5}}}}}}}}}}}}}}};
}

}  // namespace

TEST_CASE("nothing in the data can end the script or become markup") {
  const std::string hostile =
      "</script><script>alert(1)</script><!-- {{SCRIPT}} \u2028 & \"quoted\" <img src=x onerror=alert(1)>";
  const std::string page = report_page(data_with(hostile));
  CHECK(count(page, "<script") == 2);
  CHECK(count(page, "</script") == 2);
  CHECK(count(page, "<img") == 0);
  CHECK(count(page, "\u2028") == count(html_escaped(hostile), "\u2028") * 3);  // title, static heading and sentence
  CHECK(count(page, "&lt;/script&gt;") >= 2);
  // The data comes back as it was.
  const std::size_t begin = page.find("id=\"data\">") + 10;
  CHECK(json::parse(page.substr(begin, page.find("</script", begin) - begin)) == data_with(hostile));
}

TEST_CASE("the page's policy allows its own script alone and no request") {
  const std::string page = report_page(data_with("a"));
  const std::size_t begin = page.rfind("<script>") + 8;
  const std::string script = page.substr(begin, page.rfind("</script>") - begin);
  CHECK(page.find("default-src 'none'; script-src 'sha256-" + sha256_base64(script) + "'") != std::string::npos);
  CHECK(page.find("sourceMappingURL") == std::string::npos);
  CHECK(page.find(" src=") == std::string::npos);
  CHECK(page.find("<link") == std::string::npos);
  for (const ScriptFile& file : page_scripts())
    CHECK(script.find(std::string("define(\"") + file.name) != std::string::npos);
}

TEST_CASE("text and numbers without JavaScript") {
  CHECK(html_escaped("<a href='x'>&\"") == "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
  const std::string html = static_results(data_with("a < b"));
  CHECK(html.find("a &lt; b") != std::string::npos);
  CHECK(html.find("<td>0.500</td><td>infinite</td>") != std::string::npos);
}

TEST_CASE("a digest in base64 is the one of other tools") {
  // echo -n abc | openssl dgst -sha256 -binary | base64
  CHECK(sha256_base64("abc") == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}
