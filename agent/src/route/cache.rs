//! The paths seen lately and what became of them.
//!
//! Direct-mapped: a path has one place, given by its hash, and the newest path takes it. A flood
//! of paths that are never seen again costs work but no memory, and there is no order of use to
//! keep up to date.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::Found;
use crate::red::services::ServiceId;

/// Number of places; a power of two.
const PLACES: usize = 8192;

/// Longest path that is kept, in bytes: bounds the cache to `PLACES` times this. Longer ones are
/// resolved each time.
const LONGEST: usize = 256;

#[derive(Debug)]
pub(super) struct Cache {
    hasher: RandomState,
    places: Box<[Option<Entry>]>,
}

#[derive(Debug)]
struct Entry {
    service: ServiceId,
    truncated: bool,
    path: Box<str>,
    found: Found,
}

/// Where a path belongs.
pub(super) struct Place<'a> {
    index: usize,
    service: ServiceId,
    truncated: bool,
    path: &'a str,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            places: std::iter::repeat_with(|| None).take(PLACES).collect(),
        }
    }
}

impl Cache {
    pub(super) fn place<'a>(
        &self,
        service: ServiceId,
        path: &'a str,
        truncated: bool,
    ) -> Place<'a> {
        let hash = self.hasher.hash_one((service, path, truncated));
        Place {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the low bits are what is used"
            )]
            index: hash as usize & (PLACES - 1),
            service,
            truncated,
            path,
        }
    }

    pub(super) fn get(&self, place: &Place<'_>) -> Option<&Found> {
        self.places[place.index]
            .as_ref()
            .filter(|entry| {
                entry.service == place.service
                    && entry.truncated == place.truncated
                    && *entry.path == *place.path
            })
            .map(|entry| &entry.found)
    }

    pub(super) fn put(&mut self, place: &Place<'_>, found: Found) {
        if place.path.len() <= LONGEST {
            self.places[place.index] = Some(Entry {
                service: place.service,
                truncated: place.truncated,
                path: place.path.into(),
                found,
            });
        }
    }
}
