//! What `hark record` wrote gives the same exchanges in `hark replay`, without a kernel.

use std::process::Command;
use std::time::Duration;

use hark_tests::agent;
use hark_tests::load::{Body, Plan, Request};
use hark_tests::metrics::{Outcomes, Page, outcomes};
use hark_tests::process::Process;
use hark_tests::server::Server;
use hark_tests::turn::Turn;
use hark_tests::{names, need, tools};
use rustix::process::Signal;

fn hark(folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(tools::hark());
    command
        .env_remove("HARK_BIN")
        .env("HARK_RUN_DIR", folder.path());
    command
}

#[test]
fn the_same_exchanges() {
    need!(agent::root());
    let _turn = Turn::take();
    let server = need!(Server::framing("record-framing"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("capture.hark");
    let mut command = hark(&folder);
    command.arg("record").arg(&file);
    let mut recorder = Process::start(command);

    // No page says when it listens. A request under another name, again and again, does.
    let marker = names::unique("marker");
    hark_tests::wait::until(Duration::from_secs(60), "the recording to grow", || {
        assert_eq!(recorder.ended(), None, "{}", recorder.stderr());
        let size = || std::fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let before = size();
        let _ = Plan::new(&server.target, vec![Request::get("/before")])
            .host(&marker)
            .run();
        std::thread::sleep(Duration::from_millis(300));
        (before > 0 && size() > before).then_some(())
    });

    let host = names::unique("recorded");
    let requests = vec![
        Request::get("/recorded"),
        Request::post("/recorded", Body::ChunkedOddly(vec![10, 2000])),
        Request::new("BREW", "/recorded"),
        Request::get("/cut"),
    ];
    let sent = Plan::new(&server.target, requests)
        .host(&host)
        .rounds(10)
        .run();
    assert_eq!(sent.total(), 40);
    std::thread::sleep(Duration::from_secs(2));
    recorder.signal(Signal::INT);
    let status = recorder.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}: {}", recorder.stderr());

    let replay = || -> (Outcomes, Outcomes) {
        let mut command = hark(&folder);
        command.arg("replay").arg("--metrics").arg(&file);
        let page = Process::run(command, Duration::from_secs(60));
        let page = Page::parse(&page).expect("the text format");
        let served = page.outcomes(agent::SERVER, &[("http_route", "/recorded")]);
        (
            served,
            page.outcomes(agent::CLIENT, &[("server_address", &host)]),
        )
    };
    let served = outcomes(&[
        ("GET", "200", "", 10),
        ("POST", "200", "", 10),
        ("_OTHER", "200", "", 10),
    ]);
    let mut asked = served.clone();
    asked.extend(outcomes(&[("GET", "200", "connection_closed", 10)]));
    assert_eq!(replay(), (served.clone(), asked.clone()));
    assert_eq!(replay(), (served, asked), "the second time");
}

/// Recordings are not written over, and what is no recording is refused by name.
#[test]
fn files_that_cannot_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("precious");
    std::fs::write(&file, "not a recording, and precious").expect("our own folder");
    for verb in ["record", "replay"] {
        if verb == "record" && agent::root().is_err() {
            continue;
        }
        let _turn = Turn::take();
        let mut command = hark(&folder);
        command.arg(verb).arg(&file);
        let (status, _, stderr) = Process::finish(command, Duration::from_secs(20));
        assert!(
            status.code().is_some_and(|code| code != 0),
            "{verb}: {status}"
        );
        assert!(
            stderr.contains("precious") && !stderr.contains("panicked"),
            "{verb}: {stderr}"
        );
    }
    let kept = std::fs::read_to_string(&file).expect("it is still there");
    assert_eq!(kept, "not a recording, and precious");
}
