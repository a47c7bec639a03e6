//! What TLS libraries hand over in clear.
//!
//! The sockets' programs see ciphertext. Probes at the entry of a library's reading and writing
//! functions note the arguments with the thread; the socket call that the library makes inside says
//! which socket the session is on; a probe at each return instruction then has the bytes, which go
//! through the same framing as those of a socket in plain text, with a state of their own.
//!
//! A thread is in one call at a time. A session that is read and written in two threads at a time
//! is no different from a socket: each direction has one writer.

use super::*;

use aya_ebpf::helpers::generated::{bpf_get_attach_cookie, bpf_probe_read_kernel};
use aya_ebpf::macros::uprobe;
use aya_ebpf::maps::{HashMap, ProgramArray};
use aya_ebpf::programs::ProbeContext;
use aya_ebpf::EbpfContext as _;
use hark_common::tls::{Function, HELLO_LIMIT, TlsRecord};
use hark_ebpf::exchange::give_up;
use hark_ebpf::http2 as http2_logic;
use hark_ebpf::http2::end::end;
use hark_ebpf::http2::follow;
use hark_ebpf::http2::join::preface;
use hark_ebpf::kernel::add;
use hark_ebpf::task_storage::TaskStorage;

/// Connections with TLS that are followed at a time.
const CONNECTIONS: u32 = 65536;
/// Sessions whose socket is remembered, or is to be found by a descriptor.
const SESSIONS_LIMIT: u32 = 65536;
/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;
/// `BPF_NOEXIST`.
const NOEXIST: u64 = 1;
/// Bytes of a TLS record's header.
const TLS_HEADER: u32 = 5;
/// Working memories per CPU. A probe may be interrupted by another thread's.
const SLOTS_PER_CPU: u32 = 4;

/// The call that a thread is in.
#[repr(C)]
struct Call {
    /// The library's own name for the session: where it lies.
    session: u64,
    /// Where the clear bytes are.
    buffer: u64,
    /// Where the library says how many; 0 if it returns that.
    done_at: u64,
    /// Cookie of the session's socket; 0 if it is not known.
    socket: u64,
    /// Bytes that moved.
    moved: u64,
    /// A [`Function`]; 0: the thread is in none.
    function: u8,
    library: u8,
    direction: u8,
    slot: u8,
    reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SessionKey {
    /// Which process: `ProcessKey` without the exec, which has new sessions.
    start_boottime_ns: u64,
    pid: u64,
    session: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Session {
    /// Cookie of its socket; 0 if it is not known.
    socket: u64,
    /// The descriptor that it was told to use, plus one; 0 for none.
    descriptor: u64,
}

/// A connection with TLS.
#[repr(C)]
struct Connection {
    /// The framing of what is in clear.
    http: SocketState,
    local: SocketAddress,
    peer: SocketAddress,
    /// By direction: clear bytes moved that were not looked at.
    missed: [u8; 2],
    /// 1: the agent was told that it is read.
    told: u8,
    reserved: [u8; 5],
}

/// Working memory of one call.
#[repr(C)]
struct Slot {
    /// How many want it; the one that was first has it.
    wanted: u64,
    http1: Scratch,
    http2: http2_logic::Scratch,
}

#[btf_map]
static CALLS: TaskStorage<Call> = TaskStorage::new();
#[map]
static SESSIONS: LruHashMap<SessionKey, Session> =
    LruHashMap::with_max_entries(SESSIONS_LIMIT, 0);
/// By the socket's cookie.
#[map]
static TLS: HashMap<u64, Connection> = HashMap::with_max_entries(CONNECTIONS, NO_PREALLOC);
/// Likewise.
#[map]
static TLS_FRAMES: HashMap<u64, http2_logic::State> =
    HashMap::with_max_entries(CONNECTIONS, NO_PREALLOC);
#[map]
static TLS_SLOTS: PerCpuArray<Slot> = PerCpuArray::with_max_entries(SLOTS_PER_CPU, 0);
/// What a new connection is copied from: never written.
#[map]
static TLS_BLANK: PerCpuArray<Blank> = PerCpuArray::with_max_entries(1, 0);
/// Where `tls_return` jumps to for HTTP/2.
#[map]
static TLS_HTTP2: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// A record under construction, by direction: the two programs may interrupt each other.
#[map]
static TLS_RECORD: PerCpuArray<Hello> = PerCpuArray::with_max_entries(2, 0);

#[repr(C)]
struct Blank {
    connection: Connection,
    frames: http2_logic::State,
}

#[repr(C)]
struct Hello {
    record: TlsRecord,
    bytes: [u8; HELLO_LIMIT],
}

/// What is followed on a socket: itself, or what its TLS library hands over.
#[inline(always)]
pub(super) fn followed(state: &mut SocketState, cookie: u64) -> &mut SocketState {
    if state.verdict == verdict::TLS
        && let Some(connection) = TLS.get_ptr_mut(cookie)
    {
        // SAFETY: the kernel keeps the memory for the program's run.
        return unsafe { &mut (*connection).http };
    }
    state
}

/// The exchanges of a connection end. `s.event` has time and cookie.
#[inline(always)]
pub(super) fn finish(s: &mut Scratch, (reason, errno): End) {
    let cookie = s.event.socket;
    let Some(connection) = TLS.get_ptr_mut(cookie) else {
        return;
    };
    // SAFETY: the kernel keeps the memory for the program's run.
    let http = unsafe { &mut (*connection).http };
    match http.verdict {
        verdict::HTTP1 => close(&mut Kernel, http, s, reason, errno),
        verdict::HTTP2 => {
            if let Some(frames) = TLS_FRAMES.get_ptr_mut(cookie) {
                let now = s.event.now;
                // SAFETY: as above.
                let frames = unsafe { &*frames };
                end(&mut Kernel, http, frames, (cookie, now), (reason, errno));
            }
        }
        _ => {}
    }
}

/// The socket is no more.
#[inline(always)]
pub(super) fn forget(cookie: u64) {
    let _ = TLS.remove(cookie);
    let _ = TLS_FRAMES.remove(cookie);
}

/// A socket was found to speak TLS by the bytes in `s.window`, `s.event.end` of them.
#[inline(always)]
pub(super) fn recognised(
    sk: *mut c_void,
    family: u16,
    state: &mut SocketState,
    s: &mut Scratch,
) {
    let cookie = s.event.socket;
    let Some(blank) = TLS_BLANK.get_ptr(0) else {
        return;
    };
    // SAFETY: a live map value that nobody writes.
    if TLS.insert(cookie, unsafe { &(*blank).connection }, NOEXIST).is_err() {
        bump(Counter::TlsTableFull as u32, 1);
        return;
    }
    let Some(connection) = TLS.get_ptr_mut(cookie) else {
        return;
    };
    // SAFETY: the kernel keeps the memory for the program's run.
    let connection = unsafe { &mut *connection };
    ends(sk, family, &mut connection.local, &mut connection.peer);
    let bytes = (&raw const s.window).cast::<u8>();
    if s.window[0] == HANDSHAKE && s.event.end <= TLS_HEADER {
        // A library that reads the header first: the rest comes with the next event.
        state.tries = AWAITS_HELLO;
        return;
    }
    let captured = if s.window[0] == HANDSHAKE { s.event.end } else { 0 };
    tell(connection, (cookie, s.event.now), s.event.direction, (bytes, 0, captured));
    tie_call(sk, cookie);
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
    direction: u8,
    (bytes, user, captured): (*const u8, u64, u32),
) {
    let Some(hello) = TLS_RECORD.get_ptr_mut(direction as u32 & 1) else {
        return;
    };
    // SAFETY: this CPU's slot, which only the program of this direction uses.
    let hello = unsafe { &mut *hello };
    let mut captured = captured;
    if captured > HELLO_LIMIT as u32 {
        captured = HELLO_LIMIT as u32;
    }
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
pub(super) fn on_ciphertext(
    sk: *mut c_void,
    (ret, flags): (i32, i32),
    direction: u8,
    state: &mut SocketState,
    scratch: &PerCpuArray<Scratch>,
) {
    // SAFETY: the socket is a BTF pointer.
    let cookie = unsafe { bpf_get_socket_cookie(sk) };
    tie_call(sk, cookie);
    if state.tries != AWAITS_HELLO {
        return;
    }
    state.tries = 0;
    let (Some(connection), Some(s)) = (TLS.get_ptr(cookie), scratch.get_ptr_mut(0)) else {
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
    tell(connection, (cookie, now), direction, (none, user, captured));
}

/// If the thread is in a call of a TLS library, the socket is the session's.
#[inline(always)]
fn tie_call(sk: *mut c_void, cookie: u64) {
    // SAFETY: helpers without preconditions; the task is a BTF pointer.
    unsafe {
        let task: *mut task_struct = bpf_get_current_task_btf();
        let call = CALLS.existing(task.cast_const().cast());
        if call.is_null() || (*call).function == 0 || (*call).socket == cookie {
            return;
        }
        // An armed receive of io_uring completes in whatever call the thread is in.
        let regs = bpf_task_pt_regs(task) as *const c_void;
        let fd: u64 = field(regs, offset!(regs_arg0));
        if is_our_call(task.cast_const().cast(), fd, sk) {
            (*call).socket = cookie;
        }
    }
}

/// The current process's session of that name.
#[inline(always)]
fn key(session: u64) -> SessionKey {
    // SAFETY: helpers without preconditions; the task is a BTF pointer, as is its leader.
    unsafe {
        let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
        let leader: *const c_void = field(task, offset!(task_group_leader));
        SessionKey {
            start_boottime_ns: field(leader, offset!(task_start_boottime)),
            pid: bpf_get_current_pid_tgid() >> 32,
            session,
        }
    }
}

/// Cookie of the socket behind a descriptor of the current process; 0 if there is none, or nothing
/// was sent or received on it yet.
#[inline(always)]
fn socket_behind(descriptor: u64) -> u64 {
    // SAFETY: fields of BTF pointers; the rest is probed.
    unsafe {
        let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
        let files: *const c_void = field(task, offset!(task_files));
        if files.is_null() {
            return 0;
        }
        let fdt: *const c_void = field(files, offset!(files_fdt));
        if fdt.is_null() {
            return 0;
        }
        let max: u32 = field(fdt, offset!(fdtable_max_fds));
        let table: u64 = field(fdt, offset!(fdtable_fd));
        if descriptor >= max as u64 {
            return 0;
        }
        let file: u64 = probe(table.wrapping_add(descriptor * 8), 0);
        if file == 0 {
            return 0;
        }
        let socket: u64 = probe(file, offset!(file_private_data));
        // Only a socket's file is the file of what it points to.
        if socket == 0 || probe::<u64>(socket, offset!(socket_file)) != file {
            return 0;
        }
        let sk: u64 = probe(socket, offset!(socket_sk));
        if sk == 0 {
            return 0;
        }
        probe(sk, offset!(sock_cookie))
    }
}

/// The thread's registers. Not by the program's context, whose layout is the machine's that this was
/// compiled for.
#[inline(always)]
fn registers() -> *const c_void {
    // SAFETY: helpers without preconditions.
    unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) as *const c_void }
}

/// An argument of the function whose entry this is.
macro_rules! argument {
    ($n:literal) => {
        // SAFETY: the helpers give BTF pointers.
        unsafe { field::<u64>(registers(), constant(&OFFSETS.regs_call[$n])) }
    };
}

/// At the entry of a function of a TLS library.
#[uprobe]
fn tls_enter(ctx: ProbeContext) -> u32 {
    // SAFETY: the context is the program's.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    enter(cookie as u8, (cookie >> 8) as u8);
    0
}

#[inline(always)]
fn enter(function: u8, library: u8) {
    let session = argument!(0);
    let key = key(session);
    if function == Function::Free as u8 {
        let _ = SESSIONS.remove(key);
        return;
    }
    let second = argument!(1);
    let told_one = function == Function::SetDescriptor as u8;
    if told_one || function == Function::SetDescriptors as u8 {
        let descriptor = second as u32 as u64;
        let same = told_one || argument!(2) as u32 as u64 == descriptor;
        let value = Session {
            socket: 0,
            descriptor: if same && descriptor < i32::MAX as u64 {
                descriptor + 1
            } else {
                0
            },
        };
        let _ = SESSIONS.insert(key, value, 0);
        return;
    }
    // SAFETY: the current task is a BTF pointer, and zero is a value of the storage's type.
    let call = unsafe { CALLS.of(bpf_get_current_task_btf().cast_const().cast()) };
    if call.is_null() {
        bump(Counter::StorageFailed as u32, 1);
        return;
    }
    // SAFETY: not null, and this thread's own.
    let call = unsafe { &mut *call };
    if call.function != 0 && (call.session != session || call.buffer != second) {
        // It may have moved data.
        bump(Counter::TlsUnreturned as u32, 1);
        missed(call.socket, call.direction);
    }
    let done_at = match function {
        3 | 4 => argument!(3),
        5 => argument!(4),
        _ => 0,
    };
    let mut socket = 0;
    // SAFETY: the value is not kept.
    if let Some(known) = unsafe { SESSIONS.get(key) } {
        socket = known.socket;
        if socket == 0 && known.descriptor != 0 {
            // The library is about to use the descriptor, so it is the session's now.
            socket = socket_behind(known.descriptor - 1);
        }
    }
    call.session = session;
    // A file's descriptor is no buffer.
    call.buffer = if function == Function::SendFile as u8 {
        0
    } else {
        second
    };
    call.done_at = done_at;
    call.socket = socket;
    call.moved = 0;
    call.library = library;
    call.direction = if function == Function::Read as u8 || function == Function::ReadEx as u8 {
        RX
    } else {
        TX
    };
    call.function = function;
}

/// Clear bytes of a connection were not looked at.
#[inline(always)]
fn missed(socket: u64, direction: u8) {
    if let Some(connection) = TLS.get_ptr_mut(socket) {
        // SAFETY: the kernel keeps the memory for the program's run; the mask keeps the index
        // within the two.
        unsafe { *(*connection).missed.get_unchecked_mut(direction as usize & 1) = 1 };
    }
}

/// At a return instruction of a function of a TLS library.
#[uprobe]
fn tls_return(ctx: ProbeContext) -> u32 {
    leave(&ctx);
    0
}

#[inline(always)]
fn leave(ctx: &ProbeContext) {
    // SAFETY: the current task is a BTF pointer.
    let call = unsafe { CALLS.existing(bpf_get_current_task_btf().cast_const().cast()) };
    // SAFETY: if it is not null, it is this thread's own.
    if call.is_null() || unsafe { (*call).function } == 0 {
        bump(Counter::TlsUnentered as u32, 1);
        return;
    }
    // SAFETY: as above.
    let call = unsafe { &mut *call };
    call.function = 0;
    let returned: u64 = returned();
    let mut moved = returned as i32 as i64;
    if call.done_at != 0 {
        if moved != 1 {
            return;
        }
        let mut done = 0u64;
        // SAFETY: the helper checks the source.
        if unsafe {
            bpf_probe_read_user((&raw mut done).cast(), 8, call.done_at as *const c_void)
        } != 0
        {
            missed(call.socket, call.direction);
            return;
        }
        moved = done as i64;
    }
    if moved <= 0 || moved > i32::MAX as i64 {
        return;
    }
    if call.socket == 0 {
        bump(Counter::TlsUntied as u32, 1);
        return;
    }
    call.moved = moved as u64;
    let key = key(call.session);
    // SAFETY: the value is not kept.
    let known = unsafe { SESSIONS.get(key) }.map_or(0, |known| known.socket);
    if known != call.socket {
        let value = Session {
            socket: call.socket,
            descriptor: 0,
        };
        let _ = SESSIONS.insert(key, value, 0);
    }
    on_clear(ctx, call);
}

/// What a function returns, at its return instruction.
#[inline(always)]
fn returned() -> u64 {
    // SAFETY: the helpers give BTF pointers.
    unsafe { field(registers(), offset!(regs_result)) }
}

/// Takes one of the working memories of this CPU: its number, or none if all are in use.
#[inline(always)]
fn take() -> Option<u32> {
    let mut n = 0;
    while n < SLOTS_PER_CPU {
        if let Some(slot) = TLS_SLOTS.get_ptr_mut(n) {
            // SAFETY: an aligned field of a map value. Whoever sees its own addition alone was
            // first; two that see each other's both let go.
            unsafe {
                let wanted = &raw mut (*slot).wanted;
                add(wanted, 1);
                if wanted.read_volatile() == 1 {
                    return Some(n);
                }
                add(wanted, u64::MAX);
            }
        }
        n += 1;
    }
    None
}

#[inline(always)]
fn release(n: u32) {
    if let Some(slot) = TLS_SLOTS.get_ptr_mut(n) {
        // SAFETY: as in `take`.
        unsafe { add(&raw mut (*slot).wanted, u64::MAX) }
    }
}

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
fn on_clear(ctx: &ProbeContext, call: &mut Call) {
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
    state: *mut http2_logic::State,
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
    let (connection, state, memory) =
        unsafe { (&mut *connection, &mut *frames, &mut *memory) };
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
