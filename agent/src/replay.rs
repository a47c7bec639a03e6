//! `hark replay`: a capture file through the same pipeline, without a kernel.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use thiserror::Error;

use crate::capture::{CaptureError, Reader};
use crate::clock::{Clock, Sample};
use crate::config::Config;
use crate::exchange::{Endpoint, Exchange, Role};
use crate::identity::Service;
use crate::pipeline::Pipeline;
use crate::route::RouteError;
use crate::rpc::Code;
use crate::telemetry::Telemetry;
use crate::telemetry::page::Format;

/// Why a file was not replayed, or not to its end.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not right. What came before is on standard output.
    #[error("{path}: {source}")]
    Capture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CaptureError,
    },
    /// The configuration names a route that is none.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Nobody takes the output.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

/// Replays `file`: prints each exchange as a JSON line, or the page of metrics at the end.
///
/// Processes are named by what the file holds of them, never by who has their number now.
pub fn replay(config: &Config, file: &Path, metrics: bool) -> Result<(), ReplayError> {
    let path = || file.to_path_buf();
    let opened = File::open(file).map_err(|source| ReplayError::Open {
        path: path(),
        source,
    })?;
    let capture = |source| ReplayError::Capture {
        path: path(),
        source,
    };
    let mut reader = Reader::new(BufReader::new(opened)).map_err(capture)?;
    let clock = Clock::from_sample(Sample {
        mono_ns: 0,
        offset_ns: reader.header().realtime_offset_ns,
    });
    let mut config = config.clone();
    // A folder without processes in it.
    config.proc_root = PathBuf::from("/proc/self/attr/none");
    let mut telemetry = Telemetry::new();
    let mut pipeline = Pipeline::new(&config, clock, None, &mut telemetry)?;
    let failed: Arc<Mutex<Option<io::Error>>> = Arc::default();
    if !metrics {
        let mut out = BufWriter::new(io::stdout());
        let failed = Arc::clone(&failed);
        pipeline.observe_with(Box::new(move |exchange, service, route, clock| {
            let line = to_json(exchange, service, route, clock);
            // A write per line: `hark replay FILE | head` must not compute the rest for nothing.
            if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
                failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
        }));
    }
    let failure = || failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut damaged = None;
    loop {
        match reader.record() {
            Ok(Some(record)) => pipeline.record(record),
            Ok(None) => break,
            Err(error) => {
                damaged = Some(error);
                break;
            }
        }
        match failure() {
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Some(error) => return Err(ReplayError::Output(error)),
            None => {}
        }
    }
    pipeline.finish();
    if metrics {
        telemetry
            .write(Format::Text, &mut io::stdout().lock())
            .map_err(ReplayError::Output)?;
    }
    match damaged {
        Some(error) => Err(capture(error)),
        None => Ok(()),
    }
}

/// An exchange as one JSON object; keys by OpenTelemetry's conventions where there is one.
fn to_json(exchange: &Exchange, service: &Service, route: Option<&str>, clock: &Clock) -> Value {
    let request = &exchange.request;
    let endpoint = |endpoint: &Endpoint| match endpoint {
        Endpoint::Inet(address) => json!(address.to_string()),
        Endpoint::Unix => json!("unix"),
    };
    let since_start = |ns: u64| ns.saturating_sub(exchange.start_ns);
    let end = clock.wall_ns(exchange.end_ns);
    json!({
        "role": match exchange.role { Role::Server => "server", Role::Client => "client" },
        "service.name": *service.name,
        "process.pid": service.pid,
        "http.request.method": request.method.name(),
        "url.path": *request.path,
        "http.route": route,
        "server.address": request.host.as_deref(),
        "server.port": request.port,
        "network.protocol.version": request.protocol.version(),
        "network.local": endpoint(&exchange.local),
        "network.peer": endpoint(&exchange.peer),
        "http.response.status_code": exchange.status,
        "rpc.method": exchange.rpc_method(),
        "rpc.response.status_code": exchange.rpc.and_then(|rpc| rpc.status).map(Code::name),
        "error.type": exchange.error_type(),
        "http.request.body.size": exchange.request_body_bytes,
        "http.response.body.size": exchange.response_body_bytes,
        "start_unix_ns": end.saturating_sub(exchange.duration_ns()),
        "duration_ns": exchange.duration_ns(),
        "time_to_first_byte_ns": exchange.first_response_ns.map(since_start),
        "connection": exchange.socket,
        "index": exchange.index,
    })
}
