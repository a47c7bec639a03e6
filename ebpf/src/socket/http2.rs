//! Messages of sockets that are HTTP/2, or may be.

use super::*;

use hark_ebpf::http2::follow::{begin, counted_in_payload, ends_in_payload, reset};
use hark_ebpf::http2::join::preface;
use hark_ebpf::http2::{STEPS, Scratch, State};

#[btf_map]
static HTTP2: SkStorage<State> = SkStorage::new();
/// Working memory, as [`SCRATCH`].
#[map]
static HTTP2_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(slot::COUNT, 0);

/// The end of an HTTP/2 connection.
#[inline(always)]
pub(super) fn on_end(
    sk: *mut c_void,
    socket: &mut SocketState,
    event: (u64, u64),
    why: (AbortReason, u32),
) {
    // SAFETY: a BTF pointer.
    if let Some(state) = unsafe { of_socket(&HTTP2, sk, 0) } {
        let ((cookie, now), (reason, errno)) = (event, why);
        let why = (reason as u64) << 32 | errno as u64;
        apart::http2_end(socket, state, cookie, now, why);
    }
}

#[inline(never)]
pub(super) extern "C" fn step_http2(_index: u64, walk: *mut Walk) -> i64 {
    // SAFETY: `walk` points to the program's stack, and holds pointers to map values that stay
    // valid for the program's run.
    unsafe {
        let done = apart::http2_step((*walk).socket, (*walk).state, (*walk).scratch.cast());
        (*walk).step = done as u64;
        // Read back, as in HTTP/1.
        ((&raw const (*walk).step).read_volatile() != 0) as i64
    }
}

/// A message of a socket that is HTTP/2, or may be.
#[inline(always)]
pub(super) fn on_message(
    (sk, moved, flags, direction): Message,
    family: u16,
    socket: &mut SocketState,
    slot: u32,
    walk: &mut Walk,
) {
    // SAFETY: the tracepoint's socket is a BTF pointer.
    let Some(state) = (unsafe { of_socket(&HTTP2, sk, CREATE) }) else {
        bump(Counter::StorageFailed as u32, 1);
        return;
    };
    let (Some(s), Some(http1)) = (HTTP2_SCRATCH.get_ptr_mut(slot), SCRATCH.get_ptr_mut(slot))
    else {
        return;
    };
    // SAFETY: the working memories are this CPU's and this program's own.
    let (s, http1) = unsafe { (&mut *s, &*http1) };
    // SAFETY: helpers on a BTF pointer.
    let (now, cookie): (u64, u64) = unsafe { (bpf_ktime_get_ns(), bpf_get_socket_cookie(sk)) };
    if state.local.family == 0 {
        ends(sk, family, &mut state.local, &mut state.peer);
    }
    reset(s);
    let begins = socket.verdict == verdict::HTTP2 && socket.probing(direction) == probing::PREFACE;
    if begins {
        s.event = http1.event;
        preface(state, direction);
        socket.set_probing(direction, probing::NONE);
        s.sequence = socket.sequence(direction);
    }
    s.numbered = (family != AF_UNIX) as u16;
    s.event.now = now;
    s.event.direction = direction;
    s.event.socket = cookie;
    s.event.described = 0;
    if !begins {
        if family != AF_UNIX {
            let missing = missing_before(sk, socket, direction, moved);
            if missing != 0 {
                apart::http2_gap(socket, state, s, missing);
            }
        }
        s.sequence = socket.sequence(direction);
        if counted_in_payload(state, s, direction, moved as u64, now) {
            return;
        }
        s.event.left = moved as u64;
        if ends_in_payload(state, direction, moved as u64) {
            nowhere(&mut s.event);
        } else {
            locate(&mut s.event, sk, flags);
        }
    }
    begin(socket, state, s);
    walk.state = state;
    walk.scratch = (&raw mut *s).cast();
    // SAFETY: the callback has the signature that the helper calls, and its context outlives the
    // call.
    unsafe {
        bpf_loop(STEPS, step_http2 as *mut c_void, (&raw mut *walk).cast(), 0);
    }
    if s.event.readable == 0 && s.event.left != 0 {
        bump(s.event.unreadable_as as u32, 1);
    }
    apart::http2_conclude(socket, state, s, walk.step as u32);
}
