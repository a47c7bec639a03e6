//! What went wrong with a request, in a word.

/// The kernel's `blk_status_t` as a label: the words of `blk_errors` in block/blk-core.c, shortened.
///
/// The numbers from 14 on are not the same in all kernels: Linux 6.10 took one out and moved those
/// behind it up. `new_numbers` says that this kernel has the new ones. A number that is not known for
/// sure stays a number.
pub(super) fn name(status: u32, new_numbers: bool) -> String {
    let known = match (status, new_numbers) {
        (1, _) => "not_supported",
        (2, _) => "timeout",
        (3, _) => "no_space",
        (4, _) => "transport",
        (5, _) => "target",
        (6, _) => "reservation_conflict",
        (7, _) => "medium",
        (8, _) => "protection",
        (9, _) => "kernel_resource",
        (10, _) => "io",
        (11, _) => "dm_requeue",
        (12, _) => "again",
        (13, _) => "device_resource",
        (14, true) => "zone_open_limit",
        (15, true) => "zone_active_limit",
        (16, true) => "offline",
        (17, true) => "duration_limit",
        (19, _) => "invalid",
        (other, _) => return format!("status_{other}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn what_kernels_disagree_on_is_not_guessed() {
        assert_eq!(name(10, false), "io");
        assert_eq!(name(10, true), "io");
        assert_eq!(name(16, true), "offline");
        assert_eq!(name(16, false), "status_16");
        assert_eq!(name(200, true), "status_200");
    }
}
