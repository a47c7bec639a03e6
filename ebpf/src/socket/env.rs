//! What the logic needs of the world, given by the kernel.

use super::*;

use super::process::{introduce, who};
use aya_ebpf::helpers::generated::bpf_ringbuf_query;
use hark_ebpf::http1::{Found, Stream, Window};
use hark_ebpf::http2::Scratch as Http2Scratch;

/// `BPF_RB_NO_WAKEUP` and `BPF_RB_AVAIL_DATA`.
const NO_WAKEUP: u64 = 1;
const AVAIL_DATA: u64 = 0;

/// Bytes in the ring buffer, a power of two, at each multiple of which the agent is woken. Below,
/// its timer drains it.
#[unsafe(no_mangle)]
static WAKE_AT: Global<u64> = Global::new(1 << 20);

/// The kernel, as the logic sees it.
pub(super) struct Kernel;

impl Env for Kernel {
    #[inline(always)]
    unsafe fn read_user(&mut self, to: *mut u8, len: u32, addr: u64) -> bool {
        // SAFETY: `to` is valid by the caller; the helper checks the source.
        unsafe { bpf_probe_read_user(to.cast(), len, addr as *const c_void) == 0 }
    }

    #[inline(always)]
    unsafe fn emit(&mut self, record: *const u8, len: u32) -> bool {
        // SAFETY: by the caller; the map outlives the call.
        let sent = unsafe {
            let map = (&raw const RECORDS).cast_mut().cast::<c_void>();
            // Once at each multiple of the mark, not for each record past it: a wake-up costs
            // more than all the rest.
            let before = bpf_ringbuf_query(map, AVAIL_DATA);
            let passes = (before ^ (before + len as u64)) & !(WAKE_AT.load() - 1) != 0;
            let flags = if passes { FORCE_WAKEUP } else { NO_WAKEUP };
            bpf_ringbuf_output(map, record.cast_mut().cast(), len as u64, flags) == 0
        };
        bump(
            if sent {
                Counter::RecordsSubmitted
            } else {
                Counter::RecordsLost
            } as u32,
            1,
        );
        sent
    }

    #[inline(always)]
    fn describe(&mut self, task: &mut Task, introduced: &mut u64) {
        who(task);
        let process = task.process;
        let mark =
            process.start_boottime_ns ^ (process.pid as u64) << 40 ^ (process.exec_id as u64) << 20;
        if *introduced != mark && introduce(task) {
            *introduced = mark;
        }
    }

    #[inline(always)]
    fn thread(&mut self) -> u32 {
        // SAFETY: a helper without preconditions.
        (unsafe { bpf_get_current_pid_tgid() }) as u32
    }

    #[inline(always)]
    fn count(&mut self, counter: Counter, n: u64) {
        bump(counter as u32, n);
    }

    #[inline(always)]
    fn scan(
        &mut self,
        stream: &mut Stream,
        window: &Window,
        (at, end): (u32, u32),
        request: bool,
    ) -> (u32, Found) {
        apart::scanned(apart::http1_scan(stream, window, at, end, request as u32))
    }

    #[inline(always)]
    fn request_begun(&mut self, state: &mut SocketState, s: &mut Scratch) {
        apart::http1_request_begun(state, s);
    }

    #[inline(always)]
    fn request_piece(&mut self, state: &mut SocketState, s: &mut Scratch, last: bool) {
        apart::http1_request_piece(state, s, last as u32);
    }

    #[inline(always)]
    fn response_end(&mut self, state: &mut SocketState, s: &mut Scratch, flags: u16) {
        apart::http1_response_end(state, s, flags as u32);
    }

    #[inline(always)]
    fn end_outstanding(
        &mut self,
        state: &mut SocketState,
        s: &mut Scratch,
        (reason, errno): (AbortReason, u32),
        counter: Counter,
    ) {
        apart::http1_end_outstanding(state, s, reason, errno, counter);
    }

    #[inline(always)]
    fn http2_flush(&mut self, socket: &SocketState, state: &mut State, s: &mut Http2Scratch) {
        apart::http2_flush(socket, state, s);
    }

    #[inline(always)]
    fn http2_data_end(&mut self, state: &mut State, s: &mut Http2Scratch) {
        apart::http2_data_end(state, s);
    }
}
