//! Ciphertext on sockets: that it is TLS, and whose it is.

use super::*;

/// A socket was found to speak TLS by the bytes in `s.window`, `s.event.end` of them.
#[inline(always)]
pub(in crate::socket) fn recognised(
    sk: *mut c_void,
    family: u16,
    state: &mut SocketState,
    s: &mut Scratch,
    slot: u32,
) {
    let cookie = s.event.socket;
    let Some(blank) = TLS_BLANK.get_ptr(0) else {
        return;
    };
    // SAFETY: a live map value that nobody writes.
    if TLS
        .insert(cookie, unsafe { &(*blank).connection }, NOEXIST)
        .is_err()
    {
        bump(Counter::TlsTableFull as u32, 1);
        return;
    }
    let Some(connection) = TLS.get_ptr_mut(cookie) else {
        return;
    };
    // SAFETY: the kernel keeps the memory for the program's run.
    let connection = unsafe { &mut *connection };
    ends(sk, family, &mut connection.local, &mut connection.peer);
    connection.http.flags |= state_flag::COUNTED;
    heard(sk, cookie, s.event.direction);
    let bytes = (&raw const s.window).cast::<u8>();
    if s.window[0] == HANDSHAKE && s.event.end <= TLS_HEADER {
        // A library that reads the header first: the rest comes with the next event.
        state.tries = AWAITS_HELLO;
        return;
    }
    let captured = if s.window[0] == HANDSHAKE {
        s.event.end
    } else {
        0
    };
    tell(
        connection,
        (cookie, s.event.now),
        (s.event.direction, slot),
        (bytes, 0, captured),
    );
}

/// Type of the record that a handshake begins with.
const HANDSHAKE: u8 = 0x16;
/// Value of `SocketState::tries` of a socket with TLS: the header of the first record was seen.
const AWAITS_HELLO: u16 = 1;

/// Tells the agent of a connection with TLS, with its first bytes: a prefix that was read before,
/// and what is at `bytes`.
#[inline(always)]
fn tell(
    connection: &Connection,
    (cookie, now): (u64, u64),
    (direction, slot): (u8, u32),
    (bytes, user, captured): (*const u8, u64, u32),
) {
    let Some(hello) = TLS_RECORD.get_ptr_mut(slot) else {
        return;
    };
    // SAFETY: this CPU's and this program's own slot.
    let hello = unsafe { &mut *hello };
    let mut captured = captured;
    if captured >= HELLO_LIMIT as u32 {
        captured = HELLO_LIMIT as u32 - 1;
    }
    // The verifier of Linux 6.1 believes a bound only from a mask, which the compiler must not see to
    // be of no effect.
    captured = core::hint::black_box(captured) & (HELLO_LIMIT as u32 - 1);
    let to = hello.bytes.as_mut_ptr();
    // SAFETY: at most the length of the array; the helpers check the source.
    unsafe {
        let failed = if user == 0 {
            bpf_probe_read_kernel(to.cast(), captured, bytes.cast())
        } else {
            bpf_probe_read_user(to.cast(), captured, user as *const c_void)
        };
        if failed != 0 {
            captured = 0;
        }
    }
    let mut introduced = 0;
    Kernel.describe(&mut hello.record.task, &mut introduced);
    let size = size_of::<TlsRecord>() as u32 + captured;
    hello.record.header = RecordHeader {
        kind: RecordKind::Tls as u32,
        size,
        time_ns: now,
        socket: cookie,
    };
    hello.record.local = connection.local;
    hello.record.peer = connection.peer;
    hello.record.captured = captured;
    hello.record.library = 0;
    hello.record.sent = (direction == TX) as u8;
    hello.record.reserved = 0;
    // SAFETY: the bytes follow the record without a gap.
    unsafe { Kernel.emit((&raw const *hello).cast(), size) };
}

/// Ciphertext moved on a socket with TLS.
#[inline(always)]
pub(in crate::socket) fn on_ciphertext(
    sk: *mut c_void,
    (ret, flags): (i32, i32),
    direction: u8,
    state: &mut SocketState,
    slot: u32,
) {
    // SAFETY: the socket is a BTF pointer.
    let cookie = unsafe { bpf_get_socket_cookie(sk) };
    heard(sk, cookie, direction);
    if state.tries != AWAITS_HELLO {
        return;
    }
    state.tries = 0;
    let (Some(connection), Some(s)) = (TLS.get_ptr(cookie), SCRATCH.get_ptr_mut(slot)) else {
        return;
    };
    // SAFETY: the working memory is this CPU's and this program's; the kernel keeps the other for the
    // program's run.
    let (connection, s, now) = unsafe { (&*connection, &mut *s, bpf_ktime_get_ns()) };
    s.event.left = ret as u64;
    s.event.direction = direction;
    locate(&mut s.event, sk, flags);
    let whole = s.event.readable != 0 && s.event.segment != 0 && state.direction == direction;
    let (user, captured) = if whole {
        (s.event.segment, ret as u32)
    } else {
        (0, 0)
    };
    let none = core::ptr::null();
    tell(
        connection,
        (cookie, now),
        (direction, slot),
        (none, user, captured),
    );
}

/// Ciphertext moved: what that says of the session that the thread works on.
#[inline(always)]
fn heard(sk: *mut c_void, cookie: u64, direction: u8) {
    // SAFETY: helpers without preconditions; the task is a BTF pointer.
    let call = unsafe {
        let task: *mut task_struct = bpf_get_current_task_btf();
        CALLS.existing(task.cast_const().cast())
    };
    // SAFETY: as it says.
    if call.is_null() || unsafe { (*call).function } == 0 {
        go::heard(sk, cookie);
    }
    if call.is_null() {
        return;
    }
    // SAFETY: not null, and this thread's own.
    let call = unsafe { &mut *call };
    if call.function != 0 {
        // Inside a call the socket is the session's.
        if call.socket != cookie && is_from_here(sk) {
            call.socket = cookie;
        }
        return;
    }
    if direction == RX {
        call.many |= (call.received != 0 && call.received != cookie) as u8;
        call.received = cookie;
        return;
    }
    if call.received == cookie {
        call.received = 0;
        call.many = 0;
    }
    if call.spoke != 0 {
        evidence(call.spoke, cookie);
        call.spoke = 0;
    }
}

/// Whether the thread's own system call moved the bytes: an armed receive of `io_uring` completes in
/// whatever call the thread is in.
#[inline(always)]
pub(super) fn is_from_here(sk: *mut c_void) -> bool {
    // SAFETY: the helpers give BTF pointers.
    unsafe {
        let task: *mut task_struct = bpf_get_current_task_btf();
        let regs = bpf_task_pt_regs(task) as *const c_void;
        let fd: u64 = field(regs, offset!(regs_arg0));
        is_our_call(task.cast_const().cast(), fd, sk)
    }
}
