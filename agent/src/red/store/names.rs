//! Names that anybody may choose, of which each service may have so many.

use std::collections::{HashMap, HashSet};

use crate::exchange::Role;
use crate::red::services::ServiceId;
use crate::red::target::Target;

/// Different addresses and ports that one service's clients may go to by name; what is beyond is
/// `other`. A crawler or a forward proxy would otherwise fill the table.
pub(in crate::red) const ADDRESSES_PER_SERVICE: usize = 100;

/// Different methods that one service's calls may have, by role; what is beyond is `other`. The
/// method is anybody's to choose, until the server says that it does not implement it.
pub(in crate::red) const METHODS_PER_SERVICE: usize = 200;

/// Where a client went: name or address, and port.
pub(super) type Address = (Option<Box<str>>, Option<u16>);

/// The names that services have.
#[derive(Debug, Default)]
pub(super) struct Names {
    addresses: HashMap<ServiceId, HashSet<Address>>,
    methods: HashMap<(ServiceId, Role), HashSet<Box<str>>>,
}

/// See [`Names::admit`].
pub(super) enum Admission {
    Known,
    New(Address),
    Refused,
}

impl Names {
    /// Whether a client of the service may go by the name of this target.
    pub(super) fn admit(&self, service: ServiceId, target: &Target<'_>) -> Admission {
        let address = (target.text.as_deref().map(Into::into), target.port);
        match self.addresses.get(&service) {
            Some(known) if known.contains(&address) => Admission::Known,
            Some(known) if known.len() >= ADDRESSES_PER_SERVICE => Admission::Refused,
            Some(_) | None => Admission::New(address),
        }
    }

    /// Whether a call of the service may go by the name of its method.
    pub(super) fn admits_method(&self, service: ServiceId, role: Role, method: &str) -> bool {
        self.methods
            .get(&(service, role))
            .is_none_or(|known| known.contains(method) || known.len() < METHODS_PER_SERVICE)
    }

    /// A series goes by this address.
    pub(super) fn keep_address(&mut self, service: ServiceId, address: Address) {
        self.addresses.entry(service).or_default().insert(address);
    }

    /// A series goes by this method.
    pub(super) fn keep_method(&mut self, service: ServiceId, role: Role, method: &str) {
        let methods = self.methods.entry((service, role)).or_default();
        if !methods.contains(method) {
            methods.insert(method.into());
        }
    }

    /// Forgets those of services that are not kept.
    pub(super) fn retain(&mut self, kept: impl Fn(ServiceId) -> bool) {
        self.addresses.retain(|id, _| kept(*id));
        self.methods.retain(|(id, _), _| kept(*id));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.methods.is_empty()
    }
}
