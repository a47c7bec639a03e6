//! The two ends of a connection, and whether one of them is the agent's.

use super::*;

/// The agent's own endpoints: sockets that talk to them are left out as well.
#[map]
pub(super) static OWN_ENDPOINTS: LruHashMap<SocketAddress, u8> =
    LruHashMap::with_max_entries(1024, 0);

/// Both ends of a connection: `(local, peer)`.
#[inline(always)]
pub(super) fn ends(
    sk: *const c_void,
    family: u16,
    local: &mut SocketAddress,
    peer: &mut SocketAddress,
) {
    *local = SocketAddress {
        family,
        ..SocketAddress::default()
    };
    *peer = SocketAddress {
        family,
        ..SocketAddress::default()
    };
    // SAFETY: the socket is a BTF pointer.
    unsafe {
        let net: *const c_void = field(sk, offset!(sock_net));
        let netns = if net.is_null() {
            0
        } else {
            field::<u32>(net, offset!(net_inum))
        };
        local.netns = netns;
        peer.netns = netns;
        if family == AF_UNIX {
            let this = bpf_skc_to_unix_sock(sk.cast_mut()) as *const c_void;
            if !this.is_null() {
                // The peer is held by this socket until it is closed itself.
                let other: *mut c_void = field(this, offset!(unix_peer));
                if !other.is_null() {
                    let cookie = bpf_get_socket_cookie(other);
                    peer.addr.as_mut_ptr().cast::<u64>().write_unaligned(cookie);
                }
            }
            return;
        }
        local.port = field(sk, offset!(sock_num));
        peer.port = u16::from_be(field(sk, offset!(sock_dport)));
        if family == AF_INET {
            let mine: u32 = field(sk, offset!(sock_rcv_saddr));
            let theirs: u32 = field(sk, offset!(sock_daddr));
            local.addr = [0; 16];
            peer.addr = [0; 16];
            local.addr.as_mut_ptr().cast::<u32>().write_unaligned(mine);
            peer.addr.as_mut_ptr().cast::<u32>().write_unaligned(theirs);
        } else {
            let (mine, theirs) = (offset!(sock_v6_rcv_saddr), offset!(sock_v6_daddr));
            let words: [u64; 4] = [
                probe(sk as u64, mine),
                probe(sk as u64, mine + 8),
                probe(sk as u64, theirs),
                probe(sk as u64, theirs + 8),
            ];
            local
                .addr
                .as_mut_ptr()
                .cast::<u64>()
                .write_unaligned(words[0]);
            local
                .addr
                .as_mut_ptr()
                .add(8)
                .cast::<u64>()
                .write_unaligned(words[1]);
            peer.addr
                .as_mut_ptr()
                .cast::<u64>()
                .write_unaligned(words[2]);
            peer.addr
                .as_mut_ptr()
                .add(8)
                .cast::<u64>()
                .write_unaligned(words[3]);
        }
    }
}

/// Whether either end of a socket belongs to the agent.
#[inline(always)]
pub(super) fn is_own(sk: *const c_void, family: u16, s: &mut Scratch) -> bool {
    // SAFETY: a helper without preconditions.
    if (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32 == OWN_PID.load() {
        return true;
    }
    if family == AF_UNIX {
        return false;
    }
    ends(sk, family, &mut s.request.local, &mut s.request.peer);
    // SAFETY: the value is not kept.
    unsafe { OWN_ENDPOINTS.get(&s.request.peer) }.is_some()
}
