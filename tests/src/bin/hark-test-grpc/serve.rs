//! The server: every method does what the first message says.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Result;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::{BoxFuture, BoxStream, Service, http, tokio_stream::StreamExt as _};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};

use super::codec::Raw;
use super::{How, Order, SERVICE};

/// Serves until it is killed.
pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("LISTENING {}", listener.local_addr()?);
    Server::builder()
        .add_service(Echo)
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

/// The service. Unary or streaming makes no difference on the wire but in the number of messages.
#[derive(Clone, Copy, Debug)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default();
            if method == "Missing" {
                let status = Status::unimplemented("no such method");
                return Ok(status.into_http());
            }
            Ok(tonic::server::Grpc::new(Raw)
                .streaming(Handler, request)
                .await)
        })
    }
}

struct Handler;

impl Service<Request<Streaming<Vec<u8>>>> for Handler {
    type Response = Response<BoxStream<Vec<u8>>>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        Box::pin(answer(request.into_inner()))
    }
}

async fn answer(mut messages: Streaming<Vec<u8>>) -> Result<Response<BoxStream<Vec<u8>>>, Status> {
    let first = messages.message().await?;
    let order = first
        .and_then(|message| Order::read(&message))
        .ok_or_else(|| Status::invalid_argument("no order"))?;
    if order.how != How::Never {
        while messages.message().await?.is_some() {}
    }
    let status = Status::new(Code::from(i32::from(order.status)), "as ordered");
    let failed = status.code() != Code::Ok;
    if failed && order.how == How::TrailersOnly {
        return Err(status);
    }
    let answers = (0..order.messages).map(|number| Ok(vec![number; 100]));
    let ending = failed.then_some(Err(status));
    let stream = tokio_stream::iter(answers.chain(ending).collect::<Vec<_>>());
    Ok(Response::new(if order.how == How::Never {
        Box::pin(stream.chain(tokio_stream::pending()))
    } else {
        Box::pin(stream)
    }))
}
