//! Which service a process is, seen from `/metrics`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hark_tests::agent::{self, Agent};
use hark_tests::load::{Plan, Request, Sent};
use hark_tests::metrics::counts;
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::{names, need, tools};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn ask(server: &Server) -> Sent {
    let _ = Agent::shared();
    Plan::new(&server.target, vec![Request::get("/ok")])
        .rounds(3)
        .run()
}

/// The program serves under this name, whoever its parent is.
#[track_caller]
fn expect_name(name: &str, mut command: Command) {
    let _ = Agent::shared();
    command
        .env_remove("OTEL_SERVICE_NAME")
        .env_remove("OTEL_RESOURCE_ATTRIBUTES");
    serve_as(name, command);
}

#[track_caller]
fn serve_as(name: &str, command: Command) {
    let server = Server::named(name, command).unwrap_or_else(|skip| panic!("{skip}"));
    let sent = ask(&server);
    Agent::shared().expect_served(name, &sent.counts());
}

fn copied(source: &str, folder: &Path, name: &str) -> std::path::PathBuf {
    let to = folder.join(name);
    std::fs::copy(tools::source(source), &to).expect("our own folder");
    to
}

#[test]
fn a_python_script() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let folder = folder();
    let name = names::unique("identity-script");
    let mut command = Command::new(python);
    command
        .arg("-u")
        .arg(copied("app.py", folder.path(), &format!("{name}.py")));
    expect_name(&name, command);
}

#[test]
fn a_python_module() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let folder = folder();
    // A module's name is an identifier.
    let name = names::unique("identity_module").replace('-', "_");
    copied("app.py", folder.path(), &format!("{name}.py"));
    let mut command = Command::new(python);
    command.args(["-B", "-m", &name]).current_dir(folder.path());
    expect_name(&name, command);
}

#[test]
fn a_node_script() {
    need!(agent::root());
    let node = need!(tools::find("node"));
    let folder = folder();
    let name = names::unique("identity-node");
    let mut command = Command::new(node);
    command.arg(copied("app.js", folder.path(), &format!("{name}.js")));
    expect_name(&name, command);
}

#[test]
fn a_jar() {
    need!(agent::root());
    let java = need!(tools::find("java"));
    let javac = need!(tools::find("javac"));
    let jar = need!(tools::find("jar"));
    let folder = folder();
    // What looks like a version at the end of a jar's name is no part of the service's.
    let name = names::unique("identity-jar").replace('-', "_");
    let mut command = Command::new(javac);
    command
        .arg("-d")
        .arg(folder.path())
        .arg(tools::source("App.java"));
    let _ = Process::run(command, Duration::from_secs(60));
    let file = folder.path().join(format!("{name}.jar"));
    let mut command = Command::new(jar);
    command
        .args(["--create", "--main-class", "App", "--file"])
        .arg(&file);
    command.arg("-C").arg(folder.path()).args(["App.class"]);
    let _ = Process::run(command, Duration::from_secs(60));
    let mut command = Command::new(java);
    command.args(["-Xmx64m", "-jar"]).arg(&file);
    expect_name(&name, command);
}

#[test]
fn an_executable() {
    need!(agent::root());
    let folder = folder();
    let name = names::unique("identity-program");
    let program = folder.path().join(&name);
    std::fs::copy(tools::helper("hark-test-sockets"), &program).expect("our own folder");
    let mut command = Command::new(program);
    command.arg("readv");
    expect_name(&name, command);
}

/// The shell serves nothing; the process that it becomes does.
#[test]
fn after_exec() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let folder = folder();
    let name = names::unique("identity-exec");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$1\""]).arg(python);
    command.arg(copied("app.py", folder.path(), &format!("{name}.py")));
    expect_name(&name, command);
}

#[test]
fn resource_attributes_and_their_order() {
    need!(agent::root());
    let python = need!(tools::find("python3"));
    let name = names::unique("identity-attributes");
    let mut command = Command::new(&python);
    let attributes = format!("service.name={name},service.namespace=shop%20floor");
    command
        .arg(tools::source("app.py"))
        .env_remove("OTEL_SERVICE_NAME")
        .env("OTEL_RESOURCE_ATTRIBUTES", attributes);
    serve_as(&name, command);
    let page = Agent::shared().page();
    let labels = [
        ("service_name", name.as_str()),
        ("service_namespace", "shop floor"),
    ];
    assert_eq!(page.total(&format!("{}_count", agent::SERVER), &labels), 3);

    // OTEL_SERVICE_NAME wins over service.name.
    let name = names::unique("identity-wins");
    let mut command = Command::new(python);
    command
        .arg(tools::source("app.py"))
        .env("OTEL_SERVICE_NAME", &name)
        .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=loser");
    serve_as(&name, command);
}

/// Two processes of one service are one service.
#[test]
fn replicas_add_up() {
    need!(agent::root());
    let _ = Agent::shared();
    let name = names::unique("identity-replicas");
    for _ in 0..2 {
        let server = Server::sockets(&name, "readv");
        let sent = ask(&server);
        assert_eq!(sent.counts(), counts(&[("GET", "200", 3)]));
    }
    Agent::shared().expect_served(&name, &counts(&[("GET", "200", 6)]));
}

/// A client that is gone before anybody can look at `/proc` has the name that it was given.
#[test]
fn clients_of_a_moment() {
    need!(agent::root());
    let curl = need!(tools::find("curl"));
    let _ = Agent::shared();
    let server = Server::sockets(&names::unique("identity-moment"), "readv");
    let name = names::unique("identity-short");
    let url = format!("http://{}/ok", server.tcp());
    for _ in 0..25 {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                Command::new(&curl)
                    .args(["--silent", "--output", "/dev/null", &url])
                    .env("OTEL_SERVICE_NAME", &name)
                    .spawn()
                    .expect("curl runs")
            })
            .collect();
        for mut client in clients {
            assert!(client.wait().expect("our own child").success());
        }
    }
    let want = counts(&[("GET", "200", 100)]);
    Agent::shared().expect_sent(&name, &want);
    Agent::shared().expect_served(&server.service, &want);
}
