//! The files that were looked into, and their probes.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use hark_common::tls::FILE_LIMIT;

use super::id;
use crate::tls::points::{self, Point, Points, Unfit};

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

    /// Attaches a probe to a file, which has this number, below [`FILE_LIMIT`].
    ///
    /// # Errors
    ///
    /// Why that cannot be, in words.
    fn attach(&mut self, point: &Point, path: &Path, file: u32) -> Result<Self::Link, String>;

    /// Says whether all probes of a file are attached: what moves data is followed only then.
    ///
    /// # Errors
    ///
    /// Why that cannot be said, in words.
    fn set_whole(&mut self, file: u32, whole: bool) -> Result<(), String>;
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
    /// Numbers that no file has.
    numbers: Vec<u32>,
}

struct Entry<L> {
    outcome: Outcome,
    /// Entries first, so that these are let go first.
    links: Vec<L>,
    /// Which it is of those with probes.
    number: Option<u32>,
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
            numbers: (0..FILE_LIMIT).rev().collect(),
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
        // What is beyond is not looked into until others are gone.
        if self.files.len() >= FILE_LIMIT as usize {
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
        let mut links = Vec::new();
        let mut number = None;
        let outcome = match points::points(file) {
            Ok(points) => {
                let library = points::name(points.library);
                number = self.numbers.pop();
                let attached = number
                    .ok_or_else(|| "too many have probes".to_owned())
                    .and_then(|number| self.attach_all(&points, &by_file, number, &mut links));
                match attached {
                    Ok(()) => {
                        tracing::debug!(path = %path.display(), library, probes = links.len(), "a TLS library is read");
                        Outcome::Attached(library)
                    }
                    Err(why) => {
                        tracing::warn!(path = %path.display(), why, "a TLS library cannot be read");
                        links.clear();
                        self.numbers.extend(number.take());
                        Outcome::Known(library)
                    }
                }
            }
            Err(Unfit::Go(why)) => {
                tracing::debug!(path = %path.display(), %why, "a Go program is not read");
                Outcome::Known("go")
            }
            Err(why) => {
                tracing::debug!(path = %path.display(), %why, "no TLS functions");
                Outcome::Nothing
            }
        };
        let entry = Entry {
            outcome,
            links,
            number,
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
        number: u32,
        links: &mut Vec<A::Link>,
    ) -> Result<(), String> {
        if points.points.len() > POINT_LIMIT {
            return Err("it has too many return instructions".to_owned());
        }
        for point in &points.points {
            links.push(self.attach.attach(point, path, number)?);
        }
        links.reverse();
        self.attach.set_whole(number, true)
    }

    /// All processes have been looked at: lets go what nobody has mapped any more.
    pub(super) fn sweep(&mut self) {
        let Self {
            attach,
            files,
            numbers,
        } = self;
        files.retain(|_, entry| {
            let keep = entry.stands || entry.unused < UNUSED_LIMIT;
            entry.unused = entry.unused.saturating_add(1);
            if !keep && let Some(number) = entry.number {
                if let Err(error) = attach.set_whole(number, false) {
                    tracing::warn!(error, "the probes of a file are let go one by one");
                }
                entry.links.clear();
                numbers.push(number);
            }
            keep
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}
