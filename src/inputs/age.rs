//! Ages as a person writes them: `7d`, `12h`, `1h30m`.

use chrono::TimeDelta;

/// The age; units are those of Go's `time.ParseDuration` from seconds up, with `d` for 24 hours and `w` for 7 days.
pub(super) fn parse(text: &str) -> Option<TimeDelta> {
    let mut rest = text.trim();
    let mut total = TimeDelta::zero();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds: i64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            "w" => 7 * 24 * 60 * 60,
            _ => return None,
        };
        let part = TimeDelta::try_seconds(number.parse::<i64>().ok()?.checked_mul(seconds)?)?;
        total = total.checked_add(&part)?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::parse;

    #[test]
    fn reads_units() {
        for (text, seconds) in [
            ("7d", Some(7 * 86_400)),
            ("12h", Some(43_200)),
            ("1h30m", Some(5_400)),
            (" 2w ", Some(14 * 86_400)),
            ("0s", Some(0)),
            ("", None),
            ("7", None),
            ("d", None),
            ("-7d", None),
            ("7 d", None),
            ("1.5h", None),
            ("7x", None),
            ("99999999999999999999d", None),
            ("9223372036854775807w", None),
        ] {
            assert_eq!(parse(text), seconds.and_then(TimeDelta::try_seconds), "{text:?}");
        }
    }
}
