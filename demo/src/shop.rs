//! The shop: an edge proxy, a storefront, a catalog, a checkout, and a payment service, each in the
//! runtime that its kind of service often has. Where a runtime is missing, a stand-in in Rust
//! serves the same requests.
//!
//! A service prints `listening PORT` on standard output when it is ready, so that ports are free
//! ones and nothing has to be polled; no request is made that the load generator did not count.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::children::Child;
use crate::stand_in;
use crate::stop::{Stop, Stopped};

/// How long a service may take until it is ready: a virtual machine that compiles its source on a
/// busy host takes its time.
const READY: Duration = Duration::from_secs(40);

/// A service as it is written in `demo/services`.
struct Original {
    /// The program that runs it.
    runtime: &'static str,
    /// Arguments before the file.
    arguments: &'static [&'static str],
    file: &'static str,
    source: &'static str,
}

const STOREFRONT: Original = Original {
    runtime: "python3",
    arguments: &[],
    file: "storefront.py",
    source: include_str!("../services/storefront.py"),
};

const CATALOG: Original = Original {
    runtime: "node",
    arguments: &[],
    file: "catalog.js",
    source: include_str!("../services/catalog.js"),
};

const CHECKOUT: Original = Original {
    runtime: "java",
    // A quick start matters more here than throughput. Without TCP_NODELAY the built-in server
    // waits for delayed acknowledgements, which would be all that the table shows.
    arguments: &[
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dsun.net.httpserver.nodelay=true",
    ],
    file: "Checkout.java",
    source: include_str!("../services/Checkout.java"),
};

/// A service that runs.
#[derive(Debug)]
struct Running {
    name: &'static str,
    /// What it runs in, for people.
    runtime: &'static str,
    port: u16,
    _child: Child,
}

impl Running {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The shop; dropping it ends its processes.
#[derive(Debug)]
pub(crate) struct Shop {
    /// From the back to the front; the last is where requests enter.
    services: Vec<Running>,
    entry: String,
    entry_service: &'static str,
}

impl Shop {
    /// Starts all services, from the back to the front. Their files are in `directory`.
    pub(crate) fn start(directory: &Path, stop: &Stop) -> Result<Self> {
        let starter = Starter { directory, stop };
        let payment = starter.stand_in(stand_in::Service::Payment, &[])?;
        let catalog = starter.original(&CATALOG, stand_in::Service::Catalog, &[])?;
        let checkout = starter.original(
            &CHECKOUT,
            stand_in::Service::Checkout,
            &[("PAYMENT_URL", payment.url())],
        )?;
        let storefront = starter.original(
            &STOREFRONT,
            stand_in::Service::Storefront,
            &[
                ("CATALOG_URL", catalog.url()),
                ("CHECKOUT_URL", checkout.url()),
            ],
        )?;
        let mut services = vec![payment, catalog, checkout];
        match starter.edge(storefront.port) {
            Ok(edge) => services.extend([storefront, edge]),
            Err(error) if error.is::<Stopped>() => return Err(error),
            Err(error) => {
                eprintln!("edge: {error:#}; requests go to the storefront directly");
                services.push(storefront);
            }
        }
        let entry = services.last().context("the shop has no service")?;
        Ok(Self {
            entry: entry.url(),
            entry_service: entry.name,
            services,
        })
    }

    /// Where requests enter, as `http://127.0.0.1:PORT`.
    pub(crate) fn entry(&self) -> &str {
        &self.entry
    }

    /// The name of the service where requests enter.
    pub(crate) fn entry_service(&self) -> &'static str {
        self.entry_service
    }

    /// One line per service, from the front to the back.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.services.iter().rev().map(|service| {
            format!(
                "{:<11} {:<8} {}",
                service.name,
                service.runtime,
                service.url()
            )
        })
    }
}

struct Starter<'a> {
    directory: &'a Path,
    stop: &'a Stop,
}

impl Starter<'_> {
    /// Starts a service in its own runtime, or its stand-in if that fails.
    fn original(
        &self,
        original: &Original,
        stand_in: stand_in::Service,
        environment: &[(&str, String)],
    ) -> Result<Running> {
        match self.try_original(original, stand_in.name(), environment) {
            Err(error) if error.is::<Stopped>() => Err(error),
            Err(error) => {
                eprintln!(
                    "{}: {error:#}; a stand-in in Rust takes its place",
                    stand_in.name()
                );
                self.stand_in(stand_in, environment)
            }
            running => running,
        }
    }

    fn try_original(
        &self,
        original: &Original,
        name: &'static str,
        environment: &[(&str, String)],
    ) -> Result<Running> {
        let program = find(original.runtime)?;
        let file = self.directory.join(original.file);
        std::fs::write(&file, original.source)
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(program);
        command.args(original.arguments).arg(file);
        self.start(name, original.runtime, command, environment)
    }

    /// Starts a service that this binary has in itself.
    fn stand_in(
        &self,
        service: stand_in::Service,
        environment: &[(&str, String)],
    ) -> Result<Running> {
        let mut command = Command::new(own_binary()?);
        command.args(["service", service.name()]);
        self.start(service.name(), "rust", command, environment)
    }

    fn start(
        &self,
        name: &'static str,
        runtime: &'static str,
        mut command: Command,
        environment: &[(&str, String)],
    ) -> Result<Running> {
        command
            .env("OTEL_SERVICE_NAME", name)
            .envs(environment.iter().map(|(key, value)| (key, value)));
        let mut child = Child::background(name, command, self.directory)?;
        let line = child.line(READY, self.stop)?;
        let port = line
            .strip_prefix("listening ")
            .and_then(|port| port.parse().ok())
            .with_context(|| format!("it printed `{line}` instead of its port"))?;
        Ok(Running {
            name,
            runtime,
            port,
            _child: child,
        })
    }

    /// Starts nginx in front of the storefront. It cannot choose a port itself; one that was free
    /// may be taken before nginx has it, so it may take another attempt.
    fn edge(&self, storefront: u16) -> Result<Running> {
        let program = find("nginx")?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.try_edge(&program, storefront) {
                Err(error) if !error.is::<Stopped>() && attempts < 3 => {}
                result => return result,
            }
        }
    }

    fn try_edge(&self, program: &Path, storefront: u16) -> Result<Running> {
        let port = free_port()?;
        let file = self.directory.join("nginx.conf");
        std::fs::write(&file, edge_configuration(self.directory, port, storefront))
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(program);
        command
            .args(["-e", "stderr", "-p"])
            .arg(self.directory)
            .arg("-c")
            .arg(file)
            .env("OTEL_SERVICE_NAME", "edge");
        let child = Child::background("edge", command, self.directory)?;
        let deadline = Instant::now() + READY;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if child.ended()?.is_some() {
                bail!("nginx ended before it was ready{}", child.log_tail());
            }
            if Instant::now() > deadline {
                bail!("nginx was not ready after {} s", READY.as_secs());
            }
            self.stop.sleep(Duration::from_millis(50))?;
        }
        Ok(Running {
            name: "edge",
            runtime: "nginx",
            port,
            _child: child,
        })
    }
}

/// One process without a master: a master overwrites its environment with its title, and with it
/// the name of the service.
fn edge_configuration(directory: &Path, port: u16, storefront: u16) -> String {
    let directory = directory.display();
    format!(
        "daemon off;\n\
         master_process off;\n\
         pid {directory}/nginx.pid;\n\
         error_log stderr warn;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path {directory}/body;\n\
           proxy_temp_path {directory}/proxy;\n\
           fastcgi_temp_path {directory}/fastcgi;\n\
           uwsgi_temp_path {directory}/uwsgi;\n\
           scgi_temp_path {directory}/scgi;\n\
           upstream storefront {{ server 127.0.0.1:{storefront}; keepalive 8; }}\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location / {{\n\
               proxy_pass http://storefront;\n\
               proxy_http_version 1.1;\n\
               proxy_set_header Connection \"\";\n\
             }}\n\
           }}\n\
         }}\n"
    )
}

/// A port on loopback that is free now.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// The binary that runs.
pub(crate) fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().context("cannot find the demo's own binary")
}

/// Finds a program where a shell and an administrator would.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is not installed"))
}
