//! Quantiles from histogram buckets, as `histogram_quantile` of PromQL computes them.

/// A quantile of a duration, in seconds, as far as the buckets tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Quantile {
    /// Nothing was observed.
    Nothing,
    /// It is in the first bucket, below this bound; the buckets say no more.
    Below(f64),
    /// Interpolated within its bucket.
    About(f64),
    /// It is above the largest finite bound.
    Above(f64),
}

/// The `q`-quantile (0 < q < 1) of cumulative buckets in ascending order, the last of them `+Inf`.
///
/// PromQL interpolates in the first bucket from zero and gives the largest finite bound for the
/// last; here both are said as what they are, a bound.
pub(super) fn quantile(q: f64, buckets: &[(f64, f64)]) -> Quantile {
    let Some(((last_bound, total), finite)) = buckets.split_last() else {
        return Quantile::Nothing;
    };
    if *total <= 0.0 || last_bound.is_finite() {
        return Quantile::Nothing;
    }
    let rank = q * total;
    let mut below = (0.0, 0.0);
    for (index, (bound, cumulative)) in finite.iter().enumerate() {
        // Sums of several series can fall where their bounds differ; PromQL raises them too.
        let cumulative = cumulative.max(below.1);
        if cumulative >= rank {
            if index == 0 {
                return Quantile::Below(*bound);
            }
            let (lower, before) = below;
            let within = (rank - before) / (cumulative - before);
            return Quantile::About(lower + (bound - lower) * within);
        }
        below = (*bound, cumulative);
    }
    if finite.is_empty() {
        Quantile::Nothing
    } else {
        Quantile::Above(below.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The buckets of hark with these observations per bucket.
    fn buckets(counts: [f64; 18]) -> Vec<(f64, f64)> {
        const BOUNDS: [f64; 18] = [
            0.0005,
            0.001,
            0.0025,
            0.005,
            0.01,
            0.025,
            0.05,
            0.075,
            0.1,
            0.25,
            0.5,
            0.75,
            1.0,
            2.5,
            5.0,
            7.5,
            10.0,
            f64::INFINITY,
        ];
        let mut total = 0.0;
        BOUNDS
            .into_iter()
            .zip(counts)
            .map(|(bound, count)| {
                total += count;
                (bound, total)
            })
            .collect()
    }

    /// Worked out by hand from PromQL's rule: `lower + (upper - lower) * (rank - before) / count`.
    #[test]
    fn as_promql() {
        // 100 observations: 50 up to 5 ms, 40 up to 10 ms, 9 up to 100 ms, one up to 500 ms.
        let mut counts = [0.0; 18];
        counts[3] = 50.0;
        counts[4] = 40.0;
        counts[8] = 9.0;
        counts[10] = 1.0;
        let buckets = buckets(counts);
        // Rank 50 is the last of the first 50: the upper bound of (0.0025, 0.005].
        assert_eq!(quantile(0.50, &buckets), Quantile::About(0.005));
        // Rank 95 is the 5th of the 9 in (0.075, 0.1]: 0.075 + 0.025 * 5 / 9.
        assert_eq!(
            quantile(0.95, &buckets),
            Quantile::About(0.075 + (0.1 - 0.075) * (5.0 / 9.0))
        );
        // Rank 99 is the last of the 9.
        assert_eq!(quantile(0.99, &buckets), Quantile::About(0.1));
        // Rank 60 is the 10th of the 40 in (0.005, 0.01]: 0.005 + 0.005 * 10 / 40.
        assert_eq!(quantile(0.60, &buckets), Quantile::About(0.00625));
    }

    #[test]
    fn the_ends_are_bounds() {
        let mut counts = [0.0; 18];
        counts[0] = 1.0;
        assert_eq!(quantile(0.99, &buckets(counts)), Quantile::Below(0.0005));
        counts[17] = 99.0;
        assert_eq!(quantile(0.5, &buckets(counts)), Quantile::Above(10.0));
        assert_eq!(quantile(0.5, &buckets([0.0; 18])), Quantile::Nothing);
        assert_eq!(quantile(0.5, &[]), Quantile::Nothing);
        assert_eq!(quantile(0.5, &[(f64::INFINITY, 4.0)]), Quantile::Nothing);
        assert_eq!(quantile(0.5, &[(1.0, 4.0)]), Quantile::Nothing);
    }

    #[test]
    fn counts_that_fall_are_raised() {
        let falling = [(0.1, 10.0), (0.2, 4.0), (0.3, 20.0), (f64::INFINITY, 20.0)];
        // Raised to 10, 10, 20: rank 15 is half way through (0.2, 0.3].
        assert_eq!(
            quantile(0.75, &falling),
            Quantile::About(0.2 + (0.3 - 0.2) * 0.5)
        );
    }

    proptest! {
        /// The quantile is in the bucket that holds the observation of its rank.
        #[test]
        fn in_the_bucket_of_its_rank(
            counts in proptest::array::uniform18(0u32..1000),
            q in 0.001f64..0.999,
        ) {
            let buckets = buckets(counts.map(f64::from));
            let total = buckets[17].1;
            let rank = q * total;
            let index = buckets.iter().position(|(_, cumulative)| *cumulative >= rank);
            match quantile(q, &buckets) {
                Quantile::Nothing => prop_assert_eq!(total, 0.0),
                Quantile::Below(bound) => {
                    prop_assert_eq!(index, Some(0));
                    prop_assert_eq!(bound, 0.0005);
                }
                Quantile::About(value) => {
                    let index = index.unwrap();
                    prop_assert!((1..17).contains(&index));
                    prop_assert!(value > buckets[index - 1].0 - 1e-12);
                    prop_assert!(value <= buckets[index].0 + 1e-12);
                }
                Quantile::Above(bound) => {
                    prop_assert_eq!(index, Some(17));
                    prop_assert_eq!(bound, 10.0);
                }
            }
        }
    }
}
