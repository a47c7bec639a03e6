use proptest::prelude::*;

use super::*;
use crate::red::testing::service;

fn config(templates: &[&str], unmatched: Unmatched, max_per_service: usize) -> Routes {
    Routes {
        templates: templates.iter().map(|text| (*text).to_owned()).collect(),
        unmatched,
        max_per_service,
    }
}

#[test]
fn the_first_template_that_matches_wins_then_folding() {
    let config = config(
        &["/orders/latest", "/orders/{order}", "/static/{rest*}"],
        Unmatched::Fold,
        100,
    );
    let mut router = Router::new(&config).unwrap();
    let shop = service("shop", 1);
    for _ in 0..2 {
        let mut route = |path| router.route(&shop, path, false);
        assert_eq!(route("/orders/latest").as_deref(), Some("/orders/latest"));
        assert_eq!(route("/orders/17").as_deref(), Some("/orders/{order}"));
        assert_eq!(route("/static/a/b.js").as_deref(), Some("/static/{rest*}"));
        assert_eq!(route("/users/17").as_deref(), Some("/users/{id}"));
        assert_eq!(route("").as_deref(), None);
        assert_eq!(
            router.route(&shop, "/users/17", true).as_deref(),
            Some("/users/{id}")
        );
        assert_eq!(
            router.route(&shop, "/users", true).as_deref(),
            Some("/{id}")
        );
        assert_eq!(
            router.route(&shop, "/users", false).as_deref(),
            Some("/users")
        );
    }
}

#[test]
fn without_folding_only_templates_give_routes() {
    let mut router = Router::new(&config(&["/orders/{id}"], Unmatched::Unset, 100)).unwrap();
    let shop = service("shop", 1);
    assert_eq!(
        router.route(&shop, "/orders/1", false).as_deref(),
        Some("/orders/{id}")
    );
    assert_eq!(router.route(&shop, "/users/1", false), None);
}

#[test]
fn beyond_the_limit_a_route_is_other_and_counted() {
    let mut router = Router::new(&config(&[], Unmatched::Fold, 2)).unwrap();
    let metrics = router.metrics();
    let (one, two) = (service("shop", 1), service("shop", 2));
    let blog = service("blog", 3);
    assert_eq!(router.route(&one, "/a", false).as_deref(), Some("/a"));
    assert_eq!(router.route(&two, "/b", false).as_deref(), Some("/b"));
    assert_eq!(router.route(&one, "/c", false).as_deref(), Some(OTHER));
    assert_eq!(router.route(&one, "/c", false).as_deref(), Some(OTHER));
    assert_eq!(router.route(&two, "/c", false).as_deref(), Some(OTHER));
    assert_eq!(router.route(&two, "/a", false).as_deref(), Some("/a"));
    assert_eq!(router.route(&blog, "/c", false).as_deref(), Some("/c"));
    assert_eq!(metrics.beyond_limit.get(), 3);
}

#[test]
fn what_is_kept_of_services_that_are_gone_is_bounded() {
    let mut router = Router::new(&config(&[], Unmatched::Fold, 100)).unwrap();
    for pid in 0..10_000 {
        let gone = service(&format!("job-{pid}"), pid);
        assert_eq!(router.route(&gone, "/run", false).as_deref(), Some("/run"));
    }
    assert!(
        router.routes.len() <= 128,
        "{} services",
        router.routes.len()
    );
}

#[test]
fn a_template_written_twice_is_refused() {
    let error = Router::new(&config(&["/a", "/a"], Unmatched::Fold, 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "route template \"/a\" is there twice; remove one"
    );
}

proptest! {
    #[test]
    fn a_service_never_has_more_routes_than_allowed(
        paths in proptest::collection::vec("/[a-z]{1,3}(/[a-z0-9]{1,9})?", 1..200),
        limit in 0_usize..20,
    ) {
        let mut router = Router::new(&config(&["/a/{x}"], Unmatched::Fold, limit)).unwrap();
        let shop = service("shop", 1);
        let mut seen = HashSet::new();
        let mut other = 0;
        for path in &paths {
            let route = router.route(&shop, path, false).unwrap();
            if &*route == OTHER {
                other += 1;
            } else {
                seen.insert(route);
            }
        }
        prop_assert!(seen.len() <= limit);
        prop_assert_eq!(router.metrics().beyond_limit.get(), other);
    }
}
