//! Which kernels there are, and their files: out of Debian's packages, kept in the target folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::vm::archive::{Archive, Suite};
use crate::workspace::Workspace;

/// The newest that Debian has, whatever its version.
pub(super) const NEWEST: &str = "newest";

/// What is booted if nothing else is asked for: too old; the oldest with what a fallback would need; the
/// oldest that has the tracepoints; two newer ones.
pub(super) const DEFAULT: [&str; 5] = ["5.10", "6.1", "6.12", "6.18", NEWEST];

/// Cloud kernels: small, quick to unpack, serial console and virtual machines' needs built in.
const FLAVOUR: &str = "-cloud-amd64";

/// From Debian 14 on `linux-image-` is empty, and `linux-binary-` has the kernel.
const PACKAGES: [&str; 2] = ["linux-binary-", "linux-image-"];

const fn suite(repository: &'static str, name: &'static str) -> Suite {
    Suite { repository, name }
}

/// Versions that only an older release has, and where.
const OLDER: [(&str, &str, &[Suite]); 2] = [
    (
        "5.10",
        "bullseye",
        &[
            suite("debian", "bullseye"),
            suite("debian-security", "bullseye-security"),
        ],
    ),
    (
        "6.1",
        "bookworm",
        &[
            suite("debian", "bookworm"),
            suite("debian-security", "bookworm-security"),
        ],
    ),
];

/// Where all others are looked for.
const CURRENT: (&str, &[Suite]) = (
    "current",
    &[
        suite("debian", "trixie"),
        suite("debian-security", "trixie-security"),
        suite("debian", "trixie-backports"),
        suite("debian", "sid"),
    ],
);

/// A kernel to boot.
pub(super) struct Kernel {
    /// What the user called it.
    pub(super) asked: String,
    /// The image.
    pub(super) file: PathBuf,
}

impl Kernel {
    /// An image of the user's own.
    pub(super) fn of_file(file: &Path) -> Result<Self> {
        let name = file.file_name().filter(|_| file.is_file());
        let name = name.with_context(|| format!("{} is no file", file.display()))?;
        Ok(Self {
            asked: name.to_string_lossy().into_owned(),
            file: file.to_owned(),
        })
    }
}

/// The newest kernel of a version: the one that was fetched before, unless that is to be refreshed
/// or there is none.
pub(super) fn get(workspace: &Workspace, asked: &str, refresh: bool) -> Result<Kernel> {
    let plain = asked.chars().all(|c| c.is_ascii_digit() || c == '.');
    if asked != NEWEST && (!plain || asked.is_empty()) {
        bail!("`{asked}` is no version; give one such as 6.12, or `{NEWEST}`");
    }
    let vm = workspace.target.join("vm");
    let folder = vm.join("kernels").join(asked);
    let kernel = |file| Kernel {
        asked: asked.to_owned(),
        file,
    };
    if !refresh && let Some(file) = only_file(&folder) {
        return Ok(kernel(file));
    }
    let (lists, suites) = OLDER
        .iter()
        .find(|(version, ..)| *version == asked)
        .map_or(CURRENT, |(_, lists, suites)| (lists, suites));
    eprintln!("vm: looking for the kernel {asked} in Debian's archive ({lists})");
    let archive = Archive::open(&vm.join("apt").join(lists), suites)
        .with_context(|| format!("Debian's archive does not give the kernel {asked}"))?;
    let mut packages = Vec::new();
    for beginning in PACKAGES {
        packages.extend(archive.names(beginning)?);
    }
    let (package, version) = newest(&packages, asked)
        .with_context(|| format!("Debian's archive ({lists}) has no kernel {asked}"))?;
    let unpacked = tempfile::tempdir_in(&vm).context("cannot make a folder")?;
    archive.unpack(package, unpacked.path())?;
    let image = image(unpacked.path(), version)
        .with_context(|| format!("the package {package} has no kernel image"))?;
    // Whole or not at all: another run may be looking.
    fs::remove_dir_all(&folder).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error).with_context(|| format!("cannot remove {}", folder.display())),
    })?;
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let file = folder.join(format!("vmlinuz-{version}"));
    fs::rename(&image, &file).with_context(|| file.display().to_string())?;
    Ok(kernel(file))
}

fn only_file(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.is_file())
}

/// Where packages have had the image over the years.
fn image(root: &Path, version: &str) -> Option<PathBuf> {
    let release = format!("{version}{FLAVOUR}");
    [
        format!("usr/lib/modules/{release}/vmlinuz"),
        format!("boot/vmlinuz-{release}"),
    ]
    .iter()
    .map(|path| root.join(path))
    .find(|path| path.is_file())
}

/// The package of the newest kernel that is `asked`, and its version.
fn newest<'a>(packages: &'a [String], asked: &str) -> Option<(&'a str, &'a str)> {
    packages
        .iter()
        .filter_map(|package| {
            let rank = PACKAGES.iter().position(|p| package.starts_with(p))?;
            let version = package
                .strip_prefix(PACKAGES[rank])?
                .strip_suffix(FLAVOUR)?;
            let numbered = version.starts_with(|c: char| c.is_ascii_digit());
            (numbered && !version.contains("rc") && is(version, asked)).then_some((
                numbers(version),
                PACKAGES.len() - rank,
                &**package,
                version,
            ))
        })
        .max()
        .map(|(_, _, package, version)| (package, version))
}

fn is(version: &str, asked: &str) -> bool {
    asked == NEWEST
        || version
            .strip_prefix(asked)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_version_is_found_in_either_kind_of_package() {
        let packages: Vec<String> = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.12.107+deb13-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64",
            "linux-image-6.12.117+deb13-cloud-amd64-dbg",
            "linux-image-7.2.13+deb14-cloud-amd64",
            "linux-binary-7.2.13+deb14-cloud-amd64",
            "linux-binary-unsigned-7.2.13+deb14-cloud-amd64",
            "linux-image-7.3-rc7-cloud-amd64",
            "linux-image-cloud-amd64",
        ]
        .map(str::to_owned)
        .to_vec();
        let found = |asked| newest(&packages, asked).map(|(package, _)| package);
        assert_eq!(found("6.1"), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(
            found("6.12"),
            Some("linux-image-6.12.117+deb13-cloud-amd64")
        );
        assert_eq!(found("7"), Some("linux-binary-7.2.13+deb14-cloud-amd64"));
        assert_eq!(found(NEWEST), found("7"));
        assert_eq!(found("6.2"), None);
        assert_eq!(newest(&packages, "6.1").unwrap().1, "6.1.0-56");
    }

    #[test]
    fn a_kernel_by_file_must_be_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Kernel::of_file(folder.path()).is_err());
        assert!(Kernel::of_file(&folder.path().join("none")).is_err());
    }
}
