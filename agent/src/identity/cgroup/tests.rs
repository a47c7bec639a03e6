use proptest::prelude::*;

use super::*;

const ID: &str = "9ec39b91f3d70e1beff50a308f77067065ea6be0d91a3378375056cd4422cf3d";
const INNER: &str = "4f797c539e6c745de61a93ca3ff892358ecbcaccd8414d5db545c38428142970";

fn expand(path: &str) -> String {
    path.replace("{ID}", ID).replace("{INNER}", INNER)
}

fn unit(name: &str) -> Membership {
    Membership {
        unit: Some(name.into()),
        ..Membership::default()
    }
}

fn contained(id: &str) -> Membership {
    Membership {
        container: Some(id.into()),
        ..Membership::default()
    }
}

fn machine(name: &str) -> Membership {
    Membership {
        machine: Some(name.into()),
        ..Membership::default()
    }
}

fn by_hand() -> Membership {
    Membership {
        by_hand: true,
        ..Membership::default()
    }
}

#[test]
fn units_name_services() {
    let table = [
        ("/system.slice/nginx.service", "nginx"),
        ("/system.slice/nginx.service (deleted)", "nginx"),
        ("/system.slice/php8.2-fpm.service", "php8.2-fpm"),
        ("/system.slice/app@1.service", "app"),
        ("/system.slice/system-app.slice/app@blue.service", "app"),
        (
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
            "postgresql",
        ),
        ("/shop.slice/shop-cart.slice/cart.service/worker", "cart"),
        ("/system.slice/my\\x2dcart.service", "my-cart"),
        ("/system.slice/odd\\x2.service", "odd\\x2"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/cart.service",
            "cart",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/cart.service",
            "cart",
        ),
        ("/../../system.slice/nginx.service", "nginx"),
        (
            "/system.slice/snap.prometheus.prometheus.service",
            "prometheus.prometheus",
        ),
        ("/system.slice/run-report.service", "run-report"),
        ("/openrc/nginx", "nginx"),
        ("/openrc.nginx", "nginx"),
    ];
    for (text, name) in table {
        // A user's own unit comes after the user manager, which is no mark against it.
        assert_eq!(path(text), unit(name), "{text}");
    }
}

#[test]
fn what_holds_programs_started_by_others_names_nothing() {
    for text in [
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/user-1000.slice/user@1000.service",
        "/user.slice/user-1000.slice/user@1000.service/init.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-6c7f2c2e-9d3a-4a9c-8f7e-0a1b2c3d4e5f.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-4211.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox@5a1b.service",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/dbus-:1.2-org.x@0.service",
        "/user.slice/user-1000.slice/user@1000.service/tmux-spawn-6c7f2c2e.scope",
        "/init.scope",
        "/system.slice/ssh.service",
        "/system.slice/system-sshd.slice/sshd@1-10.0.0.1:22-10.0.0.2:51234.service",
        "/system.slice/system-getty.slice/getty@tty1.service",
        "/system.slice/cron.service",
        "/system.slice/supervisor.service",
        "/system.slice/pm2-deploy.service",
        "/system.slice/run-u12.service",
        "/system.slice/run-r0123456789abcdef0123456789abcdef.service",
        "/system.slice/run-p812-i9.service",
        "/system.slice/run-r0123456789abcdef0123456789abcdef.scope",
        "/openrc/sshd",
        "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
        "/lxc.monitor.web",
        "/system.slice/crio-conmon-{ID}.scope",
        "/machine.slice/libpod-conmon-{ID}.scope",
        "/system.slice/@x.service",
    ] {
        assert_eq!(path(&expand(text)), by_hand(), "{text}");
    }
    for text in [
        "/",
        "",
        "/user.slice",
        "/system.slice",
        "/system.slice/dev-hugepages.mount",
        "/kubepods.slice",
        "/process_api/d6b3ced6c91ef2dd0d841b409d7c8247",
        "/.service",
    ] {
        let found = path(text);
        assert_eq!(
            (found.container, found.machine, found.unit),
            (None, None, None),
            "{text}"
        );
    }
}

#[test]
fn containers_are_known_by_id() {
    for text in [
        "/docker/{ID}",
        "/system.slice/docker-{ID}.scope",
        "/kubepods/burstable/pod8d4c2c1e-0a7f-4e0e-9a4e-0a1b2c3d4e5f/{ID}",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod8d4c2c1e_0a7f_4e0e_9a4e_0a1b2c3d4e5f.slice/cri-containerd-{ID}.scope",
        "/kubepods.slice/kubepods-pod8d4c2c1e.slice/crio-{ID}.scope",
        "/kubepods.slice/kubepods-pod8d4c2c1e.slice/crio-{ID}.scope/container",
        "/kubepods/besteffort/pod8d4c2c1e/crio-{ID}",
        "/kubepods-burstable-pod8d4c2c1e.slice:cri-containerd:{ID}",
        "/system.slice/containerd.service/kubepods-burstable-pod8d4c2c1e.slice:cri-containerd:{ID}",
        "/../../kubepods-besteffort-pod8d4c2c1e.slice/cri-containerd-{ID}.scope",
        "/machine.slice/libpod-{ID}.scope",
        "/machine.slice/libpod-{ID}.scope/container",
        "/machine.slice/machine-libpod_pod_{INNER}.slice/libpod-{ID}.scope",
        "/libpod_parent/libpod-{ID}",
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
        "/user.slice/user-1000.slice/session-3.scope/libpod_pod/{ID}",
        "/default/{ID}",
        "/system.slice/nerdctl-{ID}.scope",
        "/docker/{INNER}/docker/{ID}",
        "/docker/{INNER}/kubelet/kubepods/pod8d4c2c1e/{ID}",
        "/ecs/9ec39b91f3d70e1beff50a308f770670/{ID}",
        "/actions_job/{ID}",
    ] {
        assert_eq!(path(&expand(text)), contained(ID), "{text}");
    }
    let fargate = "9ec39b91f3d70e1beff50a308f770670-1234567890";
    assert_eq!(
        path(&format!("/ecs/9ec39b91f3d70e1beff50a308f770670/{fargate}")),
        contained(fargate)
    );
    let pod = path(&expand("/machine.slice/machine-libpod_pod_{ID}.slice"));
    assert_eq!(pod, Membership::default());
}

#[test]
fn units_in_and_around_containers() {
    let inside = Membership {
        container: Some(ID.into()),
        unit: Some("nginx".into()),
        unit_inside: true,
        ..Membership::default()
    };
    assert_eq!(
        path(&expand(
            "/system.slice/docker-{ID}.scope/system.slice/nginx.service"
        )),
        inside
    );
    let around = Membership {
        container: Some(ID.into()),
        unit: Some("cart".into()),
        ..Membership::default()
    };
    assert_eq!(
        path(&expand("/system.slice/cart.service/libpod-payload-{ID}")),
        around
    );
    let login = Membership {
        container: Some(ID.into()),
        by_hand: true,
        ..Membership::default()
    };
    assert_eq!(
        path(&expand("/docker/{ID}/user.slice/session-1.scope")),
        login
    );
    assert_eq!(path(&expand("/docker/{ID}/init.scope")), login);
}

#[test]
fn system_containers_are_machines() {
    for text in [
        "/lxc/web",
        "/lxc.payload.web",
        "/lxc.payload/web",
        "/machine.slice/systemd-nspawn@web.service/payload",
        "/machine.slice/machine-web.scope",
        "/machine.slice/machine-lxc\\x2d812\\x2dweb.scope",
    ] {
        assert_eq!(path(text), machine("web"), "{text}");
    }
    let nginx = Membership {
        unit: Some("nginx".into()),
        unit_inside: true,
        ..machine("web")
    };
    assert_eq!(path("/lxc.payload.web/system.slice/nginx.service"), nginx);
    assert_eq!(
        path("/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service"),
        nginx
    );
    let login = Membership {
        by_hand: true,
        ..machine("web")
    };
    assert_eq!(
        path("/lxc.payload.web/user.slice/user-0.slice/session-1.scope"),
        login
    );
    // Docker in an LXC container.
    assert_eq!(path(&expand("/lxc.payload.web/docker/{ID}")), contained(ID));
}

#[test]
fn the_hierarchy_that_says_most_is_taken() {
    let v2 = "0::/system.slice/nginx.service\n";
    assert_eq!(read(v2.as_bytes()), (unit("nginx"), true));

    let v1 = "12:pids:/docker/{ID}\n11:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/system.slice/containerd.service\n";
    assert_eq!(read(expand(v1).as_bytes()), (contained(ID), false));

    let hybrid = "4:memory:/system.slice\n1:name=systemd:/system.slice/nginx.service\n0::/system.slice/nginx.service\n";
    assert_eq!(read(hybrid.as_bytes()), (unit("nginx"), true));

    let systemd_v1 = "9:devices:/system.slice\n1:name=systemd:/system.slice/cart.service\n";
    assert_eq!(read(systemd_v1.as_bytes()), (unit("cart"), false));

    // A path may hold colons.
    let colons = "0::/system.slice:docker:{ID}\n";
    assert_eq!(read(expand(colons).as_bytes()), (contained(ID), true));

    for nothing in ["", "\n", "0", "0::", "x", "0:/"] {
        assert_eq!(
            read(nothing.as_bytes()),
            (Membership::default(), false),
            "{nothing:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read(&bytes);
    }

    #[test]
    fn any_path_is_read(
        segments in proptest::collection::vec(
            prop_oneof![
                "[a-z@.:\\\\x-]{0,20}(\\.service|\\.scope|\\.slice)?",
                "\\PC{0,20}",
                Just("lxc".to_owned()),
                Just("\\x.service".to_owned()),
                Just("machine-\\x2d.scope".to_owned()),
                Just(format!("x-{ID}.scope")),
            ],
            0..100,
        ),
    ) {
        let found = path(&segments.join("/"));
        if let Some(id) = found.container {
            prop_assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }
}
