//! How much memory a service can have at most.
//!
//! A process can have what the least limit of its cgroup and of those above it allows. A service can
//! have the sum over its processes' cgroups, where what one limit bounds together counts once.

use std::collections::HashMap;
use std::iter;
use std::path::Path;

use indexmap::IndexMap;

use crate::resources::cgroups::{self, Controller, Mount, Tree, Version, parent};
use crate::resources::ledger::Sum;
use crate::resources::services::ServiceLabels;

/// What version 1 says where there is no limit: the largest whole number of pages, whatever their
/// size (`PAGE_COUNTER_MAX`, up to 64 KiB pages). Nobody has eight exbibytes.
const NO_LIMIT: u64 = i64::MAX.cast_unsigned() & !0xffff;

/// Reads limits of the cgroups of a tree.
pub(super) fn read(mount: &Mount) -> impl FnMut(&str) -> Option<u64> {
    let file = match mount.version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    };
    let mut buffer = String::new();
    move |path| {
        mount.read(path, file, &mut buffer)?;
        parse(&buffer)
    }
}

/// How much memory this process can have by the limits of its cgroup and of those above it that it
/// can see, in bytes; `None` if none has one.
#[must_use]
pub fn own(proc_root: &Path) -> Option<u64> {
    let (mount, cgroup) = cgroups::own(proc_root, Controller::Memory)?;
    let above = iter::successors(Some(&*cgroup), |path| parent(path));
    above.filter_map(read(&mount)).min()
}

/// `None` if there is no limit.
fn parse(text: &str) -> Option<u64> {
    // Version 2 says `max`.
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < NO_LIMIT).then_some(bytes)
}

/// The limit of each service that has one. `read` gives the limit of a cgroup.
pub(super) fn by_service(tree: &Tree, mut read: impl FnMut(&str) -> Option<u64>) -> Sum<u64> {
    let mut limits: HashMap<&str, Option<u64>> = HashMap::new();
    // Which cgroups' limits bound each service, or none as soon as a process is without.
    let mut bounds: IndexMap<&ServiceLabels, Option<HashMap<&str, u64>>> = IndexMap::new();
    for node in &tree.nodes {
        if node.residents.is_empty() {
            continue;
        }
        let mut least: Option<(&str, u64)> = None;
        let mut next = Some(&*node.path);
        while let Some(path) = next {
            let limit = *limits.entry(path).or_insert_with(|| read(path));
            // The upper one of two that are equal, for it bounds more.
            if let Some(limit) = limit
                && least.is_none_or(|(_, other)| limit <= other)
            {
                least = Some((path, limit));
            }
            next = parent(path);
        }
        for labels in &node.residents {
            let bound = bounds.entry(labels).or_insert_with(|| Some(HashMap::new()));
            match (bound.as_mut(), least) {
                (Some(bound), Some((path, limit))) => {
                    bound.insert(path, limit);
                }
                (_, None) => *bound = None,
                (None, _) => {}
            }
        }
    }
    let mut sum = Sum::default();
    for (labels, bound) in bounds {
        let Some(bound) = bound else {
            continue;
        };
        let total = bound
            .iter()
            .filter(|(path, _)| !is_within_another(path, &bound))
            .fold(0u64, |sum, (_, limit)| sum.saturating_add(*limit));
        *sum.of(labels) = total;
    }
    sum
}

fn is_within_another(path: &str, bound: &HashMap<&str, u64>) -> bool {
    iter::successors(parent(path), |path| parent(path)).any(|above| bound.contains_key(above))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::resources::cgroups::{Attribution, Mount, Node};

    fn tree(residents: &[(&str, &[&str])]) -> Tree {
        let nodes = residents
            .iter()
            .map(|(path, services)| Node {
                path: (*path).into(),
                attribution: Attribution::Shared,
                is_top: false,
                residents: services.iter().map(|name| (*name).into()).collect(),
                since: 1,
            })
            .collect();
        Tree {
            mount: Arc::new(Mount::made_up(Version::V2, Path::new("/nowhere"), "/")),
            nodes,
            dropped: 0,
            invisible: 0,
            round: 1,
        }
    }

    fn limits(tree: &Tree, limits: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let limits: HashMap<&str, u64> = limits.iter().copied().collect();
        by_service(tree, |path| limits.get(path).copied())
            .iter()
            .map(|(labels, limit)| (labels.to_string(), *limit))
            .collect()
    }

    #[test]
    fn the_least_of_those_above() {
        let tree = tree(&[("/pod/a", &["a"]), ("/pod/b", &["b"]), ("/c", &["c"])]);
        assert_eq!(
            limits(&tree, &[("/pod", 50), ("/pod/a", 70), ("/pod/b", 20)]),
            [("a".into(), 50), ("b".into(), 20)].into()
        );
    }

    #[test]
    fn what_one_limit_bounds_counts_once() {
        let tree = tree(&[
            ("/pod/a", &["a"]),
            ("/pod/b", &["a"]),
            ("/pod/b/c", &["a"]),
            ("/other", &["a"]),
        ]);
        assert_eq!(
            limits(&tree, &[("/pod", 50), ("/other", 7)]),
            [("a".into(), 57)].into()
        );
        // The inner limit is within the outer one.
        assert_eq!(
            limits(&tree, &[("/pod", 50), ("/pod/b", 20), ("/other", 7)]),
            [("a".into(), 57)].into()
        );
        // Each on its own.
        assert_eq!(
            limits(&tree, &[("/pod/a", 1), ("/pod/b", 20), ("/other", 7)]),
            [("a".into(), 28)].into()
        );
    }

    #[test]
    fn one_process_without_a_limit_is_enough() {
        let tree = tree(&[("/a", &["a"]), ("/free", &["a", "b"]), ("/b", &["b"])]);
        assert_eq!(limits(&tree, &[("/a", 1), ("/b", 2)]), BTreeMap::new());
    }

    #[test]
    fn no_limit_in_the_words_of_both_versions() {
        assert_eq!(parse("max\n"), None);
        assert_eq!(parse("9223372036854771712\n"), None);
        assert_eq!(parse("9223372036854710272\n"), None);
        assert_eq!(parse("104857600\n"), Some(104_857_600));
    }
}
