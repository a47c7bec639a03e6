//! `hark run`: the agent, from start to stop.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::checkpoint;
use crate::clock::Clock;
use crate::config::Config;
use crate::http2::checkpoint::BootId;
use crate::kernel::object::{ObjectError, Types};
use crate::kernel::records::Records;
use crate::kernel::room::Room;
use crate::kernel::socket::SocketPrograms;
use crate::kernel::tls::Probes;
use crate::kernel::{Hook, interfaces, telemetry as kernel_telemetry};
use crate::lock::{Lock, LockError, run_dir};
use crate::otlp::{Exporter, OtlpConfig, OtlpConfigError, OtlpError};
use crate::pipeline::Pipeline;
use crate::request_log::{self, RequestLog, RequestLogError};
use crate::resources::Resources;
use crate::resources::memory::own_limit;
use crate::rights;
use crate::route::RouteError;
use crate::serve::{HookStatus, Loss, Readiness, ReadyReport, ServeError, bind};
use crate::telemetry::Telemetry;
use crate::tls::watch::Watch;

/// Why the agent did not start, or had to stop. Each is one sentence for whoever started it.
#[derive(Debug, Error)]
#[expect(
    missing_docs,
    reason = "each variant wraps the documented error of a part"
)]
pub enum RunError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    OtlpConfig(#[from] OtlpConfigError),
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    #[error(transparent)]
    RequestLog(#[from] RequestLogError),
    #[error(
        "request_log.otlp is set, but no endpoint for log records; set OTEL_EXPORTER_OTLP_ENDPOINT"
    )]
    NoLogEndpoint,
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Socket(#[from] ObjectError),
    #[error("cannot {what}: {source}")]
    Io {
        what: &'static str,
        source: io::Error,
    },
}

/// How long queued spans may take to be exported at the end.
const FLUSH: Duration = Duration::from_secs(5);

/// Records handled between two looks at the clock and the stop flag.
const BATCH: usize = 4096;

/// A pipeline thread that has not come round for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// Runs the agent until SIGINT or SIGTERM.
pub fn run(config: &Config) -> Result<(), RunError> {
    let io = |what| move |source| RunError::Io { what, source };
    let run_dir = run_dir();
    rights::keep(rights::at_start(config));
    let _lock = Lock::take(&run_dir)?;
    let variable = |name: &str| std::env::var(name).ok();
    let otlp = OtlpConfig::from_env(variable)?;
    let otlp_logs = match config.request_log.otlp {
        true => Some(OtlpConfig::logs_from_env(variable)?.ok_or(RunError::NoLogEndpoint)?),
        false => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("hark-io")
        .on_thread_start(|| rights::keep(rights::io()))
        .enable_all()
        .build()
        .map_err(io("start the runtime"))?;
    let mut signals = runtime
        .block_on(async { Signals::catch() })
        .map_err(io("listen for signals"))?;
    let bound = runtime.block_on(bind(config.listen))?;
    let exporter = otlp
        .map(|otlp| Exporter::start(otlp, runtime.handle()))
        .transpose()?;
    let log_exporter = otlp_logs
        .map(|otlp| Exporter::start(otlp, runtime.handle()))
        .transpose()?;
    let request_log = RequestLog::start(&config.request_log, log_exporter.clone())?;
    let lines = request_log.as_ref().and_then(RequestLog::lines);

    let mut telemetry = Telemetry::new();
    let mut pipeline = Pipeline::new(config, Clock::new(), exporter.clone(), &mut telemetry)?;
    if let Some(log) = request_log {
        pipeline.log_to(log, &mut telemetry);
    }
    let heritage = Heritage {
        boot: checkpoint::boot_id().map_err(io("read the boot's id"))?,
        folder: run_dir,
        proc_root: config.proc_root.clone(),
    };
    heritage.accept(&mut pipeline);
    let memory = own_limit(&config.proc_root);
    let room = Room::within(memory);
    if room.is_short() {
        tracing::warn!(
            limit_bytes = memory,
            connections = room.connections(),
            "little memory is allowed: the kernel's tables are smaller"
        );
    }
    let types = Types::of_running_kernel(room)?;
    let (mut programs, ring) = SocketPrograms::load(
        &types,
        config.ring_buffer_bytes,
        &config.capture,
        std::process::id(),
    )?;
    let local = bound.local_addr();
    leave_out_own(&mut programs, local).map_err(|error| match error {
        Own::Socket(error) => RunError::Socket(error),
        Own::Io(source) => io("list the host's addresses")(source),
    })?;
    let resources = Resources::build(config, &types, pipeline.identities());
    drop(types);
    rights::keep(rights::afterwards());
    let programs = Arc::new(programs);
    // Dropped at the end, when all has been reported.
    let mut watch = None;
    if programs.can_probe() {
        let attach = Probes::new(Arc::clone(&programs));
        let started = Watch::start(attach, config.proc_root.clone())
            .map_err(io("start the thread that looks for TLS"))?;
        pipeline.watch_tls_with(started.eye());
        watch = Some(started);
    }
    let mut hooks = programs.hooks().to_vec();
    hooks.extend_from_slice(resources.hooks());
    telemetry.add(
        resources
            .start()
            .map_err(io("start the collectors' threads"))?,
    );
    kernel_telemetry::register(&programs, telemetry.registry_mut());
    let state = Arc::new(State {
        programs: Arc::clone(&programs),
        hooks,
        stop: AtomicBool::new(false),
        started: Instant::now(),
        last_round_ms: AtomicU64::new(0),
    });

    programs.arm()?;
    let follower = thread::Builder::new()
        .name("hark-pipeline".into())
        .spawn({
            let state = Arc::clone(&state);
            move || follow(Records::new(ring), &mut pipeline, &state, &heritage)
        })
        .map_err(io("start the pipeline's thread"))?;
    tracing::info!(listen = %local, "hark is listening; metrics are at http://{local}/metrics");

    let (stop, stopped) = oneshot::channel::<()>();
    runtime.block_on(async {
        let serving = tokio::spawn(bound.run(
            Arc::new(telemetry),
            Arc::clone(&state) as Arc<dyn Readiness>,
            async move {
                let _ = stopped.await;
            },
        ));
        signals.any().await;
        // Records first: what was heard before the signal is still reported and exported.
        state.stop.store(true, Ordering::Release);
        let joined = tokio::task::spawn_blocking(move || follower.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the pipeline's thread ended badly");
        }
        // At the same time: together they have no longer than one of them.
        let written = tokio::task::spawn_blocking(move || {
            if let Some(lines) = lines {
                lines.finish(request_log::FLUSH);
            }
        });
        let _ = tokio::join!(
            shut(exporter.as_ref()),
            shut(log_exporter.as_ref()),
            written
        );
        drop(stop);
        let _ = serving.await;
    });
    drop(watch);
    Ok(())
}

/// Sends what an exporter still has. Not a closure: the compiler (1.95) finds a cycle in one here.
async fn shut(exporter: Option<&Exporter>) {
    if let Some(exporter) = exporter {
        exporter.shutdown(FLUSH).await;
    }
}

/// The signals that end the agent. They are caught before it says that it is ready, so that one that
/// comes right then does not end it without a word.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// To be called within the runtime.
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How long an agent that ends may look at how far HTTP/2 connections were followed.
const LOOK: Duration = Duration::from_secs(1);

/// What one agent leaves the next.
struct Heritage {
    boot: BootId,
    folder: PathBuf,
    proc_root: PathBuf,
}

impl Heritage {
    /// Hands what there is to the pipeline.
    fn accept(&self, pipeline: &mut Pipeline) {
        match checkpoint::take(&self.folder, &self.boot) {
            Ok(None) => {}
            Ok(Some(checkpoint)) => {
                let connections = checkpoint.len();
                tracing::info!(connections, "HTTP/2 header tables are known from before");
                pipeline.resume(checkpoint);
            }
            Err(error) => {
                tracing::warn!(%error, "HTTP/2 header tables from before are not used");
            }
        }
    }

    /// Leaves what the pipeline knows. The programs still run: what moves from here on does not match
    /// what is left, so that the next agent does not use it.
    fn leave(&self, records: &mut Records, pipeline: &mut Pipeline, programs: &SocketPrograms) {
        let mut processes: Vec<u32> = pipeline.http2_processes().collect();
        if processes.is_empty() {
            return;
        }
        processes.sort_unstable();
        processes.dedup();
        let deadline = Instant::now() + LOOK;
        let processes = processes.into_iter();
        let positions = programs.http2_positions(&self.proc_root, processes, deadline);
        // The records from before that look.
        while records.drain(BATCH, |record| pipeline.record(record)) == BATCH
            && Instant::now() < deadline
        {}
        let (bytes, connections) = pipeline.checkpoint(&self.boot, &positions);
        if connections == 0 {
            return;
        }
        match checkpoint::put(&self.folder, &bytes) {
            Ok(()) => tracing::info!(
                connections,
                "HTTP/2 header tables are left for the next agent"
            ),
            Err(error) => tracing::warn!(%error, "HTTP/2 header tables cannot be left"),
        }
    }
}

/// The pipeline's thread.
fn follow(mut records: Records, pipeline: &mut Pipeline, state: &State, heritage: &Heritage) {
    let mut swept = Instant::now();
    loop {
        let stopping = state.stop.load(Ordering::Acquire);
        let taken = records.drain(BATCH, |record| pipeline.record(record));
        pipeline.drained();
        state.came_round();
        let now = Instant::now();
        if now.duration_since(swept) >= Duration::from_secs(1) {
            swept = now;
            pipeline.sweep(now);
        }
        if taken == BATCH {
            continue;
        }
        if stopping {
            break;
        }
        if let Err(error) = records.wait() {
            tracing::error!(%error, "cannot wait for the ring buffer; looking at it by the clock");
            thread::sleep(Records::TICK);
        }
    }
    heritage.leave(&mut records, pipeline, &state.programs);
    pipeline.finish();
}

struct State {
    programs: Arc<SocketPrograms>,
    hooks: Vec<Hook>,
    stop: AtomicBool,
    started: Instant,
    /// When the pipeline's thread last came round, in ms since `started`.
    last_round_ms: AtomicU64,
}

impl State {
    fn came_round(&self) {
        let ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_round_ms.store(ms, Ordering::Relaxed);
    }
}

impl Readiness for State {
    fn report(&self) -> ReadyReport {
        let last = Duration::from_millis(self.last_round_ms.load(Ordering::Relaxed));
        let alive = self.started.elapsed().saturating_sub(last) < STUCK;
        ReadyReport {
            ready: alive && !self.stop.load(Ordering::Relaxed),
            hooks: self
                .hooks
                .iter()
                .map(|hook| HookStatus {
                    name: hook.name.into(),
                    attached: hook.failure.is_none(),
                    detail: hook.failure.clone(),
                })
                .collect(),
            losses: kernel_telemetry::LOST
                .iter()
                .map(|(reason, counter)| Loss {
                    reason: (*reason).into(),
                    count: self.programs.counter(*counter),
                })
                .collect(),
        }
    }
}

enum Own {
    Socket(ObjectError),
    Io(io::Error),
}

/// Connections to the agent's own endpoint are not reported, whoever makes them.
fn leave_out_own(programs: &mut SocketPrograms, local: SocketAddr) -> Result<(), Own> {
    let netns = std::fs::metadata("/proc/self/ns/net")
        .map_err(Own::Io)?
        .ino();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel's own number has 32 bits"
    )]
    let netns = netns as u32;
    let addresses: Vec<IpAddr> = if local.ip().is_unspecified() {
        interfaces::addresses().map_err(Own::Io)?
    } else {
        vec![local.ip()]
    };
    for address in addresses {
        programs
            .leave_out(address, local.port(), netns)
            .map_err(Own::Socket)?;
    }
    Ok(())
}
