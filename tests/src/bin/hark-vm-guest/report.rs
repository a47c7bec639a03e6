//! What came of each check, a line each, on the second serial port, where no kernel message gets
//! between. Fields are separated by tabs:
//!
//! - `kernel` RELEASE
//! - `pass` CHECK RESULT, `fail` CHECK WHY
//! - `program` NAME INSTRUCTIONS
//! - `end` VERDICT PASSED FAILED: the last line, without which nothing above counts.

use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Context;

pub(crate) struct Report {
    port: File,
    passed: u32,
    failed: u32,
}

impl Report {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let port = File::options()
            .write(true)
            .open("/dev/ttyS1")
            .context("/dev/ttyS1")?;
        Ok(Self {
            port,
            passed: 0,
            failed: 0,
        })
    }

    /// Writes a line. A line that cannot be written is missed at the other end, where it counts.
    pub(crate) fn line(&mut self, kind: &str, fields: &[&str]) {
        let mut line = kind.to_owned();
        for field in fields {
            line.push('\t');
            // A line break is a line's end, and a tab a field's.
            line.extend(field.trim().chars().map(|c| match c {
                '\n' => '|',
                c if c.is_control() => ' ',
                c => c,
            }));
        }
        line.push('\n');
        if let Err(error) = self.port.write_all(line.as_bytes()) {
            eprintln!("cannot write to the second serial port: {error}");
        }
    }

    /// Carries out a check, which panics if it fails and otherwise gives its result in a word or two.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> String) {
        self.check_for(name, || (check(), ()));
    }

    /// As [`check`](Self::check), for a check that leaves something behind.
    pub(crate) fn check_for<T>(
        &mut self,
        name: &str,
        check: impl FnOnce() -> (String, T),
    ) -> Option<T> {
        // What a check leaves half done is not used afterwards.
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok((result, left)) => {
                self.passed += 1;
                self.line("pass", &[name, &result]);
                Some(left)
            }
            Err(panic) => {
                let why = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("it panicked without a message");
                self.failed += 1;
                self.line("fail", &[name, why]);
                None
            }
        }
    }

    /// The last line, on its way before the machine is switched off.
    pub(crate) fn end(mut self, verdict: &str) {
        let (passed, failed) = (self.passed.to_string(), self.failed.to_string());
        self.line("end", &[verdict, &passed, &failed]);
        if let Err(error) = rustix::termios::tcdrain(&self.port) {
            eprintln!("cannot wait for the second serial port: {error}");
        }
    }
}
