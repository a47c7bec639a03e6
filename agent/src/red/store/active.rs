//! Requests that are under way.

use std::sync::Arc;

use super::{Store, Use};
use crate::exchange::{Method, Role};
use crate::identity::Service;
use crate::red::labels::ActiveKey;

#[derive(Debug)]
pub(super) struct Active {
    pub(super) labels: Arc<str>,
    pub(super) count: i64,
    pub(super) used: Use,
}

impl Store {
    pub(in crate::red) fn begun(
        &mut self,
        service: &Arc<Service>,
        role: Role,
        method: &Method,
        scheme: Option<&str>,
    ) {
        let key = ActiveKey::new(self.service(service), role, method, scheme);
        self.one_more(key);
    }

    /// What began in the overflow series ends there: an end whose own series has no request left
    /// to end is one of those.
    pub(in crate::red) fn ended(
        &mut self,
        service: &Arc<Service>,
        role: Role,
        method: &Method,
        scheme: Option<&str>,
    ) {
        let key = ActiveKey::new(self.service(service), role, method, scheme);
        self.one_fewer(&key);
    }

    fn one_more(&mut self, key: ActiveKey) {
        let now = self.now;
        if let Some(active) = self.active.get_mut(&key) {
            active.count += 1;
            active.used = Use::at(now);
            return;
        }
        let name = self.services.name(key.service);
        let Some(name) = name.filter(|_| self.held() < self.max_series) else {
            self.overflow(key.role).requests += 1;
            self.metrics.overflow.inc();
            return;
        };
        let active = Active {
            labels: key.labels(name),
            count: 1,
            used: Use::at(now),
        };
        self.active.insert(key, active);
        self.report_held();
    }

    fn one_fewer(&mut self, key: &ActiveKey) {
        let now = self.now;
        match self.active.get_mut(key) {
            Some(active) if active.count > 0 => {
                active.count -= 1;
                active.used = Use::at(now);
            }
            _ => {
                let overflow = &mut self.overflow(key.role).requests;
                *overflow = (*overflow - 1).max(0);
            }
        }
    }
}
