//! Waiting for a state instead of for a time.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long reports may take to settle before they are judged as they are.
pub const SETTLE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Polls until `look` gives `want` and gives it still a moment later (a late duplicate is a fault
/// too), or until [`SETTLE`] has passed; then asserts that it does.
///
/// # Panics
/// If the last look differs.
#[track_caller]
pub fn expect<T: PartialEq + Debug>(what: &str, want: &T, look: impl FnMut() -> T) {
    expect_within(SETTLE, what, want, look);
}

/// As [`expect`], with a limit of its own.
///
/// # Panics
/// If the last look differs.
#[track_caller]
pub fn expect_within<T: PartialEq + Debug>(
    limit: Duration,
    what: &str,
    want: &T,
    mut look: impl FnMut() -> T,
) {
    let got = settle(limit, want, &mut look);
    assert!(got == *want, "{what}\n  sent: {want:?}\n  seen: {got:?}");
}

/// Polls as [`expect_within`] does, and gives the last look.
#[must_use]
pub fn settle<T: PartialEq>(limit: Duration, want: &T, mut look: impl FnMut() -> T) -> T {
    let deadline = Instant::now() + limit;
    while look() != *want && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    std::thread::sleep(3 * POLL);
    look()
}

/// Polls until `look` gives `most` or less, or `limit` has passed, and gives the last look.
#[must_use]
pub fn settle_below(limit: Duration, most: u64, mut look: impl FnMut() -> u64) -> u64 {
    let deadline = Instant::now() + limit;
    loop {
        let value = look();
        if value <= most || Instant::now() >= deadline {
            return value;
        }
        std::thread::sleep(POLL);
    }
}

/// Polls until `look` gives something.
///
/// # Panics
/// If it has not within `limit`; `what` says what was awaited.
#[track_caller]
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {limit:?} in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
