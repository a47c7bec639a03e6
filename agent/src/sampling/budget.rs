//! Spans per second: how the threshold is raised so that they stay within a budget.
//!
//! Each second has a threshold, made from what the one before it had to decide. Where a second has
//! more than that foretold, its probability is halved once the budget is used up, and again for each
//! half of the budget beyond. So what is over the budget grows with the logarithm of the surprise,
//! and a span that is kept always says by which threshold.

use super::threshold::Threshold;

/// One second, ns.
const SECOND_NS: u64 = 1_000_000_000;

/// The part of the budget that what is always kept leaves to the rest, at least.
const LEAST_SHARE: f64 = 0.1;

/// The threshold, second by second.
#[derive(Debug)]
pub(super) struct Budget {
    base: Threshold,
    /// Spans per second; 0 for any number.
    limit: f64,
    threshold: Threshold,
    /// The second that is counted.
    second: u64,
    /// Spans in it that the threshold decides of.
    subject: u64,
    /// Those of them that were kept.
    kept: f64,
    /// Spans in it that were kept whatever the threshold.
    always: u64,
    /// How many may be kept before the probability is halved.
    allowance: f64,
    /// What the threshold may keep in a second.
    share: f64,
}

impl Budget {
    pub(super) fn new(base: Threshold, spans_per_second: usize) -> Self {
        let limit = f64::from(u32::try_from(spans_per_second).unwrap_or(u32::MAX));
        Self {
            base,
            limit,
            threshold: base,
            second: 0,
            subject: 0,
            kept: 0.0,
            always: 0,
            allowance: limit,
            share: limit,
        }
    }

    /// Whether nothing is ever sampled out.
    pub(super) fn keeps_all(&self) -> bool {
        self.base == Threshold::ALL && self.limit == 0.0
    }

    /// The present threshold.
    pub(super) const fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// The threshold for a span that is decided now; `subject` says whether it decides of it.
    pub(super) fn next(&mut self, now_ns: u64, subject: bool) -> Threshold {
        if self.limit == 0.0 {
            return self.threshold;
        }
        let second = now_ns / SECOND_NS;
        // Fragments are decided in another order than that of their ends: what comes late belongs to
        // the present second.
        if second > self.second {
            self.turn(second);
        }
        self.subject += u64::from(subject);
        self.threshold
    }

    /// That span is kept.
    pub(super) fn kept(&mut self, subject: bool) {
        if self.limit == 0.0 {
            return;
        }
        if !subject {
            self.always += 1;
            return;
        }
        self.kept += 1.0;
        if self.kept >= self.allowance {
            self.allowance += (self.share / 2.0).max(1.0);
            let halved = Threshold::of_probability(self.threshold.probability() / 2.0);
            self.threshold = self.threshold.max(halved);
        }
    }

    /// A new second.
    #[expect(clippy::cast_precision_loss, reason = "spans of one second")]
    fn turn(&mut self, second: u64) {
        // After a pause, what was before it says nothing.
        let foretold = if second == self.second + 1 {
            (self.subject, self.always)
        } else {
            (0, 0)
        };
        let (subject, always) = (foretold.0 as f64, foretold.1 as f64);
        self.share = (self.limit - always).max(self.limit * LEAST_SHARE);
        let wanted = if subject > self.share {
            self.share / subject
        } else {
            1.0
        };
        self.threshold = self.base.max(Threshold::of_probability(wanted));
        self.second = second;
        self.subject = 0;
        self.kept = 0.0;
        self.always = 0;
        self.allowance = self.share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spans kept of `count` in each of some seconds.
    fn kept(budget: &mut Budget, seconds: &[u64]) -> Vec<u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut kept = Vec::new();
        for (second, count) in seconds.iter().enumerate() {
            let mut of_second = 0;
            for number in 0..*count {
                let now = second as u64 * SECOND_NS + number * SECOND_NS / count;
                let threshold = budget.next(now, true);
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                if threshold.keeps(state >> 8) {
                    budget.kept(true);
                    of_second += 1;
                }
            }
            kept.push(of_second);
        }
        kept
    }

    #[test]
    fn it_holds_and_is_used() {
        let mut budget = Budget::new(Threshold::ALL, 1000);
        let kept = kept(&mut budget, &[500, 50_000, 50_000, 50_000, 500, 500]);
        assert_eq!(kept[0], 500);
        // A surprise of a hundred times costs less than five times the budget.
        assert!(kept[1] < 5000, "{kept:?}");
        for second in [2, 3] {
            assert!((700..1300).contains(&kept[second]), "{kept:?}");
        }
        // One second late, then all again.
        assert_eq!(kept[5], 500, "{kept:?}");
    }

    #[test]
    fn it_never_keeps_more_than_the_probability() {
        let mut budget = Budget::new(Threshold::of_probability(0.1), 1000);
        let kept = kept(&mut budget, &[1000, 1000]);
        assert!(kept.iter().all(|kept| (50..150).contains(kept)), "{kept:?}");
    }

    #[test]
    fn without_one_the_probability_holds() {
        let mut budget = Budget::new(Threshold::of_probability(0.25), 0);
        let kept = kept(&mut budget, &[100_000]);
        assert!((24_000..26_000).contains(&kept[0]), "{kept:?}");
    }
}
