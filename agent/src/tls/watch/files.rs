//! The files that were looked into, and their probes.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::id;
use crate::tls::points::{self, Point, Points, Unfit};

/// Files that are remembered. What is beyond is not looked into until others are gone.
const FILE_LIMIT: usize = 4096;
/// Probes on one file.
const POINT_LIMIT: usize = 256;
/// Sweeps without a user after which a file is let go.
const UNUSED_LIMIT: u8 = 2;

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Who attaches the probes.
pub trait Attach: Send + 'static {
    /// A probe that is attached until this is dropped.
    type Link: Send;

    /// Attaches a probe to a file.
    ///
    /// # Errors
    ///
    /// Why that cannot be, in words.
    fn attach(&mut self, point: &Point, file: &Path) -> Result<Self::Link, String>;
}

/// What a file is to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has functions of this library, and probes.
    Attached(&'static str),
    /// It encrypts by this means, and is not read.
    Known(&'static str),
    /// It is nothing that is known.
    Nothing,
}

/// All files.
pub(super) struct Files<A: Attach> {
    attach: A,
    files: HashMap<FileId, Entry<A::Link>>,
}

struct Entry<L> {
    outcome: Outcome,
    /// Entries first, so that these are let go first.
    #[expect(dead_code, reason = "only held")]
    links: Vec<L>,
    /// Sweeps since somebody had it mapped.
    unused: u8,
    /// It stays, whoever has it mapped.
    stands: bool,
}

impl<A: Attach> Files<A> {
    pub(super) fn new(attach: A) -> Self {
        Self {
            attach,
            files: HashMap::new(),
        }
    }

    /// A process has a file mapped that `link` leads to.
    pub(super) fn mapped(&mut self, link: &Path) -> Outcome {
        self.look(link, false)
    }

    /// A library of the host, whether it is in use or not.
    pub(super) fn standing(&mut self, path: &Path) {
        self.look(path, true);
    }

    fn look(&mut self, path: &Path, stands: bool) -> Outcome {
        // It is gone, with its process, or it may not be looked at.
        let Ok(id) = id(path) else {
            return Outcome::Nothing;
        };
        if let Some(entry) = self.files.get_mut(&id) {
            entry.unused = 0;
            return entry.outcome;
        }
        if self.files.len() >= FILE_LIMIT {
            return Outcome::Nothing;
        }
        let Ok(file) = File::open(path) else {
            return Outcome::Nothing;
        };
        // By the open file: the process whose link `path` is may be gone before all is attached.
        let Ok(held) = file.try_clone() else {
            return Outcome::Nothing;
        };
        let by_file = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        let (outcome, links) = match points::points(file) {
            Ok(points) => self.attach_all(&points, path, &by_file),
            Err(Unfit::Go(why)) => {
                tracing::debug!(path = %path.display(), %why, "a Go program is not read");
                (Outcome::Known("go"), Vec::new())
            }
            Err(why) => {
                tracing::debug!(path = %path.display(), %why, "no TLS functions");
                (Outcome::Nothing, Vec::new())
            }
        };
        let entry = Entry {
            outcome,
            links,
            unused: 0,
            stands,
        };
        self.files.insert(id, entry);
        outcome
    }

    /// All probes of a file, or none: half of them would see half of its calls.
    fn attach_all(
        &mut self,
        points: &Points,
        path: &Path,
        by_file: &Path,
    ) -> (Outcome, Vec<A::Link>) {
        let library = points::name(points.library);
        if points.points.len() > POINT_LIMIT {
            let why = "it has too many return instructions";
            tracing::warn!(path = %path.display(), why, "a TLS library cannot be read");
            return (Outcome::Known(library), Vec::new());
        }
        let mut links = Vec::with_capacity(points.points.len());
        for point in &points.points {
            match self.attach.attach(point, by_file) {
                Ok(link) => links.push(link),
                Err(why) => {
                    tracing::warn!(path = %path.display(), why, "a TLS library cannot be read");
                    return (Outcome::Known(library), Vec::new());
                }
            }
        }
        links.reverse();
        tracing::debug!(path = %path.display(), library, probes = links.len(), "a TLS library is read");
        (Outcome::Attached(library), links)
    }

    /// All processes have been looked at: lets go what nobody has mapped any more.
    pub(super) fn sweep(&mut self) {
        self.files.retain(|_, entry| {
            let keep = entry.stands || entry.unused < UNUSED_LIMIT;
            entry.unused = entry.unused.saturating_add(1);
            keep
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}
