//! Which bucket of an [`Exp2`](hark_common::histogram::Exp2) a duration belongs in.

use hark_common::histogram::BUCKETS;

/// The bucket of a duration: the least `k` with `ns` ≤ 2^k µs, or the last.
#[inline(always)]
#[must_use]
pub fn bucket(ns: u64) -> usize {
    // Rounded up, so that a bound belongs to its own bucket.
    let us = ns.saturating_add(999) / 1000;
    if us > 1 << (BUCKETS - 2) {
        return BUCKETS - 1;
    }
    // The number of bits of us - 1; by halves, for BPF has no instruction to count them.
    let mut rest = us.saturating_sub(1) as u32;
    let mut bits = 0;
    if rest >= 1 << 16 {
        rest >>= 16;
        bits += 16;
    }
    if rest >= 1 << 8 {
        rest >>= 8;
        bits += 8;
    }
    if rest >= 1 << 4 {
        rest >>= 4;
        bits += 4;
    }
    if rest >= 1 << 2 {
        rest >>= 2;
        bits += 2;
    }
    if rest >= 1 << 1 {
        rest >>= 1;
        bits += 1;
    }
    bits + rest as usize
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
