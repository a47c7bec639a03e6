//! Which version of Go built a program (`debug/buildinfo` of Go's library).

use std::fmt;

use object::read::ReadCacheOps;

use super::{BUILD_INFO, Source};
use crate::tls::elf::Elf;

/// Bytes of a version that are read; what builders add to it may be longer.
const VERSION_LIMIT: usize = 64;

/// A version of Go, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Of `go1.21.3`, `devel go1.22-5c38c04957`, and so on.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let (_, rest) = text.split_once("go1.")?;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        let minor = rest.get(..end.unwrap_or(rest.len()))?.parse().ok()?;
        Some(Self { major: 1, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}.{}", self.major, self.minor)
    }
}

/// Why the version cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildInfoError {
    /// It has no such section, or not all of it.
    #[error("it has no build information")]
    Missing,
    /// What is there is something else.
    #[error("its build information is not understood")]
    Malformed,
}

/// Reads the version of a program.
///
/// # Errors
///
/// There is none, or it is not understood.
pub fn version<R: ReadCacheOps, S: Source + ?Sized>(
    elf: &Elf<'_, R>,
    source: &S,
) -> Result<Version, BuildInfoError> {
    let section = elf.section(BUILD_INFO).ok_or(BuildInfoError::Missing)?;
    read(source, section.offset, |address| elf.loaded(address))
}

/// Reads what is at `offset`. `place` tells where in the file an address is.
///
/// # Errors
///
/// As for [`version`].
pub fn read<S: Source + ?Sized>(
    source: &S,
    offset: u64,
    place: impl Fn(u64) -> Option<u64>,
) -> Result<Version, BuildInfoError> {
    /// Magic, size of a pointer, flags; then, before Go 1.18, the addresses of two strings.
    const HEADER: usize = 32;
    const MAGIC: &[u8] = b"\xff Go buildinf:";
    /// The byte order is the other one; the strings follow.
    const BIG_ENDIAN: u8 = 1;
    const INLINE: u8 = 2;
    let mut header = [0; HEADER];
    source
        .read_at(offset, &mut header)
        .map_err(|_| BuildInfoError::Missing)?;
    let (pointer_size, flags) = (header[14], header[15]);
    if !header.starts_with(MAGIC) || flags & BIG_ENDIAN != 0 {
        return Err(BuildInfoError::Malformed);
    }
    let word = |at: u64| {
        let mut bytes = [0; 8];
        source.read_at(at, &mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let text = || {
        let (at, length) = if flags & INLINE != 0 {
            let at = offset.checked_add(HEADER as u64)?;
            let mut length = [0; 1];
            source.read_at(at, &mut length).ok()?;
            // A varint; no version has 128 bytes.
            (at.checked_add(1)?, u64::from(length[0] & 0x7f))
        } else {
            if pointer_size != 8 {
                return None;
            }
            let string = place(word(offset.checked_add(16)?)?)?;
            (place(word(string)?)?, word(string.checked_add(8)?)?)
        };
        let length = usize::try_from(length).ok()?.min(VERSION_LIMIT);
        let mut text = vec![0; length];
        source.read_at(at, &mut text).ok()?;
        Some(text)
    };
    text()
        .and_then(|text| Version::parse(&text))
        .ok_or(BuildInfoError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8] = b"\xff Go buildinf:";

    fn of(bytes: &[u8]) -> Result<Version, BuildInfoError> {
        read(bytes, 0, Some)
    }

    /// As Go 1.18 and later write it.
    fn inline(text: &[u8]) -> Vec<u8> {
        let mut bytes = [MAGIC, &[8, 2], &[0; 16]].concat();
        bytes.push(text.len().try_into().unwrap());
        bytes.extend(text);
        bytes
    }

    #[test]
    fn both_forms() {
        for (text, minor) in [
            (&b"go1.26.8"[..], 26),
            (b"go1.18", 18),
            (b"go1.21rc2", 21),
            (b"go1.22.1 X:boringcrypto", 22),
            (b"devel go1.25-5c38c04957 Tue", 25),
        ] {
            assert_eq!(of(&inline(text)), Ok(Version::new(1, minor)));
        }
        // The addresses of two strings, of which the first is at 48, and its text at 64.
        let mut bytes = [MAGIC, &[8, 0]].concat();
        for word in [48u64, 0, 0, 0, 64, 8] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"go1.17.4 and more");
        assert_eq!(of(&bytes), Ok(Version::new(1, 17)));
    }

    #[test]
    fn what_is_none_is_said() {
        assert_eq!(of(b"\xff Go"), Err(BuildInfoError::Missing));
        assert_eq!(of(&[0; 64]), Err(BuildInfoError::Malformed));
        assert_eq!(of(&inline(b"unknown")), Err(BuildInfoError::Malformed));
        assert_eq!(of(&inline(b"go1.")), Err(BuildInfoError::Malformed));
        let mut cut = inline(b"go1.26.8");
        cut.truncate(36);
        assert_eq!(of(&cut), Err(BuildInfoError::Malformed));
        let mut far = [MAGIC, &[8, 0]].concat();
        far.extend([0xff; 48]);
        assert_eq!(of(&far), Err(BuildInfoError::Malformed));
    }
}
