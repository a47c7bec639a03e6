//! What the kernel did not hand to the network's programs.

use crate::kernel::object::Object;
use crate::resources::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page};

const MISSED: Family = Family {
    name: "hark_network_events_missed",
    help: "Events that the kernel did not hand to a program of the network's, because it was running already on that CPU: they are missing from what it counts.",
    unit: None,
    kind: Kind::Counter,
    source: "bpf_prog_info.recursion_misses",
    labels: &["object", "hook"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&MISSED];

/// Writes it, for each program of these objects.
pub(super) fn write<'a>(
    page: &mut Page<'_>,
    objects: impl Iterator<Item = &'a Object>,
) -> Result<(), CollectError> {
    page.family(&MISSED)?;
    for object in objects {
        let name = object.name();
        for (hook, figures) in object.figures() {
            let labels = format!("object=\"{name}\",hook=\"{hook}\"");
            page.sample(&MISSED, &labels, figures.recursion_misses)?;
        }
    }
    Ok(())
}
