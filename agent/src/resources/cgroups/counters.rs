//! Adds up, per service, what the kernel counts per cgroup.
//!
//! The same idea as [`Ledger`](crate::resources::ledger::Ledger): what came since the last look is
//! posted to the service that the cgroup belonged to then, so that no sum ever falls: not when a
//! cgroup is removed, made anew under its old name, or shared with another service.
//!
//! A cgroup counts from its beginning if it was made after the last look, else from the moment it
//! is first seen to be a service's: what it had before may be history, or another's. The bias: of a
//! cgroup that is shared for a while, that while is not counted. What cannot be told apart is one
//! made anew from one that was there, empty, when the agent started, and is younger than all that
//! had processes then.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Node, Tree};
use crate::resources::services::{ServiceLabels, Services};

#[derive(Debug)]
struct Last<const N: usize> {
    inode: u64,
    values: [u64; N],
    owner: ServiceLabels,
    round: u64,
}

/// Sums of `N` counters per service.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    cgroups: HashMap<Arc<str>, Last<N>>,
    services: IndexMap<ServiceLabels, [u64; N]>,
    /// The look that was posted last.
    round: Option<u64>,
    /// The largest inode number of a cgroup up to then.
    youngest: u64,
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self {
            cgroups: HashMap::new(),
            services: IndexMap::new(),
            round: None,
            youngest: 0,
        }
    }
}

impl<const N: usize> Counters<N> {
    /// Looks at the counters of those cgroups of services that `which` picks. `read` gives them,
    /// with the inode number of their file; `None` if the cgroup has none of them.
    pub fn post(
        &mut self,
        tree: &Tree,
        services: &Services,
        which: impl Fn(&Node) -> bool,
        mut read: impl FnMut(&Node) -> Option<(u64, [u64; N])>,
    ) {
        let mut youngest = self.youngest;
        for node in &tree.nodes {
            // Made since the last look, not only populated: nothing of it is anybody's history.
            let mut is_new = false;
            if self.round.is_none_or(|round| node.since > round) {
                let inode = tree.mount.inode(&node.path).unwrap_or(0);
                is_new = self.round.is_some() && inode > self.youngest;
                youngest = youngest.max(inode);
            }
            let Some(owner) = node.service().filter(|_| which(node)) else {
                continue;
            };
            let Some((inode, values)) = read(node) else {
                continue;
            };
            let last = self.cgroups.get(&node.path);
            let (since, to) = match last {
                Some(last) if last.inode == inode => (last.values, &last.owner),
                // Made anew since it was last looked at.
                Some(_) => ([0; N], owner),
                None if is_new => ([0; N], owner),
                None => (values, owner),
            };
            let sums = match self.services.get_mut(to) {
                Some(sums) => sums,
                None => self.services.entry(to.clone()).or_insert([0; N]),
            };
            for ((sum, now), since) in sums.iter_mut().zip(values).zip(since) {
                *sum += now.saturating_sub(since);
            }
            // There are series as soon as there is a cgroup, though nothing has happened in it.
            if to != owner && !self.services.contains_key(owner) {
                self.services.insert(owner.clone(), [0; N]);
            }
            self.cgroups.insert(
                Arc::clone(&node.path),
                Last {
                    inode,
                    values,
                    owner: owner.clone(),
                    round: tree.round,
                },
            );
        }
        self.youngest = youngest;
        self.round = Some(tree.round);
        self.cgroups.retain(|_, last| last.round == tree.round);
        self.services.retain(|labels, _| services.has(labels));
    }

    /// Takes every cgroup that it has not seen for a young one.
    #[cfg(test)]
    pub(super) const fn forget_age(&mut self) {
        self.youngest = 0;
    }

    /// The sums, by service.
    pub fn services(&self) -> impl Iterator<Item = (&ServiceLabels, &[u64; N])> {
        self.services.iter()
    }
}
