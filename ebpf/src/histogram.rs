//! Histograms in maps: which bucket of an [`Exp2`](hark_common::histogram::Exp2) a duration belongs
//! in.

use hark_common::histogram::BUCKETS;
#[cfg(target_arch = "bpf")]
use hark_common::histogram::Exp2;

#[cfg(target_arch = "bpf")]
use crate::kernel::add;

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

/// A bucket, with a check that the verifier sees: the compiler knows that there is no need for it.
#[inline(always)]
#[must_use]
pub fn within(at: usize) -> Option<usize> {
    // SAFETY: a live local.
    let at = unsafe { (&raw const at).read_volatile() };
    (at < BUCKETS).then_some(at)
}

/// Adds a duration.
///
/// # Safety
///
/// `to` must be within a map's value.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub unsafe fn observe(to: *mut Exp2, ns: u64) {
    // SAFETY: by the caller.
    unsafe { enter(to, bucket(ns), ns) }
}

/// Adds a duration whose [`bucket`] is known.
///
/// # Safety
///
/// As for [`observe`].
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub unsafe fn enter(to: *mut Exp2, at: usize, ns: u64) {
    if let Some(at) = within(at) {
        // SAFETY: by the caller; the index is within the array.
        unsafe {
            add((&raw mut (*to).buckets).cast::<u64>().add(at), 1);
            add(&raw mut (*to).sum_ns, ns);
        }
    }
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
