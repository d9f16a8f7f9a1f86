//! Results for other tools: the Test Anything Protocol, and the XML that JUnit began.

use super::Case;
use std::fmt::Write as _;

/// TAP, version 14: a line a case, differences as YAML below it.
#[must_use]
pub fn tap(cases: &[Case]) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", cases.len());
    for (nth, case) in cases.iter().enumerate() {
        let ok = if case.passed() { "ok" } else { "not ok" };
        // `#` would begin a directive.
        let name = case.name.replace('#', "\\#");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{ok} {} - {name}", nth + 1);
        if !case.passed() {
            text.push_str("  ---\n  message: |\n");
            for line in case.differences.iter().flat_map(|difference| difference.lines()) {
                let _ = writeln!(text, "    {}", line.chars().map(printable).collect::<String>());
            }
            text.push_str("  ...\n");
        }
    }
    text
}

/// JUnit's XML: a suite, a case a scenario, one failure with all differences.
#[must_use]
pub fn junit(suite: &str, cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| !case.passed()).count();
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    let _ = writeln!(
        text,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">",
        escape(suite),
        cases.len()
    );
    for case in cases {
        let (name, file) = (escape(&case.name), escape(&case.path.to_string_lossy()));
        let _ = write!(text, "    <testcase classname=\"{}\" name=\"{name}\" file=\"{file}\"", escape(suite));
        if case.passed() {
            text.push_str("/>\n");
            continue;
        }
        let first =
            case.differences.first().and_then(|difference| difference.lines().next()).unwrap_or_default();
        let all = escape(&case.differences.join("\n"));
        let _ = writeln!(
            text,
            ">\n      <failure message=\"{}\">{all}</failure>\n    </testcase>",
            escape(first)
        );
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Text for an attribute or element.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(printable(c)),
        }
    }
    escaped
}

/// Neither YAML nor XML can have the others.
fn printable(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' => c,
        c if c < ' ' || c == '\u{7f}' || c == '\u{fffe}' || c == '\u{ffff}' => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases() -> [Case; 2] {
        let case = |name: &str, differences: &[&str]| Case {
            name: name.to_owned(),
            path: format!("runs/{name}.ron").into(),
            differences: differences.iter().map(|text| (*text).to_owned()).collect(),
            blessed: false,
        };
        [case("good", &[]), case("b#d", &["a < \"b\"\n-x\n+y\u{1}", "more"])]
    }

    #[test]
    fn tap_has_a_plan_and_a_line_a_case() {
        insta::assert_snapshot!(tap(&cases()), @r#"
        TAP version 14
        1..2
        ok 1 - good
        not ok 2 - b\#d
          ---
          message: |
            a < "b"
            -x
            +y�
            more
          ...
        "#);
    }

    #[test]
    fn junit_is_xml_whatever_a_guest_prints() {
        let text = junit("runs", &cases());
        assert!(text.contains("<testsuite name=\"runs\" tests=\"2\" failures=\"1\">"), "{text}");
        assert!(text.contains(
            "<failure message=\"a &lt; &quot;b&quot;\">a &lt; &quot;b&quot;\n-x\n+y\u{fffd}\nmore</failure>"
        ));
        assert_eq!(
            text.matches("<testcase").count(),
            text.matches("/>").count() + text.matches("</testcase>").count()
        );
    }
}
