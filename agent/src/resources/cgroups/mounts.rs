//! Where the hierarchies are mounted, and where a cgroup's files are.
//!
//! Paths of cgroups and roots of mounts are both as seen from the reader's cgroup namespace
//! (cgroup_namespaces(7)): what is outside begins with `/..`. A container may see a part of a
//! hierarchy only; then that of the host's first process is tried, through its root folder.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most of a file that is read, in bytes. Those that are read have some lines.
const FILE_LIMIT: u64 = 16 * 1024;
/// Most of a table of mounts that is read, in bytes.
const TABLE_LIMIT: u64 = 4 << 20;

/// A hierarchy that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Hierarchy {
    /// Version 2.
    Unified,
    /// The one of version 1 that has the controller `cpu`.
    Cpu,
    /// The one of version 1 that has the controller `memory`.
    Memory,
}

impl Hierarchy {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Unified, Self::Cpu, Self::Memory];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// For labels and people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unified => "unified",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }

    /// The controller that tells the hierarchy of version 1.
    #[must_use]
    pub const fn controller(self) -> Option<&'static str> {
        match self {
            Self::Unified => None,
            Self::Cpu | Self::Memory => Some(self.name()),
        }
    }
}

/// Which files a cgroup has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// cgroups version 1.
    V1,
    /// cgroups version 2.
    V2,
}

/// A hierarchy, mounted.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which files its cgroups have.
    pub version: Version,
    point: PathBuf,
    root: String,
}

impl Mount {
    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Whether every cgroup of the hierarchy can be found in it.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        split(&self.root) == (0, "")
    }

    /// The folder of a cgroup; `None` if this mount does not show it.
    #[must_use]
    pub fn folder(&self, cgroup: &str) -> Option<PathBuf> {
        let (root_up, root) = split(&self.root);
        let (up, path) = split(cgroup);
        // With fewer steps up than the mount's root, the names between are not known.
        if up != root_up {
            return None;
        }
        let rest = path.strip_prefix(root)?;
        if !(rest.is_empty() || rest.starts_with('/') || root.is_empty()) {
            return None;
        }
        // What is mounted at the point can never be left.
        if rest.split('/').any(|segment| segment == "..") {
            return None;
        }
        Some(self.point.join(rest.trim_start_matches('/')))
    }

    /// Reads a file of a cgroup into `buffer`. Gives its inode number: that of a cgroup which is
    /// made anew under the same name is another.
    pub fn read(&self, cgroup: &str, file: &str, buffer: &mut String) -> Option<u64> {
        buffer.clear();
        let file = File::open(self.folder(cgroup)?.join(file)).ok()?;
        let inode = file.metadata().ok()?.ino();
        file.take(FILE_LIMIT).read_to_string(buffer).ok()?;
        Some(inode)
    }

    /// The inode number of a cgroup's folder. The kernel numbers what it makes in a hierarchy in
    /// ascending order, so the younger of two cgroups has the larger number.
    #[must_use]
    pub fn inode(&self, cgroup: &str) -> Option<u64> {
        Some(std::fs::metadata(self.folder(cgroup)?).ok()?.ino())
    }

    #[cfg(test)]
    pub(in crate::resources) fn made_up(version: Version, point: &Path, root: &str) -> Self {
        Self {
            version,
            point: point.to_owned(),
            root: root.into(),
        }
    }
}

/// Steps up at the beginning of a path, and what follows, without a slash at its ends.
fn split(path: &str) -> (usize, &str) {
    let mut rest = path.trim_matches('/');
    let mut up = 0;
    while let Some(after) = rest.strip_prefix("..") {
        if !(after.is_empty() || after.starts_with('/')) {
            break;
        }
        up += 1;
        rest = after.trim_start_matches('/');
    }
    (up, rest)
}

/// The hierarchies that the agent sees.
#[derive(Clone, Debug, Default)]
pub struct Mounts([Option<Arc<Mount>>; Hierarchy::COUNT]);

impl Mounts {
    /// Those of the agent's own, or else of the host's first process.
    #[must_use]
    pub fn find(proc_root: &Path) -> Self {
        let mut found = Self::default();
        found.add(&table(&proc_root.join("self/mountinfo")), Path::new("/"));
        let init = proc_root.join("1");
        found.add(&table(&init.join("mountinfo")), &init.join("root"));
        found
    }

    /// A hierarchy, if it is mounted.
    #[must_use]
    pub fn get(&self, hierarchy: Hierarchy) -> Option<&Arc<Mount>> {
        self.0[hierarchy as usize].as_ref()
    }

    /// Adds what a table of mounts (proc_pid_mountinfo(5)) has, where it shows more than what was
    /// found before. `prefix` is where the root of that table is.
    pub(super) fn add(&mut self, table: &[u8], prefix: &Path) {
        for line in table.split(|byte| *byte == b'\n') {
            let Some((hierarchy, mount)) = std::str::from_utf8(line)
                .ok()
                .and_then(|line| entry(line, prefix))
            else {
                continue;
            };
            let slot = &mut self.0[hierarchy as usize];
            let shows_more = slot
                .as_ref()
                .is_none_or(|found| shown(&mount.root) > shown(&found.root));
            if shows_more && mount.point.is_dir() {
                *slot = Some(Arc::new(mount));
            }
        }
    }
}

/// How much of a hierarchy a mount shows, to compare: all of it, of which the paths are known, is
/// most; then what is least deep.
fn shown(root: &str) -> isize {
    let (up, rest) = split(root);
    let depth = rest
        .split('/')
        .filter(|segment| !segment.is_empty())
        .count();
    up.cast_signed() - depth.cast_signed()
}

/// One line of a table of mounts.
fn entry(line: &str, prefix: &Path) -> Option<(Hierarchy, Mount)> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(3);
    let (root, point) = (front.next()?, front.next()?);
    let mut back = back.split(' ');
    let (kind, options) = (back.next()?, back.nth(1)?);
    let (hierarchy, version) = match kind {
        "cgroup2" => (Hierarchy::Unified, Version::V2),
        "cgroup" => {
            let has = |hierarchy: &&Hierarchy| {
                let controller = hierarchy.controller();
                options.split(',').any(|option| Some(option) == controller)
            };
            (*Hierarchy::ALL.iter().find(has)?, Version::V1)
        }
        _ => return None,
    };
    let point = PathBuf::from(std::ffi::OsString::from_vec(unescape(point)));
    let mount = Mount {
        version,
        point: prefix.join(point.strip_prefix("/").unwrap_or(&point)),
        root: String::from_utf8(unescape(root)).ok()?,
    };
    Some((hierarchy, mount))
}

/// Space, tab, line feed and backslash are written as a backslash and three octal digits.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    bytes
}

fn table(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error is whole lines but for the last, which is not understood.
        let _ = file.take(TABLE_LIMIT).read_to_end(&mut bytes);
    }
    bytes
}
