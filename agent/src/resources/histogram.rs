//! The histograms of the kernel programs on a page.

use std::io;

use hark_common::histogram::{BUCKETS, Exp2};

use crate::telemetry::page::{Family, Page};
use crate::telemetry::seconds::Seconds;

/// Upper bounds in seconds: 2^k µs, spelled as Prometheus 3 normalises them.
const LE: [&str; BUCKETS] = [
    "1e-06",
    "2e-06",
    "4e-06",
    "8e-06",
    "1.6e-05",
    "3.2e-05",
    "6.4e-05",
    "0.000128",
    "0.000256",
    "0.000512",
    "0.001024",
    "0.002048",
    "0.004096",
    "0.008192",
    "0.016384",
    "0.032768",
    "0.065536",
    "0.131072",
    "0.262144",
    "0.524288",
    "1.048576",
    "2.097152",
    "4.194304",
    "8.388608",
    "16.777216",
    "33.554432",
    "67.108864",
    "+Inf",
];

/// Writes one histogram.
///
/// # Errors
///
/// Those of the page.
pub fn write(
    page: &mut Page<'_>,
    family: &Family,
    labels: &str,
    histogram: &Exp2,
) -> io::Result<()> {
    let buckets = LE.iter().copied().zip(histogram.buckets);
    page.histogram(family, labels, buckets, Seconds(histogram.sum_ns.into()))
}

/// Adds what `now` has beyond `earlier` to `sum`.
pub fn add_since(sum: &mut Exp2, now: &Exp2, earlier: &Exp2) {
    for ((sum, now), earlier) in sum.buckets.iter_mut().zip(now.buckets).zip(earlier.buckets) {
        *sum += now.saturating_sub(earlier);
    }
    sum.sum_ns += now.sum_ns.saturating_sub(earlier.sum_ns);
}

/// Enters one duration, as the kernel side does it.
pub fn observe(to: &mut Exp2, ns: u64) {
    let fits = (0..BUCKETS - 1).find(|k| ns <= 1000 << k);
    let last = to.buckets.len() - 1;
    to.buckets[fits.unwrap_or(last)] += 1;
    to.sum_ns += ns;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_and_the_kernel_side_choose_the_same_bucket() {
        let bounds = (0..BUCKETS as u32).map(|k| 1000u64 << k);
        let around = bounds.flat_map(|bound| [bound - 1, bound, bound + 1]);
        for ns in around.chain([0, 1, 999, u64::MAX]) {
            let mut histogram = Exp2::default();
            observe(&mut histogram, ns);
            let at = histogram.buckets.iter().position(|count| *count == 1);
            assert_eq!(at, Some(hark_ebpf::histogram::bucket(ns)), "{ns}");
            assert_eq!(histogram.sum_ns, ns);
        }
    }

    #[test]
    fn bounds_are_powers_of_two_of_a_microsecond() {
        for (k, le) in LE[..BUCKETS - 1].iter().enumerate() {
            let seconds: f64 = le.parse().unwrap();
            let expected = (1u64 << k) as f64 / 1e6;
            assert_eq!(seconds, expected, "{le}");
        }
    }
}
