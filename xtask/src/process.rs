//! Other programs: run with their output shown, captured, or read line by line.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs a command with its output on the terminal; an exit status other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = announce(command)
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it wrote to stdout; its stderr is in the error if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}\n{}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed invalid UTF-8", line(command)))
}

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// How long after a program's end its output may still be held open, by a process that it left
/// behind, before that process is no longer waited for.
const GRACE: Duration = Duration::from_secs(1);

/// Runs a command and hands over each line of its output as it comes, with its end. The order
/// within a stream is kept, between the two only roughly.
pub(crate) fn stream(
    command: &mut Command,
    mut each: impl FnMut(Stream, &[u8]),
) -> Result<ExitStatus> {
    let mut child = announce(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    let (lines, received) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        read_lines(stdout, Stream::Stdout, lines.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        read_lines(stderr, Stream::Stderr, lines);
    }
    let mut ended: Option<Instant> = None;
    let mut asked = Instant::now();
    loop {
        let line_or_not = received.recv_timeout(GRACE);
        if ended.is_none() && asked.elapsed() >= GRACE {
            asked = Instant::now();
            ended = child.try_wait()?.map(|_| asked);
        }
        match line_or_not {
            // One that keeps on writing must not keep us for ever; its own lines are lost.
            Ok(_) if ended.is_some_and(|ended| ended.elapsed() > 10 * GRACE) => {}
            Ok((stream, line)) => {
                each(stream, &line);
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if ended.is_some() => {}
            Err(RecvTimeoutError::Timeout) => continue,
        }
        eprintln!(
            "`{}` has ended, but a process that it left behind holds its output",
            line(command)
        );
        break;
    }
    child
        .wait()
        .with_context(|| format!("cannot wait for `{}`", line(command)))
}

fn read_lines(from: impl Read + Send + 'static, stream: Stream, to: Sender<(Stream, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(1..) if to.send((stream, line)).is_ok() => {}
                // The end, or an error, after which there is no more to come either.
                _ => break,
            }
        }
    });
}

/// A heading for what comes next, on stderr like cargo's own progress.
pub(crate) fn step(what: &str) {
    eprintln!("\n== {what}");
}

/// The command as a person would type it, without its environment.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // Cargo is on every developer's PATH; its full name only hides the rest.
    let program = match program.file_name() {
        Some(name) if name == "cargo" => name,
        _ => program.as_os_str(),
    };
    std::iter::once(program)
        .chain(command.get_args())
        .map(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn announce(command: &mut Command) -> &mut Command {
    eprintln!("$ {}", line(command));
    command
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn line_is_what_a_shell_would_read_back() {
        let mut command = Command::new("printf");
        command.args(["%s|", "plain", "two words", "it's", ""]);
        assert_eq!(
            line(&command),
            r"printf '%s|' plain 'two words' 'it'\''s' ''"
        );
        let read_back = output(&mut shell(&line(&command))).unwrap();
        assert_eq!(read_back, "plain|two words|it's||");
    }

    #[test]
    fn output_of_a_failure_names_command_status_and_stderr() {
        let error = output(&mut shell("echo why >&2; exit 3")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c 'echo why >&2; exit 3'` failed: exit status: 3\nwhy"
        );
    }

    fn streamed(script: &str) -> (Vec<u8>, Vec<Vec<u8>>, Option<i32>) {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let status = stream(&mut shell(script), |stream, line| match stream {
            Stream::Stdout => out.extend_from_slice(line),
            Stream::Stderr => errors.push(line.to_owned()),
        })
        .unwrap();
        (out, errors, status.code())
    }

    #[test]
    fn every_byte_of_a_stream_comes_line_by_line() {
        let (out, errors, code) =
            streamed(r"printf 'one\r\n\n\377two\nlast'; printf 'a\nb' >&2; exit 7");
        assert_eq!(out, b"one\r\n\n\xfftwo\nlast");
        assert_eq!(errors, [b"a\n".to_vec(), b"b".to_vec()]);
        assert_eq!(code, Some(7));
    }

    #[test]
    fn a_process_left_behind_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let fifo = fifo.to_str().unwrap();
        // Opening a fifo that nobody writes to blocks until we do, at the end of the test.
        let (out, _, code) = streamed(&format!("mkfifo {fifo}; cat {fifo} & echo done"));
        assert_eq!((&out[..], code), (&b"done\n"[..], Some(0)));
        drop(std::fs::OpenOptions::new().write(true).open(fifo).unwrap());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("/nonexistent/program")).unwrap_err();
        assert_eq!(error.to_string(), "cannot start `/nonexistent/program`");
    }
}
