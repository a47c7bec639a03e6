//! The metric reference, `docs/metrics.md`, as a user reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What the reference says of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section that it is in.
    pub section: String,
    /// `counter`, `gauge`, `histogram`, `info`.
    pub kind: String,
    /// The labels that it may have.
    pub labels: BTreeSet<String>,
}

/// All metrics of the reference by the name that Prometheus stores.
///
/// # Panics
/// If the file is not there, or a row is not understood.
#[must_use]
pub fn read() -> BTreeMap<String, Entry> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut section = String::new();
    let mut entries = BTreeMap::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        // The table of labels has two columns.
        let [name, kind, _, labels, ..] = cells[..] else {
            continue;
        };
        let Some(name) = name
            .strip_prefix("| `")
            .and_then(|name| name.strip_suffix('`'))
        else {
            continue;
        };
        // A label may be followed by its values in brackets.
        let mut rest = labels.to_owned();
        while let Some(open) = rest.find(" (") {
            let shut = rest[open..].find(')').expect("a closing bracket") + open;
            rest.replace_range(open..=shut, "");
        }
        let labels = rest
            .split(", ")
            .filter(|label| !label.is_empty())
            .map(|label| label.trim_matches('`').to_owned())
            .collect();
        let entry = Entry {
            section: section.clone(),
            kind: kind.to_owned(),
            labels,
        };
        assert_eq!(entries.insert(name.to_owned(), entry), None, "{name} twice");
    }
    assert!(entries.len() > 50, "{} has few rows", path.display());
    entries
}
