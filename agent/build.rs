//! Finds the kernel objects that `cargo xtask build` made, for the agent to embed.
//!
//! Without them the agent still builds, with an empty file in each one's place: documentation,
//! lints and unit tests need no kernel toolchain. Such an agent says at start what it lacks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use object::build::elf;
use object::elf::SHT_STRTAB;

/// Each object: the variable that carries its path to `env!`, and its file name.
const OBJECTS: &[(&str, &str)] = &[
    ("HARK_SOCKET_OBJECT", "socket"),
    ("HARK_SCHED_OBJECT", "sched"),
    ("HARK_MEMORY_OBJECT", "memory"),
    ("HARK_BLOCK_OBJECT", "block"),
    ("HARK_ACCEPT_OBJECT", "accept"),
    ("HARK_DROP_OBJECT", "drop"),
    ("HARK_TCP_OBJECT", "tcp"),
];

/// Where cargo puts the objects, under the target folder.
const UNDER_TARGET: &str = "ebpf/bpfel-unknown-none/release";

fn main() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=HARK_EBPF_DIR");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let named = env::var_os("HARK_EBPF_DIR").map(PathBuf::from);
    let folder = match &named {
        Some(folder) => folder.clone(),
        None => default_folder()?,
    };
    for (variable, name) in OBJECTS {
        let object = folder.join(name);
        let embedded = if object.is_file() {
            println!("cargo::rerun-if-changed={}", object.display());
            without_debug_information(&object, name)?
        } else if named.is_some() {
            return Err(format!(
                "HARK_EBPF_DIR is {}, which has no kernel object `{name}`; run `cargo xtask build`",
                folder.display()
            ));
        } else {
            println!(
                "cargo::warning=no kernel object at {}: this agent will see nothing; run `cargo \
                 xtask build`",
                object.display()
            );
            watch(&folder);
            empty(name)?
        };
        println!("cargo::rustc-env={variable}={}", embedded.display());
    }
    Ok(())
}

fn default_folder() -> Result<PathBuf, String> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest
        .parent()
        .ok_or("the agent's folder has no parent")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    // A relative one is taken from the root, where cargo is usually started.
    Ok(root.join(target).join(UNDER_TARGET))
}

/// Makes cargo look again when the object appears. A path that does not exist counts as changed
/// every time, and would rebuild the agent every time; so the folder is made and watched.
fn watch(folder: &Path) {
    // If it cannot be made, the agent is rebuilt too often, which is no reason to fail.
    let _ = fs::create_dir_all(folder);
    println!("cargo::rerun-if-changed={}", folder.display());
}

/// A copy without DWARF, which is most of an object. Only the linker needs it, to make BTF of; the agent
/// would carry it along and have it parsed when it starts.
fn without_debug_information(object: &Path, name: &str) -> Result<PathBuf, String> {
    let bad = |error| format!("{} is no kernel object: {error}", object.display());
    let bytes =
        fs::read(object).map_err(|error| format!("cannot read {}: {error}", object.display()))?;
    let mut elf = elf::Builder::read(bytes.as_slice()).map_err(bad)?;
    for section in &mut elf.sections {
        let name = section.name.as_slice();
        section.delete = [".debug_", ".rel.debug_"]
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()));
    }
    elf.delete_orphans();
    // LLVM has the names of sections and those of symbols in one section, the writer wants two.
    let names = elf.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = SHT_STRTAB;
    names.data = elf::SectionData::SectionString;
    let mut stripped = Vec::new();
    elf.write(&mut stripped).map_err(bad)?;
    put(name, &stripped)
}

fn empty(name: &str) -> Result<PathBuf, String> {
    put(name, &[])
}

fn put(name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    let path = PathBuf::from(variable("OUT_DIR")?).join(name);
    fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}; run this by cargo"))
}
