//! The agent under demonstration.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hark::top::fetch::{Target, fetch_blocking};

use crate::children::Child;
use crate::shop::free_port;
use crate::stop::Stop;

/// How long the agent may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// An agent that runs and is ready; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Agent {
    hark: PathBuf,
    port: u16,
    child: Child,
}

impl Agent {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(hark: &Path, directory: &Path, stop: &Stop) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(hark);
        command
            .arg("run")
            .env("HARK_LISTEN", format!("127.0.0.1:{port}"));
        let child = Child::background("hark", command, directory)
            .context("build the agent with `cargo xtask build`, or name it with --hark")?;
        let mut agent = Self {
            hark: hark.to_owned(),
            port,
            child,
        };
        agent.wait_until_ready(stop)?;
        Ok(agent)
    }

    fn wait_until_ready(&mut self, stop: &Stop) -> Result<()> {
        let ready = Target::parse(&format!("http://127.0.0.1:{}/readyz", self.port))?;
        let deadline = Instant::now() + READY;
        loop {
            if let Some(status) = self.child.ended()? {
                bail!(
                    "`hark run` ended before it was ready ({status}){}",
                    self.child.log_tail()
                );
            }
            match fetch_blocking(&ready) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => bail!(
                    "`hark run` was not ready after {} s: {error}{}",
                    READY.as_secs(),
                    self.child.log_tail()
                ),
                Err(_) => stop.sleep(Duration::from_millis(100))?,
            }
        }
    }

    /// Address of its metrics.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.port)
    }

    /// The present page of metrics.
    pub(crate) fn metrics(&self) -> Result<String> {
        Ok(fetch_blocking(&Target::parse(&self.metrics_url())?)?)
    }

    /// Starts `hark top`: live, or printing once for the most of the load.
    pub(crate) fn top(&self, live: bool, seconds: u64) -> Result<Child> {
        let mut command = Command::new(&self.hark);
        command.args(["top", "--url", &self.metrics_url()]);
        if !live {
            // It ends before the load does, so that the rates are those of the load alone.
            command.args([
                "--once",
                "--interval",
                &seconds.saturating_sub(1).max(1).to_string(),
            ]);
        }
        Child::foreground("hark top", command)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It is asked first, so that it can detach in order.
        self.child.end(Duration::from_secs(3));
    }
}
