//! Numbers of a Compose file: how they were written, and the text that Compose makes of them.

/// A number. Where Compose needs a string (a build argument, a label) it takes the canonical text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    written: String,
    canonical: String,
}

impl Number {
    /// Reads a plain scalar by the rules of the YAML library that Compose is built on (go-yaml's `resolve`): `0777` and
    /// `0o777` are octal, underscores separate digits, what overflows is no number.
    pub(super) fn parse(written: &str) -> Option<Self> {
        if !written.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
            return None;
        }
        let canonical = integer(written).or_else(|| float(written))?;
        Some(Self { written: written.to_owned(), canonical })
    }

    /// The number as the file has it.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// The number as Compose passes it on: `1.10` is `1.1`.
    pub(super) fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self { written: value.to_string(), canonical: value.to_string() }
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        let canonical = format_float(value);
        Self { written: canonical.clone(), canonical }
    }
}

fn integer(written: &str) -> Option<String> {
    let text = written.replace('_', "");
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text.as_str()),
    };
    let (digits, radix) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (digits.get(2..)?, 16),
        Some("0o") => (digits.get(2..)?, 8),
        Some("0b") => (digits.get(2..)?, 2),
        Some(_) if digits.starts_with('0') => (digits.get(1..)?, 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    Some(if negative && magnitude > 0 { format!("-{magnitude}") } else { magnitude.to_string() })
}

fn float(written: &str) -> Option<String> {
    match written.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        ".inf" => return Some(if written.starts_with('-') { "-Inf" } else { "+Inf" }.to_owned()),
        ".nan" => return Some("NaN".to_owned()),
        _ => {}
    }
    let plain = written.replace('_', "");
    let looks_numeric = plain.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let value: f64 = looks_numeric.then(|| plain.parse().ok()).flatten()?;
    value.is_finite().then(|| format_float(value))
}

/// Go's `%v`: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
fn format_float(value: f64) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn reads_numbers_as_compose_does() {
        for (written, canonical) in [
            ("1", Some("1")),
            ("-1", Some("-1")),
            ("+1", Some("1")),
            ("1_000", Some("1000")),
            ("0", Some("0")),
            ("0777", Some("511")),
            ("0o777", Some("511")),
            ("0x1F", Some("31")),
            ("0b11", Some("3")),
            ("089", Some("89")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("1.10", Some("1.1")),
            ("3.0", Some("3")),
            ("1e3", Some("1000")),
            ("123456.5", Some("123456.5")),
            ("1234567.5", Some("1.2345675e+06")),
            ("0.0001", Some("0.0001")),
            ("0.00001", Some("1e-05")),
            ("-.5", Some("-0.5")),
            (".inf", Some("+Inf")),
            ("1e999", None),
            ("abc", None),
            ("1.2.3", None),
            ("nan", None),
            ("_1", None),
            ("2020-01-01", None),
            ("12345678901234567890123", Some("1.2345678901234568e+22")),
        ] {
            assert_eq!(Number::parse(written).as_ref().map(Number::canonical), canonical, "{written}");
        }
    }
}
