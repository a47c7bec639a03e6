//! One agent at a time on this host, whichever test process it belongs to.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

/// The right to run agents; given back on drop, and by the kernel when the process dies.
#[derive(Debug)]
pub struct Turn {
    // An abstract name is a lock that needs no file and cannot be left behind.
    _name: UnixListener,
}

impl Turn {
    /// Waits for the turn.
    ///
    /// # Panics
    /// If abstract socket names do not work here.
    #[must_use]
    pub fn take() -> Self {
        let name = SocketAddr::from_abstract_name("hark-tests-agent").expect("a short name");
        loop {
            match UnixListener::bind_addr(&name) {
                Ok(listener) => return Self { _name: listener },
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => panic!("the tests' lock cannot be taken: {error}"),
            }
        }
    }
}
