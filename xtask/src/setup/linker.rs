//! `bpf-linker`, built for the LLVM of the chosen compiler into the workspace's target folder.
//!
//! Bitcode is readable only by an LLVM of the same major version or later, and a linker of another
//! LLVM fails late and obscurely, so the one that we use is always one that we built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::setup::{apt, is_executable, on_path};
use crate::workspace::Workspace;

/// The version that hark is built and tested with.
pub(super) const VERSION: &str = "0.13.0";

/// LLVM majors for which this version has a feature `llvm-<major>`.
pub(super) const LLVM_MAJORS: [u32; 3] = [21, 22, 23];

/// Where the linker is once it is built.
pub(super) fn path(workspace: &Workspace) -> PathBuf {
    root(workspace).join("bin/bpf-linker")
}

/// The LLVM major for which a usable linker of our version is already there.
pub(super) fn built_for(workspace: &Workspace) -> Option<u32> {
    let record = std::fs::read_to_string(root(workspace).join(".crates2.json")).ok()?;
    let llvm = recorded_llvm(&record)?;
    probe(&path(workspace)).ok()?;
    Some(llvm)
}

/// Runs a linker to see that it starts: its LLVM may have been removed or replaced since.
pub(super) fn probe(linker: &Path) -> Result<()> {
    process::output(Command::new(linker).arg("--version")).map(drop)
}

/// Debian's packages with what a build for an LLVM major needs.
pub(super) fn packages(llvm: u32) -> Vec<String> {
    vec![
        format!("llvm-{llvm}-dev"),
        format!("libpolly-{llvm}-dev"),
        "libzstd-dev".to_owned(),
        "zlib1g-dev".to_owned(),
        "g++".to_owned(),
    ]
}

/// Where an LLVM of this major is installed with what is needed to link against it.
pub(super) fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if is_executable(&debian.join("bin/llvm-config")) {
        return Some(debian);
    }
    [format!("llvm-config-{llvm}"), "llvm-config".to_owned()]
        .iter()
        .filter(|program| on_path(program))
        .find_map(|program| {
            let answer = |question| process::output(Command::new(program).arg(question)).ok();
            let version = answer("--version")?;
            let same = version.split('.').next() == Some(llvm.to_string().as_str());
            let prefix = answer("--prefix")?;
            same.then(|| PathBuf::from(prefix.trim_end()))
        })
}

/// Builds the linker, after installing the LLVM libraries it needs. Takes a minute or two, once.
pub(super) fn build(workspace: &Workspace, llvm: u32) -> Result<PathBuf> {
    let packages = packages(llvm);
    let missing = apt::not_installed(&packages);
    if !missing.is_empty() {
        eprintln!("setup: bpf-linker needs {}", missing.join(" "));
        apt::install(&missing).with_context(|| {
            format!("the libraries of LLVM {llvm}, which the compiler uses, cannot be had")
        })?;
    }
    let Some(prefix) = llvm_prefix(llvm) else {
        bail!(
            "no LLVM {llvm} here (no llvm-config of that version), which the compiler uses and \
             bpf-linker must be built with; install its development files"
        );
    };
    let root = root(workspace);
    let scratch = root.join("build");
    eprintln!("setup: building bpf-linker {VERSION} for LLVM {llvm}, which takes a minute or two");
    process::run(
        workspace
            .cargo()
            // Both are needed: llvm-sys reads the one, bpf-linker's own build script the other,
            // and without it links against the wrong folder.
            .env("LLVM_PREFIX", &prefix)
            .env(format!("LLVM_SYS_{llvm}1_PREFIX"), &prefix)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args(["install", "bpf-linker", "--locked", "--force"])
            .arg(format!("--version=={VERSION}"))
            .args(["--no-default-features", "--features"])
            .arg(feature(llvm))
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(&scratch),
    )
    .context("cannot build bpf-linker")?;
    // Some hundred megabytes that nobody needs again.
    std::fs::remove_dir_all(&scratch)
        .with_context(|| format!("cannot remove {}", scratch.display()))?;
    let linker = path(workspace);
    probe(&linker)?;
    Ok(linker)
}

fn root(workspace: &Workspace) -> PathBuf {
    workspace.target.join("toolchain")
}

fn feature(llvm: u32) -> String {
    format!("llvm-{llvm}")
}

/// What `cargo install` wrote down about the linker it installed: the LLVM major, if it is the
/// version that we want.
fn recorded_llvm(record: &str) -> Option<u32> {
    let record: Value = serde_json::from_str(record).ok()?;
    let wanted = format!("bpf-linker {VERSION} (");
    let (_, install) = record["installs"]
        .as_object()?
        .iter()
        .find(|(id, _)| id.starts_with(&wanted))?;
    let features = install["features"].as_array()?;
    LLVM_MAJORS.into_iter().find(|&llvm| {
        features
            .iter()
            .any(|name| name.as_str() == Some(&feature(llvm)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, features: &str) -> String {
        format!(r#"{{"installs":{{"{id}":{{"bins":["bpf-linker"],"features":[{features}]}}}}}}"#)
    }

    #[test]
    fn the_llvm_of_an_installed_linker_is_read_from_cargos_record() {
        let ours = "bpf-linker 0.13.0 (registry+https://example.org/index)";
        assert_eq!(recorded_llvm(&record(ours, r#""llvm-22""#)), Some(22));
        assert_eq!(
            recorded_llvm(&record(ours, r#""llvm-link-static","llvm-21""#)),
            Some(21)
        );
        assert_eq!(recorded_llvm(&record(ours, "")), None);
    }

    #[test]
    fn another_version_or_a_broken_record_is_no_linker() {
        let other = "bpf-linker 0.13.01 (registry+https://example.org/index)";
        assert_eq!(recorded_llvm(&record(other, r#""llvm-22""#)), None);
        for broken in ["", "{", "[]", r#"{"installs":[]}"#, r#"{"installs":{}}"#] {
            assert_eq!(recorded_llvm(broken), None, "{broken}");
        }
    }

    #[test]
    fn packages_are_of_the_llvm_that_is_asked_for() {
        assert_eq!(
            packages(21),
            [
                "llvm-21-dev",
                "libpolly-21-dev",
                "libzstd-dev",
                "zlib1g-dev",
                "g++"
            ]
        );
    }
}
