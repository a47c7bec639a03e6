//! Numbers as people read them.

/// Something per second.
pub(super) fn rate(rate: f64) -> String {
    if rate == 0.0 {
        "0".into()
    } else if rate < 10.0 {
        format!("{rate:.2}")
    } else if rate < 1_000.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

/// A share as per cent; what is not quite nothing, or not quite all, is not rounded to it.
pub(super) fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0%".into()
    } else if percent < 0.1 {
        "<0.1%".into()
    } else if percent > 99.9 && percent < 100.0 {
        ">99.9%".into()
    } else {
        format!("{}%", trimmed(percent, 1))
    }
}

/// Seconds with three significant digits, in the unit that people would use.
pub(super) fn seconds_text(seconds: f64) -> String {
    let (value, unit) = if seconds < 0.000_099_95 {
        (seconds * 1e6, "us")
    } else if seconds < 0.9995 {
        (seconds * 1e3, "ms")
    } else {
        (seconds, "s")
    };
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$}{unit}")
}

/// A bound of a bucket: exact, without zeros at the end.
pub(super) fn bound_text(seconds: f64) -> String {
    if seconds < 0.0001 {
        format!("{}us", trimmed(seconds * 1e6, 3))
    } else if seconds < 1.0 {
        format!("{}ms", trimmed(seconds * 1e3, 3))
    } else {
        format!("{}s", trimmed(seconds, 3))
    }
}

/// A number with at most so many decimals, none of them a useless zero.
pub(super) fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes in the unit that people would use.
pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", trimmed(value, 1), UNITS[unit])
}

/// A name comes from any process on the host. Control characters would drive the terminal, and
/// direction marks would reorder the line.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                char::REPLACEMENT_CHARACTER
            }
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (value, text) in [
            (0.0, "0 B"),
            (1023.0, "1023 B"),
            (1024.0, "1 KiB"),
            (1_048_575.0, "1 MiB"),
            (1.5e9, "1.4 GiB"),
            (1e20, "90949470.2 TiB"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn numbers() {
        for (seconds, text) in [
            (0.000_012_34, "12.3us"),
            (0.000_099_96, "0.10ms"),
            (0.000_71, "0.71ms"),
            (0.009_99, "9.99ms"),
            (0.009_996, "10.0ms"),
            (0.099_96, "100ms"),
            (0.25, "250ms"),
            (0.9996, "1.00s"),
            (1.25, "1.25s"),
        ] {
            assert_eq!(seconds_text(seconds), text);
        }
        for (bound, text) in [
            (0.000_001, "1us"),
            (0.0005, "0.5ms"),
            (0.0025, "2.5ms"),
            (0.75, "750ms"),
            (7.5, "7.5s"),
            (10.0, "10s"),
        ] {
            assert_eq!(bound_text(bound), text);
        }
        for (value, text) in [
            (0.0, "0%"),
            (0.0001, "<0.1%"),
            (0.5, "50%"),
            (0.9999, ">99.9%"),
            (1.0, "100%"),
        ] {
            assert_eq!(share(value), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.50"),
            (12.34, "12.3"),
            (12_345.6, "12346"),
        ] {
            assert_eq!(rate(value), text);
        }
    }
}
