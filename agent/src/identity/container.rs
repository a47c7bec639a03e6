//! What a person calls a container, found on the host without asking a runtime.
//!
//! An id of 64 digits is no name. The runtimes keep what they know in files; those of the host are
//! reached by way of its first process (`/proc/1/root`), so that it works in a container that has
//! the host's `/proc`. Where no file tells, the process is known by its program and the id is kept
//! as an attribute.
//!
//! Read are: Docker's `config.v2.json`; the OCI bundle's `config.json` that containerd (CRI and
//! nerdctl) and CRI-O leave in `/run`, which has the Kubernetes names in its annotations; and the
//! list that Podman keeps of its containers. Directories are the defaults of the host's own
//! engine: other data roots, and engines that run without root, are not searched.
//!
//! In the order of what a person means: the container of a Kubernetes pod, the service of a
//! Compose project or a Swarm stack (one name for all replicas), then the container's own name.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;

/// Longest file that is read, in bytes. A bundle is about 20 KiB, Podman's list 1 KiB each.
const MAX_FILE: u64 = 4 << 20;
/// Most containers whose names are kept; the oldest go first.
const MAX_KEPT: usize = 1024;

/// The directories under which containerd keeps its bundles: `<namespace>/<id>/config.json`.
const CONTAINERD: &[&str] = &[
    "run/containerd/io.containerd.runtime.v2.task",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
];
/// containerd's namespaces that name containers: of its CRI plugin and of nerdctl. Docker's own
/// (`moby`) has nothing that `config.v2.json` does not.
const CONTAINERD_NAMESPACES: &[&str] = &["k8s.io", "default"];
/// Where containers/storage keeps the containers of CRI-O and Podman, by storage driver.
const STORAGE_DRIVERS: &[&str] = &["overlay", "vfs", "btrfs", "zfs"];

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// What the service is called.
    pub(super) service: String,
    /// The Kubernetes namespace, Compose project or Swarm stack.
    pub(super) namespace: Option<String>,
    /// The container's own name: `container.name`, or `k8s.container.name` in a pod.
    pub(super) name: String,
    /// `k8s.pod.name`.
    pub(super) pod: Option<String>,
}

/// Labels that name a service, and the ones that name what it belongs to, surest first.
const LABELS: &[Labels] = &[
    // containerd's CRI plugin
    Labels {
        service: "io.kubernetes.cri.container-name",
        namespace: "io.kubernetes.cri.sandbox-namespace",
        pod: Some("io.kubernetes.cri.sandbox-name"),
    },
    // CRI-O and cri-dockerd
    Labels {
        service: "io.kubernetes.container.name",
        namespace: "io.kubernetes.pod.namespace",
        pod: Some("io.kubernetes.pod.name"),
    },
    Labels {
        service: "com.docker.compose.service",
        namespace: "com.docker.compose.project",
        pod: None,
    },
    Labels {
        service: "com.docker.swarm.service.name",
        namespace: "com.docker.stack.namespace",
        pod: None,
    },
    Labels {
        service: "nerdctl/name",
        namespace: "",
        pod: None,
    },
];

struct Labels {
    service: &'static str,
    namespace: &'static str,
    pod: Option<&'static str>,
}

type Map = std::collections::HashMap<String, serde_json::Value>;

/// Reads container names, and remembers them.
#[derive(Debug)]
pub(super) struct Containers {
    root: PathBuf,
    kept: IndexMap<String, Option<Container>>,
}

impl Containers {
    /// `proc_root` is the host's `/proc`.
    pub(super) fn new(proc_root: &Path) -> Self {
        Self {
            root: proc_root.join("1/root"),
            kept: IndexMap::new(),
        }
    }

    /// What is known of the container `id`.
    pub(super) fn find(&mut self, id: &str) -> Option<&Container> {
        // The id becomes part of a path.
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return None;
        }
        if !self.kept.contains_key(id) {
            if self.kept.len() >= MAX_KEPT {
                self.kept.shift_remove_index(0);
            }
            let found = self.look_up(id);
            self.kept.insert(id.to_owned(), found);
        }
        self.kept.get(id)?.as_ref()
    }

    fn look_up(&self, id: &str) -> Option<Container> {
        self.docker(id)
            .or_else(|| self.containerd(id))
            .or_else(|| self.storage(id))
    }

    fn docker(&self, id: &str) -> Option<Container> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct File {
            name: Option<String>,
            config: Option<Config>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Config {
            labels: Option<Map>,
        }
        let path = format!("var/lib/docker/containers/{id}/config.v2.json");
        let file: File = self.read(&path)?;
        let labels = file.config.and_then(|c| c.labels).unwrap_or_default();
        container(&labels, file.name.as_deref())
    }

    fn containerd(&self, id: &str) -> Option<Container> {
        CONTAINERD
            .iter()
            .flat_map(|root| CONTAINERD_NAMESPACES.iter().map(move |n| (root, n)))
            .find_map(|(root, namespace)| self.bundle(&format!("{root}/{namespace}/{id}")))
    }

    fn storage(&self, id: &str) -> Option<Container> {
        #[derive(Deserialize)]
        struct Entry {
            id: String,
            names: Option<Vec<String>>,
        }
        STORAGE_DRIVERS.iter().find_map(|driver| {
            let bundle = format!("run/containers/storage/{driver}-containers/{id}/userdata");
            if let Some(container) = self.bundle(&bundle) {
                return Some(container);
            }
            let list = format!("var/lib/containers/storage/{driver}-containers/containers.json");
            let entries: Vec<Entry> = self.read(&list)?;
            let entry = entries.into_iter().find(|entry| entry.id == id)?;
            container(&Map::new(), entry.names?.first().map(String::as_str))
        })
    }

    /// An OCI runtime bundle (runtime-spec, config.md).
    fn bundle(&self, directory: &str) -> Option<Container> {
        #[derive(Deserialize)]
        struct File {
            annotations: Option<Map>,
        }
        let file: File = self.read(&format!("{directory}/config.json"))?;
        container(&file.annotations?, None)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> Option<T> {
        let file = File::open(self.root.join(path)).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut content = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut content).ok()?;
        if content.len() as u64 > MAX_FILE {
            return None;
        }
        serde_json::from_slice(&content).ok()
    }
}

/// Makes a container of its labels and its own name.
fn container(labels: &Map, name: Option<&str>) -> Option<Container> {
    let label = |key: &str| {
        labels
            .get(key)
            .and_then(|value| value.as_str())
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    let name = name
        .map(|name| name.trim_start_matches('/'))
        .filter(|name| !name.is_empty());
    for known in LABELS {
        if let Some(service) = label(known.service) {
            let pod = known.pod.and_then(label);
            let own = match &pod {
                Some(_) => service.as_str(),
                None => name.unwrap_or(&service),
            };
            return Some(Container {
                name: own.to_owned(),
                namespace: label(known.namespace),
                service,
                pod,
            });
        }
    }
    name.map(|name| Container {
        service: name.to_owned(),
        name: name.to_owned(),
        ..Container::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Containers) {
        let proc_root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = proc_root.path().join("1/root").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let containers = Containers::new(proc_root.path());
        (proc_root, containers)
    }

    fn docker_file(content: &str) -> Option<Container> {
        let path = format!("var/lib/docker/containers/{ID}/config.v2.json");
        let (_proc, mut containers) = host(&[(&path, content)]);
        containers.find(ID).cloned()
    }

    fn named(service: &str, name: &str, namespace: Option<&str>) -> Option<Container> {
        Some(Container {
            service: service.into(),
            name: name.into(),
            namespace: namespace.map(str::to_owned),
            pod: None,
        })
    }

    #[test]
    fn docker() {
        let plain = r#"{"Name":"/shop","Config":{"Hostname":"9ec39b91f3d7","Labels":{}}}"#;
        assert_eq!(docker_file(plain), named("shop", "shop", None));
        let unlabelled = r#"{"Name":"/shop","Config":{"Labels":null}}"#;
        assert_eq!(docker_file(unlabelled), named("shop", "shop", None));
        let compose = r#"{"Name":"/shop-web-2","Config":{"Labels":{
            "com.docker.compose.project":"shop","com.docker.compose.service":"web"}}}"#;
        assert_eq!(
            docker_file(compose),
            named("web", "shop-web-2", Some("shop"))
        );
        let swarm = r#"{"Name":"/shop_web.1.x7w2","Config":{"Labels":{
            "com.docker.stack.namespace":"shop","com.docker.swarm.service.name":"shop_web"}}}"#;
        assert_eq!(
            docker_file(swarm),
            named("shop_web", "shop_web.1.x7w2", Some("shop"))
        );
    }

    #[test]
    fn kubernetes() {
        let expected = Some(Container {
            service: "cart".into(),
            name: "cart".into(),
            namespace: Some("shop".into()),
            pod: Some("cart-7d9f8-x2k4".into()),
        });
        let containerd = r#"{"ociVersion":"1.1.0","annotations":{
            "io.kubernetes.cri.container-name":"cart","io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.sandbox-name":"cart-7d9f8-x2k4",
            "io.kubernetes.cri.sandbox-namespace":"shop"}}"#;
        let crio = r#"{"ociVersion":"1.1.0","annotations":{
            "io.kubernetes.container.name":"cart","io.kubernetes.pod.name":"cart-7d9f8-x2k4",
            "io.kubernetes.pod.namespace":"shop"}}"#;
        for (directory, content) in [
            (
                "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID",
                containerd,
            ),
            (
                "run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/ID",
                containerd,
            ),
            (
                "run/containers/storage/overlay-containers/ID/userdata",
                crio,
            ),
        ] {
            let path = format!("{}/config.json", directory.replace("ID", ID));
            let (_proc, mut containers) = host(&[(&path, content)]);
            assert_eq!(containers.find(ID).cloned(), expected, "{directory}");
        }
        let dockerd = r#"{"Name":"/k8s_cart_cart-7d9f8-x2k4_shop_1_0","Config":{"Labels":{
            "io.kubernetes.container.name":"cart","io.kubernetes.pod.name":"cart-7d9f8-x2k4",
            "io.kubernetes.pod.namespace":"shop"}}}"#;
        assert_eq!(docker_file(dockerd), expected);
    }

    #[test]
    fn nerdctl_and_podman() {
        let path = format!("run/containerd/io.containerd.runtime.v2.task/default/{ID}/config.json");
        let (_proc, mut containers) =
            host(&[(&path, r#"{"annotations":{"nerdctl/name":"shop"}}"#)]);
        assert_eq!(containers.find(ID).cloned(), named("shop", "shop", None));

        let bundle = format!("run/containers/storage/overlay-containers/{ID}/userdata/config.json");
        let list = format!(
            r#"[{{"id":"{}","names":["other"]}},{{"id":"{ID}","names":["shop"],
            "image":"4f1a","layer":"77","metadata":"{{}}"}}]"#,
            "0".repeat(64)
        );
        let (_proc, mut containers) = host(&[
            (
                &bundle,
                r#"{"annotations":{"io.container.manager":"libpod"}}"#,
            ),
            (
                "var/lib/containers/storage/overlay-containers/containers.json",
                &list,
            ),
        ]);
        assert_eq!(containers.find(ID).cloned(), named("shop", "shop", None));
    }

    #[test]
    fn what_is_not_there_or_not_right_has_no_name() {
        let (_proc, mut containers) = host(&[("etc/passwd", "x")]);
        assert_eq!(containers.find(ID), None);
        assert_eq!(containers.find("../../../etc/passwd"), None);
        assert_eq!(containers.find(""), None);
        for bad in [
            "",
            "{",
            "[]",
            "null",
            r#"{"Name":7}"#,
            r#"{"Name":"/"}"#,
            "{}",
            "\u{0}",
        ] {
            assert_eq!(docker_file(bad), None, "{bad:?}");
        }
        // A label that is no string is as good as none.
        let number = r#"{"Name":"/shop","Config":{"Labels":{"com.docker.compose.service":1}}}"#;
        assert_eq!(docker_file(number), named("shop", "shop", None));
        let long = format!(r#"{{"Name":"/shop","x":"{}"}}"#, "x".repeat(4 << 20));
        assert_eq!(docker_file(&long), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (_proc, mut containers) = host(&[]);
        for number in 0..MAX_KEPT + 10 {
            assert_eq!(containers.find(&format!("{number:064x}")), None);
        }
        assert_eq!(containers.kept.len(), MAX_KEPT);
        assert!(!containers.kept.contains_key(&format!("{:064x}", 9)));
        assert!(containers.kept.contains_key(&format!("{:064x}", 10)));
    }
}
