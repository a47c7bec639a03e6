//! One question to the kernel, and its answers.

use std::io;
use std::time::Instant;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

use super::{Ask, Counters, SockDiagError, TcpSocket};

/// Room for one answer; the kernel sends at most 32 KiB at once.
const ANSWER: usize = 64 * 1024;

/// Hands over the TCP sockets of the calling thread's network namespace, as they are now, until `see`
/// wants no more.
pub(super) fn tcp_sockets(
    ask: Ask,
    deadline: Instant,
    see: &mut impl FnMut(TcpSocket) -> Result<(), SockDiagError>,
) -> Result<(), SockDiagError> {
    for family in [AF_INET, AF_INET6] {
        dump(ask, family, deadline, see)?;
    }
    Ok(())
}

fn dump(
    ask: Ask,
    family: u8,
    deadline: Instant,
    see: &mut impl FnMut(TcpSocket) -> Result<(), SockDiagError>,
) -> Result<(), SockDiagError> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG).map_err(refused)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // An answer is there when the question has been sent, and when the one before was read.
    socket.set_non_blocking(true)?;
    socket.send(&question(ask, family), 0)?;
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
                    see(TcpSocket::from(*response))?;
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(refused(error.to_io())),
                _ => {}
            }
        }
        if Instant::now() >= deadline {
            return Err(SockDiagError::TooLate);
        }
    }
}

/// `ENOENT` is the answer where there is nobody for the protocol (`__sock_diag_cmd`,
/// `inet_diag_lock_handler`), `EPROTONOSUPPORT` where the kernel has no sock_diag at all.
fn refused(error: io::Error) -> SockDiagError {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EPROTONOSUPPORT) => SockDiagError::Missing,
        _ => error.into(),
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

impl From<InetResponse> for TcpSocket {
    fn from(response: InetResponse) -> Self {
        let InetResponse { header, nlas } = response;
        let id = header.socket_id;
        // Two words, the lower first, whatever the machine's byte order.
        let [a, b, c, d, e, f, g, h] = id.cookie;
        let low = u32::from_ne_bytes([a, b, c, d]);
        let high = u32::from_ne_bytes([e, f, g, h]);
        let mut socket = Self {
            cookie: u64::from(high) << 32 | u64::from(low),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_missing_is_told_from_other_errors() {
        let of = |number| refused(io::Error::from_raw_os_error(number));
        assert!(matches!(of(libc::ENOENT), SockDiagError::Missing));
        assert!(matches!(of(libc::EPROTONOSUPPORT), SockDiagError::Missing));
        assert!(matches!(of(libc::EINVAL), SockDiagError::Refused(_)));
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
