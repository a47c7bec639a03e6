//! Each service of the shop answers as it should, and its stand-in answers the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A process that is killed with the test.
struct Running {
    process: Child,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a command and waits for `listening PORT`.
fn start(mut command: Command, environment: &[(&str, &str)]) -> Running {
    let mut process = command
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    // Made before the line is looked at, so that a wrong one still ends the process.
    let mut running = Running {
        process,
        url: String::new(),
    };
    let port: u16 = line
        .trim_end()
        .strip_prefix("listening ")
        .unwrap_or_else(|| panic!("{line:?}"))
        .parse()
        .unwrap();
    running.url = format!("http://127.0.0.1:{port}");
    running
}

fn stand_in(name: &str, environment: &[(&str, &str)]) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark-demo"));
    command.args(["service", name]);
    start(command, environment)
}

/// The original of a service, unless its runtime is missing, which is said.
fn original(runtime: &str, file: &str, environment: &[(&str, &str)]) -> Option<Running> {
    let installed = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join(runtime))
        .any(|program: PathBuf| program.is_file());
    if !installed {
        println!("SKIPPED {file}: {runtime} is not installed");
        return None;
    }
    let mut command = Command::new(runtime);
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("services")
            .join(file),
    );
    Some(start(command, environment))
}

/// Sends each request and compares the status.
async fn check(service: &Running, requests: &[(&str, &str, &str, u16)]) {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::client::legacy::Client;

    let client: Client<_, Full<bytes::Bytes>> =
        Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    for (method, path, body, expected) in requests {
        let request = http::Request::builder()
            .method(*method)
            .uri(format!("{}{path}", service.url))
            .body(Full::from((*body).to_owned()))
            .unwrap();
        let response = client.request(request).await.unwrap();
        let status = response.status().as_u16();
        let length = response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len();
        assert_eq!(status, *expected, "{method} {path} {body:?}");
        assert_ne!(length, 0, "{method} {path} {body:?}");
    }
}

const PAYMENT: &[(&str, &str, &str, u16)] = &[
    ("POST", "/charges", "1", 201),
    ("POST", "/charges", "24", 503),
    ("POST", "/charges", "25", 201),
    ("POST", "/charges", "49", 503),
    ("POST", "/charges", "x", 400),
];

const CATALOG: &[(&str, &str, &str, u16)] = &[
    ("GET", "/products", "", 200),
    ("GET", "/products/1", "", 200),
    ("GET", "/products/100", "", 200),
    ("GET", "/products/101", "", 404),
    ("GET", "/products/0", "", 404),
    ("GET", "/products/x", "", 404),
];

const CHECKOUT: &[(&str, &str, &str, u16)] = &[
    ("POST", "/orders", "1", 201),
    ("POST", "/orders", "10", 201),
    ("POST", "/orders", "24", 500),
    ("POST", "/orders", "", 400),
];

const STOREFRONT: &[(&str, &str, &str, u16)] = &[
    ("GET", "/", "", 200),
    ("GET", "/products/7", "", 200),
    ("GET", "/products/110", "", 404),
    ("POST", "/checkout", "3", 201),
    ("POST", "/checkout", "24", 500),
];

#[tokio::test]
async fn the_stand_ins() {
    let payment = stand_in("payment", &[]);
    check(&payment, PAYMENT).await;
    let catalog = stand_in("catalog", &[]);
    check(&catalog, CATALOG).await;
    let checkout = stand_in("checkout", &[("PAYMENT_URL", &payment.url)]);
    check(&checkout, CHECKOUT).await;
    let storefront = stand_in(
        "storefront",
        &[
            ("CATALOG_URL", &catalog.url),
            ("CHECKOUT_URL", &checkout.url),
        ],
    );
    check(&storefront, STOREFRONT).await;
}

#[tokio::test]
async fn the_originals() {
    let payment = stand_in("payment", &[]);
    if let Some(catalog) = original("node", "catalog.js", &[]) {
        check(&catalog, CATALOG).await;
    }
    if let Some(checkout) = original("java", "Checkout.java", &[("PAYMENT_URL", &payment.url)]) {
        check(&checkout, CHECKOUT).await;
    }
    let catalog = stand_in("catalog", &[]);
    let checkout = stand_in("checkout", &[("PAYMENT_URL", &payment.url)]);
    let upstreams = [
        ("CATALOG_URL", catalog.url.as_str()),
        ("CHECKOUT_URL", checkout.url.as_str()),
    ];
    if let Some(storefront) = original("python3", "storefront.py", &upstreams) {
        check(&storefront, STOREFRONT).await;
    }
}

#[tokio::test]
async fn a_service_without_those_behind_it_answers_502() {
    // Nothing listens on port 1.
    let nobody = [
        ("CATALOG_URL", "http://127.0.0.1:1"),
        ("CHECKOUT_URL", "http://127.0.0.1:1"),
    ];
    let requests = [("GET", "/", "", 502), ("POST", "/checkout", "1", 502)];
    check(&stand_in("storefront", &nobody), &requests).await;
    if let Some(storefront) = original("python3", "storefront.py", &nobody) {
        check(&storefront, &requests).await;
    }
}
