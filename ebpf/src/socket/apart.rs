//! The parts that [`Env`] cuts the logic into, as global functions: the verifier looks at each once,
//! apart from its callers.
//!
//! What it demands of them: at most five parameters; each is a number, or a pointer to a type whose
//! size the type information tells, which may be null; and a number is given back.

use super::*;

use hark_ebpf::classify::conclude;
use hark_ebpf::exchange;
use hark_ebpf::http1::{self, Found, Stream, Window};
use hark_ebpf::http2;
use hark_ebpf::walk::{gap, step};

/// What each pointer points to, by `as_ref` or `as_mut`; gives back `$or` if one of them is null,
/// which none is.
macro_rules! values {
    ($($way:ident $pointer:ident),+; $or:expr) => {
        // SAFETY: the verifier lets a caller give null or a whole value of the type, and the callers
        // give what they have a reference of this kind to.
        $(let Some($pointer) = (unsafe { $pointer.$way() }) else { return $or };)+
    };
}

/// [`Env::scan`]. Gives back the position, and above its 32 bits what was found.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_scan(
    stream: *mut Stream,
    window: *const Window,
    at: u32,
    end: u32,
    request: u32,
) -> u64 {
    values!(as_mut stream, as_ref window; 0);
    let (at, found) = http1::scan(stream, window, at, end, request != 0);
    at as u64 | (found as u64) << 32
}

/// What [`http1_scan`] gave back.
#[inline(always)]
pub(super) const fn scanned(packed: u64) -> (u32, Found) {
    (packed as u32, Found::of((packed >> 32) as u8))
}

/// [`step`]. Gives back a [`Step`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_step(state: *mut SocketState, s: *mut Scratch) -> u32 {
    values!(as_mut state, as_mut s; Step::Done as u32);
    step(&mut Kernel, state, s) as u32
}

/// [`gap`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_gap(state: *mut SocketState, s: *mut Scratch, bytes: u32) -> u32 {
    values!(as_mut state, as_mut s; 0);
    gap(&mut Kernel, state, s, bytes);
    0
}

/// [`exchange::overtaken`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_overtaken(
    state: *mut SocketState,
    s: *mut Scratch,
    moved: u32,
) -> u32 {
    values!(as_mut state, as_mut s; 0);
    exchange::overtaken(&mut Kernel, state, s, moved);
    0
}

/// [`conclude`], of a [`Step`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_conclude(
    state: *mut SocketState,
    s: *mut Scratch,
    step: u32,
) -> u32 {
    values!(as_mut state, as_mut s; 0);
    conclude(&mut Kernel, state, s, Step::of(step));
    0
}

/// [`Env::request_begun`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_request_begun(state: *mut SocketState, s: *mut Scratch) -> u32 {
    values!(as_mut state, as_mut s; 0);
    exchange::request_begun(&mut Kernel, state, s);
    0
}

/// [`Env::request_piece`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_request_piece(
    state: *mut SocketState,
    s: *mut Scratch,
    last: u32,
) -> u32 {
    values!(as_mut state, as_mut s; 0);
    exchange::request_piece(&mut Kernel, state, s, last != 0);
    0
}

/// [`Env::response_end`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_response_end(
    state: *mut SocketState,
    s: *mut Scratch,
    flags: u32,
) -> u32 {
    values!(as_mut state, as_mut s; 0);
    exchange::response_end(&mut Kernel, state, s, flags as u16);
    0
}

/// [`Env::end_outstanding`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http1_end_outstanding(
    state: *mut SocketState,
    s: *mut Scratch,
    reason: AbortReason,
    errno: u32,
    counter: Counter,
) -> u32 {
    values!(as_mut state, as_mut s; 0);
    exchange::end_outstanding(&mut Kernel, state, s, (reason, errno), counter);
    0
}

/// [`http2::follow::step`]. Gives back 1 when the event is worked through.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http2_step(
    socket: *mut SocketState,
    state: *mut State,
    s: *mut http2::Scratch,
) -> u32 {
    values!(as_mut socket, as_mut state, as_mut s; 1);
    http2::follow::step(&mut Kernel, socket, state, s) as u32
}

/// [`http2::follow::gap`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http2_gap(
    socket: *const SocketState,
    state: *mut State,
    s: *mut http2::Scratch,
    bytes: u32,
) -> u32 {
    values!(as_ref socket, as_mut state, as_mut s; 0);
    http2::follow::gap(&mut Kernel, socket, state, s, bytes);
    0
}

/// [`http2::follow::conclude`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http2_conclude(
    socket: *mut SocketState,
    state: *mut State,
    s: *mut http2::Scratch,
    done: u32,
) -> u32 {
    values!(as_mut socket, as_mut state, as_mut s; 0);
    http2::follow::conclude(&mut Kernel, socket, state, s, done != 0);
    0
}

/// [`Env::http2_flush`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http2_flush(
    socket: *const SocketState,
    state: *mut State,
    s: *mut http2::Scratch,
) -> u32 {
    values!(as_ref socket, as_mut state, as_mut s; 0);
    http2::output::flush(&mut Kernel, socket, state, s);
    0
}

/// [`Env::http2_data_end`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http2_data_end(state: *mut State, s: *mut http2::Scratch) -> u32 {
    values!(as_mut state, as_mut s; 0);
    http2::data::data_end(&mut Kernel, state, s);
    0
}

/// [`http2::end::end`]. `why` has the reason above its 32 bits, which hold the socket's error.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn http2_end(
    socket: *mut SocketState,
    state: *const State,
    cookie: u64,
    now: u64,
    why: u64,
) -> u32 {
    values!(as_mut socket, as_ref state; 0);
    let (reason, errno) = ((why >> 32) as u16, why as u32);
    http2::end::end(&mut Kernel, socket, state, (cookie, now), (reason, errno));
    0
}
