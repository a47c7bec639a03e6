//! The load generator of the end-to-end tests: blocking sockets, one thread per connection, and
//! an exact account of what was asked and answered. Takes a plan as JSON, prints the outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hark_tests::load::{Body, End, Exchange, Order, Outcome, Plan, Request, Write};

use self::connection::{Connection, Failure};

mod connection;
mod response;

fn main() -> anyhow::Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let plan: Plan = serde_json::from_str(&argument)?;
    let plan = Arc::new(plan);
    let workers: Vec<_> = (0..plan.connections)
        .map(|_| {
            let plan = Arc::clone(&plan);
            std::thread::Builder::new()
                .stack_size(256 << 10)
                .spawn(move || worker(&plan))
        })
        .collect::<Result<_, _>>()?;
    let mut account = Account::default();
    for worker in workers {
        let outcome = worker
            .join()
            .map_err(|_| anyhow::anyhow!("a worker panicked"))??;
        account.add(outcome);
    }
    println!("DONE {}", serde_json::to_string(&account.outcome())?);
    Ok(())
}

/// Counts while the load runs.
#[derive(Default)]
struct Account {
    counts: BTreeMap<(String, String), u64>,
    failed: BTreeMap<String, u64>,
    exchanges: Vec<Exchange>,
}

impl Account {
    fn record(&mut self, plan: &Plan, exchange: Exchange, failure: Option<Failure>) {
        let status = exchange
            .status
            .map(|status| status.to_string())
            .unwrap_or_default();
        *self
            .counts
            .entry((exchange.method.clone(), status))
            .or_default() += 1;
        if let Some(failure) = failure {
            *self.failed.entry(failure.name().into()).or_default() += 1;
        }
        if plan.keep {
            self.exchanges.push(exchange);
        }
    }

    fn add(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        for (key, count) in other.failed {
            *self.failed.entry(key).or_default() += count;
        }
        self.exchanges.extend(other.exchanges);
    }

    fn outcome(self) -> Outcome {
        let counts = self.counts.into_iter();
        Outcome {
            counts: counts
                .map(|((method, status), count)| (method, status, count))
                .collect(),
            failed: self.failed,
            exchanges: self.exchanges,
        }
    }
}

fn worker(plan: &Plan) -> anyhow::Result<Account> {
    let mut account = Account::default();
    let batch = match plan.order {
        Order::KeepAlive | Order::PerRequest => 1,
        Order::Pipelined(depth) => depth,
    };
    let requests: Vec<&Request> = (0..plan.rounds)
        .flat_map(|_| plan.requests.iter())
        .collect();
    let mut connection: Option<Connection> = None;
    if let Some(file) = &plan.wait_for {
        connection = Some(Connection::open(&plan.target)?);
        println!("CONNECTED");
        while !file.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for batch in requests.chunks(batch) {
        let mut current = match connection.take() {
            Some(connection) => connection,
            None => Connection::open(&plan.target)?,
        };
        let reusable = exchange_batch(plan, batch, &mut current, &mut account)?;
        if reusable && plan.order != Order::PerRequest {
            connection = Some(current);
        }
        if plan.pause_ms > 0 {
            std::thread::sleep(Duration::from_millis(plan.pause_ms));
        }
    }
    Ok(account)
}

/// Sends a batch and reads its responses; says whether the connection can go on.
fn exchange_batch(
    plan: &Plan,
    batch: &[&Request],
    connection: &mut Connection,
    account: &mut Account,
) -> anyhow::Result<bool> {
    let encoded: Vec<(Vec<u8>, Vec<u8>)> = batch
        .iter()
        .map(|request| (head(plan, request), body(&request.body)))
        .collect();
    let before_ns = realtime_ns();
    let local_port = connection.local_port();
    let seen = |request: &Request, status: Option<u16>, response_body: u64| Exchange {
        method: request.method.clone(),
        target: request.target.clone(),
        status,
        request_body: request.body.size() as u64,
        response_body,
        local_port,
        before_ns,
        after_ns: realtime_ns(),
    };
    // A server may answer and close before it has read all: what it said still counts.
    let written = write(plan.write, &encoded, connection);
    if let End::ResetAfter(milliseconds) = plan.end {
        std::thread::sleep(Duration::from_millis(milliseconds));
        connection.reset();
        for request in batch {
            account.record(plan, seen(request, None, 0), Some(Failure::Aborted));
        }
        return Ok(false);
    }
    let mut reusable = written.is_ok();
    for request in batch {
        let response = response::read(connection, &request.method);
        let body = response.body;
        account.record(plan, seen(request, response.status, body), response.failure);
        reusable &= response.reusable;
        if let (End::Upgraded(size), Some(101)) = (plan.end, response.status) {
            connection.echo(size)?;
            reusable = false;
        }
    }
    Ok(reusable && plan.write != Write::HalfClose)
}

fn write(
    how: Write,
    encoded: &[(Vec<u8>, Vec<u8>)],
    connection: &mut Connection,
) -> std::io::Result<()> {
    if how == Write::AfterContinue {
        for (head, body) in encoded {
            connection.write(head)?;
            response::read_continue(connection)?;
            connection.write(body)?;
        }
        return Ok(());
    }
    let all: Vec<u8> = encoded
        .iter()
        .flat_map(|(head, body)| head.iter().chain(body))
        .copied()
        .collect();
    match how {
        Write::Whole | Write::AfterContinue => connection.write(&all),
        Write::Pieces(size) => all
            .chunks(size)
            .try_for_each(|piece| connection.write(piece)),
        Write::Vectored(size) => connection.write_vectored(&all, size),
        Write::Message(size) => connection.send_message(&all, size),
        Write::Messages(size) => connection.send_messages(&all, size),
        Write::HalfClose => {
            connection.write(&all)?;
            connection.shut_write()
        }
    }
}

fn head(plan: &Plan, request: &Request) -> Vec<u8> {
    let version = if request.http10 { "1.0" } else { "1.1" };
    let mut head = format!(
        "{} {} HTTP/{version}\r\nHost: {}\r\n",
        request.method, request.target, plan.host
    );
    if plan.order == Order::PerRequest && !request.http10 {
        head.push_str("Connection: close\r\n");
    }
    match &request.body {
        Body::None => {}
        Body::Length(size) => head.push_str(&format!("Content-Length: {size}\r\n")),
        Body::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        Body::ChunkedOddly(_) => head.push_str("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n"),
    }
    if plan.write == Write::AfterContinue {
        head.push_str("Expect: 100-continue\r\n");
    }
    for line in &request.headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Bodies look like HTTP on purpose: nobody may take them for more requests.
fn body(body: &Body) -> Vec<u8> {
    let filler = b"GET /not-a-request HTTP/1.1\r\nhost: body\r\n\r\n";
    let bytes = |size: usize| {
        filler
            .iter()
            .copied()
            .cycle()
            .take(size)
            .collect::<Vec<u8>>()
    };
    match body {
        Body::None => Vec::new(),
        Body::Length(size) => bytes(*size),
        Body::Chunked(sizes) | Body::ChunkedOddly(sizes) => {
            let odd = matches!(body, Body::ChunkedOddly(_));
            let mut out = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                let extension = if odd && index % 2 == 1 {
                    ";name=\"va;lue\""
                } else {
                    ""
                };
                out.extend(format!("{size:x}{extension}\r\n").bytes());
                out.extend(bytes(*size));
                out.extend(b"\r\n");
            }
            out.extend(if odd {
                &b"0;last\r\nX-Sum: 1\r\n\r\n"[..]
            } else {
                b"0\r\n\r\n"
            });
            out
        }
    }
}

fn realtime_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
