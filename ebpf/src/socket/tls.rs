//! What TLS libraries hand over in clear.
//!
//! The sockets' programs see ciphertext. Probes at the entry of a library's reading and writing
//! functions note the arguments with the thread; the socket call that the library makes inside says
//! which socket the session is on; a probe at each return instruction then has the bytes, which go
//! through the same framing as those of a socket in plain text, with a state of their own.
//!
//! Where a library has no socket and works on memory, the thread's own order of sending, receiving
//! and calling says which socket it is, if it says so twice and never otherwise: see [`session`].
//!
//! A thread is in one call at a time. A session that is read and written in two threads at a time
//! is no different from a socket: each direction has one writer.

mod call;
mod cipher;
mod clear;
mod go;
mod session;

use super::*;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_get_attach_cookie, bpf_probe_read_kernel};
use aya_ebpf::macros::uprobe;
use aya_ebpf::maps::{Array, HashMap, ProgramArray};
use aya_ebpf::programs::ProbeContext;
use hark_common::socket::RecordHeader;
use hark_common::tls::{
    FILE_LIMIT, Function, HELLO_LIMIT, Library, MAX_SESSIONS, TlsRecord, file_of,
};
use hark_ebpf::exchange::give_up;
use hark_ebpf::http2 as http2_logic;
use hark_ebpf::http2::follow;
use hark_ebpf::http2::join::preface;
use hark_ebpf::kernel::{claim, release};
use hark_ebpf::task_storage::TaskStorage;

use call::missed;
pub(super) use cipher::{on_ciphertext, recognised};
use clear::on_clear;
use go::GoCall;
use session::{evidence, key, name, socket_behind};

/// Connections with TLS that are followed at a time.
const CONNECTIONS: u32 = 65536;
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
    /// 1: ciphertext was received on more than one socket since the thread's last call.
    many: u8,
    reserved: u32,
    /// Cookie of the socket that ciphertext was received on since the thread's last call.
    received: u64,
    /// The session of the thread's last call, if no ciphertext was sent since.
    spoke: u64,
    work: Work,
}

/// Working memory of the thread's programs, whose stacks have no room for it.
#[repr(C)]
struct Work {
    key: SessionKey,
    session: Session,
    goroutine: SessionKey,
    before: GoCall,
    in_flight: GoCall,
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
    /// Cookie of the socket that the thread's order of calls speaks for; 0 for none yet.
    guess: u64,
    /// How often it did.
    agreed: u32,
    /// 1: it also spoke for another one, so it says nothing.
    refuted: u32,
}

/// A connection with TLS.
#[repr(C)]
struct Connection {
    /// The framing of what is in clear.
    http: SocketState,
    local: SocketAddress,
    peer: SocketAddress,
    /// The session that is on it; 0 if none is known.
    session: u64,
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
static SESSIONS: LruHashMap<SessionKey, Session> = LruHashMap::with_max_entries(MAX_SESSIONS, 0);
/// By the socket's cookie.
#[map]
static TLS: HashMap<u64, Connection> = HashMap::with_max_entries(CONNECTIONS, NO_PREALLOC);
/// Likewise.
#[map]
static TLS_FRAMES: HashMap<u64, State> = HashMap::with_max_entries(CONNECTIONS, NO_PREALLOC);
#[map]
static TLS_SLOTS: PerCpuArray<Slot> = PerCpuArray::with_max_entries(SLOTS_PER_CPU, 0);
/// What a new connection is copied from: never written.
#[map]
static TLS_BLANK: PerCpuArray<Blank> = PerCpuArray::with_max_entries(1, 0);
/// A record under construction, as [`SCRATCH`].
#[map]
static TLS_RECORD: PerCpuArray<Hello> = PerCpuArray::with_max_entries(slot::COUNT, 0);

/// By the file's number: not 0 once all its probes are attached. They are attached one by one, and calls
/// that move data are passed over before: a request that is heard while answers are not would be given a
/// later one's.
#[map]
static TLS_FILES: Array<u32> = Array::with_max_entries(FILE_LIMIT, 0);
/// Never filled: see [`stay_on_the_stack`].
#[map]
static NO_PROGRAMS: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[unsafe(no_mangle)]
static TAIL_CALL: Global<u8> = Global::new(0);

#[repr(C)]
struct Blank {
    connection: Connection,
    frames: State,
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
                let why = (reason as u64) << 32 | errno as u64;
                apart::http2_end(http, frames, cookie, s.event.now, why);
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

/// Makes a program use the thread's own stack.
///
/// From Linux 6.13 on, a probe's program that needs 64 bytes of stack or more is given memory of the CPU
/// for it (`check_max_stack_depth` in kernel/bpf/verifier.c). But nothing keeps it from being preempted
/// by another thread that meets the same probe, and uses the same memory: where the kernel preempts
/// itself, that has crashed a 7.3. A program that could call another one as its tail is left on the
/// thread's stack: this one could, by the look of it, and never does.
#[inline(always)]
fn stay_on_the_stack(ctx: &ProbeContext) {
    if TAIL_CALL.load() != 0 {
        // SAFETY: there is no program in the array, so the call fails and comes back.
        let _ = unsafe { NO_PROGRAMS.tail_call(ctx, 0) };
    }
}

/// Whether the file of the probe with this cookie has all its probes.
#[inline(always)]
fn is_whole(cookie: u64) -> bool {
    TLS_FILES
        .get(file_of(cookie))
        .is_some_and(|whole| *whole != 0)
}

/// Takes one of the working memories of this CPU: its number, or none if all are in use.
#[inline(always)]
fn take() -> Option<u32> {
    let mut n = 0;
    while n < SLOTS_PER_CPU {
        if let Some(slot) = TLS_SLOTS.get_ptr_mut(n) {
            // SAFETY: an aligned field of a map value.
            if unsafe { claim(&raw mut (*slot).wanted) } {
                return Some(n);
            }
        }
        n += 1;
    }
    None
}

#[inline(always)]
fn give_back(n: u32) {
    if let Some(slot) = TLS_SLOTS.get_ptr_mut(n) {
        // SAFETY: as in `take`.
        unsafe { release(&raw mut (*slot).wanted) }
    }
}
