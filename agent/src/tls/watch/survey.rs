//! What TLS libraries there are on this host: for the start, and for `hark doctor`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::id;
use crate::tls::maps::{self, Kind};
use crate::tls::points::{self, Unfit};

/// Folders that linkers look into without being told, on the systems that are common.
const FOLDERS: [&str; 8] = [
    "lib64",
    "usr/lib64",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib",
    "lib",
    "usr/local/lib",
    "usr/local/lib64",
];
/// Entries of one folder that are looked at.
const ENTRY_LIMIT: usize = 65536;

/// Something that encrypts, on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// The file's name.
    pub name: String,
    /// What it is.
    pub library: &'static str,
    /// How many probes it takes, or why it is not read.
    pub probes: Result<usize, String>,
    /// How many processes have it mapped now.
    pub processes: usize,
}

/// The ids of all processes.
pub(super) fn processes(proc_root: &Path) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(proc_root)?;
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect())
}

/// Files in the host's folders that are TLS libraries by their name.
pub(super) fn of_host(proc_root: &Path) -> Vec<PathBuf> {
    // The first process's root is the host's, wherever the agent itself lives; it may not be ours to
    // look at.
    let roots = ["1/root", "self/root"].map(|root| proc_root.join(root));
    let folders = roots
        .iter()
        .flat_map(|root| FOLDERS.map(|folder| root.join(folder)));
    let mut found = Vec::new();
    for folder in folders {
        // Most hosts lack some of them.
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries.take(ENTRY_LIMIT).flatten() {
            let is_library =
                |name: &str| name.contains(".so") && maps::kind(name) == Some(Kind::Library);
            if entry.file_name().to_str().is_some_and(is_library) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Looks at every process, and attaches nothing.
#[must_use]
pub fn survey(proc_root: &Path) -> Vec<Surveyed> {
    let mut found = BTreeMap::new();
    for pid in processes(proc_root).unwrap_or_default() {
        let process = proc_root.join(pid.to_string());
        for (mapped, kind) in maps::mapped(&process).unwrap_or_default() {
            count(&mut found, &mapped.link, &mapped.name, Some(kind));
        }
        let exe = process.join("exe");
        let name = fs::read_link(&exe).ok();
        let name = name.as_deref().and_then(Path::file_name);
        if let Some(name) = name.and_then(|name| name.to_str()) {
            count(&mut found, &exe, name, None);
        }
    }
    found.into_values().flatten().collect()
}

/// By device and inode; `None` for a file that has nothing to do with it.
type Found = BTreeMap<(u64, u64), Option<Surveyed>>;

fn count(found: &mut Found, path: &Path, name: &str, kind: Option<Kind>) {
    let Ok(id) = id(path) else { return };
    let entry = found
        .entry((id.device, id.inode))
        .or_insert_with(|| look(path, name, kind));
    if let Some(entry) = entry {
        entry.processes += 1;
    }
}

fn look(path: &Path, name: &str, kind: Option<Kind>) -> Option<Surveyed> {
    let is = |library, probes| {
        Some(Surveyed {
            name: name.to_owned(),
            library,
            probes,
            processes: 0,
        })
    };
    if let Some(Kind::Unreadable(library)) = kind {
        return is(library, Err("no functions of it can be followed".into()));
    }
    match points::points(File::open(path).ok()?) {
        Ok(points) => is(points::name(points.library), Ok(points.points.len())),
        Err(why @ Unfit::Go(_)) => is("go", Err(why.to_string())),
        Err(why @ Unfit::Function { .. }) => is("openssl", Err(why.to_string())),
        // A library by its name, which it is not; or a program like most.
        Err(why) => kind.and_then(|_| is(super::UNKNOWN, Err(why.to_string()))),
    }
}
