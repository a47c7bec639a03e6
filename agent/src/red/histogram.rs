//! Histograms with fixed bounds, counted in whole nanoseconds and bytes.

/// One upper bound and how a page spells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// In the unit that is counted: nanoseconds or bytes.
    at_most: u64,
    /// Value of `le` in the exported base unit, spelled as Prometheus 3 normalises it.
    pub(crate) le: &'static str,
}

const fn bound(at_most: u64, le: &'static str) -> Bound {
    Bound { at_most, le }
}

/// Duration bounds: the fourteen of the OpenTelemetry HTTP conventions
/// (`http.server.request.duration`), and three in front so that fast services are visible.
pub(crate) const DURATION: [Bound; 17] = [
    bound(500_000, "0.0005"),
    bound(1_000_000, "0.001"),
    bound(2_500_000, "0.0025"),
    bound(5_000_000, "0.005"),
    bound(10_000_000, "0.01"),
    bound(25_000_000, "0.025"),
    bound(50_000_000, "0.05"),
    bound(75_000_000, "0.075"),
    bound(100_000_000, "0.1"),
    bound(250_000_000, "0.25"),
    bound(500_000_000, "0.5"),
    bound(750_000_000, "0.75"),
    bound(1_000_000_000, "1.0"),
    bound(2_500_000_000, "2.5"),
    bound(5_000_000_000, "5.0"),
    bound(7_500_000_000, "7.5"),
    bound(10_000_000_000, "10.0"),
];

/// Body size bounds: powers of eight from 64 B to 128 MiB. The conventions give none; few bounds
/// over a wide range tell an empty answer from a page from a download at a third of the series.
pub(crate) const SIZE: [Bound; 8] = [
    bound(1 << 6, "64.0"),
    bound(1 << 9, "512.0"),
    bound(1 << 12, "4096.0"),
    bound(1 << 15, "32768.0"),
    bound(1 << 18, "262144.0"),
    bound(1 << 21, "2097152.0"),
    bound(1 << 24, "16777216.0"),
    bound(1 << 27, "134217728.0"),
];

/// Counts of a duration histogram.
pub(crate) type Durations = Histogram<{ DURATION.len() + 1 }>;

/// Counts of a size histogram.
pub(crate) type Sizes = Histogram<{ SIZE.len() + 1 }>;

/// The place of a value's bucket.
pub(crate) fn bucket(bounds: &[Bound], value: u64) -> usize {
    bounds.partition_point(|bound| bound.at_most < value)
}

/// Counts per bucket (not cumulative; the last is above all bounds) and the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram<const N: usize> {
    pub(crate) counts: [u64; N],
    /// In nanoseconds or bytes. 64 bits of nanoseconds would be full after three weeks of ten
    /// thousand waiting requests.
    pub(crate) sum: u128,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self {
            counts: [0; N],
            sum: 0,
        }
    }
}

impl<const N: usize> Histogram<N> {
    /// Counts a value; `bounds` has one element fewer than there are counts.
    pub(crate) fn observe(&mut self, bounds: &[Bound], value: u64) {
        self.counts[bucket(bounds, value)] += 1;
        self.sum += u128::from(value);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_in_its_bucket() {
        let mut durations = Durations::default();
        durations.observe(&DURATION, 0);
        durations.observe(&DURATION, 500_000);
        durations.observe(&DURATION, 500_001);
        durations.observe(&DURATION, 10_000_000_000);
        durations.observe(&DURATION, 10_000_000_001);
        durations.observe(&DURATION, u64::MAX);
        let mut counts = [0; 18];
        counts[0] = 2;
        counts[1] = 1;
        counts[16] = 1;
        counts[17] = 2;
        assert_eq!(durations.counts, counts);
        assert_eq!(
            durations.sum,
            1_000_001 + 20_000_000_001 + u128::from(u64::MAX)
        );
    }

    #[test]
    fn what_is_spelled_is_what_is_counted() {
        for (bounds, unit) in [(&DURATION[..], 1e9), (&SIZE[..], 1.0)] {
            assert!(bounds.is_sorted_by(|a, b| a.at_most < b.at_most));
            for bound in bounds {
                let le: f64 = bound.le.parse().unwrap();
                #[expect(clippy::cast_precision_loss, reason = "all bounds are below 2^53")]
                let at_most = bound.at_most as f64;
                assert_eq!((le * unit).round(), at_most, "{bound:?}");
            }
        }
    }
}
