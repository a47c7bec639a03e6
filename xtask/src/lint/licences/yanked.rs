//! Which locked versions have been yanked, as far as cargo's own copy of the index knows.
//!
//! Cargo keeps what it last heard of each crate under its home. Reading that asks nothing of the
//! network and is as recent as the last resolution; what is not there is counted as unknown.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Version of the cache files that is understood (cargo, `sources/registry/index/cache.rs`): a
/// byte of 3, four bytes of index version, then strings that each end in NUL: a revision, and
/// pairs of version and JSON.
const CACHE_VERSION: u8 = 3;
const HEADER: usize = 5;

/// What is known of a set of packages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Yanked {
    /// Name and version of those that were yanked.
    pub(super) yanked: Vec<String>,
    /// How many could not be looked up.
    pub(super) unknown: usize,
}

/// Looks up all packages that come from a registry.
pub(super) fn among(packages: &[Value]) -> Yanked {
    in_caches(packages, &caches())
}

fn in_caches(packages: &[Value], caches: &[PathBuf]) -> Yanked {
    let mut found = Yanked::default();
    for package in packages {
        let from_registry = package["source"]
            .as_str()
            .is_some_and(|source| source.starts_with("registry+") || source.starts_with("sparse+"));
        let (Some(name), Some(version)) = (package["name"].as_str(), package["version"].as_str())
        else {
            continue;
        };
        if !from_registry {
            continue;
        }
        let verdict = caches.iter().find_map(|cache| {
            let file = std::fs::read(cache.join(relative(name)?)).ok()?;
            is_yanked(&file, version)
        });
        match verdict {
            Some(true) => found.yanked.push(format!("{name} {version}")),
            Some(false) => {}
            None => found.unknown += 1,
        }
    }
    found
}

/// The cache folders of all registries in cargo's home.
fn caches() -> Vec<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cargo")));
    let Some(home) = home else { return Vec::new() };
    let Ok(registries) = home.join("registry/index").read_dir() else {
        return Vec::new();
    };
    registries
        .flatten()
        .map(|registry| registry.path().join(".cache"))
        .collect()
}

/// Path of a crate in an index (Cargo Book, "Registry Index", index files). `None` for what is no
/// crate name.
fn relative(name: &str) -> Option<PathBuf> {
    if name.is_empty() || !name.is_ascii() {
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some(match name.len() {
        length @ 1..=2 => Path::new(&length.to_string()).join(name),
        3 => Path::new("3").join(&name[..1]).join(name),
        _ => Path::new(&name[..2]).join(&name[2..4]).join(name),
    })
}

/// Looks a version up in a cache file. `None` if it is not there or the file is not understood.
fn is_yanked(file: &[u8], version: &str) -> Option<bool> {
    if *file.first()? != CACHE_VERSION {
        return None;
    }
    let mut strings = file.get(HEADER..)?.split(|&byte| byte == 0).skip(1);
    while let (Some(found), Some(json)) = (strings.next(), strings.next()) {
        if found == version.as_bytes() {
            let entry: Value = serde_json::from_slice(json).ok()?;
            return entry["yanked"].as_bool();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &[u8] =
        b"\x03\x02\0\0\0etag: \"x\"\x001.0.0\0{\"vers\":\"1.0.0\",\"yanked\":true}\0\
        1.0.1\0{\"vers\":\"1.0.1\",\"yanked\":false}\0";

    #[test]
    fn a_version_is_looked_up_exactly() {
        assert_eq!(is_yanked(FILE, "1.0.0"), Some(true));
        assert_eq!(is_yanked(FILE, "1.0.1"), Some(false));
        assert_eq!(is_yanked(FILE, "1.0"), None);
    }

    #[test]
    fn a_file_that_is_cut_or_of_another_version_tells_nothing_wrong() {
        for length in 0..FILE.len() {
            let verdict = is_yanked(&FILE[..length], "1.0.1");
            assert!(matches!(verdict, None | Some(false)), "cut at {length}");
        }
        let mut other = FILE.to_vec();
        other[0] = 4;
        assert_eq!(is_yanked(&other, "1.0.0"), None);
    }

    #[test]
    fn the_path_in_an_index_follows_the_length_of_the_name() {
        let path = |name| relative(name).map(|path| path.display().to_string());
        assert_eq!(path("a").unwrap(), "1/a");
        assert_eq!(path("cc").unwrap(), "2/cc");
        assert_eq!(path("syn").unwrap(), "3/s/syn");
        assert_eq!(path("Serde_JSON").unwrap(), "se/rd/serde_json");
        assert_eq!(path(""), None);
        assert_eq!(path("\u{fc}\u{fc}"), None);
    }

    #[test]
    fn only_packages_of_registries_are_looked_up() {
        let cache = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(cache.path().join("so/me")).unwrap();
        std::fs::write(cache.path().join("so/me/some"), FILE).unwrap();
        let package =
            |name, version, source| json!({ "name": name, "version": version, "source": source });
        let packages = [
            package("some", "1.0.0", Some("registry+https://example.org")),
            package("some", "1.0.1", Some("registry+https://example.org")),
            package("some", "1.0.0", None),
            package("other", "1.0.0", Some("sparse+https://example.org")),
        ];
        assert_eq!(
            in_caches(&packages, &[cache.path().to_owned()]),
            Yanked {
                yanked: vec!["some 1.0.0".to_owned()],
                unknown: 1,
            }
        );
    }
}
