//! The network namespaces of the host, and doing something in each.
//!
//! A namespace is entered through a process that lives in it, on a thread of its own, and nothing
//! of it is kept: a descriptor that stays open would keep a namespace alive that its owner removed.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Most network namespaces that are looked at.
pub const MAX_NAMESPACES: usize = 1024;

/// A network namespace, and a process in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its inode number.
    pub inode: u32,
    /// The link below `/proc` that leads to it.
    pub link: PathBuf,
}

/// The network namespaces of the calling thread and of these processes, each once, that of the
/// thread first; and whether these are all, for there may be more than [`MAX_NAMESPACES`], or no
/// time for them.
#[must_use]
pub fn of(
    proc_root: &Path,
    pids: impl Iterator<Item = u32>,
    deadline: Instant,
) -> (Vec<Namespace>, bool) {
    // Its own is that of the mount that it sees itself in, which may not be `proc_root`.
    let own = PathBuf::from("/proc/thread-self/ns/net");
    let processes = pids.map(|pid| proc_root.join(pid.to_string()).join("ns/net"));
    let mut known = HashSet::new();
    let mut namespaces = Vec::new();
    for link in std::iter::once(own).chain(processes) {
        if Instant::now() >= deadline {
            return (namespaces, false);
        }
        // Gone meanwhile, or not to be looked at.
        let Some(inode) = inode_of(&link) else {
            continue;
        };
        if !known.insert(inode) {
            continue;
        }
        if namespaces.len() >= MAX_NAMESPACES {
            return (namespaces, false);
        }
        namespaces.push(Namespace { inode, link });
    }
    (namespaces, true)
}

/// Runs `act` inside each namespace, until `deadline`. What could not be entered, or was not
/// reached, has an error in place of a result: entering needs `CAP_SYS_ADMIN`.
///
/// # Errors
///
/// There can be no thread.
pub fn in_each<T: Send>(
    namespaces: &[Namespace],
    deadline: Instant,
    mut act: impl FnMut(&Namespace) -> T + Send,
) -> io::Result<Vec<io::Result<T>>> {
    thread::scope(|scope| {
        // The thread ends with this call, and its namespace with it: the caller's stays.
        let worker = thread::Builder::new()
            .name("hark-namespaces".into())
            .spawn_scoped(scope, || {
                let mut here = inode_of(Path::new("/proc/thread-self/ns/net"));
                namespaces
                    .iter()
                    .map(|namespace| {
                        if Instant::now() >= deadline {
                            return Err(io::ErrorKind::TimedOut.into());
                        }
                        if here != Some(namespace.inode) {
                            let file = File::open(&namespace.link)?;
                            let kind = Some(LinkNameSpaceType::Network);
                            move_into_link_name_space(file.as_fd(), kind)?;
                            // The process may have moved, or another have its id.
                            here = inode_of(Path::new("/proc/thread-self/ns/net"));
                            if here != Some(namespace.inode) {
                                return Err(io::ErrorKind::NotFound.into());
                            }
                        }
                        Ok(act(namespace))
                    })
                    .collect()
            })?;
        worker
            .join()
            .map_err(|_| io::Error::other("the thread that enters namespaces has failed"))
    })
}

/// The number in `net:[4026531840]`.
fn inode_of(link: &Path) -> Option<u32> {
    let target = std::fs::read_link(link).ok()?;
    let target = target.to_str()?;
    target
        .strip_prefix("net:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_own_one_comes_first_and_needs_no_privilege() {
        let deadline = Instant::now() + Duration::from_secs(30);
        let own = std::process::id();
        let (found, all) = of(Path::new("/proc"), [own, own].into_iter(), deadline);
        assert!(all);
        assert_eq!(found.len(), 1);
        let seen = in_each(&found, deadline, |namespace| namespace.inode).unwrap();
        let seen: Vec<u32> = seen.into_iter().map(Result::unwrap).collect();
        assert_eq!(seen, [found[0].inode]);
    }

    #[test]
    fn what_is_gone_or_late_is_an_error_each() {
        let gone = Namespace {
            inode: 1,
            link: "/proc/0/ns/net".into(),
        };
        let later = Instant::now() + Duration::from_secs(30);
        let outcome = |deadline| in_each(std::slice::from_ref(&gone), deadline, |_| ()).unwrap();
        let kind = |outcome: Vec<io::Result<()>>| outcome[0].as_ref().unwrap_err().kind();
        assert_eq!(kind(outcome(later)), io::ErrorKind::NotFound);
        assert_eq!(kind(outcome(Instant::now())), io::ErrorKind::TimedOut);
    }
}
