//! What a person would call a process: its executable, or what its interpreter runs.
//!
//! `python3 /srv/shop/app.py` is `app`, `java -jar orders-1.2.jar` is `orders`. Everything is
//! judged by the command line, the paths of the executable and of the working directory, and
//! `comm`; no file of the process is opened. What each interpreter and launcher takes for options
//! is data, in [`tables`]; [`runner`] reads a command line by that data; [`names`] turns a path, a
//! jar, a class into a name.
//!
//! The bias: when the command line is not understood, the name is the executable's. That is never
//! wrong, only coarse.

mod names;
mod runner;
mod tables;
mod titles;

use std::borrow::Cow;

use super::{NameSource, text};
use names::Place;
use runner::{Runner, Target};

/// Most arguments that are looked at.
const MAX_ARGS: usize = 4096;
/// How many launchers may stand before the program (`bundle exec puma`, `qemu ld.so app`).
const MAX_NESTING: usize = 4;
/// The specification's name of a service that nothing is known of.
const UNKNOWN: &str = "unknown_service";

/// What is known of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clues<'a> {
    /// Target of `/proc/PID/exe`.
    pub(super) exe: Option<&'a [u8]>,
    /// The command line, arguments ended by NUL.
    pub(super) args: &'a [u8],
    /// The command line is only the beginning: its last argument may be cut.
    pub(super) args_cut: bool,
    /// Target of `/proc/PID/cwd`.
    pub(super) cwd: Option<&'a [u8]>,
    /// `comm`, padded with NUL.
    pub(super) comm: &'a [u8],
}

/// What the process is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The name; valid as a service name (see [`text::name`]).
    pub(super) name: String,
    /// `process.executable.name`: base name of the executable.
    pub(super) executable: Option<String>,
    /// [`NameSource::Program`], [`NameSource::Executable`] or [`NameSource::Comm`].
    pub(super) source: NameSource,
    /// The name says nothing of its own: the process is a helper that its parent started from
    /// its own code (Python's `multiprocessing`), and is better called what the parent is called.
    pub(super) of_parent: bool,
}

/// Names a process.
pub(super) fn describe(clues: &Clues<'_>) -> Program {
    let line = String::from_utf8_lossy(clues.args);
    let args = split(&line, clues.args_cut);
    let cwd = clues.cwd.map(String::from_utf8_lossy);
    let place = Place {
        cwd: cwd.as_deref(),
    };

    let exe = clues.exe.and_then(executable);
    let typed = args.first().copied().and_then(typed);
    let executable = exe.clone().or_else(|| typed.map(str::to_owned));
    let known = exe.as_deref().or(typed);

    let helper = args
        .iter()
        .any(|arg| tables::HELPER_CODE.iter().any(|code| arg.starts_with(code)));
    let judged = judge(known, typed, &args, place);
    let (name, source) = judged
        .and_then(|(name, source)| Some((text::name(&name)?, source)))
        .or_else(|| Some((text::name_of_bytes(comm(clues.comm))?, NameSource::Comm)))
        .unwrap_or_else(|| (UNKNOWN.to_owned(), NameSource::Comm));
    Program {
        name,
        executable: executable.and_then(|e| text::name(&e)),
        of_parent: helper && source == NameSource::Executable,
        source,
    }
}

fn judge(
    known: Option<&str>,
    typed: Option<&str>,
    args: &[&str],
    place: Place<'_>,
) -> Option<(String, NameSource)> {
    let known = known?;
    if tables::MULTI_CALL.contains(&known) {
        let applet = typed
            .filter(|t| !tables::MULTI_CALL.contains(t))
            .or_else(|| args.get(1).copied().and_then(names::base))
            .unwrap_or(known);
        return Some((applet.to_owned(), NameSource::Executable));
    }
    let title = title(args);
    let interpreter = tables::interpreter(known);
    if let Some(name) = title.and_then(|t| titles::name(t, place)) {
        return Some((name, NameSource::Program));
    }
    let Some(interpreter) = interpreter else {
        return Some((
            names::executable(known, args, place),
            NameSource::Executable,
        ));
    };
    let words: Vec<&str>;
    let args = match title {
        // `process.title = "node /srv/server.js"`: one string that was a command line.
        Some(title) => {
            words = title.split_whitespace().collect();
            &words[..]
        }
        None => args,
    };
    // An interpreter under another name has been renamed by its program (`$0 = "shop"`).
    if let Some(own) = args.first().copied().and_then(renamed) {
        return Some((own.to_owned(), NameSource::Program));
    }
    let rest = args.get(1..).unwrap_or_default();
    if let Some(name) = run(interpreter, rest, place, MAX_NESTING) {
        return Some((name, NameSource::Program));
    }
    let shown = typed
        .filter(|t| tables::interpreter(t).is_some())
        .unwrap_or(known);
    Some((
        names::without_minor(shown).to_owned(),
        NameSource::Executable,
    ))
}

/// Follows an interpreter or launcher to what it runs; `None` if that has no name.
fn run(runner: &Runner, args: &[&str], place: Place<'_>, nesting: usize) -> Option<String> {
    let nesting = nesting.checked_sub(1)?;
    let scanned = runner.scan(args);
    let moved: String;
    let place = match scanned.directory {
        Some(directory) => {
            moved = place.resolve(directory);
            Place { cwd: Some(&moved) }
        }
        None => place,
    };
    match scanned.target {
        Target::Name(name) => Some(name.to_owned()),
        Target::Node(node) => node.split('@').next().map(str::to_owned),
        Target::Module(module, rest) => match tables::launcher(runner.family, module) {
            Some(launcher) => run(launcher, rest, place, nesting).or_else(|| Some(module.into())),
            None => names::module(module),
        },
        Target::Script(path, rest) => script(runner, path, rest, place, nesting),
        Target::Program(path, rest) => {
            let base = names::base(path)?;
            match tables::interpreter(base) {
                Some(interpreter) => run(interpreter, rest, place, nesting)
                    .or_else(|| Some(names::without_minor(base).to_owned())),
                None => Some(names::executable(base, &[path], place)),
            }
        }
        Target::Jar(path) => names::jar(path, place),
        Target::Class(class) => names::class(class),
        Target::Assembly(path) => names::assembly(path, place),
        Target::App(spec) => names::app(spec, place),
        Target::Directory => place.directory(),
        Target::Nothing => None,
    }
}

fn script(
    runner: &Runner,
    path: &str,
    rest: &[&str],
    place: Place<'_>,
    nesting: usize,
) -> Option<String> {
    if let Some(launcher) = tables::launcher(runner.family, names::stem(path)) {
        return run(launcher, rest, place, nesting)
            .or_else(|| place.directory_of(path))
            .or_else(|| Some(names::stem(path).to_owned()));
    }
    names::script(path, place)
}

/// The arguments. Empty ones at the end are left by programs that shorten their title.
fn split(line: &str, cut: bool) -> Vec<&str> {
    let ended = line.strip_suffix('\0');
    let mut args: Vec<&str> = ended.unwrap_or(line).split('\0').take(MAX_ARGS).collect();
    if cut && ended.is_none() && args.len() > 1 {
        args.pop();
    }
    while args.last().is_some_and(|a| a.trim().is_empty()) {
        args.pop();
    }
    args
}

/// A command line that is one string with spaces in it, and not a path: a title that the program
/// wrote over its arguments, as `nginx: worker process`.
fn title<'a>(args: &[&'a str]) -> Option<&'a str> {
    match args {
        [one] if one.trim().contains(' ') && !one.starts_with(['/', '.']) => Some(one.trim()),
        [one] if one.contains(' ') => {
            let first = one.split(' ').next().and_then(names::base)?;
            tables::interpreter(first).map(|_| one.trim())
        }
        _ => None,
    }
}

/// The first word, if it is not the name of an interpreter or a path.
fn renamed(first: &str) -> Option<&str> {
    let word = first.strip_suffix(':').unwrap_or(first);
    let own = !word.is_empty()
        && !word.contains('/')
        && !word.starts_with('-')
        && tables::interpreter(word).is_none();
    own.then_some(word)
}

/// Base name of the target of `/proc/PID/exe`; `None` for a file that never had a name.
fn executable(exe: &[u8]) -> Option<String> {
    let path: Cow<'_, str> = String::from_utf8_lossy(exe);
    // The file was replaced or removed, as by every package upgrade.
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    // memfd_create(2): what runs is a copy without a path, the name is any text.
    if path.starts_with("/memfd:") {
        return None;
    }
    names::base(path).map(|base| names::unwrapped(base).to_owned())
}

/// Base name of `argv[0]`; `None` where that names no program.
fn typed(first: &str) -> Option<&str> {
    // A login shell's name begins with `-`.
    let first = first.strip_prefix('-').unwrap_or(first);
    if first.starts_with("/proc/") || first.starts_with("/dev/fd/") {
        return None;
    }
    let first = if first.starts_with(['/', '.']) {
        first
    } else {
        // A title such as `nginx: worker process`.
        first.split([' ', ':']).next().unwrap_or(first)
    };
    names::base(first).map(names::unwrapped)
}

fn comm(comm: &[u8]) -> &[u8] {
    comm.split(|b| *b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
