//! The work that each CPU does for packets that have arrived, before any protocol sees them.

use std::path::{Path, PathBuf};

use crate::resources::group::CollectError;
use crate::telemetry::page::{Family, Kind, Page, push_label};

const PROCESSED: Family = Family {
    name: "hark_network_softnet_processed",
    help: "Packets that the CPU has taken from its queue of arrived packets.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/net/softnet_stat",
    labels: &["cpu"],
};

const SQUEEZED: Family = Family {
    name: "hark_network_softnet_squeezed",
    help: "Times that the CPU stopped with packets left, because its budget or time (net.core.netdev_budget) was used up.",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/net/softnet_stat",
    labels: &["cpu"],
};

const DROPPED: Family = Family {
    name: "hark_network_softnet_dropped",
    help: "Packets dropped because the CPU's queue was full (net.core.netdev_max_backlog).",
    unit: None,
    kind: Kind::Counter,
    source: "/proc/net/softnet_stat",
    labels: &["cpu"],
};

/// What this module writes.
pub(super) const FAMILIES: &[&Family] = &[&PROCESSED, &SQUEEZED, &DROPPED];

/// The file, as process 1 sees it; the numbers are of the whole host.
#[derive(Debug)]
pub(super) struct Softnet(PathBuf);

type Value = fn(&Row) -> u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    cpu: u64,
    processed: u64,
    dropped: u64,
    squeezed: u64,
}

impl Softnet {
    pub(super) fn new(proc_root: &Path) -> Self {
        Self(proc_root.join("1/net/softnet_stat"))
    }

    /// Writes all families.
    pub(super) fn write(&self, page: &mut Page<'_>) -> Result<(), CollectError> {
        let path = || self.0.display().to_string();
        let text = std::fs::read_to_string(&self.0).map_err(|source| CollectError::Read {
            path: path(),
            source,
        })?;
        let rows = parse(&text).map_err(|line| CollectError::Malformed {
            path: path(),
            detail: format!("the line `{line}`"),
        })?;
        let value: [(&Family, Value); 3] = [
            (&PROCESSED, |row| row.processed),
            (&SQUEEZED, |row| row.squeezed),
            (&DROPPED, |row| row.dropped),
        ];
        for (family, value) in value {
            page.family(family)?;
            for row in &rows {
                let mut labels = String::new();
                push_label(&mut labels, "cpu", &row.cpu.to_string());
                page.sample(family, &labels, value(row))?;
            }
        }
        Ok(())
    }
}

/// `softnet_seq_show`, net/core/net-procfs.c: hexadecimal columns, of which the first three have
/// always been these, and the thirteenth, since Linux 5.10, is the CPU. Before, a line was its CPU's
/// number only as long as none was offline.
fn parse(text: &str) -> Result<Vec<Row>, &str> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let columns: Option<Vec<u64>> = line
            .split_ascii_whitespace()
            .map(|word| u64::from_str_radix(word, 16).ok())
            .collect();
        let columns = columns.unwrap_or_default();
        let &[processed, dropped, squeezed, ..] = columns.as_slice() else {
            return Err(line);
        };
        rows.push(Row {
            cpu: columns.get(12).copied().unwrap_or(number as u64),
            processed,
            dropped,
            squeezed,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_with_and_without_a_cpu() {
        let row = |cpu, processed, dropped, squeezed| Row {
            cpu,
            processed,
            dropped,
            squeezed,
        };
        let new = "0000001f 00000002 00000003 0 0 0 0 0 0 0 0 0 00000004 0 0\n";
        assert_eq!(parse(new), Ok(vec![row(4, 31, 2, 3)]));
        let old = "0000001f 00000002 00000003 0\n00000001 0 0 0\n";
        assert_eq!(parse(old), Ok(vec![row(0, 31, 2, 3), row(1, 1, 0, 0)]));
        assert_eq!(parse("1 2\n"), Err("1 2"));
        assert_eq!(parse("1 2 x\n"), Err("1 2 x"));
    }
}
