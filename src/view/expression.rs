//! Conditions on records: `event == IotlbMiss and iova >= 0xffff0000`, `not source == cpu0`, `text ~ "TDT"`.
//!
//! A field is one of a record's JSON keys ([`super::jsonl`]); those of a nested value are reached by their own name too
//! (`vector` for `interrupt.vector`). A field that a record does not have makes its comparison false.

use crate::units::Span;
use serde_json::Value;
use std::str::FromStr;

/// Nested parentheses and `not`s at most.
const DEPTH_MAX: usize = 64;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Both.
    And(Box<Self>, Box<Self>),
    /// Either.
    Or(Box<Self>, Box<Self>),
    /// Not that.
    Not(Box<Self>),
    /// A field compared.
    Compare(String, Comparison, String),
    /// A field that is there, and neither 0 nor false.
    Has(String),
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Differs,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `~`: contains the text.
    Contains,
}

/// Why an expression can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at} of `{text}`")]
pub struct ExpressionError {
    what: &'static str,
    at: usize,
    text: String,
}

/// A record's fields, flat: nested ones by their path.
#[derive(Clone, Debug)]
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Of a record's object.
    #[must_use]
    pub fn of(object: Value) -> Self {
        let mut fields = Vec::new();
        flatten(String::new(), object, &mut fields);
        Self(fields)
    }

    /// By path, or by the last name of one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let whole = self.0.iter().find(|(path, _)| path == name);
        let last = || self.0.iter().find(|(path, _)| path.rsplit('.').next() == Some(name));
        whole.or_else(last).map(|(_, value)| value)
    }
}

fn flatten(path: String, value: Value, fields: &mut Vec<(String, Value)>) {
    let under = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                flatten(under(&name), value, fields);
            }
        }
        Value::Array(inner) => {
            for (index, value) in inner.into_iter().enumerate() {
                flatten(under(&index.to_string()), value, fields);
            }
        }
        Value::Null => {}
        value => fields.push((path, value)),
    }
}

impl Expression {
    /// Whether it is true of a record.
    #[must_use]
    pub fn holds(&self, fields: &Fields) -> bool {
        match self {
            Self::And(a, b) => a.holds(fields) && b.holds(fields),
            Self::Or(a, b) => a.holds(fields) || b.holds(fields),
            Self::Not(inner) => !inner.holds(fields),
            Self::Has(name) => match fields.get(name) {
                None | Some(Value::Bool(false)) => false,
                Some(value) => value.as_u64() != Some(0),
            },
            Self::Compare(name, comparison, literal) => {
                fields.get(name).is_some_and(|value| compare(name, value, *comparison, literal))
            }
        }
    }
}

/// A number as it is written: decimal, hexadecimal, or a time with its unit, in picoseconds.
fn number(name: &str, literal: &str) -> Option<u64> {
    let digits = literal.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    let plain = digits.parse().ok();
    let time = || literal.parse::<Span>().ok().map(|span| span.0.0).filter(|_| name.starts_with("time"));
    plain.or_else(time)
}

fn compare(name: &str, value: &Value, comparison: Comparison, literal: &str) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let order = match (value.as_u64(), number(name, literal)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => text.as_str().cmp(literal),
    };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Differs => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::More => order.is_gt(),
        Comparison::AtLeast => order.is_ge(),
        Comparison::Contains => text.contains(literal),
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let mut parser = Parser { text, at: 0, depth: 0 };
        let expression = parser.either()?;
        parser.blanks();
        if parser.at < text.len() {
            return Err(parser.refuse("expected `and`, `or` or the end"));
        }
        Ok(expression)
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn refuse(&self, what: &'static str) -> ExpressionError {
        ExpressionError { what, at: self.text[..self.at].chars().count() + 1, text: self.text.to_owned() }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Takes `token` if it is next; a word only if it ends there.
    fn takes(&mut self, token: &str) -> bool {
        self.blanks();
        let Some(after) = self.rest().strip_prefix(token) else { return false };
        let word = token.chars().all(char::is_alphabetic);
        if word && after.starts_with(is_word) {
            return false;
        }
        self.at += token.len();
        true
    }

    fn either(&mut self) -> Result<Expression, ExpressionError> {
        let mut left = self.both()?;
        while self.takes("or") || self.takes("||") {
            left = Expression::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Expression, ExpressionError> {
        let mut left = self.one()?;
        while self.takes("and") || self.takes("&&") {
            left = Expression::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Expression, ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.refuse("nested too deeply"));
        }
        let result = if self.takes("not") || (!self.rest().trim_start().starts_with("!=") && self.takes("!"))
        {
            self.one().map(|inner| Expression::Not(Box::new(inner)))
        } else if self.takes("(") {
            let inner = self.either()?;
            if self.takes(")") { Ok(inner) } else { Err(self.refuse("expected `)`")) }
        } else {
            self.comparison()
        };
        self.depth -= 1;
        result
    }

    fn comparison(&mut self) -> Result<Expression, ExpressionError> {
        const SIGNS: [(&str, Comparison); 8] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Differs),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::More),
            ("~", Comparison::Contains),
            ("=", Comparison::Equal),
        ];
        let name = self.word().ok_or_else(|| self.refuse("expected the name of a field"))?;
        let Some((_, comparison)) = SIGNS.into_iter().find(|(sign, _)| self.takes(sign)) else {
            return Ok(Expression::Has(name));
        };
        let literal = self.quoted().or_else(|| self.word());
        let literal = literal.ok_or_else(|| self.refuse("expected a value"))?;
        Ok(Expression::Compare(name, comparison, literal))
    }

    fn word(&mut self) -> Option<String> {
        self.blanks();
        let rest = self.rest();
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = rest[..len].to_owned();
        self.at += len;
        (len > 0).then_some(word)
    }

    fn quoted(&mut self) -> Option<String> {
        self.blanks();
        let inner = self.rest().strip_prefix('"')?;
        let len = inner.find('"')?;
        let text = inner[..len].to_owned();
        self.at += len + 2;
        Some(text)
    }
}

/// Part of a name or a bare value: `e1000.0`, `00:02.0`, `0xff_ff`, `20ms`.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '-' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn check(expression: &str, want: bool) {
        let fields = Fields::of(json!({
            "id": 12, "time_ps": 20_000_000_000u64, "source": "e1000.0", "event": "LapicAccept", "write": false,
            "interrupt": {"vector": 80}, "raw": [1, 2], "text": "a frame for 00:02.0",
        }));
        assert_eq!(
            expression.parse::<Expression>().map(|parsed| parsed.holds(&fields)),
            Ok(want),
            "{expression}"
        );
    }

    #[test]
    fn conditions_are_read_and_decided() {
        for text in [
            "id == 12",
            "id = 0xc",
            "time_ps >= 20ms",
            "time_ps < 20_000_000_001",
            "source == e1000.0 and event != FrameIn",
            "vector == 0x50",
            "interrupt.vector > 79",
            "raw.1 == 2",
            "text ~ \"00:02.0\"",
            "not write and id",
            "!(id == 1 or id == 2)",
            "id == 1 or id == 2 or id == 12",
            "id == 12 or nonsense == 1 and id == 1",
        ] {
            check(text, true);
        }
        for text in ["id != 12", "write", "nonsense == 0", "not id", "source ~ cpu", "vector < 80"] {
            check(text, false);
        }
    }

    #[test]
    fn what_can_not_be_read_is_pointed_at() {
        for (text, want) in [
            ("", "expected the name of a field at character 1 of ``"),
            ("id ==", "expected a value at character 6 of `id ==`"),
            ("(id", "expected `)` at character 4 of `(id`"),
            ("id id", "expected `and`, `or` or the end at character 4 of `id id`"),
        ] {
            let error = text.parse::<Expression>().map_err(|error| error.to_string());
            assert_eq!(error, Err(want.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_typed_ends_the_process(text: String) {
            let _ = text.parse::<Expression>();
        }

        #[test]
        fn deep_nesting_is_refused(depth in 0usize..100_000) {
            let text = "(".repeat(depth) + "id" + &")".repeat(depth);
            prop_assert_eq!(text.parse::<Expression>().is_ok(), depth < DEPTH_MAX);
        }
    }
}
