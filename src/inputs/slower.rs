//! `fail-if-slower`: `25% and 30s`, in either order.

use crate::inputs::age;
use crate::outcome::baseline::SlowerThan;

/// A percentage and a time. The time has the units of `cache-max-age`.
pub(super) fn parse(text: &str) -> Option<SlowerThan> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined = words.join(" ");
    let (one, other) = joined.split_once(" and ")?;
    let (percent, by) = match (one.strip_suffix('%'), other.strip_suffix('%')) {
        (Some(percent), None) => (percent, other),
        (None, Some(percent)) => (percent, one),
        _ => return None,
    };
    let percent = percent.trim();
    // Rust takes a sign as well.
    let is_number = percent.chars().all(|c| c.is_ascii_digit());
    let by = age::parse(by)?.to_std().ok()?;
    Some(SlowerThan { percent: percent.parse().ok().filter(|_| is_number)?, by })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;
    use crate::outcome::baseline::SlowerThan;

    #[test]
    fn reads_both_orders_and_nothing_else() {
        let limit = |percent, seconds| Some(SlowerThan { percent, by: Duration::from_secs(seconds) });
        for (text, expected) in [
            ("25% and 30s", limit(25, 30)),
            ("30s and 25%", limit(25, 30)),
            ("  1m30s \n and   5 % ", limit(5, 90)),
            ("0% and 0s", limit(0, 0)),
            ("", None),
            ("25%", None),
            ("30s", None),
            ("25% 30s", None),
            ("25% or 30s", None),
            ("25% and 30", None),
            ("25 and 30s", None),
            ("25% and 30%", None),
            ("30s and 30s", None),
            ("-25% and 30s", None),
            ("+25% and 30s", None),
            ("2.5% and 30s", None),
            ("% and 30s", None),
            ("25% and 30s and 1s", None),
            ("99999999999% and 30s", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
