//! The clear bytes of a call, through the framing of HTTP/1 and HTTP/2.

use super::*;

/// What the loop's callback needs; lies on the stack of the program.
#[repr(C)]
struct Walk1 {
    state: *mut SocketState,
    scratch: *mut Scratch,
    step: u64,
}

#[inline(never)]
extern "C" fn walk1(_index: u64, walk: *mut Walk1) -> i64 {
    // SAFETY: as for the sockets' `walk`.
    unsafe {
        (*walk).step = apart::http1_step((*walk).state, (*walk).scratch) as u64;
        // Read back, as there.
        ((&raw const (*walk).step).read_volatile() != Step::More as u64) as i64
    }
}

/// `call.moved` clear bytes.
#[inline(always)]
pub(super) fn on_clear(ctx: &ProbeContext, call: &mut Call) {
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
    call.slot = slot as u8;
    if connection.session == 0 {
        connection.session = call.session;
    }
    if let Some(memory) = TLS_SLOTS.get_ptr_mut(slot) {
        // SAFETY: it was taken.
        let s = unsafe { &mut (*memory).http1 };
        if on_http1(connection, call, s) {
            // SAFETY: the program takes the same context, and nothing here waits to be dropped.
            unsafe { TLS_HTTP2.tail_call(ctx, 0) };
            if connection.http.verdict == verdict::HTTP2 {
                connection.http.verdict = verdict::NEVER;
            }
        }
    }
    release(slot);
}

/// Whether the event, or what is left of it, is for HTTP/2.
#[inline(always)]
fn on_http1(connection: &mut Connection, call: &Call, s: &mut Scratch) -> bool {
    let direction = call.direction;
    // SAFETY: a helper without preconditions.
    s.event.now = unsafe { bpf_ktime_get_ns() };
    s.event.socket = call.socket;
    s.event.direction = direction;
    s.event.tls = 1;
    if connection.told == 0 {
        connection.told = 1;
        tell_read(connection, call, s);
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
    let mut walk_state = Walk1 {
        state,
        scratch: s,
        step: Step::More as u64,
    };
    // SAFETY: the callback has the signature that the helper calls, and its context outlives the
    // call.
    unsafe {
        bpf_loop(STEPS, walk1 as *mut c_void, (&raw mut walk_state).cast(), 0);
    }
    let outcome = match walk_state.step {
        0 => Step::More,
        1 => Step::Done,
        2 => Step::NotHttp,
        _ => Step::Http2,
    };
    if s.event.readable == 0 && s.event.left != 0 {
        bump(s.event.unreadable_as as u32, 1);
    }
    conclude(&mut Kernel, state, s, outcome);
    let frames =
        outcome == Step::NotHttp && s.window[0] == 0 || state.probing(direction) != probing::NONE;
    frames && state.verdict != verdict::HTTP1
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
fn tell_read(connection: &Connection, call: &Call, s: &mut Scratch) {
    let mut introduced = 0;
    Kernel.describe(&mut s.request.task, &mut introduced);
    let Some(hello) = TLS_SLOTS.get_ptr_mut(call.slot as u32) else {
        return;
    };
    // SAFETY: the working memory was taken; its part for HTTP/2 is not in use yet.
    let hello = unsafe { &mut *(&raw mut (*hello).http2.bytes).cast::<TlsRecord>() };
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

/// As the sockets' programs of HTTP/2, for a session.
#[repr(C)]
struct Walk2 {
    socket: *mut SocketState,
    state: *mut State,
    scratch: *mut http2_logic::Scratch,
    done: u64,
}

#[inline(never)]
extern "C" fn walk2(_index: u64, walk: *mut Walk2) -> i64 {
    // SAFETY: as for the sockets' `walk`.
    unsafe {
        (*walk).done = apart::http2_step((*walk).socket, (*walk).state, (*walk).scratch) as u64;
        // Read back, as there.
        ((&raw const (*walk).done).read_volatile() != 0) as i64
    }
}

/// As `tls_return`, from which it is reached.
#[uprobe]
fn tls_http2(_ctx: ProbeContext) -> u32 {
    // SAFETY: the current task is a BTF pointer.
    let call = unsafe { CALLS.existing(bpf_get_current_task_btf().cast_const().cast()) };
    if call.is_null() {
        return 0;
    }
    // SAFETY: not null, and this thread's own.
    let call = unsafe { &*call };
    on_frames(call);
    release(call.slot as u32);
    0
}

#[inline(always)]
fn on_frames(call: &Call) {
    let cookie = call.socket;
    let Some(connection) = TLS.get_ptr_mut(cookie) else {
        return;
    };
    let mut frames = TLS_FRAMES.get_ptr_mut(cookie);
    if frames.is_none()
        && let Some(blank) = TLS_BLANK.get_ptr(0)
    {
        // SAFETY: a live map value that nobody writes.
        let _ = TLS_FRAMES.insert(cookie, unsafe { &(*blank).frames }, NOEXIST);
        frames = TLS_FRAMES.get_ptr_mut(cookie);
    }
    let (Some(frames), Some(memory)) = (frames, TLS_SLOTS.get_ptr_mut(call.slot as u32)) else {
        bump(Counter::TlsTableFull as u32, 1);
        return;
    };
    // SAFETY: the kernel keeps the memory for the program's run, and the working memory was taken.
    let (connection, state, memory) = unsafe { (&mut *connection, &mut *frames, &mut *memory) };
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
            Kernel.http2_lost(socket, state, s, Counter::Http2LostUnreadable);
        }
        if follow::counted_in_payload(state, direction, call.moved, s.event.now) {
            return;
        }
        let passes = follow::ends_in_payload(state, direction, call.moved);
        place(&mut s.event, call, passes);
    }
    follow::begin(socket, state, s);
    let mut walk_state = Walk2 {
        socket,
        state,
        scratch: s,
        done: 0,
    };
    // SAFETY: the callback has the signature that the helper calls, and its context outlives the
    // call.
    unsafe {
        let walk = (&raw mut walk_state).cast();
        bpf_loop(http2_logic::STEPS, walk2 as *mut c_void, walk, 0);
    }
    if s.event.readable == 0 && s.event.left != 0 {
        bump(s.event.unreadable_as as u32, 1);
    }
    follow::conclude(&mut Kernel, socket, state, s, walk_state.done != 0);
}
