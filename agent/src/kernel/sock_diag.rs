//! Asks the kernel for the TCP sockets of a network namespace (sock_diag(7)).
//!
//! What no program of hark's own saw being made, it learns here: connections and listeners from
//! before the agent, and what a living connection has moved so far. Bounded in sockets and in time;
//! whoever asks is told if there was more.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::time::Instant;

use netlink_packet_core::{
    DefaultNla, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use thiserror::Error;

/// Most sockets that one question is answered with.
pub const MAX_SOCKETS: usize = 131_072;

/// Room for one answer; the kernel sends at most 32 KiB at once.
const ANSWER: usize = 64 * 1024;

/// Why a namespace's sockets are not known.
#[derive(Debug, Error)]
pub enum SockDiagError {
    /// The kernel does not answer: it has no `inet_diag`, or may not be asked.
    #[error("the kernel does not list TCP sockets: {0}")]
    Refused(#[from] std::io::Error),
    /// The answer is not understood.
    #[error("the kernel's list of TCP sockets is not understood: {0}")]
    Malformed(String),
    /// There was more than is looked at, or no time for it.
    #[error("there are more TCP sockets than were looked at ({0})")]
    TooMany(usize),
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

impl Counters {
    /// Reads the fields that are used; the structure has grown at its end over the years, so one
    /// that is missing is 0.
    fn parse(info: &[u8], state: u8) -> Self {
        let u32_at = |at: usize| {
            let bytes = info.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        let u64_at = |at: usize| {
            let bytes = info.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        Self {
            sent: u64_at(200).saturating_sub(u64_at(208)),
            // The kernel counts the FIN's sequence number as a byte.
            received: u64_at(128).saturating_sub(u64::from(has_received_fin(state))),
            srtt_us: u32_at(68),
            retransmits: u32_at(100),
        }
    }
}

/// `CLOSE_WAIT`, `LAST_ACK`, `CLOSING`: the states between the peer's FIN and the end.
const fn has_received_fin(state: u8) -> bool {
    matches!(state, 8 | 9 | 11)
}

/// The TCP sockets of the calling thread's network namespace, as they are now.
///
/// # Errors
///
/// The kernel does not answer, or with something else, or with more than can be looked at until
/// `deadline`.
pub fn tcp_sockets(ask: Ask, deadline: Instant) -> Result<Vec<TcpSocket>, SockDiagError> {
    let mut sockets = Vec::new();
    for family in [AF_INET, AF_INET6] {
        dump(&question(ask, family), deadline, &mut |response| {
            sockets.push(TcpSocket::from(response));
            sockets.len()
        })?;
    }
    Ok(sockets)
}

/// The beginning of what BPF programs keep with a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As [`TcpSocket::cookie`].
    pub cookie: u64,
    /// Its first bytes.
    pub value: Vec<u8>,
}

/// The TCP connections of the calling thread's network namespace with which something is kept in the
/// socket storage map `map`, and the first `keep` bytes of it (`INET_DIAG_REQ_SK_BPF_STORAGES`,
/// Linux 5.7).
///
/// # Errors
///
/// As [`tcp_sockets`]. Needs `CAP_BPF` (`bpf_sk_storage_diag_alloc`).
pub fn stored(map: RawFd, keep: usize, deadline: Instant) -> Result<Vec<Stored>, SockDiagError> {
    let mut sockets = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut question = question(Ask::Connections, family);
        // Two attributes, one in the other: their lengths, types, and the map's descriptor.
        question.extend(12_u16.to_ne_bytes());
        question.extend(REQUEST_STORAGES.to_ne_bytes());
        question.extend(8_u16.to_ne_bytes());
        question.extend(REQUEST_MAP_FD.to_ne_bytes());
        question.extend(map.to_ne_bytes());
        let length = u32::try_from(question.len()).unwrap_or(u32::MAX);
        question[..4].copy_from_slice(&length.to_ne_bytes());
        dump(&question, deadline, &mut |response| {
            let cookie = cookie(response.header.socket_id.cookie);
            let values = response.nlas.into_iter().filter_map(|nla| match nla {
                Nla::Other(nla) => value_of(&nla, keep),
                _ => None,
            });
            sockets.extend(values.map(|value| Stored { cookie, value }));
            sockets.len()
        })?;
    }
    Ok(sockets)
}

/// `INET_DIAG_REQ_SK_BPF_STORAGES` and `INET_DIAG_SK_BPF_STORAGES`, `include/uapi/linux/inet_diag.h`;
/// the others `include/uapi/linux/sock_diag.h`.
const REQUEST_STORAGES: u16 = 2;
const REQUEST_MAP_FD: u16 = 1;
const STORAGES: u16 = 20;
const STORAGE: u16 = 1;
const STORAGE_VALUE: u16 = 3;

/// The beginning of the value in an attribute with storages: of the one map that was asked for.
fn value_of(nla: &DefaultNla, keep: usize) -> Option<Vec<u8>> {
    if nla.kind() & TYPE != STORAGES {
        return None;
    }
    let mut bytes = vec![0; nla.value_len()];
    nla.emit_value(&mut bytes);
    let value = attribute(attribute(&bytes, STORAGE)?, STORAGE_VALUE)?;
    Some(value[..value.len().min(keep)].to_vec())
}

/// `NLA_TYPE_MASK`
const TYPE: u16 = 0x3fff;

/// The content of the first attribute of that type in a list of attributes.
fn attribute(mut list: &[u8], kind: u16) -> Option<&[u8]> {
    while let Some([l0, l1, k0, k1]) = list.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let content = list.get(4..length)?;
        if u16::from_ne_bytes([*k0, *k1]) & TYPE == kind {
            return Some(content);
        }
        list = list.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Sends a question and hands each answer to `sink`, which says how many there are now.
fn dump(
    question: &[u8],
    deadline: Instant,
    sink: &mut impl FnMut(InetResponse) -> usize,
) -> Result<(), SockDiagError> {
    let mut count = 0;
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // An answer is there when the question has been sent, and when the one before was read.
    socket.set_non_blocking(true)?;
    socket.send(question, 0)?;
    let mut buffer = vec![0; ANSWER];
    loop {
        let size = socket.recv(&mut &mut buffer[..], 0)?;
        let mut rest = buffer.get(..size).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| SockDiagError::Malformed(error.to_string()))?;
            // Messages begin at multiples of four.
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length.max(16)..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    count = sink(*response);
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io().into()),
                _ => {}
            }
            if count >= MAX_SOCKETS {
                return Err(SockDiagError::TooMany(count));
            }
        }
        if Instant::now() >= deadline {
            return Err(SockDiagError::TooMany(count));
        }
    }
}

fn question(ask: Ask, family: u8) -> Vec<u8> {
    let (states, extensions) = match ask {
        Ask::Listeners => (StateFlags::LISTEN, ExtensionFlags::SKMEMINFO),
        Ask::Connections => (
            StateFlags::SYN_SENT
                | StateFlags::ESTABLISHED
                | StateFlags::FIN_WAIT1
                | StateFlags::FIN_WAIT2
                | StateFlags::CLOSE_WAIT
                | StateFlags::LAST_ACK
                | StateFlags::CLOSING,
            ExtensionFlags::INFO,
        ),
    };
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions,
        states,
        // Every address: what it says is not looked at.
        socket_id: if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        },
    };
    let mut message = NetlinkMessage::from(SockDiagMessage::InetRequest(request));
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Two words, the lower first, whatever the machine's byte order.
fn cookie(bytes: [u8; 8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = bytes;
    let low = u32::from_ne_bytes([a, b, c, d]);
    let high = u32::from_ne_bytes([e, f, g, h]);
    u64::from(high) << 32 | u64::from(low)
}

impl From<InetResponse> for TcpSocket {
    fn from(response: InetResponse) -> Self {
        let InetResponse { header, nlas } = response;
        let id = header.socket_id;
        let mut socket = Self {
            cookie: cookie(id.cookie),
            inode: header.inode,
            family: header.family,
            state: header.state,
            local: (id.source_address, id.source_port),
            peer: (id.destination_address, id.destination_port),
            receive_queue: header.recv_queue,
            send_queue: header.send_queue,
            drops: None,
            counters: Counters::default(),
        };
        for nla in nlas {
            match nla {
                Nla::TcpInfo(info) => socket.counters = Counters::parse(&info, header.state),
                Nla::MemInfo(memory) => socket.drops = Some(memory.drops),
                _ => {}
            }
        }
        socket
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn ask(ask: Ask) -> Vec<TcpSocket> {
        tcp_sockets(ask, Instant::now() + Duration::from_secs(30)).unwrap()
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
    fn an_older_kernel_has_less_to_say() {
        let mut info = [0; 104];
        info[68] = 9;
        info[100] = 3;
        assert_eq!(
            Counters::parse(&info, 1),
            Counters {
                srtt_us: 9,
                retransmits: 3,
                ..Counters::default()
            }
        );
        assert_eq!(Counters::parse(&[], 8), Counters::default());
    }
}
