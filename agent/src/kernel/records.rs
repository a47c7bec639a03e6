//! Reading the ring buffer.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

/// The consumer's end of the ring buffer. The kernel wakes it only when the buffer fills; else it
/// looks for itself after [`Records::TICK`].
pub struct Records {
    ring: RingBuf<MapData>,
}

impl Records {
    /// How long records may lie before they are looked at. Well below the second within which an
    /// exchange is to be reported, and long enough to cost nothing on an idle host.
    pub const TICK: Duration = Duration::from_millis(50);

    /// Wraps the ring buffer.
    #[must_use]
    pub const fn new(ring: RingBuf<MapData>) -> Self {
        Self { ring }
    }

    /// Waits until the kernel calls, or a tick has passed.
    pub fn wait(&self) -> io::Result<()> {
        let mut poll = libc::pollfd {
            fd: self.ring.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid entry, and its count.
        let result = unsafe { libc::poll(&raw mut poll, 1, Self::TICK.as_millis() as libc::c_int) };
        match result {
            0.. => Ok(()),
            _ => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => Ok(()),
                e => Err(e),
            },
        }
    }

    /// Hands every record that is there to `take`, but not more than `limit`, so that a caller
    /// with other duties is not held for ever by a busy host. Returns how many it were.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < limit
            && let Some(record) = self.ring.next()
        {
            take(&record);
            count += 1;
        }
        count
    }
}
