//! Lookups in a made-up `/proc`: what wins over what. Real processes are in `identity::tests`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::identity::Identities;

const ID: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
const PID: u32 = 4211;
const START_TICKS: u64 = 812_345;

/// A `/proc` with one process in it.
struct Host {
    root: tempfile::TempDir,
}

impl Host {
    fn new(cgroup: &str, environ: &str) -> Self {
        let host = Self {
            root: tempfile::tempdir().unwrap(),
        };
        let pid = PID.to_string();
        host.write(
            format!("{pid}/stat"),
            &format!(
                "{PID} (a) b) S 1 {PID} {PID} 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {START_TICKS} \
                 9 10 18446744073709551615 1 1 140722 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
            ),
        );
        host.write(format!("{pid}/cmdline"), "python3\0/srv/shop/app.py\0");
        host.write(format!("{pid}/environ"), environ);
        host.write(format!("{pid}/cgroup"), &cgroup.replace("{ID}", ID));
        host.write(
            "sys/kernel/random/boot_id",
            "0b7d3a52-6f0e-4c39-9d52-7c4fbb0a5d11\n",
        );
        symlink(
            "/usr/bin/python3.11",
            host.root.path().join(format!("{pid}/exe")),
        )
        .unwrap();
        symlink("/srv/shop", host.root.path().join(format!("{pid}/cwd"))).unwrap();
        host
    }

    fn write(&self, path: impl AsRef<Path>, content: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A file of the host itself: what the first process sees at this path.
    fn write_on_host(&self, path: &str, content: &str) {
        self.write(Path::new("1").join("root").join(path), content);
    }

    fn docker(&self, content: &str) {
        self.write_on_host(
            &format!("var/lib/docker/containers/{ID}/config.v2.json"),
            content,
        );
    }

    fn service(&self) -> Service {
        self.find(&task()).service
    }

    fn find(&self, task: &Task) -> Found {
        Lookup::new(self.root.path().to_owned()).find(
            task,
            Remains {
                args: b"",
                environ: b"",
            },
            &Metrics::new(),
        )
    }

    fn name(&self) -> (String, NameSource) {
        let service = self.service();
        (service.name.to_string(), service.source)
    }
}

fn task() -> Task {
    Task {
        process: ProcessKey {
            pid: PID,
            // Anywhere within the tick; a tick of /proc is 10 ms.
            start_boottime_ns: START_TICKS * 10_000_000 + 9_999_999,
            exec_id: 2,
        },
        tid: PID,
        cgroup_id: 77,
        comm: *b"python3\0\0\0\0\0\0\0\0\0",
        reserved: 0,
    }
}

fn named(name: &str, source: NameSource) -> (String, NameSource) {
    (name.to_owned(), source)
}

const COMPOSE: &str = r#"{"Name":"/shop-web-2","Config":{"Labels":{
    "com.docker.compose.project":"shop","com.docker.compose.service":"web"}}}"#;

/// In the middle of exec the stack, the arguments and the environment are not there yet.
#[test]
fn in_the_middle_of_exec_nothing_is_known_yet() {
    let host = Host::new("0::/\n", "");
    let stat = host.root.path().join(format!("{PID}/stat"));
    let settled = fs::read_to_string(&stat).unwrap();
    fs::write(&stat, settled.replace(" 140722 ", " 0 ")).unwrap();
    host.write(format!("{PID}/cmdline"), "");
    let mut identities = Identities::new(host.root.path().to_owned(), 8);
    let name = |identities: &mut Identities| {
        let service = identities.resolve(&task());
        (service.name.to_string(), service.source)
    };
    assert_eq!(name(&mut identities), named("python3", NameSource::Comm));
    // What was read before the stack was there is not believed, though it may be whole by now.
    host.write(format!("{PID}/environ"), "OTEL_SERVICE_NAME=cart\0");
    assert_eq!(name(&mut identities), named("python3", NameSource::Comm));
    fs::write(&stat, settled).unwrap();
    host.write(format!("{PID}/cmdline"), "python3\0");
    for _ in 0..2 {
        assert_eq!(
            name(&mut identities),
            named("cart", NameSource::Environment)
        );
    }
    let outcomes = identities.metrics.lookups_by_outcome();
    assert_eq!(outcomes, [1, 0, 0, 2]);
}

/// One that never has any of it is not looked up for ever.
#[test]
fn who_never_settles_is_given_up() {
    let host = Host::new("0::/\n", "");
    host.write(format!("{PID}/cmdline"), "");
    let mut identities = Identities::new(host.root.path().to_owned(), 8);
    for _ in 0..1000 {
        identities.resolve(&task());
    }
    assert_eq!(identities.metrics.lookups_by_outcome(), [0, 0, 0, 100]);
}

#[test]
fn strongest_first() {
    use NameSource::{Container, Environment, Program, Unit};
    let in_docker = "0::/system.slice/docker-{ID}.scope\n";
    let in_unit = "0::/system.slice/cart.service\n";

    let all = Host::new(
        in_docker,
        "OTEL_SERVICE_NAME=one\0OTEL_RESOURCE_ATTRIBUTES=service.name=two\0",
    );
    all.docker(COMPOSE);
    assert_eq!(all.name(), named("one", Environment));

    let attributes = Host::new(in_docker, "OTEL_RESOURCE_ATTRIBUTES=service.name=two\0");
    attributes.docker(COMPOSE);
    assert_eq!(attributes.name(), named("two", Environment));

    // Malformed: as if it were not there.
    let malformed = Host::new(in_unit, "OTEL_RESOURCE_ATTRIBUTES=service.name=two,x\0");
    assert_eq!(malformed.name(), named("cart", Unit));

    let container = Host::new(in_docker, "");
    container.docker(COMPOSE);
    assert_eq!(container.name(), named("web", Container));

    // The container's name cannot be found: the program's, with the id kept.
    let unnamed = Host::new(in_docker, "");
    assert_eq!(unnamed.name(), named("app", Program));
    assert_eq!(unnamed.service().container_id.as_deref(), Some(ID));

    assert_eq!(Host::new(in_unit, "").name(), named("cart", Unit));
    let session = Host::new("0::/user.slice/user-1000.slice/session-3.scope\n", "");
    assert_eq!(session.name(), named("app", Program));
}

#[test]
fn containers_and_units_together() {
    use NameSource::{Container, Program, Unit};
    let quadlet = Host::new("0::/system.slice/cart.service/libpod-payload-{ID}\n", "");
    quadlet.docker(COMPOSE);
    assert_eq!(quadlet.name(), named("cart", Unit));

    let inside = Host::new("0::/docker/{ID}/system.slice/cart.service\n", "");
    inside.docker(COMPOSE);
    assert_eq!(inside.name(), named("cart", Unit));

    let login = Host::new("0::/docker/{ID}/user.slice/session-1.scope\n", "");
    login.docker(COMPOSE);
    assert_eq!(login.name(), named("app", Program));

    assert_eq!(
        Host::new("0::/lxc.payload.web\n", "").name(),
        named("web", Container)
    );
    let inside = Host::new("0::/lxc.payload.web/system.slice/cart.service\n", "");
    assert_eq!(inside.name(), named("cart", Unit));
}

#[test]
fn the_whole_service() {
    let host = Host::new(
        "0::/system.slice/docker-{ID}.scope\n",
        "A=1\0OTEL_SERVICE_NAME=orders\0OTEL_RESOURCE_ATTRIBUTES=service.version=1.4%2B2,\
         deployment.environment.name=prod,process.pid=1,telemetry.sdk.name=x,container.id=y\0",
    );
    host.docker(COMPOSE);
    // Version 5 of "<boot id>/4211/8123459999999/2", computed by another implementation.
    let instance = "f6943d59-a869-54f6-b7c4-486c17512191";
    assert_eq!(
        host.service(),
        Service {
            name: "orders".into(),
            namespace: Some("shop".into()),
            version: Some("1.4+2".into()),
            instance_id: instance.into(),
            pid: PID,
            executable: Some("python3.11".into()),
            container_id: Some(ID.into()),
            attributes: vec![
                ("deployment.environment.name".into(), "prod".into()),
                ("container.name".into(), "shop-web-2".into()),
            ],
            source: NameSource::Environment,
        }
    );
    let declared = Host::new(
        "",
        "OTEL_RESOURCE_ATTRIBUTES=service.namespace=a,service.instance.id=b,container.id=c\0",
    )
    .service();
    assert_eq!(declared.namespace.as_deref(), Some("a"));
    assert_eq!(&*declared.instance_id, "b");
    assert_eq!(declared.container_id.as_deref(), Some("c"));
    assert_eq!(
        (&*declared.name, declared.source),
        ("app", NameSource::Program)
    );
}

#[test]
fn a_pod_is_one_instance_per_container() {
    let host = Host::new(
        "0::/kubepods.slice/kubepods-pod8d4c.slice/cri-containerd-{ID}.scope\n",
        "",
    );
    host.write_on_host(
        &format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json"),
        r#"{"annotations":{"io.kubernetes.cri.container-name":"cart",
            "io.kubernetes.cri.sandbox-name":"cart-7d9f8-x2k4",
            "io.kubernetes.cri.sandbox-namespace":"shop"}}"#,
    );
    let service = host.service();
    assert_eq!(
        (&*service.name, service.source),
        ("cart", NameSource::Container)
    );
    assert_eq!(service.namespace.as_deref(), Some("shop"));
    assert_eq!(&*service.instance_id, "shop.cart-7d9f8-x2k4.cart");
    let attributes: Vec<(&str, &str)> = service
        .attributes
        .iter()
        .map(|(k, v)| (&**k, &**v))
        .collect();
    assert_eq!(
        attributes,
        [
            ("k8s.namespace.name", "shop"),
            ("k8s.pod.name", "cart-7d9f8-x2k4"),
            ("k8s.container.name", "cart"),
        ]
    );
}

#[test]
fn start_times_are_compared_by_the_tick() {
    let host = Host::new("", "");
    let at = |start_boottime_ns| {
        let mut task = task();
        task.process.start_boottime_ns = start_boottime_ns;
        host.find(&task).alive
    };
    assert!(!at(START_TICKS * 10_000_000 - 1));
    assert!(at(START_TICKS * 10_000_000));
    assert!(at(START_TICKS * 10_000_000 + 9_999_999));
    assert!(!at((START_TICKS + 1) * 10_000_000));
}

#[test]
fn a_gone_process_is_of_the_service_that_its_cgroup_was() {
    let host = Host::new("0::/system.slice/cart.service\n", "");
    let mut lookup = Lookup::new(host.root.path().to_owned());
    let metrics = Metrics::new();
    assert_eq!(
        &*lookup
            .find(
                &task(),
                Remains {
                    args: b"",
                    environ: b""
                },
                &metrics
            )
            .service
            .name,
        "cart"
    );

    let mut child = task();
    child.process.pid = PID + 1;
    let found = lookup.find(
        &child,
        Remains {
            args: b"curl\0-s\0http://x/\0",
            environ: b"",
        },
        &metrics,
    );
    assert!(!found.alive);
    assert_eq!(
        (&*found.service.name, found.service.source),
        ("cart", NameSource::Unit)
    );
    assert_eq!(found.service.executable.as_deref(), Some("curl"));

    child.cgroup_id = 78;
    let elsewhere = lookup
        .find(
            &child,
            Remains {
                args: b"curl\0-s\0http://x/\0",
                environ: b"",
            },
            &metrics,
        )
        .service;
    assert_eq!(
        (&*elsewhere.name, elsewhere.source),
        ("curl", NameSource::Executable)
    );
}

#[test]
fn cgroups_are_remembered_within_bounds() {
    let mut lookup = Lookup::new("/nonexistent".into());
    // The root, and no hierarchy at all: nobody's.
    lookup.remember(0, &Membership::default());
    lookup.remember(1, &Membership::default());
    assert_eq!(lookup.cgroups.len(), 0);
    for id in 2..2000 {
        lookup.remember(id, &Membership::default());
    }
    assert_eq!(lookup.cgroups.len(), MAX_CGROUPS);
    assert!(!lookup.cgroups.contains_key(&2));
    assert!(lookup.cgroups.contains_key(&1999));
}

#[test]
fn long_files_are_read_in_part() {
    let host = Host::new("", "");
    let filler = "x".repeat(MAX_ENVIRON);
    host.write(
        format!("{PID}/environ"),
        &format!("OTEL_SERVICE_NAME=orders\0A={filler}\0"),
    );
    assert_eq!(host.name(), named("orders", NameSource::Environment));
    host.write(
        format!("{PID}/environ"),
        &format!("A={filler}\0OTEL_SERVICE_NAME=orders\0"),
    );
    assert_eq!(host.name(), named("app", NameSource::Program));
    host.write(
        format!("{PID}/cmdline"),
        &format!("python3\0-X\0{filler}\0app.py\0"),
    );
    assert_eq!(host.name(), named("python3", NameSource::Executable));
}

/// A directory in place of the file: `read` fails, and not because the process is gone.
#[test]
fn what_cannot_be_read_is_counted_and_the_rest_is_used() {
    let host = Host::new("0::/user.slice/user-1000.slice/session-3.scope\n", "");
    let environ = host.root.path().join(format!("{PID}/environ"));
    fs::remove_file(&environ).unwrap();
    fs::create_dir(&environ).unwrap();
    let metrics = Metrics::new();
    let mut lookup = Lookup::new(host.root.path().to_owned());
    let found = lookup.find(
        &task(),
        Remains {
            args: b"",
            environ: b"",
        },
        &metrics,
    );
    assert_eq!((&*found.service.name, found.alive), ("app", true));
    assert_eq!(metrics.lookups_by_outcome(), [0, 0, 1, 0]);

    // Of a process that may not be looked at at all, nobody knows that it is gone.
    let stat = host.root.path().join(format!("{PID}/stat"));
    fs::remove_file(&stat).unwrap();
    fs::create_dir(&stat).unwrap();
    let found = lookup.find(
        &task(),
        Remains {
            args: b"node\0/srv/cart.js\0",
            environ: b"",
        },
        &metrics,
    );
    assert_eq!((&*found.service.name, found.alive), ("cart", true));
    assert_eq!(metrics.lookups_by_outcome(), [0, 0, 2, 0]);
    assert!(lookup.is_alive(&task().process));
}

#[test]
fn hostile_stat_files_are_survived() {
    let host = Host::new("", "");
    for stat in [
        "",
        "1",
        "4211 (x",
        "4211 (x) ",
        ") (",
        "4211 (x) S 1",
        "\u{0}\u{0}",
    ] {
        host.write(format!("{PID}/stat"), stat);
        let mut lookup = Lookup::new(host.root.path().to_owned());
        let found = lookup.find(
            &task(),
            Remains {
                args: b"node\0/srv/cart.js\0",
                environ: b"",
            },
            &Metrics::new(),
        );
        assert_eq!(&*found.service.name, "cart", "{stat:?}");
    }
}
