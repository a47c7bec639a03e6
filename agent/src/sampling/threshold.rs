//! The threshold of consistent probability sampling, and where it is written.
//!
//! OpenTelemetry specification, `trace/tracestate-probability-sampling.md` and
//! `trace/tracestate-handling.md`. A trace has 56 bits of randomness: the `rv` of its `tracestate`,
//! else the last seven bytes of its id. It is kept if these are not below the threshold, which is
//! written beside it as `th`; so whoever samples by the same rule keeps the same traces, and whoever
//! counts knows how many each kept span stands for.

use std::fmt;

/// One more than the greatest randomness.
const RANGE: u64 = 1 << 56;

/// Digits of a threshold that is written in full.
const DIGITS: u32 = 14;

/// Digits that are written beyond those that are all ones; the specification recommends four.
const PRECISION: u32 = 4;

/// Longest value of the `ot` entry, in bytes.
const VALUE_LIMIT: usize = 256;

/// What the randomness of a trace must reach for it to be kept: 0 keeps all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(u64);

impl Threshold {
    /// Keeps all.
    pub const ALL: Self = Self(0);

    /// That of a probability, of which it keeps a little less where it has more digits than are
    /// written. What is not above 0 keeps as little as can be told.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "2^56 is exact in a double; the product is within 0 and 2^56"
    )]
    pub fn of_probability(probability: f64) -> Self {
        let probability = if probability.is_nan() {
            0.0
        } else {
            probability.clamp(0.0, 1.0)
        };
        let rejected = RANGE - (probability * RANGE as f64) as u64;
        let rejected = rejected.min(RANGE - 1);
        // Digits at the left that are all ones: they say how rare it is, not how exactly.
        let ones = (!(rejected << 8)).leading_zeros() / 4;
        let written = (ones + PRECISION).min(DIGITS);
        let unit = 1_u64 << (4 * (DIGITS - written));
        let rounded = rejected.div_ceil(unit) * unit;
        Self(if rounded < RANGE { rounded } else { rejected })
    }

    /// How many traces of how many it keeps.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "it has 56 bits at most, the quotient is a share"
    )]
    pub fn probability(self) -> f64 {
        (RANGE - self.0) as f64 / RANGE as f64
    }

    /// How many spans one that is kept stands for.
    #[must_use]
    pub fn adjusted_count(self) -> f64 {
        self.probability().recip()
    }

    /// Whether a trace of this randomness is kept.
    #[must_use]
    pub const fn keeps(self, randomness: u64) -> bool {
        randomness >= self.0
    }

    /// Reads a `th`: 1 to 14 lower-case hexadecimal digits, of which those on the right that are
    /// zero may be left out.
    #[must_use]
    pub fn parse(digits: &str) -> Option<Self> {
        let value = hexadecimal(digits)?;
        let missing = DIGITS.checked_sub(u32::try_from(digits.len()).ok()?)?;
        Some(Self(value << (4 * missing)))
    }
}

impl fmt::Display for Threshold {
    /// As `th` is written. Zeros on the left must stay: without them `0cccccccccccc` would be read as
    /// `cccccccccccc0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:014x}", self.0);
        let trimmed = digits.trim_end_matches('0');
        f.write_str(if trimmed.is_empty() { "0" } else { trimmed })
    }
}

fn hexadecimal(digits: &str) -> Option<u64> {
    let valid = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.is_empty() || digits.len() > 14 || !digits.bytes().all(valid) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

/// The randomness of a trace.
#[must_use]
pub fn randomness(trace_id: &[u8; 16], tracestate: Option<&str>) -> u64 {
    let explicit = tracestate
        .and_then(entry)
        .and_then(|value| sub_key(value, "rv"))
        .filter(|digits| digits.len() == 14)
        .and_then(hexadecimal);
    explicit.unwrap_or_else(|| {
        let [_, _, _, _, _, _, _, _, _, right @ ..] = *trace_id;
        right
            .into_iter()
            .fold(0, |number, byte| number << 8 | u64::from(byte))
    })
}

/// The threshold that a `tracestate` has.
#[must_use]
pub fn of(tracestate: &str) -> Option<Threshold> {
    sub_key(entry(tracestate)?, "th").and_then(Threshold::parse)
}

/// A `tracestate` with this threshold in place of the one that it has, or with none; the entry that
/// is OpenTelemetry's goes to the front, everything else stays. Empty if there is nothing to say.
#[must_use]
pub fn write(tracestate: Option<&str>, threshold: Option<Threshold>) -> String {
    let own = tracestate.and_then(entry).unwrap_or_default();
    let mut value = threshold.map_or_else(String::new, |threshold| format!("th:{threshold}"));
    for part in own.split(';') {
        let (key, _) = part.split_once(':').unwrap_or((part, ""));
        if key == "th" || part.is_empty() || value.len() + 1 + part.len() > VALUE_LIMIT {
            continue;
        }
        if !value.is_empty() {
            value.push(';');
        }
        value.push_str(part);
    }
    let mut state = if value.is_empty() {
        String::new()
    } else {
        format!("ot={value}")
    };
    let others = tracestate.unwrap_or_default().split(',');
    for member in others.filter(|member| !member.is_empty() && !member.starts_with("ot=")) {
        let length = state.len() + 1 + member.len();
        if length > crate::context::tracestate::LENGTH_LIMIT {
            // Whole members go, from the right.
            break;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(member);
    }
    state
}

/// The value of the entry that is OpenTelemetry's.
fn entry(tracestate: &str) -> Option<&str> {
    tracestate
        .split(',')
        .find_map(|member| member.trim().strip_prefix("ot="))
}

fn sub_key<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    value.split(';').find_map(|part| {
        let (name, value) = part.split_once(':')?;
        (name == key).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_written() {
        for probability in [1.0, 0.95, 0.5, 0.1, 0.01, 1e-4] {
            let threshold = Threshold::of_probability(probability);
            assert_eq!(Threshold::parse(&threshold.to_string()), Some(threshold));
        }
        // Where the specification's code in whole numbers goes wrong: a zero on the left.
        assert_eq!(Threshold::of_probability(1.0).to_string(), "0");
        assert_eq!(Threshold::of_probability(0.5).to_string(), "8");
        assert_eq!(Threshold::of_probability(0.95).to_string(), "0ccd");
        assert_eq!(Threshold::of_probability(0.1).to_string(), "e667");
        assert_eq!(Threshold::parse("0ccd").unwrap().0, 0x000c_cd00_0000_0000);
        for bad in ["", "00000000000000 ", "000000000000000", "E6", "+1", "0x1"] {
            assert_eq!(Threshold::parse(bad), None, "{bad}");
        }
        for odd in [0.0, -1.0, f64::NAN, 1e-300] {
            assert!(Threshold::of_probability(odd).probability() > 0.0);
        }
    }

    #[test]
    fn where_randomness_is_from() {
        let id = *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04\x05\x06\x07";
        let own = 0x01_0203_0405_0607;
        assert_eq!(randomness(&id, None), own);
        assert_eq!(
            randomness(&id, Some("a=1,ot=th:8;rv:0000000000000a,b=2")),
            10
        );
        for bad in [
            "ot=rv:a",
            "ot=rv:0000000000000A",
            "rv=0000000000000a",
            "ot=rv",
        ] {
            assert_eq!(randomness(&id, Some(bad)), own, "{bad}");
        }
    }

    #[test]
    fn what_stays_of_a_tracestate() {
        let half = Some(Threshold::of_probability(0.5));
        for (before, threshold, after) in [
            (None, half, "ot=th:8"),
            (None, None, ""),
            (
                Some("a=1,ot=th:c;rv:0000000000000a;x:y,b=2"),
                half,
                "ot=th:8;rv:0000000000000a;x:y,a=1,b=2",
            ),
            (Some("a=1,ot=th:c"), None, "a=1"),
            (Some("ot=rv:0000000000000a"), None, "ot=rv:0000000000000a"),
        ] {
            assert_eq!(write(before, threshold), after, "{before:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in 0..RANGE) {
            let threshold = Threshold(value);
            prop_assert_eq!(Threshold::parse(&threshold.to_string()), Some(threshold));
        }

        #[test]
        fn a_probability_is_never_exceeded_and_nearly_reached(probability in 1e-6..=1.0) {
            let reached = Threshold::of_probability(probability).probability();
            prop_assert!(reached <= probability && reached > 0.995 * probability, "{}", reached);
        }
    }
}
