use std::collections::HashSet;
use std::os::unix::fs::symlink;
use std::sync::atomic::AtomicUsize;

use super::*;

use hark_common::tls::FILE_LIMIT;

use crate::tls::points::Point;

/// Counts what is attached.
#[derive(Clone, Default)]
struct Count {
    attached: Arc<AtomicUsize>,
    ever: Arc<AtomicUsize>,
    refuses: bool,
    whole: Arc<Mutex<HashSet<u32>>>,
}

struct Link(Arc<AtomicUsize>);

impl Drop for Link {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Attach for Count {
    type Link = Link;

    fn attach(&mut self, _: &Point, _: &Path, file: u32) -> Result<Link, String> {
        assert!(file < FILE_LIMIT);
        if self.refuses && self.attached.load(Ordering::SeqCst) > 0 {
            return Err("not here".into());
        }
        self.attached.fetch_add(1, Ordering::SeqCst);
        self.ever.fetch_add(1, Ordering::SeqCst);
        Ok(Link(Arc::clone(&self.attached)))
    }

    fn set_whole(&mut self, file: u32, whole: bool) -> Result<(), String> {
        let mut files = self.whole.lock().unwrap();
        assert!(if whole {
            files.insert(file)
        } else {
            files.remove(&file)
        });
        Ok(())
    }
}

/// A libssl of this machine.
fn library() -> Option<PathBuf> {
    let found = survey::of_host(Path::new("/proc"))
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name == "libssl.so.3"));
    if found.is_none() {
        eprintln!("SKIPPED: no libssl.so.3 on this machine");
    }
    found
}

/// A procfs of our own: processes that have the library mapped.
struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, pid: u32, library: &Path) {
        let process = self.0.path().join(pid.to_string());
        fs::create_dir_all(process.join("map_files")).unwrap();
        symlink(library, process.join("map_files/1000-2000")).unwrap();
        symlink("/bin/true", process.join("exe")).unwrap();
        fs::write(
            process.join("maps"),
            "1000-2000 r-xp 00000000 08:01 12  /any/where/libssl.so.3\n",
        )
        .unwrap();
    }

    fn remove(&self, pid: u32) {
        fs::remove_dir_all(self.0.path().join(pid.to_string())).unwrap();
    }
}

fn looker(proc: &Proc, attach: Count) -> Looker<Count> {
    let known = Arc::new(Mutex::new(LruCache::new(16.try_into().unwrap())));
    Looker::new(attach, proc.0.path().into(), known)
}

fn all(looker: &mut Looker<Count>) {
    for pid in looker.look_around(true) {
        looker.process(pid);
    }
    looker.files.sweep();
}

#[test]
fn a_file_is_probed_once_and_let_go_when_nobody_has_it() {
    let Some(library) = library() else { return };
    let (proc, count) = (Proc::new(), Count::default());
    proc.add(7, &library);
    proc.add(8, &library);
    let mut looker = looker(&proc, count.clone());
    all(&mut looker);
    let probes = count.attached.load(Ordering::SeqCst);
    assert!(probes >= 4, "entries and returns of two functions");
    assert_eq!(count.whole.lock().unwrap().len(), 1);
    assert_eq!(lock(&looker.known).get(&7), Some(&"openssl"));
    // Another process, another sweep: nothing new.
    proc.add(9, &library);
    assert_eq!(looker.look_around(false), [9]);
    all(&mut looker);
    assert_eq!(count.ever.load(Ordering::SeqCst), probes);
    for pid in [7, 8, 9] {
        proc.remove(pid);
    }
    all(&mut looker);
    assert_eq!(count.attached.load(Ordering::SeqCst), probes, "not at once");
    all(&mut looker);
    all(&mut looker);
    assert_eq!(count.attached.load(Ordering::SeqCst), 0);
    assert_eq!(looker.files.len(), 0);
    assert!(count.whole.lock().unwrap().is_empty());
    assert_eq!(lock(&looker.known).get(&7), Some(&"openssl"), "still known");
}

#[test]
fn half_of_the_probes_are_none() {
    let Some(library) = library() else { return };
    let (proc, count) = (
        Proc::new(),
        Count {
            refuses: true,
            ..Count::default()
        },
    );
    proc.add(7, &library);
    let mut looker = looker(&proc, count.clone());
    all(&mut looker);
    assert_eq!(count.ever.load(Ordering::SeqCst), 1);
    assert_eq!(count.attached.load(Ordering::SeqCst), 0);
    assert!(count.whole.lock().unwrap().is_empty());
}

#[test]
fn the_thread_ends_and_lets_all_go() {
    let (proc, count) = (Proc::new(), Count::default());
    if let Some(library) = library() {
        proc.add(7, &library);
    }
    let watch = Watch::start(count.clone(), proc.0.path().into()).unwrap();
    let eye = watch.eye();
    eye.look_at(7);
    eye.look_at(123_456);
    assert_eq!(eye.library(1), UNKNOWN);
    drop(watch);
    eye.look_at(7);
    assert_eq!(count.attached.load(Ordering::SeqCst), 0);
}
