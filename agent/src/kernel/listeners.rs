//! The listening TCP sockets of a network namespace, and their accept queues, by `sock_diag(7)`.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{
    ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags,
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The socket's cookie: unique since boot.
    pub cookie: u64,
    /// Number of its file, as `/proc/PID/fd` shows it (`socket:[inode]`).
    pub inode: u32,
    /// Connections that wait to be accepted.
    pub length: u32,
    /// How many may wait (`listen(2)`, capped by net.core.somaxconn); the kernel lets one more.
    pub limit: u32,
    /// Connections turned away since the socket was made, for a full queue or otherwise; wraps.
    pub drops: u32,
}

/// Appends the listeners of the namespace that `namespace` (a file of `/proc/PID/ns`) stands for,
/// until there are `limit` of them. Says whether these are all.
///
/// Moves the calling thread into the namespace, which takes CAP_SYS_ADMIN, and leaves it there: to be
/// called on a thread that does nothing else.
///
/// # Errors
///
/// The namespace may not be entered, or the kernel has no `tcp_diag`.
pub fn listeners(namespace: &Path, limit: usize, found: &mut Vec<Listener>) -> io::Result<bool> {
    // Where the thread is already it needs no privilege to stay.
    let here = std::fs::read_link("/proc/thread-self/ns/net").ok();
    if here.is_none() || std::fs::read_link(namespace).ok() != here {
        let namespace = File::open(namespace)?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    }
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    for family in [AF_INET, AF_INET6] {
        if !dump(&socket, family, limit, found)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn dump(socket: &Socket, family: u8, limit: usize, found: &mut Vec<Listener>) -> io::Result<bool> {
    socket.send(&request(family), 0)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let message = <NetlinkMessage<SockDiagMessage>>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    if found.len() >= limit {
                        return Ok(false);
                    }
                    found.push(listener(&response));
                }
                NetlinkPayload::Done(_) => return Ok(true),
                // A namespace without this family says so.
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            // As the kernel pads (NLMSG_ALIGN); a length of 0 would never end.
            let length = (message.header.length as usize).next_multiple_of(4).max(16);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn request(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::SKMEMINFO,
        states: StateFlags::LISTEN,
        socket_id: if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn listener(response: &InetResponse) -> Listener {
    let drops = response.nlas.iter().find_map(|attribute| match attribute {
        Nla::MemInfo(memory) => Some(memory.drops),
        _ => None,
    });
    Listener {
        cookie: u64::from_ne_bytes(response.header.socket_id.cookie),
        inode: response.header.inode,
        length: response.header.recv_queue,
        limit: response.header.send_queue,
        drops: drops.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// Finds this process's own listeners with what it knows of them.
    #[test]
    fn a_listener_and_who_waits_in_it() {
        let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = TcpListener::bind("[::1]:0");
        let _clients: Vec<TcpStream> = (0..3)
            .map(|_| TcpStream::connect(v4.local_addr().unwrap()).unwrap())
            .collect();
        let found = std::thread::spawn(|| {
            let mut found = Vec::new();
            let all = listeners(Path::new("/proc/self/ns/net"), 10_000, &mut found);
            (all, found)
        });
        let (all, found) = found.join().unwrap();
        match all {
            Ok(all) => assert!(all),
            Err(error) => {
                eprintln!("SKIPPED a_listener_and_who_waits_in_it: {error}");
                return;
            }
        }
        let of = |listener: &TcpListener| {
            let file = File::from(listener.as_fd().try_clone_to_owned().unwrap());
            let inode = file.metadata().unwrap().ino();
            let same = |l: &&Listener| u64::from(l.inode) == inode;
            *found.iter().find(same).unwrap()
        };
        assert_eq!(of(&v4).length, 3);
        let most: u32 = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        // std asks for 128 or for as many as there may be, by its version.
        assert!([128, most].contains(&of(&v4).limit), "{:?}", of(&v4));
        if let Ok(v6) = v6 {
            assert_eq!(of(&v6).length, 0);
        }
    }

    #[test]
    fn the_limit_is_kept() {
        let _one = TcpListener::bind("127.0.0.1:0").unwrap();
        let _two = TcpListener::bind("127.0.0.1:0").unwrap();
        let (all, found) = std::thread::spawn(|| {
            let mut found = Vec::new();
            let all = listeners(Path::new("/proc/self/ns/net"), 1, &mut found);
            (all.ok(), found.len())
        })
        .join()
        .unwrap();
        if let Some(all) = all {
            assert_eq!((all, found), (false, 1));
        }
    }
}
