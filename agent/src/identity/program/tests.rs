use proptest::prelude::*;

use super::*;

/// exe, command line (arguments separated by `|`), working directory → name
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    NameSource,
);

const P: NameSource = NameSource::Program;
const X: NameSource = NameSource::Executable;

fn described(exe: &str, line: &str, cwd: &str) -> Program {
    let mut args = line.replace('|', "\0");
    args.push('\0');
    describe(&Clues {
        exe: (!exe.is_empty()).then_some(exe.as_bytes()),
        args: args.as_bytes(),
        args_cut: false,
        cwd: (!cwd.is_empty()).then_some(cwd.as_bytes()),
        comm: b"comm\0\0\0",
    })
}

fn check(rows: &[Row]) {
    for (exe, line, cwd, name, source) in rows {
        let program = described(exe, line, cwd);
        assert_eq!(
            (program.name.as_str(), program.source),
            (*name, *source),
            "{exe} {line} in {cwd}"
        );
    }
}

#[test]
#[rustfmt::skip]
fn python() {
    let py = "/usr/bin/python3.11";
    check(&[
        (py, "python3|/srv/shop/app.py", "/", "app", P),
        (py, "python3|app.py|--port|80", "/srv/shop", "app", P),
        (py, "python3|-u|-W|ignore|/srv/orders.py", "/", "orders", P),
        (py, "python3|-uWignore|-Xdev|/srv/orders.py", "/", "orders", P),
        (py, "python3|-X|dev|--check-hash-based-pycs|never|orders.py", "/", "orders", P),
        (py, "python3|-m|pkg.mod|x", "/srv/shop", "pkg.mod", P),
        (py, "python3|-um|http.server|8000", "/srv/shop", "http.server", P),
        (py, "python3|-Imhttp.server", "/srv/shop", "http.server", P),
        (py, "python3|-m|shop.__main__", "/", "shop", P),
        (py, "python3|-c|import x; x.run()", "/srv/shop", "python3", X),
        (py, "python3|-uc|import x", "/srv/shop", "python3", X),
        (py, "/usr/bin/python3.11|-", "/srv/shop", "python3", X),
        (py, "python3", "/srv/shop", "python3", X),
        (py, "python3|--|-odd.py", "/srv/shop", "-odd", P),
        (py, "python|/srv/shop/manage.py|runserver|0:80", "/", "shop", P),
        (py, "python|manage.py|runserver", "/srv/shop", "shop", P),
        (py, "python|./manage.py|runserver", "/srv/shop/src", "shop", P),
        (py, "python|manage.py|runserver", "", "manage", P),
        (py, "python|manage.py|runserver", "/app", "manage", P),
        (py, "python3|/srv/shop/__main__.py", "/", "shop", P),
        (py, "python3|/srv/shop|x", "/", "shop", P),
        (py, "python3|.", "/srv/shop", "shop", P),
        (py, "python3|/opt/app.zip", "/", "app", P),
        (py, "python3|/opt/tool.pyz", "/", "tool", P),
        (py, "python3|/home/alice/main.py", "/home/alice", "main", P),
        (py, "python3|main.py", "/app", "main", P),
        (py, "python3|/usr/local/bin/awx-manage|runserver", "/", "awx-manage", P),
        ("/usr/local/bin/python3.13t", "python3.13t|/srv/cart.py", "/", "cart", P),
        ("/opt/pypy/bin/pypy3.10", "pypy3|cart.py", "/", "cart", P),
        ("/usr/bin/python2.7 (deleted)", "python|cart.py", "/", "cart", P),
        // The interpreter's name is the one that was typed, if it is one.
        ("/usr/bin/python3.11", "x.bin|-c|pass", "/", "x.bin", P),
    ]);
}

#[test]
#[rustfmt::skip]
fn python_launchers() {
    let py = "/usr/bin/python3.11";
    check(&[
        (py, "/usr/bin/python3|/usr/local/bin/gunicorn|shop.wsgi:app", "/", "shop", P),
        (py, "/usr/bin/python3|/usr/local/bin/gunicorn|-w|4|-b|0.0.0.0:80|--timeout|30|--preload|shop.wsgi:application", "/", "shop", P),
        (py, "/usr/bin/python3|/usr/local/bin/gunicorn|--bind=unix:/run/x.sock|shop.web.main:create_app()", "/", "shop.web", P),
        (py, "python3|-m|gunicorn|-k|uvicorn.workers.UvicornWorker|main:app", "/srv/shop", "shop", P),
        (py, "/usr/bin/python3|/usr/local/bin/gunicorn|-n|cart|shop.wsgi", "/", "cart", P),
        (py, "/usr/bin/python3|/usr/local/bin/gunicorn|--name=cart|shop.wsgi", "/", "cart", P),
        (py, "/usr/bin/python3|/usr/local/bin/gunicorn|--chdir|/srv/cart|app:app", "/", "cart", P),
        (py, "/usr/bin/python3|/usr/local/bin/gunicorn|app:app", "/app", "app", P),
        (py, "gunicorn: master [shop.wsgi:app]", "/", "shop", P),
        (py, "gunicorn: worker [main:app]", "/srv/shop", "shop", P),
        (py, "/usr/bin/python3|/usr/local/bin/uvicorn|main:app|--host|0.0.0.0", "/srv/shop", "shop", P),
        (py, "/usr/bin/python3|/usr/local/bin/uvicorn|--host|0.0.0.0|--reload|shop.asgi:app", "/", "shop", P),
        (py, "python3|-m|uvicorn|api:app", "/srv/shop", "api", P),
        (py, "/usr/bin/python3|/usr/local/bin/hypercorn|-b|:80|cart:app", "/", "cart", P),
        (py, "/usr/bin/python3|/usr/bin/flask|run|--host=0.0.0.0", "/srv/shop", "shop", P),
        (py, "/usr/bin/python3|/usr/bin/flask|--app|cart|run", "/srv/shop", "cart", P),
        (py, "/usr/bin/python3|/usr/bin/flask|--app=./cart.py|run", "/srv/shop", "cart", P),
        (py, "/usr/bin/python3|/usr/bin/flask|run", "/app", "flask", P),
        (py, "/usr/bin/python3|-m|flask|run", "/app", "flask", P),
        (py, "/usr/bin/python3|/usr/bin/celery|-A|shop|worker|-l|info", "/", "shop", P),
        (py, "/usr/bin/python3|/usr/bin/celery|--app=shop.tasks|worker", "/", "shop.tasks", P),
        (py, "[celeryd: celery@host:MainProcess] -active- (worker -A shop)", "/", "shop", P),
        (py, "/usr/bin/python3|/usr/bin/streamlit|run|cart.py", "/", "cart", P),
        (py, "/usr/bin/python3|/usr/bin/fastapi|run|main.py", "/srv/shop", "shop", P),
        (py, "/usr/bin/python3|/usr/bin/django-admin|runserver", "/srv/shop", "shop", P),
    ]);
}

#[test]
fn helpers_of_python_are_their_parents() {
    let py = "/usr/bin/python3.11";
    let line = "/usr/bin/python3|-c|from multiprocessing.spawn import spawn_main; spawn_main(\
        tracker_fd=5, pipe_handle=7)|--multiprocessing-fork";
    let helper = described(py, line, "/srv/shop");
    assert_eq!((helper.name.as_str(), helper.of_parent), ("python3", true));
    let other = described(py, "python3|-c|x", "/srv/shop");
    assert_eq!((other.name.as_str(), other.of_parent), ("python3", false));
    let script = described(py, "python3|x.py|from multiprocessing.spawn import x", "/");
    assert_eq!((script.name.as_str(), script.of_parent), ("x", false));
}

#[test]
#[rustfmt::skip]
fn javascript() {
    let node = "/usr/bin/node";
    check(&[
        (node, "node|server.js", "/srv/shop", "server", P),
        (node, "node|--max-old-space-size=1|server.js", "/", "server", P),
        (node, "node|-r|dotenv/config|--import|./otel.mjs|server.mjs", "/", "server", P),
        (node, "node|--inspect|--enable-source-maps|dist/index.js", "/srv/shop", "shop", P),
        (node, "node|/srv/shop/dist/main.js", "/", "shop", P),
        (node, "node|index.js", "/srv/shop", "shop", P),
        (node, "node|index.js", "/usr/src/app", "index", P),
        (node, "node|./bin/www", "/srv/shop", "shop", P),
        (node, "node|.", "/srv/shop", "shop", P),
        (node, "node|-e|1", "/srv/shop", "node", X),
        (node, "node|--title=cart|server.js", "/", "cart", P),
        (node, "node", "/", "node", X),
        (node, "node|/srv/shop/node_modules/.bin/next|start", "/srv/shop", "shop", P),
        (node, "node|/usr/lib/node_modules/pm2/lib/Daemon.js", "/", "pm2", P),
        (node, "node|/usr/lib/node_modules/@nestjs/cli/bin/nest.js|start", "/", "cli", P),
        (node, "node|node_modules/.bin/vite", "/srv/shop", "shop", P),
        (node, "node|/usr/local/bin/tsx|watch|src/orders.ts", "/srv/shop", "orders", P),
        (node, "node|/usr/local/bin/ts-node|-P|tsconfig.json|orders.ts", "/", "orders", P),
        // Titles, over what was the command line.
        (node, "node /srv/shop/server.js", "/", "server", P),
        (node, "next-server (v14.1.0)", "/srv/shop", "shop", P),
        (node, "cart", "/srv/shop", "cart", P),
        ("/usr/bin/nodejs", "nodejs|cart.js", "/", "cart", P),
        ("/opt/deno/bin/deno", "deno|run|--allow-net|-c|deno.json|cart.ts", "/", "cart", P),
        ("/usr/bin/deno", "deno|run|-A|https://deno.land/std@0.224.0/http/file_server.ts", "/", "file_server", P),
        ("/usr/bin/deno", "deno|serve|--port|80|main.ts", "/srv/shop", "shop", P),
        ("/usr/bin/deno", "deno|run|npm:cowsay@1.5/bin", "/", "cowsay", P),
        ("/usr/bin/deno", "deno|run|jsr:@std/http@1/file-server", "/", "http", P),
        ("/usr/bin/bun", "bun|run|--hot|cart.ts", "/", "cart", P),
        ("/usr/bin/bun", "bun|--cwd|/srv/shop|index.ts", "/", "shop", P),
    ]);
}

#[test]
#[rustfmt::skip]
fn java() {
    let java = "/usr/lib/jvm/java-21/bin/java";
    check(&[
        (java, "java|-jar|orders.jar", "/", "orders", P),
        (java, "java|-Xmx1g|-XX:+UseZGC|-jar|/opt/orders-1.2.3.jar|--server.port=80", "/", "orders", P),
        (java, "java|-jar|orders-1.2.3-SNAPSHOT.jar", "/", "orders", P),
        (java, "java|-jar|orders-1.0.RELEASE.jar", "/", "orders", P),
        (java, "java|-jar|orders-2.0-rc1-exec.jar", "/", "orders", P),
        (java, "java|-jar|orders-1.0-20240101.120000-1.jar", "/", "orders", P),
        (java, "java|-jar|target/orders-runner.jar", "/", "orders-runner", P),
        (java, "java|-jar|orders-0.1-all.jar", "/", "orders", P),
        (java, "java|-jar|orders-jar-with-dependencies.jar", "/", "orders", P),
        (java, "java|-jar|log4j-2-service-1.0.jar", "/", "log4j-2-service", P),
        (java, "java|-jar|api-3scale.jar", "/", "api-3scale", P),
        (java, "java|-jar|1.0.jar", "/", "1.0", P),
        (java, "java|-jar|shop.war", "/", "shop", P),
        (java, "java|-jar|/srv/shop/app.jar", "/", "shop", P),
        (java, "java|-jar|/app/app.jar", "/", "app", P),
        (java, "java|-jar|/srv/shop/target/quarkus-app/quarkus-run.jar", "/", "shop", P),
        (java, "java|-cp|a.jar:b.jar|com.shop.Orders|x", "/", "Orders", P),
        (java, "java|-classpath|a.jar|com.shop.Main", "/", "shop", P),
        (java, "java|--class-path=a.jar|com.shop.app.Application", "/", "shop", P),
        (java, "java|-cp|.|Orders", "/", "Orders", P),
        (java, "java|-cp|.|Main", "/srv/shop", "Main", P),
        (java, "java|-cp|x|com.shop.OrdersKt", "/", "Orders", P),
        (java, "java|-cp|x|com.shop.Orders$", "/", "Orders", P),
        (java, "java|-p|mods|-m|com.shop/com.shop.Orders", "/", "Orders", P),
        (java, "java|--module=com.shop/com.shop.Main", "/", "shop", P),
        (java, "java|-m|com.shop.orders", "/", "orders", P),
        (java, "java|--add-opens|java.base/java.lang=ALL-UNNAMED|com.shop.Orders", "/", "Orders", P),
        (java, "java|/srv/Single.java|x", "/", "Single", P),
        (java, "java|--source|21|Single.java", "/", "Single", P),
        (java, "java|@jvm.opts|com.shop.Orders", "/", "Orders", P),
        (java, "java|@all.opts|serve", "/", "java", X),
        (java, "java|-version", "/", "java", X),
        (java, "java|-Dspring.application.name=cart|-jar|app.jar", "/", "cart", P),
        (java, "java|-Dotel.service.name=cart|-jar|app.jar", "/", "cart", P),
        (java, "java|-Dfoo=bar|-javaagent:/opt/otel.jar|-jar|orders.jar", "/", "orders", P),
        (java, "java|-Dcatalina.home=/usr/share/tomcat|-classpath|bootstrap.jar|org.apache.catalina.startup.Bootstrap|start", "/", "tomcat", P),
    ]);
}

#[test]
#[rustfmt::skip]
fn ruby_php_perl() {
    let ruby = "/usr/bin/ruby3.1";
    check(&[
        (ruby, "ruby|-W0|-rset|-I|lib|orders.rb", "/", "orders", P),
        (ruby, "ruby|-e|puts 1", "/srv/shop", "ruby", X),
        (ruby, "ruby|/usr/bin/puma|-C|config/puma.rb", "/srv/shop", "shop", P),
        (ruby, "ruby|bin/rails|server|-p|3000", "/srv/shop", "shop", P),
        (ruby, "ruby|/srv/shop/bin/rails|server", "/", "shop", P),
        (ruby, "ruby|/usr/bin/bundle|exec|puma|-p|80", "/srv/shop", "shop", P),
        (ruby, "ruby|/usr/bin/rackup", "/app", "rackup", P),
        (ruby, "puma 6.4.0 (tcp://0.0.0.0:3000) [shop]", "/", "shop", P),
        (ruby, "puma: cluster worker 0: 17 [shop]", "/", "shop", P),
        (ruby, "unicorn worker[0] -c config/unicorn.rb", "/srv/shop", "shop", P),
        (ruby, "sidekiq 7.1.2 shop [0 of 5 busy]", "/", "shop", P),
        (ruby, "sidekiq 7.1.2 [0 of 5 busy]", "/srv/shop", "shop", P),
        (ruby, "Passenger RubyApp: /srv/shop/public (production)", "/", "shop", P),
        ("/usr/sbin/php-fpm8.2", "php-fpm: pool www", "/", "php-fpm", P),
        ("/usr/sbin/php-fpm8.2", "php-fpm: pool shop", "/", "shop", P),
        ("/usr/sbin/php-fpm8.2", "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)", "/", "php-fpm", P),
        ("/usr/bin/php8.2", "php|-d|memory_limit=1G|/srv/shop/worker.php", "/", "worker", P),
        ("/usr/bin/php8.2", "php|-S|0.0.0.0:80|-t|/srv/shop/public", "/", "shop", P),
        ("/usr/bin/php8.2", "php|artisan|serve", "/srv/shop", "shop", P),
        ("/usr/bin/php8.2", "php|/srv/shop/bin/console|server:run", "/", "shop", P),
        ("/usr/bin/php8.2", "php|-r|echo 1;", "/", "php", X),
        ("/usr/bin/php8.2", "/usr/bin/php8.2|-r|echo 1;", "/", "php8", X),
        ("/usr/bin/perl", "perl|-MIO::Socket|-w|/srv/orders.pl", "/", "orders", P),
        ("/usr/bin/perl", "perl|-pi.bak|-e|s/a/b/", "/", "perl", X),
        ("/usr/bin/perl", "/usr/bin/perl|/usr/bin/plackup|-p|80|cart.psgi", "/", "cart", P),
    ]);
}

#[test]
#[rustfmt::skip]
fn other_runtimes() {
    check(&[
        ("/usr/share/dotnet/dotnet", "dotnet|Orders.dll", "/", "Orders", P),
        ("/usr/bin/dotnet", "dotnet|exec|--depsfile|x.json|/srv/Shop.Orders.dll|--urls|x", "/", "Shop.Orders", P),
        ("/usr/bin/dotnet", "dotnet|run|--project|src/Shop.Orders", "/", "Shop.Orders", P),
        ("/usr/bin/dotnet", "dotnet", "/", "dotnet", X),
        ("/usr/bin/mono-sgen", "mono|Orders.exe", "/", "Orders", P),
        ("/usr/lib/erlang/erts-13.1/bin/beam.smp", "/usr/lib/erlang/erts-13.1/bin/beam.smp|-W|w|--|-root|/usr/lib/erlang|-progname|erl|--|-home|/root|--|-noshell|-s|rabbit|boot|-sname|rabbit@host|-boot|start_sasl", "/", "rabbit", P),
        ("/app/erts-14/bin/beam.smp", "beam.smp|--|-root|/app|--|-name|shop@127.0.0.1|-s|elixir|start_cli", "/app", "shop", P),
        ("/usr/lib/erlang/erts-14/bin/beam.smp", "beam.smp|--|-root|/usr/lib/erlang|-s|cowboy_app", "/", "cowboy_app", P),
        ("/usr/lib/erlang/erts-14/bin/beam.smp", "beam.smp|--|-noshell|-extra|/usr/bin/mix|phx.server", "/srv/shop", "shop", P),
        ("/usr/bin/bash", "bash|-x|/srv/sync.sh|now", "/", "sync", P),
        ("/usr/bin/bash", "bash|-o|pipefail|-e|sync.sh", "/", "sync", P),
        ("/usr/bin/dash", "sh|-c|curl x", "/srv/shop", "sh", X),
        ("/usr/bin/bash", "-bash", "/srv/shop", "bash", X),
        ("/usr/bin/bash", "bash|/dev/fd/63", "/srv/shop", "bash", X),
        ("/usr/bin/python3.11", "python3|/proc/self/fd/3", "/srv/shop", "python3", X),
        ("/usr/bin/bash", "bash|/dev/stdin|x", "/", "bash", X),
        ("/usr/bin/bash", "bash|+x|-c|id", "/", "bash", X),
        ("/bin/busybox", "httpd|-f", "/", "httpd", X),
        ("/bin/busybox", "/bin/busybox|wget|-O-|http://x", "/", "wget", X),
        ("/bin/busybox", "sh|-c|x", "/", "sh", X),
        ("/usr/lib/R/bin/exec/R", "/usr/lib/R/bin/exec/R|--no-echo|--no-restore|--file=api.R", "/", "api", P),
        ("/usr/bin/julia", "julia|--project=.|-t|4|api.jl", "/", "api", P),
        ("/usr/bin/lua5.4", "lua5.4|-l|socket|api.lua", "/", "api", P),
        ("/usr/bin/wasmtime", "wasmtime|serve|-S|cli|cart.wasm", "/", "cart", P),
        ("/opt/pwsh/pwsh", "pwsh|-NoProfile|-File|api.ps1", "/", "api", P),
        ("/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2|--library-path|/x|/opt/cart/bin/cart|-v", "/", "cart", P),
        ("/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64-static|/usr/bin/python3|/srv/cart.py", "/", "cart", P),
        ("/usr/bin/qemu-aarch64", "qemu-aarch64|-L|/usr/aarch64|./cart", "/", "cart", P),
    ]);
}

#[test]
#[rustfmt::skip]
fn native() {
    check(&[
        ("/usr/sbin/nginx", "nginx: worker process", "/", "nginx", X),
        ("/usr/sbin/nginx", "nginx: master process /usr/sbin/nginx -g daemon off;", "/", "nginx", X),
        ("/usr/sbin/nginx (deleted)", "nginx: worker process", "/", "nginx", X),
        ("/srv/cart/cart", "./cart|-port|80", "/srv/cart", "cart", X),
        ("/opt/My App/cart server", "/opt/My App/cart server", "/", "cart server", X),
        ("/usr/bin/curl", "curl|-s|http://x/", "/root", "curl", X),
        ("/nix/store/abc-nginx/bin/.nginx-wrapped", "nginx", "/", "nginx", X),
        ("/srv/shop/main", "/srv/shop/main", "/", "shop", X),
        ("/app/main", "/app/main", "/app", "main", X),
        ("/memfd:payload (deleted)", "/usr/bin/cart|serve", "/", "cart", X),
        // The executable cannot be read, or the process is gone: what was typed.
        ("", "/usr/bin/cart|serve", "", "cart", X),
        ("", "nginx: worker process", "", "nginx", X),
        ("", "python3|/srv/shop/app.py", "", "app", P),
        ("", "php-fpm: pool shop", "", "shop", P),
        ("", "-bash", "", "bash", X),
        // Nothing but `comm`.
        ("", "", "", "comm", NameSource::Comm),
        ("", "/proc/self/exe|init", "", "comm", NameSource::Comm),
        ("/memfd:x (deleted)", "/dev/fd/7", "/", "comm", NameSource::Comm),
    ]);
}

#[test]
fn executable_is_the_base_name() {
    let executable = |exe, line| described(exe, line, "/").executable;
    assert_eq!(
        executable("/usr/bin/python3.11", "python3|x.py").as_deref(),
        Some("python3.11")
    );
    assert_eq!(
        executable("/usr/sbin/nginx (deleted)", "x").as_deref(),
        Some("nginx")
    );
    assert_eq!(executable("", "/usr/bin/curl|-s").as_deref(), Some("curl"));
    assert_eq!(executable("", ""), None);
}

#[test]
fn a_cut_argument_is_not_believed() {
    let cut = |args: &[u8]| {
        describe(&Clues {
            exe: Some(b"/usr/bin/python3.11"),
            args,
            args_cut: true,
            ..Clues::default()
        })
        .name
    };
    assert_eq!(cut(b"python3\0/srv/shop/ap"), "python3");
    assert_eq!(cut(b"python3\0/srv/shop/app.py\0--verb"), "app");
    assert_eq!(cut(b"python3\0/srv/shop/app.py\0"), "app");
}

#[test]
fn nothing_known_has_the_specified_name() {
    let nothing = describe(&Clues::default());
    assert_eq!(nothing.name, "unknown_service");
    assert_eq!(nothing.source, NameSource::Comm);
}

#[test]
fn nesting_is_bounded() {
    let line = format!("ruby|{}puma", "bundle|exec|".repeat(1000));
    assert_eq!(described("/usr/bin/ruby", &line, "/srv/shop").name, "shop");
    let loader = format!("ld.so|{}x", "/lib/ld.so|".repeat(1000));
    assert_eq!(described("/lib/ld.so", &loader, "/").name, "ld.so");
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::sample::select(vec![
            "python3",
            "node",
            "java",
            "ruby",
            "php",
            "perl",
            "beam.smp",
            "bash",
            "busybox",
            "ld.so",
            "gunicorn",
            "bundle",
            "exec",
            "flask",
            "puma",
            "-m",
            "-c",
            "-jar",
            "--",
            "-",
            "--app",
            "-A",
            "--chdir",
            "@x",
            "..",
            ".",
            "/",
            "//",
            "x.jar",
            "-1.jar",
            ".jar",
            "a.b.C",
            "$",
            "x:y",
            ":",
            "node_modules/",
            "npm:@",
            "npm:",
            "é.py",
            ".py",
            "gunicorn: [",
            "puma [",
            "sidekiq ",
            "php-fpm: pool ",
            "Passenger RubyApp: ",
            "[celeryd: -A ",
            "from multiprocessing.spawn import ",
            "-é",
            "--name=",
            "+é",
        ])
        .prop_map(|s| s.as_bytes().to_vec()),
    ]
}

proptest! {
    #[test]
    fn any_process_has_a_name(
        words in proptest::collection::vec(word(), 0..8),
        exe in proptest::option::of(word()),
        cwd in proptest::option::of(word()),
        comm in proptest::collection::vec(any::<u8>(), 0..16),
        args_cut: bool,
    ) {
        let args = words.join(&0);
        let program = describe(&Clues {
            exe: exe.as_deref(),
            args: &args,
            args_cut,
            cwd: cwd.as_deref(),
            comm: &comm,
        });
        for name in [Some(&program.name), program.executable.as_ref()].into_iter().flatten() {
            prop_assert!(!name.is_empty());
            prop_assert!(name.len() <= text::MAX_NAME);
            prop_assert!(!name.contains(char::is_control));
            prop_assert_eq!(name.trim(), name);
        }
    }
}
