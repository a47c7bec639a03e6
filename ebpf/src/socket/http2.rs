//! The programs of HTTP/2. They are not attached: those of the two tracepoints jump into them by a
//! tail call when a socket is HTTP/2, or may be, so that the verifier sees them apart and HTTP/1
//! does not pay for them.

use super::*;

use aya_ebpf::maps::ProgramArray;
use hark_ebpf::exchange::probing;
use hark_ebpf::http2::end::end;
use hark_ebpf::http2::follow::{
    begin, conclude, counted_in_payload, ends_in_payload, gap, reset, step,
};
use hark_ebpf::http2::join::preface;
use hark_ebpf::http2::{STEPS, Scratch, State};

#[btf_map]
static HTTP2: SkStorage<State> = SkStorage::new();
/// Where `sock_send_length` jumps to: one program, written by the agent.
#[map]
static HTTP2_SEND: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// Where `sock_recv_length` jumps to. The two have one map each, because a map of programs takes
/// only those of one kernel function.
#[map]
static HTTP2_RECV: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static HTTP2_SEND_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
#[map]
static HTTP2_RECV_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Goes on in the program of HTTP/2 for `direction`. Returns only if it is not there, which the
/// socket is marked with.
#[inline(always)]
pub(super) fn go_on(ctx: &BtfTracePointContext, direction: u8, socket: &mut SocketState) {
    // SAFETY: the program takes the same context, and nothing here waits to be dropped.
    unsafe {
        if direction == TX {
            HTTP2_SEND.tail_call(ctx, 0);
        } else {
            HTTP2_RECV.tail_call(ctx, 0);
        }
    }
    if matches!(socket.verdict, verdict::HTTP2 | verdict::UPGRADED) {
        socket.verdict = verdict::NEVER;
    }
}

/// The end of an HTTP/2 connection.
#[inline(always)]
pub(super) fn on_end(
    sk: *mut c_void,
    socket: &mut SocketState,
    event: (u64, u64),
    why: (AbortReason, u32),
) {
    // SAFETY: a BTF pointer, and a socket storage with this value type.
    let state = unsafe { bpf_sk_storage_get(addr_of!(HTTP2).cast_mut().cast(), sk, null_mut(), 0) }
        .cast::<State>();
    if !state.is_null() {
        // SAFETY: not null, and freed only with the socket.
        end(&mut Kernel, socket, unsafe { &*state }, event, why);
    }
}

/// What the loop's callback needs; lies on the stack of the program.
#[repr(C)]
struct Walk {
    socket: *mut SocketState,
    state: *mut State,
    scratch: *mut Scratch,
    done: u64,
}

#[inline(never)]
extern "C" fn walk(_index: u64, walk: *mut Walk) -> i64 {
    // SAFETY: `walk` points to the program's stack, and holds pointers to map values that stay
    // valid for the program's run.
    unsafe {
        let done = step(
            &mut Kernel,
            &mut *(*walk).socket,
            &mut *(*walk).state,
            &mut *(*walk).scratch,
        );
        (*walk).done = done as u64;
        done as i64
    }
}

#[inline(always)]
fn on_message(
    sk: *mut c_void,
    ret: i32,
    flags: i32,
    direction: u8,
    scratch: &PerCpuArray<Scratch>,
    http1: &PerCpuArray<super::Scratch>,
) {
    // SAFETY: the tracepoint's socket is a BTF pointer, and the maps are socket storages with these
    // value types.
    let (socket, state) = unsafe {
        (
            bpf_sk_storage_get(addr_of!(SOCKETS).cast_mut().cast(), sk, null_mut(), 0)
                .cast::<SocketState>(),
            bpf_sk_storage_get(addr_of!(HTTP2).cast_mut().cast(), sk, null_mut(), CREATE)
                .cast::<State>(),
        )
    };
    if socket.is_null() || state.is_null() {
        bump(Counter::StorageFailed as u32, 1);
        return;
    }
    let (Some(s), Some(http1)) = (scratch.get_ptr_mut(0), http1.get_ptr_mut(0)) else {
        return;
    };
    // SAFETY: not null, and freed only with the socket; the working memories are this CPU's, and
    // that of the program that jumped here, which does not interrupt itself.
    let (socket, state, s, http1) = unsafe { (&mut *socket, &mut *state, &mut *s, &*http1) };
    // SAFETY: fields of, and helpers on, a BTF pointer.
    let (family, now, cookie): (u16, u64, u64) = unsafe {
        (
            field(sk, offset!(sock_family)),
            bpf_ktime_get_ns(),
            bpf_get_socket_cookie(sk),
        )
    };
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
            let missing = missing_before(sk, socket, direction, ret as u32);
            if missing != 0 {
                gap(&mut Kernel, socket, state, s, missing);
            }
        }
        s.sequence = socket.sequence(direction);
        if counted_in_payload(state, s, direction, ret as u64, now) {
            return;
        }
        s.event.left = ret as u64;
        if ends_in_payload(state, direction, ret as u64) {
            nowhere(&mut s.event);
        } else {
            locate(&mut s.event, sk, flags);
        }
    }
    begin(socket, state, s);
    let mut walk_state = Walk {
        socket,
        state,
        scratch: s,
        done: 0,
    };
    // SAFETY: the callback has the signature that the helper calls, and its context outlives the
    // call.
    unsafe {
        bpf_loop(STEPS, walk as *mut c_void, (&raw mut walk_state).cast(), 0);
    }
    if s.event.readable == 0 && s.event.left != 0 {
        bump(s.event.unreadable_as as u32, 1);
    }
    conclude(&mut Kernel, socket, state, s, walk_state.done != 0);
}

/// As `sock_send_length`, from which it is reached.
#[btf_tracepoint(function = "sock_send_length")]
fn http2_send(ctx: BtfTracePointContext) -> i32 {
    on_message(
        ctx.arg(0),
        ctx.arg(1),
        ctx.arg(2),
        TX,
        &HTTP2_SEND_SCRATCH,
        &SEND_SCRATCH,
    );
    0
}

/// As `sock_recv_length`, from which it is reached.
#[btf_tracepoint(function = "sock_recv_length")]
fn http2_recv(ctx: BtfTracePointContext) -> i32 {
    on_message(
        ctx.arg(0),
        ctx.arg(1),
        ctx.arg(2),
        RX,
        &HTTP2_RECV_SCRATCH,
        &RECV_SCRATCH,
    );
    0
}
