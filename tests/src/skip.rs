//! Tests that the machine cannot run say so and why.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// Why a test cannot run on this machine.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says aloud, past the test runner's capture, that the running test is skipped.
pub fn announce(reason: &Skip) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    // A test that goes through several cases is still one test.
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.insert(name.to_owned()) {
        return;
    }
    let line = format!("SKIPPED {name}: {reason}\n");
    // `eprintln!` is captured by the test runner and shown only for failures.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The value, or the end of this test with a line that says what is missing.
#[macro_export]
macro_rules! need {
    ($what:expr) => {
        match $what {
            Ok(value) => value,
            Err(skip) => {
                $crate::skip::announce(&skip);
                return;
            }
        }
    };
}
