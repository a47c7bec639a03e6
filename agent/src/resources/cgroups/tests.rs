//! Made-up trees.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::attribution::{Attribution, Node, attribute};
use super::counters::Counters;
use super::membership;
use super::mounts::{Hierarchy, Mount, Mounts, Version};
use super::{Look, Tree};
use crate::identity::{NameSource, Service};
use crate::resources::services::{Owner, Services};

/// Services and a hierarchy in a folder.
struct World {
    folder: TempDir,
    services: Services,
    mount: Arc<Mount>,
    round: u64,
    last: Option<Tree>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = Arc::new(Mount::made_up(Version::V2, folder.path(), "/"));
        Self {
            folder,
            services: Services::new(100, Duration::from_secs(60)),
            mount,
            round: 0,
            last: None,
        }
    }

    fn owner(&self, name: &str) -> Owner {
        if name.is_empty() {
            return Owner::Unknown;
        }
        self.services.owner(&Service {
            name: name.into(),
            namespace: None,
            version: None,
            instance_id: "1".into(),
            pid: 1,
            executable: None,
            container_id: None,
            attributes: Vec::new(),
            source: NameSource::Executable,
        })
    }

    /// A look at processes by cgroup and service; an empty name is of an unknown one.
    fn look(&mut self, processes: &[(&str, &str)]) -> &Tree {
        self.round += 1;
        let processes: Vec<(Arc<str>, Owner)> = processes
            .iter()
            .map(|(path, name)| ((*path).into(), self.owner(name)))
            .collect();
        let living = processes.iter().map(|(path, owner)| (path, owner));
        let tree = attribute(living, self.last.as_ref(), &self.mount, self.round);
        self.last.insert(tree)
    }

    fn set(&self, cgroup: &str, value: u64) {
        let folder = self.folder.path().join(cgroup.trim_start_matches('/'));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("count"), value.to_string()).unwrap();
    }

    fn post(&self, counters: &mut Counters<1>) -> BTreeMap<String, u64> {
        let tree = self.last.as_ref().unwrap();
        let mut buffer = String::new();
        let read = |node: &Node| {
            let inode = tree.mount.read(&node.path, "count", &mut buffer)?;
            Some((inode, [buffer.trim().parse().ok()?]))
        };
        counters.post(tree, &self.services, |_| true, read);
        counters
            .services()
            .map(|(labels, [sum])| (name(labels), *sum))
            .collect()
    }
}

fn name(labels: &str) -> String {
    labels.split('"').nth(1).unwrap().to_owned()
}

/// Path, service or `-`, and whether it is the topmost of its service.
fn seen(tree: &Tree) -> Vec<(&str, String, bool)> {
    let mut seen: Vec<_> = tree
        .nodes
        .iter()
        .map(|node| {
            let owner = match &node.attribution {
                Attribution::Service(labels) => name(labels),
                Attribution::Shared => "-".into(),
            };
            (&*node.path, owner, node.is_top)
        })
        .collect();
    seen.sort();
    seen
}

#[test]
fn a_cgroup_is_of_the_service_that_all_below_it_are_of() {
    let mut world = World::new();
    let tree = world.look(&[
        ("/", "init"),
        ("/pods/one/pause", "pause"),
        ("/pods/one/shop", "shop"),
        ("/pods/one/shop", "shop"),
        ("/pods/two/deep/inner", "shop"),
        ("/pods/two", "shop"),
        ("/system/db", "db"),
        ("/system/db", ""),
        ("/lone", "db"),
    ]);
    let is = |path, owner: &str, top| (path, owner.to_owned(), top);
    assert_eq!(
        seen(tree),
        [
            is("/lone", "db", true),
            is("/pods", "-", false),
            is("/pods/one", "-", false),
            is("/pods/one/pause", "pause", true),
            is("/pods/one/shop", "shop", true),
            is("/pods/two", "shop", true),
            is("/pods/two/deep", "shop", false),
            is("/pods/two/deep/inner", "shop", false),
            is("/system", "-", false),
            is("/system/db", "-", false),
        ]
    );
}

#[test]
fn all_of_a_host_that_has_one_service_is_not_the_root() {
    let mut world = World::new();
    let tree = world.look(&[
        ("/", "only"),
        ("/a", "only"),
        ("/../b", "only"),
        ("/..", "only"),
    ]);
    let paths: Vec<_> = seen(tree).into_iter().map(|(path, ..)| path).collect();
    assert_eq!(paths, ["/../b", "/a"]);
    // It is outside of what the mount shows.
    assert_eq!(tree.invisible, 1);
}

#[test]
fn past_the_limit_nothing_is_made_a_services_by_mistake() {
    let mut world = World::new();
    let many: Vec<String> = (0..super::MAX_CGROUPS + 10)
        .map(|n| format!("/all/{n}"))
        .collect();
    let processes: Vec<(&str, &str)> = many
        .iter()
        .enumerate()
        .map(|(n, path)| (path.as_str(), if n % 2 == 0 { "even" } else { "odd" }))
        .collect();
    let tree = world.look(&processes);
    assert_eq!(tree.nodes.len(), super::MAX_CGROUPS);
    assert_eq!(tree.dropped, 11);
    assert!(tree.complete().is_err());
    let all = tree
        .nodes
        .iter()
        .find(|node| &*node.path == "/all")
        .unwrap();
    assert_eq!(all.attribution, Attribution::Shared);
}

#[test]
fn counters_are_of_the_time_since_the_first_look() {
    let mut world = World::new();
    let mut counters = Counters::default();
    world.set("/a", 100);
    world.look(&[("/a", "shop")]);
    assert_eq!(world.post(&mut counters), [("shop".into(), 0)].into());
    world.set("/a", 107);
    assert_eq!(world.post(&mut counters), [("shop".into(), 7)].into());
    // Made after the last look: all it has is of now. A folder's inode number need not be larger
    // than an older one's on every file system, so it is made to be.
    world.set("/b", 5);
    counters.forget_age();
    world.look(&[("/a", "shop"), ("/b", "shop")]);
    assert_eq!(world.post(&mut counters), [("shop".into(), 12)].into());
}

#[test]
fn sums_never_fall() {
    let mut world = World::new();
    let mut counters = Counters::default();
    world.set("/a", 10);
    world.look(&[("/a", "shop")]);
    world.post(&mut counters);
    world.set("/a", 15);
    // It is another's from now on; what it did until then was the shop's.
    world.look(&[("/a", "db")]);
    let sums = world.post(&mut counters);
    assert_eq!(sums, [("db".into(), 0), ("shop".into(), 5)].into());
    // Shared for a while: nobody's.
    world.look(&[("/a", "db"), ("/a", "shop")]);
    world.set("/a", 20);
    assert_eq!(world.post(&mut counters), sums);
    world.look(&[("/a", "db")]);
    assert_eq!(world.post(&mut counters), sums);
    world.set("/a", 21);
    let sums = [("db".into(), 1), ("shop".into(), 5)].into();
    assert_eq!(world.post(&mut counters), sums);
    // Gone.
    world.look(&[]);
    assert_eq!(world.post(&mut counters), sums);
}

#[test]
fn a_cgroup_made_anew_counts_from_its_beginning() {
    let mut world = World::new();
    let mut counters = Counters::default();
    world.set("/a", 100);
    world.look(&[("/a", "shop")]);
    world.post(&mut counters);
    // Another file under the old name, while the old one keeps its number.
    let path = world.folder.path().join("a");
    fs::rename(&path, world.folder.path().join("old")).unwrap();
    world.set("/a", 3);
    world.look(&[("/a", "shop")]);
    assert_eq!(world.post(&mut counters), [("shop".into(), 3)].into());
}

const HYBRID: &[u8] = b"\
23 1 0:5 / /proc rw - proc proc rw\n\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
32 31 0:29 / /cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
34 31 0:31 / /cpuset rw,relatime - cgroup cgroup rw,cpuset\n\
35 31 0:32 / /with\\040space rw,relatime - cgroup cgroup rw,memory\n\
40 31 0:37 / /systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
41 31 0:38 / /unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

fn folders(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

fn found(mounts: &Mounts, prefix: &Path) -> Vec<Option<String>> {
    Hierarchy::ALL
        .iter()
        .map(|hierarchy| {
            let folder = mounts.get(*hierarchy)?.folder("/x/y")?;
            let rest = folder.strip_prefix(prefix).ok()?;
            Some(rest.to_string_lossy().into_owned())
        })
        .collect()
}

#[test]
fn hierarchies_of_a_hybrid_host() {
    let root = folders(&["cpu,cpuacct", "cpuset", "with space", "systemd", "unified"]);
    let mut mounts = Mounts::default();
    mounts.add(HYBRID, root.path());
    assert_eq!(
        found(&mounts, root.path()),
        [
            Some("unified/x/y".into()),
            Some("cpu,cpuacct/x/y".into()),
            Some("with space/x/y".into())
        ]
    );
    let versions = Hierarchy::ALL.map(|hierarchy| mounts.get(hierarchy).unwrap().version);
    assert_eq!(versions, [Version::V2, Version::V1, Version::V1]);
}

#[test]
fn hosts_with_one_version() {
    let root = folders(&["cgroup", "memory"]);
    let mut v2 = Mounts::default();
    v2.add(
        b"41 31 0:38 / /cgroup rw - cgroup2 cgroup rw\n",
        root.path(),
    );
    assert_eq!(
        found(&v2, root.path()),
        [Some("cgroup/x/y".into()), None, None]
    );
    let mut v1 = Mounts::default();
    v1.add(
        b"35 31 0:32 / /memory rw - cgroup cgroup rw,memory\n",
        root.path(),
    );
    assert_eq!(
        found(&v1, root.path()),
        [None, None, Some("memory/x/y".into())]
    );
    // What is not there, or not understood, is not a mount.
    let mut none = Mounts::default();
    none.add(
        b"35 31 0:32 / /gone rw - cgroup cgroup rw,memory\n",
        root.path(),
    );
    none.add(
        b"35 31\n\xff - cgroup2 x\n1 2 3 / /cgroup rw - cgroup2\n",
        root.path(),
    );
    assert_eq!(found(&none, root.path()), [None, None, None]);
}

#[test]
fn a_container_that_sees_itself_alone_looks_through_the_hosts_first_process() {
    let container = folders(&["cgroup"]);
    let host = folders(&["cgroup"]);
    let mut mounts = Mounts::default();
    let own = b"41 31 0:38 /docker/abc /cgroup ro - cgroup2 cgroup rw\n";
    mounts.add(own, container.path());
    let folder = |mounts: &Mounts, path: &str| mounts.get(Hierarchy::Unified).unwrap().folder(path);
    assert_eq!(
        folder(&mounts, "/docker/abc/x"),
        Some(container.path().join("cgroup/x"))
    );
    assert_eq!(folder(&mounts, "/docker/abcdef"), None);
    assert_eq!(folder(&mounts, "/docker"), None);
    mounts.add(
        b"41 31 0:38 / /cgroup rw - cgroup2 cgroup rw\n",
        host.path(),
    );
    assert_eq!(
        folder(&mounts, "/docker/abcdef"),
        Some(host.path().join("cgroup/docker/abcdef"))
    );
}

#[test]
fn what_a_mount_does_not_show_is_not_guessed() {
    let mount = |root| Mount::made_up(Version::V2, Path::new("/m"), root);
    let folder = |root, path: &str| mount(root).folder(path).map(|f| f.display().to_string());
    assert_eq!(folder("/", "/a/b"), Some("/m/a/b".into()));
    assert_eq!(folder("/", "/../a"), None);
    // The mount's root is above the agent's own cgroup.
    assert_eq!(folder("/../..", "/../../a/b"), Some("/m/a/b".into()));
    assert_eq!(folder("/../..", "/../a"), None);
    assert_eq!(folder("/../..", "/a"), None);
    // Nothing leads out.
    assert_eq!(folder("/", "/a/../../etc"), None);
    assert_eq!(folder("/", "/a..b"), Some("/m/a..b".into()));
}

#[test]
fn where_a_process_is() {
    let mut names = HashSet::new();
    let content =
        b"9:name=systemd:/init.scope\n4:memory:/pods/a:b\n2:cpu,cpuacct:/\n1:cpuset:/x\n0::/u\n";
    let paths = membership::parse(content, &mut names);
    let of = |hierarchy| paths.of(hierarchy).map(|path| &**path);
    assert_eq!(of(Hierarchy::Memory), Some("/pods/a:b"));
    assert_eq!(of(Hierarchy::Cpu), Some("/"));
    assert_eq!(of(Hierarchy::Unified), Some("/u"));
    assert_eq!(names.len(), 3);
    let gone = membership::parse(b"0::/u (deleted)\n4:memory\n\xff\nx:memory:y\n", &mut names);
    assert_eq!(gone, membership::Paths::default());
}

#[test]
fn a_controller_is_on_its_own_hierarchy_or_on_the_unified_one() {
    let mut world = World::new();
    world.look(&[("/a", "shop")]);
    let tree = Arc::new(world.last.take().unwrap());
    let mut memory = Tree::clone(&tree);
    memory.round = 7;
    let look = |trees| Look {
        trees,
        at: std::time::Instant::now(),
    };
    let round = |look: &Look, controller| look.of(controller).map(|tree| tree.round);
    let hybrid = look([Some(Arc::clone(&tree)), None, Some(Arc::new(memory))]);
    assert_eq!(round(&hybrid, super::Controller::Memory), Some(7));
    assert_eq!(round(&hybrid, super::Controller::Cpu), Some(1));
    let none = look([None, None, None]);
    assert_eq!(round(&none, super::Controller::Cpu), None);
}
