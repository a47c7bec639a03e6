//! Tables that each exchange passes.
//!
//! The standard hasher was a twelfth of the pipeline's time under gRPC. This one has a random seed as
//! well, and does without that one's strength against somebody who measures; what strangers choose freely
//! (paths, for instance) is not kept by it.

pub(crate) use foldhash::fast::RandomState;

/// The standard map.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// The map that keeps the order of insertion.
pub(crate) type IndexMap<K, V> = indexmap::IndexMap<K, V, RandomState>;
