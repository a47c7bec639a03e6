//! Messages of sockets that are HTTP/1, or not known.

use super::*;

const MSG_DONTWAIT: i32 = 0x40;

/// One step of the loop over an event; 1 ends it.
#[inline(never)]
pub(super) extern "C" fn step_http1(_index: u64, walk: *mut Walk) -> i64 {
    // SAFETY: `walk` points to the program's stack, and holds pointers to map values that stay
    // valid for the program's run.
    unsafe {
        (*walk).step = apart::http1_step((*walk).socket, (*walk).scratch.cast()) as u64;
        // Read back: the compiler knows what a step gives, and would pass it on, but the verifier
        // does not, and takes nothing but 0 and 1.
        ((&raw const (*walk).step).read_volatile() != Step::More as u64) as i64
    }
}

/// A message of a socket that is HTTP/1, or not known. True if it is for HTTP/2.
#[inline(always)]
pub(super) fn on_message(
    (sk, moved, flags, direction): Message,
    family: u16,
    state: &mut SocketState,
    slot: u32,
    walk: &mut Walk,
) -> bool {
    if !look(state, direction) {
        return false;
    }
    // SAFETY: a helper without preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let Some(s) = SCRATCH.get_ptr_mut(slot) else {
        return false;
    };
    // SAFETY: this CPU's and this program's own slot; a program does not interrupt itself.
    let s = unsafe { &mut *s };
    s.event.now = now;
    s.event.direction = direction;
    s.event.blocking = (direction == RX && flags & MSG_DONTWAIT == 0) as u8;
    if state.verdict == verdict::UNDECIDED && state.turns == 1 && is_own(sk, family, s) {
        state.verdict = verdict::NEVER;
        bump(Counter::SocketsOwn as u32, 1);
        return false;
    }
    if family != AF_UNIX {
        let missing = missing_before(sk, state, direction, moved);
        if missing != 0 {
            // SAFETY: the socket is a BTF pointer.
            s.event.socket = unsafe { bpf_get_socket_cookie(sk) };
            apart::http1_gap(state, s, missing);
        }
    }
    s.event.numbered = 0;
    if direction == TX && is_unasked(state) {
        // SAFETY: the socket is a BTF pointer.
        s.event.socket = unsafe { bpf_get_socket_cookie(sk) };
        apart::http1_overtaken(state, s, 0);
    } else if direction == RX && may_be_unasked(state) {
        // SAFETY: the helper takes a BTF pointer, and gives one or null for what is not TCP.
        let tcp = unsafe { bpf_skc_to_tcp_sock(sk) } as *const c_void;
        if !tcp.is_null() {
            // SAFETY: a field of a BTF pointer.
            s.event.written = unsafe { field(tcp, offset!(tcp_write_seq)) };
            s.event.numbered = 1;
        }
    }
    if counted_in_body(state, direction, moved as u64, now) {
        return false;
    }
    // SAFETY: the socket is a BTF pointer.
    s.event.socket = unsafe { bpf_get_socket_cookie(sk) };
    s.event.left = moved as u64;
    if !ends_in_body(state, direction, moved as u64) {
        locate(&mut s.event, sk, flags);
    } else {
        nowhere(&mut s.event);
    }
    let readable = s.event.readable != 0;
    if readable && state.is_request(direction) {
        ends(sk, family, &mut s.request.local, &mut s.request.peer);
    }
    let frames = walk_http1(state, s, walk);
    if direction == TX && is_unasked(state) {
        apart::http1_overtaken(state, s, moved);
    }
    if state.verdict == verdict::TLS {
        tls::recognised(sk, family, state, s, slot);
        return false;
    }
    frames
}

/// Follows the event to its end; `walk` has the socket. True if it, or what is left of it, is for
/// HTTP/2.
#[inline(always)]
pub(super) fn walk_http1(state: &mut SocketState, s: &mut Scratch, walk: &mut Walk) -> bool {
    walk.scratch = (&raw mut *s).cast();
    // SAFETY: the callback has the signature that the helper calls, and its context outlives
    // the call.
    unsafe {
        bpf_loop(STEPS, step_http1 as *mut c_void, (&raw mut *walk).cast(), 0);
    }
    if s.event.readable == 0 && s.event.left != 0 {
        bump(s.event.unreadable_as as u32, 1);
    }
    let outcome = walk.step as u32;
    apart::http1_conclude(state, s, outcome);
    // A frame begins with a zero, unless it is longer than what is evidence of frames.
    let frames = outcome == Step::NotHttp as u32 && s.window[0] == 0
        || state.probing(s.event.direction) != probing::NONE;
    frames && state.verdict != verdict::HTTP1
}
