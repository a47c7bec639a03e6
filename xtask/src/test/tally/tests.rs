use super::*;

fn read(output: &str, succeeded: bool) -> Tally {
    let mut reader = Reader::default();
    output.lines().for_each(|line| reader.stdout(line));
    reader.finish("suite", succeeded)
}

fn names(tally: &Tally) -> Vec<&str> {
    tally.failed.iter().map(String::as_str).collect()
}

#[test]
fn results_of_several_programs_are_summed() {
    let tally = read(
        "
running 2 tests
test a ... ok
test b ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s


running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s


running 1 test
test c ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
",
        true,
    );
    let expected = Tally {
        passed: 3,
        ..Tally::default()
    };
    assert_eq!(tally, expected);
}

#[test]
fn failures_are_named_from_the_second_list() {
    let tally = read(
        "
running 3 tests
test a ... FAILED
test b ... ok
test m::c ... FAILED

failures:

---- a stdout ----
    an indented line that is no name

---- m::c stdout ----
x

failures:
    a
    m::c

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
        false,
    );
    assert_eq!(tally.passed, 1);
    assert_eq!(names(&tally), ["a", "m::c"]);
}

#[test]
fn skipped_is_not_passed_wherever_it_is_printed() {
    let tally = read(
        "
running 3 tests
SKIPPED nginx: nginx is not installed: see setup
test nginx ... ok
test go ... SKIPPED go: no go
ok
test real ... ok

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
        true,
    );
    assert_eq!(tally.passed, 1);
    assert_eq!(
        tally.skipped,
        [
            (
                "nginx".to_owned(),
                "nginx is not installed: see setup".to_owned()
            ),
            ("go".to_owned(), "no go".to_owned()),
        ]
    );
}

#[test]
fn skipped_on_stderr_counts_whenever_it_arrives() {
    let mut reader = Reader::default();
    reader.stderr("   Compiling something");
    reader.stdout("running 2 tests");
    reader.stdout("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    reader.stderr("SKIPPED m::late: no redis-server");
    reader.stdout("running 0 tests");
    reader.stdout("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out");
    let expected = Tally {
        passed: 1,
        failed: vec![],
        skipped: vec![("m::late".to_owned(), "no redis-server".to_owned())],
    };
    assert_eq!(reader.finish("suite", true), expected);
}

#[test]
fn ignored_is_skipped_by_name() {
    let tally = read(
        "
running 3 tests
test slow ... ignored, takes an hour
test bare ... ignored
test agent/src/lib.rs - item (line 3) ... ignored

test result: ok. 0 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
        true,
    );
    assert_eq!(tally.passed, 0);
    assert_eq!(
        tally.skipped,
        [
            ("slow".to_owned(), "takes an hour".to_owned()),
            ("bare".to_owned(), "ignored".to_owned()),
            (
                "agent/src/lib.rs - item (line 3)".to_owned(),
                "ignored".to_owned()
            ),
        ]
    );
}

#[test]
fn a_program_that_dies_is_a_failure() {
    let died = "
running 5 tests
test a ... ok
";
    let after = "
running 1 test
test z ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
    let expected = ["suite: 1 test program(s) ended before all their tests"];
    let last = read(died, false);
    assert_eq!((last.passed, names(&last)), (0, expected.to_vec()));
    let first = read(&format!("{died}{after}"), false);
    assert_eq!((first.passed, names(&first)), (1, expected.to_vec()));
}

#[test]
fn a_run_that_never_began_is_a_failure_and_an_empty_one_is_not() {
    let tally = read("", false);
    assert_eq!(names(&tally), ["suite: cargo test failed to run"]);
    assert_eq!(read("", true), Tally::default());
}

#[test]
fn what_tests_print_is_not_taken_for_the_harness() {
    let tally = read(
        "
running 1 test
running some tests
the word SKIPPED here: is prose
SKIPPED two words: no name
test result: nonsense
failures:
    forged
test a ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
",
        true,
    );
    let expected = Tally {
        passed: 1,
        ..Tally::default()
    };
    assert_eq!(tally, expected);
}

#[test]
fn a_failure_without_a_name_still_counts() {
    let tally = read(
        "test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s",
        false,
    );
    assert_eq!(tally.failed.len(), 2);
}
