//! The table on a terminal, redrawn in place until the user leaves.

use std::io::{self, Write as _};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::style::Print;
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
};
use crossterm::{execute, queue};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use unicode_width::UnicodeWidthStr as _;

use super::fetch::Target;
use super::{History, TopError, read, table};

/// How long the thread that waits for keys sleeps before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// What the user did.
enum Input {
    Leave,
    Resize,
}

/// Shows the table until the user leaves or a signal ends it.
pub(super) async fn run(target: &Target, interval: Duration) -> Result<(), TopError> {
    let mut history = History::default();
    // Before the terminal is touched, so that a wrong address is an ordinary error.
    history.push(read(target).await?);

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let _screen = Screen::enter()?;
    let mut inputs = inputs();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate, and the first reading is done.
    ticks.tick().await;
    let mut problem: Option<TopError> = None;
    loop {
        draw(&history, target, problem.as_ref())?;
        tokio::select! {
            _ = ticks.tick() => {}
            input = inputs.recv() => match input {
                Some(Input::Leave) | None => return Ok(()),
                Some(Input::Resize) => continue,
            },
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
        // A reading may take its time; the keys must not.
        let reading = tokio::select! {
            reading = read(target) => reading,
            () = leave(&mut inputs) => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        };
        match reading {
            Ok(snapshot) => {
                history.push(snapshot);
                problem = None;
            }
            Err(error) => {
                // Rates across a gap would be wrong if the agent was started anew in it.
                history.clear();
                problem = Some(error);
            }
        }
    }
}

/// Ends when the user leaves; other input waits for the next drawing.
async fn leave(inputs: &mut mpsc::Receiver<Input>) {
    loop {
        match inputs.recv().await {
            Some(Input::Leave) | None => return,
            Some(Input::Resize) => {}
        }
    }
}

/// Reads the terminal's events on a thread of its own; it ends when the receiver is gone.
fn inputs() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            let input = match crossterm::event::poll(KEY_WAIT) {
                Ok(false) => continue,
                Ok(true) => match crossterm::event::read() {
                    Ok(event) => meaning(&event),
                    Err(_) => return,
                },
                // The terminal is gone; dropping the sender says so.
                Err(_) => return,
            };
            if let Some(input) = input
                && sender.blocking_send(input).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn meaning(event: &Event) -> Option<Input> {
    match event {
        Event::Resize(..) => Some(Input::Resize),
        Event::Key(key) if key.kind == KeyEventKind::Press => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => Some(Input::Leave),
                KeyCode::Char('c' | 'd') if control => Some(Input::Leave),
                // Redraws, should another program have written to the terminal.
                KeyCode::Char('l') if control => Some(Input::Resize),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Draws the present state in one write.
fn draw(history: &History, target: &Target, problem: Option<&TopError>) -> io::Result<()> {
    let (columns, rows) = crossterm::terminal::size()?;
    let width = usize::from(columns);
    let mut lines = history.table(target, width);
    if let Some(problem) = problem {
        lines = vec![table::fit(&problem.to_string(), width)];
    }
    let frame = frame(&lines, usize::from(rows), width)?;
    let mut output = io::stdout().lock();
    output.write_all(&frame)?;
    output.flush()
}

/// The bytes that put these lines on the screen. Lines are overwritten, not cleared first, so that
/// nothing flickers. When there are more lines than rows, the first and the last stay.
fn frame(lines: &[String], rows: usize, width: usize) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    queue!(frame, BeginSynchronizedUpdate)?;
    let hint = table::fit("q to leave", width);
    let mut shown: Vec<&str> = lines.iter().map(String::as_str).collect();
    shown.push(&hint);
    if shown.len() > rows {
        let footer = 2.min(rows.saturating_sub(4));
        let tail = shown.split_off(shown.len() - footer);
        shown.truncate(rows - footer);
        shown.extend(tail);
    }
    for (row, line) in shown.iter().enumerate() {
        let row = u16::try_from(row).map_err(io::Error::other)?;
        queue!(frame, MoveTo(0, row), Print(line))?;
        // After a full line the cursor stands on its last character and would clear it.
        if line.width() < width {
            queue!(frame, Clear(ClearType::UntilNewLine))?;
        }
    }
    // Below the last line, not from the cursor: it may stand on the last column.
    if shown.len() < rows {
        let row = u16::try_from(shown.len()).map_err(io::Error::other)?;
        queue!(frame, MoveTo(0, row), Clear(ClearType::FromCursorDown))?;
    }
    queue!(frame, EndSynchronizedUpdate)?;
    Ok(frame)
}

/// The terminal in the state that the table needs; dropping it restores what was.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        // A panic's message would be lost with the alternate screen.
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            previous(panic);
        }));
        crossterm::terminal::enable_raw_mode()?;
        // From here on the drop restores, also when the next line fails.
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen, Hide, DisableLineWrap)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal; harmless when there is nothing to restore. Errors have nowhere to go.
fn restore() {
    let _ = execute!(io::stdout(), EnableLineWrap, Show, LeaveAlternateScreen);
    let _ = crossterm::terminal::disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|line| format!("line {line}")).collect()
    }

    /// The text at each position, in the order of the frame.
    fn rows_of(frame: &[u8]) -> Vec<String> {
        String::from_utf8(frame.to_vec())
            .unwrap()
            .split("\x1b[")
            .filter_map(|part| part.split_once(";1H").map(|(_, text)| text.to_owned()))
            .filter(|text| !text.is_empty())
            .collect()
    }

    #[test]
    fn the_last_column_is_not_cleared() {
        let frame = frame(&["full".to_owned()], 1, 4).unwrap();
        assert_eq!(
            String::from_utf8(frame).unwrap(),
            "\x1b[?2026h\x1b[1;1Hfull\x1b[?2026l"
        );
    }

    #[test]
    fn a_frame_overwrites_and_clears_the_rest() {
        let frame = frame(&lines(1), 5, 80).unwrap();
        assert_eq!(
            String::from_utf8(frame).unwrap(),
            "\x1b[?2026h\x1b[1;1Hline 0\x1b[K\x1b[2;1Hq to leave\x1b[K\x1b[3;1H\x1b[J\x1b[?2026l"
        );
    }

    #[test]
    fn a_low_terminal_keeps_both_ends() {
        let frame = frame(&lines(10), 6, 80).unwrap();
        assert_eq!(
            rows_of(&frame),
            [
                "line 0",
                "line 1",
                "line 2",
                "line 3",
                "line 9",
                "q to leave"
            ]
        );
    }

    #[test]
    fn any_size_of_terminal() {
        for rows in 0..8 {
            for count in 0..12 {
                let frame = frame(&lines(count), rows, 3).unwrap();
                assert_eq!(rows_of(&frame).len(), rows.min(count + 1));
            }
        }
    }
}
