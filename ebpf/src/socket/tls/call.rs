//! Calls of TLS libraries: from a function's entry to one of its returns.

use super::*;

/// The thread's registers. Not by the program's context, whose layout is the machine's that this was
/// compiled for.
#[inline(always)]
pub(super) fn registers() -> *const c_void {
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
    stay_on_the_stack(&ctx);
    // SAFETY: the context is the program's.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    enter(cookie);
    0
}

#[inline(always)]
fn enter(cookie: u64) {
    let (function, library) = (cookie as u8, (cookie >> 8) as u8);
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
            guess: 0,
            agreed: 0,
            refuted: 0,
        };
        let _ = SESSIONS.insert(key, value, 0);
        return;
    }
    let Some(call) = own_call() else {
        return;
    };
    if call.received != 0 && call.many == 0 {
        evidence(session, call.received);
    }
    call.received = 0;
    call.many = 0;
    call.spoke = session;
    if function == Function::Handshake as u8 || !is_whole(cookie) {
        return;
    }
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

/// This thread's; none, which is counted, if there is no memory for it.
#[inline(always)]
pub(super) fn own_call() -> Option<&'static mut Call> {
    // SAFETY: the current task is a BTF pointer, and zero is a value of the storage's type.
    let call = unsafe { CALLS.of(bpf_get_current_task_btf().cast_const().cast()) };
    if call.is_null() {
        bump(Counter::StorageFailed as u32, 1);
        return None;
    }
    // SAFETY: not null, and the kernel keeps it for the program's run.
    Some(unsafe { &mut *call })
}

/// Clear bytes of a connection were not looked at.
#[inline(always)]
pub(super) fn missed(socket: u64, direction: u8) {
    if let Some(connection) = TLS.get_ptr_mut(socket) {
        // SAFETY: the kernel keeps the memory for the program's run; the mask keeps the index
        // within the two.
        unsafe {
            *(*connection)
                .missed
                .get_unchecked_mut(direction as usize & 1) = 1
        };
    }
}

/// At a return instruction of a function of a TLS library.
#[uprobe]
fn tls_return(ctx: ProbeContext) -> u32 {
    stay_on_the_stack(&ctx);
    // SAFETY: the current task is a BTF pointer.
    let call = unsafe { CALLS.existing(bpf_get_current_task_btf().cast_const().cast()) };
    if call.is_null() {
        bump(Counter::TlsUnentered as u32, 1);
        return 0;
    }
    // SAFETY: not null, and this thread's own.
    let call = unsafe { &mut *call };
    let moved = left(call);
    if moved != 0 {
        call.moved = moved;
        handed_over(call);
    }
    0
}

/// The call that the thread was in has returned: how many clear bytes it moved, and 0 if they are
/// not to be looked at.
#[inline(always)]
fn left(call: &mut Call) -> u64 {
    if call.function == 0 {
        bump(Counter::TlsUnentered as u32, 1);
        return 0;
    }
    call.function = 0;
    let returned: u64 = returned();
    let mut moved = returned as i32 as i64;
    if call.done_at != 0 {
        if moved != 1 {
            return 0;
        }
        let mut done = 0u64;
        // SAFETY: the helper checks the source.
        if unsafe { bpf_probe_read_user((&raw mut done).cast(), 8, call.done_at as *const c_void) }
            != 0
        {
            missed(call.socket, call.direction);
            return 0;
        }
        moved = done as i64;
    }
    if moved <= 0 || moved > i32::MAX as i64 {
        return 0;
    }
    moved as u64
}

/// `call.moved` clear bytes, for the session's socket.
#[inline(always)]
pub(super) fn handed_over(call: &mut Call) {
    if call.socket == 0 {
        bump(Counter::TlsUntied as u32, 1);
        return;
    }
    let work = &mut call.work;
    name(&mut work.key, call.session);
    // SAFETY: the value is not kept.
    let known = unsafe { SESSIONS.get(&work.key) }.map_or(0, |known| known.socket);
    if known != call.socket {
        work.session.socket = call.socket;
        work.session.descriptor = 0;
        work.session.guess = 0;
        work.session.agreed = 0;
        work.session.refuted = 0;
        let _ = SESSIONS.insert(&work.key, &work.session, 0);
    }
    on_clear(call);
}

/// What a function returns, at its return instruction.
#[inline(always)]
pub(super) fn returned() -> u64 {
    // SAFETY: the helpers give BTF pointers.
    unsafe { field(registers(), offset!(regs_result)) }
}
