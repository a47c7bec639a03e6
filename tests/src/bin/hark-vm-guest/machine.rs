//! The virtual machine around the first process: file systems, network, log, end.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;

/// What a host has mounted, and the agent expects: file system, where.
const MOUNTS: [(&str, &str); 8] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Mounts, and brings the loopback interface up.
pub(crate) fn set_up() -> anyhow::Result<()> {
    for (kind, folder) in MOUNTS {
        // Those under /sys are made by their file systems, the others by us.
        if !folder.starts_with("/sys/") {
            std::fs::create_dir_all(folder).with_context(|| folder.to_owned())?;
        }
        mount(kind, folder, kind, MountFlags::empty(), None)
            .with_context(|| format!("cannot mount {kind} on {folder}"))?;
    }
    // As every distribution's first process does: cgroups may have limits of memory.
    std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory")
        .context("cgroups have no limits of memory")?;
    loopback_up().context("cannot bring the loopback interface up")
}

fn loopback_up() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero bytes are a value of this plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// The kernel's release, as `uname -r` gives it.
pub(crate) fn release() -> String {
    let name = rustix::system::uname();
    name.release().to_string_lossy().into_owned()
}

/// Its first two numbers.
pub(crate) fn version() -> (u32, u32) {
    let release = release();
    let mut numbers = release.split(['.', '-']).map_while(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What the kernel says about itself.
pub(crate) struct KernelLog(File);

impl KernelLog {
    /// Only what comes from now on: what it says of the emulated hardware is no concern of ours.
    pub(crate) fn from_now() -> anyhow::Result<Self> {
        let mut file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("/dev/kmsg")?;
        file.seek(SeekFrom::End(0)).context("/dev/kmsg")?;
        Ok(Self(file))
    }

    /// Its complaints about itself since then. All that it said goes to the console. That it kills a
    /// process for want of memory in a cgroup, and who it is, is no complaint: a check wants it so.
    pub(crate) fn complaints(mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut killing = false;
        // One message a read; a longer one is an error of its own (EINVAL).
        let mut message = [0; 8192];
        loop {
            match self.0.read(&mut message) {
                Ok(0) => break,
                Ok(size) => {
                    let text = String::from_utf8_lossy(&message[..size]).into_owned();
                    // "level,number,time,flags;message", and lines about the device.
                    let said = text.split_once(';').map_or(&*text, |(_, said)| said);
                    let said = said.lines().next().unwrap_or_default();
                    eprintln!("kernel: {said}");
                    let words = ["BUG:", "WARNING:", "Oops", "Out of memory", "Call Trace"];
                    killing |= said.contains("invoked oom-killer");
                    if !killing && words.iter().any(|word| said.contains(word)) {
                        found.push(said.to_owned());
                    }
                    killing &= !said.contains("Memory cgroup out of memory: Killed process");
                }
                // Overwritten before it was read: there is more.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    found.push(format!("/dev/kmsg: {error}"));
                    break;
                }
            }
        }
        found
    }
}

/// Switches the machine off; returns only if that fails.
pub(crate) fn power_off() -> anyhow::Result<()> {
    rustix::system::reboot(RebootCommand::PowerOff).context("cannot switch off")
}
