//! Where the fields that the kernel programs read lie in this kernel's structures.
//!
//! Rust eBPF has no CO-RE relocations, so the agent takes the offsets from
//! `/sys/kernel/btf/vmlinux` at start and hands them over as one constant.

/// Byte offsets into kernel structures, and the layout of the user registers.
///
/// Every `u32` is an offset in bytes from the start of the structure that the field's name begins
/// with. The agent refuses to start if one that it needs is missing from the kernel's BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// `struct sock.__sk_common.skc_family` (`unsigned short`).
    pub sock_family: u32,
    /// `struct sock.__sk_common.skc_daddr` (`__be32`).
    pub sock_daddr: u32,
    /// `struct sock.__sk_common.skc_rcv_saddr` (`__be32`).
    pub sock_rcv_saddr: u32,
    /// `struct sock.__sk_common.skc_dport` (`__be16`).
    pub sock_dport: u32,
    /// `struct sock.__sk_common.skc_num` (`__u16`, host byte order).
    pub sock_num: u32,
    /// `struct sock.__sk_common.skc_v6_daddr` (`struct in6_addr`).
    pub sock_v6_daddr: u32,
    /// `struct sock.__sk_common.skc_v6_rcv_saddr` (`struct in6_addr`).
    pub sock_v6_rcv_saddr: u32,
    /// `struct sock.__sk_common.skc_net.net` (`struct net *`).
    pub sock_net: u32,
    /// `struct sock.__sk_common.skc_cookie` (`atomic64_t`).
    pub sock_cookie: u32,
    /// `struct sock.sk_type` (`u16`).
    pub sock_type: u32,
    /// `struct sock.sk_err` (`int`).
    pub sock_err: u32,
    /// `struct sock.sk_shutdown` (`u8`).
    pub sock_shutdown: u32,
    /// `struct net.ns.inum` (`unsigned int`).
    pub net_inum: u32,
    /// `struct tcp_sock.write_seq` (`u32`).
    pub tcp_write_seq: u32,
    /// `struct tcp_sock.copied_seq` (`u32`).
    pub tcp_copied_seq: u32,
    /// `struct unix_sock.peer` (`struct sock *`).
    pub unix_peer: u32,
    /// `struct task_struct.files` (`struct files_struct *`).
    pub task_files: u32,
    /// `struct task_struct.group_leader` (`struct task_struct *`).
    pub task_group_leader: u32,
    /// `struct task_struct.start_boottime` (`u64`, ns).
    pub task_start_boottime: u32,
    /// `struct task_struct.self_exec_id` (`u32` or `u64`; the low half is read).
    pub task_self_exec_id: u32,
    /// `struct task_struct.mm` (`struct mm_struct *`).
    pub task_mm: u32,
    /// `struct mm_struct.arg_start` (`unsigned long`).
    pub mm_arg_start: u32,
    /// `struct mm_struct.arg_end` (`unsigned long`).
    pub mm_arg_end: u32,
    /// `struct mm_struct.env_start` (`unsigned long`).
    pub mm_env_start: u32,
    /// `struct mm_struct.env_end` (`unsigned long`).
    pub mm_env_end: u32,
    /// `struct files_struct.fdt` (`struct fdtable *`).
    pub files_fdt: u32,
    /// `struct fdtable.fd` (`struct file **`).
    pub fdtable_fd: u32,
    /// `struct fdtable.max_fds` (`unsigned int`).
    pub fdtable_max_fds: u32,
    /// `struct sock.sk_socket` (`struct socket *`).
    pub sock_socket: u32,
    /// `struct socket.file` (`struct file *`).
    pub socket_file: u32,
    /// `struct socket.sk`.
    pub socket_sk: u32,
    /// `struct file.private_data` (`void *`).
    pub file_private_data: u32,
    /// `struct pt_regs`: the system call number (x86-64 `orig_ax`, aarch64 `syscallno`).
    pub regs_syscall: u32,
    /// `struct pt_regs`: the first argument (x86-64 `di`, aarch64 `orig_x0`).
    pub regs_arg0: u32,
    /// `struct pt_regs`: the second argument.
    pub regs_arg1: u32,
    /// `struct pt_regs`: the third argument.
    pub regs_arg2: u32,
    /// `struct pt_regs`: the field that tells a 32-bit task (x86-64 `cs`, aarch64 `pstate`).
    pub regs_mode: u32,
    /// `struct pt_regs`: the first five arguments of a function (x86-64 `di`, `si`, `dx`, `cx`, `r8`,
    /// aarch64 `x0` to `x4`).
    pub regs_call: [u32; 5],
    /// `struct pt_regs`: what a function returns (x86-64 `ax`, aarch64 `x0`).
    pub regs_result: u32,
    /// `struct pt_regs`: the first three words of the arguments of a function of Go (x86-64 `ax`, `bx`,
    /// `cx`, aarch64 `x0` to `x2`); the first is also where it returns its first result.
    pub regs_go: [u32; 3],
    /// `struct pt_regs`: the goroutine, in code of Go (x86-64 `r14`, aarch64 `x28`).
    pub regs_goroutine: u32,
    /// Which system call numbers hold: [`MACHINE_X86_64`] or [`MACHINE_AARCH64`].
    pub machine: u32,
}

/// Value of [`Offsets::machine`]: x86-64.
pub const MACHINE_X86_64: u32 = 0;
/// Value of [`Offsets::machine`]: aarch64.
pub const MACHINE_AARCH64: u32 = 1;

const _: () = assert!(size_of::<Offsets>() == 48 * 4 && align_of::<Offsets>() == 4);
