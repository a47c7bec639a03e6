//! The offsets that the kernel programs are given, from this kernel's BTF.

use hark_common::offsets::{MACHINE_AARCH64, MACHINE_X86_64, Offsets};
use hark_common::process::ProcessOffsets;

use super::btf::{Btf, BtfError};

/// Looks up every field of [`Offsets`]. Fails with the first that this kernel lacks.
pub fn from_btf(btf: &Btf) -> Result<Offsets, BtfError> {
    let common = |field: &str| btf.offset_of("sock", &format!("__sk_common.{field}"));
    let regs = Registers::of_this_machine(btf)?;
    Ok(Offsets {
        sock_family: common("skc_family")?,
        sock_daddr: common("skc_daddr")?,
        sock_rcv_saddr: common("skc_rcv_saddr")?,
        sock_dport: common("skc_dport")?,
        sock_num: common("skc_num")?,
        sock_v6_daddr: common("skc_v6_daddr")?,
        sock_v6_rcv_saddr: common("skc_v6_rcv_saddr")?,
        sock_net: common("skc_net.net")?,
        sock_cookie: common("skc_cookie")?,
        sock_type: btf.offset_of("sock", "sk_type")?,
        sock_err: btf.offset_of("sock", "sk_err")?,
        sock_shutdown: btf.offset_of("sock", "sk_shutdown")?,
        net_inum: btf.offset_of("net", "ns.inum")?,
        tcp_write_seq: btf.offset_of("tcp_sock", "write_seq")?,
        tcp_copied_seq: btf.offset_of("tcp_sock", "copied_seq")?,
        unix_peer: btf.offset_of("unix_sock", "peer")?,
        task_files: btf.offset_of("task_struct", "files")?,
        task_group_leader: btf.offset_of("task_struct", "group_leader")?,
        // Named real_start_time before Linux 5.5.
        task_start_boottime: btf.offset_of("task_struct", "start_boottime")?,
        task_self_exec_id: btf.offset_of("task_struct", "self_exec_id")?,
        task_mm: btf.offset_of("task_struct", "mm")?,
        mm_arg_start: btf.offset_of("mm_struct", "arg_start")?,
        mm_arg_end: btf.offset_of("mm_struct", "arg_end")?,
        mm_env_start: btf.offset_of("mm_struct", "env_start")?,
        mm_env_end: btf.offset_of("mm_struct", "env_end")?,
        files_fdt: btf.offset_of("files_struct", "fdt")?,
        fdtable_fd: btf.offset_of("fdtable", "fd")?,
        fdtable_max_fds: btf.offset_of("fdtable", "max_fds")?,
        sock_socket: btf.offset_of("sock", "sk_socket")?,
        socket_file: btf.offset_of("socket", "file")?,
        socket_sk: btf.offset_of("socket", "sk")?,
        file_private_data: btf.offset_of("file", "private_data")?,
        regs_syscall: regs.syscall,
        regs_arg0: regs.args[0],
        regs_arg1: regs.args[1],
        regs_arg2: regs.args[2],
        regs_mode: regs.mode,
        regs_call: regs.call,
        regs_result: regs.result,
        regs_go: regs.go,
        regs_goroutine: regs.goroutine,
        machine: regs.machine,
    })
}

/// Looks up every field of [`ProcessOffsets`]. Fails with the first that this kernel lacks.
pub fn process_from_btf(btf: &Btf) -> Result<ProcessOffsets, BtfError> {
    let task = |field| btf.offset_of("task_struct", field);
    Ok(ProcessOffsets {
        task_tgid: task("tgid")?,
        task_flags: task("flags")?,
        task_comm: task("comm")?,
        task_group_leader: task("group_leader")?,
        task_start_boottime: task("start_boottime")?,
        task_self_exec_id: task("self_exec_id")?,
        task_cgroups: task("cgroups")?,
        css_set_dfl_cgrp: btf.offset_of("css_set", "dfl_cgrp")?,
        cgroup_kn: btf.offset_of("cgroup", "kn")?,
        kernfs_node_id: btf.offset_of("kernfs_node", "id")?,
    })
}

struct Registers {
    syscall: u32,
    args: [u32; 3],
    mode: u32,
    call: [u32; 5],
    result: u32,
    go: [u32; 3],
    goroutine: u32,
    machine: u32,
}

impl Registers {
    fn of_this_machine(btf: &Btf) -> Result<Self, BtfError> {
        if cfg!(target_arch = "aarch64") {
            let regs = btf.offset_of("pt_regs", "user_regs.regs")?;
            return Ok(Self {
                // The number is kept in x8 for the whole call; x0 is overwritten by the result.
                syscall: regs + 8 * 8,
                args: [btf.offset_of("pt_regs", "orig_x0")?, regs + 8, regs + 16],
                mode: btf.offset_of("pt_regs", "user_regs.pstate")?,
                call: [regs, regs + 8, regs + 16, regs + 24, regs + 32],
                result: regs,
                go: [regs, regs + 8, regs + 16],
                goroutine: regs + 28 * 8,
                machine: MACHINE_AARCH64,
            });
        }
        let reg = |name| btf.offset_of("pt_regs", name);
        Ok(Self {
            syscall: reg("orig_ax")?,
            args: [reg("di")?, reg("si")?, reg("dx")?],
            mode: reg("cs")?,
            call: [reg("di")?, reg("si")?, reg("dx")?, reg("cx")?, reg("r8")?],
            result: reg("ax")?,
            // Go's internal ABI, cmd/compile/abi-internal.md.
            go: [reg("ax")?, reg("bx")?, reg("cx")?],
            goroutine: reg("r14")?,
            machine: MACHINE_X86_64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of `struct pt_regs` is user-space ABI (`PTRACE_GETREGS`): orig_ax is its 16th
    /// word, di, si, dx the 15th, 14th, 13th, cs the 18th.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_running_kernel_has_all_fields() {
        let Ok(btf) = Btf::of_running_kernel() else {
            eprintln!("SKIPPED the_running_kernel_has_all_fields: no /sys/kernel/btf/vmlinux");
            return;
        };
        let offsets = from_btf(&btf).unwrap();
        assert_eq!(
            (
                offsets.regs_syscall,
                offsets.regs_arg0,
                offsets.regs_arg1,
                offsets.regs_arg2
            ),
            (15 * 8, 14 * 8, 13 * 8, 12 * 8)
        );
        assert_eq!(offsets.regs_mode, 17 * 8);
        // inet_sock's first bytes are looked up by hash: daddr and rcv_saddr lead sock_common.
        assert_eq!((offsets.sock_daddr, offsets.sock_rcv_saddr), (0, 4));
    }
}
