//! What the logic needs from the world around it.

use hark_common::counter::Counter;
use hark_common::socket::{AbortReason, Task};

use crate::exchange::{self, Scratch, SocketState};
use crate::http1::{self, Found, Stream, Window};
use crate::http2;

/// The kernel, or a test that plays it.
///
/// The methods that have a body are the logic's own parts, by which it is cut for the kernel's
/// verifier: there each is a global function (`Documentation/bpf/`, "Function-by-function
/// verification"), looked at once with whatever its arguments may hold, where it would else be walked
/// again from every place that calls it, with every state that can lead there.
pub trait Env: Sized {
    /// Copies `len` bytes at `addr` of the current task's memory to `to`. False if they cannot be
    /// read; `to` may then hold anything.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writes of `len` bytes.
    unsafe fn read_user(&mut self, to: *mut u8, len: u32, addr: u64) -> bool;

    /// Hands a record of `len` bytes at `record` over. False if there was no room.
    ///
    /// # Safety
    ///
    /// `record` must be valid for reads of `len` bytes.
    unsafe fn emit(&mut self, record: *const u8, len: u32) -> bool;

    /// Fills in who sends or receives, and introduces the process if it was not seen before. Called
    /// at most once per event. `introduced` is the socket's memory of whom it introduced last; 0 at
    /// first.
    fn describe(&mut self, task: &mut Task, introduced: &mut u64);

    /// The id of the thread that sends or receives.
    fn thread(&mut self) -> u32;

    /// Adds `n` to a counter.
    fn count(&mut self, counter: Counter, n: u64);

    /// [`http1::scan`].
    #[inline(always)]
    fn scan(
        &mut self,
        stream: &mut Stream,
        window: &Window,
        (at, end): (u32, u32),
        request: bool,
    ) -> (u32, Found) {
        http1::scan(stream, window, at, end, request)
    }

    /// [`exchange::request_begun`].
    #[inline(always)]
    fn request_begun(&mut self, state: &mut SocketState, s: &mut Scratch) {
        exchange::request_begun(self, state, s);
    }

    /// [`exchange::request_piece`].
    #[inline(always)]
    fn request_piece(&mut self, state: &mut SocketState, s: &mut Scratch, last: bool) {
        exchange::request_piece(self, state, s, last);
    }

    /// [`exchange::response_end`].
    #[inline(always)]
    fn response_end(&mut self, state: &mut SocketState, s: &mut Scratch, flags: u16) {
        exchange::response_end(self, state, s, flags);
    }

    /// [`exchange::end_outstanding`].
    #[inline(always)]
    fn end_outstanding(
        &mut self,
        state: &mut SocketState,
        s: &mut Scratch,
        (reason, errno): (AbortReason, u32),
        counter: Counter,
    ) {
        exchange::end_outstanding(self, state, s, (reason, errno), counter);
    }

    /// [`http2::output::flush`].
    #[inline(always)]
    fn http2_flush(
        &mut self,
        socket: &SocketState,
        state: &mut http2::State,
        s: &mut http2::Scratch,
    ) {
        http2::output::flush(self, socket, state, s);
    }

    /// [`http2::data::data_end`].
    #[inline(always)]
    fn http2_data_end(&mut self, state: &mut http2::State, s: &mut http2::Scratch) {
        http2::data::data_end(self, state, s);
    }
}
