//! Kernel programs of TCP: who opens connections, how they fare, how they end.
//!
//! Nothing here runs per send or receive. A connection is met when it is opened
//! (`inet_sock_set_state`) and let go when its socket is freed (`tcp_destroy_sock`); what it moved
//! and how far away its peer was is taken from the kernel's own fields at its end. Between the two,
//! retransmits and resets have hooks of their own.
//!
//! `connect` and `listen` run in the process that calls them, and so say whose a socket is. A
//! connection that is accepted is met in softirq, where `current` means nothing: it belongs to
//! whoever listens on its address.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod tcp {
    use core::ffi::c_void;
    use core::mem::zeroed;

    use aya_ebpf::helpers::generated::{
        bpf_get_current_task_btf, bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skc_to_tcp_sock,
    };
    use aya_ebpf::macros::{btf_tracepoint, map};
    use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray};
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::process::{ProcessKey, Task};
    use hark_common::socket::SocketAddress;
    use hark_common::tcp::{
        Connection, Failure, Figures, Lost, MAX_CONNECTIONS, MAX_LISTENERS, MAX_PROCESSES, Side,
        Tally, TcpOffsets, role, state,
    };
    use hark_ebpf::histogram::observe;
    use hark_ebpf::kernel::{add, describe, field, is_kernel_thread, process_of};
    use hark_ebpf::maps::{count, of_process};
    use hark_ebpf::offset;

    mod figures;
    mod life;
    mod owner;

    use figures::{HOST, Program, both, side};
    use life::{CONNECTIONS, closed, connecting, established, followed, retransmitted};
    use owner::{LISTENERS, current, listener, local};

    const IPPROTO_TCP: u16 = 6;
    /// `include/net/tcp_states.h`.
    const ESTABLISHED: i32 = 1;
    const SYN_SENT: i32 = 2;
    const SYN_RECV: i32 = 3;
    const CLOSE: i32 = 7;
    const LISTEN: i32 = 10;

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static OFFSETS: TcpOffsets = unsafe { zeroed() };
    #[map]
    static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Lost::COUNT, 0);

    /// `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`,
    /// net/ipv4/af_inet.c, Linux 4.16.
    #[btf_tracepoint(function = "inet_sock_set_state")]
    fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
        let sk: *mut c_void = ctx.arg(0);
        let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
        if new != SYN_SENT && new != ESTABLISHED && new != CLOSE && new != LISTEN {
            return 0;
        }
        // SAFETY: the tracepoint's socket is a BTF pointer; MPTCP and SCTP come here as well.
        if unsafe { field::<u16>(sk, offset!(sock_protocol)) } != IPPROTO_TCP {
            return 0;
        }
        if new == LISTEN {
            // SAFETY: as above.
            let at = unsafe { local(sk) };
            let _ = LISTENERS.insert(&at, &current(), 0);
            return 0;
        }
        // SAFETY: the helper takes a BTF pointer, and gives one or null for what is not TCP.
        let tcp = unsafe { bpf_skc_to_tcp_sock(sk) } as *const c_void;
        if tcp.is_null() {
            return 0;
        }
        match new {
            SYN_SENT => connecting(sk, tcp),
            ESTABLISHED => established(sk, tcp, old),
            _ => closed(sk, tcp),
        }
        0
    }

    /// `trace_tcp_destroy_sock(struct sock *sk)`, net/ipv4/tcp_ipv4.c, Linux 4.16: the last that is
    /// heard of a TCP socket.
    #[btf_tracepoint(function = "tcp_destroy_sock")]
    fn tcp_destroy_sock(ctx: BtfTracePointContext) -> i32 {
        let sk: *mut c_void = ctx.arg(0);
        // SAFETY: the socket is a BTF pointer.
        let cookie: u64 = unsafe { field(sk, offset!(sock_cookie)) };
        if cookie != 0 {
            let _ = CONNECTIONS.remove(&cookie);
        }
        0
    }

    /// `trace_tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb[, int err])`,
    /// net/ipv4/tcp_output.c, after the kernel has counted the segments.
    #[btf_tracepoint(function = "tcp_retransmit_skb")]
    fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
        let sk: *mut c_void = ctx.arg(0);
        // SAFETY: the socket is a BTF pointer; so is what the helper makes of it, unless null.
        unsafe {
            let tcp = bpf_skc_to_tcp_sock(sk) as *const c_void;
            if tcp.is_null() {
                return 0;
            }
            let connection = followed(sk);
            if !connection.is_null() {
                let total = field(tcp, offset!(tcp_total_retrans));
                retransmitted(connection, total, Program::Retransmit);
            }
        }
        0
    }

    /// `trace_tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`,
    /// net/ipv4/tcp_output.c: `sk` is the listener.
    #[btf_tracepoint(function = "tcp_retransmit_synack")]
    fn tcp_retransmit_synack(ctx: BtfTracePointContext) -> i32 {
        let sk: *mut c_void = ctx.arg(0);
        // SAFETY: the socket is a BTF pointer; the values are copied at once.
        unsafe {
            let task = match LISTENERS.get(&local(sk)) {
                Some(task) => *task,
                None => Task::default(),
            };
            both(&raw const task, Program::RetransmitSynack, |figures| {
                add(&raw mut (*side(figures, role::SERVER)).retransmits, 1);
            });
        }
        0
    }

    /// `trace_tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, reason])`,
    /// net/ipv4/tcp_ipv4.c, tcp_output.c: `sk` is null for an answer to what is no connection.
    #[btf_tracepoint(function = "tcp_send_reset")]
    fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
        let sk: *mut c_void = ctx.arg(0);
        // SAFETY: a BTF pointer or null; what is followed may be null.
        unsafe {
            let connection = if sk.is_null() {
                core::ptr::null_mut()
            } else {
                followed(sk)
            };
            if connection.is_null() {
                if let Some(host) = HOST.get_ptr_mut(0) {
                    add(&raw mut (*host).resets_unbound, 1);
                }
                return 0;
            }
            let role = (*connection).role;
            both(
                &raw const (*connection).task,
                Program::SendReset,
                |figures| {
                    add(&raw mut (*side(figures, role)).resets_sent, 1);
                },
            );
        }
        0
    }

    /// `trace_tcp_receive_reset(struct sock *sk)`, net/ipv4/tcp_input.c, before the socket is closed.
    #[btf_tracepoint(function = "tcp_receive_reset")]
    fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
        let sk: *mut c_void = ctx.arg(0);
        // SAFETY: the socket is a BTF pointer; what is followed may be null.
        unsafe {
            let connection = followed(sk);
            if connection.is_null() {
                return 0;
            }
            let role = (*connection).role;
            both(
                &raw const (*connection).task,
                Program::ReceiveReset,
                |figures| {
                    add(&raw mut (*side(figures, role)).resets_received, 1);
                },
            );
        }
        0
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
