//! The two ends of a connection, and whether one of them is the agent's.

use super::*;

use hark_ebpf::kernel::address;

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
        let (v4, v6) = (&OFFSETS.sock_rcv_saddr, &OFFSETS.sock_v6_rcv_saddr);
        address(sk, family, v4, v6, &mut local.addr);
        let (v4, v6) = (&OFFSETS.sock_daddr, &OFFSETS.sock_v6_daddr);
        address(sk, family, v4, v6, &mut peer.addr);
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
