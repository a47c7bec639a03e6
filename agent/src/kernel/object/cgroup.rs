//! Programs of an object that are attached to the host's cgroup hierarchy.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aya::programs::{CgroupAttachMode, CgroupSockAddr};
use procfs::FromRead as _;
use procfs::process::MountInfos;

use super::{Object, ObjectError, missing, refused};
use crate::kernel::Hook;

/// How such a hook is attached, for [`Hook::kind`].
pub const KIND: &str = "cgroup";

/// Inode number of the root of the hierarchy: the first that kernfs gives out.
const ROOT_INODE: u64 = 1;

/// A hook for all cgroups of the host, and the program for it, of the same name.
#[derive(Debug)]
pub struct OnCgroup {
    /// The kernel's name for it.
    pub name: &'static str,
    /// What the user loses without it.
    pub gives: &'static str,
}

impl OnCgroup {
    pub(crate) const fn hook(&self, object: &'static str, failure: Option<String>) -> Hook {
        Hook {
            object,
            name: self.name,
            kind: KIND,
            gives: self.gives,
            failure,
        }
    }
}

impl Object {
    /// Loads the programs for `wanted`, and attaches all of them to the root of the cgroup
    /// hierarchy, beside those of others.
    ///
    /// # Errors
    ///
    /// There is no such hierarchy here, or the kernel refuses a program.
    pub fn attach_to_cgroup(&mut self, wanted: &'static [OnCgroup]) -> Result<(), ObjectError> {
        let root = root(self.name, Path::new("/proc/self/mountinfo"))?;
        let name = self.name;
        for wanted in wanted {
            let loaded = self.on_cgroup(wanted)?.load();
            loaded.map_err(|e| with_hint(refused(name, "loading a program", &e)))?;
        }
        for wanted in wanted {
            // A link is always one beside others; the kernel refuses to be told so.
            let attached = self
                .on_cgroup(wanted)?
                .attach(&root, CgroupAttachMode::Single);
            attached
                .map_err(|e| with_hint(refused(name, "attaching a program to the cgroups", &e)))?;
            self.hooks.push(wanted.hook(name, None));
        }
        self.on_cgroup = wanted;
        Ok(())
    }

    fn on_cgroup(&mut self, wanted: &OnCgroup) -> Result<&mut CgroupSockAddr, ObjectError> {
        self.ebpf
            .program_mut(wanted.name)
            .ok_or_else(|| missing(self.name, "finding a program", wanted.name))?
            .try_into()
            .map_err(|e| refused(self.name, "finding a program", &e))
    }
}

/// Programs of this type need a capability more.
fn with_hint(error: ObjectError) -> ObjectError {
    match error {
        ObjectError::Refused {
            object,
            what,
            detail,
            hint: _,
        } if detail.contains("Operation not permitted") || detail.contains("os error 1)") => {
            ObjectError::Refused {
                object,
                what,
                detail,
                hint: "; this needs root, or the capability CAP_NET_ADMIN beside CAP_BPF and CAP_PERFMON",
            }
        }
        other => other,
    }
}

/// Opens the root of the unified cgroup hierarchy. A container that has cgroups of its own sees its
/// own as the root; what is attached there would hear that container only.
fn root(object: &'static str, mountinfo: &Path) -> Result<File, ObjectError> {
    let none = |detail: &str| ObjectError::Refused {
        object,
        what: "finding the cgroups",
        detail: detail.into(),
        hint: "; mount the host's cgroup2 hierarchy where hark can see it",
    };
    let mounts = MountInfos::from_file(mountinfo)
        .map_err(|e| refused(object, "reading the list of mounts", &e))?;
    let mut seen = false;
    for mount in mounts.0.into_iter().filter(|m| m.fs_type == "cgroup2") {
        seen = true;
        let Ok(folder) = File::open(&mount.mount_point) else {
            continue;
        };
        if folder.metadata().is_ok_and(|m| m.ino() == ROOT_INODE) {
            return Ok(folder);
        }
    }
    Err(none(if seen {
        "none of the cgroup2 mounts is the root of the hierarchy"
    } else {
        "no cgroup2 hierarchy is mounted"
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_the_hierarchy_is_told_so() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut mounts = |line: &str| {
            use std::io::Write as _;
            writeln!(file, "{line}").unwrap();
            root("accept", file.path()).unwrap_err().to_string()
        };
        let proc = "22 1 0:20 / /proc rw,nosuid - proc proc rw";
        assert!(mounts(proc).contains("no cgroup2 hierarchy is mounted"));
        // Not the root: any other folder.
        let other = "23 1 0:21 / /proc/self rw,nosuid - cgroup2 none rw";
        assert!(mounts(other).contains("none of the cgroup2 mounts is the root"));
    }
}
