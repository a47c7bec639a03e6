//! What a machine has for a disk: the agent as it was built, the guest and what it starts, programs of
//! this system that speak TLS, and the shared libraries that all are linked with, where the guest looks
//! for them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// The machine's first process.
const GUEST: &str = "hark-vm-guest";

/// Where the harness of the tests looks for programs and for the agent: the folder of a build.
const PROGRAMS: &str = "target/debug";

/// The guest, and programs of the tests that it starts.
const STARTED: [&str; 4] = [GUEST, "hark-test-load", "hark-test-grpc", "hark-test-spin"];

/// Programs of this system, and where packages have them.
const SYSTEM: [&str; 3] = ["/usr/sbin/nginx", "/usr/bin/h2load", "/usr/bin/openssl"];

/// What these read: nginx looks its user up, and openssl has no defaults of its own for a
/// certificate's name.
const FILES: [(&str, &str); 3] = [
    ("etc/passwd", "root:x:0:0:root:/:/bin/false\n"),
    ("etc/group", "root:x:0:\n"),
    (
        "usr/lib/ssl/openssl.cnf",
        "[req]\ndistinguished_name = name\n[name]\n",
    ),
];

/// Makes the archive of all of it, with this agent. It and the guest have been built.
pub(super) fn make(workspace: &Workspace, agent: &Path) -> Result<PathBuf> {
    process::step("initramfs");
    let vm = workspace.target.join("vm");
    fs::create_dir_all(&vm).with_context(|| vm.display().to_string())?;
    let root = tempfile::tempdir_in(&vm).context("cannot make a folder")?;
    let root = root.path();
    let mut files = BTreeSet::new();
    let folder = workspace.target.join("debug");
    let mut programs = STARTED.map(|name| folder.join(name)).to_vec();
    programs.push(agent.to_owned());
    for program in programs {
        files.extend(linked_with(&program)?);
        let name = program.file_name().context("a program has a name")?;
        let to = root.join(PROGRAMS).join(name);
        make_parent(&to)?;
        // Debug information is nine tenths of it, and all of it lies in the machine's memory.
        process::output(Command::new("strip").arg("-o").args([&to, &program]))?;
    }
    for program in SYSTEM.map(PathBuf::from) {
        files.extend(linked_with(&program)?);
        files.insert(program);
    }
    for (name, text) in FILES {
        let to = root.join(name);
        make_parent(&to)?;
        fs::write(&to, text).with_context(|| to.display().to_string())?;
    }
    for file in files {
        let to = root.join(file.strip_prefix("/").unwrap_or(&file));
        make_parent(&to)?;
        fs::copy(&file, &to).with_context(|| file.display().to_string())?;
    }
    std::os::unix::fs::symlink(format!("/{PROGRAMS}/{GUEST}"), root.join("init"))
        .context("cannot make a link")?;
    let initramfs = vm.join("initramfs.cpio");
    archive(root, &initramfs)?;
    Ok(initramfs)
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())
}

/// The shared libraries of a program, and the loader.
fn linked_with(program: &Path) -> Result<Vec<PathBuf>> {
    let listed = process::output(Command::new("ldd").arg(program))?;
    if let Some(missing) = listed.lines().find(|line| line.ends_with("not found")) {
        bail!("{}: {}", program.display(), missing.trim());
    }
    Ok(paths(&listed))
}

/// `name => /path (address)`, or `/path (address)`; what the kernel provides has no path.
fn paths(listed: &str) -> Vec<PathBuf> {
    listed
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}

/// Archives a folder as the kernel reads it. Not compressed: emulated, unpacking is slow.
fn archive(root: &Path, to: &Path) -> Result<()> {
    let mut names = Vec::new();
    list(root, root, &mut names)?;
    let out = File::create(to).with_context(|| to.display().to_string())?;
    let mut cpio = Command::new("cpio");
    cpio.args([
        "--create",
        "--format=newc",
        "--null",
        "--owner=0:0",
        "--quiet",
    ])
    .current_dir(root)
    .stdin(Stdio::piped())
    .stdout(out);
    let mut child = cpio
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(&cpio)))?;
    let mut stdin = child.stdin.take().context("cpio has no stdin")?;
    stdin.write_all(&names).context("cannot write to cpio")?;
    drop(stdin);
    let status = child.wait().context("cannot wait for cpio")?;
    if !status.success() {
        bail!("`{}` failed: {status}", process::line(&cpio));
    }
    Ok(())
}

/// All names below `folder`, a folder's before those in it, each with a NUL at its end.
fn list(root: &Path, folder: &Path, names: &mut Vec<u8>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry.with_context(|| folder.display().to_string())?;
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        names.extend_from_slice(name.as_os_str().as_bytes());
        names.push(0);
        // A link to a folder is a link.
        if entry.file_type()?.is_dir() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_with_a_path() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f29)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f2a)\n";
        assert_eq!(
            paths(listed),
            [
                Path::new("/lib/x86_64-linux-gnu/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert_eq!(paths("\tstatically linked\n"), Vec::<PathBuf>::new());
    }
}
