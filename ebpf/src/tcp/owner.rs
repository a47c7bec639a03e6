//! Whose a connection is: who opens it, or who listens on its address.

use super::*;

use hark_ebpf::kernel::address;

/// Whoever called `listen` for an address last. Nothing is removed: a connection can only come to
/// an address that somebody listens on, and who does has replaced whoever did.
#[map]
pub(super) static LISTENERS: LruHashMap<SocketAddress, Task> =
    LruHashMap::with_max_entries(MAX_LISTENERS, 0);

/// Who is running, if it is a process and not the kernel.
#[inline(always)]
pub(super) fn current() -> Task {
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
pub(super) unsafe fn local(sk: *const c_void) -> SocketAddress {
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
        let (v4, v6) = (&OFFSETS.sock_rcv_saddr, &OFFSETS.sock_v6_rcv_saddr);
        address(sk, to.family, v4, v6, &mut to.addr);
        to
    }
}

/// Whoever listens where this connection came to: on its own address, or on all.
///
/// # Safety
///
/// As for [`local`].
#[inline(always)]
pub(super) unsafe fn listener(sk: *const c_void) -> Task {
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
    count(&COUNTERS, Lost::Listener as u32);
    Task::default()
}
