//! Harness of the end-to-end tests: the agent, the servers, and the load, each a process of its
//! own on the real kernel.
//!
//! A test starts servers and clients under service names of its own, so that many tests share one
//! agent and none sees another's traffic. What the clients count is the truth; what the agent
//! reports must equal it.
//!
//! What the machine lacks skips a test aloud (see [`need!`]), never quietly.

pub mod agent;
pub mod bpf;
pub mod certificate;
pub mod cgroup;
pub mod cpu_group;
pub mod disk;
pub mod grpc;
pub mod h2load;
pub mod http;
pub mod load;
pub mod metrics;
pub mod names;
pub mod netns;
pub mod otlp;
pub mod process;
pub mod prometheus;
pub mod recording;
pub mod reference;
pub mod schedstat;
pub mod server;
pub mod skip;
pub mod tools;
pub mod torture;
pub mod truth;
pub mod turn;
pub mod wait;
pub mod wrk;
