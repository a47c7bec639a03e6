//! A compiler that can build for `bpfel-unknown-none`: any that has the sources of its own `core`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Error, anyhow};

use crate::process;
use crate::setup::{is_executable, linker, on_path};

/// Debian's compiler for building browsers: recent, and packaged with its library sources.
pub(super) const PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// The LLVM of [`PACKAGES`] as last seen (1.96), for the command that is printed before they are
/// installed. Once they are, `rustc -vV` is asked.
pub(super) const PACKAGED_LLVM: u32 = 22;

/// Where the sources of the standard library are under a sysroot.
const SOURCES: &str = "lib/rustlib/src/rust/library";

/// A compiler that was seen to have what it takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// The compiler itself, not a proxy of rustup.
    pub(crate) rustc: PathBuf,
    /// The cargo of the same toolchain, if it has one that is not older than the compiler; cargo
    /// and library sources of one version go together.
    pub(crate) cargo: Option<PathBuf>,
    /// Version as `rustc -vV` names it, such as `1.96.0`.
    pub(crate) release: String,
    /// Major version of the LLVM it writes bitcode for; the linker must be of the same.
    pub(crate) llvm: u32,
}

/// The first suitable compiler; one whose LLVM is `preferred` comes before the others, so that a
/// linker that is there is used. Otherwise a sentence for each compiler about why not.
pub(super) fn find(preferred: Option<u32>) -> Result<Compiler, Vec<String>> {
    let mut refusals = Vec::new();
    let mut suitable = Vec::new();
    for sysroot in sysroots() {
        match inspect(&sysroot) {
            Ok(compiler) => suitable.push(compiler),
            Err(why) => refusals.push(format!("{}: {why}", sysroot.display())),
        }
    }
    suitable
        .into_iter()
        .min_by_key(|compiler| {
            let linker_is_there = preferred == Some(compiler.llvm);
            (
                !linker_is_there,
                linker::llvm_prefix(compiler.llvm).is_none(),
            )
        })
        .ok_or(refusals)
}

/// One error out of the reasons of [`find`].
pub(super) fn explain(refusals: &[String]) -> Error {
    anyhow!(
        "no compiler here can build kernel programs ({}); install the packages {}, or run \
         `rustup component add rust-src`",
        refusals.join("; "),
        PACKAGES.join(" ")
    )
}

/// Sysroots of all compilers on this machine, the user's active one first.
fn sysroots() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let printed = |command: &mut Command| process::output(command).ok();
    if let Some(active) = printed(Command::new("rustc").args(["--print", "sysroot"])) {
        found.push(PathBuf::from(active.trim_end()));
    }
    if on_path("rustup")
        && let Some(list) = printed(Command::new("rustup").args(["toolchain", "list", "-v"]))
    {
        found.extend(list.lines().filter_map(rustup_toolchain).map(PathBuf::from));
    }
    found.push(PathBuf::from("/usr"));
    let mut seen = BTreeSet::new();
    found.retain(|sysroot| {
        is_executable(&sysroot.join("bin/rustc"))
            && sysroot
                .canonicalize()
                .is_ok_and(|sysroot| seen.insert(sysroot))
    });
    found
}

/// The path in a line of `rustup toolchain list -v`: name, optional notes in brackets, path.
fn rustup_toolchain(line: &str) -> Option<&str> {
    line.find(" /")
        .or_else(|| line.find("\t/"))
        .map(|at| line[at..].trim())
}

fn inspect(sysroot: &Path) -> Result<Compiler, String> {
    let rustc = sysroot.join("bin/rustc");
    if !sysroot.join(SOURCES).join("core/src/lib.rs").is_file() {
        return Err("it has no library sources".to_owned());
    }
    let version = process::output(Command::new(&rustc).arg("-vV"))
        .map_err(|error| format!("it does not start: {error:#}"))?;
    let (release, llvm) = parse_version(&version)?;
    let minimum = env!("CARGO_PKG_RUST_VERSION");
    if major_minor(&release) < major_minor(minimum) {
        return Err(format!(
            "it is version {release}; hark needs {minimum} or later"
        ));
    }
    if !linker::LLVM_MAJORS.contains(&llvm) {
        return Err(format!(
            "it uses LLVM {llvm}; bpf-linker {} is for LLVM {:?}",
            linker::VERSION,
            linker::LLVM_MAJORS
        ));
    }
    let cargo = sysroot.join("bin/cargo");
    let cargo_is_recent = process::output(Command::new(&cargo).arg("--version"))
        .ok()
        .and_then(|version| major_minor(version.strip_prefix("cargo ")?))
        .is_some_and(|version| Some(version) >= major_minor(&release));
    Ok(Compiler {
        rustc,
        cargo: cargo_is_recent.then_some(cargo),
        release,
        llvm,
    })
}

/// Release and LLVM major from the output of `rustc -vV`.
fn parse_version(text: &str) -> Result<(String, u32), String> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .ok_or_else(|| format!("`rustc -vV` names no {name}"))
    };
    let llvm = field("LLVM version")?;
    let major = llvm
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .ok_or_else(|| format!("`rustc -vV` names the LLVM version {llvm:?}"))?;
    Ok((field("release")?.to_owned(), major))
}

/// The first two numbers of a version; `None`, which is below every version, if there are none.
pub(super) fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysroot whose compiler says that it is `release` with `llvm`.
    fn sysroot(release: &str, llvm: &str, sources: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        program(
            &folder.path().join("bin/rustc"),
            &format!("rustc\nrelease: {release}\nLLVM version: {llvm}"),
        );
        if sources {
            let core = folder.path().join(SOURCES).join("core/src");
            std::fs::create_dir_all(&core).unwrap();
            std::fs::write(core.join("lib.rs"), "").unwrap();
        }
        folder
    }

    /// A program that prints `says`.
    fn program(path: &Path, says: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_cargo_older_than_the_compiler_is_left_aside() {
        let folder = sysroot("1.96.0", "22.1.8", true);
        let cargo = folder.path().join("bin/cargo");
        program(&cargo, "cargo 1.65.0");
        assert_eq!(inspect(folder.path()).unwrap().cargo, None);
        program(&cargo, "cargo 1.96.0 (f2d3ce0bd 2026-03-21)");
        assert_eq!(inspect(folder.path()).unwrap().cargo, Some(cargo));
    }

    #[test]
    fn a_compiler_with_sources_will_do() {
        let folder = sysroot("1.96.0", "22.1.8", true);
        assert_eq!(
            inspect(folder.path()),
            Ok(Compiler {
                rustc: folder.path().join("bin/rustc"),
                cargo: None,
                release: "1.96.0".to_owned(),
                llvm: 22,
            })
        );
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let refused = |release, llvm, sources| {
            let folder = sysroot(release, llvm, sources);
            inspect(folder.path()).unwrap_err()
        };
        assert_eq!(
            refused("1.96.0", "22.1.8", false),
            "it has no library sources"
        );
        assert_eq!(
            refused("1.63.0", "22.1.8", true),
            format!(
                "it is version 1.63.0; hark needs {} or later",
                env!("CARGO_PKG_RUST_VERSION")
            )
        );
        assert_eq!(
            refused("1.96.0", "14.0", true),
            "it uses LLVM 14; bpf-linker 0.13.0 is for LLVM [21, 22, 23]"
        );
        assert_eq!(
            refused("1.96.0", "unknown", true),
            "`rustc -vV` names the LLVM version \"unknown\""
        );
    }

    #[test]
    fn a_toolchain_of_rustup_is_found_with_and_without_notes() {
        assert_eq!(
            rustup_toolchain("stable-x86_64 (active, default) /home/me/.rustup/a b"),
            Some("/home/me/.rustup/a b")
        );
        assert_eq!(rustup_toolchain("mine\t/opt/rust"), Some("/opt/rust"));
        assert_eq!(rustup_toolchain("no installed toolchains"), None);
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(major_minor("1.100.0") > major_minor("1.89"));
        assert!(major_minor("1.9.0-nightly") < major_minor("1.89"));
        assert_eq!(major_minor("1.19~1"), Some((1, 19)));
        assert_eq!(major_minor("go1.21"), None);
        assert_eq!(major_minor("2"), Some((2, 0)));
    }
}
