//! The dynamic table (RFC 7541 §2.3.2, §4), of which the beginning may not have been heard.
//!
//! Entries are found by their distance from the newest one. So what was heard since the watcher
//! joined is always found at its right place, and what is farther back than all that was heard is
//! unknown: never something else. That the watcher may hold an entry that the two ends have dropped
//! already does no harm, for nobody refers to it any more.

use std::collections::VecDeque;

use super::super::checkpoint::Input;

/// What an entry is counted with beyond its text, in bytes (RFC 7541 §4.1).
const OVERHEAD: usize = 32;

/// The capacity that a connection begins with, in bytes (RFC 9113 §6.5.2).
pub(super) const DEFAULT_CAPACITY: u32 = 4096;

/// The most that is kept of a table, in bytes by the count of RFC 7541 §4.1, whatever capacity the
/// two ends agree on. Entries beyond are unknown.
pub const TABLE_LIMIT: u32 = 64 << 10;

/// In place of the length of a name that is not known, where a table is written down.
const NO_NAME: u32 = u32::MAX;

/// One entry: its name, if that is known, and its value.
#[derive(Debug)]
pub(super) struct Entry {
    text: Box<[u8]>,
    /// Length of the name, with which the text begins.
    name: Option<usize>,
}

impl Entry {
    /// An entry of that name, if it is known, and that value.
    pub(super) fn new(name: Option<&[u8]>, value: &[u8]) -> Self {
        let mut text = Vec::with_capacity(name.map_or(0, <[u8]>::len) + value.len());
        text.extend_from_slice(name.unwrap_or_default());
        text.extend_from_slice(value);
        Self {
            text: text.into_boxed_slice(),
            name: name.map(<[u8]>::len),
        }
    }

    /// By the count of RFC 7541 §4.1. That of an entry whose name is not known is too small: the
    /// table then holds more than that of the two ends, never less.
    const fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}

/// Name and value of an entry, as far as they are known.
pub(super) type Known<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// The dynamic table of one direction of a connection.
#[derive(Debug)]
pub(super) struct Table {
    /// The newest one first.
    entries: VecDeque<Entry>,
    /// By the count of RFC 7541 §4.1; at most `capacity`.
    size: usize,
    capacity: usize,
    /// There may be entries behind those that are known.
    partial: bool,
}

impl Table {
    /// That of a connection that is heard from its beginning.
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            capacity: DEFAULT_CAPACITY as usize,
            partial: false,
        }
    }

    /// From here on nothing is known of what is in it, nor how large it is: until that is heard, as much
    /// is kept as ever is.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
        self.capacity = TABLE_LIMIT as usize;
        self.partial = true;
    }

    /// Writes it down: whether it is partial (u8), capacity (u32), number of entries (u32), and from
    /// the newest on the length of the name ([`NO_NAME`] if that is not known), that of the value,
    /// and both.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let number = |length: usize| u32::try_from(length).unwrap_or(NO_NAME).to_le_bytes();
        out.push(u8::from(self.partial));
        out.extend(number(self.capacity));
        out.extend(number(self.entries.len()));
        for Entry { text, name } in &self.entries {
            out.extend(name.map_or(NO_NAME.to_le_bytes(), number));
            out.extend(number(text.len() - name.unwrap_or(0)));
            out.extend(text);
        }
    }

    /// Reads what [`write`](Self::write) wrote; `None` if it is something else, or larger than it
    /// may be.
    pub(super) fn read(input: &mut Input<'_>) -> Option<Self> {
        let partial = match input.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let capacity = input.u32().filter(|capacity| *capacity <= TABLE_LIMIT)?;
        let mut table = Self {
            capacity: capacity as usize,
            partial,
            ..Self::new()
        };
        for _ in 0..input.u32()? {
            let name = input.u32()?;
            let value = input.u32()? as usize;
            let name = (name != NO_NAME).then_some(name as usize);
            let length = name.unwrap_or(0).checked_add(value)?;
            let entry = Entry {
                text: input.take(length)?.into(),
                name,
            };
            table.size += entry.size();
            if table.size > table.capacity {
                return None;
            }
            table.entries.push_back(entry);
        }
        Some(table)
    }

    /// There may be entries that are not known.
    pub(super) const fn is_partial(&self) -> bool {
        self.partial
    }

    /// Size of what is known of it, by the count of RFC 7541 §4.1, in bytes.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The encoder says how large its table may be (RFC 7541 §6.3).
    pub(super) fn resize(&mut self, capacity: u32) {
        if capacity > TABLE_LIMIT {
            self.partial = true;
        }
        self.capacity = capacity.min(TABLE_LIMIT) as usize;
        self.make_room(0);
        if capacity == 0 {
            // Now it is empty for certain.
            self.partial = false;
        }
    }

    /// The entry that is `distance` away from the newest one, or `None` if there is none.
    pub(super) fn get(&self, distance: usize) -> Option<Known<'_>> {
        match self.entries.get(distance) {
            Some(Entry { text, name }) => {
                let (name, value) = match name {
                    Some(length) => {
                        let (name, value) = text.split_at(*length);
                        (Some(name), value)
                    }
                    None => (None, &**text),
                };
                Some((name, Some(value)))
            }
            None if self.partial => Some((None, None)),
            None => None,
        }
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.make_room(entry.size());
        if entry.size() > self.capacity {
            // RFC 7541 §4.4: not an error; the table is now empty. Where it is only ours that is
            // too small, the entry is one of those that are not known.
            return;
        }
        self.size += entry.size();
        self.entries.push_front(entry);
    }

    /// Drops the oldest until there is room (RFC 7541 §4.3, §4.4).
    fn make_room(&mut self, room: usize) {
        while self.size + room > self.capacity {
            let Some(entry) = self.entries.pop_back() else {
                break;
            };
            self.size -= entry.size();
        }
    }
}
