//! A gRPC server and a gRPC client by tonic, whose messages say what is to come of the call.
//!
//! `serve` prints `LISTENING <address>`. `call <address> <connections> <calls> <concurrency>` makes
//! calls, every kind in turn, and prints `CALLS` and a JSON list of what it counted: method, status,
//! number of calls, messages sent, messages received. With a path as fifth argument it makes one call on
//! each connection first, which it does not count, prints `READY`, and waits for that file. LATE in the
//! environment is the number from which on no call waits for its deadline, UNTIL a file: once it is there, no
//! call begins any more.

mod call;
mod codec;
mod serve;

/// The service.
const SERVICE: &str = "hark.test.Echo";

/// What a call is to do: the bytes of a message.
#[derive(Clone, Copy, Debug)]
struct Order {
    /// The status that it ends with.
    status: u8,
    /// Messages that are sent back before.
    messages: u8,
    how: How,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// With trailers behind the messages.
    Trailers,
    /// With trailers alone, and no message.
    TrailersOnly,
    /// Not at all: the client has to give up.
    Never,
}

impl Order {
    fn bytes(self) -> Vec<u8> {
        vec![self.status, self.messages, self.how as u8]
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let [status, messages, how, ..] = *bytes else {
            return None;
        };
        let how = [How::Trailers, How::TrailersOnly, How::Never]
            .into_iter()
            .find(|known| *known as u8 == how)?;
        Some(Self {
            status,
            messages,
            how,
        })
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()?;
    match arguments[..] {
        ["serve"] => runtime.block_on(serve::run()),
        [
            "call",
            address,
            connections,
            calls,
            concurrency,
            ref rest @ ..,
        ] => runtime.block_on(call::run(&call::Plan {
            address: address.parse()?,
            connections: connections.parse()?,
            calls: calls.parse()?,
            concurrency: concurrency.parse()?,
            gate: rest.first().map(Into::into),
        })),
        _ => anyhow::bail!("serve, or call <address> <connections> <calls> <concurrency> [gate]"),
    }
}
