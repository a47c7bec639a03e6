//! Disks of a test's own, and what the kernel has in its books of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::process::Process;
use crate::skip::Skip;
use crate::{names, tools};

/// A small file system in memory. Unmounted on drop.
#[derive(Debug)]
pub struct Small(tempfile::TempDir);

impl Small {
    /// With room for so many bytes.
    ///
    /// # Panics
    /// If it cannot be mounted.
    #[must_use]
    pub fn new(bytes: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = std::ffi::CString::new(format!("size={bytes}")).expect("no NUL");
        mount(
            "tmpfs",
            folder.path(),
            "tmpfs",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .expect("root may mount");
        Self(folder)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

/// A loop device on a file. Detached on drop.
#[derive(Debug)]
pub struct Loop {
    path: PathBuf,
    losetup: PathBuf,
}

impl Loop {
    /// Makes a file of so many bytes, without content, and a device on it that passes the page
    /// cache.
    ///
    /// # Errors
    /// There is no `losetup`.
    ///
    /// # Panics
    /// If the device cannot be made.
    pub fn new(file: &Path, bytes: u64) -> Result<Self, Skip> {
        let losetup = tools::find("losetup")?;
        std::fs::File::create(file)
            .and_then(|created| created.set_len(bytes))
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut command = Command::new(&losetup);
        command
            .args(["--find", "--show", "--direct-io=on"])
            .arg(file);
        let path = output(command).trim().into();
        let made = Self { path, losetup };
        // The device is as the last one who had it left it.
        made.set_queue("scheduler", "none");
        Ok(made)
    }

    /// Its path in `/dev`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name in the kernel's books.
    ///
    /// # Panics
    /// If `losetup` said no path.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.expect("a device has a name")
    }

    /// Reads a file below `/sys/block/NAME/queue`.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn queue(&self, file: &str) -> String {
        let path = format!("/sys/block/{}/queue/{file}", self.name());
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        text.trim().to_owned()
    }

    /// Sets a file below `/sys/block/NAME/queue`.
    ///
    /// # Panics
    /// If the kernel does not take it.
    pub fn set_queue(&self, file: &str, value: &str) {
        let path = format!("/sys/block/{}/queue/{file}", self.name());
        std::fs::write(&path, value).unwrap_or_else(|e| panic!("{path}: {value}: {e}"));
    }

    /// What the kernel has counted since boot: operations and bytes by operation.
    ///
    /// # Panics
    /// If the device is not in `/proc/diskstats`.
    #[must_use]
    pub fn books(&self) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let text = std::fs::read_to_string("/proc/diskstats").expect("procfs");
        let fields: Vec<u64> = text
            .lines()
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&self.name()))
            .expect("a device that is there")
            .iter()
            .skip(3)
            .map(|field| field.parse().expect("a number"))
            .collect();
        // Documentation/admin-guide/iostats.rst: reads, merged, sectors, ms, writes, merged,
        // sectors, ms; discards begin with the 12th field, flushes with the 16th.
        let by = |read: u64, write: u64, discard: u64, flush: u64| {
            [
                ("read", read),
                ("write", write),
                ("discard", discard),
                ("flush", flush),
            ]
            .map(|(operation, value)| (operation.to_owned(), value))
            .into()
        };
        (
            by(fields[0], fields[4], fields[11], fields[15]),
            by(512 * fields[2], 512 * fields[6], 512 * fields[13], 0),
        )
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // A panic here would hide the one that matters.
        let _ = std::fs::write(
            format!("/sys/block/{}/queue/scheduler", self.name()),
            "none",
        );
        let _ = Command::new(&self.losetup)
            .arg("-d")
            .arg(&self.path)
            .status();
    }
}

/// What the helper is to do.
#[derive(Clone, Copy, Debug)]
pub struct Io {
    /// Writes, not reads.
    pub writes: bool,
    /// Bytes of a block.
    pub block: u64,
    /// Blocks from the start of one to the start of the next.
    pub stride: u64,
    /// Where the first begins, bytes.
    pub offset: u64,
    /// How many blocks.
    pub count: u64,
    /// At once.
    pub threads: u64,
}

impl Io {
    /// Starts the helper as a service of its own: it, and its name.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(self, what: &str, path: &Path) -> (Process, String) {
        // Its program may have to be read from a disk too, which is not to count for the service.
        let nothing = Self { count: 0, ..self };
        let (mut helper, _) = nothing.run("disk-loaded", path);
        assert_eq!(outcome(&mut helper), (0, 0));
        self.run(what, path)
    }

    fn run(self, what: &str, path: &Path) -> (Process, String) {
        let service = names::unique(what);
        let mut command = Command::new(tools::helper("hark-test-disk"));
        command
            .env("OTEL_SERVICE_NAME", &service)
            .arg(if self.writes { "write" } else { "read" })
            .arg(path);
        for number in [
            self.block,
            self.stride,
            self.offset,
            self.count,
            self.threads,
        ] {
            command.arg(number.to_string());
        }
        (Process::start(command), service)
    }
}

/// Waits for the helper's word: `(done, failed)`.
///
/// # Panics
/// If it ends without.
#[must_use]
#[track_caller]
pub fn outcome(helper: &mut Process) -> (u64, u64) {
    let said = helper.line("DONE").expect("the helper's outcome");
    let (done, failed) = said.split_once(' ').expect("two numbers");
    (
        done.parse().expect("a number"),
        failed.parse().expect("a number"),
    )
}

/// Runs a program to its end and gives what it printed.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn output(mut command: Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
