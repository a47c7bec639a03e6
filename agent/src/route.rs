//! `http.route` from a path: configured templates, or identifiers folded.
//!
//! Who sees only the wire cannot know a route as the framework that serves it does. What stands in
//! for it is, in this order: a template that the user wrote; the path with everything in it that
//! looks like an identifier replaced (`fold`); nothing. The convention reserves `http.route` for
//! the framework's own, so folding is a documented deviation that can be switched off.
//!
//! Paths come from whoever sends requests. Two bounds hold against that: a service has at most
//! [`Routes::max_per_service`] routes, what is beyond is [`OTHER`] and counted; and the cache of
//! paths has a fixed number of places (`cache`).

mod cache;
mod fold;
mod template;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::config::{Routes, Unmatched};
use crate::identity::Service;
use crate::red::services::{ServiceId, Services};

pub use template::RouteError;
use template::Template;

/// The route of a path for which the service has no room left.
pub const OTHER: &str = "other";

/// Makes routes; owned by the one thread that follows exchanges.
#[derive(Debug)]
pub struct Router {
    templates: Vec<Template>,
    unmatched: Unmatched,
    max_per_service: usize,
    services: Services,
    routes: HashMap<ServiceId, HashSet<Arc<str>>>,
    cache: cache::Cache,
    other: Arc<str>,
    metrics: RouteMetrics,
}

/// What a [`Router`] says of itself; clones count together.
#[derive(Clone, Debug, Default)]
pub struct RouteMetrics {
    beyond_limit: Counter,
}

impl RouteMetrics {
    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "hark_routes_beyond_limit",
            "Requests whose route is other because their service has reached its number of routes",
            self.beyond_limit.clone(),
        );
    }
}

impl Router {
    /// Reads the templates.
    ///
    /// # Errors
    ///
    /// A template that is not well formed, or is there twice.
    pub fn new(config: &Routes) -> Result<Self, RouteError> {
        let mut templates: Vec<Template> = Vec::with_capacity(config.templates.len());
        for text in &config.templates {
            let template = Template::parse(text)?;
            if templates
                .iter()
                .any(|other| other.route() == template.route())
            {
                return Err(RouteError::Twice {
                    template: text.clone(),
                });
            }
            templates.push(template);
        }
        Ok(Self {
            templates,
            unmatched: config.unmatched,
            max_per_service: config.max_per_service,
            services: Services::default(),
            routes: HashMap::new(),
            cache: cache::Cache::default(),
            other: OTHER.into(),
            metrics: RouteMetrics::default(),
        })
    }

    /// The counters, for registration.
    #[must_use]
    pub fn metrics(&self) -> RouteMetrics {
        self.metrics.clone()
    }

    /// The route of a request to `service` for `path` (without query). `truncated` says that the
    /// path was longer than what is kept, so that its last segment is not whole.
    ///
    /// `None` for a target that is no path (the authority form of CONNECT), and for what no
    /// template matches when folding is off.
    pub fn route(
        &mut self,
        service: &Arc<Service>,
        path: &str,
        truncated: bool,
    ) -> Option<Arc<str>> {
        let id = self.services.id(service);
        let place = self.cache.place(id, path, truncated);
        let found = match self.cache.get(&place) {
            Some(found) => found.clone(),
            None => {
                let route = self.resolve(id, path, truncated);
                self.cache.put(&place, route.clone());
                route
            }
        };
        match found {
            Found::Route(route) => Some(route),
            Found::BeyondLimit => {
                self.metrics.beyond_limit.inc();
                Some(Arc::clone(&self.other))
            }
            Found::None => None,
        }
    }

    fn resolve(&mut self, id: ServiceId, path: &str, truncated: bool) -> Found {
        if self.services.sweep_due() {
            self.services.sweep();
            let services = &self.services;
            self.routes.retain(|id, _| services.is_live(*id));
            self.services.retain(|_| false);
        }
        let template = self
            .templates
            .iter()
            .find(|template| template.matches(path, truncated))
            .map(Template::route);
        let route = match (template, self.unmatched) {
            (Some(route), _) => Arc::clone(route),
            (None, Unmatched::Fold) => match fold::fold(path, truncated) {
                Some(route) => route.into(),
                None => return Found::None,
            },
            (None, Unmatched::Unset) => return Found::None,
        };
        let routes = self.routes.entry(id).or_default();
        if routes.contains(&route) {
            return Found::Route(route);
        }
        if routes.len() >= self.max_per_service {
            return Found::BeyondLimit;
        }
        routes.insert(Arc::clone(&route));
        Found::Route(route)
    }
}

/// What became of a path.
#[derive(Clone, Debug)]
enum Found {
    Route(Arc<str>),
    BeyondLimit,
    None,
}

#[cfg(test)]
mod tests;
