//! The table of functions that every Go program has for its own use: `runtime/symtab.go`,
//! `debug/gosym` of Go's library.
//!
//! A header; all names, each with a zero byte behind it; and for each function, ascending, where it
//! begins and where its description is, which says where its name is. The names are gone through
//! once, then the functions, through a window: of a program of 100 MB that is some 20 MB, of which no
//! more than the window is in memory at a time.

use super::Source;
use crate::tls::elf::Function;

/// Functions that are looked at.
pub const FUNCTION_LIMIT: u64 = 1 << 21;
/// Bytes that are read of one table.
pub const READ_LIMIT: u64 = 256 << 20;
/// Bytes in memory at a time, for each of names, functions and descriptions.
const WINDOW: usize = 64 << 10;
/// Bytes of a header.
const HEADER: usize = 72;

/// Why a table is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PclntabError {
    /// It is none of those that are known.
    #[error("its form is not known (magic {0:#x})")]
    Unknown(u32),
    /// It ends early, or points out of itself.
    #[error("it is not whole")]
    Malformed,
    /// There is more than is read.
    #[error("it has more than {FUNCTION_LIMIT} functions, or {READ_LIMIT} bytes")]
    TooLarge,
}

/// How a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Go 1.16 and 1.17: addresses.
    Addresses,
    /// Go 1.18 and later: offsets from where the code begins.
    Offsets,
}

/// A table in a file.
#[derive(Debug)]
pub struct Table<'a, S: Source + ?Sized> {
    source: &'a S,
    offset: u64,
    size: u64,
    form: Form,
    functions: u64,
    text: u64,
    names: u64,
    names_end: u64,
    entries: u64,
}

impl<'a, S: Source + ?Sized> Table<'a, S> {
    /// Reads the header of the table at `offset`, of `size` bytes.
    ///
    /// # Errors
    ///
    /// It is not whole, too large, or none that is known.
    pub fn open(source: &'a S, offset: u64, size: u64) -> Result<Self, PclntabError> {
        use PclntabError::{Malformed, TooLarge, Unknown};
        let mut header = [0; HEADER];
        if size < HEADER as u64 || offset.checked_add(size).is_none() {
            return Err(Malformed);
        }
        source.read_at(offset, &mut header).map_err(|_| Malformed)?;
        // The fields behind the magic are words but for four bytes, of which the last is their size.
        let form = match number(&header, 0, 4) {
            0xffff_fffa => Form::Addresses,
            0xffff_fff0 | 0xffff_fff1 => Form::Offsets,
            #[expect(clippy::cast_possible_truncation, reason = "four bytes were read")]
            other => return Err(Unknown(other as u32)),
        };
        if header[7] != 8 {
            return Err(Malformed);
        }
        let word = |n: usize| number(&header, 8 * n, 8);
        let (text, rest) = match form {
            Form::Addresses => (0, 3),
            Form::Offsets => (word(3), 4),
        };
        let table = Self {
            source,
            offset,
            size,
            form,
            functions: word(1),
            text,
            names: word(rest),
            names_end: word(rest + 1),
            entries: word(rest + 4),
        };
        if table.functions > FUNCTION_LIMIT {
            return Err(TooLarge);
        }
        if table.names > table.names_end || table.names_end > size || table.entries > size {
            return Err(Malformed);
        }
        Ok(table)
    }

    /// Where the code begins that functions are told by, 0 if the table does not say; `None` if they
    /// are told by addresses.
    #[must_use]
    pub fn text(&self) -> Option<u64> {
        (self.form == Form::Offsets).then_some(self.text)
    }

    /// Looks functions up by name. Where one begins is an address, or an offset from where the code
    /// begins ([`text`](Self::text)); its size includes what fills up the place to the next one.
    ///
    /// # Errors
    ///
    /// The table is not whole, or too large.
    pub fn functions<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<Function>; N], PclntabError> {
        let mut left = READ_LIMIT;
        let wanted = self.places_of(names, &mut left)?;
        let mut found = [None; N];
        let mut missing = wanted.iter().flatten().count();
        let width = match self.form {
            Form::Addresses => 8,
            Form::Offsets => 4,
        };
        let (mut entries, mut descriptions) = (Window::default(), Window::default());
        for n in 0..self.functions {
            if missing == 0 {
                break;
            }
            // This one's entry and description, and the next one's entry: there is one behind the last.
            let at = self.entries + n * 2 * width;
            let row = entries.get(self, at, 3 * width, &mut left)?;
            let unit = usize::try_from(width).unwrap_or(usize::MAX);
            let [begin, description, end] = [0, 1, 2].map(|k| number(row, k * unit, unit));
            let description = self
                .entries
                .checked_add(description)
                .and_then(|at| at.checked_add(width))
                .ok_or(PclntabError::Malformed)?;
            let name = descriptions.get(self, description, 4, &mut left)?;
            let name = number(name, 0, 4);
            let Some(place) = wanted.iter().position(|wanted| *wanted == Some(name)) else {
                continue;
            };
            if found[place].is_none() {
                missing -= 1;
            }
            found[place] = Some(Function {
                address: begin,
                size: end.checked_sub(begin).ok_or(PclntabError::Malformed)?,
            });
        }
        Ok(found)
    }

    /// Where these names are among the names.
    fn places_of<const N: usize>(
        &self,
        names: [&str; N],
        left: &mut u64,
    ) -> Result<[Option<u64>; N], PclntabError> {
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0) as u64;
        let mut found = [None; N];
        let mut window = Window::default();
        let mut at = self.names;
        while at < self.names_end {
            let all = self.names_end - at;
            let bytes = window.get(self, at, all.min(WINDOW as u64), left)?;
            let last = bytes.len() as u64 == all;
            let mut passed = 0;
            for name in bytes.split_inclusive(|byte| *byte == 0) {
                let Some((0, name_only)) = name.split_last() else {
                    // Cut off by the window, or by the end of all. One of ours is never as long as a window.
                    break;
                };
                if let Some(place) = names.iter().position(|n| n.as_bytes() == name_only) {
                    found[place] = Some(at - self.names + passed);
                }
                passed += name.len() as u64;
            }
            if last {
                break;
            }
            // What was cut off begins the next window; of a longer one, its end alone, which is none of
            // ours because it is longer than they are.
            let kept = bytes.len() as u64 - passed;
            at += if passed == 0 {
                bytes.len() as u64 - longest.min(kept - 1) - 1
            } else {
                passed
            };
        }
        Ok(found)
    }
}

/// A stretch of a table in memory.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// `len` bytes from `at`, which counts from the table's begin; `left` bytes may yet be read.
    fn get<S: Source + ?Sized>(
        &mut self,
        table: &Table<'_, S>,
        at: u64,
        len: u64,
        left: &mut u64,
    ) -> Result<&[u8], PclntabError> {
        let len = usize::try_from(len).map_err(|_| PclntabError::Malformed)?;
        let within = |window: &Self| {
            let start = usize::try_from(at.checked_sub(window.start)?).ok()?;
            let end = start.checked_add(len)?;
            (end <= window.bytes.len()).then_some(start..end)
        };
        let range = if let Some(range) = within(self) {
            range
        } else {
            let rest = table.size.checked_sub(at).ok_or(PclntabError::Malformed)?;
            let size = rest.min(WINDOW as u64);
            *left = left.checked_sub(size).ok_or(PclntabError::TooLarge)?;
            self.start = at;
            self.bytes
                .resize(usize::try_from(size).unwrap_or(WINDOW), 0);
            table
                .source
                .read_at(table.offset + at, &mut self.bytes)
                .map_err(|_| PclntabError::Malformed)?;
            within(self).ok_or(PclntabError::Malformed)?
        };
        self.bytes.get(range).ok_or(PclntabError::Malformed)
    }
}

/// A number of up to eight bytes; what is not there is zero.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut word = [0; 8];
    if let (Some(from), Some(to)) = (bytes.get(at..at + width), word.get_mut(..width)) {
        to.copy_from_slice(from);
    }
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests;
