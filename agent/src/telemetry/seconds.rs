//! Nanoseconds on a page.

use std::fmt;

/// Nanoseconds as an exact decimal number of seconds.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub u128);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NANOS: u128 = 1_000_000_000;
        let (mut fraction, mut width) = (self.0 % NANOS, 9);
        write!(out, "{}", self.0 / NANOS)?;
        if fraction == 0 {
            return Ok(());
        }
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(out, ".{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::Seconds;

    #[test]
    fn seconds_are_exact() {
        for (nanos, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (10_000_000_000, "10"),
            (12_345_678_901, "12.345678901"),
            (u128::from(u64::MAX), "18446744073.709551615"),
        ] {
            assert_eq!(Seconds(nanos).to_string(), text);
        }
    }
}
