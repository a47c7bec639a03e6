//! Answers that come before their requests.
//!
//! A client's request is heard when its write returns. On a busy machine the thread that writes may
//! be kept from that for so long that the server has answered and another thread has read it. What is
//! heard of such a stream waits until the request is there, in the order in which it came.

use crate::exchange::ErrorType;
use crate::http2::fields::Fields;
use crate::http2::frame::Messages;

/// Most of what waits on one connection. What is beyond is passed over, as an answer to a request that
/// was not heard is.
const LIMIT: usize = 256;

/// What was heard of a stream without a request.
#[derive(Debug)]
pub(super) enum Step {
    /// A header block of the response.
    Block {
        /// What it says.
        fields: Box<Fields>,
        /// When its first byte moved, ns.
        first_ns: u64,
        /// It ends the stream.
        end_stream: bool,
    },
    /// A part of the response's body.
    Data {
        /// Its length.
        bytes: u64,
        /// The gRPC messages in it.
        messages: Messages,
        /// It ends the stream.
        end_stream: bool,
    },
    /// The server has reset the stream.
    Reset(ErrorType),
}

/// All that waits on a connection.
#[derive(Debug, Default)]
pub(super) struct Early(Vec<(u32, Step)>);

impl Early {
    /// Keeps a step; false if there is no room.
    pub(super) fn push(&mut self, id: u32, step: Step) -> bool {
        let room = self.0.len() < LIMIT;
        if room {
            self.0.push((id, step));
        }
        room
    }

    /// Takes out what belongs to streams that `wanted` names, in order.
    pub(super) fn take(&mut self, wanted: impl Fn(u32) -> bool) -> Vec<(u32, Step)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.extract_if(.., |(id, _)| wanted(*id)).collect()
    }
}
