//! Numbers as people read them.

/// A share, in percent.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 1.0 { "under 1 %".to_owned() } else { format!("{percent:.0} %") }
}

/// Seconds, with a unit that keeps the number short.
pub fn duration(seconds: f64) -> String {
    let digits = |value: f64| usize::from(value < 9.95);
    for (unit, size) in [("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)] {
        let value = seconds / size;
        let most = if unit == "s" { 119.5 } else { 999.5 };
        if value < most {
            return format!("{value:.*} {unit}", digits(value));
        }
    }
    let minutes = (seconds / 60.0).round() as u64;
    if minutes < 120 {
        format!("{minutes} min")
    } else {
        format!("{} h {} min", minutes / 60, minutes % 60)
    }
}

/// Bytes, with a unit of powers of ten, as disks have them.
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if value < 999.5 || unit == "TB" {
            let digits = usize::from(value < 9.95 && unit != "bytes");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    unreachable!("the last unit takes all")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let durations: Vec<String> =
            [3.2e-7, 1.5e-5, 0.0123, 2.0, 61.0, 600.0, 9000.0].map(duration).into();
        assert_eq!(
            durations,
            ["320 ns", "15 µs", "12 ms", "2.0 s", "61 s", "10 min", "2 h 30 min"]
        );
        let sizes: Vec<String> = [0, 999, 1500, 12_345_678, 3_000_000_000].map(bytes).into();
        assert_eq!(sizes, ["0 bytes", "999 bytes", "1.5 kB", "12 MB", "3.0 GB"]);
        assert_eq!([percent(0.004), percent(0.126), percent(0.0)], ["under 1 %", "13 %", "0 %"]);
    }
}
