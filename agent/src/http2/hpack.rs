//! HPACK, the compression of header fields in HTTP/2 (RFC 7541), as a third party hears it.
//!
//! A decoder that stands between the two ends differs from one at the end in two ways. It may have
//! joined in the middle or missed a block, so that entries of the dynamic table are unknown: it
//! then says that a name or a value is unknown, never a wrong one. And it may not refuse: after an
//! error its table is unknown, and it goes on with the next block.
//!
//! The work is linear in the length of a block, and nothing is collected: fields are handed over
//! one by one, as slices of the block, of the table, or of a scratch buffer for Huffman text. A
//! block that expands to much more than its length ("header bomb") so costs no memory; what is kept
//! is the table, at most [`TABLE_LIMIT`] bytes, and the scratch buffers, at most 8/5 of a block.

mod entries;
mod huffman;
mod integer;
mod table;

pub use table::TABLE_LIMIT;

use super::checkpoint::Input;
use entries::STATIC;
use table::{Entry, Known, Table};

/// One header field; `None` stands for what is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, as it was sent.
    pub name: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// Why a block cannot be read, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    /// It ends within a field.
    #[error("the header block ends within a field")]
    Truncated,
    /// An integer is beyond 32 bits.
    #[error("the header block has an integer of more than 32 bits")]
    Integer,
    /// The index 0, or one behind the end of the table.
    #[error("the header block refers to entry {0}, which is not there")]
    Index(u32),
    /// Huffman text is not valid.
    #[error("the header block has text that is not Huffman code")]
    Huffman,
    /// A change of the table's size after a field (RFC 7541 §4.2).
    #[error("the header block changes the size of the table after a field")]
    LateResize,
    /// A size of the table that the other end did not allow (RFC 7541 §6.3).
    #[error("the header block makes the table {size} bytes large, {limit} are allowed")]
    Resize {
        /// The size asked for, in bytes.
        size: u32,
        /// The greatest allowed, in bytes.
        limit: u32,
    },
}

/// The decoder of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// Largest size that the other end has allowed so far; `None` if that may not have been heard.
    limit: Option<u32>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// That of a connection that is heard from its beginning.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            table: Table::new(),
            limit: Some(table::DEFAULT_CAPACITY),
        }
    }

    /// That of a connection whose beginning was not heard.
    #[must_use]
    pub fn joined() -> Self {
        let mut decoder = Self::new();
        decoder.forget();
        decoder
    }

    /// A block was missed: from here on the table is unknown.
    pub fn forget(&mut self) {
        self.table.forget();
        self.limit = None;
    }

    /// The other end has sent `SETTINGS_HEADER_TABLE_SIZE`, in bytes. Smaller values do not take
    /// back greater ones: until the encoder has seen the change it may go by what was allowed
    /// before, and no field can tell whether it has.
    pub fn allow(&mut self, size: u32) {
        self.limit = self.limit.map(|limit| limit.max(size));
    }

    /// What the other end allows may have been missed.
    pub const fn allow_any(&mut self) {
        self.limit = None;
    }

    /// There may be entries of the table that are not known.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.table.is_partial()
    }

    /// Size of what is known of the table, by the count of RFC 7541 §4.1, in bytes: about the
    /// memory that it takes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.table.size()
    }

    /// Writes down all that is known: the largest size allowed (u8 whether that is known, u32), and
    /// the table ([`checkpoint`](super::checkpoint)).
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.limit.is_some()));
        out.extend(self.limit.unwrap_or(0).to_le_bytes());
        self.table.write(out);
    }

    /// Reads what [`write`](Self::write) wrote; `None` if it is something else.
    pub(super) fn read(input: &mut Input<'_>) -> Option<Self> {
        let known = match input.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self {
            limit: Some(input.u32()?).filter(|_| known),
            table: Table::read(input)?,
        })
    }

    /// Decodes a block, and hands each field to `sink`.
    ///
    /// # Errors
    ///
    /// An [`HpackError`] if the block is not valid or not whole. The fields before the fault have
    /// been handed over and are right; the table is unknown from here on.
    pub fn decode(
        &mut self,
        block: &[u8],
        scratch: &mut Scratch,
        sink: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let decoded = self.fields(block, scratch, sink);
        if decoded.is_err() {
            self.forget();
        }
        decoded
    }

    fn fields(
        &mut self,
        mut rest: &[u8],
        scratch: &mut Scratch,
        sink: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let mut begun = false;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first & 0x80 != 0 {
                // RFC 7541 §6.1: an entry.
                let index = integer::decode(first, 7, &mut rest)?;
                let (name, value) = entry(&self.table, index)?;
                sink(Field { name, value });
            } else if first & 0xc0 == 0x40 {
                // §6.2.1: a literal that becomes an entry.
                let index = integer::decode(first, 6, &mut rest)?;
                self.literal(index, true, &mut rest, scratch, sink)?;
            } else if first & 0xe0 == 0x20 {
                // §6.3: a change of the table's size.
                let size = integer::decode(first, 5, &mut rest)?;
                if begun {
                    return Err(HpackError::LateResize);
                }
                if let Some(limit) = self.limit.filter(|limit| size > *limit) {
                    return Err(HpackError::Resize { size, limit });
                }
                self.table.resize(size);
                continue;
            } else {
                // §6.2.2, §6.2.3: a literal that does not.
                let index = integer::decode(first, 4, &mut rest)?;
                self.literal(index, false, &mut rest, scratch, sink)?;
            }
            begun = true;
        }
        Ok(())
    }

    fn literal(
        &mut self,
        index: u32,
        keep: bool,
        rest: &mut &[u8],
        scratch: &mut Scratch,
        sink: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let Scratch { name, value } = scratch;
        let name = if index == 0 {
            Some(string(rest, name)?)
        } else {
            entry(&self.table, index)?.0
        };
        let value = string(rest, value)?;
        sink(Field {
            name,
            value: Some(value),
        });
        if keep {
            // Copied before the table makes room, which may drop the entry that the name is of.
            let entry = Entry::new(name, value);
            self.table.insert(entry);
        }
        Ok(())
    }
}

/// Buffers for Huffman text; any decoder can use any.
#[derive(Debug, Default)]
pub struct Scratch {
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Name and value of an entry of the static table or the dynamic one (RFC 7541 §2.3.3).
fn entry(table: &Table, index: u32) -> Result<Known<'_>, HpackError> {
    let place = (index as usize)
        .checked_sub(1)
        .ok_or(HpackError::Index(index))?;
    if let Some((name, value)) = STATIC.get(place) {
        return Ok((Some(name.as_bytes()), Some(value.as_bytes())));
    }
    table
        .get(place - STATIC.len())
        .ok_or(HpackError::Index(index))
}

/// A string (RFC 7541 §5.2): where it lies, or decoded into `buffer`.
fn string<'a, 'b: 'a>(
    rest: &mut &'b [u8],
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], HpackError> {
    let (&first, after) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = after;
    let length = integer::decode(first, 7, rest)?;
    let (text, after) = rest
        .split_at_checked(length as usize)
        .ok_or(HpackError::Truncated)?;
    *rest = after;
    if first & 0x80 == 0 {
        return Ok(text);
    }
    buffer.clear();
    huffman::decode(text, buffer)?;
    Ok(buffer)
}

#[cfg(test)]
pub(super) mod tests;
