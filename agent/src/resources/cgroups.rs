//! Which cgroups belong to which service.
//!
//! A cgroup belongs to a service if all processes in it and below it do; then what the kernel counts
//! for the cgroup is the service's. Any other is shared, and counts for the host alone, as the root
//! of a hierarchy always does. Only the cgroups that living processes are in, and those above them,
//! are ever looked at: the tree is never walked.
//!
//! Controllers may be on the unified hierarchy (version 2), each on one of its own (version 1), or
//! spread over both (hybrid), and a process may be in another cgroup on each.

mod attribution;
mod counters;
mod membership;
mod mounts;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) use attribution::parent;
pub use attribution::{Attribution, MAX_CGROUPS, Node};
pub use counters::Counters;
pub use mounts::{Hierarchy, Mount, Mounts, Version};

use super::census::{Census, Look as People};
use super::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page};
use membership::Paths;

/// A look is good for so long: the groups of one scrape share it.
const FRESH: Duration = Duration::from_millis(500);

/// How long a look may take; who was not reached by then is looked at next time.
const BUDGET: Duration = Duration::from_millis(200);

/// Processes that are looked at again in one look, in turn: they may have been moved.
const AGAIN: usize = 256;

const CGROUPS: Family = Family {
    name: "hark_cgroups",
    help: "Cgroups with living processes in or below them, by hierarchy and by whether all of these are one service's; those beyond a limit, and those that are not visible from the agent's cgroup namespace or mounts, are nobody's.",
    unit: None,
    kind: Kind::Gauge,
    source: "/proc/PID/cgroup",
    labels: &["hierarchy", "attribution"],
};

/// What this module writes.
pub const FAMILIES: &[&Family] = &[&CGROUPS];

/// A controller whose files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// `cpu`.
    Cpu,
    /// `memory`.
    Memory,
}

impl Controller {
    /// The hierarchy of its own that it may be on.
    const fn own(self) -> Hierarchy {
        match self {
            Self::Cpu => Hierarchy::Cpu,
            Self::Memory => Hierarchy::Memory,
        }
    }
}

/// The cgroups of one hierarchy that have processes in or below them.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Where its files are.
    pub mount: Arc<Mount>,
    /// In no order; the root is not among them.
    pub nodes: Vec<Node>,
    /// Cgroups beyond [`MAX_CGROUPS`].
    pub dropped: usize,
    /// Cgroups of processes that this mount does not show.
    pub invisible: usize,
    /// Numbers the looks, ascending.
    pub round: u64,
}

impl Tree {
    /// That there are more cgroups than are looked at, if there are.
    ///
    /// # Errors
    ///
    /// There are.
    pub const fn complete(&self) -> Result<(), CollectError> {
        if self.dropped > 0 {
            return Err(CollectError::TooMany {
                what: "cgroups",
                limit: MAX_CGROUPS,
            });
        }
        Ok(())
    }
}

/// The cgroup that this process is in for a controller, and where its files are; `None` if it cannot
/// be seen.
pub(super) fn own(proc_root: &Path, controller: Controller) -> Option<(Arc<Mount>, Arc<str>)> {
    let mounts = Mounts::find(proc_root);
    let path = proc_root.join("self/cgroup");
    let paths = membership::read(&path, &mut Vec::new(), &mut HashSet::new())?;
    let hierarchies = [controller.own(), Hierarchy::Unified];
    hierarchies.into_iter().find_map(|hierarchy| {
        Some((
            Arc::clone(mounts.get(hierarchy)?),
            Arc::clone(paths.of(hierarchy)?),
        ))
    })
}

/// One look at all hierarchies.
#[derive(Clone, Debug)]
pub struct Look {
    trees: [Option<Arc<Tree>>; Hierarchy::COUNT],
    at: Instant,
}

impl Look {
    /// A hierarchy, if it is mounted where the agent sees it.
    #[must_use]
    pub fn tree(&self, hierarchy: Hierarchy) -> Option<&Tree> {
        self.trees[hierarchy as usize].as_deref()
    }

    /// The hierarchy that a controller is on: its own, or else the unified one if it is there.
    #[must_use]
    pub fn of(&self, controller: Controller) -> Option<&Tree> {
        self.tree(controller.own())
            .or_else(|| self.tree(Hierarchy::Unified))
    }
}

/// The cgroups of the host's processes.
pub struct Cgroups {
    proc_root: PathBuf,
    census: Arc<Census>,
    mounts: Mounts,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Arc<Look>>,
    members: HashMap<u32, Member>,
    names: HashSet<Arc<str>>,
    /// The process that was looked at again last.
    cursor: u32,
    round: u64,
}

struct Member {
    start_ticks: u64,
    paths: Paths,
    round: u64,
}

impl std::fmt::Debug for Cgroups {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cgroups")
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

impl Cgroups {
    /// Of the processes that `census` sees, in the hierarchies that are mounted now.
    #[must_use]
    pub fn new(proc_root: PathBuf, census: Arc<Census>) -> Self {
        let mounts = Mounts::find(&proc_root);
        Self::with_mounts(proc_root, census, mounts)
    }

    fn with_mounts(proc_root: PathBuf, census: Arc<Census>, mounts: Mounts) -> Self {
        Self {
            proc_root,
            census,
            mounts,
            state: Mutex::default(),
        }
    }

    /// The cgroups as they were half a second ago at most.
    pub fn look(&self) -> Arc<Look> {
        let people = self.census.look();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &state.last
            && last.at.elapsed() < FRESH
        {
            return Arc::clone(last);
        }
        let look = Arc::new(self.look_now(&people, &mut state));
        state.last = Some(Arc::clone(&look));
        look
    }

    fn look_now(&self, people: &People, state: &mut State) -> Look {
        let at = Instant::now();
        state.round += 1;
        let is_complete = self.find_members(people, state, at) && people.is_complete;
        let round = state.round;
        let members = &state.members;
        let last = state.last.as_deref();
        let trees = Hierarchy::ALL.map(|hierarchy| {
            let mount = self.mounts.get(hierarchy)?;
            let before = last.and_then(|look| look.trees[hierarchy as usize].as_ref());
            // Who is missing might be the one that shares a cgroup.
            if !is_complete {
                return before.map(Arc::clone);
            }
            let living = people.processes.iter().filter_map(|process| {
                // One that has no memory any more is about to be gone.
                let path = (process.resident_pages > 0)
                    .then(|| members.get(&process.pid)?.paths.of(hierarchy))??;
                Some((path, &process.owner))
            });
            let tree = attribution::attribute(living, before.map(Arc::as_ref), mount, round);
            Some(Arc::new(tree))
        });
        if is_complete {
            state.members.retain(|_, member| member.round == round);
            state.names.retain(|name| Arc::strong_count(name) > 1);
        }
        Look { trees, at }
    }

    /// Reads where processes are: those that are new, and some of the others. Says whether it is
    /// known of all.
    fn find_members(&self, people: &People, state: &mut State, at: Instant) -> bool {
        let mut order: Vec<_> = people.processes.iter().collect();
        order.sort_unstable_by_key(|process| process.pid);
        // Those after the one that was last, then from the beginning.
        let from = order.partition_point(|process| process.pid <= state.cursor);
        order.rotate_left(from);
        let mut again = 0;
        let mut buffer = Vec::new();
        let mut is_complete = true;
        for process in order {
            let known = state
                .members
                .get_mut(&process.pid)
                .filter(|member| member.start_ticks == process.start_ticks);
            let is_late = at.elapsed() > BUDGET;
            if let Some(member) = known {
                member.round = state.round;
                if again >= AGAIN || is_late {
                    continue;
                }
                again += 1;
                state.cursor = process.pid;
            } else if is_late {
                is_complete = false;
                continue;
            }
            let path = self.proc_root.join(process.pid.to_string()).join("cgroup");
            let Some(paths) = membership::read(&path, &mut buffer, &mut state.names) else {
                // It is gone.
                state.members.remove(&process.pid);
                continue;
            };
            state.members.insert(
                process.pid,
                Member {
                    start_ticks: process.start_ticks,
                    paths,
                    round: state.round,
                },
            );
        }
        is_complete
    }

    /// Writes how many cgroups there were at the last look.
    ///
    /// # Errors
    ///
    /// Those of the page.
    pub fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let last = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.last.clone()
        };
        page.family(&CGROUPS)?;
        for hierarchy in Hierarchy::ALL {
            let Some(tree) = last.as_ref().and_then(|look| look.tree(hierarchy)) else {
                continue;
            };
            let name = hierarchy.name();
            let owned = tree.nodes.iter().filter(|n| n.service().is_some()).count();
            for (attribution, count) in [
                ("service", owned),
                ("shared", tree.nodes.len() - owned),
                ("limit", tree.dropped),
                ("invisible", tree.invisible),
            ] {
                let labels = format!("hierarchy=\"{name}\",attribution=\"{attribution}\"");
                page.sample(&CGROUPS, &labels, count)?;
            }
        }
        Ok(())
    }
}
