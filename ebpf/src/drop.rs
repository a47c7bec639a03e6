//! Kernel programs of dropped packets: why the kernel threw them away.
//!
//! One count per packet, in per-CPU arrays that the agent reads at the scrape.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod kernel {
    use core::ffi::c_void;
    use core::mem::zeroed;

    use aya_ebpf::macros::{btf_tracepoint, map};
    use aya_ebpf::maps::PerCpuArray;
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::drop::{
        DropOffsets, PROTOCOL_SLOTS, PROTOCOLS, REASONS, SLOT_OTHER, SLOT_SUBSYSTEM, SLOTS,
        SUBSYSTEMS,
    };
    use hark_ebpf::kernel::{AF_INET, field};
    use hark_ebpf::maps::count;
    use hark_ebpf::offset;

    const AF_INET6: u16 = 10;
    /// `SKB_DROP_REASON_SUBSYS_SHIFT` of `include/net/dropreason.h`.
    const SUBSYSTEM_SHIFT: u32 = 16;

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static OFFSETS: DropOffsets = unsafe { zeroed() };

    /// Packets by reason; see [`hark_common::drop`] for the slots.
    #[map]
    static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(SLOTS, 0);
    /// Packets that found a socket's receive buffer full, by protocol.
    #[map]
    static QUEUE_FULL: PerCpuArray<u64> = PerCpuArray::with_max_entries(PROTOCOL_SLOTS, 0);
    /// Times that a socket was refused memory by its protocol's limit, by protocol.
    #[map]
    static MEMORY_LIMIT: PerCpuArray<u64> = PerCpuArray::with_max_entries(PROTOCOL_SLOTS, 0);

    /// The protocol's slot of a socket.
    ///
    /// # Safety
    ///
    /// `sk` must be a BTF pointer to a `struct sock`.
    #[inline(always)]
    unsafe fn protocol_slot(sk: *const c_void) -> u32 {
        // SAFETY: by the caller.
        unsafe {
            match field::<u16>(sk, offset!(sock_family)) {
                AF_INET | AF_INET6 => {
                    field::<u8>(sk, offset!(sock_protocol)) as u32 & (PROTOCOLS - 1)
                }
                _ => PROTOCOLS,
            }
        }
    }

    /// `trace_kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason, ...)`,
    /// include/trace/events/skb.h; the reason since Linux 5.17. A packet that was used up and not
    /// dropped goes through `consume_skb` instead.
    #[btf_tracepoint(function = "kfree_skb")]
    fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
        let reason: u32 = ctx.arg(2);
        let subsystem = reason >> SUBSYSTEM_SHIFT;
        let slot = if reason < REASONS {
            reason
        } else if subsystem > 0 && subsystem < SUBSYSTEMS {
            SLOT_SUBSYSTEM + subsystem
        } else {
            SLOT_OTHER
        };
        count(&DROPS, slot);
        0
    }

    /// `trace_sock_rcvqueue_full(struct sock *sk, struct sk_buff *skb)`, net/core/sock.c.
    #[btf_tracepoint(function = "sock_rcvqueue_full")]
    fn sock_rcvqueue_full(ctx: BtfTracePointContext) -> i32 {
        // SAFETY: the argument is a BTF pointer.
        count(&QUEUE_FULL, unsafe { protocol_slot(ctx.arg(0)) });
        0
    }

    /// `trace_udp_fail_queue_rcv_skb(int rc, struct sock *sk, ...)`, net/ipv4/udp.c: UDP has a
    /// queue of its own, whose fullness the other tracepoint does not tell.
    #[btf_tracepoint(function = "udp_fail_queue_rcv_skb")]
    fn udp_fail_queue_rcv_skb(ctx: BtfTracePointContext) -> i32 {
        // SAFETY: the argument is a BTF pointer.
        count(&QUEUE_FULL, unsafe { protocol_slot(ctx.arg(1)) });
        0
    }

    /// `trace_sock_exceed_buf_limit(struct sock *sk, struct proto *prot, long allocated, int kind)`,
    /// net/core/sock.c.
    #[btf_tracepoint(function = "sock_exceed_buf_limit")]
    fn sock_exceed_buf_limit(ctx: BtfTracePointContext) -> i32 {
        // SAFETY: the argument is a BTF pointer.
        count(&MEMORY_LIMIT, unsafe { protocol_slot(ctx.arg(0)) });
        0
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
