//! The file in which an agent leaves the next one what it knows of HTTP/2 connections
//! ([`crate::http2::checkpoint`]).
//!
//! It lies in the run directory, is written at the end of the agent, and is removed when it is
//! read: what an agent that was killed had left before would be of no use. Nobody but the agent's
//! own user may have written it, because names in metrics come from it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use thiserror::Error;

use crate::http2::checkpoint::{BootId, CHECKPOINT_LIMIT, Checkpoint, CheckpointError};

const FILE: &str = "http2-tables";

/// Why there is no checkpoint. Each is one sentence.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system says no.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error("it is no file that only this user can write")]
    Stranger,
    /// Its content is refused.
    #[error(transparent)]
    Content(#[from] CheckpointError),
}

const fn io(what: &'static str) -> impl Fn(io::Error) -> FileError {
    move |source| FileError::Io { what, source }
}

/// The id of this boot.
///
/// # Errors
///
/// The kernel does not tell.
pub fn boot_id() -> io::Result<BootId> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16)
        .map(u128::to_be_bytes)
        .map_err(io::Error::other)
}

/// Reads the checkpoint in `folder` and removes it; `None` if there is none.
///
/// # Errors
///
/// It cannot be read, or is not to be trusted. It is removed all the same.
pub fn take(folder: &Path, boot: &BootId) -> Result<Option<Checkpoint>, FileError> {
    let path = folder.join(FILE);
    let opened = OpenOptions::new()
        .read(true)
        // A link may lead anywhere, and a FIFO would be waited for.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path);
    let removed = fs::remove_file(&path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("opening it")(error)),
    };
    removed.map_err(io("removing it"))?;
    let bytes = content(file)?;
    Ok(Some(Checkpoint::read(&bytes, boot)?))
}

fn content(file: File) -> Result<Vec<u8>, FileError> {
    let about = file.metadata().map_err(io("looking at it"))?;
    let own = about.uid() == rustix::process::geteuid().as_raw();
    if !about.is_file() || !own || about.mode() & 0o022 != 0 {
        return Err(FileError::Stranger);
    }
    let mut bytes = Vec::new();
    // One more than is allowed, so that what is too long is seen to be.
    let limit = u64::try_from(CHECKPOINT_LIMIT).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(io("reading it"))?;
    Ok(bytes)
}

/// Writes a checkpoint to `folder`, in one step: there is never half of one.
///
/// # Errors
///
/// It cannot be written.
pub fn put(folder: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let path = folder.join(FILE);
    let fresh = folder.join(format!("{FILE}.new"));
    // What is left of a write that was cut off.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io("removing what is in its way")(error));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(io("making it"))?;
    file.write_all(bytes).map_err(io("writing it"))?;
    fs::rename(&fresh, &path).map_err(io("naming it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"HARKHPCK";

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn written(bytes: &[u8]) -> Result<Option<Checkpoint>, FileError> {
        let folder = folder();
        put(folder.path(), bytes).unwrap();
        let taken = take(folder.path(), &[7; 16]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        taken
    }

    #[test]
    fn there_is_none_at_first() {
        assert!(take(folder().path(), &[7; 16]).unwrap().is_none());
    }

    #[test]
    fn what_was_put_is_taken_once() {
        let folder = folder();
        let connections = crate::http2::Connections::new(
            1,
            crate::http1::HeadParser::new(&crate::context::Format::ALL),
            crate::connection::Counters::new(),
            crate::http2::Counters::new(),
        );
        let (bytes, count) =
            connections.checkpoint(&[7; 16], &crate::http2::checkpoint::Positions::new());
        assert_eq!(count, 0);
        put(folder.path(), &bytes).unwrap();
        put(folder.path(), &bytes).unwrap();
        assert!(take(folder.path(), &[7; 16]).unwrap().unwrap().is_empty());
        assert!(take(folder.path(), &[7; 16]).unwrap().is_none());
    }

    #[test]
    fn what_is_damaged_is_refused_and_goes() {
        assert!(matches!(written(EMPTY), Err(FileError::Content(_))));
        assert!(matches!(
            written(&vec![0; CHECKPOINT_LIMIT + 1]),
            Err(FileError::Content(CheckpointError::Length))
        ));
    }

    #[test]
    fn what_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder();
        let path = folder.path().join(FILE);
        fs::write(&path, EMPTY).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let taken = take(folder.path(), &[7; 16]);
        assert!(matches!(taken, Err(FileError::Stranger)));
        // A link, and a folder.
        let victim = folder.path().join("victim");
        fs::write(&victim, EMPTY).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(matches!(
            take(folder.path(), &[7; 16]),
            Err(FileError::Io { .. })
        ));
        assert!(victim.exists() && !path.exists());
        fs::create_dir(&path).unwrap();
        assert!(take(folder.path(), &[7; 16]).is_err());
    }

    #[test]
    fn a_boot_has_an_id() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert_ne!(boot_id().unwrap(), [0; 16]);
    }
}
