//! Calls of Go's `crypto/tls`.
//!
//! A goroutine may go to another thread between a call's entry and its return, so a call is known by
//! process and goroutine. Which one runs is in a register of its own whenever code of Go runs, also
//! while it is in a system call, which no goroutine leaves for another thread. So a socket call on a
//! socket with TLS, by a goroutine that is in a call for a session, says which socket the session is
//! on, on whichever thread. The structures of Go's library, which differ by its version, are not
//! looked into.
//!
//! Memory of a session is used again when it is collected, and nothing tells when. But each session
//! begins with a handshake, in a function of its own: there what was known of the name is forgotten.
//!
//! What is written is looked at when the call begins, because another goroutine may have read the
//! answer before it ends; only where the socket is not known by then, because the call makes the
//! handshake as well, at its end. The bytes of a call that fails were written in part, and the session
//! is at its end then.
//!
//! A call for one session inside that for another is TLS inside TLS: the outer one is not followed.

use super::*;

use hark_common::tls::MAX_GOROUTINES;

use call::{handed_over, own_call, registers, returned};
use cipher::is_from_here;

/// The call that a goroutine is in. Only its own thread changes it; it may be evicted, and its memory
/// be another's, at any time, so it is copied, and the copy is good if the key is still there.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct GoCall {
    /// The `*tls.Conn`.
    session: u64,
    /// Where the clear bytes are: an address, or how far below the upper end of the goroutine's
    /// stack, which moves when it grows.
    buffer: u64,
    /// A [`Function`].
    function: u32,
    /// 1: the buffer is on the stack. 2: it was looked at.
    flags: u32,
}

/// Values of `GoCall::flags`.
const ON_STACK: u32 = 1;
const LOOKED_AT: u32 = 2;

/// By process and goroutine, whose address is in the place of a session's.
#[map]
static GO_CALLS: LruHashMap<SessionKey, GoCall> = LruHashMap::with_max_entries(MAX_GOROUTINES, 0);

/// An argument of the function whose entry this is.
macro_rules! argument {
    ($n:literal) => {
        // SAFETY: the helpers give BTF pointers.
        unsafe { field::<u64>(registers(), constant(&OFFSETS.regs_go[$n])) }
    };
}

/// Address of the goroutine, if the thread runs code of Go.
#[inline(always)]
fn goroutine() -> u64 {
    // SAFETY: the helpers give BTF pointers.
    unsafe { field(registers(), offset!(regs_goroutine)) }
}

/// Lower and upper end of a goroutine's stack: the first two words of the runtime's `g`, which cgo
/// and the debuggers rely on.
#[inline(always)]
fn stack(goroutine: u64) -> [u64; 2] {
    let mut ends = [0u64; 2];
    // SAFETY: the helper checks the source, and leaves zeroes if it fails.
    unsafe {
        bpf_probe_read_user((&raw mut ends).cast(), 16, goroutine as *const c_void);
    }
    ends
}

#[inline(always)]
const fn direction_of(function: u32) -> u8 {
    if function == Function::Read as u32 {
        RX
    } else {
        TX
    }
}

/// At the entry of a function. Programs of their own, because their stacks are deeper than those for
/// other libraries, and an older kernel may refuse them alone.
#[uprobe]
fn tls_go_enter(ctx: ProbeContext) -> u32 {
    stay_on_the_stack(&ctx);
    // SAFETY: the context is the program's.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    let function = cookie as u8;
    if function != Function::Handshake as u8 && !is_whole(cookie) {
        return 0;
    }
    if let Some(call) = own_call() {
        enter(call, function);
    }
    0
}

/// At a return instruction of a function.
#[uprobe]
fn tls_go_return(ctx: ProbeContext) -> u32 {
    stay_on_the_stack(&ctx);
    // SAFETY: the context is the program's.
    let function = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) } as u8;
    if let Some(call) = own_call() {
        let moved = left(call, function);
        if moved != 0 {
            call.moved = moved;
            go_handed_over();
        }
    }
    0
}

/// [`handed_over`] as a global function, so that the verifier looks at it once. It finds the thread's call
/// itself: up to Linux 6.1 what a global function is given cannot hold a map's key.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn go_handed_over() -> u32 {
    if let Some(call) = own_call() {
        handed_over(call);
    }
    0
}

/// Behind the look whether the stack has to grow, which would begin the function again.
#[inline(always)]
fn enter(call: &mut Call, function: u8) {
    let function = function as u32;
    let (session, goroutine) = (argument!(0), goroutine());
    let work = &mut call.work;
    name(&mut work.goroutine, goroutine);
    // Zeroes for none, and no `Option`: what is not set the compiler may leave unset, and the verifier
    // refuses to read that.
    // SAFETY: copied at once; only this thread removes or replaces it.
    work.before = unsafe { GO_CALLS.get(&work.goroutine) }.map_or(
        GoCall {
            session: 0,
            buffer: 0,
            function: 0,
            flags: 0,
        },
        |before| *before,
    );
    work.in_flight.session = session;
    work.in_flight.buffer = 0;
    work.in_flight.function = function;
    work.in_flight.flags = 0;
    if function == Function::Handshake as u32 {
        name(&mut work.key, session);
        let _ = SESSIONS.remove(&work.key);
        if work.before.function != 0 && work.before.session == session {
            // Inside its first call that moves data, which goes on.
            return;
        }
        let _ = GO_CALLS.insert(&work.goroutine, &work.in_flight, 0);
        return;
    }
    if work.before.function != 0
        && work.before.function != Function::Handshake as u32
        && work.before.flags & LOOKED_AT == 0
    {
        // It may have moved data.
        bump(Counter::TlsUnreturned as u32, 1);
        missed(
            socket_of(&mut work.key, work.before.session),
            direction_of(work.before.function),
        );
    }
    let buffer = argument!(1);
    work.in_flight.buffer = buffer;
    let [low, high] = stack(goroutine);
    if buffer >= low && buffer < high {
        work.in_flight.buffer = high - buffer;
        work.in_flight.flags = ON_STACK;
    }
    let socket = if function == Function::Write as u32 {
        socket_of(&mut work.key, session)
    } else {
        0
    };
    if socket != 0 {
        work.in_flight.flags |= LOOKED_AT;
    }
    let _ = GO_CALLS.insert(&work.goroutine, &work.in_flight, 0);
    if socket == 0 {
        return;
    }
    let moved = argument!(2);
    if moved > i32::MAX as u64 {
        missed(socket, TX);
        return;
    }
    if moved == 0 {
        return;
    }
    call.session = session;
    call.socket = socket;
    call.direction = TX;
    call.library = Library::Go as u8;
    call.function = 0;
    call.buffer = buffer;
    call.moved = moved;
    go_handed_over();
}

/// The socket that a session is on; 0 if it is not known. `named` is set to the session's key.
#[inline(always)]
fn socket_of(named: &mut SessionKey, session: u64) -> u64 {
    name(named, session);
    // SAFETY: the value is not kept.
    unsafe { SESSIONS.get(&*named) }.map_or(0, |known| known.socket)
}

/// A goroutine's call has returned: how many clear bytes it moved, as `call` then says; 0 if they are
/// not to be looked at.
#[inline(always)]
fn left(call: &mut Call, function: u8) -> u64 {
    let goroutine = goroutine();
    let work = &mut call.work;
    name(&mut work.goroutine, goroutine);
    let handshake = function == Function::Handshake as u8;
    // SAFETY: copied at once.
    let Some(in_flight) = (unsafe { GO_CALLS.get(&work.goroutine) }) else {
        if !handshake {
            bump(Counter::TlsUnentered as u32, 1);
        }
        return 0;
    };
    work.in_flight = *in_flight;
    let in_flight = &work.in_flight;
    if handshake && in_flight.function != Function::Handshake as u32 {
        // One inside a call that goes on.
        return 0;
    }
    if GO_CALLS.remove(&work.goroutine).is_err() {
        bump(Counter::TlsUnentered as u32, 1);
        return 0;
    }
    if handshake || in_flight.flags & LOOKED_AT != 0 {
        return 0;
    }
    if in_flight.function != function as u32 {
        // Its own return, and this one's entry, were not seen.
        bump(Counter::TlsUnreturned as u32, 1);
        return 0;
    }
    let moved = returned() as i64;
    if moved <= 0 {
        return 0;
    }
    call.session = in_flight.session;
    call.socket = socket_of(&mut work.key, in_flight.session);
    call.direction = direction_of(in_flight.function);
    call.library = Library::Go as u8;
    call.function = 0;
    call.buffer = in_flight.buffer;
    if in_flight.flags & ON_STACK != 0 {
        call.buffer = stack(goroutine)[1].wrapping_sub(in_flight.buffer);
    }
    if moved > i32::MAX as i64 {
        missed(call.socket, call.direction);
        return 0;
    }
    moved as u64
}

/// Bytes moved on a socket with TLS, maybe by a goroutine that is in a call.
#[inline(always)]
pub(super) fn heard(sk: *mut c_void, cookie: u64) {
    let session = go_session(cookie);
    if session != 0 && is_from_here(sk) {
        go_tie(session, cookie);
    }
}

/// The session that the goroutine of this thread is in a call for; 0 if there is none, or it is known
/// to be on that socket.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn go_session(cookie: u64) -> u64 {
    let key_of_call = key(goroutine());
    // SAFETY: copied at once.
    let Some(call) = unsafe { GO_CALLS.get(key_of_call) }.copied() else {
        return 0;
    };
    // SAFETY: the value is not kept.
    let is_there = unsafe { GO_CALLS.get(key_of_call) }.is_some();
    let mut named = key_of_call;
    if !is_there || socket_of(&mut named, call.session) == cookie {
        return 0;
    }
    call.session
}

/// A session is on a socket. If it was on another one before, it is on none: something else is
/// behind it, which moved between them.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn go_tie(session: u64, cookie: u64) -> u32 {
    let key = key(session);
    let mut tied = Session {
        socket: cookie,
        descriptor: 0,
        guess: 0,
        agreed: 0,
        refuted: 0,
    };
    // SAFETY: copied at once.
    if let Some(known) = unsafe { SESSIONS.get(key) }.copied() {
        if known.refuted != 0 {
            return 0;
        }
        if known.socket != 0 {
            tied.socket = 0;
            tied.refuted = 1;
            missed(known.socket, RX);
            missed(known.socket, TX);
            missed(cookie, RX);
            missed(cookie, TX);
        }
    }
    let _ = SESSIONS.insert(key, tied, 0);
    0
}
