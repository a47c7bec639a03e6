//! Whose a cgroup is.

use std::collections::HashMap;
use std::sync::Arc;

use super::Tree;
use super::mounts::Mount;
use crate::resources::services::{Owner, ServiceLabels};

/// Most cgroups of a hierarchy that are looked at.
pub const MAX_CGROUPS: usize = 4096;

/// Levels of a path that are looked at. What is below belongs to the last of them.
const MAX_DEPTH: usize = 32;

/// Whose a cgroup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribution {
    /// All processes in it and below it are this service's.
    Service(ServiceLabels),
    /// They are of more than one, or it is not known whose one of them is.
    Shared,
}

/// A cgroup with processes in or below it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its path, as `/proc/PID/cgroup` has it.
    pub path: Arc<str>,
    /// Whose it is.
    pub attribution: Attribution,
    /// It is a service's and the one above it is not: its values, which have all that is below in
    /// them, are added up without anything counted twice.
    pub is_top: bool,
    /// Services that have processes in it, not only below it.
    pub residents: Vec<ServiceLabels>,
    /// The look since which it has had processes without a break.
    pub since: u64,
}

impl Node {
    /// The service it belongs to.
    #[must_use]
    pub const fn service(&self) -> Option<&ServiceLabels> {
        match &self.attribution {
            Attribution::Service(labels) => Some(labels),
            Attribution::Shared => None,
        }
    }
}

struct Found {
    attribution: Attribution,
    residents: Vec<ServiceLabels>,
}

/// The cgroup above, `None` above the topmost.
pub(in crate::resources) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/')
        .map(|(parent, _)| parent)
        .filter(|parent| !is_root(parent))
}

/// Whether there is nothing of a cgroup's own in the path: the root of the hierarchy, or a cgroup
/// above the agent's namespace, whose name is not known.
fn is_root(path: &str) -> bool {
    path.split('/').all(|segment| matches!(segment, "" | ".."))
}

/// Says of all cgroups that processes are in whose they are.
pub(super) fn attribute<'a>(
    processes: impl Iterator<Item = (&'a Arc<str>, &'a Owner)>,
    before: Option<&Tree>,
    mount: &Arc<Mount>,
    round: u64,
) -> Tree {
    // First by cgroup, for many processes are in the same one.
    let mut leaves: HashMap<&'a str, Vec<&'a Owner>> = HashMap::new();
    for (path, owner) in processes {
        let owners = leaves.entry(path).or_default();
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    let mut found: HashMap<&'a str, Found> = HashMap::new();
    let (mut dropped, mut invisible) = (0, 0);
    for (leaf, owners) in leaves {
        if is_root(leaf) {
            continue;
        }
        if mount.folder(leaf).is_none() {
            invisible += 1;
        }
        let depth = leaf.split('/').count();
        let mut next = Some(leaf);
        let mut left = depth;
        while let Some(path) = next {
            next = parent(path);
            left -= 1;
            if left >= MAX_DEPTH {
                continue;
            }
            if !found.contains_key(path) && found.len() >= MAX_CGROUPS {
                dropped += 1;
                continue;
            }
            for owner in &owners {
                let of_this = owner.labels().map_or(Attribution::Shared, |labels| {
                    Attribution::Service(labels.clone())
                });
                let entry = found.entry(path).or_insert_with(|| Found {
                    attribution: of_this.clone(),
                    residents: Vec::new(),
                });
                if entry.attribution != of_this {
                    entry.attribution = Attribution::Shared;
                }
                if path == leaf
                    && let Some(labels) = owner.labels()
                {
                    entry.residents.push(labels.clone());
                }
            }
        }
    }
    let known: HashMap<&str, &Node> = before
        .iter()
        .flat_map(|tree| &tree.nodes)
        .map(|node| (&*node.path, node))
        .collect();
    let is_owned = |path: &str| {
        found
            .get(path)
            .is_some_and(|found| found.attribution != Attribution::Shared)
    };
    let nodes = found
        .iter()
        .map(|(path, entry)| {
            let known = known.get(path);
            Node {
                path: known.map_or_else(|| (*path).into(), |node| Arc::clone(&node.path)),
                attribution: entry.attribution.clone(),
                is_top: is_owned(path) && !parent(path).is_some_and(is_owned),
                residents: entry.residents.clone(),
                since: known.map_or(round, |node| node.since),
            }
        })
        .collect();
    Tree {
        mount: Arc::clone(mount),
        nodes,
        dropped,
        invisible,
        round,
    }
}
