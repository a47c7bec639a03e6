//! Which process, as the kernel knows it, and where the kernel keeps that.

/// Names one execution of one process: survives pid reuse and exec.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// When the thread group's leader was started: `CLOCK_BOOTTIME`, ns.
    pub start_boottime_ns: u64,
    /// The thread group id in the initial pid namespace.
    pub pid: u32,
    /// `task_struct.self_exec_id`: grows with each exec.
    pub exec_id: u32,
}

/// Who did it: the task in whose system call the event fired.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// The process.
    pub process: ProcessKey,
    /// Id of the task's cgroup on the unified hierarchy (`bpf_get_current_cgroup_id`).
    pub cgroup_id: u64,
    /// `task_struct.comm`, padded with zeros.
    pub comm: [u8; 16],
    /// The thread id.
    pub tid: u32,
    /// Unused, 0.
    pub reserved: u32,
}

/// Byte offsets of what names a process, for programs that meet tasks which are not `current`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessOffsets {
    /// `struct task_struct.tgid` (`pid_t`).
    pub task_tgid: u32,
    /// `struct task_struct.flags` (`unsigned int`).
    pub task_flags: u32,
    /// `struct task_struct.comm` (`char[16]`).
    pub task_comm: u32,
    /// `struct task_struct.group_leader` (`struct task_struct *`).
    pub task_group_leader: u32,
    /// `struct task_struct.start_boottime` (`u64`, ns).
    pub task_start_boottime: u32,
    /// `struct task_struct.self_exec_id` (`u32` or `u64`; the low half is read).
    pub task_self_exec_id: u32,
    /// `struct task_struct.cgroups` (`struct css_set *`).
    pub task_cgroups: u32,
    /// `struct css_set.dfl_cgrp` (`struct cgroup *`): the cgroup on the unified hierarchy.
    pub css_set_dfl_cgrp: u32,
    /// `struct cgroup.kn` (`struct kernfs_node *`).
    pub cgroup_kn: u32,
    /// `struct kernfs_node.id` (`u64`): the cgroup's id.
    pub kernfs_node_id: u32,
}

const _: () = {
    assert!(size_of::<ProcessKey>() == 16 && align_of::<ProcessKey>() == 8);
    assert!(size_of::<Task>() == 48 && align_of::<Task>() == 8);
    assert!(size_of::<ProcessOffsets>() == 10 * 4 && align_of::<ProcessOffsets>() == 4);
};
