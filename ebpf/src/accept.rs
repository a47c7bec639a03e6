//! Kernel programs of the accept queue: how long a connection that is established waits until the
//! application accepts it.
//!
//! No tracepoint tells of an accept. But `accept` gives its caller the peer's address, and for that
//! runs the programs that the cgroup has for `getpeername` (`do_accept` calls `inet_getname`). Ours
//! looks at the clock and lets everything pass. A caller that does not ask for the address is not
//! seen; its connections are counted when they are closed.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod kernel {
    use core::ffi::c_void;
    use core::mem::zeroed;
    use core::ptr::{addr_of, null_mut};

    use aya_ebpf::Global;
    use aya_ebpf::btf_maps::SkStorage;
    use aya_ebpf::helpers::generated::{
        bpf_get_current_pid_tgid, bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_sk_storage_get,
        bpf_task_pt_regs,
    };
    use aya_ebpf::macros::{btf_map, btf_tracepoint, cgroup_sock_addr, map};
    use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
    use aya_ebpf::programs::{BtfTracePointContext, SockAddrContext};
    use hark_common::accept::{AcceptOffsets, Accepted, Counter, MAX_PROCESSES};
    use hark_common::histogram::{BUCKETS, Exp2};
    use hark_common::offsets::MACHINE_AARCH64;
    use hark_common::process::{ProcessKey, ProcessOffsets};
    use hark_ebpf::histogram::bucket;
    use hark_ebpf::kernel::{add, describe, field, is_kernel_thread, probe, process_of};
    use hark_ebpf::offset;

    // include/net/tcp_states.h
    const ESTABLISHED: i32 = 1;
    const SYN_RECV: i32 = 3;
    const FIN_WAIT1: i32 = 4;
    const CLOSE: i32 = 7;
    const LAST_ACK: i32 = 9;
    /// `BPF_SK_STORAGE_GET_F_CREATE`.
    const CREATE: u64 = 1;
    /// `BPF_NOEXIST`.
    const NEW: u64 = 1;
    /// `BPF_F_NO_PREALLOC`.
    const NO_PREALLOC: u32 = 1;
    /// What a program must return so that the call goes on.
    const PASS: i32 = 1;

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static OFFSETS: AcceptOffsets = unsafe { zeroed() };
    /// Where this kernel keeps what names a process.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static PROCESS: ProcessOffsets = unsafe { zeroed() };
    /// The agent's own process id, whose accepts are left out.
    #[unsafe(no_mangle)]
    static OWN_PID: Global<u32> = Global::new(0);

    /// A connection in an accept queue.
    #[repr(C)]
    struct Waiting {
        /// When it was established, ns (`CLOCK_MONOTONIC`); 0 once it is accepted or given up.
        since_ns: u64,
        /// Where the registers of a system call lie above the start of a task's stack: the same
        /// for all tasks, and only tracing programs are told.
        regs_offset: u64,
    }

    #[btf_map]
    static WAITING: SkStorage<Waiting> = SkStorage::new();
    #[map]
    static PROCESSES: HashMap<ProcessKey, Accepted> =
        HashMap::with_max_entries(MAX_PROCESSES, NO_PREALLOC);
    #[map]
    static HOST: Array<Exp2> = Array::with_max_entries(1, 0);
    #[map]
    static COUNTERS: Array<u64> = Array::with_max_entries(Counter::COUNT, 0);
    /// A new entry, made here because it is too large for the stack.
    #[map]
    static FRESH: PerCpuArray<Accepted> = PerCpuArray::with_max_entries(1, 0);

    #[inline(always)]
    fn bump(counter: Counter) {
        if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
            // SAFETY: a slot of the map.
            unsafe { add(value, 1) }
        }
    }

    /// Adds a duration.
    ///
    /// # Safety
    ///
    /// `to` must be a map's value, or a part of one.
    #[inline(always)]
    unsafe fn observe(to: *mut Exp2, ns: u64) {
        let mut index = bucket(ns);
        if index >= BUCKETS {
            index = BUCKETS - 1;
        }
        // SAFETY: by the caller; the index is within the array.
        unsafe {
            add((&raw mut (*to).buckets).cast::<u64>().add(index), 1);
            add(&raw mut (*to).sum_ns, ns);
        }
    }

    /// The entry of the current process; none if it is the kernel's own, or the map is full.
    #[inline(always)]
    fn current_process() -> Option<*mut Accepted> {
        // SAFETY: the current task is a BTF pointer.
        unsafe {
            let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
            if is_kernel_thread(task, &PROCESS) {
                return None;
            }
            let key = process_of(task, &PROCESS);
            if let Some(entry) = PROCESSES.get_ptr_mut(&key) {
                return Some(entry);
            }
            let fresh = FRESH.get_ptr_mut(0)?;
            describe(&mut (*fresh).task, key, task, &PROCESS);
            let _ = PROCESSES.insert(&key, &*fresh, NEW);
            let Some(entry) = PROCESSES.get_ptr_mut(&key) else {
                bump(Counter::MapFull);
                return None;
            };
            // Another task of this CPU may have come between with its own description.
            if (*entry).task.process != key {
                describe(&mut (*entry).task, key, task, &PROCESS);
            }
            Some(entry)
        }
    }

    /// Whether the current system call is `getpeername`, which is no accept.
    #[inline(always)]
    fn is_getpeername(regs_offset: u64) -> bool {
        // SAFETY: a helper without preconditions.
        let task = unsafe { bpf_get_current_task_btf() } as u64;
        let stack: u64 = probe(task, offset!(task_stack));
        let syscall: u64 = probe(stack.wrapping_add(regs_offset), offset!(regs_syscall));
        // The 64-bit number, then for 32-bit tasks that of the call and that of socketcall, which
        // stand for nothing that has to do with addresses in 64-bit tasks.
        if offset!(machine) == MACHINE_AARCH64 {
            matches!(syscall as u32, 205 | 287)
        } else {
            matches!(syscall as u32, 52 | 368 | 102)
        }
    }

    /// Runs with the socket locked, as what changes its state does: one at a time per socket.
    #[inline(always)]
    fn on_peer_name(ctx: &SockAddrContext) {
        // SAFETY: the context is the kernel's; the storage belongs to the socket, which lives.
        let waiting = unsafe { WAITING.get_ptr_mut(ctx) };
        if waiting.is_null() {
            return;
        }
        // SAFETY: not null, and freed only with the socket.
        let waiting = unsafe { &mut *waiting };
        if waiting.since_ns == 0 || is_getpeername(waiting.regs_offset) {
            return;
        }
        // SAFETY: helpers without preconditions.
        let (now, pid_tgid) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_pid_tgid()) };
        let ns = now.saturating_sub(waiting.since_ns);
        waiting.since_ns = 0;
        if (pid_tgid >> 32) as u32 == OWN_PID.load() {
            return;
        }
        // SAFETY: values of maps.
        unsafe {
            if let Some(host) = HOST.get_ptr_mut(0) {
                observe(host, ns);
            }
            if let Some(entry) = current_process() {
                observe(&raw mut (*entry).wait, ns);
            }
        }
    }

    /// `BPF_CGROUP_INET4_GETPEERNAME`: `inet_getname`, net/ipv4/af_inet.c, Linux 5.8.
    #[cgroup_sock_addr(getpeername4)]
    fn getpeername4(ctx: SockAddrContext) -> i32 {
        on_peer_name(&ctx);
        PASS
    }

    /// `BPF_CGROUP_INET6_GETPEERNAME`: `inet6_getname`, net/ipv6/af_inet6.c, Linux 5.8.
    #[cgroup_sock_addr(getpeername6)]
    fn getpeername6(ctx: SockAddrContext) -> i32 {
        on_peer_name(&ctx);
        PASS
    }

    /// The socket's storage.
    ///
    /// # Safety
    ///
    /// `sk` must be a BTF pointer to a socket.
    #[inline(always)]
    unsafe fn storage(sk: *mut c_void, flags: u64) -> *mut Waiting {
        // SAFETY: by the caller; the map is a socket storage with this value type.
        unsafe { bpf_sk_storage_get(addr_of!(WAITING).cast_mut().cast(), sk, null_mut(), flags) }
            .cast()
    }

    /// `trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`,
    /// net/ipv4/af_inet.c, Linux 4.16.
    #[btf_tracepoint(function = "inet_sock_set_state")]
    fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
        let sk: *mut c_void = ctx.arg(0);
        let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
        if old == SYN_RECV && new == ESTABLISHED {
            // SAFETY: the argument is a BTF pointer.
            unsafe { established(sk) };
        } else if matches!(new, FIN_WAIT1 | LAST_ACK | CLOSE) {
            // SAFETY: the argument is a BTF pointer.
            unsafe { closed(sk, new) };
        }
        0
    }

    /// In softirq: the third part of the handshake has come.
    ///
    /// # Safety
    ///
    /// `sk` must be a BTF pointer to a `struct sock`.
    #[inline(always)]
    unsafe fn established(sk: *mut c_void) {
        // SAFETY: by the caller.
        let socket: u64 = unsafe { field(sk, offset!(sock_socket)) };
        if socket != 0 {
            // Somebody has it already: opened from both ends at once, or by TCP Fast Open and
            // accepted before the handshake ended. It does not wait.
            return;
        }
        // SAFETY: by the caller.
        let waiting = unsafe { storage(sk, CREATE) };
        if waiting.is_null() {
            bump(Counter::StorageFailed);
            return;
        }
        // SAFETY: not null, and freed only with the socket; helpers without preconditions. The
        // pointer goes through memory because the verifier lets nobody calculate with it.
        unsafe {
            let task = bpf_get_current_task_btf();
            let regs = bpf_task_pt_regs(task) as u64;
            (&raw mut (*waiting).regs_offset).write_volatile(regs);
            let regs = (&raw const (*waiting).regs_offset).read_volatile();
            let stack: u64 = probe(task as u64, offset!(task_stack));
            (*waiting).regs_offset = regs.wrapping_sub(stack);
            (*waiting).since_ns = bpf_ktime_get_ns();
        }
    }

    /// A socket that has been accepted, and whose accept was not seen, says so now.
    ///
    /// # Safety
    ///
    /// `sk` must be a BTF pointer to a `struct sock`.
    #[inline(always)]
    unsafe fn closed(sk: *mut c_void, new: i32) {
        // SAFETY: by the caller.
        let waiting = unsafe { storage(sk, 0) };
        if waiting.is_null() {
            return;
        }
        // SAFETY: not null, and freed only with the socket.
        let waiting = unsafe { &mut *waiting };
        // SAFETY: by the caller.
        let socket: u64 = unsafe { field(sk, offset!(sock_socket)) };
        // Without a socket it is still in the queue: the peer gave up, or the listener did.
        if waiting.since_ns == 0 || socket == 0 {
            return;
        }
        waiting.since_ns = 0;
        // SAFETY: a helper without preconditions.
        let pid_tgid = unsafe { bpf_get_current_pid_tgid() };
        // These two are set by close and shutdown only, so that `current` is the one who had it.
        let is_owners = new == FIN_WAIT1 || new == LAST_ACK;
        if is_owners && (pid_tgid >> 32) as u32 == OWN_PID.load() {
            return;
        }
        bump(Counter::Unseen);
        if is_owners && let Some(entry) = current_process() {
            // SAFETY: a value of a map.
            unsafe { add(&raw mut (*entry).unseen, 1) }
        }
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
