//! `hark-demo`: a small shop of real services under load, watched by hark.
//!
//! On a terminal it shows `hark top` until the load ends or the user leaves; in a pipe it prints
//! the table once. At the end it compares what the load generator sent with what hark heard. It
//! leaves nothing behind: no process, no file.

mod agent;
mod children;
mod load;
mod report;
mod shop;
mod stand_in;
mod stop;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

use agent::Agent;
use children::Child;
use shop::Shop;
use stop::Stop;

/// How long the load lasts on a terminal and in a pipe, in seconds.
const SECONDS_LIVE: u64 = 60;
const SECONDS_PIPE: u64 = 8;

/// Starts a small shop of real services, a load, and the agent; shows the live table of services.
#[derive(Debug, Parser)]
#[command(name = "hark-demo", max_term_width = 100)]
struct Cli {
    /// The hark binary
    #[arg(long, value_name = "FILE", env = "HARK_BIN", default_value = "hark")]
    hark: PathBuf,
    /// How long the load lasts; 60 on a terminal, 8 in a pipe
    #[arg(long, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: Option<u64>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The demo starts itself in these parts.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
enum Part {
    /// One of the shop's services, written in Rust
    #[command(hide = true)]
    Service { service: stand_in::Service },
    /// The load generator
    #[command(hide = true)]
    Load { url: String, seconds: u64 },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.part {
        Some(Part::Service { service }) => stand_in::run(service),
        Some(Part::Load { url, seconds }) => load::run(&url, Duration::from_secs(seconds)),
        None => demo(&cli.hark, cli.seconds),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<stop::Stopped>() => {
            eprintln!("stopped");
            // What a shell gives for a process that SIGINT ended.
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("hark-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(hark: &std::path::Path, seconds: Option<u64>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        let arguments: Vec<String> = std::env::args().collect();
        bail!(
            "the agent needs root to attach to the kernel; run `sudo {}`",
            arguments.join(" ")
        );
    }
    let live = std::io::stdout().is_terminal();
    let seconds = seconds.unwrap_or(if live { SECONDS_LIVE } else { SECONDS_PIPE });
    // Everything that is started is dropped, and so ended, on every way out of this function; the
    // directory goes last.
    let directory = tempfile::Builder::new()
        .prefix("hark-demo-")
        .tempdir()
        .context("cannot make a directory for the services' files")?;
    let stop = Stop::on_signals()?;

    let shop = Shop::start(directory.path(), &stop)?;
    for line in shop.lines() {
        println!("{line}");
    }
    let agent = Agent::start(hark, directory.path(), &stop)?;
    println!("metrics: {}", agent.metrics_url());

    let load = load::Load::start(shop.entry(), Duration::from_secs(seconds), directory.path())?;
    let mut top = agent.top(live, seconds)?;
    wait(live, &top, &load, &stop)?;
    let sent = load.finish(&stop)?;
    // The terminal is the demo's again before the totals are printed.
    top.end(Duration::from_secs(3));
    report::print(&sent, &agent, shop.entry_service(), &stop)
}

/// Waits until the user leaves the table or the load is done.
fn wait(live: bool, top: &Child, load: &load::Load, stop: &Stop) -> Result<()> {
    loop {
        if let Some(status) = top.ended()? {
            if !status.success() {
                bail!("`hark top` failed ({status})");
            }
            return Ok(());
        }
        // In a pipe the table comes by itself, a second before the load ends.
        if live && load.is_done()? {
            return Ok(());
        }
        stop.sleep(Duration::from_millis(50))?;
    }
}
