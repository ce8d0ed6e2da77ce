//! Sizes as Docker's flags take them: `64m`, `1.5g`, `2GiB`.

/// The number of bytes; units are powers of 1024, as in `units.RAMInBytes` of docker/go-units.
pub(super) fn parse(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(split);
    let exponent = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    let factor = 1024_u64.pow(exponent);
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, fraction)) => {
            let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
            // Six digits are more than any size is given with; the rest cannot change a byte below a terabyte.
            let digits: String = fraction.chars().take(6).collect();
            if fraction.is_empty() || !fraction.chars().all(|c| c.is_ascii_digit()) {
                return None;
            }
            let scale = 10_u64.pow(u32::try_from(digits.len()).ok()?);
            let part = u128::from(digits.parse::<u64>().ok()?) * u128::from(factor) / u128::from(scale);
            whole.checked_add(u64::try_from(part).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_units() {
        for (text, bytes) in [
            ("64", Some(64)),
            ("64b", Some(64)),
            ("32K", Some(32 * 1024)),
            ("64m", Some(64 << 20)),
            ("64 MB", Some(64 << 20)),
            ("2g", Some(2 << 30)),
            ("1.5GiB", Some(3 << 29)),
            ("0.5k", Some(512)),
            ("1t", Some(1 << 40)),
            ("", None),
            ("g", None),
            ("-1g", None),
            ("2x", None),
            ("1.g", None),
            ("1.2.3g", None),
            ("99999999999t", None),
        ] {
            assert_eq!(parse(text), bytes, "{text:?}");
        }
    }
}
