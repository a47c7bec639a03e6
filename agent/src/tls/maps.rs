//! The files with code that a process has mapped, by `/proc/<pid>/maps` (proc_pid_maps(5)).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Bytes that are read of one process's list; a process with thousands of libraries stays below.
const LIST_LIMIT: u64 = 8 << 20;

/// A file with code that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its name without the folders.
    pub name: String,
    /// The way to just this file, whatever is at its path now and in whichever mount namespace: the
    /// kernel's own link to what is mapped.
    pub link: PathBuf,
}

/// What a file is worth looking at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its name is that of a TLS library whose functions are known.
    Library,
    /// Its name is that of something that encrypts in a way that cannot be read.
    Unreadable(&'static str),
}

/// What a file is by its name.
#[must_use]
pub fn kind(name: &str) -> Option<Kind> {
    /// Names begin with these.
    const KNOWN: [(&str, Kind); 9] = [
        ("libssl.so", Kind::Library),
        ("libssl-", Kind::Library),
        ("libssl3.so", Kind::Unreadable("nss")),
        ("libgnutls.so", Kind::Library),
        ("libjvm.so", Kind::Unreadable("java")),
        ("libmbedtls.so", Kind::Unreadable("mbedtls")),
        ("libwolfssl.so", Kind::Unreadable("wolfssl")),
        ("libcoreclr.so", Kind::Unreadable("dotnet")),
        ("libnss3.so", Kind::Unreadable("nss")),
    ];
    KNOWN
        .iter()
        .find(|(start, _)| name.starts_with(start))
        .map(|(_, kind)| *kind)
}

/// Reads which files of interest a process has mapped, each once.
///
/// # Errors
///
/// The process is gone, or may not be looked at.
pub fn mapped(process: &Path) -> io::Result<Vec<(Mapped, Kind)>> {
    let mut text = Vec::new();
    File::open(process.join("maps"))?
        .take(LIST_LIMIT)
        .read_to_end(&mut text)?;
    Ok(parse(&String::from_utf8_lossy(&text), process))
}

fn parse(text: &str, process: &Path) -> Vec<(Mapped, Kind)> {
    let mut found: Vec<(Mapped, Kind)> = Vec::new();
    let mut last = "";
    for line in text.lines() {
        let Some((range, file)) = executable(line) else {
            continue;
        };
        // The stretches of one file stand together.
        if file.is_empty() || file == last {
            continue;
        }
        last = file;
        let path = file.strip_suffix(" (deleted)").unwrap_or(file);
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some(kind) = kind(name) {
            let mapped = Mapped {
                name: name.to_owned(),
                link: process.join("map_files").join(range),
            };
            found.push((mapped, kind));
        }
    }
    found
}

/// The range and the file of a line that is about code.
fn executable(line: &str) -> Option<(&str, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (rights, rest) = rest.split_once(' ')?;
    if rights.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    // Offset, device, inode; then the file, which may hold blanks, behind blanks.
    let mut rest = rest;
    for _ in 0..3 {
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest);
    }
    Some((range, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_interest_are_found_once_and_by_their_range() {
        let text = "\
555555554000-555555556000 r-xp 00000000 08:01 11 /usr/bin/app
7ffff7a00000-7ffff7a10000 r--p 00000000 08:01 12 /usr/lib/libssl.so.3
7ffff7a10000-7ffff7a80000 r-xp 00010000 08:01 12                   /usr/lib/libssl.so.3
7ffff7b10000-7ffff7b80000 r-xp 00010000 08:01 13 /opt/with blank/libssl.so.1.1 (deleted)
7ffff7c10000-7ffff7c80000 rwxp 00000000 00:00 0
7ffff7d10000-7ffff7d80000 r-xp 00000000 08:01 14 /jre/lib/server/libjvm.so
7ffff7e10000-7ffff7e80000 r-xp 00000000 00:00 0  [vdso]
short
7ffff7e10000-7ffff7e80000 r-xp";
        let found = parse(text, Path::new("/proc/7"));
        let names: Vec<_> = found
            .iter()
            .map(|(mapped, kind)| (mapped.name.as_str(), *kind))
            .collect();
        assert_eq!(
            names,
            [
                ("libssl.so.3", Kind::Library),
                ("libssl.so.1.1", Kind::Library),
                ("libjvm.so", Kind::Unreadable("java")),
            ]
        );
        assert_eq!(
            found[1].0.link,
            Path::new("/proc/7/map_files/7ffff7b10000-7ffff7b80000")
        );
    }
}
