//! Sessions of TLS libraries, and the sockets that they are on.
//!
//! Mostly a session's socket is known by the descriptor that the library was told, or by the socket
//! call inside a call of the library. A library that works on memory has neither. Then this is taken
//! for evidence: ciphertext that a thread received from one socket only, before it called the
//! library; and ciphertext that it sent right after a call. A handshake alone gives two pieces of
//! it. Two that agree, and none that does not, make a tie; a socket has one session.

use super::*;

/// The current process's session of that name.
#[inline(always)]
pub(super) fn key(session: u64) -> SessionKey {
    let mut key = SessionKey {
        start_boottime_ns: 0,
        pid: 0,
        session: 0,
    };
    name(&mut key, session);
    key
}

/// Sets a key to the current process's session of that name.
#[inline(always)]
pub(super) fn name(key: &mut SessionKey, session: u64) {
    // SAFETY: helpers without preconditions; the task is a BTF pointer, as is its leader.
    unsafe {
        let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
        let leader: *const c_void = field(task, offset!(task_group_leader));
        key.start_boottime_ns = field(leader, offset!(task_start_boottime));
        key.pid = bpf_get_current_pid_tgid() >> 32;
        key.session = session;
    }
}

/// Cookie of the socket behind a descriptor of the current process; 0 if there is none, or nothing
/// was sent or received on it yet.
#[inline(always)]
pub(super) fn socket_behind(descriptor: u64) -> u64 {
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

/// Pieces of evidence that make a tie.
const AGREED: u32 = 2;

/// The thread's order of calls speaks for `session` being on the socket of this cookie.
#[inline(always)]
pub(super) fn evidence(session: u64, socket: u64) {
    let key = key(session);
    let Some(known) = SESSIONS.get_ptr_mut(key) else {
        let first = Session {
            socket: 0,
            descriptor: 0,
            guess: socket,
            agreed: 1,
            refuted: 0,
        };
        let _ = SESSIONS.insert(key, first, 0);
        return;
    };
    // SAFETY: the kernel keeps the memory for the program's run.
    let known = unsafe { &mut *known };
    if known.socket != 0 || known.descriptor != 0 || known.refuted != 0 {
        return;
    }
    if known.guess != socket {
        known.refuted = 1;
        return;
    }
    known.agreed += 1;
    if known.agreed < AGREED {
        return;
    }
    let Some(connection) = TLS.get_ptr_mut(socket) else {
        return;
    };
    // SAFETY: as above.
    let connection = unsafe { &mut *connection };
    if connection.session != 0 && connection.session != session {
        known.refuted = 1;
        return;
    }
    connection.session = session;
    known.socket = socket;
}
