//! Each case of `cargo xtask torture`, in short.

use hark_tests::need;
use hark_tests::torture::{CASES, Scale};

fn short(name: &str) {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.expect("the case has this name");
    let outcome = need!((case.run)(Scale::Short));
    eprintln!("{name}: {outcome:?}");
}

/// A test for each; and no case is without one.
macro_rules! tests {
    ($($test:ident $name:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            short($name);
        })+

        #[test]
        fn every_case_is_tested() {
            let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            assert_eq!(names, [$($name),+]);
        }
    };
}

tests!(
    full_speed "full-speed",
    little_memory "little-memory",
    tiny_ring "tiny-ring",
    tables_full "tables-full",
    connections "connections",
    processes "processes",
    idle "idle",
    stopped "stopped",
    killed "killed",
    collector "collector",
    disk_full "disk-full",
    scrapes "scrapes",
);
