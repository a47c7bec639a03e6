//! What one direction of a stream carries beside header blocks.

use super::frame::Messages;

/// The DATA of one direction of a stream, as far as it was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Body {
    /// Payload in bytes, padding included.
    bytes: u64,
    /// gRPC messages that came to their end in it, if it is made of them.
    messages: u64,
    /// The last one is not whole.
    within: bool,
    /// Its messages cannot be told, or it is not made of any.
    unknown: bool,
    /// Some of it may have moved unheard.
    lost: bool,
    /// All of it was told, or will never be more.
    told: bool,
}

impl Body {
    /// More of it was told.
    pub(super) fn add(&mut self, bytes: u64, messages: Messages) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.within = messages.within();
        match messages.ended() {
            Some(ended) => self.messages = self.messages.saturating_add(u64::from(ended)),
            None => self.unknown = true,
        }
    }

    /// Some of it may have moved unheard.
    pub(super) const fn lose(&mut self) {
        self.lost = true;
    }

    /// What was told until now is all of it.
    pub(super) const fn end(&mut self) {
        self.told = true;
    }

    /// Its size in bytes, if all of it was told.
    pub(super) const fn bytes(&self) -> Option<u64> {
        if self.is_whole() {
            Some(self.bytes)
        } else {
            None
        }
    }

    /// How many gRPC messages came to their end in it, if that is known.
    pub(super) const fn messages(&self) -> Option<u64> {
        if self.is_whole() && !self.unknown {
            Some(self.messages)
        } else {
            None
        }
    }

    const fn is_whole(&self) -> bool {
        self.told && !self.lost
    }

    /// How many gRPC messages it is made of, from its first byte to the last; `None` if it is not.
    pub(super) const fn whole_messages(&self) -> Option<u64> {
        if self.within { None } else { self.messages() }
    }
}
