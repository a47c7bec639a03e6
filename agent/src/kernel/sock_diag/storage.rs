//! What BPF programs keep with TCP sockets, asked for beside the sockets.

use std::os::fd::RawFd;
use std::time::Instant;

use netlink_packet_core::{DefaultNla, Nla as _};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6};
use netlink_packet_sock_diag::inet::nlas::Nla;

use super::dump::{cookie, dump, question};
use super::{Ask, MAX_SOCKETS, SockDiagError};

/// The beginning of what BPF programs keep with a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As [`TcpSocket::cookie`](super::TcpSocket::cookie).
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
/// The kernel does not answer, or with something else, or with more than can be looked at until
/// `deadline`. Needs `CAP_BPF` (`bpf_sk_storage_diag_alloc`).
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
            if sockets.len() >= MAX_SOCKETS {
                return Err(SockDiagError::TooMany(MAX_SOCKETS));
            }
            Ok(())
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
