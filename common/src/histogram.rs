//! Histograms that the kernel programs keep: counts in powers of two.

/// Bounds of an [`Exp2`], and one bucket above them all.
pub const BUCKETS: usize = 28;

/// A histogram of durations. Bucket `k` counts what took at most 2^k µs and more than 2^(k-1) µs;
/// the last counts what is beyond 2^26 µs, some 67 s. Written by atomic addition, read without a
/// lock: a reader may see the count of an event before its time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exp2 {
    /// Counts per bucket, not cumulative.
    pub buckets: [u64; BUCKETS],
    /// Sum of the durations, ns.
    pub sum_ns: u64,
}

const _: () = assert!(size_of::<Exp2>() == 29 * 8 && align_of::<Exp2>() == 8);
