//! Go programs: where the functions of `crypto/tls` are in one, and whether they take their arguments
//! as is known.
//!
//! What is needed of Go's own tables is read here: `object`, `goblin` and `gimli` know ELF and DWARF,
//! and a program that was stripped has neither names in the one nor the other at all.

pub mod build_info;
pub mod pclntab;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use hark_common::tls::{Function, Library, cookie};
use object::read::ReadCacheOps;

use super::elf::{self, Elf};
use super::exits::{ExitsError, exits_within, past_marks};
use super::points::{Place, Point, Points};
use build_info::{BuildInfoError, Version};
use pclntab::PclntabError;

/// What a file is read from, at any place, keeping nothing.
pub trait Source {
    /// Fills `to` with what is at `offset`.
    ///
    /// # Errors
    ///
    /// There is not as much, or it cannot be read.
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()>;
}

impl Source for File {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(to, offset)
    }
}

impl Source for [u8] {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..))
            .and_then(|rest| rest.get(..to.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        to.copy_from_slice(from);
        Ok(())
    }
}

/// Why the TLS of a Go program is not read.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// What was built is not told.
    #[error("which version of Go built it is not known: {0}")]
    BuildInfo(#[from] BuildInfoError),
    /// Functions take their arguments on the stack.
    #[error("it was built by Go {0}; Go {MIN_MAJOR}.{MIN_MINOR} is the first that is read")]
    TooOld(Version),
    /// There is no table of functions.
    #[error("it has no table of its functions")]
    NoTable,
    /// The table of functions is of no use.
    #[error("its table of functions: {0}")]
    Table(#[from] PclntabError),
    /// Nothing says where the code is that the table tells of.
    #[error("where its code begins is not told")]
    NoText,
    /// `crypto/tls` is not in it.
    #[error("it does not use crypto/tls")]
    NoTls,
    /// The code is not as Go makes it.
    #[error("its function {0} does not begin as is known")]
    Prologue(&'static str),
    /// A function's end cannot be told.
    #[error("its function {name} cannot be followed: {why}")]
    Function {
        /// The function.
        name: &'static str,
        /// Why.
        why: ExitsError,
    },
}

/// The first version whose functions take their arguments in registers on this machine.
const MIN_MAJOR: u32 = 1;
const MIN_MINOR: u32 = if cfg!(target_arch = "aarch64") {
    18
} else {
    17
};

/// The section by which a Go program is known, since Go 1.13.
pub const BUILD_INFO: &str = ".go.buildinfo";
/// Names of the section with the table of functions; the second where a program may be loaded
/// anywhere.
const TABLES: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// The section with the runtime's `moduledata`, since Go 1.26.
const MODULE: &str = ".go.module";

/// The functions. The first two must be there; of the handshakes, those of the roles that a program
/// does not have are left out by the linker.
const FUNCTIONS: [(&str, Function); 4] = [
    ("crypto/tls.(*Conn).Read", Function::Read),
    ("crypto/tls.(*Conn).Write", Function::Write),
    ("crypto/tls.(*Conn).clientHandshake", Function::Handshake),
    ("crypto/tls.(*Conn).serverHandshake", Function::Handshake),
];

/// Looks for the functions in a Go program.
///
/// # Errors
///
/// [`GoError`], in words.
pub fn points<R: ReadCacheOps, S: Source + ?Sized>(
    elf: &Elf<'_, R>,
    source: &S,
) -> Result<Points, GoError> {
    let version = build_info::version(elf, source)?;
    let section = TABLES.iter().find_map(|name| elf.section(name));
    let section = section.ok_or(GoError::NoTable)?;
    let names = FUNCTIONS.map(|(name, _)| name);
    let table = pclntab::Table::open(source, section.offset, section.size)?;
    let found = table.functions(names)?;
    if found[0].is_none() || found[1].is_none() {
        return Err(GoError::NoTls);
    }
    if version < Version::new(MIN_MAJOR, MIN_MINOR) {
        return Err(GoError::TooOld(version));
    }
    let text = match table.text() {
        Some(0) => of_module(elf, source, section.address).ok_or(GoError::NoText)?,
        Some(text) => text,
        None => 0,
    };
    let (mut points, mut entries) = (Vec::new(), Vec::new());
    for ((name, function), found) in FUNCTIONS.iter().zip(found) {
        let Some(mut found) = found else { continue };
        found.address = found.address.checked_add(text).ok_or(GoError::NoText)?;
        let cookie = cookie(*function, Library::Go);
        let place = |place, offset| Point {
            place,
            offset,
            cookie,
        };
        let entry = entry(elf, found).ok_or(GoError::Prologue(name))?;
        entries.push(place(Place::Entry, entry));
        let end = found.address.saturating_add(found.size);
        let exits = exits_within(found.address, end, |at| elf.code(at))
            .map_err(|why| GoError::Function { name, why })?;
        let returns = exits.returns.into_iter().filter_map(|at| elf.offset(at));
        points.extend(returns.map(|at| place(Place::Return, at)));
    }
    // Handshakes first: no session is known whose begin would not have been seen.
    points.extend(entries.into_iter().rev());
    Ok(Points {
        library: Library::Go,
        points,
    })
}

/// Where the code begins, by the runtime's `moduledata`: the first field of it is the address of the
/// table, the 23rd word that of the code (`runtime/symtab.go`).
fn of_module<R: ReadCacheOps, S: Source + ?Sized>(
    elf: &Elf<'_, R>,
    source: &S,
    table: u64,
) -> Option<u64> {
    const TEXT: u64 = 22 * 8;
    let module = elf.section(MODULE).filter(|m| m.size >= TEXT + 8)?;
    let word = |at| {
        let mut bytes = [0; 8];
        source
            .read_at(module.offset.checked_add(at)?, &mut bytes)
            .ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    (word(0)? == table).then_some(())?;
    word(TEXT)
}

/// Offset in the file of a function's first instruction behind the look whether the stack has to
/// grow; `None` if it does not begin with one. That look takes the goroutine from its register, which
/// proves the convention, and growing begins the function again.
fn entry<R: ReadCacheOps>(elf: &Elf<'_, R>, function: elf::Function) -> Option<u64> {
    let code = elf.code(function.address);
    let length = prologue(code)?;
    let address = function.address.checked_add(length as u64)?;
    elf.offset(past_marks(address, code.get(length..)?))
}

/// Length of the look whether the stack has to grow, up to the branch that has it grow.
fn prologue(code: &[u8]) -> Option<usize> {
    if cfg!(target_arch = "aarch64") {
        return prologue_aarch64(code);
    }
    prologue_x86_64(code)
}

fn prologue_x86_64(code: &[u8]) -> Option<usize> {
    // cmp rsp, [r14+16]; or lea r12, [rsp-n]; cmp r12, [r14+16]
    let compared = match code {
        [0x49, 0x3b, 0x66, 0x10, ..] => 4,
        [0x4c, 0x8d, 0x64, 0x24, _, 0x4d, 0x3b, 0x66, 0x10, ..] => 9,
        [
            0x4c,
            0x8d,
            0xa4,
            0x24,
            _,
            _,
            _,
            _,
            0x4d,
            0x3b,
            0x66,
            0x10,
            ..,
        ] => 12,
        _ => return None,
    };
    // jbe
    match code.get(compared..)? {
        [0x76, _, ..] => Some(compared + 2),
        [0x0f, 0x86, ..] => Some(compared + 6),
        _ => None,
    }
}

fn prologue_aarch64(code: &[u8]) -> Option<usize> {
    let mut words = code
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    // ldr x16, [x28, #16]
    (words.next()? == 0xf940_0b90).then_some(())?;
    let (length, compare) = match words.next()? {
        // cmp sp, x16
        0xeb30_63ff => (12, 0xeb30_63ff),
        // sub x17, sp, #n; cmp x17, x16
        word if word & 0xff80_03ff == 0xd100_03f1 => (16, words.next()?),
        _ => return None,
    };
    // b.ls
    let grows = words.next()? & 0xff00_001f == 0x5400_0009;
    (grows && matches!(compare, 0xeb30_63ff | 0xeb10_023f)).then_some(length)
}

#[cfg(test)]
mod tests;
