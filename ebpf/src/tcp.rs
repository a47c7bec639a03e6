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
mod kernel {
    use core::ffi::c_void;
    use core::mem::zeroed;

    use aya_ebpf::helpers::generated::{
        bpf_get_current_task_btf, bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skc_to_tcp_sock,
    };
    use aya_ebpf::macros::{btf_tracepoint, map};
    use aya_ebpf::maps::{HashMap, LruHashMap, PerCpuArray};
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::histogram::Exp2;
    use hark_common::process::{ProcessKey, Task};
    use hark_common::socket::SocketAddress;
    use hark_common::tcp::{
        Connection, Failure, Figures, Lost, MAX_CONNECTIONS, MAX_LISTENERS, MAX_PROCESSES, Side,
        Tally, TcpOffsets, role, state,
    };
    use hark_ebpf::histogram::bucket;
    use hark_ebpf::kernel::{add, describe, field, is_kernel_thread, probe, process_of};
    use hark_ebpf::offset;

    const AF_INET: u16 = 2;
    const IPPROTO_TCP: u16 = 6;
    const SHUTDOWN_BOTH: u8 = 3;
    /// `SOCK_DONE` of `enum sock_flags`: the peer's FIN has been received.
    const SOCK_DONE: u64 = 1 << 1;
    /// `BPF_NOEXIST`.
    const NOEXIST: u64 = 1;
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
    static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(MAX_CONNECTIONS, 0);
    /// Whoever called `listen` for an address last. Nothing is removed: a connection can only come to
    /// an address that somebody listens on, and who does has replaced whoever did.
    #[map]
    static LISTENERS: LruHashMap<SocketAddress, Task> =
        LruHashMap::with_max_entries(MAX_LISTENERS, 0);
    #[map]
    static PROCESSES: HashMap<ProcessKey, Tally> = HashMap::with_max_entries(MAX_PROCESSES, 0);
    #[map]
    static HOST: PerCpuArray<Figures> = PerCpuArray::with_max_entries(1, 0);
    #[map]
    static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Lost::COUNT, 0);
    // A tally that is being made is too large for the stack. One per program: softirq may interrupt
    // one program by another on the same CPU, but none by itself.
    #[map]
    static STATE_FRESH: PerCpuArray<Tally> = PerCpuArray::with_max_entries(1, 0);
    #[map]
    static RETRANSMIT_FRESH: PerCpuArray<Tally> = PerCpuArray::with_max_entries(1, 0);
    #[map]
    static SYNACK_FRESH: PerCpuArray<Tally> = PerCpuArray::with_max_entries(1, 0);
    #[map]
    static SEND_RESET_FRESH: PerCpuArray<Tally> = PerCpuArray::with_max_entries(1, 0);
    #[map]
    static RECEIVE_RESET_FRESH: PerCpuArray<Tally> = PerCpuArray::with_max_entries(1, 0);

    #[inline(always)]
    fn lost(what: Lost) {
        if let Some(value) = COUNTERS.get_ptr_mut(what as u32) {
            // SAFETY: the slot of this counter.
            unsafe { add(value, 1) }
        }
    }

    /// Adds a duration to a histogram in a map.
    ///
    /// # Safety
    ///
    /// `to` must be valid.
    #[inline(always)]
    unsafe fn record(to: *mut Exp2, ns: u64) {
        // SAFETY: by the caller; a bucket is less than 28, and masked for the verifier to see.
        unsafe {
            let at = bucket(ns) & 31;
            if at < hark_common::histogram::BUCKETS {
                add((&raw mut (*to).buckets).cast::<u64>().add(at), 1);
            }
            add(&raw mut (*to).sum_ns, ns);
        }
    }

    /// The figures of a process; null if nobody is known, or there is no room.
    #[inline(always)]
    fn figures_of(task: *const Task, fresh: &PerCpuArray<Tally>) -> *mut Figures {
        // SAFETY: the callers pass a map's value, or one on the stack.
        let key = unsafe { (*task).process };
        if key.pid == 0 {
            return core::ptr::null_mut();
        }
        if let Some(tally) = PROCESSES.get_ptr_mut(&key) {
            // SAFETY: not null.
            return unsafe { &raw mut (*tally).figures };
        }
        if let Some(new) = fresh.get_ptr_mut(0) {
            // SAFETY: this CPU's and this program's own slot, whose figures are always zero.
            unsafe {
                (*new).task = *task;
                let _ = PROCESSES.insert(&key, &*new, NOEXIST);
            }
        }
        if let Some(tally) = PROCESSES.get_ptr_mut(&key) {
            // SAFETY: not null.
            return unsafe { &raw mut (*tally).figures };
        }
        lost(Lost::Processes);
        core::ptr::null_mut()
    }

    /// Does the same to the figures of the host and to those of whom it concerns.
    #[inline(always)]
    fn both(task: *const Task, fresh: &PerCpuArray<Tally>, act: impl Fn(*mut Figures)) {
        if let Some(host) = HOST.get_ptr_mut(0) {
            act(host);
        }
        let own = figures_of(task, fresh);
        if !own.is_null() {
            act(own);
        }
    }

    /// One side of the figures.
    ///
    /// # Safety
    ///
    /// `figures` must be valid.
    #[inline(always)]
    unsafe fn side(figures: *mut Figures, role: u8) -> *mut Side {
        // SAFETY: by the caller; there are two sides.
        unsafe {
            (&raw mut (*figures).sides)
                .cast::<Side>()
                .add((role & 1) as usize)
        }
    }

    /// Who is running, if it is a process and not the kernel.
    #[inline(always)]
    fn current() -> Task {
        let mut task = Task::default();
        // SAFETY: the helper gives a BTF pointer.
        unsafe {
            let current: *const c_void = bpf_get_current_task_btf().cast_const().cast();
            if !is_kernel_thread(current, &OFFSETS.process) {
                let key = process_of(current, &OFFSETS.process);
                describe(&mut task, key, current, &OFFSETS.process);
            }
        }
        task
    }

    /// This end's address.
    ///
    /// # Safety
    ///
    /// `sk` must be a BTF pointer to a `sock`.
    #[inline(always)]
    unsafe fn local(sk: *const c_void) -> SocketAddress {
        // SAFETY: by the caller.
        unsafe {
            let mut to = SocketAddress {
                family: field(sk, offset!(sock_family)),
                port: field(sk, offset!(sock_num)),
                ..SocketAddress::default()
            };
            let net: *const c_void = field(sk, offset!(sock_net));
            if !net.is_null() {
                to.netns = field(net, offset!(net_inum));
            }
            if to.family == AF_INET {
                let address: u32 = field(sk, offset!(sock_rcv_saddr));
                to.addr.as_mut_ptr().cast::<u32>().write_unaligned(address);
            } else {
                let at = offset!(sock_v6_rcv_saddr);
                let words: [u64; 2] = [probe(sk as u64, at), probe(sk as u64, at + 8)];
                let addr = to.addr.as_mut_ptr().cast::<u64>();
                addr.write_unaligned(words[0]);
                addr.add(1).write_unaligned(words[1]);
            }
            to
        }
    }

    /// Whoever listens where this connection came to: on its own address, or on all.
    ///
    /// # Safety
    ///
    /// As for [`local`].
    #[inline(always)]
    unsafe fn listener(sk: *const c_void) -> Task {
        // SAFETY: by the caller; the values are copied at once.
        unsafe {
            let mut at = local(sk);
            if let Some(task) = LISTENERS.get(&at) {
                return *task;
            }
            at.addr = [0; 16];
            if let Some(task) = LISTENERS.get(&at) {
                return *task;
            }
        }
        lost(Lost::Listener);
        Task::default()
    }

    /// The connection of this socket, if it is followed.
    ///
    /// # Safety
    ///
    /// `sk` must be a BTF pointer to a `sock` or a `sock_common`.
    #[inline(always)]
    unsafe fn followed(sk: *const c_void) -> *mut Connection {
        // SAFETY: by the caller.
        let cookie: u64 = unsafe { field(sk, offset!(sock_cookie)) };
        match CONNECTIONS.get_ptr_mut(&cookie) {
            Some(connection) => connection,
            None => core::ptr::null_mut(),
        }
    }

    /// Counts the retransmits that have not been counted.
    #[inline(always)]
    fn retransmitted(connection: *mut Connection, total: u32, fresh: &PerCpuArray<Tally>) {
        // SAFETY: not null by the callers; the socket's lock keeps others away.
        unsafe {
            let more = total.wrapping_sub((*connection).retransmits);
            if more == 0 {
                return;
            }
            (*connection).retransmits = total;
            let role = (*connection).role;
            both(&raw const (*connection).task, fresh, |figures| {
                add(&raw mut (*side(figures, role)).retransmits, more as u64);
            });
        }
    }

    /// `connect` has chosen where to, and is about to send its SYN.
    #[inline(always)]
    fn connecting(sk: *mut c_void, tcp: *const c_void) {
        // SAFETY: helpers and fields of BTF pointers.
        unsafe {
            let connection = Connection {
                task: current(),
                opened_ns: bpf_ktime_get_ns(),
                sent_before: 0,
                received_before: 0,
                retransmits: field(tcp, offset!(tcp_total_retrans)),
                role: role::CLIENT,
                state: state::OPENING,
                reserved: [0; 2],
            };
            let cookie = bpf_get_socket_cookie(sk);
            if CONNECTIONS.insert(&cookie, &connection, 0).is_err() {
                lost(Lost::Connections);
            }
        }
    }

    #[inline(always)]
    fn established(sk: *mut c_void, tcp: *const c_void, old: i32) {
        // SAFETY: helpers and fields of BTF pointers; what is followed is not null.
        unsafe {
            let connection = followed(sk);
            if !connection.is_null() {
                if (*connection).state != state::OPENING {
                    return;
                }
                (*connection).state = state::OPEN;
                let took = bpf_ktime_get_ns().saturating_sub((*connection).opened_ns);
                both(&raw const (*connection).task, &STATE_FRESH, |figures| {
                    add(&raw mut (*side(figures, role::CLIENT)).established, 1);
                    record(&raw mut (*figures).connect, took);
                });
                return;
            }
            if old != SYN_RECV {
                // There was no room for it, or the agent was not there, when it called connect.
                if let Some(host) = HOST.get_ptr_mut(0) {
                    add(&raw mut (*side(host, role::CLIENT)).established, 1);
                }
                return;
            }
            let connection = Connection {
                task: listener(sk),
                opened_ns: 0,
                sent_before: 0,
                received_before: 0,
                // What was sent again of the handshake has been counted for the listener.
                retransmits: field(tcp, offset!(tcp_total_retrans)),
                role: role::SERVER,
                state: state::OPEN,
                reserved: [0; 2],
            };
            both(&raw const connection.task, &STATE_FRESH, |figures| {
                add(&raw mut (*side(figures, role::SERVER)).established, 1);
            });
            let cookie = bpf_get_socket_cookie(sk);
            if CONNECTIONS.insert(&cookie, &connection, 0).is_err() {
                lost(Lost::Connections);
            }
        }
    }

    /// Why a connect failed.
    #[inline(always)]
    fn failure(errno: i32, shutdown: u8) -> Failure {
        match errno {
            111 => Failure::Refused,
            110 => Failure::TimedOut,
            101 | 113 => Failure::Unreachable,
            0 if shutdown & SHUTDOWN_BOTH == SHUTDOWN_BOTH => Failure::Abandoned,
            _ => Failure::Other,
        }
    }

    #[inline(always)]
    fn closed(sk: *mut c_void, tcp: *const c_void) {
        // SAFETY: fields of BTF pointers; what is followed is not null.
        unsafe {
            let connection = followed(sk);
            if connection.is_null() || (*connection).state == state::OVER {
                return;
            }
            let total: u32 = field(tcp, offset!(tcp_total_retrans));
            // Those that could not be sent are counted by the kernel, and not told by its hook.
            retransmitted(connection, total, &STATE_FRESH);
            let was = (*connection).state;
            (*connection).state = state::OVER;
            if was == state::OPENING {
                let errno: i32 = field(sk, offset!(sock_err));
                let shutdown: u8 = field(sk, offset!(sock_shutdown));
                let why = failure(errno, shutdown) as usize;
                both(&raw const (*connection).task, &STATE_FRESH, |figures| {
                    let failed = (&raw mut (*figures).failed).cast::<u64>();
                    if why < Failure::COUNT {
                        add(failed.add(why), 1);
                    }
                });
                return;
            }
            let all: u64 = field(tcp, offset!(tcp_bytes_sent));
            let again: u64 = field(tcp, offset!(tcp_bytes_retrans));
            let arrived: u64 = field(tcp, offset!(tcp_bytes_received));
            let flags: u64 = field(sk, offset!(sock_flags));
            let sent = all
                .saturating_sub(again)
                .saturating_sub((*connection).sent_before);
            // The kernel counts the FIN's sequence number as a byte.
            let received = arrived
                .saturating_sub((flags & SOCK_DONE != 0) as u64)
                .saturating_sub((*connection).received_before);
            let srtt: u32 = field(tcp, offset!(tcp_srtt_us));
            let role = (*connection).role;
            both(&raw const (*connection).task, &STATE_FRESH, |figures| {
                let side = side(figures, role);
                add(&raw mut (*side).sent, sent);
                add(&raw mut (*side).received, received);
                if srtt != 0 {
                    record(&raw mut (*side).rtt, (srtt as u64) * 125);
                }
            });
        }
    }

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
                retransmitted(connection, total, &RETRANSMIT_FRESH);
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
            both(&raw const task, &SYNACK_FRESH, |figures| {
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
                &SEND_RESET_FRESH,
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
                &RECEIVE_RESET_FRESH,
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
