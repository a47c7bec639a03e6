//! Which bucket of an [`Exp2`](hark_common::histogram::Exp2) a duration belongs in.

use hark_common::histogram::BUCKETS;

/// The bucket of a duration: the least `k` with `ns` ≤ 2^k µs, or the last.
#[inline(always)]
#[must_use]
pub fn bucket(ns: u64) -> usize {
    // The least k with (ns - 1) >> k below 1000, by halves: BPF divides slowly, and has no
    // instruction to count bits.
    let mut rest = ns.saturating_sub(1);
    if rest >> 26 >= 1000 {
        return BUCKETS - 1;
    }
    let mut k = 0;
    if rest >> 15 >= 1000 {
        rest >>= 16;
        k += 16;
    }
    if rest >> 7 >= 1000 {
        rest >>= 8;
        k += 8;
    }
    if rest >> 3 >= 1000 {
        rest >>= 4;
        k += 4;
    }
    if rest >> 1 >= 1000 {
        rest >>= 2;
        k += 2;
    }
    if rest >= 1000 {
        k += 1;
    }
    k
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_belong_to_their_own_bucket() {
        for k in 0..BUCKETS - 1 {
            let bound = 1000u64 << k;
            assert_eq!(bucket(bound), k, "2^{k} µs");
            assert_eq!(bucket(bound + 1), k + 1, "2^{k} µs and 1 ns");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
