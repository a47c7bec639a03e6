//! The shop's services in Rust: the payment service, and stand-ins for those whose runtime the host
//! does not have. They answer as the originals in `demo/services` do.

use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How many products there are.
const PRODUCTS: u32 = 100;

/// What every tenth order takes longer.
const SLOW: Duration = Duration::from_millis(300);

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Service {
    /// Pages made of what catalog and checkout answer.
    Storefront,
    /// Products 1 to 100.
    Catalog,
    /// Orders; every tenth is slow.
    Checkout,
    /// Charges; every 25th is refused.
    Payment,
}

impl Service {
    /// Its name, also as the word on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Storefront => "storefront",
            Self::Catalog => "catalog",
            Self::Checkout => "checkout",
            Self::Payment => "payment",
        }
    }
}

/// Serves until the process is killed; prints `listening PORT` when it is ready.
pub(crate) fn run(service: Service) -> Result<()> {
    let router = match service {
        Service::Storefront => storefront(
            Upstream::new("CATALOG_URL")?,
            Upstream::new("CHECKOUT_URL")?,
        ),
        Service::Catalog => catalog(),
        Service::Checkout => checkout(Upstream::new("PAYMENT_URL")?),
        Service::Payment => payment(),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
            println!("listening {}", listener.local_addr()?.port());
            axum::serve(listener, router).await
        })
        .with_context(|| format!("{} cannot serve", service.name()))
}

/// A service that is called, with a pool of connections.
#[derive(Clone)]
struct Upstream {
    url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Upstream {
    /// The service whose address is in this environment variable.
    fn new(variable: &str) -> Result<Self> {
        Ok(Self {
            url: std::env::var(variable).with_context(|| format!("{variable} is not set"))?,
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
    }

    /// Sends a request and gives the answer; 502 if there is none.
    async fn call(&self, method: Method, path: &str, body: Bytes) -> (StatusCode, Bytes) {
        self.try_call(method, path, body)
            .await
            .unwrap_or((StatusCode::BAD_GATEWAY, Bytes::from("no answer\n")))
    }

    async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .body(Full::new(body))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

fn storefront(catalog: Upstream, checkout: Upstream) -> Router {
    let front = catalog.clone();
    Router::new()
        .route(
            "/",
            get(async move || front.call(Method::GET, "/products", Bytes::new()).await),
        )
        .route(
            "/products/{id}",
            get(async move |Path(id): Path<String>| {
                catalog
                    .call(Method::GET, &format!("/products/{id}"), Bytes::new())
                    .await
            }),
        )
        .route(
            "/checkout",
            post(async move |body: Bytes| checkout.call(Method::POST, "/orders", body).await),
        )
}

fn catalog() -> Router {
    Router::new()
        .route(
            "/products",
            get(async || {
                let products: Vec<u32> = (1..=PRODUCTS).collect();
                format!("{products:?}\n")
            }),
        )
        .route(
            "/products/{id}",
            get(async |Path(id): Path<String>| match id.parse() {
                Ok(id) if (1..=PRODUCTS).contains(&id) => {
                    (StatusCode::OK, format!("{{\"product\":{id}}}\n"))
                }
                _ => (StatusCode::NOT_FOUND, "no such product\n".to_owned()),
            }),
        )
}

fn checkout(payment: Upstream) -> Router {
    Router::new()
        .route("/orders", post(order))
        .with_state(payment)
}

async fn order(State(payment): State<Upstream>, body: Bytes) -> (StatusCode, &'static str) {
    let Some(order) = order_number(&body) else {
        return (
            StatusCode::BAD_REQUEST,
            "the body is not the number of an order\n",
        );
    };
    if order % 10 == 0 {
        tokio::time::sleep(SLOW).await;
    }
    let (status, _) = payment.call(Method::POST, "/charges", body).await;
    if status == StatusCode::CREATED {
        (StatusCode::CREATED, "ordered\n")
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "the payment failed\n")
    }
}

fn payment() -> Router {
    Router::new().route(
        "/charges",
        post(async |body: Bytes| match order_number(&body) {
            None => (
                StatusCode::BAD_REQUEST,
                "the body is not the number of an order\n",
            ),
            Some(order) if order % 25 == 24 => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the bank does not answer\n",
            ),
            Some(_) => (StatusCode::CREATED, "charged\n"),
        }),
    )
}

fn order_number(body: &[u8]) -> Option<u64> {
    std::str::from_utf8(body).ok()?.trim().parse().ok()
}
