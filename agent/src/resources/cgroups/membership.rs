//! Which cgroups a process is in: `/proc/PID/cgroup` (cgroups(7)).

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::mounts::Hierarchy;

/// Most of the file that is read, in bytes: a dozen lines, each of a path at most.
const LIMIT: u64 = 64 * 1024;

/// The cgroup of a process in each hierarchy that is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paths([Option<Arc<str>>; Hierarchy::COUNT]);

impl Paths {
    /// The cgroup in one; `None` if it is in none that is still there.
    pub(super) const fn of(&self, hierarchy: Hierarchy) -> Option<&Arc<str>> {
        self.0[hierarchy as usize].as_ref()
    }
}

/// Reads the file; `None` if the process is gone. `names` has each path once.
pub(super) fn read(
    path: &Path,
    buffer: &mut Vec<u8>,
    names: &mut HashSet<Arc<str>>,
) -> Option<Paths> {
    buffer.clear();
    let read = File::open(path).and_then(|file| file.take(LIMIT).read_to_end(buffer));
    read.ok().map(|_| parse(buffer, names))
}

pub(super) fn parse(content: &[u8], names: &mut HashSet<Arc<str>>) -> Paths {
    let mut paths = Paths::default();
    // A line that is not text has a name that no label could show.
    let lines = content
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok());
    for line in lines {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let hierarchy = Hierarchy::ALL.into_iter().find(|hierarchy| {
            hierarchy
                .controller()
                .map_or(number == "0" && controllers.is_empty(), |controller| {
                    controllers.split(',').any(|name| name == controller)
                })
        });
        let Some(hierarchy) = hierarchy else {
            continue;
        };
        // The cgroup was removed while the process was still in it.
        if !path.starts_with('/') || path.ends_with(" (deleted)") {
            continue;
        }
        let name = names.get(path).map_or_else(|| path.into(), Arc::clone);
        names.insert(Arc::clone(&name));
        paths.0[hierarchy as usize] = Some(name);
    }
    paths
}
