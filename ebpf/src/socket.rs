//! Kernel programs of the socket layer: every send and receive on every stream socket.
//!
//! BTF tracepoints. `sock_send_length` and `sock_recv_length` fire at the end of each message on any
//! socket, whatever the system call; the bytes are read from the caller's buffer, which the user
//! registers name. Kernels that lack them have functions at whose end the same is told (`socket/fexit.rs`).
//! `inet_sock_set_state` and `tcp_destroy_sock` tell the end of a TCP connection.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod socket {
    use core::ffi::c_void;
    use core::mem::zeroed;
    use core::ptr::null_mut;

    use aya_ebpf::Global;
    use aya_ebpf::bindings::task_struct;
    use aya_ebpf::btf_maps::SkStorage;
    use aya_ebpf::helpers::generated::{
        bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_get_socket_cookie,
        bpf_ktime_get_ns, bpf_loop, bpf_probe_read_user, bpf_ringbuf_output, bpf_skc_to_tcp_sock,
        bpf_skc_to_unix_sock, bpf_task_pt_regs,
    };
    use aya_ebpf::macros::{btf_map, btf_tracepoint, map};
    use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray, RingBuf};
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::counter::Counter;
    use hark_common::offsets::Offsets;
    use hark_common::socket::{AbortReason, RecordKind, SocketAddress, Task, slot};
    use hark_ebpf::classify::{End, counted_in_body, ends_in_body, gap_before, is_for_http2, look};
    use hark_ebpf::env::Env;
    use hark_ebpf::exchange::{
        Event, RX, Scratch, SocketState, TX, close, is_unasked, may_be_unasked, probing,
        state_flag, verdict,
    };
    use hark_ebpf::http2::State;
    use hark_ebpf::kernel::{AF_INET, constant, field, probe};
    use hark_ebpf::maps::{CREATE, of_socket};
    use hark_ebpf::offset;
    use hark_ebpf::walk::{STEPS, Step};

    mod address;
    mod apart;
    mod buffer;
    mod end;
    mod env;
    mod fexit;
    mod http1;
    mod http2;
    mod process;
    mod spare;
    mod tls;

    use address::{OWN_ENDPOINTS, ends, is_own};
    use buffer::{is_our_call, locate, nowhere};
    use env::Kernel;
    use http1::walk_http1;

    const AF_UNIX: u16 = 1;
    const AF_INET6: u16 = 10;
    const SOCK_STREAM: u16 = 1;
    const MSG_PEEK: i32 = 0x2;
    const MSG_ERRQUEUE: i32 = 0x2000;
    const RCV_SHUTDOWN: u8 = 1;
    const SHUTDOWN_BOTH: u8 = 3;
    const ECONNRESET: i32 = 104;
    const EPIPE: i32 = 32;
    const ETIMEDOUT: i32 = 110;
    /// `BPF_RB_FORCE_WAKEUP`.
    const FORCE_WAKEUP: u64 = 2;

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static OFFSETS: Offsets = unsafe { zeroed() };
    /// The agent's own process id, whose sockets are left out.
    #[unsafe(no_mangle)]
    static OWN_PID: Global<u32> = Global::new(0);
    /// Whether `AF_UNIX` streams are followed.
    #[unsafe(no_mangle)]
    static FOLLOW_UNIX: Global<u32> = Global::new(1);

    #[map]
    static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);
    #[map]
    static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);
    /// Not 0 once all programs are attached and the agent is about to read. Before, events are passed over:
    /// a request that is heard while nobody hears answers yet would be given the next one's.
    #[map]
    static ARMED: Array<u32> = Array::with_max_entries(1, 0);
    #[btf_map]
    static SOCKETS: SkStorage<SocketState> = SkStorage::new();
    /// Working memory, one for each program, by [`slot`]: from Linux 7.0 on one program may be
    /// interrupted by another on the same CPU, as fexit programs may be before, but none by itself.
    #[map]
    static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(slot::COUNT, 0);

    #[inline(always)]
    fn bump(counter: u32, n: u64) {
        if let Some(value) = COUNTERS.get_ptr_mut(counter) {
            // SAFETY: a slot of this CPU's own.
            unsafe { *value = (*value).wrapping_add(n) }
        }
    }

    /// The socket, how many bytes moved, the call's flags, and the direction.
    type Message = (*mut c_void, u32, i32, u8);

    /// What a loop's callback needs; lies on the stack of the program, once for both protocols.
    #[repr(C)]
    struct Walk {
        socket: *mut SocketState,
        /// Of HTTP/2 only.
        state: *mut State,
        /// The working memory of the protocol.
        scratch: *mut c_void,
        /// What the last step said.
        step: u64,
    }

    #[inline(always)]
    fn on_message(sk: *mut c_void, ret: i32, flags: i32, direction: u8, slot: u32) {
        if flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 || ARMED.get(0).is_none_or(|armed| *armed == 0) {
            return;
        }
        // SAFETY: the tracepoint's socket is a BTF pointer.
        let (family, kind): (u16, u16) = unsafe {
            (
                field(sk, offset!(sock_family)),
                field(sk, offset!(sock_type)),
            )
        };
        let unix = family == AF_UNIX && FOLLOW_UNIX.load() != 0;
        if kind != SOCK_STREAM || family != AF_INET && family != AF_INET6 && !unix {
            return;
        }
        // What came to nothing matters at the end of a connection only; EAGAIN is common.
        if ret < 0 && ret != -ECONNRESET && ret != -EPIPE && ret != -ETIMEDOUT {
            return;
        }
        let create = if ret > 0 { CREATE } else { 0 };
        // SAFETY: the socket is a BTF pointer, which the caller holds.
        let Some(state) = (unsafe { of_socket(&SOCKETS, sk, create) }) else {
            if ret > 0 {
                bump(Counter::StorageFailed as u32, 1);
            }
            return;
        };
        if ret <= 0 {
            if state.is_http() || state.verdict == verdict::TLS {
                end::on_nothing(sk, ret, direction, family, state, slot);
            }
            return;
        }
        if state.verdict == verdict::TLS {
            tls::on_ciphertext(sk, (ret, flags), direction, state, slot);
            return;
        }
        let mut walk = Walk {
            socket: state,
            state: null_mut(),
            scratch: null_mut(),
            step: 0,
        };
        let message = (sk, ret as u32, flags, direction);
        if is_for_http2(state) || http1::on_message(message, family, state, slot, &mut walk) {
            http2::on_message(message, family, state, slot, &mut walk);
        }
    }

    /// Bytes that moved on a TCP socket without an event before this one of `moved` bytes.
    #[inline(always)]
    fn missing_before(sk: *mut c_void, state: &mut SocketState, direction: u8, moved: u32) -> u32 {
        // SAFETY: the helper takes a BTF pointer, and gives one or null for what is not TCP.
        let tcp = unsafe { bpf_skc_to_tcp_sock(sk) } as *const c_void;
        if tcp.is_null() {
            return 0;
        }
        let at = if direction == TX {
            offset!(tcp_write_seq)
        } else {
            offset!(tcp_copied_seq)
        };
        // SAFETY: fields of BTF pointers.
        let (sequence, shutdown): (u32, u8) =
            unsafe { (field(tcp, at), field(sk, offset!(sock_shutdown))) };
        let missing = gap_before(state, direction, sequence, moved);
        // The FIN takes a sequence number, and is consumed by the read that comes upon it.
        if missing == 1 && direction == RX && shutdown & RCV_SHUTDOWN != 0 {
            return 0;
        }
        missing
    }

    /// `trace_sock_send_length(struct sock *sk, int ret, int flags)`, net/socket.c, Linux 6.3.
    #[btf_tracepoint(function = "sock_send_length")]
    fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
        if spare::have(Counter::LeftSent) {
            on_message(ctx.arg(0), ctx.arg(1), ctx.arg(2), TX, slot::SEND);
        }
        0
    }

    /// `trace_sock_recv_length(struct sock *sk, int ret, int flags)`, net/socket.c, Linux 6.3.
    #[btf_tracepoint(function = "sock_recv_length")]
    fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
        if spare::have(Counter::LeftReceived) {
            on_message(ctx.arg(0), ctx.arg(1), ctx.arg(2), RX, slot::RECV);
        }
        0
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
