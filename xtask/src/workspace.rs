//! Where the workspace and its build output are, and cargo started inside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// Variables that `cargo run` sets for xtask itself. A nested cargo must not inherit them: build
/// scripts that watch one of them (ring's does) would run again on every change between a plain
/// cargo and one under xtask.
const SET_BY_CARGO_RUN: &[&str] = &[
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
];

/// The workspace that xtask works on.
pub(crate) struct Workspace {
    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the user's configuration puts it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, which alone knows all the ways in which a target folder can be configured.
    pub(crate) fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let mut cargo = cargo_in(&manifest);
        let metadata = process::output(cargo.args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ]))?;
        let metadata: Value =
            serde_json::from_str(&metadata).context("cargo metadata printed no valid JSON")?;
        let folder = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .with_context(|| format!("cargo metadata has no `{key}`"))
        };
        Ok(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
        })
    }

    /// Cargo of the active toolchain, started in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = cargo_in(&self.root);
        if std::env::var_os("CARGO_TARGET_DIR").is_some() {
            // If it is relative, it is so to where the user is, not to the root.
            cargo.env("CARGO_TARGET_DIR", &self.target);
        }
        cargo
    }

    /// Another toolchain's cargo, started like [`Self::cargo`].
    pub(crate) fn cargo_of(&self, program: Option<&Path>) -> Command {
        let ours = self.cargo();
        let Some(program) = program else { return ours };
        let mut cargo = Command::new(program);
        cargo.current_dir(&self.root);
        for (name, value) in ours.get_envs() {
            match value {
                Some(value) => cargo.env(name, value),
                None => cargo.env_remove(name),
            };
        }
        cargo
    }

    /// Where the kernel objects are: one file per `[[bin]]` of the crate `hark-ebpf`.
    pub(crate) fn kernel_objects(&self) -> PathBuf {
        self.kernel_target()
            .join("bpfel-unknown-none")
            .join("release")
    }

    /// Target folder of the kernel build. Apart from the agent's, because the two use different
    /// compilers and would throw away each other's output.
    pub(crate) fn kernel_target(&self) -> PathBuf {
        self.target.join("ebpf")
    }

    /// The `hark` binary of a profile.
    pub(crate) fn agent(&self, release: bool) -> PathBuf {
        self.target
            .join(if release { "release" } else { "debug" })
            .join("hark")
    }
}

fn cargo_in(folder: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        let set_by_cargo = name
            .to_str()
            .is_some_and(|name| SET_BY_CARGO_RUN.iter().any(|set| name.starts_with(set)));
        if set_by_cargo {
            command.env_remove(name);
        }
    }
    command
}
