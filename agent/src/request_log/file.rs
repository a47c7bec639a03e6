//! A file of lines that is rotated: `requests.log`, `requests.log.1` (the one before), and so on.
//!
//! No line is ever cut: what was written of one when the disk was full is taken back. Somebody else
//! may rotate too: a file that was moved or removed is opened anew, one that was emptied goes on.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::lines::write_some;

/// The file that is written to.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    /// Bytes after which the next one begins.
    limit: u64,
    /// Files that are kept, the present one included.
    keep: usize,
    file: File,
}

impl RotatingFile {
    /// Opens the file, and makes the folder if there is none.
    pub(super) fn open(path: &Path, limit: u64, keep: usize) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(Self {
            path: path.to_owned(),
            limit,
            keep: keep.max(1),
            file: open(path)?,
        })
    }

    /// Writes whole lines, `ends` being where each ends; gives how many of them were written, and
    /// why not all.
    pub(super) fn write(&mut self, text: &[u8], ends: &[usize]) -> (usize, io::Result<()>) {
        let mut lines = 0;
        let mut from = 0;
        while lines < ends.len() {
            let size = match self.room(ends[lines] - from) {
                Ok(size) => size,
                Err(error) => return (lines, Err(error)),
            };
            let left = self.limit.saturating_sub(size);
            let fits = |end: &usize| (*end - from) as u64 <= left;
            // At least one: a line that no file could hold is in one by itself.
            let until = lines + ends[lines..].partition_point(fits).max(1);
            let (written, result) = write_some(&mut self.file, &text[from..ends[until - 1]]);
            if let Err(error) = result {
                let whole = lines + ends[lines..].partition_point(|end| *end - from <= written);
                let good = whole.checked_sub(1).map_or(0, |last| ends[last]).max(from) - from;
                return (whole, self.take_back(size + good as u64).and(Err(error)));
            }
            lines = until;
            from = ends[until - 1];
        }
        (lines, Ok(()))
    }

    /// Sees to it that the file is there and has room for so many bytes; gives its size.
    fn room(&mut self, bytes: usize) -> io::Result<u64> {
        let present = self.file.metadata()?;
        let there = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (present.dev(), present.ino()));
        let mut size = present.len();
        if !there {
            self.file = open(&self.path)?;
            size = self.file.metadata()?.len();
        }
        if size > 0 && size + bytes as u64 > self.limit {
            self.rotate()?;
            size = self.file.metadata()?.len();
        }
        Ok(size)
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.keep == 1 {
            return self.file.set_len(0);
        }
        for number in (1..self.keep - 1).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.file = open(&self.path)?;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Leaves what is whole.
    fn take_back(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)
    }
}

/// For appending. Paths and addresses are nobody's business but the administrator's. A symbolic
/// link is not followed: the agent is root, and the folder may be somebody else's.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
}
