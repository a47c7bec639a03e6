//! Reads or writes blocks of a file past the page cache, says what came of it, and stays, so that
//! whoever watches can look at it.
//!
//! Arguments: `read` or `write`, the path, bytes of a block, blocks from one to the next, the first
//! offset in bytes, how many, and by how many threads at once.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};

/// What the kernel asks of a buffer for direct I/O, bytes.
const ALIGN: usize = 4096;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("an argument is missing");
    let writes = match next()?.as_str() {
        "read" => false,
        "write" => true,
        other => bail!("unknown mode {other:?}"),
    };
    let path = next()?;
    let [block, stride, offset, count, threads] = [(); 5].map(|()| next());
    let block: usize = block?.parse()?;
    let stride = stride?.parse::<u64>()? * block as u64;
    let offset: u64 = offset?.parse()?;
    let count: u64 = count?.parse()?;
    let threads: u64 = threads?.parse()?;
    let file = OpenOptions::new()
        .read(true)
        .write(writes)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .with_context(|| path.clone())?;
    let (done, failed, taken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut memory = vec![0x5a; block + ALIGN];
                let from = memory.as_ptr().align_offset(ALIGN);
                let buffer = &mut memory[from..from + block];
                loop {
                    let index = taken.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let at = offset + index * stride;
                    let moved = if writes {
                        file.write_at(buffer, at)
                    } else {
                        file.read_at(buffer, at)
                    };
                    let outcome = if moved.is_ok_and(|bytes| bytes == block) {
                        &done
                    } else {
                        &failed
                    };
                    outcome.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!("DONE {} {}", done.into_inner(), failed.into_inner());
    loop {
        std::thread::park();
    }
}
