//! The client: calls of every kind, counted by what the library says came of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::Result;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::codec::{Messages, Raw};
use super::{How, Order, SERVICE};

/// What is to be done.
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// On each connection.
    pub(crate) calls: usize,
    /// Calls under way on each connection.
    pub(crate) concurrency: usize,
    /// A file that it waits for between a first call on each connection, not counted, and the rest.
    pub(crate) gate: Option<PathBuf>,
}

/// Calls, messages sent, messages received, by method and status.
type Counts = BTreeMap<(&'static str, &'static str), [u64; 3]>;

/// Makes the calls and prints the counts.
pub(crate) async fn run(plan: &Plan) -> Result<()> {
    let mut channels = Vec::new();
    for _ in 0..plan.connections {
        let endpoint = Endpoint::from_shared(format!("http://{}", plan.address))?;
        let channel = endpoint.connect().await?;
        if plan.gate.is_some() {
            one(channel.clone(), 0).await?;
        }
        channels.push(channel);
    }
    if let Some(gate) = &plan.gate {
        println!("READY");
        while !gate.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let until: Option<Arc<PathBuf>> = std::env::var_os("UNTIL").map(|path| Arc::new(path.into()));
    let mut tasks = Vec::new();
    for channel in channels {
        let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        for _ in 0..plan.concurrency {
            let (channel, next, calls) = (channel.clone(), Arc::clone(&next), plan.calls);
            let until = until.clone();
            tasks.push(tokio::spawn(async move {
                let mut counts = Counts::new();
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= calls || until.as_ref().is_some_and(|until| until.exists()) {
                        return Ok::<_, anyhow::Error>(counts);
                    }
                    let one = one(channel.clone(), number).await?;
                    let count: &mut [u64; 3] =
                        counts.entry((one.method, name(one.code))).or_default();
                    count[0] += 1;
                    count[1] += one.sent;
                    count[2] += one.received;
                }
            }));
        }
    }
    let mut counts = Counts::new();
    for task in tasks {
        for (key, more) in task.await?? {
            let count = counts.entry(key).or_default();
            (0..3).for_each(|at| count[at] += more[at]);
        }
    }
    let list: Vec<_> = counts
        .into_iter()
        .map(|((method, status), [calls, sent, received])| (method, status, calls, sent, received))
        .collect();
    // A reset is written by the connection's own task; nothing tells when that has been done.
    tokio::time::sleep(Duration::from_millis(500)).await;
    println!("CALLS {}", serde_json::to_string(&list)?);
    Ok(())
}

/// What came of a call.
struct One {
    method: &'static str,
    code: Code,
    /// Messages that were sent.
    sent: u64,
    /// Messages that the server was ordered to send.
    received: u64,
}

/// One call; its number says of what kind.
async fn one(channel: Channel, number: usize) -> Result<One> {
    const STATUSES: [u8; 8] = [0, 0, 0, 5, 13, 0, 16, 14];
    let order = Order {
        status: STATUSES[number % STATUSES.len()],
        messages: 1,
        how: if number.is_multiple_of(3) {
            How::TrailersOnly
        } else {
            How::Trailers
        },
    };
    let none = order.status != 0 && order.how == How::TrailersOnly;
    let answers = |messages: u64| if none { 0 } else { messages };
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let late = number < late() && number % 33 == 8;
    let (path, sent, received, outcome) = match number % 11 {
        // The deadline passes: a long one, which a busy machine hardly shortens. Few are waited for.
        _ if late => {
            let path = "/hark.test.Echo/Waits";
            let mut request = request(endless().bytes(), number);
            request.set_timeout(DEADLINE);
            let call = async {
                let call = grpc.server_streaming(request, at(path), Raw).await;
                drain(call).await
            };
            // The library's own clock stops when the response begins.
            let outcome = tokio::time::timeout(DEADLINE, call).await;
            let outcome =
                outcome.unwrap_or_else(|_| Err(Status::deadline_exceeded("it has passed")));
            (path, 1, 1, outcome)
        }
        0..=4 => {
            let path = "/hark.test.Echo/Unary";
            let request = request(order.bytes(), number);
            let call = grpc.unary(request, at(path), Raw).await;
            (path, 1, answers(1), call.map(drop))
        }
        5 | 6 => {
            let path = "/hark.test.Echo/Lists";
            let order = Order {
                messages: 20,
                ..order
            };
            let request = request(order.bytes(), number);
            let call = grpc.server_streaming(request, at(path), Raw).await;
            (path, 1, answers(20), drain(call).await)
        }
        7 => {
            let path = "/hark.test.Echo/Collects";
            let request = request(several(order), number);
            let call = grpc.client_streaming(request, at(path), Raw).await;
            (path, 5, answers(1), call.map(drop))
        }
        8 => {
            let path = "/hark.test.Echo/Chats";
            let request = request(several(order), number);
            let call = grpc.streaming(request, at(path), Raw).await;
            (path, 5, answers(1), drain(call).await)
        }
        9 => {
            let path = "/hark.test.Echo/Missing";
            let request = request(order.bytes(), number);
            let call = grpc.unary(request, at(path), Raw).await;
            (path, 1, 0, call.map(drop))
        }
        _ => {
            // Given up after the first answer: the stream is reset.
            let path = "/hark.test.Echo/Hangs";
            let request = request(endless().bytes(), number);
            let call = grpc.server_streaming(request, at(path), Raw).await?;
            let mut answers = call.into_inner();
            answers.message().await?;
            drop(answers);
            (path, 1, 1, Err(Status::cancelled("given up")))
        }
    };
    Ok(One {
        method: path_name(path),
        code: outcome.map_or_else(|status| status.code(), |()| Code::Ok),
        sent,
        received,
    })
}

/// What a call that waits for its end waits for.
const DEADLINE: Duration = Duration::from_secs(4);

/// The number from which on no call waits for its deadline.
fn late() -> usize {
    static LATE: LazyLock<usize> = LazyLock::new(|| {
        let late = std::env::var("LATE").ok();
        late.and_then(|late| late.parse().ok()).unwrap_or(50)
    });
    *LATE
}

/// One message, and no end.
const fn endless() -> Order {
    Order {
        status: 0,
        messages: 1,
        how: How::Never,
    }
}

/// A request with a header of its own, so that the tables of both ends change all the time.
fn request<T>(message: T, number: usize) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("{number}-{}", "x".repeat(number % 300));
    if let Ok(value) = value.parse() {
        request.metadata_mut().insert("x-number", value);
    }
    request
}

fn several(order: Order) -> Messages {
    tokio_stream::iter(vec![order.bytes(); 5])
}

async fn drain(
    call: Result<tonic::Response<tonic::Streaming<Vec<u8>>>, Status>,
) -> Result<(), Status> {
    let mut answers = call?.into_inner();
    while answers.message().await?.is_some() {}
    Ok(())
}

fn at(path: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(path)
}

/// `rpc.method` of a path.
fn path_name(path: &'static str) -> &'static str {
    debug_assert!(path[1..].starts_with(SERVICE));
    &path[1..]
}

/// The name of a status (`doc/statuscodes.md` of gRPC).
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
