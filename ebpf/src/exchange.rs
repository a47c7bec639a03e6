//! Requests and responses of one connection, numbered and handed over.
//!
//! Two directions of a socket may move at the same time on two CPUs, so each field has one writer:
//! the direction of the requests, or that of the responses. Only a connection that is being given
//! up breaks that rule.

mod early;
mod end;
mod event;
mod request;
mod response;
mod state;

pub use early::{is_unasked, may_be_unasked, overtaken, unasked};
pub use end::{close, end_outstanding, give_up};
pub use event::{Event, Scratch};
pub use request::{
    PIPELINE_DEPTH, request_begun, request_end, request_head_end, request_piece, request_unread,
};
pub use response::{response_end, response_head_end};
pub use state::{RX, SocketState, TX, probing, state_flag, verdict};
