//! The library of the `hark` agent.
//!
//! Data flows one way: probe → record → connection → exchange → metrics and spans. See
//! `ARCHITECTURE.md`.

pub mod capture;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod context;
pub mod doctor;
pub mod exchange;
pub mod fragment;
mod hash;
pub mod http1;
pub mod http2;
pub mod identity;
mod instrumented;
pub mod kernel;
pub mod links;
pub mod lock;
pub mod log;
pub mod otlp;
pub mod pipeline;
pub mod process_stat;
pub mod record;
pub mod recording;
pub mod red;
pub mod replay;
pub mod request_log;
pub mod resources;
pub mod rights;
pub mod route;
pub mod rpc;
pub mod run;
pub mod sampling;
pub mod serve;
pub mod service_graph;
pub mod telemetry;
pub mod tls;
pub mod top;
mod traces;
