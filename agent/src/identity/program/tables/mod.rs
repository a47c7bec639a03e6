//! What is known of interpreters, launchers and titles, as data. A new interpreter is a new row.

mod interpreters;
mod launchers;
mod words;

use super::runner::{Entry, Runner, Style};
use interpreters::INTERPRETERS;
use launchers::LAUNCHERS;
pub(super) use words::*;

/// What most rows have in common.
const NONE: Runner = Runner {
    family: "",
    names: &[],
    style: Style::Letters,
    options: &[],
    valued: false,
    commands: &[],
    entry: Entry::Script,
};

/// The interpreter whose executable is called `base`.
pub(super) fn interpreter(base: &str) -> Option<&'static Runner> {
    find(INTERPRETERS, base)
}

/// The launcher of a family with this name.
pub(super) fn launcher(family: &str, name: &str) -> Option<&'static Runner> {
    find(LAUNCHERS, name).filter(|launcher| launcher.family == family)
}

/// By the whole name, or without its version: `python3.11`, `php8.2`, `gunicorn-3`.
fn find(table: &'static [Runner], name: &str) -> Option<&'static Runner> {
    let plain = name
        .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
        .trim_end_matches('-');
    // Free-threaded CPython is `python3.13t`.
    let threaded = name
        .strip_suffix('t')
        .filter(|n| n.ends_with(|c: char| c.is_ascii_digit()))
        .map(|n| n.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'));
    table.iter().find(|runner| {
        runner.names.contains(&name)
            || runner.names.contains(&plain)
            || threaded.is_some_and(|t| runner.names.contains(&t))
    })
}
