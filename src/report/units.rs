//! How reports write times, sizes and counts: one unit in a table, the fitting one in a sentence.

use std::time::Duration;

/// A time in a sentence: `0.42 s`, `12.4 s`, `2 min 05 s`, `1 h 02 min`.
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    // Rounded before the unit is chosen, so that 59.97 s is one minute and not `60.0 s`.
    let (tenths, seconds) = ((millis + 50) / 100, (millis + 500) / 1000);
    if millis < 995 {
        format!("0.{:02} s", (millis + 5) / 10)
    } else if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else if seconds < 3600 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        let minutes = (seconds + 30) / 60;
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

/// A column of seconds, all with as many decimals as the longest of them needs.
#[derive(Debug, Clone, Copy)]
pub struct SecondsColumn {
    decimals: usize,
}

impl SecondsColumn {
    /// Two decimals if no value reaches a second, else one.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let longest = times.into_iter().max().unwrap_or_default();
        Self { decimals: if longest < Duration::from_secs(1) { 2 } else { 1 } }
    }

    /// One value, without the unit: `8.1`.
    pub fn show(self, time: Duration) -> String {
        format!("{:.*}", self.decimals, time.as_secs_f64())
    }
}

const SIZES: [(&str, u64); 5] =
    [("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];

/// A unit of size, decimal as Docker prints sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeUnit {
    /// Its symbol: `MB`.
    pub symbol: &'static str,
    bytes: u64,
}

impl SizeUnit {
    /// The largest unit of which `bytes` holds at least one.
    pub fn of(bytes: u64) -> Self {
        let (symbol, size) = SIZES.into_iter().rev().find(|(_, size)| bytes >= *size).unwrap_or(("B", 1));
        Self { symbol, bytes: size }
    }

    /// A size in this unit, without its symbol: `12.3`.
    pub fn show(self, bytes: u64) -> String {
        if self.bytes == 1 { bytes.to_string() } else { format!("{:.1}", self.ratio(bytes)) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a size is shown with a few digits")]
    fn ratio(self, bytes: u64) -> f64 {
        bytes as f64 / self.bytes as f64
    }
}

/// A size in a sentence: `0 B`, `12.3 MB`, `1.23 GB`.
pub fn size(bytes: u64) -> String {
    let unit = SizeUnit::of(bytes);
    // Below ten of the large units, one decimal says too little.
    if unit.bytes >= 1_000_000_000 && unit.ratio(bytes) < 10.0 {
        return format!("{:.2} {}", unit.ratio(bytes), unit.symbol);
    }
    format!("{} {}", unit.show(bytes), unit.symbol)
}

/// A number and its noun: `1 image`, `2 images`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", thousands(number)) }
}

/// A number with its thousands parted: `12,400`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SecondsColumn, SizeUnit, count, duration, size, thousands};

    #[test]
    fn writes_times() {
        for (millis, text) in [
            (0, "0.00 s"),
            (424, "0.42 s"),
            (994, "0.99 s"),
            (996, "1.0 s"),
            (12_449, "12.4 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min 00 s"),
            (125_000, "2 min 05 s"),
            (3_599_499, "59 min 59 s"),
            (3_599_500, "1 h 00 min"),
            (3_725_000, "1 h 02 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text, "{millis} ms");
        }
    }

    #[test]
    fn a_column_has_one_precision() {
        let times = [Duration::from_millis(40), Duration::from_millis(8_140)];
        let column = SecondsColumn::of(times);
        assert_eq!(times.map(|time| column.show(time)), ["0.0", "8.1"]);
        assert_eq!(SecondsColumn::of([Duration::from_millis(40)]).show(Duration::from_millis(40)), "0.04");
    }

    #[test]
    fn writes_sizes_as_docker_does() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (12_345_678, "12.3 MB"),
            (1_234_567_890, "1.23 GB"),
            (45_600_000_000, "45.6 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(SizeUnit::of(2_000_000).show(40_000), "0.0");
    }

    #[test]
    fn counts() {
        assert_eq!(
            (count(1, "image"), count(0, "step"), count(1_234, "step")),
            ("1 image".into(), "0 steps".into(), "1,234 steps".into())
        );
        assert_eq!([7, 999, 1_000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
    }
}
