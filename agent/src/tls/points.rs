//! Where in a file the probes go.

use std::fs::File;
use std::io::Cursor;

use hark_common::tls::{Function, Library, cookie};
use object::read::{ReadCache, ReadCacheOps};

use super::elf::{self, Cache, Elf, ElfError, Limited};
use super::exits::{ExitsError, exits, past_marks};
use super::go::{self, GoError, Source};

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// At the entry of a function, or at a return instruction.
    pub place: Place,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// What the program is told ([`hark_common::tls::cookie`]).
    pub cookie: u64,
}

/// Which of the two programs a probe runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At the entry of a function.
    Entry,
    /// At a return instruction.
    Return,
}

/// All probes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Points {
    /// Whose functions they are.
    pub library: Library,
    /// Returns first: no call is seen to begin whose end is not.
    pub points: Vec<Point>,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is not a file that could be.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// It is a Go program, whose own TLS cannot be read.
    #[error("it is a Go program: {0}")]
    Go(#[from] GoError),
    /// It has no functions of a library that is known.
    #[error("it has no functions of a TLS library that are known by name")]
    NoLibrary,
    /// A function is not as it should be.
    #[error("its function {name} cannot be followed: {why}")]
    Function {
        /// The function.
        name: &'static str,
        /// Why.
        why: ExitsError,
    },
}

/// The functions of OpenSSL, its forks, and what keeps to its interface. The first two must be there.
const OPENSSL: [(&str, Function); 10] = [
    ("SSL_read", Function::Read),
    ("SSL_write", Function::Write),
    ("SSL_read_ex", Function::ReadEx),
    ("SSL_write_ex", Function::WriteEx),
    ("SSL_write_ex2", Function::WriteEx2),
    ("SSL_sendfile", Function::SendFile),
    ("SSL_set_fd", Function::SetDescriptor),
    ("SSL_set_rfd", Function::SetDescriptor),
    ("SSL_free", Function::Free),
    ("SSL_do_handshake", Function::Handshake),
];

/// Those of GnuTLS.
const GNUTLS: [(&str, Function); 10] = [
    ("gnutls_record_recv", Function::Read),
    ("gnutls_record_send", Function::Write),
    ("gnutls_record_send2", Function::Write),
    ("gnutls_record_recv_seq", Function::Read),
    ("gnutls_record_send_early_data", Function::Write),
    ("gnutls_record_send_file", Function::SendFile),
    ("gnutls_transport_set_int2", Function::SetDescriptors),
    ("gnutls_transport_set_fastopen", Function::SetDescriptor),
    ("gnutls_deinit", Function::Free),
    ("gnutls_handshake", Function::Handshake),
];

/// Looks for the functions in a file.
///
/// # Errors
///
/// [`Unfit`], in words.
pub fn points(file: File) -> Result<Points, Unfit> {
    let again = file.try_clone().map_err(|_| Unfit::NoLibrary)?;
    let cache: Cache = ReadCache::new(Limited::new(file));
    of_elf(&Elf::open(&cache)?, &again)
}

/// As [`points`], in a file that is in memory.
///
/// # Errors
///
/// Those of [`points`].
pub fn of_bytes(bytes: &[u8]) -> Result<Points, Unfit> {
    let cache = ReadCache::new(Limited::new(Cursor::new(bytes)));
    of_elf(&Elf::open(&cache)?, bytes)
}

/// As [`points`], in what has been opened; `source` is the same file.
///
/// # Errors
///
/// Those of [`points`].
pub fn of_elf<R: ReadCacheOps, S: Source + ?Sized>(
    elf: &Elf<'_, R>,
    source: &S,
) -> Result<Points, Unfit> {
    match elf.section(go::BUILD_INFO).map(|_| go::points(elf, source)) {
        Some(Ok(points)) => return Ok(points),
        // It may have a library of another language linked in.
        None | Some(Err(GoError::NoTls)) => {}
        Some(Err(why)) => return Err(why.into()),
    }
    for (library, table) in [(Library::OpenSsl, &OPENSSL), (Library::GnuTls, &GNUTLS)] {
        let found = elf.functions(table.map(|(name, _)| name))?;
        if found[0].is_none() || found[1].is_none() {
            continue;
        }
        let mut entries = Vec::new();
        let mut points = Vec::new();
        for ((name, function), found) in table.iter().zip(found) {
            let Some(found) = found else { continue };
            let told = cookie(*function, library);
            entry(elf, found, told, &mut entries);
            let moves = !matches!(
                function,
                Function::SetDescriptor
                    | Function::SetDescriptors
                    | Function::Free
                    | Function::Handshake
            );
            if !moves {
                continue;
            }
            let exits = match exits(found.address, |at| elf.code(at)) {
                Ok(exits) => exits,
                // It goes on in another one of these, which has returns.
                Err(ExitsError::NoReturn) => continue,
                Err(why) => return Err(Unfit::Function { name, why }),
            };
            let returns = exits.returns.into_iter().filter_map(|at| elf.offset(at));
            points.extend(returns.map(|offset| Point {
                place: Place::Return,
                offset,
                cookie: told,
            }));
        }
        // Two functions may share their end.
        points.sort_unstable_by_key(|point| point.offset);
        points.dedup_by_key(|point| point.offset);
        points.append(&mut entries);
        return Ok(Points { library, points });
    }
    Err(Unfit::NoLibrary)
}

/// The name of a library: the value of the label `library`.
#[must_use]
pub const fn name(library: Library) -> &'static str {
    match library {
        Library::OpenSsl => "openssl",
        Library::GnuTls => "gnutls",
        Library::Go => "go",
    }
}

fn entry<R: ReadCacheOps>(
    elf: &Elf<'_, R>,
    function: elf::Function,
    cookie: u64,
    to: &mut Vec<Point>,
) {
    let address = past_marks(function.address, elf.code(function.address));
    to.extend(elf.offset(address).map(|offset| Point {
        place: Place::Entry,
        offset,
        cookie,
    }));
}

#[cfg(test)]
mod tests;
