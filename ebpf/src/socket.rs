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
    use core::ptr::{addr_of, null_mut};

    use aya_ebpf::Global;
    use aya_ebpf::bindings::task_struct;
    use aya_ebpf::btf_maps::SkStorage;
    use aya_ebpf::helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
        bpf_get_current_task_btf, bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_loop,
        bpf_probe_read_user, bpf_ringbuf_output, bpf_ringbuf_query, bpf_sk_storage_get,
        bpf_skc_to_tcp_sock, bpf_skc_to_unix_sock, bpf_task_pt_regs,
    };
    use aya_ebpf::macros::{btf_map, btf_tracepoint, map};
    use aya_ebpf::maps::{LruHashMap, PerCpuArray, RingBuf};
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::counter::Counter;
    use hark_common::offsets::{MACHINE_AARCH64, Offsets};
    use hark_common::socket::{
        ARGS_LIMIT, AbortReason, ENVIRON_LIMIT, ProcessKey, ProcessRecord, RecordKind,
        SocketAddress, Task, slot,
    };
    use hark_ebpf::classify::{
        End, conclude, counted_in_body, end_of_stream, ends_in_body, gap_before, is_for_http2,
        look, read_failed, tcp, tcp_destroyed, tcp_state,
    };
    use hark_ebpf::env::Env;
    use hark_ebpf::exchange::{
        Event, RX, Scratch, SocketState, TX, close, probing, state_flag, verdict,
    };
    use hark_ebpf::http1::{Found, Stream, Window};
    use hark_ebpf::http2::{Scratch as Http2Scratch, State};
    use hark_ebpf::kernel::{constant, field, probe};
    use hark_ebpf::walk::{STEPS, Step, gap, step};

    const AF_UNIX: u16 = 1;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    const SOCK_STREAM: u16 = 1;
    const MSG_PEEK: i32 = 0x2;
    const MSG_TRUNC: i32 = 0x20;
    const MSG_DONTWAIT: i32 = 0x40;
    const MSG_ERRQUEUE: i32 = 0x2000;
    const RCV_SHUTDOWN: u8 = 1;
    const SHUTDOWN_BOTH: u8 = 3;
    const ECONNRESET: i32 = 104;
    const EPIPE: i32 = 32;
    const ETIMEDOUT: i32 = 110;
    /// `BPF_RB_NO_WAKEUP` and `BPF_RB_FORCE_WAKEUP`, `BPF_RB_AVAIL_DATA`.
    const NO_WAKEUP: u64 = 1;
    const FORCE_WAKEUP: u64 = 2;
    const AVAIL_DATA: u64 = 0;
    /// `BPF_SK_STORAGE_GET_F_CREATE`.
    const CREATE: u64 = 1;

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    static OFFSETS: Offsets = Offsets {
        sock_family: 0,
        sock_daddr: 0,
        sock_rcv_saddr: 0,
        sock_dport: 0,
        sock_num: 0,
        sock_v6_daddr: 0,
        sock_v6_rcv_saddr: 0,
        sock_net: 0,
        sock_cookie: 0,
        sock_type: 0,
        sock_err: 0,
        sock_shutdown: 0,
        net_inum: 0,
        tcp_write_seq: 0,
        tcp_copied_seq: 0,
        unix_peer: 0,
        task_files: 0,
        task_group_leader: 0,
        task_start_boottime: 0,
        task_self_exec_id: 0,
        task_mm: 0,
        mm_arg_start: 0,
        mm_arg_end: 0,
        mm_env_start: 0,
        mm_env_end: 0,
        files_fdt: 0,
        fdtable_fd: 0,
        fdtable_max_fds: 0,
        sock_socket: 0,
        socket_file: 0,
        socket_sk: 0,
        file_private_data: 0,
        regs_syscall: 0,
        regs_arg0: 0,
        regs_arg1: 0,
        regs_arg2: 0,
        regs_mode: 0,
        regs_call: [0; 5],
        regs_result: 0,
        regs_go: [0; 3],
        regs_goroutine: 0,
        machine: 0,
    };
    /// A field of [`OFFSETS`]. One at a time: a copy of them all costs more than what is done with it.
    macro_rules! offset {
        ($name:ident) => {
            constant(&OFFSETS.$name)
        };
    }

    // Behind the macro, which they use.
    mod apart;
    mod fexit;
    mod http2;
    mod tls;

    /// The agent's own process id, whose sockets are left out.
    #[unsafe(no_mangle)]
    static OWN_PID: Global<u32> = Global::new(0);
    /// Bytes in the ring buffer, a power of two, at each multiple of which the agent is woken. Below,
    /// its timer drains it.
    #[unsafe(no_mangle)]
    static WAKE_AT: Global<u64> = Global::new(1 << 20);

    /// Whether `AF_UNIX` streams are followed.
    #[unsafe(no_mangle)]
    static FOLLOW_UNIX: Global<u32> = Global::new(1);

    #[map]
    static RECORDS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);
    #[map]
    static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);
    #[btf_map]
    static SOCKETS: SkStorage<SocketState> = SkStorage::new();
    /// Processes that were introduced by a [`ProcessRecord`].
    #[map]
    static PROCESSES: LruHashMap<ProcessKey, u8> = LruHashMap::with_max_entries(16384, 0);
    /// The agent's own endpoints: sockets that talk to them are left out as well.
    #[map]
    static OWN_ENDPOINTS: LruHashMap<SocketAddress, u8> = LruHashMap::with_max_entries(1024, 0);
    /// Working memory, one for each program, by [`slot`]: from Linux 7.0 on one program may be
    /// interrupted by another on the same CPU, as fexit programs may be before, but none by itself.
    #[map]
    static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(slot::COUNT, 0);
    #[map]
    static INTRODUCTION: PerCpuArray<Introduction> = PerCpuArray::with_max_entries(1, 0);

    #[repr(C)]
    struct Introduction {
        record: ProcessRecord,
        /// The command line, and right behind it the environment.
        bytes: [u8; ARGS_LIMIT + ENVIRON_LIMIT],
    }

    #[inline(always)]
    fn bump(counter: u32, n: u64) {
        if let Some(value) = COUNTERS.get_ptr_mut(counter) {
            // SAFETY: a slot of this CPU's own.
            unsafe { *value = (*value).wrapping_add(n) }
        }
    }

    struct Kernel;

    impl Env for Kernel {
        #[inline(always)]
        unsafe fn read_user(&mut self, to: *mut u8, len: u32, addr: u64) -> bool {
            // SAFETY: `to` is valid by the caller; the helper checks the source.
            unsafe { bpf_probe_read_user(to.cast(), len, addr as *const c_void) == 0 }
        }

        #[inline(always)]
        unsafe fn emit(&mut self, record: *const u8, len: u32) -> bool {
            // SAFETY: by the caller; the map outlives the call.
            let sent = unsafe {
                let map = (&raw const RECORDS).cast_mut().cast::<c_void>();
                // Once at each multiple of the mark, not for each record past it: a wake-up costs
                // more than all the rest.
                let before = bpf_ringbuf_query(map, AVAIL_DATA);
                let passes = (before ^ (before + len as u64)) & !(WAKE_AT.load() - 1) != 0;
                let flags = if passes { FORCE_WAKEUP } else { NO_WAKEUP };
                bpf_ringbuf_output(map, record.cast_mut().cast(), len as u64, flags) == 0
            };
            bump(
                if sent {
                    Counter::RecordsSubmitted
                } else {
                    Counter::RecordsLost
                } as u32,
                1,
            );
            sent
        }

        #[inline(always)]
        fn describe(&mut self, task: &mut Task, introduced: &mut u64) {
            who(task);
            let process = task.process;
            let mark = process.start_boottime_ns
                ^ (process.pid as u64) << 40
                ^ (process.exec_id as u64) << 20;
            if *introduced != mark && introduce(task) {
                *introduced = mark;
            }
        }

        #[inline(always)]
        fn thread(&mut self) -> u32 {
            // SAFETY: a helper without preconditions.
            (unsafe { bpf_get_current_pid_tgid() }) as u32
        }

        #[inline(always)]
        fn count(&mut self, counter: Counter, n: u64) {
            bump(counter as u32, n);
        }

        #[inline(always)]
        fn scan(
            &mut self,
            stream: &mut Stream,
            window: &Window,
            (at, end): (u32, u32),
            request: bool,
        ) -> (u32, Found) {
            apart::scanned(apart::http1_scan(stream, window, at, end, request as u32))
        }

        #[inline(always)]
        fn request_begun(&mut self, state: &mut SocketState, s: &mut Scratch) {
            apart::http1_request_begun(state, s);
        }

        #[inline(always)]
        fn request_piece(&mut self, state: &mut SocketState, s: &mut Scratch, last: bool) {
            apart::http1_request_piece(state, s, last as u32);
        }

        #[inline(always)]
        fn response_end(&mut self, state: &mut SocketState, s: &mut Scratch, flags: u16) {
            apart::http1_response_end(state, s, flags as u32);
        }

        #[inline(always)]
        fn end_outstanding(
            &mut self,
            state: &mut SocketState,
            s: &mut Scratch,
            (reason, errno): (AbortReason, u32),
            counter: Counter,
        ) {
            apart::http1_end_outstanding(state, s, reason, errno, counter);
        }

        #[inline(always)]
        fn http2_flush(&mut self, socket: &SocketState, state: &mut State, s: &mut Http2Scratch) {
            apart::http2_flush(socket, state, s);
        }

        #[inline(always)]
        fn http2_data_end(&mut self, state: &mut State, s: &mut Http2Scratch) {
            apart::http2_data_end(state, s);
        }
    }

    #[inline(always)]
    fn who(to: &mut Task) {
        // SAFETY: helpers without preconditions; the task is a BTF pointer, as is what it points to.
        unsafe {
            let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
            let leader: *const c_void = field(task, offset!(task_group_leader));
            let pid_tgid = bpf_get_current_pid_tgid();
            to.process.start_boottime_ns = field(leader, offset!(task_start_boottime));
            to.process.pid = (pid_tgid >> 32) as u32;
            to.process.exec_id = field::<u32>(leader, offset!(task_self_exec_id));
            to.cgroup_id = bpf_get_current_cgroup_id();
            to.tid = pid_tgid as u32;
            to.reserved = 0;
            bpf_get_current_comm(to.comm.as_mut_ptr().cast(), 16);
        }
    }

    /// Copies at most `limit` bytes of the current task's memory from `start` to `end`. Returns how
    /// many; none if the memory is not there.
    ///
    /// # Safety
    ///
    /// `to` must have room for `limit` bytes.
    #[inline(always)]
    unsafe fn copy(to: *mut u8, limit: u64, start: u64, end: u64) -> u32 {
        let mut len = end.wrapping_sub(start);
        if len > limit {
            len = limit;
        }
        let len = len as u32;
        // SAFETY: by the caller; the helper checks the source.
        let read = unsafe { bpf_probe_read_user(to.cast(), len, start as *const c_void) == 0 };
        if read { len } else { 0 }
    }

    /// Sends command line and environment of a process that was not seen before, unless there is no
    /// room, and wakes the agent, because the process may be gone in a moment.
    #[inline(always)]
    fn introduce(task: &Task) -> bool {
        let key = task.process;
        // SAFETY: the value is not kept.
        if unsafe { PROCESSES.get(&key) }.is_some() {
            return true;
        }
        let Some(to) = INTRODUCTION.get_ptr_mut(0) else {
            return false;
        };
        // SAFETY: this CPU's own slot, of the right size; helpers check what they read.
        unsafe {
            let current: u64 = bpf_get_current_task_btf() as u64;
            let mm: u64 = probe(current, offset!(task_mm));
            let bytes = (&raw mut (*to).bytes).cast::<u8>();
            let args_len = copy(
                bytes,
                ARGS_LIMIT as u64,
                probe(mm, offset!(mm_arg_start)),
                probe(mm, offset!(mm_arg_end)),
            );
            let environ_len = copy(
                bytes.add(args_len as usize),
                ENVIRON_LIMIT as u64,
                probe(mm, offset!(mm_env_start)),
                probe(mm, offset!(mm_env_end)),
            );
            let size = size_of::<ProcessRecord>() as u32 + args_len + environ_len;
            // Field by field: a whole record would lie on the stack first, which has little room.
            let record = &mut (*to).record;
            record.header.kind = RecordKind::Process as u32;
            record.header.size = size;
            record.header.time_ns = bpf_ktime_get_ns();
            record.header.socket = 0;
            record.task = *task;
            record.args_len = args_len;
            record.environ_len = environ_len;
            let map = (&raw const RECORDS).cast_mut().cast::<c_void>();
            let sent = bpf_ringbuf_output(map, to.cast(), size as u64, FORCE_WAKEUP) == 0;
            if sent {
                bump(Counter::RecordsSubmitted as u32, 1);
                let _ = PROCESSES.insert(&key, &1, 0);
            } else {
                bump(Counter::RecordsLost as u32, 1);
            }
            sent
        }
    }

    /// Both ends of a connection: `(local, peer)`.
    #[inline(always)]
    fn ends(sk: *const c_void, family: u16, local: &mut SocketAddress, peer: &mut SocketAddress) {
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

    /// Whether the file behind descriptor `fd` of the current task is the socket's. An `io_uring`
    /// receive completes inside whatever system call the thread is in, and the registers then
    /// describe that call.
    ///
    /// # Safety
    ///
    /// `task` and `sk` must be BTF pointers.
    #[inline(always)]
    unsafe fn is_our_call(task: *const c_void, fd: u64, sk: *const c_void) -> bool {
        // SAFETY: fields of BTF pointers, and of what they point to.
        unsafe {
            let files: *const c_void = field(task, offset!(task_files));
            if files.is_null() {
                return false;
            }
            let fdt: *const c_void = field(files, offset!(files_fdt));
            if fdt.is_null() {
                return false;
            }
            let max: u32 = field(fdt, offset!(fdtable_max_fds));
            let table: u64 = field(fdt, offset!(fdtable_fd));
            let fd = fd as u32;
            if fd >= max {
                return false;
            }
            let socket: *const c_void = field(sk, offset!(sock_socket));
            if socket.is_null() {
                return false;
            }
            let file: u64 = field(socket, offset!(socket_file));
            file != 0 && probe::<u64>(table.wrapping_add(fd as u64 * 8), 0) == file
        }
    }

    /// System calls whose first argument is the socket and whose second says where the bytes are.
    enum Buffer {
        /// The second argument is the buffer.
        Plain,
        /// It is an array of `struct iovec`, the third argument its length.
        Vector,
        /// It is a `struct msghdr`.
        Message,
        /// There is no buffer, or it is not known.
        None,
        /// `io_uring_enter`.
        Ring,
    }

    /// System call numbers of `arch/x86/entry/syscalls/syscall_64.tbl` and
    /// `include/uapi/asm-generic/unistd.h`.
    #[inline(always)]
    fn buffer_of(machine: u32, syscall: u32) -> Buffer {
        if machine == MACHINE_AARCH64 {
            return match syscall {
                // read, write, sendto, recvfrom
                63 | 64 | 206 | 207 => Buffer::Plain,
                // readv, writev, preadv2, pwritev2
                65 | 66 | 286 | 287 => Buffer::Vector,
                // sendmsg, recvmsg
                211 | 212 => Buffer::Message,
                426 => Buffer::Ring,
                _ => Buffer::None,
            };
        }
        match syscall {
            // read, write, sendto, recvfrom
            0 | 1 | 44 | 45 => Buffer::Plain,
            // readv, writev, preadv2, pwritev2
            19 | 20 | 327 | 328 => Buffer::Vector,
            // sendmsg, recvmsg
            46 | 47 => Buffer::Message,
            426 => Buffer::Ring,
            _ => Buffer::None,
        }
    }

    /// Whether the task runs 32-bit code: its structures have another layout.
    #[inline(always)]
    fn is_compat(machine: u32, mode: u64) -> bool {
        if machine == MACHINE_AARCH64 {
            // PSR_MODE32_BIT
            mode & 0x10 != 0
        } else {
            // __USER_CS is 0x33 for 64-bit code, 0x23 for 32-bit code.
            mode & 0xffff != 0x33
        }
    }

    /// An event whose bytes are only counted.
    #[inline(always)]
    fn nowhere(event: &mut Event) {
        event.readable = 0;
        event.segment = 0;
        event.segment_left = event.left;
        event.vector = 0;
        event.vector_left = 0;
        event.at = 0;
        event.end = 0;
        event.described = 0;
        event.unreadable_as = Counter::UnreadableSyscall as u8;
    }

    /// Finds the caller's buffer, and sets `event` to its first segment.
    #[inline(always)]
    fn locate(event: &mut Event, sk: *const c_void, flags: i32) {
        nowhere(event);
        if flags & MSG_TRUNC != 0 {
            return;
        }
        // SAFETY: the helpers give BTF pointers; user memory is read by a helper that checks it.
        unsafe {
            let task: *mut task_struct = bpf_get_current_task_btf();
            let regs = bpf_task_pt_regs(task) as *const c_void;
            let syscall = field::<u64>(regs, offset!(regs_syscall)) as u32;
            let fd: u64 = field(regs, offset!(regs_arg0));
            let at: u64 = field(regs, offset!(regs_arg1));
            let count: u64 = field(regs, offset!(regs_arg2));
            let mode: u64 = field(regs, offset!(regs_mode));
            if is_compat(offset!(machine), mode) {
                event.unreadable_as = Counter::UnreadableCompat as u8;
                return;
            }
            let buffer = buffer_of(offset!(machine), syscall);
            match buffer {
                Buffer::None => return,
                Buffer::Ring => {
                    event.unreadable_as = Counter::UnreadableForeign as u8;
                    return;
                }
                Buffer::Plain | Buffer::Vector | Buffer::Message => {}
            }
            if !is_our_call(task.cast_const().cast(), fd, sk) {
                event.unreadable_as = Counter::UnreadableForeign as u8;
                return;
            }
            match buffer {
                Buffer::Plain => {
                    event.segment = at;
                    event.readable = 1;
                }
                Buffer::Vector => {
                    event.vector = at;
                    event.vector_left = count as u32;
                    event.segment_left = 0;
                    event.readable = 1;
                }
                Buffer::Message => {
                    // struct user_msghdr: msg_iov at 16, msg_iovlen at 24.
                    let to = (&raw mut event.iovec).cast();
                    if bpf_probe_read_user(to, 16, (at + 16) as *const c_void) != 0 {
                        event.unreadable_as = Counter::UnreadableFault as u8;
                        return;
                    }
                    let [vector, count] = event.iovec;
                    event.vector = vector;
                    event.vector_left = count as u32;
                    event.segment_left = 0;
                    event.readable = 1;
                }
                Buffer::None | Buffer::Ring => {}
            }
        }
    }

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

    #[inline(never)]
    extern "C" fn step_http1(_index: u64, walk: *mut Walk) -> i64 {
        // SAFETY: `walk` points to the program's stack, and holds pointers to map values that stay
        // valid for the program's run.
        unsafe {
            (*walk).step = apart::http1_step((*walk).socket, (*walk).scratch.cast()) as u64;
            // Read back: the compiler knows what a step gives, and would pass it on, but the verifier
            // does not, and takes nothing but 0 and 1.
            ((&raw const (*walk).step).read_volatile() != Step::More as u64) as i64
        }
    }

    #[inline(always)]
    fn on_message(sk: *mut c_void, ret: i32, flags: i32, direction: u8, slot: u32) {
        if flags & (MSG_PEEK | MSG_ERRQUEUE) != 0 {
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
        // SAFETY: the socket is a BTF pointer, the map a socket storage with this value type.
        let state = unsafe {
            bpf_sk_storage_get(addr_of!(SOCKETS).cast_mut().cast(), sk, null_mut(), create)
        }
        .cast::<SocketState>();
        if state.is_null() {
            if ret > 0 {
                bump(Counter::StorageFailed as u32, 1);
            }
            return;
        }
        // SAFETY: not null, and freed only with the socket, which the caller holds.
        let state = unsafe { &mut *state };
        if ret <= 0 {
            if state.is_http() || state.verdict == verdict::TLS {
                on_end(sk, ret, direction, family, state, slot);
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
        if is_for_http2(state) || on_http1(message, family, state, slot, &mut walk) {
            http2::on_message(message, family, state, slot, &mut walk);
        }
    }

    /// The socket, how many bytes moved, the call's flags, and the direction.
    type Message = (*mut c_void, u32, i32, u8);

    /// A message of a socket that is HTTP/1, or not known. True if it is for HTTP/2.
    #[inline(always)]
    fn on_http1(
        (sk, moved, flags, direction): Message,
        family: u16,
        state: &mut SocketState,
        slot: u32,
        walk: &mut Walk,
    ) -> bool {
        if !look(state, direction) {
            return false;
        }
        // SAFETY: a helper without preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        let Some(s) = SCRATCH.get_ptr_mut(slot) else {
            return false;
        };
        // SAFETY: this CPU's and this program's own slot; a program does not interrupt itself.
        let s = unsafe { &mut *s };
        s.event.now = now;
        s.event.direction = direction;
        s.event.blocking = (direction == RX && flags & MSG_DONTWAIT == 0) as u8;
        if state.verdict == verdict::UNDECIDED && state.turns == 1 && is_own(sk, family, s) {
            state.verdict = verdict::NEVER;
            bump(Counter::SocketsOwn as u32, 1);
            return false;
        }
        if family != AF_UNIX {
            let missing = missing_before(sk, state, direction, moved);
            if missing != 0 {
                // SAFETY: the socket is a BTF pointer.
                s.event.socket = unsafe { bpf_get_socket_cookie(sk) };
                apart::http1_gap(state, s, missing);
            }
        }
        if counted_in_body(state, direction, moved as u64, now) {
            return false;
        }
        // SAFETY: the socket is a BTF pointer.
        s.event.socket = unsafe { bpf_get_socket_cookie(sk) };
        s.event.left = moved as u64;
        if !ends_in_body(state, direction, moved as u64) {
            locate(&mut s.event, sk, flags);
        } else {
            nowhere(&mut s.event);
        }
        let readable = s.event.readable != 0;
        if readable && state.is_request(direction) {
            ends(sk, family, &mut s.request.local, &mut s.request.peer);
        }
        walk.scratch = (&raw mut *s).cast();
        // SAFETY: the callback has the signature that the helper calls, and its context outlives
        // the call.
        unsafe {
            bpf_loop(STEPS, step_http1 as *mut c_void, (&raw mut *walk).cast(), 0);
        }
        if s.event.readable == 0 && s.event.left != 0 {
            bump(s.event.unreadable_as as u32, 1);
        }
        let outcome = walk.step as u32;
        apart::http1_conclude(state, s, outcome);
        if state.verdict == verdict::TLS {
            tls::recognised(sk, family, state, s, slot);
            return false;
        }
        // A frame begins with a zero, unless it is longer than what is evidence of frames.
        let frames = outcome == Step::NotHttp as u32 && s.window[0] == 0
            || state.probing(direction) != probing::NONE;
        frames && state.verdict != verdict::HTTP1
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

    /// A message of no bytes, or an error.
    #[inline(always)]
    fn on_end(
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
        // SAFETY: as in `on_message`.
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
        let gone = broken
            || probe::<u8>(peer as u64, offset!(sock_shutdown)) & SHUTDOWN_BOTH == SHUTDOWN_BOTH;
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
        // SAFETY: as above; the flag asks for no new storage.
        let other =
            unsafe { bpf_sk_storage_get(addr_of!(SOCKETS).cast_mut().cast(), peer, null_mut(), 0) }
                .cast::<SocketState>();
        if other.is_null() {
            return;
        }
        s.event.socket = probe(peer as u64, offset!(sock_cookie));
        // SAFETY: not null; the peer is held.
        let other = unsafe { &mut *other };
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

    /// Whether either end of a socket belongs to the agent.
    #[inline(always)]
    fn is_own(sk: *const c_void, family: u16, s: &mut Scratch) -> bool {
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

    /// `trace_sock_send_length(struct sock *sk, int ret, int flags)`, net/socket.c, Linux 6.3.
    #[btf_tracepoint(function = "sock_send_length")]
    fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
        on_message(ctx.arg(0), ctx.arg(1), ctx.arg(2), TX, slot::SEND);
        0
    }

    /// `trace_sock_recv_length(struct sock *sk, int ret, int flags)`, net/socket.c, Linux 6.3.
    #[btf_tracepoint(function = "sock_recv_length")]
    fn sock_recv_length(ctx: BtfTracePointContext) -> i32 {
        on_message(ctx.arg(0), ctx.arg(1), ctx.arg(2), RX, slot::RECV);
        0
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
        // SAFETY: the socket is a BTF pointer, the map a socket storage with this value type.
        let state = unsafe {
            bpf_sk_storage_get(addr_of!(SOCKETS).cast_mut().cast(), sk, null_mut(), create)
        }
        .cast::<SocketState>();
        if state.is_null() {
            return 0;
        }
        // SAFETY: not null, and freed only with the socket.
        let state = unsafe { &mut *state };
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
        // SAFETY: the socket is a BTF pointer, the map a socket storage with this value type.
        let state =
            unsafe { bpf_sk_storage_get(addr_of!(SOCKETS).cast_mut().cast(), sk, null_mut(), 0) }
                .cast::<SocketState>();
        if state.is_null() {
            return 0;
        }
        // SAFETY: not null, and freed only with the socket.
        let state = unsafe { &mut *state };
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

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
