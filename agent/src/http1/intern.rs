//! Equal strings, kept once.
//!
//! The hosts, paths and user agents on a machine are few and come again and again. A table of
//! fixed size remembers those seen of late, across connections, so that a head usually costs no
//! allocation and equal values in flight share their memory.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Strings remembered; a power of two.
const SLOTS: usize = 2048;

/// Longest string that is remembered, in bytes. With [`SLOTS`] it bounds the table to 512 KiB.
const LENGTH_LIMIT: usize = 256;

/// A direct-mapped cache: a string has one place, and the newest one that falls there stays.
#[derive(Debug)]
pub(super) struct Interner {
    slots: Box<[Option<Arc<str>>]>,
    hasher: RandomState,
}

impl Interner {
    /// An empty table.
    pub(super) fn new() -> Self {
        Self {
            slots: vec![None; SLOTS].into_boxed_slice(),
            hasher: RandomState::new(),
        }
    }

    /// The string, shared with earlier equal ones if one is remembered.
    pub(super) fn get(&mut self, text: &str) -> Arc<str> {
        if text.len() > LENGTH_LIMIT {
            return text.into();
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "any bits of the hash will do for a slot"
        )]
        let slot = self.hasher.hash_one(text) as usize % SLOTS;
        match &self.slots[slot] {
            Some(known) if **known == *text => Arc::clone(known),
            _ => {
                let new = Arc::<str>::from(text);
                self.slots[slot] = Some(Arc::clone(&new));
                new
            }
        }
    }
}
