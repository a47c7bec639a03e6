//! Keeps CPUs busy in known ways.
//!
//! `hark-test-spin threads N MS [FILE]`: N threads that compute for MS milliseconds each and then
//! sleep for good; prints `DONE` when all have. With FILE, they wait for it to appear and compute
//! once more, and `DONE` is printed again.
//!
//! `hark-test-spin brief N MS`: N threads, one after the other, that compute for MS milliseconds and
//! end; then `DONE`, and sleep for good.
//!
//! `hark-test-spin children N MS`: likewise, with processes.

use std::path::Path;
use std::process::{Command, exit};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["threads", count, millis] => number(count)
            .zip(number(millis))
            .map(|(count, millis)| threads(count as usize, millis, None)),
        ["threads", count, millis, file] => number(count)
            .zip(number(millis))
            .map(|(count, millis)| threads(count as usize, millis, Some(Path::new(file)))),
        ["brief", count, millis] => number(count).zip(number(millis)).map(|(count, millis)| {
            for _ in 0..count {
                let _ = std::thread::spawn(move || compute(millis)).join();
            }
            println!("DONE");
        }),
        ["children", count, millis] => number(count).zip(number(millis)).map(|(count, millis)| {
            children(count, millis);
            println!("DONE");
        }),
        ["once", millis] => {
            if let Some(millis) = number(millis) {
                compute(millis);
            }
            return;
        }
        _ => None,
    };
    if done.is_none() {
        eprintln!("hark-test-spin: {arguments:?} is not understood");
        exit(2);
    }
    loop {
        std::thread::park();
    }
}

fn number(word: &str) -> Option<u64> {
    word.parse().ok()
}

fn compute(millis: u64) {
    let end = Instant::now() + Duration::from_millis(millis);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn threads(count: usize, millis: u64, file: Option<&Path>) {
    let barrier = Arc::new(Barrier::new(count + 1));
    for _ in 0..count {
        let barrier = Arc::clone(&barrier);
        std::thread::spawn(move || {
            compute(millis);
            barrier.wait();
            barrier.wait();
            compute(millis);
            barrier.wait();
            loop {
                std::thread::park();
            }
        });
    }
    barrier.wait();
    println!("DONE");
    let Some(file) = file else { return };
    while !file.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    barrier.wait();
    barrier.wait();
    println!("DONE");
}

fn children(count: u64, millis: u64) {
    let program = std::env::current_exe().expect("a running program has a path");
    for _ in 0..count {
        let mut command = Command::new(&program);
        command.arg("once").arg(millis.to_string());
        let status = command.status().expect("it runs, so it can be run");
        assert!(status.success(), "{status}");
    }
}
