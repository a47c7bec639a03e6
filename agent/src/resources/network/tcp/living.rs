//! Connections while they live: what they have moved, and how far away their peers are.
//!
//! No program runs for it: `sock_diag` lists them at the scrape with what the kernel knows of each.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hark_common::histogram::Exp2;
use hark_common::tcp::{Figures, role};

use crate::kernel::sock_diag::{self, Ask, Counters, MAX_SOCKETS};
use crate::resources::services::{Owner, ServiceLabels};
use crate::resources::{Host, histogram};

/// How long living connections may be asked about at a scrape.
const BUDGET: Duration = Duration::from_millis(400);

/// A connection gives one round-trip time in so long: what is scraped more often is not counted more
/// often.
const SPACING: Duration = Duration::from_secs(10);

/// What the kernel counts of each living connection, by cookie, and how many namespaces were not
/// read.
pub(super) fn look(host: &Host, now: Instant) -> (HashMap<u64, Counters>, usize) {
    let look = host.census.look();
    let found = sock_diag::everywhere(
        &host.proc_root,
        look.processes.iter().map(|process| process.pid),
        Ask::Connections,
        MAX_SOCKETS,
        now + BUDGET,
    );
    let sockets = found.sockets.into_iter();
    let counters = sockets.map(|(_, socket)| (socket.cookie, socket.counters));
    (counters.collect(), found.unread)
}

/// By [`role`].
type Sides = [Exp2; role::COUNT];

/// What is remembered of a connection that was seen open.
#[derive(Debug)]
struct Seen {
    moved: u64,
    at: Instant,
}

/// Round-trip times of connections that stay open: of each the kernel's smoothed one, every
/// [`SPACING`] at most and only if bytes have moved since, for it is of those bytes. The kernel side
/// adds the one at a connection's end, and that is all there is of a short one.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    connections: HashMap<u64, Seen>,
    services: HashMap<ServiceLabels, Sides>,
    host: Sides,
}

impl RoundTrips {
    /// What was seen of a connection now.
    pub(super) fn see(
        &mut self,
        cookie: u64,
        role: u8,
        counters: &Counters,
        owner: &Owner,
        now: Instant,
    ) {
        let moved = counters.sent.wrapping_add(counters.received);
        let seen = self
            .connections
            .entry(cookie)
            .or_insert(Seen { moved, at: now });
        if counters.srtt_us == 0 || seen.moved == moved || now.duration_since(seen.at) < SPACING {
            return;
        }
        *seen = Seen { moved, at: now };
        let ns = u64::from(counters.srtt_us) * 1000;
        let side = usize::from(role) % role::COUNT;
        histogram::observe(&mut self.host[side], ns);
        if let Owner::Service(labels) = owner {
            let sides = self.services.entry(labels.clone()).or_default();
            histogram::observe(&mut sides[side], ns);
        }
    }

    /// Forgets connections that are no longer followed, which bounds them, and services without
    /// series.
    pub(super) fn retain(&mut self, is_followed: impl Fn(&u64) -> bool, host: &Host) {
        self.connections.retain(|cookie, _| is_followed(cookie));
        self.services.retain(|labels, _| host.services.has(labels));
    }

    /// Services with round-trip times.
    pub(super) fn services(&self) -> impl Iterator<Item = &ServiceLabels> {
        self.services.keys()
    }

    /// Adds those of a service, or of the host, to the figures of what is over.
    pub(super) fn add_to(&self, service: Option<&ServiceLabels>, figures: &mut Figures) {
        let sides = match service {
            Some(labels) => self.services.get(labels),
            None => Some(&self.host),
        };
        for (side, rtt) in figures.sides.iter_mut().zip(sides.into_iter().flatten()) {
            histogram::add_since(&mut side.rtt, rtt, &Exp2::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_gives_one_now_and_then_and_none_while_it_is_idle() {
        let mut rtt = RoundTrips::default();
        let start = Instant::now();
        let shop: ServiceLabels = "service_name=\"shop\"".into();
        let see = |rtt: &mut RoundTrips, seconds, sent, srtt_us| {
            let counters = Counters {
                sent,
                srtt_us,
                ..Counters::default()
            };
            let now = start + Duration::from_secs(seconds);
            let owner = Owner::Service(shop.clone());
            rtt.see(7, role::SERVER, &counters, &owner, now);
            let mut figures = Figures::default();
            rtt.add_to(Some(&shop), &mut figures);
            let mut host = Figures::default();
            rtt.add_to(None, &mut host);
            assert_eq!(host, figures);
            assert_eq!(figures.sides[0], Default::default());
            let rtt = figures.sides[1].rtt;
            (rtt.buckets.iter().sum::<u64>(), rtt.sum_ns)
        };
        // The first look says when bytes began to be watched.
        assert_eq!(see(&mut rtt, 0, 10, 500), (0, 0));
        // Too early.
        assert_eq!(see(&mut rtt, 9, 20, 500), (0, 0));
        assert_eq!(see(&mut rtt, 10, 20, 500), (1, 500_000));
        // Idle.
        assert_eq!(see(&mut rtt, 60, 20, 500), (1, 500_000));
        // No sample was taken by the kernel.
        assert_eq!(see(&mut rtt, 70, 30, 0), (1, 500_000));
        assert_eq!(see(&mut rtt, 71, 31, 300), (2, 800_000));
    }
}
