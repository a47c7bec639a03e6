//! One process as `/proc` shows it: bounded reads through one handle.
//!
//! The handle is the directory `/proc/PID`, opened once. The kernel ties it to the process, not to
//! the number: when the process dies every read fails, and none ever answers for a later process
//! with the same pid. Whether it is the right process is asked of its start time.
//!
//! Nothing in the process's own file system is opened: it may be a FUSE mount that never answers.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use hark_common::socket::ProcessKey;
use procfs::ProcError;
use procfs::process::Process as Handle;

use crate::process_stat::{MAX_LENGTH, ProcessStat, ticks};

/// Why a process cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It has ended; its pid is free or belongs to another process.
    Gone,
    /// It may be there, but this agent may not look (`EPERM`, `EACCES`) or cannot (`EMFILE`, …).
    Denied,
}

/// A process that was there, with the right start time, when it was opened.
#[derive(Debug)]
pub(super) struct Process {
    handle: Handle,
    /// It has ended and waits to be reaped: `/proc` knows its cgroup, and little else.
    pub(super) zombie: bool,
    /// It is in the middle of exec, or of its end: the program's stack, which exec makes last of all,
    /// is not there, nor are arguments and environment. Also if this agent may not look at them.
    pub(super) without_program: bool,
    /// Its parent, in the pid namespace of the `/proc` mount; 0 for none.
    pub(super) parent: u32,
}

/// What a bounded read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// The file is all there.
    Whole,
    /// The file is longer than the limit: the last string in it is cut.
    Cut,
}

impl Process {
    /// Opens the process that `key` names.
    ///
    /// The start time is compared in clock ticks, which is what `/proc/PID/stat` has (field 22,
    /// proc_pid_stat(5)). In a time namespace with another boot-time offset than the initial one
    /// no start time matches and every process looks gone.
    pub(super) fn open(proc_root: &Path, key: &ProcessKey) -> Result<Self, Absence> {
        let (process, start) = Self::open_any(proc_root, key.pid)?;
        if start == ticks(key.start_boottime_ns) {
            Ok(process)
        } else {
            Err(Absence::Gone)
        }
    }

    /// Opens whatever process has this pid now.
    pub(super) fn open_pid(proc_root: &Path, pid: u32) -> Result<Self, Absence> {
        Self::open_any(proc_root, pid).map(|(process, _)| process)
    }

    fn open_any(proc_root: &Path, pid: u32) -> Result<(Self, u64), Absence> {
        let handle =
            Handle::new_with_root(proc_root.join(pid.to_string())).map_err(|e| absence(&e))?;
        let mut process = Self {
            handle,
            zombie: false,
            without_program: false,
            parent: 0,
        };
        let mut buffer = Vec::with_capacity(MAX_LENGTH);
        process
            .read("stat", MAX_LENGTH, &mut buffer)
            .map_err(|e| match e.raw_os_error() {
                Some(libc::ESRCH | libc::ENOENT) => Absence::Gone,
                _ => Absence::Denied,
            })?;
        let stat = ProcessStat::parse(&buffer).ok_or(Absence::Denied)?;
        let ended = matches!(stat.state, b'Z' | b'X');
        // A leader that ended before its threads is a zombie in name only.
        process.zombie = ended && stat.threads <= 1;
        process.without_program = stat.stack == 0 && !ended && !stat.is_kernel_thread();
        process.parent = stat.parent;
        Ok((process, stat.start_ticks))
    }

    /// Reads at most `limit` bytes of a file of `/proc/PID` into `buffer`, which is emptied first.
    ///
    /// # Errors
    ///
    /// What `open` and `read` say: `EACCES` without the right to look, `ESRCH` once it is gone.
    pub(super) fn read(
        &self,
        file: &str,
        limit: usize,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Extent> {
        buffer.clear();
        let file: File = self.handle.open_relative(file).map_err(io_error)?;
        // One byte more tells a file of exactly `limit` bytes from a longer one.
        file.take(limit as u64 + 1).read_to_end(buffer)?;
        if buffer.len() > limit {
            buffer.truncate(limit);
            return Ok(Extent::Cut);
        }
        Ok(Extent::Whole)
    }

    /// Where `/proc/PID/exe` or `/proc/PID/cwd` leads, as the process itself names it.
    pub(super) fn link(&self, name: &str) -> io::Result<Vec<u8>> {
        let link = match name {
            "exe" => self.handle.exe(),
            "cwd" => self.handle.cwd(),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        link.map(|path| path.into_os_string().into_vec())
            .map_err(io_error)
    }

    /// The same process by way of one of its threads: when the leader has ended and others run
    /// on, the leader's own `exe`, `cmdline` and `environ` are empty.
    pub(super) fn thread(&self, proc_root: &Path, pid: u32, tid: u32) -> Option<Self> {
        let path = proc_root.join(format!("{pid}/task/{tid}"));
        Some(Self {
            handle: Handle::new_with_root(path).ok()?,
            zombie: self.zombie,
            without_program: self.without_program,
            parent: self.parent,
        })
    }
}

fn absence(error: &ProcError) -> Absence {
    match error {
        ProcError::NotFound(_) => Absence::Gone,
        ProcError::Io(e, _) if e.raw_os_error() == Some(libc::ESRCH) => Absence::Gone,
        _ => Absence::Denied,
    }
}

fn io_error(error: ProcError) -> io::Error {
    match error {
        ProcError::PermissionDenied(_) => io::ErrorKind::PermissionDenied.into(),
        ProcError::NotFound(_) => io::ErrorKind::NotFound.into(),
        ProcError::Io(e, _) => e,
        other => io::Error::other(other),
    }
}
