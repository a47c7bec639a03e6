//! The time of day is set by hours, as somebody's NTP does at boot: what is told of an exchange has the
//! time of day that it was at, and its duration is not hours. Only a machine of one's own can be asked this.

use std::time::Duration;

use hark_tests::agent::Agent;
use hark_tests::wait;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::heard::{self, CHECKS};
use crate::{PATIENCE, SETTLE, log};

/// How far a time may be from the two readings it lies between, s: the agent compares the clocks when it
/// takes records out of the ring.
const SLACK_S: f64 = 2.0;

/// One line of the log.
#[derive(Debug, serde::Deserialize)]
struct Line {
    time: String,
    duration_seconds: f64,
}

/// Forth and back; gives how many exchanges were looked at.
pub(crate) fn check(agent: &Agent) -> String {
    let mut looked_at = 0;
    for hours in [3, -5, 2] {
        step(hours * 3600);
        // Until the agent has compared the clocks.
        std::thread::sleep(Duration::from_secs(2));
        let (known, lost, before) = (log::lines::<Line>().len(), agent.lost(), seconds());
        let _ = heard::check_one(&CHECKS[0], agent);
        let after = seconds();
        // Each at both ends, but for those that are counted as lost.
        let told = wait::until(SETTLE, "lines of the request log", || {
            let lost = usize::try_from(agent.lost() - lost).unwrap_or(usize::MAX);
            let wanted = (2 * heard::EXCHANGES).saturating_sub(lost);
            let told = log::lines::<Line>().split_off(known);
            (told.len() >= wanted).then_some(told)
        });
        for line in told {
            let at = OffsetDateTime::parse(&line.time, &Rfc3339).expect("a time of RFC 3339");
            let at = at.unix_timestamp_nanos() as f64 / 1e9;
            assert!(
                (before - SLACK_S..after + SLACK_S).contains(&at),
                "{hours} h: {line:?}, between {before} and {after}"
            );
            assert!(
                (0.0..PATIENCE.as_secs_f64()).contains(&line.duration_seconds),
                "{line:?}"
            );
            looked_at += 1;
        }
    }
    format!("{looked_at} exchanges at their time")
}

fn step(seconds: i64) {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
    let time = Timespec {
        tv_sec: tv_sec + seconds,
        tv_nsec,
    };
    clock_settime(ClockId::Realtime, time).expect("we are root on a machine of our own");
}

/// The time of day, s.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
