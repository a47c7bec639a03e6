//! One agent per host: two would see every request twice, and each other.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where the lock file is kept unless `HARK_RUN_DIR` names another folder.
const RUN_DIR: &str = "/run/hark";

/// The folder of the lock file.
#[must_use]
pub fn run_dir() -> PathBuf {
    std::env::var_os("HARK_RUN_DIR").map_or_else(|| RUN_DIR.into(), PathBuf::from)
}

/// Why the agent may not run.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another agent runs.
    #[error("another hark is running on this host (process {pid}); stop it first")]
    Taken {
        /// Its process id, as it wrote it down.
        pid: String,
    },
    /// The lock file cannot be had.
    #[error(
        "cannot lock {path}: {source}; hark needs root, or a folder of its own in HARK_RUN_DIR"
    )]
    Io {
        /// The file or its folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The lock; given back when it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock in `folder`, which is made if it is not there.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let failed = |path: &Path, source| LockError::Io {
            path: path.to_path_buf(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(|e| failed(folder, e))?;
        let path = folder.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            // Somebody else's link must not lead root to write elsewhere.
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|e| failed(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.take(20).read_to_string(&mut pid);
                let pid = pid.trim();
                let known = read.is_ok() && !pid.is_empty();
                return Err(LockError::Taken {
                    pid: if known {
                        pid.to_owned()
                    } else {
                        "unknown".to_owned()
                    },
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(&path, source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(|e| failed(&path, e))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run");
        let first = Lock::take(&path).unwrap();
        let second = Lock::take(&path).unwrap_err();
        assert_eq!(
            second.to_string(),
            format!(
                "another hark is running on this host (process {}); stop it first",
                std::process::id()
            )
        );
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("lock")).unwrap();
        assert!(matches!(
            Lock::take(folder.path()),
            Err(LockError::Io { .. })
        ));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
