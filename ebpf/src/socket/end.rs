//! How connections end: by what a call comes to, and by what TCP tells.

use super::*;

use hark_ebpf::classify::{end_of_stream, read_failed, tcp, tcp_destroyed, tcp_state};

/// A message of no bytes, or an error.
#[inline(always)]
pub(super) fn on_nothing(
    sk: *mut c_void,
    ret: i32,
    direction: u8,
    family: u16,
    state: &mut SocketState,
    slot: u32,
) {
    let broken = ret < 0;
    if direction == TX && !(family == AF_UNIX && broken) {
        return;
    }
    let Some(s) = SCRATCH.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: this CPU's and this program's own slot; a program does not interrupt itself.
    let s = unsafe { &mut *s };
    // SAFETY: helpers on a BTF pointer.
    unsafe {
        s.event.now = bpf_ktime_get_ns();
        s.event.socket = bpf_get_socket_cookie(sk);
    }
    s.event.direction = direction;
    if family != AF_UNIX {
        let followed = tls::followed(state, s.event.socket);
        let end = if broken {
            read_failed(followed, -ret as u32)
        } else {
            end_of_stream(followed, false)
        };
        finish(sk, state, s, end);
        return;
    }
    // No tracepoint tells the end of an AF_UNIX connection. Whoever reads the end of the stream
    // sees it for both: the other socket has been closed if it is shut down both ways.
    // SAFETY: the helper returns null for a socket that is not AF_UNIX.
    let this = unsafe { bpf_skc_to_unix_sock(sk) } as *const c_void;
    if this.is_null() {
        return;
    }
    // SAFETY: a BTF pointer; the peer is held by this socket until it is closed itself.
    let peer: *mut c_void = unsafe { field(this, offset!(unix_peer)) };
    let gone =
        broken || probe::<u8>(peer as u64, offset!(sock_shutdown)) & SHUTDOWN_BOTH == SHUTDOWN_BOTH;
    let end = if broken {
        Some((AbortReason::Broken, -ret as u32))
    } else {
        end_of_stream(tls::followed(state, s.event.socket), gone)
    };
    finish(sk, state, s, end);
    if gone && state.verdict == verdict::TLS {
        tls::forget(s.event.socket);
    }
    if !gone || peer.is_null() {
        return;
    }
    // SAFETY: as above; the peer is held.
    let Some(other) = (unsafe { of_socket(&SOCKETS, peer, 0) }) else {
        return;
    };
    s.event.socket = probe(peer as u64, offset!(sock_cookie));
    finish(peer, other, s, Some((AbortReason::LocalClosed, 0)));
}

/// The exchanges of a connection end, if there is a reason to. `s.event` has time and cookie.
#[inline(always)]
fn finish(sk: *mut c_void, state: &mut SocketState, s: &mut Scratch, end: Option<End>) {
    let Some((reason, errno)) = end else { return };
    match state.verdict {
        verdict::HTTP1 => close(&mut Kernel, state, s, reason, errno),
        verdict::HTTP2 => {
            http2::on_end(sk, state, (s.event.socket, s.event.now), (reason, errno));
        }
        verdict::TLS => tls::finish(s, (reason, errno)),
        _ => {}
    }
}

/// `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`,
/// net/ipv4/af_inet.c, Linux 4.16. Runs in softirq as well: `current` means nothing here, but
/// for SYN_SENT, which is set by `connect`.
#[btf_tracepoint(function = "inet_sock_set_state")]
fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    let mut create = 0;
    if new == tcp::SYN_SENT {
        // SAFETY: a helper without preconditions.
        if (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32 != OWN_PID.load() {
            return 0;
        }
        create = CREATE;
    }
    // SAFETY: the socket is a BTF pointer.
    let Some(state) = (unsafe { of_socket(&SOCKETS, sk, create) }) else {
        return 0;
    };
    let Some(s) = SCRATCH.get_ptr_mut(slot::STATE) else {
        return 0;
    };
    // SAFETY: this CPU's and this program's own slot.
    let s = unsafe { &mut *s };
    if state.verdict == verdict::NEVER || create != 0 {
        state.verdict = verdict::NEVER;
        // SAFETY: the socket is a BTF pointer.
        let family = unsafe { field(sk, offset!(sock_family)) };
        ends(sk, family, &mut s.request.local, &mut s.request.peer);
        if old == tcp::SYN_SENT && new == tcp::ESTABLISHED {
            let _ = OWN_ENDPOINTS.insert(&s.request.local, &1, 0);
        } else if new == tcp::CLOSE {
            let _ = OWN_ENDPOINTS.remove(&s.request.local);
        }
        return 0;
    }
    if !state.is_http() && state.verdict != verdict::TLS {
        return 0;
    }
    // SAFETY: helpers and fields of a BTF pointer.
    let (errno, socket): (u32, u64) = unsafe {
        s.event.now = bpf_ktime_get_ns();
        s.event.socket = bpf_get_socket_cookie(sk);
        (
            field(sk, offset!(sock_err)),
            field(sk, offset!(sock_socket)),
        )
    };
    let followed = tls::followed(state, s.event.socket);
    let end = tcp_state(followed, old, new, errno, socket == 0);
    finish(sk, state, s, end);
    0
}

/// `trace_tcp_destroy_sock(struct sock *sk)`, net/ipv4/tcp_ipv4.c, Linux 4.16: the last that is
/// heard of a TCP socket.
#[btf_tracepoint(function = "tcp_destroy_sock")]
fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
    let sk: *mut c_void = ctx.arg(0);
    // SAFETY: the socket is a BTF pointer.
    let Some(state) = (unsafe { of_socket(&SOCKETS, sk, 0) }) else {
        return 0;
    };
    if !state.is_http() && state.verdict != verdict::TLS {
        return 0;
    }
    let Some(s) = SCRATCH.get_ptr_mut(slot::DESTROY) else {
        return 0;
    };
    // SAFETY: this CPU's and this program's own slot.
    let s = unsafe { &mut *s };
    // SAFETY: helpers on a BTF pointer.
    unsafe {
        s.event.now = bpf_ktime_get_ns();
        s.event.socket = bpf_get_socket_cookie(sk);
    }
    let end = tcp_destroyed(tls::followed(state, s.event.socket));
    finish(sk, state, s, end);
    if state.verdict == verdict::TLS {
        tls::forget(s.event.socket);
    }
    0
}
