//! The same messages on kernels without `sock_send_length` and `sock_recv_length`: at the end of the
//! functions that a socket's family has for them. They are called by pointer, so that no compiler
//! can have inlined them.
//!
//! A receive by `splice` does not pass here, as it does not pass the tracepoints.

use super::*;

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;

/// The sock of a `struct socket`. By a typed load: socket storage takes no pointer that was read by
/// a helper.
#[inline(always)]
fn sock_of(ctx: &FExitContext) -> *mut c_void {
    let socket: *const c_void = ctx.arg(0);
    // SAFETY: the function's first argument is a BTF pointer.
    unsafe { field(socket, offset!(socket_sk)) }
}

/// `int f(struct socket *sock, struct msghdr *msg, size_t len)`.
macro_rules! send {
    ($function:ident, $slot:expr) => {
        #[fexit]
        fn $function(ctx: FExitContext) -> i32 {
            on_message(sock_of(&ctx), ctx.arg(3), 0, TX, $slot);
            0
        }
    };
}

/// `int f(struct socket *sock, struct msghdr *msg, size_t size, int flags)`.
macro_rules! receive {
    ($function:ident, $slot:expr) => {
        #[fexit]
        fn $function(ctx: FExitContext) -> i32 {
            on_message(sock_of(&ctx), ctx.arg(4), ctx.arg(3), RX, $slot);
            0
        }
    };
}

/// `ssize_t f(struct socket *sock, struct page *page, int offset, size_t size, int flags)`, which
/// sendfile(2) and splice(2) send by until Linux 6.5.
macro_rules! send_page {
    ($function:ident, $slot:expr) => {
        #[fexit]
        fn $function(ctx: FExitContext) -> i32 {
            on_message(sock_of(&ctx), ctx.arg(5), 0, TX, $slot);
            0
        }
    };
}

send!(inet_sendmsg, slot::SEND);
receive!(inet_recvmsg, slot::RECV);
send!(inet6_sendmsg, slot::SEND6);
receive!(inet6_recvmsg, slot::RECV6);
send!(unix_stream_sendmsg, slot::SEND_UNIX);
receive!(unix_stream_recvmsg, slot::RECV_UNIX);
send_page!(inet_sendpage, slot::SEND_PAGE);
send_page!(unix_stream_sendpage, slot::SEND_PAGE_UNIX);
