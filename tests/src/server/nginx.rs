//! nginx: static files by sendfile, fixed statuses, and a proxy over a unix socket and over TCP.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Server, temporary};
use crate::load::Target;
use crate::process::Process;
use crate::skip::Skip;
use crate::{names, tools};

/// Size of `/file`, bytes.
pub const FILE: usize = 612;
/// Size of `/large`, bytes: more than a socket buffer takes at once.
pub const LARGE: usize = 8 << 20;

/// What is set per test.
#[derive(Clone, Debug, Default)]
pub struct Nginx {
    /// Worker processes; 0 means one process that is master and worker.
    pub workers: u32,
    /// A server behind `/unix/`.
    pub unix: Option<std::path::PathBuf>,
    /// A server behind `/tcp/`, with kept-alive connections.
    pub tcp: Option<SocketAddr>,
    /// Certificate and key: it speaks TLS, HTTP/1.1 and HTTP/2.
    pub tls: Option<(std::path::PathBuf, std::path::PathBuf)>,
}

impl Nginx {
    /// Starts it. Its service name is the name of its executable, a copy under a unique name:
    /// nginx overwrites its environment when it sets the titles of its processes.
    ///
    /// # Errors
    /// There is no nginx, or it does not start.
    pub fn start(&self, name: &str) -> Result<Server, Skip> {
        let original = tools::find("nginx")?;
        let service = names::unique(name);
        let folder = temporary();
        let root = folder.path();
        let program = root.join(&service);
        copy(&original, &program)?;
        std::fs::create_dir(root.join("html")).expect("our own folder");
        std::fs::write(root.join("html/file"), vec![b'f'; FILE]).expect("our own folder");
        std::fs::write(root.join("html/large"), vec![b'l'; LARGE]).expect("our own folder");
        // The port may be taken between the choice and the start.
        let mut complaint = String::new();
        for _ in 0..5 {
            let address = names::free_address();
            let config = root.join("nginx.conf");
            std::fs::write(&config, self.config(root, address)).expect("our own folder");
            let mut command = Command::new(&program);
            command
                .arg("-p")
                .arg(root)
                .arg("-c")
                .arg(&config)
                .args(["-e", "stderr"])
                .env("OTEL_SERVICE_NAME", &service);
            // On SIGTERM the master ends its workers.
            let mut process = Process::start_signalled(command, libc::SIGTERM);
            let deadline = Instant::now() + Duration::from_secs(10);
            while process.ended().is_none() && Instant::now() < deadline {
                if std::net::TcpStream::connect(address).is_ok() && process.ended().is_none() {
                    let target = Target::Tcp(address);
                    return Ok(Server {
                        service,
                        target,
                        process,
                        folder: Some(folder),
                    });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            complaint = process.stderr();
        }
        Err(Skip(format!("nginx does not start: {complaint}")))
    }

    fn config(&self, root: &Path, address: SocketAddr) -> String {
        let root = root.display();
        let processes = match self.workers {
            0 => "master_process off;".to_owned(),
            workers => format!("worker_processes {workers};"),
        };
        let mut upstreams = String::new();
        let mut locations = String::new();
        let mut tls = String::new();
        let mut tls_on = "";
        if let Some((certificate, key)) = &self.tls {
            tls_on = "ssl http2";
            tls = format!(
                "ssl_certificate {}; ssl_certificate_key {};",
                certificate.display(),
                key.display()
            );
        }
        let proxy = "proxy_http_version 1.1; proxy_set_header Connection \"\";";
        if let Some(socket) = &self.unix {
            let socket = socket.display();
            upstreams += &format!("upstream over-unix {{ server unix:{socket}; keepalive 8; }}\n");
            locations += &format!("location /unix/ {{ proxy_pass http://over-unix/; {proxy} }}\n");
        }
        if let Some(backend) = self.tcp {
            upstreams += &format!("upstream over-tcp {{ server {backend}; keepalive 8; }}\n");
            locations += &format!("location /tcp/ {{ proxy_pass http://over-tcp/; {proxy} }}\n");
        }
        format!(
            "daemon off; {processes} pid {root}/pid; user root;\n\
             error_log stderr warn; worker_rlimit_nofile 65536;\n\
             events {{ worker_connections 20000; }}\n\
             http {{\n\
             access_log off; sendfile on;\n\
             keepalive_requests 100000000; keepalive_timeout 300; client_max_body_size 0;\n\
             client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;\n\
             fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi;\n\
             scgi_temp_path {root}/scgi; default_type text/plain;\n\
             {upstreams}\
             server {{\n\
             listen {address} {tls_on} backlog=4096; server_name _; {tls}\n\
             location / {{ root {root}/html; }}\n\
             location = /ok {{ return 200 \"ok\\n\"; }}\n\
             location = /created {{ return 201 \"made\\n\"; }}\n\
             location = /empty {{ return 204; }}\n\
             location = /moved {{ return 302 /ok; }}\n\
             location = /teapot {{ return 418 \"short and stout\\n\"; }}\n\
             location = /broken {{ return 503 \"not now\\n\"; }}\n\
             {locations}\
             }}\n}}\n"
        )
    }
}

/// A copy, not a link: the agent must not find the original name behind it.
fn copy(original: &Path, program: &Path) -> Result<(), Skip> {
    std::fs::copy(original, program)
        .map(|_| ())
        .map_err(|error| Skip(format!("{} cannot be copied: {error}", original.display())))
}
