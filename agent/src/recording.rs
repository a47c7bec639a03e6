//! `hark record`: the raw records of the kernel, to a file.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hark_common::counter::Counter;
use thiserror::Error;

use crate::capture::{ByteOrder, CaptureError, Header, Recorded, Writer};
use crate::clock::Sample;
use crate::config::Config;
use crate::kernel::object::{ObjectError, Types};
use crate::kernel::records::Records;
use crate::kernel::room::Room;
use crate::kernel::socket::SocketPrograms;
use crate::kernel::tls::Probes;
use crate::lock::{Lock, LockError, run_dir};
use crate::resources::memory::own_limit;
use crate::tls::watch::Watch;

/// Why nothing, or not all, was recorded.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Another agent runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel side does not run.
    #[error(transparent)]
    Socket(#[from] ObjectError),
    /// The file cannot be made.
    #[error(
        "cannot create {path}: {source}; name a file that does not exist, in a folder that does"
    )]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{path}: {source}")]
    Capture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CaptureError,
    },
    /// Signals, or the ring buffer, cannot be waited for.
    #[error("cannot wait for records: {0}")]
    Wait(io::Error),
}

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The file to write; it must not exist.
    pub file: PathBuf,
    /// For how long; `None` is until SIGINT or SIGTERM.
    pub duration: Option<Duration>,
    /// Whether header values, queries, command lines and environments stay in.
    pub raw: bool,
    /// Where the file ends at the latest, in bytes.
    pub max_bytes: u64,
}

/// Records until the time is over, the file is full, or a signal comes. Says on standard error
/// what was recorded and what was lost.
pub fn record(config: &Config, options: &Options) -> Result<(), RecordError> {
    let _lock = Lock::take(&run_dir())?;
    let capture = |source| RecordError::Capture {
        path: options.file.clone(),
        source,
    };
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGINT, libc::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(RecordError::Wait)?;
    }
    let (programs, ring) = SocketPrograms::load(
        &Types::of_running_kernel(Room::within(own_limit(&config.proc_root)))?,
        config.ring_buffer_bytes,
        &config.capture,
        std::process::id(),
    )?;
    let programs = Arc::new(programs);
    let _watch = programs
        .can_probe()
        .then(|| Watch::start(Probes::new(Arc::clone(&programs)), config.proc_root.clone()))
        .transpose()
        .map_err(RecordError::Wait)?;
    let file = create(&options.file)?;
    let mut writer =
        Writer::new(file, &header(!options.raw), options.max_bytes).map_err(capture)?;
    let mut records = Records::new(ring);
    programs.arm()?;
    let end = options.duration.map(|duration| Instant::now() + duration);
    let (mut written, mut undecodable, mut private, mut full) = (0u64, 0u64, 0u64, false);
    eprintln!("hark: recording to {}", options.file.display());
    loop {
        // Looked at before the drain, so that what was sent before the end is in the file.
        let over = stop.load(Ordering::Relaxed) || end.is_some_and(|end| Instant::now() >= end);
        let mut failed = None;
        let taken = records.drain(4096, |record| match writer.write(record) {
            Ok(Recorded::Written) => written += 1,
            Ok(Recorded::Undecodable) => undecodable += 1,
            Ok(Recorded::Private) => private += 1,
            Ok(Recorded::Full) => full = true,
            Err(error) => {
                failed.get_or_insert(error);
            }
        });
        if let Some(error) = failed {
            return Err(capture(error));
        }
        if full || over && taken == 0 {
            break;
        }
        if taken == 0 {
            records.wait().map_err(RecordError::Wait)?;
        }
    }
    let bytes = writer.bytes();
    writer.finish().map_err(capture)?;
    eprintln!(
        "hark: {written} records in {bytes} bytes; {} lost because the ring buffer was full, \
         {undecodable} left out because they could not be read{}{}",
        programs.counter(Counter::RecordsLost),
        if private == 0 {
            String::new()
        } else {
            format!(
                ", {private} of HTTP/2 left out because they may be private (`--raw` keeps them)"
            )
        },
        if full {
            "; the file has reached its limit"
        } else {
            ""
        }
    );
    Ok(())
}

fn create(path: &Path) -> Result<std::fs::File, RecordError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        // What people's requests look like is nobody else's business.
        .mode(0o600)
        .open(path)
        .map_err(|source| RecordError::Create {
            path: path.to_path_buf(),
            source,
        })
}

fn header(redacted: bool) -> Header {
    let uname = rustix::system::uname();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    Header {
        hark_version: env!("CARGO_PKG_VERSION").into(),
        kernel_release: uname.release().to_string_lossy().into_owned(),
        machine: uname.machine().to_string_lossy().into_owned(),
        boot_id: boot_id.map(|id| id.trim().to_owned()).unwrap_or_default(),
        byte_order: if cfg!(target_endian = "little") {
            ByteOrder::Little
        } else {
            ByteOrder::Big
        },
        realtime_offset_ns: Sample::read().offset_ns,
        redacted,
    }
}
