//! The one way that data flows: records in, metrics and spans out.
//!
//! One thread owns a [`Pipeline`] and everything in it that is not shared: no locks on the way of
//! a record but the one of the metrics' store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::{Clock, Sample};
use crate::config::Config;
use crate::connection::{self, Connections, Counters, Event};
use crate::exchange::{Exchange, Protocol};
use crate::http1::HeadParser;
use crate::http2;
use crate::http2::checkpoint::{BootId, Checkpoint, Positions};
use crate::identity::{Identities, Remains, Service};
use crate::otlp::{Exporter, Span};
use crate::record::{Record, decode};
use crate::red::Red;
use crate::request_log::RequestLog;
use crate::route::{RouteError, Router};
use crate::service_graph::{Heard, ServiceGraph};
use crate::telemetry::Telemetry;
use crate::tls::connections as tls;
use crate::tls::hello::Hellos;
use crate::tls::watch::Eye;
use crate::traces::Traces;

/// Who else wants to see each exchange: `hark replay` prints them.
pub type Observer = Box<dyn FnMut(&Exchange, &Service, Option<&str>, &Clock) + Send>;

/// Everything between the records and the outputs.
pub struct Pipeline {
    connections: Connections,
    http2: http2::Connections,
    tls: tls::Connections,
    counters: Counters,
    outputs: Outputs,
}

/// What reads exchanges.
struct Outputs {
    identities: Arc<Mutex<Identities>>,
    router: Router,
    red: Red,
    traces: Traces,
    graph: Option<ServiceGraph>,
    exporter: Option<Exporter>,
    request_log: Option<RequestLog>,
    clock: Clock,
    observer: Option<Observer>,
    hellos: Hellos,
}

impl Pipeline {
    /// Builds it, and registers what it says of itself.
    ///
    /// # Errors
    ///
    /// A route template that is not valid.
    pub fn new(
        config: &Config,
        clock: Clock,
        exporter: Option<Exporter>,
        telemetry: &mut Telemetry,
    ) -> Result<Self, RouteError> {
        let counters = Counters::new();
        counters.register(telemetry.registry_mut());
        let router = Router::new(&config.routes)?;
        router.metrics().register(telemetry.registry_mut());
        let red = Red::new(&config.metrics);
        red.register(telemetry);
        let identities = Identities::new(config.proc_root.clone(), config.limits.max_processes);
        identities.register(telemetry.registry_mut());
        if let Some(exporter) = &exporter {
            exporter.register(telemetry.registry_mut());
            // Of spans that the collector has: what an exemplar names is there to be found.
            let red = red.clone();
            exporter.on_exported(move |spans| red.exemplars(spans));
        }
        let graph = ServiceGraph::new(&config.service_graph, &config.metrics);
        if let Some(graph) = &graph {
            graph.register(telemetry);
        }
        let traces = Traces::new(config);
        traces.register(telemetry);
        let http2_counters = http2::Counters::new();
        http2_counters.register(telemetry.registry_mut());
        let tls = tls::Connections::new();
        telemetry.add(tls.counts());
        Ok(Self {
            http2: http2::Connections::new(
                config.limits.max_connections,
                HeadParser::new(&config.traces.context),
                counters.clone(),
                http2_counters,
            ),
            connections: Connections::new(
                config.limits.max_connections,
                HeadParser::new(&config.traces.context),
                counters.clone(),
            ),
            tls,
            counters,
            outputs: Outputs {
                identities: Arc::new(Mutex::new(identities)),
                router,
                red,
                traces,
                graph,
                exporter,
                request_log: None,
                clock,
                observer: None,
                hellos: Hellos::default(),
            },
        })
    }

    /// Shows each exchange to `observer` as well.
    pub fn observe_with(&mut self, observer: Observer) {
        self.outputs.observer = Some(observer);
    }

    /// Has each process that speaks TLS looked at.
    pub fn watch_tls_with(&mut self, eye: Eye) {
        self.tls.watch_with(eye);
    }

    /// Writes each exchange that the log wants to it.
    pub fn log_to(&mut self, log: RequestLog, telemetry: &mut Telemetry) {
        log.register(telemetry.registry_mut());
        self.outputs.request_log = Some(log);
    }

    /// Takes in one record as the kernel sent it.
    pub fn record(&mut self, bytes: &[u8]) {
        let record = match decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                self.counters.decode_error(&error);
                tracing::debug!(%error, "a record cannot be read");
                return;
            }
        };
        let outputs = &mut self.outputs;
        outputs.heard(&record);
        let sink = &mut |event: Event<'_>| outputs.event(event);
        match record {
            Record::Request { .. }
            | Record::Response { .. }
            | Record::Abort { .. }
            | Record::RequestBody(_) => {
                let http2 = &mut self.http2;
                self.connections.handle(record, &mut |event| match event {
                    Event::Ended(exchange) if exchange.is_upgraded() => {
                        http2.upgrade(exchange, sink);
                    }
                    event => sink(event),
                });
            }
            Record::Http2 {
                role,
                direction,
                local,
                peer,
                record,
                frames,
            } => self.http2.part(
                &http2::Part {
                    role,
                    direction,
                    local,
                    peer,
                    record: &record,
                    frames,
                },
                sink,
            ),
            Record::Tls { record, stream, .. } => {
                outputs.hellos.heard(record.header.socket, stream);
                let mut identities = outputs.identities();
                self.tls.record(&record, &mut identities);
            }
            Record::Http2End { reason, record, .. } => self.http2.end(reason, &record, sink),
            Record::Process {
                record,
                args,
                environ,
            } => self
                .outputs
                .identities()
                .learn(&record, Remains { args, environ }),
        }
    }

    /// The names of processes, for what else wants to know them.
    #[must_use]
    pub fn identities(&self) -> Arc<Mutex<Identities>> {
        Arc::clone(&self.outputs.identities)
    }

    /// Goes on with what the agent before this one knew of HTTP/2 connections.
    pub fn resume(&mut self, checkpoint: Checkpoint) {
        self.http2.resume(checkpoint);
    }

    /// A process of each HTTP/2 connection.
    pub fn http2_processes(&self) -> impl Iterator<Item = u32> {
        self.http2.processes()
    }

    /// What the next agent needs to know of HTTP/2 connections, and of how many that is; see
    /// [`http2::Connections::checkpoint`].
    #[must_use]
    pub fn checkpoint(&self, boot: &BootId, positions: &Positions) -> (Vec<u8>, usize) {
        self.http2.checkpoint(boot, positions)
    }

    /// To be called after each drain: takes the time.
    pub fn drained(&mut self) {
        let now = Sample::read();
        let outputs = &mut self.outputs;
        outputs.clock.push(now);
        self.http2
            .tick(now.mono_ns, &mut |event| outputs.event(event));
        outputs.tick(now.mono_ns);
    }

    /// To be called about once a second: lets go what belongs to processes that are gone.
    pub fn sweep(&mut self, now: Instant) {
        self.outputs.identities().sweep();
        self.outputs.red.expire(now);
        self.tls.sweep(now);
        if let Some(graph) = &mut self.outputs.graph {
            graph.expire(now);
        }
    }

    /// The end: what is under way is dropped and counted.
    pub fn finish(&mut self) {
        let outputs = &mut self.outputs;
        let sink = &mut |event: Event<'_>| outputs.event(event);
        self.connections.finish(sink);
        self.http2.finish(sink);
        self.outputs.finish();
        self.tls.finish();
    }
}

impl Outputs {
    /// Hardly ever waited for: the resources look a process up once.
    fn identities(&self) -> MutexGuard<'_, Identities> {
        lock(&self.identities)
    }

    /// Who is at which end of which connection.
    fn heard(&mut self, record: &Record<'_>) {
        if self.graph.is_none() {
            return;
        }
        let (role, local, peer, header, task, addresses) = match record {
            Record::Request {
                role,
                local,
                peer,
                record,
                ..
            } => (
                Some(*role),
                local,
                peer,
                &record.header,
                &record.task,
                (&record.local, &record.peer),
            ),
            Record::Http2 {
                role,
                local,
                peer,
                record,
                ..
            } => (
                *role,
                local,
                peer,
                &record.header,
                &record.task,
                (&record.local, &record.peer),
            ),
            _ => return,
        };
        let Some(role) = role else { return };
        let heard = Heard {
            role,
            local: *local,
            peer: *peer,
            netns: addresses.0.netns,
            socket: header.socket,
            peer_socket: connection::trail(addresses.1).peer_socket,
            process: task.process,
            time_ns: header.time_ns,
        };
        let identities = &self.identities;
        if let Some(graph) = &mut self.graph {
            graph.heard(&heard, || lock(identities).resolve(task));
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Begun {
                role,
                task,
                method,
                scheme,
                protocol,
                at_stream_limit,
                opening,
            } => {
                if self.makes_spans() {
                    self.traces.begun(role, task, &opening);
                }
                let service = self.identities().resolve(task);
                self.red.begun(&service, role, method, scheme);
                if protocol == Protocol::Http2 {
                    let socket = opening.socket;
                    self.red
                        .stream_begun(&service, role, socket, at_stream_limit);
                }
            }
            Event::Dropped {
                role,
                task,
                method,
                scheme,
                protocol,
                key,
                reason: _,
            } => {
                if self.makes_spans() {
                    self.traces.dropped(role, task, key);
                }
                let service = self.identities().resolve(task);
                self.red.ended(&service, role, method, scheme);
                if protocol == Protocol::Http2 {
                    self.red.stream_ended(&service, role, key.0, false);
                }
            }
            Event::Ended(mut exchange) => {
                exchange.tls = self.hellos.of(exchange.socket);
                self.ended(exchange);
            }
        }
        self.hand_on();
    }

    fn ended(&mut self, exchange: Exchange) {
        let service: Arc<Service> = self.identities().resolve(&exchange.task);
        let request = &exchange.request;
        self.red.ended(
            &service,
            exchange.role,
            &request.method,
            request.scheme.as_deref(),
        );
        if request.protocol == Protocol::Http2 {
            let refused = exchange.error.is_some_and(|error| error.is_refusal());
            self.red
                .stream_ended(&service, exchange.role, exchange.socket, refused);
        }
        // A call has a method in place of a route.
        let route = match exchange.rpc {
            Some(_) => None,
            None => self
                .router
                .route(&service, &request.path, request.path_truncated),
        };
        self.red.observe(&exchange, &service, route.as_deref());
        if let Some(graph) = &mut self.graph {
            graph.ended(&exchange, &service);
        }
        if let Some(observer) = &mut self.observer {
            observer(&exchange, &service, route.as_deref(), &self.clock);
        }
        if self.makes_spans() {
            let end_unix_ns = self.clock.wall_ns(exchange.end_ns);
            self.traces.ended(exchange, service, route, end_unix_ns);
        }
    }

    /// Whether anybody takes spans: a third of the pipeline's time goes into them.
    const fn makes_spans(&self) -> bool {
        self.exporter.is_some() || self.request_log.is_some()
    }

    fn tick(&mut self, now_ns: u64) {
        if let Some(graph) = &mut self.graph {
            graph.settle(now_ns);
        }
        self.traces.tick(now_ns);
        self.hand_on();
    }

    fn finish(&mut self) {
        if let Some(graph) = &mut self.graph {
            graph.settle(u64::MAX);
        }
        self.traces.finish();
        self.hand_on();
    }

    /// Hands on the spans that were decided meanwhile.
    fn hand_on(&mut self) {
        while let Some((span, kept)) = self.traces.next() {
            self.decided(span, kept);
        }
    }

    /// It is settled whether the span of an exchange is kept. Called once for each that has ended.
    fn decided(&mut self, span: Span, kept: bool) {
        if let Some(log) = &mut self.request_log {
            log.offer(&span, kept);
        }
        if let Some(exporter) = self.exporter.as_ref().filter(|_| kept) {
            exporter.export(span);
        }
    }
}

fn lock(identities: &Mutex<Identities>) -> MutexGuard<'_, Identities> {
    identities.lock().unwrap_or_else(PoisonError::into_inner)
}
