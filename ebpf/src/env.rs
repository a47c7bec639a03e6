//! What the logic needs from the world around it.

use hark_common::counter::Counter;
use hark_common::socket::Task;

/// The kernel, or a test that plays it.
pub trait Env {
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

    /// Whether the bytes are what a TLS library handed over in clear.
    #[inline(always)]
    fn is_tls(&self) -> bool {
        false
    }

    /// Adds `n` to a counter.
    fn count(&mut self, counter: Counter, n: u64);
}
