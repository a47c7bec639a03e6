//! The network group switched off. A file of its own, because it starts agents of its own.

use hark_tests::agent::{self, Agent};
use hark_tests::{bpf, need};

/// Off is off: no program of the group's is loaded, and nothing of it is on the page.
#[test]
fn the_group_can_be_switched_off() {
    need!(agent::root());
    let off = Agent::start(&[("HARK_RESOURCES_NETWORK", "false")]);
    let without = bpf::programs_of(off.process().id());
    let page = off.page();
    assert!(
        !page.0.iter().any(|sample| {
            sample.name.starts_with("hark_network_") || sample.name.contains("_accept_")
        }),
        "{page:?}"
    );
    assert!(!without.is_empty());
    drop(off);
    let on = Agent::start(&[]);
    let with = bpf::programs_of(on.process().id());
    assert!(with.len() > without.len(), "{with:?} {without:?}");
}
