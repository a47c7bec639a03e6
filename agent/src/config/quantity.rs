//! Sizes and durations in readable form: `8MiB`, `250ms`, `1h30m`.
//!
//! Only exact integers: a fraction would have to be rounded, and a rounded limit is not the one
//! that was asked for. What is written by `format_*` is read back as the same value.

use std::fmt::Write as _;
use std::time::Duration;

/// Units of a size, from the largest; factors in bytes.
const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Units of a duration, from the largest; factors in nanoseconds.
const DURATIONS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a count: decimal digits, with `_` between them as in `20_000`.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let well_formed = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('_')
        && !text.ends_with('_');
    if !well_formed {
        return Err("is not a whole number such as `20000`".into());
    }
    digits.parse().map_err(|_| "is too large".into())
}

/// Reads a size into bytes: a whole number, with or without a unit.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let number = parse_count(number)
        .map_err(|_| "is not a size such as `8MiB`, `512KiB` or `65536`".to_owned())?;
    let factor = if unit.is_empty() {
        1
    } else {
        SIZES
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(|| {
                format!("has the unknown unit `{unit}`; the units are B, KiB, MiB, GiB")
            })?
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| "is too large".into())
}

/// Reads a duration: one or more whole numbers, each with its unit, from the largest unit down.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (number, tail) = split_unit(rest);
        let number = parse_count(number)
            .map_err(|_| "is not a duration such as `250ms`, `5m` or `1h30m`".to_owned())?;
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        if unit.is_empty() {
            return Err("has no unit; the units are ns, us, ms, s, m, h, d".into());
        }
        let factor = DURATIONS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(|| {
                format!("has the unknown unit `{unit}`; the units are ns, us, ms, s, m, h, d")
            })?;
        if factor >= smallest {
            return Err(
                "has its units out of order; write the largest first, as in `1h30m`".into(),
            );
        }
        smallest = factor;
        total = number
            .checked_mul(factor)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| "is too large".to_owned())?;
        rest = after;
    }
    if text.is_empty() {
        return Err("is not a duration such as `250ms`, `5m` or `1h30m`".into());
    }
    Ok(Duration::from_nanos(total))
}

/// Splits `8 MiB` into the number and what follows it.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start_matches(' '))
}

/// Writes a size in the largest unit that needs no fraction.
pub(super) fn format_size(bytes: u64) -> String {
    SIZES
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(
            || format!("{bytes}B"),
            |(unit, factor)| format!("{}{unit}", bytes / factor),
        )
}

/// Writes a duration with as many units as it needs.
pub(super) fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in DURATIONS {
        let number = rest / factor;
        if number > 0 {
            let _ = write!(text, "{number}{unit}");
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts() {
        assert_eq!(parse_count("20_000"), Ok(20_000));
        assert_eq!(parse_count("0"), Ok(0));
        for bad in [
            "", "_", "1_", "_1", "-1", "+1", "1.5", "1e3", "0x10", "٣", "1 000",
        ] {
            assert_eq!(
                parse_count(bad),
                Err("is not a whole number such as `20000`".into()),
                "{bad:?}"
            );
        }
        assert_eq!(
            parse_count("18446744073709551616"),
            Err("is too large".into())
        );
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("8MiB"), Ok(8_388_608));
        assert_eq!(parse_size("8 MiB"), Ok(8_388_608));
        assert_eq!(parse_size("512KiB"), Ok(524_288));
        assert_eq!(parse_size("1GiB"), Ok(1_073_741_824));
        assert_eq!(parse_size("65536"), Ok(65_536));
        assert_eq!(parse_size("1B"), Ok(1));
        assert_eq!(
            parse_size("8MB"),
            Err("has the unknown unit `MB`; the units are B, KiB, MiB, GiB".into())
        );
        assert_eq!(
            parse_size("1.5MiB"),
            Err("has the unknown unit `.5MiB`; the units are B, KiB, MiB, GiB".into())
        );
        assert_eq!(
            parse_size("MiB"),
            Err("is not a size such as `8MiB`, `512KiB` or `65536`".into())
        );
        assert_eq!(parse_size("17179869184GiB"), Err("is too large".into()));
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(
            parse_duration("5"),
            Err("has no unit; the units are ns, us, ms, s, m, h, d".into())
        );
        assert_eq!(
            parse_duration("5min"),
            Err("has the unknown unit `min`; the units are ns, us, ms, s, m, h, d".into())
        );
        assert_eq!(
            parse_duration("30m1h"),
            Err("has its units out of order; write the largest first, as in `1h30m`".into())
        );
        assert_eq!(
            parse_duration("1s1s"),
            Err("has its units out of order; write the largest first, as in `1h30m`".into())
        );
        for bad in ["", "s", "-5s", "1.5s", "5 s 3"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_duration("999999999d"), Err("is too large".into()));
    }

    #[test]
    fn readable_forms() {
        assert_eq!(format_size(8 << 20), "8MiB");
        assert_eq!(format_size(65_536), "64KiB");
        assert_eq!(format_size(1_000), "1000B");
        assert_eq!(format_size(0), "0B");
        assert_eq!(format_duration(Duration::from_secs(300)), "5m");
        assert_eq!(format_duration(Duration::from_millis(90_250)), "1m30s250ms");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number: u64) {
            prop_assert_eq!(parse_size(&format_size(number)), Ok(number));
            let duration = Duration::from_nanos(number);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in ".{0,40}") {
            let _ = parse_count(&text);
            let _ = parse_size(&text);
            let _ = parse_duration(&text);
        }
    }
}
