//! The clear bytes of a call, through the framing of HTTP/1 and HTTP/2.

use super::*;

/// `call.moved` clear bytes.
#[inline(always)]
pub(super) fn on_clear(call: &mut Call) {
    let Some(connection) = TLS.get_ptr_mut(call.socket) else {
        // The socket was not seen to speak TLS yet, or the table was full, which was counted.
        bump(Counter::TlsUntied as u32, 1);
        return;
    };
    // SAFETY: the kernel keeps the memory for the program's run.
    let connection = unsafe { &mut *connection };
    let Some(slot) = take() else {
        bump(Counter::TlsBusy as u32, 1);
        missed(call.socket, call.direction);
        return;
    };
    if connection.session == 0 {
        connection.session = call.session;
    }
    if let Some(memory) = TLS_SLOTS.get_ptr_mut(slot) {
        // SAFETY: it was taken.
        let memory = unsafe { &mut *memory };
        let mut walk = Walk {
            socket: &raw mut connection.http,
            state: null_mut(),
            scratch: null_mut(),
            step: 0,
        };
        if on_http1(connection, call, memory, &mut walk) {
            on_frames(connection, call, memory, &mut walk);
        }
    }
    give_back(slot);
}

/// Whether the event, or what is left of it, is for HTTP/2.
#[inline(always)]
fn on_http1(connection: &mut Connection, call: &Call, memory: &mut Slot, walk: &mut Walk) -> bool {
    let s = &mut memory.http1;
    let direction = call.direction;
    // SAFETY: a helper without preconditions.
    s.event.now = unsafe { bpf_ktime_get_ns() };
    s.event.socket = call.socket;
    s.event.direction = direction;
    s.event.tls = 1;
    if connection.told == 0 {
        connection.told = 1;
        tell_read(connection, call, s, &mut memory.http2);
    }
    let state = &mut connection.http;
    if is_for_http2(state) {
        return true;
    }
    if !look(state, direction) {
        return false;
    }
    // SAFETY: the mask keeps the index within the two.
    let missed = unsafe { connection.missed.get_unchecked_mut(direction as usize & 1) };
    if *missed != 0 {
        *missed = 0;
        give_up(&mut Kernel, state, s, Counter::LostUnreadable);
    }
    if counted_in_body(state, direction, call.moved, s.event.now) {
        return false;
    }
    let passes = ends_in_body(state, direction, call.moved);
    place(&mut s.event, call, passes);
    s.request.local = connection.local;
    s.request.peer = connection.peer;
    walk_http1(state, s, walk)
}

/// Sets an event to the library's buffer.
#[inline(always)]
fn place(event: &mut Event, call: &Call, passes: bool) {
    event.left = call.moved;
    nowhere(event);
    if !passes && call.buffer != 0 {
        event.segment = call.buffer;
        event.segment_left = call.moved;
        event.readable = 1;
    }
}

/// Tells the agent that a connection with TLS is read.
#[inline(always)]
fn tell_read(
    connection: &Connection,
    call: &Call,
    s: &mut Scratch,
    free: &mut http2_logic::Scratch,
) {
    let mut introduced = 0;
    Kernel.describe(&mut s.request.task, &mut introduced);
    // SAFETY: the working memory of HTTP/2 is not in use yet, and its bytes have room for a record.
    let hello = unsafe { &mut *(&raw mut free.record).cast::<TlsRecord>() };
    hello.header = RecordHeader {
        kind: RecordKind::Tls as u32,
        size: size_of::<TlsRecord>() as u32,
        time_ns: s.event.now,
        socket: s.event.socket,
    };
    hello.task = s.request.task;
    hello.local = connection.local;
    hello.peer = connection.peer;
    hello.captured = 0;
    hello.library = call.library;
    hello.sent = (call.direction == TX) as u8;
    hello.reserved = 0;
    // SAFETY: the record is whole.
    unsafe { Kernel.emit((&raw const *hello).cast(), size_of::<TlsRecord>() as u32) };
}

/// The event, or what is left of it, as HTTP/2.
#[inline(always)]
fn on_frames(connection: &mut Connection, call: &Call, memory: &mut Slot, walk: &mut Walk) {
    let cookie = call.socket;
    let mut frames = TLS_FRAMES.get_ptr_mut(cookie);
    if frames.is_none()
        && let Some(blank) = TLS_BLANK.get_ptr(0)
    {
        // SAFETY: a live map value that nobody writes.
        let _ = TLS_FRAMES.insert(cookie, unsafe { &(*blank).frames }, NOEXIST);
        frames = TLS_FRAMES.get_ptr_mut(cookie);
    }
    let Some(frames) = frames else {
        bump(Counter::TlsTableFull as u32, 1);
        return;
    };
    // SAFETY: the kernel keeps the memory for the program's run.
    let state = unsafe { &mut *frames };
    let (s, http1) = (&mut memory.http2, &memory.http1);
    let socket = &mut connection.http;
    let direction = call.direction;
    state.local = connection.local;
    state.peer = connection.peer;
    follow::reset(s);
    let begins = socket.verdict == verdict::HTTP2 && socket.probing(direction) == probing::PREFACE;
    if begins {
        s.event = http1.event;
        preface(state, direction);
        socket.set_probing(direction, probing::NONE);
    }
    s.event.now = http1.event.now;
    s.event.direction = direction;
    s.event.socket = cookie;
    s.event.described = 0;
    s.event.tls = 1;
    if !begins {
        // SAFETY: the mask keeps the index within the two.
        let missed = unsafe { connection.missed.get_unchecked_mut(direction as usize & 1) };
        if *missed != 0 {
            *missed = 0;
            follow::lost(&mut Kernel, socket, state, s, Counter::Http2LostUnreadable);
        }
        // Clear text has no place in the sequence of the socket.
        s.sequence = 0;
        let now = s.event.now;
        if follow::counted_in_payload(state, s, direction, call.moved, now) {
            return;
        }
        let passes = follow::ends_in_payload(state, direction, call.moved);
        place(&mut s.event, call, passes);
    }
    follow::begin(socket, state, s);
    walk.state = state;
    walk.scratch = (&raw mut *s).cast();
    // SAFETY: the callback has the signature that the helper calls, and its context outlives the
    // call.
    unsafe {
        let walk = (&raw mut *walk).cast();
        bpf_loop(
            http2_logic::STEPS,
            http2::step_http2 as *mut c_void,
            walk,
            0,
        );
    }
    if s.event.readable == 0 && s.event.left != 0 {
        bump(s.event.unreadable_as as u32, 1);
    }
    apart::http2_conclude(socket, state, s, walk.step as u32);
}
