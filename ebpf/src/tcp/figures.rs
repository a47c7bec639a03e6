//! What is counted: for the host, and for each process.

use super::*;

#[map]
static PROCESSES: HashMap<ProcessKey, Tally> = HashMap::with_max_entries(MAX_PROCESSES, 0);
#[map]
pub(super) static HOST: PerCpuArray<Figures> = PerCpuArray::with_max_entries(1, 0);

/// A tally that is being made, for its size. One per program: softirq may interrupt one program
/// by another on the same CPU, but none by itself.
#[map]
static FRESH: PerCpuArray<Tally> = PerCpuArray::with_max_entries(Program::COUNT, 0);

/// The programs that may make a tally; slots of [`FRESH`].
#[derive(Clone, Copy)]
pub(super) enum Program {
    SetState,
    Retransmit,
    RetransmitSynack,
    SendReset,
    ReceiveReset,
}

impl Program {
    const COUNT: u32 = Self::ReceiveReset as u32 + 1;
}

/// The figures of a process; none if nobody is known, or there is no room.
#[inline(always)]
fn figures_of(task: *const Task, program: Program) -> Option<*mut Figures> {
    // SAFETY: the callers pass a map's value, or one on the stack.
    let key = unsafe { (*task).process };
    if key.pid == 0 {
        return None;
    }
    let tally = of_process(&PROCESSES, &key, (&FRESH, program as u32), |fresh| {
        // SAFETY: this CPU's and this program's own slot, whose figures are always zero.
        unsafe { (*fresh).task = *task }
    });
    let Some(tally) = tally else {
        count(&COUNTERS, Lost::Processes as u32);
        return None;
    };
    // SAFETY: not null.
    Some(unsafe { &raw mut (*tally).figures })
}

/// Does the same to the figures of the host and to those of whom it concerns.
#[inline(always)]
pub(super) fn both(task: *const Task, program: Program, act: impl Fn(*mut Figures)) {
    if let Some(host) = HOST.get_ptr_mut(0) {
        act(host);
    }
    if let Some(own) = figures_of(task, program) {
        act(own);
    }
}

/// One side of the figures.
///
/// # Safety
///
/// `figures` must be valid.
#[inline(always)]
pub(super) unsafe fn side(figures: *mut Figures, role: u8) -> *mut Side {
    // SAFETY: by the caller; there are two sides.
    unsafe {
        (&raw mut (*figures).sides)
            .cast::<Side>()
            .add((role & 1) as usize)
    }
}
