use proptest::prelude::*;

use super::*;

#[track_caller]
fn folds(path: &str, route: &str) {
    assert_eq!(fold(path, false).as_deref(), Some(route), "{path}");
}

#[test]
fn names_stay() {
    for path in [
        "/",
        "*",
        "/orders",
        "/api/v1/users",
        "/api/v2beta1/users",
        "/apis/apps/v1alpha/deployments",
        "/oauth2/token",
        "/index.html",
        "/s3/buckets",
        "/utf8",
        "/utf-8",
        "/mp3",
        "/h264",
        "/x86_64",
        "/i18n/en-US",
        "/k8s",
        "/p2p",
        "/base64url",
        "/sha256",
        "/.well-known/openid-configuration",
        "/robots.txt",
        "/archive.tar.gz",
        "/favicon-32x32.png",
        "/@vite/client",
        "/odata/$metadata",
        "/forgot-password",
        "/sign-in-with-google",
        "/twirp/com.example.inventory.v1.InventoryService/ListItems",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/getAccountTransactionHistory",
        "/documents:batchGet",
        "/wp-login.php",
        "/a/b/c/d/e/f/g/h",
    ] {
        folds(path, path);
    }
}

#[test]
fn identifiers_fold() {
    for segment in [
        "0",
        "17",
        "-12.5",
        "1.2.3",
        "10.0.0.1",
        "12:30:00",
        "48.8584,2.2945",
        "2024-01-31",
        "2024-01-31T10:00:00Z",
        "2024_01",
        "550e8400-e29b-41d4-a716-446655440000",
        "deadbeef-cafe-babe-feed-facefeedbeef",
        "550E8400E29B41D4A716446655440000",
        "3f2a9c1b",
        "0x1f",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "dQw4w9WgXcQ",
        "aZ3kd92LsQm1pXv8",
        "cus_9s6XKzkNRiz8i3",
        "user-7f3a9c1b",
        "order12345",
        "order-12345",
        "eyJhbGciOiJIUzI1NiJ9",
        "someone@example.com",
        "jane.doe@example.com",
        "My%20Document",
        "%E2%82%AC",
        "caf\u{e9}",
        "year=2024",
        "Products(42)",
        "a,b",
        "why-we-chose-rust-again",
        "sha256:9f86d081884c7d65",
        "urn:isbn:0451450523",
        "{x}",
        "..",
        ".",
        ";a=b",
        "\u{0}",
    ] {
        folds(&format!("/things/{segment}"), "/things/{id}");
        folds(&format!("/things/{segment}/edit"), "/things/{id}/edit");
    }
    folds(&format!("/t/{}", "a".repeat(41)), "/t/{id}");
    folds(
        &format!("/t/{}", "a".repeat(40)),
        &format!("/t/{}", "a".repeat(40)),
    );
    folds(&format!("/t/{}", "a.".repeat(41)), "/t/{id}");
}

#[test]
fn identifiers_within_a_name_fold_alone() {
    folds("/assets/app.3f2a9c1b.js", "/assets/app.{id}.js");
    folds("/assets/main-4f5e6d7c.css", "/assets/{id}.css");
    folds("/assets/index-BfK3x9Qa.js", "/assets/{id}.js");
    folds("/img/20240131.jpg", "/img/{id}.jpg");
    folds("/r/report.2024-01-31.csv", "/r/report.{id}.csv");
    folds("/lib/jquery-3.6.0.min.js", "/lib/jquery-3.{id}.min.js");
    folds("/v1/books/123:publish", "/v1/books/{id}:publish");
    folds("/cart;jsessionid=8A3F/items", "/cart/items");
}

#[test]
fn slashes_and_depth() {
    folds("//a///b/", "/a/b");
    folds("///", "/");
    folds(
        "/1/2/3/4/5/6/7/8",
        "/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}",
    );
    folds("/a/b/c/d/e/f/g/h/i", "/a/b/c/d/e/f/g/h/{rest*}");
    folds("/a/b/c/d/e/f/g/h/i/j/k", "/a/b/c/d/e/f/g/h/{rest*}");
    assert_eq!(fold("", false), None);
    assert_eq!(fold("example.com:443", false), None);
}

#[test]
fn the_last_segment_of_a_truncated_path_is_never_literal() {
    let cut = |path| fold(path, true);
    assert_eq!(cut("/orders/ite").as_deref(), Some("/orders/{id}"));
    assert_eq!(cut("/orders/").as_deref(), Some("/orders/{id}"));
    assert_eq!(cut("/ord").as_deref(), Some("/{id}"));
    assert_eq!(cut("/").as_deref(), Some("/{id}"));
    assert_eq!(
        cut("/a/b/c/d/e/f/g/h/i").as_deref(),
        Some("/a/b/c/d/e/f/g/h/{rest*}")
    );
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just("{id}".to_owned()),
        Just("{rest*}".to_owned()),
        "[0-9]{1,5}",
        "[a-z]{1,9}",
        "[a-zA-Z0-9]{1,20}",
        "[-._~:@;=%$,()+*!]",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn folding_a_route_gives_the_route(path in path(), truncated: bool) {
        let route = fold(&path, truncated).unwrap();
        prop_assert_eq!(fold(&route, false), Some(route.clone()));
    }

    #[test]
    fn a_route_is_bounded_and_plain(path in path(), truncated: bool) {
        let route = fold(&path, truncated).unwrap();
        prop_assert!(route.len() <= MAX_ROUTE, "{} bytes", route.len());
        prop_assert!(route.split('/').count() <= MAX_DEPTH + 2);
        prop_assert!(route.bytes().all(|byte| byte.is_ascii_graphic()));
    }

    #[test]
    fn a_number_never_stays(number: u64, prefix in "[a-z]{1,8}") {
        prop_assert_eq!(fold(&format!("/{prefix}/{number}"), false), Some(format!("/{prefix}/{{id}}")));
    }
}
