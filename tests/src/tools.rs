//! Where the programs are that the tests drive.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip::Skip;

/// Path of a program, or why the test that needs it is skipped.
///
/// # Errors
/// The program is neither in the system's directories nor in `PATH`.
pub fn find(program: &str) -> Result<PathBuf, Skip> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The system's own first: a version manager's shim is a script that runs other processes.
    let system = ["/usr/sbin", "/usr/bin", "/usr/local/go/bin"];
    system
        .iter()
        .map(PathBuf::from)
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Skip(format!("{program} is not installed")))
}

/// The agent, run by `nobody` with what privileges these arguments of `setpriv` give, from a copy in
/// `folder`, which anybody may read and write then: a privilege must be what is missing, not a file.
///
/// # Errors
/// `setpriv` is not installed.
///
/// # Panics
/// If the folder is not the caller's own.
pub fn hark_of_nobody(folder: &Path, privileges: &[&str]) -> Result<Command, Skip> {
    let setpriv = find("setpriv")?;
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder, open).expect("our own folder");
    let program = folder.join("hark");
    std::fs::copy(hark(), &program).expect("our own folder");
    let mut command = Command::new(setpriv);
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(privileges)
        .arg("--")
        .arg(program);
    Ok(command)
}

/// A file of `tests/servers`.
#[must_use]
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("servers")
        .join(name)
}

/// The workspace's target folder, where this test binary was built.
///
/// # Panics
/// If the running program was not built by cargo.
#[must_use]
pub fn target() -> PathBuf {
    profile_folder()
        .parent()
        .expect("a profile folder lies in the target folder")
        .to_owned()
}

/// One of this crate's own programs (`src/bin`).
///
/// # Panics
/// If the running program was not built by cargo, or the helper was not.
#[must_use]
pub fn helper(name: &str) -> PathBuf {
    let path = profile_folder().join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p hark-tests --bins`",
        path.display()
    );
    path
}

/// The agent: `HARK_BIN`, else the release build, else the debug build.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn hark() -> PathBuf {
    if let Some(path) = std::env::var_os("HARK_BIN") {
        return path.into();
    }
    let candidates = ["release/hark", "debug/hark"].map(|path| target().join(path));
    candidates
        .iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "no hark in {} or {}: run `cargo xtask build`, or set HARK_BIN",
                candidates[0].display(),
                candidates[1].display()
            )
        })
        .clone()
}

fn profile_folder() -> PathBuf {
    // Test binaries lie in <target>/<profile>/deps, helpers in <target>/<profile>.
    let program = std::env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("a program lies in a folder");
    if folder.ends_with("deps") {
        folder
            .parent()
            .expect("deps lies in a profile folder")
            .to_owned()
    } else {
        folder.to_owned()
    }
}
