//! Kernel programs of the block layer: each request to a disk, from its start to its end.
//!
//! A request is named by its address, which is its own until it ends. It is charged to the process
//! in whose context it was started. What the page cache writes back is started by threads of the
//! kernel, and is charged to nobody.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod kernel {
    use core::ffi::c_void;
    use core::mem::zeroed;

    use aya_ebpf::Global;
    use aya_ebpf::helpers::generated::{
        bpf_get_current_task_btf, bpf_ktime_get_ns, bpf_probe_read_kernel,
    };
    use aya_ebpf::macros::{btf_tracepoint, map};
    use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
    use aya_ebpf::programs::BtfTracePointContext;
    use hark_common::block::{
        BlockOffsets, Counter, DeviceKey, DeviceStats, ErrorKey, MAX_DEVICES, MAX_ERRORS,
        MAX_PROCESSES, MAX_REQUESTS, Operation, ProcessIo, Request,
    };
    use hark_common::histogram::{BUCKETS, Exp2};
    use hark_common::process::ProcessKey;
    use hark_ebpf::histogram::bucket;
    use hark_ebpf::kernel::{add, describe, field, is_kernel_thread, process_of};
    use hark_ebpf::offset;

    // include/linux/blk_types.h, enum req_op: those whose numbers have not changed since Linux 5.15.
    const REQ_OP_MASK: u32 = 0xff;
    const REQ_OP_FLUSH: u32 = 2;
    const REQ_OP_DISCARD: u32 = 3;
    const REQ_OP_DRV_IN: u32 = 34;
    /// Operations with this bit change the medium (`op_is_write`).
    const WRITES: u32 = 1;
    /// `MINORBITS` of include/linux/kdev_t.h.
    const MINOR_BITS: u32 = 20;
    /// `BPF_ANY` and `BPF_NOEXIST`.
    const ANY: u64 = 0;
    const NEW: u64 = 1;

    /// Where this kernel's fields lie.
    #[unsafe(no_mangle)]
    // SAFETY: integers, for which zero is a value.
    static OFFSETS: BlockOffsets = unsafe { zeroed() };
    /// This kernel does not tell of a request's start, so whoever inserts it is taken for its owner.
    #[unsafe(no_mangle)]
    static OWNER_AT_INSERT: Global<u32> = Global::new(0);

    // All are preallocated: what is allocated when it is needed is not there when memory is short,
    // which is when disks are busy.
    #[map]
    static REQUESTS: HashMap<u64, Request> = HashMap::with_max_entries(MAX_REQUESTS, 0);
    #[map]
    static DEVICES: HashMap<DeviceKey, DeviceStats> =
        HashMap::with_max_entries(MAX_DEVICES * Operation::COUNT as u32, 0);
    #[map]
    static ERRORS: HashMap<ErrorKey, u64> = HashMap::with_max_entries(MAX_ERRORS, 0);
    #[map]
    static PROCESSES: HashMap<ProcessKey, ProcessIo> = HashMap::with_max_entries(MAX_PROCESSES, 0);
    #[map]
    static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);
    /// What a new entry of [`DEVICES`] is made from: zero, never written, too large for the stack.
    #[map]
    static FRESH: Array<DeviceStats> = Array::with_max_entries(1, 0);

    #[inline(always)]
    fn bump(counter: Counter) {
        if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
            // SAFETY: a slot of this CPU's own.
            unsafe { *value = (*value).wrapping_add(1) }
        }
    }

    /// # Safety
    ///
    /// `to` must be within a map's value.
    #[inline(always)]
    unsafe fn observe(to: *mut Exp2, ns: u64) {
        let mut index = bucket(ns);
        if index >= BUCKETS {
            index = BUCKETS - 1;
        }
        // SAFETY: by the caller; the index is within the array.
        unsafe {
            add((&raw mut (*to).buckets).cast::<u64>().add(index), 1);
            add(&raw mut (*to).sum_ns, ns);
        }
    }

    /// A request, as its tracepoints give it.
    #[derive(Clone, Copy)]
    struct Traced(*const c_void);

    impl Traced {
        /// What it is called in [`REQUESTS`].
        #[inline(always)]
        fn key(self) -> u64 {
            self.0 as u64
        }

        #[inline(always)]
        fn data_len(self) -> u32 {
            // SAFETY: the request is a BTF pointer.
            unsafe { field(self.0, offset!(request_data_len)) }
        }

        #[inline(always)]
        fn operation(self) -> Operation {
            // SAFETY: the request is a BTF pointer.
            let flags: u32 = unsafe { field(self.0, offset!(request_cmd_flags)) };
            let operation = flags & REQ_OP_MASK;
            if operation >= REQ_OP_DRV_IN {
                Operation::Other
            } else if operation == REQ_OP_DISCARD {
                Operation::Discard
            } else if operation == REQ_OP_FLUSH {
                Operation::Flush
            } else if operation & WRITES == 0 {
                Operation::Read
            } else {
                Operation::Write
            }
        }

        /// The disk whose queue it is in; `None` for a queue without one, such as an NVMe
        /// controller's.
        #[inline(always)]
        fn disk(self) -> Option<*const c_void> {
            // SAFETY: the request is a BTF pointer, and so is what it points to.
            let disk: *const c_void = unsafe {
                let queue: *const c_void = field(self.0, offset!(request_q));
                field(queue, offset!(queue_disk))
            };
            if disk.is_null() { None } else { Some(disk) }
        }
    }

    #[inline(always)]
    fn number_of(disk: *const c_void) -> u32 {
        // SAFETY: the disk is a BTF pointer.
        unsafe {
            let major: u32 = field(disk, offset!(disk_major));
            let minor: u32 = field(disk, offset!(disk_first_minor));
            major << MINOR_BITS | minor
        }
    }

    /// The entry of a disk's operation.
    #[inline(always)]
    fn stats_of(disk: *const c_void, operation: u32) -> Option<*mut DeviceStats> {
        let key = DeviceKey {
            device: number_of(disk),
            operation,
        };
        if let Some(stats) = DEVICES.get_ptr_mut(&key) {
            return Some(stats);
        }
        let _ = DEVICES.insert(&key, FRESH.get(0)?, NEW);
        let Some(stats) = DEVICES.get_ptr_mut(&key) else {
            bump(Counter::DeviceLimit);
            return None;
        };
        // Read into the entry: what it is made from is shared with whatever interrupts this.
        // SAFETY: a map's value; the helper checks the source, and writes within the name.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut (*stats).name).cast(),
                32,
                disk.cast::<u8>().add(offset!(disk_name) as usize).cast(),
            );
        }
        Some(stats)
    }

    /// The process of the current task, with an account; all zero for the kernel's own.
    #[inline(always)]
    fn owner() -> ProcessKey {
        // SAFETY: the current task is a BTF pointer.
        unsafe {
            let task: *const c_void = bpf_get_current_task_btf().cast_const().cast();
            if is_kernel_thread(task, &OFFSETS.process) {
                return ProcessKey::default();
            }
            let key = process_of(task, &OFFSETS.process);
            if PROCESSES.get_ptr_mut(&key).is_none() {
                let mut account = ProcessIo::default();
                describe(&mut account.task, key, task, &OFFSETS.process);
                let _ = PROCESSES.insert(&key, &account, NEW);
                if PROCESSES.get_ptr_mut(&key).is_none() {
                    bump(Counter::ProcessLimit);
                    return ProcessKey::default();
                }
            }
            key
        }
    }

    #[inline(always)]
    fn now() -> u64 {
        // SAFETY: a helper without preconditions.
        unsafe { bpf_ktime_get_ns() }
    }

    /// Follows a request from now on. What the table has no place for is counted at its end.
    #[inline(always)]
    fn follow(request: Traced, entry: &Request) {
        let key = request.key();
        if REQUESTS.insert(&key, entry, NEW).is_err() && REQUESTS.get_ptr_mut(&key).is_some() {
            // The kernel uses the address anew, so the request that had it has ended. On a loaded
            // host with Linux 6.18 that is so for one to four requests in a thousand: neither
            // block_rq_complete nor block_io_done told of their end, though no run of a program was
            // skipped (recursion_misses stayed 0). Starts and issues are always told.
            bump(Counter::EndUnseen);
            let _ = REQUESTS.insert(&key, entry, ANY);
        }
    }

    #[inline(always)]
    fn begun(request: Traced, owner: ProcessKey, at: u64) -> Request {
        let mut operation = request.operation();
        if operation as u32 == Operation::Write as u32 && request.data_len() == 0 {
            operation = Operation::Flush;
        }
        Request {
            owner,
            queued_ns: at,
            issued_ns: 0,
            bytes: 0,
            operation: operation as u32,
            inserted: 0,
        }
    }

    /// `trace_block_io_start(struct request *rq)`, block/blk-mq.c, Linux 6.5: in the context of
    /// whoever submits it.
    #[btf_tracepoint(function = "block_io_start")]
    fn block_io_start(ctx: BtfTracePointContext) -> i32 {
        let request = Traced(ctx.arg(0));
        if request.disk().is_some() {
            follow(request, &begun(request, owner(), now()));
        }
        0
    }

    /// `trace_block_rq_insert(struct request *rq)`, block/blk-mq.c and the schedulers: it waits for
    /// the scheduler, or for the device to take more.
    #[btf_tracepoint(function = "block_rq_insert")]
    fn block_rq_insert(ctx: BtfTracePointContext) -> i32 {
        let request = Traced(ctx.arg(0));
        if let Some(entry) = REQUESTS.get_ptr_mut(&request.key()) {
            // SAFETY: not null; the request is in one place at a time, so this is its only writer.
            unsafe {
                // What was requeued is inserted again, and has been waiting since the first time.
                if (*entry).inserted == 0 {
                    (*entry).inserted = 1;
                    (*entry).queued_ns = now();
                }
            }
        } else if request.disk().is_some() {
            let owner = if OWNER_AT_INSERT.load() == 0 {
                ProcessKey::default()
            } else {
                owner()
            };
            let mut entry = begun(request, owner, now());
            entry.inserted = 1;
            follow(request, &entry);
        }
        0
    }

    /// `trace_block_rq_issue(struct request *rq)`, block/blk-mq.c: the driver has it.
    #[btf_tracepoint(function = "block_rq_issue")]
    fn block_rq_issue(ctx: BtfTracePointContext) -> i32 {
        let request = Traced(ctx.arg(0));
        if let Some(entry) = REQUESTS.get_ptr_mut(&request.key()) {
            // SAFETY: as above.
            unsafe { (*entry).issued_ns = now() }
        } else if request.disk().is_some() {
            // A flush of the kernel's own is not started as others are.
            let mut entry = begun(request, ProcessKey::default(), 0);
            entry.issued_ns = now();
            follow(request, &entry);
        }
        0
    }

    /// `trace_block_rq_requeue(struct request *rq)`, block/blk-mq.c: the driver gave it back.
    #[btf_tracepoint(function = "block_rq_requeue")]
    fn block_rq_requeue(ctx: BtfTracePointContext) -> i32 {
        let request = Traced(ctx.arg(0));
        let mut operation = request.operation() as u32;
        if let Some(entry) = REQUESTS.get_ptr_mut(&request.key()) {
            // SAFETY: as above.
            unsafe {
                (*entry).issued_ns = 0;
                operation = (*entry).operation;
            }
        }
        if let Some(disk) = request.disk()
            && let Some(stats) = stats_of(disk, operation)
        {
            // SAFETY: within a map's value.
            unsafe { add(&raw mut (*stats).requeues, 1) }
        }
        0
    }

    /// `trace_block_rq_merge(struct request *rq)`, block/blk-merge.c: it has become a part of
    /// another request, and ends with that one.
    #[btf_tracepoint(function = "block_rq_merge")]
    fn block_rq_merge(ctx: BtfTracePointContext) -> i32 {
        let request = Traced(ctx.arg(0));
        let _ = REQUESTS.remove(&request.key());
        0
    }

    /// `trace_block_rq_complete(struct request *rq, blk_status_t error, unsigned int nr_bytes)`,
    /// block/blk-mq.c: so many bytes of it are done, or have failed.
    #[btf_tracepoint(function = "block_rq_complete")]
    fn block_rq_complete(ctx: BtfTracePointContext) -> i32 {
        let request = Traced(ctx.arg(0));
        let status = ctx.arg::<u32>(1) & 0xff;
        let bytes: u32 = ctx.arg(2);
        let Some(disk) = request.disk() else {
            return 0;
        };
        let key = request.key();
        let Some(entry) = REQUESTS.get_ptr_mut(&key) else {
            // A write with a flush before or after it ends a second time, without bytes.
            if bytes > 0 {
                bump(Counter::StartUnseen);
                if status != 0 {
                    failed(disk, request.operation() as u32, status);
                }
            }
            return 0;
        };
        // SAFETY: not null; the request is in one place at a time, so this is its only writer.
        let done = unsafe {
            (*entry).bytes += bytes as u64;
            *entry
        };
        if status != 0 {
            failed(disk, done.operation, status);
        }
        if bytes < request.data_len() {
            return 0;
        }
        let _ = REQUESTS.remove(&key);
        charge(&done);
        // What ends without the device, because it was refused or had nothing to do, took no time of it.
        if done.issued_ns != 0
            && let Some(stats) = stats_of(disk, done.operation)
        {
            // SAFETY: within a map's value.
            unsafe {
                observe(
                    &raw mut (*stats).device_time,
                    now().saturating_sub(done.issued_ns),
                );
                if done.queued_ns != 0 {
                    observe(
                        &raw mut (*stats).queue_wait,
                        done.issued_ns.saturating_sub(done.queued_ns),
                    );
                }
            }
        }
        0
    }

    /// Puts a request on the account of its process.
    #[inline(always)]
    fn charge(done: &Request) {
        if done.owner.pid == 0 {
            return;
        }
        let Some(account) = PROCESSES.get_ptr_mut(&done.owner) else {
            bump(Counter::ProcessGone);
            return;
        };
        let mut operation = done.operation as usize;
        if operation >= Operation::COUNT {
            operation = Operation::Other as usize;
        }
        // SAFETY: within a map's value: the index is within the arrays.
        unsafe {
            add(
                (&raw mut (*account).operations)
                    .cast::<u64>()
                    .add(operation),
                1,
            );
            add(
                (&raw mut (*account).bytes).cast::<u64>().add(operation),
                done.bytes,
            );
        }
    }

    /// Counts an error. The disk has an entry that gives its name from then on.
    #[inline(always)]
    fn failed(disk: *const c_void, operation: u32, status: u32) {
        if stats_of(disk, operation).is_none() {
            return;
        }
        let key = ErrorKey {
            device: number_of(disk),
            status,
        };
        let _ = ERRORS.insert(&key, &0, NEW);
        match ERRORS.get_ptr_mut(&key) {
            // SAFETY: a map's value.
            Some(count) => unsafe { add(count, 1) },
            None => bump(Counter::ErrorLimit),
        }
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
