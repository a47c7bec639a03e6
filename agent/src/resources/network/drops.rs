//! Packets that the kernel dropped, by its reason, and receive buffers that were full.

use hark_common::drop::{
    PROTOCOL_SLOTS, PROTOCOLS, REASONS, SLOT_OTHER, SLOT_SUBSYSTEM, SUBSYSTEMS,
};

use crate::kernel::Hook;
use crate::kernel::btf::Btf;
use crate::kernel::counters::Counters;
use crate::kernel::drop::{Maps, WANTED, load};
use crate::kernel::object::{Object, Types};
use crate::resources::group::CollectError;
use crate::resources::hooks_of;
use crate::telemetry::page::{Family, Kind, Page, push_label};

const DROPPED: Family = Family {
    name: "hark_network_dropped_packets",
    help: "Packets that the kernel dropped in any network namespace, by its reason in lower case. `not_specified`: the kernel does not say; `subsystem_...`: by a part of the kernel with reasons of its own; `other`: a reason without a name.",
    unit: None,
    kind: Kind::Counter,
    source: "kfree_skb",
    labels: &["reason"],
};

const QUEUE_FULL: Family = Family {
    name: "hark_network_receive_buffer_full",
    help: "Packets that found the receive buffer of a socket full, in any network namespace. For TCP see hark_network_dropped_packets with the reason socket_rcvbuff.",
    unit: None,
    kind: Kind::Counter,
    source: "sock_rcvqueue_full, udp_fail_queue_rcv_skb",
    labels: &["protocol"],
};

const MEMORY_LIMIT: Family = Family {
    name: "hark_network_socket_memory_refused",
    help: "Times that a socket was refused memory because its protocol had reached its limit (net.ipv4.tcp_mem and its like).",
    unit: None,
    kind: Kind::Counter,
    source: "sock_exceed_buf_limit",
    labels: &["protocol"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&DROPPED, &QUEUE_FULL, &MEMORY_LIMIT];

const PREFIX: &str = "SKB_DROP_REASON_";
const SUBSYSTEM_PREFIX: &str = "SKB_DROP_REASON_SUBSYS_";

/// The running programs and what their slots are called.
pub(super) struct Drops {
    object: Object,
    maps: Maps,
    reasons: Vec<(u32, String)>,
}

/// Attaches what it needs; nothing if that cannot be.
pub(super) fn build(types: &Types) -> (Option<Drops>, Vec<Hook>) {
    let loaded = load(types).and_then(|mut object| Ok((Maps::take(&mut object)?, object)));
    let (maps, loaded) = match loaded {
        Ok((maps, object)) => (Some(maps), Ok(object)),
        Err(error) => (None, Err(error)),
    };
    let hooks = hooks_of("drop", &WANTED, &loaded);
    let drops = loaded.ok().zip(maps).map(|(object, maps)| Drops {
        object,
        maps,
        reasons: reasons(&types.btf),
    });
    (drops, hooks)
}

/// The slots that this kernel has a name for, and the label that it gives.
fn reasons(btf: &Btf) -> Vec<(u32, String)> {
    let of_kernel = btf.enumeration("skb_drop_reason").unwrap_or_default();
    let of_subsystems = btf
        .enumeration("skb_drop_reason_subsys")
        .unwrap_or_default();
    named(&of_kernel, &of_subsystems)
}

fn named(reasons: &[(String, u32)], subsystems: &[(String, u32)]) -> Vec<(u32, String)> {
    let mut slots: Vec<(u32, String)> = reasons
        .iter()
        .filter_map(|(name, number)| {
            // What lacks the prefix is no drop: SKB_NOT_DROPPED_YET, SKB_CONSUMED.
            let name = name.strip_prefix(PREFIX)?;
            // MAX and SUBSYS_MASK are no reasons.
            let is_reason = *number < REASONS && name != "MAX";
            is_reason.then(|| (*number, name.to_ascii_lowercase()))
        })
        .collect();
    slots.extend(subsystems.iter().filter_map(|(name, number)| {
        let name = name.strip_prefix(SUBSYSTEM_PREFIX)?;
        // 0 is the kernel's own, and NUM says how many there are.
        let is_subsystem = *number > 0 && *number < SUBSYSTEMS && name != "NUM";
        is_subsystem.then(|| {
            let label = format!("subsystem_{}", name.to_ascii_lowercase());
            (SLOT_SUBSYSTEM + number, label)
        })
    }));
    slots
}

impl Drops {
    pub(super) const fn object(&self) -> &Object {
        &self.object
    }

    /// Writes the families whose hook is attached.
    pub(super) fn write(&self, page: &mut Page<'_>) -> Result<(), CollectError> {
        if self.has("kfree_skb") {
            self.write_reasons(page)?;
        }
        if self.has("sock_rcvqueue_full") && self.has("udp_fail_queue_rcv_skb") {
            write_protocols(page, &QUEUE_FULL, &self.maps.queue_full)?;
        }
        if self.has("sock_exceed_buf_limit") {
            write_protocols(page, &MEMORY_LIMIT, &self.maps.memory_limit)?;
        }
        Ok(())
    }

    fn has(&self, hook: &str) -> bool {
        let mut hooks = self.object.hooks.iter();
        hooks.any(|h| h.name == hook && h.failure.is_none())
    }

    /// All that have a name, also those that never happened: the first drop is then a rise.
    fn write_reasons(&self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let drops = |slot| self.maps.drops.total(slot);
        page.family(&DROPPED)?;
        // SKB_NOT_DROPPED_YET and SKB_CONSUMED come here only by a mistake of a driver's. They, and
        // what is newer than the names, are told together.
        let mut other = drops(SLOT_OTHER)?;
        for slot in 0..SLOT_OTHER {
            let count = drops(slot)?;
            match self.reasons.iter().find(|(named, _)| *named == slot) {
                Some((_, name)) => {
                    let mut labels = String::new();
                    push_label(&mut labels, "reason", name);
                    page.sample(&DROPPED, &labels, count)?;
                }
                None => other += count,
            }
        }
        Ok(page.sample(&DROPPED, "reason=\"other\"", other)?)
    }
}

/// Protocols that are shown from the start; the others once they have happened.
const ALWAYS: [u32; 2] = [6, 17];

/// Assigned Internet Protocol Numbers (IANA) that have sockets of their own in Linux.
fn protocol(slot: u32) -> String {
    let name = match slot {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        PROTOCOLS => "not_inet",
        number => return format!("ip_{number}"),
    };
    name.into()
}

fn write_protocols(
    page: &mut Page<'_>,
    family: &Family,
    values: &Counters,
) -> Result<(), CollectError> {
    page.family(family)?;
    for slot in 0..PROTOCOL_SLOTS {
        let count = values.total(slot)?;
        if count == 0 && !ALWAYS.contains(&slot) {
            continue;
        }
        let mut labels = String::new();
        push_label(&mut labels, "protocol", &protocol(slot));
        page.sample(family, &labels, count)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, u32)]) -> Vec<(String, u32)> {
        of.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect()
    }

    #[test]
    fn slots_are_named_after_the_kernels_reasons() {
        let reasons = pairs(&[
            ("SKB_NOT_DROPPED_YET", 0),
            ("SKB_CONSUMED", 1),
            ("SKB_DROP_REASON_NOT_SPECIFIED", 2),
            ("SKB_DROP_REASON_NO_SOCKET", 3),
            ("SKB_DROP_REASON_MAX", 4),
            ("SKB_DROP_REASON_SUBSYS_MASK", 0xffff_0000),
        ]);
        let subsystems = pairs(&[
            ("SKB_DROP_REASON_SUBSYS_CORE", 0),
            ("SKB_DROP_REASON_SUBSYS_OPENVSWITCH", 3),
            ("SKB_DROP_REASON_SUBSYS_NUM", 4),
        ]);
        assert_eq!(
            named(&reasons, &subsystems),
            [
                (2, "not_specified".to_owned()),
                (3, "no_socket".to_owned()),
                (SLOT_SUBSYSTEM + 3, "subsystem_openvswitch".to_owned()),
            ]
        );
    }

    /// No two slots may have one label, on this kernel either.
    #[test]
    fn the_running_kernel_names_each_once() {
        let Ok(btf) = Btf::of_running_kernel() else {
            eprintln!("SKIPPED the_running_kernel_names_each_once: no /sys/kernel/btf/vmlinux");
            return;
        };
        let mut reasons = reasons(&btf);
        assert!(reasons.iter().any(|(_, name)| name == "no_socket"));
        let count = reasons.len();
        reasons.sort_by(|a, b| a.1.cmp(&b.1));
        reasons.dedup_by(|a, b| a.1 == b.1);
        assert_eq!(reasons.len(), count);
    }
}
