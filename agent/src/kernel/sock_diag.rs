//! Asks the kernel for the TCP sockets of a network namespace (sock_diag(7)).
//!
//! What no program of hark's own saw being made, it learns here: connections and listeners from
//! before the agent, what a living connection has moved so far, how full an accept queue is. Bounded
//! in sockets and in time; whoever asks is told if there was more.

mod dump;

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use thiserror::Error;

use self::dump::tcp_sockets;
use super::namespaces;

/// Most sockets that one question is answered with, over all namespaces.
pub const MAX_SOCKETS: usize = 131_072;

/// Why a namespace's sockets are not known, or not all of them.
#[derive(Debug, Error)]
pub enum SockDiagError {
    /// The kernel was built without this, or its module cannot be loaded.
    #[error(
        "this kernel does not list TCP sockets: its module tcp_diag (CONFIG_INET_TCP_DIAG) is missing"
    )]
    Missing,
    /// The agent may not enter the namespace.
    #[error("entering another network namespace needs CAP_SYS_ADMIN: {0}")]
    Forbidden(io::Error),
    /// The kernel does not answer, or the namespace cannot be entered for another reason.
    #[error("the kernel does not list TCP sockets: {0}")]
    Refused(#[from] io::Error),
    /// The answer is not understood.
    #[error("the kernel's list of TCP sockets is not understood: {0}")]
    Malformed(String),
    /// There was more than is looked at.
    #[error("there are more TCP sockets than the {0} that are looked at")]
    TooMany(usize),
    /// There was no time for all.
    #[error("there was no time to look at all TCP sockets")]
    TooLate,
    /// There are more namespaces than are looked at.
    #[error(
        "there are more network namespaces than the {} that are looked at",
        namespaces::MAX_NAMESPACES
    )]
    TooManyNamespaces,
}

/// Which sockets to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Those in `LISTEN`, with their drops.
    Listeners,
    /// Those that have two ends, from `SYN_SENT` on, with their counters. Not `TIME_WAIT`, and not
    /// requests that have not become a connection.
    Connections,
}

/// A TCP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// `sock_gen_cookie`: unique since boot.
    pub cookie: u64,
    /// The inode number that `/proc/PID/fd` shows as `socket:[…]`; 0 if no process has it.
    pub inode: u32,
    /// `AF_INET` or `AF_INET6`.
    pub family: u8,
    /// `include/net/tcp_states.h`.
    pub state: u8,
    /// This end.
    pub local: (IpAddr, u16),
    /// The other end; unspecified for a listener.
    pub peer: (IpAddr, u16),
    /// A listener: connections that wait to be accepted. Else bytes that were not read.
    pub receive_queue: u32,
    /// A listener: how many may wait. Else bytes that were not acknowledged.
    pub send_queue: u32,
    /// `sk_drops`: of a listener, connections and segments that it dropped.
    pub drops: Option<u32>,
    /// What the kernel counted of a connection; zero for a listener.
    pub counters: Counters,
}

/// What `struct tcp_info` (`include/uapi/linux/tcp.h`) says of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Payload bytes sent for the first time: `tcpi_bytes_sent` less `tcpi_bytes_retrans` (4.19).
    pub sent: u64,
    /// Payload bytes received in order: `tcpi_bytes_received` without the FIN.
    pub received: u64,
    /// `tcpi_rtt`: smoothed round-trip time, µs; 0 if there was no sample.
    pub srtt_us: u32,
    /// `tcpi_total_retrans`: segments sent again.
    pub retransmits: u32,
}

/// The TCP sockets of several namespaces.
#[derive(Debug, Default)]
pub struct Found {
    /// Each with the inode number of its namespace.
    pub sockets: Vec<(u32, TcpSocket)>,
    /// Namespaces that were not read, or not to the end.
    pub unread: usize,
    /// Those of them that may not be entered.
    pub forbidden: usize,
    /// Why, the last time that it was not [`SockDiagError::Forbidden`].
    pub why: Option<SockDiagError>,
}

impl Found {
    fn miss(&mut self, error: SockDiagError) {
        self.unread += 1;
        if matches!(error, SockDiagError::Forbidden(_)) {
            self.forbidden += 1;
        } else {
            self.why = Some(error);
        }
    }
}

/// The TCP sockets of all network namespaces that these processes are in, and of the agent's own, as
/// they are now: `limit` at most, until `deadline`.
#[must_use]
pub fn everywhere(
    proc_root: &Path,
    pids: impl Iterator<Item = u32>,
    ask: Ask,
    limit: usize,
    deadline: Instant,
) -> Found {
    let (namespaces, all) = namespaces::of(proc_root, pids, deadline);
    let mut found = Found::default();
    if !all {
        found.miss(if namespaces.len() < namespaces::MAX_NAMESPACES {
            SockDiagError::TooLate
        } else {
            SockDiagError::TooManyNamespaces
        });
    }
    let mut sockets = Vec::new();
    let outcomes = namespaces::in_each(&namespaces, deadline, |namespace| {
        tcp_sockets(ask, deadline, &mut |socket| {
            if sockets.len() >= limit {
                return Err(SockDiagError::TooMany(limit));
            }
            sockets.push((namespace.inode, socket));
            Ok(())
        })
    });
    match outcomes {
        Ok(outcomes) => {
            for (namespace, outcome) in namespaces.iter().zip(outcomes) {
                match outcome {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => found.miss(error),
                    Err(error) => match error.kind() {
                        io::ErrorKind::PermissionDenied => {
                            found.miss(SockDiagError::Forbidden(error));
                        }
                        io::ErrorKind::TimedOut => found.miss(SockDiagError::TooLate),
                        // Its last process has ended since.
                        io::ErrorKind::NotFound if !namespace.link.exists() => {}
                        _ => found.miss(error.into()),
                    },
                }
            }
        }
        Err(error) => found.miss(error.into()),
    }
    found.sockets = sockets;
    found
}

/// Whether the kernel lists TCP sockets at all.
///
/// # Errors
///
/// It does not, and why.
pub fn probe(deadline: Instant) -> Result<(), SockDiagError> {
    tcp_sockets(Ask::Listeners, deadline, &mut |_| Ok(()))
}

/// Inode numbers of the sockets that a process has open; none if it may not be looked at.
pub fn held_by(proc_root: &Path, pid: u32) -> impl Iterator<Item = u32> {
    let folder = proc_root.join(pid.to_string()).join("fd");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?;
        inode.strip_suffix(']')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn found(ask: Ask, limit: usize) -> Found {
        let deadline = Instant::now() + Duration::from_secs(30);
        everywhere(Path::new("/proc"), std::iter::empty(), ask, limit, deadline)
    }

    fn ask(ask: Ask) -> Vec<TcpSocket> {
        let found = found(ask, MAX_SOCKETS);
        assert!(found.why.is_none() && found.unread == 0, "{found:?}");
        found
            .sockets
            .into_iter()
            .map(|(_, socket)| socket)
            .collect()
    }

    /// The inode number as the kernel's own `fstat` gives it.
    fn inode(socket: &impl std::os::fd::AsFd) -> u64 {
        rustix::fs::fstat(socket).unwrap().st_ino
    }

    #[test]
    fn a_listener_with_its_queue_and_a_connection_with_its_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let found = ask(Ask::Listeners);
        let of = |wanted: u64| {
            move |socket: &&TcpSocket| u64::from(socket.inode) == wanted && socket.cookie != 0
        };
        let listening = found.iter().find(of(inode(&listener))).unwrap();
        assert_eq!((listening.local.1, listening.state), (port, 10));
        assert_eq!((listening.receive_queue, listening.drops), (1, Some(0)));
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(&[7; 1234]).unwrap();
        server.read_exact(&mut [0; 1234]).unwrap();
        // Its FIN is no byte.
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        let found = ask(Ask::Connections);
        let sender = found.iter().find(of(inode(&client))).unwrap();
        assert_eq!((sender.counters.sent, sender.counters.received), (1234, 0));
        assert_eq!(sender.peer.1, port);
        let receiver = found.iter().find(of(inode(&server))).unwrap();
        assert_eq!(receiver.counters.received, 1234);
        assert_eq!(receiver.counters.sent, 0);
        assert!(receiver.counters.srtt_us > 0);
        assert_ne!(sender.cookie, receiver.cookie);
    }

    #[test]
    fn an_accept_queue_with_who_waits_in_it() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind("[::1]:0");
        let address = v4.local_addr().unwrap();
        let _clients: Vec<TcpStream> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let found = ask(Ask::Listeners);
        let of = |listener: &TcpListener| {
            let inode = inode(listener);
            let same = |socket: &&TcpSocket| u64::from(socket.inode) == inode;
            found.iter().find(same).cloned().unwrap()
        };
        assert_eq!(of(&v4).receive_queue, 3);
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let most: u32 = most.trim().parse().unwrap();
        // std asks for 128 or for as many as there may be, by its version.
        assert!([128, most].contains(&of(&v4).send_queue), "{:?}", of(&v4));
        if let Ok(v6) = v6 {
            assert_eq!(of(&v6).receive_queue, 0);
        }
    }

    #[test]
    fn the_limit_is_kept_and_what_fits_is_there() {
        let _one = TcpListener::bind("127.0.0.1:0").unwrap();
        let _two = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = found(Ask::Listeners, 1);
        assert_eq!((found.sockets.len(), found.unread), (1, 1));
        assert!(matches!(found.why, Some(SockDiagError::TooMany(1))));
    }
}
