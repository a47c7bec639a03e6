//! Calls (gRPC) and HTTP/2 streams.

use super::*;
use crate::exchange::Rpc;
use crate::red::store::METHODS_PER_SERVICE;
use crate::rpc::Code;

const SERVER: &str = "rpc_server_call_duration_seconds_count";
const CLIENT: &str = "rpc_client_call_duration_seconds_count";

fn call(role: Role, path: &str, status: Option<Code>) -> Exchange {
    let mut exchange = exchange(role);
    exchange.request.method = Method::Post;
    exchange.request.protocol = Protocol::Http2;
    exchange.request.path = path.into();
    exchange.rpc = Some(Rpc {
        status,
        sent: Some(2),
        received: Some(1),
    });
    exchange
}

#[test]
fn the_labels_are_those_of_the_conventions() {
    let red = Red::new(&config(100));
    let shop = service("shop", 1);
    for (role, status) in [
        (Role::Server, Some(Code::Ok)),
        (Role::Server, Some(Code::NotFound)),
        (Role::Server, Some(Code::Internal)),
        (Role::Server, Some(Code::Unimplemented)),
        (Role::Server, None),
        (Role::Client, Some(Code::NotFound)),
    ] {
        red.observe(&call(role, "/shop.Orders/Get", status), &shop, None);
    }
    let page = own_page(&red, Format::Text);
    let mut lines: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with(SERVER) || line.starts_with(CLIENT))
        .collect();
    lines.sort_unstable();
    let start = "{service_name=\"shop\",rpc_system_name=\"grpc\",rpc_method=\"";
    let get = "shop.Orders/Get\",rpc_response_status_code=\"";
    assert_eq!(
        lines,
        [
            format!(
                "{CLIENT}{start}{get}NOT_FOUND\",error_type=\"NOT_FOUND\",server_address=\"api.example\",server_port=\"8443\"}} 1"
            ),
            format!(
                "{SERVER}{start}_OTHER\",rpc_response_status_code=\"UNIMPLEMENTED\",error_type=\"UNIMPLEMENTED\"}} 1"
            ),
            format!("{SERVER}{start}{get}INTERNAL\",error_type=\"INTERNAL\"}} 1"),
            format!("{SERVER}{start}{get}NOT_FOUND\"}} 1"),
            format!("{SERVER}{start}{get}OK\"}} 1"),
            format!("{SERVER}{start}{get}unknown\"}} 1"),
        ]
    );
    assert!(!page.contains("http_"), "a call is no request: {page}");
    assert_eq!(held(&red), 18, "three series per label set");
}

#[test]
fn methods_beyond_the_limit_are_other() {
    let red = Red::new(&config(100_000));
    let shop = service("shop", 1);
    for _ in 0..2 {
        for at in 0..METHODS_PER_SERVICE + 7 {
            let path = format!("/shop.Orders/M{at}");
            red.observe(&call(Role::Server, &path, Some(Code::Ok)), &shop, None);
        }
    }
    let samples = samples(&red);
    let methods = by_label(&samples, SERVER, "rpc_method");
    assert_eq!(methods.len(), METHODS_PER_SERVICE + 1);
    assert!(methods.contains(&("other".to_owned(), "14".to_owned())));
    assert_eq!(red.shared.metrics.methods.get(), 14);
}

#[test]
fn streams_go_up_and_down_and_beyond_the_limit_as_well() {
    let red = Red::new(&config(6));
    let (one, two) = (service("one", 1), service("two", 2));
    red.stream_begun(&one, Role::Server, 1, false);
    red.stream_begun(&one, Role::Server, 1, true);
    red.stream_begun(&one, Role::Server, 1, true);
    red.stream_begun(&one, Role::Server, 2, false);
    red.stream_ended(&one, Role::Server, 1, true);
    red.stream_begun(&two, Role::Server, 3, false);
    red.observe(&call(Role::Server, "/a.B/C", Some(Code::Ok)), &two, None);
    let page = own_page(&red, Format::Text);
    for line in [
        "hark_http2_server_active_streams{service_name=\"one\"} 3\n",
        "hark_http2_server_active_connections{service_name=\"one\"} 2\n",
        "hark_http2_server_active_streams_busiest_connection{service_name=\"one\"} 2\n",
        "hark_http2_server_streams_at_limit_total{service_name=\"one\"} 2\n",
        "hark_http2_server_streams_refused_total{service_name=\"one\"} 1\n",
        "hark_http2_server_active_streams{otel_metric_overflow=\"true\"} 1\n",
        "rpc_server_call_duration_seconds_count{otel_metric_overflow=\"true\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} not in {page}");
    }
    assert_eq!(held(&red), 5);
    red.stream_ended(&two, Role::Server, 3, false);
    assert!(!own_page(&red, Format::Text).contains("active_streams{otel"));
}
