//! Kernel timestamps turned into wall-clock time.
//!
//! The kernel programs stamp events with `CLOCK_MONOTONIC`; spans need the time of day. The
//! difference between the two clocks changes when somebody steps the time of day (NTP at boot, an
//! operator, a resumed virtual machine) and drifts while it is slewed. So the pipeline samples the
//! difference at every drain, and a timestamp is converted with the difference that was in force
//! when the event happened, not with the one in force when it is looked at.
//!
//! The moment of a step is known to within the distance of two samples (about 50 ms): an event in
//! between is converted with the difference from before the step. Only the *end* of a span should
//! be converted; its start is the end less the duration, which the monotonic clock measured.

use std::collections::VecDeque;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// How many samples are kept. With [`SPACING_NS`], not less than 40 s of history; 64 KiB.
const CAPACITY: usize = 4096;

/// Samples closer than this to the one before are not kept, unless the clock was stepped.
const SPACING_NS: u64 = 10_000_000;

/// A change of the difference by at least this much between two samples is a step. The noise of a
/// bracketed read and 10 ms of slewing at 500 ppm are far below.
const STEP_NS: u64 = 100_000;

/// How often one sample reads the clocks; the tightest bracket wins.
const READS: usize = 4;

/// How far the time of day was ahead of the monotonic clock at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `CLOCK_MONOTONIC`, ns.
    pub mono_ns: u64,
    /// `CLOCK_REALTIME` − `CLOCK_MONOTONIC`, ns.
    pub offset_ns: i64,
}

impl Sample {
    /// Reads both clocks: the time of day between two reads of the monotonic clock, several times,
    /// keeping the read whose bracket was the tightest (the others were interrupted).
    #[must_use]
    pub fn read() -> Self {
        let mut best: Option<(u64, Self)> = None;
        for _ in 0..READS {
            let before = nanoseconds(clock_gettime(ClockId::Monotonic));
            let wall = nanoseconds(clock_gettime(ClockId::Realtime));
            let after = nanoseconds(clock_gettime(ClockId::Monotonic));
            let width = after.saturating_sub(before).max(0).unsigned_abs();
            let mono = before.saturating_add(after.saturating_sub(before) / 2);
            let sample = Self {
                mono_ns: mono.max(0).unsigned_abs(),
                offset_ns: wall.saturating_sub(mono),
            };
            if best.is_none_or(|(tightest, _)| width < tightest) {
                best = Some((width, sample));
            }
        }
        best.map_or(
            Self {
                mono_ns: 0,
                offset_ns: 0,
            },
            |(_, sample)| sample,
        )
    }
}

/// A bounded history of samples, oldest first.
#[derive(Clone, Debug)]
pub struct Clock {
    samples: VecDeque<Sample>,
}

impl Clock {
    /// A clock that knows the present.
    #[must_use]
    pub fn new() -> Self {
        Self::from_sample(Sample::read())
    }

    /// A clock that knows one moment: a replay starts from the sample in its capture file.
    #[must_use]
    pub fn from_sample(first: Sample) -> Self {
        Self {
            samples: VecDeque::from([first]),
        }
    }

    /// Takes a sample now. Meant to be called at every drain, about every 50 ms; more often costs
    /// no memory.
    pub fn sample(&mut self) {
        self.push(Sample::read());
    }

    /// Adds a sample. One that is not later than the last is ignored, and so is one that is close
    /// to it and says nothing new. The oldest goes when the history is full.
    pub fn push(&mut self, sample: Sample) {
        if let Some(last) = self.samples.back() {
            let Some(distance) = sample.mono_ns.checked_sub(last.mono_ns) else {
                return;
            };
            let change = sample.offset_ns.abs_diff(last.offset_ns);
            if distance == 0 || (distance < SPACING_NS && change < STEP_NS) {
                return;
            }
        }
        if self.samples.len() == CAPACITY {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The time of day at a moment of the monotonic clock: ns since 1970-01-01 UTC.
    ///
    /// Uses the nearest sample at or before `mono_ns`; for a moment before the whole history, the
    /// oldest. A time before 1970 or after 2554 is given as the nearest that can be.
    #[must_use]
    pub fn wall_ns(&self, mono_ns: u64) -> u64 {
        let later = self
            .samples
            .partition_point(|sample| sample.mono_ns <= mono_ns);
        let offset = self
            .samples
            .get(later.saturating_sub(1))
            .map_or(0, |sample| sample.offset_ns);
        mono_ns.saturating_add_signed(offset)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// `CLOCK_MONOTONIC` now, ns: the time that the kernel's records carry.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
        .max(0)
        .unsigned_abs()
}

/// Nanoseconds of a clock, saturating in the year 2262.
fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    fn at(mono_ns: u64, offset_ns: i64) -> Sample {
        Sample { mono_ns, offset_ns }
    }

    fn clock(samples: &[Sample]) -> Clock {
        let mut clock = Clock::from_sample(samples[0]);
        for sample in &samples[1..] {
            clock.push(*sample);
        }
        clock
    }

    #[test]
    fn the_offset_in_force_at_the_time_is_used() {
        // Two steps: +1 h at 100 ms, -2 h at 200 ms.
        let hour = 3_600_000_000_000_i64;
        let base = 1_700_000_000_000_000_000_i64;
        let clock = clock(&[
            at(50 * MS, base),
            at(100 * MS, base + hour),
            at(200 * MS, base - hour),
        ]);
        for (mono, wall) in [
            (0, 1_700_000_000_000_000_000),
            (50 * MS, 1_700_000_000_050_000_000),
            (100 * MS - 1, 1_700_000_000_099_999_999),
            (100 * MS, 1_700_003_600_100_000_000),
            (199 * MS, 1_700_003_600_199_000_000),
            (200 * MS, 1_699_996_400_200_000_000),
            (900 * MS, 1_699_996_400_900_000_000),
        ] {
            assert_eq!(clock.wall_ns(mono), wall, "at {mono}");
        }
    }

    #[test]
    fn close_samples_are_kept_only_for_a_step() {
        let mut clock = clock(&[at(0, 10)]);
        clock.push(at(5 * MS, 10 + 99_999));
        assert_eq!(clock.wall_ns(6 * MS), 6 * MS + 10);
        clock.push(at(7 * MS, 10 + 100_000));
        assert_eq!(clock.wall_ns(6 * MS), 6 * MS + 10);
        assert_eq!(clock.wall_ns(7 * MS), 7 * MS + 100_010);
        // Slewing is followed at the spacing.
        clock.push(at(17 * MS, 10 + 100_500));
        assert_eq!(clock.wall_ns(17 * MS), 17 * MS + 100_510);
    }

    #[test]
    fn a_sample_from_the_past_changes_nothing() {
        let mut clock = clock(&[at(50 * MS, 1), at(100 * MS, 2)]);
        clock.push(at(70 * MS, 1_000_000_000));
        clock.push(at(100 * MS, 1_000_000_000));
        assert_eq!(clock.wall_ns(80 * MS), 80 * MS + 1);
        assert_eq!(clock.wall_ns(200 * MS), 200 * MS + 2);
    }

    #[test]
    fn the_history_is_bounded_and_loses_the_oldest() {
        let mut clock = Clock::from_sample(at(0, 0));
        for i in 1..=CAPACITY as u64 {
            clock.push(at(i * SPACING_NS, i as i64));
        }
        assert_eq!(clock.samples.len(), CAPACITY);
        // The sample at 0 is gone: what lies before the history uses the oldest, from step 1.
        assert_eq!(clock.wall_ns(0), 1);
        assert_eq!(clock.wall_ns(7 * SPACING_NS + 3), 7 * SPACING_NS + 3 + 7);
    }

    #[test]
    fn times_that_cannot_be_are_clamped() {
        assert_eq!(clock(&[at(0, -100)]).wall_ns(99), 0);
        assert_eq!(clock(&[at(0, i64::MAX)]).wall_ns(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_real_sample_lies_between_reads_of_the_clocks() {
        let mono_before = nanoseconds(clock_gettime(ClockId::Monotonic));
        let sample = Sample::read();
        let mono_after = nanoseconds(clock_gettime(ClockId::Monotonic));
        let mono = i64::try_from(sample.mono_ns).unwrap();
        assert!((mono_before..=mono_after).contains(&mono));
    }

    proptest! {
        /// Against the definition, by linear search.
        #[test]
        fn wall_is_the_last_sample_at_or_before(
            steps in prop::collection::vec((SPACING_NS..10 * SPACING_NS, -1_000_000_000_i64..1_000_000_000), 1..50),
            mono in 0_u64..500 * SPACING_NS,
        ) {
            let base = 1_700_000_000_000_000_000_i64;
            let mut now = 0;
            let samples: Vec<_> = steps
                .iter()
                .map(|(gap, change)| { now += gap; at(now, base + change) })
                .collect();
            let in_force = samples
                .iter()
                .rev()
                .find(|sample| sample.mono_ns <= mono)
                .unwrap_or(&samples[0]);
            let expected = u64::try_from(i128::from(mono) + i128::from(in_force.offset_ns)).unwrap();
            prop_assert_eq!(clock(&samples).wall_ns(mono), expected);
        }
    }
}
