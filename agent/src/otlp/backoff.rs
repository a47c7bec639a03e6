//! How long to wait before a request is tried again.

use std::time::Duration;

use super::config::Retrying;

/// Pauses that double, each drawn at random from its upper half, so that many agents that lost one
/// collector do not come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(retrying: &Retrying) -> Self {
        Self {
            next: retrying.initial.min(retrying.max),
            max: retrying.max,
        }
    }

    /// The next pause. What the server asked for is the least; `draw` is uniform in 0..1.
    pub(super) fn pause(&mut self, asked: Option<Duration>, draw: f64) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
            .max(asked.unwrap_or(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn backoff() -> Backoff {
        Backoff::new(&Retrying {
            initial: ms(1000),
            max: ms(5000),
        })
    }

    #[test]
    fn doubles_up_to_the_limit() {
        let mut backoff = backoff();
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause(None, 1.0)).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 5000, 5000].map(ms));
    }

    #[test]
    fn jitter_takes_off_up_to_half() {
        let mut backoff = backoff();
        assert_eq!(backoff.pause(None, 0.0), ms(500));
        assert_eq!(backoff.pause(None, 0.5), ms(1500));
        assert_eq!(backoff.pause(None, 0.0), ms(2000));
    }

    #[test]
    fn the_server_may_ask_for_longer_but_not_for_shorter() {
        let mut backoff = backoff();
        assert_eq!(backoff.pause(Some(ms(60_000)), 1.0), ms(60_000));
        assert_eq!(backoff.pause(Some(ms(10)), 1.0), ms(2000));
        assert_eq!(backoff.pause(Some(Duration::MAX), 1.0), Duration::MAX);
        assert_eq!(backoff.pause(Some(Duration::ZERO), 1.0), ms(5000));
    }

    #[test]
    fn a_first_pause_beyond_the_limit_is_the_limit() {
        let mut backoff = Backoff::new(&Retrying {
            initial: ms(9000),
            max: ms(5000),
        });
        assert_eq!(backoff.pause(None, 1.0), ms(5000));
    }
}
